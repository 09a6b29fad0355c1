//! Detection of SQL injection and cross-site scripting by the tokens of a text, after libinjection 4.
//!
//! In: bytes. Out: the fingerprint of an SQL injection, or whether a text is cross-site scripting. The algorithm is
//! libinjection's, quirks included, so that verdicts agree; its tables of SQL words and fingerprints come from the crate
//! `libinjectionrs`. Linear in the text. Start reading at [`sqli`] and [`xss`].

mod fold;
mod html;
mod names;
mod scan;
mod token;
mod verdict;
mod words;

use html::{Context, Html};
use scan::{Dialect, Quote, Scanner};
use token::Kind;

/// The kinds of the first five tokens of a text, one letter each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    bytes: [u8; 5],
    length: usize,
}

impl Fingerprint {
    /// Its letters.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    fn of(kinds: impl Iterator<Item = Kind>) -> Self {
        let mut print = Self::default();
        for (place, kind) in print.bytes.iter_mut().zip(kinds) {
            *place = kind;
            print.length += 1;
        }
        if print.as_bytes().contains(&token::EVIL) {
            print = Self { bytes: [token::EVIL, 0, 0, 0, 0], length: 1 };
        }
        print
    }
}

/// The fingerprint of a text that is SQL injection.
///
/// The text is read as it is, then as what follows an open single quote, then as what follows an open double quote.
pub fn sqli(text: &[u8]) -> Option<Fingerprint> {
    if text.is_empty() {
        return None;
    }
    let attempt = |quote, dialect| {
        let mut scanner = Scanner::new(text, quote, dialect);
        let print = verdict::fingerprint(&mut scanner);
        let found = verdict::is_sqli(&scanner, &print).then_some(print);
        (found, scanner.is_ambiguous())
    };
    let both = |quote| {
        let (found, ambiguous) = attempt(quote, Dialect::Ansi);
        found.or_else(|| if ambiguous { attempt(quote, Dialect::MySql).0 } else { None })
    };
    both(Quote::None)
        .or_else(|| memchr::memchr(b'\'', text).and_then(|_| both(Quote::Single)))
        .or_else(|| memchr::memchr(b'"', text).and_then(|_| attempt(Quote::Double, Dialect::MySql).0))
}

/// Whether a text is cross-site scripting: as HTML, or as what follows an attribute's begin in one of four quotings.
pub fn xss(text: &[u8]) -> bool {
    // Tags and declarations begin with `<`, and the value of a named attribute follows `=`; all else is harmless.
    let is_tag = memchr::memchr(b'<', text).is_some();
    if !is_tag && memchr::memchr(b'=', text).is_none() {
        return false;
    }
    let black = |context| names::is_black(Html::new(text, context));
    // Where the quote that is taken to be open never closes, all of the text is the value of no attribute in particular.
    let quoted = |quote, context| memchr::memchr(quote, text).is_some() && black(context);
    is_tag && black(Context::Data)
        || black(Context::Unquoted)
        || quoted(b'\'', Context::SingleQuoted)
        || quoted(b'"', Context::DoubleQuoted)
        || quoted(b'`', Context::BackQuoted)
}

/// The tokens of a text as libinjection's own tests write them, one a line.
pub fn tokens(text: &[u8]) -> Vec<u8> {
    let mut scanner = Scanner::new(text, Quote::None, Dialect::Ansi);
    let mut out = Vec::new();
    while let Some(token) = scanner.next() {
        token.write(&mut out);
    }
    out
}

/// The folded tokens of a text, likewise.
pub fn folded(text: &[u8]) -> Vec<u8> {
    let mut scanner = Scanner::new(text, Quote::None, Dialect::Ansi);
    let count = fold::fold(&mut scanner);
    let mut out = Vec::new();
    for token in scanner.tokens.iter().take(count) {
        token.write(&mut out);
    }
    out
}

/// The tokens of HTML, likewise.
pub fn html(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in Html::new(text, Context::Data) {
        out.extend_from_slice(format!("{},{},", piece.kind.name(), piece.text.len()).as_bytes());
        out.extend_from_slice(piece.text);
        out.push(b'\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::html::{Context, Html};
    use super::{names, sqli, xss};
    use proptest::prelude::*;

    proptest! {
        /// What `xss` leaves out of the five readings could not have been found by them.
        #[test]
        fn readings_that_are_left_out_find_nothing(words in proptest::collection::vec(proptest::sample::select(vec![
            "<", ">", "=", "/", " ", "'", "\"", "`", "onload", "script", "style", "!", "--", "a", "x", "\0", "href", "&#", "javascript:",
        ]), 0..10)) {
            const ALL: [Context; 5] =
                [Context::Data, Context::Unquoted, Context::SingleQuoted, Context::DoubleQuoted, Context::BackQuoted];
            let text = words.concat();
            let found = ALL.into_iter().any(|context| names::is_black(Html::new(text.as_bytes(), context)));
            prop_assert_eq!(xss(text.as_bytes()), found, "{:?}", text);
        }
    }

    #[test]
    fn verdicts() {
        let print =
            |text: &str| sqli(text.as_bytes()).map(|print| String::from_utf8_lossy(print.as_bytes()).into_owned());
        assert_eq!(print("1 or 1=1--").as_deref(), Some("1&1c"));
        assert_eq!(print("' or ''='").as_deref(), Some("s&sos"));
        assert_eq!(print("having friends over"), None);
        assert_eq!(print(""), None);
        assert!(xss(b"<script>alert(1)</script>") && xss(b"\" onerror=x ") && xss(b"<a href=javascript:x>"));
        assert!(!xss(b"a < b and c > d") && !xss(b""));
    }
}
