//! From audit records to proposals: which targets could be left out of which rules, as SecLang to be reviewed.
//!
//! In: records of [`crate::AuditFormat::Json`] or of ModSecurity's own JSON log, one a line, of traffic that is known to be
//! good. Out: one
//! `SecRuleUpdateTargetById` for each rule and target, the most frequent first. Never: a whole rule is not proposed away,
//! nor the rules that sum scores.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Proposes exclusions. Lines that are no records are passed over; how many is the second value.
pub fn tune(records: &str) -> (String, usize) {
    let mut found: BTreeMap<(u64, String), (usize, String)> = BTreeMap::new();
    let mut strange = 0;
    for line in records.lines().filter(|line| !line.trim().is_empty()) {
        let record: Option<Value> = serde_json::from_str(line).ok();
        let messages =
            record.as_ref().and_then(|record| record.pointer("/transaction/messages")).and_then(Value::as_array);
        let Some(messages) = messages else {
            strange += 1;
            continue;
        };
        for message in messages {
            let text = |pointer: &str| message.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let Some(id) = text("/details/ruleId").parse().ok().filter(|id| !sums(*id)) else { continue };
            let named = text("/details/variable");
            // ModSecurity writes it into a sentence: "… against variable `ARGS:q' (Value: …".
            let told = || text("/details/match").split("against variable `").nth(1)?.split('\'').next();
            let variable = if named.is_empty() { told().unwrap_or_default() } else { named };
            let Some(target) = target(variable) else { continue };
            let held = found.entry((id, target)).or_insert_with(|| (0, text("/message").to_owned()));
            held.0 += 1;
        }
    }
    let mut ranked: Vec<_> = found.into_iter().collect();
    ranked.sort_by_key(|((id, target), (count, _))| (std::cmp::Reverse(*count), *id, target.clone()));
    let mut out = String::new();
    for ((id, target), (count, message)) in ranked {
        let message: String = message.chars().filter(|c| !c.is_control()).take(100).collect();
        // Writing to memory does not fail.
        let _ = write!(out, "# {count} times: {message}\nSecRuleUpdateTargetById {id} \"!{target}\"\n");
    }
    (out, strange)
}

/// Rules that decide by the score, and those that only report it.
const fn sums(id: u64) -> bool {
    matches!(id / 1000, 949 | 959 | 980)
}

/// The target of a matched variable; `None` when the whole variable would be meant, which is too much to propose.
fn target(variable: &str) -> Option<String> {
    let (name, member) = variable.split_once(':')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '[' | ']');
    // An index of a JSON array stands for all of them.
    let parts: Vec<&str> = member.split('.').collect();
    let is_index =
        |part: &str| part.strip_prefix("array_").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    if name == "TX" || member.is_empty() || !member.chars().all(plain) {
        return None;
    }
    if !parts.iter().any(|part| is_index(part)) {
        return Some(variable.to_owned());
    }
    let pattern = parts.iter().map(|part| if is_index(part) { "array_\\d+".into() } else { escaped(part) });
    Some(format!("{name}:/^{}$/", pattern.collect::<Vec<_>>().join("\\.")))
}

fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| if matches!(c, '[' | ']') { vec!['\\', c] } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::tune;

    #[test]
    fn proposals() {
        let record = |id: &str, variable: &str| {
            serde_json::json!({"transaction": {"messages": [{"message": "m", "details": {"ruleId": id, "variable": variable}}]}}).to_string()
        };
        let lines = [
            record("942100", "ARGS:q"),
            record("942100", "ARGS:q"),
            record("932140", "ARGS:json.m.array_3.text"),
            record("949110", "TX:blocking_inbound_anomaly_score"),
            record("920100", "REQUEST_LINE"),
            record("941100", "ARGS:a\" \"x"),
            "no record".into(),
            r#"{"transaction":{"messages":[{"message":"m","details":{"ruleId":"942100","match":"Matched \"Operator `Rx' with parameter `x' against variable `ARGS:q' (Value: `a' )"}}]}}"#.into(),
        ];
        let (text, strange) = tune(&lines.join("\n"));
        let want = "# 3 times: m\nSecRuleUpdateTargetById 942100 \"!ARGS:q\"\n# 1 times: m\nSecRuleUpdateTargetById 932140 \"!ARGS:/^json\\.m\\.array_\\d+\\.text$/\"\n";
        assert_eq!((text.as_str(), strange), (want, 1));
    }
}
