//! What stands, or is to stand, in our table: sets with their elements, chains with their rules. Plain values, so that
//! what was asked for and what the kernel has can be compared.

use super::expression::{Expression, Verdict};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// A name of a set or a chain.
pub type Name = Box<str>;

/// All of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Sets and maps by name.
    pub sets: BTreeMap<Name, Set>,
    /// Chains by name.
    pub chains: BTreeMap<Name, Chain>,
}

/// A set, or a map to verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// What its elements are.
    pub kind: SetKind,
    /// What is in it.
    pub elements: Elements,
}

/// What is in a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Elements {
    /// These and no others; sorted, each once.
    Fixed(Arc<Vec<Element>>),
    /// What comes and goes by itself: it is neither compared nor touched by a change of the ruleset.
    Living,
}

/// What the elements of a set are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetKind {
    /// The parts of a key, in order.
    pub key: &'static [Part],
    /// How keys are held.
    pub keys: Keys,
    /// What else.
    pub also: Also,
    /// The most elements, for a set without intervals or time-outs that never grows: its table is made once and is small.
    /// 0: any number.
    pub room: u32,
}

/// How keys are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Single keys, hashed.
    Single,
    /// Intervals that do not overlap.
    Intervals,
}

/// What a set has beside its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Also {
    /// Nothing.
    Nothing,
    /// A verdict for each key.
    Verdicts,
    /// Elements end by themselves after a while.
    Timeouts,
    /// The same, and rules enter them, with expressions.
    Meters,
}

/// One part of a key; in a key with several, each fills whole words of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// An IPv4 address.
    V4,
    /// An IPv6 address.
    V6,
    /// An IP protocol number.
    Protocol,
    /// A port.
    Port,
    /// The name of an interface.
    Interface,
}

impl Part {
    /// Bytes of it in a key.
    pub const fn width(self) -> u32 {
        match self {
            Self::V4 => 4,
            Self::V6 | Self::Interface => 16,
            Self::Protocol => 1,
            Self::Port => 2,
        }
    }

    /// The number by which the `nft` program knows the type.
    const fn type_number(self) -> u32 {
        match self {
            Self::V4 => 7,
            Self::V6 => 8,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Interface => 41,
        }
    }

    /// The address part of a family.
    pub const fn address(family: Family) -> Self {
        match family {
            Family::V4 => Self::V4,
            Family::V6 => Self::V6,
        }
    }
}

impl SetKind {
    /// Length of a key in bytes.
    pub fn key_len(&self) -> u32 {
        match self.key {
            [one] => one.width(),
            parts => parts.iter().map(|part| part.width().next_multiple_of(4)).sum(),
        }
    }

    /// The number of the key's type for the `nft` program: six bits a part.
    pub fn key_type(&self) -> u32 {
        self.key.iter().fold(0, |number, part| number << 6 | part.type_number())
    }
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// What names of sets and chains of this family end in.
    pub const fn digit(self) -> char {
        match self {
            Self::V4 => '4',
            Self::V6 => '6',
        }
    }
}

/// A key: at most 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    bytes: [u8; Self::LONGEST],
    len: u8,
}

impl Key {
    const LONGEST: usize = 32;
    /// The empty one.
    pub const EMPTY: Self = Self { bytes: [0; Self::LONGEST], len: 0 };

    /// Reads a key; `None` when it is too long.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut key = Self::EMPTY;
        key.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        key.len = u8::try_from(bytes.len()).ok()?;
        Some(key)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The key with a part more, which fills whole words of 32 bits. What does not fit is left out.
    fn with(mut self, part: &[u8]) -> Self {
        let start = usize::from(self.len);
        if let Some(place) = self.bytes.get_mut(start..start + part.len()) {
            place.copy_from_slice(part);
            self.len = self.len.saturating_add(u8::try_from(part.len().next_multiple_of(4)).unwrap_or_default());
        }
        self
    }

    /// The key of an address.
    pub fn address(address: IpAddr) -> Self {
        Self::EMPTY.and_address(address)
    }

    /// The key of an interface's name; `None` when no interface can have it.
    pub fn interface(name: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        bytes.get_mut(..15)?.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        Some(Self::EMPTY.with(&bytes))
    }

    /// With an address.
    pub fn and_address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => self.with(&v4.octets()),
            IpAddr::V6(v6) => self.with(&v6.octets()),
        }
    }

    /// With an IP protocol number.
    pub fn and_protocol(self, protocol: u8) -> Self {
        self.with(&[protocol])
    }

    /// With a port.
    pub fn and_port(self, port: u16) -> Self {
        self.with(&port.to_be_bytes())
    }

    /// The next key, counted as one number; `None` behind the last.
    pub fn next(mut self) -> Option<Self> {
        for byte in self.bytes.get_mut(..usize::from(self.len))?.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                return Some(self);
            }
        }
        None
    }

    /// The key before; `None` before the first.
    pub fn previous(mut self) -> Option<Self> {
        for byte in self.bytes.get_mut(..usize::from(self.len))?.iter_mut().rev() {
            *byte = byte.wrapping_sub(1);
            if *byte != 255 {
                return Some(self);
            }
        }
        None
    }

    /// The last key of the same length.
    pub fn last(mut self) -> Self {
        self.bytes.iter_mut().take(usize::from(self.len)).for_each(|byte| *byte = 255);
        self
    }

    /// The address, when the key is nothing else.
    pub fn as_address(&self) -> Option<IpAddr> {
        let bytes = self.bytes();
        let v4 = || <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
        v4().or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.bytes().iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// An element of a set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    /// Its key, or the first of its interval.
    pub key: Key,
    /// The last of its interval.
    pub last: Option<Key>,
    /// Its verdict, in a map.
    pub verdict: Option<Arc<Verdict>>,
}

impl Element {
    /// A single key.
    pub const fn single(key: Key) -> Self {
        Self { key, last: None, verdict: None }
    }

    /// An interval, both ends in it.
    pub const fn interval(first: Key, last: Key) -> Self {
        Self { key: first, last: Some(last), verdict: None }
    }
}

/// A chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Where packets come in; `None`: only from other chains.
    pub hook: Option<Hook>,
    /// Its rules, in order.
    pub rules: Vec<Vec<Expression>>,
}

/// Where the kernel asks a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// When.
    pub place: Place,
    /// Before or after the others there: lower is earlier.
    pub priority: i32,
    /// The links of [`Place::Ingress`], sorted; none for the others, which hear all links.
    pub links: Vec<Name>,
}

/// The hooks of the family `inet`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// All that comes in.
    Prerouting = 0,
    /// What is for this machine.
    Input = 1,
    /// What goes through.
    Forward = 2,
    /// What this machine sends.
    Output = 3,
    /// What comes in by some links, before the stack has looked at it.
    Ingress = 5,
}

impl Place {
    /// By its number.
    pub fn read(number: u32) -> Option<Self> {
        let all = [Self::Prerouting, Self::Input, Self::Forward, Self::Output, Self::Ingress];
        all.into_iter().find(|place| *place as u32 == number)
    }
}
