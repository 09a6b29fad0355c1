//! Routing: which destination a call, a TLS connection or a TCP connection goes to.
//!
//! In: [`Declared`] resources and the inventory, once; then calls. Out: [`Selection`] with the edits, timeouts and
//! retries of the chosen route. Never: a socket, a clock, a random number (`dice` is an argument).
//! Follows Istio's translation of Gateway, VirtualService and Sidecar for Envoy. Where a call has no route, the answer
//! is Envoy's: 404 `NR` in a known host, 502 for an unregistered one, 503 `NC` for a destination that does not exist.
//! Start reading at [`select`].

pub mod code;
mod compile;
pub mod connection;
pub mod cors;
pub mod hosts;
pub mod matching;
pub mod plan;
pub mod resource;
pub mod retry;
pub mod rewrite;
pub mod table;
pub mod template;

use crate::egress::{OutboundMode, UNREGISTERED};
use crate::upstream::AutoMtls;
use crate::upstream::rule::Rules;
use bytes::Bytes;
use hosts::{HostName, HostTable};
use ringwall_model::{
    Call, Edit, FieldEdit, Host, Inventory, Labels, Millis, Protocol, Reason, Reply, Scheme, ServiceId, SpiffeId,
    WorkloadId,
};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

pub use connection::{ConnectionChoice, ConnectionSelection, Target, tcp, tls};
pub use matching::{Case, HttpMatch, Pattern, StringMatch, UriMatch};
pub use resource::{
    Abort, Action, CertificateFiles, ConnectionMatch, Declared, Destination, DirectResponse, Fault, Gateway, HttpRoute,
    Mirror, Origin, Plaintext, Redirect, RedirectPort, Server, ServerHost, ServerTls, SourceMatch, TcpRoute, TlsMode,
    TlsRoute, TlsVersion, VirtualService, Weighted,
};
pub use retry::{Again, Outcome, Retries, RetryOn};
pub use rewrite::Rewrite;
pub use template::{BadTemplate, FieldOps, HeaderOps, Template};

use table::RouteTable;

/// Where a call is routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At<'a> {
    /// At a gateway workload, on one of its servers' ports.
    Gateway {
        /// The gateway.
        workload: WorkloadId,
        /// Port of the server as the Gateway writes it, or the workload's own port behind it.
        port: u16,
        /// Server name of the TLS connection.
        server_name: Option<&'a str>,
    },
    /// On the way out of a workload.
    Sidecar {
        /// The workload that calls.
        workload: WorkloadId,
        /// Host and port that the outbound listener stands for; `None`: the call's authority names them.
        target: Option<(&'a str, u16)>,
    },
}

/// What routing comes to.
#[derive(Clone, Debug)]
pub enum Selection {
    /// The call goes to a destination.
    Route(RouteChoice),
    /// The call is answered here: redirect, direct response, fault, preflight, or there is no route.
    Reply(RouteReply),
}

/// A chosen destination.
#[derive(Clone, Debug)]
pub struct RouteChoice {
    /// The VirtualService's route, or that no rule applies (the default route of a service).
    pub because: Reason,
    /// Name of the route as access logs have it; empty when it has none.
    pub name: Arc<str>,
    /// Host of the destination.
    pub host: Host,
    /// Port of the destination.
    pub port: u16,
    /// Subset of the destination.
    pub subset: Option<Arc<str>>,
    /// What the destination is.
    pub toward: Toward,
    /// Changes to the request.
    pub edits: Vec<Edit>,
    /// Changes to the response.
    pub response_edits: Vec<FieldEdit>,
    /// Whole time for the answer; `None` is none.
    pub timeout: Option<Millis>,
    /// Retries.
    pub retries: Arc<Retries>,
    /// A delay on purpose, before the call goes on.
    pub delay: Option<Millis>,
    /// Copies that go out beside the call; their answers are not waited for.
    pub mirrors: SmallVec<[MirrorChoice; 1]>,
}

/// Where a copy goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorChoice {
    /// Host.
    pub host: Host,
    /// Port.
    pub port: u16,
    /// Subset.
    pub subset: Option<Arc<str>>,
}

/// What a destination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toward {
    /// A service of the inventory.
    Service(ServiceId),
    /// An address that nothing declares, passed on as it was called (`PassthroughCluster`).
    Unregistered,
}

/// An answer that routing gives itself.
#[derive(Clone, Debug)]
pub struct RouteReply {
    /// The rule.
    pub because: Reason,
    /// Name of the route; empty when it has none.
    pub name: Arc<str>,
    /// The answer.
    pub reply: Reply,
    /// Changes to the response, as for answers of a destination.
    pub response_edits: Vec<FieldEdit>,
    /// A delay on purpose, before the answer.
    pub delay: Option<Millis>,
    /// Envoy's response flag: `NR`, `NC`, `FI`, or empty.
    pub flag: &'static str,
    /// Envoy's response code details.
    pub details: &'static str,
}

/// The built-in rule for a call that meets no route of a known host.
pub const NO_ROUTE: &str = "route/no-route";
/// The built-in rule for a destination that no service or subset declares.
pub const NO_UPSTREAM: &str = "route/unknown-destination";
/// The built-in rule for a call whose authority is missing or cannot be a name.
pub const NO_HOST: &str = "route/no-host";

/// All routing of one World.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    pub(crate) gateways: BTreeMap<WorkloadId, GatewayTable>,
    /// By [`WorkloadId`].
    pub(crate) clients: Vec<Client>,
    pub(crate) scopes: Vec<Scope>,
    /// By [`ServiceId`].
    pub(crate) services: Vec<KnownService>,
    /// Services by each name that means them everywhere: host, `name.namespace`, `name.namespace.svc`, address.
    pub(crate) names: HostTable<ServiceId>,
    /// Services by namespace and short name.
    pub(crate) short: BTreeMap<Box<str>, BTreeMap<Box<str>, ServiceId>>,
    pub(crate) rules: Rules,
    pub(crate) auto_mtls: AutoMtls,
    pub(crate) fixed: Fixed,
}

/// A workload as routing sees it.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub namespace: Box<str>,
    pub labels: Labels,
    /// Index into [`Routes::scopes`].
    pub scope: usize,
}

/// What workloads of one namespace (and Sidecar, and set of source labels) have in common on the way out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub hosts: HostTable<VirtualHost>,
    /// Services that are not visible, in order.
    pub hidden: Vec<ServiceId>,
    pub outbound: OutboundMode,
}

/// The routes of one host.
#[derive(Clone, Debug, Default)]
pub(crate) struct VirtualHost {
    pub http: RouteTable,
    pub tls: Vec<connection::Entry>,
    pub tcp: Vec<connection::Entry>,
}

/// The servers of one gateway workload.
#[derive(Clone, Debug, Default)]
pub(crate) struct GatewayTable {
    pub ports: BTreeMap<u16, GatewayPort>,
    /// Ports of the workload that stand behind a server's port.
    pub behind: BTreeMap<u16, u16>,
}

/// One port of a gateway.
#[derive(Clone, Debug, Default)]
pub(crate) struct GatewayPort {
    pub servers: Vec<Server>,
    /// Server by server name; on plaintext ports by authority.
    pub by_name: HostTable<usize>,
    /// By server on TLS ports; on plaintext ports all servers share the first.
    pub hosts: Vec<HostTable<VirtualHost>>,
}

/// A service as routing sees it.
#[derive(Clone, Debug)]
pub(crate) struct KnownService {
    pub namespace: Box<str>,
    pub host: Host,
    pub ports: Vec<(u16, Protocol)>,
    pub external: bool,
    pub identities: Arc<[SpiffeId]>,
}

/// Values that many choices share.
#[derive(Clone, Debug)]
pub(crate) struct Fixed {
    pub default_name: Arc<str>,
    pub passthrough: Arc<str>,
    pub block_all: Arc<str>,
    pub unnamed: Arc<str>,
    pub retries: Arc<Retries>,
}

impl Default for Fixed {
    fn default() -> Self {
        Self {
            default_name: "default".into(),
            passthrough: "allow_any".into(),
            block_all: "block_all".into(),
            unnamed: "".into(),
            retries: Arc::new(Retries::mesh_default()),
        }
    }
}

/// Chooses the route of a call. `dice` is 64 random bits; the same bits give the same choice.
/// Allocates only for the edits it returns.
pub fn select(routes: &Routes, at: At<'_>, call: &Call, dice: u64) -> Selection {
    match at {
        At::Gateway { workload, port, server_name } => at_gateway(routes, workload, port, server_name, call, dice),
        At::Sidecar { workload, target } => at_sidecar(routes, workload, target, call, dice),
    }
}

/// The answer of a gateway's own to `CONNECT`: that of the call's route, if the route names this method and answers
/// itself. Nothing else is done with the method at a gateway, so a route without a condition on it does not count.
pub fn connect(routes: &Routes, at: At<'_>, call: &Call, dice: u64) -> Option<RouteReply> {
    let At::Gateway { workload, port, server_name } = at else { return None };
    let (entry, number) = gateway_entry(routes, workload, port, server_name, call)?;
    let names_it = matches!(&entry.matching.method, Some(StringMatch::Exact(method)) if &**method == "CONNECT");
    match entry.plan.select(routes, entry, call, number, dice) {
        Selection::Reply(answer) if names_it && matches!(answer.because, Reason::Rule(_)) => Some(answer),
        _ => None,
    }
}

/// The entry that a gateway's server has for a call, whatever it does, and the server's port.
fn gateway_entry<'a>(
    routes: &'a Routes,
    workload: WorkloadId,
    port: u16,
    server_name: Option<&str>,
    call: &Call,
) -> Option<(&'a table::Entry, u16)> {
    let (name, _) = HostName::read(&call.authority)?;
    let (number, table) = routes.gateway_port(workload, port)?;
    let (index, _) = table.server(if table.is_tls() { server_name } else { Some(name.as_str()) })?;
    let hosts = table.hosts.get(if table.is_tls() { index } else { 0 })?;
    Some((hosts.find(name.as_str())?.http.find(call, number)?, number))
}

fn at_gateway(
    routes: &Routes,
    workload: WorkloadId,
    port: u16,
    server_name: Option<&str>,
    call: &Call,
    dice: u64,
) -> Selection {
    let Some((name, _)) = HostName::read(&call.authority) else { return no_host(routes) };
    let Some((number, table)) = routes.gateway_port(workload, port) else { return no_route(routes) };
    let server = table.server(if table.is_tls() { server_name } else { Some(name.as_str()) });
    let Some((index, server)) = server else { return no_route(routes) };
    if server.plaintext == Plaintext::Redirect && call.scheme == Scheme::Http {
        return to_https(routes, server, call);
    }
    let hosts = table.hosts.get(if table.is_tls() { index } else { 0 });
    let entry = hosts.and_then(|hosts| hosts.find(name.as_str())).and_then(|host| host.http.find(call, number));
    match entry {
        Some(entry) => entry.plan.select(routes, entry, call, number, dice),
        None => no_route(routes),
    }
}

fn at_sidecar(routes: &Routes, workload: WorkloadId, target: Option<(&str, u16)>, call: &Call, dice: u64) -> Selection {
    let read = match target {
        Some((host, port)) => HostName::read(host.as_bytes()).map(|(name, _)| (name, port)),
        None => HostName::read(&call.authority).map(|(name, port)| {
            let default = if call.scheme == Scheme::Https { 443 } else { 80 };
            (name, port.unwrap_or(default))
        }),
    };
    let Some((name, port)) = read else { return no_host(routes) };
    let Some(client) = routes.clients.get(workload.0 as usize) else { return no_route(routes) };
    let Some(scope) = routes.scopes.get(client.scope) else { return no_route(routes) };
    let service = routes.service_seen(client, scope, name.as_str());
    let host = service
        .map_or(name.as_str(), |(_, known)| if known.host.starts_with('*') { name.as_str() } else { &known.host });
    if let Some(virtual_host) = scope.hosts.find(host).filter(|found| !found.http.is_empty()) {
        return match virtual_host.http.find(call, port) {
            Some(entry) => entry.plan.select(routes, entry, call, port, dice),
            None => no_route(routes),
        };
    }
    match service {
        Some((id, known)) if known.ports.iter().any(|(number, _)| *number == port) => {
            // A call to a wildcard host keeps the name that was called.
            let host = if known.host.starts_with('*') { Arc::from(name.as_str()) } else { Arc::clone(&known.host) };
            Selection::Route(routes.plain_choice(&routes.fixed.default_name, host, port, Toward::Service(id)))
        }
        _ => unregistered(routes, scope, name.as_str(), port),
    }
}

fn unregistered(routes: &Routes, scope: &Scope, host: &str, port: u16) -> Selection {
    match scope.outbound {
        OutboundMode::AllowAny => {
            Selection::Route(routes.plain_choice(&routes.fixed.passthrough, host.into(), port, Toward::Unregistered))
        }
        OutboundMode::RegistryOnly => Selection::Reply(RouteReply {
            because: Reason::Builtin(UNREGISTERED),
            name: Arc::clone(&routes.fixed.block_all),
            reply: Reply::Http { status: 502, fields: Vec::new(), body: Bytes::new() },
            response_edits: Vec::new(),
            delay: None,
            flag: "",
            details: "direct_response",
        }),
    }
}

/// 301 to the same address with `https` (Envoy's `require_tls`).
fn to_https(routes: &Routes, server: &Server, call: &Call) -> Selection {
    let redirect = Redirect { scheme: Some("https".into()), status: 301, ..Redirect::default() };
    let fields = vec![("location", rewrite::location(&redirect, call))];
    Selection::Reply(RouteReply {
        because: Reason::Rule(server.rule),
        name: Arc::clone(&routes.fixed.unnamed),
        reply: Reply::Http { status: 301, fields, body: Bytes::new() },
        response_edits: Vec::new(),
        delay: None,
        flag: "",
        details: "direct_response",
    })
}

pub(crate) fn no_route(routes: &Routes) -> Selection {
    refusal(routes, NO_ROUTE, 404, "NR", "route_not_found")
}

fn no_host(routes: &Routes) -> Selection {
    refusal(routes, NO_HOST, 400, "DPE", "http1.invalid_host")
}

pub(crate) fn no_upstream(routes: &Routes) -> Selection {
    refusal(routes, NO_UPSTREAM, 503, "NC", "cluster_not_found")
}

fn refusal(routes: &Routes, rule: &'static str, status: u16, flag: &'static str, details: &'static str) -> Selection {
    Selection::Reply(RouteReply {
        because: Reason::Builtin(rule),
        name: Arc::clone(&routes.fixed.unnamed),
        reply: Reply::Http { status, fields: Vec::new(), body: Bytes::new() },
        response_edits: Vec::new(),
        delay: None,
        flag,
        details,
    })
}

impl Routes {
    /// Puts the resources of one World together. Findings tell what is shadowed, conflicts or cannot be reached.
    pub fn compile(declared: &Declared, inventory: &Inventory) -> (Self, Vec<ringwall_model::Finding>) {
        compile::routes(declared, inventory)
    }

    /// The servers of a gateway workload by port, with their TLS: what its listeners must be. Empty for a workload
    /// that no Gateway selects.
    pub fn servers(&self, workload: WorkloadId) -> impl Iterator<Item = (u16, &[Server])> {
        let ports = self.gateways.get(&workload).into_iter().flat_map(|table| &table.ports);
        ports.map(|(port, table)| (*port, table.servers.as_slice()))
    }

    /// The server that answers a TLS connection with that server name, before any request is there.
    pub fn server(&self, workload: WorkloadId, port: u16, server_name: Option<&str>) -> Option<&Server> {
        let (_, table) = self.gateway_port(workload, port)?;
        table.server(server_name).map(|(_, server)| server)
    }

    /// What becomes of calls of a workload to hosts that nothing declares.
    pub fn outbound(&self, workload: WorkloadId) -> OutboundMode {
        let client = self.clients.get(workload.0 as usize);
        client.and_then(|client| self.scopes.get(client.scope)).map_or(OutboundMode::AllowAny, |scope| scope.outbound)
    }

    pub(crate) fn gateway_port(&self, workload: WorkloadId, port: u16) -> Option<(u16, &GatewayPort)> {
        let table = self.gateways.get(&workload)?;
        let number = if table.ports.contains_key(&port) { port } else { *table.behind.get(&port)? };
        table.ports.get(&number).map(|found| (number, found))
    }

    pub(crate) fn service_of(&self, host: &str) -> Option<(ServiceId, &KnownService)> {
        let id = *self.names.find(host)?;
        self.services.get(id.0 as usize).map(|known| (id, known))
    }

    /// The service that a name means to a client, if the client may see it.
    pub(crate) fn service_seen(
        &self,
        client: &Client,
        scope: &Scope,
        name: &str,
    ) -> Option<(ServiceId, &KnownService)> {
        let short =
            if name.contains('.') { None } else { self.short.get(&client.namespace).and_then(|own| own.get(name)) };
        let id = *short.or_else(|| self.names.find(name))?;
        let hidden = scope.hidden.binary_search(&id).is_ok();
        self.services.get(id.0 as usize).filter(|_| !hidden).map(|known| (id, known))
    }

    fn plain_choice(&self, name: &Arc<str>, host: Host, port: u16, toward: Toward) -> RouteChoice {
        RouteChoice {
            because: Reason::NoRuleApplies,
            name: Arc::clone(name),
            host,
            port,
            subset: None,
            toward,
            edits: Vec::new(),
            response_edits: Vec::new(),
            timeout: None,
            retries: Arc::clone(&self.fixed.retries),
            delay: None,
            mirrors: SmallVec::new(),
        }
    }
}

impl GatewayPort {
    /// Whether its servers are told apart by the TLS server name.
    pub fn is_tls(&self) -> bool {
        self.servers.iter().any(|server| server.tls.is_some())
    }

    /// The server for a name; a connection without a name meets only a server for `*`.
    pub fn server(&self, name: Option<&str>) -> Option<(usize, &Server)> {
        // No pattern but `*` matches the empty name.
        let index = *self.by_name.find(name.unwrap_or_default())?;
        self.servers.get(index).map(|server| (index, server))
    }
}
