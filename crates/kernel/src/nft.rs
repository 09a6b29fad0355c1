//! nftables over netlink, without the `nft` program: what stands in our table as data, the transaction that makes one of
//! it another, and the reading back.
//!
//! In: [`table::Table`]s. Out: one transaction, all or nothing, that names the message which the kernel refused.
//! Never: a flush, another table than `inet ringwall`, a table owned by a process (it would vanish with it).
//! Follows `linux/netfilter/nf_tables.h`. Start reading at [`table`].

pub mod batch;
pub mod boxes;
pub mod difference;
pub mod expression;
pub mod group;
pub mod layout;
pub mod read;
pub mod rule;
pub mod table;
pub mod text;
pub mod watch;

use crate::netlink::attribute::Writer;
use crate::netlink::{ACK, Answer, Error, REQUEST, Socket, Wait, answer, append, messages};
use batch::Batch;
use rustix::net::netlink::NETFILTER;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use table::Table;

/// Which state of the kernel's rules a batch is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// Whatever it is.
    Any,
    /// This one; the kernel refuses the batch (`ERESTART`) when another is in force.
    This(u32),
}

/// What takes batches and tells what is in force: the kernel, or something that stands before it.
pub trait NftBackend {
    /// Takes all of a batch, or nothing.
    fn commit(&mut self, batch: &Batch, generation: Generation) -> Result<(), Error>;
    /// What is in force in our table; only what has a wanted name with its elements or rules.
    fn table(&mut self, wanted: &dyn Fn(&str) -> bool) -> Result<Table, Error>;
    /// The number that each transaction of anybody makes greater by one.
    fn generation(&mut self) -> Result<u32, Error>;
    /// The longest batch that is taken, in bytes.
    fn longest(&self) -> usize;
    /// How many batches were taken from this and its siblings: as many generations are ours.
    fn taken(&self) -> u32;
}

/// The kernel's nftables, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Nftables {
    socket: Socket,
    longest: usize,
    own: Arc<Own>,
}

/// What all sockets of one firewall have in common.
#[derive(Debug, Default)]
pub(crate) struct Own {
    taken: AtomicU32,
    ports: Mutex<Vec<u32>>,
}

/// Whether a change came from one of these sockets.
fn is_ours(own: &Own, port: u32) -> bool {
    own.ports.lock().unwrap_or_else(PoisonError::into_inner).contains(&port)
}

/// `ERESTART`: the batch was made for another generation.
pub const OTHER_GENERATION: i32 = 85;
/// Room for a batch where the machine's administrator asks.
const ROOM: usize = 256 << 20;

impl Nftables {
    /// Opens a socket; needs CAP_NET_ADMIN in this network namespace for anything but looking.
    pub fn open() -> Result<Self, Error> {
        Self::beside(Arc::default())
    }

    fn beside(own: Arc<Own>) -> Result<Self, Error> {
        let mut socket = Socket::open(NETFILTER, 0)?;
        let longest = socket.widen(ROOM);
        own.ports.lock().unwrap_or_else(PoisonError::into_inner).push(socket.port());
        Ok(Self { socket, longest, own })
    }

    /// Opens another socket; both count the batches that the kernel took in one number.
    pub fn another(&self) -> Result<Self, Error> {
        Self::beside(self.own.clone())
    }

    /// Hears what others do to our table.
    pub fn watch(&self) -> Result<watch::Watch, Error> {
        watch::Watch::open(self.own.clone())
    }

    /// The number by which the kernel names this socket in events.
    pub fn port(&self) -> u32 {
        self.socket.port()
    }

    /// The socket, for reading.
    pub fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Takes the kernel's answers: all are there when the batch was sent.
    fn settle(&mut self, batch: &Batch, first: u32) -> Result<(), Error> {
        let name = |sequence: u32| {
            let entry = (sequence.wrapping_sub(first) as usize).checked_sub(1).and_then(|n| batch.entries().get(n));
            entry.map_or_else(|| "the batch".into(), |entry| entry.label.clone())
        };
        let (mut refused, mut last) = (None, None);
        loop {
            let received = self.socket.receive(Wait::No)?;
            if received.is_empty() {
                break;
            }
            for message in messages(received) {
                // Answers to something older have no place here.
                if message.sequence.wrapping_sub(first) as usize > batch.len() + 1 {
                    continue;
                }
                match answer(&message) {
                    Some(Answer { errno: 0, .. }) => last = Some(message.sequence),
                    Some(Answer { errno, text }) if refused.is_none() => {
                        refused = Some(Error::Refused { message: name(message.sequence), errno, text });
                    }
                    _ => {}
                }
            }
        }
        match (refused, last) {
            (Some(error), _) => Err(error),
            (None, Some(_)) => Ok(()),
            (None, None) => Err(Error::Silent("a batch".into())),
        }
    }
}

impl NftBackend for Nftables {
    fn commit(&mut self, batch: &Batch, generation: Generation) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let count = u32::try_from(batch.len() + 2).unwrap_or(u32::MAX);
        let first = self.socket.sequences(count);
        self.socket.send(&encode(batch, generation, first)?)?;
        self.settle(batch, first)?;
        self.own.taken.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn taken(&self) -> u32 {
        self.own.taken.load(Ordering::SeqCst)
    }

    fn table(&mut self, wanted: &dyn Fn(&str) -> bool) -> Result<Table, Error> {
        read::table(&mut self.socket, wanted)
    }

    fn generation(&mut self) -> Result<u32, Error> {
        read::generation(&mut self.socket)
    }

    fn longest(&self) -> usize {
        self.longest
    }
}

/// The batch as the kernel takes it, its messages numbered from `first`.
fn encode(batch: &Batch, generation: Generation, first: u32) -> Result<Vec<u8>, Error> {
    const BEGIN: u16 = 0x10;
    const END: u16 = 0x11;
    const NFTABLES: [u8; 4] = [0, 0, 0, 10];
    let mut bytes = Vec::with_capacity(batch.bytes());
    let mut begin = Writer::default();
    begin.raw(&NFTABLES);
    if let Generation::This(number) = generation {
        begin.be32(1, number);
    }
    let mut sequence = first;
    append(&mut bytes, BEGIN, REQUEST, sequence, &begin.finish().unwrap_or_default());
    for (number, entry) in (1..).zip(batch.entries()) {
        sequence = sequence.wrapping_add(1);
        let payload = entry.payload.as_ref().ok_or_else(|| Error::TooLong(entry.label.clone()))?;
        // Errors come for any message; a yes is wanted for the last.
        let ack = if number == batch.len() { ACK } else { 0 };
        append(&mut bytes, entry.kind, REQUEST | ack | entry.flags, sequence, payload);
    }
    append(&mut bytes, END, REQUEST, sequence.wrapping_add(1), &NFTABLES);
    Ok(bytes)
}
