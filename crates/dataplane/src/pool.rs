//! Connections to upstreams that can be used again, one pool a thread; and the limits of each cluster, over all threads.
//!
//! In: connections that are ready for another request. Out: the same, if they are still good. Never: policy.
//! INVARIANT: a connection is only given to a request with the same destination, TLS and source identity.

use crate::clock;
use crate::engine::Shared;
use crate::http1::client::Connection;
use crate::http2;
use crate::page::{Place, PoolLimits};
use ringwall_pki::Verified;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::time::Instant;

/// What two requests must share to share a connection.
#[derive(Clone, Debug)]
pub(crate) struct Key(Arc<Place>);

impl Key {
    /// Of a hop to one place.
    pub(crate) const fn of(place: Arc<Place>) -> Self {
        Self(place)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for Key {}

/// Only what is short: what tells two places apart as a rule.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0.speaks, &self.0.to, self.0.cluster.len()).hash(state);
    }
}

/// The idle connections of one thread.
#[derive(Default)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<Key, VecDeque<Idle>>>,
    multiplexed: RefCell<HashMap<Key, Multiplexed>>,
}

/// A connection of its own, and what must outlive each of its requests.
pub(crate) struct Idle {
    /// The connection.
    pub connection: Connection,
    /// Its address.
    pub address: Option<SocketAddr>,
    /// Who answered on it.
    pub verified: Option<Rc<Verified>>,
    /// Counts it among the open ones.
    pub slot: Slot,
    since: Instant,
}

impl Idle {
    /// Ready for another request, from now.
    pub(crate) fn new(
        connection: Connection,
        address: Option<SocketAddr>,
        verified: Option<Rc<Verified>>,
        slot: Slot,
    ) -> Self {
        Self { connection, address, verified, slot, since: Instant::now() }
    }
}

/// An HTTP/2 connection that many requests share.
#[derive(Clone)]
pub(crate) struct Multiplexed {
    /// Where requests go in.
    pub sender: http2::Sender,
    /// Its address.
    pub address: Option<SocketAddr>,
    /// Who answered on it.
    pub verified: Option<Rc<Verified>>,
}

/// More idle connections than this to one endpoint are closed.
const MOST_IDLE: usize = 256;

impl Pool {
    /// A connection of its own that is still good.
    pub(crate) fn take(&self, key: &Key, limits: &PoolLimits, shared: &Shared) -> Option<Idle> {
        let mut all = self.idle.borrow_mut();
        let idle = all.get_mut(key)?;
        while let Some(mut one) = idle.pop_back() {
            let old = one.since.elapsed() > limits.idle.duration();
            let worn = limits.per_connection > 0 && one.connection.used >= limits.per_connection;
            if !old && !worn && is_welcome(one.verified.as_deref(), shared) && !one.connection.is_stale() {
                return Some(one);
            }
        }
        all.remove(key);
        None
    }

    /// Keeps a connection for the next request.
    pub(crate) fn keep(&self, key: Key, idle: Idle) {
        let mut all = self.idle.borrow_mut();
        let queue = all.entry(key).or_default();
        if queue.len() < MOST_IDLE {
            queue.push_back(idle);
        }
    }

    /// The shared connection of this hop, if it is still good.
    pub(crate) fn shared(&self, key: &Key, shared: &Shared) -> Option<Multiplexed> {
        let mut all = self.multiplexed.borrow_mut();
        let one = all.get(key)?;
        if one.sender.is_closed() || !is_welcome(one.verified.as_deref(), shared) {
            all.remove(key);
            return None;
        }
        Some(one.clone())
    }

    /// Shares a connection.
    pub(crate) fn share(&self, key: Key, one: Multiplexed) {
        self.multiplexed.borrow_mut().insert(key, one);
    }

    /// Stops sharing the connection of this hop.
    pub(crate) fn forget(&self, key: &Key) {
        self.multiplexed.borrow_mut().remove(key);
    }

    /// Closes what has been idle for too long; called from time to time.
    pub(crate) fn sweep(&self, longest: std::time::Duration) {
        let mut all = self.idle.borrow_mut();
        all.retain(|_, queue| {
            queue.retain(|one| one.since.elapsed() <= longest);
            !queue.is_empty()
        });
        self.multiplexed.borrow_mut().retain(|_, one| !one.sender.is_closed());
    }

    /// Closes everything.
    pub(crate) fn clear(&self) {
        self.idle.borrow_mut().clear();
        self.multiplexed.borrow_mut().clear();
    }
}

/// A server that was revoked after the handshake gets no further request.
fn is_welcome(verified: Option<&Verified>, shared: &Shared) -> bool {
    verified.is_none_or(|verified| shared.denylist.load().denies(verified, clock::now()).is_none())
}

/// More clusters than this are kept only while somebody uses them.
const MOST_CLUSTERS: usize = 4096;

/// What is open towards each cluster, over all threads.
#[derive(Debug, Default)]
pub struct Clusters {
    all: Mutex<HashMap<Arc<str>, Arc<Cluster>>>,
}

/// What is open towards one cluster.
#[derive(Debug, Default)]
pub struct Cluster {
    connections: AtomicU32,
    requests: AtomicU32,
}

/// What is open towards the cluster of an upstream: looked up once.
#[derive(Debug, Default)]
pub struct Open(OnceLock<Arc<Cluster>>);

impl Open {
    /// The counts, which all upstreams of that cluster share.
    pub(crate) fn of(&self, clusters: &Clusters, name: &Arc<str>) -> &Arc<Cluster> {
        self.0.get_or_init(|| clusters.named(name))
    }
}

impl Clone for Open {
    /// A changed copy may be of another cluster.
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// One of a limited number; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    cluster: Arc<Cluster>,
    of: fn(&Cluster) -> &AtomicU32,
}

impl Clusters {
    /// The cluster of this name. A host that a client names makes one, too: those that nobody uses are forgotten when
    /// there are many.
    pub(crate) fn named(&self, name: &Arc<str>) -> Arc<Cluster> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_CLUSTERS && !all.contains_key(name) {
            all.retain(|_, cluster| Arc::strong_count(cluster) > 1);
        }
        all.entry(name.clone()).or_default().clone()
    }
}

impl Cluster {
    /// Counts one more connection; `None` when the limit is reached.
    pub(crate) fn connection(self: &Arc<Self>, most: u32) -> Option<Slot> {
        Slot::take(self, |cluster| &cluster.connections, most)
    }

    /// Counts one more request; `None` when the limit is reached.
    pub(crate) fn request(self: &Arc<Self>, most: u32) -> Option<Slot> {
        Slot::take(self, |cluster| &cluster.requests, most)
    }
}

impl Slot {
    fn take(cluster: &Arc<Cluster>, of: fn(&Cluster) -> &AtomicU32, most: u32) -> Option<Self> {
        let more = |open: u32| (open < most).then_some(open.saturating_add(1));
        of(cluster).fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self { cluster: cluster.clone(), of })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        (self.of)(&self.cluster).fetch_sub(1, Ordering::Relaxed);
    }
}
