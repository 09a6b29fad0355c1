//! Where addresses of the manifests really are, on one machine.
//!
//! In: an address or a name. Out: a connection on loopback, or to the world for a host outside the mesh. Never: policy.

use super::force::Current;
use super::isolation::Isolation;
use arc_swap::ArcSwap;
use ringwall_control::binds::Binds;
use ringwall_control::fetch::Resolve;
use ringwall_dataplane::Dial;
use ringwall_dataplane::page::{Destination, Local};
use ringwall_kernel::socket::Passage;
use ringwall_model::{Endpoint, WorkloadId};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;

/// Dials loopback binds.
pub struct LoopbackDial {
    /// Where everything is bound.
    pub binds: Arc<Binds>,
}

impl Dial for LoopbackDial {
    fn dial<'a>(&'a self, _source: WorkloadId, to: &'a Destination) -> Local<'a, io::Result<TcpStream>> {
        Box::pin(async move {
            match to {
                // An application was bound by this process, so its address is a loopback one already.
                Destination::Address(at) if at.ip().is_loopback() => TcpStream::connect(at).await,
                Destination::Address(at) => {
                    match self.binds.bound(*at).or_else(|| self.binds.app(at.ip(), at.port())) {
                        Some(bind) => TcpStream::connect(bind).await,
                        None => {
                            Err(io::Error::new(io::ErrorKind::ConnectionRefused, "nothing listens there in this run"))
                        }
                    }
                }
                Destination::Name(name, port) => TcpStream::connect((&**name, *port)).await,
            }
        })
    }
}

/// Dials from inside the home of the workload that calls, marked so that interception lets it pass. Hosts outside the
/// mesh are reached from the machine itself: a home has no other way out than the data plane.
pub struct NodeDial {
    /// The node.
    pub isolation: Arc<Isolation>,
    /// The World in force.
    pub current: Arc<ArcSwap<Current>>,
}

impl Dial for NodeDial {
    fn dial<'a>(&'a self, source: WorkloadId, to: &'a Destination) -> Local<'a, io::Result<TcpStream>> {
        Box::pin(async move {
            let home = self.current.load().world.inventory.workload(source).map(|workload| workload.address);
            let home = home.ok_or(io::ErrorKind::NotFound)?;
            match to {
                Destination::Address(at) if self.isolation.namespace(at.ip()).is_some() => {
                    self.isolation.connect(home, *at, Passage::Marked).await
                }
                Destination::Address(at) => TcpStream::connect(at).await,
                Destination::Name(name, port) => TcpStream::connect((&**name, *port)).await,
            }
        })
    }
}

/// Finds services of the mesh for documents that the wall itself fetches: their application, behind their own door.
pub struct MeshResolve {
    /// The World in force.
    pub current: Arc<ArcSwap<Current>>,
    /// Where everything is bound.
    pub binds: Arc<Binds>,
}

impl Resolve for MeshResolve {
    fn resolve(&self, host: &str, port: u16) -> Option<SocketAddr> {
        let current = self.current.load();
        let inventory = &current.world.inventory;
        let service = inventory.service(inventory.service_of(host)?)?;
        let target = current.world.target_port(host, port);
        service.endpoints.iter().find_map(|endpoint| match endpoint {
            Endpoint::Workload(id) => self.binds.app(inventory.workload(*id)?.address, target),
            Endpoint::Address(_) | Endpoint::Name(_) => None,
        })
    }
}
