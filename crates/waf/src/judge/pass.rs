//! Passes: all values of a source go once through all chains, and all operators are asked of what comes out.
//!
//! In: the values of a list. Out: one bit for each [`Ask`]: whether its operator holds of any of them. Most bits stay
//! clear, and then a rule needs to look at no value. A transformed text is there while it is asked about; it is kept only
//! when a rule matched it (see [`Run::values`]). A pass stops when the fuel of its slice is spent and goes on from there.
//! INVARIANT: a clear bit of a finished pass is certain; a list that has changed goes through a new pass.

use super::Run;
use crate::Rules;
use crate::alphabet::{self, ANY, Mask};
use crate::bits::Bits;
use crate::machine::Machine;
use crate::operator::Operator;
use crate::prefilter::{NONE, Search};
use crate::rule::{Ask, Asked, Source, Stage};
use crate::state::{Entry, Value};
use crate::text::TextId;
use crate::transform::Change;
use crate::variable::{Aspect, Part};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, PoisonError};

/// How far a source's pass came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pass {
    /// Revision of the list; 0: there was none yet.
    revision: u32,
    /// Place of the next value, from the first one that is meant; [`DONE`].
    next: u32,
    /// So many questions about that value are answered.
    asked: u32,
    /// The number under which values are counted, so that equal ones go through once.
    count: u32,
    /// How many passes the list went through as it is.
    passes: u32,
    /// Conditions that held: what they guard is not asked.
    conditions: u64,
}

/// The pass is finished.
const DONE: u32 = u32::MAX;
/// So many passes ask only for rules that are not skipped by what is known when they begin; the next one asks for all.
const GUARDED: u32 = 2;

impl Run<'_> {
    /// Whether a link may match: what is asked for its targets in passes holds of some value, or one of them is not asked
    /// so. `None`: more than `limit` was spent, and the passes are not finished.
    #[inline]
    pub(super) fn may_match(&mut self, asked: Option<&Asked>, limit: u64) -> Option<bool> {
        let Some(Asked { sources, asks }) = asked else { return Some(true) };
        if self.state.settled.get(usize::from(*sources)) != Some(&self.state.changes) && !self.settle(*sources, limit) {
            return None;
        }
        Some(self.state.answers.any(asks.start as usize, asks.end as usize))
    }

    /// Whether any of the operators holds of any text of its source.
    pub(super) fn asked(&mut self, asks: &Range<u32>) -> bool {
        let rules = self.rules;
        for ask in rules.asks.get(asks.start as usize..asks.end as usize).unwrap_or_default() {
            if !self.is_finished(ask.source, ask.guards) {
                self.pass(ask.source, u64::MAX);
            }
        }
        self.state.answers.any(asks.start as usize, asks.end as usize)
    }

    /// Finishes the passes of a set of sources. `false`: more than `limit` was spent before that.
    fn settle(&mut self, number: u16, limit: u64) -> bool {
        let rules = self.rules;
        let Some(set) = rules.source_sets.get(usize::from(number)) else { return true };
        for source in &set.sources {
            if !self.is_finished(*source, set.guards) && !self.pass(*source, limit) {
                return false;
            }
        }
        if let Some(settled) = self.state.settled.get_mut(usize::from(number)) {
            *settled = self.state.changes;
        }
        true
    }

    /// Whether the pass of a source is finished in which such rules are asked.
    fn is_finished(&self, number: u16, guards: u64) -> bool {
        let Some(source) = self.rules.sources.get(usize::from(number)) else { return true };
        let pass = self.state.passes.get(usize::from(number)).copied().unwrap_or_default();
        pass.revision == self.state.revision(source.kept.0) && pass.next == DONE && pass.conditions & guards == 0
    }

    /// Goes on with the pass of a source, or begins one. `false`: more than `limit` was spent before it was finished.
    fn pass(&mut self, number: u16, limit: u64) -> bool {
        let rules = self.rules;
        let Some(source) = rules.sources.get(usize::from(number)) else { return true };
        let mut pass = self.begun(number, source);
        let plan = self.plan(number, source, pass.conditions);
        let range = self.range(source);
        while plan.stages != 0 && range.start + (pass.next as usize) < range.end {
            let text = self.chosen(source, range.start + pass.next as usize);
            if let Some(text) = text.filter(|text| pass.asked > 0 || self.is_new(*text, pass.count)) {
                let state = &mut *self.state;
                let mask = state.texts.text(text).map_or(0, |text| text.mask);
                let (answers, spent, machine) = (&mut state.answers, &mut state.spent, &mut *self.machine);
                let (stages, skip, plan) = (source.stages.as_slice(), pass.asked, &*plan);
                let mut visit =
                    Visit { rules, stages, plan, answers, spent, machine, skip, asked: 0, limit, out: false };
                visit.text(0, state.texts.bytes(text), mask, None);
                if visit.out {
                    pass.asked = visit.asked;
                    self.keep(number, pass);
                    return false;
                }
            }
            self.state.spent += 2;
            (pass.next, pass.asked) = (pass.next + 1, 0);
        }
        pass.next = DONE;
        self.keep(number, pass);
        true
    }

    fn keep(&mut self, number: u16, pass: Pass) {
        if let Some(place) = self.state.passes.get_mut(usize::from(number)) {
            *place = pass;
        }
    }

    /// The pass that is under way, or a new one.
    fn begun(&mut self, number: u16, source: &Source) -> Pass {
        let revision = self.state.revision(source.kept.0);
        let mut pass = self.state.passes.get(usize::from(number)).copied().unwrap_or_default();
        if pass.revision == revision && pass.next != DONE {
            return pass;
        }
        if pass.revision != revision {
            source.asks.iter().for_each(|ask| self.state.answers.remove(*ask as usize));
            pass.passes = 0;
        }
        let conditions = if pass.passes < GUARDED { self.conditions() } else { 0 };
        self.state.counted += 1;
        Pass { revision, next: 0, asked: 0, count: self.state.counted, passes: pass.passes + 1, conditions }
    }

    /// The conditions that hold, as bits.
    fn conditions(&self) -> u64 {
        self.rules.conditions.iter().enumerate().fold(0, |held, (bit, condition)| {
            let value = self.state.slot(condition.slot);
            let holds = condition.order.holds(self.state.number_of(value), condition.number) != condition.negated;
            held | u64::from(holds && value != Value::Unset) << bit
        })
    }

    /// What is asked of a source while such conditions hold.
    fn plan(&mut self, number: u16, source: &Source, conditions: u64) -> Arc<Plan> {
        // More conditions than rule sets have; then all is asked.
        const PLANS: usize = 4096;
        if let Some(Some(known)) = self.machine.plans.get(usize::from(number))
            && known.conditions == conditions
        {
            return Arc::clone(known);
        }
        let mut plans = self.rules.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let Plans { plans, searches } = &mut *plans;
        let conditions = if plans.len() < PLANS { conditions } else { 0 };
        let made = || Arc::new(Plan::new(self.rules, source, conditions, searches));
        let plan = plans.entry((number, conditions)).or_insert_with(made);
        if self.machine.plans.is_empty() {
            self.machine.plans.resize(self.rules.sources.len(), None);
        }
        if let Some(place) = self.machine.plans.get_mut(usize::from(number)) {
            *place = Some(Arc::clone(plan));
        }
        Arc::clone(plan)
    }

    /// The places of a source's entries in their list; [`Self::chosen`] tells which of them are meant.
    fn range(&self, source: &Source) -> Range<usize> {
        let (kept, _, part) = source.kept;
        let length = self.state.list(kept).len();
        let from = if part == Part::Body { self.state.from_query } else { 0 };
        from..if part == Part::Query { self.state.from_query.min(length) } else { length }
    }

    fn chosen(&self, source: &Source, index: usize) -> Option<TextId> {
        let Entry { name, value } = self.state.list(source.kept.0).get(index).copied()?;
        let named = |wanted: &str| super::same_name(wanted.as_bytes(), self.state.texts.bytes(name));
        let text = if source.kept.1 == Aspect::Name { name } else { value };
        source.name.as_deref().is_none_or(named).then_some(text)
    }

    /// Counts a text. `false`: it was counted already.
    fn is_new(&mut self, text: TextId, count: u32) -> bool {
        self.state.texts.text_mut(text).is_some_and(|text| text.count_in(count))
    }
}

/// What a pass asks.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What these conditions guard is not asked.
    conditions: u64,
    /// Stages of which anything is asked, and those before them.
    stages: u64,
    /// Those of them that change every text.
    changing: u64,
    /// Kinds of bytes without which the others change nothing.
    touches: Mask,
    /// Stages whose texts are searched for literals.
    searched: u64,
    /// What is asked of every text.
    free: Vec<Question>,
    /// What is asked of texts with a literal slot, sorted by that.
    slotted: Vec<(u16, Question)>,
    /// By stage: what is searched in texts that come out of it, and in those of them that are [`alphabet::plain`].
    searches: Vec<[Arc<Search>; 2]>,
    plain: Mask,
}

/// Searches by the literal slots that they are for.
type Searches = BTreeMap<BTreeSet<u16>, Arc<Search>>;

/// The plans of a rule set, by source and conditions that hold. Sources of which the same is asked share searches.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    plans: BTreeMap<(u16, u64), Arc<Plan>>,
    searches: Searches,
}

/// An ask, with the sharpest part of its gate.
#[derive(Clone, Copy, Debug)]
struct Question {
    number: u32,
    stage: u8,
    length: u32,
    /// [`ANY`]: there is no such part.
    mask: Mask,
}

impl Plan {
    fn new(rules: &Rules, source: &Source, conditions: u64, known: &mut Searches) -> Self {
        let (mut free, mut slotted) = (Vec::new(), Vec::new());
        let (mut stages, mut searched) = (0_u64, 0_u64);
        for number in source.asks.iter().copied() {
            let Some(ask) = rules.asks.get(number as usize).filter(|ask| ask.guards & conditions == 0) else {
                continue;
            };
            let mask = ask.gate.masks.first().copied().unwrap_or(ANY);
            let question = Question { number, stage: ask.stage, length: ask.gate.length, mask };
            stages |= 1 << ask.stage;
            if ask.slot == NONE {
                free.push(question);
            } else {
                searched |= 1 << ask.stage;
                slotted.push((ask.slot, question));
            }
        }
        slotted.sort_unstable_by_key(|(slot, question)| (*slot, question.number));
        let (mut changing, mut touches) = (0, 0);
        // Stages come after those that they come of.
        for (at, stage) in source.stages.iter().enumerate().rev().filter(|(at, _)| *at > 0) {
            if stages >> at & 1 == 1 {
                stages |= 1 << stage.before;
                match stage.touches {
                    Some(more) => touches |= more,
                    None => changing |= 1 << at,
                }
            }
        }
        let plain = alphabet::plain();
        let mut search = |from: usize, to: usize, mask: Mask| {
            let is_asked = |question: &Question| {
                let ask = rules.asks.get(question.number as usize);
                between(from, to) >> question.stage & 1 == 1 && ask.is_some_and(|ask| ask.gate.admits(mask))
            };
            let asked = slotted.iter().filter(|(_, question)| is_asked(question));
            let slots: BTreeSet<u16> = asked.map(|(slot, _)| *slot).collect();
            let made = |slots: &BTreeSet<u16>| Arc::new(rules.prefilter.search(slots));
            Arc::clone(known.entry(slots).or_insert_with_key(made))
        };
        let stages_from = source.stages.iter().enumerate();
        let searches =
            stages_from.map(|(at, stage)| [ANY, plain].map(|mask| search(at, stage.end.into(), mask))).collect();
        Self { conditions, stages, changing, touches, searched, free, slotted, searches, plain }
    }
}

/// One value on its way through the stages.
#[derive(Debug)]
struct Visit<'a> {
    rules: &'a Rules,
    stages: &'a [Stage],
    plan: &'a Plan,
    answers: &'a mut Bits,
    spent: &'a mut u64,
    machine: &'a mut Machine,
    /// So many questions were answered in an earlier slice.
    skip: u32,
    asked: u32,
    limit: u64,
    /// More than `limit` was spent.
    out: bool,
}

impl Visit<'_> {
    /// Takes a text that came out of a stage to all stages after it, then asks about it. `hits` has its literal slots when
    /// they are known.
    fn text(&mut self, first: usize, bytes: &[u8], mask: Mask, mut hits: Option<Range<usize>>) {
        let (stages, known) = (self.stages, self.machine.hits.len());
        let end = stages.get(first).map_or(0, |stage| usize::from(stage.end));
        let mut rest = self.plan.stages & between(first + 1, end);
        // The stages at which the text is the same.
        let mut same = 1_u64 << first;
        if self.plan.touches & mask == 0 {
            same |= rest;
            rest &= self.plan.changing;
        }
        while rest != 0 && !self.out {
            let at = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let Some((stage, step)) = stages.get(at).and_then(|stage| Some((stage, stage.step?))) else { break };
            same |= 1 << at;
            if stage.touches.is_some_and(|touches| touches & mask == 0) {
                continue;
            }
            let mut made = self.machine.spare.pop().unwrap_or_default();
            *self.spent += bytes.len() as u64 / 8 + 1;
            if step.apply(bytes, &mut made) == Change::Made {
                let changed = between(at, usize::from(stage.end));
                (same, rest) = (same & !changed, rest & !changed);
                // Literals have no case.
                let is_like = self.plan.searched & changed != 0 && bytes.eq_ignore_ascii_case(&made);
                let found = is_like.then(|| hits.get_or_insert_with(|| self.search(first, bytes, mask)).clone());
                self.text(at, &made, alphabet::of(&made), found);
            }
            self.machine.spare.push(made);
        }
        if !self.out {
            self.ask_all(first, same, bytes, mask, hits);
        }
        self.machine.hits.truncate(known);
    }

    /// Adds the literal slots of a text that came out of a stage to those of the texts that it came of.
    fn search(&mut self, stage: usize, bytes: &[u8], mask: Mask) -> Range<usize> {
        *self.spent += bytes.len() as u64 + 8;
        let from = self.machine.hits.len();
        let is_plain = mask & !self.plan.plain == 0;
        if let Some(search) = self.plan.searches.get(stage).and_then(|known| known.get(usize::from(is_plain))) {
            search.scan(bytes, &mut self.machine.seen, &mut self.machine.hits);
        }
        from..self.machine.hits.len()
    }

    /// Asks all that is asked at these stages.
    fn ask_all(&mut self, first: usize, stages: u64, bytes: &[u8], mask: Mask, hits: Option<Range<usize>>) {
        let plan = self.plan;
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let admits = |question: &Question| {
            let is_held = question.mask & mask != 0 || question.mask == ANY;
            stages >> question.stage & 1 == 1 && is_held && question.length <= length
        };
        for question in plan.free.iter().filter(|question| admits(question)) {
            self.ask(question.number, bytes, mask);
        }
        if stages & plan.searched == 0 || self.out {
            return;
        }
        for at in hits.unwrap_or_else(|| self.search(first, bytes, mask)) {
            let Some(slot) = self.machine.hits.get(at).copied() else { break };
            let first = plan.slotted.partition_point(|(known, _)| *known < slot);
            let wanted = plan.slotted.get(first..).unwrap_or_default().iter().take_while(|(known, _)| *known == slot);
            for (_, question) in wanted.filter(|(_, question)| admits(question)) {
                self.ask(question.number, bytes, mask);
            }
        }
    }

    fn ask(&mut self, number: u32, bytes: &[u8], mask: Mask) {
        let rules = self.rules;
        let Some(ask) = rules.asks.get(number as usize) else { return };
        if self.out || !ask.gate.admits(mask) {
            return;
        }
        self.asked += 1;
        if self.asked <= self.skip || self.answers.contains(number as usize) {
            return;
        }
        if self.holds(ask, bytes) {
            self.answers.insert(number as usize);
        }
        self.out = *self.spent > self.limit;
    }

    fn holds(&mut self, ask: &Ask, bytes: &[u8]) -> bool {
        let link = self.rules.rules.get(ask.rule as usize).and_then(|rule| rule.links.get(usize::from(ask.link)));
        match link.map(|link| &link.operator) {
            // One of the phrases was found.
            Some(Operator::Phrases(_)) if ask.slot != NONE => true,
            Some(operator) => super::operate::holds(operator, self.rules, self.machine, self.spent, bytes),
            None => true,
        }
    }
}

/// The stages from one to before another.
const fn between(from: usize, to: usize) -> u64 {
    below(to) & !below(from)
}

/// The stages before one; a source has [`crate::rule::STAGES`] at most.
const fn below(stage: usize) -> u64 {
    if stage >= 64 { u64::MAX } else { (1 << stage) - 1 }
}
