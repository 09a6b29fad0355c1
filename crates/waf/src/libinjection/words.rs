//! SQL words and fingerprints, found by hash.
//!
//! The table is that of the crate `libinjectionrs`, upper case, each word with the letter of its kind.

use super::token::Kind;
use libinjectionrs::sqli::sqli_data::SQL_KEYWORDS;
use std::sync::OnceLock;

/// How words are found.
struct Tables {
    /// Open addressing: number of the word + 1, 0 is free. Twice as large as the table, so a search ends soon.
    places: Vec<u16>,
    /// By first byte, upper case: a bit for each length that a word beginning with it has.
    lengths: [u64; 256],
}

static TABLES: OnceLock<Tables> = OnceLock::new();

/// The kind of a word or of a fingerprint with `0` before it, whatever its case.
pub(super) fn kind(word: &[u8]) -> Option<Kind> {
    if !may_be(word.first().copied()?, word.len()) {
        return None;
    }
    let places = &TABLES.get_or_init(tables).places;
    let room = places.len().checked_sub(1)?;
    let mut at = hash(word) & room;
    loop {
        let number = usize::from(*places.get(at)?).checked_sub(1)?;
        let known = SQL_KEYWORDS.get(number)?;
        if known.word.as_bytes().eq_ignore_ascii_case(word) {
            return Some(known.token_type);
        }
        at = (at + 1) & room;
    }
}

/// Whether a word of this first byte and length is known.
#[inline]
pub(super) fn may_be(first: u8, length: usize) -> bool {
    let lengths = TABLES.get_or_init(tables).lengths.get(usize::from(first.to_ascii_uppercase()));
    length < 64 && lengths.is_some_and(|lengths| lengths >> length & 1 == 1)
}

fn tables() -> Tables {
    let mut places = vec![0_u16; (SQL_KEYWORDS.len() * 2).next_power_of_two()];
    let mut lengths = [0_u64; 256];
    let room = places.len() - 1;
    for (number, known) in SQL_KEYWORDS.iter().enumerate() {
        let word = known.word.as_bytes();
        let first = usize::from(word.first().copied().unwrap_or(0).to_ascii_uppercase());
        if let Some(lengths) = lengths.get_mut(first) {
            *lengths |= 1 << word.len().min(63);
        }
        let mut at = hash(word) & room;
        while let Some(place) = places.get_mut(at) {
            if *place == 0 {
                *place = u16::try_from(number + 1).unwrap_or(0);
                break;
            }
            at = (at + 1) & room;
        }
    }
    Tables { places, lengths }
}

fn hash(word: &[u8]) -> usize {
    let mixed = word.iter().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte.to_ascii_uppercase())).wrapping_mul(0x0100_0000_01b3)
    });
    (mixed ^ mixed >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::kind;

    #[test]
    fn words() {
        assert_eq!(kind(b"select"), Some(b'E'));
        assert_eq!(kind(b"Union All"), Some(b'U'));
        assert_eq!(kind(b"0S&SOS"), Some(b'F'));
        assert_eq!(kind(b"ringwall"), None);
        assert_eq!(kind(b""), None);
    }
}
