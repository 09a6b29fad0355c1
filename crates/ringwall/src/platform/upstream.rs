//! Where an admitted call or connection goes, in the data plane's words: endpoints, TLS, pool limits, timeouts, retries.
//!
//! In: what the page chose. Out: [`Upstream`]. Made once a World for each source, host, port and subset.

use super::force::InForce;
use ringwall_dataplane::page::{Destination, Mirror, Open, Place, PoolLimits, RetryOn, Speaks, Upstream, UpstreamTls};
use ringwall_manifest::World;
use ringwall_mesh::Mode;
use ringwall_mesh::route::{Retries, RouteChoice, TlsMode};
use ringwall_mesh::upstream::{self, Demand, UpstreamPolicy};
use ringwall_model::inventory::Labels;
use ringwall_model::{
    Endpoint, Layer, Listener, Millis, Protocol, Reason, Service, ServiceId, ServicePort, Workload, WorkloadId,
};
use ringwall_wall::Hop;
use ringwall_wall::connection::Way;
use std::net::SocketAddr;
use std::sync::Arc;

/// What was chosen, as far as it decides the upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Chosen {
    /// The application of a workload.
    Application(WorkloadId, u16, Speaks),
    /// A destination as a workload reaches it, with what the route says of tries: its retries are the World's own, and so
    /// are told apart by where they are.
    Route(Cluster, Option<Millis>, usize),
    /// A destination of a connection without HTTP, or of a copy.
    Connection(Cluster),
}

/// A destination as a workload reaches it: source, host, port, subset.
type Cluster = (WorkloadId, Arc<str>, u16, Option<Arc<str>>);

/// The rule by which what has no destination is refused.
pub const UNKNOWN_DESTINATION: &str = "upstream/unknown-destination";
/// Upstreams that are kept for one World; a host that a client names makes one, too.
const MOST_UPSTREAMS: usize = 4096;

impl InForce {
    /// Where a call goes; `None` when there is no such destination.
    pub fn upstream(&self, world: &World, listener: &Listener, hop: &Hop) -> Option<Arc<Upstream>> {
        match hop {
            Hop::Application { workload, port } => {
                let http2 = matches!(listener.protocol, Protocol::Grpc | Protocol::Http2);
                self.application(world, *workload, *port, if http2 { Speaks::Http2 } else { Speaks::Http1 })
            }
            Hop::Upstream { source, route } => {
                let cluster = (*source, route.host.clone(), route.port, route.subset.clone());
                let retries = Arc::as_ptr(&route.retries) as usize;
                let chosen = Chosen::Route(cluster, route.timeout, retries);
                self.known(world, chosen, || {
                    let made = self.cluster(world, *source, &route.host, route.port, route.subset.as_deref())?;
                    Some(with_route(made, route))
                })
            }
        }
    }

    /// Where a connection goes; `None` when there is no such destination.
    pub fn connection_upstream(&self, world: &World, way: &Way) -> Option<Arc<Upstream>> {
        match way {
            Way::Hop(Hop::Application { workload, port }) => self.application(world, *workload, *port, Speaks::Http1),
            Way::Hop(Hop::Upstream { .. }) => None,
            Way::Route { source, choice } => {
                let cluster = (*source, choice.host.clone(), choice.port, choice.subset.clone());
                self.known(world, Chosen::Connection(cluster), || {
                    self.cluster(world, *source, &choice.host, choice.port, choice.subset.as_deref())
                })
            }
        }
    }

    /// Where copies of a call go.
    pub fn mirrors(&self, world: &World, copies: Vec<ringwall_wall::Copied>) -> Vec<Mirror> {
        copies.into_iter().map(|copy| self.mirror(world, copy)).collect()
    }

    fn mirror(&self, world: &World, copy: ringwall_wall::Copied) -> Mirror {
        let ringwall_wall::Copied { source, to, call, refused: refused_by } = copy;
        let subset = to.subset.as_deref();
        let refused = |by| Mirror::Refused { cluster: cluster(&to.host, to.port, subset), by };
        if let Some(because) = refused_by {
            return refused((Layer::Packet, because));
        }
        let chosen = Chosen::Connection((source, to.host.clone(), to.port, to.subset.clone()));
        let upstream = self.known(world, chosen, || self.cluster(world, source, &to.host, to.port, subset));
        match upstream {
            Some(upstream) => Mirror::To { upstream, call },
            None => refused((Layer::Upstream, Reason::Builtin(UNKNOWN_DESTINATION))),
        }
    }

    fn application(&self, world: &World, workload: WorkloadId, port: u16, speaks: Speaks) -> Option<Arc<Upstream>> {
        self.known(world, Chosen::Application(workload, port, speaks), || {
            let known = world.inventory.workload(workload)?;
            let caller: Arc<str> = known.full_name().into();
            // Without an application that was started here, the workload's own address is dialled, as in a cluster.
            let started = self.binds.app(known.address, port).filter(|_| self.isolation.is_none());
            let at = started.unwrap_or(SocketAddr::new(known.address, port));
            let made = Upstream { retries: 1, ..Upstream::plain(&format!("inbound|{port}||"), at) };
            Some(made.with_places(|place| Place { caller: caller.clone(), speaks, ..place.clone() }))
        })
    }

    /// What was made for this World before, or what is made now.
    fn known(&self, world: &World, chosen: Chosen, make: impl FnOnce() -> Option<Upstream>) -> Option<Arc<Upstream>> {
        if let Some(known) = self.made(world.generation, |made| made.upstreams.get(&chosen).cloned()) {
            return Some(known);
        }
        let upstream = Arc::new(make()?);
        self.make(world.generation, |made| {
            if made.upstreams.len() >= MOST_UPSTREAMS {
                made.upstreams.clear();
            }
            made.upstreams.insert(chosen, upstream.clone());
        });
        Some(upstream)
    }

    fn cluster(
        &self,
        world: &World,
        source: WorkloadId,
        host: &str,
        port: u16,
        subset: Option<&str>,
    ) -> Option<Upstream> {
        let (mut made, settings) = make(world, source, host, port, subset)?;
        let caller = caller(world, source);
        made.kept = Some(self.health.watch(&caller, &made, &settings));
        Some(made)
    }
}

/// A cluster's name in Envoy's form.
fn cluster(host: &str, port: u16, subset: Option<&str>) -> Arc<str> {
    format!("outbound|{port}|{}|{host}", subset.unwrap_or_default()).into()
}

fn caller(world: &World, source: WorkloadId) -> Arc<str> {
    world.inventory.workload(source).map(Workload::full_name).unwrap_or_default().into()
}

fn make(
    world: &World,
    source: WorkloadId,
    host: &str,
    port: u16,
    subset: Option<&str>,
) -> Option<(Upstream, Arc<upstream::Settings>)> {
    let policy = upstream::policy(&world.routes, source, host, port, subset)?;
    let service = world.inventory.service_of(host).and_then(|id: ServiceId| world.inventory.service(id));
    let ends = match service {
        Some(service) => endpoints(world, service, host, port, &policy),
        None => vec![End { to: Destination::Name(host.into(), port), workload: None }],
    };
    let pool = &policy.settings.pool;
    let speaks = service.and_then(|it| it.ports.iter().find(|known| known.number == port)).map(|it| it.protocol);
    let speaks = if matches!(speaks, Some(Protocol::Grpc | Protocol::Http2)) { Speaks::Http2 } else { Speaks::Http1 };
    let cluster = cluster(host, port, subset);
    let caller = caller(world, source);
    let place = |end: End| {
        let tls = tls(world, source, host, &policy, &end);
        let (cluster, caller) = (cluster.clone(), caller.clone());
        Arc::new(Place { to: end.to, cluster, caller, tls, speaks })
    };
    let made = Upstream {
        places: ends.into_iter().map(place).collect(),
        cluster: cluster.clone(),
        timeout: None,
        per_try: None,
        retries: 0,
        retry_on: RetryOn::default(),
        connect_timeout: pool.connect_timeout,
        limits: PoolLimits {
            connections: pool.max_connections,
            requests: pool.max_requests,
            per_connection: pool.max_requests_per_connection,
            idle: pool.idle_timeout,
        },
        open: Open::default(),
        kept: None,
    };
    Some((made, policy.settings.clone()))
}

/// One endpoint of a service.
struct End {
    to: Destination,
    workload: Option<(WorkloadId, u16)>,
}

/// The endpoints of a service's port that have the subset's labels.
fn endpoints(world: &World, service: &Service, host: &str, port: u16, policy: &UpstreamPolicy) -> Vec<End> {
    let known = service.ports.iter().find(|known| known.number == port);
    let outside = |to: Destination| End { to, workload: None };
    let one = |endpoint: &Endpoint| match endpoint {
        Endpoint::Workload(id) => {
            let workload = world.inventory.workload(*id)?;
            let labels = policy.subset_labels.as_ref();
            let fits = |labels: &Labels| labels.iter().all(|(name, value)| workload.labels.get(name) == Some(value));
            if !labels.is_none_or(|labels| fits(labels)) {
                return None;
            }
            // A gateway listens at its servers' own ports.
            let is_server = world.routes.servers(*id).any(|(server, _)| server == port);
            let target = known.filter(|_| !is_server).map_or(port, |known| target(workload, known));
            let to = Destination::Address(SocketAddr::new(workload.address, target));
            Some(End { to, workload: Some((*id, target)) })
        }
        Endpoint::Address(address) => {
            Some(outside(Destination::Address(SocketAddr::new(*address, known.map_or(port, |it| it.target)))))
        }
        Endpoint::Name(name) => Some(outside(Destination::Name(name.clone(), known.map_or(port, |it| it.target)))),
    };
    let mut ends: Vec<End> = service.endpoints.iter().filter_map(one).collect();
    if ends.is_empty() && service.external {
        ends.push(outside(Destination::Name(host.into(), port)));
    }
    ends
}

fn target(workload: &Workload, port: &ServicePort) -> u16 {
    let named = port.target_name.as_ref();
    let found = named.and_then(|name| workload.ports.iter().find(|(known, ..)| known == name));
    found.map_or(port.target, |(_, number, _)| *number)
}

/// TLS towards one endpoint. Auto mTLS is decided for each: one that is outside the mesh takes nothing from the others.
fn tls(world: &World, source: WorkloadId, host: &str, policy: &UpstreamPolicy, end: &End) -> UpstreamTls {
    match &policy.tls {
        upstream::UpstreamTls::Disable => UpstreamTls::Clear,
        upstream::UpstreamTls::Mesh { demand: Demand::WhereOffered, .. } if !offers(world, end) => UpstreamTls::Clear,
        upstream::UpstreamTls::Mesh { server_name, identities, .. } => {
            // A caller without an identity has nothing to show: it is refused, never served in clear text.
            let Some(caller) = world.inventory.workload(source) else { return UpstreamTls::Unproven };
            let identity = caller.identity.clone();
            UpstreamTls::Mesh { identity, expected: identities.clone(), server_name: server_name.clone() }
        }
        upstream::UpstreamTls::Origination(client) => UpstreamTls::Simple {
            server_name: client.sni.clone().unwrap_or_else(|| host.into()),
            authorities: client.files.authorities.clone(),
            credential: client.credential.clone(),
        },
    }
}

/// Whether an endpoint ends the mesh's mutual TLS: it is in the mesh and its policy does not have it disabled there. At a
/// gateway's port TLS is what the Gateway resource says.
fn offers(world: &World, end: &End) -> bool {
    let Some((id, port)) = end.workload else { return false };
    if let Some((_, servers)) = world.routes.servers(id).find(|(server, _)| *server == port) {
        let tls = servers.first().and_then(|server| server.tls.as_ref());
        return tls.is_some_and(|tls| tls.mode == TlsMode::IstioMutual);
    }
    let in_mesh = world.inventory.workload(id).is_some_and(|workload| workload.in_mesh);
    in_mesh && world.mesh.mtls(id, port) != Mode::Disable
}

fn with_route(mut upstream: Upstream, route: &RouteChoice) -> Upstream {
    let retries: &Retries = &route.retries;
    upstream.timeout = route.timeout.filter(|timeout| *timeout > Millis(0));
    upstream.per_try = retries.per_try_timeout;
    upstream.retries = retries.attempts;
    upstream.retry_on = RetryOn {
        connect_failure: retries.on.has("connect-failure") || retries.on.has("refused-stream"),
        reset: retries.on.has("reset"),
        server_error: retries.on.has("5xx"),
        gateway_error: retries.on.has("gateway-error"),
        conflict: retries.on.has("retriable-4xx"),
        statuses: retries.on.statuses().to_vec(),
    };
    upstream
}
