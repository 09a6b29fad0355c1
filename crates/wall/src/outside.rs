//! What the page asks of the world outside. The data plane answers from the network and from State; `explain` and tests
//! answer from what is recorded or assumed, and commit nothing.

use crate::firewall::Phase;
use bytes::Bytes;
use ringwall_model::{Question, Spent, Take, Timestamp};
use ringwall_shield::{Blocks, Exceeded};
use ringwall_token::Facts;
use ringwall_waf::{Fuel, Progress, Transaction};
use smallvec::SmallVec;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

/// Work on the transaction of a large call, so that the thread goes on with others meanwhile.
#[derive(Debug)]
pub struct Work {
    /// The transaction.
    pub transaction: Transaction,
    /// Whose call it is, so that one client does not take all the room.
    pub client: IpAddr,
    /// What is to be done.
    pub phase: Phase,
    /// How far it is.
    pub progress: Progress,
}

impl Work {
    /// Works for one slice, about half a millisecond. To be called until it no longer yields.
    pub fn slice(&mut self) -> Progress {
        self.progress = self.phase.run(&mut self.transaction, Fuel::SLICE);
        self.progress
    }
}

/// There is no room for more work; it comes back when nothing of it was done.
#[derive(Debug)]
pub struct Busy(pub Option<Box<Work>>);

/// A place beside the core's thread.
pub trait Aside {
    /// Works slice by slice until the phase is done.
    ///
    /// # Errors
    /// [`Busy`] when too much waits already: the call is refused.
    fn aside(&self, work: Work) -> impl Future<Output = Result<Work, Busy>>;
}

/// The world outside the page, for one call.
pub trait Outside: Aside {
    /// Whether the call has just come, or was admitted before and is judged again.
    fn stage(&self) -> Stage {
        Stage::Arriving
    }

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

/// When a call is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// When it comes.
    Arriving,
    /// While its answer goes on: nothing is taken from budgets, and its content, which has gone by, is not judged again.
    Standing,
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
