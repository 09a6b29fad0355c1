//! The fields of an HTTP/2 stream to a [`Call`] (RFC 9113 section 8), with the same strictness as HTTP/1.
//!
//! A WebSocket that is opened by an extended `CONNECT` (RFC 8441) becomes the call that HTTP/1 opens one with: a `GET` with
//! `Connection` and `Upgrade`. Every layer judges the one as the other.

pub mod settings;

use crate::call::{Connect, Context, Read, Underscores, finish};
use crate::{authority, fault, octets};
use bytes::{BufMut, Bytes, BytesMut};
use ringwall_model::{BodyLength, Call, Fault, Fields, Raw, Version};

/// The pseudo-fields of a request.
#[derive(Clone, Debug, Default)]
pub struct Pseudo {
    /// `:method`.
    pub method: Bytes,
    /// `:scheme`.
    pub scheme: Option<Bytes>,
    /// `:authority`.
    pub authority: Option<Bytes>,
    /// `:path`.
    pub path: Option<Bytes>,
    /// `:protocol`.
    pub protocol: Option<Bytes>,
}

/// Whether the stream ended with its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// There is no body.
    Ended,
    /// A body follows, or may.
    Open,
}

/// Reads the head of an HTTP/2 request.
pub fn call(mut pseudo: Pseudo, mut fields: Fields, stream: Stream, context: Context<'_>) -> Call {
    let mut faults = Vec::new();
    let settings = context.settings;
    let opens_socket = opens_socket(&pseudo);
    if opens_socket {
        pseudo.method = Bytes::from_static(b"GET");
    }
    if !octets::is_token(&pseudo.method) {
        fault::note(&mut faults, fault::METHOD);
    }
    let target = target(&pseudo, settings.connect, &mut faults);
    if target.len() > settings.limits.target {
        fault::note(&mut faults, fault::TARGET_LENGTH);
    }
    if !octets::is_visible(&target) {
        fault::note(&mut faults, fault::TARGET_CHARACTER);
    }
    let authority = authority(&pseudo, &mut fields, context.scheme, &mut faults);
    if fields.0.len() > settings.limits.fields {
        fault::note(&mut faults, fault::FIELD_COUNT);
        fields.0.truncate(settings.limits.fields);
    }
    check(&mut fields, settings.underscores, &mut faults);
    if opens_socket {
        // ORDER: after the client's own were refused.
        fields.push("connection", "upgrade");
        fields.push("upgrade", "websocket");
    }
    let raw = rendered(&pseudo.method, &target, &fields);
    if raw.head.len() > settings.limits.head {
        fault::note(&mut faults, fault::HEAD_LENGTH);
    }
    let body = body(&pseudo.method, stream, &fields, &mut faults);
    finish(
        Read { raw, version: Version::Http2, method: pseudo.method, authority, target, fields },
        body,
        faults,
        context,
    )
}

/// Another protocol is a `CONNECT` with pseudo-fields that it must not have.
fn opens_socket(pseudo: &Pseudo) -> bool {
    pseudo.method == "CONNECT" && pseudo.protocol.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(b"websocket"))
}

fn target(pseudo: &Pseudo, connect: Connect, faults: &mut Vec<Fault>) -> Bytes {
    let root = Bytes::from_static(b"/");
    if pseudo.method.as_ref() == b"CONNECT" {
        if connect == Connect::Refuse {
            fault::note(faults, fault::CONNECT);
        }
        if pseudo.path.is_some() || pseudo.scheme.is_some() {
            fault::note(faults, fault::H2_PSEUDO_FIELD);
        }
        return root;
    }
    if !matches!(pseudo.scheme.as_deref(), Some(b"http" | b"https")) {
        fault::note(faults, fault::H2_PSEUDO_FIELD);
    }
    match &pseudo.path {
        Some(path) if path.starts_with(b"/") => path.clone(),
        Some(path) if path.as_ref() == b"*" && pseudo.method.as_ref() == b"OPTIONS" => path.clone(),
        path => {
            fault::note(faults, fault::H2_PSEUDO_FIELD);
            path.as_ref().map_or(root, |path| [b"/", path.as_ref()].concat().into())
        }
    }
}

/// `:authority`, or `Host` in its place; both must be the same (RFC 9113 section 8.3.1). Every layer finds it as `host`.
fn authority(pseudo: &Pseudo, fields: &mut Fields, scheme: ringwall_model::Scheme, faults: &mut Vec<Fault>) -> Bytes {
    let host = fields.first("host").cloned();
    if host.is_some() && fields.only("host").is_none() {
        fault::note(faults, fault::SEVERAL_HOSTS);
    }
    let named = pseudo.authority.clone();
    match (&named, &host) {
        (Some(named), Some(host)) if !authority::same(named, host, scheme) => {
            fault::note(faults, fault::HOST_MISMATCH);
        }
        (None, None) => fault::note(faults, fault::NO_HOST),
        (Some(named), None) => fields.0.insert(0, ringwall_model::Field { name: "host".into(), value: named.clone() }),
        _ => {}
    }
    let authority = named.or(host).unwrap_or_default();
    if !authority.is_empty() && authority::read(&authority).is_none() {
        fault::note(faults, fault::HOST);
    }
    authority
}

fn check(fields: &mut Fields, underscores: Underscores, faults: &mut Vec<Fault>) {
    const CONNECTION_FIELDS: &[&str] =
        &["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];
    for field in fields.iter() {
        if field.name.iter().any(u8::is_ascii_uppercase) {
            fault::note(faults, fault::H2_UPPER_CASE);
        }
        if !octets::is_token(&field.name) {
            fault::note(faults, fault::FIELD_NAME);
        }
        if field.value.contains(&0) {
            fault::note(faults, fault::NUL);
        }
        let spaced = octets::trim(&field.value).len() != field.value.len();
        if spaced || field.value.iter().any(|octet| octet.is_ascii_control() && !matches!(octet, 0 | b'\t')) {
            fault::note(faults, fault::CONTROL);
        }
        let te = field.is("te") && !field.value.eq_ignore_ascii_case(b"trailers");
        if te || CONNECTION_FIELDS.iter().any(|name| field.is(name)) {
            fault::note(faults, fault::H2_CONNECTION_FIELD);
        }
        if underscores == Underscores::Refuse && field.name.contains(&b'_') {
            fault::note(faults, fault::UNDERSCORE);
        }
    }
    if underscores == Underscores::Drop {
        fields.0.retain(|field| !field.name.contains(&b'_'));
    }
}

fn body(method: &[u8], stream: Stream, fields: &Fields, faults: &mut Vec<Fault>) -> BodyLength {
    match (stream, crate::framing::request(method, Version::Http2, fields, faults)) {
        (Stream::Ended, BodyLength::Known(length)) if length > 0 => {
            fault::note(faults, fault::LENGTH);
            BodyLength::Empty
        }
        (Stream::Ended, _) => BodyLength::Empty,
        (Stream::Open, BodyLength::Known(length)) => BodyLength::Known(length),
        (Stream::Open, _) => BodyLength::Unknown,
    }
}

/// The head as HTTP/1.1 would say it, for layers that read lines.
fn rendered(method: &[u8], target: &[u8], fields: &Fields) -> Raw {
    let size: usize = fields.iter().map(|field| field.name.len() + field.value.len() + 4).sum();
    let mut text = BytesMut::with_capacity(size + method.len() + target.len() + 16);
    [method, b" ", target, b" HTTP/2"].into_iter().for_each(|part| text.put_slice(part));
    let line = text.len();
    text.put_slice(b"\r\n");
    for field in fields.iter() {
        [field.name.as_ref(), b": ", field.value.as_ref(), b"\r\n"].into_iter().for_each(|part| text.put_slice(part));
    }
    text.put_slice(b"\r\n");
    let head = text.freeze();
    Raw { line: head.slice(..line), head }
}

#[cfg(test)]
mod tests;
