//! Addresses that are refused before anything else looks at them, and those that never are.
//!
//! In: lists from configuration and feeds (whole, replaced in one transaction), single blocks (one element, with the
//! kernel's own timeout). Out: sets of the table, and the rules that ask them. The allowlist is looked at first: no block
//! reaches an address in it. Blocked networks are in a hash set for each prefix length, so that one more costs the same
//! whatever their number and networks may lie over each other. Start reading at [`Lists`], then [`Blocker`].

use crate::netlink::Error;
use crate::nft::batch::{Batch, Change};
use crate::nft::boxes::{ALL_PORTS, Rectangle, disjoint, ends};
use crate::nft::expression::Verdict;
use crate::nft::group::{address_key, event_prefix, interval_elements, room};
use crate::nft::layout::{RAW, Scope, Settings, chain, plain, put};
use crate::nft::rule::{Rule, Side, Then, address_in, seldom_told, source_network_in, told, version};
use crate::nft::table::{Also, Element, Elements, Family, Hook, Key, Keys, Name, Place, Set, SetKind, Table};
use crate::nft::{Generation, NftBackend, Nftables, read};
use ipnet::IpNet;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lists of addresses that are replaced whole.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    sets: Vec<(String, Set)>,
}

impl Lists {
    /// From networks that are never blocked, and networks that are. Single addresses go where they cost the same
    /// whatever their number; networks are merged and go into intervals.
    pub fn of(allow: &[IpNet], feed: &[IpNet]) -> Self {
        let mut table = Table::default();
        for of in Family::ALL {
            let digit = of.digit();
            let single = |network: &&IpNet| network.prefix_len() == network.max_prefix_len();
            let ours = |list: &'static str, networks: &[IpNet], keys: Keys, which: &dyn Fn(&&IpNet) -> bool| {
                let networks = networks.iter().filter(|n| Family::of(n.addr()) == of).filter(which);
                let elements = match keys {
                    Keys::Single => networks.map(|network| Element::single(Key::address(network.addr()))).collect(),
                    Keys::Intervals => intervals(networks, of),
                };
                let kind = plain(address_key(of), keys);
                match (keys, room(elements.len()).filter(|_| !elements.is_empty())) {
                    // Its name tells the room: another size is another set.
                    (Keys::Single, Some(room)) => (format!("{list}{digit}_{room}"), SetKind { room, ..kind }, elements),
                    _ => (format!("{list}{digit}"), kind, elements),
                }
            };
            for (name, kind, elements) in [
                ours("rw_allow", allow, Keys::Intervals, &|_| true),
                ours("rw_feed", feed, Keys::Single, &single),
                ours("rw_feednet", feed, Keys::Intervals, &|network| !single(network)),
            ] {
                put(&mut table, name, kind, elements);
            }
        }
        Self { sets: table.sets.into_iter().map(|(name, set)| (name.into(), set)).collect() }
    }

    /// Puts the sets into a table, those for single blocks among them, and the rules that ask them.
    pub fn lay_out(&self, screen: &Screen, settings: Settings, table: &mut Table) {
        let empty = if self.sets.is_empty() { Self::of(&[], &[]).sets } else { Vec::new() };
        table.sets.retain(|name, _| !name.starts_with("rw_feed"));
        for (name, set) in self.sets.iter().chain(&empty) {
            table.sets.insert(name.as_str().into(), set.clone());
        }
        let telling = settings.telling;
        let prefix = event_prefix('b', "blocked address");
        chain(table, "rw_blocked", None, told(telling, &prefix, Verdict::Drop));
        let mut early = Vec::new();
        for of in Family::ALL {
            for bits in screen.prefixes(of) {
                let set = Set { kind: block_kind(of), elements: Elements::Living };
                table.sets.insert(block_set(of, bits).into(), set);
            }
            let origin = match settings.scope {
                Scope::Node => Rule::new().goto(&format!("rw_origin{}", of.digit())),
                Scope::Lists => Rule::new().accept(),
            };
            let listed = self.rules(of, screen, &origin, "rw_blocked");
            chain(table, &format!("rw_listed{}", of.digit()), None, listed);
            let rules = self.rules(of, screen, &Rule::new().accept(), "rw_screened");
            early.extend(rules.into_iter().map(|rule| [version(of), rule].concat()));
        }
        let (screened, hooked): (Name, Name) = ("rw_screened".into(), "rw_early".into());
        let links = screen.links.clone();
        if links.is_empty() {
            table.chains.retain(|name, _| *name != screened && *name != hooked);
            return;
        }
        let prefix = event_prefix('b', "blocked address, at its link");
        chain(table, &screened, None, seldom_told(telling, &prefix, Verdict::Drop));
        chain(table, &hooked, Some(Hook { place: Place::Ingress, priority: RAW, links }), early);
    }

    /// Only over what holds something: each look-up costs a packet as much as its dropping. Feeds come before single
    /// blocks, because they are what floods come from.
    fn rules(&self, of: Family, screen: &Screen, allowed: &Rule, blocked: &str) -> Vec<Rule> {
        let digit = of.digit();
        let held = |list: &str| {
            let name = format!("{list}{digit}");
            let is =
                |other: &str| other.strip_prefix(&name).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
            self.sets.iter().find(|(other, set)| is(other) && !is_empty(set))
        };
        let asked =
            |list: &str, then: Rule| held(list).map(|(name, _)| [address_in(name, Side::Source, of), then].concat());
        let drop = || Rule::new().goto(blocked);
        let lists = [asked("rw_allow", allowed.clone()), asked("rw_feed", drop()), asked("rw_feednet", drop())];
        let blocks = screen.prefixes(of).map(|bits| {
            let name = block_set(of, bits);
            let within = match bits == longest(of) {
                true => address_in(&name, Side::Source, of),
                false => source_network_in(&name, bits, of),
            };
            within.goto(blocked)
        });
        lists.into_iter().flatten().chain(blocks).collect()
    }
}

fn is_empty(set: &Set) -> bool {
    matches!(&set.elements, Elements::Fixed(elements) if elements.is_empty())
}

/// Where lists are asked beside the usual place, and the lengths of the networks that may be blocked.
#[derive(Clone, Debug, Default)]
pub struct Screen {
    links: Vec<Name>,
    prefixes: BTreeSet<(Family, u8)>,
}

impl Screen {
    /// With place for networks of the lengths that a table has place for.
    pub fn of(table: &Table) -> Self {
        let known = |(of, bits): &(Family, u8)| table.sets.contains_key(block_set(*of, *bits).as_str());
        let all = Family::ALL.into_iter().flat_map(|of| (0..longest(of)).map(move |bits| (of, bits)));
        Self { links: Vec::new(), prefixes: all.filter(known).collect() }
    }

    /// Asks the lists already at these links of the machine, where a drop costs least.
    pub fn set_links(&mut self, links: &[&str]) {
        self.links = links.iter().map(|link| Name::from(*link)).collect();
        self.links.sort_unstable();
        self.links.dedup();
    }

    /// Makes place for networks of a length; whether there was none.
    pub fn make_place(&mut self, network: &IpNet) -> bool {
        let (of, bits) = (Family::of(network.addr()), network.prefix_len());
        bits < longest(of) && self.prefixes.insert((of, bits))
    }

    /// Lengths of what may be blocked, single addresses first.
    fn prefixes(&self, of: Family) -> impl Iterator<Item = u8> {
        let networks = self.prefixes.iter().filter(move |(family, _)| *family == of);
        std::iter::once(longest(of)).chain(networks.map(|(_, bits)| *bits).rev())
    }
}

const fn longest(of: Family) -> u8 {
    match of {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}

fn intervals<'a>(networks: impl Iterator<Item = &'a IpNet>, of: Family) -> Vec<Element> {
    let all: Vec<_> = networks.map(|network| Rectangle { addresses: ends(network), ports: ALL_PORTS }).collect();
    interval_elements(disjoint(&all).iter().map(|rectangle| rectangle.addresses), of)
}

/// The set for blocked networks of a length: `rw_block4` for addresses, `rw_block4_24` for networks.
fn block_set(of: Family, bits: u8) -> String {
    let digit = of.digit();
    if bits == longest(of) { format!("rw_block{digit}") } else { format!("rw_block{digit}_{bits}") }
}

const fn block_kind(of: Family) -> SetKind {
    SetKind { key: address_key(of), keys: Keys::Single, also: Also::Timeouts, room: 0 }
}

/// Adds and takes away single blocks over a socket that is kept open. It has its own, so that a block never waits for
/// the reading of a large ruleset. [`crate::apply::Firewall::blocker`] makes it.
#[derive(Debug)]
pub struct Blocker {
    nftables: Nftables,
    ledger: Ledger,
}

/// Blocks that were asked for, so that a table which somebody took away comes back with them.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<HashMap<IpNet, Option<Instant>>>>);

impl Ledger {
    /// Enters a block; `None`: until it is taken away.
    pub fn enter(&self, network: IpNet, until: Option<Instant>) {
        let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if blocks.len() >= SWEEP && blocks.len().is_power_of_two() {
            let now = Instant::now();
            blocks.retain(|_, until| until.is_none_or(|until| until > now));
        }
        blocks.insert(network, until);
    }

    fn remove(&self, network: IpNet) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&network);
    }

    /// Blocks that have not ended, with what remains of each.
    pub fn remaining(&self) -> Vec<Block> {
        let now = Instant::now();
        let blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lasting = blocks.iter().filter_map(|(network, until)| match until {
            None => Some(Block { network: *network, remaining: None }),
            Some(until) => {
                let remaining = until.checked_duration_since(now).filter(|lasts| !lasts.is_zero())?;
                Some(Block { network: *network, remaining: Some(remaining) })
            }
        });
        lasting.collect()
    }
}

/// From so many blocks on, ended ones are looked for and forgotten.
const SWEEP: usize = 1 << 12;

/// A block as the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Block {
    /// Who is blocked: an address, or a network.
    pub network: IpNet,
    /// How long yet; `None`: until it is taken away.
    pub remaining: Option<Duration>,
}

impl Blocker {
    pub(crate) fn new(nftables: Nftables, ledger: Ledger) -> Self {
        Self { nftables, ledger }
    }

    /// The number by which the kernel names its socket in events.
    pub fn port(&self) -> u32 {
        self.nftables.port()
    }

    /// Blocks an address or a network, for a while or until it is taken away; a block that is there is replaced.
    /// Networks of a length need a place: [`crate::apply::Firewall::make_place`].
    ///
    /// # Errors
    /// What the kernel refused; what was in force stays.
    pub fn block(&mut self, network: impl Into<IpNet>, lasts: Option<Duration>) -> Result<(), Error> {
        let network = network.into().trunc();
        let mut batch = Batch::default();
        add(&mut batch, &[Block { network, remaining: lasts }]);
        match self.nftables.commit(&batch, Generation::Any) {
            // The element is there with another timeout, which only a new element changes on every kernel.
            Err(error) if error.is_refusal(libc::EEXIST) => self.replace(network, lasts)?,
            done => done?,
        }
        self.ledger.enter(network, lasts.and_then(|lasts| Instant::now().checked_add(lasts)));
        Ok(())
    }

    /// Takes a block away; whether there was one.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn unblock(&mut self, network: impl Into<IpNet>) -> Result<Unblocked, Error> {
        let network = network.into().trunc();
        let mut batch = Batch::default();
        remove(&mut batch, network);
        self.ledger.remove(network);
        match self.nftables.commit(&batch, Generation::Any) {
            Err(error) if error.is_refusal(libc::ENOENT) => Ok(Unblocked::WasNone),
            done => done.map(|()| Unblocked::Gone),
        }
    }

    /// All blocks that are in force, sorted.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn blocks(&mut self) -> Result<Vec<Block>, Error> {
        in_force(&mut self.nftables)
    }

    fn replace(&mut self, network: IpNet, lasts: Option<Duration>) -> Result<(), Error> {
        let mut batch = Batch::default();
        remove(&mut batch, network);
        add(&mut batch, &[Block { network, remaining: lasts }]);
        match self.nftables.commit(&batch, Generation::Any) {
            // It ended by itself between the two.
            Err(error) if error.is_refusal(libc::ENOENT) => {
                let mut batch = Batch::default();
                add(&mut batch, &[Block { network, remaining: lasts }]);
                self.nftables.commit(&batch, Generation::Any)
            }
            done => done,
        }
    }
}

/// All blocks that are in force, sorted.
///
/// # Errors
/// When the kernel does not say.
pub fn in_force(nftables: &mut Nftables) -> Result<Vec<Block>, Error> {
    let mut blocks = Vec::new();
    let screen = Screen::of(&nftables.table(&|_| false)?);
    for (of, bits) in Family::ALL.into_iter().flat_map(|of| screen.prefixes(of).map(move |bits| (of, bits))) {
        for told in read::told_elements(nftables.socket(), &block_set(of, bits))? {
            let remaining = told.expires.map(Duration::from_millis);
            let network = told.element.key.as_address().and_then(|address| IpNet::new(address, bits).ok());
            blocks.extend(network.map(|network| Block { network, remaining }));
        }
    }
    blocks.sort_unstable();
    Ok(blocks)
}

/// What became of a block that should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unblocked {
    /// It is gone.
    Gone,
    /// There was none.
    WasNone,
}

/// Puts blocks into a batch, whose table has place for them.
pub fn add(batch: &mut Batch, blocks: &[Block]) {
    let places: BTreeSet<_> = blocks.iter().map(|block| place(&block.network)).collect();
    for (of, bits) in places {
        let ours = blocks.iter().filter(|block| place(&block.network) == (of, bits));
        let elements: Vec<_> =
            ours.map(|block| (Element::single(Key::address(block.network.addr())), milliseconds(block))).collect();
        let elements = elements.iter().map(|(element, timeout)| (element, *timeout));
        batch.timed_elements(&block_set(of, bits), &block_kind(of), Change::AddNew, elements);
    }
}

/// The set that holds a block.
pub fn set_of(network: &IpNet) -> String {
    let (of, bits) = place(network);
    block_set(of, bits)
}

fn place(network: &IpNet) -> (Family, u8) {
    (Family::of(network.addr()), network.prefix_len())
}

fn remove(batch: &mut Batch, network: IpNet) {
    let (of, bits) = place(&network);
    let element = Element::single(Key::address(network.addr()));
    batch.timed_elements(&block_set(of, bits), &block_kind(of), Change::Delete, std::iter::once((&element, None)));
}

/// The kernel takes milliseconds and counts ticks, and none would be for ever.
fn milliseconds(block: &Block) -> Option<u64> {
    block.remaining.map(|lasts| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX).clamp(TICK, LONGEST))
}

/// The longest tick of a kernel, in milliseconds.
pub(crate) const TICK: u64 = 10;
/// A year in milliseconds, which every kernel can count.
pub(crate) const LONGEST: u64 = 365 * 24 * 3600 * 1000;
