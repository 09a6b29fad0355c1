//! What the packet filter refused, or would refuse: nflog read, for the flow log.
//!
//! In: what the kernel tells of a packet: the prefix that the rule gave, and the packet's first bytes, which whoever
//! sent it chose. Out: [`Event`]. Never: belief in a length of it. Each reason is limited to so many events a second in
//! the kernel; counters count what was not told. Start reading at [`Listener::read`].

use crate::netlink::attribute::{Attributes, Writer, array, attributes};
use crate::netlink::{ACK, Error, Socket, Wait, messages};
use rustix::net::netlink::NETFILTER;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was dropped.
    Dropped,
    /// It went on, but a policy in audit mode would drop it.
    WouldDrop,
}

/// Which part of the filter speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The rules for what the source may send.
    Egress,
    /// The rules for what the destination may be sent.
    Ingress,
    /// The lists of blocked addresses.
    Blocklist,
    /// The limit of packets from one source.
    Flood,
    /// The source address belongs to another interface.
    Spoofing,
    /// An address of ours that nobody has.
    Unknown,
    /// The rules were being changed while the packet was looked at.
    Changing,
    /// A TCP segment from within a connection that was not let in, or was cut.
    Stray,
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What became of it.
    pub fate: Fate,
    /// Which part of the filter speaks.
    pub part: Part,
    /// The reason: a rule as the rule book names it, `default deny`, or words. Longer than the kernel's 127 bytes, it is
    /// cut and ends in `~` and a number.
    pub reason: Box<str>,
    /// Who sent it.
    pub source: IpAddr,
    /// Who was to get it.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Source and destination port, where the protocol has ports and the packet's first piece was seen.
    pub ports: Option<(u16, u16)>,
    /// Number of the interface that it came in by.
    pub input: Option<u32>,
}

/// Hears one group of nflog, in the network namespace of the thread that opened it. A group has one listener.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
}

/// `NFNL_SUBSYS_ULOG`, as the upper half of a type.
const NFLOG: u16 = 4 << 8;
const PACKET: u16 = NFLOG;
const CONFIGURE: u16 = NFLOG | 1;
/// Events that wait in the kernel before they are sent together.
const TOGETHER: u32 = 32;
/// How long one waits at most, in hundredths of a second.
const WAITS: u32 = 5;
/// Room for events that were not read yet.
const ROOM: usize = 4 << 20;

impl Listener {
    /// Begins to hear a group.
    ///
    /// # Errors
    /// `EBUSY` when somebody else hears it.
    pub fn open(group: u16) -> Result<Self, Error> {
        const BIND: u8 = 1;
        const COPY_PACKET: [u8; 6] = [0, 0, 0xff, 0xff, 2, 0];
        let mut socket = Socket::open(NETFILTER, 0)?;
        socket.widen(ROOM);
        let [high, low] = group.to_be_bytes();
        let mut ask = |fill: &dyn Fn(&mut Writer)| {
            let mut message = Writer::default();
            message.raw(&[0, 0, high, low]);
            fill(&mut message);
            let payload = message.finish().unwrap_or_default();
            socket.request("a group of nflog", CONFIGURE, ACK, &payload, |_| {})
        };
        ask(&|w| {
            w.u8(1, BIND);
        })?;
        ask(&|w| {
            w.bytes(2, &COPY_PACKET).be32(5, TOGETHER).be32(4, WAITS);
        })?;
        Ok(Self { socket })
    }

    /// Reads what the kernel told; `each` gets the events. How many came; none when nothing came in time.
    ///
    /// # Errors
    /// [`Error::Lost`] when more was told than was read; what follows comes with the next call.
    pub fn read(&mut self, wait: Wait, mut each: impl FnMut(Event)) -> Result<usize, Error> {
        let mut count = 0;
        for message in messages(self.socket.receive(wait)?).filter(|message| message.kind == PACKET) {
            if let Some(event) = event(message.payload) {
                count += 1;
                each(event);
            }
        }
        Ok(count)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Reads what follows the head of one message of nflog; `None` when it is not about a packet of ours.
pub fn event(payload: &[u8]) -> Option<Event> {
    let told = attributes(payload.get(4..)?);
    let (fate, part, reason) = prefix(told.text(10)?)?;
    let packet = packet(told.first(9)?)?;
    Some(Event {
        fate,
        part,
        reason: reason.into(),
        source: packet.source,
        destination: packet.destination,
        protocol: packet.protocol,
        ports: packet.ports,
        input: input(&told),
    })
}

fn input(told: &Attributes<'_>) -> Option<u32> {
    told.be32(4)
}

/// Reads `rw:LETTER:reason`.
fn prefix(text: &str) -> Option<(Fate, Part, &str)> {
    let (letter, reason) = text.strip_prefix("rw:")?.split_once(':')?;
    let (fate, part) = match letter {
        "e" => (Fate::Dropped, Part::Egress),
        "i" => (Fate::Dropped, Part::Ingress),
        "E" => (Fate::WouldDrop, Part::Egress),
        "I" => (Fate::WouldDrop, Part::Ingress),
        "b" => (Fate::Dropped, Part::Blocklist),
        "f" => (Fate::Dropped, Part::Flood),
        "s" => (Fate::Dropped, Part::Spoofing),
        "u" => (Fate::Dropped, Part::Unknown),
        "c" => (Fate::Dropped, Part::Changing),
        "t" => (Fate::Dropped, Part::Stray),
        _ => return None,
    };
    Some((fate, part, reason))
}

/// What the first bytes of a packet say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Who sent it.
    pub source: IpAddr,
    /// Who is to get it.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Source and destination port.
    pub ports: Option<(u16, u16)>,
}

/// Reads the head of an IP packet (RFC 791, RFC 8200).
pub fn packet(bytes: &[u8]) -> Option<Packet> {
    match bytes.first()? >> 4 {
        4 => packet4(bytes),
        6 => packet6(bytes),
        _ => None,
    }
}

fn packet4(bytes: &[u8]) -> Option<Packet> {
    const FRAGMENT: u16 = 0x1fff;
    let len = usize::from(bytes.first()? & 0xf) * 4;
    let fragment = u16::from_be_bytes(array(bytes.get(6..)?)?) & FRAGMENT;
    let protocol = *bytes.get(9)?;
    let behind = bytes.get(len.max(20)..).filter(|_| fragment == 0);
    Some(Packet {
        source: IpAddr::from(array::<4>(bytes.get(12..)?)?),
        destination: IpAddr::from(array::<4>(bytes.get(16..)?)?),
        protocol,
        ports: behind.and_then(|behind| ports(protocol, behind)),
    })
}

fn packet6(bytes: &[u8]) -> Option<Packet> {
    let source = IpAddr::from(array::<16>(bytes.get(8..)?)?);
    let destination = IpAddr::from(array::<16>(bytes.get(24..)?)?);
    let mut protocol = *bytes.get(6)?;
    let mut rest = bytes.get(40..);
    // No packet has more heads than this before what it carries.
    for _ in 0..8 {
        let Some(head) = rest else { break };
        let len = match protocol {
            // Hop-by-hop, routing, destination options.
            0 | 43 | 60 => head.get(1).map(|len| (usize::from(*len) + 1) * 8),
            // Authentication.
            51 => head.get(1).map(|len| (usize::from(*len) + 2) * 4),
            // A fragment; only the first has what follows.
            44 => head.get(2..).and_then(array).map(u16::from_be_bytes).filter(|field| field >> 3 == 0).map(|_| 8),
            _ => break,
        };
        rest = len.and_then(|len| head.get(len..));
        protocol = head.first().copied().unwrap_or(protocol);
    }
    Some(Packet { source, destination, protocol, ports: rest.and_then(|rest| ports(protocol, rest)) })
}

fn ports(protocol: u8, bytes: &[u8]) -> Option<(u16, u16)> {
    // TCP, UDP, DCCP, SCTP, UDP-Lite.
    if ![6, 17, 33, 132, 136].contains(&protocol) {
        return None;
    }
    Some((u16::from_be_bytes(array(bytes)?), u16::from_be_bytes(array(bytes.get(2..)?)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A TCP packet from 10.0.0.1:4660 to 10.0.0.2:80.
    fn tcp4() -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 24, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        bytes.extend([0x12, 0x34, 0, 80]);
        bytes
    }

    #[test]
    fn an_event_is_read() {
        let mut w = Writer::default();
        w.raw(&[2, 0, 0, 5]).text(10, "rw:I:NetworkPolicy/shop/all#/spec").bytes(9, &tcp4()).be32(4, 17);
        let read = event(&w.finish().unwrap()).unwrap();
        assert_eq!((read.fate, read.part), (Fate::WouldDrop, Part::Ingress));
        assert_eq!(&*read.reason, "NetworkPolicy/shop/all#/spec");
        assert_eq!(read.ports, Some((0x1234, 80)));
        assert_eq!(read.input, Some(17));
    }

    #[test]
    fn every_beginning_of_a_packet_is_read_or_refused() {
        let bytes = tcp4();
        for len in 0..bytes.len() {
            let read = packet(&bytes[..len]);
            assert!(read.is_none_or(|read| read.ports.is_none()));
        }
        assert!(packet(&bytes).unwrap().ports.is_some());
    }

    #[test]
    fn heads_between_are_skipped() {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 0, 0, 64];
        bytes.extend([0; 32]);
        bytes.extend([60, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([17, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([0, 53, 0, 99]);
        let read = packet(&bytes).unwrap();
        assert_eq!((read.protocol, read.ports), (17, Some((53, 99))));
    }

    #[test]
    fn a_later_fragment_has_no_ports() {
        let mut bytes = tcp4();
        bytes[7] = 1;
        assert_eq!(packet(&bytes).unwrap().ports, None);
    }
}
