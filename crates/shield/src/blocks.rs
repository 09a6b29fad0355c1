//! Blocks: who is kept out for a while, by address, identity, user, tenant or token.
//!
//! In: blocks set by people, alerts or feeds. Out: the strongest block that holds a call, and all blocks as plain data,
//! so that the shell can write them to a file and they survive a restart. Never: the clock, files.
//! Allowlists live in the policy and are judged first; see `judge`.

use crate::AddressSet;
use ipnet::IpNet;
use ringwall_model::{Builtin, Millis, SpiffeId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The blocks of one process. They outlive a World.
#[derive(Debug)]
pub struct Blocks {
    capacity: usize,
    table: RwLock<Table>,
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Its number; [`Blocks::add`] gives it.
    pub id: BlockId,
    /// Who is blocked.
    pub subject: Subject,
    /// What happens to calls.
    pub action: Action,
    /// Since when.
    pub created: Timestamp,
    /// Until when.
    pub until: Until,
    /// Who set it.
    pub origin: Origin,
    /// Why, for people.
    pub reason: Box<str>,
}

/// Number of a block; never used twice in a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlockId(pub u64);

/// Who is blocked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A network of client addresses. A single IPv6 address that is blocked by a machine becomes its /64.
    Address(IpNet),
    /// A SPIFFE ID.
    Identity(Box<str>),
    /// A verified user.
    User(Box<str>),
    /// A verified tenant.
    Tenant(Box<str>),
    /// A token, by its `jti`.
    Token(Box<str>),
}

impl Subject {
    /// The built-in rule that a refusal for this subject names.
    pub const fn rule(&self) -> Builtin {
        match self {
            Self::Address(_) => "shield/blocked-address",
            Self::Identity(_) => "shield/blocked-identity",
            Self::User(_) => "shield/blocked-user",
            Self::Tenant(_) => "shield/blocked-tenant",
            Self::Token(_) => "shield/blocked-token",
        }
    }
}

/// What happens to the calls of a blocked subject, weakest first: of several blocks the strongest acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Each call waits so long.
    Delay(Millis),
    /// Each call is refused.
    Refuse,
    /// The connection is dropped without a word.
    Drop,
}

/// When a block ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Until {
    /// Then.
    At(Timestamp),
    /// When a person lifts it; only people may set such a block.
    Lifted,
}

impl Until {
    fn holds(self, now: Timestamp) -> bool {
        match self {
            Self::At(end) => now < end,
            Self::Lifted => true,
        }
    }
}

/// Who set a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A person, by name. Such a block holds even an address on an allowlist.
    Person(Box<str>),
    /// An alert, by name. An allowlist passes such a block.
    Alert(Box<str>),
    /// A feed, by name. An allowlist passes such a block.
    Feed(Box<str>),
}

/// Why a block was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBlock {
    /// Only a person may set a block without an end.
    #[error("only a person may set a block without an end")]
    Endless,
    /// A machine may not block networks wider than /24 (IPv4) or /48 (IPv6).
    #[error("a network this wide is blocked only by a person")]
    TooWide,
    /// It has already ended.
    #[error("the block has already ended")]
    Ended,
    /// As many blocks are held as there is room for.
    #[error("no room for another block")]
    Full,
}

/// What a call is known by; each part is judged on its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// Its client address.
    pub address: Option<IpAddr>,
    /// The verified identity of its peer.
    pub identity: Option<&'a SpiffeId>,
    /// Its verified user.
    pub user: Option<&'a str>,
    /// Its verified tenant.
    pub tenant: Option<&'a str>,
    /// The `jti` of its verified token.
    pub token: Option<&'a str>,
}

impl Blocks {
    /// Room for so many blocks.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, table: RwLock::new(Table::default()) }
    }

    /// Sets a block and returns its number; `block.id` is not looked at. One subject may be held by several blocks.
    ///
    /// # Errors
    /// [`BadBlock`] says which rule for blocks it breaks.
    pub fn add(&self, mut block: Block, now: Timestamp) -> Result<BlockId, BadBlock> {
        accept(&mut block, now)?;
        let mut table = self.write();
        table.sweep(now);
        if table.by_id.len() >= self.capacity {
            return Err(BadBlock::Full);
        }
        table.last = BlockId(table.last.0 + 1);
        block.id = table.last;
        let id = block.id;
        table.enter(block);
        Ok(id)
    }

    /// Lifts a block before its end; `None` when there is none of that number.
    pub fn lift(&self, id: BlockId) -> Option<Block> {
        self.write().remove(id)
    }

    /// Takes out blocks that have ended and returns them.
    pub fn sweep(&self, now: Timestamp) -> Vec<Block> {
        self.write().sweep(now)
    }

    /// All blocks that still hold, by number: what the shell writes to its file and shows to people.
    pub fn list(&self, now: Timestamp) -> Vec<Block> {
        self.read().by_id.values().filter(|block| block.until.holds(now)).cloned().collect()
    }

    /// Takes back what [`Blocks::list`] gave before a restart, with the same numbers. Ended blocks are left out.
    pub fn restore(&self, blocks: Vec<Block>, now: Timestamp) {
        let mut table = self.write();
        for block in blocks.into_iter().filter(|block| block.until.holds(now)).take(self.capacity) {
            table.last = table.last.max(block.id);
            table.remove(block.id);
            table.enter(block);
        }
    }

    /// Counts up with every change, so that the data plane knows when to judge live connections again.
    pub fn epoch(&self) -> u64 {
        self.read().epoch
    }

    /// The block that acts on a call: the strongest, then of the longest network, then the one that ends last.
    /// `automatic` says whether blocks set by machines count: not for an address on an allowlist.
    pub fn acting(&self, known: &Known<'_>, automatic: Automatic, now: Timestamp) -> Option<Block> {
        let table = self.read();
        let mut best: Option<&Block> = None;
        for id in table.holding(known) {
            let Some(block) = table.by_id.get(&id) else { continue };
            let by_person = matches!(block.origin, Origin::Person(_));
            let counts = block.until.holds(now) && (by_person || automatic == Automatic::Count);
            // Longest networks come first, so that only a stronger block may take the place of an earlier one.
            if counts && best.is_none_or(|best| block.action > best.action) {
                best = Some(block);
            }
        }
        best.cloned()
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether blocks set by machines act on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Automatic {
    /// They do.
    Count,
    /// They do not: the address is on an allowlist.
    Ignore,
}

/// INVARIANT: `by_id`, `addresses` and `others` hold the same blocks; only `enter` and `remove` change them.
#[derive(Debug, Default)]
struct Table {
    by_id: BTreeMap<BlockId, Block>,
    addresses: AddressSet<BTreeSet<BlockId>>,
    others: BTreeMap<Subject, BTreeSet<BlockId>>,
    ends: BTreeSet<(Timestamp, BlockId)>,
    last: BlockId,
    epoch: u64,
}

impl Table {
    fn holding(&self, known: &Known<'_>) -> Vec<BlockId> {
        let addresses = known.address.map(|address| self.addresses.holding(address)).into_iter().flatten();
        let others = [
            known.identity.map(|id| Subject::Identity(id.as_str().into())),
            known.user.map(|user| Subject::User(user.into())),
            known.tenant.map(|tenant| Subject::Tenant(tenant.into())),
            known.token.map(|token| Subject::Token(token.into())),
        ];
        let others = others.iter().flatten().filter_map(|subject| self.others.get(subject));
        addresses.chain(others).flatten().copied().collect()
    }

    fn enter(&mut self, block: Block) {
        self.epoch += 1;
        if let Until::At(end) = block.until {
            self.ends.insert((end, block.id));
        }
        match &block.subject {
            Subject::Address(network) => match self.addresses.exact_mut(*network) {
                Some(ids) => _ = ids.insert(block.id),
                None => _ = self.addresses.insert(*network, BTreeSet::from([block.id])),
            },
            subject => _ = self.others.entry(subject.clone()).or_default().insert(block.id),
        }
        self.by_id.insert(block.id, block);
    }

    fn remove(&mut self, id: BlockId) -> Option<Block> {
        let block = self.by_id.remove(&id)?;
        self.epoch += 1;
        if let Until::At(end) = block.until {
            self.ends.remove(&(end, id));
        }
        let empty = |ids: &mut BTreeSet<BlockId>| {
            ids.remove(&id);
            ids.is_empty()
        };
        match &block.subject {
            Subject::Address(network) => {
                if self.addresses.exact_mut(*network).is_some_and(empty) {
                    self.addresses.remove(*network);
                }
            }
            subject => {
                if self.others.get_mut(subject).is_some_and(empty) {
                    self.others.remove(subject);
                }
            }
        }
        Some(block)
    }

    fn sweep(&mut self, now: Timestamp) -> Vec<Block> {
        let ended: Vec<BlockId> = self.ends.range(..=(now, BlockId(u64::MAX))).map(|(_, id)| *id).collect();
        ended.into_iter().filter_map(|id| self.remove(id)).collect()
    }
}

/// Holds a new block to the rules for blocks; a machine's block of one IPv6 address becomes one of its /64.
fn accept(block: &mut Block, now: Timestamp) -> Result<(), BadBlock> {
    if !block.until.holds(now) {
        return Err(BadBlock::Ended);
    }
    if matches!(block.origin, Origin::Person(_)) {
        return Ok(());
    }
    if block.until == Until::Lifted {
        return Err(BadBlock::Endless);
    }
    match &mut block.subject {
        Subject::Address(IpNet::V4(network)) if network.prefix_len() < 24 => Err(BadBlock::TooWide),
        Subject::Address(IpNet::V6(network)) if network.prefix_len() < 48 => Err(BadBlock::TooWide),
        Subject::Address(network @ IpNet::V6(_)) if network.prefix_len() > 64 => {
            *network = crate::address::client_network(network.addr());
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
