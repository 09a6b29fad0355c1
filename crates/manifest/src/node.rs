//! The tree of one document, and the cursor by which every lowering reads it.
//!
//! In: nodes from `read`. Out: typed values, findings about what is wrong, and a record of every field: enforced,
//! ignored, unknown. Never: a field that nobody speaks of. Start reading at [`Ledger`] and [`Cursor`].

mod cursor;
mod ledger;
mod number;
#[cfg(test)]
mod tests;

pub use cursor::Cursor;
pub(crate) use ledger::nearest;
pub use ledger::{FieldRecord, FieldUse, Ledger};
pub use number::read_duration;

/// One value of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// How a plain scalar that is no string is written (`010`, `yes`, `3.40`); empty for all else.
    pub written: Box<str>,
    /// Where its text stands.
    pub span: Span,
    /// Number within its document, in the order of the text (a node comes before what is in it).
    pub id: u32,
    /// The greatest number in it.
    pub last: u32,
    /// Whether its type hangs on how it is written.
    pub style: Style,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes: the schema gives it its type.
    Plain,
    /// Quoted, a block, or tagged as a string; also every collection.
    Quoted,
}

/// The value of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~`, or nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    String(Box<str>),
    /// A list.
    List(Vec<Node>),
    /// A map with text keys, in the order of the text, without repetition.
    Map(Vec<Entry>),
}

/// One entry of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its key.
    pub key: Box<str>,
    /// Where the key stands.
    pub key_span: Span,
    /// Its value.
    pub value: Node,
}

/// Bytes of a file, from `start` up to but not with `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Byte after the last.
    pub end: u32,
}

impl Span {
    /// Whether it covers no text.
    pub const fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

impl Node {
    /// A node that is not numbered yet.
    pub fn new(value: Value, span: Span) -> Self {
        Self { value, written: "".into(), span, id: 0, last: 0, style: Style::Quoted }
    }

    /// A value of a map, by key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| *entry.key == *key).map(|entry| &entry.value),
            _ => None,
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The word for its type, with its article.
    pub const fn type_name(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a truth value",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a number",
            Value::String(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The same value as JSON, for engines that take free-form objects.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(truth) => Json::Bool(*truth),
            Value::Integer(number) => Json::from(*number),
            Value::Float(number) => Json::from(*number),
            Value::String(text) => Json::String(text.to_string()),
            Value::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Map(entries) => {
                Json::Object(entries.iter().map(|entry| (entry.key.to_string(), entry.value.to_json())).collect())
            }
        }
    }

    /// Numbers this node and all in it from `next` on; returns the number after them. Recursion is bounded by the
    /// depth limit of reading.
    pub fn number(&mut self, next: u32) -> u32 {
        self.id = next;
        let mut next = next + 1;
        match &mut self.value {
            Value::List(items) => {
                for item in items {
                    next = item.number(next);
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    next = entry.value.number(next);
                }
            }
            _ => {}
        }
        self.last = next - 1;
        next
    }
}
