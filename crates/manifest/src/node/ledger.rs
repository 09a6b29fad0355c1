//! The record of one document's lowering: what was found wrong, which fields were read, which were set aside.

use super::{Cursor, Node, Value};
use crate::code;
use crate::source::Document;
use ringwall_model::{DocumentId, Finding, Place, Severity};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// One document while it is lowered. Cursors write into it; [`Ledger::finish`] closes it.
pub struct Ledger<'a> {
    pub(super) root: &'a Node,
    document: DocumentId,
    unknown: Severity,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    findings: Vec<(u32, Finding)>,
    /// Nodes with an error, so that soundness is a look-up.
    errors: BTreeSet<u32>,
    /// Nodes whose wrong type was told.
    mistyped: BTreeSet<u32>,
    marks: Vec<Mark>,
    /// Names that were asked of a map, for "did you mean".
    asked: BTreeMap<u32, Vec<&'static str>>,
}

/// What became of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nobody has read it.
    #[default]
    Unread,
    /// It was read.
    Read,
    /// It was read as a map whose keys are free (labels).
    Free,
    /// It is known and has no effect.
    Ignored,
}

/// What became of one field, for tables of coverage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldRecord {
    /// Path with `*` for list indices and free keys: `/spec/rules/*/from/*/source/principals`.
    pub path: String,
    /// What became of it.
    pub treated: FieldUse,
}

/// What became of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldUse {
    /// A lowering read it and acts by it.
    Enforced,
    /// It is known and has no effect here.
    Ignored,
    /// Its kind does not have it.
    Unknown,
}

impl<'a> Ledger<'a> {
    /// Opens the ledger of a document; a field its kind does not have is an error, as for the API server.
    pub fn open(document: &'a Document) -> Self {
        Self::over(&document.root, document.id)
    }

    /// Opens a ledger over a tree that stands in a document.
    pub fn over(root: &'a Node, document: DocumentId) -> Self {
        let marks = vec![Mark::Unread; (root.last as usize).saturating_add(1)];
        let state = RefCell::new(State { marks, ..State::default() });
        Self { root, document, unknown: Severity::Error, state }
    }

    /// The same with unknown fields reported this severely.
    #[must_use]
    pub fn unknown_fields_are(mut self, severity: Severity) -> Self {
        self.unknown = severity;
        self
    }

    /// The cursor at the root.
    pub fn root(&'a self) -> Cursor<'a> {
        self.mark(self.root, Mark::Read);
        Cursor { ledger: self, parent: self.root, name: "", node: Some(self.root) }
    }

    /// Whether anybody read anything of it.
    pub fn was_opened(&self) -> bool {
        self.mark_of(self.root) != Mark::Unread
    }

    /// The number of the document.
    pub const fn document(&self) -> DocumentId {
        self.document
    }

    /// On how many nodes an error was found so far.
    pub fn errors(&self) -> usize {
        self.state.borrow().errors.len()
    }

    /// Closes the ledger: all findings, in the order of the text, with one for every field that nobody read.
    pub fn finish(&self) -> (Vec<Finding>, Vec<FieldRecord>) {
        let mut records = Vec::new();
        self.leftover(self.root, &mut String::new(), &mut records);
        let mut findings = std::mem::take(&mut self.state.borrow_mut().findings);
        findings.sort_by_key(|(node, _)| *node);
        records.sort();
        records.dedup();
        (findings.into_iter().map(|(_, finding)| finding).collect(), records)
    }

    pub(super) fn report(&self, node: &Node, finding: Finding) {
        let mut state = self.state.borrow_mut();
        if finding.severity == Severity::Error {
            state.errors.insert(node.id);
        }
        state.findings.push((node.id, finding));
    }

    /// Enters a finding about a node's type, once a node: one wrong node is one finding, however many of its fields are
    /// asked for.
    pub(super) fn report_type(&self, node: &Node, finding: Finding) {
        if self.state.borrow_mut().mistyped.insert(node.id) {
            self.report(node, finding);
        }
    }

    pub(super) fn mark(&self, node: &Node, mark: Mark) {
        if let Some(slot) = self.state.borrow_mut().marks.get_mut(node.id as usize) {
            // What was read once stays read: an `ignored` after it must not hide that it acts.
            if *slot == Mark::Unread || mark == Mark::Free {
                *slot = mark;
            }
        }
    }

    pub(super) fn mark_of(&self, node: &Node) -> Mark {
        self.state.borrow().marks.get(node.id as usize).copied().unwrap_or_default()
    }

    pub(super) fn asked(&self, map: &Node, name: &'static str) {
        let mut state = self.state.borrow_mut();
        let names = state.asked.entry(map.id).or_default();
        if !names.contains(&name) {
            names.push(name);
        }
    }

    /// Whether no error stands at or below this node and no field in it is unread.
    pub(super) fn is_sound(&self, node: &Node) -> bool {
        let wrong = self.state.borrow().errors.range(node.id..=node.last).next().is_some();
        !wrong && !self.has_unread(node)
    }

    fn has_unread(&self, node: &Node) -> bool {
        if self.mark_of(node) == Mark::Ignored {
            return false;
        }
        match &node.value {
            Value::List(items) => items.iter().any(|item| self.has_unread(item)),
            Value::Map(entries) => {
                entries.iter().any(|entry| self.mark_of(&entry.value) == Mark::Unread || self.has_unread(&entry.value))
            }
            _ => false,
        }
    }

    pub(super) fn place(&self, node: &Node) -> Place {
        Place::value(self.document, self.pointer(node))
    }

    /// The pointer of a node: from the root down, always into the child whose numbers hold it.
    fn pointer(&self, target: &Node) -> String {
        let mut pointer = String::new();
        let mut node = self.root;
        while node.id < target.id {
            let next = match &node.value {
                Value::List(items) => {
                    let index = items.partition_point(|item| item.last < target.id);
                    pointer.push_str(&format!("/{index}"));
                    items.get(index)
                }
                Value::Map(entries) => {
                    let entry = entries.get(entries.partition_point(|entry| entry.value.last < target.id));
                    if let Some(entry) = entry {
                        push_segment(&mut pointer, &entry.key);
                    }
                    entry.map(|entry| &entry.value)
                }
                _ => None,
            };
            let Some(next) = next else { break };
            node = next;
        }
        pointer
    }

    fn leftover(&self, node: &Node, path: &mut String, records: &mut Vec<FieldRecord>) {
        let length = path.len();
        match &node.value {
            Value::List(items) if !items.is_empty() => {
                path.push_str("/*");
                for item in items {
                    self.leftover(item, path, records);
                }
            }
            Value::Map(entries) if !entries.is_empty() => {
                let free = self.mark_of(node) == Mark::Free;
                for entry in entries {
                    path.truncate(length);
                    push_segment(path, if free { "*" } else { &entry.key });
                    match self.mark_of(&entry.value) {
                        Mark::Unread => {
                            self.unknown_field(node, &entry.key, &entry.value);
                            records.push(FieldRecord { path: path.clone(), treated: FieldUse::Unknown });
                        }
                        Mark::Ignored => records.push(FieldRecord { path: path.clone(), treated: FieldUse::Ignored }),
                        Mark::Read | Mark::Free => self.leftover(&entry.value, path, records),
                    }
                }
            }
            _ => records.push(FieldRecord { path: path.clone(), treated: FieldUse::Enforced }),
        }
        path.truncate(length);
    }

    fn unknown_field(&self, map: &Node, key: &str, value: &Node) {
        let place = Place::key(self.document, self.pointer(value));
        let mut finding = Finding::new(code::UNKNOWN_FIELD, self.unknown, place, format!("unknown field `{key}`"));
        let state = self.state.borrow();
        let names = state.asked.get(&map.id).map(Vec::as_slice).unwrap_or_default();
        if let Some(near) = nearest(key, names) {
            finding = finding.help(format!("did you mean `{near}`?"));
            finding.fix = Some(near.into());
        } else if !names.is_empty() {
            let mut names = names.to_vec();
            names.sort_unstable();
            let shown = names.iter().take(12).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let more = if names.len() > 12 { ", …" } else { "" };
            finding = finding.help(format!("fields known here: {shown}{more}"));
        }
        drop(state);
        self.report(value, finding);
    }
}

/// Adds one segment to a JSON pointer, escaped by RFC 6901 section 3.
pub(super) fn push_segment(pointer: &mut String, key: &str) {
    pointer.push('/');
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

/// The name that `word` was likely meant to be: at most a third of its letters differ.
pub(crate) fn nearest<'n>(word: &str, names: &[&'n str]) -> Option<&'n str> {
    let limit = (word.len().min(64) / 3).max(1);
    let near = |name: &&'n str| (distance(&word.to_ascii_lowercase(), &name.to_ascii_lowercase()), *name);
    let fits = |name: &&&'n str| word.len() <= 64 && name.len().abs_diff(word.len()) <= limit;
    names.iter().filter(fits).map(near).filter(|(distance, _)| *distance <= limit).min().map(|(_, name)| name)
}

/// Edit distance with neighbours swapped as one step (restricted Damerau-Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: [Vec<usize>; 3] = [vec![0; b.len() + 1], (0..=b.len()).collect(), Vec::new()];
    let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let [before, last, _] = &rows;
            let mut best = (cell(last, j) + usize::from(x != y)).min(cell(last, j + 1) + 1).min(cell(&row, j) + 1);
            if i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x) {
                best = best.min(cell(before, j - 1) + 1);
            }
            row.push(best);
        }
        let [_, last, _] = rows;
        rows = [last, row, Vec::new()];
    }
    let [_, last, _] = &rows;
    cell(last, b.len())
}
