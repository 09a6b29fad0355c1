//! Reading by Kong's schema: values, defaults, and the words in which Kong refuses.

use super::code;
use crate::Cursor;
use crate::node::Value;
use ringwall_model::{Code, Severity};

/// The fields every entity may have that say nothing about traffic.
pub const COMMENTS: [&str; 6] = ["tags", "_comment", "_ignore", "created_at", "updated_at", "_tags"];

/// Enters a finding at a cursor.
pub fn tell(at: Cursor<'_>, code: Code, severity: Severity, title: impl Into<String>, help: &str) {
    let mut finding = at.finding(code, severity, title);
    if !help.is_empty() {
        finding = finding.help(help);
    }
    at.report(finding);
}

/// A truth value, or the default.
pub fn flag(at: Cursor<'_>, default: Flag) -> Flag {
    match at.flag() {
        Some(true) => Flag::On,
        Some(false) => Flag::Off,
        None => default,
    }
}

/// A truth value with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// True.
    On,
    /// False.
    Off,
}

impl Flag {
    /// For the structures of the engine.
    pub const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

/// A list of texts; a single text is a list of one, as Kong's set fields take it from forms and files.
pub fn texts(at: Cursor<'_>) -> Option<Vec<Box<str>>> {
    match at.peek().map(|node| &node.value) {
        Some(Value::String(_)) => at.string().map(|text| vec![text.into()]),
        Some(_) => at.strings().map(|texts| texts.into_iter().map(Into::into).collect()),
        None => None,
    }
}

/// `yes` and `no` as kong-oidc has them, as words. A truth value (`yes` without quotes in YAML 1.1) has the same plain
/// meaning, which Kong refuses.
pub fn word(at: Cursor<'_>, refused: Severity) -> Option<Flag> {
    match at.peek().map(|node| &node.value) {
        Some(Value::Bool(truth)) => {
            at.flag();
            let name = at.name();
            let quoted = if *truth { "\"yes\"" } else { "\"no\"" };
            let title = format!("Kong refuses this: `config.{name}: expected a string`");
            let mut finding = at.finding(code::OIDC_WORD, refused, title);
            finding =
                finding.help(format!("Kong's YAML makes a truth value of `yes` without quotes; write `{quoted}`"));
            finding.fix = Some(quoted.to_owned());
            at.report(finding);
            Some(if *truth { Flag::On } else { Flag::Off })
        }
        Some(_) => at.enumeration(&[("yes", Flag::On), ("no", Flag::Off), ("true", Flag::On), ("false", Flag::Off)]),
        None => None,
    }
}

/// A number of milliseconds, as Kong's timeouts have it.
pub fn timeout(at: Cursor<'_>, default: u64) -> ringwall_model::Millis {
    let millis = at.integer(1..=2_147_483_646).and_then(|number| u64::try_from(number).ok());
    ringwall_model::Millis(millis.unwrap_or(default))
}

/// Whether a text is a field name (RFC 9110 section 5.1).
pub fn is_field_name(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token)
}
