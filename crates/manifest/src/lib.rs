//! Text and objects to a World, with source spans and findings.
//!
//! In: named bytes. Out: documents ([`mod@read`]), typed reading of them ([`node`]), one lowering a kind in a folder for
//! each dialect, and the World. Never: sockets, files, clock. Start reading at [`mod@read`], then [`node::Cursor`].
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

pub mod certmanager;
pub mod code;
pub mod conformance;
pub mod inventory;
pub mod istio;
pub mod kong;
pub mod kubernetes;
pub mod node;
pub mod pages;
pub mod prometheus;
pub mod read;
pub mod render;
pub mod resource;
pub mod ringwall;
pub mod script;
pub mod source;
pub mod world;

pub use node::{Cursor, FieldRecord, FieldUse, Ledger, Node};
pub use read::read;
pub use resource::{Kind, Resource};
pub use source::{Document, File, Format, Input, Position, Sources};
pub use world::{Options, StandIn, World, lower, virtual_address};
