//! `response-transformer`: changes to the fields of the response.
//!
//! ORDER: remove, rename, replace, add, append, as in Kong. `add` never overrides what the service sent. Bodies are not
//! changed; lowering refuses configurations that ask for it.

use super::Outcome;
use crate::Compatibility;
use crate::walk::Walk;
use bytes::Bytes;
use ringwall_model::FieldEdit;

/// Configuration of `response-transformer`.
#[derive(Clone, Debug, Default)]
pub struct ResponseTransformer {
    /// Names that go.
    pub remove: Vec<Box<str>>,
    /// Old and new names.
    pub rename: Vec<(Box<str>, Box<str>)>,
    /// New values where there are some.
    pub replace: Vec<(Box<str>, Box<str>)>,
    /// Values where there are none.
    pub add: Vec<(Box<str>, Box<str>)>,
    /// Values beside those that are there.
    pub append: Vec<(Box<str>, Box<str>)>,
}

/// Adds the edits.
pub fn judge(config: &ResponseTransformer, walk: &mut Walk<'_>) -> Outcome {
    let bytes = |text: &str| Bytes::from(text.as_bytes().to_vec());
    let safe = walk.compatibility() == Compatibility::Safe;
    for name in &config.remove {
        // Kong takes `A,B` for one name, which no response has; meant are both.
        let names: Vec<&str> = if safe { name.split(',').map(str::trim).collect() } else { vec![name] };
        walk.response.extend(names.into_iter().map(|name| FieldEdit::Remove(bytes(name))));
    }
    let pairs = |pairs: &[(Box<str>, Box<str>)], make: fn(Bytes, Bytes) -> FieldEdit| -> Vec<FieldEdit> {
        pairs.iter().map(|(name, value)| make(bytes(name), bytes(value))).collect()
    };
    walk.response.extend(pairs(&config.rename, FieldEdit::Rename));
    walk.response.extend(pairs(&config.replace, FieldEdit::Replace));
    walk.response.extend(pairs(&config.add, FieldEdit::AddIfAbsent));
    walk.response.extend(pairs(&config.append, FieldEdit::Append));
    Outcome::Pass
}
