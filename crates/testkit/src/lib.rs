//! What tests share. Never shipped.
//!
//! In: a test. Out: [`allocations::during`], [`pods`]. Never: a dependency of a room outside `[dev-dependencies]`.

pub mod allocations;
pub mod pods;

pub use allocations::Counting;
