//! The engine: worker threads with listeners on them, and the handles to all that lives there.
//!
//! In: listeners that others have bound, what to ask ([`Page`]), how to dial ([`Dial`]), whom to tell ([`EventSink`]).
//! Out: connections served. Never: binding, files, configuration. Start reading at [`Engine::start`].

use crate::accept::Entrance;
use crate::page::{Destination, Local, Page};
use crate::pool::Clusters;
use crate::registry::{Registry, Selector};
use crate::tls::{Credentials, Denials};
use crate::worker::{self, Command};
use arc_swap::ArcSwap;
use ringwall_model::{Event, Layer, Listener, Reason, UpstreamChange};
use ringwall_pki::Denylist;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// What all workers share.
pub struct Shared {
    /// Policy.
    pub page: Arc<dyn Page>,
    /// Certificates and keys; swapped whole.
    pub credentials: ArcSwap<Credentials>,
    /// Who was revoked; store first, then [`Engine::cut`].
    pub denylist: Denials,
    /// How an address of the manifests becomes a connection.
    pub dial: Arc<dyn Dial>,
    /// Where events go.
    pub events: Arc<dyn EventSink>,
    /// Live connections.
    pub registry: Arc<Registry>,
    /// What is open towards each cluster.
    pub clusters: Clusters,
    /// Times and sizes.
    pub limits: Limits,
}

impl Shared {
    /// With no credentials yet, nobody revoked, and the default limits.
    pub fn new(page: Arc<dyn Page>, dial: Arc<dyn Dial>, events: Arc<dyn EventSink>) -> Self {
        let limits = Limits::default();
        Self {
            page,
            credentials: ArcSwap::from_pointee(Credentials::default()),
            denylist: Arc::new(ArcSwap::from_pointee(Denylist::default())),
            dial,
            events,
            registry: Arc::new(Registry::new(limits.connections)),
            clusters: Clusters::default(),
            limits,
        }
    }
}

impl Shared {
    /// Tells what happened towards a cluster.
    pub(crate) fn changed(&self, cluster: &Arc<str>, change: UpstreamChange) {
        self.events.tell(Event::Upstream { cluster: cluster.clone(), change });
    }
}

/// Opens connections to where destinations really are.
pub trait Dial: Send + Sync + 'static {
    /// Connects on behalf of a workload, by its name (`namespace/name`): its number is another in another World. The
    /// engine sees to time limits.
    fn dial<'a>(&'a self, caller: &'a str, to: &'a Destination) -> Local<'a, io::Result<TcpStream>>;
}

/// Receives what happened. Called on worker threads: it must not block.
pub trait EventSink: Send + Sync + 'static {
    /// One event.
    fn tell(&self, event: Event);
}

/// Times and sizes of the engine.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For a head to come, from its first byte.
    pub head: Duration,
    /// For a TLS handshake or a PROXY header.
    pub handshake: Duration,
    /// For the first byte where TLS and clear text are both welcome; then it is taken for a server-first protocol.
    pub detect: Duration,
    /// Between two requests of a connection.
    pub idle: Duration,
    /// Without a byte either way in a tunnel or a TCP connection.
    pub tunnel_idle: Duration,
    /// Streams of one HTTP/2 connection.
    pub streams: u32,
    /// Bytes of a request body that are kept for a retry.
    pub replay: usize,
    /// Live connections of the whole engine.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            detect: Duration::from_secs(1),
            idle: Duration::from_secs(60),
            tunnel_idle: Duration::from_secs(3600),
            streams: 100,
            replay: 64 * 1024,
            connections: 100_000,
        }
    }
}

/// Names a listener of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(u64);

/// Worker threads and their listeners.
pub struct Engine {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    next: AtomicU64,
}

struct Worker {
    commands: UnboundedSender<Command>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts so many worker threads.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub fn start(workers: usize, shared: Arc<Shared>) -> io::Result<Self> {
        let workers = (0..workers.max(1)).map(|number| start_worker(number, shared.clone()));
        Ok(Self { workers: workers.collect::<io::Result<_>>()?, shared, next: AtomicU64::new(0) })
    }

    /// Serves a listener: one bound, listening socket a worker (`SO_REUSEPORT`). With fewer sockets than workers, the
    /// rest of the workers do not serve it.
    ///
    /// # Errors
    /// When a socket cannot be used without blocking.
    pub fn listen(&self, listener: Listener, sockets: Vec<std::net::TcpListener>) -> io::Result<ListenerId> {
        self.accept(Entrance::Own(Arc::new(listener)), sockets)
    }

    /// The same for a door to which the kernel redirects connections that were meant for others: the page says of each
    /// which listener it is for ([`Page::meant`]).
    ///
    /// # Errors
    /// When a socket cannot be used without blocking.
    pub fn intercept(&self, door: Listener, sockets: Vec<std::net::TcpListener>) -> io::Result<ListenerId> {
        self.accept(Entrance::Door(Arc::new(door)), sockets)
    }

    fn accept(&self, entrance: Entrance, sockets: Vec<std::net::TcpListener>) -> io::Result<ListenerId> {
        let id = ListenerId(self.next.fetch_add(1, Ordering::Relaxed));
        sockets.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
        for (worker, socket) in self.workers.iter().zip(sockets) {
            // A worker that is gone was drained; it accepts nothing any more.
            let _ = worker.commands.send(Command::Listen { id, entrance: entrance.clone(), socket });
        }
        Ok(id)
    }

    /// Accepts no more on a listener. Its connections live on.
    pub fn close(&self, id: ListenerId) {
        for worker in &self.workers {
            let _ = worker.commands.send(Command::Close(id));
        }
    }

    /// Cuts the selected connections at once, by that rule, and says how many they were.
    pub fn cut(&self, selector: &Selector, by: (Layer, Reason)) -> usize {
        self.shared.registry.cut(selector, Some(by))
    }

    /// Has the page asked again about all that was admitted and still goes on, and ends what it refuses now: after a new
    /// World, a block of a user, a tenant or a token, a revocation. Says how many ended within that time.
    pub fn judge_again(&self, patience: Duration) -> usize {
        let (ended, all) = std::sync::mpsc::channel();
        for worker in &self.workers {
            let _ = worker.commands.send(Command::Judge { ended: ended.clone() });
        }
        drop(ended);
        let until = Instant::now() + patience;
        let next = || all.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
        std::iter::from_fn(next).sum()
    }

    /// Stops: accepts nothing more, lets requests finish until the deadline, then cuts what is left. Says how many
    /// connections were cut.
    pub fn drain(mut self, deadline: Duration) -> usize {
        let until = Instant::now() + deadline;
        for worker in &self.workers {
            let _ = worker.commands.send(Command::Drain { until });
        }
        let threads = self.workers.iter_mut().filter_map(|worker| worker.thread.take()).collect::<Vec<_>>();
        threads.into_iter().for_each(|thread| drop(thread.join()));
        self.shared.registry.cut(&Selector::All, None)
    }

    /// What the workers share.
    pub const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

fn start_worker(number: usize, shared: Arc<Shared>) -> io::Result<Worker> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (commands, inbox) = unbounded_channel();
    let thread = std::thread::Builder::new()
        .name(format!("worker-{number}"))
        .spawn(move || tokio::task::LocalSet::new().block_on(&runtime, worker::run(shared, inbox)))?;
    Ok(Worker { commands, thread: Some(thread) })
}
