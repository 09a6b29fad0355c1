//! The world outside the page, live: State and Facts of this process, and the body of the call.

use super::force::InForce;
use bytes::Bytes;
use ringwall_dataplane::message::{Body, BodyError, Held};
use ringwall_model::{CallId, Question, Spent, Take, Timestamp};
use ringwall_shield::{Blocks, Exceeded};
use ringwall_token::Facts;
use ringwall_wall::{Aside, BodyFault, Busy, Outside, Stage, Work};
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// The live world, for one call.
pub struct Live<'a> {
    force: &'a InForce,
    id: CallId,
    shield_facts: &'a ringwall_shield::Facts,
    body: RefCell<&'a mut Body>,
    stage: Stage,
    /// Read when the page is asked, and again after each time that it had to wait: one pass sees one time.
    now: Cell<Timestamp>,
}

impl<'a> Live<'a> {
    /// For the call of that id. Its id is 128 random bits that this process made: they are the call's dice too.
    pub fn new(force: &'a InForce, id: CallId, shield_facts: &'a ringwall_shield::Facts, body: &'a mut Body) -> Self {
        let now = Cell::new(ringwall_control::facts::now());
        Self { force, id, shield_facts, body: RefCell::new(body), stage: Stage::Arriving, now }
    }

    /// The same for a call that is judged again: it commits nothing.
    #[must_use]
    pub fn standing(self) -> Self {
        Self { stage: Stage::Standing, ..self }
    }

    fn waited(&self) {
        self.now.set(ringwall_control::facts::now());
    }
}

impl Aside for Live<'_> {
    async fn aside(&self, work: Work) -> Result<Work, Busy> {
        // Boxed, here and below: what seldom happens would make every call's future larger.
        let done = Box::pin(self.force.aside(work)).await;
        self.waited();
        done
    }
}

impl Outside for Live<'_> {
    fn stage(&self) -> Stage {
        self.stage
    }

    fn now(&self) -> Timestamp {
        self.now.get()
    }

    fn random(&self) -> u128 {
        self.id.0
    }

    fn facts(&self) -> Arc<Facts> {
        self.force.facts.facts()
    }

    async fn answer(&self, question: &Question) -> Arc<Facts> {
        let facts = Box::pin(self.force.facts.answer(question)).await;
        self.waited();
        facts
    }

    fn shield_facts(&self) -> &ringwall_shield::Facts {
        self.shield_facts
    }

    fn blocks(&self) -> &Blocks {
        &self.force.blocks
    }

    fn take(&self, takes: &[Take]) -> Result<SmallVec<[Spent; 4]>, Exceeded> {
        if takes.is_empty() {
            return Ok(SmallVec::new());
        }
        // What was counted when it came is not counted again, and a budget that is used up since cuts nothing.
        if self.stage == Stage::Standing {
            return Ok(takes.iter().map(|take| self.force.counters.look(take, self.now())).collect());
        }
        self.force.counters.take(takes, self.now())
    }

    #[expect(clippy::await_holding_refcell_ref, reason = "one page asks for the body, one question at a time")]
    async fn body(&self, at_most: u64) -> Result<Bytes, BodyFault> {
        let mut body = self.body.borrow_mut();
        let held = body.hold(at_most).await;
        self.waited();
        match held {
            Ok(Held::Whole | Held::Partly) => Ok(body.held()),
            Err(BodyError::TimedOut) => Err(BodyFault::Late),
            Err(BodyError::Closed) => Err(BodyFault::Gone),
            Err(BodyError::Malformed | BodyError::TooLarge | BodyError::Refused) => Err(BodyFault::Framing),
        }
    }
}

thread_local! {
    /// Seeded once a thread from the system; after that each number costs a few cycles.
    static DICE: Cell<u64> = Cell::new(getrandom::u64().unwrap_or(0x9e37_79b9_7f4a_7c15));
}

/// 64 bits for weights: good dice, no secret.
pub fn dice() -> u64 {
    // SplitMix64 (Steele, Lea, Flood 2014).
    DICE.with(|state| {
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}
