//! Rewriting of path and authority, and the addresses of redirects.
//!
//! In: a route's [`Rewrite`] or [`Redirect`], the call, the condition on the path that matched. Out: edits, a location.
//! Never: which route is chosen. Follows Envoy's `prefix_rewrite`, `regex_rewrite` and `RedirectAction`.

use super::matching::{Pattern, StringMatch, UriMatch};
use super::resource::{Redirect, RedirectPort};
use bytes::Bytes;
use ringwall_model::{Call, Edit, FieldEdit, Scheme};

/// Rewriting of a route.
#[derive(Clone, Debug, Default)]
pub struct Rewrite {
    /// New path, or what takes the place of the prefix that matched.
    pub uri: Option<Bytes>,
    /// Expression and substitution (`\1` is a group) over the path.
    pub regex: Option<(Pattern, Box<str>)>,
    /// New authority.
    pub authority: Option<Bytes>,
}

impl Rewrite {
    /// The changes, with the path and query as they were in `x-envoy-original-path`.
    pub fn edits(&self, call: &Call, uri: Option<&UriMatch>, edits: &mut Vec<Edit>) {
        if let Some(authority) = &self.authority {
            edits.push(Edit::Authority(authority.clone()));
        }
        if let Some(path) = self.path(call, uri) {
            let original = with_query(&call.views.istio, call.views.query.as_ref());
            edits.push(Edit::Field(FieldEdit::Set(Bytes::from_static(b"x-envoy-original-path"), original)));
            edits.push(Edit::Path(path));
        }
    }

    fn path(&self, call: &Call, uri: Option<&UriMatch>) -> Option<Bytes> {
        let path = &call.views.istio;
        if let Some((pattern, substitution)) = &self.regex {
            return Some(replace_all(pattern, substitution, path));
        }
        let new = self.uri.as_ref()?;
        let rest = match uri.map(|uri| &uri.is) {
            // The catch-all is the prefix `/`.
            None => path.get(1..).unwrap_or_default(),
            Some(StringMatch::Prefix(prefix)) => path.get(prefix.len()..).unwrap_or_default(),
            Some(_) => b"",
        };
        if rest.is_empty() {
            return Some(new.clone());
        }
        Some([new, rest].concat().into())
    }
}

/// Every match of the expression in `path`, from left to right, gives way to the substitution.
fn replace_all(pattern: &Pattern, substitution: &str, path: &[u8]) -> Bytes {
    let regex = pattern.part();
    let mut out = Vec::with_capacity(path.len() + substitution.len());
    let mut end = 0;
    for captures in regex.captures_iter(path) {
        let Some(whole) = captures.get_match() else { continue };
        out.extend_from_slice(path.get(end..whole.start()).unwrap_or_default());
        end = whole.end();
        let mut text = substitution.bytes();
        while let Some(byte) = text.next() {
            match (byte, if byte == b'\\' { text.next() } else { None }) {
                (b'\\', Some(digit)) if digit.is_ascii_digit() => {
                    let group = captures.get_group(usize::from(digit - b'0'));
                    out.extend_from_slice(group.and_then(|span| path.get(span.range())).unwrap_or_default());
                }
                (b'\\', Some(other)) => out.push(other),
                (byte, _) => out.push(byte),
            }
        }
    }
    out.extend_from_slice(path.get(end..).unwrap_or_default());
    out.into()
}

/// Path and query as one target.
pub(crate) fn with_query(path: &Bytes, query: Option<&Bytes>) -> Bytes {
    match query {
        None => path.clone(),
        Some(query) => [path, b"?".as_slice(), query].concat().into(),
    }
}

/// Where a redirect sends the client.
pub(crate) fn location(redirect: &Redirect, call: &Call) -> Bytes {
    let scheme = redirect.scheme.as_deref().unwrap_or(call.scheme.as_str());
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(scheme.as_bytes());
    out.extend_from_slice(b"://");
    let authority = redirect.authority.as_ref().unwrap_or(&call.authority);
    let (name, port) = split_authority(authority);
    out.extend_from_slice(name);
    let own_port = port.filter(|_| redirect.authority.is_some() || !is_default(port, call.scheme));
    let port = match redirect.port {
        RedirectPort::Number(number) => Some(number),
        RedirectPort::OfRequest => Some(call.local.port()).filter(|_| redirect.authority.is_some()).or(own_port),
        RedirectPort::ProtocolDefault => own_port,
    };
    if let Some(port) = port {
        out.extend_from_slice(format!(":{port}").as_bytes());
    }
    match &redirect.uri {
        // A new path with a query of its own leaves no room for the call's.
        Some(uri) if uri.contains(&b'?') => out.extend_from_slice(uri),
        Some(uri) => out.extend_from_slice(&with_query(uri, call.views.query.as_ref())),
        None => out.extend_from_slice(&with_query(&call.views.istio, call.views.query.as_ref())),
    }
    out.into()
}

fn split_authority(authority: &[u8]) -> (&[u8], Option<u16>) {
    let colon = authority.iter().rposition(|byte| *byte == b':');
    let port = colon.and_then(|at| std::str::from_utf8(authority.get(at + 1..)?).ok()?.parse().ok());
    match (colon, port) {
        (Some(at), Some(port)) => (authority.get(..at).unwrap_or_default(), Some(port)),
        _ => (authority, None),
    }
}

fn is_default(port: Option<u16>, scheme: Scheme) -> bool {
    matches!((port, scheme), (Some(80), Scheme::Http) | (Some(443), Scheme::Https))
}
