//! Which kinds of bytes a text holds, as 64 bits: the cheapest reason to skip work.
//!
//! In: bytes. Out: a [`Mask`]. INVARIANT: a set bit says "may hold", a clear bit says "does not hold", so every test made
//! with masks is a necessary condition and skips nothing that could match.

/// One bit a kind of byte.
pub(crate) type Mask = u64;

/// Every kind.
pub(crate) const ANY: Mask = u64::MAX;
/// `A` to `Z`, beside the bit of the folded letter.
pub(crate) const UPPER: Mask = 1 << 63;
/// Bytes from 0x80.
pub(crate) const HIGH: Mask = 1 << 62;
/// `0` to `9`.
pub(crate) const DIGIT: Mask = 1 << 61;
/// NUL.
pub(crate) const NUL: Mask = 1 << 60;
/// Space.
pub(crate) const SPACE: Mask = 1 << 59;
/// Other white space: tab, line feed, vertical tab, form feed, carriage return.
pub(crate) const BLANK: Mask = 1 << 58;
/// Other control bytes.
const CONTROL: Mask = 1 << 57;

/// Punctuation in the order of its bits, from bit 0.
const PUNCTUATION: &[u8; 32] = b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
/// Letters by the bit they share, from bit 32; the frequent ones together.
const LETTERS: [&[u8]; 22] = [
    b"etaoin", b"srl", b"b", b"c", b"d", b"f", b"g", b"h", b"j", b"k", b"m", b"p", b"q", b"u", b"v", b"w", b"x", b"y",
    b"z", b"", b"", b"",
];

static KINDS: [Mask; 256] = kinds();

#[expect(clippy::indexing_slicing, reason = "evaluated when the program is built")]
const fn kinds() -> [Mask; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = kind(byte as u8);
        byte += 1;
    }
    table
}

const fn kind(byte: u8) -> Mask {
    match byte {
        0 => NUL,
        b' ' => SPACE,
        9..=13 => BLANK,
        b'0'..=b'9' => DIGIT,
        b'a'..=b'z' => letter(byte),
        b'A'..=b'Z' => letter(byte + 32) | UPPER,
        0x80..=0xff => HIGH,
        1..=31 | 127 => CONTROL,
        _ => punctuation(byte),
    }
}

#[expect(clippy::indexing_slicing, reason = "evaluated when the program is built")]
const fn punctuation(byte: u8) -> Mask {
    let mut index = 0;
    while index < PUNCTUATION.len() {
        if PUNCTUATION[index] == byte {
            return 1 << index;
        }
        index += 1;
    }
    ANY
}

#[expect(clippy::indexing_slicing, reason = "evaluated when the program is built")]
const fn letter(byte: u8) -> Mask {
    let mut group = 0;
    while group < LETTERS.len() {
        let mut index = 0;
        while index < LETTERS[group].len() {
            if LETTERS[group][index] == byte {
                return 1 << (32 + group);
            }
            index += 1;
        }
        group += 1;
    }
    ANY
}

/// The kinds of bytes of a text.
pub(crate) fn of(bytes: &[u8]) -> Mask {
    let (fours, rest) = bytes.as_chunks::<4>();
    let mut masks = [0; 4];
    for four in fours {
        for (mask, byte) in masks.iter_mut().zip(four) {
            *mask |= of_byte(*byte);
        }
    }
    let mask = rest.iter().fold(masks.iter().fold(0, |all, mask| all | mask), |mask, byte| mask | of_byte(*byte));
    // The one path without a separator that normalizing changes.
    if bytes == b"." { mask | of_byte(b'/') | of_byte(b'\\') } else { mask }
}

static LOWER: [u8; 256] = lower_case();

#[expect(clippy::indexing_slicing, reason = "evaluated when the program is built")]
const fn lower_case() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).to_ascii_lowercase();
        byte += 1;
    }
    table
}

/// `to_ascii_lowercase` by table.
#[inline(always)]
pub(crate) fn lower(byte: u8) -> u8 {
    LOWER.get(usize::from(byte)).copied().unwrap_or(byte)
}

/// The kind of one byte.
#[inline]
pub(crate) fn of_byte(byte: u8) -> Mask {
    KINDS.get(usize::from(byte)).copied().unwrap_or(ANY)
}

/// The kinds of the bytes of a set, letters without regard to case: a text that holds one of them has one of these bits.
pub(crate) fn of_set(set: impl Iterator<Item = u8>) -> Mask {
    let mask = set.fold(0, |mask, byte| mask | of_byte(byte));
    mask & !UPPER
}

/// The kinds of bytes of prose and identifiers: all but the punctuation of code and markup.
pub(crate) fn plain() -> Mask {
    let letters = (b'a'..=b'z').chain(b'0'..=b'9');
    of_set(letters.chain(*b" \t\n\r.,?!':-_")) | UPPER | HIGH
}

/// How common a mask is: the number of its kinds, frequent ones counted more. Less is a sharper test.
pub(crate) fn commonness(mask: Mask) -> u32 {
    let letters = 0x003f_ffff_u64 << 32;
    let frequent = (mask >> 32 & 1 != 0, mask & SPACE != 0, mask & DIGIT != 0, mask >> 33 & 1 != 0);
    let weight = |held: bool, weight: u32| if held { weight } else { 0 };
    mask.count_ones()
        + (mask & letters).count_ones() * 2
        + weight(frequent.0, 40)
        + weight(frequent.1, 6)
        + weight(frequent.2, 10)
        + weight(frequent.3, 20)
}

#[cfg(test)]
mod tests {
    use super::{ANY, HIGH, UPPER, of, of_byte, of_set};

    #[test]
    fn every_byte_has_a_kind() {
        for byte in 0..=255_u8 {
            assert!(of_byte(byte) != ANY && of_byte(byte) != 0, "{byte}");
        }
        assert_eq!(of(b"Ab") & UPPER, UPPER);
        assert_eq!(of(b"ab") & (UPPER | HIGH), 0);
        assert_eq!(of_set([b'X'].into_iter()), of(b"x"));
        assert_eq!(of_set([b'x'].into_iter()) & of(b"X"), of(b"x"));
    }
}
