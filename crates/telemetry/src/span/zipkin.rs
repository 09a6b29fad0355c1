//! Spans in Zipkin's JSON v2.

use super::{Finished, Side};
use crate::shown::Shown;
use ringwall_model::{CallId, hex};
use serde::{Serialize, Serializer};
use std::net::IpAddr;

/// An array of Zipkin's JSON v2.
pub fn zipkin(spans: &[Finished]) -> Vec<u8> {
    let spans: Vec<Span<'_>> = spans.iter().map(Span::of).collect();
    super::json(&spans, spans.len())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    trace_id: Trace,
    id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<Id>,
    kind: &'static str,
    name: &'a str,
    timestamp: u64,
    duration: u64,
    local_endpoint: Local<'a>,
    remote_endpoint: Remote,
    tags: Tags<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Local<'a> {
    service_name: &'a str,
}

#[derive(Serialize)]
struct Remote {
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv4: Option<Shown<IpAddr>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv6: Option<Shown<IpAddr>>,
    port: u16,
}

#[derive(Serialize)]
struct Tags<'a> {
    #[serde(rename = "http.method")]
    method: &'a str,
    #[serde(rename = "http.url")]
    url: &'a str,
    #[serde(rename = "http.status_code")]
    status: Shown<u16>,
    response_flags: &'static str,
    upstream_cluster: &'a str,
    #[serde(rename = "guid:x-request-id")]
    call: Shown<CallId>,
}

impl<'a> Span<'a> {
    fn of(span: &'a Finished) -> Self {
        let of_family = |wanted: bool| wanted.then_some(Shown(span.peer.ip()));
        Self {
            trace_id: Trace(span.place.trace),
            id: Id(span.place.id),
            parent_id: span.place.parent.map(Id),
            kind: if span.side == Side::Server { "SERVER" } else { "CLIENT" },
            name: span.authority(),
            timestamp: span.started,
            duration: span.duration,
            local_endpoint: Local { service_name: &span.workload },
            remote_endpoint: Remote {
                ipv4: of_family(span.peer.is_ipv4()),
                ipv6: of_family(span.peer.is_ipv6()),
                port: span.peer.port(),
            },
            tags: Tags {
                method: span.method(),
                url: span.target(),
                status: Shown(span.status),
                response_flags: span.flags,
                upstream_cluster: &span.cluster,
                call: Shown(span.call),
            },
        }
    }
}

/// A trace's number, 32 digits.
pub(super) struct Trace(pub u128);

/// A span's number, 16 digits.
pub(super) struct Id(pub u64);

impl Serialize for Trace {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        text(&hex::long(self.0), to)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        text(&hex::digits(self.0), to)
    }
}

fn text<S: Serializer>(digits: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(str::from_utf8(digits).unwrap_or_default())
}
