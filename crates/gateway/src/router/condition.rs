//! The single conditions of a route: hosts, server names, fields, ends of a connection.

use super::index::Host;
use super::pattern::Pattern;
use crate::Compatibility;
use crate::entity::{Ends, EndsIp};
use ringwall_model::Fields;
use std::net::SocketAddr;

/// A name with an asterisk at one end, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Affix {
    /// The name itself.
    Whole(Box<[u8]>),
    /// `*.example`: what it ends with.
    Suffix(Box<[u8]>),
    /// `example.*`: what it begins with.
    Prefix(Box<[u8]>),
}

impl Affix {
    /// Lower case; a name with an asterisk elsewhere is taken literally, as Kong does.
    pub fn read(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        if let Some(rest) = name.strip_prefix('*') {
            Self::Suffix(rest.as_bytes().into())
        } else if let Some(rest) = name.strip_suffix('*') {
            Self::Prefix(rest.as_bytes().into())
        } else {
            Self::Whole(name.into_bytes().into())
        }
    }

    /// Whether the lower-case `name` fits.
    pub fn fits(&self, name: &[u8]) -> bool {
        match self {
            Self::Whole(whole) => **whole == *name,
            Self::Suffix(end) => name.ends_with(end),
            Self::Prefix(start) => name.starts_with(start),
        }
    }
}

/// A host of a route, perhaps with a port.
#[derive(Clone, Debug)]
pub struct HostRule {
    pub name: Affix,
    pub port: Option<u16>,
}

impl HostRule {
    /// `example.com:8443` asks for that port, `example.com` for none. What follows the colon and is no port belongs to
    /// the name.
    pub fn read(text: &str) -> Self {
        let split = text.split_once(':').and_then(|(name, port)| Some((name, port.parse().ok()?)));
        let (name, port) = split.map_or((text, None), |(name, port)| (name, Some(port)));
        Self { name: Affix::read(name), port }
    }

    pub fn fits(&self, host: &Host) -> bool {
        self.name.fits(host.name()) && self.port.is_none_or(|port| port == host.port)
    }
}

/// Server names: a trailing dot of a rule does not count.
pub fn server_name(text: &str) -> Affix {
    Affix::read(if text.len() > 1 { text.strip_suffix('.').unwrap_or(text) } else { text })
}

/// One field a route asks for: any value of any line of it may fit.
#[derive(Clone, Debug)]
pub struct FieldRule {
    name: Box<str>,
    values: Vec<ValueRule>,
}

#[derive(Clone, Debug)]
enum ValueRule {
    /// Lower case.
    Text(Box<str>),
    Pattern(Pattern),
}

impl FieldRule {
    /// Values that cannot be compiled match nothing.
    pub fn read(name: &str, values: &[Box<str>], compatibility: Compatibility) -> Self {
        let value = |text: &str| match text.strip_prefix("~*") {
            Some(pattern) => Pattern::compile_for_field(pattern, compatibility).ok().map(ValueRule::Pattern),
            None => Some(ValueRule::Text(text.to_ascii_lowercase().into())),
        };
        Self { name: name.into(), values: values.iter().filter_map(|text| value(text)).collect() }
    }

    /// Kong makes `_` of `-` in field names before it compares them, so both spellings of a field count.
    pub fn fits(&self, fields: &Fields) -> bool {
        fields
            .iter()
            .filter(|field| ringwall_model::edit::same_when_folded(&field.name, self.name.as_bytes()))
            .any(|field| self.values.iter().any(|rule| rule.fits(&field.value)))
    }
}

impl ValueRule {
    fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::Text(text) => std::str::from_utf8(value)
                .is_ok_and(|value| value.chars().flat_map(char::to_lowercase).eq(text.chars())),
            Self::Pattern(pattern) => pattern.is_in(value),
        }
    }
}

/// Whether one of the ends fits the address and port.
pub fn ends_fit(ends: &[Ends], address: SocketAddr) -> bool {
    ends.is_empty()
        || ends.iter().any(|end| {
            let ip = match end.ip {
                Some(EndsIp::One(ip)) => ip == address.ip(),
                Some(EndsIp::Range(net)) => net.contains(&address.ip()),
                None => true,
            };
            // An end without both was refused when read; here it fits nothing.
            ip && end.port.is_none_or(|port| port == address.port()) && (end.ip.is_some() || end.port.is_some())
        })
}
