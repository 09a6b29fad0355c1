//! What happened, told once: metrics, access logs, flow logs and traces are all made from an [`Event`].

use crate::{CallId, Layer, Millis, Reason, Role, SpiffeId, Timestamp, Version};
use bytes::Bytes;
use std::any::Any;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Something that happened in the data plane.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request and its response ended.
    Exchange(Box<Exchange>),
    /// A connection that carried no HTTP ended, or failed before it could carry any.
    Connection(Box<Connection>),
    /// The packet filter refused a packet, or would refuse it.
    Packet(Box<Packet>),
    /// A rule refused the copy of a call for a mirror.
    Copy(Box<RefusedCopy>),
    /// Something happened between this proxy and an upstream.
    Upstream {
        /// Cluster in Envoy's form: `outbound|8080||host`.
        cluster: Arc<str>,
        /// What happened.
        change: UpstreamChange,
    },
}

/// What can happen between this proxy and an upstream; each is a counter or moves a gauge of `envoy_cluster_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamChange {
    /// A connection was made.
    Opened,
    /// A connection ended.
    Closed,
    /// A connection could not be made.
    ConnectFailed,
    /// A connection was not made in time.
    ConnectTimeout,
    /// The TLS handshake failed, or the peer was not who it should be.
    TlsFailed,
    /// A connection or a request was refused because a pool limit was reached.
    Overflow,
    /// A request was tried again.
    Retried,
    /// A request was not answered in time.
    TimedOut,
    /// A mirror answered a copy of a request.
    Mirrored,
    /// A copy was not made, or the mirror did not answer it; one that a rule refused is an event of its own.
    NotMirrored,
    /// An endpoint was ejected.
    Ejected,
    /// An ejected endpoint came back.
    Restored,
}

/// One request with its response, as it was when it ended.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The call's name.
    pub id: CallId,
    /// When the head was complete.
    pub started: Timestamp,
    /// From there to the end of the response.
    pub duration: Millis,
    /// The listener's role.
    pub role: Role,
    /// Namespace and name of the workload whose listener took it.
    pub workload: Arc<str>,
    /// HTTP version of the client.
    pub version: Version,
    /// Method.
    pub method: Bytes,
    /// Target as sent.
    pub target: Bytes,
    /// Authority as sent.
    pub authority: Bytes,
    /// Selected request fields for the access log; credentials are redacted by telemetry.
    pub request_fields: crate::Fields,
    /// Selected response fields.
    pub response_fields: crate::Fields,
    /// Status sent to the client; 0 when none was.
    pub status: u16,
    /// Envoy's response flags, joined with `,`; `-` for none.
    pub flags: &'static str,
    /// The layer and reason that decided, as text already rendered (policy name and rule index).
    pub refused: Option<(Layer, Reason)>,
    /// `response_code_details` as Envoy would say it.
    pub details: Arc<str>,
    /// Body bytes from the client.
    pub received: u64,
    /// Body bytes to the client.
    pub sent: u64,
    /// Direct peer.
    pub peer: SocketAddr,
    /// Its proved identity.
    pub peer_identity: Option<SpiffeId>,
    /// Client address.
    pub client: IpAddr,
    /// Local end, as the manifests name it.
    pub local: SocketAddr,
    /// Server name of the TLS connection.
    pub server_name: Option<Box<str>>,
    /// Route that was taken (name of the VirtualService or Kong route).
    pub route: Arc<str>,
    /// Cluster in Envoy's form: `outbound|8080||host`.
    pub cluster: Arc<str>,
    /// Address of the upstream that answered.
    pub upstream: Option<SocketAddr>,
    /// Local end of the connection to it.
    pub upstream_local: Option<SocketAddr>,
    /// Milliseconds until the upstream's head came.
    pub upstream_time: Option<Millis>,
    /// Kong service and consumer, when the gateway routed it.
    pub gateway: Option<(Arc<str>, Arc<str>)>,
    /// What every layer said, in order.
    pub trace: crate::Trace,
    /// What the firewall found, if it found anything.
    pub inspected: Option<Box<Inspected>>,
    /// Its place in a trace, when it is traced.
    pub span: Option<Box<Span>>,
    /// The World that decided: it names the rules above, also when another one is in force by now.
    pub decided: Option<Decided>,
}

/// A call's place in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The trace.
    pub trace: u128,
    /// This call.
    pub id: u64,
    /// What it is a part of.
    pub parent: Option<u64>,
}

/// A World, as the shell knows it that made it.
#[derive(Clone)]
pub struct Decided(pub Arc<dyn Any + Send + Sync>);

impl fmt::Debug for Decided {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Decided")
    }
}

/// What a web application firewall found in one request and its response. Values are as they came: telemetry redacts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    /// The rules that matched, in order.
    pub matches: Vec<RuleMatch>,
    /// Anomaly score of the request.
    pub inbound: i64,
    /// Anomaly score of the response.
    pub outbound: i64,
    /// The audit record as one line of JSON, when the rule set keeps one.
    pub audit: Option<String>,
}

/// A rule of a firewall that matched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleMatch {
    /// Its id.
    pub id: u64,
    /// Phase, 1 to 5.
    pub phase: u8,
    /// What it looked at last, such as `ARGS:q`.
    pub variable: String,
    /// That value after the transformations, bounded.
    pub value: String,
    /// Message.
    pub message: String,
    /// Log data.
    pub data: String,
    /// 0 (emergency) to 7 (debug).
    pub severity: Option<u8>,
    /// What it added to anomaly scores.
    pub score: i64,
    /// Tags.
    pub tags: Vec<String>,
    /// Version of the rule.
    pub version: String,
    /// Rule file.
    pub file: String,
    /// Line in it.
    pub line: u32,
    /// Whether it goes to the error log, and to the audit log.
    pub logged: bool,
    /// Whether it goes to the audit log.
    pub audited: bool,
    /// Whether it is the one that refused.
    pub refused: bool,
}

impl fmt::Display for RuleMatch {
    /// As ModSecurity writes it to an error log; what would end a value or the line is escaped.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.refused { "Access denied." } else { "Warning." };
        write!(out, "ModSecurity: {verdict} [file \"{}\"] [line \"{}\"] [id \"{}\"]", self.file, self.line, self.id)?;
        write!(out, " [msg \"{}\"] [data \"{}\"]", Quoted(&self.message), Quoted(&self.data))?;
        if let Some(severity) = self.severity {
            write!(out, " [severity \"{severity}\"]")?;
        }
        write!(out, " [ver \"{}\"]", self.version)?;
        self.tags.iter().try_for_each(|tag| write!(out, " [tag \"{}\"]", Quoted(tag)))
    }
}

struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '"' => out.write_str("\\\""),
            c if c.is_control() => write!(out, "\\x{:02x}", u32::from(c)),
            c => write!(out, "{c}"),
        })
    }
}

/// A connection without HTTP: TCP, TLS passthrough, or one that failed.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Names it, so that `explain` finds it.
    pub id: CallId,
    /// When it was accepted.
    pub started: Timestamp,
    /// How long it lived.
    pub duration: Millis,
    /// The listener's role.
    pub role: Role,
    /// Namespace and name of the workload whose listener took it.
    pub workload: Arc<str>,
    /// Direct peer.
    pub peer: SocketAddr,
    /// Its proved identity.
    pub peer_identity: Option<SpiffeId>,
    /// Server name asked for.
    pub server_name: Option<Box<str>>,
    /// Layer and rule that ended it, if one did.
    pub refused: Option<(Layer, Reason)>,
    /// Text of the failure, such as a certificate chain's fault.
    pub failure: Option<Arc<str>>,
    /// Cluster in Envoy's form.
    pub cluster: Arc<str>,
    /// Bytes from the client.
    pub received: u64,
    /// Bytes to the client.
    pub sent: u64,
}

/// A packet that the packet filter spoke of; it tells only so many a second of each rule.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Names it, so that `explain` finds it.
    pub id: CallId,
    /// When it was told.
    pub seen: Timestamp,
    /// What became of it.
    pub fate: PacketFate,
    /// Which part of the filter spoke: `egress`, `ingress`, `blocklist`, `flood`, `spoofing`, `unknown`.
    pub part: &'static str,
    /// The rule as the filter names it.
    pub rule: Box<str>,
    /// Who sent it.
    pub source: IpAddr,
    /// Who was to get it.
    pub destination: IpAddr,
    /// Namespace and name of both, or their addresses.
    pub workloads: (Box<str>, Box<str>),
    /// IP protocol number.
    pub protocol: u8,
    /// Source and destination port, where it has ports.
    pub ports: Option<(u16, u16)>,
}

/// A copy of a call that was not sent, because a rule refuses it. The call itself went on.
#[derive(Clone, Debug)]
pub struct RefusedCopy {
    /// The call's name.
    pub id: CallId,
    /// When the call came.
    pub started: Timestamp,
    /// The role of the listener that took the call.
    pub role: Role,
    /// Namespace and name of that listener's workload.
    pub workload: Arc<str>,
    /// The mirror's cluster in Envoy's form.
    pub cluster: Arc<str>,
    /// The layer and the rule.
    pub refused: (Layer, Reason),
    /// The World that decided.
    pub decided: Option<Decided>,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketFate {
    /// It was dropped.
    Dropped,
    /// It went on; a policy in audit mode would drop it.
    WouldDrop,
}
