//! One shard: a bounded table of budgets.
//!
//! Budgets live in a list; a map finds them by key. To make room, a hand walks over the list.

use super::Cause;
use super::slot::{self, Slot};
use ringwall_model::{Budget, Spent, Take, TakeKey, Timestamp, Window};
use std::collections::HashMap;

/// How many budgets the hand looks at to find one that may go.
const LOOKS: usize = 64;

/// The subject of a budget that all calls share. While it counts, it is never made room of.
const SHARED: u128 = 0;

#[derive(Debug)]
pub(super) struct Shard {
    capacity: usize,
    places: HashMap<(TakeKey, Window), usize>,
    entries: Vec<Entry>,
    floors: HashMap<(u64, Window), Floor>,
    hand: usize,
}

#[derive(Debug)]
struct Entry {
    key: TakeKey,
    budget: Budget,
    slot: Slot,
}

#[derive(Clone, Copy, Debug)]
struct Floor {
    count: u64,
    until: u64,
}

impl Shard {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, places: HashMap::new(), entries: Vec::new(), floors: HashMap::new(), hand: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes one call.
    pub(super) fn take(&mut self, take: &Take, now: Timestamp) -> Result<Spent, (Cause, Spent)> {
        let place = match self.places.get(&(take.key, take.budget.window)) {
            Some(place) => *place,
            None => self.enter(take, now)?,
        };
        let full = |budget| (Cause::StoreFull, slot::fresh(budget, budget.limit, now));
        let entry = self.entries.get_mut(place).ok_or_else(|| full(take.budget))?;
        entry.budget = take.budget;
        entry.slot.advance(take.budget.window, now);
        if entry.slot.count() >= take.budget.limit {
            return Err((Cause::UsedUp, entry.slot.spent(take.budget, now)));
        }
        entry.slot.add();
        Ok(entry.slot.spent(take.budget, now))
    }

    /// Gives the last call back. A budget that had to make room meanwhile stays counted in its limit's floor.
    pub(super) fn undo(&mut self, take: &Take, now: Timestamp) {
        let place = self.places.get(&(take.key, take.budget.window)).copied();
        if let Some(entry) = place.and_then(|place| self.entries.get_mut(place)) {
            entry.slot.advance(entry.budget.window, now);
            entry.slot.take_back();
        }
    }

    /// What a take would find.
    pub(super) fn look(&mut self, take: &Take, now: Timestamp) -> Spent {
        let place = self.places.get(&(take.key, take.budget.window)).copied();
        match place.and_then(|place| self.entries.get_mut(place)) {
            Some(entry) => {
                entry.slot.advance(take.budget.window, now);
                entry.slot.spent(take.budget, now)
            }
            None => slot::fresh(take.budget, self.floor(take, now), now),
        }
    }

    fn floor(&self, take: &Take, now: Timestamp) -> u64 {
        let floor = self.floors.get(&(take.key.rule, take.budget.window));
        floor.filter(|floor| now.0 < floor.until).map_or(0, |floor| floor.count)
    }

    fn enter(&mut self, take: &Take, now: Timestamp) -> Result<usize, (Cause, Spent)> {
        // A budget shared by all always finds room: there are only as many of them as there are rules.
        let free = self.entries.len() < self.capacity || take.key.subject == SHARED;
        let place = if free { self.entries.len() } else { self.make_room(take, now)? };
        let slot = Slot::new(take.budget.window, self.floor(take, now), now);
        let entry = Entry { key: take.key, budget: take.budget, slot };
        match self.entries.get_mut(place) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
        self.places.insert((take.key, take.budget.window), place);
        Ok(place)
    }

    /// Empties one place: of an ended window, else of the least used live one, which raises the floor of its limit.
    fn make_room(&mut self, take: &Take, now: Timestamp) -> Result<usize, (Cause, Spent)> {
        let mut best: Option<(u64, usize)> = None;
        for _ in 0..LOOKS.min(self.entries.len()) {
            self.hand = (self.hand + 1) % self.entries.len();
            let Some(entry) = self.entries.get_mut(self.hand) else { continue };
            entry.slot.advance(entry.budget.window, now);
            let count = entry.slot.count();
            let shared = entry.key.subject == SHARED && count > 0;
            if count < entry.budget.limit && !shared && best.is_none_or(|(least, _)| count < least) {
                best = Some((count, self.hand));
            }
            if count == 0 {
                break;
            }
        }
        let full = || (Cause::StoreFull, slot::fresh(take.budget, take.budget.limit, now));
        let (count, place) = best.ok_or_else(full)?;
        let entry = self.entries.get(place).ok_or_else(full)?;
        let (key, window) = (entry.key, entry.budget.window);
        self.places.remove(&(key, window));
        if count > 0 {
            self.raise_floor((key.rule, window), count, now);
        }
        Ok(place)
    }

    fn raise_floor(&mut self, of: (u64, Window), count: u64, now: Timestamp) {
        let until = slot::window_end(of.1, now);
        let floor = self.floors.entry(of).or_insert(Floor { count, until });
        let old = if now.0 < floor.until { floor.count } else { 0 };
        *floor = Floor { count: old.max(count), until };
    }
}
