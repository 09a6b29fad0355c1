//! Operators: the question a rule puts to a value.
//!
//! In: bytes. Out: a [`Hit`] or nothing. Reference manual v3, "Operators". Start reading at [`Operator`]; the names
//! are in `operator/read.rs`.

pub(crate) mod address;
pub(crate) mod gate;
mod look;
pub(crate) mod pattern;
pub(crate) mod phrases;
pub(crate) mod read;
pub(crate) mod validate;

use crate::openapi::Standalone;
use crate::template::Template;
use address::Networks;

/// An operator with its argument.
#[derive(Debug)]
pub(crate) enum Operator {
    /// `@rx`: number in [`crate::Rules::patterns`].
    Pattern(u32),
    /// `@rx` with macros: compiled when it runs, the empty pattern when it cannot be.
    MadePattern(Template),
    /// `@rxGlobal`: as `@rx`, every match captured.
    PatternGlobal(u32),
    /// `@pm`, `@pmFromFile`: number in [`crate::Rules::phrases`].
    Phrases(u32),
    /// `@eq`, `@ge`, `@gt`, `@le`, `@lt`.
    Compare(Order, Number),
    /// `@streq`, `@contains`, …
    Text(Relation, Template),
    /// `@ipMatch`, `@ipMatchFromFile`.
    Address(Networks),
    /// `@detectSQLi`.
    Sqli,
    /// `@detectXSS`.
    Xss,
    /// `@unconditionalMatch`; also `SecAction`.
    Always,
    /// `@noMatch`, `@rbl`.
    Never,
    /// `@geoLookup`: whether the client's place is known; `GEO` was filled with it.
    Geography,
    /// `@validateByteRange`: the bytes that are allowed.
    ByteRange(Box<[bool; 256]>),
    /// `@validateUrlEncoding`.
    UrlEncoding,
    /// `@validateUtf8Encoding`.
    Utf8,
    /// `@validateSchema`: what is no JSON that fits this schema matches.
    Schema(Box<Standalone>),
    /// `@verifyCC`, `@verifyCPF`, `@verifySSN`, `@verifySVNR`: the pattern that finds numbers, and their check digits.
    Verify(validate::CheckDigits, u32),
}

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Eq,
    Ge,
    Gt,
    Le,
    Lt,
}

impl Order {
    /// Whether `left` stands so to `right`.
    pub const fn holds(self, left: i64, right: i64) -> bool {
        match self {
            Self::Eq => left == right,
            Self::Ge => left >= right,
            Self::Gt => left > right,
            Self::Le => left <= right,
            Self::Lt => left < right,
        }
    }
}

/// The number on the right side of a comparison.
#[derive(Debug)]
pub(crate) enum Number {
    /// It stands in the rule.
    Fixed(i64),
    /// It is the value of a known `TX` name.
    Slot(u16),
    /// It is the number that a text begins with.
    Made(Template),
}

/// How two texts are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Equal,
    Contains,
    ContainsWord,
    BeginsWith,
    EndsWith,
    /// The value stands in the argument.
    Within,
}

impl Relation {
    /// Whether `value` stands so to `argument`.
    pub fn holds(self, value: &[u8], argument: &[u8]) -> bool {
        match self {
            Self::Equal => value == argument,
            Self::Contains => memchr::memmem::find(value, argument).is_some(),
            Self::ContainsWord => contains_word(value, argument),
            Self::BeginsWith => value.starts_with(argument),
            Self::EndsWith => value.ends_with(argument),
            Self::Within => memchr::memmem::find(argument, value).is_some(),
        }
    }
}

fn contains_word(value: &[u8], word: &[u8]) -> bool {
    let inside = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let free = |at: usize| !(at > 0 && inside(value.get(at - 1)) || inside(value.get(at + word.len())));
    word.is_empty() || memchr::memmem::find_iter(value, word).any(free)
}

/// The number that a text begins with, as `atoi` of C reads it; 0 when there is none.
pub(crate) fn number(text: &[u8]) -> i64 {
    let start = text.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(text.len());
    let text = text.get(start..).unwrap_or_default();
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let value = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0_i64, |sum, byte| sum.saturating_mul(10).saturating_add(i64::from(byte - b'0')));
    if negative { value.saturating_neg() } else { value }
}

#[cfg(test)]
mod tests {
    use super::{Relation, number};

    #[test]
    fn relations() {
        let check = |relation: Relation, value: &str, argument: &str, want: bool| {
            assert_eq!(relation.holds(value.as_bytes(), argument.as_bytes()), want, "{relation:?} {value} {argument}");
        };
        check(Relation::Within, "GET", "GET HEAD", true);
        check(Relation::Within, "PUT", "GET HEAD", false);
        check(Relation::Within, "", "GET", true);
        check(Relation::ContainsWord, "a cat", "cat", true);
        check(Relation::ContainsWord, "concat cat", "cat", true);
        check(Relation::ContainsWord, "concat", "cat", false);
        check(Relation::EndsWith, "abc", "bc", true);
    }

    #[test]
    fn numbers() {
        let check = |text: &str, want| assert_eq!(number(text.as_bytes()), want, "{text}");
        check(" 12x", 12);
        check("-3", -3);
        check("x", 0);
        check("", 0);
        check("99999999999999999999", i64::MAX);
    }
}
