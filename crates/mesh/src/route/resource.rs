//! The routing resources as they are meant: what lowering makes of Gateway, VirtualService and Sidecar documents.
//!
//! In: nothing (filled by `manifest::istio`). Out: [`Gateway`], [`VirtualService`], [`Declared`]. Never: a decision.
//! Follows istio/api `networking/v1`.

use super::{HeaderOps, HttpMatch, Retries, Rewrite};
use crate::egress::{ExportTo, OutboundMode, Sidecar};
use crate::upstream::DestinationRule;
use bytes::Bytes;
use ringwall_model::{Host, Millis, Place, Protocol, RuleId, Selector};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All routing resources of one World, before they are put together by [`super::Routes::compile`].
#[derive(Clone, Debug, Default)]
pub struct Declared {
    /// Gateways.
    pub gateways: Vec<Gateway>,
    /// VirtualServices, delegates included.
    pub virtual_services: Vec<VirtualService>,
    /// DestinationRules.
    pub destination_rules: Vec<DestinationRule>,
    /// Sidecars.
    pub sidecars: Vec<Sidecar>,
    /// To which namespaces the services of ServiceEntries are visible, by host; a missing host is visible to all.
    pub exports: BTreeMap<Host, ExportTo>,
    /// What becomes of calls to hosts that nothing declares, where no Sidecar says otherwise.
    pub outbound: OutboundMode,
    /// Whether mutual TLS is spoken without a rule.
    pub auto_mtls: crate::upstream::AutoMtls,
}

/// Which resource something is, and how old: the older one wins where Istio lets the older one win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Namespace.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
    /// `metadata.creationTimestamp`, RFC 3339 in UTC, so that text order is time order.
    pub created: Option<Box<str>>,
    /// The rule that stands for the whole resource.
    pub rule: RuleId,
    /// Where it stands.
    pub place: Place,
}

impl Origin {
    /// Sorts as Istio does: by creation, then by `name.namespace`. What was never created (a file) is newest.
    pub fn age(&self) -> (bool, Option<&str>, &str, &str) {
        (self.created.is_none(), self.created.as_deref(), &self.name, &self.namespace)
    }

    /// `namespace/name`
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// A Gateway.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Which resource.
    pub origin: Origin,
    /// Labels of the gateway workloads, in all namespaces.
    pub selector: Selector,
    /// Its servers.
    pub servers: Vec<Server>,
}

/// One server of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The rule that stands for it.
    pub rule: RuleId,
    /// Where it stands.
    pub place: Place,
    /// Port number as written: the Service's port of the gateway, or the workload's own.
    pub port: u16,
    /// Name of the port.
    pub port_name: Box<str>,
    /// What is spoken. `Tls` with a mode other than pass-through means bytes behind TLS that ends here.
    pub protocol: Protocol,
    /// Hosts that it serves.
    pub hosts: Vec<ServerHost>,
    /// TLS of the server; `None` on plaintext ports.
    pub tls: Option<Arc<ServerTls>>,
    /// What happens to plaintext HTTP.
    pub plaintext: Plaintext,
}

/// Whether plaintext calls are served or sent to HTTPS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plaintext {
    /// Served.
    #[default]
    Serve,
    /// 301 to the same address with `https` (`tls.httpsRedirect`).
    Redirect,
}

/// A host of a server: `[namespace/]dns`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHost {
    /// VirtualServices of this namespace only may bind to it; `None` is `*`, any namespace.
    pub namespace: Option<Box<str>>,
    /// DNS name, perhaps with a leading `*`; `*` alone is any.
    pub host: Host,
}

/// How TLS is spoken on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// Mode.
    pub mode: TlsMode,
    /// Name of the secret with certificate and key.
    pub credential: Option<Arc<str>>,
    /// Paths of certificate, key and client CA in files, when no credential is named.
    pub files: CertificateFiles,
    /// Lowest version; TLS 1.2 when nothing is said.
    pub min: TlsVersion,
    /// Highest version; TLS 1.3 when nothing is said.
    pub max: TlsVersion,
    /// Cipher suites in order; empty means the defaults. TLS 1.3 suites are honoured.
    pub ciphers: Vec<Box<str>>,
    /// Names of which the client certificate must have one; empty means any verified client (MUTUAL).
    pub subject_alt_names: Vec<Box<str>>,
}

/// Certificate files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateFiles {
    /// Certificate chain.
    pub certificate: Option<Arc<str>>,
    /// Private key.
    pub key: Option<Arc<str>>,
    /// Certificate authorities for the peer.
    pub authorities: Option<Arc<str>>,
}

/// TLS mode of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Server certificate.
    Simple,
    /// Server certificate, and one of the client is required.
    Mutual,
    /// A client certificate is asked for and need not be there.
    OptionalMutual,
    /// The mesh's own certificates on both sides.
    IstioMutual,
    /// TLS is not opened; the server name chooses the VirtualService's `tls` route.
    Passthrough,
    /// TLS is not opened; the server name is itself the address (`outbound_.port_.subset_.host`).
    AutoPassthrough,
}

/// TLS version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2
    V12,
    /// TLS 1.3
    V13,
}

/// A VirtualService.
#[derive(Clone, Debug)]
pub struct VirtualService {
    /// Which resource.
    pub origin: Origin,
    /// Hosts, as names of the mesh (short names already completed). Empty: it is a delegate.
    pub hosts: Vec<Host>,
    /// Gateways as `namespace/name`, or `mesh`.
    pub gateways: Vec<Box<str>>,
    /// To whom it is visible.
    pub export_to: ExportTo,
    /// HTTP routes.
    pub http: Vec<HttpRoute>,
    /// Routes by server name.
    pub tls: Vec<TlsRoute>,
    /// Routes of plain TCP.
    pub tcp: Vec<TcpRoute>,
}

/// One HTTP route.
#[derive(Clone, Debug)]
pub struct HttpRoute {
    /// The rule that stands for it.
    pub rule: RuleId,
    /// Where it stands.
    pub place: Place,
    /// Its name; empty when it has none.
    pub name: Arc<str>,
    /// Any of these must match; none at all matches every call.
    pub matches: Vec<HttpMatch>,
    /// What happens.
    pub action: Action,
    /// Header operations of the route.
    pub headers: HeaderOps,
    /// Rewriting of path and authority.
    pub rewrite: Option<Rewrite>,
    /// Whole time for the answer; `None` is none.
    pub timeout: Option<Millis>,
    /// Retries; `None` is the mesh's default.
    pub retries: Option<Arc<Retries>>,
    /// Faults on purpose.
    pub fault: Option<Arc<Fault>>,
    /// Copies.
    pub mirrors: Vec<Mirror>,
    /// Cross-origin policy.
    pub cors: Option<Arc<super::cors::Cors>>,
}

/// What a route does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Goes to one of these, by weight.
    Forward(Vec<Weighted>),
    /// Answers with a redirect.
    Redirect(Redirect),
    /// Answers itself.
    Respond(DirectResponse),
    /// The routes of another VirtualService, as namespace and name.
    Delegate {
        /// Its namespace.
        namespace: Box<str>,
        /// Its name.
        name: Box<str>,
    },
}

/// A destination with its share.
#[derive(Clone, Debug)]
pub struct Weighted {
    /// Where to.
    pub destination: Destination,
    /// Share of the sum of all weights.
    pub weight: u32,
    /// Header operations of the destination.
    pub headers: HeaderOps,
}

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Host, short names completed.
    pub host: Host,
    /// Port; `None` is the service's only one.
    pub port: Option<u16>,
    /// Subset of a DestinationRule.
    pub subset: Option<Arc<str>>,
    /// Where it stands.
    pub place: Place,
}

/// A redirect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redirect {
    /// New path (and query, if it has one); the call's own when absent.
    pub uri: Option<Bytes>,
    /// New authority.
    pub authority: Option<Bytes>,
    /// Which port the address has.
    pub port: RedirectPort,
    /// New scheme.
    pub scheme: Option<Box<str>>,
    /// Status: 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// The port of a redirect's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RedirectPort {
    /// The scheme's default: none is written.
    #[default]
    ProtocolDefault,
    /// The one the request came in on.
    OfRequest,
    /// This one.
    Number(u16),
}

/// An answer of the route itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectResponse {
    /// Status.
    pub status: u16,
    /// Body.
    pub body: Bytes,
}

/// Faults on purpose. A percentage that is absent is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// How long, and how many calls of a million.
    pub delay: Option<(Millis, u32)>,
    /// Which status, and how many calls of a million.
    pub abort: Option<(Abort, u32)>,
}

/// How a call is aborted on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// With this HTTP status.
    Http(u16),
    /// With this gRPC status.
    Grpc(u16),
}

/// A copy of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Where to.
    pub destination: Destination,
    /// How many calls of a million; all when nothing was said.
    pub share: u32,
}

/// A route by server name.
#[derive(Clone, Debug)]
pub struct TlsRoute {
    /// The rule that stands for it.
    pub rule: RuleId,
    /// Any of these.
    pub matches: Vec<ConnectionMatch>,
    /// Destinations.
    pub route: Vec<Weighted>,
}

/// A route of TCP.
#[derive(Clone, Debug)]
pub struct TcpRoute {
    /// The rule that stands for it.
    pub rule: RuleId,
    /// Any of these; none at all matches every connection.
    pub matches: Vec<ConnectionMatch>,
    /// Destinations.
    pub route: Vec<Weighted>,
}

/// Conditions on a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionMatch {
    /// Server names, perhaps with a leading `*`; empty in TCP routes.
    pub sni_hosts: Vec<Host>,
    /// Addresses that the connection goes to; empty is any.
    pub destinations: Vec<ipnet::IpNet>,
    /// Port.
    pub port: Option<u16>,
    /// Who connects, and through what.
    pub source: SourceMatch,
}

/// Conditions on where a call is routed, known before any call comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceMatch {
    /// Labels of the client workload (mesh only).
    pub labels: Selector,
    /// Namespace of the client workload (mesh only).
    pub namespace: Option<Box<str>>,
    /// Gateways as `namespace/name`, or `mesh`, that override the VirtualService's; empty is those.
    pub gateways: Vec<Box<str>>,
}
