//! SecLang text to syntax: directives with their arguments and places.
//!
//! In: a [`crate::Bundle`] of files. Out: [`Directive`]s in the order in which they take effect, includes resolved.
//! Never: what a rule means (see `lower`). Follows the ModSecurity reference manual v3, "Configuration Directives".
//! Start reading at [`read`].

pub(crate) mod action;
pub(crate) mod error;
pub(crate) mod line;
pub(crate) mod target;

pub use error::LoadError;
use line::Logical;

use crate::bundle::Bundle;
use std::sync::Arc;

/// One directive of a file.
#[derive(Clone, Debug)]
pub(crate) struct Directive {
    /// Its name as written.
    pub name: String,
    /// Its arguments, quotes taken away.
    pub arguments: Vec<Argument>,
    /// Where it stands.
    pub source: Arc<Logical>,
}

/// One argument of a directive.
#[derive(Clone, Debug)]
pub(crate) struct Argument {
    /// Its text, quotes and `\"` resolved.
    pub text: String,
    /// Offset of the text's first byte in the logical line.
    pub at: usize,
}

impl Directive {
    /// The text of an argument, empty when it is absent.
    pub fn text(&self, index: usize) -> &str {
        self.arguments.get(index).map_or("", |argument| argument.text.as_str())
    }

    /// An error at an offset of an argument.
    pub fn error(&self, index: usize, offset: usize, message: impl Into<String>) -> LoadError {
        let at = self.arguments.get(index).map_or(0, |argument| argument.at);
        LoadError::at(&self.source, at + offset, message)
    }
}

/// Includes may nest so deep; a file that includes itself ends here.
const DEEPEST: usize = 16;

/// Reads the files named `roots` and all that they include.
pub(crate) fn read(bundle: &Bundle, roots: &[&str], errors: &mut Vec<LoadError>) -> Vec<Directive> {
    let mut directives = Vec::new();
    for root in roots {
        if bundle.file(root).is_none() {
            errors.push(LoadError::whole(root, "there is no such file in the bundle"));
        }
        file(bundle, root, 0, &mut directives, errors);
    }
    directives
}

fn file(bundle: &Bundle, name: &str, depth: usize, out: &mut Vec<Directive>, errors: &mut Vec<LoadError>) {
    let Some(bytes) = bundle.file(name) else { return };
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(bad) => {
            let line = bytes.iter().take(bad.valid_up_to()).filter(|byte| **byte == b'\n').count() + 1;
            errors.push(LoadError::whole(name, format!("line {line} is not UTF-8")));
            return;
        }
    };
    for logical in line::logical(name, text) {
        match directive(Arc::new(logical)) {
            Ok(directive) if directive.name.eq_ignore_ascii_case("Include") => {
                include(bundle, &directive, Missing::Refuse, depth, out, errors);
            }
            Ok(directive) if directive.name.eq_ignore_ascii_case("IncludeOptional") => {
                include(bundle, &directive, Missing::Skip, depth, out, errors);
            }
            Ok(directive) => out.push(directive),
            Err(error) => errors.push(error),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Refuse,
    Skip,
}

fn include(
    bundle: &Bundle,
    directive: &Directive,
    missing: Missing,
    depth: usize,
    out: &mut Vec<Directive>,
    errors: &mut Vec<LoadError>,
) {
    if depth >= DEEPEST {
        errors.push(directive.error(0, 0, format!("files include each other more than {DEEPEST} deep")));
        return;
    }
    let found = bundle.matching(&directive.source.file, directive.text(0));
    if found.is_empty() && missing == Missing::Refuse {
        errors.push(
            directive
                .error(0, 0, format!("no file matches `{}`", directive.text(0)))
                .help("the path is taken relative to the file that includes it; `IncludeOptional` may match nothing"),
        );
    }
    for name in found {
        file(bundle, &name, depth + 1, out, errors);
    }
}

fn directive(source: Arc<Logical>) -> Result<Directive, LoadError> {
    let text = source.text.as_str();
    let name: String = text.chars().take_while(|c| !c.is_ascii_whitespace()).collect();
    let mut at = name.len();
    let mut arguments = Vec::new();
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let trimmed = rest.trim_start_matches([' ', '\t', '\r']);
        at += rest.len() - trimmed.len();
        if trimmed.is_empty() {
            return Ok(Directive { name, arguments, source });
        }
        let (argument, length) = argument(trimmed, at).ok_or_else(|| {
            LoadError::at(&source, at, "this quoted argument has no end")
                .help("close it with `\"`, or write `\\\"` inside")
        })?;
        arguments.push(argument);
        at += length;
    }
}

/// One argument at the start of `text`, and how many bytes it takes; `None` when its quote never ends.
fn argument(text: &str, at: usize) -> Option<(Argument, usize)> {
    let quote = text.chars().next().filter(|c| *c == '"' || *c == '\'');
    let Some(quote) = quote else {
        let word: String = text.chars().take_while(|c| !c.is_ascii_whitespace()).collect();
        let length = word.len();
        return Some((Argument { text: word, at }, length));
    };
    let mut content = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((index, c)) = chars.next() {
        if c == '\\' && chars.peek().is_some_and(|(_, next)| *next == quote) {
            content.push(quote);
            chars.next();
        } else if c == '\\' && chars.peek().is_some_and(|(_, next)| *next == '\\') {
            // Kept in pairs: the regular expression or the operator reads them.
            content.push_str("\\\\");
            chars.next();
        } else if c == quote {
            return Some((Argument { text: content, at: at + 1 }, index + 1));
        } else {
            content.push(c);
        }
    }
    None
}
