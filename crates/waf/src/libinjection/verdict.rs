//! From tokens to a verdict: the fingerprint is looked up, then some harmless shapes are let pass.

use super::Fingerprint;
use super::fold::fold;
use super::scan::Scanner;
use super::token;
use super::words;

/// The fingerprint of a text; its tokens stay in the scanner.
pub(super) fn fingerprint(scanner: &mut Scanner<'_>) -> Fingerprint {
    let count = fold(scanner);
    if count > 2
        && let Some(last) = scanner.tokens.get_mut(count - 1)
        && last.kind == token::BAREWORD
        && last.open == b'`'
        && last.length == 0
        && last.close == 0
    {
        // PHP and MySQL take an open back quote for a comment.
        last.kind = token::COMMENT;
    }
    Fingerprint::of(scanner.tokens.iter().take(count).map(|token| token.kind))
}

/// Whether a fingerprint is that of an attack, given its tokens.
pub(super) fn is_sqli(scanner: &Scanner<'_>, print: &Fingerprint) -> bool {
    is_listed(print) && !is_harmless(scanner, print)
}

fn is_listed(print: &Fingerprint) -> bool {
    let mut key = [b'0'; 6];
    for (place, byte) in key.iter_mut().skip(1).zip(print.as_bytes()) {
        *place = byte.to_ascii_uppercase();
    }
    let key = key.get(..=print.as_bytes().len()).unwrap_or_default();
    key.len() > 1 && words::kind(key) == Some(b'F')
}

fn is_harmless(scanner: &Scanner<'_>, print: &Fingerprint) -> bool {
    let kinds = print.as_bytes();
    let ends_in_comment = kinds.len() > 1 && kinds.last() == Some(&token::COMMENT);
    if ends_in_comment && memchr::memmem::find(scanner.text, b"sp_password").is_some() {
        // SQL Server keeps lines with this word out of its log.
        return false;
    }
    let [one, two, three, ..] = &scanner.tokens;
    match kinds {
        [_, token::UNION] => scanner.count == 2,
        [first, second] => {
            let mark = two.first();
            let is_comment = *second == token::COMMENT;
            match *first {
                _ if mark == b'#' => true,
                token::BAREWORD if is_comment && mark != b'/' => true,
                token::NUMBER if is_comment && mark == b'/' => false,
                token::NUMBER if is_comment => scanner.count <= 2 && !is_plain_number(scanner.text, one.length),
                _ => two.length > 2 && mark == b'-',
            }
        }
        b"sos" | b"s&s" => !(one.open == 0 && three.close == 0 && one.close == three.open),
        b"s&n" | b"n&1" | b"1&1" | b"1&v" | b"1&s" => scanner.count == 3,
        [_, token::KEYWORD, _] => {
            two.length < 5 || !two.text().get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"INTO"))
        }
        _ => false,
    }
}

/// Whether a number is followed by white space or a comment, and not by letters: `1234--` and not `1234-ABCD--`.
fn is_plain_number(text: &[u8], length: usize) -> bool {
    let next = |offset: usize| text.get(length + offset).copied().unwrap_or(0);
    // Signed in C: bytes from 0x80 are less than a space.
    matches!(next(0), 0..=32 | 0x80..) || matches!((next(0), next(1)), (b'/', b'*') | (b'-', b'-'))
}
