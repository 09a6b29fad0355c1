//! Which listener an intercepted connection was meant for: the kernel redirects all TCP of a workload to two doors, and
//! the destination that it had before says the rest.
//!
//! In: a World's listeners. Out: a listener for a door and an original destination. Follows Istio's sidecar: a port that
//! nothing declares is treated as bytes, inbound with the workload's mutual TLS and authorization, outbound as
//! `outboundTrafficPolicy` says.

use super::force::Current;
use ringwall_manifest::World;
use ringwall_model::{Endpoint, Listener, Protocol, Role, WorkloadId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Port of the door for what others send to a workload, as in Istio.
pub const INBOUND: u16 = ringwall_kernel::intercept::INBOUND;
/// Port of the door for what a workload sends.
pub const OUTBOUND: u16 = ringwall_kernel::intercept::OUTBOUND;

/// What is behind the doors of a World.
#[derive(Default)]
pub struct Doors {
    /// Where each listener that others call is bound, by its address of the manifests.
    inbound: BTreeMap<SocketAddr, SocketAddr>,
    /// Outbound listeners of one port of one service, by the workload and the service's address.
    services: BTreeMap<(IpAddr, SocketAddr), Arc<Listener>>,
    /// Destinations of which calls are HTTP: a call names its own service there.
    http: BTreeSet<SocketAddr>,
    /// Workloads by address.
    workloads: BTreeMap<IpAddr, WorkloadId>,
}

impl Doors {
    /// Of a World and its bound listeners; `services` are the outbound listeners that have no socket of their own.
    pub fn of(world: &World, bound: &BTreeMap<SocketAddr, Arc<Listener>>, services: Vec<Listener>) -> Self {
        let mut doors = Self::default();
        for (id, workload) in (0_u32..).map(WorkloadId).zip(&world.inventory.workloads) {
            doors.workloads.insert(workload.address, id);
        }
        for listener in bound.values().filter(|listener| listener.role != Role::Outbound) {
            doors.inbound.insert(listener.address, listener.bind);
        }
        for listener in services {
            doors.services.insert((listener.bind.ip(), listener.address), Arc::new(listener));
        }
        for service in &world.inventory.services {
            let address = ringwall_manifest::virtual_address(service);
            for port in service.ports.iter().filter(|port| port.protocol.is_http() && port.protocol != Protocol::Https)
            {
                doors.http.insert(SocketAddr::new(address, port.number));
                let workloads = service.endpoints.iter().filter_map(|endpoint| match endpoint {
                    Endpoint::Workload(id) => world.inventory.workload(*id),
                    Endpoint::Address(_) | Endpoint::Name(_) => None,
                });
                doors.http.extend(workloads.map(|workload| SocketAddr::new(workload.address, port.target)));
            }
        }
        doors
    }

    /// Whether that address is a workload's.
    pub fn has(&self, address: IpAddr) -> bool {
        self.workloads.contains_key(&address)
    }
}

impl Current {
    /// The listener that a connection to `original` was meant for which came to this door; `None`: none.
    pub fn meant(&self, door: SocketAddr, original: SocketAddr) -> Option<Arc<Listener>> {
        let workload = *self.doors.workloads.get(&door.ip())?;
        match door.port() {
            INBOUND => self.meant_for(workload, door, original),
            OUTBOUND => self.meant_by(workload, door, original),
            _ => None,
        }
    }

    fn meant_for(&self, workload: WorkloadId, door: SocketAddr, original: SocketAddr) -> Option<Arc<Listener>> {
        // ORDER: first this. A call from outside to a workload's own doors would speak with that workload's identity.
        if original.ip() != door.ip() || matches!(original.port(), INBOUND | OUTBOUND | NAMES) {
            return None;
        }
        match self.doors.inbound.get(&original) {
            Some(bind) => self.bound.get(bind).cloned(),
            None => Some(bytes(Role::Inbound, workload, door, original)),
        }
    }

    fn meant_by(&self, workload: WorkloadId, door: SocketAddr, original: SocketAddr) -> Option<Arc<Listener>> {
        if let Some(listener) = self.doors.services.get(&(door.ip(), original)) {
            return Some(listener.clone());
        }
        // Who names the door itself uses it as a proxy.
        let itself = original.port() == OUTBOUND && (original.ip() == door.ip() || original.ip().is_loopback());
        if itself || self.doors.http.contains(&original) {
            return self.bound.get(&door).cloned();
        }
        if original.ip() == door.ip() || original.ip().is_loopback() {
            return None;
        }
        Some(bytes(Role::Outbound, workload, door, original))
    }
}

const NAMES: u16 = ringwall_kernel::intercept::NAMES;

/// A listener for a port that nothing declares.
fn bytes(role: Role, workload: WorkloadId, door: SocketAddr, original: SocketAddr) -> Arc<Listener> {
    Arc::new(Listener { role, workload, address: original, bind: door, protocol: Protocol::Tcp, target: None })
}
