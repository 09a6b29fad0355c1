//! A Ruleset and lists of addresses as a table: `inet ringwall`, all names begin with `rw_`.
//!
//! ```text
//! prerouting raw (before connections are tracked)
//!   rw_raw      loopback: accept · by family to rw_raw4, rw_raw6
//!   rw_raw4     rw_listed4 · meter → rw_flood · rw_origin4
//!   rw_listed4  allowlist → rw_origin4 · blocked, feeds → rw_blocked; rules only over lists that hold something
//!   rw_origin4  an endpoint's interface only with its addresses, its addresses only from its interface, else rw_spoofed
//! forward, input, output
//!   rw_forward  known connections: accept · by family to rw_judge4, rw_judge6
//!   rw_input    the same, but the loopback, IPv6 neighbours and the node's own addresses are accepted; so rw_output
//!   rw_judge4   an endpoint's TCP that begins nothing → rw_stray · unknown address of our networks → rw_unknown ·
//!               egress map by source · an endpoint that is not in it → rw_changing · rw_arrive4
//!   rw_arrive4  ingress map by destination · an endpoint that is not in it → rw_changing · accept
//! ingress of chosen links (before the stack)
//!   rw_early    allowlist: accept · blocked, feeds → rw_screened
//! ```
//! Where only the lists are enforced ([`Scope::Lists`]), there is nothing but `rw_early`, `rw_raw` and what they lead to.
//!
//! A chain for a group is named `rw_e4_<shape>_<slot>`; its sets begin with the same. A group keeps its slot as long as
//! its endpoints are in it and only elements change, so one address more is one element more.

use super::boxes::{ALL_PORTS, Rectangle, disjoint, ends};
use super::expression::{Expression, Limit, Meta, Register, Verdict, Which};
use super::group::{Direction, Drawing, Surroundings, address_key, event_prefix, interval_elements, names_set, set};
use super::rule::{
    Rule, Side, Telling, Then, address_in, address_map, address_not_in, family, icmp6, input_and_source_in, input_in,
    known_connection, loopback, neighbour_discovery, told, within_a_stream,
};
use super::table::{Also, Chain, Element, Elements, Family, Hook, Key, Keys, Name, Part, Place, Set, SetKind, Table};
use crate::blocklist::{Lists, Screen};
use ringwall_model::RuleBook;
use ringwall_packet::ruleset::{GroupId, Ruleset};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// What is chosen once, when the firewall is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// How deny events are told.
    pub telling: Telling,
    /// What is enforced.
    pub scope: Scope,
    /// Packets a second, and at once, that one source may send before what is over is dropped; `None`: any number.
    pub flood: Option<(u64, u32)>,
}

/// What a table enforces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Rules between endpoints, and the lists: a node.
    #[default]
    Node,
    /// The lists alone: a machine whose connections are none of ours.
    Lists,
}

/// Why a ruleset cannot become a table.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// No interface can have that name.
    #[error("`{0}` is no name of an interface: 1 to 15 bytes")]
    Interface(Box<str>),
    /// Two lists of networks have the same name, which is made of what is in them.
    #[error("two lists of networks would be set `{0}`")]
    Collision(Box<str>),
    /// An endpoint's group is not in the ruleset.
    #[error("{endpoint} has rules of group {group}, which is not there")]
    Group {
        /// The endpoint's name.
        endpoint: Box<str>,
        /// The number of the group.
        group: u32,
    },
}

/// Everything that is laid out.
pub struct Plan<'a> {
    /// What is enforced.
    pub ruleset: &'a Ruleset,
    /// Names of its reasons.
    pub book: &'a RuleBook,
    /// Lists of addresses.
    pub lists: &'a Lists,
    /// Where they are asked, and for which networks there is place.
    pub screen: &'a Screen,
    /// What was chosen.
    pub settings: Settings,
}

impl Plan<'_> {
    /// Lays it out; groups keep the places that they have in the table that is in force.
    ///
    /// # Errors
    /// When the ruleset contradicts itself; nothing is left out to make it fit.
    pub fn lay_out(&self, is: &Table) -> Result<Table, LayoutError> {
        let mut table = Table::default();
        self.lists.lay_out(self.screen, self.settings, &mut table);
        for of in Family::ALL {
            self.raw(of, &mut table);
        }
        if self.settings.scope == Scope::Lists {
            self.hooks(&mut table);
            return Ok(table);
        }
        self.addresses(&mut table)?;
        names(self.ruleset, &mut table);
        for of in Family::ALL {
            origin(of, &mut table);
            judge(of, &mut table);
            for direction in Direction::ALL {
                self.groups(direction, of, is, &mut table)?;
            }
        }
        self.hooks(&mut table);
        Ok(table)
    }

    /// Sets that say who is where.
    fn addresses(&self, table: &mut Table) -> Result<(), LayoutError> {
        let ruleset = self.ruleset;
        let mut interfaces = Vec::new();
        let mut sources: BTreeMap<Family, (Vec<Element>, Vec<Element>)> = BTreeMap::new();
        for endpoint in &ruleset.endpoints {
            let Some(name) = &endpoint.interface else { continue };
            let interface = Key::interface(name).filter(|_| !name.is_empty());
            let interface = interface.ok_or_else(|| LayoutError::Interface(name.clone()))?;
            interfaces.push(Element::single(interface));
            for address in &endpoint.addresses {
                let (pairs, homed) = sources.entry(Family::of(*address)).or_default();
                pairs.push(Element::single(interface.and_address(*address)));
                homed.push(Element::single(Key::address(*address)));
            }
        }
        put(table, "rw_interface".into(), plain(&[Part::Interface], Keys::Single), interfaces);
        for of in Family::ALL {
            let digit = of.digit();
            let (pairs, homed) = sources.remove(&of).unwrap_or_default();
            let pair: &[Part] = match of {
                Family::V4 => &[Part::Interface, Part::V4],
                Family::V6 => &[Part::Interface, Part::V6],
            };
            let single = || plain(address_key(of), Keys::Single);
            put(table, format!("rw_source{digit}"), plain(pair, Keys::Single), pairs);
            put(table, format!("rw_homed{digit}"), single(), homed);
            let endpoints = ruleset.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
            put(table, format!("rw_endpoint{digit}"), single(), singles(endpoints, of));
            put(table, format!("rw_node{digit}"), single(), singles(ruleset.node.iter(), of));
            let networks = ruleset.networks.iter().filter(|network| Family::of(network.addr()) == of);
            let networks: Vec<_> =
                networks.map(|network| Rectangle { addresses: ends(network), ports: ALL_PORTS }).collect();
            let networks = interval_elements(disjoint(&networks).iter().map(|r| r.addresses), of);
            put(table, format!("rw_network{digit}"), plain(address_key(of), Keys::Intervals), networks);
        }
        Ok(())
    }

    /// What is looked at before connections are tracked.
    fn raw(&self, of: Family, table: &mut Table) {
        let d = of.digit();
        let mut raw = vec![jump(&format!("rw_listed{d}"))];
        if let Some((rate, burst)) = self.settings.flood {
            let set = format!("rw_meter{d}");
            let over = Expression::Limit(Limit { rate, burst, which: Which::Over });
            let key = Register::FIRST;
            let update = Expression::Update { set: set.clone().into(), key, timeout: METER_LIFE, each: vec![over] };
            raw.push(vec![Side::Source.load(of, 0), update].goto("rw_flood"));
            let kind = SetKind { also: Also::Meters, ..plain(address_key(of), Keys::Single) };
            table.sets.insert(set.into(), Set { kind, elements: Elements::Living });
        }
        if self.settings.scope == Scope::Node {
            raw.push(Rule::new().goto(&format!("rw_origin{d}")));
        }
        chain(table, &format!("rw_raw{d}"), None, raw);
    }

    fn hooks(&self, table: &mut Table) {
        let node = [
            ("rw_spoofed", 's', "source address of another interface"),
            ("rw_unknown", 'u', "unknown local address"),
            ("rw_changing", 'c', "the rules were being changed"),
            ("rw_stray", 't', "TCP segment of no connection"),
        ];
        let lists = [("rw_flood", 'f', "too many packets from one source")];
        let node = node.iter().filter(|_| self.settings.scope == Scope::Node);
        for (name, letter, words) in lists.iter().chain(node) {
            chain(table, name, None, told(self.settings.telling, &event_prefix(*letter, words), Verdict::Drop));
        }
        let by_family = |to: &str| Family::ALL.map(|of| family(of).goto(&format!("{to}{}", of.digit())));
        let hook = |place, priority| Some(Hook { place, priority, links: Vec::new() });
        let raw = [&[loopback(Meta::InputType).accept()][..], &by_family("rw_raw")].concat();
        chain(table, "rw_raw", hook(Place::Prerouting, RAW), raw);
        if self.settings.scope == Scope::Lists {
            return;
        }
        let forward = [&[known_connection().accept()][..], &by_family("rw_judge")].concat();
        chain(table, "rw_forward", hook(Place::Forward, FILTER), forward);
        for (name, place, key) in
            [("rw_input", Place::Input, Meta::InputType), ("rw_output", Place::Output, Meta::OutputType)]
        {
            let neighbours = [family(Family::V6), neighbour_discovery()].concat();
            let first = [loopback(key).accept(), known_connection().accept(), neighbours.accept()];
            chain(table, name, hook(place, FILTER), [&first[..], &by_family(name)].concat());
        }
    }

    /// The groups of one direction and family, and the map that leads to them.
    fn groups(&self, direction: Direction, of: Family, is: &Table, table: &mut Table) -> Result<(), LayoutError> {
        let mut used: BTreeMap<GroupId, Vec<IpAddr>> = BTreeMap::new();
        let mut free = Vec::new();
        for endpoint in &self.ruleset.endpoints {
            let group = match direction {
                Direction::Egress => endpoint.egress,
                Direction::Ingress => endpoint.ingress,
            };
            let addresses = endpoint.addresses.iter().filter(|address| Family::of(**address) == of);
            let Some(group) = group else {
                free.extend(addresses);
                continue;
            };
            used.entry(group).or_default().extend(addresses);
            if self.ruleset.groups.get(group.0 as usize).is_none() {
                return Err(LayoutError::Group { endpoint: endpoint.name.clone(), group: group.0 });
            }
        }
        let around = Surroundings { book: self.book, telling: self.settings.telling };
        let map = direction.map(of);
        let accepts = Arc::new(direction.accepts(of));
        let mut slots = Slots { is, map: is.sets.get(map.as_str()), taken: BTreeSet::new() };
        let element = |address: &IpAddr, verdict: &Arc<Verdict>| Element {
            key: Key::address(*address),
            last: None,
            verdict: Some(verdict.clone()),
        };
        let mut elements: Vec<Element> = free.into_iter().map(|address| element(address, &accepts)).collect();
        for (group, addresses) in used.into_iter().filter(|(_, addresses)| !addresses.is_empty()) {
            let Some(group) = self.ruleset.groups.get(group.0 as usize) else { continue };
            let drawing = Drawing::of(group, direction, of);
            let kin = format!("rw_{}{}_{:016x}_", direction.letter(), of.digit(), drawing.shape(&around));
            let slot = slots.slot(&kin, &drawing, &addresses);
            let verdict = Arc::new(Verdict::Jump(slot.as_str().into()));
            drawing.place(&slot, &around, table).map_err(LayoutError::Collision)?;
            elements.extend(addresses.iter().map(|address| element(address, &verdict)));
        }
        let kind = SetKind { key: address_key(of), keys: Keys::Single, also: Also::Verdicts, room: 0 };
        put(table, map, kind, elements);
        Ok(())
    }
}

/// Sets of addresses of names, which end by themselves. Who applies fills them: time goes on, a layout stays.
fn names(ruleset: &Ruleset, table: &mut Table) {
    for (pattern, addresses) in &ruleset.names {
        for of in Family::ALL {
            if addresses.iter().any(|(address, _)| Family::of(*address) == of) {
                let kind = SetKind { also: Also::Timeouts, ..plain(address_key(of), Keys::Single) };
                table.sets.insert(names_set(pattern, of).into(), Set { kind, elements: Elements::Living });
            }
        }
    }
}

/// How long a meter remembers a source that is silent, in milliseconds.
const METER_LIFE: u64 = 60_000;
/// Before connections are tracked (`NF_IP_PRI_RAW`).
pub const RAW: i32 = -300;
/// `NF_IP_PRI_FILTER`
const FILTER: i32 = 0;

/// A rule that goes on in another chain, and comes back.
fn jump(to: &str) -> Rule {
    vec![Expression::Verdict(Verdict::Jump(to.into()))]
}

/// An endpoint's interface only with its addresses, its addresses only from its interface.
fn origin(of: Family, table: &mut Table) {
    let d = of.digit();
    let mut rules = vec![input_and_source_in(&format!("rw_source{d}"), of).accept()];
    if of == Family::V6 {
        // Neighbours find each other with link-local and unspecified sources, which no router forwards.
        rules.push(icmp6_from_link_local().accept());
        rules.push(icmp6_from([0; 16], [255; 16]).accept());
    }
    rules.push(input_in("rw_interface").goto("rw_spoofed"));
    rules.push(address_in(&format!("rw_homed{d}"), Side::Source, of).goto("rw_spoofed"));
    // Not back: an allowed source came here from inside the lists, and is not metered.
    rules.push(Rule::new().accept());
    chain(table, &format!("rw_origin{d}"), None, rules);
}

/// The judging of what is not known yet, for both ends.
fn judge(of: Family, table: &mut Table) {
    let d = of.digit();
    let (network, endpoint) = (format!("rw_network{d}"), format!("rw_endpoint{d}"));
    let unknown =
        |side| [address_in(&network, side, of), address_not_in(&endpoint, side, of)].concat().goto("rw_unknown");
    let stray = |side| [within_a_stream(), address_in(&endpoint, side, of)].concat().goto("rw_stray");
    // Every endpoint is in both maps: who comes back from one met a change that was being made.
    let changing = |side| address_in(&endpoint, side, of).goto("rw_changing");
    let arrive = vec![
        address_map(&Direction::Ingress.map(of), Side::Destination, of),
        changing(Side::Destination),
        Rule::new().accept(),
    ];
    chain(table, &format!("rw_arrive{d}"), None, arrive);
    let judge = vec![
        // Connection tracking would take it up from either end: the side that may begin connections would bring one
        // back that was cut, and answers would belong to it. What only passes by may go another way back.
        stray(Side::Source),
        stray(Side::Destination),
        unknown(Side::Source),
        unknown(Side::Destination),
        address_map(&Direction::Egress.map(of), Side::Source, of),
        changing(Side::Source),
        Rule::new().goto(&format!("rw_arrive{d}")),
    ];
    let name = format!("rw_judge{d}");
    for (hook, own) in [("rw_input", Side::Destination), ("rw_output", Side::Source)] {
        let node = address_in(&format!("rw_node{d}"), own, of).accept();
        chain(table, &format!("{hook}{d}"), None, vec![node, Rule::new().goto(&name)]);
    }
    chain(table, &name, None, judge);
}

/// Which places groups have in the kernel.
struct Slots<'a> {
    is: &'a Table,
    map: Option<&'a Set>,
    taken: BTreeSet<String>,
}

impl Slots<'_> {
    /// A place for a group of that kin: the one that its endpoints are in, when its sets may change there, or a free one.
    fn slot(&mut self, kin: &str, drawing: &Drawing<'_>, addresses: &[IpAddr]) -> String {
        let fits = |name: &&str| {
            name.starts_with(kin)
                && !self.taken.contains(*name)
                && (drawing.only_admits() || drawing.has_sets_in(self.is, name))
        };
        let current = addresses.iter().filter_map(|address| self.current(*address)).find(fits).map(ToOwned::to_owned);
        let slot = current.unwrap_or_else(|| {
            let free = |name: &String| !self.is.chains.contains_key(name.as_str()) && !self.taken.contains(name);
            (0_u64..).map(|number| format!("{kin}{number}")).find(free).unwrap_or_default()
        });
        self.taken.insert(slot.clone());
        slot
    }

    /// The chain that an address leads to now.
    fn current(&self, address: IpAddr) -> Option<&str> {
        let Elements::Fixed(elements) = &self.map?.elements else { return None };
        let key = Key::address(address);
        let found = elements.binary_search_by(|element| element.key.cmp(&key)).ok()?;
        match elements.get(found)?.verdict.as_deref()? {
            Verdict::Jump(chain) => Some(chain),
            _ => None,
        }
    }
}

/// A kind of set without anything beside its keys.
pub const fn plain(key: &'static [Part], keys: Keys) -> SetKind {
    SetKind { key, keys, also: Also::Nothing, room: 0 }
}

/// Puts a set into a table.
pub fn put(table: &mut Table, name: String, kind: SetKind, elements: Vec<Element>) {
    table.sets.insert(name.into(), set(kind, elements));
}

/// Puts a chain into a table.
pub fn chain(table: &mut Table, name: &str, hook: Option<Hook>, rules: Vec<Rule>) {
    table.chains.insert(Name::from(name), Chain { hook, rules });
}

fn singles<'a>(addresses: impl Iterator<Item = &'a IpAddr>, of: Family) -> Vec<Element> {
    let of = addresses.filter(|address| Family::of(**address) == of);
    of.map(|address| Element::single(Key::address(*address))).collect()
}

/// ICMPv6 from `fe80::/10`.
fn icmp6_from_link_local() -> Rule {
    let mut mask = [0; 16];
    let mut value = [0; 16];
    let ([m0, m1, ..], [v0, v1, ..]) = (&mut mask, &mut value);
    (*m0, *m1, *v0, *v1) = (0xff, 0xc0, 0xfe, 0x80);
    icmp6_from(value, mask)
}

fn icmp6_from(value: [u8; 16], mask: [u8; 16]) -> Rule {
    use super::expression::Comparison::Equal;
    let mut rule = icmp6();
    rule.push(Side::Source.load(Family::V6, 0));
    if mask != [255; 16] {
        rule.push(Expression::Bitwise(Register::FIRST, mask.into(), [0; 16].into()));
    }
    rule.push(Expression::Compare(Register::FIRST, Equal, value.into()));
    rule
}
