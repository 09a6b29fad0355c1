//! `request-transformer`: changes to the request before it goes upstream.
//!
//! ORDER: path, method, fields, arguments; in each: remove, rename, replace, add, append, as in Kong. Bodies are not
//! changed; lowering refuses configurations that ask for it.

use super::Outcome;
use crate::template::{Template, decoded};
use crate::walk::Walk;
use bytes::Bytes;
use ringwall_model::{Edit, FieldEdit};

/// Configuration of `request-transformer`.
#[derive(Clone, Debug, Default)]
pub struct RequestTransformer {
    /// A new path.
    pub uri: Option<Template>,
    /// A new method.
    pub method: Option<Box<str>>,
    /// Changes to fields.
    pub headers: Changes,
    /// Changes to arguments of the query.
    pub query: Changes,
}

/// Changes to named values.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Names that go.
    pub remove: Vec<Box<str>>,
    /// Old and new names.
    pub rename: Vec<(Box<str>, Box<str>)>,
    /// New values where there are some.
    pub replace: Vec<(Box<str>, Template)>,
    /// Values where there are none.
    pub add: Vec<(Box<str>, Template)>,
    /// Values beside those that are there.
    pub append: Vec<(Box<str>, Template)>,
}

impl Changes {
    const fn is_empty(&self) -> bool {
        self.remove.is_empty()
            && self.rename.is_empty()
            && self.replace.is_empty()
            && self.add.is_empty()
            && self.append.is_empty()
    }
}

/// Adds the edits.
pub fn judge(config: &RequestTransformer, walk: &mut Walk<'_>) -> Outcome {
    if let Some(uri) = &config.uri {
        walk.path = uri.render(walk).into();
    }
    if let Some(method) = &config.method {
        walk.edits.push(Edit::Method(method.as_bytes().to_vec().into()));
    }
    change_fields(&config.headers, walk);
    if !config.query.is_empty() {
        let query = change_query(&config.query, walk);
        walk.edits.push(Edit::Query(query));
    }
    Outcome::Pass
}

fn change_fields(changes: &Changes, walk: &mut Walk<'_>) {
    let name = |name: &str| Bytes::from(name.as_bytes().to_vec());
    let is_host = |name: &str| name.eq_ignore_ascii_case("host");
    // `Host` changes by `replace` alone, and is not among the fields.
    for it in changes.remove.iter().filter(|it| !is_host(it)) {
        walk.take_out(it);
    }
    for (from, to) in changes.rename.iter().filter(|(from, to)| !is_host(from) && !is_host(to)) {
        walk.edit(FieldEdit::Rename(name(from), name(to)));
    }
    for (it, template) in &changes.replace {
        let value: Bytes = one_line(template.render(walk)).into();
        if is_host(it) {
            walk.edits.push(Edit::Authority(value));
        } else {
            walk.edit(FieldEdit::Replace(name(it), value));
        }
    }
    for (it, template) in changes.add.iter().filter(|(it, _)| !is_host(it)) {
        let value = one_line(template.render(walk));
        walk.edit(FieldEdit::AddIfAbsent(name(it), value.into()));
    }
    for (it, template) in changes.append.iter().filter(|(it, _)| !is_host(it)) {
        let value = one_line(template.render(walk));
        walk.edit(FieldEdit::Append(name(it), value.into()));
    }
}

/// A value made of arguments could hold what ends the line; each such byte becomes a space (RFC 9110 section 5.5).
fn one_line(mut value: Vec<u8>) -> Vec<u8> {
    value.iter_mut().filter(|byte| byte.is_ascii_control() && **byte != b'\t').for_each(|byte| *byte = b' ');
    value
}

/// Pairs keep their bytes as they came; only what is added is encoded.
fn change_query(changes: &Changes, walk: &Walk<'_>) -> Option<Bytes> {
    let query = walk.call.views.query.clone().unwrap_or_default();
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = query
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| (decoded(pair.split(|byte| *byte == b'=').next().unwrap_or_default()), pair.to_vec()))
        .collect();
    let is = |pair: &(Vec<u8>, Vec<u8>), name: &str| pair.0 == name.as_bytes();
    let made = |name: &str, value: &[u8]| {
        (name.as_bytes().to_vec(), [encoded(name.as_bytes()), b"=".to_vec(), encoded(value)].concat())
    };
    for name in &changes.remove {
        pairs.retain(|pair| !is(pair, name));
    }
    for (from, to) in &changes.rename {
        for pair in pairs.iter_mut().filter(|pair| pair.0 == from.as_bytes()) {
            let value = pair.1.splitn(2, |byte| *byte == b'=').nth(1).map(decoded).unwrap_or_default();
            *pair = made(to, &value);
        }
    }
    for (name, template) in &changes.replace {
        if let Some(first) = pairs.iter().position(|pair| is(pair, name)) {
            pairs.retain(|pair| !is(pair, name));
            pairs.insert(first, made(name, &template.render(walk)));
        }
    }
    for (name, template) in &changes.add {
        if !pairs.iter().any(|pair| is(pair, name)) {
            pairs.push(made(name, &template.render(walk)));
        }
    }
    for (name, template) in &changes.append {
        pairs.push(made(name, &template.render(walk)));
    }
    let lines: Vec<Vec<u8>> = pairs.into_iter().map(|(_, pair)| pair).collect();
    (!lines.is_empty()).then(|| lines.join(b"&".as_slice()).into())
}

fn encoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(*byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}
