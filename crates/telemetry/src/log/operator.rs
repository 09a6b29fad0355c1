//! The operators of Envoy's access-log formats that manifests use.

use crate::redact;
use crate::telemetry::Names;
use ringwall_model::{Exchange, Fields};
use std::borrow::Cow;

/// What an operator stands for in one exchange.
#[derive(Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Absent,
    Number(u64),
    Text(Cow<'a, str>),
}

/// One operator, with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Not known, or known to say nothing here.
    Absent,
    StartTime,
    /// `REQ(first?second)`: names in lower case.
    Request(String, Option<String>),
    Response(String, Option<String>),
    Protocol,
    ResponseCode,
    ResponseFlags,
    ResponseCodeDetails,
    BytesReceived,
    BytesSent,
    Duration,
    ResponseDuration,
    UpstreamHost,
    UpstreamCluster,
    UpstreamLocalAddress,
    DownstreamLocalAddress,
    DownstreamLocalPort,
    DownstreamRemoteAddress,
    DownstreamRemoteAddressWithoutPort,
    DownstreamDirectRemoteAddress,
    DownstreamPeerUriSan,
    RequestedServerName,
    RouteName,
    StreamId,
    /// `RINGWALL_RULE`: layer and rule that refused the call.
    Rule,
}

impl Operator {
    /// Reads `NAME(argument)`. `None` is never given: what is unknown is [`Operator::Absent`].
    pub fn read(name: &str, argument: &str) -> Self {
        let names = || {
            let (first, second) = argument.split_once('?').map_or((argument, None), |(a, b)| (a, Some(b)));
            (first.to_ascii_lowercase(), second.map(str::to_ascii_lowercase))
        };
        match name {
            "START_TIME" => Self::StartTime,
            "REQ" => Self::Request(names().0, names().1),
            "RESP" => Self::Response(names().0, names().1),
            "PROTOCOL" => Self::Protocol,
            "RESPONSE_CODE" => Self::ResponseCode,
            "RESPONSE_FLAGS" => Self::ResponseFlags,
            "RESPONSE_CODE_DETAILS" => Self::ResponseCodeDetails,
            "BYTES_RECEIVED" => Self::BytesReceived,
            "BYTES_SENT" => Self::BytesSent,
            "DURATION" => Self::Duration,
            "RESPONSE_DURATION" => Self::ResponseDuration,
            "UPSTREAM_HOST" => Self::UpstreamHost,
            "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => Self::UpstreamCluster,
            "UPSTREAM_LOCAL_ADDRESS" => Self::UpstreamLocalAddress,
            "DOWNSTREAM_LOCAL_ADDRESS" => Self::DownstreamLocalAddress,
            "DOWNSTREAM_LOCAL_PORT" => Self::DownstreamLocalPort,
            "DOWNSTREAM_REMOTE_ADDRESS" => Self::DownstreamRemoteAddress,
            "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => Self::DownstreamRemoteAddressWithoutPort,
            "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => Self::DownstreamDirectRemoteAddress,
            "DOWNSTREAM_PEER_URI_SAN" => Self::DownstreamPeerUriSan,
            "REQUESTED_SERVER_NAME" => Self::RequestedServerName,
            "ROUTE_NAME" => Self::RouteName,
            "STREAM_ID" => Self::StreamId,
            "RINGWALL_RULE" => Self::Rule,
            _ => Self::Absent,
        }
    }

    /// Operators that Envoy knows and that have nothing to say here, so that they are no problem of the manifest.
    pub fn is_silent(name: &str) -> bool {
        matches!(name, "CONNECTION_TERMINATION_DETAILS" | "UPSTREAM_TRANSPORT_FAILURE_REASON")
    }

    /// Its value in one exchange.
    pub fn value<'a>(&self, exchange: &'a Exchange, names: &Names<'_>) -> Value<'a> {
        let address = |address: Option<std::net::SocketAddr>| {
            address.map_or(Value::Absent, |address| Value::Text(address.to_string().into()))
        };
        match self {
            Self::Absent => Value::Absent,
            Self::StartTime => Value::Text(exchange.started.rfc3339().into()),
            Self::Request(first, second) => either(first, second.as_deref(), |name| request(name, exchange)),
            Self::Response(first, second) => either(first, second.as_deref(), |name| response(name, exchange)),
            Self::Protocol => Value::Text(exchange.version.as_str().into()),
            Self::ResponseCode => Value::Number(exchange.status.into()),
            Self::ResponseFlags => Value::Text(exchange.flags.into()),
            Self::ResponseCodeDetails => present(&exchange.details),
            Self::BytesReceived => Value::Number(exchange.received),
            Self::BytesSent => Value::Number(exchange.sent),
            Self::Duration => Value::Number(exchange.duration.0),
            Self::ResponseDuration => exchange.upstream_time.map_or(Value::Absent, |time| Value::Number(time.0)),
            Self::UpstreamHost => address(exchange.upstream),
            Self::UpstreamCluster => present(&exchange.cluster),
            Self::UpstreamLocalAddress => address(exchange.upstream_local),
            Self::DownstreamLocalAddress => address(Some(exchange.local)),
            Self::DownstreamLocalPort => Value::Number(exchange.local.port().into()),
            // The trusted client address; its port is known only when the client is the peer.
            Self::DownstreamRemoteAddress => {
                let port = if exchange.client == exchange.peer.ip() { exchange.peer.port() } else { 0 };
                address(Some((exchange.client, port).into()))
            }
            Self::DownstreamRemoteAddressWithoutPort => Value::Text(exchange.client.to_string().into()),
            Self::DownstreamDirectRemoteAddress => address(Some(exchange.peer)),
            Self::DownstreamPeerUriSan => {
                exchange.peer_identity.as_ref().map_or(Value::Absent, |id| Value::Text(id.as_str().into()))
            }
            Self::RequestedServerName => exchange.server_name.as_deref().map_or(Value::Absent, present),
            Self::RouteName => present(&exchange.route),
            Self::StreamId => Value::Text(exchange.id.to_string().into()),
            Self::Rule => {
                crate::peers::refusal(exchange.refused, names).map_or(Value::Absent, |rule| Value::Text(rule.into()))
            }
        }
    }
}

fn present(text: &str) -> Value<'_> {
    if text.is_empty() { Value::Absent } else { Value::Text(redact::text(text.as_bytes())) }
}

fn either<'a>(first: &str, second: Option<&str>, value: impl Fn(&str) -> Value<'a>) -> Value<'a> {
    match (value(first), second) {
        (Value::Absent, Some(second)) => value(second),
        (found, _) => found,
    }
}

fn request<'a>(name: &str, exchange: &'a Exchange) -> Value<'a> {
    match name {
        ":method" => Value::Text(redact::text(&exchange.method)),
        ":path" => Value::Text(redact::target(&exchange.target)),
        ":authority" | "host" => Value::Text(redact::text(&exchange.authority)),
        ":scheme" => Value::Text(if exchange.server_name.is_some() { "https" } else { "http" }.into()),
        "x-request-id" => named(name, &exchange.request_fields)
            .map_or_else(|| Value::Text(exchange.id.to_string().into()), Value::Text),
        name => named(name, &exchange.request_fields).map_or(Value::Absent, Value::Text),
    }
}

fn response<'a>(name: &str, exchange: &'a Exchange) -> Value<'a> {
    match (name, exchange.upstream_time) {
        // A string in Envoy's JSON, because it is a field's value.
        ("x-envoy-upstream-service-time", Some(time)) => Value::Text(time.0.to_string().into()),
        (":status", _) => Value::Text(exchange.status.to_string().into()),
        (name, _) => named(name, &exchange.response_fields).map_or(Value::Absent, Value::Text),
    }
}

fn named<'a>(name: &str, fields: &'a Fields) -> Option<Cow<'a, str>> {
    fields.first(name).map(|value| redact::field(name, value))
}
