//! What is wrong with a rule file, for people: file, line, column, excerpt, help.

use super::line::Logical;
use std::fmt;

/// An error in a rule file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct LoadError {
    /// Name of the file in the bundle.
    pub file: String,
    /// Line, from 1; 0 when the file as a whole is meant.
    pub line: u32,
    /// Column in bytes, from 1.
    pub column: u32,
    /// What is wrong, one sentence.
    pub message: String,
    /// The line at fault, bounded.
    pub excerpt: String,
    /// How many bytes of the excerpt stand before the fault.
    pub indent: usize,
    /// What to do about it.
    pub help: Option<&'static str>,
}

impl LoadError {
    /// An error at a byte of a logical line.
    pub(crate) fn at(source: &Logical, offset: usize, message: impl Into<String>) -> Self {
        let (line, column, start) = source.place(offset);
        let whole = source.excerpt(offset);
        // A long pattern would hide the message: show what stands around the fault.
        let within = offset - start.min(offset);
        let from = whole.char_indices().map(|(at, _)| at).rfind(|at| at + 60 <= within || *at == 0).unwrap_or(0);
        let excerpt: String = whole.get(from..).unwrap_or_default().chars().take(110).collect();
        let indent = within.saturating_sub(from);
        Self { file: source.file.clone(), line, column, message: message.into(), excerpt, indent, help: None }
    }

    /// An error of a whole file.
    pub(crate) fn whole(file: &str, message: impl Into<String>) -> Self {
        let (file, message) = (file.to_owned(), message.into());
        Self { file, line: 0, column: 0, message, excerpt: String::new(), indent: 0, help: None }
    }

    /// The same with help.
    #[must_use]
    pub(crate) fn help(mut self, help: &'static str) -> Self {
        self.help = Some(help);
        self
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if !self.excerpt.is_empty() {
            write!(out, "\n  | {}\n  | {}^", self.excerpt, " ".repeat(self.indent))?;
        }
        match self.help {
            Some(help) => write!(out, "\n  = help: {help}"),
            None => Ok(()),
        }
    }
}
