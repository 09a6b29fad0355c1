//! One request as every layer sees it: the bytes as they came, and the views that the layers judge.

use crate::{SpiffeId, Timestamp};
use bytes::Bytes;
use std::net::{IpAddr, SocketAddr};

/// One request. Made once by the room `head`; changed only by the page (`wall`), which applies [`crate::Edit`]s.
#[derive(Clone, Debug)]
pub struct Call {
    /// Names this request in logs, traces and the `x-request-id` field.
    pub id: CallId,
    /// When its head was complete.
    pub received: Timestamp,
    /// The head as it came from the wire, for layers that must see exactly that (WAF).
    pub raw: Raw,
    /// What is wrong with the framing. Not empty: the call is refused, after WAF phase 1 has looked at it.
    pub faults: Vec<Fault>,
    /// Protocol version.
    pub version: Version,
    /// Method, as sent (case-sensitive, RFC 9110 section 9.1).
    pub method: Bytes,
    /// `http` or `https`, from the listener or (behind trusted proxies) from the forwarded protocol.
    pub scheme: Scheme,
    /// `Host` or `:authority`, as sent, with its port when it has one.
    pub authority: Bytes,
    /// Path and query of the target as sent, without scheme and authority. Begins with `/`, or is `*`.
    pub target: Bytes,
    /// The target as each layer's own rules read it.
    pub views: Views,
    /// All fields of the head, in order, repetitions kept, without `:`-pseudo-fields.
    pub fields: Fields,
    /// Who sent it: the direct peer of the connection.
    pub peer: Peer,
    /// Who is behind it: the client address, derived once from trusted hops.
    pub client: Client,
    /// The local end of the connection, in the manifests' addresses.
    pub local: SocketAddr,
    /// How long the body claims to be.
    pub body: BodyLength,
}

/// 128 random bits that name a call; rendered as a UUID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CallId(pub u128);

impl CallId {
    /// As a UUID in lower case, without taking memory.
    pub fn uuid(self) -> Uuid {
        let digits = crate::hex::long(self.0);
        let mut text = [b'-'; 36];
        for (from, to, at) in [(0, 8, 0), (8, 12, 9), (12, 16, 14), (16, 20, 19), (20, 32, 24)] {
            if let (Some(place), Some(part)) = (text.get_mut(at..at + to - from), digits.get(from..to)) {
                place.copy_from_slice(part);
            }
        }
        Uuid(text)
    }
}

/// The text of a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uuid([u8; 36]);

impl Uuid {
    /// Its characters.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same as text.
    pub fn as_str(&self) -> &str {
        // INVARIANT: only digits, letters up to `f` and `-` stand in it.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Display for CallId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.pad(self.uuid().as_str())
    }
}

/// The head's bytes as they came. For HTTP/2, where there is no such text, an HTTP/1.1-like rendering in wire order.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    /// Request line and field lines, up to and with the empty line.
    pub head: Bytes,
    /// The request line without its line end.
    pub line: Bytes,
}

/// HTTP version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    /// As access logs write it: `HTTP/1.0`, `HTTP/1.1`, `HTTP/2`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// URI scheme of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The target as each layer reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Views {
    /// Path without query, normalized as Istio's `pathNormalization` in force says; what mesh rules match and what is
    /// forwarded. See `head::path`.
    pub istio: Bytes,
    /// Path without query, normalized as Kong's router does.
    pub kong: Bytes,
    /// What stands after the first `?` of the target, if there is one.
    pub query: Option<Bytes>,
}

/// One field line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name as sent; compare with [`Field::is`].
    pub name: Bytes,
    /// Value without the white space around it.
    pub value: Bytes,
}

impl Field {
    /// Whether this field's name is `name`, whatever the case (RFC 9110 section 5.1).
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// Field lines in order, repetitions kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<Field>);

impl Fields {
    /// The value of the first field of that name.
    pub fn first(&self, name: &str) -> Option<&Bytes> {
        self.0.iter().find(|field| field.is(name)).map(|field| &field.value)
    }

    /// The values of all fields of that name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Bytes> {
        self.0.iter().filter(move |field| field.is(name)).map(|field| &field.value)
    }

    /// The value, when there is exactly one field of that name.
    pub fn only(&self, name: &str) -> Option<&Bytes> {
        let mut values = self.0.iter().filter(|field| field.is(name));
        values.next().filter(|_| values.next().is_none()).map(|field| &field.value)
    }

    /// The same for several names, in one walk.
    pub fn only_each<const N: usize>(&self, names: [&str; N]) -> [Option<&Bytes>; N] {
        let mut found = [(None, true); N];
        for field in &self.0 {
            for ((value, alone), name) in found.iter_mut().zip(names) {
                if field.name.len() == name.len() && field.is(name) {
                    *alone = value.is_none();
                    *value = Some(&field.value);
                }
            }
        }
        found.map(|(value, alone)| value.filter(|_| alone))
    }

    /// Adds a field line at the end.
    pub fn push(&mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.0.push(Field { name: name.into(), value: value.into() });
    }

    /// Takes out every field of that name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|field| !field.is(name));
    }

    /// Makes `value` the only field of that name.
    pub fn set(&mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) {
        let name = name.into();
        self.0.retain(|field| !field.name.eq_ignore_ascii_case(&name));
        self.0.push(Field { name, value: value.into() });
    }

    /// The fields in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Field> {
        self.0.iter()
    }
}

/// The direct peer of the connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address and port (after a trusted PROXY protocol header, the address that header gives).
    pub address: SocketAddr,
    /// What TLS established; `None` on a plaintext connection.
    pub tls: Option<PeerTls>,
}

impl Peer {
    /// The verified mesh identity, if the peer proved one.
    pub fn identity(&self) -> Option<&SpiffeId> {
        self.tls.as_ref().and_then(|tls| tls.identity.as_ref())
    }
}

/// What the TLS handshake established.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerTls {
    /// Verified SPIFFE ID of the client certificate.
    pub identity: Option<SpiffeId>,
    /// Server name the client asked for (SNI), lower case.
    pub server_name: Option<Box<str>>,
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
}

/// The client behind the call, derived once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// Where the address came from.
    pub origin: ClientOrigin,
}

/// Where a client address came from; `explain` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientOrigin {
    /// The direct peer of the connection.
    Peer,
    /// The PROXY protocol header of a trusted balancer.
    ProxyProtocol,
    /// `X-Forwarded-For`: the entry that many hops from the right (1 is the last one).
    ForwardedFor {
        /// Position from the right.
        hop: u8,
    },
}

/// How long a body claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    Empty,
    /// So many bytes (`Content-Length`).
    Known(u64),
    /// Chunked, or an HTTP/2 stream without a length.
    Unknown,
}

/// What is wrong with a head. Each is refused with its own built-in rule (`head/<name>`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fault {
    /// Name of the rule, such as `conflicting-length`; kebab case, never changed once released.
    pub name: &'static str,
    /// Status of the refusal.
    pub status: u16,
    /// One sentence for people: what is wrong and which specification says so.
    pub says: &'static str,
}
