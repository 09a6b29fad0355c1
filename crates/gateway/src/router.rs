//! The router: which route a call takes, as Kong's flavour `traditional_compatible` decides it.
//!
//! In: routes. Out: [`Router::select`]: the route of the highest priority whose every condition holds. Never: allocation
//! while selecting.
//!
//! An index (host, then a radix tree over path prefixes and the literal beginnings of regular expressions) names the
//! candidates; each is then judged by all its conditions, so the index can only save work, not change the answer.
//! INVARIANT: an entry's rank is its place in priority order; of all matching entries the lowest rank is taken.

mod condition;
mod entry;
mod index;
mod pattern;
mod priority;

pub use entry::MatchedPath;
pub use index::split_port;
pub use pattern::{BadPattern, Pattern};

use crate::entity::Route;
use crate::{Compatibility, RouteIndex, Service};
use entry::Entry;
use index::{Host, Index};
use ringwall_model::{Fields, Scheme};
use std::net::SocketAddr;

/// The compiled routes of one gateway.
#[derive(Clone, Debug, Default)]
pub struct Router {
    /// In order of priority, highest first.
    calls: Vec<Entry>,
    index: Index,
    /// In order of priority, highest first.
    streams: Vec<Entry>,
    compatibility: Compatibility,
}

/// What of a call the router reads.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    /// Method, as sent.
    pub method: &'a [u8],
    /// `Host`, perhaps with a port.
    pub authority: &'a [u8],
    /// Path without query, normalized as Kong does.
    pub path: &'a [u8],
    /// Whether the call came over TLS.
    pub scheme: Scheme,
    /// Server name of TLS.
    pub server_name: Option<&'a str>,
    /// Fields of the call.
    pub fields: &'a Fields,
    /// The peer's end of the connection.
    pub source: SocketAddr,
    /// Our end of the connection.
    pub destination: SocketAddr,
}

/// What of a connection the router reads.
#[derive(Clone, Copy, Debug)]
pub struct StreamProbe<'a> {
    /// The peer's end.
    pub source: SocketAddr,
    /// Our end.
    pub destination: SocketAddr,
    /// Server name, when the connection begins with TLS.
    pub server_name: Option<&'a str>,
}

impl Router {
    /// Compiles routes. Routes of a disabled service are left out; a pattern that cannot be compiled matches nothing
    /// (lowering has reported it).
    pub fn compile(routes: &[Route], services: &[Service], compatibility: Compatibility) -> Self {
        let live = |route: &Route| {
            route.service.is_none_or(|index| services.get(index.0 as usize).is_none_or(|service| service.enabled))
        };
        let mut calls = Vec::new();
        let mut streams = Vec::new();
        for (number, route) in (0_u32..).zip(routes).filter(|(_, route)| live(route)) {
            let entries = entry::split(RouteIndex(number), route, compatibility);
            if route.is_stream() { streams.extend(entries) } else { calls.extend(entries) }
        }
        calls.sort_by(Entry::precedes);
        streams.sort_by(Entry::precedes);
        Self { index: Index::build(&calls), calls, streams, compatibility }
    }

    /// The route a call takes, and the part of its path that the route names.
    pub fn select(&self, probe: &Probe<'_>) -> Option<(RouteIndex, Option<MatchedPath>)> {
        let host = Host::read(probe.authority, probe.destination.port());
        let mut best = None;
        let mut rank = u32::MAX;
        self.index.candidates(&host, probe.path, &mut |ranks: &[u32]| {
            for candidate in ranks.iter().copied().take_while(|candidate| *candidate < rank) {
                let Some(entry) = self.calls.get(candidate as usize) else { continue };
                if let Some(matched) = entry.judge(probe, &host, self.compatibility) {
                    (rank, best) = (candidate, Some((entry.route, matched)));
                    break;
                }
            }
        });
        best
    }

    /// The route a connection takes.
    pub fn select_stream(&self, probe: &StreamProbe<'_>) -> Option<RouteIndex> {
        self.streams.iter().find(|entry| entry.judge_stream(probe)).map(|entry| entry.route)
    }
}
