//! Findings as JSON: one object with a list, each finding with its place in the text.

use crate::source::Sources;
use ringwall_model::{Finding, Place, Severity};
use serde_json::{Value, json as object};

/// Findings as one JSON document.
pub fn json(findings: &[Finding], sources: &Sources) -> String {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let document = object!({
        "findings": findings.iter().map(|finding| one(finding, sources)).collect::<Vec<_>>(),
        "errors": count(Severity::Error),
        "warnings": count(Severity::Warning),
        "notes": count(Severity::Note),
    });
    format!("{document:#}\n")
}

fn one(finding: &Finding, sources: &Sources) -> Value {
    let related = finding.related.iter().map(|(at, says)| {
        let mut value = place(at, sources);
        if let Value::Object(fields) = &mut value {
            fields.insert("says".into(), says.as_str().into());
        }
        value
    });
    object!({
        "code": finding.code.to_string(),
        "severity": finding.severity,
        "title": finding.title,
        "place": place(&finding.primary, sources),
        "related": related.collect::<Vec<_>>(),
        "help": finding.help,
        "fix": finding.fix,
    })
}

fn place(at: &Place, sources: &Sources) -> Value {
    let known = sources.position(at);
    object!({
        "file": known.map(|(file, _)| &*file.name),
        "line": known.map(|(_, position)| position.line),
        "column": known.map(|(_, position)| position.column),
        "pointer": at.pointer,
    })
}
