//! Columns: all values of a collection after one chain of transformations, and what they hold together.
//!
//! Most rules match nothing in most collections. What all values of a column hold together (kinds of bytes, the longest
//! length, literals) tells so at once for the whole collection, without looking at one value; a *group* tells it for all
//! columns that a rule asks. What is left goes to those values that hold the rule's literals, equal values once.
//! INVARIANT: columns and groups are built anew when their lists have changed; what is skipped could not have matched.
//! After a sweep (see `State::sweep`) what is known of a column still holds, but its texts are made again one by one.

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
    /// [`Columns::sweeps`] when its texts were gathered.
    sweeps: u32,
    /// Where its distinct texts are in [`Columns::distinct`], unless there was a sweep since.
    distinct: (u32, u32),
    /// How many texts it has, equal ones counted once as far as they were seen to be equal.
    length: u32,
    /// Where the set of its literal slots is in [`Columns::slots`], once it is known.
    slots: Set,
    sum: Sum,
}

/// Where a set of literal slots begins, plus 1; 0: it is not known yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Set(u32);

impl Set {
    const fn of(at: u32) -> Self {
        Self(at + 1)
    }

    /// The set of a group without any text.
    const VOID: Self = Self(u32::MAX);

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
}

/// The columns of a transaction.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    /// By number: where it is in `columns`, plus 1; 0: it is not built. Those that hold the same texts share a place.
    places: Vec<u16>,
    columns: Vec<Column>,
    groups: Vec<Group>,
    distinct: Vec<TextId>,
    /// Sets of literal slots.
    slots: Vec<u64>,
    /// How many times texts were counted.
    counted: u32,
    /// How many sweeps there were.
    sweeps: u32,
}

impl Columns {
    /// Gives the memory of a large transaction back.
    pub fn shrink(&mut self) {
        const KEEP: usize = 1 << 12;
        if self.distinct.capacity() > KEEP || self.slots.capacity() > KEEP || self.columns.capacity() > KEEP {
            *self = Self::default();
        }
    }

    /// Forgets all; so many columns and groups may be built.
    pub fn reset(&mut self, columns: usize, groups: usize) {
        self.places.clear();
        self.places.resize(columns, 0);
        self.columns.clear();
        self.groups.clear();
        self.groups.resize(groups, Group::default());
        self.distinct.clear();
        self.slots.clear();
        (self.counted, self.sweeps) = (0, 0);
    }

    /// How many bytes all this takes.
    pub fn size(&self) -> usize {
        self.places.len() * size_of::<u16>()
            + self.columns.len() * size_of::<Column>()
            + self.groups.len() * size_of::<Group>()
            + self.distinct.len() * size_of::<TextId>()
            + self.slots.len() * size_of::<u64>()
    }

    /// Forgets which texts the columns hold; what they hold together stays.
    pub fn sweep(&mut self) {
        self.distinct.clear();
        self.sweeps += 1;
    }

    /// How many bytes the texts take that were gathered since the last sweep.
    #[inline]
    pub fn gathered(&self) -> usize {
        self.distinct.len() * size_of::<TextId>()
    }

    fn column(&self, number: u16) -> Option<Column> {
        let place = self.places.get(usize::from(number)).and_then(|place| place.checked_sub(1));
        self.columns.get(usize::from(place?)).copied()
    }

    /// Keeps a column that was built. What it was before stays for those that share its place.
    fn keep(&mut self, number: u16, column: Column) {
        self.columns.push(column);
        if let Some(place) = self.places.get_mut(usize::from(number)) {
            *place = u16::try_from(self.columns.len()).unwrap_or(0);
        }
    }

    /// Says that a column is the same as another one.
    fn share(&mut self, number: u16, with: u16) {
        let with = self.places.get(usize::from(with)).copied().unwrap_or(0);
        if let Some(place) = self.places.get_mut(usize::from(number)) {
            *place = with;
        }
    }

    fn set_slots(&mut self, number: u16, slots: Set) {
        let place = self.places.get(usize::from(number)).and_then(|place| place.checked_sub(1));
        if let Some(column) = place.and_then(|place| self.columns.get_mut(usize::from(place))) {
            column.slots = slots;
        }
    }

    /// A number under which texts are counted, none before.
    fn count(&mut self) -> u32 {
        self.counted += 1;
        self.counted
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

/// The way through the texts of a column.
#[derive(Debug)]
struct Walk<'a> {
    plan: &'a ColumnPlan,
    column: Column,
    next: u32,
    /// The number under which values are counted; 0: the texts are those that were gathered.
    count: u32,
}

impl<'a> Run<'a> {
    /// Whether any value of a link's targets may match. `false` is certain.
    #[inline]
    pub(super) fn group_admits(&mut self, link: &Link, number: u16) -> bool {
        let known = self.state.columns.groups.get(usize::from(number)).copied().unwrap_or_default();
        let group = if known.changes == self.state.changes { known } else { self.group(number) };
        if group.slots == Set::VOID {
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
        let mut group = Group { changes: self.state.changes, slots: Set::VOID, ..Group::default() };
        for column in rules.groups.get(usize::from(number)).map_or(&[][..], |columns| columns) {
            let column = self.built(*column);
            group.sum.mask |= column.sum.mask;
            group.sum.longest = group.sum.longest.max(column.sum.longest);
            if column.length > 0 {
                group.slots = Set::default();
            }
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
        if column.length == 0 || column.length > FEW && !self.any_holds(link, column, number, slot) {
            return false;
        }
        let Some(plan) = self.rules.columns.get(usize::from(number)) else { return false };
        let mut matched = false;
        for index in self.range(plan) {
            let Some((name, value)) = self.ready(plan, index, Some(link)) else { continue };
            let text = self.transformed(value, plan.node);
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

    /// Name and text of the entry at a place of the list, if it is meant and unless it is known that the link's operator
    /// does not hold of what becomes of it. There is room to transform it.
    fn ready(&mut self, plan: &ColumnPlan, index: usize, link: Option<&Link>) -> Option<(TextId, TextId)> {
        let (name, text) = self.chosen(plan, index)?;
        let length = self.state.texts.length(text);
        if self.state.columns.sweeps == 0 && self.state.has_room(length as usize) {
            return Some((name, text));
        }
        let must_make = self.must_make(text, plan.node);
        if must_make && link.is_some_and(|link| self.rules_out(link, text, plan.node)) {
            return None;
        }
        self.relieve(if must_make { length } else { 0 });
        // After a sweep it may have another number.
        self.chosen(plan, index)
    }

    fn chosen(&self, plan: &ColumnPlan, index: usize) -> Option<(TextId, TextId)> {
        let Entry { name, value } = self.state.list(plan.kept.0).get(index).copied()?;
        let named = |wanted: &str| super::same_name(wanted.as_bytes(), self.state.texts.bytes(name));
        let text = if plan.kept.1 == Aspect::Name { name } else { value };
        plan.name.as_deref().is_none_or(named).then_some((name, text))
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
        let Some(mut walk) = self.walk(column, number) else { return true };
        while let Some(text) = self.next(&mut walk, Some(link)) {
            if self.holds(link, text) {
                return true;
            }
        }
        false
    }

    fn walk(&self, column: Column, number: u16) -> Option<Walk<'a>> {
        let plan = self.rules.columns.get(usize::from(number))?;
        Some(Walk { plan, column, next: 0, count: 0 })
    }

    /// The next text of a column, or the next of which the link's operator may hold. After a sweep all come again, made
    /// from the values.
    fn next(&mut self, walk: &mut Walk<'_>, link: Option<&Link>) -> Option<TextId> {
        if walk.count == 0 {
            if walk.column.sweeps == self.state.columns.sweeps {
                walk.next += 1;
                return self.state.columns.distinct(walk.column, walk.next - 1);
            }
            (walk.count, walk.next) = (self.state.columns.count(), 0);
        }
        let range = self.range(walk.plan);
        while range.start + (walk.next as usize) < range.end {
            let index = range.start + walk.next as usize;
            walk.next += 1;
            if let Some((_, text)) = self.ready(walk.plan, index, link)
                && self.is_new(text, walk.count)
            {
                return Some(self.column_text(walk.plan, text));
            }
        }
        None
    }

    /// Counts a text. `false`: it was counted already.
    fn is_new(&mut self, text: TextId, count: u32) -> bool {
        self.state.texts.text_mut(text).is_some_and(|text| text.count_in(count))
    }

    /// What becomes of a text in a column.
    fn column_text(&mut self, plan: &ColumnPlan, text: TextId) -> TextId {
        match self.rules.nodes.get(plan.node as usize).copied().filter(|node| node.touches.is_none()) {
            // Every text goes through such a step, which need not be remembered then.
            Some(node) => {
                let before = self.transformed(text, node.parent);
                self.last_step(before, node)
            }
            None => self.transformed(text, plan.node),
        }
    }

    fn built(&mut self, number: u16) -> Column {
        let rules = self.rules;
        let Some(plan) = rules.columns.get(usize::from(number)) else { return Column::default() };
        let revision = self.state.revision(plan.kept.0);
        let known = self.state.columns.column(number);
        if let Some(known) = known.filter(|known| known.revision == revision) {
            return known;
        }
        if let Some(base) = plan.base
            && let Some(column) = self.as_base(plan, base)
        {
            self.state.columns.share(number, base);
            return column;
        }
        let column = self.gathered(plan, revision);
        self.state.columns.keep(number, column);
        column
    }

    /// The column that this one is made of, when it holds nothing that the steps from there touch.
    fn as_base(&mut self, plan: &ColumnPlan, number: u16) -> Option<Column> {
        let base = self.built(number);
        let node = self.rules.nodes.get(plan.node as usize)?;
        let touches = if self.is_next(plan, number) { node.own? } else { node.touches? };
        (touches & base.sum.mask == 0).then_some(base)
    }

    /// Whether a column is one step after the column of that number.
    fn is_next(&self, plan: &ColumnPlan, base: u16) -> bool {
        let before = self.rules.columns.get(usize::from(base)).map(|base| base.node);
        before.is_some() && before == self.rules.nodes.get(plan.node as usize).map(|node| node.parent)
    }

    fn gathered(&mut self, plan: &ColumnPlan, revision: u32) -> Column {
        let (values, texts) = (self.state.columns.count(), self.state.columns.count());
        let start = self.state.columns.distinct.len() as u32;
        let sweeps = self.state.columns.sweeps;
        let mut column = Column { revision, sweeps, ..Column::default() };
        let range = self.range(plan);
        self.state.spent += range.len() as u64 * 2;
        for index in range {
            if let Some((_, value)) = self.ready(plan, index, None)
                && self.is_new(value, values)
            {
                let text = self.column_text(plan, value);
                self.gather(text, texts, &mut column);
            }
        }
        // Where a sweep came between only some of the texts are there, and nobody looks at them.
        column.distinct = (start, self.state.columns.distinct.len() as u32);
        column
    }

    /// Takes a text into the column with that number, once.
    fn gather(&mut self, text: TextId, count: u32, column: &mut Column) {
        if let Some(known) = self.state.texts.text_mut(text)
            && known.count_in(count)
        {
            column.sum.mask |= known.mask;
            column.sum.longest = column.sum.longest.max(known.length);
            column.length += 1;
            self.state.columns.distinct.push(text);
        }
    }

    /// The set of the literal slots of a column.
    fn slots(&mut self, number: u16) -> u32 {
        let column = self.built(number);
        if let Some(set) = column.slots.known() {
            return set;
        }
        let set = self.state.columns.set(self.rules.prefilter.slots());
        let Some(mut walk) = self.walk(column, number) else { return set };
        while let Some(text) = self.next(&mut walk, None) {
            let at = self.scanned(text);
            for slot in self.state.texts.slots(at) {
                let at = set as usize + usize::from(*slot) / 64;
                if let Some(word) = self.state.columns.slots.get_mut(at) {
                    *word |= 1 << (slot % 64);
                }
            }
        }
        self.state.columns.set_slots(number, Set::of(set));
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
