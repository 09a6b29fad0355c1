//! A ruleset as data: what `compile` makes of endpoints and policies, what `kernel` applies, what an interpreter and the
//! nft renderer read. Never closures, never a linear rule per pair.
//!
//! How a packet is judged: an established flow passes; then the source's egress group (when the source is local), then
//! the destination's ingress group (when the destination is local); both must accept. An address inside
//! [`Ruleset::networks`] that is on this node and belongs to no endpoint is dropped.

use ipnet::IpNet;
use ringwall_model::Reason;
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
}

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

/// Rules in order; the first entry that holds the packet decides, else [`Group::otherwise`] does. `exact` is looked up
/// before `ranges` of the same step, and entries of one step never disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Steps, in order: one for a NetworkPolicy group, several where tiers and priorities interleave.
    pub steps: Vec<Step>,
    /// What happens when no step decides.
    pub otherwise: Outcome,
}

/// Entries that give the same outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Single peers with single ports: a hash set.
    pub exact: Vec<Exact>,
    /// Everything else: networks, port ranges, any protocol.
    pub ranges: Vec<Range>,
    /// What happens to a packet that one of them holds.
    pub outcome: Outcome,
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
    /// First and last destination port, inclusive; `None`: all.
    pub ports: Option<(u16, u16)>,
}

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on, because of this rule.
    Accept(Reason),
    /// It is dropped, counted and told.
    Drop(Reason),
    /// It goes on, counted and told as one that would be dropped (audit mode).
    Tell(Reason),
}
