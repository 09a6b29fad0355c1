//! What the kernel has in our table, read back as a [`Table`].

use super::batch::{
    GET_CHAIN, GET_ELEMENTS, GET_GENERATION, GET_RULE, GET_SET, INET, INTERVAL_END, NFTABLES, TABLE, about, head,
};
use super::expression::{Verdict, read_list};
use super::table::{Also, Chain, Element, Elements, Hook, Key, Keys, Name, Part, Place, Set, SetKind, Table};
use crate::netlink::attribute::{Attributes, attributes};
use crate::netlink::{Error, Message, Socket};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The attributes of a netfilter message.
pub fn inside<'a>(message: &Message<'a>) -> Attributes<'a> {
    attributes(message.payload.get(4..).unwrap_or_default())
}

/// The number that each transaction makes greater by one, in the whole network namespace.
pub fn generation(socket: &mut Socket) -> Result<u32, Error> {
    let mut number = 0;
    socket.request("the generation", NFTABLES | GET_GENERATION, 0, &head(0), |message| {
        number = inside(message).be32(1).unwrap_or(number);
    })?;
    Ok(number)
}

/// Our table; an empty one when there is none. Only what has a wanted name is read with its elements or rules.
pub fn table(socket: &mut Socket, wanted: &dyn Fn(&str) -> bool) -> Result<Table, Error> {
    let mut table = Table { sets: sets(socket)?, chains: chains(socket)? };
    for (name, set) in table.sets.iter_mut().filter(|(name, _)| wanted(name)) {
        if let Elements::Fixed(elements) = &mut set.elements {
            *elements = Arc::new(read_elements(socket, name, &set.kind)?);
        }
    }
    for (name, chain) in table.chains.iter_mut().filter(|(name, _)| wanted(name)) {
        chain.rules = rules(socket, name)?;
    }
    Ok(table)
}

/// Reads everything of a kind in our table; what is not there is empty.
fn dump<T: Default>(
    socket: &mut Socket,
    label: &str,
    kind: u16,
    payload: &[u8],
    mut each: impl FnMut(&mut T, &Attributes<'_>),
) -> Result<T, Error> {
    let mut all = T::default();
    let walked = socket.dump(label, NFTABLES | kind, payload, |message| match message {
        None => all = T::default(),
        Some(message) if message.payload.first() == Some(&INET) => {
            let read = inside(message);
            if read.text(1) == Some(TABLE) {
                each(&mut all, &read);
            }
        }
        Some(_) => {}
    });
    match walked {
        Err(error) if error.is_refusal(libc::ENOENT) => Ok(T::default()),
        walked => walked.map(|()| all),
    }
}

fn sets(socket: &mut Socket) -> Result<BTreeMap<Name, Set>, Error> {
    let asked = about(2, "").finish().unwrap_or_default();
    dump(socket, "the sets", GET_SET, &asked, |sets: &mut BTreeMap<Name, Set>, read| {
        if let Some(name) = read.text(2) {
            let kind = set_kind(read);
            let living = matches!(kind.also, Also::Timeouts | Also::Meters);
            let elements = if living { Elements::Living } else { Elements::Fixed(Arc::default()) };
            sets.insert(name.into(), Set { kind, elements });
        }
    })
}

/// The kinds of keys that this room makes.
pub(super) const KEYS: &[&[Part]] = &[
    &[Part::V4],
    &[Part::V6],
    &[Part::Interface],
    &[Part::V4, Part::Protocol, Part::Port],
    &[Part::V6, Part::Protocol, Part::Port],
    &[Part::Interface, Part::V4],
    &[Part::Interface, Part::V6],
];

/// What a set's message says it is; a key that this room does not make has no parts.
fn set_kind(read: &Attributes<'_>) -> SetKind {
    let flags = read.be32(3).unwrap_or_default();
    let (len, number) = (read.be32(5).unwrap_or_default(), read.be32(4).unwrap_or_default());
    let as_made = |key: &'static [Part]| {
        let kind = SetKind { key, keys: Keys::Single, also: Also::Nothing, room: 0 };
        kind.key_len() == len && kind.key_type() == number
    };
    let also = match (flags & 0x8 != 0, flags & 0x10 != 0, flags & 0x20 != 0) {
        (true, ..) => Also::Verdicts,
        (_, true, true) => Also::Meters,
        (_, true, _) => Also::Timeouts,
        _ => Also::Nothing,
    };
    SetKind {
        key: KEYS.iter().copied().find(|key| as_made(key)).unwrap_or_default(),
        keys: if flags & 0x4 != 0 { Keys::Intervals } else { Keys::Single },
        room: if also == Also::Nothing { read.inside(9).be32(1).unwrap_or_default() } else { 0 },
        also,
    }
}

/// An element as the kernel tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The element.
    pub element: Element,
    /// Whether it is the end of an interval, not a key.
    pub is_end: bool,
    /// How long it was to live, in milliseconds.
    pub timeout: Option<u64>,
    /// How long it lives yet, in milliseconds.
    pub expires: Option<u64>,
}

/// All elements of a set, as the kernel tells them.
pub fn told_elements(socket: &mut Socket, set: &str) -> Result<Vec<Told>, Error> {
    let asked = about(2, set).finish().unwrap_or_default();
    dump(socket, "the elements", GET_ELEMENTS, &asked, |all: &mut Vec<Told>, read| {
        all.extend(read.inside(3).filter_map(|(_, element)| told(&attributes(element))));
    })
}

/// Reads one element of a list.
pub fn told(read: &Attributes<'_>) -> Option<Told> {
    let key = |kind: u16| read.inside(kind).first(1).and_then(Key::read);
    Some(Told {
        element: Element {
            key: key(1)?,
            last: key(10),
            verdict: read.first(2).and_then(|data| Verdict::read(&attributes(data))).map(Arc::new),
        },
        is_end: read.be32(3).unwrap_or_default() & INTERVAL_END != 0,
        timeout: read.be64(4),
        expires: read.be64(5).or_else(|| read.be64(4)),
    })
}

fn read_elements(socket: &mut Socket, name: &str, kind: &SetKind) -> Result<Vec<Element>, Error> {
    let told = told_elements(socket, name)?;
    let tree = kind.keys == Keys::Intervals && kind.key.len() == 1;
    let mut elements = if tree { intervals(told) } else { told.into_iter().map(|told| told.element).collect() };
    elements.sort_unstable();
    Ok(elements)
}

/// Pairs the starts of intervals with their ends.
pub fn intervals(mut told: Vec<Told>) -> Vec<Element> {
    told.sort_unstable_by_key(|told| (told.element.key, !told.is_end));
    let mut elements: Vec<Element> = Vec::new();
    let mut open: Option<Key> = None;
    for one in told {
        let key = one.element.key;
        if let Some(first) = open.take() {
            elements.push(Element::interval(first, key.previous().unwrap_or(key)));
        }
        open = (!one.is_end).then_some(key);
    }
    elements.extend(open.map(|first| Element::interval(first, first.last())));
    elements
}

fn chains(socket: &mut Socket) -> Result<BTreeMap<Name, Chain>, Error> {
    dump(socket, "the chains", GET_CHAIN, &head(INET), |chains: &mut BTreeMap<Name, Chain>, read| {
        if let Some(name) = read.text(3) {
            let hook = read.inside(4);
            let place = hook.be32(1).and_then(Place::read);
            let priority = hook.be32(2).map(u32::cast_signed);
            let mut links: Vec<Name> = hook.inside(4).filter_map(|(_, link)| read_text(link)).collect();
            links.sort_unstable();
            let hook = place.zip(priority).map(|(place, priority)| Hook { place, priority, links });
            chains.insert(name.into(), Chain { hook, rules: Vec::new() });
        }
    })
}

/// A text that is closed by a zero.
fn read_text(bytes: &[u8]) -> Option<Name> {
    let text = bytes.split(|byte| *byte == 0).next()?;
    std::str::from_utf8(text).ok().map(Into::into)
}

fn rules(socket: &mut Socket, chain: &str) -> Result<Vec<Vec<super::expression::Expression>>, Error> {
    let asked = about(2, chain).finish().unwrap_or_default();
    dump(socket, "the rules", GET_RULE, &asked, |all: &mut Vec<_>, read| {
        if read.text(2) == Some(chain) {
            all.push(read_list(read.first(4).unwrap_or_default()));
        }
    })
}

/// Packets and bytes that each chain's first counter counted.
pub fn counters(socket: &mut Socket) -> Result<BTreeMap<Name, (u64, u64)>, Error> {
    dump(socket, "the rules", GET_RULE, &about(2, "").finish().unwrap_or_default(), |all: &mut BTreeMap<_, _>, read| {
        let Some(chain) = read.text(2) else { return };
        let expressions = read.inside(4).map(|(_, expression)| attributes(expression));
        let counted = expressions.filter(|e| e.text(1) == Some("counter")).map(|e| e.inside(2));
        for counter in counted {
            let counts = (counter.be64(2).unwrap_or_default(), counter.be64(1).unwrap_or_default());
            all.entry(chain.into()).or_insert(counts);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_and_ends_make_intervals() {
        let key = |n: u8| Key::read(&[10, 0, 0, n]).unwrap();
        let told = |n: u8, is_end| Told { element: Element::single(key(n)), is_end, timeout: None, expires: None };
        let read = intervals(vec![told(8, true), told(4, false), told(8, false), told(9, true), told(200, false)]);
        let last = Key::read(&[255; 4]).unwrap();
        let wanted =
            [Element::interval(key(4), key(7)), Element::interval(key(8), key(8)), Element::interval(key(200), last)];
        assert_eq!(read, wanted);
    }
}
