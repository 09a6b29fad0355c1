//! Where an admitted call or connection goes, in the data plane's words: endpoints, TLS, pool limits, timeouts, retries.
//!
//! In: what the page chose. Out: [`Upstream`]. Made once a World for each source, host, port and subset.

use super::force::InForce;
use ringwall_dataplane::page::{Destination, PoolLimits, RetryOn, Speaks, Upstream, UpstreamTls};
use ringwall_manifest::World;
use ringwall_mesh::route::{ConnectionChoice, Retries, RouteChoice};
use ringwall_mesh::upstream::{self, Demand, UpstreamPolicy};
use ringwall_model::{Endpoint, Listener, Millis, Protocol, Service, ServiceId, ServicePort, Workload, WorkloadId};
use ringwall_wall::Hop;
use ringwall_wall::connection::Way;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Upstreams by what was chosen.
pub type Clusters = BTreeMap<(WorkloadId, Arc<str>, u16, Option<Arc<str>>), Arc<Upstream>>;

impl InForce {
    /// Where a call goes; `None` when there is no such destination.
    pub fn upstream(&self, world: &World, listener: &Listener, hop: &Hop) -> Option<Upstream> {
        match hop {
            Hop::Application { workload, port } => self.application(world, listener, *workload, *port),
            Hop::Upstream { source, route } => {
                let cluster = self.cluster(world, *source, &route.host, route.port, route.subset.as_ref())?;
                Some(with_route(Upstream::clone(&cluster), route))
            }
        }
    }

    /// Where a connection goes; `None` when there is no such destination.
    pub fn connection_upstream(&self, world: &World, way: &Way) -> Option<Upstream> {
        match way {
            Way::Hop(Hop::Application { workload, port }) => self.plain_application(world, *workload, *port),
            Way::Hop(Hop::Upstream { .. }) => None,
            Way::Route { source, choice } => {
                let cluster = self.cluster(world, *source, &choice.host, choice.port, choice.subset.as_ref())?;
                let mut upstream = Upstream::clone(&cluster);
                if !demands_mesh(world, *source, choice) {
                    upstream.tls = match upstream.tls {
                        // A gateway's own port ends no mutual TLS unless a rule says that it does.
                        UpstreamTls::Mesh { .. } if is_gateway(world, choice) => UpstreamTls::Clear,
                        tls => tls,
                    };
                }
                Some(upstream)
            }
        }
    }

    fn application(&self, world: &World, listener: &Listener, workload: WorkloadId, port: u16) -> Option<Upstream> {
        let mut upstream = self.plain_application(world, workload, port)?;
        if matches!(listener.protocol, Protocol::Grpc | Protocol::Http2) {
            upstream.speaks = Speaks::Http2;
        }
        Some(upstream)
    }

    fn plain_application(&self, world: &World, workload: WorkloadId, port: u16) -> Option<Upstream> {
        let address = world.inventory.workload(workload)?.address;
        // Without an application that was started here, the workload's own address is dialled, as in a cluster.
        let at = self.binds.app(address, port).unwrap_or(SocketAddr::new(address, port));
        let mut upstream = Upstream::plain(&format!("inbound|{port}||"), at, workload);
        upstream.retries = 1;
        Some(upstream)
    }

    fn cluster(
        &self,
        world: &World,
        source: WorkloadId,
        host: &Arc<str>,
        port: u16,
        subset: Option<&Arc<str>>,
    ) -> Option<Arc<Upstream>> {
        let key = (source, host.clone(), port, subset.cloned());
        if let Some(known) = self.made(world.generation, |made| made.clusters.get(&key).cloned()) {
            return Some(known);
        }
        let (made, settings) = make(world, source, host, port, subset.map(|name| &**name))?;
        self.health.watch(&made, &settings);
        let made = Arc::new(made);
        self.make(world.generation, |cache| drop(cache.clusters.insert(key, made.clone())));
        Some(made)
    }
}

/// Whether a rule asks for mutual TLS towards this destination, rather than auto mTLS offering it.
fn demands_mesh(world: &World, source: WorkloadId, choice: &ConnectionChoice) -> bool {
    let policy = upstream::policy(&world.routes, source, &choice.host, choice.port, choice.subset.as_deref());
    policy.is_some_and(|policy| matches!(policy.tls, upstream::UpstreamTls::Mesh { demand: Demand::Always, .. }))
}

/// Whether the destination is a gateway of the mesh, whose ports are what its Gateway resource says.
fn is_gateway(world: &World, choice: &ConnectionChoice) -> bool {
    let service = world.inventory.service_of(&choice.host).and_then(|id| world.inventory.service(id));
    let first = service.and_then(|service| service.endpoints.first());
    matches!(first, Some(Endpoint::Workload(id)) if world.routes.servers(*id).next().is_some())
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
    let (endpoints, workloads) = service.map_or_else(
        || (vec![Destination::Name(host.into(), port)], Vec::new()),
        |service| endpoints(world, service, host, port, &policy),
    );
    let pool = &policy.settings.pool;
    let speaks = service.and_then(|it| it.ports.iter().find(|known| known.number == port)).map(|it| it.protocol);
    let made = Upstream {
        cluster: format!("outbound|{port}|{}|{host}", subset.unwrap_or_default()).into(),
        endpoints: endpoints.into(),
        source,
        tls: tls(world, source, host, &policy, &workloads),
        speaks: if matches!(speaks, Some(Protocol::Grpc | Protocol::Http2)) { Speaks::Http2 } else { Speaks::Http1 },
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
    };
    Some((made, policy.settings.clone()))
}

/// The endpoints of a service's port that have the subset's labels, and the workloads among them.
fn endpoints<'a>(
    world: &'a World,
    service: &Service,
    host: &str,
    port: u16,
    policy: &UpstreamPolicy,
) -> (Vec<Destination>, Vec<&'a Workload>) {
    let known = service.ports.iter().find(|known| known.number == port);
    let (mut places, mut workloads) = (Vec::new(), Vec::new());
    for endpoint in &service.endpoints {
        match endpoint {
            Endpoint::Workload(id) => {
                let Some(workload) = world.inventory.workload(*id) else { continue };
                let fits = policy
                    .subset_labels
                    .as_ref()
                    .is_none_or(|labels| labels.iter().all(|(name, value)| workload.labels.get(name) == Some(value)));
                if fits {
                    // A gateway listens at its servers' own ports.
                    let is_server = world.routes.servers(*id).any(|(server, _)| server == port);
                    let target = known.filter(|_| !is_server).map_or(port, |known| target(workload, known));
                    places.push(Destination::Address(SocketAddr::new(workload.address, target)));
                    workloads.push(workload);
                }
            }
            Endpoint::Address(address) => {
                places.push(Destination::Address(SocketAddr::new(*address, known.map_or(port, |it| it.target))));
            }
            Endpoint::Name(name) => places.push(Destination::Name(name.clone(), known.map_or(port, |it| it.target))),
        }
    }
    if places.is_empty() && service.external {
        places.push(Destination::Name(host.into(), port));
    }
    (places, workloads)
}

fn target(workload: &Workload, port: &ServicePort) -> u16 {
    let named = port.target_name.as_ref();
    let found = named.and_then(|name| workload.ports.iter().find(|(known, ..)| known == name));
    found.map_or(port.target, |(_, number, _)| *number)
}

fn tls(world: &World, source: WorkloadId, host: &str, policy: &UpstreamPolicy, workloads: &[&Workload]) -> UpstreamTls {
    let identity = world.inventory.workload(source).map(|workload| workload.identity.clone());
    match (&policy.tls, identity) {
        (upstream::UpstreamTls::Mesh { server_name, identities, demand }, Some(identity)) => {
            let offered = !workloads.is_empty() && workloads.iter().all(|workload| workload.in_mesh);
            if *demand == Demand::WhereOffered && !offered {
                return UpstreamTls::Clear;
            }
            UpstreamTls::Mesh { identity, expected: identities.clone(), server_name: server_name.clone() }
        }
        (upstream::UpstreamTls::Origination(client), _) => UpstreamTls::Simple {
            server_name: client.sni.clone().unwrap_or_else(|| host.into()),
            authorities: client.files.authorities.clone(),
            credential: client.credential.clone(),
        },
        (upstream::UpstreamTls::Disable | upstream::UpstreamTls::Mesh { .. }, _) => UpstreamTls::Clear,
    }
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
