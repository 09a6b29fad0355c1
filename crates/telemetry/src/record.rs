//! One exchange as a line of JSON, for the ring that `explain ID` reads.

use crate::shown::Shown;
use crate::telemetry::Names;
use crate::{peers, redact};
use ringwall_model::{Entry, Exchange, Field, Reason};
use serde::ser::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt::{self, Display};

/// What was asked, what each layer said, what was answered, with its line end.
pub fn exchange(exchange: &Exchange, names: &Names<'_>) -> Vec<u8> {
    let record = Record {
        id: Shown(exchange.id),
        time: exchange.started.rfc3339(),
        duration: exchange.duration.0,
        role: exchange.role.as_str(),
        workload: &exchange.workload,
        method: redact::text(&exchange.method),
        target: redact::target(&exchange.target),
        authority: redact::text(&exchange.authority),
        fields: Fields(exchange.request_fields.0.as_slice()),
        peer: Shown(exchange.peer),
        principal: exchange.peer_identity.as_ref().map(Shown),
        client: Shown(exchange.client),
        local: Shown(exchange.local),
        status: exchange.status,
        flags: exchange.flags,
        details: &exchange.details,
        refused_by: peers::refusal(exchange.refused, names),
        route: &exchange.route,
        cluster: &exchange.cluster,
        upstream: exchange.upstream.map(Shown),
        layers: Layers(exchange.trace.steps(), names),
        firewall: exchange.inspected.as_ref().map(|inspected| crate::firewall::record(inspected)),
    };
    // Nothing in a record refuses to be written.
    let mut line = serde_json::to_vec(&record).unwrap_or_default();
    line.push(b'\n');
    line
}

pub(crate) const fn verdict(passed: bool) -> &'static str {
    if passed { "pass" } else { "refuse" }
}

#[derive(serde::Serialize)]
struct Record<'a> {
    id: Shown<ringwall_model::CallId>,
    time: String,
    duration: u64,
    role: &'static str,
    workload: &'a str,
    method: Cow<'a, str>,
    target: Cow<'a, str>,
    authority: Cow<'a, str>,
    fields: Fields<'a>,
    peer: Shown<std::net::SocketAddr>,
    principal: Option<Shown<&'a ringwall_model::SpiffeId>>,
    client: Shown<std::net::IpAddr>,
    local: Shown<std::net::SocketAddr>,
    status: u16,
    flags: &'a str,
    details: &'a str,
    refused_by: Option<String>,
    route: &'a str,
    cluster: &'a str,
    upstream: Option<Shown<std::net::SocketAddr>>,
    layers: Layers<'a>,
    firewall: Option<serde_json::Value>,
}

/// Pairs of name and value, credentials taken out.
struct Fields<'a>(&'a [Field]);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|field| {
            let name = redact::text(&field.name);
            let value = redact::field(&name, &field.value);
            [name, value]
        }))
    }
}

struct Layers<'a>(&'a [Entry], &'a Names<'a>);

impl Serialize for Layers<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|step| Said {
            layer: step.layer.as_str(),
            verdict: verdict(step.passed),
            rule: Shown(Named(step.because, self.1)),
            would_be_refused_by: step.would_refuse.map(|audited| Shown(Named(audited, self.1))),
        }))
    }
}

#[derive(serde::Serialize)]
struct Said<'a> {
    layer: &'static str,
    verdict: &'static str,
    rule: Shown<Named<'a>>,
    would_be_refused_by: Option<Shown<Named<'a>>>,
}

/// A reason by the name of its rule.
struct Named<'a>(Reason, &'a Names<'a>);

impl Display for Named<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.1.rules.write(self.0, out)
    }
}
