//! What one exchange adds to the metrics.
//!
//! Which series those are depends on a few things only: listener, route, upstream, status, what the layers said. So it is
//! found once for all exchanges that are alike, by looking into the inventory and making some hundred labels, and after
//! that an exchange costs one look-up and a few additions: that it was is counted by its kind alone, until somebody reads.
//! In: an exchange and the names of the World that decided. Out: additions to this thread's series. Bounded: what is
//! known is forgotten when it is too much, or when the World changes; the series stay.

use crate::metrics::family::Id;
use crate::metrics::shard::{Number, Series, Shard};
use crate::peers::{self, Ends, Told};
use crate::telemetry::Names;
use ringwall_model::trace::Entry;
use ringwall_model::{Exchange, Reason, Role, SpiffeId};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;

/// Kinds of exchanges that a thread remembers.
const MOST_KINDS: usize = 4096;
/// Places for kinds that were counted last.
const RECENT: usize = 64;
/// Amounts of which each measure remembers how often they were, before its series gets them.
const AMOUNTS: usize = 4;

/// What is known of exchanges that were alike.
#[derive(Debug, Default)]
pub struct Tallies {
    /// The World that gave the names.
    generation: u64,
    kinds: Vec<Kind>,
    /// Keyed, because some of what is hashed (a consumer, a host outside the mesh) is a client's choice.
    hasher: RandomState,
    /// Where the kinds of a hash stand.
    known: HashMap<u64, Vec<usize>>,
    /// Where the kind stands that was counted last of each place: who makes two meet there makes the keyed way be taken,
    /// nothing worse.
    recent: Vec<usize>,
}

/// What decides which series an exchange adds to, and those series.
#[derive(Debug)]
struct Kind {
    /// The series that count each exchange.
    counting: Box<[Number]>,
    /// Exchanges that they do not have yet.
    waiting: u64,
    /// Further series, and how much each gets.
    measuring: Box<[Measure]>,
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

/// A series that gets an amount of each exchange.
#[derive(Debug)]
struct Measure {
    number: Number,
    amount: Amount,
    /// Amounts that it does not have yet, and how often they were: each in the place that its last bits say.
    waiting: [(u64, u64); AMOUNTS],
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
    let at = known.unwrap_or_else(|hash| {
        let series = &mut shard.series;
        let kind = Making { series, exchange, names, counting: Vec::new(), measuring: Vec::new() }.kind(protocol);
        if shard.tallies.kinds.len() >= MOST_KINDS {
            forget(shard);
        }
        shard.tallies.keep(hash, kind)
    });
    let Some(kind) = shard.tallies.kinds.get_mut(at) else { return };
    kind.waiting += 1;
    kind.measuring.iter_mut().for_each(|measure| measure.add(exchange, &mut shard.series));
}

/// Adds to the series what was counted by kind only: before they are read.
pub fn settle(shard: &mut Shard) {
    for kind in &mut shard.tallies.kinds {
        let waiting = std::mem::take(&mut kind.waiting);
        kind.counting.iter().for_each(|number| shard.series.add_to(*number, 1, waiting));
        kind.measuring.iter_mut().for_each(|measure| measure.settle(&mut shard.series));
    }
}

/// No kind is known any more; what was counted stays.
fn forget(shard: &mut Shard) {
    settle(shard);
    shard.tallies.kinds.clear();
    shard.tallies.known.clear();
    shard.tallies.recent.clear();
}

impl Tallies {
    /// Where the kind of exchanges like this one stands; else the hash to keep it under.
    fn find(&mut self, exchange: &Exchange, protocol: &Protocol) -> Result<usize, u64> {
        let is_it = |at: &usize| self.kinds.get(*at).is_some_and(|kind| kind.is_of(exchange, protocol));
        self.recent.resize(RECENT, usize::MAX);
        let place = self.recent.get_mut(place(exchange));
        if let Some(at) = place.as_deref().filter(|at| is_it(at)) {
            return Ok(*at);
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
        let at = *self.known.get(&hash).into_iter().flatten().find(|at| is_it(at)).ok_or(hash)?;
        place.into_iter().for_each(|place| *place = at);
        Ok(at)
    }

    fn keep(&mut self, hash: u64, kind: Kind) -> usize {
        let at = self.kinds.len();
        self.kinds.push(kind);
        self.known.entry(hash).or_default().push(at);
        at
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
    fn of(exchange: &Exchange, protocol: Protocol, counting: Vec<Number>, measuring: Vec<Measure>) -> Self {
        Self {
            counting: counting.into(),
            waiting: 0,
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
pub fn is_same(one: &Arc<str>, other: &Arc<str>) -> bool {
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

impl Measure {
    fn add(&mut self, exchange: &Exchange, series: &mut Series) {
        let amount = self.amount.of(exchange);
        let Some(place) = self.waiting.get_mut(amount as usize % AMOUNTS) else { return };
        if place.0 != amount {
            let (before, times) = std::mem::replace(place, (amount, 0));
            series.add_to(self.number, before, times);
        }
        place.1 += 1;
    }

    fn settle(&mut self, series: &mut Series) {
        for (amount, times) in &mut self.waiting {
            series.add_to(self.number, *amount, std::mem::take(times));
        }
    }
}

impl Amount {
    const fn of(self, exchange: &Exchange) -> u64 {
        match (self, exchange.upstream_time) {
            (Self::Duration, _) => exchange.duration.0,
            (Self::UpstreamTime, Some(time)) => time.0,
            (Self::UpstreamTime, None) => 0,
            (Self::Received, _) => exchange.received,
            (Self::Sent, _) => exchange.sent,
        }
    }
}

/// Finds the series of one kind of exchange.
struct Making<'a> {
    series: &'a mut Series,
    exchange: &'a Exchange,
    names: &'a Names<'a>,
    counting: Vec<Number>,
    measuring: Vec<Measure>,
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
        self.counting.push(self.series.number(id, labels));
    }

    fn amount(&mut self, id: Id, labels: &[&str], amount: Amount) {
        let number = self.series.number(id, labels);
        self.measuring.push(Measure { number, amount, waiting: Default::default() });
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
