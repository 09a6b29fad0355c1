//! The texts of one transaction: bytes in one buffer, equal texts kept once.
//!
//! In: bytes. Out: [`TextId`]s. Nothing here lives longer than its transaction; [`Texts::clear`] keeps the memory.
//! What transformations make of texts can be made again, so it is kept only as long as there is room: see [`sweep`].
//! INVARIANT: equal bytes get equal ids as long as the table has room within its probe limit; unequal bytes never do.

pub(crate) mod sweep;

use crate::alphabet::{self, Mask};

/// A text of a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TextId(pub u32);

/// The empty text.
pub(crate) const EMPTY: TextId = TextId(0);

/// What is known of a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    start: u32,
    /// Length in bytes.
    pub length: u32,
    /// Which kinds of bytes it holds.
    pub mask: Mask,
    /// Which literals of the prefilter it holds: the place of a list in [`Texts::hits`]; or [`UNKNOWN`]; or [`LIKE`] and
    /// the number of a text before it that differs only in the case of letters, and whose literals are therefore the same.
    literals: u32,
    /// [`VERDICT`], [`UNLISTED`], and above them the last column that it was counted in.
    marks: u32,
}

/// Nobody has looked for its literals yet.
const UNKNOWN: u32 = u32::MAX;
/// Its literals are those of another text.
const LIKE: u32 = 1 << 31;
/// What libinjection said.
const VERDICT: u32 = 15;
/// It is not in the table: an equal text would be kept again.
const UNLISTED: u32 = 16;
const COLUMN: u32 = 5;

impl Text {
    /// What libinjection said of it; 0: it was not asked.
    pub const fn injection(&self) -> u8 {
        (self.marks & VERDICT) as u8
    }

    /// Notes more of what libinjection said.
    pub fn note_injection(&mut self, verdict: u8) {
        self.marks |= u32::from(verdict) & VERDICT;
    }

    /// Counts it in a column. `false`: it was counted already.
    pub const fn count_in(&mut self, column: u32) -> bool {
        let before = self.marks;
        self.marks = before & (VERDICT | UNLISTED) | column << COLUMN;
        self.marks != before
    }
}

/// All texts of a transaction.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    texts: Vec<Text>,
    /// Open addressing by hash: id + 1, 0 is free.
    table: Vec<u32>,
    /// How many texts are in the table.
    listed: usize,
    /// Numbers noted of texts, such as what transformations make of them by node: (text, kind + 1, number), open
    /// addressing; kind 0 is free.
    memo: Vec<(u32, u32, u32)>,
    memo_filled: usize,
    /// Lists of literal slots, each after its length; at 0 an empty one.
    hits: Vec<u16>,
    /// By a hash, lists that were added: equal ones are kept once.
    lists: Vec<u32>,
    lasting: sweep::Lasting,
    /// About how many bytes were added since somebody looked.
    pub grown: usize,
    facts: sweep::Facts,
}

/// So many lists of literals are looked at for an equal one.
const LISTS: usize = 64;
/// Further than so many places the table is not searched; the text is then kept twice.
const PROBES: usize = 24;
/// The table of texts has so many places at least.
const SMALLEST: usize = 256;
/// The table of texts is filled to this many eighths.
const FULL: usize = 5;

impl Texts {
    /// Gives the memory of a large transaction back.
    pub fn shrink(&mut self) {
        const KEEP: usize = 1 << 16;
        let is_large =
            self.bytes.capacity() > KEEP * 2 || self.texts.capacity() > KEEP / 8 || self.hits.capacity() > KEEP;
        if is_large || self.table.len() > KEEP / 8 || self.memo.len() > KEEP / 8 {
            *self = Self::default();
        }
    }

    /// Forgets all texts, keeps the memory. Tables that were far too large for what they held shrink, so that a small
    /// transaction does not pay for the large one before it.
    pub fn clear(&mut self) {
        if self.table.len() > 2048 && self.listed * 8 < self.table.len() {
            self.table = Vec::new();
        }
        if self.memo.len() > 1024 && self.memo_filled * 8 < self.memo.len() {
            self.memo = Vec::new();
        }
        self.bytes.clear();
        self.texts.clear();
        self.hits.clear();
        self.hits.push(0);
        self.forget_lists();
        self.facts.clear();
        self.table.fill(0);
        self.listed = 0;
        self.memo.fill((0, 0, 0));
        self.memo_filled = 0;
        self.keep(b"");
        self.settle();
    }

    /// The bytes of a text.
    #[inline]
    pub fn bytes(&self, id: TextId) -> &[u8] {
        self.texts.get(id.0 as usize).map_or(&[], |text| self.slice(text))
    }

    /// What is known of a text.
    #[inline]
    pub fn text(&self, id: TextId) -> Option<&Text> {
        self.texts.get(id.0 as usize)
    }

    /// The same, to note something.
    #[inline]
    pub fn text_mut(&mut self, id: TextId) -> Option<&mut Text> {
        self.texts.get_mut(id.0 as usize)
    }

    /// Its length in bytes.
    #[inline]
    pub fn length(&self, id: TextId) -> u32 {
        self.text(id).map_or(0, |text| text.length)
    }

    /// A text kept before this one that differs only in the case of letters.
    pub fn like(&self, id: TextId) -> Option<TextId> {
        let like = self.text(id).map(|text| text.literals).filter(|at| *at != UNKNOWN && at & LIKE != 0)?;
        Some(TextId(like & !LIKE)).filter(|like| *like < id)
    }

    /// Notes that a text differs from one before it only in the case of letters.
    pub fn set_like(&mut self, id: TextId, like: TextId) {
        if like < id
            && let Some(text) = self.text_mut(id).filter(|text| text.literals == UNKNOWN)
        {
            text.literals = LIKE | like.0;
        }
    }

    /// Where the list of a text's literal slots is, once they were looked for.
    pub fn literals(&self, id: TextId) -> Option<u32> {
        self.text(id).map(|text| text.literals).filter(|at| at & LIKE == 0)
    }

    /// The list of literal slots at a place.
    #[inline]
    pub fn slots(&self, at: u32) -> &[u16] {
        let at = at as usize;
        let length = usize::from(self.hits.get(at).copied().unwrap_or(0));
        self.hits.get(at + 1..at + 1 + length).unwrap_or_default()
    }

    /// Notes the list of a text's literal slots that is at a place.
    pub fn set_literals(&mut self, id: TextId, at: u32) {
        if let Some(text) = self.text_mut(id) {
            text.literals = at;
        }
    }

    /// Adds the list of slots that `scan` finds in a text; its place. There are fewer slots than [`u16::MAX`].
    pub fn add_literals(&mut self, id: TextId, scan: impl FnOnce(&[u8], &mut Vec<u16>)) -> u32 {
        let mut hits = std::mem::take(&mut self.hits);
        let at = hits.len();
        hits.push(0);
        scan(self.bytes(id), &mut hits);
        let found = (hits.len() - at - 1) as u16;
        if let Some(length) = hits.get_mut(at) {
            *length = found;
        }
        self.hits = hits;
        self.listed_once(at)
    }

    /// The place of a list equal to the last one, which begins at `at`; it is given up then.
    fn listed_once(&mut self, at: usize) -> u32 {
        let list = self.hits.get(at..).unwrap_or_default();
        if list.len() <= 1 {
            self.hits.truncate(at);
            return 0;
        }
        let hash =
            list.iter().fold(0_u32, |hash, slot| (hash.rotate_left(5) ^ u32::from(*slot)).wrapping_mul(0x9e37_79b1));
        let Some(known) = self.lists.get_mut((hash >> 24) as usize % LISTS) else { return at as u32 };
        let start = *known as usize;
        if *known != 0 && self.hits.get(start..start + list.len()) == Some(list) {
            self.hits.truncate(at);
            return start as u32;
        }
        *known = at as u32;
        at as u32
    }

    fn forget_lists(&mut self) {
        self.lists.clear();
        self.lists.resize(LISTS, 0);
    }

    /// How many bytes all this takes.
    pub fn size(&self) -> usize {
        self.bytes.len()
            + self.texts.len() * size_of::<Text>()
            + self.table.len() * size_of::<u32>()
            + self.memo.len() * size_of::<(u32, u32, u32)>()
            + self.hits.len() * size_of::<u16>()
            + self.lists.len() * size_of::<u32>()
            + self.facts.size()
    }

    /// How many bytes it keeps from transaction to transaction.
    #[cfg(test)]
    pub fn retained(&self) -> usize {
        self.bytes.capacity()
            + self.texts.capacity() * size_of::<Text>()
            + self.table.capacity() * size_of::<u32>()
            + self.memo.capacity() * size_of::<(u32, u32, u32)>()
            + self.hits.capacity() * size_of::<u16>()
    }

    /// The same, once one more text is kept and one more number noted.
    #[inline]
    pub fn size_of_next(&self) -> usize {
        let table = if self.is_table_full() { self.table.len() * size_of::<u32>() } else { 0 };
        let memo = if self.is_memo_full() { self.memo.len() * size_of::<(u32, u32, u32)>() } else { 0 };
        self.size() + table + memo + size_of::<Text>()
    }

    const fn is_table_full(&self) -> bool {
        (self.listed + 1) * 8 > self.table.len() * FULL
    }

    const fn is_memo_full(&self) -> bool {
        self.memo_filled * 4 >= self.memo.len() * 3
    }

    /// Keeps a text.
    pub fn keep(&mut self, bytes: &[u8]) -> TextId {
        let hash = hash(bytes);
        if let Some(id) = self.find(bytes, hash) {
            return id;
        }
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        self.enter(start, bytes.len() as u32, alphabet::of(bytes), hash)
    }

    /// Keeps a text that is most likely like no other, and is not looked for when another one is kept.
    pub fn keep_alone(&mut self, bytes: &[u8]) -> TextId {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        self.add(start, bytes.len() as u32, alphabet::of(bytes), UNLISTED)
    }

    /// Keeps a part of a text.
    pub fn keep_part(&mut self, of: TextId, from: usize, to: usize) -> TextId {
        let Some(text) = self.text(of).copied() else { return EMPTY };
        let bytes = self.slice(&text).get(from..to).unwrap_or_default();
        let (hash, length, mask) = (hash(bytes), bytes.len() as u32, alphabet::of(bytes));
        if let Some(id) = self.find(bytes, hash) {
            return id;
        }
        self.enter(text.start + from as u32, length, mask, hash)
    }

    /// Keeps so many bytes of a text's beginning.
    pub fn keep_start(&mut self, of: TextId, most: usize) -> TextId {
        if self.length(of) as usize > most { self.keep_part(of, 0, most) } else { of }
    }

    /// Keeps a number in decimal.
    pub fn keep_number(&mut self, number: i64) -> TextId {
        let mut digits = [0_u8; 20];
        let mut at = digits.len();
        let mut rest = number.unsigned_abs();
        loop {
            at = at.saturating_sub(1);
            if let Some(place) = digits.get_mut(at) {
                *place = b'0' + (rest % 10) as u8;
            }
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            at = at.saturating_sub(1);
            if let Some(place) = digits.get_mut(at) {
                *place = b'-';
            }
        }
        self.keep(digits.get(at..).unwrap_or_default())
    }

    /// A number that was noted of a text under a kind.
    #[inline]
    pub fn remembered(&self, text: TextId, node: u32) -> Option<TextId> {
        let mut at = memo_hash(text.0, node);
        while !self.memo.is_empty() {
            match self.memo.get(at & (self.memo.len() - 1)) {
                Some((known, kind, result)) if *known == text.0 && *kind == node + 1 => return Some(TextId(*result)),
                Some((_, 0, _)) | None => return None,
                Some(_) => at += 1,
            }
        }
        None
    }

    /// Notes a number of a text under a kind.
    pub fn remember(&mut self, text: TextId, node: u32, result: TextId) {
        if self.is_memo_full() {
            let old = std::mem::take(&mut self.memo);
            self.memo = vec![(0, 0, 0); (old.len() * 2).max(64)];
            for (text, kind, result) in old {
                if kind != 0 {
                    self.place(text, kind, result);
                }
            }
        }
        self.memo_filled += 1;
        self.grown += 2 * size_of::<(u32, u32, u32)>();
        self.place(text.0, node + 1, result.0);
    }

    fn place(&mut self, text: u32, kind: u32, result: u32) {
        let room = self.memo.len().saturating_sub(1);
        let mut at = memo_hash(text, kind.wrapping_sub(1)) & room;
        while let Some(slot) = self.memo.get_mut(at) {
            if slot.1 == 0 {
                *slot = (text, kind, result);
                return;
            }
            at = (at + 1) & room;
        }
    }

    #[inline]
    fn slice(&self, text: &Text) -> &[u8] {
        let start = text.start as usize;
        self.bytes.get(start..start + text.length as usize).unwrap_or_default()
    }

    fn find(&self, bytes: &[u8], hash: u64) -> Option<TextId> {
        let room = self.table.len().checked_sub(1)?;
        for step in 0..PROBES {
            let held = self.table.get((hash as usize).wrapping_add(step) & room).copied().filter(|held| *held != 0)?;
            let id = TextId(held - 1);
            if self.texts.get(id.0 as usize).is_some_and(|text| text.length as usize == bytes.len())
                && self.bytes(id) == bytes
            {
                return Some(id);
            }
        }
        None
    }

    fn enter(&mut self, start: u32, length: u32, mask: Mask, hash: u64) -> TextId {
        let is_full = self.is_table_full();
        let id = self.add(start, length, mask, 0);
        self.listed += 1;
        if is_full {
            self.grow();
        } else {
            self.seat(id, hash);
        }
        id
    }

    fn add(&mut self, start: u32, length: u32, mask: Mask, marks: u32) -> TextId {
        let id = TextId(self.texts.len() as u32);
        // What it takes in tables is between one and three times that of itself.
        self.grown += length as usize + 2 * size_of::<Text>();
        self.texts.push(Text { start, length, mask, literals: UNKNOWN, marks });
        id
    }

    fn grow(&mut self) {
        self.seat_all((self.table.len() * 2).max(SMALLEST));
    }

    /// Makes the table anew with so many places, a power of two.
    fn seat_all(&mut self, places: usize) {
        self.table = vec![0; places];
        for index in 0..self.texts.len() {
            let id = TextId(index as u32);
            if self.text(id).is_some_and(|text| text.marks & UNLISTED == 0) {
                let hash = hash(self.bytes(id));
                self.seat(id, hash);
            }
        }
    }

    fn seat(&mut self, id: TextId, hash: u64) {
        let room = self.table.len().saturating_sub(1);
        for step in 0..PROBES {
            if let Some(slot) = self.table.get_mut((hash as usize).wrapping_add(step) & room).filter(|slot| **slot == 0)
            {
                *slot = id.0 + 1;
                return;
            }
        }
    }
}

fn memo_hash(text: u32, node: u32) -> usize {
    let mixed = (u64::from(text) << 8 ^ u64::from(node)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as usize
}

/// Eight bytes at a time; good enough to spread, and the probe limit bounds what an attacker gains by collisions.
fn hash(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut chunks = bytes.chunks_exact(8);
    let mut state = (bytes.len() as u64).wrapping_mul(FACTOR);
    for chunk in &mut chunks {
        let word = chunk.iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
        state = (state.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    }
    let tail = chunks.remainder().iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
    state = (state.rotate_left(5) ^ tail).wrapping_mul(FACTOR);
    state ^ state >> 29
}

#[cfg(test)]
mod tests {
    use super::Texts;

    #[test]
    fn equal_texts_are_kept_once() {
        let mut texts = Texts::default();
        texts.clear();
        let ids: Vec<_> = (0..2000).map(|n: i64| texts.keep_number(n % 500 - 250)).collect();
        assert_eq!(ids[3], ids[503]);
        assert_eq!(texts.bytes(ids[0]), b"-250");
        assert_ne!(ids[3], ids[4]);
        let alone = [texts.keep_alone(b"-250"), texts.keep_alone(b"alone"), texts.keep(b"alone")];
        assert!(alone[0] != ids[0] && alone[1] != alone[2] && texts.bytes(alone[1]) == texts.bytes(alone[2]));
        let part = texts.keep_part(ids[0], 1, 3);
        assert_eq!(texts.bytes(part), b"25");
        texts.remember(part, 7, ids[4]);
        assert_eq!(texts.remembered(part, 7), Some(ids[4]));
        assert_eq!(texts.remembered(part, 8), None);
        texts.set_like(ids[4], ids[3]);
        assert_eq!([texts.like(ids[4]), texts.like(ids[3])], [Some(ids[3]), None]);
    }
}
