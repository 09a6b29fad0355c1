//! What the page asks of the world outside. The data plane answers from the network and from State; `explain` and tests
//! answer from what is recorded or assumed, and commit nothing.

use bytes::Bytes;
use ringwall_model::{Question, Spent, Take, Timestamp};
use ringwall_shield::{Blocks, Exceeded};
use ringwall_token::Facts;
use smallvec::SmallVec;
use std::future::Future;
use std::sync::Arc;

/// The world outside the page, for one call.
pub trait Outside {
    /// The time.
    fn now(&self) -> Timestamp;

    /// 128 random bits, the same ones for the whole call: dice for weights, generated ids.
    fn random(&self) -> u128;

    /// Key sets and discovery documents as they are known now.
    fn facts(&self) -> Arc<Facts>;

    /// Asks for one of them. "No answer in time" is an answer too and is found in the returned facts.
    fn answer(&self, question: &Question) -> impl Future<Output = Arc<Facts>>;

    /// Feeds and address databases of the shield.
    fn shield_facts(&self) -> &ringwall_shield::Facts;

    /// Blocks in force.
    fn blocks(&self) -> &Blocks;

    /// Takes one call from every budget, or from none of them.
    ///
    /// # Errors
    /// The first take that is refused.
    fn take(&self, takes: &[Take]) -> Result<SmallVec<[Spent; 4]>, Exceeded>;

    /// The first bytes of the body, at most so many; fewer only when the body ends before. They still go upstream.
    ///
    /// # Errors
    /// [`BodyFault`] when the body cannot be had.
    fn body(&self, at_most: u64) -> impl Future<Output = Result<Bytes, BodyFault>>;
}

/// Why a body could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// It breaks the rules of its framing.
    Framing,
    /// It did not come in time.
    Late,
    /// The client went away.
    Gone,
}
