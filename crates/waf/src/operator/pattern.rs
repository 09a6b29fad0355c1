//! `@rx`: regular expressions over bytes, in linear time.
//!
//! In: a pattern of PCRE as rules write it. Out: a compiled pattern, what a text must have for it to match, matches.
//! Never: look-around, back-references, possessive meaning: a pattern that has one is a load error.
//! Compiled with DOTALL and MULTILINE as ModSecurity does, bytes not characters.

use super::gate::{self, Gate};
use regex_automata::meta::{Cache, Config, Regex};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind};
use std::sync::OnceLock;

/// A pattern; compiled when it is first needed, so that rules of a paranoia level that is not in force cost nothing.
#[derive(Debug)]
pub(crate) struct Pattern {
    prepared: String,
    compiled: OnceLock<Option<Regex>>,
    /// What a text must have.
    pub gate: Gate,
    /// Literals, lower case, one of which a text must have; empty when nothing is known.
    pub literals: Vec<Vec<u8>>,
}

impl Clone for Pattern {
    fn clone(&self) -> Self {
        Self {
            prepared: self.prepared.clone(),
            compiled: OnceLock::new(),
            gate: self.gate.clone(),
            literals: self.literals.clone(),
        }
    }
}

/// Compiled size of one pattern, in bytes; CRS needs less than a tenth.
const LARGEST: usize = 32 << 20;
/// Memory of one pattern's lazy automaton.
const CACHE: usize = 1 << 20;

impl Pattern {
    /// Reads a pattern; the error says what is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let prepared = prepare(text);
        let hir = syntax::parse_with(&prepared, &options()).map_err(|error| reason(&prepared, &error.to_string()))?;
        let (gate, literals) = gate::of(&hir);
        Ok(Self { prepared, compiled: OnceLock::new(), gate, literals })
    }

    fn regex(&self) -> Option<&Regex> {
        let build = || {
            let config = Config::new()
                .match_kind(MatchKind::LeftmostFirst)
                .utf8_empty(false)
                .nfa_size_limit(Some(LARGEST))
                .hybrid_cache_capacity(CACHE);
            Regex::builder().configure(config).syntax(options()).build(&self.prepared).ok()
        };
        self.compiled.get_or_init(build).as_ref()
    }

    /// Compiles now. `false`: it is too large.
    pub fn warm(&self) -> bool {
        self.regex().is_some()
    }

    /// Where the pattern first matches.
    pub fn find(&self, cache: &mut Option<Box<Cache>>, text: &[u8]) -> Option<(usize, usize)> {
        let regex = self.regex()?;
        let cache = cache.get_or_insert_with(|| Box::new(regex.create_cache()));
        let found = regex.search_with(cache, &Input::new(text))?;
        Some((found.start(), found.end()))
    }

    /// Whether the pattern matches. One that is too large to compile matches everything: fail closed.
    pub fn matches(&self, cache: &mut Option<Box<Cache>>, text: &[u8]) -> bool {
        let Some(regex) = self.regex() else { return true };
        let cache = cache.get_or_insert_with(|| Box::new(regex.create_cache()));
        regex.search_half_with(cache, &Input::new(text).earliest(true)).is_some()
    }

    /// Whether the pattern matches, without a cache at hand. For names, not for values.
    pub fn finds(&self, text: &[u8]) -> bool {
        self.regex().is_none_or(|regex| regex.is_match(text))
    }

    /// The groups of the first match, the whole match first; at most ten.
    pub fn groups(&self, cache: &mut Option<Box<Cache>>, text: &[u8]) -> Vec<Option<(usize, usize)>> {
        let Some(regex) = self.regex() else { return Vec::new() };
        let cache = cache.get_or_insert_with(|| Box::new(regex.create_cache()));
        let mut captures: Captures = regex.create_captures();
        regex.search_captures_with(cache, &Input::new(text), &mut captures);
        if !captures.is_match() {
            return Vec::new();
        }
        captures.iter().take(10).map(|group| group.map(|span| (span.start, span.end))).collect()
    }
}

fn options() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false).dot_matches_new_line(true).multi_line(true).nest_limit(400)
}

fn reason(pattern: &str, error: &str) -> String {
    let last = error.lines().rev().find(|line| line.starts_with("error:")).unwrap_or("it is not valid");
    let what = last.trim_start_matches("error:").trim();
    let cut: String = pattern.chars().take(60).collect();
    format!("the regular expression `{cut}` cannot be used: {what}")
}

/// PCRE spellings that `regex-syntax` reads otherwise: `\x{HH}` is a byte, `[` inside of a class is a byte, `\h`, `\e`,
/// `\Z`, `\<` and `\>` are not what they are there.
fn prepare(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let (mut class, mut first) = (false, false);
    while let Some(c) = chars.next() {
        let opened = first;
        first = false;
        match c {
            '\\' => escape(&mut chars, class, &mut out),
            '[' if !class => {
                class = true;
                first = true;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
            }
            '[' if chars.peek() == Some(&':') => {
                out.push('[');
                for inner in chars.by_ref() {
                    out.push(inner);
                    if inner == ']' {
                        break;
                    }
                }
            }
            '[' => out.push_str("\\["),
            ']' if class && opened => out.push_str("\\]"),
            ']' => {
                class = false;
                out.push(']');
            }
            '&' | '~' | '-' if class && chars.peek() == Some(&c) => {
                out.push('\\');
                out.push(c);
            }
            other => out.push(other),
        }
    }
    out
}

fn escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, class: bool, out: &mut String) {
    match chars.next() {
        Some('x') if chars.peek() == Some(&'{') => {
            let digits: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
            match u8::from_str_radix(&digits, 16) {
                Ok(byte) => out.push_str(&format!("\\x{byte:02x}")),
                Err(_) => out.push_str(&format!("\\x{{{digits}}}")),
            }
        }
        Some(c @ ('<' | '>')) => out.push(c),
        Some('h') if class => out.push_str("\\t "),
        Some('h') => out.push_str("[\\t ]"),
        Some('e') => out.push_str("\\x1b"),
        Some('Z') => out.push_str("\\z"),
        Some('0') => out.push_str("\\x00"),
        Some(c) if !c.is_ascii() => out.push(c),
        Some(c) => {
            out.push('\\');
            out.push(c);
        }
        None => out.push_str("\\\\"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, prepare};

    #[test]
    fn spellings() {
        let check = |text: &str, want: &str| assert_eq!(prepare(text), want);
        check(r"[\x{ff}-\x{2f}]", r"[\xff-\x2f]");
        check(r"[[:alpha:][a&&b]", r"[[:alpha:]\[a\&&b]");
        check(r"[]a]\<\h[^]\h]", r"[\]a]<[\t ][^\]\t ]");
    }

    #[test]
    fn bytes_not_characters() {
        let found = |pattern: &str, text: &[u8]| Pattern::read(pattern).unwrap().finds(text);
        assert!(found(r"\x{ff}", b"\xff") && !found(r"\x{ff}", "ÿ".as_bytes()));
        assert!(found("^b$", b"a\nb\nc") && found("a.b", b"a\nb"));
        assert!(Pattern::read("a(?=b)").is_err() && Pattern::read(r"(a)\1").is_err());
    }
}
