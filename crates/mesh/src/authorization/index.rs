//! The rules of one action on one workload, laid out so that a call meets only those that can match it.
//!
//! In: rules in the order in which they are to be named. Out: the first that matches. Never: an allocation while
//! judging, a memory of earlier decisions. Each rule hangs on the one of its clauses whose values are rarest among all
//! rules; a call looks its own values up and tries the rules that hang there. Where many hang on one value, they hang once
//! more on another field: a thousand rules that are pairs of a few dozen values cost what a thousand values do.

mod test;

pub use test::Test;

use super::attributes::{Attributes, Http};
use super::{Action, Field, Rule};
use crate::matching::set::{Pattern, TextIndex};
use ringwall_model::RuleId;
use ringwall_token::Claims;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rules of one action, in order of their names.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    rules: Vec<Laid>,
    index: Index,
}

/// Where rules hang: by fields of the call, each pattern with the number of a [`Shelf`].
#[derive(Clone, Debug, Default)]
struct Index {
    shelves: Vec<Shelf>,
    probes: Vec<Probe>,
    headers: HeaderProbes,
    claims: Vec<(Box<str>, Vec<Probe>)>,
    /// Rules that hang on nothing: they have no positive clause.
    loose: Vec<u32>,
}

/// The rules that hang on one pattern.
#[derive(Clone, Debug)]
enum Shelf {
    /// Few: tried one after the other, in order.
    List(Vec<u32>),
    /// Many that differ in another field: hung once more.
    Deeper(Box<Index>),
}

/// So many rules of one pattern are tried one by one.
const FEW: usize = 4;
/// A rule with more values than these is not hung a second time: an index takes memory for each.
const MANY_KEYS: usize = 32;

/// What to look up, and where.
type Probe = (Field, TextIndex);

/// One rule, ready to be tried.
#[derive(Clone, Debug)]
pub struct Laid {
    /// Its number in the rule book.
    pub id: RuleId,
    /// `ns[…]-policy[…]-rule[…]`, as Envoy names it.
    pub name: Arc<str>,
    /// What Envoy says in `response_code_details` when it refuses.
    pub details: Arc<str>,
    /// Sources.
    pub from: Vec<Vec<Test>>,
    /// Operations.
    pub to: Vec<Vec<Test>>,
    /// Conditions.
    pub when: Vec<Test>,
}

impl Laid {
    /// Lays one rule out. `name` is Envoy's name of it.
    pub fn of(rule: &Rule, name: &str, action: Action) -> Self {
        let all = |clauses: &[super::Clause]| clauses.iter().map(|clause| Test::of(clause, action)).collect::<Vec<_>>();
        Self {
            id: rule.id,
            name: name.into(),
            details: format!("rbac_access_denied_matched_policy[{name}]").into(),
            from: rule.from.iter().map(|source| all(source)).collect(),
            to: rule.to.iter().map(|operation| all(operation)).collect(),
            when: all(&rule.when),
        }
    }

    /// Whether the rule matches.
    pub fn matches(&self, call: &Attributes<'_>) -> bool {
        let all = |tests: &[Test]| tests.iter().all(|test| test.matches(call));
        let any = |of: &[Vec<Test>]| of.is_empty() || of.iter().any(|tests| all(tests));
        any(&self.from) && any(&self.to) && all(&self.when)
    }

    /// The clauses one of which can carry the rule: the rarest of each source, of each operation, each condition. Fields
    /// that it already hangs on are `used`.
    fn anchors(&self, counts: &Counts, used: &[Field]) -> Option<Vec<(Field, Pattern)>> {
        let free = |keys: &Vec<(Field, Pattern)>| keys.iter().all(|(field, _)| !used.contains(field));
        let rarest =
            |tests: &[Test]| tests.iter().filter_map(Test::anchors).filter(free).min_by_key(|keys| counts.rank(keys));
        let across = |of: &[Vec<Test>]| {
            let keys: Option<Vec<_>> = of.iter().map(|tests| rarest(tests)).collect();
            keys.map(|keys| keys.concat()).filter(|keys| !keys.is_empty())
        };
        [across(&self.from), across(&self.to), rarest(&self.when)]
            .into_iter()
            .flatten()
            .filter(|keys| used.is_empty() || keys.len() <= MANY_KEYS)
            .min_by_key(|keys| counts.rank(keys))
    }

    /// All its clauses.
    pub fn tests(&self) -> impl Iterator<Item = &Test> {
        self.from.iter().flatten().chain(self.to.iter().flatten()).chain(&self.when)
    }
}

/// How many rules speak of a value.
#[derive(Default)]
struct Counts(BTreeMap<(Field, Pattern), usize>);

impl Counts {
    fn of<'a>(rules: impl Iterator<Item = &'a Laid>) -> Self {
        let mut counts = Self::default();
        for key in rules.flat_map(Laid::tests).filter_map(Test::anchors).flatten() {
            *counts.0.entry(key).or_default() += 1;
        }
        counts
    }

    /// The longest list that hanging a rule on these values would make; then how many values there are.
    fn rank(&self, keys: &[(Field, Pattern)]) -> (usize, usize) {
        (keys.iter().filter_map(|key| self.0.get(key)).max().copied().unwrap_or(0), keys.len())
    }
}

impl RuleSet {
    /// Lays rules out; they are tried in this order.
    pub fn of(rules: Vec<Laid>) -> Self {
        let all = (0_u32..).take(rules.len()).collect();
        Self { index: Index::of(&rules, all, &[]), rules }
    }

    /// All rules, in order.
    pub fn rules(&self) -> &[Laid] {
        &self.rules
    }

    /// The first rule that matches.
    pub fn first(&self, call: &Attributes<'_>) -> Option<&Laid> {
        let mut best = u32::MAX;
        self.index.search(&self.rules, call, &mut best);
        self.rules.get(best as usize)
    }
}

impl Index {
    /// Hangs the rules of these numbers, which are in order, on fields that are not `used`.
    fn of(rules: &[Laid], numbers: Vec<u32>, used: &[Field]) -> Self {
        let numbered = || numbers.iter().filter_map(|number| Some((*number, rules.get(*number as usize)?)));
        let counts = Counts::of(numbered().map(|(_, rule)| rule));
        let mut hung: BTreeMap<Field, BTreeMap<Pattern, Vec<u32>>> = BTreeMap::new();
        let mut index = Self::default();
        for (number, rule) in numbered() {
            let Some(keys) = rule.anchors(&counts, used) else {
                index.loose.push(number);
                continue;
            };
            for (field, pattern) in keys {
                let list = hung.entry(field).or_default().entry(pattern).or_default();
                if list.last() != Some(&number) {
                    list.push(number);
                }
            }
        }
        for (field, patterns) in hung {
            let now_used = [used, std::slice::from_ref(&field)].concat();
            let mut shelved = Vec::with_capacity(patterns.len());
            for (pattern, numbers) in patterns {
                shelved.push((pattern, u32::try_from(index.shelves.len()).unwrap_or(u32::MAX)));
                index.shelves.push(Shelf::of(rules, numbers, &now_used));
            }
            index.hang(field, TextIndex::of(shelved));
        }
        index.claims.sort_by(|(a, _), (b, _)| a.cmp(b));
        index.headers.seal();
        index
    }

    fn hang(&mut self, field: Field, patterns: TextIndex) {
        match &field {
            Field::Header(name) => self.headers.0.push((fingerprint(name.as_bytes()), name.clone(), patterns)),
            Field::Claim(path) => {
                let first = path.first().cloned().unwrap_or_default();
                match self.claims.last_mut().filter(|(last, _)| *last == first) {
                    Some((_, indexes)) => indexes.push((field, patterns)),
                    None => self.claims.push((first, vec![(field, patterns)])),
                }
            }
            _ => self.probes.push((field, patterns)),
        }
    }

    /// Lowers `best` to the first rule that matches, if one before it does.
    fn search(&self, rules: &[Laid], call: &Attributes<'_>, best: &mut u32) {
        let mut consider = |shelves: &[u32]| {
            for shelf in shelves.iter().filter_map(|shelf| self.shelves.get(*shelf as usize)) {
                match shelf {
                    Shelf::List(numbers) => first_of(rules, numbers, call, best),
                    Shelf::Deeper(index) => index.search(rules, call, best),
                }
            }
        };
        for (field, index) in &self.probes {
            call.visit(field, &mut |value| index.visit(value, &mut consider));
        }
        if let Some(http) = &call.http {
            self.headers.visit(http, &mut consider);
            if let Some(claims) = http.claims {
                self.visit_claims(call, claims, &mut consider);
            }
        }
        first_of(rules, &self.loose, call, best);
    }

    /// Walks whichever is shorter: the claims that rules hang on, or those of the token.
    fn visit_claims(&self, call: &Attributes<'_>, claims: &Claims, consider: &mut impl FnMut(&[u32])) {
        let mut probe = |indexes: &[Probe]| {
            for (field, index) in indexes {
                call.visit(field, &mut |value| index.visit(value, consider));
            }
        };
        let Some(members) = claims.value().as_object() else { return };
        if self.claims.len() <= members.len() {
            self.claims.iter().for_each(|(_, indexes)| probe(indexes));
            return;
        }
        for name in members.keys() {
            if let Ok(at) = self.claims.binary_search_by(|(first, _)| (**first).cmp(name))
                && let Some((_, indexes)) = self.claims.get(at)
            {
                probe(indexes);
            }
        }
    }
}

impl Shelf {
    /// Hangs many rules once more where that leaves fewer of them to try than there are.
    fn of(rules: &[Laid], numbers: Vec<u32>, used: &[Field]) -> Self {
        if numbers.len() <= FEW {
            return Self::List(numbers);
        }
        let deeper = Index::of(rules, numbers.clone(), used);
        let longest = deeper.shelves.iter().map(Self::longest).max().unwrap_or(0);
        if (longest + deeper.loose.len()) * 2 > numbers.len() {
            Self::List(numbers)
        } else {
            Self::Deeper(deeper.into())
        }
    }

    /// The most rules that are tried one by one.
    fn longest(&self) -> usize {
        match self {
            Self::List(numbers) => numbers.len(),
            Self::Deeper(index) => index.loose.len() + index.shelves.iter().map(Self::longest).max().unwrap_or(0),
        }
    }
}

/// Lowers `best` to the first of these rules that matches, if one before it does.
fn first_of(rules: &[Laid], numbers: &[u32], call: &Attributes<'_>, best: &mut u32) {
    let before = numbers.iter().take_while(|number| **number < *best);
    let matches = |number: &&u32| rules.get(**number as usize).is_some_and(|rule| rule.matches(call));
    if let Some(number) = before.copied().find(|number| matches(&number)) {
        *best = number;
    }
}

/// Rules that hang on headers, by the fingerprint of the header's name.
#[derive(Clone, Debug, Default)]
struct HeaderProbes(Vec<(u64, Box<str>, TextIndex)>);

impl HeaderProbes {
    fn seal(&mut self) {
        self.0.sort_by(|(a, name, _), (b, other, _)| (a, name).cmp(&(b, other)));
    }

    fn visit(&self, http: &Http<'_>, consider: &mut impl FnMut(&[u32])) {
        if self.0.is_empty() {
            return;
        }
        for overlay in http.overlay {
            overlay.value.iter().for_each(|value| self.line(overlay.name.as_bytes(), value, consider));
        }
        for field in http.fields().iter().filter(|field| http.changed(&field.name).is_none()) {
            self.line(&field.name, &field.value, consider);
        }
    }

    fn line(&self, name: &[u8], value: &[u8], consider: &mut impl FnMut(&[u32])) {
        let print = fingerprint(name);
        let from = self.0.partition_point(|(other, _, _)| *other < print);
        for (_, known, index) in self.0.iter().skip(from).take_while(|(other, _, _)| *other == print) {
            if known.as_bytes().eq_ignore_ascii_case(name) {
                index.visit(value, consider);
            }
        }
    }
}

/// FNV-1a over the lower-case name. Rules alone enter the table, so a caller cannot make names collide in it.
pub(crate) fn fingerprint(name: &[u8]) -> u64 {
    name.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
