//! Sweeping: forgetting the texts that nothing refers to any more.
//!
//! Texts that a head or body is read into *last*; what is made of them while rules are judged passes. When a transaction
//! has no room left, those passing texts that a variable or a match names become lasting, and the others are forgotten.
//! ORDER: no [`TextId`] outlives a sweep but in the places that [`Moves`] is shown.

use super::{SMALLEST, TextId, Texts, UNLISTED, hash};

/// How many texts last, and how many bytes are theirs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lasting {
    texts: usize,
    bytes: usize,
}

/// What becomes of the passing texts: a place for each.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    from: usize,
    to: Vec<u32>,
}

/// A text that is forgotten.
const GONE: u32 = u32::MAX;

impl Moves {
    /// Gives a large list back.
    pub fn shrink(&mut self) {
        if self.to.capacity() > 1 << 14 {
            self.to = Vec::new();
        }
    }

    /// Says that this text is still needed.
    pub fn need(&mut self, id: TextId) {
        if let Some(place) = (id.0 as usize).checked_sub(self.from).and_then(|at| self.to.get_mut(at)) {
            *place = 0;
        }
    }

    /// The number that the text has after the sweep.
    pub fn now(&self, id: TextId) -> TextId {
        let moved = (id.0 as usize).checked_sub(self.from).and_then(|at| self.to.get(at));
        moved.map_or(id, |to| TextId(*to))
    }
}

impl Texts {
    /// From now on all texts that there are stay until the transaction ends.
    pub fn settle(&mut self) {
        (self.lasting.texts, self.lasting.bytes) = (self.texts.len(), self.bytes.len());
    }

    /// Whether there is anything that a sweep would take.
    pub fn has_passing(&self) -> bool {
        self.texts.len() > self.lasting.texts || self.memo_filled > 0
    }

    /// Makes `moves` ready to be told which passing texts are needed.
    pub fn begin_sweep(&self, moves: &mut Moves) {
        moves.from = self.lasting.texts;
        moves.to.clear();
        moves.to.resize(self.texts.len().saturating_sub(moves.from), GONE);
    }

    /// Forgets the passing texts that are not needed, and all that was noted under kinds; the others last.
    pub fn sweep(&mut self, moves: &mut Moves) {
        let first = self.lasting.texts;
        let mut kept = Vec::new();
        let mut next = first;
        for (at, place) in moves.to.iter_mut().enumerate() {
            let Some(mut text) = self.texts.get(first + at).copied() else { break };
            self.listed -= usize::from(text.marks & UNLISTED == 0);
            if *place == GONE {
                continue;
            }
            if text.start as usize >= self.lasting.bytes {
                let start = self.lasting.bytes + kept.len();
                kept.extend_from_slice(self.slice(&text));
                text.start = start as u32;
            }
            text.marks = 0;
            *place = next as u32;
            if let Some(seat) = self.texts.get_mut(next) {
                *seat = text;
                next += 1;
            }
        }
        self.texts.truncate(next);
        self.bytes.truncate(self.lasting.bytes);
        self.bytes.extend_from_slice(&kept);
        self.forget_notes();
        // Every text was seated after those with lower numbers, so none of these is found by way of a place emptied here.
        self.listed += next - first;
        let enough = (self.listed * 15 / 8).next_power_of_two().max(SMALLEST);
        let is_worth = self.listed < 1024 || enough * 4 <= self.table.len();
        if enough < self.table.len() && is_worth {
            self.seat_all(enough);
        } else {
            self.table.iter_mut().filter(|held| **held as usize > first).for_each(|held| *held = 0);
            for index in first..next {
                let id = TextId(index as u32);
                let hash = hash(self.bytes(id));
                self.seat(id, hash);
            }
        }
        self.settle();
    }

    fn forget_notes(&mut self) {
        if self.memo.len() > 64 {
            self.memo = Vec::new();
        }
        self.memo.fill((0, 0, 0));
        self.memo_filled = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::Moves;
    use crate::text::Texts;

    #[test]
    fn only_what_is_needed_outlives_a_sweep() {
        let mut texts = Texts::default();
        texts.clear();
        let lasting = texts.keep(b"lasting");
        texts.settle();
        let passing: Vec<_> = (0..3000).map(|n| texts.keep_number(n)).collect();
        let part = texts.keep_part(passing[1234], 1, 3);
        let of_lasting = texts.keep_part(lasting, 0, 4);
        texts.remember(lasting, 3, passing[5]);
        let before = texts.size();
        let mut moves = Moves::default();
        texts.begin_sweep(&mut moves);
        for needed in [lasting, part, of_lasting, passing[1000]] {
            moves.need(needed);
        }
        texts.sweep(&mut moves);
        assert!(texts.size() < before - 3000 * 24);
        let now = [lasting, part, of_lasting, passing[1000]].map(|id| moves.now(id));
        assert_eq!(now[0], lasting);
        assert_eq!(now.map(|id| texts.bytes(id).to_vec()), [&b"lasting"[..], b"23", b"last", b"1000"]);
        assert_eq!(texts.remembered(lasting, 3), None);
        assert_eq!([texts.keep(b"1000"), texts.keep(b"23"), texts.keep(b"lasting")], [now[3], now[1], lasting]);
        assert!(texts.keep(b"7") > now[3]);
    }
}
