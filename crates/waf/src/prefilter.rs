//! One search for all literals of all operators: what is not found need not be asked.
//!
//! In: patterns and phrase lists. Out: [`Literals`]; each operator that has a needed literal (or is a list of phrases) has
//! a *slot*, and a text has the set of slots whose literals it holds. Letters have no case.
//! Each literal is looked for by its rarest piece of two to four bytes: the search asks for each place of the text whether
//! the bytes there are such a piece, which is two reads in memory that stays in the fastest cache, and compares only then.

use crate::alphabet;
use crate::operator::pattern::Pattern;
use crate::operator::phrases::Phrases;
use std::collections::BTreeMap;

/// No slot: the operator must be asked.
pub(crate) const NONE: u16 = u16::MAX;
/// Phrases shorter than this would be found everywhere; their lists are searched by themselves.
const SHORTEST_PHRASE: u32 = 2;

/// The literals and who wants them.
#[derive(Debug, Default)]
pub(crate) struct Literals {
    /// All literals one after the other, lower case; where each begins, and where it ends, is in `places`.
    bytes: Vec<u8>,
    places: Vec<Literal>,
    /// The slots that want a literal, by the ranges of `places`.
    wanted: Vec<u16>,
    two: Pieces,
    three: Pieces,
    four: Pieces,
    /// By pattern, by list of phrases: its slot.
    patterns: Vec<u16>,
    phrases: Vec<u16>,
    slots: u16,
}

#[derive(Clone, Copy, Debug)]
struct Literal {
    bytes: (u32, u32),
    wanted: (u32, u32),
}

/// Builds the search.
pub(crate) fn build(patterns: &[Pattern], phrases: &[Phrases]) -> Literals {
    let mut literals: BTreeMap<&[u8], Vec<u16>> = BTreeMap::new();
    let mut built = Literals::default();
    for pattern in patterns {
        let slot = built.seat(!pattern.literals.is_empty());
        built.patterns.push(slot);
        for literal in pattern.literals.iter().filter(|_| slot != NONE) {
            literals.entry(literal).or_default().push(slot);
        }
    }
    for list in phrases {
        let slot = built.seat(list.shortest >= SHORTEST_PHRASE);
        built.phrases.push(slot);
        for phrase in list.list.iter().filter(|_| slot != NONE) {
            literals.entry(phrase).or_default().push(slot);
        }
    }
    let mut pieces: [Vec<Piece>; 3] = Default::default();
    for (literal, slots) in literals {
        let (size, offset) = rarest(literal);
        let window = literal.get(offset..offset + size).unwrap_or_default();
        let piece = Piece { gram: gram(window), literal: built.places.len() as u32, end: (offset + size) as u32 };
        if let Some(list) = pieces.get_mut(size.saturating_sub(2)) {
            list.push(piece);
        }
        let (from, wanted) = (built.bytes.len() as u32, built.wanted.len() as u32);
        built.bytes.extend(literal.iter().map(u8::to_ascii_lowercase));
        built.wanted.extend(slots);
        built
            .places
            .push(Literal { bytes: (from, built.bytes.len() as u32), wanted: (wanted, built.wanted.len() as u32) });
    }
    let [two, three, four] = pieces;
    (built.two, built.three, built.four) = (Pieces::new(two), Pieces::new(three), Pieces::new(four));
    built
}

/// Size and offset of the piece of a literal that is rarest in ordinary text.
fn rarest(literal: &[u8]) -> (usize, usize) {
    let size = literal.len().min(4);
    let weight = |window: &[u8]| window.iter().map(|byte| common(*byte)).sum::<u32>();
    let best = literal.windows(size).enumerate().min_by_key(|(_, window)| weight(window));
    (size, best.map_or(0, |(offset, _)| offset))
}

/// How common a byte is in prose and identifiers, roughly the logarithm of its share.
fn common(byte: u8) -> u32 {
    match byte.to_ascii_lowercase() {
        b' ' | b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 9,
        b'h' | b'l' | b'd' | b'c' | b'u' | b'm' => 8,
        b'p' | b'f' | b'g' | b'y' | b'w' | b'b' => 6,
        b'v' | b'k' | b'0'..=b'9' | b'.' | b',' | b'-' | b'_' | b'/' | b'=' => 5,
        b'x' | b'j' | b'q' | b'z' | b'"' | b'\'' | b':' | b';' => 3,
        _ => 1,
    }
}

/// Up to four bytes, lower case, the last one lowest.
fn gram(window: &[u8]) -> u32 {
    window.iter().fold(0, |gram, byte| gram << 8 | u32::from(byte.to_ascii_lowercase()))
}

/// A piece of a literal.
#[derive(Clone, Copy, Debug)]
struct Piece {
    gram: u32,
    literal: u32,
    /// Where it ends within the literal.
    end: u32,
}

/// Pieces of one size.
#[derive(Debug, Default)]
struct Pieces {
    /// A bit for each hash that a piece has.
    bits: Vec<u64>,
    /// Where the pieces of a bucket begin; a bucket holds hashes with the same upper bits.
    starts: Vec<u32>,
    pieces: Vec<Piece>,
}

/// Bits of a hash, and how many of them number a bucket.
const HASH: u32 = 17;
const BUCKETS: u32 = 12;

impl Pieces {
    fn new(mut pieces: Vec<Piece>) -> Self {
        if pieces.is_empty() {
            return Self::default();
        }
        let mut new = Self { bits: vec![0; 1 << (HASH - 6)], starts: Vec::new(), pieces: Vec::new() };
        pieces.sort_unstable_by_key(|piece| (hash(piece.gram), piece.gram));
        for piece in &pieces {
            let hash = hash(piece.gram);
            if let Some(word) = new.bits.get_mut(hash as usize / 64) {
                *word |= 1 << (hash % 64);
            }
        }
        let bucket = |piece: &Piece| hash(piece.gram) >> (HASH - BUCKETS);
        new.starts = (0..=1_u32 << BUCKETS).map(|n| pieces.partition_point(|piece| bucket(piece) < n) as u32).collect();
        new.pieces = pieces;
        new
    }

    /// The pieces that may end here; usually none.
    #[inline(always)]
    fn at(&self, gram: u32) -> &[Piece] {
        let hash = hash(gram);
        match self.bits.get(hash as usize / 64) {
            Some(word) if word >> (hash % 64) & 1 == 1 => self.bucket(hash),
            _ => &[],
        }
    }

    fn bucket(&self, hash: u32) -> &[Piece] {
        let number = (hash >> (HASH - BUCKETS)) as usize;
        let (Some(from), Some(to)) = (self.starts.get(number), self.starts.get(number + 1)) else { return &[] };
        self.pieces.get(*from as usize..*to as usize).unwrap_or_default()
    }
}

#[inline(always)]
fn hash(gram: u32) -> u32 {
    gram.wrapping_mul(0x9e37_79b1) >> (32 - HASH)
}

impl Literals {
    fn seat(&mut self, wants: bool) -> u16 {
        if !wants || self.slots == NONE - 1 {
            return NONE;
        }
        self.slots += 1;
        self.slots - 1
    }

    /// How many slots there are.
    pub fn slots(&self) -> u16 {
        self.slots
    }

    /// The slot of a pattern.
    #[inline]
    pub fn of_pattern(&self, pattern: u32) -> u16 {
        self.patterns.get(pattern as usize).copied().unwrap_or(NONE)
    }

    /// The slot of a list of phrases.
    #[inline]
    pub fn of_phrases(&self, phrases: u32) -> u16 {
        self.phrases.get(phrases as usize).copied().unwrap_or(NONE)
    }

    /// Adds the slots whose literals the text holds to `out`, each once. `seen` is all zero before and after.
    pub fn scan(&self, text: &[u8], seen: &mut Vec<u64>, out: &mut Vec<u16>) {
        seen.resize(usize::from(self.slots).div_ceil(64), 0);
        let from = out.len();
        let mut gram = 0_u32;
        for (at, byte) in text.iter().enumerate() {
            gram = gram << 8 | u32::from(alphabet::lower(*byte));
            // Before the fourth byte the gram begins with zeroes, and a piece is then compared in vain at worst.
            for (pieces, gram) in [(&self.four, gram), (&self.three, gram & 0xff_ffff), (&self.two, gram & 0xffff)] {
                for piece in pieces.at(gram) {
                    if piece.gram == gram {
                        self.compare(piece, text, at + 1, seen, out);
                    }
                }
            }
        }
        for slot in out.get(from..).unwrap_or_default() {
            if let Some(word) = seen.get_mut(usize::from(*slot) / 64) {
                *word = 0;
            }
        }
    }

    /// Compares the whole literal whose piece ends at `end`.
    fn compare(&self, piece: &Piece, text: &[u8], end: usize, seen: &mut [u64], out: &mut Vec<u16>) {
        let Some(literal) = self.places.get(piece.literal as usize) else { return };
        let wanted = self.wanted.get(literal.wanted.0 as usize..literal.wanted.1 as usize).unwrap_or_default();
        let is_seen =
            |seen: &[u64], slot: u16| seen.get(usize::from(slot) / 64).is_some_and(|word| word >> (slot % 64) & 1 == 1);
        if wanted.iter().all(|slot| is_seen(seen, *slot)) {
            return;
        }
        let bytes = self.bytes.get(literal.bytes.0 as usize..literal.bytes.1 as usize).unwrap_or_default();
        let Some(start) = end.checked_sub(piece.end as usize) else { return };
        if !text.get(start..start + bytes.len()).is_some_and(|here| here.eq_ignore_ascii_case(bytes)) {
            return;
        }
        for slot in wanted {
            if let Some(word) = seen.get_mut(usize::from(*slot) / 64)
                && *word >> (slot % 64) & 1 == 0
            {
                *word |= 1 << (slot % 64);
                out.push(*slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::build;
    use crate::operator::phrases::Phrases;

    #[test]
    fn finds_what_a_plain_search_finds() {
        let words = ["ab", "abc", "/etc/passwd", "union select", "xp_", "the", "e\0f", "aaaa", "aaaab"];
        let lists: Vec<Phrases> =
            words.iter().map(|word| Phrases::new([word.as_bytes().to_vec()].into_iter())).collect();
        let literals = build(&[], &lists);
        let texts: [&[u8]; 9] = [
            b"",
            b"a",
            b"AB",
            b"xxABC",
            b"cat /ETC/passwd",
            b"UNION  SELECT union select",
            b"aaaaab",
            b"e\0F",
            b"\0\0ab",
        ];
        let mut seen = Vec::new();
        for text in texts {
            let mut found = Vec::new();
            literals.scan(text, &mut seen, &mut found);
            found.sort_unstable();
            let lower = text.to_ascii_lowercase();
            let want: Vec<u16> = (0..words.len())
                .filter(|n| memchr::memmem::find(&lower, words[*n].as_bytes()).is_some())
                .map(|n| literals.of_phrases(n as u32))
                .collect();
            assert_eq!(found, want, "{text:?}");
            assert!(seen.iter().all(|word| *word == 0));
        }
    }
}
