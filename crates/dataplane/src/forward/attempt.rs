//! One try at one endpoint: a connection from the pool or a new one, the request, the head of the response.

use super::Forwarding;
use crate::connect::{self, Unreachable};
use crate::http1::client::{Broken, Connection, Outgoing};
use crate::http2;
use crate::message::{Body, Response};
use crate::page::{Destination, Place, Speaks, UpstreamTls};
use crate::pool::{Idle, Key, Multiplexed, Slot};
use ringwall_model::{Millis, Scheme, UpstreamChange};
use ringwall_pki::Verified;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::time::timeout;

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
    /// The pool is full.
    Overflow,
}

impl Fate {
    pub(super) const fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Answered { address, .. } | Self::Unreachable { address, .. } | Self::Late { address } => *address,
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
        match self.of.upstream.per_try.filter(|span| *span > Millis(0)) {
            None => self.go(body, address).await,
            Some(span) => timeout(span.duration(), self.go(body, address)).await.unwrap_or(Fate::Late { address }),
        }
    }

    async fn go(&self, body: Body, address: Option<SocketAddr>) -> Fate {
        let key = Key::of(self.to.clone());
        let way = match self.way(&key).await {
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
        match self.send(way, key, body).await {
            Ok(response) => Fate::Answered { response, address },
            Err(why) => Fate::Broken { why, address },
        }
    }

    async fn send(&self, way: Way, key: Key, body: Body) -> Result<Response, Broken> {
        let outgoing = Outgoing {
            call: self.of.call,
            target: &self.of.call.target,
            fields: &self.of.fields,
            upgrade: self.of.upgrade.as_deref(),
        };
        match way {
            Way::Shared(mut shared) => {
                let secure = if self.to.tls == UpstreamTls::Clear { Scheme::Http } else { Scheme::Https };
                let sent = shared.sender.send(&outgoing, secure, body).await;
                if matches!(sent, Err(Broken::BeforeAnswer)) && shared.sender.is_closed() {
                    self.of.conversation.thread.pool.forget(&key);
                }
                sent
            }
            Way::Own(idle, reused) => {
                let Idle { connection, address, verified, slot, .. } = idle;
                let thread = self.of.conversation.thread.clone();
                // A body that has bytes may have lost some to a connection that was closed while idle.
                let may_repeat = reused == Reused::Yes && body.is_over();
                let keep_as = key.clone();
                let give_back = Box::new(move |connection: Connection| {
                    if !*thread.draining.borrow() {
                        thread.pool.keep(keep_as, Idle::new(connection, address, verified, slot));
                    }
                });
                let sent = connection.send(&outgoing, body, give_back).await;
                match sent {
                    Err(Broken::BeforeAnswer) if may_repeat => self.fresh(&key, &outgoing).await,
                    sent => sent,
                }
            }
        }
    }

    /// The same request on a new connection, after one that was reused broke before it answered.
    async fn fresh(&self, key: &Key, outgoing: &Outgoing<'_>) -> Result<Response, Broken> {
        let Ok(Way::Own(idle, _)) = self.open(key).await else { return Err(Broken::BeforeAnswer) };
        let Idle { connection, address, verified, slot, .. } = idle;
        let (thread, key) = (self.of.conversation.thread.clone(), key.clone());
        let give_back = Box::new(move |connection: Connection| {
            thread.pool.keep(key, Idle::new(connection, address, verified, slot));
        });
        connection.send(outgoing, Body::empty(), give_back).await
    }

    async fn way(&self, key: &Key) -> Result<Way, Closed> {
        let pool = &self.of.conversation.thread.pool;
        let shared = &self.of.conversation.shared;
        if self.to.speaks == Speaks::Http2
            && self.of.upgrade.is_none()
            && let Some(multiplexed) = pool.shared(key, shared)
        {
            return Ok(Way::Shared(multiplexed));
        }
        if let Some(idle) = pool.take(key, &self.of.upstream.limits, shared) {
            return Ok(Way::Own(idle, Reused::Yes));
        }
        self.open(key).await
    }

    async fn open(&self, key: &Key) -> Result<Way, Closed> {
        let shared = &self.of.conversation.shared;
        let Some(slot) = self.of.cluster.connection(self.of.upstream.limits.connections) else {
            shared.changed(&self.of.upstream.cluster, UpstreamChange::Overflow);
            return Err(Closed::Overflow);
        };
        let opened = connect::open(shared, self.of.upstream, self.to).await;
        let opened = opened.map_err(Closed::Unreachable)?;
        match opened.speaks {
            Speaks::Http1 => {
                Ok(Way::Own(Idle::new(Connection::new(opened.io), opened.address, opened.verified, slot), Reused::No))
            }
            Speaks::Http2 => self.multiplex(key, opened.io, opened.address, opened.verified, slot).await,
        }
    }

    async fn multiplex(
        &self,
        key: &Key,
        io: Box<dyn crate::link::Io>,
        address: Option<SocketAddr>,
        verified: Option<Verified>,
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
