//! Finding tokens in a call.
//!
//! In: a call, the locations of one issuer. Out: the tokens' texts, in the order of the locations. Follows Envoy's JWT
//! extractor: lines of one header are one value joined by commas (so that a second `Authorization` spoils the first),
//! the prefix is literal, the query is decoded and its first parameter of a name counts.

use super::Location;
use ringwall_model::Call;
use smallvec::SmallVec;
use std::borrow::Cow;

/// A token's text and where it was.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// The text.
    pub text: Cow<'a, [u8]>,
    /// Where it was.
    pub location: &'a Location,
}

/// All tokens of a call at these locations.
pub fn tokens<'a>(call: &'a Call, locations: &'a [Location]) -> SmallVec<[Found<'a>; 2]> {
    let find = |location: &'a Location| match location {
        Location::Header { name, prefix } => header(call, name, prefix),
        Location::Parameter(name) => parameter(call, name).map(Cow::Owned),
        Location::Cookie(name) => cookie(call, name).map(Cow::Borrowed),
    };
    locations.iter().filter_map(|location| Some(Found { text: find(location)?, location })).collect()
}

fn header<'a>(call: &'a Call, name: &'a str, prefix: &str) -> Option<Cow<'a, [u8]>> {
    let mut lines = call.fields.all(name);
    let first = lines.next()?;
    let mut value: Cow<'a, [u8]> = Cow::Borrowed(first);
    for line in lines {
        let joined = value.to_mut();
        joined.push(b',');
        joined.extend_from_slice(line);
    }
    if prefix.is_empty() {
        return Some(value);
    }
    let at = value.windows(prefix.len()).position(|window| window == prefix.as_bytes())? + prefix.len();
    // White space and the like between prefix and token does not matter; what follows the token does.
    let skip = value.iter().skip(at).position(|byte| is_token(*byte)).map_or(at, |skip| at + skip);
    Some(match value {
        Cow::Borrowed(value) => Cow::Borrowed(value.get(skip..).unwrap_or_default()),
        Cow::Owned(value) => Cow::Owned(value.get(skip..).unwrap_or_default().to_vec()),
    })
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

fn parameter(call: &Call, name: &str) -> Option<Vec<u8>> {
    let query = call.views.query.as_deref()?;
    query.split(|byte| *byte == b'&').find_map(|pair| {
        let (key, value) = part(pair, b'=');
        (decode(key) == name.as_bytes()).then(|| decode(value))
    })
}

/// The query without every parameter of that name; `None` when nothing is left.
pub fn query_without(query: &[u8], name: &str) -> Option<Vec<u8>> {
    let other = |pair: &&[u8]| decode(part(pair, b'=').0) != name.as_bytes();
    let kept: Vec<&[u8]> = query.split(|byte| *byte == b'&').filter(other).collect();
    (!kept.is_empty()).then(|| kept.join(&b'&'))
}

fn cookie<'a>(call: &'a Call, name: &str) -> Option<&'a [u8]> {
    let pairs = call.fields.all("cookie").flat_map(|line| line.split(|byte| *byte == b';'));
    pairs.map(|pair| part(pair.trim_ascii(), b'=')).find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| {
        let quoted = value.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\""));
        quoted.unwrap_or(value)
    })
}

fn part(pair: &[u8], at: u8) -> (&[u8], &[u8]) {
    let end = pair.iter().position(|byte| *byte == at).unwrap_or(pair.len());
    (pair.get(..end).unwrap_or_default(), pair.get(end + 1..).unwrap_or_default())
}

/// Percent-decoding; what is no escape stays.
fn decode(text: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        match (byte, digit(tail.first()), digit(tail.get(1))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    out
}
