//! Who else changes our table: the kernel tells every change of its rules, and which process made it.

use super::batch::{INET, NFTABLES, TABLE};
use super::read::inside;
use super::{Own, is_ours};
use crate::netlink::attribute::Attributes;
use crate::netlink::{Error, Message, Socket, Wait, messages};
use rustix::net::netlink::NETFILTER;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// A change of our table that was not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignChange {
    /// The process that made it, where it is visible, and its name as it gives itself.
    pub process: Option<(u32, Box<str>)>,
    /// How many sets, chains, rules and lists of elements it changed.
    pub messages: usize,
}

/// Hears changes, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Watch {
    socket: Socket,
    own: Arc<Own>,
    pending: usize,
}

/// The group of `NFNLGRP_NFTABLES`, as a bit.
const GROUP: u32 = 1 << 6;
/// Room for changes that were not read yet; a large transaction tells each of its elements.
const ROOM: usize = 64 << 20;

impl Watch {
    pub(super) fn open(own: Arc<Own>) -> Result<Self, Error> {
        let mut socket = Socket::open(NETFILTER, GROUP)?;
        socket.widen(ROOM);
        Ok(Self { socket, own, pending: 0 })
    }

    /// Reads what the kernel told; `each` gets the changes of our table that others made.
    ///
    /// # Errors
    /// [`Error::Lost`] when more was told than was read: then there may have been any change.
    pub fn read(&mut self, wait: Wait, mut each: impl FnMut(ForeignChange)) -> Result<(), Error> {
        const NEW_GENERATION: u16 = 15;
        let Self { socket, own, pending } = self;
        for message in messages(socket.receive(wait)?).filter(|message| message.kind & 0xff00 == NFTABLES) {
            let told = inside(&message);
            if message.kind & 0xff == NEW_GENERATION {
                if *pending > 0 {
                    each(ForeignChange { process: process(&told), messages: std::mem::take(pending) });
                }
            } else if !is_ours(own, message.port) && is_about_us(&message, &told) {
                *pending += 1;
            }
        }
        Ok(())
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Every message about a table, or what is in one, has the table's name as its first attribute.
fn is_about_us(message: &Message<'_>, told: &Attributes<'_>) -> bool {
    message.payload.first() == Some(&INET) && told.text(1) == Some(TABLE)
}

fn process(told: &Attributes<'_>) -> Option<(u32, Box<str>)> {
    Some((told.be32(2)?, told.text(3).unwrap_or_default().into()))
}
