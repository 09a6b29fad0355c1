//! SQL words and fingerprints, found by hash.
//!
//! The table is that of the crate `libinjectionrs`, upper case, each word with the letter of its kind.

use super::token::Kind;
use libinjectionrs::sqli::sqli_data::SQL_KEYWORDS;
use std::sync::OnceLock;

/// Open addressing: number of the word + 1, 0 is free. Twice as large as the table, so a search ends soon.
static PLACES: OnceLock<Vec<u16>> = OnceLock::new();

/// The kind of a word or of a fingerprint with `0` before it, whatever its case.
pub(super) fn kind(word: &[u8]) -> Option<Kind> {
    if word.is_empty() || word.len() > 40 {
        return None;
    }
    let places = PLACES.get_or_init(places);
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

fn places() -> Vec<u16> {
    let mut places = vec![0_u16; (SQL_KEYWORDS.len() * 2).next_power_of_two()];
    let room = places.len() - 1;
    for (number, known) in SQL_KEYWORDS.iter().enumerate() {
        let mut at = hash(known.word.as_bytes()) & room;
        while let Some(place) = places.get_mut(at) {
            if *place == 0 {
                *place = u16::try_from(number + 1).unwrap_or(0);
                break;
            }
            at = (at + 1) & room;
        }
    }
    places
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
