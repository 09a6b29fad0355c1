//! Under the mesh: real packets between isolated workloads, and what the packet filter of the node says to them.
//!
//! The attacker of these scenarios owns a workload's processes and even the mark by which interception lets the data
//! plane's own packets pass, which no program of a workload can set: what stops him here is the packet filter alone.

use super::{Play, Report, Run, Scenario, Wants, passed};
use crate::demo::client::{Answer, Wire, once};
use crate::demo::stage::{Stage, request};
use crate::platform::isolation::Isolation;
use ringwall_kernel::link::capture::Capture;
use ringwall_kernel::socket::{self, Passage};
use ringwall_model::Workload;
use serde_json::Value;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const NOTIFICATION: &str = "application/notification-service";
const BFF: &str = "application/bff-service";
const AGENT: &str = "application/llm-agent-service";
const AGENT_NAME: &str = "llm-agent-service";
const DATABASE: &str = "data/postgresql";
const CACHE: &str = "data/redis";
const PROMETHEUS: &str = "observability/prometheus";
/// Somebody in the world (RFC 5737).
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
/// Packets of the flood.
const FLOOD: usize = 20_000;
/// Calls that go on meanwhile.
const CALLS: usize = 40;
/// How long a packet that is dropped is waited for.
const PATIENCE: Duration = Duration::from_millis(700);
/// A link that has just come up loses packets without a word; so often is sent again what nobody spoke of.
const TRIES: usize = 8;

pub const LIST: &[Scenario] = &[
    Scenario { name: "a workload's own edge is open", wants: Wants::Shared, run: |stage| Box::pin(allowed(stage)) },
    Scenario {
        name: "unmodified program calls a peer by name",
        wants: Wants::Shared,
        run: |stage| Box::pin(unmodified(stage)),
    },
    Scenario {
        name: "database port from a workload that may not",
        wants: Wants::Shared,
        run: |stage| refused(stage, NOTIFICATION, DATABASE, 5432),
    },
    Scenario {
        name: "a port of another zone",
        wants: Wants::Shared,
        run: |stage| refused(stage, PROMETHEUS, CACHE, 6379),
    },
    Scenario { name: "out past the egress gateway", wants: Wants::Shared, run: |stage| Box::pin(outward(stage)) },
    Scenario { name: "another workload's source address", wants: Wants::Shared, run: |stage| Box::pin(spoofed(stage)) },
    Scenario { name: "flood while calls go on", wants: Wants::Shared, run: |stage| Box::pin(flood(stage)) },
    Scenario { name: "blocked address", wants: Wants::Shared, run: |stage| Box::pin(blocked(stage)) },
    Scenario { name: "a call on the wire", wants: Wants::Shared, run: |stage| Box::pin(canary(stage, Seen::Nothing)) },
    Scenario {
        name: "control: the same with mTLS off",
        wants: Wants::Clear,
        run: |stage| Box::pin(canary(stage, Seen::Clear)),
    },
];

/// What a capture between workloads is expected to show of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Clear,
}

/// The stage's node; these scenarios are played on isolated platforms only.
fn isolation(stage: &Stage) -> io::Result<&Isolation> {
    stage.platform.isolation().ok_or_else(|| io::Error::other("the platform is not isolated"))
}

fn address(stage: &Stage, workload: &str) -> io::Result<IpAddr> {
    let current = stage.platform.world();
    let known = current.world.inventory.workloads.iter().find(|known| known.full_name() == workload);
    known.map(|known: &Workload| known.address).ok_or_else(|| io::Error::other(format!("no workload {workload}")))
}

/// A connection from a workload that interception lets pass.
async fn reach(stage: &Stage, from: &str, to: SocketAddr) -> io::Result<tokio::net::TcpStream> {
    let opened = isolation(stage)?.connect(address(stage, from)?, to, Passage::Marked);
    tokio::time::timeout(PATIENCE, opened).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Sends until somebody answers, be it with a refusal.
async fn persist<T>(mut send: impl AsyncFnMut() -> io::Result<T>) -> io::Result<T> {
    let mut sent = send().await;
    for _ in 1..TRIES {
        match &sent {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => sent = send().await,
            _ => break,
        }
    }
    sent
}

/// Sends what should be dropped until the filter tells it, or somebody answers.
async fn drops(
    stage: &Stage,
    (from, to): (IpAddr, SocketAddr),
    rule: &str,
    mut send: impl AsyncFnMut() -> io::Result<()>,
) -> Report {
    let mut report = Report::default();
    for _ in 0..TRIES {
        report = dropped(stage, from, to, send().await, rule).await;
        if report.through || !report.layer.is_empty() {
            break;
        }
    }
    report
}

/// The report of a packet that should be dropped: the filter must have told it, by that rule.
async fn dropped(stage: &Stage, from: IpAddr, to: SocketAddr, sent: io::Result<()>, rule: &str) -> Report {
    let record = stage.platform.latest_packet(from, to).await;
    let text =
        |name: &str| record.as_ref().and_then(|it| it.get(name)).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (layer, named) = (text("layer"), text("rule"));
    Report {
        held: sent.is_err() && layer == "packet" && named.contains(rule),
        saw: match &sent {
            Ok(()) => "a connection".into(),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => "no answer".into(),
            Err(error) => error.to_string(),
        },
        // The filter answers nobody; who is refused met the other end itself.
        through: sent.as_ref().err().is_none_or(|error| error.kind() == io::ErrorKind::ConnectionRefused),
        layer,
        rule: named,
        place: text("place"),
        id: text("id"),
        request: format!("{from} to {to}"),
        listener: to.to_string(),
        wanted: format!("dropped by packet {rule}"),
        ..Report::default()
    }
}

/// What is accepted beside a scenario whose packets no rule of the manifests drops, and what it lacks.
pub fn neighbour(name: &str) -> Option<(Play, &'static str)> {
    Some(match name {
        "another workload's source address" => {
            (|stage| Box::pin(allowed(stage)), "the foreign home: from the address's own")
        }
        "flood while calls go on" => (|stage| Box::pin(call(stage)), "the flood: one call"),
        "blocked address" => (|stage| Box::pin(unblocked(stage)), "the block"),
        _ => return None,
    })
}

/// One call of those that go on beside the flood.
async fn call(stage: &Stage) -> Report {
    let (way, call) = (stage.edge(), stage.good("GET", "/api/v1/orders", &[], b""));
    let answer = once(&way, &call).await;
    passed(&way, &call, &answer, 200)
}

/// The stranger whom nobody blocks.
async fn unblocked(stage: &Stage) -> Report {
    let sent = match address(stage, PROMETHEUS) {
        Ok(address) => persist(async || strange(stage, SocketAddr::new(address, 9090)).await).await,
        Err(error) => Err(error),
    };
    Report {
        held: sent.is_ok(),
        through: sent.is_ok(),
        saw: sent.map_or_else(|error| error.to_string(), |()| format!("{STRANGER} reaches {PROMETHEUS}")),
        wanted: "a connection".into(),
        ..Report::default()
    }
}

fn broken(error: &io::Error) -> Report {
    Report { saw: error.to_string(), wanted: "a node".into(), ..Report::default() }
}

fn refused<'a>(stage: &'a Stage, from: &'static str, to: &'static str, port: u16) -> Run<'a> {
    Box::pin(async move {
        match (address(stage, from), address(stage, to)) {
            (Ok(source), Ok(destination)) => {
                let to = SocketAddr::new(destination, port);
                drops(stage, (source, to), "NetworkPolicy/", async || reach(stage, from, to).await.map(drop)).await
            }
            (Err(error), _) | (_, Err(error)) => broken(&error),
        }
    })
}

async fn allowed(stage: &Stage) -> Report {
    let to = match address(stage, DATABASE) {
        Ok(database) => SocketAddr::new(database, 5432),
        Err(error) => return broken(&error),
    };
    let opened = persist(async || reach(stage, BFF, to).await).await;
    Report {
        held: opened.is_ok(),
        saw: opened.map_or_else(|error| error.to_string(), |_| format!("{BFF} reaches {to}")),
        wanted: "a connection".into(),
        ..Report::default()
    }
}

/// Plain HTTP, as any program speaks it, from inside the home: the name is asked for, the address dialled, nothing marked.
async fn plain_call(stage: &Stage, from: &str, body: &[u8]) -> Result<Answer, String> {
    let text = |error: io::Error| error.to_string();
    let isolation = isolation(stage).map_err(text)?;
    let home = address(stage, from).map_err(text)?;
    let found = lookup(isolation, home, AGENT_NAME).await.map_err(text)?;
    let to = SocketAddr::new(found, 8080);
    let stream = isolation.connect(home, to, Passage::Intercepted).await.map_err(text)?;
    let bearer = format!("Bearer {}", stage.token());
    let fields = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let call = request("POST", "/api/v1/agents/summary", &format!("{AGENT_NAME}:8080"), &fields, body);
    Ok(Wire::over(stream).exchange(&call).await)
}

/// Asks a resolver that does not exist for an address; the home's own answers.
async fn lookup(isolation: &Isolation, home: IpAddr, name: &str) -> io::Result<IpAddr> {
    let namespace = isolation.namespace(home).ok_or(io::ErrorKind::NotFound)?;
    let asked = namespace.run(|| socket::datagrams(SocketAddr::new(socket::any(home), 0)))?;
    let socket = tokio::net::UdpSocket::from_std(asked)?;
    socket.connect("192.0.2.53:53").await?;
    let mut question = vec![0x52, 0x57, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).unwrap_or_default());
        question.extend(label.bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
    socket.send(&question).await?;
    let mut answer = [0; 512];
    let received = tokio::time::timeout(PATIENCE, socket.recv(&mut answer)).await;
    let length = received.map_err(|_| io::ErrorKind::TimedOut)??;
    let last: Option<[u8; 4]> = answer.get(length.saturating_sub(4)..length).and_then(|it| it.try_into().ok());
    match (answer.get(7), last) {
        (Some(1..), Some(octets)) => Ok(octets.into()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

async fn unmodified(stage: &Stage) -> Report {
    let answer = match plain_call(stage, BFF, b"{}").await {
        Ok(answer) => answer,
        Err(error) => return Report { saw: error, wanted: "status 200".into(), ..Report::default() },
    };
    let at = stage.platform.inbound(AGENT, 8080);
    let principal = stage.platform.latest_principal(AGENT).await.unwrap_or_default();
    Report {
        held: answer.status == 200 && principal.ends_with("/ns/application/sa/bff-service"),
        saw: format!("{}, and the agent saw {principal}", answer.status),
        status: answer.status,
        through: answer.through(),
        listener: at.to_string(),
        wanted: "status 200 as bff-service".into(),
        ..Report::default()
    }
}

async fn outward(stage: &Stage) -> Report {
    let made = isolation(stage).and_then(|it| it.node().add_outside(STRANGER).or_else(already));
    match (made, address(stage, AGENT)) {
        (Ok(()), Ok(source)) => {
            let to = SocketAddr::new(STRANGER, 443);
            drops(stage, (source, to), "NetworkPolicy/", async || reach(stage, AGENT, to).await.map(drop)).await
        }
        (Err(error), _) | (_, Err(error)) => broken(&error),
    }
}

fn already(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

/// From the home of one workload with the address of another, which is bound as only CAP_NET_ADMIN can.
async fn spoofed(stage: &Stage) -> Report {
    let ends = || -> io::Result<_> {
        let (own, other) = (address(stage, NOTIFICATION)?, address(stage, BFF)?);
        let to = SocketAddr::new(address(stage, DATABASE)?, 5432);
        Ok((isolation(stage)?.namespace(own).ok_or(io::ErrorKind::NotFound)?, other, to))
    };
    let (namespace, other, to) = match ends() {
        Ok(ends) => ends,
        Err(error) => return broken(&error),
    };
    let send = || namespace.run(|| socket::send_as(other, to, b"a database message"));
    // Nobody answers a datagram.
    let silence = || Err(io::ErrorKind::TimedOut.into());
    drops(stage, (other, to), "", async || send().and_then(|()| silence())).await
}

async fn flood(stage: &Stage) -> Report {
    let begin = || -> io::Result<_> {
        let to = SocketAddr::new(address(stage, BFF)?, 8080);
        let node = isolation(stage)?.node();
        node.add_outside(STRANGER).or_else(already)?;
        let socket = node.outside.run(|| socket::datagrams(SocketAddr::new(STRANGER, 0)))?;
        socket.connect(to)?;
        Ok((socket, to))
    };
    let (socket, to) = match begin() {
        Ok(begun) => begun,
        Err(error) => return broken(&error),
    };
    let sender = std::thread::spawn(move || {
        // A full queue is no news: what counts is what was sent.
        (0..FLOOD).filter(|_| socket.send(&[0x5a; 64]).is_ok()).count()
    });
    let (way, call) = (stage.edge(), stage.good("GET", "/api/v1/orders", &[], b""));
    let mut well = 0;
    for _ in 0..CALLS {
        well += usize::from(once(&way, &call).await.status == 200);
    }
    let sent = sender.join().unwrap_or(0);
    let mut report = dropped(stage, STRANGER, to, Err(io::ErrorKind::TimedOut.into()), "NetworkPolicy/").await;
    report.held &= well == CALLS && sent > FLOOD / 2;
    report.saw = format!("{sent} packets dropped, {well} of {CALLS} calls answered meanwhile");
    report
}

/// A connection of somebody outside the node.
async fn strange(stage: &Stage, to: SocketAddr) -> io::Result<()> {
    let opened = isolation(stage).and_then(|isolation| {
        let node = isolation.node();
        node.add_outside(STRANGER).or_else(already)?;
        node.outside.run(|| socket::stream(to.ip(), Passage::Intercepted))
    });
    let socket = tokio::net::TcpSocket::from_std_stream(opened?.into());
    socket.bind(SocketAddr::new(STRANGER, 0))?;
    let opened = tokio::time::timeout(PATIENCE, socket.connect(to)).await;
    opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map(drop)
}

async fn blocked(stage: &Stage) -> Report {
    let to = match address(stage, PROMETHEUS) {
        Ok(address) => SocketAddr::new(address, 9090),
        Err(error) => return broken(&error),
    };
    if let Err(error) = persist(async || strange(stage, to).await).await {
        return broken(&error);
    }
    if let Err(error) = stage.platform.block(&STRANGER.to_string(), 60_000) {
        return Report { saw: error, ..Report::default() };
    }
    let sent = strange(stage, to).await;
    stage.platform.lift(&STRANGER.to_string());
    dropped(stage, STRANGER, to, sent, "block").await
}

/// A call with random bytes in it, and a capture of the router's links, over which it goes.
async fn canary(stage: &Stage, seen: Seen) -> Report {
    let bits = [crate::platform::dice(), crate::platform::dice()];
    let canary = format!("canary-{:016x}{:016x}", bits[0], bits[1]);
    let capture = isolation(stage).and_then(|it| it.node().router.run(Capture::open));
    let mut capture = match capture {
        Ok(capture) => capture,
        Err(error) => return broken(&error),
    };
    let body = format!("{{\"note\":\"{canary}\"}}");
    let answer = plain_call(stage, BFF, body.as_bytes()).await;
    let status = answer.as_ref().map_or(0, |answer| answer.status);
    let heard = capture.look(canary.as_bytes()).unwrap_or_default();
    let as_wanted = match seen {
        Seen::Nothing => heard.holding == 0 && status == 200,
        Seen::Clear => heard.holding >= 1,
    };
    Report {
        held: heard.packets > 0 && as_wanted,
        saw: format!("{status}; the canary is in {} of {} packets", heard.holding, heard.packets),
        status,
        wanted: match seen {
            Seen::Nothing => "200, and the canary in none".into(),
            // Nobody is known by a certificate then, so the call is refused where it arrives; but it went there in clear.
            Seen::Clear => "the canary in one at least".into(),
        },
        ..Report::default()
    }
}
