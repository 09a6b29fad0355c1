//! An explained call as text for people.

use serde_json::Value;
use std::fmt::Write as _;

/// What was told of a described call, one line a fact.
pub fn text(told: &Value) -> String {
    let mut out = String::new();
    let at = |name: &str| told.pointer(name).and_then(Value::as_str).unwrap_or_default();
    let _ = writeln!(out, "call {} {}", at("/method"), at("/url"));
    let _ = writeln!(out, "  at        {} {} ({})", at("/at/role"), at("/at/workload"), at("/at/address"));
    let from = if at("/from").is_empty() { "no identity" } else { at("/from") };
    let _ = writeln!(out, "  from      {} ({from})", at("/peer"));
    let _ = writeln!(out, "  client    {}", at("/client"));
    for step in list(told, "layers") {
        let place = part(step, "place");
        let place = if place.is_empty() { String::new() } else { format!("  {place}") };
        let _ =
            writeln!(out, "  {:<9} {:<7} {}{place}", part(step, "layer"), part(step, "verdict"), part(step, "rule"));
    }
    out.push_str(&super::firewall(told));
    match at("/outcome") {
        "pass" => {
            let _ = writeln!(out, "PASS      to {}", at("/goes_to"));
            let _ = writeln!(out, "  sent as   {}", at("/as"));
        }
        outcome => {
            let word = if outcome == "answer" { "ANSWERED" } else { "REFUSED" };
            let status = told.get("status").and_then(Value::as_u64).map_or("dropped".into(), |it| it.to_string());
            let _ = writeln!(out, "{word:<9} {status} by {}: {}", at("/layer"), at("/rule"));
            for (name, value) in [("rule at", at("/place")), ("details", at("/details"))] {
                if !value.is_empty() {
                    let _ = writeln!(out, "  {name:<9} {value}");
                }
            }
        }
    }
    for rule in list(told, "nearest") {
        out.push_str(&nearest(rule));
    }
    for assumed in list(told, "assumed").filter_map(Value::as_str) {
        let _ = writeln!(out, "  assumed   {assumed}");
    }
    out
}

fn nearest(rule: &Value) -> String {
    let (name, action, place) = (part(rule, "rule"), part(rule, "action"), part(rule, "place"));
    if rule.get("matched").and_then(Value::as_bool) == Some(true) {
        return format!("  matches   {action} {name}  {place}\n");
    }
    let clauses = rule.get("clauses_before").and_then(Value::as_u64).unwrap_or_default();
    let fits = match clauses {
        0 => String::new(),
        1 => " (1 clause fits)".into(),
        more => format!(" ({more} clauses fit)"),
    };
    let (field, wanted, actual) = (part(rule, "field"), part(rule, "wanted"), part(rule, "actual"));
    format!("  nearest   {action} {name}{fits}  {place}\n            {field} is {actual}; it wants {wanted}\n")
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn part<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
