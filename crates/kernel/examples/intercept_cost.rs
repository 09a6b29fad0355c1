//! What the set-up of a connection costs when interception takes it to a door, beside the same door dialled explicitly:
//! `intercept_cost [RUNS]`. Prints one JSON object; `cargo xtask bench packet` runs it, `… --interception` nothing else.
//!
//! A run is a connection, its acceptance, where it was going (`SO_ORIGINAL_DST`; nobody asks that of one that was
//! dialled explicitly), a byte there and one back. One thread is both ends, so that its time is all there is; ways take
//! turns, run by run. Wall time and CPU time of that thread, which runs the kernel's part of the links as well.

use ringwall_kernel::intercept::{self, INBOUND, OUTBOUND, Reach};
use ringwall_kernel::namespace::{self, Namespace, node::Node};
use ringwall_kernel::socket::{self, Passage};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use socket2::SockRef;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 244, 1, 1));
/// A home with interception, and one without.
const SERVERS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(10, 244, 1, 2)), IpAddr::V4(Ipv4Addr::new(10, 244, 1, 3))];
const RUNS: usize = 5_000;

/// One way to the door.
struct Way<'a> {
    name: &'static str,
    door: &'a TcpListener,
    to: SocketAddr,
    passage: Passage,
    kept: Kept,
    samples: Vec<[u64; 2]>,
}

/// Whether the kernel is asked where the connection was going.
#[derive(PartialEq, Eq)]
enum Kept {
    Asked,
    NotAsked,
}

fn main() -> Result<(), Box<dyn Error>> {
    let runs = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(RUNS);
    namespace::enter()?;
    let mut node = Node::create()?;
    let client = node.add(CLIENT)?.namespace;
    let [server, plain] = [node.add(SERVERS[0])?.namespace, node.add(SERVERS[1])?.namespace];
    [CLIENT, SERVERS[0], SERVERS[1]].iter().try_for_each(|home| node.open(*home))?;
    [&client, &server]
        .iter()
        .try_for_each(|home| home.run(|| intercept::apply(Reach::All).map_err(io::Error::other)))?;
    let (out, into, bare) = (door(&client, OUTBOUND)?, door(&server, INBOUND)?, door(&plain, INBOUND)?);
    let way = |name, door, to, passage, kept| Way { name, door, to, passage, kept, samples: Vec::new() };
    let nowhere = SocketAddr::from(([203, 0, 113, 9], 443));
    let mut ways = [
        way("out, intercepted", &out, nowhere, Passage::Intercepted, Kept::Asked),
        way("out, explicit", &out, SocketAddr::new(CLIENT, OUTBOUND), Passage::Intercepted, Kept::NotAsked),
        way("in, intercepted", &into, SocketAddr::new(SERVERS[0], 5432), Passage::Marked, Kept::Asked),
        way("in, explicit", &bare, SocketAddr::new(SERVERS[1], INBOUND), Passage::Marked, Kept::NotAsked),
    ];
    client.run(|| {
        for number in 0..runs + runs / 10 {
            for way in &mut ways {
                let spent = way.connect()?;
                // The first ones warm caches, and links that have just come up.
                if number >= runs / 10 {
                    way.samples.push(spent);
                }
            }
        }
        Ok(())
    })?;
    let samples = ways.into_iter().map(|way| (way.name.to_owned(), json!(way.samples)));
    println!("{}", serde_json::Value::Object(samples.collect()));
    Ok(())
}

fn door(home: &Namespace, port: u16) -> io::Result<TcpListener> {
    let door = home.run(|| socket::listen(SocketAddr::new(socket::any(CLIENT), port), 1))?.remove(0);
    door.set_nonblocking(false)?;
    Ok(door)
}

impl Way<'_> {
    /// One run: nanoseconds on the clock, and of the thread.
    fn connect(&mut self) -> io::Result<[u64; 2]> {
        let mut byte = [0];
        let (begun, worked) = (Instant::now(), worked());
        let client = socket::stream(self.to.ip(), self.passage)?;
        client.set_nonblocking(false)?;
        client.connect(&self.to.into())?;
        let (mut server, _) = self.door.accept()?;
        if self.kept == Kept::Asked {
            let kept = SockRef::from(&server).original_dst_v4()?.as_socket();
            if kept != Some(self.to) {
                return Err(io::Error::other(format!("{kept:?} instead of {}", self.to)));
            }
        }
        let mut client = std::net::TcpStream::from(client);
        client.write_all(b"x")?;
        server.read_exact(&mut byte)?;
        server.write_all(b"y")?;
        client.read_exact(&mut byte)?;
        let spent = [begun.elapsed(), self::worked().saturating_sub(worked)];
        // At once and on both sides, so that no port waits.
        SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
        drop((client, server));
        Ok(spent.map(|spent| u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// CPU time of the calling thread.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
