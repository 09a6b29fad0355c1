//! The shield: what is decided from the address of a client, from how often it calls, and from what it was blocked for.
//!
//! In: [`Shield`] (policy, from `ShieldPolicy` resources), [`Facts`] (feeds, address databases), [`Blocks`],
//! [`Counters`] and [`Connections`] (state). Out: a [`ringwall_model::Judgement`] with the budgets to take from.
//! Never: sockets, files, clock, randomness, threads; state is changed by the shell, never by `judge`.
//! Start reading at [`judge`].
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

pub mod address;
pub mod blocks;
pub mod connections;
pub mod counters;
pub mod facts;
pub mod judge;
pub mod rules;

pub use address::AddressSet;
pub use blocks::{Action, BadBlock, Block, BlockId, Blocks, Origin, Subject, Until};
pub use connections::{Connections, Hold, Open, Over};
pub use counters::{Cause, Counters, Exceeded};
pub use facts::{BadDatabase, Database, Facts};
pub use judge::Presented;
pub use rules::{
    AddressList, Applies, ConnectionLimits, Geography, Limit, OnMissing, OnStoreFailure, Policy, Reputation, Scope,
    Shield, Systems, UnauthenticatedPart,
};
