//! Starts the built-in applications: the demo's services, and echo stand-ins, each on a loopback socket of its own, all
//! on one thread.
//!
//! In: workloads and ports. Out: where each listens. Never: an address other than loopback.

use crate::demo::app::{App, serve};
use std::net::SocketAddr;
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
        let socket = std::net::TcpListener::bind("127.0.0.1:0")?;
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
