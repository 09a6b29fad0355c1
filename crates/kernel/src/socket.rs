//! Sockets inside namespaces, opened for those who never go there: listeners, connections, datagrams.
//!
//! In: a namespace, an address. Out: sockets, which stay in their namespace wherever they are used. Never: a byte of
//! what they carry. One thread goes from namespace to namespace; it is never in two minds about where it is, because it
//! enters the right one before every job.

use crate::namespace::Namespace;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::mpsc;

/// The mark of packets that interception lets pass (Istio's ztunnel has the same). Only who has CAP_NET_ADMIN or
/// CAP_NET_RAW in the namespace can set it; programs that run there have neither.
pub const BYPASS: u32 = 0x539;

/// Whether interception is to let a socket's packets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// As any program's.
    Intercepted,
    /// Marked with [`BYPASS`].
    Marked,
}

type Job = Box<dyn FnOnce() + Send>;

/// Opens sockets in namespaces. Clones share the thread; it ends with the last of them.
#[derive(Clone)]
pub struct Opener {
    jobs: mpsc::Sender<Job>,
}

impl Opener {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn start() -> io::Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        std::thread::Builder::new().name("opener".into()).spawn(move || inbox.into_iter().for_each(|job| job()))?;
        Ok(Self { jobs })
    }

    /// Does something in a namespace, soon, and hands what comes of it to `then`, on the opener's thread.
    pub fn ask<T: Send + 'static>(
        &self,
        at: &Namespace,
        open: impl FnOnce() -> io::Result<T> + Send + 'static,
        then: impl FnOnce(io::Result<T>) + Send + 'static,
    ) {
        let at = at.clone();
        let job: Job = Box::new(move || then(at.join().and_then(|()| open())));
        // The thread lives as long as this handle; were it gone, the job and with it `then` are dropped.
        self.jobs.send(job).unwrap_or_default();
    }
}

/// A stream socket that is not connected yet, non-blocking, in the calling thread's namespace.
///
/// # Errors
/// What the kernel said; a mark needs CAP_NET_ADMIN there.
pub fn stream(to: IpAddr, passage: Passage) -> io::Result<Socket> {
    let socket = Socket::new(domain(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if passage == Passage::Marked {
        socket.set_mark(BYPASS)?;
    }
    Ok(socket)
}

/// Listening sockets that share an address, one for each thread that will accept, in the calling thread's namespace.
///
/// # Errors
/// What the kernel said.
pub fn listen(at: SocketAddr, how_many: usize) -> io::Result<Vec<TcpListener>> {
    let mut sockets = Vec::new();
    let mut at = at;
    for _ in 0..how_many.max(1) {
        let socket = Socket::new(domain(at.ip()), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        if at.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&at.into())?;
        socket.listen(4096)?;
        let listener = TcpListener::from(socket);
        at = listener.local_addr()?;
        sockets.push(listener);
    }
    Ok(sockets)
}

/// A datagram socket, non-blocking, in the calling thread's namespace.
///
/// # Errors
/// What the kernel said.
pub fn datagrams(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(domain(at.ip()), Type::DGRAM, Some(Protocol::UDP))?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    Ok(socket.into())
}

/// Sends one datagram from an address that is not the namespace's own, as only CAP_NET_ADMIN can: for proofs that the
/// packet filter drops it.
///
/// # Errors
/// What the kernel said.
pub fn send_as(from: IpAddr, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
    let socket = Socket::new(domain(from), Type::DGRAM, Some(Protocol::UDP))?;
    if from.is_ipv4() { socket.set_ip_transparent_v4(true) } else { socket.set_ip_transparent_v6(true) }?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.send_to(bytes, &to.into()).map(drop)
}

/// All addresses of a family.
pub const fn any(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

fn domain(like: IpAddr) -> Domain {
    if like.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 }
}
