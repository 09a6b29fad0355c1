//! A batch: messages that the kernel takes all or not at all, each with words for the error that may come back.
//! Written here are the messages for tables, chains, rules, sets and elements of the family `inet`.

use super::expression::Expression;
use super::table::{Also, Chain, Element, Keys, Set, SetKind};
use crate::netlink::attribute::Writer;
use crate::netlink::{APPEND, CREATE, EXCL};

/// The table that is ours, whole.
pub const TABLE: &str = "ringwall";
/// `NFPROTO_INET`
pub(crate) const INET: u8 = 1;
/// `NFNL_SUBSYS_NFTABLES`, as the upper half of a type.
pub(crate) const NFTABLES: u16 = 10 << 8;
/// The list of elements in one message stays below what a nested attribute can say.
const CHUNK: usize = 60_000;
/// `NFT_SET_ELEM_INTERVAL_END`
pub(crate) const INTERVAL_END: u32 = 1;

pub(crate) const NEW_TABLE: u16 = 0;
pub(crate) const DELETE_TABLE: u16 = 2;
pub(crate) const NEW_CHAIN: u16 = 3;
pub(crate) const GET_CHAIN: u16 = 4;
pub(crate) const DELETE_CHAIN: u16 = 5;
pub(crate) const NEW_RULE: u16 = 6;
pub(crate) const GET_RULE: u16 = 7;
pub(crate) const DELETE_RULE: u16 = 8;
pub(crate) const NEW_SET: u16 = 9;
pub(crate) const GET_SET: u16 = 10;
pub(crate) const DELETE_SET: u16 = 11;
pub(crate) const NEW_ELEMENTS: u16 = 12;
pub(crate) const GET_ELEMENTS: u16 = 13;
pub(crate) const DELETE_ELEMENTS: u16 = 14;
pub(crate) const GET_GENERATION: u16 = 16;

/// The kernel lets only one kind of chain change where a connection goes.
fn kind_of(chain: &Chain) -> &'static str {
    let redirects = |rule: &Vec<Expression>| rule.iter().any(|it| matches!(it, Expression::Redirect(_)));
    if chain.rules.iter().any(redirects) { "nat" } else { "filter" }
}

/// Messages, in the order in which the kernel takes them.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    messages: Vec<Entry>,
    bytes: usize,
}

/// One message of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its type and flags.
    pub kind: u16,
    pub flags: u16,
    /// What follows the head; `None`: it was too long.
    pub payload: Option<Vec<u8>>,
    /// What it is, for people.
    pub label: Box<str>,
}

/// The head of netfilter's messages: family, version, resource.
pub(crate) fn head(family: u8) -> [u8; 4] {
    [family, 0, 0, 0]
}

/// A message about our table.
pub(crate) fn about(name_kind: u16, name: &str) -> Writer {
    let mut writer = Writer::default();
    writer.raw(&head(INET)).text(1, TABLE);
    if !name.is_empty() {
        writer.text(name_kind, name);
    }
    writer
}

impl Batch {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// How many bytes the kernel gets.
    pub fn bytes(&self) -> usize {
        self.bytes + 64
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.messages
    }

    /// Puts another batch behind this one.
    pub fn append(&mut self, mut other: Self) {
        self.bytes += other.bytes;
        self.messages.append(&mut other.messages);
    }

    /// Cuts the batch into pieces of at most so many bytes, where a piece may be one message.
    pub fn cut(self, most: usize) -> Vec<Self> {
        let mut pieces = vec![Self::default()];
        for entry in self.messages {
            let len = entry.len();
            if pieces.last().is_some_and(|piece| !piece.is_empty() && piece.bytes() + len > most) {
                pieces.push(Self::default());
            }
            if let Some(piece) = pieces.last_mut() {
                piece.bytes += len;
                piece.messages.push(entry);
            }
        }
        pieces
    }

    fn push(&mut self, kind: u16, flags: u16, writer: Writer, label: String) {
        let entry = Entry { kind: NFTABLES | kind, flags, payload: writer.finish(), label: label.into() };
        self.bytes += entry.len();
        self.messages.push(entry);
    }

    /// Our table, when it is not there yet.
    pub fn table(&mut self) {
        let mut writer = about(0, "");
        writer.be32(2, 0);
        self.push(NEW_TABLE, CREATE, writer, format!("table inet {TABLE}"));
    }

    /// Our table goes, with all that is in it.
    pub fn delete_table(&mut self) {
        self.push(DELETE_TABLE, 0, about(0, ""), format!("the deletion of table inet {TABLE}"));
    }

    /// A set without its elements.
    pub fn set(&mut self, name: &str, kind: &SetKind) {
        const INTERVAL: u32 = 0x4;
        const MAP: u32 = 0x8;
        const TIMEOUT: u32 = 0x10;
        const EVALUATED: u32 = 0x20;
        const CONCATENATED: u32 = 0x80;
        const VERDICT: u32 = 0xffff_ff00;
        let intervals = if kind.keys == Keys::Intervals { INTERVAL } else { 0 };
        let several = if kind.key.len() > 1 { CONCATENATED } else { 0 };
        let also = match kind.also {
            Also::Nothing => 0,
            Also::Verdicts => MAP,
            Also::Timeouts => TIMEOUT,
            Also::Meters => TIMEOUT | EVALUATED,
        };
        let mut w = about(2, name);
        w.be32(3, intervals | several | also).be32(4, kind.key_type()).be32(5, kind.key_len());
        // The kernel wants a number by which messages of the same batch may name the set.
        w.be32(10, u32::try_from(self.messages.len()).unwrap_or_default() + 1);
        if kind.also == Also::Verdicts {
            w.be32(6, VERDICT).be32(7, 4);
        }
        w.nested(9, |description| {
            match kind.also {
                Also::Meters => description.be32(1, METER_ELEMENTS),
                Also::Nothing if kind.room > 0 => description.be32(1, kind.room),
                _ => description,
            };
            if kind.key.len() > 1 {
                description.nested(2, |parts| {
                    for part in kind.key {
                        parts.nested(1, |field| {
                            field.be32(1, part.width());
                        });
                    }
                });
            }
        });
        self.push(NEW_SET, CREATE, w, format!("set {name}"));
    }

    /// A set goes.
    pub fn delete_set(&mut self, name: &str) {
        self.push(DELETE_SET, 0, about(2, name), format!("the deletion of set {name}"));
    }

    /// Elements come into a set, or go out of it.
    pub fn elements(&mut self, name: &str, set: &Set, change: Change, elements: &[&Element]) {
        self.timed_elements(name, &set.kind, change, elements.iter().map(|element| (*element, None)));
    }

    /// The same with a timeout each, in milliseconds.
    pub fn timed_elements<'a>(
        &mut self,
        name: &str,
        kind: &SetKind,
        change: Change,
        elements: impl Iterator<Item = (&'a Element, Option<u64>)>,
    ) {
        let (message, flags, word) = match change {
            Change::Add => (NEW_ELEMENTS, CREATE, "elements of"),
            Change::AddNew => (NEW_ELEMENTS, CREATE | EXCL, "a new element of"),
            Change::Delete => (DELETE_ELEMENTS, 0, "the deletion of elements of"),
        };
        let mut elements = elements.peekable();
        while elements.peek().is_some() {
            let mut w = Writer::default();
            w.raw(&head(INET)).text(1, TABLE).text(2, name).nested(3, |list| {
                while list.len() < CHUNK {
                    let Some((element, timeout)) = elements.next() else { break };
                    write_element(list, kind, element, timeout);
                }
            });
            self.push(message, flags, w, format!("{word} set {name}"));
        }
    }

    /// All elements go out of a set.
    pub fn empty(&mut self, name: &str) {
        self.push(DELETE_ELEMENTS, 0, about(2, name), format!("the emptying of set {name}"));
    }

    /// A chain without its rules.
    pub fn chain(&mut self, name: &str, chain: &Chain) {
        let mut w = about(3, name);
        if let Some(hook) = &chain.hook {
            w.nested(4, |inside| {
                inside.be32(1, hook.place as u32).bytes(2, &hook.priority.to_be_bytes());
                if !hook.links.is_empty() {
                    inside.nested(4, |links| {
                        hook.links.iter().for_each(|link| {
                            links.text(1, link);
                        });
                    });
                }
            });
            // What no rule speaks of is not ours to refuse.
            w.be32(5, 1).text(7, kind_of(chain));
        }
        self.push(NEW_CHAIN, CREATE, w, format!("chain {name}"));
    }

    /// A chain goes; its rules went before.
    pub fn delete_chain(&mut self, name: &str) {
        self.push(DELETE_CHAIN, 0, about(3, name), format!("the deletion of chain {name}"));
    }

    /// The rules of a chain, behind those that it has.
    pub fn rules(&mut self, name: &str, chain: &Chain) {
        for (number, rule) in chain.rules.iter().enumerate() {
            let mut w = about(2, name);
            w.nested(4, |list| rule.iter().for_each(|expression| expression.write(list)));
            self.push(NEW_RULE, CREATE | APPEND, w, format!("rule {number} of chain {name}"));
        }
    }

    /// All rules of a chain go.
    pub fn delete_rules(&mut self, name: &str) {
        self.push(DELETE_RULE, 0, about(2, name), format!("the deletion of the rules of chain {name}"));
    }
}

impl Entry {
    fn len(&self) -> usize {
        16 + self.payload.as_ref().map_or(0, Vec::len).next_multiple_of(4)
    }
}

/// Sources that meters know at once.
const METER_ELEMENTS: u32 = 65_536;

/// Which way elements go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// In.
    Add,
    /// In, when none is there with that key (`EEXIST`).
    AddNew,
    /// Out.
    Delete,
}

fn write_element(list: &mut Writer, kind: &SetKind, element: &Element, timeout: Option<u64>) {
    let tree = kind.keys == Keys::Intervals && kind.key.len() == 1;
    list.nested(1, |w| {
        w.value(1, element.key.bytes());
        if let Some(verdict) = &element.verdict {
            w.nested(2, |data| verdict.write(data));
        }
        if let Some(milliseconds) = timeout {
            w.be64(4, milliseconds);
        }
        if let Some(last) = element.last.filter(|_| !tree) {
            w.value(10, last.bytes());
        }
    });
    // In a set of intervals with one part, the end is an element of its own: the first key behind.
    if let Some(behind) = element.last.filter(|_| tree).and_then(|last| last.next()) {
        list.nested(1, |w| {
            w.value(1, behind.bytes()).be32(3, INTERVAL_END);
        });
    }
}
