//! The operators of Envoy's access-log formats that manifests use.

use crate::redact::Shown;
use crate::telemetry::Names;
use ringwall_model::{CallId, Exchange, Fields, Timestamp};
use std::borrow::Cow;
use std::cell::RefCell;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

/// What an operator stands for in one exchange.
#[derive(Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Absent,
    Number(u64),
    /// A number that is a text, because it is a field's value.
    Digits(u64),
    /// Of our own.
    Text(Cow<'a, str>),
    /// As somebody sent it: what may be written of it is said beside it.
    Sent(&'a [u8], Shown),
    Time(Timestamp),
    Address(SocketAddr),
    Host(IpAddr),
    Id(CallId),
}

impl Value<'_> {
    /// Whether nothing in its text means something in JSON.
    pub const fn is_plain(&self) -> bool {
        matches!(
            self,
            Self::Number(_) | Self::Digits(_) | Self::Time(_) | Self::Address(_) | Self::Host(_) | Self::Id(_)
        )
    }

    /// Appends it, cut after so many bytes.
    pub fn write(&self, longest: Option<usize>, out: &mut Vec<u8>) {
        let start = out.len();
        match self {
            Self::Absent => {}
            Self::Number(number) | Self::Digits(number) => write_number(*number, out),
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Sent(value, shown) if shown.is_plain(value) => out.extend_from_slice(value),
            Self::Sent(value, shown) => out.extend_from_slice(shown.value(value).as_bytes()),
            Self::Time(time) => write_time(*time, out),
            Self::Address(SocketAddr::V4(address)) => {
                write_host(IpAddr::V4(*address.ip()), out);
                out.push(b':');
                write_number(address.port().into(), out);
            }
            // Writing to memory does not fail.
            Self::Address(address @ SocketAddr::V6(_)) => drop(write!(out, "{address}")),
            Self::Host(host) => write_host(*host, out),
            Self::Id(id) => out.extend_from_slice(id.uuid().as_bytes()),
        }
        if let Some(longest) = longest {
            cut(out, start, longest);
        }
    }
}

/// Cuts what was written since `start`, between two characters.
fn cut(out: &mut Vec<u8>, start: usize, longest: usize) {
    let is_inside = |byte: &u8| (0x80..0xc0).contains(byte);
    let mut end = start.saturating_add(longest);
    while end > start && out.get(end).is_some_and(is_inside) {
        end -= 1;
    }
    out.truncate(end);
}

fn write_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        first -= 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(first..).unwrap_or_default());
}

fn write_host(host: IpAddr, out: &mut Vec<u8>) {
    match host {
        IpAddr::V4(host) => {
            for (at, octet) in host.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                write_number(octet.into(), out);
            }
        }
        IpAddr::V6(host) => drop(write!(out, "{host}")),
    }
}

/// As RFC 3339; all but the milliseconds is made once a second on each thread.
fn write_time(time: Timestamp, out: &mut Vec<u8>) {
    thread_local!(static SECOND: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) });
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != time.seconds() {
            (*second, *text) = (time.seconds(), time.rfc3339());
            text.truncate("2026-11-23T16:04:12.".len());
        }
        out.extend_from_slice(text.as_bytes());
    });
    let millis = time.0 % 1000;
    out.extend([millis / 100, millis / 10 % 10, millis % 10].map(|digit| b'0' + digit as u8));
    out.push(b'Z');
}

/// Name of a field, in lower case, what it stands for, and what may be written of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    text: String,
    of: Of,
    shown: Shown,
}

/// What a field's name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Method,
    Path,
    Authority,
    Scheme,
    RequestId,
    Status,
    ServiceTime,
    /// Itself.
    Field,
}

impl Name {
    fn read(name: &str) -> Self {
        let text = name.to_ascii_lowercase();
        let of = match text.as_str() {
            ":method" => Of::Method,
            ":path" => Of::Path,
            ":authority" | "host" => Of::Authority,
            ":scheme" => Of::Scheme,
            ":status" => Of::Status,
            "x-request-id" => Of::RequestId,
            "x-envoy-upstream-service-time" => Of::ServiceTime,
            _ => Of::Field,
        };
        Self { shown: Shown::of(&text), of, text }
    }
}

/// One operator, with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Not known, or known to say nothing here.
    Absent,
    StartTime,
    /// `REQ(first?second)`.
    Request(Name, Option<Name>),
    Response(Name, Option<Name>),
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
            (Name::read(first), second.map(Name::read))
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
        let address = |address: Option<SocketAddr>| address.map_or(Value::Absent, Value::Address);
        match self {
            Self::Absent => Value::Absent,
            Self::StartTime => Value::Time(exchange.started),
            Self::Request(first, second) => either(first, second.as_ref(), |name| request(name, exchange)),
            Self::Response(first, second) => either(first, second.as_ref(), |name| response(name, exchange)),
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
            Self::DownstreamRemoteAddressWithoutPort => Value::Host(exchange.client),
            Self::DownstreamDirectRemoteAddress => address(Some(exchange.peer)),
            Self::DownstreamPeerUriSan => {
                exchange.peer_identity.as_ref().map_or(Value::Absent, |id| Value::Text(id.as_str().into()))
            }
            Self::RequestedServerName => exchange.server_name.as_deref().map_or(Value::Absent, present),
            Self::RouteName => present(&exchange.route),
            Self::StreamId => Value::Id(exchange.id),
            Self::Rule => {
                crate::peers::refusal(exchange.refused, names).map_or(Value::Absent, |rule| Value::Text(rule.into()))
            }
        }
    }
}

fn present(text: &str) -> Value<'_> {
    if text.is_empty() { Value::Absent } else { Value::Sent(text.as_bytes(), Shown::All) }
}

fn either<'a>(first: &Name, second: Option<&Name>, value: impl Fn(&Name) -> Value<'a>) -> Value<'a> {
    match (value(first), second) {
        (Value::Absent, Some(second)) => value(second),
        (found, _) => found,
    }
}

fn request<'a>(name: &Name, exchange: &'a Exchange) -> Value<'a> {
    match name.of {
        Of::Method => Value::Sent(&exchange.method, Shown::All),
        Of::Path => Value::Sent(&exchange.target, Shown::Target),
        Of::Authority => Value::Sent(&exchange.authority, Shown::All),
        Of::Scheme => Value::Text(if exchange.server_name.is_some() { "https" } else { "http" }.into()),
        Of::RequestId => named(name, &exchange.request_fields).unwrap_or(Value::Id(exchange.id)),
        Of::Status | Of::ServiceTime | Of::Field => named(name, &exchange.request_fields).unwrap_or(Value::Absent),
    }
}

fn response<'a>(name: &Name, exchange: &'a Exchange) -> Value<'a> {
    match (name.of, exchange.upstream_time) {
        // A string in Envoy's JSON, because it is a field's value.
        (Of::ServiceTime, Some(time)) => Value::Digits(time.0),
        (Of::Status, _) => Value::Digits(exchange.status.into()),
        _ => named(name, &exchange.response_fields).unwrap_or(Value::Absent),
    }
}

fn named<'a>(name: &Name, fields: &'a Fields) -> Option<Value<'a>> {
    fields.first(&name.text).map(|value| Value::Sent(value, name.shown))
}
