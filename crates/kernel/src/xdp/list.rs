//! Who is blocked and who is allowed. Single addresses are in hash tables, networks in tries: a large list of addresses
//! costs the same a packet as a small one.

use super::{Xdp, limit::Use};
use crate::bpf::{self, BpfError};
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{HashMap, MapData, MapError};
use ipnet::{IpNet, Ipv4Net};
use ringwall_model::RuleId;
use std::time::Duration;

/// Until when on the monotonic clock (0: for ever), and the rule.
type Block = [u64; 2];

pub(super) struct Lists {
    block4: HashMap<MapData, [u8; 4], Block>,
    block6: HashMap<MapData, [u8; 16], Block>,
    network4: LpmTrie<MapData, [u8; 4], Block>,
    network6: LpmTrie<MapData, [u8; 16], Block>,
    allow4: LpmTrie<MapData, [u8; 4], u64>,
    allow6: LpmTrie<MapData, [u8; 16], u64>,
}

impl Lists {
    pub(super) fn take(ebpf: &mut aya::Ebpf) -> Result<Self, BpfError> {
        Ok(Self {
            block4: bpf::map(ebpf, "block4")?,
            block6: bpf::map(ebpf, "block6")?,
            network4: bpf::map(ebpf, "network4")?,
            network6: bpf::map(ebpf, "network6")?,
            allow4: bpf::map(ebpf, "allow4")?,
            allow6: bpf::map(ebpf, "allow6")?,
        })
    }
}

/// Whether an entry was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is gone now.
    Now,
    /// There was none.
    WasNotThere,
}

impl Xdp {
    /// Blocks an address or a network; an earlier block of the same gets the new time and rule. `life`: `None` for ever.
    ///
    /// # Errors
    /// [`BpfError::Full`]: the list is full after what has expired was removed.
    pub fn block(&mut self, what: IpNet, life: Option<Duration>, rule: RuleId) -> Result<(), BpfError> {
        let until = life.map_or(0, |life| bpf::nanoseconds(bpf::now().saturating_add(life)));
        let entry = [until, u64::from(rule.0)];
        match self.enter(what, entry) {
            Err(BpfError::Full(_)) => {
                self.sweep()?;
                self.enter(what, entry)
            }
            done => done,
        }
    }

    fn enter(&mut self, what: IpNet, entry: Block) -> Result<(), BpfError> {
        let lists = &mut self.lists;
        let (name, done) = match Place::of(what) {
            Place::Address4(key) => ("block4", lists.block4.insert(key, entry, 0)),
            Place::Address6(key) => ("block6", lists.block6.insert(key, entry, 0)),
            Place::Network4(key) => ("network4", lists.network4.insert(&key, entry, 0)),
            Place::Network6(key) => ("network6", lists.network6.insert(&key, entry, 0)),
        };
        done.map_err(|error| BpfError::map(name, &error))?;
        // ORDER: the program looks into the tries only after there is something in them.
        match name {
            "network4" | "network6" if self.words[0] & Use::Networks as u64 == 0 => {
                self.switch(Use::Networks, Some(Use::Networks))
            }
            _ => Ok(()),
        }
    }

    /// Ends a block of exactly this address or network.
    ///
    /// # Errors
    /// When the map cannot be written.
    pub fn unblock(&mut self, what: IpNet) -> Result<Removed, BpfError> {
        let lists = &mut self.lists;
        match Place::of(what) {
            Place::Address4(key) => removed("block4", lists.block4.remove(&key)),
            Place::Address6(key) => removed("block6", lists.block6.remove(&key)),
            Place::Network4(key) => removed("network4", lists.network4.remove(&key)),
            Place::Network6(key) => removed("network6", lists.network6.remove(&key)),
        }
    }

    /// Allows an address or a network: no block and no limit touches it.
    ///
    /// # Errors
    /// [`BpfError::Full`].
    pub fn allow(&mut self, what: IpNet) -> Result<(), BpfError> {
        let done = match Trie::of(what) {
            Trie::Four(key) => self.lists.allow4.insert(&key, 1, 0),
            Trie::Six(key) => self.lists.allow6.insert(&key, 1, 0),
        };
        done.map_err(|error| BpfError::map("allow", &error))?;
        self.switch(Use::Allow, Some(Use::Allow))
    }

    /// Takes an allowance of exactly this address or network back.
    ///
    /// # Errors
    /// When the map cannot be written.
    pub fn disallow(&mut self, what: IpNet) -> Result<Removed, BpfError> {
        match Trie::of(what) {
            Trie::Four(key) => removed("allow4", self.lists.allow4.remove(&key)),
            Trie::Six(key) => removed("allow6", self.lists.allow6.remove(&key)),
        }
    }

    /// Removes the blocks whose time is over, and says how many. They stopped nothing any more; this frees their place.
    ///
    /// # Errors
    /// When a map cannot be read or written.
    pub fn sweep(&mut self) -> Result<usize, BpfError> {
        let now = bpf::nanoseconds(bpf::now());
        let over = |entry: &Block| entry[0] != 0 && entry[0] <= now;
        let mut swept = 0;
        macro_rules! sweep {
            ($map:ident) => {
                let keys: Vec<_> = self.lists.$map.iter().flatten().filter(|(_, entry)| over(entry)).collect();
                for (key, _) in keys {
                    if removed(stringify!($map), self.lists.$map.remove(&key))? == Removed::Now {
                        swept += 1;
                    }
                }
            };
        }
        sweep!(block4);
        sweep!(block6);
        sweep!(network4);
        sweep!(network6);
        Ok(swept)
    }
}

fn removed(name: &'static str, done: Result<(), MapError>) -> Result<Removed, BpfError> {
    match done {
        Ok(()) => Ok(Removed::Now),
        Err(MapError::KeyNotFound) => Ok(Removed::WasNotThere),
        Err(MapError::SyscallError(error)) if error.io_error.kind() == std::io::ErrorKind::NotFound => {
            Ok(Removed::WasNotThere)
        }
        Err(error) => Err(BpfError::map(name, &error)),
    }
}

/// The key in a trie; an IPv4 address in IPv6 clothes is an IPv4 address.
enum Trie {
    Four(Key<[u8; 4]>),
    Six(Key<[u8; 16]>),
}

impl Trie {
    fn of(what: IpNet) -> Self {
        let net = match what.trunc() {
            IpNet::V6(net) if net.prefix_len() >= 96 => net
                .network()
                .to_ipv4_mapped()
                .and_then(|address| Ipv4Net::new(address, net.prefix_len() - 96).ok())
                .map_or(IpNet::V6(net), IpNet::V4),
            net => net,
        };
        match net {
            IpNet::V4(net) => Self::Four(Key::new(net.prefix_len().into(), net.network().octets())),
            IpNet::V6(net) => Self::Six(Key::new(net.prefix_len().into(), net.network().octets())),
        }
    }
}

/// The list that an address or a network belongs to, and its key.
enum Place {
    Address4([u8; 4]),
    Address6([u8; 16]),
    Network4(Key<[u8; 4]>),
    Network6(Key<[u8; 16]>),
}

impl Place {
    fn of(what: IpNet) -> Self {
        match Trie::of(what) {
            Trie::Four(key) if key.prefix_len() == 32 => Self::Address4(key.data()),
            Trie::Six(key) if key.prefix_len() == 128 => Self::Address6(key.data()),
            Trie::Four(key) => Self::Network4(key),
            Trie::Six(key) => Self::Network6(key),
        }
    }
}
