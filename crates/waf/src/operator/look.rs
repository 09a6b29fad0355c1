//! Patterns with look-around or back-references: matched by going back, under a limit of steps.
//!
//! The library matches characters, rules mean bytes: each byte becomes the character of its number (ISO 8859-1), and the
//! classes that would then mean more are spelt out. A text that needs more steps than the limit matches: fail closed.

use fancy_regex::{Regex, RegexBuilder};
use std::sync::OnceLock;

/// Steps back that one search may take.
const STEPS: usize = 200_000;
/// Only so much of a text is searched; the steps grow with its square.
const LONGEST: usize = 16 << 10;

/// A pattern; compiled when it is first needed.
#[derive(Debug)]
pub(crate) struct Look {
    pattern: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Look {
    /// Reads a pattern that was prepared for bytes.
    pub fn read(prepared: &str) -> Result<Self, String> {
        let pattern = spelt(prepared);
        let look = Self { pattern, compiled: OnceLock::new() };
        match build(&look.pattern) {
            Ok(regex) => {
                look.compiled.get_or_init(|| Some(regex));
                Ok(look)
            }
            Err(why) => Err(why),
        }
    }

    /// The groups of the first match; `Err`: it took too many steps.
    pub fn groups(&self, text: &[u8]) -> Result<Vec<Option<(usize, usize)>>, ()> {
        let Some(Some(regex)) = self.compiled.get() else { return Err(()) };
        let text = text.get(..LONGEST).unwrap_or(text);
        let wide: String = text.iter().map(|byte| char::from(*byte)).collect();
        let Some(captures) = regex.captures(&wide).map_err(|_| ())? else { return Ok(Vec::new()) };
        let place = |at: usize| wide.get(..at).map_or(0, |before| before.chars().count());
        Ok(captures
            .iter()
            .take(10)
            .map(|group| group.map(|group| (place(group.start()), place(group.end()))))
            .collect())
    }

    /// Whether the pattern matches.
    pub fn matches(&self, text: &[u8]) -> bool {
        self.groups(text).map_or(true, |groups| !groups.is_empty())
    }
}

impl Clone for Look {
    fn clone(&self) -> Self {
        Self { pattern: self.pattern.clone(), compiled: self.compiled.clone() }
    }
}

fn build(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern).backtrack_limit(STEPS).build();
    built.map_err(|error| error.to_string())
}

/// The pattern with DOTALL and MULTILINE, and with the classes of ASCII.
fn spelt(pattern: &str) -> String {
    let mut out = String::from("(?sm)");
    let mut chars = pattern.chars();
    let mut class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let next = chars.next().unwrap_or('\\');
                let inner = match next {
                    'd' => "0-9",
                    'w' => "0-9A-Za-z_",
                    's' => "\\t-\\r\\x20",
                    'D' if !class => "^0-9",
                    'W' if !class => "^0-9A-Za-z_",
                    'S' if !class => "^\\t-\\r\\x20",
                    _ => {
                        out.push('\\');
                        out.push(next);
                        continue;
                    }
                };
                out.push_str(&if class { inner.to_owned() } else { format!("[{inner}]") });
            }
            '[' if !class => {
                class = true;
                out.push('[');
            }
            ']' => {
                class = false;
                out.push(']');
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::Look;

    #[test]
    fn looks() {
        let check = |pattern: &str, text: &[u8], want| {
            assert_eq!(Look::read(pattern).unwrap().matches(text), want, "{pattern}")
        };
        check(r"<\?(?!xml)", b"a<?php", true);
        check(r"<\?(?!xml)", b"a<?xml", false);
        check(r"(?<!&(?:lt|gt))[';]", b"a&lt;b", false);
        check(r"(?<!&(?:lt|gt))[';]", b"a&lx;b", true);
        check(r"\b(\w+)=\1\b", b"x 12=12", true);
        check(r"\b(\w+)=\1\b", b"x 12=13", false);
        check(r"\xff(?!a)", b"\xffb", true);
        assert_eq!(Look::read(r"b(?!c)").unwrap().groups(b"\xff\xffb").unwrap(), [Some((2, 3))]);
    }
}
