//! `ringwall explain`: why a call was let through or refused, layer by layer; or what a finding of `check` means.
//!
//! In: a record of the running wall, a call that is described, or a finding's code. Out: one line a layer, and the rule's
//! place; the finding's page.

pub mod described;
mod told;

use crate::cli::Format;
use crate::exit::Exit;
use ringwall_manifest::pages;
use ringwall_model::Code;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Prints the page about a finding.
pub fn finding(code: Code, format: Format) -> Exit {
    let Some(page) = pages::find(code) else {
        return Exit::usage(format!("there is no finding {code}; `docs/findings/README.md` lists them"));
    };
    if format == Format::Human {
        print!("{}", page.text);
    } else {
        let (title, severities) = (page.title(), page.severities().split(", ").collect::<Vec<_>>());
        let told = json!({ "code": code.to_string(), "title": title, "severities": severities, "page": page.text });
        println!("{told:#}");
    }
    Exit::HELD
}

/// A recorded call for people.
pub fn text(record: &Value) -> String {
    let field = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or("-");
    let mut text = String::new();
    if record.get("layers").is_none() {
        let _ = writeln!(text, "connection {} at {}", field("id"), field("start_time"));
        let _ = writeln!(
            text,
            "  from {} ({}) to {} {}",
            field("peer"),
            field("peer_principal"),
            field("role"),
            field("workload")
        );
        let _ =
            writeln!(text, "  server name {}, cluster {}", field("requested_server_name"), field("upstream_cluster"));
        let _ = writeln!(text, "  refused by {}", field("refused_by"));
        let _ = writeln!(text, "  {}", field("failure"));
        return text;
    }
    let _ = writeln!(text, "call {} at {}", field("id"), field("time"));
    let _ = writeln!(text, "  {} {}{} → {}", field("method"), field("authority"), field("target"), record["status"]);
    let _ = writeln!(
        text,
        "  at {} {} ({}), from {} ({}), client {}",
        field("role"),
        field("workload"),
        field("local"),
        field("peer"),
        field("principal"),
        field("client")
    );
    for step in record.get("layers").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| step.get(name).and_then(Value::as_str).unwrap_or("-");
        let _ = writeln!(text, "  {:<9} {:<7} {}", part("layer"), part("verdict"), part("rule"));
    }
    text.push_str(&firewall(record));
    let _ = writeln!(text, "  details   {}", field("details"));
    if !field("place").is_empty() {
        let _ = writeln!(text, "  rule at   {}", field("place"));
    }
    text
}

/// The rules of the firewall that matched: id, what they added to the score, what they looked at, and its value after the
/// transformations, redacted where it is a credential.
fn firewall(record: &Value) -> String {
    let mut text = String::new();
    let Some(found) = record.get("firewall").filter(|found| found.is_object()) else { return text };
    for matched in found.get("matches").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| matched.get(name).and_then(Value::as_str).unwrap_or_default();
        let number = |name: &str| matched.get(name).and_then(Value::as_i64).unwrap_or_default();
        let refused = if matched.get("refused").and_then(Value::as_bool) == Some(true) { " refuses" } else { "" };
        let value: String = part("value").chars().take(60).collect();
        let _ = writeln!(
            text,
            "  rule      {} +{}{refused} {} = {value:?}: {}",
            number("id"),
            number("score"),
            part("variable"),
            part("message")
        );
    }
    let score = |name: &str| found.get(name).and_then(Value::as_i64).unwrap_or_default();
    let _ = writeln!(text, "  score     request {}, response {}", score("inbound"), score("outbound"));
    text
}
