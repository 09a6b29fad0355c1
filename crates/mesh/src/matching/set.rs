//! Many patterns over text, looked up together: what makes a thousand rules as cheap as ten.
//!
//! In: patterns with numbers. Out: the numbers of the patterns that match a text. Never: an allocation in a look-up, a
//! hash, or more than a logarithm of comparisons for exact, prefix and suffix patterns.

use super::Form;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Patterns with the numbers that stand behind them; each list of numbers is sorted.
#[derive(Clone, Debug, Default)]
pub struct TextIndex {
    present: Vec<u32>,
    any: Vec<u32>,
    exact: Vec<(Box<[u8]>, Vec<u32>)>,
    prefixes: Chains,
    /// Keys are reversed.
    suffixes: Chains,
    globs: Vec<(Vec<Box<str>>, u32)>,
}

/// Keys in order, each linked to the longest other key that it begins with. All keys that a text begins with are then
/// one chain, found with one binary search.
#[derive(Clone, Debug, Default)]
struct Chains(Vec<Link>);

#[derive(Clone, Debug)]
struct Link {
    key: Box<[u8]>,
    parent: Option<u32>,
    numbers: Vec<u32>,
}

/// One pattern over bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// Anything, also empty.
    Present,
    /// Anything that is not empty.
    Any,
    /// These bytes.
    Exact(Box<[u8]>),
    /// What begins so.
    Prefix(Box<[u8]>),
    /// What ends so.
    Suffix(Box<[u8]>),
    /// [`Form::Glob`]
    Glob(Vec<Box<str>>),
}

impl From<&Form> for Pattern {
    fn from(form: &Form) -> Self {
        match form {
            Form::Present => Self::Present,
            Form::Any => Self::Any,
            Form::Exact(text) => Self::Exact(text.as_bytes().into()),
            Form::Prefix(text) => Self::Prefix(text.as_bytes().into()),
            Form::Suffix(text) => Self::Suffix(text.as_bytes().into()),
            Form::Glob(pieces) => Self::Glob(pieces.clone()),
        }
    }
}

impl TextIndex {
    /// An index of patterns.
    pub fn of(patterns: impl IntoIterator<Item = (Pattern, u32)>) -> Self {
        let mut index = Self::default();
        let (mut exact, mut prefixes, mut suffixes) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (pattern, number) in patterns {
            match pattern {
                Pattern::Present => add(&mut index.present, number),
                Pattern::Any => add(&mut index.any, number),
                Pattern::Exact(bytes) => add(exact.entry(bytes).or_default(), number),
                Pattern::Prefix(bytes) => add(prefixes.entry(bytes).or_default(), number),
                Pattern::Suffix(bytes) => {
                    add(suffixes.entry(bytes.iter().rev().copied().collect()).or_default(), number)
                }
                Pattern::Glob(pieces) => index.globs.push((pieces, number)),
            }
        }
        index.exact = exact.into_iter().collect();
        index.prefixes = Chains::of(prefixes);
        index.suffixes = Chains::of(suffixes);
        index
    }

    /// Calls `each` with the numbers of every pattern that matches.
    pub fn visit(&self, value: &[u8], each: &mut impl FnMut(&[u32])) {
        each(&self.present);
        if !value.is_empty() {
            each(&self.any);
        }
        if let Ok(at) = self.exact.binary_search_by(|(key, _)| (**key).cmp(value))
            && let Some((_, numbers)) = self.exact.get(at)
        {
            each(numbers);
        }
        self.prefixes.visit(|key| key.cmp(value), |key| value.starts_with(key), each);
        let backwards = |key: &[u8]| key.iter().cmp(value.iter().rev());
        let ends = |key: &[u8]| key.len() <= value.len() && key.iter().eq(value.iter().rev().take(key.len()));
        self.suffixes.visit(backwards, ends, each);
        for (glob, number) in &self.globs {
            if super::glob(glob, value) {
                each(std::slice::from_ref(number));
            }
        }
    }

    /// Whether any pattern matches.
    pub fn matches(&self, value: &[u8]) -> bool {
        let mut found = false;
        self.visit(value, &mut |numbers| found |= !numbers.is_empty());
        found
    }
}

fn add(numbers: &mut Vec<u32>, number: u32) {
    if let Err(at) = numbers.binary_search(&number) {
        numbers.insert(at, number);
    }
}

impl Chains {
    fn of(keys: BTreeMap<Box<[u8]>, Vec<u32>>) -> Self {
        let mut links: Vec<Link> = Vec::with_capacity(keys.len());
        for (key, numbers) in keys {
            // The key before this one, or one that it begins with, is the longest that this one begins with.
            let mut parent = links.len().checked_sub(1);
            while let Some(link) = parent.and_then(|at| links.get(at)) {
                if key.starts_with(&link.key) {
                    break;
                }
                parent = link.parent.map(|at| at as usize);
            }
            links.push(Link { key, parent: parent.and_then(|at| u32::try_from(at).ok()), numbers });
        }
        Self(links)
    }

    /// `order` compares a key with the text, `begins` says whether the text begins with a key.
    fn visit(&self, order: impl Fn(&[u8]) -> Ordering, begins: impl Fn(&[u8]) -> bool, each: &mut impl FnMut(&[u32])) {
        if self.0.is_empty() {
            return;
        }
        let mut at = self.0.partition_point(|link| order(&link.key) != Ordering::Greater).checked_sub(1);
        let mut inside = false;
        while let Some(link) = at.and_then(|at| self.0.get(at)) {
            inside = inside || begins(&link.key);
            if inside {
                each(&link.numbers);
            }
            at = link.parent.map(|at| at as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, Pattern, TextIndex};
    use proptest::prelude::{Strategy, prop_oneof, proptest};

    fn forms() -> impl Strategy<Value = Vec<Form>> {
        let text = "[ab]{0,4}";
        let form = prop_oneof![
            text.prop_map(|t| Form::Exact(t.into())),
            text.prop_map(|t| Form::Prefix(t.into())),
            text.prop_map(|t| Form::Suffix(t.into())),
            text.prop_map(|t| Form::read_namespace(&format!("{t}*b*"))),
            "".prop_map(|_| Form::Any),
            "".prop_map(|_| Form::Present),
        ];
        proptest::collection::vec(form, 0..12)
    }

    proptest! {
        #[test]
        fn an_index_is_its_patterns_one_by_one(forms in forms(), value in "[ab]{0,6}") {
            let index = TextIndex::of(forms.iter().map(Pattern::from).zip(0..));
            let mut found = Vec::new();
            index.visit(value.as_bytes(), &mut |numbers| found.extend_from_slice(numbers));
            found.sort_unstable();
            let want: Vec<u32> =
                forms.iter().zip(0..).filter(|(form, _)| form.matches(value.as_bytes())).map(|(_, n)| n).collect();
            assert_eq!(found, want);
            assert_eq!(index.matches(value.as_bytes()), !want.is_empty());
        }
    }
}
