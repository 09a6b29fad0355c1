//! Where calls come in: derived from gateways, ports in the mesh, and services that are not HTTP.
//!
//! In: a lowered World. Out: listeners with the manifests' addresses; their binds are given later. A workload outside
//! the mesh has none: its application listens for itself.

use super::World;
use crate::code;
use crate::kong::deployment::ListenTls;
use ringwall_model::{DocumentId, Finding, Listener, Place, Protocol, Role, Service, Severity, Workload, WorkloadId};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The port of a workload's outbound HTTP listener, as in Istio.
pub const OUTBOUND_PORT: u16 = 15001;
/// The most listeners of one World.
pub const MAX_LISTENERS: usize = 20_000;

/// Derives all listeners, in the order of workload, role and port.
pub fn derive(world: &World) -> (Vec<Finding>, Vec<Listener>) {
    let mut listeners = Vec::new();
    for (id, workload) in (0_u32..).map(WorkloadId).zip(&world.inventory.workloads) {
        if !workload.in_mesh {
            continue;
        }
        let mut taken = BTreeSet::new();
        edge(world, id, workload, &mut taken, &mut listeners);
        gateway(world, id, workload, &mut taken, &mut listeners);
        if !is_proxy(workload) {
            inbound(id, workload, &taken, &mut listeners);
        }
        outbound(world, id, workload, &mut listeners);
    }
    let mut findings = Vec::new();
    if listeners.len() > MAX_LISTENERS {
        let title = format!("{} listeners; the first {MAX_LISTENERS} are made", listeners.len());
        findings.push(Finding::new(code::SIZE, Severity::Error, Place::value(DocumentId(0), ""), title));
        listeners.truncate(MAX_LISTENERS);
    }
    (findings, listeners)
}

fn listener(role: Role, workload: WorkloadId, address: SocketAddr, protocol: Protocol) -> Listener {
    let bind = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    Listener { role, workload, address, bind, protocol, target: None }
}

/// Istio's gateways are proxies: nothing but their servers listens there.
fn is_proxy(workload: &Workload) -> bool {
    workload.labels.get("istio").is_some_and(|value| matches!(&**value, "ingressgateway" | "egressgateway"))
}

/// One listener for each port of the Gateways that select this workload.
fn edge(world: &World, id: WorkloadId, workload: &Workload, taken: &mut BTreeSet<u16>, listeners: &mut Vec<Listener>) {
    let egress = workload.labels.get("istio").is_some_and(|value| &**value == "egressgateway");
    let role = if egress { Role::Egress } else { Role::Edge };
    for (port, servers) in world.routes.servers(id) {
        let Some(server) = servers.first() else { continue };
        if taken.insert(port) {
            listeners.push(listener(role, id, SocketAddr::new(workload.address, port), server.protocol));
        }
    }
}

/// The proxy ports of an API gateway.
fn gateway(
    world: &World,
    id: WorkloadId,
    workload: &Workload,
    taken: &mut BTreeSet<u16>,
    listeners: &mut Vec<Listener>,
) {
    let Some(deployment) = world.deployments.get(&id) else { return };
    for listen in &deployment.proxy {
        let protocol = if listen.tls == ListenTls::On { Protocol::Https } else { Protocol::Http };
        if taken.insert(listen.port) {
            let address = SocketAddr::new(workload.address, listen.port);
            listeners.push(listener(Role::Gateway, id, address, protocol));
        }
    }
}

fn inbound(id: WorkloadId, workload: &Workload, taken: &BTreeSet<u16>, listeners: &mut Vec<Listener>) {
    for (_, port, protocol) in &workload.ports {
        if !taken.contains(port) {
            let address = SocketAddr::new(workload.address, *port);
            // TLS of the application itself is passed on unopened.
            let protocol = if *protocol == Protocol::Https { Protocol::Tls } else { *protocol };
            listeners.push(listener(Role::Inbound, id, address, protocol));
        }
    }
}

/// One listener for all HTTP, and one for each port that is not HTTP of each service.
fn outbound(world: &World, id: WorkloadId, workload: &Workload, listeners: &mut Vec<Listener>) {
    let own = SocketAddr::new(workload.address, OUTBOUND_PORT);
    listeners.push(listener(Role::Outbound, id, own, Protocol::Http));
    for service in &world.inventory.services {
        for port in &service.ports {
            let protocol = match port.protocol {
                // A client that speaks HTTPS to a service opens TLS itself; the mesh sees a server name.
                Protocol::Https | Protocol::Tls => Protocol::Tls,
                Protocol::Tcp => Protocol::Tcp,
                Protocol::Http | Protocol::Http2 | Protocol::Grpc => continue,
            };
            if listeners.len() > MAX_LISTENERS {
                return;
            }
            let address = SocketAddr::new(virtual_address(service), port.number);
            let target = Some((service.host.clone(), port.number));
            listeners.push(Listener { target, ..listener(Role::Outbound, id, address, protocol) });
        }
    }
}

/// The address that policy sees calls to a service go to, the same in every run; for hosts without one, of Istio's
/// automatic range.
pub fn virtual_address(service: &Service) -> IpAddr {
    service.address.unwrap_or_else(|| {
        let hash = service
            .host
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let [high, low, ..] = hash.to_be_bytes();
        Ipv4Addr::new(240, 240, high, low.max(1)).into()
    })
}
