//! Starts the built-in applications: the demo's services, and echo stand-ins, each on a loopback socket of its own, all
//! on one thread.
//!
//! In: workloads and ports. Out: where each listens. Never: an address other than loopback, or inside a workload's home.

use super::force::Current;
use super::isolation::Isolation;
use super::{Live, Platform};
use crate::demo::app::{App, Peers, Reached, ThroughListener, serve};
use arc_swap::ArcSwap;
use ringwall_kernel::socket::Passage;
use ringwall_manifest::world::StandIn;
use ringwall_model::{Protocol, Role, Workload};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc;

/// What the applications' thread is told.
enum Order {
    /// Starts one.
    Start(Start),
    /// Ends the one that listens there.
    End(SocketAddr),
}

/// One application to start.
struct Start {
    /// The application.
    app: Arc<App>,
    /// Already bound, so that its address is known before it answers.
    socket: std::net::TcpListener,
}

/// The running applications; dropping it ends them.
pub struct Apps {
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    more: tokio::sync::mpsc::UnboundedSender<Order>,
}

impl Apps {
    /// Starts the thread that runs applications.
    ///
    /// # Errors
    /// What the system said when the thread or its runtime could not be made.
    pub fn start() -> std::io::Result<Self> {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (more, mut starts) = tokio::sync::mpsc::unbounded_channel::<Order>();
        let (ready, wait) = mpsc::channel();
        let thread = std::thread::Builder::new().name("apps".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime.map_err(|error| ready.send(Err(error))) else { return };
            let local = tokio::task::LocalSet::new();
            local.spawn_local(async move {
                let mut running = std::collections::BTreeMap::new();
                while let Some(order) = starts.recv().await {
                    match order {
                        Order::Start(Start { app, socket }) => {
                            let at = socket.local_addr();
                            if let (Ok(at), Ok(listener)) = (at, tokio::net::TcpListener::from_std(socket)) {
                                running.insert(at, tokio::task::spawn_local(serve(app, listener)));
                            }
                        }
                        Order::End(at) => {
                            if let Some(task) = running.remove(&at) {
                                task.abort();
                            }
                        }
                    }
                }
            });
            ready.send(Ok(())).unwrap_or(());
            local.block_on(&runtime, async { stopped.await.unwrap_or(()) });
        })?;
        wait.recv().map_err(std::io::Error::other)??;
        Ok(Self { stop: Some(stop), thread: Some(thread), more })
    }

    /// Starts an application and says where it listens.
    ///
    /// # Errors
    /// What the system said when no socket could be had.
    pub fn add(&self, app: Arc<App>) -> std::io::Result<SocketAddr> {
        self.add_at(app, std::net::TcpListener::bind("127.0.0.1:0")?)
    }

    /// Starts an application at a socket that is bound already.
    ///
    /// # Errors
    /// What the system said of the socket.
    pub fn add_at(&self, app: Arc<App>, socket: std::net::TcpListener) -> std::io::Result<SocketAddr> {
        socket.set_nonblocking(true)?;
        let at = socket.local_addr()?;
        self.more
            .send(Order::Start(Start { app, socket }))
            .map_err(|_| std::io::Error::other("applications have ended"))?;
        Ok(at)
    }
}

impl Apps {
    /// Ends the application that listens there.
    pub fn remove(&self, at: SocketAddr) {
        self.more.send(Order::End(at)).unwrap_or(());
    }
}

impl Platform {
    /// Starts the built-in applications of workloads that have none of their own yet. An isolated workload has one only
    /// where stand-ins were asked for: its own program is started in its home.
    pub(super) fn start_apps(&self, current: &Current, live: &mut Live) {
        for listener in current.bound.values().filter(|listener| listener.role == Role::Inbound) {
            let Some(workload) = current.world.inventory.workload(listener.workload) else { continue };
            let key = (workload.address, listener.address.port());
            if live.started.contains_key(&key) || workload.annotations.contains_key(COMMAND) {
                continue;
            }
            if let Some(address) = workload.app_address.filter(|_| self.isolation.is_none()) {
                let own = SocketAddr::new(address, listener.address.port());
                self.binds.set_app(key.0, key.1, own);
                live.started.insert(key, own);
                continue;
            }
            let is_provider =
                &*workload.app == "keycloak" || workload.labels.get("app").is_some_and(|app| &**app == "keycloak");
            let app = Arc::new(App {
                workload: workload.full_name(),
                name: workload.labels.get("app").map_or_else(|| workload.app.to_string(), ToString::to_string),
                peers: self.peers(current, workload),
                provider: is_provider.then(|| self.provider.clone()),
                raw: matches!(listener.protocol, Protocol::Tcp | Protocol::Tls),
            });
            if let Some(isolation) = &self.isolation {
                if self.options.stand_in == StandIn::Workloads
                    && let Ok(at) = self.start_inside(isolation, app.clone(), key)
                {
                    live.started.insert(key, at);
                }
                // What the wall itself fetches of it comes by the machine's loopback.
                if !is_provider {
                    continue;
                }
            }
            if let Ok(at) = self.apps.add(app) {
                self.binds.set_app(key.0, key.1, at);
                live.started.entry(key).or_insert(at);
            }
        }
    }

    fn start_inside(
        &self,
        isolation: &Isolation,
        app: Arc<App>,
        (home, port): (IpAddr, u16),
    ) -> std::io::Result<SocketAddr> {
        let mut sockets = isolation.listen(home, SocketAddr::new(home, port), 1)?;
        self.apps.add_at(app, sockets.pop().ok_or(std::io::ErrorKind::NotFound)?)
    }

    /// How a workload's application reaches its peers.
    fn peers(&self, current: &Current, workload: &Workload) -> Option<Arc<dyn Peers>> {
        if let Some(isolation) = &self.isolation {
            let current = self.force.current.clone();
            return Some(Arc::new(Inside { isolation: isolation.clone(), home: workload.address, current }));
        }
        let outbound = current.listener(Role::Outbound, &workload.full_name(), None)?;
        Some(Arc::new(ThroughListener(outbound.bind)))
    }
}

/// The annotation that names a workload's own program.
pub const COMMAND: &str = "ringwall.dev/command";

/// From inside the workload's home, at the service's virtual address, as any program would.
struct Inside {
    isolation: Arc<Isolation>,
    home: IpAddr,
    current: Arc<ArcSwap<Current>>,
}

impl Peers for Inside {
    fn reach<'a>(&'a self, host: &'a str, port: u16) -> Reached<'a> {
        Box::pin(async move {
            let current = self.current.load_full();
            let inventory = &current.world.inventory;
            let service = inventory.service_of(host).and_then(|id| inventory.service(id));
            let service = service.ok_or(std::io::ErrorKind::NotFound)?;
            let to = SocketAddr::new(ringwall_manifest::virtual_address(service), port);
            self.isolation.connect(self.home, to, Passage::Intercepted).await
        })
    }
}

impl Drop for Apps {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).unwrap_or(());
        }
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap_or(());
        }
    }
}
