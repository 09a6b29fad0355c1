//! One search for all literals of all operators: what is not found need not be asked.
//!
//! In: patterns and phrase lists. Out: [`Literals`], one Aho-Corasick automaton; each operator that has a needed literal
//! (or is a list of phrases) has a *slot*, and a text has the set of slots whose literals it holds.

use crate::operator::pattern::Pattern;
use crate::operator::phrases::Phrases;
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use std::collections::BTreeMap;

/// No slot: the operator must be asked.
pub(crate) const NONE: u16 = u16::MAX;
/// Phrases shorter than this would be found everywhere; their lists are searched by themselves.
const SHORTEST_PHRASE: u32 = 2;

/// The automaton and who wants what it finds.
#[derive(Debug, Default)]
pub(crate) struct Literals {
    automaton: Option<AhoCorasick>,
    /// By literal: the slots that want it.
    wanted: Vec<Vec<u16>>,
    /// By pattern, by list of phrases: its slot.
    patterns: Vec<u16>,
    phrases: Vec<u16>,
    slots: u16,
}

/// Builds the automaton.
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
    built.automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(literals.keys())
        .ok();
    if built.automaton.is_none() {
        built.patterns.fill(NONE);
        built.phrases.fill(NONE);
    }
    built.wanted = literals.into_values().collect();
    built
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
        let Some(automaton) = &self.automaton else { return };
        seen.resize(usize::from(self.slots).div_ceil(64), 0);
        let from = out.len();
        for found in automaton.find_overlapping_iter(text) {
            let Some(slots) = self.wanted.get(found.pattern().as_usize()) else { continue };
            for slot in slots {
                let Some(word) = seen.get_mut(usize::from(*slot) / 64) else { continue };
                let bit = 1_u64 << (slot % 64);
                if *word & bit == 0 {
                    *word |= bit;
                    out.push(*slot);
                }
            }
        }
        for slot in out.get(from..).unwrap_or_default() {
            if let Some(word) = seen.get_mut(usize::from(*slot) / 64) {
                *word = 0;
            }
        }
    }
}
