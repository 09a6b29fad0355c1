//! One flow, judged: may the source send it, may the destination be sent it, and by which rule.
//!
//! In: the ground, the addresses that names have now, a flow. Out: an [`Opinion`] of each end. What is compiled says the
//! same (`compile`, and a law in the tests); this is the meaning in the plainest words.
//!
//! Each end is judged by tiers: Admin, then NetworkPolicy, then Baseline. In Admin and Baseline the first rule that holds
//! the flow decides. NetworkPolicies only add: a pod that one of them selects gets what any of them allows, nothing else.

use crate::endpoint::{Endpoint, EndpointId};
pub use crate::ground::Direction;
use crate::ground::Ground;
use crate::names::Names;
use crate::policy::{Action, Force, Peer, Policy, Port, Rule, Tier};
use ringwall_model::Reason;
use std::net::IpAddr;

/// The beginning of a flow. Replies and related ICMP of an allowed flow are not judged (P13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Who sends it.
    pub source: IpAddr,
    /// Who is to get it, after the translation of service addresses.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port; 0 for protocols without ports.
    pub port: u16,
}

/// What both ends say. A flow passes when both allow it (P3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What the source may send.
    pub egress: Opinion,
    /// What the destination may be sent.
    pub ingress: Opinion,
}

/// What one end says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It allows the flow.
    Pass {
        /// The rule, or that none applies.
        because: Reason,
        /// The rule by which a policy in audit mode would refuse it.
        would_refuse: Option<Reason>,
    },
    /// It refuses it.
    Refuse {
        /// The rule; for a NetworkPolicy the one that isolates the pod.
        because: Reason,
    },
}

/// Why a pod may always talk to itself (P12, which upstream leaves open).
pub const ITSELF: Reason = Reason::Builtin("packet/itself");
/// Why a pod and its node may always talk (P11).
pub const OWN_NODE: Reason = Reason::Builtin("packet/own-node");

impl Decision {
    /// Whether the flow passes.
    pub const fn passes(&self) -> bool {
        self.refusal().is_none()
    }

    /// Which end refuses, and by which rule; the source's word comes first.
    pub const fn refusal(&self) -> Option<(Direction, Reason)> {
        match (self.egress, self.ingress) {
            (Opinion::Refuse { because }, _) => Some((Direction::Egress, because)),
            (_, Opinion::Refuse { because }) => Some((Direction::Ingress, because)),
            _ => None,
        }
    }

    /// The rule by which a policy in audit mode would refuse a flow that passes.
    pub fn would_refuse(&self) -> Option<(Direction, Reason)> {
        let of = |opinion: Opinion| match opinion {
            Opinion::Pass { would_refuse, .. } => would_refuse,
            Opinion::Refuse { .. } => None,
        };
        let egress = of(self.egress).map(|because| (Direction::Egress, because));
        egress.or_else(|| of(self.ingress).map(|because| (Direction::Ingress, because)))
    }
}

impl Opinion {
    /// Whether it allows the flow.
    pub const fn passes(&self) -> bool {
        matches!(self, Self::Pass { .. })
    }

    /// Its reason, whichever way it goes.
    pub const fn because(&self) -> Reason {
        match self {
            Self::Pass { because, .. } | Self::Refuse { because } => *because,
        }
    }
}

impl Ground {
    /// Judges a flow.
    pub fn judge(&self, names: &Names, flow: &Flow) -> Decision {
        let flow = canonical(flow);
        let both = |because| {
            let opinion = Opinion::Pass { because, would_refuse: None };
            Decision { egress: opinion, ingress: opinion }
        };
        let (source, destination) = (self.endpoints().at(flow.source), self.endpoints().at(flow.destination));
        if source.is_some() && source == destination {
            return both(ITSELF);
        }
        let on_node = |endpoint: Option<EndpointId>, other| {
            let endpoint = endpoint.and_then(|id| self.endpoints().get(id));
            endpoint.is_some_and(|endpoint| self.endpoints().is_own_node(endpoint, other))
        };
        if on_node(source, flow.destination) || on_node(destination, flow.source) {
            return both(OWN_NODE);
        }
        Decision {
            egress: self.opinion(names, &flow, Direction::Egress),
            ingress: self.opinion(names, &flow, Direction::Ingress),
        }
    }

    /// What the policies of one end say, whatever the other end is: a pod itself and its node are no exception here.
    pub fn opinion(&self, names: &Names, flow: &Flow, direction: Direction) -> Opinion {
        let flow = canonical(flow);
        let (own, peer) = match direction {
            Direction::Egress => (flow.source, flow.destination),
            Direction::Ingress => (flow.destination, flow.source),
        };
        let nobody = Opinion::Pass { because: Reason::NoRuleApplies, would_refuse: None };
        let Some(own) = self.endpoints().at(own) else { return nobody };
        let peer_endpoint = self.endpoints().at(peer).and_then(|id| self.endpoints().get(id));
        let destination = match direction {
            Direction::Egress => peer_endpoint,
            Direction::Ingress => self.endpoints().get(own),
        };
        let sight = Sight { ground: self, names, direction, peer, peer_endpoint, destination, flow };
        match sight.chain(own, View::Enforced) {
            Err(because) => Opinion::Refuse { because },
            Ok(because) => {
                let audited = self.selecting(own, direction).any(|policy| policy.force == Force::Audit);
                let shadow = if audited { sight.chain(own, View::Shadow).err() } else { None };
                Opinion::Pass { because, would_refuse: shadow }
            }
        }
    }
}

fn canonical(flow: &Flow) -> Flow {
    Flow { source: flow.source.to_canonical(), destination: flow.destination.to_canonical(), ..*flow }
}

/// Which policies are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// Those that decide.
    Enforced,
    /// Those in audit mode too.
    Shadow,
}

impl View {
    pub(crate) fn sees(self, policy: &Policy) -> bool {
        self == Self::Shadow || policy.force == Force::Enforced
    }
}

/// The policy that is named when a pod is isolated and nothing allows a flow: the first by name; under audit the first
/// one in audit mode, for without it the flow would pass.
pub(crate) fn isolating<'p>(policies: impl Iterator<Item = &'p Policy> + Clone) -> Option<Reason> {
    let mut audited = policies.clone().filter(|policy| policy.force == Force::Audit);
    let mut policies = policies;
    audited.next().or_else(|| policies.next()).map(|policy| Reason::Rule(policy.id))
}

/// One end's sight of one flow.
struct Sight<'a> {
    ground: &'a Ground,
    names: &'a Names,
    direction: Direction,
    peer: IpAddr,
    peer_endpoint: Option<&'a Endpoint>,
    /// Whose named ports count.
    destination: Option<&'a Endpoint>,
    flow: Flow,
}

impl Sight<'_> {
    fn chain(&self, own: EndpointId, view: View) -> Result<Reason, Reason> {
        let of = |tier: Tier| {
            let selecting = self.ground.selecting(own, self.direction);
            selecting.filter(move |policy| policy.tier == tier && view.sees(policy))
        };
        match self.first_of(of(Tier::Admin)) {
            Some((Action::Accept, because)) => return Ok(because),
            Some((Action::Deny, because)) => return Err(because),
            Some((Action::Pass, _)) | None => {}
        }
        let isolating = isolating(of(Tier::Network).collect::<Vec<_>>().into_iter());
        if let Some(because) = isolating {
            return self.first_of(of(Tier::Network)).map(|(_, because)| because).ok_or(because);
        }
        match self.first_of(of(Tier::Baseline)) {
            Some((Action::Deny, because)) => Err(because),
            Some((Action::Accept | Action::Pass, because)) => Ok(because),
            None => Ok(Reason::NoRuleApplies),
        }
    }

    fn first_of<'p>(&self, policies: impl Iterator<Item = &'p Policy>) -> Option<(Action, Reason)> {
        let rules = policies.flat_map(|policy| match self.direction {
            Direction::Egress => policy.egress.iter().flatten(),
            Direction::Ingress => policy.ingress.iter().flatten(),
        });
        let mut rules = rules;
        rules.find(|rule| self.holds(rule)).map(|rule| (rule.action, Reason::Rule(rule.id)))
    }

    /// P9: any peer and any port. A port by name needs a destination that is a pod: it never goes with a block.
    fn holds(&self, rule: &Rule) -> bool {
        let from = |peer: &Peer| self.is_peer(peer);
        let any_peer = rule.peers.as_ref().is_none_or(|peers| peers.iter().any(from));
        let Some(ports) = &rule.ports else { return any_peer };
        if any_peer && ports.iter().any(|port| self.is_port(port)) {
            return true;
        }
        let pods = |peer: &Peer| matches!(peer, Peer::Pods(_)) && self.is_peer(peer);
        let named_peer = match self.direction {
            Direction::Egress => rule.peers.as_ref().is_none_or(|peers| peers.iter().any(pods)),
            Direction::Ingress => any_peer,
        };
        named_peer && ports.iter().any(|port| self.is_named_port(port))
    }

    fn is_peer(&self, peer: &Peer) -> bool {
        match peer {
            Peer::Pods(pods) => self.peer_endpoint.is_some_and(|endpoint| self.ground.is_selected(pods, endpoint)),
            Peer::Block { within, except } => {
                within.contains(&self.peer) && !except.iter().any(|block| block.contains(&self.peer))
            }
            Peer::Nodes(selector) => {
                let mut nodes = self.ground.endpoints().nodes().values();
                nodes.any(|node| selector.matches(&node.labels) && node.addresses.contains(&self.peer))
            }
            Peer::Name(pattern) => self.names.addresses(pattern).any(|address| address == self.peer),
        }
    }

    fn is_port(&self, port: &Port) -> bool {
        match port {
            Port::Range { protocol, first, last } => {
                *protocol == self.flow.protocol && (*first..=*last).contains(&self.flow.port)
            }
            Port::Named { .. } => false,
        }
    }

    fn is_named_port(&self, port: &Port) -> bool {
        let Port::Named { protocol, name } = port else { return false };
        let ports = self.destination.into_iter().flat_map(|endpoint| &endpoint.ports);
        let mut named = ports.filter(|(known, of, _)| known == name && protocol.is_none_or(|wanted| wanted == *of));
        named.any(|(_, of, number)| *of == self.flow.protocol && *number == self.flow.port)
    }
}
