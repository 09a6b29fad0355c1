//! `@pm` and `@pmFromFile`: many phrases at once, without regard to case.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use std::sync::OnceLock;

/// A list of phrases.
#[derive(Debug)]
pub(crate) struct Phrases {
    /// Lower case.
    pub list: Vec<Vec<u8>>,
    /// Built when it is first needed: the prefilter's own automaton answers nearly always.
    automaton: OnceLock<Option<AhoCorasick>>,
    /// Length of the shortest.
    pub shortest: u32,
}

impl Phrases {
    /// Takes a list; empty phrases are left out.
    pub fn new(list: impl Iterator<Item = Vec<u8>>) -> Self {
        let mut list: Vec<Vec<u8>> = list.filter(|phrase| !phrase.is_empty()).map(|p| p.to_ascii_lowercase()).collect();
        list.sort_unstable();
        list.dedup();
        let shortest = list.iter().map(Vec::len).min().unwrap_or(0);
        Self { list, automaton: OnceLock::new(), shortest: u32::try_from(shortest).unwrap_or(u32::MAX) }
    }

    /// The lines of a phrase file: trimmed, without comments.
    pub fn lines(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")).map(<[u8]>::to_vec)
    }

    /// The words of `@pm`: between white space; `|41 42|` stands for bytes.
    pub fn words(text: &str) -> impl Iterator<Item = Vec<u8>> {
        text.split_ascii_whitespace().map(word)
    }

    /// Where a phrase first ends.
    pub fn find(&self, text: &[u8]) -> Option<(usize, usize)> {
        let build = || {
            AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .match_kind(MatchKind::Standard)
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .build(&self.list)
                .ok()
        };
        self.automaton.get_or_init(build).as_ref()?.find(text).map(|found| (found.start(), found.end()))
    }
}

fn word(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, part) in text.split('|').enumerate() {
        let hex =
            index % 2 == 1 && !part.is_empty() && part.len() % 2 == 0 && part.bytes().all(|b| b.is_ascii_hexdigit());
        if hex {
            crate::transform::Transformation::HexDecode.apply_onto(part.as_bytes(), &mut out);
        } else {
            out.extend_from_slice(part.as_bytes());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::Phrases;

    #[test]
    fn phrases() {
        let phrases = Phrases::new(Phrases::words("etc/Passwd a|4243|"));
        assert_eq!(phrases.find(b"x /ETC/passwd"), Some((3, 13)));
        assert_eq!(phrases.find(b"zzaBC"), Some((2, 5)));
        assert_eq!(phrases.find(b"nothing"), None);
        let lines: Vec<_> = Phrases::lines(b"# c\n one two \n\nthree").collect();
        assert_eq!(lines, [b"one two".to_vec(), b"three".to_vec()]);
    }
}
