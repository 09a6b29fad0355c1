//! Audit records: what was asked, what was answered, which rules matched; native and JSON.
//!
//! In: a transaction after phase 5. Out: text for a sink. Never: a value that a rule said to hide (`sanitiseArg` and its
//! kind), nor more of a body than its bound. Reference manual v3, "Audit log": parts A B C E F H I J K Z.

use crate::Rules;
use crate::configuration::AuditEngine;
use crate::report::Report;
use crate::state::{Entry, State};
use crate::variable::Variable;
use ringwall_model::RuleMatch;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// How an audit record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditFormat {
    /// ModSecurity's own, in parts between boundaries.
    Native,
    /// One JSON object.
    Json,
}

/// So much of a body goes into a record.
pub(crate) const BODY: usize = 8192;

/// The record of a transaction; `None` when `SecAuditEngine` says that it is not kept.
pub(crate) fn record(rules: &Rules, state: &State, report: &Report, id: &str, format: AuditFormat) -> Option<String> {
    let status = status(state, report);
    let is_status = || {
        let pattern = rules.configuration.audit_status.as_ref();
        pattern.is_some_and(|pattern| pattern.finds(status.to_string().as_bytes()))
    };
    let kept = match state.audit {
        AuditEngine::Off => false,
        AuditEngine::On => true,
        AuditEngine::RelevantOnly => {
            report.matched.iter().any(|matched| matched.audited && matched.logged) || is_status()
        }
    };
    let record = Record { state, report, id, status, parts: &rules.configuration.audit_parts };
    kept.then(|| match format {
        AuditFormat::Native => record.native(),
        AuditFormat::Json => record.json().to_string(),
    })
}

fn status(state: &State, report: &Report) -> i64 {
    let answered = || {
        state
            .list(Variable::ResponseStatus)
            .first()
            .map(|entry| crate::operator::number(state.texts.bytes(entry.value)))
    };
    report.interruption.as_ref().map(|by| i64::from(by.status)).or_else(answered).unwrap_or(0)
}

struct Record<'a> {
    state: &'a State,
    report: &'a Report,
    id: &'a str,
    status: i64,
    parts: &'a str,
}

impl Record<'_> {
    fn has(&self, part: char) -> bool {
        self.parts.contains(part)
    }

    fn text(&self, variable: Variable) -> String {
        let entry = self.state.list(variable).first();
        entry.map(|entry| lossy(self.state.texts.bytes(entry.value))).unwrap_or_default()
    }

    /// A member's name and value, the value starred out when a rule said so.
    fn member(&self, variable: Variable, entry: &Entry) -> (String, String) {
        let name = lossy(self.state.texts.bytes(entry.name));
        let hides = |(hidden, which): &(Variable, Box<str>)| *hidden == variable && which.eq_ignore_ascii_case(&name);
        let value = lossy(self.state.texts.bytes(entry.value));
        let value = if self.state.hidden.iter().any(hides) { "*".repeat(value.chars().count()) } else { value };
        (name, value)
    }

    fn members(&self, variable: Variable) -> Vec<(String, String)> {
        self.state.list(variable).iter().map(|entry| self.member(variable, entry)).collect()
    }

    /// The request's body; its arguments instead when one of them is hidden.
    fn body(&self) -> String {
        if self.state.hidden.iter().any(|(variable, _)| *variable == Variable::Args) {
            let arguments = self.state.list(Variable::Args).iter().skip(self.state.from_query);
            let pairs = arguments.map(|entry| self.member(Variable::Args, entry));
            return pairs.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        }
        let body = &self.state.request_body;
        lossy(body.get(..BODY).unwrap_or(body))
    }

    /// The rules that matched and are to be kept, without values that are hidden.
    fn kept(&self) -> impl Iterator<Item = RuleMatch> {
        let hides = |matched: &RuleMatch| {
            let (variable, name) = matched.variable.split_once(':').unwrap_or((&matched.variable, ""));
            let kept = Variable::named(variable).map(|variable| variable.kept().0);
            self.state.hidden.iter().any(|(hidden, which)| Some(*hidden) == kept && which.eq_ignore_ascii_case(name))
        };
        let kept = self.report.matched.iter().filter(|matched| matched.audited && matched.logged);
        kept.map(move |matched| match hides(matched) {
            true => RuleMatch { value: "*".into(), data: "*".into(), ..matched.clone() },
            false => matched.clone(),
        })
    }

    fn native(&self) -> String {
        let mut out = String::new();
        let mut part = |letter: char, text: String| {
            if letter == 'A' || letter == 'Z' || self.has(letter) {
                // Writing to memory does not fail.
                let _ = write!(out, "--{}-{letter}--\n{text}\n", self.id);
            }
        };
        let ends = [Variable::RemoteAddr, Variable::RemotePort, Variable::ServerAddr, Variable::ServerPort];
        let ends = ends.map(|variable| self.text(variable)).join(" ");
        part('A', format!("[{}] {} {ends}\n", self.state.now.rfc3339(), self.id));
        let fields = |members: Vec<(String, String)>| {
            members.iter().map(|(name, value)| format!("{}: {}\n", line(name), line(value))).collect::<String>()
        };
        let head =
            format!("{}\n{}", line(&self.text(Variable::RequestLine)), fields(self.members(Variable::RequestHeaders)));
        part('B', head);
        part('C', format!("{}\n", self.body()));
        part('E', format!("{}\n", lossy(self.state.response_body.get(..BODY).unwrap_or(&self.state.response_body))));
        let protocol = self.text(Variable::ResponseProtocol);
        part('F', format!("{protocol} {}\n{}", self.status, fields(self.members(Variable::ResponseHeaders))));
        let lines = self.kept().map(|matched| format!("{matched}\n"));
        part('H', lines.collect());
        part('I', format!("{}\n", self.body()));
        part('J', fields(self.members(Variable::Files)));
        let rules =
            self.report.matched.iter().map(|matched| format!("{}:{} id {}\n", matched.file, matched.line, matched.id));
        part('K', rules.collect());
        part('Z', String::new());
        out
    }

    fn json(&self) -> Value {
        let object = |members: Vec<(String, String)>| {
            // Repeated fields become a list.
            let mut map = Map::new();
            for (name, value) in members {
                match map.get_mut(&name) {
                    Some(Value::Array(list)) => list.push(value.into()),
                    Some(other) => *other = json!([other.clone(), value]),
                    None => drop(map.insert(name, value.into())),
                }
            }
            Value::Object(map)
        };
        let matched = self.kept().map(|matched| message(&matched));
        let mut transaction = json!({
            "client_ip": self.text(Variable::RemoteAddr),
            "time_stamp": self.state.now.rfc3339(),
            "unique_id": self.id,
            "request": {
                "method": self.text(Variable::RequestMethod),
                "uri": self.text(Variable::RequestUriRaw),
                "http_version": self.text(Variable::RequestProtocol),
                "headers": object(self.members(Variable::RequestHeaders)),
            },
            "response": { "http_code": self.status, "headers": object(self.members(Variable::ResponseHeaders)) },
            "messages": matched.collect::<Vec<_>>(),
            "interrupted": self.report.interruption.as_ref().map(|by| json!({ "rule": by.rule, "status": by.status, "phase": by.phase })),
            "scores": { "inbound": self.report.inbound, "outbound": self.report.outbound },
        });
        if (self.has('C') || self.has('I'))
            && let Some(Value::Object(request)) = transaction.get_mut("request")
        {
            request.insert("body".into(), self.body().into());
        }
        json!({ "transaction": transaction })
    }
}

fn message(matched: &RuleMatch) -> Value {
    json!({
        "message": matched.message,
        "details": {
            "match": format!("{} = {}", matched.variable, matched.value),
            "variable": matched.variable,
            "ruleId": matched.id.to_string(),
            "data": matched.data,
            "severity": matched.severity.map(|severity| severity.to_string()),
            "ver": matched.version,
            "file": matched.file,
            "lineNumber": matched.line.to_string(),
            "tags": matched.tags,
            "score": matched.score,
        }
    })
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A text on one line: what would break it is escaped.
fn line(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}
