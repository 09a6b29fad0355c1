//! The bodies of Kong's own responses.

use bytes::Bytes;
use ringwall_model::{CallId, Reply};
use serde_json::Value;

/// `{"message":…,"request_id":…}` as Kong answers what asks for JSON or for nothing in particular.
pub fn message(status: u16, message: &str, id: CallId) -> Reply {
    value(status, &Value::from(message), id)
}

/// The same with a message that is not a string (`jwt` reports claims as an object).
pub fn value(status: u16, message: &Value, id: CallId) -> Reply {
    Reply::json(status, format!("{{\"message\":{message},\"request_id\":\"{:032x}\"}}", id.0))
}

/// Adds a field to a response.
#[must_use]
pub fn with(reply: Reply, name: &'static str, value: impl Into<Bytes>) -> Reply {
    match reply {
        Reply::Http { status, mut fields, body } => {
            fields.push((name, value.into()));
            Reply::Http { status, fields, body }
        }
        other @ (Reply::Drop | Reply::Reset) => other,
    }
}
