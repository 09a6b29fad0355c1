//! Transformations that undo an encoding. What cannot be decoded is kept, so that nothing hides behind a broken escape.

use super::digest::hex_digit;
use super::shape::is_white;

/// What `%uXXXX` means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unicode {
    /// Nothing.
    Keep,
    /// A character, of which the low byte is kept; full-width forms become ASCII.
    Decode,
}

/// What becomes of a byte that is not base64.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// It ends the text.
    Stop,
    /// It is passed over.
    Skip,
}

pub(crate) fn url(input: &[u8], unicode: Unicode, out: &mut Vec<u8>) {
    let mut rest = input;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'+', _) => out.push(b' '),
            (b'%', [b'u' | b'U', a, b, c, d, left @ ..])
                if unicode == Unicode::Decode && all_hex(&[*a, *b, *c, *d]) =>
            {
                out.push(wide([*a, *b, *c, *d]));
                rest = left;
            }
            (b'%', [high, low, left @ ..]) if all_hex(&[*high, *low]) => {
                out.push(value(*high) << 4 | value(*low));
                rest = left;
            }
            _ => out.push(*first),
        }
    }
}

/// Reference manual: full-width ASCII (U+FF01 to U+FF5E) becomes ASCII, of everything else the low byte is kept.
fn wide([a, b, c, d]: [u8; 4]) -> u8 {
    let low = value(c) << 4 | value(d);
    let full_width = value(a) == 15 && value(b) == 15 && (1..0x5f).contains(&low);
    if full_width { low + 0x20 } else { low }
}

pub(crate) fn html(input: &[u8], out: &mut Vec<u8>) {
    let mut rest = input;
    while let Some((first, after)) = rest.split_first() {
        match (*first == b'&').then(|| entity(after)).flatten() {
            Some((byte, used)) => {
                out.push(byte);
                rest = after.get(used..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
}

/// The byte that an entity stands for, and how many bytes after `&` it takes.
fn entity(text: &[u8]) -> Option<(u8, usize)> {
    let end = |used: usize| used + usize::from(text.get(used) == Some(&b';'));
    let number = |from: usize, radix: u32| {
        let digits = text.get(from..).unwrap_or_default().iter().take_while(|byte| char::from(**byte).is_digit(radix));
        let (mut count, mut value) = (0, 0_i64);
        for digit in digits {
            count += 1;
            value = value.saturating_mul(i64::from(radix)).saturating_add(char::from(*digit).to_digit(radix)?.into());
        }
        (count > 0).then(|| (value as u8, end(from + count)))
    };
    match text {
        [b'#', b'x' | b'X', ..] => number(2, 16),
        [b'#', ..] => number(1, 10),
        _ => {
            let length = text.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            let name = text.get(..length).unwrap_or_default();
            const NAMES: [(&[u8], u8); 5] =
                [(b"quot", b'"'), (b"amp", b'&'), (b"lt", b'<'), (b"gt", b'>'), (b"nbsp", 0xa0)];
            let (_, byte) = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
            Some((*byte, end(length)))
        }
    }
}

pub(crate) fn javascript(input: &[u8], out: &mut Vec<u8>) {
    let mut rest = input;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        match after {
            [b'u', a, b, c, d, left @ ..] if all_hex(&[*a, *b, *c, *d]) => {
                out.push(wide([*a, *b, *c, *d]));
                rest = left;
            }
            [b'x', high, low, left @ ..] if all_hex(&[*high, *low]) => {
                out.push(value(*high) << 4 | value(*low));
                rest = left;
            }
            [b'0'..=b'7', ..] => {
                let mut digits = after.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
                if digits == 3 && after.first().is_some_and(|byte| *byte > b'3') {
                    digits = 2;
                }
                let (octal, left) = after.split_at_checked(digits).unwrap_or((after, &[]));
                out.push(octal.iter().fold(0_u8, |sum, byte| sum << 3 | (byte - b'0')));
                rest = left;
            }
            [byte, left @ ..] => {
                out.push(control(*byte).unwrap_or(*byte));
                rest = left;
            }
            [] => out.push(b'\\'),
        }
    }
}

/// Letters that name a control byte after a backslash.
const fn control(byte: u8) -> Option<u8> {
    Some(match byte {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        _ => return None,
    })
}

/// ANSI C escapes. An unknown one loses its backslash.
pub(crate) fn escapes(input: &[u8], out: &mut Vec<u8>) {
    let mut rest = input;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        match after {
            [b'x' | b'X', high, low, left @ ..] if all_hex(&[*high, *low]) => {
                out.push(value(*high) << 4 | value(*low));
                rest = left;
            }
            [b'0'..=b'7', ..] => {
                let digits = after.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
                let (octal, left) = after.split_at_checked(digits).unwrap_or((after, &[]));
                out.push(octal.iter().fold(0_u32, |sum, byte| sum << 3 | u32::from(byte - b'0')) as u8);
                rest = left;
            }
            [byte, left @ ..] => {
                out.push(control(*byte).unwrap_or(*byte));
                rest = left;
            }
            [] => out.push(b'\\'),
        }
    }
}

/// CSS 2: a backslash and up to six hexadecimal digits, of which the last two count, and one white space after them.
pub(crate) fn css(input: &[u8], out: &mut Vec<u8>) {
    let mut rest = input;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let digits = after.iter().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (number, left) = after.split_at_checked(digits).unwrap_or((after, &[]));
        match (number, left) {
            ([], [b'\n', left @ ..]) => rest = left,
            ([], [byte, left @ ..]) => {
                out.push(*byte);
                rest = left;
            }
            ([], []) => rest = left,
            ([single], _) => {
                out.push(value(*single));
                rest = without_white(left);
            }
            ([zeros @ .., a, b, c, d], _) if zeros.iter().all(|byte| *byte == b'0') => {
                out.push(wide([*a, *b, *c, *d]));
                rest = without_white(left);
            }
            ([.., c, d], _) => {
                out.push(value(*c) << 4 | value(*d));
                rest = without_white(left);
            }
        }
    }
}

fn without_white(text: &[u8]) -> &[u8] {
    match text {
        [byte, left @ ..] if is_white(*byte) => left,
        _ => text,
    }
}

pub(crate) fn hex(input: &[u8], out: &mut Vec<u8>) {
    for pair in input.chunks_exact(2) {
        if let [high, low] = pair {
            out.push(value(*high) << 4 | value(*low));
        }
    }
}

/// `0x414243` becomes `ABC`.
pub(crate) fn sql_hex(input: &[u8], out: &mut Vec<u8>) {
    let mut rest = input;
    while let Some((first, after)) = rest.split_first() {
        let digits = match (first, after) {
            (b'0', [b'x' | b'X', digits @ ..]) => {
                digits.iter().take_while(|byte| byte.is_ascii_hexdigit()).count() / 2 * 2
            }
            _ => 0,
        };
        if digits == 0 {
            out.push(*first);
            rest = after;
            continue;
        }
        hex(after.get(1..=digits).unwrap_or_default(), out);
        rest = after.get(1 + digits..).unwrap_or_default();
    }
}

pub(crate) fn base64(input: &[u8], foreign: Foreign, out: &mut Vec<u8>) {
    let (mut word, mut bits) = (0_u32, 0_u32);
    for byte in input {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ if foreign == Foreign::Skip => continue,
            _ => break,
        };
        word = (word << 6 | u32::from(six)) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((word >> bits) as u8);
        }
    }
}

/// Characters beyond ASCII become `%uXXXX`; bytes that are not UTF-8 stay.
pub(crate) fn utf8_to_unicode(input: &[u8], out: &mut Vec<u8>) {
    for chunk in input.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_ascii() {
                out.push(c as u8);
                continue;
            }
            out.extend_from_slice(b"%u");
            let code = u32::from(c);
            let digits = if code > 0xf_ffff {
                6
            } else if code > 0xffff {
                5
            } else {
                4
            };
            out.extend((0..digits).rev().map(|place| hex_digit((code >> (4 * place)) as u8)));
        }
        out.extend_from_slice(chunk.invalid());
    }
}

fn all_hex(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_hexdigit)
}

/// The value of a hexadecimal digit; of any other byte 0.
pub(crate) const fn value(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ => 0,
    }
}
