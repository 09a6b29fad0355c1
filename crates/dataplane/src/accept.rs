//! A socket becomes a peer: limits, PROXY header, TLS or not, whose server, and then what is spoken.
// waypoint: request/1 — socket to TLS to peer
//!
//! In: accepted sockets. Out: a conversation in HTTP/1, HTTP/2 or bare bytes. Never: a look into a request.
//! ORDER: a connection is registered before the page is asked about its address, so that a block that comes at the same
//! moment finds it.

mod open;

use crate::clock;
use crate::connect;
use crate::http1;
use crate::http2;
use crate::link::{Io, Rewound};
use crate::page::{Arrival, Draw, Place, Speaks, UpstreamTls, Way};
use crate::registry::Registration;
use crate::standing::{Held, Hold, Said};
use crate::tcp;
use crate::worker::{Conversation, Thread};
use bytes::BytesMut;
use open::{Begun, Spoken};
use ringwall_model::{Connection, Event, Layer, Listener, Millis, Peer, Reason};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// What a socket that accepts is.
#[derive(Clone)]
pub(crate) enum Entrance {
    /// The socket of one listener.
    Own(Arc<Listener>),
    /// Where the kernel redirects connections to that were meant for others.
    Door(Arc<Listener>),
}

/// Accepts until it is told to stop.
pub(crate) async fn listen(thread: Rc<Thread>, entrance: Entrance, socket: TcpListener) {
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => match &entrance {
                Entrance::Own(listener) => {
                    tokio::task::spawn_local(connection(thread.clone(), listener.clone(), stream, peer));
                }
                Entrance::Door(door) => intercepted(&thread, door, stream, peer),
            },
            // Out of descriptors: the connections that are there will free some.
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Finds the listener that a redirected connection was meant for.
fn intercepted(thread: &Rc<Thread>, door: &Arc<Listener>, stream: TcpStream, peer: SocketAddr) {
    let meant = original(&stream).and_then(|original| thread.shared.page.meant(door, original));
    match meant {
        Some(listener) => {
            tokio::task::spawn_local(connection(thread.clone(), listener, stream, peer));
        }
        None => {
            let workload = thread.shared.page.workload(door.workload);
            Story::begin(thread, door, &workload, peer).refuse(Layer::Route, Reason::Builtin("route/no-listener"));
        }
    }
}

/// Where a connection was going before the kernel redirected it: connection tracking's word, else the socket's own.
fn original(stream: &TcpStream) -> Option<SocketAddr> {
    let socket = socket2::SockRef::from(stream);
    let kept = if stream.local_addr().ok()?.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() };
    kept.ok().and_then(|kept| kept.as_socket()).or_else(|| stream.local_addr().ok())
}

async fn connection(thread: Rc<Thread>, listener: Arc<Listener>, stream: TcpStream, peer: SocketAddr) {
    let Some(registration) = thread.shared.registry.register(peer.ip()) else { return };
    let workload = thread.shared.page.workload(listener.workload);
    let mut story = Story::begin(&thread, &listener, &workload, peer);
    let proxy_header = match thread.shared.page.arrive(&listener, peer) {
        Arrival::Admit { guard, proxy_header } => {
            registration.keep(guard);
            proxy_header
        }
        Arrival::Refuse { layer, because, delay, guard } => {
            story.refuse(layer, because);
            wait(&registration, delay).await;
            return drop(guard);
        }
    };
    // A small answer that waits for an acknowledgement is only slower.
    let _ = stream.set_nodelay(true);
    let serve = Box::pin(serve(&thread, &listener, stream, peer, proxy_header, &registration, &mut story));
    if registration.or_cut(serve).await {
        story.event.refused = registration.cut().by();
    }
}

async fn wait(registration: &Registration, delay: Millis) {
    if delay > Millis(0) {
        tokio::select! {
            () = sleep(delay.duration()) => {}
            () = registration.until_cut() => {}
        }
    }
}

async fn serve(
    thread: &Rc<Thread>,
    listener: &Arc<Listener>,
    stream: TcpStream,
    peer: SocketAddr,
    proxy_header: crate::page::ProxyHeader,
    registration: &Registration,
    story: &mut Story,
) {
    let shared = &thread.shared;
    let begun = Begun { shared, listener, registration };
    let opening = shared.page.opening(listener);
    // Boxed, here and below: the largest of these futures would be the size of every idle connection.
    let open = Box::pin(begun.open(stream, peer, proxy_header, &opening));
    let opened = timeout(shared.limits.handshake, open).await;
    let opened = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(failed)) => return story.fail(failed),
        Err(_) => return story.fail(open::Failed::late()),
    };
    story.meet(&opened.peer);
    let conversation = Conversation {
        forwarded: opened.peer.address.ip().to_string().into(),
        shared: shared.clone(),
        thread: thread.clone(),
        listener: listener.clone(),
        peer: opened.peer,
        origin: opened.origin,
        local: listener.address,
        workload: story.event.workload.clone(),
        cut: registration.cut().clone(),
    };
    let carries_http = listener.protocol.is_http() && !matches!(opened.spoken, Spoken::Sealed);
    let conversation = Rc::new(conversation);
    if !carries_http {
        return Box::pin(bytes_only(&conversation, opened.io, &opened.spoken, story)).await;
    }
    story.tell_nothing();
    match opened.spoken {
        Spoken::Http2 => Box::pin(http2::server::serve(opened.io, conversation)).await,
        Spoken::Http1 => http1::server::serve(opened.io, BytesMut::new(), conversation).await,
        Spoken::Unknown | Spoken::Sealed => sniff(opened.io, conversation).await,
    }
}

/// HTTP/2 with prior knowledge begins with a preface that is no HTTP/1 request (RFC 9113 section 3.4).
async fn sniff(mut io: Box<dyn Io>, conversation: Rc<Conversation>) {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut seen = BytesMut::new();
    let limits = &conversation.shared.limits;
    let mut read = Box::pin(async {
        while seen.len() < PREFACE.len() && PREFACE.starts_with(&seen) {
            let patience = if seen.is_empty() { limits.idle } else { limits.head };
            let more = timeout(patience, async {
                // No buffer in the future: this is where a connection waits that has said nothing yet.
                let mut first = [0; 1];
                let read = io.read(&mut first).await?;
                seen.extend_from_slice(first.get(..read).unwrap_or_default());
                std::io::Result::Ok(read)
            });
            if !matches!(more.await, Ok(Ok(1..))) {
                return false;
            }
        }
        true
    });
    let alive = tokio::select! {
        alive = read.as_mut() => alive,
        () = conversation.until_drain() => false,
    };
    drop(read);
    if !alive {
        return;
    }
    if seen.starts_with(PREFACE) {
        let io = Box::new(Rewound::new(seen.freeze(), io));
        return Box::pin(http2::server::serve(io, conversation)).await;
    }
    http1::server::serve(io, seen, conversation).await;
}

/// TCP, or TLS that is passed on unopened.
async fn bytes_only(conversation: &Rc<Conversation>, io: Box<dyn Io>, spoken: &Spoken, story: &mut Story) {
    let shared = &conversation.shared;
    let way = match shared.page.connection(&conversation.listener, &conversation.peer).await {
        Ok(way) => way,
        Err((layer, because)) => return story.refuse(layer, because),
    };
    let upstream = &*way.upstream;
    story.event.cluster = upstream.cluster.clone();
    let cluster = upstream.open.of(&shared.clusters, &upstream.cluster);
    let Some(_slot) = cluster.connection(upstream.limits.connections) else {
        return story.refuse(Layer::Upstream, Reason::Builtin("upstream/overflow"));
    };
    let opened = match reach(conversation, &way, spoken).await {
        Ok(opened) => opened,
        Err(failure) => {
            story.event.failure = Some(failure);
            return story.refuse(Layer::Upstream, Reason::Builtin("upstream/unreachable"));
        }
    };
    let hold = Rc::new(Hold::new(conversation, Said::Connection, None));
    let held = Box::new(Held::new(opened.io, hold.clone()));
    let moved = tcp::tunnel(io, held, shared.limits.tunnel_idle).await;
    if let Some((layer, because)) = hold.ended() {
        story.refuse(layer, because);
    }
    story.event.received = moved.received;
    story.event.sent = moved.sent;
}

impl Way {
    fn draw(&self) -> Draw {
        Draw { dice: clock::dice(), affinity: self.affinity }
    }
}

/// Tries each place once.
async fn reach(conversation: &Conversation, way: &Way, spoken: &Spoken) -> Result<connect::Opened, Arc<str>> {
    let shared = &conversation.shared;
    let mut tried = Vec::new();
    let mut failure: Arc<str> = "no healthy upstream".into();
    while let Some(next) = shared.page.choose(&way.upstream, &tried, way.draw()) {
        if tried.contains(&next) {
            break;
        }
        // What is sealed by the client goes on as it is; where a rule demands the mesh's mutual TLS, inside that.
        let sealed = matches!(spoken, Spoken::Sealed) && matches!(next.tls, UpstreamTls::Simple { .. });
        let clear = sealed.then(|| Place { tls: UpstreamTls::Clear, speaks: Speaks::Http1, ..Place::clone(&next) });
        let to = clear.as_ref().unwrap_or(&next);
        match connect::open_as(shared, &way.upstream, to, vec![b"istio".to_vec()]).await {
            Ok(opened) => return Ok(opened),
            Err(unreachable) => failure = unreachable.says().into(),
        }
        tried.push(next);
    }
    Err(failure)
}

/// What is told of a connection that carries no HTTP; told when it is dropped.
struct Story {
    thread: Rc<Thread>,
    event: Connection,
    told: Told,
}

#[derive(PartialEq, Eq)]
enum Told {
    AtTheEnd,
    Never,
}

impl Story {
    fn begin(thread: &Rc<Thread>, listener: &Listener, workload: &Arc<str>, peer: SocketAddr) -> Self {
        let event = Connection {
            id: clock::call_id(),
            started: clock::now(),
            duration: Millis(0),
            role: listener.role,
            workload: workload.clone(),
            peer,
            peer_identity: None,
            server_name: None,
            refused: None,
            failure: None,
            cluster: thread.words.none.clone(),
            received: 0,
            sent: 0,
        };
        Self { thread: thread.clone(), event, told: Told::AtTheEnd }
    }

    fn meet(&mut self, peer: &Peer) {
        self.event.peer = peer.address;
        self.event.peer_identity = peer.identity().cloned();
        self.event.server_name = peer.tls.as_ref().and_then(|tls| tls.server_name.clone());
    }

    fn refuse(&mut self, layer: Layer, because: Reason) {
        self.event.refused = Some((layer, because));
    }

    fn fail(&mut self, failed: open::Failed) {
        self.event.refused = failed.because;
        self.event.failure = failed.says;
        self.event.server_name = failed.server_name;
        // A client that comes and goes without a byte, as health checks do, is no news.
        if self.event.refused.is_none() && self.event.failure.is_none() {
            self.told = Told::Never;
        }
    }

    /// Each request tells its own event.
    fn tell_nothing(&mut self) {
        self.told = Told::Never;
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        if self.told == Told::Never {
            return;
        }
        self.event.duration = clock::now().since(self.event.started);
        self.thread.shared.events.tell(Event::Connection(Box::new(self.event.clone())));
    }
}
