//! A line while it is written: memory that is there already, and a place in it.
//!
//! Short texts are copied in chunks of a fixed size, each with one store; what stands behind a text's end is written over by
//! what comes next. INVARIANT: the place is never behind the end of the memory.

/// Bytes of a chunk.
const CHUNK: usize = 32;
/// Bytes of memory that are kept for the next line.
const KEPT: usize = 4096;

/// A line.
#[derive(Debug, Default)]
pub struct Line {
    bytes: Vec<u8>,
    at: usize,
}

/// A text that is the same in every line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Literal {
    chunks: Vec<[u8; CHUNK]>,
    length: usize,
}

impl Literal {
    /// Of a text.
    pub fn of(text: &str) -> Self {
        let mut literal = Self::default();
        literal.add(text);
        literal
    }

    /// Adds a text at its end.
    pub fn add(&mut self, text: &str) {
        for byte in text.bytes() {
            let at = self.length % CHUNK;
            if at == 0 {
                self.chunks.push([0; CHUNK]);
            }
            let place = self.chunks.last_mut().and_then(|chunk| chunk.get_mut(at));
            place.into_iter().for_each(|place| *place = byte);
            self.length += 1;
        }
    }
}

impl Line {
    /// Begins a line, in memory that is not too large to keep.
    pub fn begin(&mut self) {
        self.at = 0;
        self.bytes.truncate(KEPT);
        self.bytes.shrink_to(KEPT);
    }

    /// What is written so far.
    pub fn written(&self) -> &[u8] {
        self.since(0)
    }

    /// What is written since a place.
    pub fn since(&self, start: usize) -> &[u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    /// The place that is written next.
    pub const fn place(&self) -> usize {
        self.at
    }

    /// Takes back what is written since a place.
    pub fn back_to(&mut self, start: usize) {
        self.at = self.at.min(start);
    }

    /// Takes back what goes beyond so many bytes since a place, and never a part of a character.
    pub fn cut(&mut self, start: usize, longest: usize) {
        let is_inside = |byte: &u8| (0x80..0xc0).contains(byte);
        let written = self.since(start);
        let mut length = longest;
        while length > 0 && written.get(length).is_some_and(is_inside) {
            length -= 1;
        }
        self.back_to(start.saturating_add(length));
    }

    /// Adds a literal.
    #[inline]
    pub fn literal(&mut self, literal: &Literal) {
        let end = self.at + literal.length;
        literal.chunks.iter().for_each(|chunk| self.chunk(chunk, CHUNK));
        self.at = end;
    }

    /// Adds a text.
    #[inline]
    pub fn text(&mut self, text: &[u8]) {
        let end = self.at + text.len();
        self.room(text.len());
        if let Some(place) = self.bytes.get_mut(self.at..end) {
            place.copy_from_slice(text);
            self.at = end;
        }
    }

    /// Adds what has a text.
    pub fn shown(&mut self, it: impl std::fmt::Display) {
        self.text(it.to_string().as_bytes());
    }

    /// Adds a byte.
    #[inline]
    pub fn byte(&mut self, byte: u8) {
        self.chunk(&[byte], 1);
    }

    /// Adds a number.
    #[inline]
    pub fn number(&mut self, number: u64) {
        if number >= 10_000 {
            self.long_number(number);
        } else {
            let zeros = u32::from(number < 10) + u32::from(number < 100) + u32::from(number < 1000);
            let digits = u32::from_be_bytes(four(number)) << (8 * zeros);
            self.chunk(&digits.to_be_bytes(), 4 - zeros as usize);
        }
    }

    fn long_number(&mut self, number: u64) {
        self.number(number / 10_000);
        self.chunk(&four(number % 10_000), 4);
    }

    /// Adds the start of a chunk.
    #[inline]
    pub fn chunk<const N: usize>(&mut self, chunk: &[u8; N], length: usize) {
        self.room(N);
        if let Some(place) = self.bytes.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut) {
            *place = *chunk;
            self.at += length;
        }
    }

    #[inline]
    fn room(&mut self, more: usize) {
        if self.bytes.len() - self.at < more {
            self.grow(more);
        }
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        self.bytes.resize((self.at + more).next_power_of_two().max(KEPT), 0);
    }
}

/// The last four digits of a number.
#[inline]
fn four(number: u64) -> [u8; 4] {
    [number / 1000, number / 100, number / 10, number].map(|digit| b'0' + (digit % 10) as u8)
}

#[cfg(test)]
mod tests {
    use super::{Line, Literal};

    #[test]
    fn what_is_added_stands_one_behind_the_other() {
        let mut line = Line::default();
        let mut want = String::new();
        for length in (0..70).chain([5000]) {
            let text: String = "abcdefghij".chars().cycle().take(length).collect();
            line.literal(&Literal::of(&text));
            line.text(text.as_bytes());
            line.byte(b'|');
            want.push_str(&format!("{text}{text}|"));
        }
        let powers = (0..20).map(|power| 10_u64.pow(power));
        for number in powers.flat_map(|power| [power - 1, power, power + 7]).chain([u64::MAX, 10_203, 90_000_001]) {
            line.number(number);
            line.byte(b' ');
            want.push_str(&format!("{number} "));
        }
        assert_eq!(str::from_utf8(line.written()).unwrap(), want);
        line.begin();
        assert!(line.written().is_empty() && line.bytes.capacity() <= super::KEPT);
    }
}
