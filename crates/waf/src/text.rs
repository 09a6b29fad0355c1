//! The texts of one transaction: bytes in one buffer, equal texts kept once.
//!
//! In: bytes. Out: [`TextId`]s. Nothing here lives longer than its transaction; [`Texts::clear`] keeps the memory.
//! Texts that nothing names any more are forgotten when a transaction has no room left: see [`sweep`].
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
    /// [`UNLISTED`], and above it the last number that it was counted under.
    marks: u32,
}

/// It is not in the table: an equal text would be kept again.
const UNLISTED: u32 = 1;

impl Text {
    /// Counts it under a number. `false`: it was counted already.
    pub const fn count_in(&mut self, number: u32) -> bool {
        let before = self.marks;
        self.marks = before & UNLISTED | number << 1;
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
    /// Numbers noted of texts: (text, kind + 1, number), open addressing; kind 0 is free.
    memo: Vec<(u32, u32, u32)>,
    memo_filled: usize,
    lasting: sweep::Lasting,
    /// About how many bytes were added since somebody looked.
    pub grown: usize,
}

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
        let is_large = self.bytes.capacity() > KEEP * 2 || self.texts.capacity() > KEEP / 8;
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

    /// How many bytes all this takes.
    pub fn size(&self) -> usize {
        self.bytes.len()
            + self.texts.len() * size_of::<Text>()
            + self.table.len() * size_of::<u32>()
            + self.memo.len() * size_of::<(u32, u32, u32)>()
    }

    /// How many bytes it keeps from transaction to transaction.
    #[cfg(test)]
    pub fn retained(&self) -> usize {
        self.bytes.capacity()
            + self.texts.capacity() * size_of::<Text>()
            + self.table.capacity() * size_of::<u32>()
            + self.memo.capacity() * size_of::<(u32, u32, u32)>()
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
        self.texts.push(Text { start, length, mask, marks });
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
    }
}
