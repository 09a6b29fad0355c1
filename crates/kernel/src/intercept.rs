//! Interception inside a workload's namespace: all TCP that it sends goes to one door of the data plane, all that comes
//! for it to another, and questions for names to its resolver. Unmodified programs get mutual TLS so.
//!
//! In: how much is intercepted. Out: two chains of nftables in the calling thread's namespace, in one transaction. Never:
//! a packet of the machine's own namespace. Only who has CAP_NET_ADMIN in the workload's namespace can change them or
//! mark a packet so that it passes; programs of workloads have no capability. Follows Istio's sidecar where ports are
//! concerned, and `linux/netfilter/nf_tables.h`.

use crate::link::message::{Message, acknowledged};
use crate::socket::BYPASS;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;

/// Port of the door for what comes, as in Istio.
pub const INBOUND: u16 = 15006;
/// Port of the door for what is sent.
pub const OUTBOUND: u16 = 15001;
/// Port of the resolver.
pub const NAMES: u16 = 15053;

/// How much is intercepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Questions for names.
    Names,
    /// Those, and all TCP in and out.
    All,
}

const TABLE: &str = "ringwall";
const OUTPUT: &str = "rw_output";
const INPUT: &str = "rw_input";
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Puts interception in force in the namespace of the calling thread, which must have none yet.
///
/// # Errors
/// What the kernel said; nothing is in force then.
pub fn apply(reach: Reach) -> io::Result<()> {
    let mut batch = Batch::default();
    batch.table();
    batch.chain(OUTPUT, 3);
    batch.rule(OUTPUT, &[Is::Mark(BYPASS)], Then::Accept);
    for protocol in [UDP, TCP] {
        batch.rule(OUTPUT, &[Is::Protocol(protocol), Is::Port(53)], Then::Redirect(NAMES));
    }
    if reach == Reach::All {
        // To itself a workload speaks in clear.
        batch.rule(OUTPUT, &[Is::OutLoopback], Then::Accept);
        batch.rule(OUTPUT, &[Is::Protocol(TCP)], Then::Redirect(OUTBOUND));
        batch.chain(INPUT, 0);
        batch.rule(INPUT, &[Is::InLoopback], Then::Accept);
        batch.rule(INPUT, &[Is::Protocol(TCP)], Then::Redirect(INBOUND));
    }
    batch.commit()
}

/// What a packet must be.
enum Is {
    Mark(u32),
    Protocol(u8),
    /// Its destination port.
    Port(u16),
    InLoopback,
    OutLoopback,
}

/// What becomes of a packet.
enum Then {
    Accept,
    Redirect(u16),
}

/// Messages that are taken all or not at all.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    messages: u32,
}

const NFTABLES: u16 = 10 << 8;
const INET: u8 = 1;
/// The first register of 32 bits.
const REGISTER: u32 = 8;

impl Batch {
    fn add(&mut self, mut message: Message, fill: impl FnOnce(&mut Message)) {
        message.body(&[INET, 0, 0, 0]);
        fill(&mut message);
        self.messages += 1;
        self.bytes.extend(message.finish(self.messages));
    }

    fn table(&mut self) {
        self.add(Message::create(NFTABLES), |message| message.text(1, TABLE));
    }

    fn chain(&mut self, name: &str, hook: u32) {
        /// Destinations are changed at this priority (`NF_IP_PRI_NAT_DST`).
        const PRIORITY: i32 = -100;
        self.add(Message::create(NFTABLES | 3), |message| {
            message.text(1, TABLE);
            message.text(3, name);
            message.nested(4, |message| {
                message.attribute(1, &hook.to_be_bytes());
                message.attribute(2, &PRIORITY.to_be_bytes());
            });
            message.text(7, "nat");
        });
    }

    fn rule(&mut self, chain: &str, all: &[Is], then: Then) {
        self.add(Message::append(NFTABLES | 6), |message| {
            message.text(1, TABLE);
            message.text(2, chain);
            message.nested(4, |list| {
                all.iter().for_each(|is| is.write(list));
                then.write(list);
            });
        });
    }

    fn commit(self) -> io::Result<()> {
        let edge = |kind: u16| {
            let mut message = Message::notice(kind);
            message.body(&[0, 0]);
            message.body(&10_u16.to_be_bytes());
            message.finish(0)
        };
        let bytes = [edge(16), self.bytes, edge(17)].concat();
        let socket = Socket::new(Domain::from(16), Type::RAW, Some(Protocol::from(12)))?;
        socket.send(&bytes)?;
        let mut answer = [0_u8; 8192];
        let mut next = 1;
        while next <= self.messages {
            let length = io::Read::read(&mut &socket, &mut answer)?;
            let answer = answer.get(..length).unwrap_or_default();
            while let Some(code) = acknowledged(answer, next) {
                if code != 0 {
                    return Err(io::Error::from_raw_os_error(code));
                }
                next += 1;
            }
        }
        Ok(())
    }
}

impl Is {
    fn write(&self, list: &mut Message) {
        const LOOPBACK: u32 = crate::link::LOOPBACK;
        match self {
            Self::Mark(mark) => meta(list, 3, &mark.to_ne_bytes()),
            Self::InLoopback => meta(list, 4, &LOOPBACK.to_ne_bytes()),
            Self::OutLoopback => meta(list, 5, &LOOPBACK.to_ne_bytes()),
            Self::Protocol(number) => meta(list, 16, &[*number]),
            Self::Port(port) => {
                expression(list, "payload", |data| {
                    for (kind, value) in [(1, REGISTER), (2, 2), (3, 2), (4, 2)] {
                        data.attribute(kind, &u32::to_be_bytes(value));
                    }
                });
                compare(list, &port.to_be_bytes());
            }
        }
    }
}

impl Then {
    fn write(&self, list: &mut Message) {
        match self {
            Self::Accept => expression(list, "immediate", |data| {
                data.attribute(1, &0_u32.to_be_bytes());
                data.nested(2, |data| data.nested(2, |verdict| verdict.attribute(1, &1_u32.to_be_bytes())));
            }),
            Self::Redirect(port) => {
                expression(list, "immediate", |data| {
                    data.attribute(1, &REGISTER.to_be_bytes());
                    data.nested(2, |data| data.attribute(1, &port.to_be_bytes()));
                });
                expression(list, "redir", |data| data.attribute(1, &REGISTER.to_be_bytes()));
            }
        }
    }
}

fn meta(list: &mut Message, key: u32, value: &[u8]) {
    expression(list, "meta", |data| {
        data.attribute(2, &key.to_be_bytes());
        data.attribute(1, &REGISTER.to_be_bytes());
    });
    compare(list, value);
}

fn compare(list: &mut Message, value: &[u8]) {
    expression(list, "cmp", |data| {
        data.attribute(1, &REGISTER.to_be_bytes());
        data.attribute(2, &0_u32.to_be_bytes());
        data.nested(3, |data| data.attribute(1, value));
    });
}

fn expression(list: &mut Message, name: &str, fill: impl FnOnce(&mut Message)) {
    list.nested(1, |element| {
        element.text(1, name);
        element.nested(2, fill);
    });
}
