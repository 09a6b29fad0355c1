//! Hosts by name: exact first, then the longest wildcard, then `*`.
//!
//! In: names with what belongs to them. Out: a look-up without allocation. Never: DNS.
//! Follows Envoy's virtual host search: exact, suffix wildcards longest first, `*`. `*.x` does not match `x`.

use smallvec::SmallVec;
use std::collections::BTreeMap;

/// The longest name of the DNS (RFC 1035 section 2.3.4), with a final dot.
const LONGEST: usize = 254;

/// A host in lower case without port, on the stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostName(SmallVec<[u8; 64]>);

impl HostName {
    /// Reads `host`, `host:port` or `[v6]:port`; the name in lower case, and the port if there is one.
    /// `None` for what is empty, too long, or not ASCII.
    pub fn read(authority: &[u8]) -> Option<(Self, Option<u16>)> {
        let (host, port) = split_port(authority);
        if host.is_empty() || host.len() > LONGEST || !host.is_ascii() {
            return None;
        }
        let name = host.strip_suffix(b".").filter(|rest| !rest.is_empty()).unwrap_or(host);
        Some((Self(name.iter().map(u8::to_ascii_lowercase).collect()), port))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Splits `host:port`; an IPv6 literal keeps its brackets out.
fn split_port(authority: &[u8]) -> (&[u8], Option<u16>) {
    if let Some(rest) = authority.strip_prefix(b"[") {
        let mut parts = rest.splitn(2, |byte| *byte == b']');
        let host = parts.next().unwrap_or_default();
        let port = parts.next().and_then(|rest| rest.strip_prefix(b":")).and_then(number);
        return (host, port);
    }
    let mut parts = authority.rsplitn(2, |byte| *byte == b':');
    let (last, first) = (parts.next().unwrap_or_default(), parts.next());
    match (first, number(last)) {
        (Some(host), Some(port)) if !host.contains(&b':') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn number(text: &[u8]) -> Option<u16> {
    std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// Things by host.
#[derive(Clone, Debug)]
pub struct HostTable<T> {
    exact: BTreeMap<Box<str>, T>,
    /// By what follows the `*` when that begins with a dot.
    suffix: BTreeMap<Box<str>, T>,
    /// What follows the `*` otherwise (`*-suffix.x`), longest first.
    odd: Vec<(Box<str>, T)>,
    any: Option<T>,
}

impl<T> Default for HostTable<T> {
    fn default() -> Self {
        Self { exact: BTreeMap::new(), suffix: BTreeMap::new(), odd: Vec::new(), any: None }
    }
}

impl<T> HostTable<T> {
    /// What belongs to `host` itself, entered now if it is new.
    pub fn entry(&mut self, host: &str, new: impl FnOnce() -> T) -> &mut T {
        match host.strip_prefix('*') {
            None => self.exact.entry(host.into()).or_insert_with(new),
            Some("") => self.any.get_or_insert_with(new),
            Some(rest) if rest.starts_with('.') => self.suffix.entry(rest.into()).or_insert_with(new),
            Some(rest) => {
                let at = match self.odd.iter().position(|(name, _)| &**name == rest) {
                    Some(at) => at,
                    None => {
                        let at = self.odd.partition_point(|(name, _)| name.len() >= rest.len());
                        self.odd.insert(at, (rest.into(), new()));
                        at
                    }
                };
                #[expect(clippy::indexing_slicing, reason = "`at` was found or inserted just above")]
                &mut self.odd[at].1
            }
        }
    }

    /// What belongs to the pattern `host` itself, without reading wildcards.
    pub fn get(&self, host: &str) -> Option<&T> {
        match host.strip_prefix('*') {
            None => self.exact.get(host),
            Some("") => self.any.as_ref(),
            Some(rest) if rest.starts_with('.') => self.suffix.get(rest),
            Some(rest) => self.odd.iter().find(|(name, _)| &**name == rest).map(|(_, found)| found),
        }
    }

    /// What belongs to the best pattern for the name `host`.
    pub fn find(&self, host: &str) -> Option<&T> {
        if let Some(found) = self.exact.get(host) {
            return Some(found);
        }
        let dotted = if self.suffix.is_empty() { None } else { self.find_suffix(host) };
        let odd = self.odd.iter().find(|(name, _)| covers_name(name, host));
        match (dotted, odd) {
            (Some((length, found)), Some((name, other))) => Some(if name.len() > length { other } else { found }),
            (Some((_, found)), None) | (None, Some((_, found))) => Some(found),
            (None, None) => self.any.as_ref(),
        }
    }

    /// What `pick` makes of the patterns for the name `host`, from the best one on, until it makes something.
    pub fn find_map<'a, R>(&'a self, host: &str, pick: impl Fn(&'a T) -> Option<R>) -> Option<R> {
        // A host that is itself a pattern (a wildcard ServiceEntry) meets only wider ones and its own.
        let exact = self.get(host).and_then(&pick);
        let suffixes = || {
            let dots = host.bytes().enumerate().skip(1).filter(|(_, byte)| *byte == b'.');
            dots.filter_map(|(at, _)| self.suffix.get(host.get(at..)?)).find_map(&pick)
        };
        let odd = || self.odd.iter().filter(|(name, _)| covers_name(name, host)).find_map(|(_, found)| pick(found));
        exact.or_else(suffixes).or_else(odd).or_else(|| self.any.as_ref().and_then(&pick))
    }

    fn find_suffix(&self, host: &str) -> Option<(usize, &T)> {
        // The first label may be empty only in a pattern: `.x` is not a name, so the search starts at byte 1.
        host.bytes().enumerate().skip(1).filter(|(_, byte)| *byte == b'.').find_map(|(at, _)| {
            let rest = host.get(at..)?;
            self.suffix.get(rest).map(|found| (rest.len(), found))
        })
    }

    /// The first exact host, else any wildcard, else `*`.
    pub fn first(&self) -> Option<&T> {
        let wild = self.suffix.values().chain(self.odd.iter().map(|(_, value)| value));
        self.exact.values().chain(wild).chain(self.any.as_ref()).next()
    }

    /// The same hosts with something else.
    pub fn map<U>(self, change: impl Fn(T) -> U) -> HostTable<U> {
        HostTable {
            exact: self.exact.into_iter().map(|(host, value)| (host, change(value))).collect(),
            suffix: self.suffix.into_iter().map(|(host, value)| (host, change(value))).collect(),
            odd: self.odd.into_iter().map(|(host, value)| (host, change(value))).collect(),
            any: self.any.map(change),
        }
    }

    /// Whether there is no host at all.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.suffix.is_empty() && self.odd.is_empty() && self.any.is_none()
    }
}

fn covers_name(suffix: &str, host: &str) -> bool {
    host.len() > suffix.len() && host.ends_with(suffix)
}

/// Whether the pattern `wide` covers all names of the pattern `narrow` (either may begin with `*`).
pub fn covers(wide: &str, narrow: &str) -> bool {
    match (wide.strip_prefix('*'), narrow.strip_prefix('*')) {
        (None, None) => wide == narrow,
        (None, Some(_)) => false,
        (Some(suffix), None) => narrow.len() > suffix.len() && narrow.ends_with(suffix) || suffix.is_empty(),
        (Some(suffix), Some(rest)) => rest.ends_with(suffix),
    }
}

/// The narrower one of two patterns, when one covers the other.
pub fn intersection<'a>(a: &'a str, b: &'a str) -> Option<&'a str> {
    if covers(a, b) {
        Some(b)
    } else if covers(b, a) {
        Some(a)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{HostName, HostTable, covers, intersection};

    #[test]
    fn names_are_read_without_port_and_case() {
        #[track_caller]
        fn check(text: &str, want: Option<(&str, Option<u16>)>) {
            let read = HostName::read(text.as_bytes());
            assert_eq!(read.as_ref().map(|(name, port)| (name.as_str(), *port)), want, "{text}");
        }
        check("API.platform.local", Some(("api.platform.local", None)));
        check("api:8443", Some(("api", Some(8443))));
        check("api.", Some(("api", None)));
        check("[2001:DB8::1]:80", Some(("2001:db8::1", Some(80))));
        check("2001:db8::1", Some(("2001:db8::1", None)));
        check("a:b", Some(("a:b", None)));
        check("a:+1", Some(("a:+1", None)));
        check("", None);
        check(&"a".repeat(300), None);
        check("ä.de", None);
    }

    #[test]
    fn the_best_pattern_wins() {
        let mut table = HostTable::default();
        for pattern in ["*", "*.x", "*.a.x", "a.x", "*-b.x"] {
            table.entry(pattern, || pattern);
        }
        let check = |host: &str, want: &str| assert_eq!(table.find(host), Some(&want), "{host}");
        check("a.x", "a.x");
        check("b.a.x", "*.a.x");
        check("c.b.a.x", "*.a.x");
        check("c.x", "*.x");
        check("x", "*");
        check(".x", "*");
        check("k-b.x", "*-b.x");
        check("-b.x", "*.x");
    }

    #[test]
    fn patterns_cover_patterns() {
        assert!(covers("*", "*.x") && covers("*", "x") && covers("*.x", "a.x") && covers("*.x", "*.a.x"));
        assert!(!covers("*.x", "x") && !covers("a.x", "*.x") && !covers("*.a.x", "*.x"));
        assert_eq!(intersection("*.x", "a.x"), Some("a.x"));
        assert_eq!(intersection("*.a.x", "*.x"), Some("*.a.x"));
        assert_eq!(intersection("a.x", "b.x"), None);
    }
}
