//! What must happen so that one table becomes another: three batches, which are one transaction where they fit in one.
//!
//! `prepare` only makes what nothing refers to yet, `switch` lets packets see it, `clean` takes away what nothing refers
//! to any more. Cut between them, no packet sees half of a change; only `switch` must never be cut.

use super::batch::{Batch, Change};
use super::table::{Chain, Element, Elements, Set, Table};

/// The batches of a change.
#[derive(Clone, Debug, Default)]
pub struct Difference {
    /// New sets and chains.
    pub prepare: Batch,
    /// What packets notice.
    pub switch: Batch,
    /// Old sets and chains.
    pub clean: Batch,
    /// Elements that come or go.
    pub elements: usize,
    /// Names of the sets and chains that change.
    pub touched: Vec<Box<str>>,
}

impl Difference {
    /// Whether both are the same.
    pub fn is_empty(&self) -> bool {
        self.prepare.is_empty() && self.switch.is_empty() && self.clean.is_empty()
    }
}

/// From what is to what is wanted.
pub fn between(is: &Table, wanted: &Table) -> Difference {
    let other_kind = |(name, set): (_, &Set)| is.sets.get::<Box<str>>(name).is_some_and(|old| old.kind != set.kind);
    if wanted.sets.iter().any(other_kind) {
        return anew(wanted);
    }
    let mut difference = Difference::default();
    if *is == Table::default() && *wanted != Table::default() {
        difference.prepare.table();
    }
    sets(is, wanted, &mut difference);
    chains(is, wanted, &mut difference);
    gone(is, wanted, &mut difference);
    difference
}

/// A set of another kind under a name of ours: the table is not what this room made, and is made anew, in one piece.
fn anew(wanted: &Table) -> Difference {
    let mut whole = Difference::default();
    whole.switch.table();
    whole.switch.delete_table();
    let made = between(&Table::default(), wanted);
    whole.switch.append(made.prepare);
    whole.switch.append(made.switch);
    Difference { elements: made.elements, touched: made.touched, ..whole }
}

fn sets(is: &Table, wanted: &Table, to: &mut Difference) {
    for (name, set) in &wanted.sets {
        match is.sets.get(name) {
            Some(old) => change_elements(name, old, set, to),
            None => {
                to.prepare.set(name, &set.kind);
                to.touched.push(name.clone());
            }
        }
    }
}

/// New sets are filled when all chains are there, because verdicts name them.
fn fill(is: &Table, wanted: &Table, to: &mut Difference) {
    for (name, set) in &wanted.sets {
        if let (false, Elements::Fixed(elements)) = (is.sets.contains_key(name), &set.elements) {
            to.elements += elements.len();
            let all: Vec<&Element> = elements.iter().collect();
            to.prepare.elements(name, set, Change::Add, &all);
        }
    }
}

fn change_elements(name: &str, old: &Set, new: &Set, to: &mut Difference) {
    let (Elements::Fixed(old), Elements::Fixed(elements)) = (&old.elements, &new.elements) else { return };
    if std::sync::Arc::ptr_eq(old, elements) {
        return;
    }
    let (leave, come) = apart(old, elements);
    if leave.is_empty() && come.is_empty() {
        return;
    }
    to.elements += leave.len() + come.len();
    to.touched.push(name.into());
    to.switch.elements(name, new, Change::Delete, &leave);
    to.switch.elements(name, new, Change::Add, &come);
}

/// What is only in the one, and what is only in the other, of two sorted lists.
fn apart<'a>(old: &'a [Element], new: &'a [Element]) -> (Vec<&'a Element>, Vec<&'a Element>) {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let (mut leave, mut come) = (Vec::new(), Vec::new());
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        match (old.peek(), new.peek()) {
            (Some(one), Some(other)) => match one.cmp(other) {
                Less => leave.extend(old.next()),
                Greater => come.extend(new.next()),
                Equal => {
                    old.next();
                    new.next();
                }
            },
            (Some(_), None) => leave.extend(old.next()),
            (None, Some(_)) => come.extend(new.next()),
            (None, None) => return (leave, come),
        }
    }
}

fn chains(is: &Table, wanted: &Table, to: &mut Difference) {
    let is_new = |name: &str| !is.chains.contains_key(name);
    let hooked = |chain: &Chain| chain.hook.is_some();
    for (name, chain) in wanted.chains.iter().filter(|(name, chain)| is_new(name) && !hooked(chain)) {
        to.prepare.chain(name, chain);
        to.touched.push(name.clone());
    }
    fill(is, wanted, to);
    for (name, chain) in wanted.chains.iter().filter(|(name, chain)| is_new(name) && !hooked(chain)) {
        to.prepare.rules(name, chain);
    }
    for (name, chain) in &wanted.chains {
        match is.chains.get(name) {
            Some(old) if old == chain => {}
            Some(old) if old.hook == chain.hook => {
                to.switch.delete_rules(name);
                to.switch.rules(name, chain);
                to.touched.push(name.clone());
            }
            Some(_) => {
                to.switch.delete_rules(name);
                to.switch.delete_chain(name);
                to.switch.chain(name, chain);
                to.switch.rules(name, chain);
                to.touched.push(name.clone());
            }
            // A chain with a hook is seen at once.
            None if hooked(chain) => {
                to.switch.chain(name, chain);
                to.switch.rules(name, chain);
                to.touched.push(name.clone());
            }
            None => {}
        }
    }
}

fn gone(is: &Table, wanted: &Table, to: &mut Difference) {
    let chains: Vec<_> = is.chains.iter().filter(|(name, _)| !wanted.chains.contains_key(*name)).collect();
    for (name, _) in chains.iter().filter(|(_, chain)| !chain.rules.is_empty()) {
        to.clean.delete_rules(name);
    }
    let sets: Vec<_> = is.sets.keys().filter(|name| !wanted.sets.contains_key(*name)).collect();
    for name in &sets {
        to.clean.delete_set(name);
    }
    for (name, _) in &chains {
        to.clean.delete_chain(name);
    }
    to.touched.extend(chains.into_iter().map(|(name, _)| name.clone()).chain(sets.into_iter().cloned()));
}
