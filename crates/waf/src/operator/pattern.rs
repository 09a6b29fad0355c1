//! `@rx`: regular expressions over bytes, in linear time.
//!
//! In: a pattern of PCRE as rules write it. Out: a compiled pattern, what a text must have for it to match, matches.
//! Patterns with look-around or back-references go to `look`; none of CRS 4 does, three of CRS 3 do.
//! Compiled with DOTALL and MULTILINE as ModSecurity does, bytes not characters.

use super::gate::{self, Gate};
use super::look::Look;
use regex_automata::meta::{Cache, Config, Regex};
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind};
use std::sync::OnceLock;

/// A pattern; compiled when it is first needed, so that rules of a paranoia level that is not in force cost nothing.
#[derive(Debug)]
pub(crate) struct Pattern {
    prepared: String,
    compiled: OnceLock<Option<Regex>>,
    /// The pattern, when it looks around or back; then nothing else of this is used.
    look: Option<Look>,
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
            look: self.look.clone(),
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
        let (look, gate, literals) = match syntax::parse_with(&prepared, &options()) {
            Ok(hir) => {
                let (gate, literals) = gate::of(&hir);
                (None, gate, literals)
            }
            Err(error) => {
                let error = error.to_string();
                if !error.contains("look-around") && !error.contains("backreferences") {
                    return Err(reason(&prepared, &error));
                }
                let look = Look::read(&prepared).map_err(|error| reason(&prepared, &error))?;
                (Some(look), Gate::default(), Vec::new())
            }
        };
        Ok(Self { prepared, compiled: OnceLock::new(), look, gate, literals })
    }

    /// The pattern as it is compiled.
    pub fn text(&self) -> &str {
        &self.prepared
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
        self.look.is_some() || self.regex().is_some()
    }

    /// Where the pattern first matches.
    pub fn find(&self, cache: &mut Option<Box<Cache>>, text: &[u8]) -> Option<(usize, usize)> {
        if let Some(look) = &self.look {
            return look.groups(text).ok()?.into_iter().next().flatten();
        }
        let regex = self.regex()?;
        let cache = cache.get_or_insert_with(|| Box::new(regex.create_cache()));
        let found = regex.search_with(cache, &Input::new(text))?;
        Some((found.start(), found.end()))
    }

    /// Whether the pattern matches. One that is too large to compile matches everything: fail closed.
    pub fn matches(&self, cache: &mut Option<Box<Cache>>, text: &[u8]) -> bool {
        if let Some(look) = &self.look {
            return look.matches(text);
        }
        let Some(regex) = self.regex() else { return true };
        let cache = cache.get_or_insert_with(|| Box::new(regex.create_cache()));
        regex.search_half_with(cache, &Input::new(text).earliest(true)).is_some()
    }

    /// Whether the pattern matches, without a cache at hand. For names, not for values.
    pub fn finds(&self, text: &[u8]) -> bool {
        match &self.look {
            Some(look) => look.matches(text),
            None => self.regex().is_none_or(|regex| regex.is_match(text)),
        }
    }

    /// The groups of the first match, the whole match first; at most ten.
    pub fn groups(&self, cache: &mut Option<Box<Cache>>, text: &[u8]) -> [Option<(usize, usize)>; 10] {
        let mut groups = [None; 10];
        if let Some(look) = &self.look {
            for (place, group) in groups.iter_mut().zip(look.groups(text).unwrap_or_default()) {
                *place = group;
            }
            return groups;
        }
        let Some(regex) = self.regex() else { return groups };
        let cache = cache.get_or_insert_with(|| Box::new(regex.create_cache()));
        let mut slots = [None; 20];
        regex.search_slots_with(cache, &Input::new(text), &mut slots);
        for (place, pair) in groups.iter_mut().zip(slots.chunks_exact(2)) {
            *place = match pair {
                [Some(from), Some(to)] => Some((from.get(), to.get())),
                _ => None,
            };
        }
        groups
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
            '{' if !class && !is_count(chars.clone()) => out.push_str("\\{"),
            other if !other.is_ascii() => bytes(other, &mut out),
            other => out.push(other),
        }
    }
    out
}

/// Whether a repetition count such as `3,5}` follows.
fn is_count(mut chars: std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    let digits = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
        std::iter::from_fn(|| chars.next_if(char::is_ascii_digit)).count()
    };
    let least = digits(&mut chars);
    if chars.next_if_eq(&',').is_some() {
        digits(&mut chars);
    }
    least > 0 && chars.next() == Some('}')
}

/// A character beyond ASCII is the bytes of its UTF-8 form; in a class, each of them.
fn bytes(c: char, out: &mut String) {
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        out.push_str(&format!("\\x{byte:02x}"));
    }
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
        Some(c) if !c.is_ascii() => bytes(c, out),
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
        assert!(found("a{b}{2}", b"a{b}}") && found("[´]", "´".as_bytes()) && !found("a{2}", b"ab"));
        assert!(found("a(?=b)", b"ab") && found(r"(a)\1", b"aa") && Pattern::read("(a").is_err());
    }
}
