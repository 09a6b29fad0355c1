//! Bytes of a head to a [`Call`]: every fault is collected, and the views of all layers are made here, once.
//!
//! In: a complete head ([`crate::read`]) and what the listener knows. Out: a `Call`, always: what is wrong with the head
//! stands in its `faults`, so that the WAF can look at it before it is refused.
//! Follows: RFC 9112. Differs: two readings of one head are never guessed between; each is a [`crate::fault`].

mod line;
mod lines;

use crate::{Limits, Normalization, Trust, client, fault, fields, framing, path};
use bytes::Bytes;
use ringwall_model::{Call, CallId, Client, ClientOrigin, Fault, Fields, Peer, Raw, Scheme, Timestamp, Version, Views};
use std::net::SocketAddr;

pub(crate) use lines::{Lines, read as read_lines};

/// What a listener's heads are read with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How large a head may be.
    pub limits: Limits,
    /// How mesh rules see the path, and how it goes upstream.
    pub normalization: Normalization,
    /// What becomes of field names with an underscore.
    pub underscores: Underscores,
    /// Whether `CONNECT` is a method here.
    pub connect: Connect,
    /// Whose word counts for the client's address.
    pub trust: Trust,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            normalization: Normalization::Base,
            underscores: Underscores::Keep,
            connect: Connect::Refuse,
            trust: Trust::Peer,
        }
    }
}

/// What becomes of a field whose name holds `_`: CGI, WSGI and Rack servers read `X_User` and `X-User` as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Underscores {
    /// It stays, as with Kong and with Envoy's default.
    #[default]
    Keep,
    /// It is left out, as with nginx's default.
    Drop,
    /// The call is refused.
    Refuse,
}

/// What `CONNECT` means on a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connect {
    /// A fault.
    #[default]
    Refuse,
    /// A tunnel to the authority of the target.
    Tunnel,
}

/// What the listener knows of one call, beside its bytes.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// The call's name.
    pub id: CallId,
    /// When the head was complete.
    pub received: Timestamp,
    /// Whether the connection has TLS.
    pub scheme: Scheme,
    /// The direct peer.
    pub peer: Peer,
    /// Where the peer's address came from: the connection, or a trusted PROXY protocol header.
    pub origin: ClientOrigin,
    /// The local end, in the manifests' addresses.
    pub local: SocketAddr,
    /// The listener's settings.
    pub settings: &'a Settings,
}

impl Context<'_> {
    const fn nearest(&self) -> Client {
        Client { address: self.peer.address.ip(), origin: self.origin }
    }
}

// waypoint: request/2 — the bytes of a head become one Call, with every layer's view of it.
/// Reads a complete head of HTTP/1.
pub fn call(raw: Bytes, context: Context<'_>) -> Call {
    let mut faults = Vec::new();
    let settings = context.settings;
    if raw.len() > settings.limits.head {
        fault::note(&mut faults, fault::HEAD_LENGTH);
    }
    let lines = Lines::of(&raw, &mut faults);
    let request = line::read(&lines.first, settings, context.scheme, &mut faults);
    let mut fields = read_lines(&raw, &lines, settings, &mut faults);
    let authority = authority(&request, &fields, context.scheme, &mut faults);
    fields::drop_nominated(&mut fields, &mut faults);
    let body = framing::request(&request.method, request.version, &fields, &mut faults);
    let raw = Raw { head: raw, line: lines.first };
    let read =
        Read { raw, version: request.version, method: request.method, authority, target: request.target, fields };
    finish(read, body, faults, context)
}

/// What was read of a call, before its views are made; the same for HTTP/1 and HTTP/2.
pub(crate) struct Read {
    pub raw: Raw,
    pub version: Version,
    pub method: Bytes,
    pub authority: Bytes,
    pub target: Bytes,
    pub fields: Fields,
}

pub(crate) fn finish(
    read: Read,
    body: ringwall_model::BodyLength,
    mut faults: Vec<Fault>,
    context: Context<'_>,
) -> Call {
    let views = views(&read.target, context.settings.normalization, &mut faults);
    let client = client::derive(&read.fields, context.nearest(), &context.settings.trust);
    let scheme = client::scheme(&read.fields, context.scheme, context.nearest(), &context.settings.trust);
    Call {
        id: context.id,
        received: context.received,
        raw: read.raw,
        faults,
        version: read.version,
        method: read.method,
        scheme,
        authority: read.authority,
        target: read.target,
        views,
        fields: read.fields,
        peer: context.peer,
        client,
        local: context.local,
        body,
    }
}

/// The target as each layer reads it. A fragment goes first: a `?` behind `#` begins no query.
pub fn views(target: &Bytes, normalization: Normalization, faults: &mut Vec<Fault>) -> Views {
    let cut = |bytes: &Bytes, at: usize| (bytes.slice(..at), bytes.slice(at.saturating_add(1).min(bytes.len())..));
    let whole = memchr::memchr(b'#', target).map_or_else(|| target.clone(), |at| cut(target, at).0);
    let (plain, query) = match memchr::memchr(b'?', &whole) {
        Some(at) => {
            let (path, query) = cut(&whole, at);
            (path, Some(query))
        }
        None => (whole, None),
    };
    if plain.as_ref() == b"*" || path::is_plain(&plain) {
        return Views { istio: plain.clone(), kong: plain, query };
    }
    let istio = path::normalize(&plain, normalization).unwrap_or_else(|found| {
        fault::note(faults, found);
        plain.clone()
    });
    Views { istio, kong: path::kong(&plain), query }
}

/// The authority of the call: the target's, when it has one, else `Host`; both must agree.
fn authority(request: &line::Request, fields: &Fields, scheme: Scheme, faults: &mut Vec<Fault>) -> Bytes {
    let mut hosts = fields.all("host");
    let host = hosts.next().cloned();
    if hosts.next().is_some() {
        fault::note(faults, fault::SEVERAL_HOSTS);
    }
    if host.is_none() && request.version != Version::Http10 {
        fault::note(faults, fault::NO_HOST);
    }
    if host.as_ref().is_some_and(|host| crate::authority::read(host).is_none()) {
        fault::note(faults, fault::HOST);
    }
    let Some(named) = request.authority.clone() else { return host.unwrap_or_default() };
    if host.is_some_and(|host| !crate::authority::same(&host, &named, scheme)) {
        fault::note(faults, fault::HOST_MISMATCH);
    }
    named
}

#[cfg(test)]
mod tests;
