//! Raw bytes to a `Call`: one strict reading of the request for every layer.
//!
//! In: the bytes of a head, or the fields of an HTTP/2 stream, with what the listener knows of the connection.
//! Out: a [`Call`](ringwall_model::Call) with its views, and a [`Fault`](ringwall_model::Fault) for each thing that is
//! wrong with it. Never: a second reading: what a layer judges here is what goes upstream.
//! Follows: RFC 9110, RFC 9112, RFC 9113; Istio's path normalization and Kong's; the PROXY protocol, versions 1 and 2.
//! Differs: stricter than the RFCs wherever two readers of the same bytes could disagree; see [`fault`].
//! Start reading at [`call::call`].
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::todo,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]

pub mod authority;
pub mod call;
pub mod chunk;
pub mod client;
pub mod conformance;
pub mod fault;
pub mod fields;
pub mod framing;
pub mod h2;
pub mod messages;
mod octets;
pub mod path;
pub mod proxy_protocol;
pub mod read;
pub mod response;
pub mod tracing;

pub use call::{Connect, Context, Settings, Underscores, call};
pub use client::{RealIp, Trust};
pub use path::Normalization;
pub use read::Limits;
