//! Every live connection, so that a block or a revocation cuts it.
//!
//! In: connections as they open, and [`Selector`]s. Out: a signal to each connection that is selected. Bounded: a
//! connection beyond the limit is refused.
//! INVARIANT: a connection is registered before the page is asked about its address, and its identity is noted before the
//! denylist is looked at again; whoever blocks or revokes first changes the list and then cuts. So no connection slips
//! through between the two.

use ringwall_model::{Layer, Reason, SpiffeId};
use ringwall_pki::{Denylist, Verified};
use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;
use tokio::sync::Notify;

/// Which connections.
#[derive(Clone, Debug)]
pub enum Selector {
    /// Those from these addresses.
    Addresses(Vec<ipnet::IpNet>),
    /// Those whose peer proved this identity.
    Identity(SpiffeId),
    /// Those whose peer's certificate, key, identity or issuer is denied.
    Denied(Arc<Denylist>, ringwall_model::Timestamp),
    /// All of them.
    All,
}

/// The live connections of one engine.
#[derive(Debug)]
pub struct Registry {
    live: Mutex<HashMap<u64, Entry>>,
    next: AtomicU64,
    most: usize,
}

#[derive(Debug)]
struct Entry {
    address: IpAddr,
    verified: Option<Verified>,
    cut: Arc<Cut>,
}

/// The end of one connection, as another thread asks for it.
#[derive(Debug, Default)]
pub struct Cut {
    is_asked: AtomicBool,
    asked: Notify,
    by: OnceLock<(Layer, Reason)>,
}

/// A registered connection; taken out when dropped.
pub struct Registration {
    registry: Arc<Registry>,
    number: u64,
    cut: Arc<Cut>,
    kept: RefCell<Vec<Box<dyn Any>>>,
}

impl Registry {
    /// With room for so many connections.
    pub fn new(most: usize) -> Self {
        Self { live: Mutex::default(), next: AtomicU64::new(0), most }
    }

    /// Registers a connection; `None` when there is no room.
    pub fn register(self: &Arc<Self>, address: IpAddr) -> Option<Registration> {
        let cut = Arc::<Cut>::default();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut live = self.lock();
        if live.len() >= self.most {
            return None;
        }
        live.insert(number, Entry { address, verified: None, cut: cut.clone() });
        Some(Registration { registry: self.clone(), number, cut, kept: RefCell::default() })
    }

    /// Cuts the selected connections and says how many they were. What goes on in them is told with the rule.
    pub fn cut(&self, selector: &Selector, by: Option<(Layer, Reason)>) -> usize {
        let live = self.lock();
        let selected = live.values().filter(|entry| entry.is_selected(selector));
        selected.map(|entry| entry.cut.ask(by)).count()
    }

    /// How many connections live.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none lives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_selected(&self, selector: &Selector) -> bool {
        match selector {
            Selector::Addresses(nets) => nets.iter().any(|net| net.contains(&self.address)),
            Selector::Identity(identity) => self.verified.as_ref().is_some_and(|peer| &peer.id == identity),
            Selector::Denied(denylist, now) => {
                self.verified.as_ref().is_some_and(|peer| denylist.denies(peer, *now).is_some())
            }
            Selector::All => true,
        }
    }
}

impl Cut {
    fn ask(&self, by: Option<(Layer, Reason)>) {
        if let Some(by) = by {
            // Who cut it first is told.
            let _ = self.by.set(by);
        }
        self.is_asked.store(true, Ordering::Release);
        self.asked.notify_one();
    }

    /// The rule that it was cut by.
    pub fn by(&self) -> Option<(Layer, Reason)> {
        self.by.get().copied()
    }
}

impl Registration {
    /// What tells its end.
    pub const fn cut(&self) -> &Arc<Cut> {
        &self.cut
    }

    /// Notes the address that a trusted PROXY protocol header gave.
    pub fn is_from(&self, address: IpAddr) {
        if let Some(entry) = self.registry.lock().get_mut(&self.number) {
            entry.address = address;
        }
    }

    /// Notes who the peer proved to be.
    pub fn is_peer(&self, verified: Verified) {
        if let Some(entry) = self.registry.lock().get_mut(&self.number) {
            entry.verified = Some(verified);
        }
    }

    /// Keeps what counts this connection for as long as it lives.
    pub fn keep(&self, guard: Option<Box<dyn Any>>) {
        self.kept.borrow_mut().extend(guard);
    }

    /// Waits until this connection is cut.
    pub async fn until_cut(&self) {
        self.cut.asked.notified().await;
    }

    /// Goes on with the connection until it ends or is cut; whether it was cut.
    ///
    /// To be awaited in a task of its own. Its waker stays the same: the cut is waited for once, and looked at after.
    pub(crate) async fn or_cut(&self, goes_on: impl Future<Output = ()>) -> bool {
        let (mut cut, mut goes_on) = (pin!(self.until_cut()), pin!(goes_on));
        let mut is_waited_for = false;
        poll_fn(|context| {
            if !is_waited_for || self.cut.is_asked.load(Ordering::Acquire) {
                is_waited_for = true;
                if cut.as_mut().poll(context).is_ready() {
                    return Poll::Ready(true);
                }
            }
            goes_on.as_mut().poll(context).map(|()| false)
        })
        .await
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.number);
    }
}
