//! One operator against one text, after its transformations.

use super::Run;
use crate::Rules;
use crate::libinjection;
use crate::machine::Machine;
use crate::operator::pattern::Pattern;
use crate::operator::{self, Number, Operator, Relation, validate};
use crate::rule::Link;
use crate::state::Value;
use crate::text::TextId;
use crate::transform::{Change, Transformation};
use crate::variable::Variable;
use smallvec::SmallVec;

impl Run<'_> {
    /// What a chain of transformations makes of a text, in a buffer of its own.
    pub(super) fn made(&mut self, text: TextId, node: u32) -> Vec<u8> {
        let mut way = SmallVec::<[Transformation; 16]>::new();
        let mut next = node;
        while let Some((at, step)) = self.rules.nodes.get(next as usize).and_then(|at| Some((at, at.step?))) {
            way.push(step);
            next = at.parent;
        }
        let mut made = self.machine.spare.pop().unwrap_or_default();
        made.clear();
        made.extend_from_slice(self.state.texts.bytes(text));
        for step in way.into_iter().rev() {
            self.step(step, &mut made);
        }
        made
    }

    /// Does one step to a text. `false`: it is the same.
    pub(super) fn step(&mut self, step: Transformation, text: &mut Vec<u8>) -> bool {
        self.state.spent += text.len() as u64 / 8 + 1;
        let mut made = self.machine.spare.pop().unwrap_or_default();
        let changed = step.apply(text, &mut made) == Change::Made;
        if changed {
            std::mem::swap(text, &mut made);
        }
        self.machine.spare.push(made);
        changed
    }

    /// Keeps what was made of a text.
    pub(super) fn kept(&mut self, of: TextId, made: &[u8]) -> TextId {
        if self.state.texts.bytes(of) == made { of } else { self.state.texts.keep(made) }
    }

    /// Whether the operator holds of a text.
    pub(super) fn holds(&mut self, link: &Link, text: &[u8]) -> bool {
        match &link.operator {
            Operator::Compare(order, right) => {
                let right = self.number(right);
                order.holds(operator::number(text), right)
            }
            Operator::Text(relation, template) => {
                let argument = self.expand(template);
                relation.holds(text, self.state.texts.bytes(argument))
            }
            Operator::MadePattern(template) => {
                let pattern = self.expand(template);
                let pattern = String::from_utf8_lossy(self.state.texts.bytes(pattern));
                // A pattern that cannot be compiled matches: fail closed.
                Pattern::read(&pattern).map_or(true, |pattern| pattern.finds(text))
            }
            Operator::Geography => !self.state.list(Variable::Geo).is_empty(),
            operator => holds(operator, self.rules, self.machine, &mut self.state.spent, text),
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

/// Whether an operator holds of a text, when that depends on nothing else.
pub(super) fn holds(operator: &Operator, rules: &Rules, machine: &mut Machine, spent: &mut u64, text: &[u8]) -> bool {
    let length = text.len() as u64;
    match operator {
        Operator::Pattern(number) | Operator::PatternGlobal(number) => {
            let Some(pattern) = rules.patterns.get(*number as usize) else { return true };
            *spent += length / 2 + 16;
            match machine.caches.get_mut(*number as usize) {
                Some(cache) => pattern.matches(cache, text),
                None => pattern.finds(text),
            }
        }
        Operator::Phrases(number) => {
            *spent += length / 2 + 16;
            rules.phrases.get(*number as usize).is_none_or(|phrases| phrases.find(text).is_some())
        }
        Operator::Compare(order, right) => {
            matches!(right, Number::Fixed(right) if order.holds(operator::number(text), *right))
        }
        Operator::Text(relation, template) => {
            template.fixed().is_some_and(|argument| relation.holds(text, argument.as_bytes()))
        }
        Operator::Address(networks) => networks.hold(text),
        Operator::Sqli => {
            *spent += length + 32;
            libinjection::sqli(text).is_some()
        }
        Operator::Xss => {
            *spent += length + 32;
            libinjection::xss(text)
        }
        Operator::ByteRange(allowed) => {
            *spent += length / 16;
            text.iter().any(|byte| !allowed.get(usize::from(*byte)).copied().unwrap_or(false))
        }
        Operator::UrlEncoding => validate::bad_url_encoding(text),
        Operator::Schema(schema) => !schema.fits(text),
        Operator::Utf8 => validate::bad_utf8(text),
        Operator::Verify(digits, number) => {
            let Some(pattern) = rules.patterns.get(*number as usize) else { return false };
            let found = machine.caches.get_mut(*number as usize).and_then(|cache| pattern.find(cache, text));
            found.is_some_and(|(from, to)| digits.hold(text.get(from..to).unwrap_or_default()))
        }
        // Those of which more must be known are asked by the rule itself.
        Operator::Always | Operator::MadePattern(_) => true,
        Operator::Never | Operator::Geography => false,
    }
}
