//! A world outside that is assumed, for `explain` and tests: it answers from what it was given, commits nothing, and
//! keeps a list of what it assumed, to be printed.
//!
//! In: a time, what is known. Out: answers. Never: a change of the wall's State: budgets are looked at; only a
//! rehearsal takes from budgets, which are its own.

use crate::outside::{Aside, BodyFault, Busy, Outside, Work};
use bytes::Bytes;
use ringwall_model::{Question, Spent, Take, Timestamp};
use ringwall_shield::{Blocks, Cause, Counters, Exceeded};
use ringwall_token::{Discovery, DiscoveryAnswer, Facts, JwkSet, KeyAnswer};
use ringwall_waf::Progress;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::sync::Arc;

/// The assumed world.
#[derive(Debug)]
pub struct Assumed<'a> {
    /// The time.
    pub now: Timestamp,
    /// The dice and generated ids.
    pub random: u128,
    /// The key set that every issuer is assumed to have; `None` means that none of them answers.
    pub keys: Option<Arc<JwkSet>>,
    /// Blocks in force.
    pub blocks: &'a Blocks,
    /// What is known of budgets.
    pub budgets: Budgets<'a>,
    /// Feeds and address databases.
    pub shield_facts: &'a ringwall_shield::Facts,
    /// The body.
    pub body: Bytes,
    facts: RefCell<Arc<Facts>>,
    said: RefCell<Vec<String>>,
}

/// What an assumed world knows of budgets.
#[derive(Clone, Copy, Debug)]
pub enum Budgets<'a> {
    /// Every budget is untouched.
    Untouched,
    /// These are looked at, not taken from.
    Looked(&'a Counters),
    /// These belong to a rehearsal, which takes from them as live calls would.
    Rehearsed(&'a Counters),
}

impl<'a> Assumed<'a> {
    /// A world where issuers answer with `keys`, and budgets are untouched.
    pub fn new(
        now: Timestamp,
        keys: Option<Arc<JwkSet>>,
        blocks: &'a Blocks,
        shield_facts: &'a ringwall_shield::Facts,
    ) -> Self {
        Self {
            now,
            random: 0,
            keys,
            blocks,
            budgets: Budgets::Untouched,
            shield_facts,
            body: Bytes::new(),
            facts: RefCell::default(),
            said: RefCell::default(),
        }
    }

    /// What was assumed so far, in order.
    pub fn assumptions(&self) -> Vec<String> {
        self.said.borrow().clone()
    }

    fn learn(&self, question: &Question) {
        let mut facts = Facts::clone(&self.facts.borrow());
        let answers = if self.keys.is_some() { "answers with the assumed keys" } else { "does not answer" };
        match question {
            Question::Keys { uri, .. } => {
                self.said.borrow_mut().push(format!("key set {uri} {answers}"));
                let answer = self.keys.clone().map_or(KeyAnswer::Unanswered, KeyAnswer::Set);
                facts.keys.insert(uri.clone(), answer);
            }
            Question::Discovery { issuer, .. } => {
                self.said.borrow_mut().push(format!("provider {issuer} {answers}"));
                let text = serde_json::json!({ "issuer": &**issuer, "jwks_uri": format!("assumed:{issuer}") });
                let document =
                    self.keys.as_ref().and_then(|_| Discovery::read(text.to_string().as_bytes(), issuer).ok());
                let answer = document.map_or(DiscoveryAnswer::Unanswered, |it| DiscoveryAnswer::Document(Arc::new(it)));
                facts.discovery.insert(issuer.clone(), answer);
            }
        }
        *self.facts.borrow_mut() = Arc::new(facts);
    }
}

impl Aside for Assumed<'_> {
    async fn aside(&self, mut work: Work) -> Result<Work, Busy> {
        while work.slice() == Progress::Yield {}
        Ok(work)
    }
}

impl Outside for Assumed<'_> {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn random(&self) -> u128 {
        self.random
    }

    fn facts(&self) -> Arc<Facts> {
        self.facts.borrow().clone()
    }

    async fn answer(&self, question: &Question) -> Arc<Facts> {
        self.learn(question);
        self.facts()
    }

    fn shield_facts(&self) -> &ringwall_shield::Facts {
        self.shield_facts
    }

    fn blocks(&self) -> &Blocks {
        self.blocks
    }

    fn take(&self, takes: &[Take]) -> Result<SmallVec<[Spent; 4]>, Exceeded> {
        let look = |take: &Take| match self.budgets {
            Budgets::Looked(counters) => counters.look(take, self.now),
            _ => Spent { budget: take.budget, remaining: take.budget.limit, reset: 1 },
        };
        if let Budgets::Rehearsed(counters) = self.budgets {
            return counters.take(takes, self.now);
        }
        let spent: SmallVec<[Spent; 4]> = takes.iter().map(look).collect();
        match spent.iter().position(|spent| spent.remaining == 0) {
            Some(index) => {
                Err(Exceeded { index, spent: spent.get(index).copied().unwrap_or(EMPTY), cause: Cause::UsedUp })
            }
            None => Ok(spent),
        }
    }

    async fn body(&self, at_most: u64) -> Result<Bytes, BodyFault> {
        let most = usize::try_from(at_most).unwrap_or(usize::MAX).min(self.body.len());
        Ok(self.body.slice(..most))
    }
}

const EMPTY: Spent = Spent {
    budget: ringwall_model::Budget { limit: 0, window: ringwall_model::Window::Second },
    remaining: 0,
    reset: 1,
};
