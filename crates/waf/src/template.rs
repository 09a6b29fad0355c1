//! Text with macros: `Matched Data: %{TX.0} found within %{MATCHED_VAR_NAME}`.
//!
//! In: text as written. Out: pieces that the transaction fills in. Reference manual v3, "Macro expansion".

use crate::variable::Variable;

/// Text with macros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template {
    /// Its pieces in order.
    pub pieces: Vec<Piece>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text.
    Text(Box<str>),
    /// The value of a variable; empty when it has none.
    Value(Variable, Option<Key>),
    /// A member of `RULE`: `id`, `msg`, `severity`, …
    Rule(Box<str>),
}

/// Names a member of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// A known name of `TX`.
    Slot(u16),
    /// Any other, in lower case.
    Name(Box<str>),
}

impl Template {
    /// Reads a text; `slot` numbers the names of `TX`. The error is the macro that names no variable.
    pub fn read(text: &str, slot: &mut dyn FnMut(&str) -> u16) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("%{") {
            let Some((name, left)) = after.split_once('}') else { break };
            if !before.is_empty() {
                pieces.push(Piece::Text(before.into()));
            }
            pieces.push(piece(name, slot)?);
            rest = left;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        Ok(Self { pieces })
    }

    /// The text, when there is no macro in it.
    pub fn fixed(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }
}

fn piece(name: &str, slot: &mut dyn FnMut(&str) -> u16) -> Result<Piece, String> {
    let (variable, key) = match name.split_once(['.', ':']) {
        Some((variable, key)) => (variable, Some(key)),
        None => (name, None),
    };
    let found = Variable::named(variable.trim()).ok_or_else(|| name.to_owned())?;
    Ok(match (found, key) {
        (Variable::Rule, key) => Piece::Rule(key.unwrap_or_default().to_ascii_lowercase().into()),
        (Variable::Tx, Some(key)) => Piece::Value(found, Some(Key::Slot(slot(key)))),
        (_, key) => Piece::Value(found, key.map(|key| Key::Name(key.to_ascii_lowercase().into()))),
    })
}
