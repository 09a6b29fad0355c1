//! Istio's path vectors against [`crate::path`]: one line a case.
//!
//! In: text of `istio/path-normalization.jsonl`. Out: a [`Case`] each. Used by the tests and by
//! `cargo xtask conformance istio-paths`.

use crate::path::{self, Normalization};
use serde_json::Value;

/// One vector and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// `istio-paths/<line>`.
    pub id: String,
    /// The normal form that Istio's proxy makes.
    pub want: String,
    /// What this room makes; `None` when it refuses, or the line cannot be read.
    pub got: Option<String>,
}

impl Case {
    /// Whether both agree.
    pub fn passed(&self) -> bool {
        self.got.as_ref() == Some(&self.want)
    }
}

/// Runs all vectors of the text. A line that cannot be read is a case that fails.
pub fn istio_paths(text: &str) -> Vec<Case> {
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| case(number, line))
        .collect()
}

fn case(number: usize, line: &str) -> Case {
    let vector: Value = serde_json::from_str(line).unwrap_or_default();
    let text = |name: &str| vector.get(name).and_then(Value::as_str);
    let mode = match text("mode") {
        Some("NONE") => Some(Normalization::None),
        Some("BASE") => Some(Normalization::Base),
        Some("MERGE_SLASHES") => Some(Normalization::MergeSlashes),
        Some("DECODE_AND_MERGE_SLASHES") => Some(Normalization::DecodeAndMergeSlashes),
        _ => None,
    };
    let normal = |path: &[u8]| {
        let normal = path::normalize(path, mode?).ok()?;
        Some(String::from_utf8_lossy(&normal).into_owned())
    };
    let (input, recorded) = (text("in").unwrap_or_default(), text("out").unwrap_or_default());
    // Istio's list is older than Envoy's fix of CVE-2026-73551: since then a dot segment with parameters means the same
    // as one without.
    let want = if recorded.split('/').any(|part| part.starts_with("..;") || part.starts_with(".;")) {
        normal(without_parameters(input).as_bytes()).unwrap_or_default()
    } else {
        recorded.to_owned()
    };
    Case { id: format!("istio-paths/{number}"), want, got: normal(input.as_bytes()) }
}

fn without_parameters(path: &str) -> String {
    let bare = |part: &str| match part.split_once(';') {
        Some((dots @ ("." | ".."), _)) => dots.to_owned(),
        _ => part.to_owned(),
    };
    path.split('/').map(bare).collect::<Vec<_>>().join("/")
}
