//! One operator against one text, after its transformations; whatever can be skipped is skipped.
//!
//! INVARIANT: each skip is a condition without which the operator cannot hold, so the verdict is that of asking it.

use super::Run;
use crate::alphabet::{self, Mask};
use crate::libinjection;
use crate::operator::pattern::Pattern;
use crate::operator::{self, Number, Operator, Relation, validate};
use crate::prefilter::NONE;
use crate::rule::{Link, Node};
use crate::state::Value;
use crate::text::{Text, TextId};
use crate::transform::{Change, Transformation};
use crate::variable::Variable;
use smallvec::SmallVec;

/// `injection` of a text: asked for SQL, is SQL injection, asked for HTML, is cross-site scripting.
const SQL_ASKED: u8 = 1;
const SQL_FOUND: u8 = 2;
const HTML_ASKED: u8 = 4;
const HTML_FOUND: u8 = 8;

impl Run<'_> {
    /// What the chain of transformations makes of a text.
    #[inline]
    pub(super) fn transformed(&mut self, text: TextId, node: u32) -> TextId {
        let Some(at) = self.rules.nodes.get(node as usize).copied().filter(|_| node != 0) else { return text };
        let mask = self.state.texts.text(text).map_or(0, |text| text.mask);
        if self.prefilters() && at.touches.is_some_and(|touches| touches & mask == 0) {
            return text;
        }
        self.step(text, node, at)
    }

    fn step(&mut self, text: TextId, node: u32, at: Node) -> TextId {
        if let Some(known) = self.state.texts.remembered(text, node) {
            return known;
        }
        let result = if self.state.texts.is_long(text) {
            self.steps(text, node)
        } else {
            let before = self.transformed(text, at.parent);
            // What this step does not touch is as quickly seen again as looked up.
            let Some(step) = self.touching(at, before) else { return before };
            self.apply(step, before)
        };
        self.state.texts.remember(text, node, result);
        self.state.texts.recall(text, node, result);
        result
    }

    /// What a chain makes of a long text; what is between is not kept.
    fn steps(&mut self, text: TextId, node: u32) -> TextId {
        let (mut from, mut next) = (text, node);
        let mut way = SmallVec::<[Node; 8]>::new();
        while let Some(at) = self.rules.nodes.get(next as usize).copied().filter(|_| next != 0) {
            if let Some(known) = self.state.texts.remembered(text, next) {
                from = known;
                break;
            }
            way.push(at);
            next = at.parent;
        }
        let (mut made, mut draft) = (std::mem::take(&mut self.machine.made), std::mem::take(&mut self.machine.buffer));
        let (mut is_made, mut only_case) = (false, true);
        let mut mask = self.state.texts.text(from).map_or(0, |text| text.mask);
        for at in way.iter().rev() {
            let Some(step) = at.step else { continue };
            if self.prefilters() && at.own.is_some_and(|touches| touches & mask == 0) {
                continue;
            }
            let input = if is_made { made.as_slice() } else { self.state.texts.bytes(from) };
            self.state.spent += input.len() as u64 / 8 + 1;
            if step.apply(input, &mut draft) == Change::Made {
                only_case = only_case && input.eq_ignore_ascii_case(&draft);
                std::mem::swap(&mut made, &mut draft);
                (is_made, mask) = (true, alphabet::of(&made));
            }
        }
        let result = if is_made { self.state.texts.keep(&made) } else { from };
        if is_made && only_case && result != from {
            let like = self.state.texts.like(from).unwrap_or(from);
            self.state.texts.set_like(result, like);
        }
        (self.machine.made, self.machine.buffer) = (made, draft);
        result
    }

    /// Whether a chain makes a text of this one that is not there yet.
    pub(super) fn must_make(&self, text: TextId, node: u32) -> bool {
        let Some(at) = self.rules.nodes.get(node as usize).filter(|_| node != 0) else { return false };
        let mask = self.state.texts.text(text).map_or(0, |text| text.mask);
        let touches = !self.prefilters() || at.touches.is_none_or(|touches| touches & mask != 0);
        touches && self.state.texts.remembered(text, node).is_none()
    }

    /// Whether it is known, without making it, that the operator does not hold of what a chain makes of a text.
    pub(super) fn rules_out(&self, link: &Link, text: TextId, node: u32) -> bool {
        if !self.prefilters() {
            return false;
        }
        let Some(fact) = self.state.texts.fact(text, node) else {
            let (Operator::Pattern(number) | Operator::PatternGlobal(number)) = &link.operator else { return false };
            let Some(pattern) = self.rules.patterns.get(*number as usize) else { return false };
            return self.at_most(text, node).is_some_and(|(length, mask)| !pattern.gate.admits(length, mask));
        };
        let lacks = |slot: u16| slot != NONE && !self.state.texts.slots(fact.literals).contains(&slot);
        match &link.operator {
            Operator::Pattern(number) | Operator::PatternGlobal(number) => {
                let pattern = self.rules.patterns.get(*number as usize);
                pattern.is_some_and(|pattern| !pattern.gate.admits(fact.length, fact.mask))
                    || lacks(self.rules.prefilter.of_pattern(*number))
            }
            Operator::Phrases(number) => lacks(self.rules.prefilter.of_phrases(*number)),
            Operator::Sqli => fact.injection & (SQL_ASKED | SQL_FOUND) == SQL_ASKED,
            Operator::Xss => fact.injection & (HTML_ASKED | HTML_FOUND) == HTML_ASKED,
            _ => false,
        }
    }

    /// No more than this length and these kinds of bytes has what a chain makes of a text. `None`: that is not known.
    fn at_most(&self, text: TextId, node: u32) -> Option<(u32, Mask)> {
        let at = self.rules.nodes.get(node as usize).filter(|_| node != 0);
        let Some(at) = at else { return self.state.texts.text(text).map(|text| (text.length, text.mask)) };
        let (length, mask) = self.at_most(text, at.parent)?;
        let Some(step) = at.step.filter(|_| at.own.is_none_or(|touches| touches & mask != 0)) else {
            return Some((length, mask));
        };
        Some((length, mask | step.adds()?))
    }

    /// What the last step of a chain makes of a text that has gone through the others. Is not remembered.
    pub(super) fn last_step(&mut self, before: TextId, at: Node) -> TextId {
        self.touching(at, before).map_or(before, |step| self.apply(step, before))
    }

    /// The last step, if it may change the text.
    fn touching(&self, at: Node, before: TextId) -> Option<Transformation> {
        let mask = self.state.texts.text(before).map_or(0, |text| text.mask);
        at.step.filter(|_| !self.prefilters() || at.own.is_none_or(|touches| touches & mask != 0))
    }

    fn apply(&mut self, step: Transformation, before: TextId) -> TextId {
        let bytes = self.state.texts.bytes(before);
        self.state.spent += bytes.len() as u64 / 8 + 1;
        if step.apply(bytes, &mut self.machine.buffer) == Change::Same {
            return before;
        }
        let only_case = bytes.eq_ignore_ascii_case(&self.machine.buffer);
        let made = self.state.texts.keep(&self.machine.buffer);
        if only_case && made != before {
            let like = self.state.texts.like(before).unwrap_or(before);
            self.state.texts.set_like(made, like);
        }
        made
    }

    /// Whether the operator holds of a text.
    pub(super) fn holds(&mut self, link: &Link, text: TextId) -> bool {
        match &link.operator {
            Operator::Pattern(number) | Operator::PatternGlobal(number) => self.pattern(*number, text),
            Operator::Phrases(number) => self.phrases(*number, text),
            Operator::Compare(order, right) => {
                let left = operator::number(self.state.texts.bytes(text));
                let right = self.number(right);
                order.holds(left, right)
            }
            Operator::Text(relation, template) => {
                let argument = self.expand(template);
                let (value, argument) = (self.state.texts.bytes(text), self.state.texts.bytes(argument));
                relation.holds(value, argument)
            }
            Operator::MadePattern(template) => {
                let pattern = self.expand(template);
                let pattern = String::from_utf8_lossy(self.state.texts.bytes(pattern));
                // A pattern that cannot be compiled matches: fail closed.
                Pattern::read(&pattern).map_or(true, |pattern| pattern.finds(self.state.texts.bytes(text)))
            }
            Operator::Address(networks) => networks.hold(self.state.texts.bytes(text)),
            Operator::Sqli => self.injection(text, SQL_ASKED, SQL_FOUND, |bytes| libinjection::sqli(bytes).is_some()),
            Operator::Xss => self.injection(text, HTML_ASKED, HTML_FOUND, libinjection::xss),
            Operator::Always => true,
            Operator::Never => false,
            Operator::Geography => !self.state.list(Variable::Geo).is_empty(),
            Operator::ByteRange(allowed) => {
                let bytes = self.state.texts.bytes(text);
                self.state.spent += bytes.len() as u64 / 16;
                bytes.iter().any(|byte| !allowed.get(usize::from(*byte)).copied().unwrap_or(false))
            }
            Operator::UrlEncoding => validate::bad_url_encoding(self.state.texts.bytes(text)),
            Operator::Schema(schema) => !schema.fits(self.state.texts.bytes(text)),
            Operator::Utf8 => validate::bad_utf8(self.state.texts.bytes(text)),
            Operator::Verify(digits, number) => {
                let Some(pattern) = self.rules.patterns.get(*number as usize) else { return false };
                let bytes = self.state.texts.bytes(text);
                let cache = self.machine.caches.get_mut(*number as usize);
                let found = cache.and_then(|cache| pattern.find(cache, bytes));
                found.is_some_and(|(from, to)| digits.hold(bytes.get(from..to).unwrap_or_default()))
            }
        }
    }

    /// The verdict of a comparison without transformations on a number, without making a text.
    pub(super) fn compared(&mut self, link: &Link, value: Value) -> Option<bool> {
        let (Operator::Compare(order, right), 0, Value::Number(left)) = (&link.operator, link.node, value) else {
            return None;
        };
        let right = self.number(right);
        Some(order.holds(left, right))
    }

    fn number(&mut self, right: &Number) -> i64 {
        match right {
            Number::Fixed(number) => *number,
            Number::Slot(slot) => self.state.number_of(self.state.slot(*slot)),
            Number::Made(template) => {
                let text = self.expand(template);
                operator::number(self.state.texts.bytes(text))
            }
        }
    }

    fn pattern(&mut self, number: u32, id: TextId) -> bool {
        let rules = self.rules;
        let Some(pattern) = rules.patterns.get(number as usize) else { return true };
        if self.prefilters() {
            let Some(text) = self.state.texts.text(id) else { return false };
            if !pattern.gate.admits(text.length, text.mask) || !self.holds_slot(rules.prefilter.of_pattern(number), id)
            {
                return false;
            }
        }
        let bytes = self.state.texts.bytes(id);
        self.state.spent += bytes.len() as u64 / 2 + 16;
        match self.machine.caches.get_mut(number as usize) {
            Some(cache) => pattern.matches(cache, bytes),
            None => pattern.finds(bytes),
        }
    }

    fn phrases(&mut self, number: u32, id: TextId) -> bool {
        let rules = self.rules;
        let Some(phrases) = rules.phrases.get(number as usize) else { return true };
        let slot = rules.prefilter.of_phrases(number);
        if self.prefilters() {
            if self.state.texts.text(id).is_none_or(|text| text.length < phrases.shortest) {
                return false;
            }
            if slot != NONE {
                return self.holds_slot(slot, id);
            }
        }
        let bytes = self.state.texts.bytes(id);
        self.state.spent += bytes.len() as u64 / 2 + 16;
        phrases.find(bytes).is_some()
    }

    /// Whether a text holds one of the literals of a slot.
    fn holds_slot(&mut self, slot: u16, id: TextId) -> bool {
        if slot == NONE {
            return true;
        }
        let at = self.scanned(id);
        self.state.texts.slots(at).contains(&slot)
    }

    /// Where the list of a text's literal slots is.
    pub(super) fn scanned(&mut self, id: TextId) -> u32 {
        if let Some(at) = self.state.texts.literals(id) {
            return at;
        }
        // Literals have no case. A text is like one that was kept before it, so this ends.
        let at = match self.state.texts.like(id) {
            Some(like) => self.scanned(like),
            None => {
                let (prefilter, seen, spent) = (&self.rules.prefilter, &mut self.machine.seen, &mut self.state.spent);
                self.state.texts.add_literals(id, |bytes, hits| {
                    *spent += bytes.len() as u64 + 8;
                    prefilter.scan(bytes, seen, hits);
                })
            }
        };
        self.state.texts.set_literals(id, at);
        at
    }

    fn injection(&mut self, id: TextId, asked: u8, found: u8, ask: impl Fn(&[u8]) -> bool) -> bool {
        let known = self.state.texts.text(id).map_or(0, Text::injection);
        if known & asked != 0 {
            return known & found != 0;
        }
        let bytes = self.state.texts.bytes(id);
        self.state.spent += bytes.len() as u64 + 32;
        let verdict = ask(bytes);
        if let Some(text) = self.state.texts.text_mut(id) {
            text.note_injection(if verdict { asked | found } else { asked });
        }
        verdict
    }

    /// Fills `TX:0` to `TX:9` from what the operator found in the text.
    pub(super) fn capture(&mut self, link: &Link, text: TextId) {
        let mut groups: [Option<TextId>; 10] = [None; 10];
        match &link.operator {
            Operator::Pattern(number) | Operator::PatternGlobal(number) | Operator::Verify(_, number) => {
                let Some(pattern) = self.rules.patterns.get(*number as usize) else { return };
                let Some(cache) = self.machine.caches.get_mut(*number as usize) else { return };
                let found = pattern.groups(cache, self.state.texts.bytes(text));
                for (place, group) in groups.iter_mut().zip(found) {
                    *place = group.map(|(from, to)| self.state.texts.keep_part(text, from, to));
                }
            }
            Operator::Phrases(number) => {
                let Some(phrases) = self.rules.phrases.get(*number as usize) else { return };
                let found = phrases.find(self.state.texts.bytes(text));
                groups[0] = found.map(|(from, to)| self.state.texts.keep_part(text, from, to));
            }
            Operator::Sqli => {
                let print = libinjection::sqli(self.state.texts.bytes(text));
                groups[0] = print.map(|print| self.state.texts.keep(print.as_bytes()));
            }
            Operator::Text(Relation::Contains | Relation::ContainsWord | Relation::Within, _) => groups[0] = Some(text),
            Operator::Xss => groups[0] = Some(text),
            _ => return,
        }
        for (slot, group) in groups.into_iter().enumerate() {
            let value = group.map_or(Value::Unset, Value::Text);
            self.state.set_slot(slot as u16, value);
        }
    }
}
