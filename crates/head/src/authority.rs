//! `host[:port]` (RFC 3986 section 3.2, RFC 9110 section 4.2).
//!
//! Differs: no user information, no percent-encoded or delimiter characters in a host; no server that is really called
//! has such a name, and readers of them disagree.

use crate::octets;
use ringwall_model::Scheme;

/// The parts of an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// The host as sent; an IPv6 address with its brackets.
    pub host: &'a [u8],
    /// The port, when there is one.
    pub port: Option<u16>,
}

/// Reads an authority; `None` when it is not `host[:port]`.
pub fn read(authority: &[u8]) -> Option<Authority<'_>> {
    let end = if authority.first() == Some(&b'[') {
        let end = memchr::memchr(b']', authority)?;
        let literal = std::str::from_utf8(authority.get(1..end)?).ok()?;
        literal.parse::<std::net::Ipv6Addr>().ok()?;
        end + 1
    } else {
        memchr::memchr(b':', authority).unwrap_or(authority.len())
    };
    let (host, rest) = (authority.get(..end)?, authority.get(end..)?);
    if host.is_empty() || (host.first() != Some(&b'[') && !host.iter().all(in_name)) {
        return None;
    }
    let port = match rest {
        [] => None,
        [b':', digits @ ..] => Some(u16::try_from(octets::decimal(digits)?).ok()?),
        _ => return None,
    };
    Some(Authority { host, port })
}

/// Whether two authorities name the same origin server: hosts without regard to case, ports with the scheme's default.
pub fn same(a: &[u8], b: &[u8], scheme: Scheme) -> bool {
    let default = match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    };
    match (read(a), read(b)) {
        (Some(a), Some(b)) => {
            a.host.eq_ignore_ascii_case(b.host) && a.port.unwrap_or(default) == b.port.unwrap_or(default)
        }
        _ => a == b,
    }
}

const fn in_name(octet: &u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::{Scheme, read, same};

    #[test]
    fn an_authority_is_a_host_and_perhaps_a_port() {
        let check = |text: &str, want: Option<(&str, Option<u16>)>| {
            let got = read(text.as_bytes()).map(|got| (str::from_utf8(got.host).unwrap(), got.port));
            assert_eq!(got, want, "{text}");
        };
        check("a.b", Some(("a.b", None)));
        check("a.b:8080", Some(("a.b", Some(8080))));
        check("10.0.0.1:80", Some(("10.0.0.1", Some(80))));
        check("[::1]:80", Some(("[::1]", Some(80))));
        check("[::1]", Some(("[::1]", None)));
        for bad in ["", ":80", "a:", "a:b", "a:65536", "a:80:80", "u@a", "a b", "a/b", "[::1", "[x]", "[::1]80", "a%41"]
        {
            check(bad, None);
        }
    }

    #[test]
    fn the_default_port_is_no_difference() {
        assert!(same(b"A.b", b"a.B:80", Scheme::Http));
        assert!(!same(b"a.b", b"a.b:80", Scheme::Https));
        assert!(!same(b"a.b", b"a.c", Scheme::Http));
    }
}
