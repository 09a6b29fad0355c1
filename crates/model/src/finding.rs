//! What `check` has to say about a manifest.

use serde::Serialize;
use std::fmt;

/// Something worth saying about a manifest. Never mixed with a [`crate::Decision`] (about a call) or an error (about
/// the world). Text rules: lower case, user input in backticks, no type names of the source code, help apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Stable code.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// One line: what is so.
    pub title: String,
    /// Where.
    pub primary: Place,
    /// Other places that take part in it, each with a few words.
    pub related: Vec<(Place, String)>,
    /// What would be right.
    pub help: Option<String>,
    /// The replacement text for the primary place, when there is exactly one right one.
    pub fix: Option<String>,
}

impl Finding {
    /// A finding without related places, help or fix.
    pub fn new(code: Code, severity: Severity, primary: Place, title: impl Into<String>) -> Self {
        Self { code, severity, title: title.into(), primary, related: Vec::new(), help: None, fix: None }
    }

    /// The same with help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with a related place.
    #[must_use]
    pub fn related(mut self, place: Place, says: impl Into<String>) -> Self {
        self.related.push((place, says.into()));
        self
    }
}

/// `RW` and four digits: the first digit is the layer (0 reading, 1 kubernetes and packet, 2 mesh, 3 gateway,
/// 4 certificates, 5 shield and edge, 6 waf, 7 telemetry and response). Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u16);

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "RW{:04}", self.0)
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The World is not taken: it would not mean what it says.
    Error,
    /// It is taken and likely does not do what was meant.
    Warning,
    /// Worth knowing: a field that is not enforced, a product's behaviour that is kept.
    Note,
}

/// Index of a document in the set that was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId(pub u32);

/// A node of a document; its byte span lives in a side table (`manifest::Sources`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Which document.
    pub document: DocumentId,
    /// JSON pointer (RFC 6901) into it.
    pub pointer: Box<str>,
    /// Whether the key or the value is meant.
    pub part: Part,
}

/// The key of a node or its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The key.
    Key,
    /// The value.
    Value,
}

impl Place {
    /// The value at `pointer`.
    pub fn value(document: DocumentId, pointer: impl Into<Box<str>>) -> Self {
        Self { document, pointer: pointer.into(), part: Part::Value }
    }

    /// The key at `pointer`.
    pub fn key(document: DocumentId, pointer: impl Into<Box<str>>) -> Self {
        Self { document, pointer: pointer.into(), part: Part::Key }
    }

    /// The node `pointer` below this one.
    pub fn below(&self, pointer: &str) -> Self {
        Self { document: self.document, pointer: format!("{}{pointer}", self.pointer).into(), part: Part::Value }
    }
}
