//! Ordered routes of one host, with an index over their paths.
//!
//! In: routes in their order. Out: the first that matches. Never: allocation while finding.
//! Each exact path or prefix is a node of a sorted list and knows the longest other prefix that it begins with; all
//! prefixes of a path are then found by one binary search and a walk along those links.

use super::matching::{Case, HttpMatch, StringMatch};
use super::plan::Plan;
use ringwall_model::Call;
use std::sync::Arc;

/// Routes in order.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    entries: Vec<Entry>,
    nodes: Vec<Node>,
    /// Entries that no path tells apart.
    others: Vec<u32>,
}

/// One block of conditions and what happens when it is met.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The conditions.
    pub matching: Arc<HttpMatch>,
    /// What happens.
    pub plan: Arc<Plan>,
}

/// One path of the index. INVARIANT: sorted by path; `parent` is a smaller index or none.
#[derive(Clone, Debug)]
struct Node {
    path: Box<[u8]>,
    parent: Option<u32>,
    exact: Vec<u32>,
    prefix: Vec<u32>,
}

impl RouteTable {
    /// Takes routes in their order.
    pub fn new(entries: Vec<Entry>) -> Self {
        let mut table = Self { entries, nodes: Vec::new(), others: Vec::new() };
        let mut keyed = Vec::new();
        for (index, entry) in (0_u32..).zip(&table.entries) {
            match entry.matching.uri.as_ref().map(|uri| (&uri.is, uri.case)) {
                Some((StringMatch::Exact(path), Case::Sensitive)) => keyed.push((path.as_bytes(), index, true)),
                Some((StringMatch::Prefix(path), Case::Sensitive)) => keyed.push((path.as_bytes(), index, false)),
                _ => table.others.push(index),
            }
        }
        keyed.sort();
        for (path, index, exact) in keyed {
            if table.nodes.last().is_none_or(|last| &*last.path != path) {
                let parent = table.parent_of(path);
                table.nodes.push(Node { path: path.into(), parent, exact: Vec::new(), prefix: Vec::new() });
            }
            if let Some(node) = table.nodes.last_mut() {
                if exact { node.exact.push(index) } else { node.prefix.push(index) }
            }
        }
        table
    }

    /// The nearest node before the end of the list that `path` begins with.
    fn parent_of(&self, path: &[u8]) -> Option<u32> {
        let mut at = u32::try_from(self.nodes.len()).ok()?.checked_sub(1);
        while let Some(index) = at {
            let node = self.nodes.get(index as usize)?;
            if path.starts_with(&node.path) {
                return at;
            }
            at = node.parent;
        }
        None
    }

    /// Whether there is no route.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The first route that the call, come in on `port`, matches.
    pub fn find(&self, call: &Call, port: u16) -> Option<&Entry> {
        let path = &*call.views.istio;
        let mut best: Option<u32> = None;
        let mut at = self.nodes.partition_point(|node| &*node.path <= path).checked_sub(1);
        while let Some(node) = at.and_then(|index| self.nodes.get(index)) {
            if path.starts_with(&node.path) {
                best = self.first(&node.prefix, best, call, port);
                if path.len() == node.path.len() {
                    best = self.first(&node.exact, best, call, port);
                }
            }
            at = node.parent.map(|parent| parent as usize);
        }
        best = self
            .others
            .iter()
            .copied()
            .take_while(|index| best.is_none_or(|best| *index < best))
            .find(|index| self.entries.get(*index as usize).is_some_and(|entry| entry.matching.matches(call, port)))
            .or(best);
        self.entries.get(best? as usize)
    }

    /// The first of `list` before `best` whose other conditions hold, else `best`.
    fn first(&self, list: &[u32], best: Option<u32>, call: &Call, port: u16) -> Option<u32> {
        let mut before = list.iter().copied().take_while(|index| best.is_none_or(|best| *index < best));
        let found = before.find(|index| {
            self.entries.get(*index as usize).is_some_and(|entry| entry.matching.matches_rest(call, port))
        });
        found.or(best)
    }
}
