//! Columns: all values of a collection after one chain of transformations, and what they hold together.
//!
//! Most rules match nothing in most collections. What all values of a column hold together (kinds of bytes, the longest
//! length, literals) tells so at once for the whole collection, without looking at one value; a *group* tells it for all
//! columns that a rule asks. What is left goes to those values that hold the rule's literals, equal values once.
//! INVARIANT: columns and groups are built anew when their lists have changed; what is skipped could not have matched.

use super::Run;
use crate::alphabet::{self, Mask};
use crate::operator::Operator;
use crate::prefilter::NONE;
use crate::rule::{ColumnPlan, Link, Target};
use crate::state::Entry;
use crate::text::TextId;
use crate::variable::{Aspect, Part, Variable};

/// All values of a collection after one chain of transformations.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Column {
    /// Revision of the list from which it was built; 0: not built.
    revision: u32,
    /// Where its distinct texts are in [`Columns::distinct`].
    distinct: (u32, u32),
    /// Where the set of its literal slots is in [`Columns::slots`], once it is known.
    slots: Set,
    sum: Sum,
    /// The column before transformations when they change none of its texts: all is known there.
    base: Option<u16>,
}

/// Where a set of literal slots begins, plus 1; 0: it is not known yet.
#[derive(Clone, Copy, Debug, Default)]
struct Set(u32);

impl Set {
    const fn of(at: u32) -> Self {
        Self(at + 1)
    }

    const fn known(self) -> Option<u32> {
        self.0.checked_sub(1)
    }
}

/// What texts hold together. There is one for each column and group of each transaction, so it takes no more than it must.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, packed(4))]
struct Sum {
    /// Kinds of bytes that any of them holds.
    mask: Mask,
    /// Length of the longest.
    longest: u32,
}

/// What the columns that a rule asks hold together.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    /// [`crate::state::State::changes`] when it was made; 0: not made.
    changes: u32,
    sum: Sum,
    /// Where the set of literal slots is in [`Columns::slots`], once it is known.
    slots: Set,
    /// Whether there is no text.
    is_empty: bool,
}

/// The columns of a transaction.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    columns: Vec<Column>,
    groups: Vec<Group>,
    distinct: Vec<TextId>,
    /// Sets of literal slots.
    slots: Vec<u64>,
    /// How many columns were built.
    built: u32,
}

impl Columns {
    /// Forgets all; so many columns and groups may be built.
    pub fn reset(&mut self, columns: usize, groups: usize) {
        const KEEP: usize = 1 << 14;
        if self.distinct.capacity() > KEEP {
            *self = Self::default();
        }
        self.columns.clear();
        self.columns.resize(columns, Column::default());
        self.groups.clear();
        self.groups.resize(groups, Group::default());
        self.distinct.clear();
        self.slots.clear();
        self.built = 0;
    }

    /// How many bytes all this takes.
    pub fn size(&self) -> usize {
        self.columns.len() * size_of::<Column>()
            + self.groups.len() * size_of::<Group>()
            + self.distinct.len() * size_of::<TextId>()
            + self.slots.len() * size_of::<u64>()
    }

    fn holds(&self, set: u32, slot: u16) -> bool {
        let word = self.slots.get(set as usize + usize::from(slot) / 64);
        word.is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    /// A new set that is empty.
    fn set(&mut self, slots: u16) -> u32 {
        let at = self.slots.len();
        self.slots.resize(at + usize::from(slots).div_ceil(64), 0);
        at as u32
    }

    fn distinct(&self, column: Column, index: u32) -> Option<TextId> {
        let at = column.distinct.0 + index;
        (at < column.distinct.1).then(|| self.distinct.get(at as usize).copied()).flatten()
    }
}

impl Run<'_> {
    /// Whether any value of a link's targets may match. `false` is certain.
    #[inline]
    pub(super) fn group_admits(&mut self, link: &Link, number: u16) -> bool {
        let known = self.state.columns.groups.get(usize::from(number)).copied().unwrap_or_default();
        let group = if known.changes == self.state.changes { known } else { self.group(number) };
        if group.is_empty {
            return false;
        }
        let slot = match self.asks(&link.operator, group.sum) {
            None => return false,
            Some(NONE) => return true,
            Some(slot) => slot,
        };
        let at = match group.slots.known() {
            Some(at) => at,
            None => self.group_slots(number),
        };
        self.state.columns.holds(at, slot)
    }

    /// The literal slot that an operator needs (`NONE`: none is known), or `None` when texts with such a sum cannot match.
    #[inline]
    fn asks(&self, operator: &Operator, sum: Sum) -> Option<u16> {
        match operator {
            Operator::Pattern(number) | Operator::PatternGlobal(number) => {
                let pattern = self.rules.patterns.get(*number as usize)?;
                pattern.gate.admits(sum.longest, sum.mask).then(|| self.rules.prefilter.of_pattern(*number))
            }
            Operator::Phrases(number) => Some(self.rules.prefilter.of_phrases(*number)),
            // See `libinjection::xss`.
            Operator::Xss => (sum.mask & (alphabet::of_byte(b'<') | alphabet::of_byte(b'=')) != 0).then_some(NONE),
            _ => Some(NONE),
        }
    }

    fn group(&mut self, number: u16) -> Group {
        let rules = self.rules;
        let mut group = Group { changes: self.state.changes, is_empty: true, ..Group::default() };
        for column in rules.groups.get(usize::from(number)).map_or(&[][..], |columns| columns) {
            let column = self.built(*column);
            group.sum.mask |= column.sum.mask;
            group.sum.longest = group.sum.longest.max(column.sum.longest);
            group.is_empty &= column.distinct.0 == column.distinct.1;
        }
        self.keep_group(number, group);
        group
    }

    fn keep_group(&mut self, number: u16, group: Group) {
        if let Some(place) = self.state.columns.groups.get_mut(usize::from(number)) {
            *place = group;
        }
    }

    /// Gathers the literal slots of all columns of a group.
    fn group_slots(&mut self, number: u16) -> u32 {
        let rules = self.rules;
        let slots = rules.prefilter.slots();
        let set = self.state.columns.set(slots);
        for column in rules.groups.get(usize::from(number)).map_or(&[][..], |columns| columns) {
            let of = self.slots(*column);
            for word in 0..usize::from(slots).div_ceil(64) {
                let more = self.state.columns.slots.get(of as usize + word).copied().unwrap_or(u64::MAX);
                if let Some(word) = self.state.columns.slots.get_mut(set as usize + word) {
                    *word |= more;
                }
            }
        }
        if let Some(place) = self.state.columns.groups.get_mut(usize::from(number)) {
            place.slots = Set::of(set);
        }
        set
    }

    /// Whether one of the values of a target matches, by its column.
    pub(super) fn column(&mut self, link: &Link, target: &Target, number: u16) -> bool {
        // A few values are asked one by one at once.
        const FEW: u32 = 4;
        let column = self.built(number);
        let Some(slot) = self.asks(&link.operator, column.sum) else { return false };
        let length = column.distinct.1 - column.distinct.0;
        if length == 0 || length > FEW && !self.any_holds(link, column, number, slot) {
            return false;
        }
        let Some(plan) = self.rules.columns.get(usize::from(number)) else { return false };
        let mut matched = false;
        for index in self.range(plan) {
            let Some(Entry { name, value }) = self.chosen(plan, index) else { continue };
            let text = self.transformed(if plan.kept.1 == Aspect::Name { name } else { value }, plan.node);
            if self.holds(link, text) {
                matched |= self.matched(link, target.variable, name, text, true);
            }
        }
        matched
    }

    /// The places of a column's entries in their list; [`Self::chosen`] tells which of them are meant.
    fn range(&self, plan: &ColumnPlan) -> std::ops::Range<usize> {
        let (kept, _, part) = plan.kept;
        let length = self.state.list(kept).len();
        let from = if part == Part::Body { self.state.from_query } else { 0 };
        from..if part == Part::Query { self.state.from_query.min(length) } else { length }
    }

    fn chosen(&self, plan: &ColumnPlan, index: usize) -> Option<Entry> {
        let entry = self.state.list(plan.kept.0).get(index).copied()?;
        let named = |name: &str| super::same_name(name.as_bytes(), self.state.texts.bytes(entry.name));
        plan.name.as_deref().is_none_or(named).then_some(entry)
    }

    /// Whether the operator holds of any text of any column of a group.
    pub(super) fn any_step_holds(&mut self, link: &Link, number: u16) -> bool {
        let rules = self.rules;
        let columns = rules.groups.get(usize::from(number)).map_or(&[][..], |columns| columns);
        columns.iter().any(|number| {
            let column = self.built(*number);
            let slot = self.asks(&link.operator, column.sum);
            slot.is_some_and(|slot| self.any_holds(link, column, *number, slot))
        })
    }

    /// Whether the operator holds of one of the column's distinct texts.
    fn any_holds(&mut self, link: &Link, column: Column, number: u16, slot: u16) -> bool {
        if slot != NONE {
            let set = self.slots(number);
            if !self.state.columns.holds(set, slot) {
                return false;
            }
        }
        let mut index = 0;
        while let Some(text) = self.state.columns.distinct(column, index) {
            if self.holds(link, text) {
                return true;
            }
            index += 1;
        }
        false
    }

    fn built(&mut self, number: u16) -> Column {
        let rules = self.rules;
        let Some(plan) = rules.columns.get(usize::from(number)) else { return Column::default() };
        let revision = self.state.revision(plan.kept.0);
        let known = self.state.columns.columns.get(usize::from(number)).copied().unwrap_or_default();
        if known.revision == revision {
            return known;
        }
        let column = self.as_base(plan).unwrap_or_else(|| self.gathered(plan, revision));
        if let Some(place) = self.state.columns.columns.get_mut(usize::from(number)) {
            *place = column;
        }
        column
    }

    /// The column that this one is made of, when it holds nothing that the steps from there touch.
    fn as_base(&mut self, plan: &ColumnPlan) -> Option<Column> {
        let number = plan.base?;
        let base = self.built(number);
        let node = self.rules.nodes.get(plan.node as usize)?;
        let touches = if self.is_next(plan, number) { node.own? } else { node.touches? };
        (touches & base.sum.mask == 0).then_some(Column { base: Some(number), ..base })
    }

    /// Whether a column is one step after the column of that number.
    fn is_next(&self, plan: &ColumnPlan, base: u16) -> bool {
        let before = self.rules.columns.get(usize::from(base)).map(|base| base.node);
        before.is_some() && before == self.rules.nodes.get(plan.node as usize).map(|node| node.parent)
    }

    fn gathered(&mut self, plan: &ColumnPlan, revision: u32) -> Column {
        self.state.columns.built += 1;
        let serial = self.state.columns.built;
        let start = self.state.columns.distinct.len() as u32;
        let mut column = Column { revision, ..Column::default() };
        let node = self.rules.nodes.get(plan.node as usize).copied().filter(|node| node.touches.is_none());
        match plan.base.zip(node).filter(|(base, _)| self.is_next(plan, *base)) {
            // Every text goes through such a step: from the texts before it, so that nothing need be remembered.
            Some((base, node)) => {
                let base = self.built(base);
                let mut index = 0;
                while let Some(text) = self.state.columns.distinct(base, index) {
                    let text = self.last_step(text, node);
                    self.gather(text, serial, &mut column);
                    index += 1;
                }
            }
            None => {
                let range = self.range(plan);
                self.state.spent += range.len() as u64 * 2;
                for index in range {
                    let Some(Entry { name, value }) = self.chosen(plan, index) else { continue };
                    let text = self.transformed(if plan.kept.1 == Aspect::Name { name } else { value }, plan.node);
                    self.gather(text, serial, &mut column);
                }
            }
        }
        column.distinct = (start, self.state.columns.distinct.len() as u32);
        column
    }

    /// Takes a text into the column with that serial number, once.
    fn gather(&mut self, text: TextId, serial: u32, column: &mut Column) {
        let known = self.state.texts.text_mut(text).filter(|known| known.column != serial);
        if let Some(known) = known {
            known.column = serial;
            column.sum.mask |= known.mask;
            column.sum.longest = column.sum.longest.max(known.length);
            self.state.columns.distinct.push(text);
        }
    }

    /// The set of the literal slots of a column.
    fn slots(&mut self, number: u16) -> u32 {
        let column = self.built(number);
        if let Some(set) = column.slots.known() {
            return set;
        }
        let set = match column.base {
            Some(base) => self.slots(base),
            None => {
                let set = self.state.columns.set(self.rules.prefilter.slots());
                let mut index = 0;
                while let Some(text) = self.state.columns.distinct(column, index) {
                    let (first, last) = self.scanned(text);
                    let held = self.state.texts.hits.get(first as usize..last as usize).unwrap_or_default();
                    for slot in held {
                        let at = set as usize + usize::from(*slot) / 64;
                        if let Some(word) = self.state.columns.slots.get_mut(at) {
                            *word |= 1 << (slot % 64);
                        }
                    }
                    index += 1;
                }
                set
            }
        };
        if let Some(place) = self.state.columns.columns.get_mut(usize::from(number)) {
            place.slots = Set::of(set);
        }
        set
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
