//! Values of variables, and text with macros filled in.

use super::Run;
use crate::state::Value;
use crate::template::{Key, Piece, Template};
use crate::text::{EMPTY, TextId};
use crate::variable::{Aspect, Variable};

/// So much of one value goes into a text that is put together.
const LONGEST_PIECE: usize = 8192;

impl Run<'_> {
    /// The text with its macros filled in.
    pub(super) fn expand(&mut self, template: &Template) -> TextId {
        match template.pieces.as_slice() {
            [] => return EMPTY,
            [Piece::Text(text)] => return self.state.texts.keep(text.as_bytes()),
            [Piece::Value(variable, key)] => return self.value(*variable, key.as_ref()).unwrap_or(EMPTY),
            _ => {}
        }
        let mut draft = std::mem::take(&mut self.machine.draft);
        draft.clear();
        for piece in &template.pieces {
            let value = match piece {
                Piece::Text(text) => {
                    draft.extend_from_slice(text.as_bytes());
                    continue;
                }
                Piece::Value(variable, key) => self.value(*variable, key.as_ref()),
                Piece::Rule(name) => self.computed(Variable::Rule, Some(name)),
            };
            let bytes = self.state.texts.bytes(value.unwrap_or(EMPTY));
            draft.extend_from_slice(bytes.get(..LONGEST_PIECE).unwrap_or(bytes));
        }
        let made = self.state.texts.keep(&draft);
        self.machine.draft = draft;
        made
    }

    /// The value of a variable, or of a member of a collection.
    pub(super) fn value(&mut self, variable: Variable, key: Option<&Key>) -> Option<TextId> {
        match (variable, key) {
            (Variable::Tx, Some(Key::Slot(slot))) => {
                let value = self.state.slot(*slot);
                self.state.text_of(value)
            }
            (Variable::MatchedVar, _) => Some(self.last_match().2),
            (Variable::MatchedVarName, _) => Some(self.matched_name()),
            (Variable::HighestSeverity | Variable::Rule, key) => {
                let name = if let Some(Key::Name(name)) = key { Some(&**name) } else { None };
                self.computed(variable, name)
            }
            (kept, Some(Key::Name(name))) if kept.is_persistent() => self.lasting(kept, name),
            (variable, key) => {
                let (kept, aspect, _) = variable.kept();
                let wanted = |name: TextId| match key {
                    Some(Key::Name(key)) => super::same_name(key.as_bytes(), self.state.texts.bytes(name)),
                    _ => true,
                };
                let entry = self.state.list(kept).iter().find(|entry| wanted(entry.name))?;
                Some(if aspect == Aspect::Name { entry.name } else { entry.value })
            }
        }
    }

    /// Values that are made when they are asked for.
    pub(super) fn computed(&mut self, variable: Variable, key: Option<&str>) -> Option<TextId> {
        if variable == Variable::HighestSeverity {
            return Some(self.state.texts.keep_number(i64::from(self.state.highest_severity)));
        }
        let rule = self.rules.rules.get(self.state.rule as usize)?;
        match key? {
            "id" => Some(self.state.texts.keep_number(i64::try_from(rule.id).unwrap_or(0))),
            "severity" => rule.severity.map(|severity| self.state.texts.keep_number(severity.into())),
            "msg" => rule.message.as_ref().map(|template| self.expand(template)),
            "logdata" => rule.data.as_ref().map(|template| self.expand(template)),
            "rev" => Some(self.state.texts.keep(rule.revision.as_bytes())),
            "ver" => Some(self.state.texts.keep(rule.version.as_bytes())),
            _ => None,
        }
    }

    /// `MATCHED_VAR_NAME`: `ARGS:q`, or the variable alone when it has no members.
    pub(super) fn matched_name(&mut self) -> TextId {
        let (variable, name, _) = self.last_match();
        let Some(variable) = variable else { return EMPTY };
        let mut draft = std::mem::take(&mut self.machine.buffer);
        draft.clear();
        draft.extend_from_slice(variable.name().as_bytes());
        if name != EMPTY {
            draft.push(b':');
            draft.extend_from_slice(self.state.texts.bytes(name));
        }
        let made = self.state.texts.keep(&draft);
        self.machine.buffer = draft;
        made
    }

    /// The value of a member of a collection that outlives the transaction.
    pub(super) fn lasting(&mut self, collection: Variable, name: &str) -> Option<TextId> {
        let (_, key) = *self.state.opened.iter().find(|(opened, _)| *opened == collection)?;
        let collections = self.state.collections.clone()?;
        let value = collections.get(collection, self.state.texts.bytes(key), name.as_bytes(), self.state.now)?;
        Some(self.state.texts.keep(&value))
    }

    /// The text of an amount or value.
    pub(super) fn text_of(&mut self, value: Value) -> TextId {
        self.state.text_of(value).unwrap_or(EMPTY)
    }
}
