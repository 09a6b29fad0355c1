//! What a text must have for a regular expression to match: a length, kinds of bytes, a literal.
//!
//! In: a parsed expression. Out: a [`Gate`] and literals. INVARIANT: all three are necessary conditions, so skipping a
//! text that fails one of them changes no verdict; the test suite runs with and without them and compares.

use crate::alphabet::{self, Mask};
use regex_syntax::hir::{Class, Hir, HirKind};

/// Cheap necessary conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gate {
    /// Least length in bytes.
    pub length: u32,
    /// Kinds of bytes; of each mask the text must hold one.
    pub masks: Vec<Mask>,
}

impl Gate {
    /// Whether a text of these kinds may match.
    #[inline]
    pub fn admits(&self, mask: Mask) -> bool {
        self.masks.iter().all(|need| need & mask != 0)
    }
}

/// More conditions than these are not worth testing.
const MASKS: usize = 5;
/// A mask as common as this rejects nothing.
const COMMON: u32 = 70;
/// So many literals a pattern may need at most, each of so many bytes at most.
const LITERALS: usize = 600;
const LONGEST: usize = 24;
/// Exact sets are multiplied out up to so many.
const PRODUCT: usize = 96;
/// A shorter literal is found everywhere.
const SHORTEST: usize = 2;

/// The gate and the needed literals of an expression.
pub(crate) fn of(hir: &Hir) -> (Gate, Vec<Vec<u8>>) {
    let length = hir.properties().minimum_len().unwrap_or(0);
    let mut masks = clauses(hir);
    masks.retain(|mask| alphabet::commonness(*mask) < COMMON);
    masks.sort_unstable_by_key(|mask| (alphabet::commonness(*mask), *mask));
    masks.dedup();
    masks.truncate(MASKS);
    let gate = Gate { length: u32::try_from(length).unwrap_or(u32::MAX), masks };
    (gate, needed(hir).map(|found| found.set).unwrap_or_default())
}

/// Masks of which every match holds a byte each.
fn clauses(hir: &Hir) -> Vec<Mask> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Vec::new(),
        HirKind::Literal(literal) => literal.0.iter().map(|byte| alphabet::of_set(std::iter::once(*byte))).collect(),
        HirKind::Class(class) => bytes_of(class).map(|set| alphabet::of_set(set.into_iter())).into_iter().collect(),
        HirKind::Repetition(repetition) if repetition.min > 0 => clauses(&repetition.sub),
        HirKind::Repetition(_) => Vec::new(),
        HirKind::Capture(capture) => clauses(&capture.sub),
        HirKind::Concat(parts) => {
            let mut all: Vec<Mask> = parts.iter().flat_map(clauses).collect();
            all.sort_unstable_by_key(|mask| (alphabet::commonness(*mask), *mask));
            all.dedup();
            all.truncate(8);
            all
        }
        HirKind::Alternation(branches) => alternatives(branches),
    }
}

/// Of each branch the sharpest, the second sharpest, … together.
fn alternatives(branches: &[Hir]) -> Vec<Mask> {
    let mut each: Vec<Vec<Mask>> = branches.iter().map(clauses).collect();
    for masks in &mut each {
        masks.sort_unstable_by_key(|mask| alphabet::commonness(*mask));
    }
    let least = each.iter().map(Vec::len).min().unwrap_or(0);
    (0..least.min(3))
        .map(|rank| each.iter().filter_map(|masks| masks.get(rank)).fold(0, |all, mask| all | mask))
        .collect()
}

fn bytes_of(class: &Class) -> Option<Vec<u8>> {
    let Class::Bytes(class) = class else { return None };
    Some(class.iter().flat_map(|range| range.start()..=range.end()).collect())
}

/// Literals of which every match holds one.
struct Needed {
    set: Vec<Vec<u8>>,
}

impl Needed {
    /// Shortest literal first, then how few there are.
    fn worth(&self) -> (usize, usize) {
        let shortest = self.set.iter().map(Vec::len).min().unwrap_or(0);
        (shortest.min(6), usize::MAX - self.set.len())
    }

    fn of(mut set: Vec<Vec<u8>>) -> Option<Self> {
        for literal in &mut set {
            literal.truncate(LONGEST);
        }
        set.sort_unstable();
        set.dedup();
        let usable = !set.is_empty() && set.len() <= LITERALS && set.iter().all(|literal| literal.len() >= SHORTEST);
        usable.then_some(Self { set })
    }
}

fn better(one: Option<Needed>, other: Option<Needed>) -> Option<Needed> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if other.worth() > one.worth() { other } else { one }),
        (one, other) => one.or(other),
    }
}

fn needed(hir: &Hir) -> Option<Needed> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(_) => None,
        HirKind::Literal(literal) => Needed::of(vec![literal.0.to_ascii_lowercase()]),
        HirKind::Repetition(repetition) if repetition.min > 0 => needed(&repetition.sub),
        HirKind::Repetition(_) => None,
        HirKind::Capture(capture) => needed(&capture.sub),
        HirKind::Concat(parts) => run(parts),
        HirKind::Alternation(branches) => {
            if let Some(set) = exact(hir) {
                return Needed::of(set);
            }
            let mut all = Vec::new();
            for branch in branches {
                all.extend(needed(branch)?.set);
            }
            Needed::of(all)
        }
    }
}

/// The best of: runs of exact parts side by side, and what one part needs by itself.
fn run(parts: &[Hir]) -> Option<Needed> {
    let mut best = None;
    let mut open: Vec<Vec<u8>> = vec![Vec::new()];
    for part in parts {
        if matches!(part.kind(), HirKind::Look(_)) {
            continue;
        }
        let exact = exact(part);
        let joined = exact.as_ref().filter(|set| set.len() * open.len() <= PRODUCT).map(|set| product(&open, set));
        match joined {
            Some(joined) if joined.iter().all(|literal| literal.len() <= LONGEST) => open = joined,
            _ => {
                best = better(best, Needed::of(std::mem::take(&mut open)));
                best = better(best, needed(part));
                open = exact.filter(|set| set.len() <= PRODUCT).unwrap_or_else(|| vec![Vec::new()]);
            }
        }
    }
    better(best, Needed::of(open))
}

fn product(left: &[Vec<u8>], right: &[Vec<u8>]) -> Vec<Vec<u8>> {
    left.iter().flat_map(|start| right.iter().map(move |end| [start.as_slice(), end.as_slice()].concat())).collect()
}

/// All texts that an expression matches, without regard to case, when they are few.
fn exact(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    let mut set = match hir.kind() {
        HirKind::Empty => vec![Vec::new()],
        HirKind::Look(_) => return None,
        HirKind::Literal(literal) => vec![literal.0.to_ascii_lowercase()],
        HirKind::Class(class) => bytes_of(class)?.into_iter().map(|byte| vec![byte.to_ascii_lowercase()]).collect(),
        HirKind::Repetition(repetition) if repetition.max == Some(repetition.min) && repetition.min <= 4 => {
            let one = exact(&repetition.sub)?;
            let mut all = vec![Vec::new()];
            for _ in 0..repetition.min {
                all = bounded(product(&all, &one))?;
            }
            all
        }
        HirKind::Repetition(repetition) if repetition.min == 0 && repetition.max == Some(1) => {
            let mut all = exact(&repetition.sub)?;
            all.push(Vec::new());
            all
        }
        HirKind::Repetition(_) => return None,
        HirKind::Capture(capture) => exact(&capture.sub)?,
        HirKind::Concat(parts) => {
            let mut all = vec![Vec::new()];
            for part in parts {
                all = bounded(product(&all, &exact(part)?))?;
            }
            all
        }
        HirKind::Alternation(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.extend(exact(branch)?);
                all = bounded(all)?;
            }
            all
        }
    };
    set.sort_unstable();
    set.dedup();
    bounded(set)
}

fn bounded(set: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    (set.len() <= LITERALS).then_some(set)
}

#[cfg(test)]
mod tests {
    use super::of;
    use crate::alphabet;
    use regex_automata::util::syntax::{Config, parse_with};

    #[track_caller]
    fn check(pattern: &str, want: &[&str]) {
        let hir = parse_with(pattern, &Config::new().unicode(false).utf8(false)).unwrap();
        let (gate, literals) = of(&hir);
        let literals: Vec<_> = literals.iter().map(|literal| String::from_utf8_lossy(literal).into_owned()).collect();
        assert_eq!(literals, want, "{pattern}");
        let covered = |literal: &String| gate.masks.iter().any(|mask| mask & alphabet::of(literal.as_bytes()) != 0);
        assert!(gate.masks.is_empty() || literals.iter().all(covered), "{pattern}");
    }

    #[test]
    fn literals_are_needed() {
        check("(?i)abc", &["abc"]);
        check("x*foo(?:ba[rz]|q)y?", &["foobar", "foobary", "foobaz", "foobazy", "fooq", "fooqy"]);
        check("a+select[0-9]+x", &["select"]);
        check("(?:foo|bar)+", &["bar", "foo"]);
        check("(?:foo|[a-z]+)", &[]);
    }
}
