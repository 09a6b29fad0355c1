//! Access logs: a format is compiled once and rendered for each exchange.
//!
//! Follows: Envoy's format strings and its typed JSON: a value that is one operator alone keeps its type, what is absent
//! is `null` in JSON and `-` in text. Differs: an unknown operator renders as absent and is a problem the caller is told.

mod alike;
mod line;
mod operator;

pub use alike::Pen;
use line::{Line, Literal};
use operator::{Likeness, Operator, Wrote};
use ringwall_model::{Exchange, Role};
use serde_json::Value as Json;
use std::sync::Arc;

use crate::redact;
use crate::telemetry::Names;

/// A compiled format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format(Arc<[Part]>);

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// Keys, punctuation and constants.
    Literal(Literal),
    /// One operator in a line of text.
    Bare(Operator, Option<usize>),
    /// One operator alone that is a number in JSON.
    Number(Operator),
    /// One operator alone that is a string in JSON.
    Text(Operator, Option<usize>),
    /// A string of several pieces in JSON.
    Joined(Vec<Piece>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Literal),
    Operator { operator: Operator, longest: Option<usize> },
}

/// Istio's default text format (`accessLogEncoding: TEXT` without a format).
const DEFAULT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% \
%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" \
%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \
\"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER% \
%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

impl Default for Format {
    fn default() -> Self {
        Self::text(DEFAULT).0
    }
}

impl Format {
    /// Compiles a text format. The second part names what is not understood.
    pub fn text(format: &str) -> (Self, Vec<String>) {
        let mut problems = Vec::new();
        let part = |piece| match piece {
            Piece::Literal(literal) => Part::Literal(literal),
            Piece::Operator { operator, longest } => Part::Bare(operator, longest),
        };
        (Self(pieces(format, &mut problems).into_iter().map(part).collect()), problems)
    }

    /// Compiles a JSON format: an object whose strings are format strings.
    pub fn json(format: &Json) -> (Self, Vec<String>) {
        let mut problems = Vec::new();
        let mut parts = Vec::new();
        flatten(format, &mut parts, &mut problems);
        (Self(parts.into()), problems)
    }

    /// Compiles what `accessLogEncoding: JSON` and `accessLogFormat` give: the text of a JSON object.
    pub fn json_text(format: &str) -> (Self, Vec<String>) {
        match serde_json::from_str(format) {
            Ok(object @ Json::Object(_)) => Self::json(&object),
            _ => (Self::default(), vec!["accessLogFormat is not a JSON object; the default text is written".into()]),
        }
    }

    /// One line, with its end.
    pub fn render<'a>(&self, exchange: &Exchange, names: &Names<'_>, pen: &'a mut Pen) -> &'a [u8] {
        pen.write(&self.0, exchange, names);
        if pen.line.written().last() != Some(&b'\n') {
            pen.line.byte(b'\n');
        }
        pen.line.written()
    }
}

/// `%OPERATOR(argument):length%` and the text between; `%%` is a percent sign.
fn pieces(format: &str, problems: &mut Vec<String>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        if !before.is_empty() {
            pieces.push(Piece::Literal(Literal::of(before)));
        }
        if let Some(after) = after.strip_prefix('%') {
            pieces.push(Piece::Literal(Literal::of("%")));
            rest = after;
            continue;
        }
        let Some((command, after)) = command_end(after) else {
            problems.push(format!("`%{after}` has no end"));
            pieces.push(Piece::Literal(Literal::of(&format!("%{after}"))));
            return pieces;
        };
        pieces.push(piece(command, problems));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(Literal::of(rest)));
    }
    pieces
}

/// An argument may hold percent signs (`START_TIME(%Y)`), so the end is the first one outside parentheses.
fn command_end(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_u32;
    let end = text.char_indices().find(|(_, c)| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        *c == '%' && depth == 0
    })?;
    Some((text.get(..end.0)?, text.get(end.0 + 1..)?))
}

fn piece(command: &str, problems: &mut Vec<String>) -> Piece {
    let (whole, longest) = match command.rsplit_once(':') {
        Some((whole, length)) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
            (whole, length.parse().ok())
        }
        _ => (command, None),
    };
    let (name, argument) = match whole.split_once('(') {
        Some((name, argument)) => (name, argument.strip_suffix(')').unwrap_or(argument)),
        None => (whole, ""),
    };
    let operator = Operator::read(name, argument);
    if operator == Operator::Absent && !Operator::is_silent(name) {
        problems.push(format!("access-log operator `%{command}%` is not known; it is written as absent"));
    }
    Piece::Operator { operator, longest }
}

/// Makes parts of a JSON format; literals that follow one another become one.
fn flatten(format: &Json, parts: &mut Vec<Part>, problems: &mut Vec<String>) {
    match format {
        Json::Object(object) => {
            literal(parts, "{");
            for (nth, (key, format)) in object.iter().enumerate() {
                let comma = if nth == 0 { "" } else { "," };
                literal(parts, &format!("{comma}{}:", Json::from(key.as_str())));
                flatten(format, parts, problems);
            }
            literal(parts, "}");
        }
        Json::Array(list) => {
            literal(parts, "[");
            for (nth, format) in list.iter().enumerate() {
                literal(parts, if nth == 0 { "" } else { "," });
                flatten(format, parts, problems);
            }
            literal(parts, "]");
        }
        Json::String(format) => {
            let mut pieces = pieces(format, problems);
            match pieces.pop() {
                Some(Piece::Operator { operator, longest }) if pieces.is_empty() => parts.push(match operator {
                    operator if operator.is_number() => Part::Number(operator),
                    operator => Part::Text(operator, longest),
                }),
                last => {
                    pieces.extend(last);
                    parts.push(Part::Joined(pieces));
                }
            }
        }
        other => literal(parts, &other.to_string()),
    }
}

fn literal(parts: &mut Vec<Part>, text: &str) {
    match parts.last_mut() {
        Some(Part::Literal(before)) => before.add(text),
        _ => parts.push(Part::Literal(Literal::of(text))),
    }
}

impl Part {
    fn write(&self, exchange: &Exchange, names: &Names<'_>, line: &mut Line) {
        let start = line.place();
        let wrote = match self {
            Self::Literal(text) => return line.literal(text),
            Self::Bare(operator, longest) => return bare(operator, *longest, exchange, names, line),
            Self::Number(operator) => match operator.write(None, exchange, names, line) {
                Wrote::Nothing => Wrote::Nothing,
                Wrote::Plain | Wrote::Text => return,
            },
            Self::Text(operator, longest) => {
                line.byte(b'"');
                operator.write(*longest, exchange, names, line)
            }
            Self::Joined(pieces) => {
                line.byte(b'"');
                pieces.iter().for_each(|piece| piece.write(exchange, names, line));
                Wrote::Text
            }
        };
        match wrote {
            Wrote::Nothing => {
                line.back_to(start);
                line.text(b"null");
            }
            Wrote::Plain => line.byte(b'"'),
            Wrote::Text => close(line, start),
        }
    }

    /// Whether it says the same of two exchanges.
    fn is_same(&self, likeness: &Likeness<'_>) -> bool {
        match self {
            Self::Literal(_) => true,
            Self::Bare(operator, _) | Self::Number(operator) | Self::Text(operator, _) => likeness.has(operator),
            Self::Joined(pieces) => pieces.iter().all(|piece| match piece {
                Piece::Literal(_) => true,
                Piece::Operator { operator, .. } => likeness.has(operator),
            }),
        }
    }
}

impl Piece {
    fn write(&self, exchange: &Exchange, names: &Names<'_>, line: &mut Line) {
        match self {
            Self::Literal(text) => line.literal(text),
            Self::Operator { operator, longest } => bare(operator, *longest, exchange, names, line),
        }
    }
}

/// An operator in a text.
fn bare(operator: &Operator, longest: Option<usize>, exchange: &Exchange, names: &Names<'_>, line: &mut Line) {
    if operator.write(longest, exchange, names, line) == Wrote::Nothing {
        line.byte(b'-');
    }
}

/// Ends a JSON string that was begun at `start` with its quotation mark.
fn close(line: &mut Line, start: usize) {
    let written = line.since(start + 1);
    if redact::is_literal(written) {
        return line.byte(b'"');
    }
    let text = Json::from(String::from_utf8_lossy(written)).to_string();
    line.back_to(start);
    line.text(text.as_bytes());
}

/// One connection without HTTP as a line of JSON: the flow log.
pub fn flow(connection: &ringwall_model::Connection, names: &Names<'_>) -> String {
    let line = serde_json::json!({
        "id": connection.id.to_string(),
        "start_time": connection.started.rfc3339(),
        "duration": connection.duration.0,
        "role": connection.role.as_str(),
        "workload": &*connection.workload,
        "peer": connection.peer.to_string(),
        "peer_principal": connection.peer_identity.as_ref().map(ToString::to_string),
        "requested_server_name": connection.server_name.as_deref().map(|name| redact::text(name.as_bytes()).into_owned()),
        "upstream_cluster": &*connection.cluster,
        "bytes_received": connection.received,
        "bytes_sent": connection.sent,
        "refused_by": crate::peers::refusal(connection.refused, names),
        "failure": connection.failure.as_deref(),
    });
    format!("{line}\n")
}

/// A packet that the filter spoke of, in the form of a flow.
pub fn packet(packet: &ringwall_model::Packet) -> String {
    let (source, destination) = &packet.workloads;
    let refused = packet.fate == ringwall_model::PacketFate::Dropped;
    let rule = format!("packet: {}", packet.rule);
    let line = serde_json::json!({
        "id": packet.id.to_string(),
        "start_time": packet.seen.rfc3339(),
        "role": "packet",
        "workload": &**destination,
        "source": &**source,
        "peer": packet.source.to_string(),
        "destination": packet.destination.to_string(),
        "protocol": packet.protocol,
        "port": packet.ports.map(|(_, to)| to),
        // Of a connection that was not made it is not known.
        "source_port": packet.ports.map(|(from, _)| from).filter(|from| *from != 0),
        "direction": packet.part,
        "refused_by": refused.then_some(&rule),
        "would_be_refused_by": (!refused).then_some(&rule),
    });
    format!("{line}\n")
}

/// A copy of a call that a rule refused, in the form of a flow.
pub fn copy(copy: &ringwall_model::RefusedCopy, names: &Names<'_>) -> String {
    let line = serde_json::json!({
        "id": copy.id.to_string(),
        "start_time": copy.started.rfc3339(),
        "role": copy.role.as_str(),
        "workload": &*copy.workload,
        "mirror_cluster": &*copy.cluster,
        "refused_by": crate::peers::refusal(Some(copy.refused), names),
    });
    format!("{line}\n")
}

/// Whether a listener of this role stands before the called workload.
pub(crate) const fn is_inbound(role: Role) -> bool {
    matches!(role, Role::Inbound)
}

#[cfg(test)]
mod tests;
