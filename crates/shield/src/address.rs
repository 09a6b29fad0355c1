//! Sets of networks with longest-prefix match, and the subject number of an address.
//!
//! In: CIDR networks, addresses, the text of a reputation feed. Out: the entry of the longest network that holds an
//! address. Never: names, ports. IPv4 lives as IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2), so one table serves both.

use ipnet::IpNet;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

/// Networks, each with a value; the longest network that holds an address speaks for it.
#[derive(Clone, Debug)]
pub struct AddressSet<T> {
    entries: HashMap<(u8, u128), T>,
    lengths: BTreeSet<u8>,
}

impl<T> Default for AddressSet<T> {
    fn default() -> Self {
        Self { entries: HashMap::new(), lengths: BTreeSet::new() }
    }
}

impl<T> AddressSet<T> {
    /// Enters a network; host bits are ignored. An entry for the same network is replaced and returned.
    pub fn insert(&mut self, network: IpNet, value: T) -> Option<T> {
        let key = key(network);
        self.lengths.insert(key.0);
        self.entries.insert(key, value)
    }

    /// The entry of exactly this network.
    pub fn exact(&self, network: IpNet) -> Option<&T> {
        self.entries.get(&key(network))
    }

    /// The entry of exactly this network, to be changed.
    pub fn exact_mut(&mut self, network: IpNet) -> Option<&mut T> {
        self.entries.get_mut(&key(network))
    }

    /// Takes out exactly this network.
    pub fn remove(&mut self, network: IpNet) -> Option<T> {
        self.entries.remove(&key(network))
    }

    /// All entries whose network holds the address, the longest network first. At most 129 look-ups.
    pub fn holding(&self, address: IpAddr) -> impl Iterator<Item = &T> {
        let number = number(address);
        self.lengths.iter().rev().filter_map(move |length| self.entries.get(&(*length, number & mask(*length))))
    }

    /// The entry of the longest network that holds the address.
    pub fn longest(&self, address: IpAddr) -> Option<&T> {
        self.holding(address).next()
    }

    /// How many networks there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl AddressSet<()> {
    /// Reads a feed: one address or network a line; what follows `#`, `;` or white space is a comment. Returns the set
    /// and the numbers (from 1) of lines that are neither; reading stops with a fault at `limit` entries.
    pub fn read(text: &str, limit: usize) -> (Self, Vec<usize>) {
        let (mut set, mut faults) = (Self::default(), Vec::new());
        for (number, line) in (1..).zip(text.lines()) {
            let entry = line.split(['#', ';']).next().unwrap_or_default();
            let Some(word) = entry.split_whitespace().next() else { continue };
            match network(word) {
                Some(network) if set.len() < limit => _ = set.insert(network, ()),
                _ => faults.push(number),
            }
            if faults.len() >= 100 || set.len() > limit {
                break;
            }
        }
        (set, faults)
    }
}

/// Reads an address or a network in CIDR notation.
pub fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// The number by which limits know an address: the whole of an IPv4 address, the /64 of an IPv6 address (one customer
/// of a provider owns at least that much, so counting single IPv6 addresses would count nothing).
pub fn subject(address: IpAddr) -> u128 {
    match address.to_canonical() {
        address @ IpAddr::V4(_) => number(address),
        address @ IpAddr::V6(_) => number(address) & mask(64),
    }
}

/// The network that stands for one client: the address itself (IPv4) or its /64 (IPv6).
pub fn client_network(address: IpAddr) -> IpNet {
    match address.to_canonical() {
        IpAddr::V4(address) => IpNet::from(IpAddr::V4(address)),
        IpAddr::V6(address) => ipnet::Ipv6Net::new_assert(address, 64).trunc().into(),
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn key(network: IpNet) -> (u8, u128) {
    let length = match network {
        IpNet::V4(network) => network.prefix_len().saturating_add(96),
        IpNet::V6(network) => network.prefix_len(),
    };
    (length, number(network.addr()) & mask(length))
}

fn mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128_u32.saturating_sub(u32::from(length))).unwrap_or(0)
}

#[cfg(test)]
mod tests;
