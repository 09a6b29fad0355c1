//! Exact counters of calls: all takes of a call or none, in calendar windows and sliding ones, in bounded memory.
//!
//! In: [`Take`]s and the time. Out: what is left, or which take is refused. Never: the clock; a store outside the process.
//!
//! INVARIANT: no budget is ever exceeded, whatever the number of threads: takes are counted under the locks of their
//! shards, which are taken in ascending order.
//! INVARIANT: forgetting never widens a budget. When a shard is full, an ended window goes first, then the least used
//! live one; its count becomes the floor at which subjects of that limit enter until the window ends (the rule of the
//! Space-Saving algorithm: counts may be too high, never too low). A used-up budget is never forgotten while it counts.
//!
//! Kong's `rate-limiting` takes from the same counters; its windows are the calendar's, in UTC.

mod shard;
mod slot;

use ringwall_model::{Spent, Take, Timestamp};
use shard::Shard;
use smallvec::SmallVec;
use std::sync::{Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 64;

/// The counters of one process. They outlive a World: keys are stable numbers of rules.
#[derive(Debug)]
pub struct Counters {
    shards: Vec<Mutex<Shard>>,
}

/// Which take of a list was refused, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Index of the take.
    pub index: usize,
    /// What is left of its budget, and when there is more.
    pub spent: Spent,
    /// Whether the budget is used up or could not be counted.
    pub cause: Cause,
}

/// Why a take was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The budget is used up.
    UsedUp,
    /// The store is full of used-up budgets and cannot count another subject: [`crate::OnStoreFailure`] decides.
    StoreFull,
}

impl Counters {
    /// Counters for at most about `capacity` live budgets; each takes some 100 bytes (a sliding one some 300).
    pub fn new(capacity: usize) -> Self {
        let each = capacity.div_ceil(SHARDS).max(8);
        Self { shards: (0..SHARDS).map(|_| Mutex::new(Shard::new(each))).collect() }
    }

    /// Takes one call from every budget, or from none of them.
    ///
    /// # Errors
    /// [`Exceeded`] names the first take that its budget refuses; nothing has been counted then.
    pub fn take(&self, takes: &[Take], now: Timestamp) -> Result<SmallVec<[Spent; 4]>, Exceeded> {
        let mut held = self.lock(takes);
        let mut done: SmallVec<[Spent; 4]> = SmallVec::new();
        for (index, take) in takes.iter().enumerate() {
            let shard = shard_of(take);
            let Some((_, guard)) = held.iter_mut().find(|(number, _)| *number == shard) else { continue };
            match guard.take(take, now) {
                Ok(spent) => done.push(spent),
                Err((cause, spent)) => {
                    undo(&mut held, takes.iter().take(index), now);
                    return Err(Exceeded { index, spent, cause });
                }
            }
        }
        Ok(done)
    }

    /// What a take would find, without taking: for `explain`, which never commits.
    pub fn look(&self, take: &Take, now: Timestamp) -> Spent {
        let mut held = self.lock(std::slice::from_ref(take));
        held.first_mut().map_or_else(|| slot::fresh(take.budget, 0, now), |(_, guard)| guard.look(take, now))
    }

    /// How many budgets are held.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Whether nothing has been counted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self, takes: &[Take]) -> SmallVec<[(usize, MutexGuard<'_, Shard>); 4]> {
        let mut numbers: SmallVec<[usize; 8]> = takes.iter().map(shard_of).collect();
        numbers.sort_unstable();
        numbers.dedup();
        // ORDER: ascending, in every thread, so that no two threads wait for each other.
        numbers.into_iter().filter_map(|number| Some((number, lock(self.shards.get(number)?)))).collect()
    }
}

fn undo<'a>(
    held: &mut [(usize, MutexGuard<'_, Shard>)],
    done: impl DoubleEndedIterator<Item = &'a Take>,
    now: Timestamp,
) {
    for take in done.rev() {
        if let Some((_, guard)) = held.iter_mut().find(|(number, _)| *number == shard_of(take)) {
            guard.undo(take, now);
        }
    }
}

/// A poisoned shard is used on: a count is changed in one step, so it is never half done.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shard_of(take: &Take) -> usize {
    let subject = (take.key.subject ^ (take.key.subject >> 64)) as u64;
    let mixed = (take.key.rule ^ subject).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 58) as usize % SHARDS
}

#[cfg(test)]
mod tests;
