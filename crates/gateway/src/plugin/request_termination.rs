//! `request-termination`: answers every call itself.

use super::Outcome;
use crate::reply;
use crate::template::query_value;
use crate::walk::Walk;
use bytes::Bytes;
use ringwall_model::Reply;

/// Configuration of `request-termination`.
#[derive(Clone, Debug)]
pub struct RequestTermination {
    /// Status.
    pub status: u16,
    /// Message of a JSON body.
    pub message: Option<Box<str>>,
    /// A whole body instead, with its type.
    pub body: Option<(Bytes, Bytes)>,
    /// Only calls that have this field or argument.
    pub trigger: Option<Box<str>>,
}

/// The answer.
pub fn judge(config: &RequestTermination, walk: &mut Walk<'_>) -> Outcome {
    if let Some(trigger) = &config.trigger {
        let query = walk.call.views.query.as_deref().unwrap_or_default();
        if walk.call.fields.first(trigger).is_none() && query_value(query, trigger).is_none() {
            return Outcome::Pass;
        }
    }
    if let Some((body, kind)) = &config.body {
        let fields = vec![("content-type", kind.clone())];
        return Outcome::Refuse(Reply::Http { status: config.status, fields, body: body.clone() });
    }
    let message = config.message.as_deref().unwrap_or(match config.status {
        400 => "Bad request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not found",
        500 => "An unexpected error occurred",
        503 => "Service unavailable",
        _ => "The upstream server responded with an error",
    });
    Outcome::Refuse(reply::message(config.status, message, walk.call.id))
}
