//! A path as Istio's proxies and as Kong read it.
//!
//! Follows: Istio `meshConfig.pathNormalization` as Envoy 1.40 carries it out, with its reading of path parameters on
//! dot segments (`/..;x=1/` is `/../`); Kong's `normalize` (decode all but reserved characters, dot segments, slashes).
//! Differs: an encoded NUL is refused in every mode, also in `NONE`.

use crate::{fault, octets};
use bytes::Bytes;
use ringwall_model::Fault;

/// How the mesh normalizes a path before it matches and forwards it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Normalization {
    /// Not at all.
    None,
    /// Dot segments (RFC 3986 section 6.2.2.3), `\` as `/`, encoded unreserved characters. Istio's default.
    #[default]
    Base,
    /// And `//` as `/`.
    MergeSlashes,
    /// And, before all, `%2f` as `/` and `%5c` as `\`.
    DecodeAndMergeSlashes,
}

/// The path in the mesh's normal form. `path` has no query; a fragment is cut off.
///
/// # Errors
/// [`fault::PATH_NUL`] when it holds an encoded NUL.
pub fn normalize(path: &[u8], mode: Normalization) -> Result<Bytes, Fault> {
    let path = path.split(|octet| *octet == b'#').next().unwrap_or_default();
    if memchr::memmem::find(path, b"%00").is_some() {
        return Err(fault::PATH_NUL);
    }
    if mode == Normalization::None {
        return Ok(Bytes::copy_from_slice(path));
    }
    let opened =
        if mode == Normalization::DecodeAndMergeSlashes { decode(path, |o| b"/\\".contains(&o)) } else { path.into() };
    let decoded = decode(&opened, is_unreserved);
    let slashed: Vec<u8> = decoded.into_iter().map(|octet| if octet == b'\\' { b'/' } else { octet }).collect();
    let resolved = resolve(&slashed);
    Ok(if mode == Normalization::Base { resolved } else { merge(&resolved) }.into())
}

/// The path as Kong's router matches it. `path` has no query; a fragment is cut off.
pub fn kong(path: &[u8]) -> Bytes {
    let path = path.split(|octet| *octet == b'#').next().unwrap_or_default();
    let decoded = decode_for_kong(path);
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut closed = false;
    // Slashes are merged while dot segments are removed: an empty segment is never there to be removed by `..`.
    for segment in decoded.split(|octet| *octet == b'/') {
        closed = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    join(&segments, closed).into()
}

/// Whether no normal form differs from the path itself, so that no copy is needed.
pub fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    path.first() == Some(&b'/')
        && path.iter().all(|octet| {
            let plain = !matches!((before, octet), (_, b'%' | b'\\' | b'#') | (b'/', b'.' | b'/'));
            before = *octet;
            plain
        })
}

const fn is_unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~')
}

/// Decodes those percent-encoded octets that `which` names; all others stay as they were sent.
fn decode(path: &[u8], which: impl Fn(u8) -> bool) -> Vec<u8> {
    decoded(path, |octet, sent, out| if which(octet) { out.push(octet) } else { out.extend_from_slice(sent) })
}

/// Decodes everything but reserved characters and `%`, which get upper-case digits.
fn decode_for_kong(path: &[u8]) -> Vec<u8> {
    let is_reserved = |octet: u8| b"!*'();:@&=+$,/?%#[]".contains(&octet);
    decoded(path, |octet, sent, out| {
        if is_reserved(octet) {
            out.extend(sent.iter().map(u8::to_ascii_uppercase));
        } else {
            out.push(octet);
        }
    })
}

fn decoded(path: &[u8], mut each: impl FnMut(u8, &[u8], &mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = memchr::memchr(b'%', rest) {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.extend_from_slice(before);
        rest = match from {
            [b'%', high, low, tail @ ..] => match (octets::hex(*high), octets::hex(*low)) {
                (Some(h), Some(l)) => {
                    each(h << 4 | l, &[b'%', *high, *low], &mut out);
                    tail
                }
                _ => kept_percent(from, &mut out),
            },
            _ => kept_percent(from, &mut out),
        };
    }
    out.extend_from_slice(rest);
    out
}

fn kept_percent<'a>(from: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    out.push(b'%');
    from.get(1..).unwrap_or_default()
}

/// Removes dot segments; an empty segment is a segment. A dot segment may carry path parameters (`..;x=1`).
fn resolve(path: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut closed = false;
    for segment in path.strip_prefix(b"/").unwrap_or(path).split(|octet| *octet == b'/') {
        let name = segment.split(|octet| *octet == b';').next().unwrap_or_default();
        closed = matches!(name, b"." | b"..");
        match name {
            b"." => {}
            b".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    join(&segments, closed)
}

/// The segments with a `/` before each, and one at the end when the last segment was taken out.
fn join(segments: &[&[u8]], closed: bool) -> Vec<u8> {
    let mut path = Vec::with_capacity(segments.iter().map(|segment| segment.len() + 1).sum::<usize>() + 1);
    for segment in segments {
        path.push(b'/');
        path.extend_from_slice(segment);
    }
    if closed || path.is_empty() {
        path.push(b'/');
    }
    path
}

fn merge(path: &[u8]) -> Vec<u8> {
    let mut merged: Vec<u8> = Vec::with_capacity(path.len());
    for octet in path {
        if *octet != b'/' || merged.last() != Some(&b'/') {
            merged.push(*octet);
        }
    }
    merged
}

#[cfg(test)]
mod tests;
