//! WebSockets of HTTP/2 clients (RFC 8441), of which services are asked as in HTTP/1 (RFC 6455).
//!
//! In: a call that the head reader has made an upgrade of. Out: the handshake that the service wants to see, and an answer
//! that means in HTTP/2 what it meant in HTTP/1. Never: a look at messages (`judged`).

use crate::message::Response;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringwall_head::fields;
use ringwall_model::{Call, CallId, Fields, Reply, Version};

/// RFC 6455 section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether a call of HTTP/2 opens a WebSocket.
pub(crate) fn opens(call: &Call) -> bool {
    call.version == Version::Http2 && fields::upgrade(&call.fields).is_some()
}

/// The client's part of the handshake: HTTP/2 has none. A nonce need be random, not secret.
pub(crate) fn key(id: CallId) -> String {
    STANDARD.encode(id.0.to_be_bytes())
}

/// Adds it to the fields for the service.
pub(crate) fn ask(call: &Call, outgoing: &mut Fields) {
    outgoing.set("sec-websocket-key", key(call.id));
    if outgoing.first("sec-websocket-version").is_none() {
        outgoing.set("sec-websocket-version", "13");
    }
}

/// Whether the service agreed: in HTTP/2 any other answer of success would mean that it did (RFC 6455 section 4.1).
pub(crate) fn agreed(call: &Call, response: &Response) -> bool {
    if response.tunnel.is_none() {
        return !(200..300).contains(&response.status);
    }
    response.fields.only("sec-websocket-accept").is_some_and(|said| **said == *accept(&key(call.id)).as_bytes())
}

/// What a server answers to a key (RFC 6455 section 4.2.2).
pub(crate) fn accept(key: &str) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes()))
}

/// `101` is `200` in HTTP/2, which has no field for the rest.
pub(crate) fn switched(call: &Call, response: &mut Response) {
    if response.status == 101 && call.version == Version::Http2 {
        response.status = 200;
        response.fields.remove("upgrade");
        response.fields.remove("sec-websocket-accept");
    }
}

/// An answer of a rule's own must not read as if the tunnel were there.
pub(crate) fn no_tunnel(call: &Call, reply: &mut Reply) {
    if let Reply::Http { status, .. } = reply
        && (200..300).contains(status)
        && opens(call)
    {
        *status = 501;
    }
}

#[cfg(test)]
mod tests {
    use super::{accept, key};
    use ringwall_model::CallId;

    #[test]
    fn the_handshake_of_the_standard() {
        assert_eq!(key(CallId(u128::from_be_bytes(*b"the sample nonce"))), "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
