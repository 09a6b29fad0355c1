//! What a thread needs while it judges: caches of automata and buffers. Taken from the pool for one slice of work.

use crate::Rules;
use crate::judge::pass::Plan;
use regex_automata::meta::Cache;
use std::sync::Arc;

/// Working memory of one slice of work.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    /// By pattern.
    pub caches: Vec<Option<Box<Cache>>>,
    /// For results of transformations: one for each step that is under way.
    pub spare: Vec<Vec<u8>>,
    /// For names that are put together.
    pub buffer: Vec<u8>,
    /// For texts that are put together.
    pub draft: Vec<u8>,
    /// For the prefilter; all zero.
    pub seen: Vec<u64>,
    /// Literal slots of the texts that are under way.
    pub hits: Vec<u16>,
    /// What passes ask, by source, as it was when they last began.
    pub plans: Vec<Option<Arc<Plan>>>,
}

impl Machine {
    /// A machine for these rules.
    pub fn new(rules: &Rules) -> Self {
        Self { caches: (0..rules.patterns.len()).map(|_| None).collect(), ..Self::default() }
    }

    /// Gives large buffers back before it is kept for another slice.
    pub fn shrink(&mut self) {
        const KEPT: usize = 1 << 16;
        for buffer in self.spare.iter_mut().chain([&mut self.buffer, &mut self.draft]) {
            if buffer.capacity() > KEPT {
                *buffer = Vec::new();
            }
        }
    }
}
