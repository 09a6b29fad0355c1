//! The request line (RFC 9112 section 3) and the four forms of its target.

use super::{Connect, Settings};
use crate::{authority, fault, octets};
use bytes::Bytes;
use ringwall_model::{Fault, Scheme, Version};

const LONGEST_METHOD: usize = 64;

/// What a request line says.
pub struct Request {
    pub method: Bytes,
    /// Begins with `/`, or is `*`.
    pub target: Bytes,
    /// The authority of an absolute or authority form.
    pub authority: Option<Bytes>,
    pub version: Version,
}

/// Reads the line; what cannot be read is noted and guessed at, so that the WAF still has something to look at.
pub fn read(line: &Bytes, settings: &Settings, scheme: Scheme, faults: &mut Vec<Fault>) -> Request {
    let (method, target, version) = split(line, faults);
    if method.len() > LONGEST_METHOD || !octets::is_token(&method) {
        fault::note(faults, fault::METHOD);
    }
    if target.len() > settings.limits.target {
        fault::note(faults, fault::TARGET_LENGTH);
    }
    if !octets::is_visible(&target) {
        fault::note(faults, fault::TARGET_CHARACTER);
    }
    let version = match version.as_ref() {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        b"" => {
            fault::note(faults, fault::REQUEST_LINE);
            Version::Http10
        }
        other => {
            // RFC 9110 section 15.6.6 is for versions that exist; what is none is no request line.
            let exists = matches!(other, [b'H', b'T', b'T', b'P', b'/', b'1'..=b'9', b'.', b'0'..=b'9']);
            fault::note(faults, if exists { fault::VERSION } else { fault::REQUEST_LINE });
            Version::Http11
        }
    };
    let (authority, target) = form(&method, target, settings.connect, scheme, faults);
    Request { method, target, authority, version }
}

/// Method, target and version: everything between the first and the last space is the target.
fn split(line: &Bytes, faults: &mut Vec<Fault>) -> (Bytes, Bytes, Bytes) {
    let Some(first) = memchr::memchr(b' ', line) else {
        fault::note(faults, fault::REQUEST_LINE);
        return (line.clone(), Bytes::from_static(b"/"), Bytes::new());
    };
    let last = memchr::memrchr(b' ', line).unwrap_or(first);
    let after = |at: usize| at.saturating_add(1).min(line.len());
    if last == first {
        fault::note(faults, fault::REQUEST_LINE);
        return (line.slice(..first), line.slice(after(first)..), Bytes::new());
    }
    let target = line.slice(after(first)..last.max(after(first)));
    if target.is_empty() || memchr::memchr(b' ', &target).is_some() {
        fault::note(faults, fault::REQUEST_LINE);
    }
    (line.slice(..first), target, line.slice(after(last)..))
}

/// The authority in the target, if its form has one, and the rest of it.
fn form(
    method: &[u8],
    target: Bytes,
    connect: Connect,
    scheme: Scheme,
    faults: &mut Vec<Fault>,
) -> (Option<Bytes>, Bytes) {
    let root = || Bytes::from_static(b"/");
    if method == b"CONNECT" {
        let port = authority::read(&target).and_then(|authority| authority.port);
        match connect {
            _ if port.is_none() => fault::note(faults, fault::TARGET_FORM),
            Connect::Refuse => fault::note(faults, fault::CONNECT),
            Connect::Tunnel => {}
        }
        return (Some(target), root());
    }
    if target.starts_with(b"/") {
        return (None, target);
    }
    if target.as_ref() == b"*" && method == b"OPTIONS" {
        return (None, target);
    }
    match absolute(&target, method, scheme, faults) {
        Some((authority, rest)) => (Some(authority), rest),
        None => {
            fault::note(faults, fault::TARGET_FORM);
            (None, if target.as_ref() == b"*" { target } else { [b"/", target.as_ref()].concat().into() })
        }
    }
}

/// `scheme://authority/path?query`.
fn absolute(target: &Bytes, method: &[u8], scheme: Scheme, faults: &mut Vec<Fault>) -> Option<(Bytes, Bytes)> {
    let colon = memchr::memchr(b':', target)?;
    let begin = colon.checked_add(3)?;
    if target.get(colon..begin)? != b"://" {
        return None;
    }
    let named = target.get(..colon)?;
    if !named.eq_ignore_ascii_case(scheme.as_str().as_bytes()) {
        let known = named.eq_ignore_ascii_case(b"http") || named.eq_ignore_ascii_case(b"https");
        fault::note(faults, if known { fault::SCHEME } else { fault::TARGET_FORM });
    }
    let rest = target.slice(begin..);
    let end = rest.iter().position(|octet| matches!(octet, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, path) = (rest.slice(..end), rest.slice(end..));
    if authority::read(&authority).is_none() {
        fault::note(faults, fault::HOST);
    }
    let path = match path.first() {
        Some(b'/') => path,
        // RFC 9112 section 3.2.4: an absolute form without path is the asterisk form of OPTIONS.
        None if method == b"OPTIONS" => Bytes::from_static(b"*"),
        None => Bytes::from_static(b"/"),
        Some(_) => [b"/", path.as_ref()].concat().into(),
    };
    Some((authority, path))
}
