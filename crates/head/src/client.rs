//! The client's address, derived once, from hops that are trusted.
//!
//! Follows: Envoy as Istio configures it (`numTrustedProxies` on a gateway, the rightmost address on a sidecar) and
//! nginx's real-ip module as Kong configures it. What the client wrote itself is only ever used where a setting says so.

use crate::octets;
use ipnet::IpNet;
use ringwall_model::{Client, ClientOrigin, Fields, Scheme};
use std::fmt::Write as _;
use std::net::IpAddr;

/// Whose word counts for the client's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Nobody's: the client is the peer.
    #[default]
    Peer,
    /// An Istio gateway behind so many trusted proxies (`numTrustedProxies`): that entry of `X-Forwarded-For`, counted
    /// from the right. 0 is the same as [`Trust::Peer`].
    Gateway {
        /// How many proxies stand before this one.
        proxies: u8,
    },
    /// An Istio sidecar: the rightmost entry of `X-Forwarded-For`, whoever the caller is.
    Sidecar,
    /// Kong's `real_ip` settings.
    RealIp(RealIp),
}

/// Kong's `trusted_ips`, `real_ip_header` and `real_ip_recursive`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealIp {
    /// Peers whose word counts.
    pub trusted: Vec<IpNet>,
    /// Field that names the client: `X-Forwarded-For`, `X-Real-IP`, …
    pub field: Box<str>,
    /// How far to the left the list is followed.
    pub search: Search,
}

/// How far to the left a list of addresses is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Search {
    /// The last address is the client's (`real_ip_recursive off`).
    #[default]
    Last,
    /// The last address that is not trusted itself (`real_ip_recursive on`).
    LastUntrusted,
}

/// The client behind a call whose connection, or whose trusted PROXY protocol header, names `nearest`.
pub fn derive(fields: &Fields, nearest: Client, trust: &Trust) -> Client {
    let counted = |hop: u8| {
        let entry = entry_from_right(fields, "x-forwarded-for", usize::from(hop)).and_then(address);
        entry.map_or(nearest, |address| Client { address, origin: ClientOrigin::ForwardedFor { hop } })
    };
    match trust {
        Trust::Peer | Trust::Gateway { proxies: 0 } => nearest,
        Trust::Gateway { proxies } => counted(*proxies),
        Trust::Sidecar => counted(1),
        Trust::RealIp(real_ip) => real_ip.derive(fields, nearest),
    }
}

/// The scheme that the client used: the connection's, or the forwarded one where forwarding is trusted.
pub fn scheme(fields: &Fields, connection: Scheme, nearest: Client, trust: &Trust) -> Scheme {
    let trusted = match trust {
        Trust::Peer => false,
        Trust::Gateway { proxies } => *proxies > 0,
        Trust::Sidecar => true,
        Trust::RealIp(real_ip) => real_ip.trusts(nearest.address),
    };
    match fields.only("x-forwarded-proto").filter(|_| trusted).map(AsRef::as_ref) {
        Some(b"https") => Scheme::Https,
        Some(b"http") => Scheme::Http,
        _ => connection,
    }
}

/// The derivation in words, for `explain`.
pub fn explain(fields: &Fields, nearest: Client, trust: &Trust) -> String {
    let client = derive(fields, nearest, trust);
    let mut text = match trust {
        Trust::Peer | Trust::Gateway { proxies: 0 } => "no proxy is trusted before this one".to_owned(),
        Trust::Gateway { proxies } => format!("numTrustedProxies is {proxies}"),
        Trust::Sidecar => "a sidecar takes the rightmost X-Forwarded-For of any caller".to_owned(),
        Trust::RealIp(real_ip) => match (real_ip.trusts(nearest.address), real_ip.search) {
            (false, _) => format!("peer {} is not in trusted_ips", nearest.address),
            (true, Search::Last) => format!("real_ip takes the last address of {}", real_ip.field),
            (true, Search::LastUntrusted) => {
                format!("real_ip takes the last address of {} that is not trusted itself", real_ip.field)
            }
        },
    };
    let source = match client.origin {
        ClientOrigin::Peer => "the peer of the connection".to_owned(),
        ClientOrigin::ProxyProtocol => "the PROXY protocol header".to_owned(),
        ClientOrigin::ForwardedFor { hop } => format!("forwarded entry {hop} from the right"),
    };
    let _ = write!(text, ": client is {} ({source})", client.address);
    text
}

impl RealIp {
    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|net| net.contains(&address.to_canonical()) || net.contains(&address))
    }

    /// From the right: each address counts only while the one that reported it is trusted; what cannot be read ends it.
    fn derive(&self, fields: &Fields, nearest: Client) -> Client {
        let mut client = nearest;
        let mut hop = 0_u8;
        while self.trusts(client.address) && (hop == 0 || self.search == Search::LastUntrusted) {
            let Some(next) = hop.checked_add(1) else { return client };
            hop = next;
            let entry = non_empty_from_right(fields, &self.field, usize::from(hop));
            let Some(address) = entry.and_then(address_with_port) else { return client };
            client = Client { address, origin: ClientOrigin::ForwardedFor { hop } };
        }
        client
    }
}

/// Entry number `position` from the right of all lines of a field, read as one comma-separated list.
fn entry_from_right<'a>(fields: &'a Fields, name: &str, position: usize) -> Option<&'a [u8]> {
    let values = fields.iter().rev().filter(|field| field.is(name)).map(|field| &field.value);
    values.flat_map(|value| value.rsplit(|octet| *octet == b',')).nth(position.checked_sub(1)?)
}

/// The same, but empty entries do not count (nginx).
fn non_empty_from_right<'a>(fields: &'a Fields, name: &str, position: usize) -> Option<&'a [u8]> {
    let values = fields.iter().rev().filter(|field| field.is(name)).map(|field| &field.value);
    let entries = values.flat_map(|value| value.rsplit(|octet| matches!(octet, b',' | b' ')));
    entries.filter(|entry| !entry.is_empty()).nth(position.checked_sub(1)?)
}

fn address(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(octets::trim(text)).ok()?.parse().ok()
}

/// nginx also takes `address:port` and `[address]:port`.
fn address_with_port(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(octets::trim(text)).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests;
