//! What the shell has learned from outside: key sets and discovery documents, and what an engine may still ask.
//!
//! In: answers, by address. Out: [`Known`], which engines get beside the call. Never: fetching; that is `control`'s.

use crate::{Discovery, JwkSet};
use ringwall_model::{Question, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many questions are put at most for one call.
pub const MAX_QUESTIONS: usize = 4;

/// Answers from outside, swapped atomically and apart from the World.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Key sets by address.
    pub keys: BTreeMap<Arc<str>, KeyAnswer>,
    /// Discovery documents by issuer.
    pub discovery: BTreeMap<Arc<str>, DiscoveryAnswer>,
}

/// What is known of a key set.
#[derive(Clone, Debug)]
pub enum KeyAnswer {
    /// The set.
    Set(Arc<JwkSet>),
    /// It was asked for, and no usable answer came.
    Unanswered,
}

/// What is known of an OpenID provider.
#[derive(Clone, Debug)]
pub enum DiscoveryAnswer {
    /// Its document.
    Document(Arc<Discovery>),
    /// It was asked, and no usable answer came.
    Unanswered,
}

/// What an engine knows while it judges one call.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Answers from outside.
    pub facts: &'a Facts,
    /// What was asked already for this call.
    pub asked: &'a [Question],
    /// The time that times are judged by.
    pub now: Timestamp,
}

impl Known<'_> {
    /// Whether this question may still be put: it was not put for this call before, and not too many were.
    pub fn may_ask(&self, question: &Question) -> bool {
        self.asked.len() < MAX_QUESTIONS && !self.asked.contains(question)
    }
}
