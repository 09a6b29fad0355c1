//! The ground on which flows are judged: policies and endpoints, and which policies select which endpoints.
//!
//! Endpoints of one namespace with the same labels are one *identity*: every selector gives the same answer for them, so
//! it is asked once for all.

use crate::endpoint::{Endpoint, EndpointId, Endpoints, Network};
use crate::policy::{Action, Namespaces, Peer, Pods, Policies, Policy};
use ringwall_model::Labels;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Policies over endpoints. Immutable.
#[derive(Clone, Debug, Default)]
pub struct Ground {
    policies: Policies,
    endpoints: Endpoints,
    identities: Vec<Identity>,
    /// By endpoint; `None` for those on the host's network.
    identity_of: Vec<Option<u32>>,
    by_namespace: BTreeMap<Box<str>, Vec<u32>>,
}

/// Endpoints that no selector tells apart.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) members: Vec<EndpointId>,
    labels: Labels,
    /// Indexes of the policies that speak of what its members may send, in the order of judging.
    egress: Vec<u32>,
    /// Likewise of what they may be sent.
    ingress: Vec<u32>,
}

/// Whose rules are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// What the source may send.
    Egress,
    /// What the destination may be sent.
    Ingress,
}

impl Ground {
    /// Finds which policies select which endpoints.
    pub fn of(policies: Policies, endpoints: Endpoints) -> Self {
        let mut ground = Self { policies, endpoints, ..Self::default() };
        ground.identify();
        ground.select();
        ground
    }

    /// The policies.
    pub const fn policies(&self) -> &Policies {
        &self.policies
    }

    /// The endpoints.
    pub const fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The policies that speak of a direction of an endpoint, in the order of judging.
    pub fn selecting(&self, endpoint: EndpointId, direction: Direction) -> impl Iterator<Item = &Policy> {
        let list = self.selecting_indexes(endpoint, direction);
        list.iter().filter_map(|index| self.policies.list().get(*index as usize))
    }

    /// Whether a rule allows what has this address to reach a name, whichever port: then the name may be asked for.
    pub fn allows_name(&self, source: IpAddr, name: &str) -> bool {
        let Some(own) = self.endpoints.at(source) else { return false };
        let rules = self.selecting(own, Direction::Egress).flat_map(|policy| policy.egress.iter().flatten());
        let peers = rules.filter(|rule| rule.action == Action::Accept).flat_map(|rule| rule.peers.iter().flatten());
        peers.into_iter().any(|peer| matches!(peer, Peer::Name(pattern) if pattern.matches(name)))
    }

    /// Whether an address is nobody's that is known here: rules for domain names are for others, whoever answers for a
    /// name and whatever he says.
    pub(crate) fn is_outside(&self, address: IpAddr) -> bool {
        let mut nodes = self.endpoints.nodes().values();
        self.endpoints.at(address).is_none() && !nodes.any(|node| node.addresses.contains(&address))
    }

    pub(crate) fn selecting_indexes(&self, endpoint: EndpointId, direction: Direction) -> &[u32] {
        match (self.identity(endpoint), direction) {
            (None, _) => &[],
            (Some(identity), Direction::Egress) => &identity.egress,
            (Some(identity), Direction::Ingress) => &identity.ingress,
        }
    }

    pub(crate) fn identity(&self, endpoint: EndpointId) -> Option<&Identity> {
        let index = self.identity_of.get(endpoint.0 as usize).copied().flatten()?;
        self.identities.get(index as usize)
    }

    /// Whether pods are selected: an endpoint of the host's network never is.
    pub(crate) fn is_selected(&self, pods: &Pods, endpoint: &Endpoint) -> bool {
        let in_namespace = match &pods.namespaces {
            Namespaces::Named(name) => *name == endpoint.namespace,
            Namespaces::Selected(selector) => selector.matches(self.endpoints.namespace_labels(&endpoint.namespace)),
        };
        endpoint.network == Network::Own && in_namespace && pods.pods.matches(&endpoint.labels)
    }

    /// The identities that are selected, by index.
    pub(crate) fn identities_of(&self, pods: &Pods) -> Vec<u32> {
        let in_namespaces: Vec<&[u32]> = match &pods.namespaces {
            Namespaces::Named(name) => self.by_namespace.get(name).map(Vec::as_slice).into_iter().collect(),
            Namespaces::Selected(selector) => {
                let chosen = self.by_namespace.iter();
                let chosen = chosen.filter(|(name, _)| selector.matches(self.endpoints.namespace_labels(name)));
                chosen.map(|(_, identities)| identities.as_slice()).collect()
            }
        };
        let selected = |index: &u32| {
            pods.pods.is_empty() || self.identities.get(*index as usize).is_some_and(|it| pods.pods.matches(&it.labels))
        };
        in_namespaces.into_iter().flatten().copied().filter(selected).collect()
    }

    /// The endpoints that a choice of pods selects.
    pub fn chosen(&self, pods: &Pods) -> impl Iterator<Item = &Endpoint> {
        let members = self.identities_of(pods).into_iter().flat_map(|identity| self.members(identity));
        members.filter_map(|id| self.endpoints.get(*id))
    }

    pub(crate) fn members(&self, identity: u32) -> &[EndpointId] {
        self.identities.get(identity as usize).map_or(&[], |identity| &identity.members)
    }

    fn identify(&mut self) {
        let mut known: HashMap<(&str, &Labels), u32> = HashMap::new();
        for (id, endpoint) in self.endpoints.iter() {
            if endpoint.network == Network::Host {
                self.identity_of.push(None);
                continue;
            }
            let next = u32::try_from(self.identities.len()).unwrap_or(u32::MAX);
            let index = *known.entry((&endpoint.namespace, &endpoint.labels)).or_insert_with(|| {
                let labels = endpoint.labels.clone();
                let (egress, ingress) = (Vec::new(), Vec::new());
                self.identities.push(Identity { members: Vec::new(), labels, egress, ingress });
                self.by_namespace.entry(endpoint.namespace.clone()).or_default().push(next);
                next
            });
            self.identity_of.push(Some(index));
            if let Some(identity) = self.identities.get_mut(index as usize) {
                identity.members.push(id);
            }
        }
    }

    fn select(&mut self) {
        for (index, policy) in (0_u32..).zip(self.policies.list()) {
            for chosen in self.identities_of(&policy.subject) {
                let Some(identity) = self.identities.get_mut(chosen as usize) else { continue };
                if policy.egress.is_some() {
                    identity.egress.push(index);
                }
                if policy.ingress.is_some() {
                    identity.ingress.push(index);
                }
            }
        }
    }
}
