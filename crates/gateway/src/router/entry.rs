//! One row of the router: a route, or as much of it as has one priority.

use super::condition::{Affix, FieldRule, HostRule, ends_fit, server_name};
use super::index::Host;
use super::pattern::Pattern;
use super::{Probe, StreamProbe, priority};
use crate::entity::{Ends, Route};
use crate::{Compatibility, RouteIndex};
use ringwall_model::Scheme;
use std::cmp::Ordering;
use uuid::Uuid;

/// The part of a path that a route names: what `strip_path` cuts off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatchedPath {
    /// Which of the route's `paths`.
    pub path: u32,
    /// How many bytes of the call's path.
    pub length: u32,
}

/// A row of the router.
#[derive(Clone, Debug)]
pub struct Entry {
    pub route: RouteIndex,
    pub hosts: Vec<HostRule>,
    pub paths: Vec<PathRule>,
    priority: u64,
    id: Uuid,
    name: Box<str>,
    methods: Vec<Box<[u8]>>,
    headers: Vec<FieldRule>,
    snis: Vec<Affix>,
    sources: Vec<Ends>,
    destinations: Vec<Ends>,
    /// Whether the route names paths, even if none of them could be compiled.
    needs_path: bool,
}

/// One of a route's paths, with its number there.
#[derive(Clone, Debug)]
pub struct PathRule {
    number: u32,
    kind: PathKind,
}

#[derive(Clone, Debug)]
enum PathKind {
    Prefix(Box<[u8]>),
    Pattern(Pattern),
}

/// Paths of one priority with their numbers: prefixes of one length, or (`None`) expressions.
type Group<'a> = (Option<usize>, Vec<(u32, &'a str)>);

/// Splits a route into rows of one priority each: all its regular expressions, and its prefixes by length.
pub fn split(index: RouteIndex, route: &Route, compatibility: Compatibility) -> Vec<Entry> {
    if route.is_stream() || route.paths.is_empty() {
        return vec![entry(index, route, &[], compatibility)];
    }
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (number, path) in (0_u32..).zip(&route.paths) {
        let group = (!path.starts_with('~')).then_some(path.len());
        match groups.iter_mut().find(|(other, _)| *other == group) {
            Some((_, paths)) => paths.push((number, path)),
            None => groups.push((group, vec![(number, path)])),
        }
    }
    groups.iter().map(|(_, paths)| entry(index, route, paths, compatibility)).collect()
}

fn entry(index: RouteIndex, route: &Route, paths: &[(u32, &str)], compatibility: Compatibility) -> Entry {
    let texts: Vec<&str> = paths.iter().map(|(_, text)| *text).collect();
    let path = |(number, text): &(u32, &str)| {
        let kind = match text.strip_prefix('~') {
            Some(pattern) => PathKind::Pattern(Pattern::compile(pattern, compatibility).ok()?),
            None => PathKind::Prefix(text.as_bytes().into()),
        };
        Some(PathRule { number: *number, kind })
    };
    Entry {
        route: index,
        hosts: route.hosts.iter().map(|host| HostRule::read(host)).collect(),
        paths: paths.iter().filter_map(path).collect(),
        priority: if route.is_stream() { priority::of_streams(route) } else { priority::of_calls(route, &texts) },
        id: route.id,
        name: (*route.name).into(),
        methods: route.methods.iter().map(|method| method.as_bytes().into()).collect(),
        headers: route.headers.iter().map(|(name, values)| FieldRule::read(name, values, compatibility)).collect(),
        snis: route.snis.iter().map(|name| server_name(name)).collect(),
        sources: route.sources.clone(),
        destinations: route.destinations.clone(),
        needs_path: !paths.is_empty(),
    }
}

impl Entry {
    /// Order of the rows: higher priority first, then the larger identifier (as Kong has it), then by name.
    pub fn precedes(&self, other: &Self) -> Ordering {
        other
            .priority
            .cmp(&self.priority)
            .then_with(|| other.id.cmp(&self.id))
            .then_with(|| self.name.cmp(&other.name))
            .then_with(|| self.route.cmp(&other.route))
    }

    /// Whether every condition holds; if so, the part of the path that was named.
    pub fn judge(&self, probe: &Probe<'_>, host: &Host, compatibility: Compatibility) -> Option<Option<MatchedPath>> {
        let is_any_host = self.hosts.is_empty() || self.hosts.iter().any(|rule| rule.fits(host));
        let is_any_method = self.methods.is_empty() || self.methods.iter().any(|method| **method == *probe.method);
        // Kong issue 6425: without TLS a route's server names do not count.
        let is_any_name = self.snis.is_empty()
            || probe.scheme != Scheme::Https
            || probe.server_name.is_some_and(|name| self.snis.iter().any(|rule| rule.fits(name.as_bytes())));
        let fits = is_any_host
            && is_any_method
            && is_any_name
            && ends_fit(&self.sources, probe.source)
            && ends_fit(&self.destinations, probe.destination);
        if !fits {
            return None;
        }
        let matched = match self.needs_path {
            false => None,
            true => Some(self.paths.iter().find_map(|path| path.fits(probe.path, compatibility))?),
        };
        self.headers.iter().all(|rule| rule.fits(probe.fields)).then_some(matched)
    }

    /// Whether a connection fits.
    pub fn judge_stream(&self, probe: &StreamProbe<'_>) -> bool {
        let is_any_name = self.snis.is_empty()
            || probe.server_name.is_none_or(|name| self.snis.iter().any(|rule| rule.fits(name.as_bytes())));
        is_any_name && ends_fit(&self.sources, probe.source) && ends_fit(&self.destinations, probe.destination)
    }
}

impl PathRule {
    /// Text that every path it fits begins with: where the index keeps it.
    pub fn literal_start(&self) -> &[u8] {
        match &self.kind {
            PathKind::Prefix(prefix) => prefix,
            PathKind::Pattern(pattern) => pattern.literal_start().as_bytes(),
        }
    }

    fn fits(&self, path: &[u8], compatibility: Compatibility) -> Option<MatchedPath> {
        let length = match &self.kind {
            PathKind::Prefix(prefix) => is_prefix(prefix, path, compatibility).then_some(prefix.len())?,
            PathKind::Pattern(pattern) => pattern.match_length(path)?,
        };
        Some(MatchedPath { path: self.number, length: u32::try_from(length).ok()? })
    }
}

/// Kong compares text: `/users` fits `/usersclass`. [`Compatibility::Safe`] ends the prefix at a segment.
fn is_prefix(prefix: &[u8], path: &[u8], compatibility: Compatibility) -> bool {
    let Some(rest) = path.strip_prefix(prefix) else { return false };
    match compatibility {
        Compatibility::Kong => true,
        Compatibility::Safe => rest.is_empty() || prefix.ends_with(b"/") || rest.starts_with(b"/"),
    }
}
