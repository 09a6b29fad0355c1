//! Regular expressions of routes: anchored at the start, and the literal text that every match begins with.

use crate::Compatibility;
use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input};
use std::fmt;

/// Largest compiled size of one expression, in bytes: bounds memory and with it the time of a search.
const SIZE_LIMIT: usize = 2 << 20;

/// A compiled expression.
#[derive(Clone)]
pub struct Pattern {
    regex: Regex,
    text: Box<str>,
    anchored: Anchored,
}

/// Why an expression was not compiled; the engine's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPattern(pub String);

impl fmt::Debug for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Pattern({})", self.text)
    }
}

impl Pattern {
    /// Compiles a path expression (without its `~`). Kong writes `^` before it, which anchors only the first alternative
    /// of `a|b`; in [`Compatibility::Safe`] all are anchored. Errors: not an expression of this engine (no look-around,
    /// no back references), or too large.
    pub fn compile(text: &str, compatibility: Compatibility) -> Result<Self, BadPattern> {
        let (regex, anchored) = match compatibility {
            Compatibility::Safe => (build(text)?, Anchored::Yes),
            Compatibility::Kong => (build(&format!("^{text}"))?, Anchored::No),
        };
        Ok(Self { regex, text: text.into(), anchored })
    }

    /// Compiles an expression for field values: not anchored, whatever the case. Kong lowers the expression itself, which
    /// turns `\S` into `\s`; in [`Compatibility::Safe`] it stays as written.
    pub fn compile_for_field(text: &str, compatibility: Compatibility) -> Result<Self, BadPattern> {
        let text = match compatibility {
            Compatibility::Safe => format!("(?i){text}"),
            Compatibility::Kong => format!("(?i){}", text.to_ascii_lowercase()),
        };
        Ok(Self { regex: build(&text)?, text: text.into(), anchored: Anchored::No })
    }

    /// How long the text is that it matches in `path`.
    pub fn match_length(&self, path: &[u8]) -> Option<usize> {
        self.regex.find(Input::new(path).anchored(self.anchored)).map(|found| found.len())
    }

    /// Whether it matches anywhere.
    pub fn is_in(&self, value: &[u8]) -> bool {
        self.regex.is_match(value)
    }

    /// The captured groups of a match, in order of their numbers, with their names.
    pub fn captures<'p>(&self, path: &'p [u8]) -> Vec<(Option<Box<str>>, &'p [u8])> {
        let mut captures = self.regex.create_captures();
        self.regex.captures(Input::new(path).anchored(self.anchored), &mut captures);
        let names = self.regex.group_info().pattern_names(regex_automata::PatternID::ZERO);
        captures
            .iter()
            .zip(names)
            .map(|(span, name)| {
                let text = span.and_then(|span| path.get(span.range())).unwrap_or_default();
                (name.map(Into::into), text)
            })
            .collect()
    }

    /// Text that every match begins with; empty when there may be none.
    pub fn literal_start(&self) -> &str {
        let text = &*self.text;
        if text.contains('|') {
            return "";
        }
        let is_meta =
            |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '~' | '%' | '@' | ':' | ','));
        let Some((end, meta)) = text.char_indices().find(|(_, c)| is_meta(*c)) else { return text };
        // A quantifier may take the character before it away.
        let end = if matches!(meta, '?' | '*' | '{' | '+') { end.saturating_sub(1) } else { end };
        text.get(..end).unwrap_or_default()
    }
}

fn build(text: &str) -> Result<Regex, BadPattern> {
    Regex::builder()
        .configure(Regex::config().nfa_size_limit(Some(SIZE_LIMIT)))
        .build(text)
        .map_err(|error| BadPattern(innermost(&error)))
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::Pattern;
    use crate::Compatibility::{Kong, Safe};

    #[track_caller]
    fn starts(text: &str, want: &str) {
        assert_eq!(Pattern::compile(text, Safe).unwrap().literal_start(), want);
    }

    #[test]
    fn the_literal_start_is_what_every_match_begins_with() {
        starts(r"/users/\d+", "/users/");
        starts("/users?", "/user");
        starts("/users*", "/user");
        starts("/u{0}", "/");
        starts("/a|/b", "");
        starts("(?i)/a", "");
        starts("/plain", "/plain");
        starts("/v1.0", "/v1");
        starts("/v1$", "/v1");
    }

    #[track_caller]
    fn length(text: &str, compatibility: crate::Compatibility, path: &str, want: Option<usize>) {
        assert_eq!(Pattern::compile(text, compatibility).unwrap().match_length(path.as_bytes()), want);
    }

    #[test]
    fn expressions_are_anchored_at_the_start_only() {
        length(r"/a/\d", Safe, "/a/1/rest", Some(4));
        length(r"/a/\d", Safe, "/x/a/1", None);
        length("/a|/b", Kong, "/x/b", Some(2));
        length("/a|/b", Safe, "/x/b", None);
    }

    #[test]
    fn what_is_no_expression_is_told() {
        assert!(Pattern::compile("/(a", Safe).is_err());
        assert!(Pattern::compile("/(?<=a)b", Kong).is_err());
    }
}
