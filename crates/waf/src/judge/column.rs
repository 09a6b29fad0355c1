//! Columns: all values of a collection after one chain of transformations, and what they hold together.
//!
//! Most rules match nothing in most collections. What all values of a column hold together (kinds of bytes, the longest
//! length, literals) tells so at once for the whole collection, without looking at one value.
//! INVARIANT: a column is built anew when its list has changed; what is skipped could not have matched.

use super::Run;
use crate::alphabet::Mask;
use crate::operator::Operator;
use crate::prefilter::NONE;
use crate::rule::{Link, Target};
use crate::text::TextId;
use crate::variable::{Aspect, Part, Variable};

/// All values of a collection after one chain of transformations.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Column {
    /// Revision of the list from which it was built; 0: not built.
    revision: u32,
    /// Where its texts are in [`Columns::texts`].
    start: u32,
    length: u32,
    /// Kinds of bytes that any of them holds.
    mask: Mask,
    /// Length of the longest.
    longest: u32,
    /// Where the set of its literal slots is in [`Columns::slots`], once it is known.
    slots: Option<u32>,
}

/// The columns of a transaction.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    columns: Vec<Column>,
    texts: Vec<TextId>,
    slots: Vec<u64>,
}

impl Columns {
    /// Forgets all; `count` columns may be built.
    pub fn reset(&mut self, count: usize) {
        self.columns.clear();
        self.columns.resize(count, Column::default());
        self.texts.clear();
        self.slots.clear();
    }
}

impl Run<'_> {
    /// Whether one of the values of a target matches, by its column.
    pub(super) fn column(&mut self, link: &Link, target: &Target, number: u16) -> bool {
        let column = self.built(link, target, number);
        let rules = self.rules;
        let slot = match &link.operator {
            Operator::Pattern(pattern) | Operator::PatternGlobal(pattern) => {
                let gate = rules.patterns.get(*pattern as usize).map(|pattern| &pattern.gate);
                if gate.is_some_and(|gate| !gate.admits(column.longest, column.mask)) {
                    return false;
                }
                rules.prefilter.of_pattern(*pattern)
            }
            Operator::Phrases(phrases) => rules.prefilter.of_phrases(*phrases),
            _ => NONE,
        };
        if slot != NONE && !self.column_holds(column, number, slot) {
            return false;
        }
        let (kept, aspect, _) = target.kept;
        let from = self.first_of(target);
        let mut matched = false;
        for index in 0..column.length {
            let Some(text) = self.state.columns.texts.get((column.start + index) as usize).copied() else { break };
            if !self.holds(link, text) {
                continue;
            }
            let entry = self.state.list(kept).get(from + index as usize).copied();
            let name = match (entry, aspect) {
                (Some(entry), Aspect::Value | Aspect::Name) => entry.name,
                (None, _) => break,
            };
            matched |= self.matched(link, target.variable, name, text, true);
        }
        matched
    }

    fn first_of(&self, target: &Target) -> usize {
        if target.kept.2 == Part::Body { self.state.from_query } else { 0 }
    }

    fn built(&mut self, link: &Link, target: &Target, number: u16) -> Column {
        let (kept, aspect, part) = target.kept;
        let revision = self.state.revision(kept);
        let known = self.state.columns.columns.get(usize::from(number)).copied().unwrap_or_default();
        if known.revision == revision {
            return known;
        }
        let length = self.state.list(kept).len();
        let from = self.first_of(target);
        let to = if part == Part::Query { self.state.from_query.min(length) } else { length };
        let start = self.state.columns.texts.len() as u32;
        let mut column = Column { revision, start, ..Column::default() };
        for index in from..to {
            let Some(entry) = self.state.list(kept).get(index).copied() else { break };
            let text = if aspect == Aspect::Name { entry.name } else { entry.value };
            let text = self.transformed(text, link.node);
            self.state.columns.texts.push(text);
            if let Some(text) = self.state.texts.text(text) {
                column.mask |= text.mask;
                column.longest = column.longest.max(text.length);
            }
        }
        column.length = self.state.columns.texts.len() as u32 - start;
        self.state.spent += u64::from(column.length) * 2;
        self.keep_column(number, column);
        column
    }

    fn keep_column(&mut self, number: u16, column: Column) {
        if let Some(place) = self.state.columns.columns.get_mut(usize::from(number)) {
            *place = column;
        }
    }

    /// Whether any value of the column holds a literal of this slot.
    fn column_holds(&mut self, mut column: Column, number: u16, slot: u16) -> bool {
        let words = usize::from(self.rules.prefilter.slots()).div_ceil(64);
        let at = match column.slots {
            Some(at) => at as usize,
            None => {
                let at = self.state.columns.slots.len();
                self.state.columns.slots.resize(at + words, 0);
                for index in 0..column.length {
                    let Some(text) = self.state.columns.texts.get((column.start + index) as usize).copied() else {
                        break;
                    };
                    let (from, to) = self.scanned(text);
                    let hits = self.state.texts.hits.get(from as usize..to as usize).unwrap_or_default();
                    for hit in hits {
                        if let Some(word) = self.state.columns.slots.get_mut(at + usize::from(*hit) / 64) {
                            *word |= 1 << (hit % 64);
                        }
                    }
                }
                column.slots = Some(at as u32);
                self.keep_column(number, column);
                at
            }
        };
        let word = self.state.columns.slots.get(at + usize::from(slot) / 64);
        word.is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }
}

/// Whether values of this variable are kept in a list that a column can be made of.
pub(crate) fn has_column(variable: Variable) -> bool {
    !matches!(
        variable,
        Variable::Tx | Variable::MatchedVar | Variable::MatchedVarName | Variable::MatchedVars | Variable::Rule
    ) && variable != Variable::HighestSeverity
        && !variable.is_persistent()
}
