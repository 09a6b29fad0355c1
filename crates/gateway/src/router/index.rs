//! Which rows of the router are worth judging for a call: by host, then by the beginning of the path.
//!
//! A *lane* holds the rows for one host, one wildcard, or any host. In a lane, a radix tree over literal beginnings of
//! paths; a row without paths sits at its root. Looking up allocates nothing.

use super::condition::Affix;
use super::entry::Entry;
use std::collections::BTreeMap;

/// Longest host name that is looked up; a longer one is no host name (RFC 1035) and meets only rows for any host.
const LONGEST_HOST: usize = 255;

/// `Host` without its port, in lower case and without a trailing dot.
pub struct Host {
    bytes: [u8; LONGEST_HOST],
    length: usize,
    /// Port of the field, else of the listener.
    pub port: u16,
}

impl Host {
    /// Reads `Host`; `listener_port` counts where it has none.
    pub fn read(authority: &[u8], listener_port: u16) -> Self {
        let (name, port) = split_port(authority);
        let name = name.strip_suffix(b".").unwrap_or(name);
        let mut host = Self { bytes: [0; LONGEST_HOST], length: 0, port: port.unwrap_or(listener_port) };
        if let Some(room) = host.bytes.get_mut(..name.len()) {
            room.copy_from_slice(name);
            room.make_ascii_lowercase();
            host.length = name.len();
        }
        host
    }

    /// The name.
    pub fn name(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Splits `name:port`; brackets of an IPv6 address stay with the name.
pub fn split_port(authority: &[u8]) -> (&[u8], Option<u16>) {
    let Some(colon) = authority.iter().rposition(|byte| *byte == b':') else { return (authority, None) };
    let (name, port) = authority.split_at(colon);
    let is_bracketed = name.starts_with(b"[");
    if is_bracketed != name.ends_with(b"]") || (!is_bracketed && name.contains(&b':')) {
        return (authority, None);
    }
    let port = port.get(1..).and_then(|port| std::str::from_utf8(port).ok()).and_then(|port| port.parse().ok());
    port.map_or((authority, None), |port| (name, Some(port)))
}

/// The rows by host and path.
#[derive(Clone, Debug, Default)]
pub struct Index {
    hosts: BTreeMap<Box<[u8]>, Lane>,
    /// By what the host ends with, beginning at a dot.
    suffixes: BTreeMap<Box<[u8]>, Lane>,
    /// By what the host begins with, ending at a dot.
    prefixes: BTreeMap<Box<[u8]>, Lane>,
    /// Rows for any host, and wildcards that do not end at a dot.
    any: Lane,
}

impl Index {
    /// Enters rows that stand in order of priority.
    pub fn build(rows: &[Entry]) -> Self {
        let mut index = Self::default();
        for (rank, row) in (0_u32..).zip(rows) {
            if row.hosts.is_empty() {
                index.any.enter(rank, row);
            }
            for host in &row.hosts {
                let lane = match &host.name {
                    Affix::Whole(name) => index.hosts.entry(name.clone()).or_default(),
                    Affix::Suffix(end) if end.starts_with(b".") => index.suffixes.entry(end.clone()).or_default(),
                    Affix::Prefix(start) if start.ends_with(b".") => index.prefixes.entry(start.clone()).or_default(),
                    Affix::Suffix(_) | Affix::Prefix(_) => &mut index.any,
                };
                lane.enter(rank, row);
            }
        }
        index
    }

    /// Hands `visit` lists of ranks, each ascending, that together hold every row that can fit.
    pub fn candidates(&self, host: &Host, path: &[u8], visit: &mut impl FnMut(&[u32])) {
        let name = host.name();
        if let Some(lane) = self.hosts.get(name) {
            lane.walk(path, visit);
        }
        if !self.suffixes.is_empty() || !self.prefixes.is_empty() {
            for (dot, _) in name.iter().enumerate().filter(|(_, byte)| **byte == b'.') {
                let (before, from) = name.split_at(dot);
                let through = name.get(..=before.len()).unwrap_or_default();
                let lanes = [self.suffixes.get(from), self.prefixes.get(through)];
                lanes.into_iter().flatten().for_each(|lane| lane.walk(path, visit));
            }
        }
        self.any.walk(path, visit);
    }
}

/// A radix tree: node 0 is the root, with an empty label.
#[derive(Clone, Debug, Default)]
struct Lane {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    label: Box<[u8]>,
    ranks: Vec<u32>,
    /// By the first byte of the child's label, ascending.
    children: Vec<(u8, u32)>,
}

impl Lane {
    fn enter(&mut self, rank: u32, row: &Entry) {
        if row.paths.is_empty() {
            self.insert(b"", rank);
        }
        row.paths.iter().for_each(|path| self.insert(path.literal_start(), rank));
    }

    fn insert(&mut self, key: &[u8], rank: u32) {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let (mut at, mut key) = (0_u32, key);
        while let Some(first) = key.first() {
            let Some(child) = self.child(at, *first) else {
                at = self.add_child(at, key);
                break;
            };
            let shared = self.node(child).map_or(0, |node| shared_length(&node.label, key));
            self.split(child, shared);
            key = key.get(shared..).unwrap_or_default();
            at = child;
        }
        if let Some(node) = self.nodes.get_mut(at as usize)
            && node.ranks.last() != Some(&rank)
        {
            node.ranks.push(rank);
        }
    }

    /// Makes the node end after `length` bytes of its label; the rest of it becomes its only child.
    fn split(&mut self, at: u32, length: usize) {
        let next = self.nodes.len() as u32;
        let Some(node) = self.nodes.get_mut(at as usize) else { return };
        let (Some(head), Some(rest)) = (node.label.get(..length), node.label.get(length..)) else { return };
        let Some(first) = rest.first().copied() else { return };
        let lower = Node {
            label: rest.into(),
            ranks: std::mem::take(&mut node.ranks),
            children: std::mem::replace(&mut node.children, vec![(first, next)]),
        };
        node.label = head.into();
        self.nodes.push(lower);
    }

    fn add_child(&mut self, at: u32, label: &[u8]) -> u32 {
        let next = self.nodes.len() as u32;
        if let (Some(node), Some(first)) = (self.nodes.get_mut(at as usize), label.first()) {
            let place = node.children.partition_point(|(byte, _)| byte < first);
            node.children.insert(place, (*first, next));
        }
        self.nodes.push(Node { label: label.into(), ..Node::default() });
        next
    }

    fn walk(&self, path: &[u8], visit: &mut impl FnMut(&[u32])) {
        let (mut at, mut rest) = (0_u32, path);
        while let Some(node) = self.node(at) {
            let Some(after) = rest.strip_prefix(&*node.label) else { return };
            if !node.ranks.is_empty() {
                visit(&node.ranks);
            }
            let Some(child) = after.first().and_then(|first| self.child(at, *first)) else { return };
            (at, rest) = (child, after);
        }
    }

    fn node(&self, at: u32) -> Option<&Node> {
        self.nodes.get(at as usize)
    }

    fn child(&self, at: u32, first: u8) -> Option<u32> {
        let children = &self.node(at)?.children;
        let place = children.binary_search_by_key(&first, |(byte, _)| *byte).ok()?;
        children.get(place).map(|(_, child)| *child)
    }
}

fn shared_length(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
