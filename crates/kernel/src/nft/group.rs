//! A group of rules as chains and sets for one direction and one family.
//!
//! A group is entered by a jump from a verdict map and never comes back: accepting goes on to what is next for the packet
//! (through the shadow chain, when there is one), passing to the next tier, dropping to the chain that tells that reason.
//! Sets of networks never change: they are named by what is in them, and groups with the same networks share them.
//! INVARIANT: who comes back met a chain that was being made, and is dropped. A packet reads the rules of the generation
//! in which it began, but sets and maps as they are: a map may lead it into a chain that is still empty for it.

use super::boxes::{ALL_PORTS, Rectangle, disjoint, ends};
use super::expression::{Expression, Verdict};
use super::rule::{Rule, Side, Telling, address_in, peer_and_port_in, told};
use super::table::{Also, Chain, Element, Elements, Family, Key, Keys, Name, Part, Set, SetKind, Table};
use ringwall_model::{Reason, RuleBook};
use ringwall_packet::DomainPattern;
use ringwall_packet::ruleset::{self, Group, Outcome, Range, Step};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Which way packets go, seen from the endpoints of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From them.
    Egress,
    /// To them.
    Ingress,
}

impl Direction {
    /// Both, in the order in which a packet meets them.
    pub const ALL: [Self; 2] = [Self::Egress, Self::Ingress];

    /// The side of a packet where the endpoint is.
    pub const fn own(self) -> Side {
        match self {
            Self::Egress => Side::Source,
            Self::Ingress => Side::Destination,
        }
    }

    /// The side where its peer is.
    pub const fn peer(self) -> Side {
        match self {
            Self::Egress => Side::Destination,
            Self::Ingress => Side::Source,
        }
    }

    /// What names of its chains and prefixes of its events have.
    pub const fn letter(self) -> char {
        match self {
            Self::Egress => 'e',
            Self::Ingress => 'i',
        }
    }

    /// What happens to a packet that this direction accepts.
    pub fn accepts(self, family: Family) -> Verdict {
        match self {
            Self::Egress => Verdict::Goto(format!("rw_arrive{}", family.digit()).into()),
            Self::Ingress => Verdict::Accept,
        }
    }

    /// The verdict map by addresses.
    pub fn map(self, family: Family) -> String {
        match self {
            Self::Egress => format!("rw_egress{}", family.digit()),
            Self::Ingress => format!("rw_ingress{}", family.digit()),
        }
    }
}

/// What is the same for all groups.
pub struct Surroundings<'a> {
    /// Names of reasons.
    pub book: &'a RuleBook,
    /// How events are told.
    pub telling: Telling,
}

/// A group, drawn but not yet placed: its sets, and its chains but for their names.
pub struct Drawing<'a> {
    direction: Direction,
    family: Family,
    group: &'a Group,
    /// Its own, which may change where it is, by the end of their names.
    sets: BTreeMap<String, Set>,
    /// Those that it may share, by the same, with their whole names.
    shared: BTreeMap<String, (Name, Set)>,
}

/// The set that holds what names are now, for as long as they are good.
pub fn names_set(pattern: &DomainPattern, family: Family) -> String {
    format!("rw_name{}_{:016x}", family.digit(), fnv(pattern.as_str().bytes()))
}

/// The two rows of tiers of a group.
const ENFORCED: char = 't';
const SHADOW: char = 's';

impl<'a> Drawing<'a> {
    /// Draws a group.
    pub fn of(group: &'a Group, direction: Direction, family: Family) -> Self {
        let (mut sets, mut shared) = (BTreeMap::new(), BTreeMap::new());
        let rows = [(ENFORCED, Some(&group.enforced)), (SHADOW, group.shadow.as_ref())];
        for (row, chain) in rows.into_iter().filter_map(|(row, chain)| Some((row, chain?))) {
            for (t, tier) in chain.tiers.iter().enumerate() {
                for (s, step) in tier.steps.iter().enumerate() {
                    step_sets(step, family, &mut |kind, set| {
                        let suffix = set_suffix(row, t, s, kind);
                        match set.kind.keys {
                            Keys::Single => drop(sets.insert(suffix, set)),
                            Keys::Intervals => drop(shared.insert(suffix, (content_name(kind, family, &set), set))),
                        }
                    });
                }
            }
        }
        Self { direction, family, group, sets, shared }
    }

    /// A number that groups with the same chains have in common, whatever is in their own sets, as long as it fits there.
    pub fn shape(&self, around: &Surroundings<'_>) -> u64 {
        let rooms: Vec<_> = self.sets.values().map(|set| set.kind.room).collect();
        let mut number = Fnv::default();
        // It takes whatever is written.
        write!(number, "{:?}{rooms:?}", self.chains("", around, &mut BTreeMap::new())).unwrap_or_default();
        number.0
    }

    fn set_name(&self, prefix: &str, suffix: &str) -> Option<String> {
        let own = || self.sets.contains_key(suffix).then(|| format!("{prefix}{suffix}"));
        self.shared.get(suffix).map(|(name, _)| name.to_string()).or_else(own)
    }

    /// Whether a packet that meets its sets in the middle of a change can at worst be dropped: only then may its sets
    /// change in place.
    pub fn only_admits(&self) -> bool {
        let chain = &self.group.enforced;
        let admits = |step: &Step| step.outcome == Outcome::Accept;
        chain.tiers.len() <= 1
            && matches!(chain.otherwise, ruleset::Verdict::Drop(_))
            && chain.tiers.iter().all(|tier| tier.steps.iter().all(admits))
    }

    /// Whether the sets with that prefix are just these.
    pub fn has_sets_in(&self, table: &Table, prefix: &str) -> bool {
        self.sets.iter().all(|(suffix, set)| table.sets.get(format!("{prefix}{suffix}").as_str()) == Some(set))
    }

    /// Places the group: all names of its own begin with the prefix, which is also the name of the chain to jump to.
    ///
    /// # Errors
    /// The name of a shared set that would have to hold two things: then nothing may be applied.
    pub fn place(self, prefix: &str, around: &Surroundings<'_>, table: &mut Table) -> Result<(), Name> {
        let chains = self.chains(prefix, around, &mut table.chains);
        table.chains.extend(chains);
        table.sets.extend(self.sets.into_iter().map(|(suffix, set)| (format!("{prefix}{suffix}").into(), set)));
        for (name, set) in self.shared.into_values() {
            if table.sets.get(&name).is_some_and(|other| *other != set) {
                return Err(name);
            }
            table.sets.insert(name, set);
        }
        Ok(())
    }

    fn chains(
        &self,
        prefix: &str,
        around: &Surroundings<'_>,
        shared: &mut BTreeMap<Name, Chain>,
    ) -> Vec<(Name, Chain)> {
        let shadow = self.group.shadow.as_ref();
        let accepted = match shadow {
            Some(_) => Verdict::Goto(tier_name(prefix, SHADOW, 0).into()),
            None => self.direction.accepts(self.family),
        };
        let mut deny = |reason, kind| Verdict::Goto(self.deny_chain(reason, kind, around, shared));
        let mut chains = self.row(ENFORCED, &self.group.enforced, prefix, &accepted, &mut |r| deny(r, Kind::Drop));
        if let Some(shadow) = shadow {
            let accepted = self.direction.accepts(self.family);
            chains.extend(self.row(SHADOW, shadow, prefix, &accepted, &mut |r| deny(r, Kind::Tell)));
        }
        chains
    }

    fn row(
        &self,
        row: char,
        chain: &ruleset::Chain,
        prefix: &str,
        accepted: &Verdict,
        deny: &mut dyn FnMut(Reason) -> Verdict,
    ) -> Vec<(Name, Chain)> {
        let mut made = Vec::new();
        for number in 0..chain.tiers.len().max(1) {
            let mut rules = Vec::new();
            let last = number + 1 >= chain.tiers.len();
            let otherwise = match chain.otherwise {
                _ if !last => Verdict::Goto(tier_name(prefix, row, number + 1).into()),
                ruleset::Verdict::Accept => accepted.clone(),
                ruleset::Verdict::Drop(reason) => deny(reason),
            };
            for (s, step) in chain.tiers.get(number).map_or(&[][..], |tier| &tier.steps).iter().enumerate() {
                let verdict = match step.outcome {
                    Outcome::Accept => accepted.clone(),
                    Outcome::Pass => otherwise.clone(),
                    Outcome::Drop(reason) => deny(reason),
                };
                for kind in ['x', 'p', 'n', 'r'] {
                    if let Some(name) = self.set_name(prefix, &set_suffix(row, number, s, kind)) {
                        rules.push(self.step_rule(step, kind, &name, &verdict));
                    }
                }
            }
            rules.push(vec![Expression::Verdict(otherwise)]);
            made.push((tier_name(prefix, row, number).into(), Chain { hook: None, rules }));
        }
        made
    }

    fn step_rule(&self, step: &Step, kind: char, set: &str, verdict: &Verdict) -> Rule {
        let (peer, family) = (self.direction.peer(), self.family);
        // The kernel itself knows when a name is good no more, also when nobody is there who tells it.
        let named = step.named.as_ref().map(|pattern| address_in(&names_set(pattern, family), peer, family));
        let holds = match kind {
            'p' | 'n' => address_in(set, peer, family),
            _ => peer_and_port_in(set, peer, family),
        };
        let verdict = Expression::Verdict(verdict.clone());
        named.into_iter().flatten().chain(holds).chain([verdict]).collect()
    }

    /// The chain that tells a reason; shared by all groups, so it is named by what it tells.
    fn deny_chain(
        &self,
        reason: Reason,
        kind: Kind,
        around: &Surroundings<'_>,
        shared: &mut BTreeMap<Name, Chain>,
    ) -> Name {
        let (letter, verdict) = match kind {
            Kind::Drop => (self.direction.letter(), Verdict::Drop),
            Kind::Tell => (self.direction.letter().to_ascii_uppercase(), self.direction.accepts(self.family)),
        };
        let prefix = event_prefix(letter, &spoken(around.book, reason));
        let digit = self.family.digit();
        let name: Name = format!("rw_deny{digit}_{:016x}", fnv(prefix.bytes())).into();
        shared
            .entry(name.clone())
            .or_insert_with(|| Chain { hook: None, rules: told(around.telling, &prefix, verdict) });
        name
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Drop,
    Tell,
}

/// A reason in words that stay the same when other rules come and go.
pub fn spoken(book: &RuleBook, reason: Reason) -> String {
    match reason {
        Reason::DefaultDeny { .. } => "default deny".into(),
        other => book.render(other),
    }
}

/// A group's set has room for so many at least, so that a few more are not another group.
const LEAST_ROOM: usize = 48;
/// The longest prefix that the kernel takes.
const LONGEST_PREFIX: usize = 127;

/// The prefix of events: a letter for what happened, the reason's own words. What is too long is cut, and ends in a
/// number made of all of it.
pub fn event_prefix(letter: char, words: &str) -> String {
    let whole = format!("rw:{letter}:{words}");
    if whole.len() <= LONGEST_PREFIX {
        return whole;
    }
    let number = format!("~{:016x}", fnv(whole.bytes()));
    let room = whole.floor_char_boundary(LONGEST_PREFIX - number.len());
    format!("{}{number}", whole.get(..room).unwrap_or_default())
}

fn tier_name(prefix: &str, row: char, number: usize) -> String {
    if row == ENFORCED && number == 0 { prefix.to_owned() } else { format!("{prefix}_{row}{number}") }
}

fn set_suffix(row: char, tier: usize, step: usize, kind: char) -> String {
    format!("_{row}{tier}_{step}{kind}")
}

/// A name made of what a set holds.
fn content_name(kind: char, family: Family, set: &Set) -> Name {
    let Elements::Fixed(elements) = &set.elements else { return Name::default() };
    let bytes = elements.iter().flat_map(|one| [Some(one.key), one.last]).flatten();
    let number = fnv(bytes.flat_map(|key| key.bytes().to_vec()));
    format!("rw_{kind}{}_{number:016x}_{}", family.digit(), elements.len()).into()
}

/// Room for so many elements: what a table of a power of two slots holds when three of four are taken. `None`: more than
/// the kernel makes at once, so that a table that grows is used.
pub fn room(count: usize) -> Option<u32> {
    const MOST: u32 = 3 << 20;
    let slots = u32::try_from(count).ok()?.checked_mul(4)?.div_ceil(3).checked_next_power_of_two()?;
    Some(slots.max(4) / 4 * 3).filter(|room| *room <= MOST)
}

/// The sets of a step: `x` peer and port, `p` peer, `n` network, `r` network and ports. Only those that hold something.
fn step_sets(step: &Step, family: Family, to: &mut dyn FnMut(char, Set)) {
    let of = |address: IpAddr| Family::of(address) == family;
    let exact = step.exact.iter().filter(|exact| of(exact.peer));
    let exact = exact.map(|e| Element::single(Key::address(e.peer).and_protocol(e.protocol).and_port(e.port)));
    let peers = step.peers.iter().filter(|peer| of(**peer)).map(|peer| Element::single(Key::address(*peer)));
    let (networks, ranges) = rectangles(&step.ranges, family);
    for (kind, keys, elements) in [
        ('x', Keys::Single, exact.collect()),
        ('p', Keys::Single, peers.collect()),
        ('n', Keys::Intervals, networks),
        ('r', Keys::Intervals, ranges),
    ] {
        let key = match kind {
            'p' | 'n' => address_key(family),
            _ => port_key(family),
        };
        let room = match keys {
            Keys::Single => room(elements.len().max(LEAST_ROOM)).unwrap_or_default(),
            Keys::Intervals => 0,
        };
        if !elements.is_empty() {
            to(kind, set(SetKind { key, keys, also: Also::Nothing, room }, elements));
        }
    }
}

/// A set of elements, in any order and any number of times.
pub fn set(kind: SetKind, elements: Vec<Element>) -> Set {
    let mut elements = elements;
    if !elements.is_sorted_by(|one, other| one < other) {
        elements.sort_unstable();
        elements.dedup_by(|one, other| one.key == other.key);
    }
    Set { kind, elements: Elements::Fixed(Arc::new(elements)) }
}

/// A key of an address alone.
pub const fn address_key(family: Family) -> &'static [Part] {
    match family {
        Family::V4 => &[Part::V4],
        Family::V6 => &[Part::V6],
    }
}

const fn port_key(family: Family) -> &'static [Part] {
    match family {
        Family::V4 => &[Part::V4, Part::Protocol, Part::Port],
        Family::V6 => &[Part::V6, Part::Protocol, Part::Port],
    }
}

/// Elements for whole networks, and for networks with a protocol and ports; none overlaps another of its kind.
fn rectangles(ranges: &[Range], family: Family) -> (Vec<Element>, Vec<Element>) {
    /// Protocols that have ports, for a range that should name one and does not.
    const WITH_PORTS: [u8; 3] = [6, 17, 132];
    let mut networks = Vec::new();
    let mut by_protocol: BTreeMap<u8, Vec<Rectangle>> = BTreeMap::new();
    for range in ranges.iter().filter(|range| Family::of(range.peer.addr()) == family) {
        let rectangle = Rectangle { addresses: ends(&range.peer), ports: range.ports.unwrap_or(ALL_PORTS) };
        match (range.protocol, range.ports) {
            (None, None) => networks.push(rectangle),
            (Some(protocol), _) => by_protocol.entry(protocol).or_default().push(rectangle),
            (None, Some(_)) => {
                for protocol in WITH_PORTS {
                    by_protocol.entry(protocol).or_default().push(rectangle);
                }
            }
        }
    }
    let whole = interval_elements(disjoint(&networks).iter().map(|r| r.addresses), family);
    let mut with_ports = Vec::new();
    for (protocol, rectangles) in by_protocol {
        for rectangle in disjoint(&rectangles) {
            let (first, last) = rectangle.addresses;
            let key = |end: u128, port: u16| Key::address(address(end, family)).and_protocol(protocol).and_port(port);
            with_ports.push(Element::interval(key(first, rectangle.ports.0), key(last, rectangle.ports.1)));
        }
    }
    (whole, with_ports)
}

/// Elements of a set of intervals of addresses.
pub fn interval_elements(intervals: impl Iterator<Item = (u128, u128)>, family: Family) -> Vec<Element> {
    let key = |end: u128| Key::address(address(end, family));
    // A disjoint walk ends at the last number of IPv6; IPv4 ends sooner.
    let last = |end: u128| if family == Family::V4 { end.min(u128::from(u32::MAX)) } else { end };
    intervals.map(|(first, end)| Element::interval(key(first), key(last(end)))).collect()
}

fn address(number: u128, family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        Family::V6 => Ipv6Addr::from_bits(number).into(),
    }
}

/// A number made of bytes (FNV-1a), the same in every process and every release.
pub fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    let mut number = Fnv::default();
    number.add(bytes);
    number.0
}

/// The same, made of pieces.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: impl Iterator<Item = u8>) {
        self.0 = bytes.fold(self.0, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    }
}

impl std::fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.add(text.bytes());
        Ok(())
    }
}
