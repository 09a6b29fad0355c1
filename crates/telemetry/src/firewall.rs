//! What a firewall found, as lines: one for each rule that matched, as ModSecurity writes its error log, and audit
//! records as JSON. Credentials are redacted here: a value that a rule matched is as secret as the field it came from.

use crate::redact::{self, REDACTED};
use ringwall_model::{CallId, Inspected, RuleMatch};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fmt::Write;

/// The lines of the error log, each with its end; empty when no rule that matched wants one.
pub fn lines(id: CallId, client: std::net::IpAddr, inspected: &Inspected) -> String {
    let mut out = String::new();
    for matched in inspected.matches.iter().filter(|matched| matched.logged) {
        // Writing to memory does not fail.
        let _ = writeln!(out, "[client {client}] {} [unique_id \"{id}\"]", redacted(matched));
    }
    out
}

/// The match without what may not be written.
fn redacted(matched: &RuleMatch) -> RuleMatch {
    let (message, data) = (shown(matched, &matched.message).into_owned(), shown(matched, &matched.data).into_owned());
    RuleMatch { message, data, ..matched.clone() }
}

/// The rules that matched, for the record that `explain` reads.
pub fn record(inspected: &Inspected) -> Value {
    let one = |matched: &RuleMatch| {
        json!({
            "id": matched.id, "phase": matched.phase, "variable": matched.variable, "score": matched.score,
            "value": shown(matched, &matched.value), "message": shown(matched, &matched.message),
            "refused": matched.refused,
        })
    };
    json!({
        "matches": inspected.matches.iter().map(one).collect::<Vec<_>>(),
        "inbound": inspected.inbound,
        "outbound": inspected.outbound,
    })
}

/// A text that may hold the matched value, as it may be written.
fn shown<'a>(matched: &RuleMatch, text: &'a str) -> Cow<'a, str> {
    let (variable, member) = matched.variable.split_once(':').unwrap_or((&matched.variable, ""));
    let last = member.rsplit('.').next().unwrap_or_default();
    let secret = redact::is_credential(last) || redact::is_credential_parameter(last) || variable.contains("COOKIE");
    // The name of a credential is none.
    if secret && !variable.ends_with("_NAMES") {
        return if holds(text, &matched.value) { REDACTED.into() } else { Cow::Borrowed(text) };
    }
    match variable {
        "REQUEST_URI" | "REQUEST_URI_RAW" | "REQUEST_LINE" | "QUERY_STRING" | "REQUEST_BODY" | "FULL_REQUEST" => {
            redact::pairs(text).into()
        }
        _ => Cow::Borrowed(text),
    }
}

/// Whether a text may hold the value: what a rule took out of it, too.
fn holds(text: &str, value: &str) -> bool {
    text.contains("Matched Data") || (!value.is_empty() && text.contains(value))
}

/// An audit record without credentials; `None` when it is none of ours.
pub fn audit(record: &str) -> Option<String> {
    let mut record: Value = serde_json::from_str(record).ok()?;
    let transaction = record.get_mut("transaction")?;
    for part in ["request", "response"] {
        if let Some(Value::Object(fields)) = transaction.pointer_mut(&format!("/{part}/headers")) {
            fields.iter_mut().for_each(|(name, value)| field(name, value));
        }
    }
    if let Some(Value::String(uri)) = transaction.pointer_mut("/request/uri") {
        *uri = redact::target(uri.as_bytes()).into_owned();
    }
    if let Some(Value::String(text)) = transaction.pointer_mut("/request/body") {
        *text = body(text);
    }
    for message in transaction.get_mut("messages").and_then(Value::as_array_mut).into_iter().flatten() {
        audit_message(message);
    }
    Some(format!("{record}\n"))
}

fn field(name: &str, value: &mut Value) {
    match value {
        Value::String(text) => *text = redact::field(name, text.as_bytes()).into_owned(),
        Value::Array(all) => all.iter_mut().for_each(|one| field(name, one)),
        _ => {}
    }
}

/// A body as it may be written: members of JSON and parameters of forms that are credentials are taken out.
fn body(text: &str) -> String {
    if let Ok(mut json) = serde_json::from_str::<Value>(text) {
        members(&mut json);
        return json.to_string();
    }
    if text.trim_start().starts_with(['{', '[']) {
        // A JSON text that was cut: what is a credential in it cannot be told.
        return REDACTED.into();
    }
    text.split('&').map(redact::parameter).collect::<Vec<_>>().join("&")
}

fn members(value: &mut Value) {
    match value {
        Value::Object(map) => map.iter_mut().for_each(|(name, member)| match member {
            Value::Object(_) | Value::Array(_) => members(member),
            _ if redact::is_credential(name) || redact::is_credential_parameter(name) => *member = REDACTED.into(),
            _ => {}
        }),
        Value::Array(all) => all.iter_mut().for_each(members),
        _ => {}
    }
}

fn audit_message(message: &mut Value) {
    let text =
        |map: &Map<String, Value>, name: &str| map.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(Value::Object(details)) = message.get("details") else { return };
    let (variable, data, value) = (text(details, "variable"), text(details, "data"), text(details, "match"));
    let value = value.split_once(" = ").map_or(String::new(), |(_, value)| value.to_owned());
    let matched = RuleMatch { variable: variable.clone(), value: value.clone(), ..RuleMatch::default() };
    let shown_value = shown(&matched, &value).into_owned();
    let shown_data = shown(&matched, &data).into_owned();
    let told = message.get("message").and_then(Value::as_str).map(|told| shown(&matched, told).into_owned());
    if let Some(Value::Object(details)) = message.get_mut("details") {
        details.insert("match".into(), format!("{variable} = {shown_value}").into());
        details.insert("data".into(), shown_data.into());
    }
    if let (Some(told), Some(message)) = (told, message.as_object_mut()) {
        message.insert("message".into(), told.into());
    }
}

#[cfg(test)]
mod tests {
    use super::{audit, lines, record};
    use ringwall_model::{CallId, Inspected, RuleMatch};

    fn found(variable: &str, value: &str) -> Inspected {
        let one = RuleMatch {
            id: 942_100,
            message: "SQL Injection".into(),
            data: format!("Matched Data: {value} found within {variable}: {value}"),
            variable: variable.into(),
            value: value.into(),
            severity: Some(2),
            tags: vec!["attack-sqli".into()],
            version: "v".into(),
            file: "f.conf".into(),
            line: 7,
            logged: true,
            ..RuleMatch::default()
        };
        Inspected { matches: vec![one], inbound: 5, outbound: 0, audit: None }
    }

    #[test]
    fn a_line_reads_as_modsecurity_writes_it() {
        let line = lines(CallId(1), [127, 0, 0, 1].into(), &found("ARGS:q", "1\" or\n2"));
        let start = "[client 127.0.0.1] ModSecurity: Warning. [file \"f.conf\"] [line \"7\"] [id \"942100\"] \
                     [msg \"SQL Injection\"] [data \"Matched Data: 1\\\" or\\x0a2 found within ARGS:q: ";
        assert!(line.starts_with(start), "{line}");
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn what_matched_in_a_credential_is_not_written() {
        for variable in
            ["ARGS:password", "REQUEST_HEADERS:Authorization", "REQUEST_COOKIES:sid", "ARGS:json.user.token"]
        {
            let found = found(variable, "s3cret");
            let text = lines(CallId(1), [127, 0, 0, 1].into(), &found) + &record(&found).to_string();
            assert!(!text.contains("s3cret"), "{variable}: {text}");
            assert!(text.contains("SQL Injection"));
        }
        let text = lines(CallId(1), [127, 0, 0, 1].into(), &found("REQUEST_URI", "/a?access_token=s3cret&q='"));
        assert!(!text.contains("s3cret") && text.contains("q='"), "{text}");
    }

    #[test]
    fn an_audit_record_keeps_no_credential() {
        let given = serde_json::json!({"transaction": {
            "request": {"uri": "/a?jwt=s3cret", "headers": {"Authorization": "Bearer s3cret", "Cookie": ["a=s3cret"]},
                "body": "{\"user\":{\"password\":\"s3cret\"},\"q\":1}"},
            "messages": [{"message": "m s3cret", "details": {"variable": "ARGS:password", "match": "ARGS:password = s3cret",
                "data": "Matched Data: s3cret"}}],
        }});
        let text = audit(&given.to_string()).unwrap();
        assert!(!text.contains("s3cret"), "{text}");
        assert!(text.ends_with('\n') && text.contains("\\\"q\\\":1"));
    }
}
