//! HTTP/1.0 and HTTP/1.1 on the wire, for both sides.
//!
//! In: a byte stream. Out: messages in the engine's form. Never: policy. Heads and chunks are read by the room `head`; what
//! stands here is when to read, when to write and when to close. Follows RFC 9112.

pub(crate) mod client;
mod framing;
pub(crate) mod server;
mod write;

use framing::Framing;
