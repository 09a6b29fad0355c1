//! The door: every event is told here once, and becomes metrics, log lines, a record and a span.

use crate::log::{self, Format, Pen};
use crate::metrics::family::Id;
use crate::metrics::{Certificate, Level, Metrics};
use crate::peers::{self, Told, labels};
use crate::ring::{self, Ring};
use crate::span::{self, Finished, Kept};
use crate::tally;
use crate::writer::{Log, Rate, Sinks, Writer};
use ringwall_model::{
    Connection, Event, Exchange, Inspected, Inventory, Layer, Packet, PacketFate, RefusedCopy, Role, RuleBook,
    Timestamp, UpstreamChange,
};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

/// Calls that passed and were answered well, of which a record is kept in a second; every other call has its record as
/// long as the logs' own rate allows. A flood of good calls must not push the refusals out of the ring.
const GOOD_RECORDS: u32 = 100;

/// The names of the World that decided.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// Its number: what was found with the names of one World does not hold for another.
    pub generation: u64,
    /// Its rules.
    pub rules: &'a RuleBook,
    /// Its workloads and services.
    pub inventory: &'a Inventory,
}

/// Where logs go for the life of the process.
pub struct Output {
    /// The access log; standard output, as a rule.
    pub access: Box<dyn Write + Send>,
    /// The flow log.
    pub flow: Box<dyn Write + Send>,
    /// Rules of the firewall that matched, one line each.
    pub firewall: Box<dyn Write + Send>,
    /// Audit records of the firewall, one line of JSON each.
    pub audit: Box<dyn Write + Send>,
    /// Directory and size in bytes of the ring of decisions.
    pub decisions: Option<(PathBuf, u64)>,
    /// Lines a second, over all logs.
    pub lines_per_second: u32,
    /// Whether calls are counted.
    pub counting: Counting,
}

/// Whether calls are counted in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// Each call.
    Calls,
    /// No call; what else there is to count is counted all the same.
    NoCalls,
}

/// What became of spans that were fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// The collector took them.
    Taken,
    /// The collector answered that it does not want them.
    Refused,
}

/// What is logged: comes with a World.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    /// Access logs; an exchange is written once for each that wants it.
    pub access: Vec<AccessLog>,
}

/// One access log.
#[derive(Clone, Debug)]
pub struct AccessLog {
    /// Whose calls.
    pub which: Which,
    /// How they are written.
    pub format: Format,
}

/// Whose calls an access log writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Everybody's.
    All,
    /// Those that came to listeners of these workloads.
    Only(Chosen),
}

/// Workloads (`namespace/name`) whose calls are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Those whose application or gateway is called.
    pub called: HashSet<Arc<str>>,
    /// Those that call, ingress and egress among them.
    pub calling: HashSet<Arc<str>>,
}

impl Chosen {
    fn has(&self, exchange: &Exchange) -> bool {
        let chosen = match exchange.role {
            Role::Inbound | Role::Gateway => &self.called,
            Role::Outbound | Role::Edge | Role::Egress => &self.calling,
        };
        chosen.contains(&exchange.workload)
    }
}

/// All sinks of the process; shared by all threads.
#[derive(Debug)]
pub struct Telemetry {
    metrics: Metrics,
    writer: Writer,
    logs: RwLock<Logs>,
    decisions: Option<PathBuf>,
    spans: span::Waiting,
    good: Rate,
    counting: Counting,
}

impl Telemetry {
    /// Opens the ring and starts the writing thread.
    ///
    /// # Errors
    /// When the ring's directory cannot be written to, or no thread can be started.
    pub fn start(output: Output) -> io::Result<Self> {
        let decisions = output.decisions.as_ref().map(|(directory, _)| directory.clone());
        let ring = output.decisions.as_ref().map(|(directory, bytes)| Ring::open(directory, *bytes)).transpose()?;
        let Output { access, flow, firewall, audit, counting, .. } = output;
        let sinks = Sinks { access, flow, firewall, audit, ring };
        let writer = Writer::start(sinks, output.lines_per_second)?;
        let (metrics, logs, spans) = Default::default();
        Ok(Self { metrics, writer, logs, decisions, spans, good: Rate::new(GOOD_RECORDS), counting })
    }

    /// Takes over what a new World says of logs.
    pub fn follow(&self, logs: Logs) {
        *self.logs.write().unwrap_or_else(PoisonError::into_inner) = logs;
    }

    /// Tells what happened. Does not wait.
    pub fn tell(&self, event: &Event, names: &Names<'_>) {
        match event {
            Event::Exchange(exchange) => self.exchange(exchange, names),
            Event::Connection(connection) => self.connection(connection, names),
            Event::Packet(packet) => self.packet(packet),
            Event::Copy(copy) => self.copy(copy, names),
            Event::Upstream { cluster, change } => self.upstream(cluster, *change),
        }
    }

    /// The text of `/metrics`.
    pub fn metrics(&self) -> String {
        self.metrics.render()
    }

    /// Sets a gauge that another room knows the value of.
    pub fn level(&self, level: Level, value: u64) {
        self.metrics.level(level, value);
    }

    /// Replaces what is known of certificates.
    pub fn certificates(&self, all: &[Certificate<'_>]) {
        self.metrics.certificates(all);
    }

    /// What is recorded of a call; empty when there is no ring or it has been overwritten.
    ///
    /// # Errors
    /// When the ring cannot be read.
    pub fn find(&self, id: &str) -> io::Result<Vec<Value>> {
        self.writer.flush();
        self.decisions.as_deref().map_or_else(|| Ok(Vec::new()), |directory| ring::find(directory, id))
    }

    /// Up to `most` spans that wait to be posted.
    pub fn take_spans(&self, most: usize) -> Vec<Finished> {
        self.spans.take(most)
    }

    /// Counts what became of so many of them.
    pub fn posted(&self, became: Posted, spans: usize) {
        let outcome = match became {
            Posted::Taken => "sent",
            Posted::Refused => "refused",
        };
        self.metrics.add(Id::Spans, &[outcome], spans as f64);
    }

    /// Waits until everything told so far is written.
    pub fn flush(&self) {
        self.writer.flush();
    }

    fn exchange(&self, exchange: &Exchange, names: &Names<'_>) {
        if self.counting == Counting::Calls {
            tally::count(&mut self.metrics.shard(), exchange, names);
        }
        for access in &self.logs.read().unwrap_or_else(PoisonError::into_inner).access {
            let wanted = match &access.which {
                Which::All => true,
                Which::Only(chosen) => chosen.has(exchange),
            };
            if wanted {
                self.access(&access.format, exchange, names);
            }
        }
        if let Some(inspected) = &exchange.inspected {
            self.inspected(exchange, inspected);
        }
        if self.decisions.is_some() && self.is_recorded(exchange) {
            self.write(Log::Decisions, crate::record::exchange(exchange, names), exchange.started);
        }
        if self.spans.keep(exchange) == Some(Kept::ForAnother) {
            self.metrics.add(Id::Spans, &["queue-full"], 1.0);
        }
    }

    /// Renders with the thread's own pen, and writes it.
    fn access(&self, format: &Format, exchange: &Exchange, names: &Names<'_>) {
        thread_local!(static PEN: RefCell<Pen> = RefCell::default());
        PEN.with_borrow_mut(|pen| self.write(Log::Access, format.render(exchange, names, pen), exchange.started));
    }

    fn inspected(&self, exchange: &Exchange, inspected: &Inspected) {
        let lines = crate::firewall::lines(exchange.id, exchange.client, inspected);
        if !lines.is_empty() {
            self.write(Log::Firewall, &lines, exchange.started);
        }
        if let Some(record) = inspected.audit.as_deref().and_then(crate::firewall::audit) {
            self.write(Log::Audit, &record, exchange.started);
        }
    }

    fn is_recorded(&self, exchange: &Exchange) -> bool {
        let good = exchange.inspected.is_none()
            && exchange.refused.is_none()
            && exchange.flags == "-"
            && exchange.status < 400;
        !good || self.good.has_room(exchange.started.seconds())
    }

    fn connection(&self, connection: &Connection, names: &Names<'_>) {
        let outcome = match (&connection.refused, &connection.failure) {
            (Some(_), _) => "refused",
            (None, Some(_)) => "failed",
            (None, None) => "served",
        };
        self.metrics.add(Id::Connections, &[connection.role.as_str(), outcome], 1.0);
        let at_tls = matches!(connection.refused, Some((Layer::Tls, _)));
        if at_tls || (connection.failure.is_some() && connection.cluster.is_empty()) {
            self.metrics.add(Id::Handshakes, &[connection.role.as_str()], 1.0);
        }
        if let Some((layer, reason)) = connection.refused {
            self.metrics.add(Id::Decisions, &[layer.as_str(), &peers::rule(reason, names), "refuse"], 1.0);
        }
        if !at_tls && !connection.cluster.is_empty() {
            self.count_tcp(connection, names);
        }
        let line = log::flow(connection, names);
        self.write(Log::Flow, &line, connection.started);
        if self.decisions.is_some() {
            self.write(Log::Decisions, &line, connection.started);
        }
    }

    fn packet(&self, packet: &Packet) {
        let verdict = if packet.fate == PacketFate::Dropped { "refuse" } else { "would-refuse" };
        self.metrics.add(Id::Decisions, &[Layer::Packet.as_str(), &packet.rule, verdict], 1.0);
        let line = log::packet(packet);
        self.write(Log::Flow, &line, packet.seen);
        if self.decisions.is_some() {
            self.write(Log::Decisions, &line, packet.seen);
        }
    }

    fn copy(&self, copy: &RefusedCopy, names: &Names<'_>) {
        let (layer, reason) = copy.refused;
        self.metrics.add(Id::Decisions, &[layer.as_str(), &peers::rule(reason, names), "refuse"], 1.0);
        self.metrics.add(Id::NotMirrored, &[&copy.cluster], 1.0);
        self.write(Log::Flow, log::copy(copy, names), copy.started);
    }

    fn count_tcp(&self, connection: &Connection, names: &Names<'_>) {
        let told = Told {
            role: connection.role,
            workload: &connection.workload,
            peer: connection.peer_identity.as_ref(),
            cluster: &connection.cluster,
        };
        let ends = peers::ends(&told, names);
        if connection.role != Role::Inbound && !ends.external && connection.failure.is_none() {
            return;
        }
        let labels = labels(&ends, "tcp", if connection.failure.is_some() { "UF" } else { "-" });
        self.metrics.add(Id::TcpOpened, &labels, 1.0);
        self.metrics.add(Id::TcpClosed, &labels, 1.0);
        self.metrics.add(Id::TcpReceived, &labels, connection.received as f64);
        self.metrics.add(Id::TcpSent, &labels, connection.sent as f64);
    }

    fn upstream(&self, cluster: &str, change: UpstreamChange) {
        let moves: &[(Id, f64)] = match change {
            UpstreamChange::Opened => &[(Id::UpstreamTotal, 1.0), (Id::UpstreamActive, 1.0)],
            UpstreamChange::Closed => &[(Id::UpstreamDestroy, 1.0), (Id::UpstreamActive, -1.0)],
            UpstreamChange::ConnectFailed => &[(Id::ConnectFail, 1.0)],
            // Envoy counts a timeout as a failure, too.
            UpstreamChange::ConnectTimeout => &[(Id::ConnectTimeout, 1.0), (Id::ConnectFail, 1.0)],
            UpstreamChange::TlsFailed => &[(Id::UpstreamTlsError, 1.0), (Id::ConnectFail, 1.0)],
            UpstreamChange::Overflow => &[(Id::UpstreamOverflow, 1.0)],
            UpstreamChange::Retried => &[(Id::UpstreamRetry, 1.0)],
            UpstreamChange::TimedOut => &[(Id::UpstreamTimeout, 1.0)],
            UpstreamChange::Mirrored => &[(Id::Mirrored, 1.0)],
            UpstreamChange::NotMirrored => &[(Id::NotMirrored, 1.0)],
            UpstreamChange::Ejected => &[(Id::Ejections, 1.0), (Id::EjectionsActive, 1.0)],
            UpstreamChange::Restored => &[(Id::EjectionsActive, -1.0)],
        };
        moves.iter().for_each(|(id, amount)| self.metrics.add(*id, &[cluster], *amount));
    }

    fn write(&self, log: Log, line: impl AsRef<[u8]>, at: Timestamp) {
        if self.writer.line(log, line.as_ref(), at.seconds()).is_err() {
            self.metrics.add(Id::Dropped, &[log.as_str()], 1.0);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
