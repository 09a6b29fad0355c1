//! Sweeping: forgetting the texts that nothing refers to any more.
//!
//! Texts that a head or body is read into *last*; what is made of them while rules are judged passes. When a transaction
//! has no room left, those passing texts that a variable or a match names become lasting, and the others are forgotten.
//! ORDER: no [`TextId`] outlives a sweep but in the places that [`Moves`] is shown.

use super::{LIKE, SMALLEST, Text, TextId, Texts, UNKNOWN, UNLISTED, VERDICT, hash};
use crate::alphabet::Mask;
use std::collections::BTreeMap;

/// How many texts last, and how many bytes are theirs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lasting {
    texts: usize,
    bytes: usize,
    /// Length of the lists of literals when they were last put together.
    hits: usize,
}

/// What becomes of the passing texts: a place for each.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    from: usize,
    to: Vec<u32>,
}

/// What was known of a long text that is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    /// Length in bytes.
    pub length: u32,
    /// Which kinds of bytes it holds.
    pub mask: Mask,
    /// Where the list of its literal slots is.
    pub literals: u32,
    /// See [`Text::injection`].
    pub injection: u8,
}

/// Facts of what transformations make of texts that last.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    facts: Vec<Fact>,
    /// The text, the kind of transformation, and where the fact is.
    known: Vec<(TextId, u16, u16)>,
}

impl Facts {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.facts.clear();
        self.known.clear();
    }

    /// How many bytes all this takes.
    pub fn size(&self) -> usize {
        self.facts.len() * size_of::<Fact>() + self.known.len() * size_of::<(TextId, u16, u16)>()
    }

    fn get(&self, of: TextId, kind: u32) -> Option<&Fact> {
        let known = self.known.iter().find(|known| known.0 == of && u32::from(known.1) == kind)?;
        self.facts.get(usize::from(known.2))
    }

    /// Notes a fact; one too many is not noted.
    fn note(&mut self, of: TextId, kind: u32, fact: Fact) {
        let Ok(kind) = u16::try_from(kind) else { return };
        let at = self.facts.iter().position(|known| *known == fact).unwrap_or(self.facts.len());
        let Ok(place) = u16::try_from(at) else { return };
        if at == self.facts.len() {
            self.facts.push(fact);
        }
        match self.known.iter_mut().find(|known| known.0 == of && known.1 == kind) {
            Some(known) => known.2 = place,
            None => self.known.push((of, kind, place)),
        }
    }
}

/// Facts of shorter texts take more than they spare.
const LONG: u32 = 1024;

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

    /// Whether a text is so long that no more than needed is made of it.
    #[inline]
    pub fn is_long(&self, id: TextId) -> bool {
        self.length(id) >= LONG
    }

    /// What was known of what a kind of transformation made of a text before a sweep.
    #[inline]
    pub fn fact(&self, of: TextId, kind: u32) -> Option<&Fact> {
        self.facts.get(of, kind)
    }

    /// Notes of a text that was made again what is known of it.
    pub fn recall(&mut self, of: TextId, kind: u32, made: TextId) {
        if self.length(made) >= LONG
            && let Some(fact) = self.fact(of, kind).copied()
            && let Some(text) = self.text_mut(made)
        {
            text.literals = fact.literals;
            text.note_injection(fact.injection);
        }
    }

    fn gather_facts(&mut self) {
        for index in 0..self.memo.len() {
            let Some((of, kind, made)) = self.memo.get(index).copied().filter(|(_, kind, _)| *kind != 0) else {
                continue;
            };
            let is_passing = (of as usize) < self.lasting.texts && made as usize >= self.lasting.texts;
            let (of, kind, made) = (TextId(of), kind - 1, TextId(made));
            let Some(text) = self.text(made).copied().filter(|text| is_passing && text.length >= LONG) else {
                continue;
            };
            let Some(literals) = self.literals(made) else { continue };
            let Text { length, mask, .. } = text;
            self.facts.note(of, kind, Fact { length, mask, literals, injection: text.injection() });
        }
    }

    /// Makes `moves` ready to be told which passing texts are needed.
    pub fn begin_sweep(&self, moves: &mut Moves) {
        moves.from = self.lasting.texts;
        moves.to.clear();
        moves.to.resize(self.texts.len().saturating_sub(moves.from), GONE);
    }

    /// Forgets the passing texts that are not needed, and all that was noted under kinds; the others last.
    pub fn sweep(&mut self, moves: &mut Moves) {
        self.gather_facts();
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
            // A text that it is like may be gone.
            text.literals = if text.literals & LIKE == 0 { text.literals } else { UNKNOWN };
            text.marks &= VERDICT;
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
        self.gather_literals();
    }

    fn forget_notes(&mut self) {
        if self.memo.len() > 64 {
            self.memo = Vec::new();
        }
        self.memo.fill((0, 0, 0));
        self.memo_filled = 0;
    }

    /// Leaves out the lists of texts that are gone, when there may be many.
    fn gather_literals(&mut self) {
        const SPARE: usize = 2048;
        if self.hits.len() < self.lasting.hits + SPARE {
            return;
        }
        let (mut gathered, mut moved) = (vec![0], BTreeMap::new());
        for index in 0..self.texts.len() {
            let id = TextId(index as u32);
            let Some(at) = self.literals(id).filter(|at| *at != 0) else { continue };
            let to = put(&mut gathered, &mut moved, at, self.slots(at));
            self.set_literals(id, to);
        }
        let mut facts = std::mem::take(&mut self.facts);
        for fact in facts.facts.iter_mut().filter(|fact| fact.literals != 0) {
            fact.literals = put(&mut gathered, &mut moved, fact.literals, self.slots(fact.literals));
        }
        self.facts = facts;
        self.hits = gathered;
        self.lasting.hits = self.hits.len();
        self.forget_lists();
    }
}

/// Adds a list unless it was moved already; its place.
fn put(lists: &mut Vec<u16>, moved: &mut BTreeMap<u32, u32>, at: u32, list: &[u16]) -> u32 {
    *moved.entry(at).or_insert_with(|| {
        let to = lists.len() as u32;
        lists.push(list.len() as u16);
        lists.extend_from_slice(list);
        to
    })
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
        texts.add_literals(passing[7], |_, hits| hits.extend([4, 5]));
        let at = texts.add_literals(passing[1000], |_, hits| hits.extend([6; 4000]));
        texts.set_literals(passing[1000], at);
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
        assert_eq!(texts.slots(texts.literals(now[3]).unwrap()), [6; 4000]);
        assert_eq!(texts.remembered(lasting, 3), None);
        assert_eq!([texts.keep(b"1000"), texts.keep(b"23"), texts.keep(b"lasting")], [now[3], now[1], lasting]);
        assert!(texts.keep(b"7") > now[3]);
    }
}
