//! Spans in Zipkin's JSON v2. They are built here; whoever has a socket posts them.

use crate::{log, redact};
use ringwall_model::{CallId, Exchange, Fields};
use serde_json::{Value, json};

/// How many calls of ten thousand are traced when the caller does not say (`sampling: 10.0` is 1000).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sampling(pub u16);

impl Sampling {
    /// Whether a call is traced: as its caller decided (B3 or W3C), else by its own random name, so that every hop of one
    /// call would decide alike.
    pub fn takes(self, id: CallId, fields: &Fields) -> bool {
        let text = |name: &str| fields.first(name).and_then(|value| std::str::from_utf8(value).ok());
        match (text("x-b3-sampled"), text("traceparent").and_then(parent)) {
            (Some("1" | "true" | "d"), _) => true,
            (Some("0" | "false"), _) => false,
            (_, Some((_, _, flags))) => flags & 1 == 1,
            _ => id.0 % 10_000 < u128::from(self.0),
        }
    }
}

/// The span of one exchange.
pub fn zipkin(exchange: &Exchange) -> Value {
    let text = |name: &str| {
        let value = exchange.request_fields.first(name)?;
        std::str::from_utf8(value).ok().filter(|text| text.len() <= 32 && text.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let w3c =
        exchange.request_fields.first("traceparent").and_then(|value| std::str::from_utf8(value).ok()).and_then(parent);
    let trace = text("x-b3-traceid").map(str::to_owned).or(w3c.map(|(trace, _, _)| trace.to_owned()));
    let parent = text("x-b3-spanid").map(str::to_owned).or(w3c.map(|(_, span, _)| span.to_owned()));
    let inbound = log::is_inbound(exchange.role);
    json!({
        "traceId": trace.unwrap_or_else(|| format!("{:032x}", exchange.id.0)),
        "id": format!("{:016x}", (exchange.id.0 >> 64) as u64 ^ exchange.id.0 as u64 ^ u64::from(exchange.local.port())),
        "parentId": parent,
        "kind": if inbound { "SERVER" } else { "CLIENT" },
        "name": redact::text(&exchange.authority),
        "timestamp": exchange.started.0.saturating_mul(1000),
        "duration": exchange.duration.0.saturating_mul(1000).max(1),
        "localEndpoint": { "serviceName": &*exchange.workload },
        "remoteEndpoint": { "ipv4": exchange.peer.ip().to_string(), "port": exchange.peer.port() },
        "tags": {
            "http.method": redact::text(&exchange.method),
            "http.url": redact::target(&exchange.target),
            "http.status_code": exchange.status.to_string(),
            "response_flags": exchange.flags,
            "upstream_cluster": &*exchange.cluster,
            "guid:x-request-id": exchange.id.to_string(),
        },
    })
}

/// Trace, span and flags of a `traceparent` (W3C Trace Context, section 3.2).
fn parent(value: &str) -> Option<(&str, &str, u8)> {
    let mut parts = value.split('-').skip(1);
    let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_hexdigit());
    (hex(trace, 32) && hex(span, 16)).then_some((trace, span, u8::from_str_radix(flags, 16).ok()?))
}
