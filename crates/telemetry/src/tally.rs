//! What one exchange adds to the metrics.
//!
//! Which series those are depends on a few things only: listener, route, upstream, status, what the layers said. So it is
//! found once for all exchanges that are alike, by looking into the inventory and making some hundred labels, and after
//! that an exchange costs one look-up and a few additions: that it was is counted by its kind alone, until somebody reads.
//! In: an exchange and the names of the World that decided. Out: additions to this thread's series. Bounded: what is
//! known is forgotten when it is too much, or when the World changes; the series stay.

use crate::metrics::family::Id;
use crate::metrics::shard::{Number, Shard};
use crate::peers::{self, Ends, Told};
use crate::telemetry::Names;
use ringwall_model::trace::Entry;
use ringwall_model::{Exchange, Reason, Role, SpiffeId};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Kinds of exchanges that a thread remembers.
const MOST_KINDS: usize = 4096;
/// Places for kinds that were counted last.
const RECENT: usize = 64;

/// What is known of exchanges that were alike.
#[derive(Debug, Default)]
pub struct Tallies {
    /// The World that gave the names.
    generation: u64,
    /// Keyed, because some of what is hashed (a consumer, a host outside the mesh) is a client's choice.
    hasher: RandomState,
    kinds: HashMap<u64, Vec<Arc<Kind>>>,
    count: usize,
    /// One kind in each place: who makes two meet there makes the keyed way be taken, nothing worse.
    recent: Vec<Option<Arc<Kind>>>,
}

/// What decides which series an exchange adds to, and those series.
#[derive(Debug)]
struct Kind {
    /// The series that count each exchange.
    counting: Box<[Number]>,
    /// Exchanges that they do not have yet.
    waiting: AtomicU64,
    /// Further series, and how much each gets.
    measuring: Box<[(Number, Amount)]>,
    role: Role,
    status: u16,
    flags: &'static str,
    workload: Arc<str>,
    peer: Option<SpiffeId>,
    cluster: Arc<str>,
    route: Arc<str>,
    gateway: Option<(Arc<str>, Arc<str>)>,
    protocol: Protocol,
    reached: Reached,
    steps: Box<[Entry]>,
}

/// What was spoken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Protocol {
    Http,
    /// gRPC, with the status that the answer's fields gave.
    Grpc(Box<str>),
}

/// How far a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reached {
    /// No upstream.
    Nothing,
    /// An upstream, which did not answer.
    Upstream,
    /// An upstream, which answered.
    Answer,
}

/// How much of an exchange a series gets.
#[derive(Clone, Copy, Debug)]
enum Amount {
    Duration,
    UpstreamTime,
    Received,
    Sent,
}

/// Adds an exchange to a thread's series.
pub fn count(shard: &mut Shard, exchange: &Exchange, names: &Names<'_>) {
    if shard.tallies.generation != names.generation {
        forget(shard);
        shard.tallies.generation = names.generation;
    }
    let protocol = Protocol::of(exchange);
    let known = shard.tallies.find(exchange, &protocol);
    let kind = known.unwrap_or_else(|hash| {
        let kind = Making { shard, exchange, names, counting: Vec::new(), measuring: Vec::new() }.kind(protocol);
        if shard.tallies.count >= MOST_KINDS {
            forget(shard);
        }
        shard.tallies.keep(hash, kind)
    });
    kind.waiting.fetch_add(1, Ordering::Relaxed);
    for (number, amount) in &kind.measuring {
        shard.add_to(*number, amount.of(exchange));
    }
}

/// Adds to the series what was counted by kind only: before they are read.
#[expect(clippy::cast_precision_loss, reason = "so many exchanges have never been")]
pub fn settle(shard: &mut Shard) {
    let tallies = std::mem::take(&mut shard.tallies);
    for kind in tallies.kinds.values().flatten() {
        let waiting = kind.waiting.swap(0, Ordering::Relaxed);
        kind.counting.iter().for_each(|number| shard.add_to(*number, waiting as f64));
    }
    shard.tallies = tallies;
}

/// No kind is known any more; what was counted stays.
fn forget(shard: &mut Shard) {
    settle(shard);
    shard.tallies.kinds.clear();
    shard.tallies.recent.clear();
    shard.tallies.count = 0;
}

impl Tallies {
    /// What exchanges like this one add; else the hash to keep it under.
    fn find(&mut self, exchange: &Exchange, protocol: &Protocol) -> Result<Arc<Kind>, u64> {
        self.recent.resize(RECENT, None);
        let place = self.recent.get_mut(place(exchange));
        if let Some(Some(kind)) = &place
            && kind.is_of(exchange, protocol)
        {
            return Ok(kind.clone());
        }
        let mut hasher = self.hasher.build_hasher();
        parts(exchange).hash(&mut hasher);
        protocol.hash(&mut hasher);
        exchange
            .trace
            .steps()
            .iter()
            .for_each(|step| (step.layer, step.passed, step.because, step.would_refuse).hash(&mut hasher));
        let hash = hasher.finish();
        let same = self.kinds.get(&hash).into_iter().flatten().find(|kind| kind.is_of(exchange, protocol));
        let same = same.cloned().ok_or(hash)?;
        place.into_iter().for_each(|place| *place = Some(same.clone()));
        Ok(same)
    }

    fn keep(&mut self, hash: u64, kind: Kind) -> Arc<Kind> {
        self.count += 1;
        let kind = Arc::new(kind);
        self.kinds.entry(hash).or_default().push(kind.clone());
        kind
    }
}

/// The place of exchanges that are alike: of a few numbers, as nothing depends on it but the time it takes.
fn place(exchange: &Exchange) -> usize {
    let rule = |reason: Reason| if let Reason::Rule(id) = reason { id.0 as usize + 1 } else { 0 };
    let steps = exchange.trace.steps().iter().map(|step| rule(step.because));
    let parts = [exchange.status.into(), exchange.role as usize, exchange.route.len(), exchange.cluster.len()];
    parts.into_iter().chain(steps).fold(0_usize, |sum, part| sum.wrapping_mul(31).wrapping_add(part)) % RECENT
}

type Parts<'a> = (
    Role,
    u16,
    &'static str,
    &'a str,
    Option<&'a SpiffeId>,
    &'a str,
    &'a str,
    Option<&'a (Arc<str>, Arc<str>)>,
    Reached,
);

fn parts(exchange: &Exchange) -> Parts<'_> {
    (
        exchange.role,
        exchange.status,
        exchange.flags,
        &exchange.workload,
        exchange.peer_identity.as_ref(),
        &exchange.cluster,
        &exchange.route,
        exchange.gateway.as_ref(),
        Reached::of(exchange),
    )
}

impl Kind {
    fn of(exchange: &Exchange, protocol: Protocol, counting: Vec<Number>, measuring: Vec<(Number, Amount)>) -> Self {
        Self {
            counting: counting.into(),
            waiting: AtomicU64::new(0),
            measuring: measuring.into(),
            role: exchange.role,
            status: exchange.status,
            flags: exchange.flags,
            workload: exchange.workload.clone(),
            peer: exchange.peer_identity.clone(),
            cluster: exchange.cluster.clone(),
            route: exchange.route.clone(),
            gateway: exchange.gateway.clone(),
            protocol,
            reached: Reached::of(exchange),
            steps: exchange.trace.steps().into(),
        }
    }

    fn is_of(&self, exchange: &Exchange, protocol: &Protocol) -> bool {
        let gateway = match (&self.gateway, &exchange.gateway) {
            (Some(own), Some(its)) => is_same(&own.0, &its.0) && is_same(&own.1, &its.1),
            (own, its) => own.is_none() && its.is_none(),
        };
        gateway
            && (self.role, self.status, self.reached) == (exchange.role, exchange.status, Reached::of(exchange))
            && self.flags == exchange.flags
            && is_same(&self.workload, &exchange.workload)
            && is_same(&self.cluster, &exchange.cluster)
            && is_same(&self.route, &exchange.route)
            && self.peer == exchange.peer_identity
            && self.protocol == *protocol
            && *self.steps == *exchange.trace.steps()
    }
}

/// Most names are the World's own, which all exchanges share.
fn is_same(one: &Arc<str>, other: &Arc<str>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

impl Protocol {
    fn of(exchange: &Exchange) -> Self {
        let kind = exchange.request_fields.first("content-type").or(exchange.response_fields.first("content-type"));
        if !kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
            return Self::Http;
        }
        let status = exchange.response_fields.first("grpc-status");
        Self::Grpc(status.and_then(|status| std::str::from_utf8(status).ok()).unwrap_or_default().into())
    }

    fn labels(&self) -> (&'static str, &str) {
        match self {
            Self::Http => ("http", ""),
            Self::Grpc(status) => ("grpc", status),
        }
    }
}

impl Reached {
    const fn of(exchange: &Exchange) -> Self {
        match (exchange.upstream, exchange.upstream_time) {
            (None, _) => Self::Nothing,
            (Some(_), None) => Self::Upstream,
            (Some(_), Some(_)) => Self::Answer,
        }
    }
}

impl Amount {
    #[expect(clippy::cast_precision_loss, reason = "counts of bytes and milliseconds are far below 2 to the 53rd")]
    const fn of(self, exchange: &Exchange) -> f64 {
        match (self, exchange.upstream_time) {
            (Self::Duration, _) => exchange.duration.0 as f64,
            (Self::UpstreamTime, Some(time)) => time.0 as f64,
            (Self::UpstreamTime, None) => 0.0,
            (Self::Received, _) => exchange.received as f64,
            (Self::Sent, _) => exchange.sent as f64,
        }
    }
}

/// Finds the series of one kind of exchange.
struct Making<'a> {
    shard: &'a mut Shard,
    exchange: &'a Exchange,
    names: &'a Names<'a>,
    counting: Vec<Number>,
    measuring: Vec<(Number, Amount)>,
}

impl Making<'_> {
    fn kind(mut self, protocol: Protocol) -> Kind {
        let exchange = self.exchange;
        let code = exchange.status.to_string();
        self.one(Id::Answers, &[exchange.role.as_str(), &code]);
        for step in exchange.trace.steps() {
            let rule = peers::rule(step.because, self.names);
            self.one(Id::Decisions, &[step.layer.as_str(), &rule, crate::record::verdict(step.passed)]);
            if let Some(audited) = step.would_refuse {
                let rule = peers::rule(audited, self.names);
                self.one(Id::Decisions, &[step.layer.as_str(), &rule, "would-refuse"]);
            }
        }
        let told = Told {
            role: exchange.role,
            workload: &exchange.workload,
            peer: exchange.peer_identity.as_ref(),
            cluster: &exchange.cluster,
        };
        let ends = peers::ends(&told, self.names);
        // A call is counted where it was answered: before the workload that was called. Only one that never came there,
        // or that left the mesh, is counted where it came from.
        let lost = exchange.upstream.is_none() && !exchange.cluster.is_empty();
        if exchange.role == Role::Inbound || lost || ends.external {
            self.request(&ends, &code, &protocol);
        }
        if exchange.role != Role::Inbound && exchange.upstream.is_some() {
            self.one(Id::UpstreamRequests, &[&exchange.cluster]);
            let class = (exchange.status / 100).to_string();
            self.one(Id::UpstreamClass, &[&exchange.cluster, &class]);
        }
        if let Some((service, consumer)) = &exchange.gateway {
            self.gateway(service, consumer, &code);
        }
        Kind::of(exchange, protocol, self.counting, self.measuring)
    }

    fn one(&mut self, id: Id, labels: &[&str]) {
        self.counting.push(self.shard.number(id, labels));
    }

    fn amount(&mut self, id: Id, labels: &[&str], amount: Amount) {
        self.measuring.push((self.shard.number(id, labels), amount));
    }

    fn request(&mut self, ends: &Ends, code: &str, protocol: &Protocol) {
        let (protocol, status) = protocol.labels();
        let mut labels = peers::labels(ends, protocol, self.exchange.flags);
        labels.extend([code, status]);
        self.one(Id::Requests, &labels);
        self.amount(Id::RequestMillis, &labels, Amount::Duration);
        self.amount(Id::RequestBytes, &labels, Amount::Received);
        self.amount(Id::ResponseBytes, &labels, Amount::Sent);
    }

    fn gateway(&mut self, service: &str, consumer: &str, code: &str) {
        let (route, workspace) = (&*self.exchange.route, "default");
        let source = if self.exchange.upstream.is_some() { "service" } else { "exit" };
        self.one(Id::KongRequests, &[service, route, code, source, workspace, consumer]);
        self.amount(Id::KongRequestMillis, &[service, route, workspace], Amount::Duration);
        if self.exchange.upstream_time.is_some() {
            self.amount(Id::KongUpstreamMillis, &[service, route, workspace], Amount::UpstreamTime);
        }
        for (direction, bytes) in [("ingress", Amount::Received), ("egress", Amount::Sent)] {
            self.amount(Id::KongBytes, &[service, route, direction, workspace, consumer], bytes);
        }
    }
}
