//! The page: one request through every layer in order.
//!
//! In: a World, a listener, a `Call`, and [`Outside`] (what the shell answers). Out: [`Outcome`]: an [`Admitted`] witness
//! with where the call goes, or a [`Refused`] with its rule; and the trace of every layer. Never: sockets, clock, threads;
//! live traffic, `explain` and tests run this same code, so they cannot disagree.
//! Start reading at [`request`].
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

pub mod apply;
pub mod assumed;
pub mod connection;
pub mod firewall;
mod message;
pub mod outcome;
pub mod outside;
mod packet;
pub mod reading;
mod request;
mod response;

pub use message::{Coded, Form, MessageKind, Messages};
pub use outcome::{Admitted, Copied, Hop, Labels, Outcome, Refused};
pub use outside::{Aside, BodyFault, Busy, Outside, Stage, Work};
pub use request::request;
pub use response::{Follows, ResponseHead, response};
