//! The PROXY protocol header, versions 1 and 2, as balancers send it before the first byte of a connection.
//!
//! Follows: the HAProxy specification of the PROXY protocol, sections 2.1 and 2.2. Differs: a version 2 header is read up
//! to 2048 bytes; its TLVs are skipped. Only a listener that trusts its peer may read one.

use crate::{fault, octets};
use ringwall_model::Fault;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Section 2.1: the longest line of version 1, with CR LF.
const LONGEST_V1: usize = 107;
const LONGEST_V2: usize = 2048;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// How far a header has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed.
    Partial,
    /// The header is complete.
    Complete {
        /// How many bytes it takes.
        len: usize,
        /// The connection as the balancer saw it; `None` for `UNKNOWN` and `LOCAL`, which leave the real one in force.
        addresses: Option<Addresses>,
    },
    /// There is no header, or it is not well formed.
    Refuse(Fault),
}

/// Both ends of the connection that the balancer took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The client.
    pub source: SocketAddr,
    /// Where the client connected to.
    pub destination: SocketAddr,
}

/// Reads the header at the beginning of `buf`.
pub fn read(buf: &[u8]) -> Progress {
    let begins = |with: &[u8]| buf.iter().zip(with).all(|(a, b)| a == b);
    if begins(SIGNATURE) {
        version_2(buf)
    } else if begins(b"PROXY ") {
        version_1(buf)
    } else {
        Progress::Refuse(fault::PROXY_PROTOCOL)
    }
}

fn version_1(buf: &[u8]) -> Progress {
    let window = buf.get(..buf.len().min(LONGEST_V1)).unwrap_or_default();
    let Some(end) = memchr::memchr(b'\n', window) else {
        return if buf.len() < LONGEST_V1 { Progress::Partial } else { Progress::Refuse(fault::PROXY_PROTOCOL) };
    };
    let line = window.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    match line.and_then(|line| std::str::from_utf8(line).ok()).and_then(words) {
        Some(addresses) => Progress::Complete { len: end + 1, addresses },
        None => Progress::Refuse(fault::PROXY_PROTOCOL),
    }
}

/// `PROXY TCP4 source destination source-port destination-port`, or `PROXY UNKNOWN` and whatever follows.
fn words(line: &str) -> Option<Option<Addresses>> {
    let mut words = line.split(' ');
    words.next().filter(|word| *word == "PROXY")?;
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let mut ip = || {
        let word = words.next()?;
        Some(match family {
            "TCP4" => IpAddr::V4(word.parse().ok()?),
            "TCP6" => IpAddr::V6(word.parse().ok()?),
            _ => return None,
        })
    };
    let (source, destination) = (ip()?, ip()?);
    let mut port = || {
        let digits = words.next()?.as_bytes();
        // Section 2.1: no leading zeroes.
        let plain = digits.first() != Some(&b'0') || digits.len() == 1;
        u16::try_from(octets::decimal(digits).filter(|_| plain)?).ok()
    };
    let (from, to) = (port()?, port()?);
    words.next().is_none().then_some(())?;
    Some(Some(Addresses { source: SocketAddr::new(source, from), destination: SocketAddr::new(destination, to) }))
}

fn version_2(buf: &[u8]) -> Progress {
    let Some([kind, family, high, low]) = buf.get(12..16).and_then(|four| <[u8; 4]>::try_from(four).ok()) else {
        return Progress::Partial;
    };
    let len = 16 + usize::from(u16::from_be_bytes([high, low]));
    if len > LONGEST_V2 || !matches!(kind, 0x20 | 0x21) {
        return Progress::Refuse(fault::PROXY_PROTOCOL);
    }
    let Some(body) = buf.get(16..len) else { return Progress::Partial };
    let addresses = match (kind, family) {
        // LOCAL: the balancer speaks for itself. UNSPEC: it does not know.
        (0x20, _) | (_, 0x00) => None,
        (_, 0x11) => match ends_v4(body) {
            Some(addresses) => Some(addresses),
            None => return Progress::Refuse(fault::PROXY_PROTOCOL),
        },
        (_, 0x21) => match ends_v6(body) {
            Some(addresses) => Some(addresses),
            None => return Progress::Refuse(fault::PROXY_PROTOCOL),
        },
        _ => return Progress::Refuse(fault::PROXY_PROTOCOL),
    };
    Progress::Complete { len, addresses }
}

fn ends_v4(body: &[u8]) -> Option<Addresses> {
    let (source, rest) = body.split_first_chunk::<4>()?;
    let (destination, rest) = rest.split_first_chunk::<4>()?;
    ends(Ipv4Addr::from(*source).into(), Ipv4Addr::from(*destination).into(), rest)
}

fn ends_v6(body: &[u8]) -> Option<Addresses> {
    let (source, rest) = body.split_first_chunk::<16>()?;
    let (destination, rest) = rest.split_first_chunk::<16>()?;
    ends(Ipv6Addr::from(*source).into(), Ipv6Addr::from(*destination).into(), rest)
}

fn ends(source: IpAddr, destination: IpAddr, rest: &[u8]) -> Option<Addresses> {
    let (from, rest) = rest.split_first_chunk::<2>()?;
    let (to, _) = rest.split_first_chunk::<2>()?;
    Some(Addresses {
        source: SocketAddr::new(source, u16::from_be_bytes(*from)),
        destination: SocketAddr::new(destination, u16::from_be_bytes(*to)),
    })
}

#[cfg(test)]
mod tests {
    use super::{Progress, SIGNATURE, read};

    #[track_caller]
    fn check(header: &[u8], source: Option<&str>) {
        let Progress::Complete { len, addresses } = read(header) else { panic!("{:?}", read(header)) };
        assert_eq!(len, header.len());
        assert_eq!(addresses.map(|both| both.source.to_string()).as_deref(), source);
        // Each proper beginning is partial, and what follows the header is not looked at.
        (0..header.len()).for_each(|end| assert_eq!(read(&header[..end]), Progress::Partial, "{end}"));
        assert_eq!(read(&[header, b"GET / HTTP/1.1\r\n\r\n"].concat()), read(header));
    }

    fn v2(kind: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let len = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[kind, family], &len, body].concat()
    }

    #[test]
    fn both_versions_name_the_client() {
        check(b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", Some("192.0.2.1:56324"));
        check(b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", Some("[2001:db8::1]:1"));
        check(b"PROXY UNKNOWN\r\n", None);
        check(b"PROXY UNKNOWN ffff::1 ::1 65535 65535\r\n", None);
        let four = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 1, 187];
        check(&v2(0x21, 0x11, &four), Some("192.0.2.1:56324"));
        check(&v2(0x21, 0x11, &[&four[..], &[3, 0, 1, 9]].concat()), Some("192.0.2.1:56324"));
        check(&v2(0x21, 0x21, &[[0; 32].as_slice(), &[0, 7, 0, 8]].concat()), Some("[::]:7"));
        check(&v2(0x20, 0, &[]), None);
    }

    #[test]
    fn what_is_not_a_header_is_refused() {
        let refused = |header: &[u8]| assert!(matches!(read(header), Progress::Refuse(_)), "{header:?}");
        refused(b"GET / HTTP/1.1\r\n");
        refused(b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n");
        refused(b"PROXY TCP4 ::1 ::1 1 2\r\n");
        refused(b"PROXY TCP4 192.0.2.1 198.51.100.1 056 443\r\n");
        refused(b"PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n");
        refused(b"PROXY TCP4 192.0.2.1  198.51.100.1 1 443\r\n");
        refused(b"PROXY UDP4 192.0.2.1 198.51.100.1 1 443\r\n");
        refused(&[b"PROXY UNKNOWN".as_slice(), &[b' '; 107]].concat());
        refused(&v2(0x31, 0x11, &[0; 12]));
        refused(&v2(0x21, 0x11, &[0; 11]));
        refused(&v2(0x21, 0x11, &[0; 4096]));
    }
}
