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
        /// The rule; where nothing allows the flow, the NetworkPolicy that isolates the pod.
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
        let ends = self.ends(&flow);
        if ends.0.is_some() && ends.0 == ends.1 {
            return both(ITSELF);
        }
        let on_node = |endpoint: Option<EndpointId>, other| {
            let endpoint = endpoint.and_then(|id| self.endpoints().get(id));
            endpoint.is_some_and(|endpoint| self.endpoints().is_own_node(endpoint, other))
        };
        if on_node(ends.0, flow.destination) || on_node(ends.1, flow.source) {
            return both(OWN_NODE);
        }
        Decision {
            egress: self.of_one_end(names, &flow, ends, Direction::Egress),
            ingress: self.of_one_end(names, &flow, ends, Direction::Ingress),
        }
    }

    /// The endpoints of a flow's source and destination.
    fn ends(&self, flow: &Flow) -> (Option<EndpointId>, Option<EndpointId>) {
        (self.endpoints().at(flow.source), self.endpoints().at(flow.destination))
    }

    /// What the policies of one end say, whatever the other end is: a pod itself and its node are no exception here.
    pub fn opinion(&self, names: &Names, flow: &Flow, direction: Direction) -> Opinion {
        let flow = canonical(flow);
        self.of_one_end(names, &flow, self.ends(&flow), direction)
    }

    fn of_one_end(
        &self,
        names: &Names,
        flow: &Flow,
        (source, destination): (Option<EndpointId>, Option<EndpointId>),
        direction: Direction,
    ) -> Opinion {
        let (own, other, peer) = match direction {
            Direction::Egress => (source, destination, flow.destination),
            Direction::Ingress => (destination, source, flow.source),
        };
        let Some(own) = own else { return Opinion::Pass { because: Reason::NoRuleApplies, would_refuse: None } };
        let peer_endpoint = other.and_then(|id| self.endpoints().get(id));
        let destination = match direction {
            Direction::Egress => peer_endpoint,
            Direction::Ingress => self.endpoints().get(own),
        };
        let (protocol, port) = (flow.protocol, flow.port);
        let peer = Other::Address(peer);
        let sight = Sight { ground: self, names, direction, peer, peer_endpoint, destination, protocol, port };
        sight.opinion(own)
    }

    /// What the source's policies say of a flow to a name outside whose address is not known yet. Rules for domain names
    /// hold it by its name, and blocks that are a whole family (`0.0.0.0/0`, `::/0`, whatever is taken out of them) hold
    /// it too: a name of the outside is taken to have an address of the outside. Smaller blocks do not.
    pub fn opinion_of_name(&self, names: &Names, source: IpAddr, name: &str, protocol: u8, port: u16) -> Opinion {
        let nobody = Opinion::Pass { because: Reason::NoRuleApplies, would_refuse: None };
        let Some(own) = self.endpoints().at(source) else { return nobody };
        let (direction, peer) = (Direction::Egress, Other::Name(name));
        let (peer_endpoint, destination) = (None, None);
        Sight { ground: self, names, direction, peer, peer_endpoint, destination, protocol, port }.opinion(own)
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

/// The policy that is named when a pod is isolated and nothing allows a flow: under audit one in audit mode, for without
/// it the flow would pass; else the one nearest to the pod: it chooses pods and allows something; else the first by name.
pub(crate) fn isolating(policies: &[&Policy], direction: Direction) -> Option<Reason> {
    let nearness = |policy: &&&Policy| {
        let allows = !rules(policy, direction).is_empty();
        let chooses = !policy.subject.pods.is_empty();
        (policy.force == Force::Audit, allows && chooses, allows)
    };
    // The last of the greatest is the first by name of the reversed list.
    policies.iter().rev().max_by_key(nearness).map(|policy| Reason::Rule(policy.id))
}

pub(crate) fn rules(policy: &Policy, direction: Direction) -> &[Rule] {
    let rules = match direction {
        Direction::Egress => &policy.egress,
        Direction::Ingress => &policy.ingress,
    };
    rules.as_deref().unwrap_or_default()
}

/// The other end, as far as it is known.
#[derive(Clone, Copy)]
enum Other<'a> {
    Address(IpAddr),
    Name(&'a str),
}

/// One end's sight of one flow.
struct Sight<'a> {
    ground: &'a Ground,
    names: &'a Names,
    direction: Direction,
    peer: Other<'a>,
    peer_endpoint: Option<&'a Endpoint>,
    /// Whose named ports count.
    destination: Option<&'a Endpoint>,
    protocol: u8,
    port: u16,
}

impl Sight<'_> {
    fn opinion(&self, own: EndpointId) -> Opinion {
        match self.chain(own, View::Enforced) {
            Err(because) => Opinion::Refuse { because },
            Ok(because) => {
                let audited = self.ground.selecting(own, self.direction).any(|policy| policy.force == Force::Audit);
                let shadow = if audited { self.chain(own, View::Shadow).err() } else { None };
                Opinion::Pass { because, would_refuse: shadow }
            }
        }
    }

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
        let network: Vec<&Policy> = of(Tier::Network).collect();
        if let Some(because) = isolating(&network, self.direction) {
            return self.first_of(network.into_iter()).map(|(_, because)| because).ok_or(because);
        }
        match self.first_of(of(Tier::Baseline)) {
            Some((Action::Deny, because)) => Err(because),
            Some((Action::Accept | Action::Pass, because)) => Ok(because),
            None => Ok(Reason::NoRuleApplies),
        }
    }

    fn first_of<'p>(&self, policies: impl Iterator<Item = &'p Policy>) -> Option<(Action, Reason)> {
        let mut rules = policies.flat_map(|policy| rules(policy, self.direction));
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
            Peer::Block { within, except } => match self.peer {
                Other::Address(peer) => within.contains(&peer) && !except.iter().any(|block| block.contains(&peer)),
                Other::Name(_) => within.prefix_len() == 0,
            },
            Peer::Nodes(selector) => {
                let Other::Address(peer) = self.peer else { return false };
                let mut nodes = self.ground.endpoints().nodes().values();
                nodes.any(|node| selector.matches(&node.labels) && node.addresses.contains(&peer))
            }
            Peer::Name(pattern) => match self.peer {
                Other::Address(peer) => {
                    self.ground.is_outside(peer) && self.names.addresses(pattern).any(|(address, _)| address == peer)
                }
                Other::Name(name) => pattern.matches(name),
            },
        }
    }

    fn is_port(&self, port: &Port) -> bool {
        match port {
            Port::Range { protocol, first, last } => {
                *protocol == self.protocol && (*first..=*last).contains(&self.port)
            }
            Port::Named { .. } => false,
        }
    }

    fn is_named_port(&self, port: &Port) -> bool {
        let Port::Named { protocol, name } = port else { return false };
        let ports = self.destination.into_iter().flat_map(|endpoint| &endpoint.ports);
        let mut named = ports.filter(|(known, of, _)| known == name && protocol.is_none_or(|wanted| wanted == *of));
        named.any(|(_, of, number)| *of == self.protocol && *number == self.port)
    }
}
