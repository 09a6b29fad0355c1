//! The entries of one step: which peers with which ports.
//!
//! Single addresses go into hash sets, everything else into ranges. What a wider range of the same step holds is left
//! out, so that no entry lies within another.

use crate::endpoint::EndpointId;
use crate::ground::{Direction, Ground};
use crate::names::{DomainPattern, Names};
use crate::policy::{Peer, Pods, Port, Rule};
use crate::ruleset::{Exact, Held, Outcome, Range, Step};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use ringwall_model::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

/// Ports by name of one endpoint: name, IP protocol number, port.
pub(super) type NamedPorts<'a> = &'a [(Box<str>, u8, u16)];

/// Entries that are being gathered.
#[derive(Default)]
pub(super) struct Entries {
    exact: Vec<Exact>,
    peers: Vec<IpAddr>,
    ranges: Vec<Range>,
}

impl Entries {
    /// Sorted, each once; `None` when there is nothing to hold.
    pub(super) fn into_step(mut self, outcome: Outcome, named: Option<DomainPattern>) -> Option<Step> {
        self.ranges.sort_unstable();
        self.ranges.dedup();
        let wide: Vec<Range> = self.ranges.iter().filter(|range| !is_single(range.peer)).copied().collect();
        self.ranges.retain(|range| !wide.iter().any(|other| other != range && covers(other, range)));
        self.peers.sort_unstable();
        self.peers.dedup();
        self.exact.sort_unstable();
        self.exact.dedup();
        let empty = self.exact.is_empty() && self.peers.is_empty() && self.ranges.is_empty();
        (!empty).then_some(Step { exact: self.exact, peers: self.peers, ranges: self.ranges, outcome, named })
    }

    fn add_address(&mut self, peer: IpAddr, ports: &Ports) {
        let Some(ports) = ports else {
            self.peers.push(peer);
            return;
        };
        for (protocol, first, last) in ports {
            if first == last {
                self.exact.push(Exact { peer, protocol: *protocol, port: *first });
            } else {
                self.ranges.push(range(IpNet::from(peer), Some((*protocol, *first, *last))));
            }
        }
    }

    fn add_network(&mut self, peer: IpNet, ports: &Ports) {
        if is_single(peer) {
            return self.add_address(peer.addr(), ports);
        }
        match ports {
            None => self.ranges.push(range(peer, None)),
            Some(ports) => self.ranges.extend(ports.iter().map(|port| range(peer, Some(*port)))),
        }
    }
}

fn is_single(network: IpNet) -> bool {
    network.prefix_len() == network.max_prefix_len()
}

/// All ports of a protocol are no range of ports.
fn range(peer: IpNet, port: Option<(u8, u16, u16)>) -> Range {
    let ports = port.map(|(_, first, last)| (first, last)).filter(|ports| *ports != (0, u16::MAX));
    Range { peer, protocol: port.map(|(protocol, ..)| protocol), ports }
}

fn covers(wide: &Range, narrow: &Range) -> bool {
    let protocol = wide.protocol.is_none() || wide.protocol == narrow.protocol;
    let ports = match (wide.ports, narrow.ports) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some((first, last)), Some((from, to))) => first <= from && to <= last,
    };
    protocol && ports && wide.peer.contains(&narrow.peer)
}

/// Protocol, first and last port; `None`: everything.
type Ports = Option<Vec<(u8, u16, u16)>>;

/// Resolves peers, each distinct choice of pods once.
pub(super) struct Resolver<'a> {
    ground: &'a Ground,
    names: &'a Names,
    pods: HashMap<&'a Pods, Rc<[EndpointId]>>,
    patterns: BTreeSet<&'a DomainPattern>,
}

/// What names are now, for the patterns that a ruleset has steps for; nothing for those that mean none.
pub fn held<'p>(ground: &Ground, names: &Names, patterns: impl Iterator<Item = &'p DomainPattern>) -> Held {
    let held = patterns.map(|pattern| (pattern.clone(), ends(ground, names, pattern).into_iter().collect::<Vec<_>>()));
    held.filter(|(_, addresses)| !addresses.is_empty()).collect()
}

/// Addresses and their ends; of one that several names have, the last.
fn ends(ground: &Ground, names: &Names, pattern: &DomainPattern) -> BTreeMap<IpAddr, Timestamp> {
    let mut ends: BTreeMap<IpAddr, Timestamp> = BTreeMap::new();
    for (address, until) in names.addresses(pattern).filter(|(address, _)| ground.is_outside(*address)) {
        ends.entry(address).and_modify(|end| *end = until.max(*end)).or_insert(until);
    }
    ends
}

impl<'a> Resolver<'a> {
    pub(super) fn new(ground: &'a Ground, names: &'a Names) -> Self {
        Self { ground, names, pods: HashMap::new(), patterns: BTreeSet::new() }
    }

    /// Adds what a rule holds. `own` are the named ports of the group's endpoints, for what they are sent.
    pub(super) fn add(&mut self, to: &mut Entries, rule: &'a Rule, direction: Direction, own: NamedPorts<'_>) {
        let ports = written(rule, direction, own);
        let Some(peers) = &rule.peers else {
            for network in everywhere() {
                to.add_network(network, &ports);
            }
            if direction == Direction::Egress {
                let all: Vec<EndpointId> = self.ground.endpoints().iter().map(|(id, _)| id).collect();
                self.add_named(to, rule, &all);
            }
            return;
        };
        for peer in peers {
            match peer {
                Peer::Pods(pods) => {
                    let chosen = self.resolve(pods);
                    for id in &*chosen {
                        for address in self.addresses(*id) {
                            to.add_address(*address, &ports);
                        }
                    }
                    if direction == Direction::Egress {
                        self.add_named(to, rule, &chosen);
                    }
                }
                Peer::Block { within, except } => {
                    for network in without(within.trunc(), except) {
                        to.add_network(network, &ports);
                    }
                }
                Peer::Nodes(selector) => {
                    let nodes = self.ground.endpoints().nodes().values();
                    for node in nodes.filter(|node| selector.matches(&node.labels)) {
                        node.addresses.iter().for_each(|address| to.add_address(*address, &ports));
                    }
                }
                // Of those there is a step for each.
                Peer::Name(_) => {}
            }
        }
    }

    /// Steps for the domain names of a rule, whose addresses have an end.
    pub(super) fn named(
        &mut self,
        rule: &'a Rule,
        direction: Direction,
        own: NamedPorts<'_>,
        outcome: Outcome,
    ) -> Vec<Step> {
        let ports = written(rule, direction, own);
        let mut steps = Vec::new();
        for peer in rule.peers.iter().flatten() {
            let Peer::Name(pattern) = peer else { continue };
            self.patterns.insert(pattern);
            let mut entries = Entries::default();
            ends(self.ground, self.names, pattern).into_keys().for_each(|at| entries.add_address(at, &ports));
            steps.extend(entries.into_step(outcome, Some(pattern.clone())));
        }
        steps
    }

    /// The addresses of all names that steps were made for.
    pub(super) fn held(&self) -> Held {
        held(self.ground, self.names, self.patterns.iter().copied())
    }

    /// Ports by name that the destinations give: different for each of them.
    fn add_named(&self, to: &mut Entries, rule: &Rule, destinations: &[EndpointId]) {
        let named: Vec<&Port> = rule.ports.iter().flatten().filter(|port| matches!(port, Port::Named { .. })).collect();
        if named.is_empty() {
            return;
        }
        for id in destinations {
            let ports = self.ground.endpoints().get(*id).map_or(&[][..], |endpoint| &endpoint.ports);
            let ports: Vec<_> = named.iter().flat_map(|port| numbers(port, ports)).collect();
            for address in self.addresses(*id) {
                to.exact.extend(ports.iter().map(|&(protocol, port)| Exact { peer: *address, protocol, port }));
            }
        }
    }

    fn addresses(&self, id: EndpointId) -> &'a [IpAddr] {
        self.ground.endpoints().get(id).map_or(&[], |endpoint| &endpoint.addresses)
    }

    fn resolve(&mut self, pods: &'a Pods) -> Rc<[EndpointId]> {
        let ground = self.ground;
        let resolve = || {
            let identities = ground.identities_of(pods);
            identities.iter().flat_map(|identity| ground.members(*identity)).copied().collect()
        };
        Rc::clone(self.pods.entry(pods).or_insert_with(resolve))
    }
}

/// The ports of a rule that are numbers, those by name among them when the group's own endpoints give them.
fn written(rule: &Rule, direction: Direction, own: NamedPorts<'_>) -> Ports {
    let ports = rule.ports.as_ref()?;
    let mut numbered = Vec::new();
    for port in ports {
        match port {
            Port::Range { protocol, first, last } => numbered.push((*protocol, *first, *last)),
            Port::Named { .. } if direction == Direction::Ingress => {
                numbered.extend(numbers(port, own).map(|(protocol, number)| (protocol, number, number)));
            }
            Port::Named { .. } => {}
        }
    }
    Some(numbered)
}

/// What a port by name is at a destination with these ports.
fn numbers<'p>(port: &'p Port, ports: NamedPorts<'p>) -> impl Iterator<Item = (u8, u16)> + use<'p> {
    let (wanted, protocol) = match port {
        Port::Named { protocol, name } => (Some(name), *protocol),
        Port::Range { .. } => (None, None),
    };
    let named = ports
        .iter()
        .filter(move |(name, of, _)| Some(name) == wanted && protocol.is_none_or(|protocol| protocol == *of));
    named.map(|(_, protocol, number)| (*protocol, *number))
}

/// Every address of both families.
fn everywhere() -> [IpNet; 2] {
    let v4 = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);
    let v6 = Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0);
    [IpNet::V4(v4), IpNet::V6(v6)]
}

/// A network without some blocks, as networks. Splits at most once a bit for each block.
fn without(network: IpNet, except: &[IpNet]) -> Vec<IpNet> {
    let mut kept = Vec::new();
    let mut open = vec![network];
    while let Some(part) = open.pop() {
        if except.iter().any(|block| block.contains(&part)) {
            continue;
        }
        if !except.iter().any(|block| part.contains(block)) {
            kept.push(part);
            continue;
        }
        // It holds a block that is not all of it: its halves are smaller, so this ends.
        match part.subnets(part.prefix_len().saturating_add(1)) {
            Ok(halves) => open.extend(halves),
            Err(_) => kept.push(part),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::without;
    use ipnet::IpNet;

    #[test]
    fn a_block_without_others_is_the_rest_of_it() {
        let network = |text: &str| text.parse::<IpNet>().unwrap();
        let check = |within: &str, except: &[&str], want: &[&str]| {
            let except: Vec<IpNet> = except.iter().map(|text| network(text)).collect();
            let mut found = without(network(within), &except);
            found.sort();
            assert_eq!(found, want.iter().map(|text| network(text)).collect::<Vec<_>>(), "{within}");
        };
        check("10.0.0.0/24", &[], &["10.0.0.0/24"]);
        check("10.0.0.0/24", &["10.0.0.0/25"], &["10.0.0.128/25"]);
        check("10.0.0.0/30", &["10.0.0.1/32"], &["10.0.0.0/32", "10.0.0.2/31"]);
        check("10.0.0.0/24", &["10.0.0.0/8"], &[]);
        check("2001:db8::/126", &["2001:db8::3/128", "10.0.0.0/8"], &["2001:db8::/127", "2001:db8::2/128"]);
    }
}
