//! One exchange as a line of JSON, for the ring that `explain ID` reads.

use crate::telemetry::Names;
use crate::{peers, redact};
use ringwall_model::{Connection, Exchange};
use serde_json::{Value, json};

/// The record of an exchange: what was asked, what each layer said, what was answered.
pub fn exchange(exchange: &Exchange, names: &Names<'_>) -> Value {
    let layers: Vec<Value> = exchange
        .trace
        .steps()
        .iter()
        .map(|step| {
            json!({
                "layer": step.layer.as_str(),
                "verdict": verdict(step.passed),
                "rule": names.rules.render(step.because),
                "would_be_refused_by": step.would_refuse.map(|audited| names.rules.render(audited)),
            })
        })
        .collect();
    let fields: Vec<Value> = exchange
        .request_fields
        .iter()
        .map(|field| {
            let name = redact::text(&field.name);
            json!([name, redact::field(&name, &field.value)])
        })
        .collect();
    json!({
        "id": exchange.id.to_string(),
        "time": exchange.started.rfc3339(),
        "duration": exchange.duration.0,
        "role": exchange.role.as_str(),
        "workload": &*exchange.workload,
        "method": redact::text(&exchange.method),
        "target": redact::target(&exchange.target),
        "authority": redact::text(&exchange.authority),
        "fields": fields,
        "peer": exchange.peer.to_string(),
        "principal": exchange.peer_identity.as_ref().map(ToString::to_string),
        "client": exchange.client.to_string(),
        "local": exchange.local.to_string(),
        "status": exchange.status,
        "flags": exchange.flags,
        "details": &*exchange.details,
        "refused_by": peers::refusal(exchange.refused, names),
        "route": &*exchange.route,
        "cluster": &*exchange.cluster,
        "upstream": exchange.upstream.map(|address| address.to_string()),
        "layers": layers,
        "firewall": exchange.inspected.as_ref().map(|inspected| crate::firewall::record(inspected)),
    })
}

/// The record of a connection without HTTP.
pub fn connection(connection: &Connection, names: &Names<'_>) -> Value {
    serde_json::from_str(&crate::log::flow(connection, names)).unwrap_or(Value::Null)
}

pub(crate) const fn verdict(passed: bool) -> &'static str {
    if passed { "pass" } else { "refuse" }
}
