//! What the engine asks of the page, and what it gets: the only door between connections and policy.
//!
//! In: a connection's or a call's facts. Out: [`Outcome`]. Never: sockets. The page (`wall`) is fitted to this trait by
//! the binary; tests fit their own.

use crate::message::{Body, Response};
pub use crate::pool::Open;
use bytes::Bytes;
use ringwall_head::tracing::Sampling;
use ringwall_model::event::Decided;
use ringwall_model::{
    Call, CallId, FieldEdit, Fields, Inspected, Layer, Listener, Millis, Peer, Reason, Reply, SpiffeId, Timestamp,
    Trace, WorkloadId,
};
use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

/// A future that stays on its thread.
pub type Local<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Boxes what `make` makes. It is made in its place: `Box::pin` would copy it there, for futures kilobytes a call.
pub fn boxed<T>(make: impl FnOnce() -> T) -> Pin<Box<T>> {
    let place = Box::new_uninit();
    Box::into_pin(Box::write(place, make()))
}

/// Policy, as the engine asks it. Each method looks at the newest World once.
pub trait Page: Send + Sync + 'static {
    /// May this connection be opened? Asked before a byte is read; `peer` is the socket's other end.
    fn arrive(&self, listener: &Listener, peer: SocketAddr) -> Arrival;

    /// Asked again, once a trusted PROXY protocol header named the real peer.
    fn arrive_behind(&self, listener: &Listener, peer: SocketAddr) -> Arrival {
        self.arrive(listener, peer)
    }

    /// Which listener a connection is for that was intercepted on its way to `original` and came to this door instead;
    /// `None`: it is for none, and ends here.
    fn meant(&self, door: &Listener, original: SocketAddr) -> Option<Arc<Listener>> {
        let _ = (door, original);
        None
    }

    /// How a connection to this listener begins.
    fn opening(&self, listener: &Listener) -> Opening;

    /// What to do with a TLS connection that asks for this server name; for [`Opening::Named`] only.
    fn server(&self, listener: &Listener, server_name: Option<&str>) -> Server;

    /// How heads are read here.
    fn reading(&self, listener: &Listener) -> Reading;

    /// One request through every layer. May change the call, and may hold its body.
    fn request<'a>(&'a self, listener: &'a Listener, call: &'a mut Call, body: &'a mut Body) -> Local<'a, Outcome>;

    /// Whether a call that was admitted earlier, and whose answer still goes on, would be admitted now. Commits nothing,
    /// and judges no content: that has gone by.
    fn standing<'a>(&'a self, listener: &'a Listener, call: &'a mut Call) -> Local<'a, Result<(), (Layer, Reason)>> {
        let _ = (listener, call);
        Box::pin(std::future::ready(Ok(())))
    }

    /// The same for a connection without HTTP.
    fn standing_connection<'a>(
        &'a self,
        listener: &'a Listener,
        peer: &'a Peer,
    ) -> Local<'a, Result<(), (Layer, Reason)>> {
        Box::pin(async move { self.connection(listener, peer).await.map(drop) })
    }

    /// The response to an admitted call, before its head goes to the client; `None`: nobody looks at it.
    fn response<'a>(
        &'a self,
        listener: &'a Listener,
        call: &'a Call,
        admitted: &'a Admitted,
        response: &'a mut Response,
    ) -> Option<Local<'a, Result<(), Refused>>> {
        let _ = (listener, call, admitted, response);
        None
    }

    /// Judges the messages of an admitted call's stream one by one; `None`: they pass unread.
    fn messages(&self, call: &Call, admitted: &Admitted, kind: MessageKind) -> Option<Rc<dyn Messages>> {
        let _ = (call, admitted, kind);
        None
    }

    /// A connection that carries no HTTP the engine may read: TCP, or TLS that is passed on unopened.
    fn connection<'a>(&'a self, listener: &'a Listener, peer: &'a Peer) -> Local<'a, Result<Way, (Layer, Reason)>>;

    /// What became of a place, for outlier detection.
    fn observed(&self, upstream: &Upstream, to: &Place, answer: Answer) {
        let _ = (upstream, to, answer);
    }

    /// Which of the places to try, given those that were tried already; `None` when none is left.
    fn choose(&self, upstream: &Upstream, tried: &[Arc<Place>], draw: Draw) -> Option<Arc<Place>> {
        let left: Vec<&Arc<Place>> = upstream.places.iter().filter(|one| !tried.contains(one)).collect();
        let from = if left.is_empty() { upstream.places.iter().collect() } else { left };
        let place = usize::try_from(draw.dice % (from.len().max(1) as u64)).unwrap_or(0);
        from.get(place).map(|one| (*one).clone())
    }

    /// `namespace/name` of a workload, for events.
    fn workload(&self, id: WorkloadId) -> Arc<str>;
}

/// What the messages of a stream are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// What a WebSocket's client says.
    WebSocket,
    /// What its server says.
    WebSocketAnswer,
    /// A server-sent event, from the service.
    Event,
    /// A message of gRPC with its prefix, from the client.
    Grpc,
    /// The same, from the service.
    GrpcAnswer,
}

/// What the page will say of a message: nothing, or the layer and rule that refuse it.
pub type Verdict = Local<'static, Result<(), (Layer, Reason)>>;

/// How a message of a WebSocket is meant (RFC 6455 section 5.6); messages of other streams are text here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// UTF-8.
    Text,
    /// In a format of the application's own.
    Binary,
}

/// What becomes of binary messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// They are judged.
    Judge,
    /// This layer and rule refuse them.
    Refuse((Layer, Reason)),
    /// They pass, and nobody looks at them.
    Pass,
}

/// What becomes of a stream that comes compressed.
pub enum Coded {
    /// It is not.
    Plain,
    /// This undoes it; it goes on as it was read.
    Read(Box<dyn Decode>),
    /// It cannot be read: this layer and rule refuse it.
    Refuse((Layer, Reason)),
    /// It cannot be read, and passes.
    Pass,
}

/// Undoes a content coding, part by part.
pub trait Decode {
    /// Adds what the input says to `out`, at most about `most` bytes, and tells how much of the input was used. When
    /// nothing was used and nothing made, it needs more. `None`: the input is not what the coding says.
    fn read(&mut self, input: &[u8], out: &mut Vec<u8>, most: usize) -> Option<usize>;
}

/// Judges messages of one stream.
pub trait Messages {
    /// Judges one message; it waits meanwhile, and with it what comes after it.
    fn judge(&self, message: Bytes, form: Form) -> Verdict;

    /// What becomes of binary messages.
    fn binary(&self) -> Binary;

    /// What becomes of a stream with that `Content-Encoding`.
    fn coded(&self, codings: &[u8]) -> Coded;

    /// The layer and rule that refuse a stream that breaks the coding it claims.
    fn unreadable(&self) -> (Layer, Reason);

    /// The longest message, in bytes.
    fn longest(&self) -> usize;

    /// The layer and rule that refuse a longer one.
    fn too_long(&self) -> (Layer, Reason);
}

/// Whether a connection may be opened.
pub enum Arrival {
    /// It may. The guard is kept as long as it lives, and so counts it.
    Admit {
        /// Kept until the connection ends.
        guard: Option<Box<dyn Any>>,
        /// Whether a PROXY protocol header must come first (the peer is a trusted balancer).
        proxy_header: ProxyHeader,
    },
    /// It is closed after a while.
    Refuse {
        /// The layer that refuses.
        layer: Layer,
        /// The rule.
        because: Reason,
        /// How long to keep the socket before closing it.
        delay: Millis,
        /// Kept while waiting.
        guard: Option<Box<dyn Any>>,
    },
}

/// Whether the PROXY protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// No: what looks like one is the client's own bytes.
    Absent,
    /// Yes: a connection without one is refused.
    Required,
}

/// How a connection begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// In clear.
    Clear,
    /// TLS; the server name says which server.
    Named,
    /// Mutual TLS of the mesh only (STRICT).
    Strict {
        /// Whose SVID the server shows.
        identity: SpiffeId,
    },
    /// Mutual TLS of the mesh, or clear (PERMISSIVE).
    Permissive {
        /// Whose SVID the server shows.
        identity: SpiffeId,
    },
}

/// The server that a TLS client named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Server {
    /// TLS ends here, with the named credential.
    Terminate {
        /// Name in [`crate::tls::Credentials`]: the Secret, `namespace/name`.
        credential: Arc<str>,
        /// Lowest TLS version.
        floor: Floor,
        /// Whether the client must show a certificate.
        client: ClientCertificate,
    },
    /// TLS is passed on unopened.
    PassThrough,
    /// There is no such server: alert `unrecognized_name`.
    Unknown,
}

/// Lowest TLS version of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Floor {
    /// TLS 1.2
    Tls12,
    /// TLS 1.3
    Tls13,
}

/// Whether a TLS client must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientCertificate {
    /// It is not asked for one (`SIMPLE`).
    NotAsked,
    /// It must show one that the credential's authority signed (`MUTUAL`).
    Required,
}

/// How heads are read at a listener.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The World's settings for the strict head reader.
    pub settings: Arc<ringwall_head::Settings>,
    /// Largest request body the engine takes at all, in bytes.
    pub body_limit: u64,
    /// How many calls are traced; `None`: none, and the next hop is told nothing of it.
    pub tracing: Option<Sampling>,
}

/// What the page says of a request.
pub enum Outcome {
    /// It may go upstream.
    Admitted(Box<Admitted>),
    /// It ends here.
    Refused(Box<Refused>),
}

/// A refusal, whole.
#[derive(Debug)]
pub struct Refused {
    /// What the client gets.
    pub reply: Reply,
    /// The layer and rule; `None` for an answer that is no refusal, such as a redirect or a direct response.
    pub because: Option<(Layer, Reason)>,
    /// `response_code_details` as Envoy would say it.
    pub details: Arc<str>,
    /// Envoy's response flag; `-` for none.
    pub flag: &'static str,
    /// Changes to the reply's fields.
    pub edits: Vec<FieldEdit>,
    /// Hold the reply back so long.
    pub delay: Option<Millis>,
    /// What the access log says of the route.
    pub labels: Labels,
    /// What the layers said.
    pub trace: Trace,
    /// The World that said it.
    pub decided: Option<Decided>,
    /// What the firewall found, if it found anything.
    pub inspected: Option<Box<Inspected>>,
}

/// The witness that every layer of the page let this call pass. `forward.rs` sends nothing without one.
#[derive(Debug)]
pub struct Admitted {
    /// Where it goes and how.
    pub upstream: Arc<Upstream>,
    /// What sends calls that are alike to the same place; `None` where the cluster does not ask for it.
    pub affinity: Option<u64>,
    /// Copies of it, whose answers nobody waits for.
    pub mirrors: Vec<Mirror>,
    /// Changes to the response's fields.
    pub response_edits: Vec<FieldEdit>,
    /// The longest request body.
    pub body_limit: Option<u64>,
    /// When the token that it was admitted with expires: it is judged again then.
    pub expires: Option<Timestamp>,
    /// Hold the call back so long before it goes on.
    pub delay: Option<Millis>,
    /// What the access log says of the route.
    pub labels: Labels,
    /// What the layers said.
    pub trace: Trace,
    /// The World that said it.
    pub decided: Option<Decided>,
    /// The page's own admission, which only the page can make.
    pub witness: Witness,
}

/// A copy of an admitted call, for a mirror.
#[derive(Debug)]
pub enum Mirror {
    /// It is sent.
    To {
        /// Where it goes and how.
        upstream: Arc<Upstream>,
        /// What is copied; `None`: the call as it goes on.
        call: Option<Box<Call>>,
    },
    /// A rule refuses it.
    Refused {
        /// The mirror's cluster in Envoy's form.
        cluster: Arc<str>,
        /// The layer and the rule.
        by: (Layer, Reason),
    },
}

/// The page's own admission, shared by a call and its record.
pub type Witness = Rc<RefCell<dyn Carried>>;

/// What the page carries from request to response.
pub trait Carried: Any + std::fmt::Debug {
    /// What the firewall found in the exchange, told once, when its response is known or will not come.
    fn told(&mut self, id: CallId) -> Option<Box<Inspected>>;
}

/// Where a connection without HTTP goes.
#[derive(Debug)]
pub struct Way {
    /// Where it goes and how.
    pub upstream: Arc<Upstream>,
    /// As [`Admitted::affinity`].
    pub affinity: Option<u64>,
}

/// What a place is drawn with.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// Random bits.
    pub dice: u64,
    /// As [`Admitted::affinity`].
    pub affinity: Option<u64>,
}

/// Names for events.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// Route.
    pub route: Option<Arc<str>>,
    /// Kong service and consumer.
    pub gateway: Option<(Arc<str>, Arc<str>)>,
    /// Request fields that the access log keeps.
    pub fields: Fields,
}

/// Where a call goes and how. Made once for many calls.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Cluster in Envoy's form; names the limits and the metrics.
    pub cluster: Arc<str>,
    /// Where it can be reached.
    pub places: Arc<[Arc<Place>]>,
    /// From the head to the end of the response; `None` for no limit.
    pub timeout: Option<Millis>,
    /// For one try.
    pub per_try: Option<Millis>,
    /// How often to try again.
    pub retries: u32,
    /// After what to try again.
    pub retry_on: RetryOn,
    /// For one connection to be opened.
    pub connect_timeout: Millis,
    /// Limits of the pool.
    pub limits: PoolLimits,
    /// What is open towards it; the engine's.
    pub open: Open,
    /// What the page keeps of it, such as the health of its places.
    pub kept: Option<Arc<dyn Kept>>,
}

/// What the page keeps of an upstream.
pub trait Kept: Any + Send + Sync + std::fmt::Debug {}

impl Upstream {
    /// One place in clear text with the defaults of Istio: 10 s to connect, 2 retries, no timeout.
    pub fn plain(cluster: &str, endpoint: SocketAddr) -> Self {
        let cluster: Arc<str> = cluster.into();
        let place = Place::plain(cluster.clone(), Destination::Address(endpoint));
        Self {
            cluster,
            places: Arc::new([Arc::new(place)]),
            timeout: None,
            per_try: None,
            retries: 2,
            retry_on: RetryOn::default(),
            connect_timeout: Millis::seconds(10),
            limits: PoolLimits::default(),
            open: Open::default(),
            kept: None,
        }
    }

    /// The same upstream, each of its places changed.
    #[must_use]
    pub fn with_places(mut self, change: impl Fn(&Place) -> Place) -> Self {
        self.places = self.places.iter().map(|place| Arc::new(change(place))).collect();
        self
    }
}

/// One place to send to, and how: what two requests must share to share a connection.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where.
    pub to: Destination,
    /// The cluster that it belongs to.
    pub cluster: Arc<str>,
    /// The workload that calls, `namespace/name`: whose network and whose SVID. Numbers of workloads change with the
    /// World, connections live on.
    pub caller: Arc<str>,
    /// TLS on this hop.
    pub tls: UpstreamTls,
    /// HTTP version on this hop.
    pub speaks: Speaks,
}

impl Place {
    /// HTTP/1.1 in clear text.
    pub fn plain(cluster: Arc<str>, to: Destination) -> Self {
        let (tls, speaks) = (UpstreamTls::Clear, Speaks::Http1);
        Self { to, cluster, caller: "".into(), tls, speaks }
    }
}

/// INVARIANT: a connection is only given to a request with the same destination, TLS and source. The source counts by
/// its name.
impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.speaks == other.speaks
            && self.to == other.to
            && self.cluster == other.cluster
            && self.caller == other.caller
            && self.tls == other.tls
    }
}

impl Eq for Place {}

/// One place to send to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// An address of the manifests; [`crate::engine::Dial`] knows where it really is.
    Address(SocketAddr),
    /// A name to be resolved.
    Name(Arc<str>, u16),
}

/// TLS towards an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamTls {
    /// None.
    Clear,
    /// The hop is one of mutual TLS, and its source has no identity to show: nothing is sent.
    Unproven,
    /// Mutual TLS of the mesh: the source's SVID, and a server that is one of these.
    Mesh {
        /// Whose SVID the client shows.
        identity: SpiffeId,
        /// Who may answer; empty lets any identity of the trust domain answer.
        expected: Arc<[SpiffeId]>,
        /// Server name to send (`outbound_.8080_._.host`).
        server_name: Arc<str>,
    },
    /// TLS as browsers do it.
    Simple {
        /// Name to send and to verify.
        server_name: Arc<str>,
        /// Name of the authority bundle in the credentials; `None` for the system's roots.
        authorities: Option<Arc<str>>,
        /// Name of the client's own credential, for `MUTUAL`.
        credential: Option<Arc<str>>,
    },
}

/// HTTP version towards an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Speaks {
    /// HTTP/1.1
    Http1,
    /// HTTP/2: by ALPN under TLS, with prior knowledge in clear.
    Http2,
}

/// After what a call may be tried again (Envoy's `retry_on`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryOn {
    /// The connection could not be opened, or the server refused the stream: nothing was done yet.
    pub connect_failure: bool,
    /// The connection broke before a response head came.
    pub reset: bool,
    /// Any status of 500 and above.
    pub server_error: bool,
    /// 502, 503 and 504.
    pub gateway_error: bool,
    /// 409.
    pub conflict: bool,
    /// These statuses.
    pub statuses: Vec<u16>,
}

impl Default for RetryOn {
    /// Istio's default: `connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes` with 503.
    fn default() -> Self {
        Self {
            connect_failure: true,
            reset: false,
            server_error: false,
            gateway_error: false,
            conflict: false,
            statuses: vec![503],
        }
    }
}

impl RetryOn {
    /// Whether this status asks for another try.
    pub fn names(&self, status: u16) -> bool {
        (self.server_error && status >= 500)
            || (self.gateway_error && matches!(status, 502..=504))
            || (self.conflict && status == 409)
            || self.statuses.contains(&status)
    }
}

/// Limits of one cluster's pool, over all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Open connections (`maxConnections`).
    pub connections: u32,
    /// Requests at one time (`http2MaxRequests`).
    pub requests: u32,
    /// Requests on one connection before it is closed (`maxRequestsPerConnection`); 0 for no limit.
    pub per_connection: u32,
    /// How long an idle connection is kept.
    pub idle: Millis,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { connections: u32::MAX, requests: u32::MAX, per_connection: 0, idle: Millis::seconds(60) }
    }
}

/// What became of one try, for outlier detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It answered with this status after this long.
    Status(u16, Millis),
    /// It could not be reached or broke off: counts as a gateway error of local origin.
    Failed(Timestamp),
}
