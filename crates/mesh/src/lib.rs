//! Peer and request authentication, authorization, routing, subsets, outlier detection, egress.
//!
//! In: policies and routes as lowering read them, the inventory, one call, what is known of keys. Out: verdicts, route
//! choices, upstream policies. Never: sockets, clock, randomness. Follows Istio's APIs as Envoy carries them out.
//! Start reading at [`judge::inbound`] (may this call come in?) and `route::select` (where does it go?).
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

pub mod authorization;
pub mod egress;
pub mod explain;
#[cfg(test)]
mod fixture;
pub mod judge;
pub mod matching;
pub mod mesh;
pub mod outlier;
pub mod peer_authentication;
pub mod request_authentication;
pub mod route;
pub mod upstream;

pub use judge::Verdict;
pub use mesh::{Mesh, Policies};
pub use peer_authentication::Mode;
