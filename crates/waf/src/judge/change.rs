//! What a match changes: variables, the transaction's configuration, collections that outlive it.

use super::Run;
use crate::operator;
use crate::rule::{Amount, Change, Control, Effect, Link, Name};
use crate::state::Value;
use crate::text::TextId;
use crate::variable::Variable;

impl Run<'_> {
    /// Makes the changes of a link, in order.
    pub(super) fn change(&mut self, link: &Link) {
        for effect in &link.effects {
            match effect {
                Effect::Set { collection: Variable::Tx, name: Name::Slot(slot), change } => {
                    self.set_slot(*slot, change)
                }
                Effect::Set { collection: Variable::Tx, name: Name::Made(name), change } => {
                    let name = self.expand(name);
                    self.set_made(name, change);
                }
                Effect::Set { collection, name, change } => self.set_lasting(*collection, name, change),
                Effect::Open(collection, key) => {
                    let key = self.expand(key);
                    self.state.opened.retain(|(opened, _)| opened != collection);
                    self.state.opened.push((*collection, key));
                }
                Effect::Expire(collection, name, seconds) => {
                    let seconds = self.expand(seconds);
                    let seconds = operator::number(self.state.texts.bytes(seconds)).max(0).unsigned_abs();
                    let until = self.state.now.plus(ringwall_model::Millis::seconds(seconds));
                    self.with_lasting(*collection, name, |shelf, key, member, _| {
                        shelf.expire(*collection, key, member, until)
                    });
                }
                Effect::Deprecate(collection, name, by, per) => {
                    self.with_lasting(*collection, name, |shelf, key, member, now| {
                        shelf.deprecate(*collection, key, member, *by, *per, now);
                    })
                }
                Effect::Environment(name, value) => {
                    let (name, value) = (self.expand(name), self.expand(value));
                    self.state.push(Variable::Env, name, value);
                }
                Effect::Hide(variable, name) => self.state.hidden.push((*variable, name.clone())),
                Effect::HideMatched => {
                    if let (Some(variable), name, _) = self.last_match() {
                        let name = String::from_utf8_lossy(self.state.texts.bytes(name)).into();
                        self.state.hidden.push((variable.kept().0, name));
                    }
                }
                Effect::Nothing => {}
                Effect::Control(control) => self.control(control),
            }
        }
    }

    fn set_slot(&mut self, slot: u16, change: &Change) {
        let old = self.state.slot(slot);
        let new = self.changed(old, change);
        if let (Change::Add(_), Value::Number(new)) = (change, new)
            && self.rules.names.get(usize::from(slot)).is_some_and(|name| name.contains("anomaly_score_pl"))
        {
            self.state.added = self.state.added.saturating_add(new.saturating_sub(self.state.number_of(old)));
        }
        self.state.set_slot(slot, new);
    }

    fn set_made(&mut self, name: TextId, change: &Change) {
        let mut lower = std::mem::take(&mut self.machine.buffer);
        lower.clear();
        lower.extend(self.state.texts.bytes(name).iter().map(u8::to_ascii_lowercase));
        let known = std::str::from_utf8(&lower).ok().and_then(|name| self.rules.slots.get(name).copied());
        let name = self.state.texts.keep(&lower);
        self.machine.buffer = lower;
        if let Some(slot) = known {
            return self.set_slot(slot, change);
        }
        let old = self.state.made(name);
        let new = self.changed(old, change);
        self.state.set_made(name, new);
    }

    fn changed(&mut self, old: Value, change: &Change) -> Value {
        let sum = |run: &mut Self, amount: &Amount, sign: i64| {
            let by = run.amount(amount);
            let by = run.state.number_of(by).saturating_mul(sign);
            Value::Number(run.state.number_of(old).saturating_add(by))
        };
        match change {
            Change::Assign(amount) => match self.amount(amount) {
                Value::Unset => Value::Text(crate::text::EMPTY),
                value => value,
            },
            Change::Add(amount) => sum(self, amount, 1),
            Change::Subtract(amount) => sum(self, amount, -1),
            Change::Remove => Value::Unset,
        }
    }

    fn amount(&mut self, amount: &Amount) -> Value {
        match amount {
            Amount::Number(number) => Value::Number(*number),
            Amount::Slot(slot) => self.state.slot(*slot),
            Amount::Made(template) => Value::Text(self.expand(template)),
        }
    }

    fn set_lasting(&mut self, collection: Variable, name: &Name, change: &Change) {
        let by = match change {
            Change::Assign(amount) | Change::Add(amount) | Change::Subtract(amount) => self.amount(amount),
            Change::Remove => Value::Unset,
        };
        let number = self.state.number_of(by);
        let text = self.text_of(by);
        let text = self.state.texts.bytes(text).to_vec();
        let timeout = self.rules.configuration.collection_timeout;
        self.with_lasting(collection, name, |shelf, key, member, now| match change {
            Change::Assign(_) => shelf.assign(collection, key, member, text, now, timeout),
            Change::Add(_) => shelf.add(collection, key, member, number, now, timeout),
            Change::Subtract(_) => shelf.add(collection, key, member, number.saturating_neg(), now, timeout),
            Change::Remove => shelf.remove(collection, key, member),
        });
    }

    /// Does something with a member of a collection that outlives the transaction, if it was opened.
    fn with_lasting(
        &mut self,
        collection: Variable,
        name: &Name,
        work: impl FnOnce(&crate::Collections, &[u8], &[u8], ringwall_model::Timestamp),
    ) {
        let name = match name {
            Name::Slot(slot) => {
                self.rules.names.get(usize::from(*slot)).map_or_else(Vec::new, |name| name.as_bytes().to_vec())
            }
            Name::Made(template) => {
                let name = self.expand(template);
                self.state.texts.bytes(name).to_ascii_lowercase()
            }
        };
        let opened = self.state.opened.iter().find(|(opened, _)| *opened == collection);
        let (Some((_, key)), Some(collections)) = (opened, &self.state.collections) else { return };
        work(collections, self.state.texts.bytes(*key), &name, self.state.now);
    }

    fn control(&mut self, control: &Control) {
        match control {
            Control::Engine(engine) => self.state.engine = *engine,
            Control::RequestBodyAccess(access) => self.state.request_access = *access,
            Control::ResponseBodyAccess(access) => self.state.response_access = *access,
            Control::ForceRequestBody(access) => self.state.force_body = *access,
            Control::Processor(processor) => {
                self.state.processor = *processor;
                self.state.set(Variable::ReqbodyProcessor, processor.name().as_bytes());
            }
            Control::Audit(audit) => self.state.audit = *audit,
            Control::RemoveRules(rules) => self.state.removed.extend(rules),
            Control::RemoveTarget(held) => self.state.removed_targets.push(std::sync::Arc::clone(held)),
        }
    }
}
