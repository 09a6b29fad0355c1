//! One search for all literals of all operators: what is not found need not be asked.
//!
//! In: patterns and phrase lists. Out: [`Literals`], and of them a [`Search`] for those that some rules need; each operator
//! that has a needed literal (or is a list of phrases) has a *slot*, and a text has the set of slots whose literals it
//! holds. Letters have no case.
//! Each literal is looked for by its rarest piece of two to four bytes: the search asks for each place of the text whether
//! the bytes there are such a piece, which is a few reads in memory that stays in the fastest cache, and compares only then.

use crate::alphabet;
use crate::operator::pattern::Pattern;
use crate::operator::phrases::Phrases;
use std::collections::{BTreeMap, BTreeSet};

/// No slot: the operator must be asked.
pub(crate) const NONE: u16 = u16::MAX;
/// Phrases shorter than this would be found everywhere; their lists are searched by themselves.
const SHORTEST_PHRASE: u32 = 2;

/// All literals and who wants them.
#[derive(Debug, Default)]
pub(crate) struct Literals {
    literals: BTreeMap<Box<[u8]>, Vec<u16>>,
    /// By pattern, by list of phrases: its slot.
    patterns: Vec<u16>,
    phrases: Vec<u16>,
    slots: u16,
}

/// A search for the literals of some slots.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// All literals one after the other, lower case; where each begins, and where it ends, is in `places`.
    bytes: Vec<u8>,
    places: Vec<Literal>,
    /// The slots that want a literal, by the ranges of `places`.
    wanted: Vec<u16>,
    two: Pieces,
    three: Pieces,
    four: Pieces,
    slots: u16,
}

#[derive(Clone, Copy, Debug)]
struct Literal {
    bytes: (u32, u32),
    wanted: (u32, u32),
}

/// Gives the operators their slots.
pub(crate) fn build(patterns: &[Pattern], phrases: &[Phrases]) -> Literals {
    let mut built = Literals::default();
    for pattern in patterns {
        let slot = built.seat(!pattern.literals.is_empty());
        built.patterns.push(slot);
        built.want(slot, &pattern.literals);
    }
    for list in phrases {
        let slot = built.seat(list.shortest >= SHORTEST_PHRASE);
        built.phrases.push(slot);
        built.want(slot, &list.list);
    }
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
    /// The bytes of the literal before and after it; 0: it has none.
    before: u8,
    after: u8,
}

/// Pieces of one size.
#[derive(Debug, Default)]
struct Pieces {
    /// A bit for each hash that a piece has, and for its other half.
    bits: Vec<u64>,
    /// The bits of a hash above these are used.
    shift: u32,
    /// Where the pieces of a bucket begin; a bucket holds hashes with the same upper bits.
    starts: Vec<u32>,
    pieces: Vec<Piece>,
}

/// So many bits of a table for each piece, about: few enough to stay in the fastest cache.
const SPARSE: usize = 16;
/// A table has two to the power of these bits, at least and at most.
const SMALL: u32 = 10;
const LARGE: u32 = 17;
/// So many upper bits of those number a bucket.
const COARSE: u32 = 5;

impl Pieces {
    fn new(mut pieces: Vec<Piece>) -> Self {
        if pieces.is_empty() {
            return Self::default();
        }
        let size = (pieces.len() * SPARSE).next_power_of_two().ilog2().clamp(SMALL, LARGE);
        let mut new = Self { bits: vec![0; 1 << (size - 6)], shift: 32 - size, ..Self::default() };
        pieces.sort_unstable_by_key(|piece| (hash(piece.gram), piece.gram));
        for piece in &pieces {
            for hash in new.hashes(piece.gram) {
                if let Some(word) = new.bits.get_mut(hash as usize / 64) {
                    *word |= 1 << (hash % 64);
                }
            }
        }
        let bucket = |piece: &Piece| hash(piece.gram) >> (32 - size + COARSE);
        let buckets = 1_u32 << (size - COARSE);
        new.starts = (0..=buckets).map(|n| pieces.partition_point(|piece| bucket(piece) < n) as u32).collect();
        new.pieces = pieces;
        new
    }

    /// Two places in the table.
    #[inline(always)]
    fn hashes(&self, gram: u32) -> [u32; 2] {
        let hash = hash(gram);
        [hash >> self.shift, hash.rotate_left(15) >> self.shift]
    }

    /// Whether pieces may end here.
    #[inline(always)]
    fn may(&self, gram: u32) -> bool {
        let held = |hash: u32| self.bits.get(hash as usize / 64).map_or(0, |word| word >> (hash % 64));
        let [one, two] = self.hashes(gram);
        held(one) & held(two) & 1 == 1
    }

    /// The pieces of that hash's bucket.
    fn bucket(&self, gram: u32) -> &[Piece] {
        let number = (hash(gram) >> (self.shift + COARSE)) as usize;
        let (Some(from), Some(to)) = (self.starts.get(number), self.starts.get(number + 1)) else { return &[] };
        self.pieces.get(*from as usize..*to as usize).unwrap_or_default()
    }
}

impl Piece {
    /// Whether the bytes beside it, which ends at `end`, are those of the literal.
    #[inline]
    fn may_stand(&self, text: &[u8], end: usize, size: usize) -> bool {
        let is = |at: Option<usize>, wanted: u8| {
            wanted == 0 || at.and_then(|at| text.get(at)).is_some_and(|byte| alphabet::lower(*byte) == wanted)
        };
        is(Some(end), self.after) && is(end.checked_sub(size + 1), self.before)
    }
}

#[inline(always)]
fn hash(gram: u32) -> u32 {
    gram.wrapping_mul(0x9e37_79b1)
}

impl Literals {
    fn seat(&mut self, wants: bool) -> u16 {
        if !wants || self.slots == NONE - 1 {
            return NONE;
        }
        self.slots += 1;
        self.slots - 1
    }

    fn want(&mut self, slot: u16, literals: &[Vec<u8>]) {
        for literal in literals.iter().filter(|_| slot != NONE) {
            self.literals.entry(literal.to_ascii_lowercase().into()).or_default().push(slot);
        }
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

    /// A search for the literals of these slots alone.
    pub fn search(&self, slots: &BTreeSet<u16>) -> Search {
        let mut search = Search { slots: self.slots, ..Search::default() };
        let mut pieces: [Vec<Piece>; 3] = Default::default();
        for (literal, wanted) in &self.literals {
            let from = search.wanted.len() as u32;
            search.wanted.extend(wanted.iter().filter(|slot| slots.contains(slot)));
            if search.wanted.len() as u32 == from {
                continue;
            }
            let (size, offset) = rarest(literal);
            let end = offset + size;
            let window = literal.get(offset..end).unwrap_or_default();
            let byte = |at: Option<usize>| at.and_then(|at| literal.get(at)).copied().unwrap_or(0);
            let (before, after) = (byte(offset.checked_sub(1)), byte(Some(end)));
            if let Some(list) = pieces.get_mut(size.saturating_sub(2)) {
                let literal = search.places.len() as u32;
                list.push(Piece { gram: gram(window), literal, end: end as u32, before, after });
            }
            let start = search.bytes.len() as u32;
            search.bytes.extend_from_slice(literal);
            let (end, to) = (search.bytes.len() as u32, search.wanted.len() as u32);
            search.places.push(Literal { bytes: (start, end), wanted: (from, to) });
        }
        let [two, three, four] = pieces;
        (search.two, search.three, search.four) = (Pieces::new(two), Pieces::new(three), Pieces::new(four));
        search
    }
}

impl Search {
    /// Adds the slots whose literals the text holds to `out`, each once. `seen` is all zero before and after.
    pub fn scan(&self, text: &[u8], seen: &mut Vec<u64>, out: &mut Vec<u16>) {
        seen.resize(usize::from(self.slots).div_ceil(64), 0);
        if self.places.is_empty() {
            return;
        }
        let from = out.len();
        let mut gram = 0_u32;
        for (at, byte) in text.iter().enumerate() {
            gram = gram << 8 | u32::from(alphabet::lower(*byte));
            // Before the fourth byte the gram begins with zeroes, and a piece is then compared in vain at worst.
            let (four, three, two) =
                (self.four.may(gram), self.three.may(gram & 0xff_ffff), self.two.may(gram & 0xffff));
            if four | three | two {
                let sizes = [(four, &self.four, 4), (three, &self.three, 3), (two, &self.two, 2)];
                for (_, pieces, size) in sizes.into_iter().filter(|(may, ..)| *may) {
                    let gram = gram & u32::MAX >> (32 - size * 8);
                    for piece in pieces.bucket(gram).iter().filter(|piece| piece.gram == gram) {
                        if piece.may_stand(text, at + 1, size as usize) {
                            self.compare(piece, text, at + 1, seen, out);
                        }
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
        let search = literals.search(&(0..words.len() as u16).collect());
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
            search.scan(text, &mut seen, &mut found);
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
