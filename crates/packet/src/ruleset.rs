//! A ruleset as data: what `compile` makes of endpoints and policies, what `kernel` applies, what [`Ruleset::interpret`]
//! and the nft renderer read. Never closures, never a linear rule per pair.
//!
//! How a packet is judged: an established flow passes; then the source's egress group (when the source is local), then
//! the destination's ingress group (when the destination is local); both must accept. An address inside
//! [`Ruleset::networks`] that belongs to no endpoint is dropped.
//!
//! How a group is judged: the tiers of its enforced chain in order, the steps of a tier in order. The first step that
//! holds the packet decides: it accepts, drops, or passes on to the next tier. When no tier decides, the chain's
//! `otherwise` does. Only when the enforced chain accepts is the shadow chain asked, and its drop is told, not done.

mod interpret;

pub use interpret::{Fate, Packet, UNKNOWN_ADDRESS, Word};

use crate::names::DomainPattern;
use ipnet::IpNet;
use ringwall_model::{Reason, Timestamp};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Everything that one node enforces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// Pod networks of this node: an address in one of them that no endpoint has is unknown, and dropped.
    pub networks: Vec<IpNet>,
    /// The node's own addresses: always allowed towards and from its own endpoints (P11).
    pub node: Vec<IpAddr>,
    /// Endpoints of this node.
    pub endpoints: Vec<Endpoint>,
    /// Rule groups, shared by all endpoints with equal rules. [`GroupId`] indexes them.
    pub groups: Vec<Group>,
    /// What names turned out to be.
    pub names: Held,
}

/// Addresses of the names that a pattern means, sorted, each with its end: from then on steps for that pattern hold it no
/// more, whether or not another ruleset has come by then.
pub type Held = BTreeMap<DomainPattern, Vec<(IpAddr, Timestamp)>>;

/// Index of a [`Group`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// One endpoint of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `namespace/name`, for people.
    pub name: Box<str>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The host's side of its link, when it has one: a packet from there must come from one of its addresses.
    pub interface: Option<Box<str>>,
    /// Rules for what it sends; `None`: no policy selects it.
    pub egress: Option<GroupId>,
    /// Rules for what it is sent; `None`: no policy selects it.
    pub ingress: Option<GroupId>,
}

/// The rules that some endpoints share in one direction. Peers are the other ends: destinations in an egress group,
/// sources in an ingress group; ports are always the destination's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// What decides.
    pub enforced: Chain,
    /// The same with the policies in audit mode among them. Asked only when `enforced` accepts; when it would drop, that
    /// is counted and told, and the packet goes on. `None`: no policy in audit mode selects these endpoints.
    pub shadow: Option<Chain>,
}

/// Tiers in order, and what happens when none of them decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chain {
    /// Admin, NetworkPolicy and Baseline, as far as there are any.
    pub tiers: Vec<Tier>,
    /// What happens when no tier decides.
    pub otherwise: Verdict,
}

/// Steps in order; the first that holds the packet decides for the tier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tier {
    /// The steps.
    pub steps: Vec<Step>,
}

/// Entries that give the same outcome. Sorted, and each entry once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// Single peers with single ports: a hash set.
    pub exact: Vec<Exact>,
    /// Single peers with every protocol and port: a hash set.
    pub peers: Vec<IpAddr>,
    /// Everything else: networks, port ranges, all ports of one protocol. Few.
    pub ranges: Vec<Range>,
    /// What happens to a packet that one of them holds.
    pub outcome: Outcome,
    /// The pattern of domain names that its peers are held for, each until its end in [`Ruleset::names`].
    pub named: Option<DomainPattern>,
}

/// One peer address, one protocol, one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exact {
    /// The other end.
    pub peer: IpAddr,
    /// IP protocol number (6 TCP, 17 UDP, 132 SCTP).
    pub protocol: u8,
    /// Destination port.
    pub port: u16,
}

/// A network, a protocol or all, a range of destination ports or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    /// The other end; `0.0.0.0/0` and `::/0` are two entries.
    pub peer: IpNet,
    /// IP protocol number; `None`: all, ICMP included (P17).
    pub protocol: Option<u8>,
    /// First and last destination port, inclusive; `None`: all. Never with `protocol: None`.
    pub ports: Option<(u16, u16)>,
}

/// What a step does with a packet that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is accepted in this direction, whatever later tiers say.
    Accept,
    /// The rest of this tier is skipped; the next one decides.
    Pass,
    /// It is dropped, counted and told.
    Drop(Reason),
}

/// What a chain says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is accepted in this direction.
    Accept,
    /// It is dropped, counted and told.
    Drop(Reason),
}
