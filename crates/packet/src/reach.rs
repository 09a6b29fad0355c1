//! Who can reach whom, for all endpoints at once.
//!
//! In: the ground, the addresses that names have now. Out: a [`Matrix`] that answers for any two addresses of endpoints
//! what [`Ground::judge`] says of them (a law in the tests). Made of the compiled ruleset: for each group, the peers that
//! it accepts, as bits, for each stretch of ports on which it says the same.

mod bits;
mod row;

use crate::compile::{Share, compile};
use crate::endpoint::EndpointId;
use crate::ground::Ground;
use crate::names::Names;
use row::{Peers, Row};
use std::collections::HashMap;
use std::net::IpAddr;

/// All addresses of endpoints against each other.
#[derive(Clone, Debug, Default)]
pub struct Matrix {
    ends: Vec<End>,
    by_address: HashMap<IpAddr, usize>,
    rows: Vec<Row>,
}

/// One address of one endpoint.
#[derive(Clone, Debug)]
struct End {
    address: IpAddr,
    endpoint: EndpointId,
    node: Vec<IpAddr>,
    egress: Option<u32>,
    ingress: Option<u32>,
}

/// Destination ports of one protocol, first and last inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stretch {
    /// IP protocol number.
    pub protocol: u8,
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
}

impl Matrix {
    /// Compiles everything and gathers what every group accepts.
    pub fn of(ground: &Ground, names: &Names) -> Self {
        let share = Share::of_all(ground);
        let ruleset = compile(ground, names, &share);
        let on_own = share.locals.iter().filter(|local| ground.identity(local.endpoint).is_some());
        let mut ends = Vec::new();
        for (local, compiled) in on_own.zip(&ruleset.endpoints) {
            let Some(endpoint) = ground.endpoints().get(local.endpoint) else { continue };
            let node = ground.endpoints().nodes().get(&endpoint.node);
            ends.extend(compiled.addresses.iter().map(|address| End {
                address: *address,
                endpoint: local.endpoint,
                node: node.map_or_else(Vec::new, |node| node.addresses.clone()),
                egress: compiled.egress.map(|group| group.0),
                ingress: compiled.ingress.map(|group| group.0),
            }));
        }
        let addresses: Vec<IpAddr> = ends.iter().map(|end| end.address).collect();
        let mut peers = Peers::of(&addresses);
        let rows = ruleset.groups.iter().map(|group| Row::of(&group.enforced, &mut peers)).collect();
        let by_address = addresses.iter().enumerate().map(|(index, address)| (*address, index)).collect();
        Self { ends, by_address, rows }
    }

    /// Whether an endpoint's address reaches another one's; `None` when one of them is no endpoint's.
    pub fn reaches(&self, source: IpAddr, destination: IpAddr, protocol: u8, port: u16) -> Option<bool> {
        let (from, to) = (*self.by_address.get(&source)?, *self.by_address.get(&destination)?);
        let (source, destination) = (self.ends.get(from)?, self.ends.get(to)?);
        if source.endpoint == destination.endpoint || is_near(source, destination) {
            return Some(true);
        }
        let accepts = |row: Option<u32>, peer: usize| match row.map(|row| self.rows.get(row as usize)) {
            None => true,
            Some(row) => row.is_some_and(|row| row.at(protocol, port).has(peer)),
        };
        Some(accepts(source.egress, to) && accepts(destination.ingress, from))
    }

    /// How many ordered pairs of different endpoints' addresses of one family may begin a flow to a port.
    pub fn count(&self, protocol: u8, port: u16) -> u64 {
        let at: Vec<&bits::Bits> = self.rows.iter().map(|row| row.at(protocol, port)).collect();
        let bits = |row: Option<u32>| row.and_then(|row| at.get(row as usize).copied());
        let sends = |from: &End, to: usize| bits(from.egress).is_none_or(|bits| bits.has(to));
        let pair =
            |from: &End, to: &End| from.endpoint != to.endpoint && from.address.is_ipv4() == to.address.is_ipv4();
        let mut count = 0;
        for (index, to) in self.ends.iter().enumerate() {
            let counts = |from: &&End| pair(from, to) && sends(from, index);
            count += match bits(to.ingress) {
                None => self.ends.iter().filter(counts).count(),
                Some(bits) => bits.ones().filter_map(|from| self.ends.get(from)).filter(counts).count(),
            } as u64;
        }
        count
    }

    /// The ports on which one address reaches another; for protocols that no rule names, ports do not matter and
    /// nothing is listed.
    pub fn between(&self, source: IpAddr, destination: IpAddr) -> Vec<Stretch> {
        let ends = (self.by_address.get(&source), self.by_address.get(&destination));
        let (Some(from), Some(to)) = ends else { return Vec::new() };
        let row = |end: usize, of: fn(&End) -> Option<u32>| {
            self.ends.get(end).and_then(of).and_then(|row| self.rows.get(row as usize))
        };
        let rows = [row(*from, |end| end.egress), row(*to, |end| end.ingress)];
        let mut stretches: Vec<Stretch> = row::cuts(rows.into_iter().flatten());
        stretches.retain(|it| self.reaches(source, destination, it.protocol, it.first) == Some(true));
        row::join(stretches)
    }
}

/// Whether one of the two addresses is of the other's node.
fn is_near(source: &End, destination: &End) -> bool {
    source.node.contains(&destination.address) || destination.node.contains(&source.address)
}
