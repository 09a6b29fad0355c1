//! `request-size-limiting`: how long bodies may be.

use super::Outcome;
use crate::reply;
use crate::walk::Walk;
use ringwall_model::BodyLength;

/// Configuration of `request-size-limiting`.
#[derive(Clone, Copy, Debug)]
pub struct RequestSizeLimiting {
    /// In bytes.
    pub allowed: u64,
    /// Whether a body must say its length.
    pub require_content_length: bool,
}

/// Too long: 413, or 417 when the client waits for `100-continue`. Without a length, where one is required: 411. A body
/// without a length is counted while it is read ([`Walk::body_limit`]).
pub fn judge(config: &RequestSizeLimiting, walk: &mut Walk<'_>) -> Outcome {
    walk.body_limit = Some(walk.body_limit.map_or(config.allowed, |limit| limit.min(config.allowed)));
    match walk.call.body {
        BodyLength::Known(length) if length > config.allowed => {
            let waits =
                walk.call.fields.first("expect").is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"));
            let status = if waits { 417 } else { 413 };
            Outcome::Refuse(reply::message(status, "Request size limit exceeded", walk.call.id))
        }
        BodyLength::Unknown if config.require_content_length => {
            Outcome::Refuse(reply::message(411, "A valid Content-Length header is required", walk.call.id))
        }
        _ => Outcome::Pass,
    }
}
