//! Connections that the kernel tracks: those that the ruleset forbids by now are cut.
//!
//! In: the kernel's table of connections, a ruleset. Out: how many were cut. A connection that was let in before a change
//! goes on, because only its first packet is judged; a change that must end it cuts it here, and its next packet is
//! judged like a first one. Follows ctnetlink. Start reading at [`Connections::cut_forbidden`].

use crate::netlink::attribute::{Attributes, Writer};
use crate::netlink::{Error, Message, Socket};
use crate::nft::read::inside;
use ringwall_packet::ruleset::{Packet, Ruleset};
use rustix::net::netlink::NETFILTER;
use std::net::IpAddr;

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its first packet, as it left the filter: the destination after address translation, the source before.
    pub first: Packet,
    /// The attributes by which the kernel knows it, and its family.
    family: u8,
    names: Vec<(u16, Vec<u8>)>,
}

/// `NFNL_SUBSYS_CTNETLINK`, as the upper half of a type.
const CONNTRACK: u16 = 1 << 8;
const GET: u16 = CONNTRACK | 1;
const DELETE: u16 = CONNTRACK | 2;
/// `CTA_TUPLE_ORIG`, `CTA_ID`, `CTA_ZONE`.
const NAMES: [u16; 3] = [1, 12, 18];

/// The way to the kernel's connections, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Connections {
    socket: Socket,
}

impl Connections {
    /// Opens it.
    ///
    /// # Errors
    /// When there is no socket.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { socket: Socket::open(NETFILTER, 0)? })
    }

    /// All connections.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn all(&mut self) -> Result<Vec<Connection>, Error> {
        let mut all = Vec::new();
        self.socket.dump("the connections", GET, &[0; 4], |message| match message {
            None => all.clear(),
            Some(message) => all.extend(connection(message)),
        })?;
        Ok(all)
    }

    /// Cuts the connections that the ruleset would not let in now; how many.
    ///
    /// # Errors
    /// When the kernel does not say, or does not cut.
    pub fn cut_forbidden(&mut self, ruleset: &Ruleset) -> Result<usize, Error> {
        let mut cut = 0;
        for connection in self.all()? {
            if !ruleset.interpret(&connection.first).goes_on() {
                self.cut(&connection)?;
                cut += 1;
            }
        }
        Ok(cut)
    }

    fn cut(&mut self, connection: &Connection) -> Result<(), Error> {
        const NESTED: u16 = 0x8000;
        let mut message = Writer::default();
        message.raw(&[connection.family, 0, 0, 0]);
        for (kind, value) in &connection.names {
            let flag = if *kind == NAMES[0] { NESTED } else { 0 };
            message.bytes(kind | flag, value);
        }
        let payload = message.finish().unwrap_or_default();
        match self.socket.request("the end of a connection", DELETE, 0, &payload, |_| {}) {
            // It ended by itself.
            Err(error) if error.is_refusal(libc::ENOENT) => Ok(()),
            done => done,
        }
    }
}

/// Reads a message about a connection; `None` when it is not about one of IP.
pub fn connection(message: &Message<'_>) -> Option<Connection> {
    let told = inside(message);
    let (original, reply) = (tuple(&told.inside(1))?, tuple(&told.inside(2))?);
    let names = NAMES.iter().filter_map(|kind| Some((*kind, told.first(*kind)?.to_vec())));
    Some(Connection {
        first: Packet {
            source: original.source,
            destination: reply.source,
            protocol: original.protocol,
            port: reply.source_port,
        },
        family: *message.payload.first()?,
        names: names.collect(),
    })
}

struct Tuple {
    source: IpAddr,
    protocol: u8,
    source_port: u16,
}

fn tuple(tuple: &Attributes<'_>) -> Option<Tuple> {
    let (addresses, protocol) = (tuple.inside(1), tuple.inside(2));
    let v4 = addresses.first(1).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(IpAddr::from);
    let v6 = || addresses.first(3).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok()).map(IpAddr::from);
    Some(Tuple {
        source: v4.or_else(v6)?,
        protocol: *protocol.first(1)?.first()?,
        source_port: protocol.be16(2).unwrap_or_default(),
    })
}
