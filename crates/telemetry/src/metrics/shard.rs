//! One thread's share of all series: no other thread waits for it, but for the moment of a scrape.

use super::Kind;
use super::family::{FAMILIES, Family, Id};
use crate::tally::Tallies;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

/// How many label sets a family may have in one shard; the rest share one series whose labels say `overflow`.
pub const MOST_SERIES: usize = 1000;
const OVERFLOW: &str = "overflow";
/// Bytes of a label's value that are kept.
const LONGEST_VALUE: usize = 256;

/// What one thread has counted.
#[derive(Debug, Default)]
pub struct Shard {
    pub series: Series,
    /// What exchanges that are alike add, found once.
    pub tallies: Tallies,
}

/// Series by family and labels.
#[derive(Debug, Default)]
pub struct Series {
    all: Vec<One>,
    /// By a hash of family and labels; entries with the same hash stand side by side.
    known: HashMap<u64, Vec<Number>, BuildHasherDefault<DefaultHasher>>,
    counts: HashMap<Id, usize>,
}

/// Where a series stands in its shard; it stays there as long as the shard lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number(usize);

/// One of them.
#[derive(Clone, Debug)]
pub struct One {
    pub id: Id,
    pub labels: Box<[Box<str>]>,
    pub value: Value,
}

/// What a series has counted.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(f64),
    Buckets { counts: Box<[u64]>, sum: f64 },
}

impl Value {
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::Counter | Kind::Gauge => Self::Number(0.0),
            Kind::Histogram(bounds) => Self::Buckets { counts: vec![0; bounds.len() + 1].into(), sum: 0.0 },
        }
    }

    /// Adds to a counter or gauge, or observes a value, so many times.
    fn add(&mut self, amount: f64, times: u64, kind: Kind) {
        let all = amount * times as f64;
        match self {
            Self::Number(number) => *number += all,
            Self::Buckets { counts, sum } => {
                *sum += all;
                if let Kind::Histogram(bounds) = kind {
                    let at = bounds.partition_point(|bound| *bound < amount);
                    if let Some(count) = counts.get_mut(at) {
                        *count += times;
                    }
                }
            }
        }
    }

    pub fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => *a += b,
            (Self::Buckets { counts, sum }, Self::Buckets { counts: others, sum: other }) => {
                counts.iter_mut().zip(others).for_each(|(a, b)| *a += b);
                *sum += other;
            }
            _ => {}
        }
    }
}

impl Series {
    /// Adds to the series of these labels; no memory is taken when it is known already.
    pub fn add(&mut self, id: Id, labels: &[&str], amount: f64) {
        let number = self.number(id, labels);
        self.add_times(number, amount, 1);
    }

    /// Adds the same amount to a series so many times.
    pub fn add_to(&mut self, number: Number, amount: u64, times: u64) {
        if times > 0 {
            self.add_times(number, amount as f64, times);
        }
    }

    fn add_times(&mut self, number: Number, amount: f64, times: u64) {
        if let Some(one) = self.all.get_mut(number.0) {
            one.value.add(amount, times, family(one.id).kind);
        }
    }

    /// The series of these labels; it begins at nothing when it is new.
    pub fn number(&mut self, id: Id, labels: &[&str]) -> Number {
        let hash = self.known.hasher().hash_one((id, labels));
        let is_it =
            |number: &&Number| self.all.get(number.0).is_some_and(|one| one.id == id && same(&one.labels, labels));
        if let Some(number) = self.known.get(&hash).into_iter().flatten().find(is_it) {
            return *number;
        }
        let count = self.counts.entry(id).or_default();
        if *count >= MOST_SERIES && labels.first() != Some(&OVERFLOW) {
            let overflow = vec![OVERFLOW; labels.len()];
            return self.number(id, &overflow);
        }
        *count += 1;
        let labels = labels.iter().map(|label| Box::from(bounded(label))).collect();
        let number = Number(self.all.len());
        self.all.push(One { id, labels, value: Value::of(family(id).kind) });
        self.known.entry(hash).or_default().push(number);
        number
    }

    pub fn all(&self) -> impl Iterator<Item = &One> {
        self.all.iter()
    }
}

pub fn family(id: Id) -> &'static Family {
    &FAMILIES[id as usize]
}

fn same(known: &[Box<str>], given: &[&str]) -> bool {
    known.len() == given.len() && known.iter().zip(given).all(|(a, b)| **a == *bounded(b))
}

fn bounded(label: &str) -> &str {
    label.get(..label.floor_char_boundary(LONGEST_VALUE)).unwrap_or(label)
}
