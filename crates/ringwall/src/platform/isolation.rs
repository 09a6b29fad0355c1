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
use ringwall_kernel::namespace::keep::{Keeper, PATIENCE};
use ringwall_kernel::namespace::node::Node;
use ringwall_kernel::namespace::{IsolationError, Namespace, Standing};
use ringwall_kernel::socket::{self, Opener, Passage};
use ringwall_manifest::World;
use ringwall_model::Millis;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
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
    /// Where the process that keeps the node is asked for; `None`: the node ends with this process.
    folder: Option<PathBuf>,
    /// Why nobody keeps it.
    unkept: Mutex<Option<String>>,
    /// Homes that an earlier wall left; so it is a node that is not ours to end when this one does not come up.
    adopted: usize,
}

/// A wall that has not come up yet: its node ends when it does not, unless an earlier wall left it.
pub struct Tried(pub Option<Arc<Isolation>>);

impl Tried {
    /// From now on its own end is the node's.
    pub fn came_up(mut self) {
        self.0 = None;
    }
}

impl Drop for Tried {
    fn drop(&mut self) {
        if let Some(isolation) = self.0.as_ref().filter(|isolation| isolation.adopted == 0) {
            isolation.end();
        }
    }
}

impl Isolation {
    /// Makes a node without workloads, or takes over the one that an earlier wall of that state folder left.
    ///
    /// # Errors
    /// With the step that failed.
    pub fn start(
        standing: Standing,
        current: Arc<ArcSwap<Current>>,
        established: Established,
        (outside, least): (Option<SocketAddr>, Millis),
        folder: Option<&Path>,
    ) -> Result<Self, IsolationError> {
        let node = match folder {
            Some(folder) => Node::kept(keeper(folder).map_err(|error| IsolationError::step("keep the node", error))?)?,
            None => Node::create()?,
        };
        let adopted = node.homes().count();
        let no_thread = |error| IsolationError::step("start a thread", error);
        let opener = Opener::start().map_err(no_thread)?;
        let filter = Filter::open(&node.router, established)
            .map_err(|error| IsolationError::step("open the packet filter", error))?;
        let filter = Arc::new(filter);
        let sources = names::Sources { current, filter: filter.clone(), outside, least: least.0.div_ceil(1000).max(1) };
        let resolvers = Resolvers::start(sources).map_err(no_thread)?;
        Ok(Self {
            standing,
            node: Mutex::new(node),
            homes: RwLock::default(),
            opener,
            resolvers,
            filter,
            folder: folder.map(Path::to_owned),
            unkept: Mutex::default(),
            adopted,
        })
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
        if world.inventory.workloads.iter().any(|workload| self.namespace(workload.address).is_none()) {
            self.keep_on().map_err(|error| IsolationError::step(NO_KEEPER, error))?;
        }
        let mut node = self.node();
        for workload in &world.inventory.workloads {
            let address = workload.address;
            if self.namespace(address).is_some() {
                continue;
            }
            let failed = |error| IsolationError::step(format!("make the home of {address} anew"), error);
            // Of a home that an earlier wall left somebody in it may have taken the doors meanwhile: it loses its link.
            if node.home(address).is_some_and(|home| !doors_are_free(&home.namespace, address)) {
                eprintln!("ringwall: the home of {} is made anew: a program in it has its doors", workload.full_name());
                node.remove(address).map_err(failed)?;
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

    /// When the process that keeps the node has ended, as when somebody killed it, or does not answer and is ended,
    /// another one keeps it from now on.
    ///
    /// # Errors
    /// Why there is none; then the node would end with this process.
    pub fn keep_on(&self) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let mut node = self.node();
        let lost = node.keeper().filter(|_| node.has_lost_its_keeper());
        let kept = match lost {
            None => Ok(()),
            Some(_) => node.bury_its_keeper().and_then(|()| keeper(folder)).and_then(|keeper| node.keep_by(keeper)),
        };
        if let (Some(lost), Ok(()), Some(process)) = (lost, &kept, node.keeper()) {
            eprintln!("ringwall: process {lost}, which kept the node, has ended; process {process} keeps it now");
        }
        let why = kept.as_ref().err().map(|error| format!("{NO_KEEPER}: {error}"));
        *self.unkept.lock().unwrap_or_else(PoisonError::into_inner) = why;
        kept
    }

    /// Why this wall is not ready: the kernel has other rules than were asked for, or nobody keeps the node.
    pub fn trouble(&self) -> Option<String> {
        let unkept = || self.unkept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.filter.trouble().or_else(unkept)
    }

    /// What becomes of the node when this process is killed, for people.
    pub fn kept(&self) -> String {
        if let Some(why) = &*self.unkept.lock().unwrap_or_else(PoisonError::into_inner) {
            return format!("node         NOT READY: {why}\n");
        }
        let Some(process) = self.node().keeper() else { return String::new() };
        let adopted = if self.adopted > 0 { ", taken over from an earlier wall" } else { "" };
        format!("node         kept by process {process} when this one is killed{adopted}\n")
    }

    /// The end of the wall is the end of the node.
    pub fn end(&self) {
        self.node().end();
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

/// What cannot be done without one: no World with new homes is taken, and the wall is not ready.
const NO_KEEPER: &str = "the process that keeps the node has ended, and no other could be started";

/// The process that keeps the node of a state folder, started when there is none.
fn keeper(folder: &Path) -> io::Result<Keeper> {
    match Keeper::take(folder, PATIENCE)? {
        Some(keeper) => Ok(keeper),
        None => Keeper::start(folder, Command::new(std::env::current_exe()?).arg("keep")),
    }
}

/// Whether nobody listens at the doors of a home.
fn doors_are_free(home: &Namespace, address: IpAddr) -> bool {
    let any = socket::any(address);
    let doors = [intercept::INBOUND, intercept::OUTBOUND, intercept::NAMES];
    let free = || doors.iter().try_for_each(|door| socket::listen(SocketAddr::new(any, *door), 1).map(drop));
    home.run(free).is_ok()
}
