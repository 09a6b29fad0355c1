//! Sends flows for real and sees which arrive: TCP connections, UDP datagrams, SCTP INIT packets.

use ringwall_kernel::namespace::Namespace;
use rustix::event::{PollFd, PollFlags, poll};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

/// A flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    pub port: u16,
}

impl Flow {
    /// As the judge takes it.
    pub fn judged(&self) -> ringwall_packet::Flow {
        let Self { source, destination, protocol, port } = *self;
        ringwall_packet::Flow { source, destination, protocol, port }
    }
}

impl std::fmt::Display for Flow {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.protocol {
            6 => "tcp",
            17 => "udp",
            _ => "sctp",
        };
        write!(out, "{} → {} {}/{name}", self.source, self.destination, self.port)
    }
}

/// Somebody who sends and is sent to.
pub struct Place {
    pub address: IpAddr,
    pub namespace: Namespace,
}

/// The sockets of one place.
struct Sockets {
    namespace: Namespace,
    streams: Vec<TcpListener>,
    datagrams: Vec<(u16, UdpSocket)>,
    /// Hears and sends SCTP, which this kernel need not know.
    raw: Socket,
}

/// All sockets.
pub struct Probes(BTreeMap<IpAddr, Sockets>);

/// How long what must not arrive is waited for.
const QUIET: Duration = Duration::from_millis(100);
/// How long what must arrive may take; it is sent again meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);
const SCTP: i32 = 132;

impl Probes {
    /// Listens everywhere, on ports 80 and 81.
    pub fn of(places: Vec<Place>) -> Self {
        let sockets = places.into_iter().map(|place| {
            let made = place.namespace.run(|| {
                let mut streams = Vec::new();
                let mut datagrams = Vec::new();
                for port in [80, 81] {
                    let at = SocketAddr::new(place.address, port);
                    streams.push(TcpListener::bind(at)?);
                    datagrams.push((port, UdpSocket::bind(at)?));
                }
                streams.iter().try_for_each(|stream| stream.set_nonblocking(true))?;
                datagrams.iter().try_for_each(|(_, datagram)| datagram.set_nonblocking(true))?;
                let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(SCTP)))?;
                raw.bind(&SocketAddr::new(place.address, 0).into())?;
                raw.set_nonblocking(true)?;
                Ok((streams, datagrams, raw))
            });
            let (streams, datagrams, raw) = made.expect("sockets");
            (place.address, Sockets { namespace: place.namespace, streams, datagrams, raw })
        });
        Self(sockets.collect())
    }

    /// Sends every flow; those that arrived. Waits for those that should, and a while for those that should not.
    pub fn send(&self, number: u16, wanted: &BTreeMap<Flow, bool>) -> BTreeSet<Flow> {
        let start = Instant::now();
        let mut arrived = BTreeSet::new();
        let mut streams = self.connect(wanted.keys());
        let senders = self.senders();
        let mut next = start;
        loop {
            if Instant::now() >= next {
                let missing = wanted.keys().filter(|flow| !arrived.contains(*flow));
                missing.for_each(|flow| self.send_one(number, flow, &senders));
                next = Instant::now() + QUIET;
            }
            std::thread::sleep(Duration::from_millis(5));
            self.receive(number, &mut arrived);
            connected(&mut streams, &mut arrived);
            let complete = wanted.iter().all(|(flow, passes)| !passes || arrived.contains(flow));
            if (complete && start.elapsed() > QUIET) || start.elapsed() > PATIENCE {
                return arrived;
            }
        }
    }

    /// Begins all connections.
    fn connect<'a>(&self, flows: impl Iterator<Item = &'a Flow>) -> Vec<(Flow, Socket)> {
        let mut by_source: BTreeMap<IpAddr, Vec<Flow>> = BTreeMap::new();
        flows.filter(|flow| flow.protocol == 6).for_each(|flow| by_source.entry(flow.source).or_default().push(*flow));
        let mut all = Vec::new();
        for (source, flows) in by_source {
            let begun = self.0[&source].namespace.run(|| {
                let begin = |flow: Flow| {
                    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
                    socket.set_nonblocking(true)?;
                    socket.bind(&SocketAddr::new(flow.source, 0).into())?;
                    let _ = socket.connect(&SocketAddr::new(flow.destination, flow.port).into());
                    Ok((flow, socket))
                };
                flows.into_iter().map(begin).collect::<std::io::Result<Vec<_>>>()
            });
            all.extend(begun.expect("connections"));
        }
        all
    }

    /// A new UDP socket for each source, so that no flow of before is meant.
    fn senders(&self) -> BTreeMap<IpAddr, UdpSocket> {
        let sender = |(address, sockets): (&IpAddr, &Sockets)| {
            let socket = sockets.namespace.run(|| UdpSocket::bind(SocketAddr::new(*address, 0))).expect("a socket");
            (*address, socket)
        };
        self.0.iter().map(sender).collect()
    }

    fn send_one(&self, number: u16, flow: &Flow, senders: &BTreeMap<IpAddr, UdpSocket>) {
        let to = SocketAddr::new(flow.destination, flow.port);
        // What cannot be sent does not arrive.
        let _ = match flow.protocol {
            17 => senders[&flow.source].send_to(&number.to_be_bytes(), to),
            132 => {
                let to: SockAddr = SocketAddr::new(flow.destination, 0).into();
                self.0[&flow.source].raw.send_to(&init(number + 1024, flow.port), &to)
            }
            _ => Ok(0),
        };
    }

    fn receive(&self, number: u16, arrived: &mut BTreeSet<Flow>) {
        let mut buffer = [0; 256];
        for (destination, sockets) in &self.0 {
            let destination = *destination;
            for (port, socket) in &sockets.datagrams {
                while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                    if buffer[..len] == number.to_be_bytes() {
                        arrived.insert(Flow { source: from.ip(), destination, protocol: 17, port: *port });
                    }
                }
            }
            while let Ok(len) = (&sockets.raw).read(&mut buffer) {
                let Some(packet) = ringwall_kernel::events::packet(&buffer[..len]) else { continue };
                if let Some((from, port)) = packet.ports.filter(|(from, _)| *from == number + 1024) {
                    assert!(from > 0 && packet.destination == destination);
                    arrived.insert(Flow { source: packet.source, destination, protocol: 132, port });
                }
            }
            // What was accepted only makes room.
            sockets.streams.iter().for_each(|stream| while stream.accept().is_ok() {});
        }
    }
}

/// Takes out the connections that were made.
fn connected(streams: &mut Vec<(Flow, Socket)>, arrived: &mut BTreeSet<Flow>) {
    let mut asked: Vec<PollFd<'_>> = streams.iter().map(|(_, socket)| PollFd::new(socket, PollFlags::OUT)).collect();
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut asked, Some(&now)).expect("poll");
    let done: Vec<bool> = asked.iter().map(|one| !one.revents().is_empty()).collect();
    let mut done = done.into_iter();
    streams.retain(|(flow, socket)| {
        let ready = done.next().unwrap_or_default();
        if ready && matches!(socket.take_error(), Ok(None)) {
            arrived.insert(*flow);
        }
        !ready
    });
}

/// An SCTP packet with an INIT chunk (RFC 9260, 3.3.2).
fn init(from: u16, to: u16) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend(from.to_be_bytes());
    packet.extend(to.to_be_bytes());
    // Verification tag 0, the checksum follows; INIT, 20 bytes: tag, window, streams, first number.
    packet.extend([0; 8]);
    packet.extend([1, 0, 0, 20]);
    packet.extend([0, 0, 0, 7, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 9]);
    let sum = crc32c(&packet).to_le_bytes();
    packet[8..12].copy_from_slice(&sum);
    packet
}

/// CRC-32C, bit by bit (RFC 9260, appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 };
        }
    }
    !sum
}
