//! A set of small numbers.

/// Numbers below a bound that was given when the set was made.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
}

impl Clone for Bits {
    fn clone(&self) -> Self {
        Self { words: self.words.clone() }
    }

    fn clone_from(&mut self, other: &Self) {
        self.words.clone_from(&other.words);
    }
}

impl Bits {
    /// An empty set for numbers below `bound`.
    pub fn new(bound: usize) -> Self {
        Self { words: vec![0; bound.div_ceil(64)] }
    }

    /// Empties the set and gives it a bound.
    pub fn reset(&mut self, bound: usize) {
        self.words.clear();
        self.words.resize(bound.div_ceil(64), 0);
    }

    /// Adds a number; one beyond the bound is ignored.
    pub fn insert(&mut self, number: usize) {
        if let Some(word) = self.words.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }

    /// Takes a number out.
    pub fn remove(&mut self, number: usize) {
        if let Some(word) = self.words.get_mut(number / 64) {
            *word &= !(1 << (number % 64));
        }
    }

    /// Whether any number from one to before another is in the set.
    #[inline]
    pub fn any(&self, from: usize, to: usize) -> bool {
        let mut at = from;
        while at < to {
            let word = self.words.get(at / 64).copied().unwrap_or(0) >> (at % 64);
            let length = (64 - at % 64).min(to - at);
            if word & u64::MAX >> (64 - length) != 0 {
                return true;
            }
            at += length;
        }
        false
    }

    /// How many bytes it takes.
    pub fn size(&self) -> usize {
        self.words.len() * size_of::<u64>()
    }

    /// Adds the numbers of another set.
    pub fn extend(&mut self, other: &Self) {
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    /// Whether the number is in the set.
    #[inline]
    pub fn contains(&self, number: usize) -> bool {
        self.words.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::Bits;

    #[test]
    fn ranges() {
        let mut bits = Bits::new(200);
        [5, 63, 130].into_iter().for_each(|number| bits.insert(number));
        for (from, to) in
            [(0, 5), (0, 6), (5, 5), (6, 63), (6, 64), (64, 130), (64, 131), (131, 200), (0, 200), (190, 300)]
        {
            assert_eq!(bits.any(from, to), (from..to).any(|number| bits.contains(number)), "{from} {to}");
        }
        bits.remove(63);
        assert!(!bits.any(6, 130) && bits.any(130, 131));
    }
}
