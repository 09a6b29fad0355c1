//! The operators of Envoy's access-log formats that manifests use: each is written straight into the line.

use super::line::Line;
use crate::redact::Shown;
use crate::tally::is_same;
use crate::telemetry::Names;
use ringwall_model::{Exchange, Fields, Timestamp};
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};

/// What an operator wrote of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// Nothing: the exchange does not have it.
    Nothing,
    /// What stands in JSON as it is.
    Plain,
    /// What somebody must look at before it stands in JSON.
    Text,
}

fn write_number(number: u64, out: &mut Line) -> Wrote {
    out.number(number);
    Wrote::Plain
}

fn write_host(host: IpAddr, out: &mut Line) -> Wrote {
    match host {
        IpAddr::V4(host) => {
            let [first, rest @ ..] = host.octets();
            out.number(first.into());
            for octet in rest {
                out.byte(b'.');
                out.number(octet.into());
            }
        }
        IpAddr::V6(host) => out.shown(host),
    }
    Wrote::Plain
}

fn write_address(address: SocketAddr, out: &mut Line) -> Wrote {
    match address {
        SocketAddr::V4(address) => {
            write_host(IpAddr::V4(*address.ip()), out);
            out.byte(b':');
            out.number(address.port().into());
        }
        SocketAddr::V6(address) => out.shown(address),
    }
    Wrote::Plain
}

fn write_text(text: &str, out: &mut Line) -> Wrote {
    out.text(text.as_bytes());
    Wrote::Text
}

/// A text of the World's, or one that an upstream or a client had a part in.
fn write_present(text: &str, out: &mut Line) -> Wrote {
    if text.is_empty() { Wrote::Nothing } else { write_sent(text.as_bytes(), Shown::All, out) }
}

/// As somebody sent it: what may be written of it is said beside it.
fn write_sent(value: &[u8], shown: Shown, out: &mut Line) -> Wrote {
    if shown.is_plain(value) {
        out.text(value);
        return Wrote::Plain;
    }
    write_text(&shown.value(value), out)
}

fn write_field(name: &Name, fields: &Fields, out: &mut Line) -> Wrote {
    fields.first(&name.text).map_or(Wrote::Nothing, |value| write_sent(value, name.shown, out))
}

/// As RFC 3339; all but the milliseconds is made once a second on each thread.
fn write_time(time: Timestamp, out: &mut Line) -> Wrote {
    const SECONDS: usize = "2026-11-23T16:04:12.".len();
    thread_local!(static SECOND: Cell<(u64, [u8; SECONDS])> = const { Cell::new((u64::MAX, [0; SECONDS])) });
    let (mut second, mut text) = SECOND.get();
    if second != time.seconds() {
        let whole = time.rfc3339();
        let Some(start) = whole.as_bytes().first_chunk() else { return Wrote::Nothing };
        (second, text) = (time.seconds(), *start);
        SECOND.set((second, text));
    }
    out.chunk(&text, SECONDS);
    let millis = time.0 % 1000;
    let [hundreds, tens, ones] = [millis / 100, millis / 10 % 10, millis % 10].map(|digit| b'0' + digit as u8);
    out.chunk(&[hundreds, tens, ones, b'Z'], 4);
    Wrote::Plain
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

    /// Whether it is a number in JSON.
    pub const fn is_number(&self) -> bool {
        matches!(
            self,
            Self::ResponseCode
                | Self::BytesReceived
                | Self::BytesSent
                | Self::Duration
                | Self::ResponseDuration
                | Self::DownstreamLocalPort
        )
    }

    /// Appends what it stands for in one exchange, cut after so many bytes.
    pub fn write(&self, longest: Option<usize>, exchange: &Exchange, names: &Names<'_>, line: &mut Line) -> Wrote {
        let start = line.place();
        let wrote = self.write_whole(exchange, names, line);
        if let Some(longest) = longest {
            line.cut(start, longest);
        }
        wrote
    }

    fn write_whole(&self, exchange: &Exchange, names: &Names<'_>, line: &mut Line) -> Wrote {
        let mut address = |address: Option<_>| address.map_or(Wrote::Nothing, |it| write_address(it, line));
        match self {
            Self::Absent => Wrote::Nothing,
            Self::StartTime => write_time(exchange.started, line),
            Self::Request(first, second) => either(first, second.as_ref(), |name| request(name, exchange, line)),
            Self::Response(first, second) => either(first, second.as_ref(), |name| response(name, exchange, line)),
            Self::Protocol => write_text(exchange.version.as_str(), line),
            Self::ResponseCode => write_number(exchange.status.into(), line),
            Self::ResponseFlags => write_text(exchange.flags, line),
            Self::ResponseCodeDetails => write_present(&exchange.details, line),
            Self::BytesReceived => write_number(exchange.received, line),
            Self::BytesSent => write_number(exchange.sent, line),
            Self::Duration => write_number(exchange.duration.0, line),
            Self::ResponseDuration => exchange.upstream_time.map_or(Wrote::Nothing, |time| write_number(time.0, line)),
            Self::UpstreamHost => address(exchange.upstream),
            Self::UpstreamCluster => write_present(&exchange.cluster, line),
            Self::UpstreamLocalAddress => address(exchange.upstream_local),
            Self::DownstreamLocalAddress => address(Some(exchange.local)),
            Self::DownstreamLocalPort => write_number(exchange.local.port().into(), line),
            // The trusted client address; its port is known only when the client is the peer.
            Self::DownstreamRemoteAddress => {
                let port = if exchange.client == exchange.peer.ip() { exchange.peer.port() } else { 0 };
                address(Some((exchange.client, port).into()))
            }
            Self::DownstreamRemoteAddressWithoutPort => write_host(exchange.client, line),
            Self::DownstreamDirectRemoteAddress => address(Some(exchange.peer)),
            Self::DownstreamPeerUriSan => {
                exchange.peer_identity.as_ref().map_or(Wrote::Nothing, |id| write_text(id.as_str(), line))
            }
            Self::RequestedServerName => {
                exchange.server_name.as_deref().map_or(Wrote::Nothing, |name| write_present(name, line))
            }
            Self::RouteName => write_present(&exchange.route, line),
            Self::StreamId => write_id(exchange, line),
            Self::Rule => {
                let rule = crate::peers::refusal(exchange.refused, names);
                rule.map_or(Wrote::Nothing, |rule| write_text(&rule, line))
            }
        }
    }
}

fn write_id(exchange: &Exchange, line: &mut Line) -> Wrote {
    line.text(exchange.id.uuid().as_bytes());
    Wrote::Plain
}

fn either(first: &Name, second: Option<&Name>, mut write: impl FnMut(&Name) -> Wrote) -> Wrote {
    match (write(first), second) {
        (Wrote::Nothing, Some(second)) => write(second),
        (wrote, _) => wrote,
    }
}

fn request(name: &Name, exchange: &Exchange, line: &mut Line) -> Wrote {
    match name.of {
        Of::Method => write_sent(&exchange.method, Shown::All, line),
        Of::Path => write_sent(&exchange.target, Shown::Target, line),
        Of::Authority => write_sent(&exchange.authority, Shown::All, line),
        Of::Scheme => write_text(if exchange.server_name.is_some() { "https" } else { "http" }, line),
        Of::RequestId => match write_field(name, &exchange.request_fields, line) {
            Wrote::Nothing => write_id(exchange, line),
            wrote => wrote,
        },
        Of::Status | Of::ServiceTime | Of::Field => write_field(name, &exchange.request_fields, line),
    }
}

/// Numbers are texts here, because they are values of fields.
fn response(name: &Name, exchange: &Exchange, line: &mut Line) -> Wrote {
    match (name.of, exchange.upstream_time) {
        (Of::ServiceTime, Some(time)) => write_number(time.0, line),
        (Of::Status, _) => write_number(exchange.status.into(), line),
        _ => write_field(name, &exchange.response_fields, line),
    }
}

/// What two exchanges have in common.
pub struct Likeness<'a> {
    one: &'a Exchange,
    other: &'a Exchange,
    request_fields: bool,
    response_fields: bool,
}

impl<'a> Likeness<'a> {
    /// Of these two.
    pub fn of(one: &'a Exchange, other: &'a Exchange) -> Self {
        let request_fields = one.request_fields == other.request_fields;
        Self { one, other, request_fields, response_fields: one.response_fields == other.response_fields }
    }

    /// Whether an operator says the same of both.
    pub fn has(&self, operator: &Operator) -> bool {
        let (one, other) = (self.one, self.other);
        match operator {
            Operator::Absent => true,
            Operator::StartTime => one.started == other.started,
            Operator::Request(first, second) => {
                self.of_request(first) && second.as_ref().is_none_or(|it| self.of_request(it))
            }
            Operator::Response(first, second) => {
                self.of_response(first) && second.as_ref().is_none_or(|it| self.of_response(it))
            }
            Operator::Protocol => one.version == other.version,
            Operator::ResponseCode => one.status == other.status,
            Operator::ResponseFlags => one.flags == other.flags,
            Operator::ResponseCodeDetails => is_same(&one.details, &other.details),
            Operator::BytesReceived => one.received == other.received,
            Operator::BytesSent => one.sent == other.sent,
            Operator::Duration => one.duration == other.duration,
            Operator::ResponseDuration => one.upstream_time == other.upstream_time,
            Operator::UpstreamHost => one.upstream == other.upstream,
            Operator::UpstreamCluster => is_same(&one.cluster, &other.cluster),
            Operator::UpstreamLocalAddress => one.upstream_local == other.upstream_local,
            Operator::DownstreamLocalAddress | Operator::DownstreamLocalPort => one.local == other.local,
            Operator::DownstreamRemoteAddress => (one.client, one.peer) == (other.client, other.peer),
            Operator::DownstreamRemoteAddressWithoutPort => one.client == other.client,
            Operator::DownstreamDirectRemoteAddress => one.peer == other.peer,
            Operator::DownstreamPeerUriSan => one.peer_identity == other.peer_identity,
            Operator::RequestedServerName => one.server_name == other.server_name,
            Operator::RouteName => is_same(&one.route, &other.route),
            Operator::StreamId => one.id == other.id,
            // Rules are named by the World that decided.
            Operator::Rule => one.refused.is_none() && other.refused.is_none(),
        }
    }

    fn of_request(&self, name: &Name) -> bool {
        match name.of {
            Of::Method => self.one.method == self.other.method,
            Of::Path => self.one.target == self.other.target,
            Of::Authority => self.one.authority == self.other.authority,
            Of::Scheme => self.one.server_name.is_some() == self.other.server_name.is_some(),
            Of::RequestId => self.request_fields && self.one.id == self.other.id,
            Of::Status | Of::ServiceTime | Of::Field => self.request_fields,
        }
    }

    fn of_response(&self, name: &Name) -> bool {
        match name.of {
            Of::ServiceTime => self.one.upstream_time == self.other.upstream_time && self.response_fields,
            Of::Status => self.one.status == self.other.status,
            _ => self.response_fields,
        }
    }
}
