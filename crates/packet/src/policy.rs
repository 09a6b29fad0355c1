//! What policies say, as data. NetworkPolicy and ClusterNetworkPolicy are one shape here: rules in order, each with an
//! action; only the tier decides how they are read.

use crate::names::DomainPattern;
use crate::selector::Selector;
use ipnet::IpNet;
use ringwall_model::RuleId;

/// All policies, in the order in which they are judged.
///
/// INVARIANT: sorted by tier, priority, namespace and name, so that the order of files changes nothing. Upstream leaves
/// the order of equal priorities open; here the name decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    list: Vec<Policy>,
}

impl Policies {
    /// Sorts them.
    pub fn of(mut list: Vec<Policy>) -> Self {
        let key = |policy: &Policy| (policy.tier, policy.priority, policy.namespace.clone(), policy.name.clone());
        list.sort_by_cached_key(key);
        Self { list }
    }

    /// The policies in order.
    pub fn list(&self) -> &[Policy] {
        &self.list
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// One resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The whole resource, as a rule: what isolates a pod when no rule of it allows a flow.
    pub id: RuleId,
    /// Its namespace; empty for those of the cluster.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its tier.
    pub tier: Tier,
    /// Its priority within the tier, lower first; 0 for NetworkPolicies, whose order means nothing.
    pub priority: u16,
    /// The pods it is for.
    pub subject: Pods,
    /// Whether it decides or only tells.
    pub force: Force,
    /// What its pods may be sent. `None`: it does not speak of that; empty in a NetworkPolicy: nothing.
    pub ingress: Option<Vec<Rule>>,
    /// What its pods may send; likewise.
    pub egress: Option<Vec<Rule>>,
}

/// Where a policy stands among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Before all NetworkPolicies.
    Admin,
    /// NetworkPolicies: a pod that one of them selects gets what they allow, and nothing else.
    Network,
    /// For pods that no NetworkPolicy selects.
    Baseline,
}

/// Whether a policy decides or only tells (`ringwall.dev/enforcement: audit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Force {
    /// It decides.
    Enforced,
    /// What it would refuse is counted and told, and goes on.
    Audit,
}

/// Pods by their namespace and their labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pods {
    /// Which namespaces.
    pub namespaces: Namespaces,
    /// Which pods of them.
    pub pods: Selector,
}

/// Namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Namespaces {
    /// This one.
    Named(Box<str>),
    /// Those with such labels.
    Selected(Selector),
}

/// One rule: it holds a flow when one of the peers and one of the ports do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where it stands.
    pub id: RuleId,
    /// What it does.
    pub action: Action,
    /// The other ends; `None`: any.
    pub peers: Option<Vec<Peer>>,
    /// Protocols and ports of the destination; `None`: any, ICMP included.
    pub ports: Option<Vec<Port>>,
}

/// What a rule does with a flow that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It allows it. The only action of NetworkPolicies.
    Accept,
    /// It refuses it.
    Deny,
    /// It leaves it to the next tier.
    Pass,
}

/// The other end of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Pods; never those on the host's network.
    Pods(Pods),
    /// Addresses, pods' addresses among them (P10): in `within` and in no block of `except`.
    Block {
        /// The network.
        within: IpNet,
        /// What is taken out of it.
        except: Vec<IpNet>,
    },
    /// Nodes with such labels, by their addresses.
    Nodes(Selector),
    /// Addresses that a name has now.
    Name(DomainPattern),
}

/// Protocol and ports of the destination.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Port {
    /// A range of ports of a protocol (IP protocol number), inclusive; all of them from 0 to 65535.
    Range {
        /// IP protocol number.
        protocol: u8,
        /// First port.
        first: u16,
        /// Last port.
        last: u16,
    },
    /// A port by the name that the destination's container gives it.
    Named {
        /// IP protocol number; `None`: the one that the container gives it.
        protocol: Option<u8>,
        /// The name.
        name: Box<str>,
    },
}
