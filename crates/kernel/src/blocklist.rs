//! Addresses that are refused before anything else looks at them, and those that never are.
//!
//! In: lists from configuration and feeds (whole, replaced in one transaction), single blocks (one element, with the
//! kernel's own timeout). Out: sets of the table. The allowlist is looked at first: no block reaches an address in it.
//! Start reading at [`Lists`], then [`Blocker`].

use crate::netlink::Error;
use crate::nft::batch::{Batch, Change};
use crate::nft::boxes::{ALL_PORTS, Rectangle, disjoint, ends};
use crate::nft::group::{address_key, interval_elements};
use crate::nft::layout::{plain, put};
use crate::nft::table::{Also, Element, Elements, Family, Key, Keys, Set, SetKind, Table};
use crate::nft::{Generation, NftBackend, Nftables, read};
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::IpAddr;
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
                (format!("{list}{digit}"), plain(address_key(of), keys), elements)
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

    /// Puts the sets into a table, the one for single blocks among them.
    pub fn lay_out(&self, table: &mut Table) {
        let empty = if self.sets.is_empty() { Self::of(&[], &[]).sets } else { Vec::new() };
        for (name, set) in self.sets.iter().chain(&empty) {
            table.sets.insert(name.as_str().into(), set.clone());
        }
        for of in Family::ALL {
            table.sets.insert(block_set(of).into(), Set { kind: block_kind(of), elements: Elements::Living });
        }
    }
}

fn intervals<'a>(networks: impl Iterator<Item = &'a IpNet>, of: Family) -> Vec<Element> {
    let all: Vec<_> = networks.map(|network| Rectangle { addresses: ends(network), ports: ALL_PORTS }).collect();
    interval_elements(disjoint(&all).iter().map(|rectangle| rectangle.addresses), of)
}

const fn block_set(of: Family) -> &'static str {
    match of {
        Family::V4 => "rw_block4",
        Family::V6 => "rw_block6",
    }
}

const fn block_kind(of: Family) -> SetKind {
    SetKind { key: address_key(of), keys: Keys::Single, also: Also::Timeouts }
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
pub struct Ledger(Arc<Mutex<HashMap<IpAddr, Option<Instant>>>>);

impl Ledger {
    /// Enters a block; `None`: until it is taken away.
    pub fn enter(&self, address: IpAddr, until: Option<Instant>) {
        let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if blocks.len() >= SWEEP && blocks.len().is_power_of_two() {
            let now = Instant::now();
            blocks.retain(|_, until| until.is_none_or(|until| until > now));
        }
        blocks.insert(address, until);
    }

    fn remove(&self, address: IpAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&address);
    }

    /// Blocks that have not ended, with what remains of each.
    pub fn remaining(&self) -> Vec<Block> {
        let now = Instant::now();
        let blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lasting = blocks.iter().filter_map(|(address, until)| match until {
            None => Some(Block { address: *address, remaining: None }),
            Some(until) => {
                let remaining = until.checked_duration_since(now).filter(|lasts| !lasts.is_zero())?;
                Some(Block { address: *address, remaining: Some(remaining) })
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
    /// Who is blocked.
    pub address: IpAddr,
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

    /// Blocks an address, for a while or until it is taken away; a block that is there is replaced.
    ///
    /// # Errors
    /// What the kernel refused; what was in force stays.
    pub fn block(&mut self, address: IpAddr, lasts: Option<Duration>) -> Result<(), Error> {
        let mut batch = Batch::default();
        add(&mut batch, &[Block { address, remaining: lasts }]);
        match self.nftables.commit(&batch, Generation::Any) {
            // The element is there with another timeout, which only a new element changes on every kernel.
            Err(error) if error.is_refusal(libc::EEXIST) => self.replace(address, lasts)?,
            done => done?,
        }
        self.ledger.enter(address, lasts.and_then(|lasts| Instant::now().checked_add(lasts)));
        Ok(())
    }

    /// Takes a block away; whether there was one.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn unblock(&mut self, address: IpAddr) -> Result<Unblocked, Error> {
        let mut batch = Batch::default();
        remove(&mut batch, address);
        self.ledger.remove(address);
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

    fn replace(&mut self, address: IpAddr, lasts: Option<Duration>) -> Result<(), Error> {
        let mut batch = Batch::default();
        remove(&mut batch, address);
        add(&mut batch, &[Block { address, remaining: lasts }]);
        match self.nftables.commit(&batch, Generation::Any) {
            // It ended by itself between the two.
            Err(error) if error.is_refusal(libc::ENOENT) => {
                let mut batch = Batch::default();
                add(&mut batch, &[Block { address, remaining: lasts }]);
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
    for of in Family::ALL {
        for told in read::told_elements(nftables.socket(), block_set(of))? {
            let remaining = told.expires.map(Duration::from_millis);
            blocks.extend(told.element.key.as_address().map(|address| Block { address, remaining }));
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

/// Puts blocks into a batch.
pub fn add(batch: &mut Batch, blocks: &[Block]) {
    for of in Family::ALL {
        let ours = blocks.iter().filter(|block| Family::of(block.address) == of);
        let elements: Vec<_> =
            ours.map(|block| (Element::single(Key::address(block.address)), milliseconds(block))).collect();
        let elements = elements.iter().map(|(element, timeout)| (element, *timeout));
        batch.timed_elements(block_set(of), &block_kind(of), Change::AddNew, elements);
    }
}

fn remove(batch: &mut Batch, address: IpAddr) {
    let of = Family::of(address);
    let element = Element::single(Key::address(address));
    batch.timed_elements(block_set(of), &block_kind(of), Change::Delete, std::iter::once((&element, None)));
}

/// The kernel counts in milliseconds, and none would be for ever.
fn milliseconds(block: &Block) -> Option<u64> {
    block.remaining.map(|lasts| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX).clamp(1, LONGEST))
}

/// A year, which every kernel can count.
const LONGEST: u64 = 365 * 24 * 3600 * 1000;
