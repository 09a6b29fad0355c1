//! Header operations, whose values may hold Envoy's format operators.
//!
//! In: text such as `%START_TIME%` or `id-%REQ(X-Request-Id)%`. Out: a [`Template`] as data, rendered for one call.
//! Never: a clock; the time of a call is in the call. Follows Envoy's access log command operators as they are allowed
//! in header values; those that only the answer knows render as `-`.

use bytes::Bytes;
use ringwall_model::{Call, Edit, FieldEdit};

/// Header operations of a route or a destination. Taken out first, then set, then added; each in the order of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderOps {
    /// For the request.
    pub request: FieldOps,
    /// For the response.
    pub response: FieldOps,
}

/// Operations on the fields of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldOps {
    /// Names whose fields go.
    pub remove: Vec<Bytes>,
    /// Fields that become the only ones of their name.
    pub set: Vec<(Bytes, Template)>,
    /// Fields that are added.
    pub add: Vec<(Bytes, Template)>,
}

impl FieldOps {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// The same as changes to the fields of a response to `call`.
    pub fn response_edits(&self, call: &Call, edits: &mut Vec<FieldEdit>) {
        edits.extend(self.remove.iter().cloned().map(FieldEdit::Remove));
        edits.extend(self.set.iter().map(|(name, value)| FieldEdit::Set(name.clone(), value.render(call))));
        edits.extend(self.add.iter().map(|(name, value)| FieldEdit::Append(name.clone(), value.render(call))));
    }

    /// The same as changes to the request; `host` and `:authority` change the authority.
    pub fn request_edits(&self, call: &Call, edits: &mut Vec<Edit>) {
        edits.extend(self.remove.iter().cloned().map(FieldEdit::Remove).map(Edit::Field));
        edits.extend(self.set.iter().map(|(name, value)| one(name, value.render(call), FieldEdit::Set)));
        edits.extend(self.add.iter().map(|(name, value)| one(name, value.render(call), FieldEdit::Append)));
    }
}

fn one(name: &Bytes, value: Bytes, how: impl FnOnce(Bytes, Bytes) -> FieldEdit) -> Edit {
    if name.eq_ignore_ascii_case(b"host") || name.eq_ignore_ascii_case(b":authority") {
        return Edit::Authority(value);
    }
    Edit::Field(how(name.clone(), value))
}

/// A header value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Bytes),
    Operator(Operator),
}

/// What an operator stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Operator {
    StartTime(TimeForm),
    Request {
        first: Bytes,
        second: Option<Bytes>,
        longest: Option<usize>,
    },
    Protocol,
    RequestedServerName,
    ClientAddress,
    ClientAddressWithoutPort,
    PeerAddress,
    PeerAddressWithoutPort,
    LocalAddress,
    LocalAddressWithoutPort,
    LocalPort,
    PeerUriSan,
    TlsVersion,
    StreamId,
    /// Known only when the answer is there.
    OfAnswer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeForm {
    Rfc3339,
    Seconds,
    SecondsMillis,
}

/// Why a value is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadTemplate {
    /// A `%` that neither begins an operator nor is doubled.
    LonePercent,
    /// An operator that does not exist, or that is not rendered here.
    UnknownOperator(Box<str>),
    /// A character that no field value may hold.
    ControlCharacter,
}

impl Template {
    /// A value without operators.
    pub fn literal(text: impl Into<Bytes>) -> Self {
        Self(vec![Part::Text(text.into())])
    }

    /// Reads a value; `%%` is a percent sign.
    ///
    /// # Errors
    /// [`BadTemplate`] says what Envoy would refuse the configuration for.
    pub fn read(text: &str) -> Result<Self, BadTemplate> {
        if text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(BadTemplate::ControlCharacter);
        }
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            plain.push_str(before);
            let Some((name, after)) = after.split_once('%') else { return Err(BadTemplate::LonePercent) };
            if name.is_empty() {
                plain.push('%');
            } else {
                // A time format holds percent signs of its own: `%START_TIME(%s.%3f)%`.
                let (name, after) = whole_operator(name, after).ok_or(BadTemplate::LonePercent)?;
                let operator = Operator::read(&name).ok_or(BadTemplate::UnknownOperator(name.into()))?;
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain).into()));
                }
                parts.push(Part::Operator(operator));
                rest = after;
                continue;
            }
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() || parts.is_empty() {
            parts.push(Part::Text(plain.into()));
        }
        Ok(Self(parts))
    }

    /// Whether a part of it is known only when the answer is there, and so renders as `-`.
    pub fn waits_for_answer(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Operator(Operator::OfAnswer)))
    }

    /// The value for this call. No allocation when there is no operator.
    pub fn render(&self, call: &Call) -> Bytes {
        if let [Part::Text(text)] = self.0.as_slice() {
            return text.clone();
        }
        let mut value = Vec::with_capacity(64);
        for part in &self.0 {
            match part {
                Part::Text(text) => value.extend_from_slice(text),
                Part::Operator(operator) => operator.render(call, &mut value),
            }
        }
        value.into()
    }
}

/// An operator whose arguments may hold `%`: the text goes on until the parentheses are closed.
fn whole_operator<'a>(name: &str, after: &'a str) -> Option<(String, &'a str)> {
    let mut name = name.to_owned();
    let mut after = after;
    while name.matches('(').count() > name.matches(')').count() {
        let (more, rest) = after.split_once('%')?;
        name.push('%');
        name.push_str(more);
        after = rest;
    }
    Some((name, after))
}

impl Operator {
    fn read(text: &str) -> Option<Self> {
        let (name, argument) = match text.split_once('(') {
            Some((name, rest)) => (name, Some(rest)),
            None => (text, None),
        };
        if name == "REQ" {
            let (inside, length) = argument?.split_once(')')?;
            let longest = match length.strip_prefix(':') {
                Some(length) => Some(length.parse().ok()?),
                None if length.is_empty() => None,
                None => return None,
            };
            let (first, second) =
                inside.split_once('?').map_or((inside, None), |(first, second)| (first, Some(second)));
            let name = |text: &str| Bytes::from(text.to_ascii_lowercase());
            return Some(Self::Request { first: name(first), second: second.map(name), longest });
        }
        if name == "START_TIME" {
            let form = match argument {
                None => TimeForm::Rfc3339,
                Some("%s)") => TimeForm::Seconds,
                Some("%s.%3f)") => TimeForm::SecondsMillis,
                Some("%Y-%m-%dT%H:%M:%S.%3fZ)" | "%Y-%m-%dT%H:%M:%E3SZ)") => TimeForm::Rfc3339,
                Some(_) => return None,
            };
            return Some(Self::StartTime(form));
        }
        Self::plain(name)
    }

    fn plain(name: &str) -> Option<Self> {
        Some(match name {
            "PROTOCOL" => Self::Protocol,
            "REQUESTED_SERVER_NAME" => Self::RequestedServerName,
            "DOWNSTREAM_REMOTE_ADDRESS" => Self::ClientAddress,
            "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => Self::ClientAddressWithoutPort,
            "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => Self::PeerAddress,
            "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => Self::PeerAddressWithoutPort,
            "DOWNSTREAM_LOCAL_ADDRESS" => Self::LocalAddress,
            "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => Self::LocalAddressWithoutPort,
            "DOWNSTREAM_LOCAL_PORT" => Self::LocalPort,
            "DOWNSTREAM_PEER_URI_SAN" => Self::PeerUriSan,
            "DOWNSTREAM_TLS_VERSION" => Self::TlsVersion,
            "STREAM_ID" => Self::StreamId,
            "RESP"
            | "RESPONSE_CODE"
            | "RESPONSE_CODE_DETAILS"
            | "RESPONSE_FLAGS"
            | "DURATION"
            | "BYTES_SENT"
            | "BYTES_RECEIVED"
            | "UPSTREAM_HOST"
            | "UPSTREAM_CLUSTER"
            | "UPSTREAM_LOCAL_ADDRESS"
            | "ROUTE_NAME"
            | "UPSTREAM_REMOTE_ADDRESS"
            | "RESPONSE_DURATION"
            | "REQUEST_DURATION"
            | "UPSTREAM_METADATA" => Self::OfAnswer,
            _ => return None,
        })
    }

    fn render(&self, call: &Call, value: &mut Vec<u8>) {
        let tls = call.peer.tls.as_ref();
        match self {
            Self::StartTime(form) => value.extend_from_slice(time(*form, call).as_bytes()),
            Self::Request { first, second, longest } => {
                let found = request_field(call, first)
                    .or_else(|| second.as_ref().and_then(|second| request_field(call, second)))
                    .unwrap_or(b"-");
                value.extend_from_slice(found.get(..longest.unwrap_or(found.len())).unwrap_or(found));
            }
            Self::Protocol => value.extend_from_slice(call.version.as_str().as_bytes()),
            Self::RequestedServerName => text(value, tls.and_then(|tls| tls.server_name.as_deref())),
            Self::ClientAddress => {
                // The port of the peer belongs to the address only when the peer is the client.
                let port = if call.client.address == call.peer.address.ip() { call.peer.address.port() } else { 0 };
                text(value, Some(&std::net::SocketAddr::new(call.client.address, port).to_string()));
            }
            Self::ClientAddressWithoutPort => text(value, Some(&call.client.address.to_string())),
            Self::PeerAddress => text(value, Some(&call.peer.address.to_string())),
            Self::PeerAddressWithoutPort => text(value, Some(&call.peer.address.ip().to_string())),
            Self::LocalAddress => text(value, Some(&call.local.to_string())),
            Self::LocalAddressWithoutPort => text(value, Some(&call.local.ip().to_string())),
            Self::LocalPort => text(value, Some(&call.local.port().to_string())),
            Self::PeerUriSan => text(value, call.peer.identity().map(ringwall_model::SpiffeId::as_str)),
            Self::TlsVersion => text(value, tls.map(|tls| tls.version)),
            Self::StreamId => text(value, Some(&call.id.to_string())),
            Self::OfAnswer => value.push(b'-'),
        }
    }
}

fn text(value: &mut Vec<u8>, text: Option<&str>) {
    value.extend_from_slice(text.unwrap_or("-").as_bytes());
}

fn time(form: TimeForm, call: &Call) -> String {
    match form {
        TimeForm::Rfc3339 => call.received.rfc3339(),
        TimeForm::Seconds => call.received.seconds().to_string(),
        TimeForm::SecondsMillis => format!("{}.{:03}", call.received.seconds(), call.received.0 % 1000),
    }
}

fn request_field<'a>(call: &'a Call, name: &[u8]) -> Option<&'a [u8]> {
    Some(match name {
        b":method" => &call.method,
        b":path" => &call.target,
        b":authority" | b"host" => &call.authority,
        b":scheme" => call.scheme.as_str().as_bytes(),
        _ => call.fields.first(std::str::from_utf8(name).ok()?)?,
    })
}
