//! What a ruleset does with one packet that begins a flow: the meaning that every backend must have.
//!
//! In: a ruleset, a packet. Out: what each direction says. Used by tests of the compiler and of the kernel, and where
//! there is no kernel to ask. Searching is linear in the endpoints: this is the definition, not the fast path.

use super::{Chain, Group, GroupId, Outcome, Ruleset, Step, Tier, Verdict};
use ringwall_model::Reason;
use std::net::IpAddr;

/// The first packet of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Who sends it.
    pub source: IpAddr,
    /// Who is to get it.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port; 0 for protocols without ports.
    pub port: u16,
}

/// What a ruleset says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// What the source may send; `None`: no rule of this node speaks of it.
    pub egress: Option<Word>,
    /// What the destination may be sent; `None`: no rule of this node speaks of it.
    pub ingress: Option<Word>,
}

/// What one group says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// What happens.
    pub verdict: Verdict,
    /// Why a policy in audit mode would drop what is accepted.
    pub would_drop: Option<Reason>,
}

impl Fate {
    /// Whether the packet goes on.
    pub fn goes_on(&self) -> bool {
        let accepts = |word: &Option<Word>| word.is_none_or(|word| word.verdict == Verdict::Accept);
        accepts(&self.egress) && accepts(&self.ingress)
    }
}

/// The reason for dropping what comes from or goes to a local address that no endpoint has.
pub const UNKNOWN_ADDRESS: Reason = Reason::Builtin("packet/unknown-local-address");

impl Ruleset {
    /// What happens to a packet.
    pub fn interpret(&self, packet: &Packet) -> Fate {
        let node = |address: &IpAddr| self.node.contains(address);
        if node(&packet.source) || node(&packet.destination) {
            return Fate { egress: None, ingress: None };
        }
        Fate {
            egress: self.direction(packet.source, packet.destination, packet, |endpoint| endpoint.egress),
            ingress: self.direction(packet.destination, packet.source, packet, |endpoint| endpoint.ingress),
        }
    }

    fn direction(
        &self,
        own: IpAddr,
        peer: IpAddr,
        packet: &Packet,
        group: impl Fn(&super::Endpoint) -> Option<GroupId>,
    ) -> Option<Word> {
        match self.endpoints.iter().find(|endpoint| endpoint.addresses.contains(&own)) {
            Some(endpoint) => {
                let group = self.groups.get(group(endpoint)?.0 as usize)?;
                Some(group.interpret(peer, packet.protocol, packet.port))
            }
            None if self.networks.iter().any(|network| network.contains(&own)) => {
                Some(Word { verdict: Verdict::Drop(UNKNOWN_ADDRESS), would_drop: None })
            }
            None => None,
        }
    }
}

impl Group {
    /// What the group says of a flow with `peer`, by IP protocol number and destination port.
    pub fn interpret(&self, peer: IpAddr, protocol: u8, port: u16) -> Word {
        let verdict = self.enforced.interpret(peer, protocol, port);
        let shadow = self.shadow.as_ref().filter(|_| verdict == Verdict::Accept);
        let would_drop = shadow.and_then(|chain| match chain.interpret(peer, protocol, port) {
            Verdict::Drop(because) => Some(because),
            Verdict::Accept => None,
        });
        Word { verdict, would_drop }
    }
}

impl Chain {
    fn interpret(&self, peer: IpAddr, protocol: u8, port: u16) -> Verdict {
        for tier in &self.tiers {
            match tier.interpret(peer, protocol, port) {
                Some(Outcome::Accept) => return Verdict::Accept,
                Some(Outcome::Drop(because)) => return Verdict::Drop(because),
                Some(Outcome::Pass) | None => {}
            }
        }
        self.otherwise
    }
}

impl Tier {
    fn interpret(&self, peer: IpAddr, protocol: u8, port: u16) -> Option<Outcome> {
        self.steps.iter().find(|step| step.holds(peer, protocol, port)).map(|step| step.outcome)
    }
}

impl Step {
    /// Whether one of its entries holds a flow.
    pub fn holds(&self, peer: IpAddr, protocol: u8, port: u16) -> bool {
        let exact = super::Exact { peer, protocol, port };
        self.exact.binary_search(&exact).is_ok()
            || self.peers.binary_search(&peer).is_ok()
            || self.ranges.iter().any(|range| {
                range.peer.contains(&peer)
                    && range.protocol.is_none_or(|wanted| wanted == protocol)
                    && range.ports.is_none_or(|(first, last)| (first..=last).contains(&port))
            })
    }
}
