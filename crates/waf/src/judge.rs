//! Judging: the rules of a phase, in order, against what is known of the transaction.
//!
//! In: [`Rules`], [`State`]. Out: changes of the state: matches, variables, perhaps a refusal. Reference manual v3,
//! "Processing phases" and "Actions". Start reading at [`Run::phase`]: rules → links → targets → values.

mod change;
mod expand;
mod operate;
pub(crate) mod pass;

use crate::body::json::plain_indices;
use crate::configuration::{Engine, Prefilter};
use crate::machine::Machine;
use crate::report::{self, Interruption, Match};
use crate::rule::{Choice, Disruptive, Exclusion, Link, Reach, Rule, Target};
use crate::state::{Entry, State, Value};
use crate::template::Key;
use crate::text::{EMPTY, TextId};
use crate::transaction::{Fuel, Progress};
use crate::transform::Transformation;
use crate::variable::{Aspect, Part, Variable};
use crate::{Profile, Rules};
use smallvec::SmallVec;

/// One slice of work on one transaction.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub rules: &'a Rules,
    pub profile: &'a Profile,
    pub state: &'a mut State,
    pub machine: &'a mut Machine,
}

impl Run<'_> {
    /// Judges a phase from where it was left, until it is done, refused or out of fuel.
    pub fn phase(&mut self, phase: u8, fuel: Fuel) -> Progress {
        if self.state.phase != phase {
            (self.state.phase, self.state.position) = (phase, 0);
        }
        let spent = self.state.spent;
        let rules = self.rules;
        let Some(list) = rules.phases.get(usize::from(phase) - 1) else { return Progress::Pass };
        while let Some(number) = list.get(self.state.position) {
            if self.state.engine == Engine::Off || phase < self.state.allowed_until {
                break;
            }
            if self.state.spent - spent > fuel.0 {
                return Progress::Yield;
            }
            let position = self.state.position;
            self.state.position += 1;
            if self.state.removed.contains(*number as usize) {
                continue;
            }
            if self.prefilters() {
                let first = rules.first.get(*number as usize).and_then(Option::as_ref);
                self.state.spent += 2;
                match self.may_match(first, spent.saturating_add(fuel.0)) {
                    Some(true) => {}
                    Some(false) => continue,
                    None => {
                        self.state.position = position;
                        return Progress::Yield;
                    }
                }
            }
            let Some(rule) = rules.rules.get(*number as usize) else { continue };
            if !self.matches(*number, rule) {
                continue;
            }
            self.note(*number, rule);
            self.relieve(0);
            if let Some(next) = rule.skip_to {
                self.state.position = (next as usize).max(position + 1);
            }
            if self.disrupt(rule) && phase != 5 {
                return Progress::Interrupt;
            }
        }
        self.state.position = usize::MAX;
        Progress::Pass
    }

    /// Whether the rule and its whole chain match.
    fn matches(&mut self, number: u32, rule: &Rule) -> bool {
        self.state.rule = number;
        self.state.added = 0;
        self.state.spent += 8;
        if rule.asks_matched
            && let Some(list) = self.state.lists.get_mut(Variable::MatchedVars as usize)
        {
            list.clear();
        }
        rule.links.iter().all(|link| self.link(link))
    }

    /// Whether one of a link's values matches; what a match changes is changed for each.
    fn link(&mut self, link: &Link) -> bool {
        if link.targets.is_empty() {
            self.change(link);
            return true;
        }
        if self.prefilters() && self.may_match(link.asked.as_ref(), u64::MAX) == Some(false) {
            return false;
        }
        let mut matched = false;
        for target in &link.targets {
            matched |= if target.count { self.count(link, target) } else { self.values(link, target) };
        }
        matched
    }

    fn values(&mut self, link: &Link, target: &Target) -> bool {
        match (target.kept.0, &target.choice) {
            (Variable::Tx, choice) => self.tx(link, choice),
            (Variable::MatchedVar, _) => {
                let (_, _, value) = self.last_match();
                self.check(link, target.variable, EMPTY, value)
            }
            (Variable::MatchedVarName, _) => {
                let name = self.matched_name();
                self.check(link, target.variable, EMPTY, name)
            }
            (kept, Choice::Name(Key::Name(name))) if kept.is_persistent() => {
                self.lasting(kept, name).is_some_and(|value| self.check(link, target.variable, EMPTY, value))
            }
            (Variable::Rule | Variable::HighestSeverity, choice) => {
                let key = if let Choice::Name(Key::Name(name)) = choice { Some(&**name) } else { None };
                let value = self.computed(target.variable, key);
                value.is_some_and(|value| self.check(link, target.variable, EMPTY, value))
            }
            _ => self.members(link, target),
        }
    }

    fn members(&mut self, link: &Link, target: &Target) -> bool {
        let is_asked = !target.asks.is_empty() && self.prefilters();
        if is_asked && !self.asked(&target.asks) {
            return false;
        }
        let (kept, aspect, part) = target.kept;
        let length = self.state.list(kept).len();
        let (from, to) = match part {
            Part::All => (0, length),
            Part::Query => (0, self.state.from_query.min(length)),
            Part::Body => (self.state.from_query.min(length), length),
        };
        let mut matched = false;
        for index in from..to {
            let Some(Entry { name, value }) = self.state.list(kept).get(index).copied() else { break };
            if !matches!(target.choice, Choice::All) && !self.fits(&target.choice, name) {
                continue;
            }
            let value = if aspect == Aspect::Name { name } else { value };
            if self.check(link, target.variable, name, value) {
                matched = true;
                // For the next one like this.
                let Some(Entry { name, value }) = self.state.list(kept).get(index).copied() else { break };
                self.relieve(self.state.texts.length(if aspect == Aspect::Name { name } else { value }));
            }
        }
        matched
    }

    /// The members of `TX` that are chosen.
    fn tx(&mut self, link: &Link, choice: &Choice) -> bool {
        let mut matched = false;
        match choice {
            Choice::Name(Key::Slot(slot)) => matched = self.tx_slot(link, *slot),
            Choice::Name(Key::Name(_)) => {}
            Choice::All => {
                for slot in 0..self.state.tx.slots.len() {
                    matched |= self.tx_slot(link, slot as u16);
                }
            }
            Choice::Pattern { slots, .. } => {
                for slot in slots {
                    matched |= self.tx_slot(link, *slot);
                }
            }
        }
        if matches!(choice, Choice::Name(_)) {
            return matched;
        }
        for index in 0..self.state.tx.made.len() {
            let Some((name, value)) = self.state.tx.made.get(index).copied() else { break };
            if self.fits(choice, name)
                && let Some(value) = self.state.text_of(value)
            {
                matched |= self.check(link, Variable::Tx, name, value);
            }
        }
        matched
    }

    fn tx_slot(&mut self, link: &Link, slot: u16) -> bool {
        let value = self.state.slot(slot);
        if value == Value::Unset {
            return false;
        }
        if let (Value::Number(number), Some(holds)) = (value, self.compared(link, value)) {
            // The usual case of a rule set's own bookkeeping: no text is made unless it matched.
            if holds == link.negated {
                return false;
            }
            if link.exclusions.is_empty() && self.state.removed_targets.is_empty() && !self.asks_matched() {
                self.state.matched_number = Some((slot, number));
                self.change(link);
                return true;
            }
            let text = self.state.texts.keep_number(number);
            let name = self.slot_name(slot);
            return self.matched(link, Variable::Tx, name, text, false);
        }
        let name = self.slot_name(slot);
        self.state.text_of(value).is_some_and(|text| self.check(link, Variable::Tx, name, text))
    }

    /// Whether the rule being judged asks for `MATCHED_VARS`.
    fn asks_matched(&self) -> bool {
        self.rules.rules.get(self.state.rule as usize).is_none_or(|rule| rule.asks_matched)
    }

    /// The last match: variable, name, value.
    pub(super) fn last_match(&mut self) -> (Option<Variable>, TextId, TextId) {
        if let Some((slot, number)) = self.state.matched_number.take() {
            let text = self.state.texts.keep_number(number);
            self.state.matched = (Some(Variable::Tx), self.slot_name(slot), text);
        }
        self.state.matched
    }

    fn slot_name(&mut self, slot: u16) -> TextId {
        let name = self.rules.names.get(usize::from(slot)).map_or(&b""[..], |name| name.as_bytes());
        self.state.texts.keep(name)
    }

    /// `&`: the number of members that are chosen and not left out.
    fn count(&mut self, link: &Link, target: &Target) -> bool {
        let (kept, _, part) = target.kept;
        let number = match (kept, &target.choice) {
            (Variable::Tx, Choice::Name(Key::Slot(slot))) => usize::from(self.state.slot(*slot) != Value::Unset),
            (Variable::Tx, choice) => {
                let set = |slot: &u16| self.state.slot(*slot) != Value::Unset;
                let known = match choice {
                    Choice::Pattern { slots, .. } => slots.iter().filter(|slot| set(slot)).count(),
                    _ => self.state.tx.slots.iter().filter(|value| **value != Value::Unset).count(),
                };
                known + self.state.tx.made.iter().filter(|(name, _)| self.fits(choice, *name)).count()
            }
            (kept, Choice::Name(Key::Name(name))) if kept.is_persistent() => {
                usize::from(self.lasting(kept, name).is_some())
            }
            _ => {
                let skip = if part == Part::Body { self.state.from_query } else { 0 };
                let take = if part == Part::Query { self.state.from_query } else { usize::MAX };
                let entries = self.state.list(kept).iter().skip(skip).take(take);
                let counts = |entry: &&Entry| {
                    self.fits(&target.choice, entry.name) && !self.excluded(link, target.variable, entry.name)
                };
                entries.filter(counts).count()
            }
        };
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        if self.compared(link, Value::Number(number)) == Some(link.negated) {
            return false;
        }
        let text = self.state.texts.keep_number(number);
        self.check(link, target.variable, EMPTY, text)
    }

    /// Whether a name is chosen.
    fn fits(&self, choice: &Choice, name: TextId) -> bool {
        match choice {
            Choice::All => true,
            Choice::Name(Key::Name(wanted)) => {
                let name = self.state.texts.bytes(name);
                let plain = || plain_indices(name).is_some_and(|plain| same_name(wanted.as_bytes(), &plain));
                same_name(wanted.as_bytes(), name) || plain()
            }
            Choice::Name(Key::Slot(slot)) => {
                let known = self.rules.names.get(usize::from(*slot));
                known.is_some_and(|known| known.as_bytes().eq_ignore_ascii_case(self.state.texts.bytes(name)))
            }
            Choice::Pattern { pattern, .. } => {
                let Some(pattern) = self.rules.patterns.get(*pattern as usize) else { return false };
                let name = self.state.texts.bytes(name);
                pattern.finds(name) || plain_indices(name).is_some_and(|plain| pattern.finds(&plain))
            }
        }
    }

    /// Whether the rule leaves this value out.
    fn excluded(&self, link: &Link, variable: Variable, name: TextId) -> bool {
        let out = |exclusion: &Exclusion| exclusion.variable == variable && self.fits(&exclusion.choice, name);
        let rule = self.state.rule as usize;
        link.exclusions.iter().any(out)
            || self.state.removed_targets.iter().any(|held| held.0.contains(rule) && out(&held.1))
    }

    /// Whether a value matches, and if so, what that changes.
    fn check(&mut self, link: &Link, variable: Variable, name: TextId, value: TextId) -> bool {
        if link.multi_match {
            return self.check_steps(link, variable, name, value);
        }
        let text = self.made(value, link.node);
        let kept = (self.holds(link, &text) != link.negated).then(|| self.kept(value, &text));
        self.machine.spare.push(text);
        kept.is_some_and(|text| self.matched(link, variable, name, text, true))
    }

    /// `multiMatch`: the operator runs before the first step and after each that changes something.
    fn check_steps(&mut self, link: &Link, variable: Variable, name: TextId, value: TextId) -> bool {
        let mut steps = SmallVec::<[Transformation; 16]>::new();
        let mut node = link.node;
        while let Some((at, step)) = self.rules.nodes.get(node as usize).and_then(|at| Some((at, at.step?))) {
            steps.push(step);
            node = at.parent;
        }
        let mut text = self.made(value, 0);
        let mut matched = false;
        let mut last = steps.len();
        loop {
            if self.holds(link, &text) != link.negated {
                let kept = self.kept(value, &text);
                matched |= self.matched(link, variable, name, kept, true);
            }
            let next = (0..last).rev().find(|at| steps.get(*at).is_some_and(|step| self.step(*step, &mut text)));
            let Some(at) = next else { break };
            last = at;
        }
        self.machine.spare.push(text);
        matched
    }

    /// A value has matched: it is noted, captured, and the link's changes are made. `false`: it is left out.
    fn matched(&mut self, link: &Link, variable: Variable, name: TextId, text: TextId, capture: bool) -> bool {
        if self.excluded(link, variable, name) {
            return false;
        }
        (self.state.matched, self.state.matched_number) = ((Some(variable), name, text), None);
        if self.asks_matched() {
            let whole = self.matched_name();
            self.state.push(Variable::MatchedVars, whole, text);
        }
        if capture && link.capture && !link.negated {
            self.capture(link, text);
        }
        self.change(link);
        true
    }

    /// Notes that the whole rule matched.
    fn note(&mut self, number: u32, rule: &Rule) {
        if let Some(severity) = rule.severity {
            self.state.highest_severity = self.state.highest_severity.min(severity);
        }
        let refuses = !matches!(rule.disruptive, Disruptive::Pass);
        if !rule.log && !refuses && self.state.added == 0 {
            return;
        }
        let (variable, name, value) = self.last_match();
        let message = rule.message.as_ref().map_or(EMPTY, |template| self.expand(template));
        let data = rule.data.as_ref().map_or(EMPTY, |template| self.expand(template));
        let score = self.state.added;
        // More is shown nowhere.
        let value = self.state.texts.keep_start(value, report::SHOWN);
        let data = self.state.texts.keep_start(data, report::SHOWN_DATA);
        self.state.matches.push(Match { rule: number, variable, name, value, message, data, score });
    }

    /// Does what the rule says of the transaction. `true`: it is refused.
    fn disrupt(&mut self, rule: &Rule) -> bool {
        let (status, location) = match &rule.disruptive {
            Disruptive::Pass => return false,
            Disruptive::Allow(reach) => {
                if self.state.engine == Engine::On {
                    self.state.allowed_until = match reach {
                        Reach::Phase => rule.phase + 1,
                        Reach::Request => 3,
                        Reach::All => 5,
                    };
                }
                return false;
            }
            Disruptive::Deny => (rule.status, None),
            Disruptive::Drop => (0, None),
            Disruptive::Redirect(template) => {
                let to = self.expand(template);
                let status = if (300..400).contains(&rule.status) { rule.status } else { 302 };
                (status, Some(String::from_utf8_lossy(self.state.texts.bytes(to)).into_owned()))
            }
        };
        if self.state.interruption.is_none() {
            let message = self.state.matches.last().map_or(EMPTY, |held| held.message);
            let message = String::from_utf8_lossy(self.state.texts.bytes(message)).into_owned();
            let (tags, phase) = (report::tags(rule), rule.phase);
            self.state.interruption = Some(Interruption { status, rule: rule.id, message, tags, location, phase });
        }
        self.state.engine == Engine::On
    }

    /// Makes room for a text of so many bytes. INVARIANT: the caller holds no [`TextId`].
    #[inline]
    fn relieve(&mut self, bytes: u32) {
        self.state.make_room(bytes as usize);
    }

    /// Whether the prefilter is used.
    fn prefilters(&self) -> bool {
        self.profile.settings.prefilter == Prefilter::On
    }
}

/// Whether a selector names a member. JSON arrays have two spellings: `json.a.array_0.b` and `json.a.0.b`.
pub(crate) fn same_name(wanted: &[u8], name: &[u8]) -> bool {
    if wanted.eq_ignore_ascii_case(name) {
        return true;
    }
    if !name.starts_with(b"json.") || memchr::memmem::find(name, b"array_").is_none() {
        return false;
    }
    let plain = |part: &[u8]| -> Vec<u8> { part.strip_prefix(b"array_").unwrap_or(part).to_ascii_lowercase() };
    let split = |text: &[u8]| -> Vec<Vec<u8>> { text.split(|byte| *byte == b'.').map(plain).collect() };
    split(wanted) == split(name)
}

#[cfg(test)]
mod tests;
