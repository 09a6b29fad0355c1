//! What a thread needs while it judges: caches of automata and buffers. Taken from the pool for one slice of work.

use crate::Rules;
use regex_automata::meta::Cache;

/// Working memory of one slice of work.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    /// By pattern.
    pub caches: Vec<Option<Box<Cache>>>,
    /// For results of transformations.
    pub buffer: Vec<u8>,
    /// For results of all steps but the last.
    pub made: Vec<u8>,
    /// For texts that are put together.
    pub draft: Vec<u8>,
    /// For the prefilter; all zero.
    pub seen: Vec<u64>,
}

impl Machine {
    /// A machine for these rules.
    pub fn new(rules: &Rules) -> Self {
        Self { caches: (0..rules.patterns.len()).map(|_| None).collect(), ..Self::default() }
    }

    /// Gives large buffers back before it is kept for another slice.
    pub fn shrink(&mut self) {
        const KEPT: usize = 1 << 16;
        for buffer in [&mut self.buffer, &mut self.made, &mut self.draft] {
            if buffer.capacity() > KEPT {
                *buffer = Vec::new();
            }
        }
    }
}
