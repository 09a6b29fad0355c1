//! One machine, isolated: each workload of the World has a network namespace with the manifest's address, and the data
//! plane's doors are inside it.
//!
//! In: Worlds. Out: homes, doors, connections from inside a home. Never: a change in the namespace of the machine, and no
//! packet of a workload leaves the node: what goes out goes through the data plane.
//! INVARIANT: a home's link is up only after its doors are open and the rules for it are in force.

mod commands;
pub mod filter;
pub mod names;

use super::force::Current;
use arc_swap::ArcSwap;
use filter::{Established, Filter};
use names::Resolvers;
use ringwall_kernel::intercept;
use ringwall_kernel::namespace::node::Node;
use ringwall_kernel::namespace::{IsolationError, Namespace, Standing};
use ringwall_kernel::socket::{self, Opener, Passage};
use ringwall_manifest::World;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::net::{TcpSocket, TcpStream};

/// The node of this run.
pub struct Isolation {
    /// How its namespaces could be made.
    pub standing: Standing,
    node: Mutex<Node>,
    /// Namespaces by address, for those who connect.
    homes: RwLock<BTreeMap<IpAddr, Namespace>>,
    opener: Opener,
    resolvers: Resolvers,
    /// The packet filter.
    pub filter: Arc<Filter>,
}

impl Isolation {
    /// Makes a node without workloads.
    ///
    /// # Errors
    /// With the step that failed.
    pub fn start(
        standing: Standing,
        current: Arc<ArcSwap<Current>>,
        established: Established,
        outside: Option<SocketAddr>,
    ) -> Result<Self, IsolationError> {
        let node = Node::create()?;
        let no_thread = |error| IsolationError::step("start a thread", error);
        let opener = Opener::start().map_err(no_thread)?;
        let filter = Filter::open(&node.router, established)
            .map_err(|error| IsolationError::step("open the packet filter", error))?;
        let filter = Arc::new(filter);
        let sources = names::Sources { current, filter: filter.clone(), outside };
        let resolvers = Resolvers::start(sources).map_err(no_thread)?;
        Ok(Self { standing, node: Mutex::new(node), homes: RwLock::default(), opener, resolvers, filter })
    }

    /// The node.
    pub fn node(&self) -> MutexGuard<'_, Node> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the homes that a World's workloads have not got yet; their links are down.
    ///
    /// # Errors
    /// Which home could not be made.
    pub fn make_homes(&self, world: &World) -> Result<(), IsolationError> {
        let mut node = self.node();
        for workload in &world.inventory.workloads {
            let address = workload.address;
            if node.home(address).is_some() {
                continue;
            }
            let namespace = node.add(address)?.namespace;
            let furnished = self.furnish(&namespace, address, workload.in_mesh);
            furnished.map_err(|error| IsolationError::step(format!("furnish the home of {address}"), error))?;
            self.write().insert(address, namespace);
        }
        Ok(())
    }

    /// Interception and the resolver of a home.
    fn furnish(&self, home: &Namespace, address: IpAddr, in_mesh: bool) -> io::Result<()> {
        let reach = if in_mesh { intercept::Reach::All } else { intercept::Reach::Names };
        let loopback = if address.is_ipv4() { IpAddr::from([127, 0, 0, 1]) } else { Ipv6Addr::LOCALHOST.into() };
        let at = SocketAddr::new(loopback, intercept::NAMES);
        let (datagrams, mut streams) = home.run(|| {
            intercept::apply(reach).map_err(io::Error::other)?;
            Ok((socket::datagrams(at)?, socket::listen(at, 1)?))
        })?;
        if let Some(streams) = streams.pop() {
            self.resolvers.serve(address, datagrams, streams);
        }
        Ok(())
    }

    /// Opens the links of all homes of a World, and removes the homes that it has no more.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn settle(&self, world: &World) -> io::Result<()> {
        let mut node = self.node();
        let wanted: BTreeSet<IpAddr> = world.inventory.workloads.iter().map(|workload| workload.address).collect();
        let gone: Vec<IpAddr> = node.homes().map(|(at, _)| at).filter(|at| !wanted.contains(at)).collect();
        for address in gone {
            self.write().remove(&address);
            self.resolvers.end(address);
            node.remove(address)?;
        }
        wanted.into_iter().try_for_each(|address| node.open(address))
    }

    /// A workload's namespace.
    pub fn namespace(&self, address: IpAddr) -> Option<Namespace> {
        self.homes.read().unwrap_or_else(PoisonError::into_inner).get(&address).cloned()
    }

    /// Listening sockets in the home of `home`.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn listen(&self, home: IpAddr, at: SocketAddr, workers: usize) -> io::Result<Vec<std::net::TcpListener>> {
        let namespace = self.namespace(home).ok_or(io::ErrorKind::NotFound)?;
        namespace.run(|| socket::listen(at, workers))
    }

    /// Connects from a workload's home.
    ///
    /// # Errors
    /// What the network said.
    pub async fn connect(&self, home: IpAddr, to: SocketAddr, passage: Passage) -> io::Result<TcpStream> {
        let namespace = self.namespace(home).ok_or(io::ErrorKind::NotFound)?;
        let (told, opened) = tokio::sync::oneshot::channel();
        // Whoever waited may have given up meanwhile.
        let tell = move |socket| drop(told.send(socket));
        self.opener.ask(&namespace, move || socket::stream(to.ip(), passage), tell);
        let socket = opened.await.map_err(|_| io::Error::other("the opener has ended"))??;
        TcpSocket::from_std_stream(socket.into()).connect(to).await
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<IpAddr, Namespace>> {
        self.homes.write().unwrap_or_else(PoisonError::into_inner)
    }
}
