//! What never leaves the process in a log, a trace or a span: credentials.
//!
//! INVARIANT: every value of a field or a target that this room writes goes through here.

use std::borrow::Cow;

/// What stands in place of a credential.
pub const REDACTED: &str = "[redacted]";

/// Words that make a field's or a query parameter's name the name of a credential, wherever they stand in it.
const WORDS: &[&str] = &[
    "api-key",
    "api_key",
    "apikey",
    "assertion",
    "authorization",
    "cookie",
    "credential",
    "csrf",
    "jwt",
    "passwd",
    "password",
    "secret",
    "session",
    "signature",
    "token",
    "xsrf",
];

/// Query parameters that are credentials although no such word is in their name.
const PARAMETERS: &[&str] = &["auth", "code", "key", "pwd", "sig", "state"];

/// Whether a field or a query parameter of that name holds a credential.
pub fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

/// What may be written of a field's values; its name decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Nothing.
    Nothing,
    /// All but credentials in the query of the target that it holds.
    Target,
    /// All.
    All,
}

impl Shown {
    /// Of a field of that name.
    pub fn of(name: &str) -> Self {
        const TARGETS: [&str; 6] =
            ["referer", "location", "content-location", "x-envoy-original-path", "x-original-url", "link"];
        if is_credential(name) {
            return Self::Nothing;
        }
        if TARGETS.iter().any(|known| name.eq_ignore_ascii_case(known)) { Self::Target } else { Self::All }
    }

    /// Whether a value may be written as it is, as text and in a JSON string, seen at one glance; most are. One that is not
    /// may be still.
    pub fn is_plain(self, value: &[u8]) -> bool {
        let seen = classes(value);
        match self {
            Self::Nothing => false,
            // Without a query there is no parameter, without a colon no user before a host.
            Self::Target => seen & (ESCAPED | FOREIGN | MARK) == 0,
            Self::All => seen & (ESCAPED | FOREIGN) == 0,
        }
    }

    /// A value as it may be written.
    pub fn value(self, value: &[u8]) -> Cow<'_, str> {
        match self {
            Self::Nothing => Cow::Borrowed(REDACTED),
            Self::Target => target(value),
            Self::All => text(value),
        }
    }
}

/// JSON writes it in another way.
const ESCAPED: u8 = 1;
/// It is not printable ASCII.
const FOREIGN: u8 = 2;
/// What comes after it in a target may be a credential.
const MARK: u8 = 4;

/// What each byte is.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < classes.len() {
        let at = byte as u8;
        classes[byte] |= if at < b' ' || matches!(at, b'"' | b'\\') { ESCAPED } else { 0 };
        classes[byte] |= if at < b' ' || at > b'~' { FOREIGN } else { 0 };
        classes[byte] |= if matches!(at, b':' | b'?') { MARK } else { 0 };
        byte += 1;
    }
    classes
};

/// What is among these bytes. Every one is looked up, without a way out.
fn classes(text: &[u8]) -> u8 {
    text.iter().fold(0, |seen, byte| seen | CLASSES[usize::from(*byte)])
}

/// Whether text is in JSON what it is.
pub fn is_literal(text: &[u8]) -> bool {
    classes(text) & ESCAPED == 0
}

/// A field's value as it may be written.
pub fn field<'a>(name: &str, value: &'a [u8]) -> Cow<'a, str> {
    Shown::of(name).value(value)
}

/// A target or a URL as it may be written: values of query parameters that are credentials, and user information, are
/// taken out.
pub fn target(target: &[u8]) -> Cow<'_, str> {
    let whole = text(target);
    let whole = match whole.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once('@')?))) {
        Some((scheme, (user, rest))) if !user.contains(['/', '?']) => {
            Cow::Owned(format!("{scheme}://{REDACTED}@{rest}"))
        }
        _ => whole,
    };
    let Some((path, query)) = whole.split_once('?') else { return whole };
    if !query.split('&').any(is_credential_parameter) {
        return whole;
    }
    let parts: Vec<Cow<'_, str>> = query.split('&').map(parameter).collect();
    Cow::Owned(format!("{path}?{}", parts.join("&")))
}

/// Bytes as text in which no control character is left, so that one event stays one line.
pub fn text(value: &[u8]) -> Cow<'_, str> {
    let plain = value.iter().all(|byte| (b' '..=b'~').contains(byte));
    match std::str::from_utf8(value) {
        Ok(text) if plain => Cow::Borrowed(text),
        Ok(text) if !text.chars().any(char::is_control) => Cow::Borrowed(text),
        _ => {
            let escape = |c: char| if c.is_control() { format!("\\x{:02x}", u32::from(c)) } else { c.into() };
            Cow::Owned(String::from_utf8_lossy(value).chars().map(escape).collect())
        }
    }
}

/// Whether a query parameter, or a pair of it and its value, is a credential.
pub fn is_credential_parameter(pair: &str) -> bool {
    // An encoded name is decoded as far as the listed words need it: `access%5Ftoken` is `access_token`.
    let name = pair.split('=').next().unwrap_or_default().replace("%5F", "_").replace("%5f", "_").replace("%2D", "-");
    is_credential(&name) || PARAMETERS.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// A text that may hold queries anywhere, as it may be written: values of parameters that are credentials are taken out.
pub fn pairs(text: &str) -> String {
    let part = |part: &str| {
        let (pair, end) = match part.strip_suffix(['?', '&', ' ', ';', '"']) {
            Some(pair) => part.split_at(pair.len()),
            None => (part, ""),
        };
        format!("{}{end}", parameter(pair))
    };
    text.split_inclusive(['?', '&', ' ', ';', '"']).map(part).collect()
}

/// A pair of a query as it may be written.
pub fn parameter(pair: &str) -> Cow<'_, str> {
    if !is_credential_parameter(pair) {
        return Cow::Borrowed(pair);
    }
    Cow::Owned(format!("{}={REDACTED}", pair.split('=').next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::{field, target};

    #[test]
    fn credentials_do_not_leave() {
        for name in
            ["Authorization", "proxy-authorization", "COOKIE", "Set-Cookie", "apikey", "X-API-Key", "x-auth-token"]
        {
            assert_eq!(field(name, b"s3cret"), "[redacted]", "{name}");
        }
        assert_eq!(field("x-user", b"alice"), "alice");
        assert_eq!(field("referer", b"https://a/b?jwt=x&y=1"), "https://a/b?jwt=[redacted]&y=1");
    }

    #[test]
    fn a_target_keeps_all_but_credentials() {
        let check = |given: &str, want: &str| assert_eq!(target(given.as_bytes()), want);
        check("/a?b=c", "/a?b=c");
        check("/a?access_token=x.y.z&b=c", "/a?access_token=[redacted]&b=c");
        check("/a?b=c&JWT=x", "/a?b=c&JWT=[redacted]");
        check("/a?access%5Ftoken=x", "/a?access%5Ftoken=[redacted]");
        check("/cb?code=x&state=y", "/cb?code=[redacted]&state=[redacted]");
        check("https://user:pass@a/b", "https://[redacted]@a/b");
        check("/a\nb", "/a\\x0ab");
    }
}
