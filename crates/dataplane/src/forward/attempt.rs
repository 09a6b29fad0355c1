//! One try at one endpoint: a connection from the pool or a new one, the request, the head of the response.

use super::{Forwarding, Patience};
use crate::connect::{self, Unreachable};
use crate::http1::client::{Broken, Connection, GiveBack, Outgoing};
use crate::http2;
use crate::message::{Body, Response};
use crate::page::{Destination, Place, Speaks, UpstreamTls};
use crate::pool::{Idle, Key, Multiplexed, Slot};
use ringwall_model::{Millis, Scheme, UpstreamChange};
use ringwall_pki::Verified;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use tokio::time::Instant;

/// One try.
pub(super) struct Attempt<'a> {
    pub of: &'a Forwarding<'a>,
    pub to: &'a Arc<Place>,
}

/// What became of it.
pub(super) enum Fate {
    /// A response came.
    Answered { response: Response, address: Option<SocketAddr> },
    /// No connection could be opened.
    Unreachable { why: Unreachable, address: Option<SocketAddr> },
    /// The connection broke.
    Broken { why: Broken, address: Option<SocketAddr> },
    /// Not within the time for one try.
    Late { address: Option<SocketAddr> },
    /// A service of HTTP/2 that takes WebSockets neither in its streams nor in HTTP/1.
    NoSockets { address: Option<SocketAddr> },
    /// The pool is full.
    Overflow,
}

impl Fate {
    pub(super) const fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Answered { address, .. }
            | Self::Unreachable { address, .. }
            | Self::NoSockets { address }
            | Self::Late { address } => *address,
            // A client that broke off says nothing about the endpoint.
            Self::Broken { why: Broken::Request(_), .. } | Self::Overflow => None,
            Self::Broken { address, .. } => *address,
        }
    }

    pub(super) const fn status(&self) -> Option<u16> {
        match self {
            Self::Answered { response, .. } => Some(response.status),
            _ => None,
        }
    }
}

/// A connection of one kind or the other.
enum Way {
    Own(Idle, Reused),
    Shared(Multiplexed),
}

/// Whether a connection carried requests before: if it breaks at once, it was closed while idle, and nobody is to blame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reused {
    Yes,
    No,
}

impl Attempt<'_> {
    /// Runs it, within the time for one try.
    pub(super) async fn run(&self, body: Body) -> Fate {
        let address = match &self.to.to {
            Destination::Address(address) => Some(*address),
            Destination::Name(..) => None,
        };
        let per_try = self.of.upstream.per_try.filter(|span| *span > Millis(0));
        let mut patience = Patience::until(per_try.map(|span| Instant::now() + span.duration()));
        let mut going = pin!(self.go(body, address));
        poll_fn(|context| patience.poll(going.as_mut(), context)).await.unwrap_or(Fate::Late { address })
    }

    async fn go(&self, body: Body, address: Option<SocketAddr>) -> Fate {
        let key = Key::of(self.to.clone());
        let in_stream = self.to.speaks == Speaks::Http2 && self.of.upgrade.is_some();
        if in_stream && let Some(fate) = Box::pin(self.socket(&key, address)).await {
            return fate;
        }
        // Boxed, here and below: what seldom happens would make every call's future larger.
        let way = match self.at_hand(&key) {
            Some(way) => Ok(way),
            None => Box::pin(self.open(&key)).await,
        };
        let way = match way {
            Ok(way) => way,
            Err(Closed::Unreachable(why)) => return Fate::Unreachable { why, address },
            Err(Closed::Overflow) => return Fate::Overflow,
        };
        let real = match &way {
            Way::Own(idle, _) => idle.address,
            Way::Shared(shared) => shared.address,
        };
        // The manifests' address when there is one: it is what people know the endpoint by.
        let address = address.or(real);
        let sent = match way {
            Way::Shared(shared) => Box::pin(self.share(shared, &key, body)).await,
            Way::Own(idle, reused) => {
                // A body that has bytes may have lost some to a connection that was closed while idle.
                let may_repeat = reused == Reused::Yes && body.is_over();
                let (connection, give_back) = self.lend(idle, &key);
                match connection.send(&self.outgoing(), body, give_back).await {
                    Err(Broken::BeforeAnswer) if may_repeat => Box::pin(self.fresh(&key)).await,
                    sent => sent,
                }
            }
        };
        match sent {
            Ok(response) => Fate::Answered { response, address },
            Err(_) if in_stream => Fate::NoSockets { address },
            Err(why) => Fate::Broken { why, address },
        }
    }

    /// A WebSocket in a stream of HTTP/2 (RFC 8441); `None`: the service does not take it so, and is asked in HTTP/1.
    async fn socket(&self, key: &Key, address: Option<SocketAddr>) -> Option<Fate> {
        let shared = &self.of.conversation.shared;
        let mut way = match self.of.conversation.thread.pool.shared(key, shared) {
            Some(way) => way,
            None => {
                let Some(slot) = self.slot() else { return Some(Fate::Overflow) };
                let opened = match connect::open(shared, self.of.upstream, self.to).await {
                    Ok(opened) => opened,
                    Err(why) => return Some(Fate::Unreachable { why, address }),
                };
                if opened.speaks != Speaks::Http2 {
                    return None;
                }
                let verified = opened.verified.map(Rc::new);
                match self.multiplex(key, opened.io, opened.address, verified, slot).await {
                    Ok(Way::Shared(way)) => way,
                    Ok(Way::Own(..)) | Err(_) => return None,
                }
            }
        };
        if !way.sender.takes_sockets(shared.limits.detect).await {
            if way.sender.is_closed() {
                self.of.conversation.thread.pool.forget(key);
            }
            return None;
        }
        let address = address.or(way.address);
        Some(match way.sender.socket(&self.outgoing(), self.scheme()).await {
            Ok(response) => Fate::Answered { response, address },
            Err(why) => Fate::Broken { why, address },
        })
    }

    fn scheme(&self) -> Scheme {
        if self.to.tls == UpstreamTls::Clear { Scheme::Http } else { Scheme::Https }
    }

    /// One of the connections that the cluster may have.
    fn slot(&self) -> Option<Slot> {
        let slot = self.of.cluster.connection(self.of.upstream.limits.connections);
        if slot.is_none() {
            self.of.conversation.shared.changed(&self.of.upstream.cluster, UpstreamChange::Overflow);
        }
        slot
    }

    fn outgoing(&self) -> Outgoing<'_> {
        Outgoing {
            call: self.of.call,
            target: &self.of.call.target,
            fields: &self.of.fields,
            upgrade: self.of.upgrade.as_deref(),
        }
    }

    async fn share(&self, mut shared: Multiplexed, key: &Key, body: Body) -> Result<Response, Broken> {
        let sent = shared.sender.send(&self.outgoing(), self.scheme(), body).await;
        if matches!(sent, Err(Broken::BeforeAnswer)) && shared.sender.is_closed() {
            self.of.conversation.thread.pool.forget(key);
        }
        sent
    }

    /// A connection for one request, and what takes it back.
    fn lend(&self, idle: Idle, key: &Key) -> (Connection, GiveBack) {
        let Idle { connection, address, verified, slot, .. } = idle;
        let (thread, key) = (self.of.conversation.thread.clone(), key.clone());
        // Opened for HTTP/1 where others speak HTTP/2: nobody else may get it.
        let is_odd = self.to.speaks == Speaks::Http2 && self.of.upgrade.is_some();
        let give_back = Box::new(move |connection: Connection| {
            if !*thread.draining.borrow() && !is_odd {
                thread.pool.keep(key, Idle::new(connection, address, verified, slot));
            }
        });
        (connection, give_back)
    }

    /// The same request on a new connection, after one that was reused broke before it answered.
    async fn fresh(&self, key: &Key) -> Result<Response, Broken> {
        let Ok(Way::Own(idle, _)) = self.open(key).await else { return Err(Broken::BeforeAnswer) };
        let (connection, give_back) = self.lend(idle, key);
        connection.send(&self.outgoing(), Body::empty(), give_back).await
    }

    /// A connection that is open already.
    fn at_hand(&self, key: &Key) -> Option<Way> {
        let pool = &self.of.conversation.thread.pool;
        let shared = &self.of.conversation.shared;
        if self.to.speaks == Speaks::Http2
            && self.of.upgrade.is_none()
            && let Some(multiplexed) = pool.shared(key, shared)
        {
            return Some(Way::Shared(multiplexed));
        }
        pool.take(key, &self.of.upstream.limits, shared).map(|idle| Way::Own(idle, Reused::Yes))
    }

    async fn open(&self, key: &Key) -> Result<Way, Closed> {
        let shared = &self.of.conversation.shared;
        let Some(slot) = self.slot() else { return Err(Closed::Overflow) };
        // A service that takes no WebSockets in streams may know them in HTTP/1.
        let upgrades = self.of.upgrade.is_some();
        let opened = if upgrades && self.to.speaks == Speaks::Http2 {
            connect::open_as(shared, self.of.upstream, self.to, vec![b"http/1.1".to_vec()]).await
        } else {
            connect::open(shared, self.of.upstream, self.to).await
        };
        let opened = opened.map_err(Closed::Unreachable)?;
        let verified = opened.verified.map(Rc::new);
        match opened.speaks {
            Speaks::Http2 if !upgrades => self.multiplex(key, opened.io, opened.address, verified, slot).await,
            Speaks::Http1 | Speaks::Http2 => {
                Ok(Way::Own(Idle::new(Connection::new(opened.io), opened.address, verified, slot), Reused::No))
            }
        }
    }

    async fn multiplex(
        &self,
        key: &Key,
        io: Box<dyn crate::link::Io>,
        address: Option<SocketAddr>,
        verified: Option<Rc<Verified>>,
        slot: Slot,
    ) -> Result<Way, Closed> {
        let sender = http2::client::handshake(io, slot).await;
        let sender = sender.map_err(|_| Closed::Unreachable(Unreachable::Refused("HTTP/2 preface failed")))?;
        let multiplexed = Multiplexed { sender, address, verified };
        self.of.conversation.thread.pool.share(key.clone(), multiplexed.clone());
        Ok(Way::Shared(multiplexed))
    }
}

enum Closed {
    Unreachable(Unreachable),
    Overflow,
}
