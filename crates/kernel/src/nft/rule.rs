//! Rules, written as a person would say them: what is looked at, what it must be, what happens.

use super::expression::{Comparison, Expression, Header, Limit, Log, Meta, Register, Verdict, Which};
use super::table::Family;

/// A rule: its expressions in order.
pub type Rule = Vec<Expression>;

/// Which address of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Who sends it.
    Source,
    /// Who is to get it.
    Destination,
}

impl Side {
    /// Loads the address, so many bytes behind the first register.
    pub fn load(self, family: Family, at: u32) -> Expression {
        let (offset, len) = match (family, self) {
            (Family::V4, Self::Source) => (12, 4),
            (Family::V4, Self::Destination) => (16, 4),
            (Family::V6, Self::Source) => (8, 16),
            (Family::V6, Self::Destination) => (24, 16),
        };
        Expression::Payload(Header::Network, offset, len, Register::at(at))
    }
}

/// Only packets of a family.
pub fn family(family: Family) -> Rule {
    let number = match family {
        Family::V4 => 2,
        Family::V6 => 10,
    };
    let is = Expression::Compare(Register::FIRST, Comparison::Equal, [number].into());
    vec![Expression::Meta(Meta::Family, Register::FIRST), is]
}

/// The same by the first bits of the packet, where it is looked at before the stack: there the kernel has held its kind
/// against them already, and unlike what is known beside a packet they cost no call.
pub fn version(family: Family) -> Rule {
    let number = match family {
        Family::V4 => 0x40,
        Family::V6 => 0x60,
    };
    vec![
        Expression::Payload(Header::Network, 0, 1, Register::FIRST),
        Expression::Bitwise(Register::FIRST, [0xf0].into(), [0].into()),
        Expression::Compare(Register::FIRST, Comparison::Equal, [number].into()),
    ]
}

/// Only packets on the loopback of this machine: the key says whether they come in or go out by it.
pub fn loopback(key: Meta) -> Rule {
    const LOOPBACK: u16 = 772;
    let is = Expression::Compare(Register::FIRST, Comparison::Equal, LOOPBACK.to_ne_bytes().into());
    vec![Expression::Meta(key, Register::FIRST), is]
}

/// Only packets of connections that were let in before, and what belongs to them.
pub fn known_connection() -> Rule {
    const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
    vec![
        Expression::ConnectionState(Register::FIRST),
        Expression::Bitwise(Register::FIRST, ESTABLISHED_OR_RELATED.to_ne_bytes().into(), [0; 4].into()),
        Expression::Compare(Register::FIRST, Comparison::Unequal, [0; 4].into()),
    ]
}

/// Only ICMPv6.
pub fn icmp6() -> Rule {
    const ICMP6: u8 = 58;
    let is = Expression::Compare(Register::FIRST, Comparison::Equal, [ICMP6].into());
    vec![Expression::Meta(Meta::Protocol, Register::FIRST), is]
}

/// Only TCP segments that do not begin a connection: with other flags than SYN of SYN, FIN, RST and ACK.
pub fn within_a_stream() -> Rule {
    const TCP: u8 = 6;
    let is = Expression::Compare(Register::FIRST, Comparison::Equal, [TCP].into());
    vec![
        Expression::Meta(Meta::Protocol, Register::FIRST),
        is,
        Expression::Payload(Header::Transport, 13, 1, Register::FIRST),
        Expression::Bitwise(Register::FIRST, [SYN_FIN_RST_ACK].into(), [0].into()),
        Expression::Compare(Register::FIRST, Comparison::Unequal, [SYN].into()),
    ]
}

/// RFC 9293 section 3.1.
pub const SYN: u8 = 0x02;
/// The flags that say where in a connection a segment stands.
pub const SYN_FIN_RST_ACK: u8 = 0x17;

/// Only the messages by which IPv6 neighbours find each other: they never leave a link.
pub fn neighbour_discovery() -> Rule {
    let (first, last) = (133, 136);
    let mut rule = icmp6();
    rule.push(Expression::Payload(Header::Transport, 0, 1, Register::FIRST));
    rule.push(Expression::Compare(Register::FIRST, Comparison::AtLeast, [first].into()));
    rule.push(Expression::Compare(Register::FIRST, Comparison::AtMost, [last].into()));
    rule
}

/// Only packets with an address that a set holds.
pub fn address_in(set: &str, side: Side, of: Family) -> Rule {
    vec![side.load(of, 0), Expression::Lookup(set.into(), Register::FIRST)]
}

/// Only packets whose source, cut to its first bits, a set holds.
pub fn source_network_in(set: &str, bits: u8, of: Family) -> Rule {
    let width = super::table::Part::address(of).width();
    let ones = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    let mask: Box<[u8]> = match of {
        Family::V4 => u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0).to_be_bytes().into(),
        Family::V6 => ones.to_be_bytes().into(),
    };
    vec![
        Side::Source.load(of, 0),
        Expression::Bitwise(Register::FIRST, mask, vec![0; width as usize].into()),
        Expression::Lookup(set.into(), Register::FIRST),
    ]
}

/// Only packets with an address that a set does not hold.
pub fn address_not_in(set: &str, side: Side, of: Family) -> Rule {
    vec![side.load(of, 0), Expression::LookupNot(set.into(), Register::FIRST)]
}

/// The verdict that a map has for an address.
pub fn address_map(map: &str, side: Side, of: Family) -> Rule {
    vec![side.load(of, 0), Expression::Map(map.into(), Register::FIRST)]
}

/// Only packets whose peer, protocol and destination port a set holds.
pub fn peer_and_port_in(set: &str, peer: Side, of: Family) -> Rule {
    let width = super::table::Part::address(of).width();
    vec![
        peer.load(of, 0),
        Expression::Meta(Meta::Protocol, Register::at(width)),
        Expression::Payload(Header::Transport, 2, 2, Register::at(width + 4)),
        Expression::Lookup(set.into(), Register::FIRST),
    ]
}

/// Only packets that came by an interface which a set holds together with their source.
pub fn input_and_source_in(set: &str, of: Family) -> Rule {
    vec![
        Expression::Meta(Meta::InputName, Register::FIRST),
        Side::Source.load(of, 16),
        Expression::Lookup(set.into(), Register::FIRST),
    ]
}

/// Only packets that came by an interface which a set holds.
pub fn input_in(set: &str) -> Rule {
    vec![Expression::Meta(Meta::InputName, Register::FIRST), Expression::Lookup(set.into(), Register::FIRST)]
}

/// What happens to a packet that came so far.
pub trait Then {
    /// Goes on in another chain for good.
    fn goto(self, chain: &str) -> Rule;
    /// Goes on to the next hook.
    fn accept(self) -> Rule;
}

impl Then for Rule {
    fn goto(mut self, chain: &str) -> Rule {
        self.push(Expression::Verdict(Verdict::Goto(chain.into())));
        self
    }

    fn accept(mut self) -> Rule {
        self.push(Expression::Verdict(Verdict::Accept));
        self
    }
}

/// How deny events are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Telling {
    /// The group of nflog.
    pub group: u16,
    /// Events a second for each reason; the rest is only counted.
    pub rate: u64,
    /// Events at once for each reason.
    pub burst: u32,
}

impl Default for Telling {
    fn default() -> Self {
        Self { group: 5, rate: 20, burst: 50 }
    }
}

/// Bytes of a packet that are told: enough for the ports behind an IPv6 head.
const SNAPLEN: u32 = 96;

/// The same for the place where a flood comes in: only the first of so many packets asks whether it may be told, because
/// the limit has a lock and asks the clock; for the others there is one rule.
pub fn seldom_told(telling: Telling, prefix: &str, verdict: Verdict) -> Vec<Rule> {
    const ONE_OF: u32 = 16;
    let mut rules = told(telling, prefix, verdict.clone());
    if let Some(counts) = rules.first_mut() {
        let others = Expression::Compare(Register::FIRST, Comparison::Unequal, 0_u32.to_ne_bytes().into());
        counts.extend([Expression::Turn(Register::FIRST, ONE_OF), others, Expression::Verdict(verdict)]);
    }
    rules
}

/// The rules of a chain that counts, tells, and ends with a verdict.
pub fn told(telling: Telling, prefix: &str, verdict: Verdict) -> Vec<Rule> {
    let limit = Limit { rate: telling.rate, burst: telling.burst, which: Which::Within };
    let log = Log { group: telling.group, prefix: prefix.into(), snaplen: SNAPLEN };
    vec![
        vec![Expression::Counter],
        vec![Expression::Limit(limit), Expression::Log(log)],
        vec![Expression::Verdict(verdict)],
    ]
}
