//! What one group accepts: for each stretch of ports, which of all addresses.

use super::Stretch;
use super::bits::Bits;
use crate::ruleset::{Chain, Outcome, Range, Step, Verdict};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::rc::Rc;

/// The accepted peers by protocol and port.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// By protocol, the first port of each stretch with its peers; the first begins at 0.
    named: BTreeMap<u8, Vec<(u16, Bits)>>,
    /// Peers for every protocol that no rule names.
    others: Bits,
}

impl Row {
    /// Reads a chain once for each stretch on which it says the same.
    pub fn of(chain: &Chain, peers: &mut Peers) -> Self {
        let steps: Vec<Vec<(Holds, Outcome)>> = chain
            .tiers
            .iter()
            .map(|tier| tier.steps.iter().map(|step| (Holds::of(step, peers), step.outcome)).collect())
            .collect();
        let mut cuts: BTreeMap<u8, BTreeSet<u16>> = BTreeMap::new();
        for step in chain.tiers.iter().flat_map(|tier| &tier.steps) {
            for exact in &step.exact {
                cut(&mut cuts, exact.protocol, Some((exact.port, exact.port)));
            }
            for range in &step.ranges {
                if let Some(protocol) = range.protocol {
                    cut(&mut cuts, protocol, range.ports);
                }
            }
        }
        let accepted = |at: Option<(u8, u16)>| accepted(&steps, chain.otherwise, at, peers.len());
        let stretch = |protocol: u8, port: &u16| (*port, accepted(Some((protocol, *port))));
        let named = cuts
            .iter()
            .map(|(protocol, ports)| (*protocol, ports.iter().map(|port| stretch(*protocol, port)).collect()));
        Self { named: named.collect(), others: accepted(None) }
    }

    /// The peers accepted on a port.
    pub fn at(&self, protocol: u8, port: u16) -> &Bits {
        let Some(stretches) = self.named.get(&protocol) else { return &self.others };
        let after = stretches.partition_point(|(first, _)| *first <= port);
        stretches.get(after.saturating_sub(1)).map_or(&self.others, |(_, peers)| peers)
    }
}

fn cut(cuts: &mut BTreeMap<u8, BTreeSet<u16>>, protocol: u8, ports: Option<(u16, u16)>) {
    let at = cuts.entry(protocol).or_default();
    at.insert(0);
    if let Some((first, last)) = ports {
        at.insert(first);
        at.extend(last.checked_add(1));
    }
}

fn accepted(steps: &[Vec<(Holds, Outcome)>], otherwise: Verdict, at: Option<(u8, u16)>, len: usize) -> Bits {
    let (mut open, mut accepted) = (Bits::all(len), Bits::none(len));
    for tier in steps {
        let mut undecided = open.clone();
        for (holds, outcome) in tier {
            let mut hit = holds.at(at);
            hit.keep(&undecided);
            undecided.remove(&hit);
            if *outcome != Outcome::Pass {
                open.remove(&hit);
            }
            if *outcome == Outcome::Accept {
                accepted.add_all(&hit);
            }
        }
    }
    if otherwise == Verdict::Accept {
        accepted.add_all(&open);
    }
    accepted
}

/// What one step holds, as bits.
struct Holds {
    everywhere: Bits,
    exact: HashMap<(u8, u16), Bits>,
    ranges: Vec<(Rc<Bits>, Range)>,
}

impl Holds {
    fn of(step: &Step, peers: &mut Peers) -> Self {
        let mut everywhere = Bits::none(peers.len());
        for address in &step.peers {
            peers.number(*address).into_iter().for_each(|number| everywhere.add(number));
        }
        let mut exact: HashMap<(u8, u16), Bits> = HashMap::new();
        for entry in &step.exact {
            let Some(number) = peers.number(entry.peer) else { continue };
            let bits = exact.entry((entry.protocol, entry.port)).or_insert_with(|| Bits::none(peers.len()));
            bits.add(number);
        }
        let ranges = step.ranges.iter().map(|range| (peers.within(range.peer), *range));
        Self { everywhere, exact, ranges: ranges.collect() }
    }

    /// What it holds on a port; `None`: of a protocol that no rule names.
    fn at(&self, at: Option<(u8, u16)>) -> Bits {
        let mut bits = self.everywhere.clone();
        if let Some(exact) = at.and_then(|at| self.exact.get(&at)) {
            bits.add_all(exact);
        }
        for (peers, range) in &self.ranges {
            let holds = match (at, range.protocol) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some((of, port)), Some(wanted)) => {
                    of == wanted && range.ports.is_none_or(|(first, last)| (first..=last).contains(&port))
                }
            };
            if holds {
                bits.add_all(peers);
            }
        }
        bits
    }
}

/// All addresses by number, and those of a network, asked once.
pub struct Peers {
    numbers: HashMap<IpAddr, usize>,
    sorted: Vec<(IpAddr, usize)>,
    networks: HashMap<IpNet, Rc<Bits>>,
}

impl Peers {
    /// Numbers addresses in their order.
    pub fn of(addresses: &[IpAddr]) -> Self {
        let numbers: HashMap<IpAddr, usize> =
            addresses.iter().enumerate().map(|(index, address)| (*address, index)).collect();
        let mut sorted: Vec<(IpAddr, usize)> =
            addresses.iter().enumerate().map(|(index, address)| (*address, index)).collect();
        sorted.sort_unstable();
        Self { numbers, sorted, networks: HashMap::new() }
    }

    fn len(&self) -> usize {
        self.sorted.len()
    }

    fn number(&self, address: IpAddr) -> Option<usize> {
        self.numbers.get(&address).copied()
    }

    fn within(&mut self, network: IpNet) -> Rc<Bits> {
        if let Some(known) = self.networks.get(&network) {
            return Rc::clone(known);
        }
        let mut bits = Bits::none(self.len());
        let first = self.sorted.partition_point(|(address, _)| *address < network.network());
        let from = self.sorted.get(first..).unwrap_or_default();
        for (_, number) in from.iter().take_while(|(address, _)| network.contains(address)) {
            bits.add(*number);
        }
        let bits = Rc::new(bits);
        self.networks.insert(network, Rc::clone(&bits));
        bits
    }
}

/// The stretches on which none of these rows changes.
pub fn cuts<'r>(rows: impl Iterator<Item = &'r Row>) -> Vec<Stretch> {
    let mut at: BTreeMap<u8, BTreeSet<u16>> = BTreeMap::new();
    for (protocol, stretches) in rows.flat_map(|row| &row.named) {
        at.entry(*protocol).or_default().extend(stretches.iter().map(|(first, _)| *first));
    }
    let mut found = Vec::new();
    for (protocol, firsts) in at {
        let ends = firsts.iter().skip(1).map(|next| next.saturating_sub(1)).chain([u16::MAX]);
        found.extend(firsts.iter().zip(ends).map(|(first, last)| Stretch { protocol, first: *first, last }));
    }
    found
}

/// Neighbours become one.
pub fn join(stretches: Vec<Stretch>) -> Vec<Stretch> {
    let mut joined: Vec<Stretch> = Vec::new();
    for stretch in stretches {
        match joined.last_mut() {
            Some(last) if last.protocol == stretch.protocol && last.last.checked_add(1) == Some(stretch.first) => {
                last.last = stretch.last;
            }
            _ => joined.push(stretch),
        }
    }
    joined
}
