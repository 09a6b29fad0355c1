//! Spans as an `ExportTraceServiceRequest` of OTLP 1.x, in its JSON form. Integers of 64 bits are strings there, as in all of
//! protobuf's JSON.

use super::zipkin::{Id, Trace};
use super::{Finished, Side};
use crate::shown::Shown;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Display;

/// An `ExportTraceServiceRequest` of OTLP.
pub fn otlp(spans: &[Finished]) -> Vec<u8> {
    let mut of: BTreeMap<&str, Vec<Span<'_>>> = BTreeMap::new();
    for span in spans {
        of.entry(&span.workload).or_default().push(Span::of(span));
    }
    let resource_spans = of.into_iter().map(|(workload, spans)| ResourceSpans {
        resource: Resource { attributes: [text("service.name", workload)] },
        scope_spans: [ScopeSpans { scope: Scope { name: "ringwall" }, spans }],
    });
    let request = Request { resource_spans: resource_spans.collect() };
    super::json(&request, spans.len())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    resource_spans: Vec<ResourceSpans<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Resource<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Resource<'a> {
    attributes: [Attribute<&'a str>; 1],
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Vec<Span<'a>>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    trace_id: Trace,
    span_id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<Id>,
    name: &'a str,
    kind: u8,
    start_time_unix_nano: Shown<u64>,
    end_time_unix_nano: Shown<u64>,
    attributes: Attributes<'a>,
    status: Status,
}

/// An array of what has different types.
type Attributes<'a> = (
    Attribute<&'a str>,
    Attribute<&'a str>,
    Attribute<u16>,
    Attribute<&'static str>,
    Attribute<&'a str>,
    Attribute<ringwall_model::CallId>,
    Attribute<std::net::IpAddr>,
    Attribute<u16>,
);

#[derive(Serialize)]
#[serde(bound = "T: Display")]
struct Attribute<T: Display> {
    key: &'static str,
    value: Value<T>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", bound = "T: Display")]
enum Value<T: Display> {
    StringValue(Shown<T>),
    IntValue(Shown<T>),
}

#[derive(Serialize)]
struct Status {
    code: u8,
}

impl<'a> Span<'a> {
    fn of(span: &'a Finished) -> Self {
        let nanos = |micros: u64| Shown(micros.saturating_mul(1000));
        Self {
            trace_id: Trace(span.place.trace),
            span_id: Id(span.place.id),
            parent_span_id: span.place.parent.map(Id),
            name: span.authority(),
            kind: if span.side == Side::Server { 2 } else { 3 },
            start_time_unix_nano: nanos(span.started),
            end_time_unix_nano: nanos(span.started.saturating_add(span.duration)),
            attributes: (
                text("http.request.method", span.method()),
                text("url.full", span.target()),
                number("http.response.status_code", span.status),
                text("response_flags", span.flags),
                text("upstream_cluster", &span.cluster),
                text("guid:x-request-id", span.call),
                text("network.peer.address", span.peer.ip()),
                number("network.peer.port", span.peer.port()),
            ),
            status: Status { code: if span.status >= 500 || span.status == 0 { 2 } else { 0 } },
        }
    }
}

const fn text<T: Display>(key: &'static str, value: T) -> Attribute<T> {
    Attribute { key, value: Value::StringValue(Shown(value)) }
}

const fn number<T: Display>(key: &'static str, value: T) -> Attribute<T> {
    Attribute { key, value: Value::IntValue(Shown(value)) }
}
