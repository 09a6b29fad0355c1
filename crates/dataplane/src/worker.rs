//! One worker thread: its listeners, its pool, its connections.
//!
//! Nothing here is shared with other workers but [`Shared`]; futures stay on their thread.

use crate::accept::{self, Entrance};
use crate::clock;
use crate::engine::{ListenerId, Shared};
use crate::pool::Pool;
use crate::registry::Cut;
use crate::standing::{Entry, Standing};
use crate::telling::Telling;
use bytes::Bytes;
use ringwall_head::{Settings, call::Context};
use ringwall_model::{ClientOrigin, Listener, Peer, Scheme};
use std::cell::Cell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What a worker is told.
pub(crate) enum Command {
    /// Accept here.
    Listen {
        /// Its name.
        id: ListenerId,
        /// What it is.
        entrance: Entrance,
        /// Bound and listening.
        socket: std::net::TcpListener,
    },
    /// Accept no more there.
    Close(ListenerId),
    /// Ask the page again about all that goes on, and say how many ended by that.
    Judge {
        /// For the answer.
        ended: std::sync::mpsc::Sender<usize>,
    },
    /// Finish, and end at the latest then.
    Drain {
        /// The deadline.
        until: Instant,
    },
}

/// What the connections of one thread share.
pub(crate) struct Thread {
    /// What all threads share.
    pub shared: Arc<Shared>,
    /// Connections to upstreams.
    pub pool: Pool,
    /// Becomes true when the engine drains.
    pub draining: watch::Receiver<bool>,
    /// Texts that most events hold.
    pub words: Words,
    /// What was admitted and still goes on.
    pub standing: Standing,
    /// Copies for mirrors that are under way.
    pub copies: Cell<usize>,
    /// Events of calls that are not told yet.
    pub telling: Rc<Telling>,
}

/// Texts that most events hold: made once a thread.
pub(crate) struct Words {
    /// `-`
    pub none: Arc<str>,
    /// `via_upstream`
    pub via_upstream: Arc<str>,
}

/// One connection's facts, for all that is done on it.
pub(crate) struct Conversation {
    /// What all threads share.
    pub shared: Arc<Shared>,
    /// What this thread shares.
    pub thread: Rc<Thread>,
    /// Where it came in.
    pub listener: Arc<Listener>,
    /// Who is at the other end.
    pub peer: Peer,
    /// Where the peer's address came from.
    pub origin: ClientOrigin,
    /// The local end, as the manifests name it.
    pub local: SocketAddr,
    /// The workload whose listener it is, as it was named when the connection came.
    pub workload: Arc<str>,
    /// What tells that the connection is cut.
    pub cut: Arc<Cut>,
    /// The peer's address as text, for `x-forwarded-for`.
    pub forwarded: Bytes,
}

impl Conversation {
    /// What a head is read with.
    pub(crate) fn context<'a>(&self, settings: &'a Settings) -> Context<'a> {
        Context {
            id: clock::call_id(),
            received: clock::now(),
            scheme: self.scheme(),
            peer: self.peer.clone(),
            origin: self.origin,
            local: self.local,
            settings,
        }
    }

    /// Whether the connection has TLS.
    pub(crate) const fn scheme(&self) -> Scheme {
        if self.peer.tls.is_some() { Scheme::Https } else { Scheme::Http }
    }

    /// Whether the engine drains.
    pub(crate) fn is_draining(&self) -> bool {
        *self.thread.draining.borrow()
    }

    /// Waits until the engine drains.
    pub(crate) async fn until_drain(&self) {
        let mut draining = self.thread.draining.clone();
        if draining.wait_for(|draining| *draining).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Lets everything else that is ready on this thread go first, once. Asked before each stage of a call (head, page,
/// forwarding, writes): calls then come to it one behind the other, and find its code near and the receivers awake. A call
/// that is alone goes on at once.
pub(crate) async fn turn() {
    let mut asked = false;
    poll_fn(|context| {
        if asked {
            return Poll::Ready(());
        }
        asked = true;
        GAVE_WAY.set(true);
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

thread_local!(static GAVE_WAY: Cell<bool> = const { Cell::new(false) });

/// Whether a turn was given away on this thread since this was asked last.
pub(crate) fn gave_way() -> bool {
    GAVE_WAY.replace(false)
}

/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(5);

/// Runs a worker until it is drained.
pub(crate) async fn run(shared: Arc<Shared>, mut inbox: UnboundedReceiver<Command>) {
    let (drain, draining) = watch::channel(false);
    let words = Words { none: "-".into(), via_upstream: "via_upstream".into() };
    let (pool, standing, copies) = Default::default();
    let telling = Telling::start(shared.clone());
    let thread = Rc::new(Thread { shared, pool, draining, words, standing, copies, telling });
    let mut accepting: HashMap<ListenerId, AbortHandle> = HashMap::new();
    let mut sweep = tokio::time::interval(SWEEP);
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let until = loop {
        let command = tokio::select! {
            command = inbox.recv() => command,
            _ = sweep.tick() => {
                thread.pool.sweep(thread.shared.limits.idle);
                continue;
            }
            _ = second.tick() => {
                let expired = thread.standing.expired(Some(clock::now()));
                if !expired.is_empty() {
                    tokio::task::spawn_local(judge(expired));
                }
                continue;
            }
        };
        match command {
            Some(Command::Listen { id, entrance, socket }) => {
                // A socket that cannot be registered was closed by whoever gave it.
                if let Ok(socket) = tokio::net::TcpListener::from_std(socket) {
                    let task = tokio::task::spawn_local(accept::listen(thread.clone(), entrance, socket));
                    accepting.insert(id, task.abort_handle());
                }
            }
            Some(Command::Close(id)) => {
                if let Some(task) = accepting.remove(&id) {
                    task.abort();
                }
            }
            Some(Command::Judge { ended }) => {
                let all = thread.standing.expired(None);
                // Nobody may be waiting for the number any more.
                tokio::task::spawn_local(async move {
                    let _ = ended.send(judge(all).await);
                });
            }
            Some(Command::Drain { until }) => break until,
            None => break Instant::now(),
        }
    };
    accepting.values().for_each(AbortHandle::abort);
    let _ = drain.send(true);
    thread.pool.clear();
    finish(&thread, until).await;
}

/// Asks the page about each; calls of others come between.
async fn judge(entries: Vec<Rc<Entry>>) -> usize {
    let mut ended = 0;
    for entry in entries {
        ended += usize::from(entry.judge().await);
        tokio::task::yield_now().await;
    }
    ended
}

/// Waits until no connection of this thread is left, or until the deadline.
async fn finish(thread: &Rc<Thread>, until: Instant) {
    let left = until.saturating_duration_since(Instant::now());
    let mut look = tokio::time::interval(Duration::from_millis(5));
    // Each connection holds its thread; the worker itself holds it once.
    let empty = async {
        while Rc::strong_count(thread) > 1 {
            look.tick().await;
        }
    };
    // What is left at the deadline is cut when the runtime ends.
    let _ = tokio::time::timeout(left, empty).await;
}
