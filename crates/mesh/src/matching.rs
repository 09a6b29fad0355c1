//! The forms that a value of a security policy has, and how each is read from the manifest's text.
//!
//! In: text of a policy. Out: [`Form`], which is data: `judge` compiles it into a [`set::TextIndex`]. Never: a regular
//! expression. Follows Istio's matcher: `*` non-empty, `abc*` prefix, `*abc` suffix, else exact; a star elsewhere is
//! itself.

pub mod set;
pub mod template;

use ipnet::IpNet;
use smallvec::SmallVec;
use std::net::IpAddr;

/// One value of a policy, as a pattern over text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Anything, also empty: a header that is there.
    Present,
    /// Anything that is not empty.
    Any,
    /// This text.
    Exact(Box<str>),
    /// What begins so.
    Prefix(Box<str>),
    /// What ends so.
    Suffix(Box<str>),
    /// These pieces in this order, with anything between them, from the beginning to the end.
    Glob(Vec<Box<str>>),
}

impl Form {
    /// The common reading: principals, paths, methods, hosts, server names, claims.
    pub fn read(value: &str) -> Self {
        if value == "*" {
            Self::Any
        } else if let Some(end) = value.strip_prefix('*') {
            Self::Suffix(end.into())
        } else if let Some(start) = value.strip_suffix('*') {
            Self::Prefix(start.into())
        } else {
            Self::Exact(value.into())
        }
    }

    /// The reading of header values: `*` is a header that is there, even when it is empty.
    pub fn read_header(value: &str) -> Self {
        if value == "*" { Self::Present } else { Self::read(value) }
    }

    /// The reading of namespaces, where every `*` stands for anything.
    pub fn read_namespace(value: &str) -> Self {
        if value.matches('*').count() > 1 || value.trim_matches('*').contains('*') {
            Self::Glob(value.split('*').map(Into::into).collect())
        } else {
            Self::read(value)
        }
    }

    /// The same form in lower case, for hosts.
    #[must_use]
    pub fn lower_case(&self) -> Self {
        match self {
            Self::Present => Self::Present,
            Self::Any => Self::Any,
            Self::Exact(text) => Self::Exact(text.to_ascii_lowercase().into()),
            Self::Prefix(text) => Self::Prefix(text.to_ascii_lowercase().into()),
            Self::Suffix(text) => Self::Suffix(text.to_ascii_lowercase().into()),
            Self::Glob(pieces) => Self::Glob(pieces.iter().map(|text| text.to_ascii_lowercase().into()).collect()),
        }
    }

    /// The text it was read from.
    pub fn text(&self) -> String {
        match self {
            Self::Present | Self::Any => "*".into(),
            Self::Exact(text) => text.to_string(),
            Self::Prefix(text) => format!("{text}*"),
            Self::Suffix(text) => format!("*{text}"),
            Self::Glob(pieces) => pieces.join("*"),
        }
    }

    /// Whether the form matches a text.
    pub fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Any => !value.is_empty(),
            Self::Exact(text) => text.as_bytes() == value,
            Self::Prefix(text) => value.starts_with(text.as_bytes()),
            Self::Suffix(text) => value.ends_with(text.as_bytes()),
            Self::Glob(pieces) => glob(pieces, value),
        }
    }
}

/// Leftmost match of each inner piece; linear in the text for each piece.
fn glob(pieces: &[Box<str>], value: &[u8]) -> bool {
    let [first, inner @ .., last] = pieces else { return false };
    let Some(mut rest) = value.strip_prefix(first.as_bytes()).and_then(|rest| rest.strip_suffix(last.as_bytes()))
    else {
        return false;
    };
    for piece in inner.iter().filter(|piece| !piece.is_empty()) {
        let found = rest.windows(piece.len()).position(|window| window == piece.as_bytes());
        match found.and_then(|at| rest.get(at + piece.len()..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

/// Reads `10.0.0.0/8` or a single address, which is the block of itself. IPv4 in IPv6 form is IPv4.
pub fn read_block(text: &str) -> Option<IpNet> {
    let block = match text.parse::<IpNet>() {
        Ok(block) => block,
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?.to_canonical()),
    };
    Some(block.trunc())
}

/// An address as text of bits, one a byte after its family, so that a block is a prefix of the addresses in it.
pub(crate) fn bits(address: IpAddr, length: u8) -> SmallVec<[u8; 256]> {
    let (family, number, width) = match address.to_canonical() {
        IpAddr::V4(address) => (b'4', u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (b'6', address.to_bits(), 128),
    };
    let mut text = SmallVec::new();
    text.push(family);
    text.extend((0..length.min(width)).map(|at| b'0' + (number >> (127 - u32::from(at)) & 1) as u8));
    text
}

#[cfg(test)]
mod tests;
