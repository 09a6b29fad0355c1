//! Counters, gauges and histograms, sharded by thread, merged when somebody looks.
//!
//! Follows: the Prometheus text format 0.0.4; names and labels as Istio, Envoy, Kong and cert-manager give them, so that
//! rules and dashboards written for those work unchanged.

pub mod family;
pub(crate) mod shard;

use crate::tally;
use family::{ALL, Id};
use shard::{Shard, Value, family};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 16;

/// Values of labels, in the family's order.
type Labels = Box<[Box<str>]>;
/// Gauges that are set, not moved: each family whole.
type Set = BTreeMap<Id, Vec<(Labels, f64)>>;
type Merged = BTreeMap<(Id, Labels), Value>;

/// What a family counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations by upper bound.
    Histogram(&'static [f64]),
}

/// A gauge that some other room knows the value of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Addresses that are blocked now.
    BlocklistEntries,
    /// Connections that are open now.
    OpenConnections,
    /// Number of the World in force.
    Generation,
    /// Configurations that were refused since the start.
    ReloadsRefused,
    /// Connections of the gateway.
    GatewayConnections,
}

/// One certificate, for the metrics that cert-manager has.
#[derive(Clone, Debug)]
pub struct Certificate<'a> {
    /// Name of the Certificate resource.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Name of its issuer.
    pub issuer_name: &'a str,
    /// `Issuer` or `ClusterIssuer`.
    pub issuer_kind: &'a str,
    /// When it ends.
    pub expires: ringwall_model::Timestamp,
    /// When it is renewed.
    pub renews: ringwall_model::Timestamp,
    /// Whether it can be used.
    pub readiness: Readiness,
}

/// Whether a certificate can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It can.
    Ready,
    /// It cannot.
    NotReady,
    /// Nobody knows yet.
    Unknown,
}

/// All series of the process.
#[derive(Debug, Default)]
pub struct Metrics {
    shards: [Mutex<Shard>; SHARDS],
    set: Mutex<Set>,
}

impl Metrics {
    /// Adds to a counter or a gauge, or observes a value. `labels` are the values in the family's order.
    pub fn add(&self, id: Id, labels: &[&str], amount: f64) {
        debug_assert_eq!(labels.len(), family(id).labels.len(), "{}", family(id).name);
        self.shard().series.add(id, labels, amount);
    }

    /// This thread's share.
    pub(crate) fn shard(&self) -> MutexGuard<'_, Shard> {
        self.shards[shard_of_thread()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces all series of a family of gauges.
    fn set(&self, id: Id, series: Vec<(Labels, f64)>) {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).insert(id, series);
    }

    /// Sets one of the simple gauges.
    pub fn level(&self, level: Level, value: u64) {
        let (id, labels): (Id, &[&str]) = match level {
            Level::BlocklistEntries => (Id::Blocklist, &[]),
            Level::OpenConnections => (Id::Open, &[]),
            Level::Generation => (Id::Generation, &[]),
            Level::ReloadsRefused => (Id::Reloads, &[]),
            Level::GatewayConnections => (Id::KongConnections, &["active"]),
        };
        self.set(id, vec![(labels.iter().map(|label| Box::from(*label)).collect(), value as f64)]);
    }

    /// Replaces what is known of certificates.
    pub fn certificates(&self, all: &[Certificate<'_>]) {
        let labels = |one: &Certificate<'_>, more: Option<&str>| -> Labels {
            let group = "cert-manager.io";
            let five = [one.name, one.namespace, one.issuer_name, one.issuer_kind, group];
            five.into_iter().chain(more).map(Box::from).collect()
        };
        let seconds = |at: ringwall_model::Timestamp| at.seconds() as f64;
        let each = |value: fn(&Certificate<'_>) -> ringwall_model::Timestamp| {
            all.iter().map(|one| (labels(one, None), seconds(value(one)))).collect()
        };
        self.set(Id::CertificateExpiry, each(|one| one.expires));
        self.set(Id::CertificateRenewal, each(|one| one.renews));
        let conditions = [("True", Readiness::Ready), ("False", Readiness::NotReady), ("Unknown", Readiness::Unknown)];
        let ready = all.iter().flat_map(|one| {
            conditions.map(|(name, state)| (labels(one, Some(name)), f64::from(u8::from(one.readiness == state))))
        });
        self.set(Id::CertificateReady, ready.collect());
    }

    /// The text of `/metrics` and `/stats/prometheus`.
    pub fn render(&self) -> String {
        let merged = self.merged();
        let mut text = String::with_capacity(merged.len() * 200);
        for id in ALL {
            let one = family(*id);
            let mut series = merged.range((*id, Box::default())..).take_while(|((other, _), _)| other == id).peekable();
            if series.peek().is_none() {
                continue;
            }
            let kind = match one.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            let _ = writeln!(text, "# HELP {} {}\n# TYPE {} {kind}", one.name, one.help, one.name);
            series.for_each(|((_, labels), value)| line(&mut text, one, labels, value));
        }
        text
    }

    fn merged(&self) -> Merged {
        let mut merged = Merged::new();
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            tally::settle(&mut shard);
            for one in shard.series.all() {
                let into = merged.entry((one.id, one.labels.clone()));
                into.or_insert_with(|| Value::of(family(one.id).kind)).merge(&one.value);
            }
        }
        for (id, series) in self.set.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            merged.extend(series.iter().map(|(labels, value)| ((*id, labels.clone()), Value::Number(*value))));
        }
        merged
    }
}

fn line(text: &mut String, family: &family::Family, labels: &[Box<str>], value: &Value) {
    let name = family.name;
    let own: String =
        family.labels.iter().zip(labels).map(|(name, value)| format!("{name}=\"{}\",", escape(value))).collect();
    match (value, family.kind) {
        (Value::Buckets { counts, sum }, Kind::Histogram(bounds)) => {
            let mut total = 0;
            let bounds = bounds.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
            for (bound, count) in bounds.zip(counts) {
                total += count;
                let _ = writeln!(text, "{name}_bucket{{{own}le=\"{bound}\"}} {total}");
            }
            let own = braces(&own);
            let _ = writeln!(text, "{name}_sum{own} {sum}\n{name}_count{own} {total}");
        }
        (Value::Number(number), _) => {
            let _ = writeln!(text, "{name}{} {number}", braces(&own));
        }
        _ => {}
    }
}

fn braces(labels: &str) -> String {
    if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.trim_end_matches(',')) }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Each thread has its shard, as long as there are no more threads than shards.
fn shard_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static MINE: Cell<usize> = const { Cell::new(usize::MAX) });
    MINE.with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
        }
        mine.get()
    })
}

#[cfg(test)]
mod tests;
