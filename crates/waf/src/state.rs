//! What is known of one transaction: texts, variables, `TX`, what was removed, what matched.
//!
//! Reused from transaction to transaction: [`State::reset`] keeps the memory, not the content.

use crate::bits::Bits;
use crate::body::Processor;
use crate::collections::Collections;
use crate::configuration::{Access, AuditEngine, Engine};
use crate::judge::pass::Pass;
use crate::report::{Interruption, Match};
use crate::rule::Exclusion;
use crate::text::sweep::Moves;
use crate::text::{EMPTY, TextId, Texts};
use crate::variable::{COUNT, Variable};
use crate::{Profile, Rules};
use ringwall_model::Timestamp;
use std::sync::Arc;

/// A member of a collection, or the value of a variable (then without a name).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub name: TextId,
    pub value: TextId,
}

/// A value of `TX`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Value {
    #[default]
    Unset,
    Number(i64),
    Text(TextId),
}

/// The transaction's own variables.
#[derive(Debug, Default)]
pub(crate) struct Tx {
    /// By slot.
    pub slots: Vec<Value>,
    /// Names that no rule file writes out, in the order in which they were set, lower case.
    pub made: Vec<(TextId, Value)>,
    /// Slots that rules cannot change.
    pub pinned: Bits,
}

/// The memo also knows at which place of `made` a name stands; no transformation has this number.
const PLACE_IN_TX: u32 = u32::MAX - 8;

/// Everything of one transaction.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub texts: Texts,
    pub lists: Vec<Vec<Entry>>,
    /// How often each list was changed, from 1.
    revisions: Vec<u32>,
    /// By source, and what was found, by ask.
    pub passes: Vec<Pass>,
    pub answers: Bits,
    /// By set of sources: [`State::changes`] when their passes were last seen to be finished.
    pub settled: Vec<u32>,
    /// How often any list was changed that a pass goes over.
    pub changes: u32,
    /// How many times texts were counted.
    pub counted: u32,
    /// How many of `ARGS` came from the query string.
    pub from_query: usize,
    pub tx: Tx,
    pub now: Timestamp,
    pub engine: Engine,
    pub request_access: Access,
    pub response_access: Access,
    pub force_body: Access,
    pub audit: AuditEngine,
    pub processor: Processor,
    pub removed: Bits,
    pub removed_targets: Vec<Arc<(Bits, Exclusion)>>,
    pub request_body: Vec<u8>,
    pub request_body_seen: u64,
    pub response_body: Vec<u8>,
    pub content_type: TextId,
    /// For texts that are decoded before they are kept.
    pub scratch: Vec<u8>,
    /// Last match: variable, name, value.
    pub matched: (Option<Variable>, TextId, TextId),
    /// The last match was this number of a known name of `TX`; it is made a text when somebody asks.
    pub matched_number: Option<(u16, i64)>,
    pub matches: Vec<Match>,
    pub interruption: Option<Interruption>,
    /// An `allow` that reaches beyond its phase.
    pub allowed_until: u8,
    /// Phase that is being judged and the position in it.
    pub phase: u8,
    pub position: usize,
    /// Number of the rule in [`Rules::rules`] that is being judged.
    pub rule: u32,
    /// Anomaly score that the rule being judged has added.
    pub added: i64,
    pub highest_severity: u8,
    pub spent: u64,
    pub opened: Vec<(Variable, TextId)>,
    pub hidden: Vec<(Variable, Box<str>)>,
    pub collections: Option<Arc<Collections>>,
    pub faults: Vec<&'static str>,
    /// What the route says of that.
    room: Option<usize>,
    /// Bytes of the bodies, undone of their codings.
    bodies: usize,
    /// With more bytes than these a sweep is due.
    limit: usize,
    /// Bytes that are not counted one by one: [`State::size`] without texts, at the last sweep.
    beside: usize,
    /// Half of what it might grow when its size was last taken.
    spare: usize,
    /// The most bytes that it held so far, as far as was looked.
    most: usize,
    moves: Moves,
}

/// What a transaction may hold before it forgets texts that nothing names any more, such as values that rules matched and
/// captured: so much in all for a small one, and as many times its bodies for a large one.
const ROOM: usize = 60 << 10;
const TIMES: usize = 4;
/// This part of that is left for what is counted too late.
const LATE: usize = 64;
/// However much it must hold, there is room for so many bytes beside, and for this part of what it must hold: each sweep
/// looks at all of it.
const LEAST: usize = 8 << 10;
const PART: usize = 16;
/// Texts of a shorter body need no sweep of their own.
const SHORT: usize = 4096;

impl State {
    /// Makes the state that of a new transaction.
    pub fn reset(&mut self, rules: &Rules, profile: &Profile, now: Timestamp) {
        self.texts.clear();
        self.lists.resize_with(COUNT, Vec::new);
        for list in &mut self.lists {
            list.clear();
        }
        self.revisions.clear();
        self.revisions.resize(COUNT, 1);
        self.passes.clear();
        self.passes.resize(rules.sources.len(), Pass::default());
        self.answers.reset(rules.asks.len());
        self.settled.clear();
        self.settled.resize(rules.source_sets.len(), 0);
        (self.changes, self.counted) = (1, 0);
        self.from_query = 0;
        self.tx.slots.clear();
        self.tx.slots.resize(rules.names.len(), Value::Unset);
        self.tx.made.clear();
        self.tx.pinned.reset(rules.names.len());
        for (slot, value) in &profile.pinned {
            self.tx.pinned.insert(usize::from(*slot));
            if let Some(place) = self.tx.slots.get_mut(usize::from(*slot)) {
                *place = Value::Number(*value);
            }
        }
        let files = &rules.configuration;
        self.now = now;
        self.engine = profile.settings.engine.unwrap_or(files.engine);
        self.request_access = profile.settings.request_body.unwrap_or(files.request_body);
        self.response_access = profile.settings.response_body.unwrap_or(files.response_body);
        self.force_body = Access::Off;
        self.audit = files.audit;
        self.processor = Processor::None;
        self.removed.clone_from(&profile.removed);
        self.removed_targets.clear();
        self.removed_targets.extend(profile.targets.iter().cloned());
        self.request_body.clear();
        self.response_body.clear();
        self.request_body_seen = 0;
        self.content_type = EMPTY;
        (self.matched, self.matched_number) = ((None, EMPTY, EMPTY), None);
        self.matches.clear();
        self.interruption = None;
        (self.allowed_until, self.phase, self.position, self.rule) = (0, 0, 0, 0);
        (self.added, self.highest_severity, self.spent) = (0, 255, 0);
        self.opened.clear();
        self.hidden.clear();
        self.collections = None;
        self.faults.clear();
        (self.bodies, self.most, self.beside) = (0, 0, 0);
        self.room = profile.settings.room;
        self.measure();
    }

    /// Gives the memory of a large transaction back before the state waits for another one.
    pub fn shrink(&mut self) {
        self.texts.shrink();
        self.moves.shrink();
        self.lists.iter_mut().for_each(give_back);
        [&mut self.request_body, &mut self.response_body, &mut self.scratch].into_iter().for_each(give_back);
        give_back(&mut self.matches);
        give_back(&mut self.tx.made);
    }

    /// How many bytes it keeps from transaction to transaction, without what every transaction needs.
    #[cfg(test)]
    pub fn retained(&self) -> usize {
        let lists: usize = self.lists.iter().map(|list| list.capacity() * size_of::<Entry>()).sum();
        let bodies = self.request_body.capacity() + self.response_body.capacity() + self.scratch.capacity();
        self.texts.retained() + lists + bodies
    }

    /// The values of a variable.
    #[inline]
    pub fn list(&self, variable: Variable) -> &[Entry] {
        self.lists.get(variable as usize).map_or(&[], Vec::as_slice)
    }

    /// How often the list was changed, from 1.
    #[inline]
    pub fn revision(&self, variable: Variable) -> u32 {
        self.revisions.get(variable as usize).copied().unwrap_or(0)
    }

    fn changes(&mut self, variable: Variable) {
        if let Some(revision) = self.revisions.get_mut(variable as usize) {
            *revision = revision.saturating_add(1);
        }
        if variable != Variable::MatchedVars {
            self.changes = self.changes.saturating_add(1);
        }
    }

    /// Adds a member.
    pub fn push(&mut self, variable: Variable, name: TextId, value: TextId) {
        self.changes(variable);
        if let Some(list) = self.lists.get_mut(variable as usize) {
            list.push(Entry { name, value });
        }
    }

    /// Makes `value` the only value.
    pub fn set(&mut self, variable: Variable, value: &[u8]) {
        let value = self.texts.keep(value);
        self.set_text(variable, value);
    }

    /// Makes `value` the only value.
    pub fn set_text(&mut self, variable: Variable, value: TextId) {
        self.changes(variable);
        if let Some(list) = self.lists.get_mut(variable as usize) {
            list.clear();
            list.push(Entry { name: EMPTY, value });
        }
    }

    /// Makes a number the only value.
    pub fn set_number(&mut self, variable: Variable, number: u64) {
        let value = self.texts.keep_number(i64::try_from(number).unwrap_or(i64::MAX));
        self.set_text(variable, value);
    }

    /// The text of a `TX` value.
    pub fn text_of(&mut self, value: Value) -> Option<TextId> {
        match value {
            Value::Unset => None,
            Value::Number(number) => Some(self.texts.keep_number(number)),
            Value::Text(text) => Some(text),
        }
    }

    /// The number of a `TX` value; what is no number is 0.
    pub fn number_of(&self, value: Value) -> i64 {
        match value {
            Value::Unset => 0,
            Value::Number(number) => number,
            Value::Text(text) => crate::operator::number(self.texts.bytes(text)),
        }
    }

    /// A known name of `TX`.
    #[inline]
    pub fn slot(&self, slot: u16) -> Value {
        self.tx.slots.get(usize::from(slot)).copied().unwrap_or_default()
    }

    /// Sets a known name of `TX`, unless the route holds it.
    pub fn set_slot(&mut self, slot: u16, value: Value) {
        if self.tx.pinned.contains(usize::from(slot)) {
            return;
        }
        if let Some(place) = self.tx.slots.get_mut(usize::from(slot)) {
            *place = value;
        }
    }

    /// Any name of `TX`, lower case.
    pub fn made(&self, name: TextId) -> Value {
        let place = self.texts.remembered(name, PLACE_IN_TX).and_then(|place| self.tx.made.get(place.0 as usize));
        place.map_or(Value::Unset, |(_, value)| *value)
    }

    /// Sets a name of `TX` that has no slot.
    pub fn set_made(&mut self, name: TextId, value: Value) {
        let place = self.texts.remembered(name, PLACE_IN_TX);
        match place.and_then(|place| self.tx.made.get_mut(place.0 as usize)) {
            Some(held) => held.1 = value,
            None => {
                self.texts.remember(name, PLACE_IN_TX, TextId(self.tx.made.len() as u32));
                self.tx.made.push((name, value));
            }
        }
    }
}

impl State {
    /// How many bytes the transaction holds.
    pub fn size(&self) -> usize {
        let lists: usize = self.lists.iter().map(|list| list.len() * size_of::<Entry>()).sum();
        self.texts.size()
            + self.passes.len() * size_of::<Pass>()
            + self.answers.size()
            + self.settled.len() * size_of::<u32>()
            + lists
            + self.request_body.len()
            + self.response_body.len()
            + self.tx.slots.len() * size_of::<Value>()
            + self.tx.made.len() * size_of::<(TextId, Value)>()
            + self.matches.len() * size_of::<Match>()
    }

    /// The most bytes that it held so far, as far as was looked: before each sweep and now.
    pub fn most(&self) -> usize {
        self.most.max(self.size())
    }

    /// Whether there is certainly room for a text of so many bytes.
    #[inline]
    pub fn has_room(&self, bytes: usize) -> bool {
        self.texts.grown + bytes < self.spare
    }

    /// Makes room for a text of so many bytes, if need be by a sweep.
    pub fn make_room(&mut self, bytes: usize) {
        if !self.has_room(bytes) && self.texts.size_of_next() + self.beside + bytes > self.limit {
            self.sweep();
        }
    }

    /// Says that a body of so many bytes will be read: what passes goes before.
    pub fn will_read(&mut self, body: usize) {
        if body > SHORT {
            self.sweep();
        }
    }

    /// Says that a body of so many bytes was read, of which so many are still held elsewhere: its texts last.
    pub fn has_read(&mut self, body: usize, held: usize) {
        self.bodies += body;
        if body > SHORT {
            self.texts.settle();
        }
        self.most = self.most.max(self.size() + held);
        self.measure();
    }

    /// Forgets what nothing names any more. [`TextId`]s that are not part of this state mean nothing after it.
    pub fn sweep(&mut self) {
        if !self.texts.has_passing() {
            return;
        }
        self.most = self.most.max(self.size());
        let mut moves = std::mem::take(&mut self.moves);
        self.texts.begin_sweep(&mut moves);
        self.named(|id| moves.need(*id));
        self.texts.sweep(&mut moves);
        self.named(|id| *id = moves.now(*id));
        self.moves = moves;
        for (place, (name, _)) in self.tx.made.iter().enumerate() {
            self.texts.remember(*name, PLACE_IN_TX, TextId(place as u32));
        }
        self.measure();
    }

    /// Every text that something outside of [`Texts`] names.
    fn named(&mut self, mut see: impl FnMut(&mut TextId)) {
        for Entry { name, value } in self.lists.iter_mut().flatten() {
            see(name);
            see(value);
        }
        let slots = self.tx.slots.iter_mut();
        for (name, value) in &mut self.tx.made {
            see(name);
            if let Value::Text(text) = value {
                see(text);
            }
        }
        for value in slots {
            if let Value::Text(text) = value {
                see(text);
            }
        }
        for Match { name, value, message, data, .. } in &mut self.matches {
            [name, value, message, data].into_iter().for_each(&mut see);
        }
        for (_, key) in &mut self.opened {
            see(key);
        }
        see(&mut self.matched.1);
        see(&mut self.matched.2);
        see(&mut self.content_type);
    }

    /// Finds how much more it may hold.
    fn measure(&mut self) {
        let size = self.size();
        self.beside = size - self.texts.size();
        self.texts.grown = 0;
        let large = TIMES * self.bodies;
        let most = ROOM.max(large - large / LATE).max(size + LEAST.max(size / PART));
        self.limit = self.room.map_or(most, |room| size + room);
        self.spare = (self.limit - size) / 2;
    }
}

/// Gives a large buffer back.
fn give_back<T>(buffer: &mut Vec<T>) {
    const KEPT: usize = 1 << 14;
    if buffer.capacity() * size_of::<T>() > KEPT {
        *buffer = Vec::new();
    }
}
