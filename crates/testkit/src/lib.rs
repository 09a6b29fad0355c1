//! What tests share. Never shipped.
//!
//! In: a test. Out: [`allocations::during`]. Never: a dependency of a room outside `[dev-dependencies]`.

pub mod allocations;

pub use allocations::Counting;
