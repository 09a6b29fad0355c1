//! Where addresses of the manifests really are, on one machine.
//!
//! In: an address or a name. Out: a connection on loopback, or to the world for a host outside the mesh. Never: policy,
//! but for one question: an address that a name turns out to have is judged before it is dialled.

use super::force::Current;
use super::isolation::Isolation;
use arc_swap::ArcSwap;
use ringwall_control::binds::Binds;
use ringwall_control::fetch::Resolve;
use ringwall_dataplane::Dial;
use ringwall_dataplane::page::{Destination, Local};
use ringwall_kernel::socket::Passage;
use ringwall_manifest::World;
use ringwall_model::{Endpoint, Timestamp};
use ringwall_packet::endpoint::protocol::TCP;
use ringwall_packet::{Direction, Flow, Names};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpStream;

/// Dials loopback binds.
pub struct LoopbackDial {
    /// The World in force.
    pub current: Arc<ArcSwap<Current>>,
    /// Where everything is bound.
    pub binds: Arc<Binds>,
}

impl Dial for LoopbackDial {
    fn dial<'a>(&'a self, caller: &'a str, to: &'a Destination) -> Local<'a, io::Result<TcpStream>> {
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
                Destination::Name(name, port) => by_name(&self.current, caller, name, *port).await,
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
    fn dial<'a>(&'a self, caller: &'a str, to: &'a Destination) -> Local<'a, io::Result<TcpStream>> {
        Box::pin(async move {
            let home = address_of(&self.current.load().world, caller).ok_or(io::ErrorKind::NotFound)?;
            match to {
                Destination::Address(at) if self.isolation.namespace(at.ip()).is_some() => {
                    self.isolation.connect(home, *at, Passage::Marked).await
                }
                Destination::Address(at) => TcpStream::connect(at).await,
                Destination::Name(name, port) => by_name(&self.current, caller, name, *port).await,
            }
        })
    }
}

fn address_of(world: &World, caller: &str) -> Option<IpAddr> {
    world.inventory.workloads.iter().find(|workload| workload.full_name() == caller).map(|workload| workload.address)
}

/// Resolves a name and connects to the first of its addresses that answers, of those that policy allows the caller.
async fn by_name(current: &ArcSwap<Current>, caller: &str, name: &str, port: u16) -> io::Result<TcpStream> {
    let found: Vec<SocketAddr> = tokio::net::lookup_host((name, port)).await?.collect();
    let allowed: Vec<SocketAddr> = {
        let current = current.load();
        found.into_iter().filter(|at| may_reach(&current.world, caller, name, *at)).collect()
    };
    if allowed.is_empty() {
        let why = format!("network policy: no address that `{name}` has now is allowed");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    TcpStream::connect(&*allowed).await
}

/// Whether policy lets a caller reach an address that a name has turned out to have. Until then it was judged by its
/// name alone: whoever answers for the name could point it at any address, one of ours or one that a rule leaves out.
fn may_reach(world: &World, caller: &str, name: &str, at: SocketAddr) -> bool {
    if world.ground.policies().is_empty() {
        return true;
    }
    let Some(source) = address_of(world, caller) else { return false };
    let flow = Flow { source, destination: at.ip(), protocol: TCP, port: at.port() };
    let mut names = Names::default();
    names.learn(name, at.ip(), Timestamp(u64::MAX));
    let passes = |direction| world.ground.opinion(&names, &flow, direction).passes();
    passes(Direction::Egress) && passes(Direction::Ingress)
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
        // `service.namespace`, as resolvers in a cluster complete it.
        let whole = format!("{host}.svc.cluster.local");
        let (id, host) = inventory
            .service_of(host)
            .map(|id| (id, host))
            .or_else(|| inventory.service_of(&whole).map(|id| (id, &*whole)))?;
        let service = inventory.service(id)?;
        let target = current.world.target_port(host, port);
        service.endpoints.iter().find_map(|endpoint| match endpoint {
            Endpoint::Workload(id) => self.binds.app(inventory.workload(*id)?.address, target),
            Endpoint::Address(_) | Endpoint::Name(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::may_reach;
    use ringwall_manifest::{Input, Options, World, lower};

    const POLICY: &str = r#"---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: world, namespace: shop }
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress: [{ to: [{ ipBlock: { cidr: 0.0.0.0/0, except: [10.0.0.0/8, 169.254.0.0/16] } }] }]
"#;

    #[test]
    fn a_name_that_points_into_what_a_block_leaves_out_is_not_dialled() {
        let set = ringwall_testkit::pods::shop(&["web"]) + POLICY;
        let world: World = lower(&[Input { name: "set.yaml", bytes: set.as_bytes() }], &Options::default()).0;
        let caller = world.inventory.workloads[0].full_name();
        let may = |at: &str| may_reach(&world, &caller, "api.example.com", at.parse().unwrap());
        assert!(may("198.51.100.7:443"));
        assert!(!may("10.1.2.3:443"), "a name of the outside with an address inside");
        assert!(!may("169.254.169.254:80"), "the cloud's metadata");
        assert!(!may("[2001:db8::1]:443"), "no rule speaks of IPv6");
        assert!(!may_reach(&world, "shop/nobody", "api.example.com", "198.51.100.7:443".parse().unwrap()));
    }

    #[test]
    fn an_allowed_name_that_points_at_this_machine_or_a_pod_is_not_dialled() {
        let set = ringwall_testkit::pods::shop(&["web", "db"]) + &ringwall_testkit::pods::may_send_to_api("");
        let world: World = lower(&[Input { name: "set.yaml", bytes: set.as_bytes() }], &Options::default()).0;
        let caller = world.inventory.workloads[0].full_name();
        let may = |at: &str| may_reach(&world, &caller, "api.example.com", at.parse().unwrap());
        assert!(may("198.51.100.7:443") && may("[2001:db8::1]:443"));
        for inside in ["127.0.0.1:9090", "[::1]:9090", "[::ffff:127.0.0.1]:9090", "0.0.0.0:80", "169.254.169.254:80"] {
            assert!(!may(inside), "{inside}");
        }
        let pod = world.inventory.workloads[1].address;
        assert!(!may(&format!("{pod}:5432")), "another pod, by way of whoever answers for the name");
    }
}
