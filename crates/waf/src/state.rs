//! What is known of one transaction: texts, variables, `TX`, what was removed, what matched.
//!
//! Reused from transaction to transaction: [`State::reset`] keeps the memory, not the content.

use crate::bits::Bits;
use crate::body::Processor;
use crate::collections::Collections;
use crate::configuration::{Access, AuditEngine, Engine};
use crate::judge::column::Columns;
use crate::report::{Interruption, Match};
use crate::rule::Exclusion;
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
    /// How often any list was changed that a column can be made of.
    pub changes: u32,
    pub columns: Columns,
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
}

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
        self.changes = 1;
        self.columns.reset(rules.columns.len(), rules.groups.len());
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
        empty(&mut self.request_body);
        empty(&mut self.response_body);
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
            + lists
            + self.columns.size()
            + self.request_body.len()
            + self.response_body.len()
            + self.tx.slots.len() * size_of::<Value>()
    }
}

/// Empties a buffer; a large one is given back.
fn empty(buffer: &mut Vec<u8>) {
    if buffer.capacity() > 1 << 18 {
        *buffer = Vec::new();
    }
    buffer.clear();
}
