//! Findings as SARIF 2.1.0 (OASIS), for code hosts that show them beside the lines.

use crate::pages;
use crate::source::{Sources, position};
use ringwall_model::{Code, Finding, Place, Severity};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Findings as one SARIF log with one run.
pub fn sarif(findings: &[Finding], sources: &Sources) -> String {
    let codes: BTreeSet<Code> = findings.iter().map(|finding| finding.code).collect();
    let rules: Vec<Value> = codes.iter().map(|code| rule(*code)).collect();
    let index = |code: Code| codes.iter().position(|known| *known == code).unwrap_or_default();
    let results: Vec<Value> = findings.iter().map(|finding| result(finding, index(finding.code), sources)).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "ringwall", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

/// What a code means: its page.
fn rule(code: Code) -> Value {
    match pages::find(code) {
        None => json!({ "id": code.to_string() }),
        Some(page) => json!({
            "id": code.to_string(),
            "shortDescription": { "text": page.title() },
            "fullDescription": { "text": page.body() },
            "help": { "text": page.text, "markdown": page.text },
        }),
    }
}

fn result(finding: &Finding, rule_index: usize, sources: &Sources) -> Value {
    let text = match &finding.help {
        Some(help) => format!("{}. {help}", finding.title),
        None => finding.title.clone(),
    };
    let related: Vec<Value> = finding
        .related
        .iter()
        .enumerate()
        .filter_map(|(id, (place, says))| {
            let mut location = location(place, sources)?;
            if let Value::Object(fields) = &mut location {
                fields.insert("id".into(), id.into());
                fields.insert("message".into(), json!({ "text": says }));
            }
            Some(location)
        })
        .collect();
    json!({
        "ruleId": finding.code.to_string(),
        "ruleIndex": rule_index,
        "level": match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        },
        "message": { "text": text },
        "locations": location(&finding.primary, sources).into_iter().collect::<Vec<_>>(),
        "relatedLocations": related,
    })
}

fn location(place: &Place, sources: &Sources) -> Option<Value> {
    let file = sources.file(place.document)?;
    let span = sources.span(place)?;
    let (start, end) = (position(&file.text, span.start), position(&file.text, span.end));
    Some(json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(&file.name) },
            "region": {
                "startLine": start.line,
                "startColumn": start.column,
                "endLine": end.line,
                "endColumn": end.column,
            },
        },
        "logicalLocations": [{ "fullyQualifiedName": place.pointer }],
    }))
}

/// A relative reference of RFC 3986: what is not plain is percent-encoded.
fn uri(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/');
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
