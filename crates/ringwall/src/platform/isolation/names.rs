//! A resolver in every home: Services and the hosts of ServiceEntries have addresses that are the same in every run. A
//! name that a policy's `domainNames` allow is asked for outside, and what it turns out to be is in force before the
//! workload knows it. Other names have none.
//!
//! In: questions on the home's own loopback. Out: answers from the World in force, or from the outside. Never: a question
//! outside for a name that nothing allows: a name is a message, too.

use super::super::force::Current;
use super::filter::Filter;
use arc_swap::ArcSwap;
use ringwall_control::facts::now;
use ringwall_kernel::dns::answer::{MOST_OF_ANSWER, NoAnswer, ask, read_answer};
use ringwall_kernel::dns::{self, Question, Said};
use ringwall_manifest::World;
use ringwall_model::{Endpoint, Millis, Service, Workload};
use ringwall_packet::names::is_of_outside;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connections of one home that are served at a time; more wait.
const CONNECTIONS: usize = 8;
/// Questions of one home that wait for an answer from outside; more wait.
const QUESTIONS: usize = 32;
/// An answer is good for so many seconds at most.
const MOST_GOOD: u64 = 3600;
/// Addresses of one answer that are taken; more are not told.
const ADDRESSES: usize = 8;
/// How long a question may take to come.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take until it is seen that there is an address whose end is to be waited for: the least that an
/// answer can be good for.
const LOOK: Duration = Duration::from_secs(1);
/// The end of the mesh's own names.
const OWN: &str = "cluster.local";

/// What the resolvers' thread is told.
enum Order {
    Serve(IpAddr, std::net::UdpSocket, std::net::TcpListener),
    End(IpAddr),
}

/// What answers are made of.
pub struct Sources {
    /// The World in force.
    pub current: Arc<ArcSwap<Current>>,
    /// What learns the addresses of names of the outside.
    pub filter: Arc<Filter>,
    /// Who is asked for them; `None`: nobody.
    pub outside: Option<SocketAddr>,
    /// An answer is good for so many seconds at least.
    pub least: u64,
}

impl Sources {
    /// How long programs may keep an answer, in seconds: half as long as it is good, so that nobody uses one that has gone.
    fn told(&self) -> u32 {
        u32::try_from(self.least / 2).unwrap_or(dns::KEEP)
    }
}

/// The resolvers, all on one thread, which ends with this.
pub struct Resolvers(UnboundedSender<Order>);

impl Resolvers {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn start(sources: Sources) -> std::io::Result<Self> {
        let (orders, inbox) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("names".into())
            .spawn(move || runtime.block_on(run(inbox, Arc::new(sources))))?;
        Ok(Self(orders))
    }

    /// Serves the home of a workload on sockets that are inside it.
    pub fn serve(&self, home: IpAddr, datagrams: std::net::UdpSocket, streams: std::net::TcpListener) {
        // The thread lives as long as this handle.
        self.0.send(Order::Serve(home, datagrams, streams)).unwrap_or_default();
    }

    /// Serves a home no more.
    pub fn end(&self, home: IpAddr) {
        self.0.send(Order::End(home)).unwrap_or_default();
    }
}

async fn run(mut inbox: UnboundedReceiver<Order>, sources: Arc<Sources>) {
    let mut running = BTreeMap::new();
    loop {
        let order = tokio::select! {
            order = inbox.recv() => order,
            () = ended(&sources) => continue,
        };
        let Some(order) = order else { return };
        match order {
            Order::Serve(home, datagrams, streams) => {
                let sockets = (UdpSocket::from_std(datagrams), TcpListener::from_std(streams));
                let (Ok(datagrams), Ok(streams)) = sockets else { continue };
                let mut tasks = JoinSet::new();
                tasks.spawn(answer_datagrams(home, Arc::new(datagrams), sources.clone()));
                tasks.spawn(answer_streams(home, streams, sources.clone()));
                running.insert(home, tasks);
            }
            Order::End(home) => drop(running.remove(&home)),
        }
    }
}

/// Takes an address of a name out when it is no longer good. What is learnt meanwhile is good for longer than a moment.
async fn ended(sources: &Sources) {
    let wait = sources.filter.first_end().map_or(LOOK, |end| end.since(now()).duration().min(LOOK));
    tokio::time::sleep(wait).await;
    if let Err(error) = sources.filter.expire(now()) {
        eprintln!("ringwall: addresses of names that are no longer good could not be taken out: {error}");
    }
}

async fn answer_datagrams(home: IpAddr, socket: Arc<UdpSocket>, sources: Arc<Sources>) {
    let mut bytes = [0; dns::MOST + 1];
    let mut open = JoinSet::new();
    loop {
        if open.len() >= QUESTIONS {
            open.join_next().await;
        }
        while open.try_join_next().is_some() {}
        let Ok((length, from)) = socket.recv_from(&mut bytes).await else { continue };
        let (question, socket) = (bytes.get(..length).unwrap_or_default().to_vec(), socket.clone());
        let sources = sources.clone();
        open.spawn(async move {
            if let Some(answer) = answer(&sources, home, &question).await {
                // Whoever asked and is gone gets no answer.
                socket.send_to(&answer, from).await.unwrap_or_default();
            }
        });
    }
}

async fn answer_streams(home: IpAddr, socket: TcpListener, sources: Arc<Sources>) {
    let mut open = JoinSet::new();
    loop {
        if open.len() >= CONNECTIONS {
            open.join_next().await;
        }
        while open.try_join_next().is_some() {}
        let Ok((stream, _)) = socket.accept().await else { continue };
        open.spawn(conversation(home, stream, sources.clone()));
    }
}

/// Questions on one connection, each behind its length (RFC 1035 section 4.2.2).
async fn conversation(home: IpAddr, mut stream: TcpStream, sources: Arc<Sources>) {
    while let Ok(Ok(length)) = timeout(PATIENCE, stream.read_u16()).await {
        let mut bytes = vec![0; usize::from(length)];
        if bytes.len() > dns::MOST || !matches!(timeout(PATIENCE, stream.read_exact(&mut bytes)).await, Ok(Ok(_))) {
            return;
        }
        let Some(answer) = answer(&sources, home, &bytes).await else { return };
        let length = u16::try_from(answer.len()).unwrap_or_default().to_be_bytes();
        if stream.write_all(&[&length[..], &answer].concat()).await.is_err() {
            return;
        }
    }
}

async fn answer(sources: &Sources, home: IpAddr, bytes: &[u8]) -> Option<Vec<u8>> {
    let question = match dns::read(bytes) {
        Ok(question) => question,
        Err(bad) => return dns::render_bad(bad),
    };
    let (said, asked) = {
        let current = sources.current.load();
        let world = &current.world;
        let workload = world.inventory.workloads.iter().find(|workload| workload.address == home)?;
        let said = said(world, workload, &question.name);
        let asked = match said {
            Said::Refused => world.ground.allows_name(home, &question.name),
            Said::Addresses(_) => is_outside(world, workload, &question.name),
            Said::Nothing => false,
        };
        (said, asked)
    };
    let said = match sources.outside.filter(|_| asked) {
        Some(server) => asked_outside(sources, server, &question).await,
        None => said,
    };
    Some(dns::render(&question, &said, sources.told()))
}

/// Whether a workload without doors asks for a host of a ServiceEntry, which it reaches where it really is or not at all.
fn is_outside(world: &World, workload: &Workload, name: &str) -> bool {
    let service = world.inventory.service_of(name).and_then(|id| world.inventory.service(id));
    let named = |endpoint: &Endpoint| matches!(endpoint, Endpoint::Name(_));
    !workload.in_mesh && service.is_some_and(|service| service.endpoints.iter().all(named))
}

/// Asks outside. What comes back is in force before it is said.
async fn asked_outside(sources: &Sources, server: SocketAddr, question: &Question) -> Said {
    let found = match timeout(PATIENCE, one_question(server, question)).await {
        Ok(Ok(found)) => found,
        Ok(Err(NoAnswer::NoName)) => return Said::Nothing,
        Ok(Err(NoAnswer::Foreign | NoAnswer::Failed)) | Err(_) => return Said::Refused,
    };
    let now = now();
    let good = |seconds| now.plus(good_for(seconds, sources.least));
    let outside = found.iter().filter(|(address, _)| is_of_outside(*address)).take(ADDRESSES);
    let learnt: Vec<_> = outside.map(|(address, seconds)| (*address, good(*seconds))).collect();
    if let Err(error) = sources.filter.learn(&question.name, &learnt, now) {
        eprintln!("ringwall: addresses of `{}` are not in force: {error}", question.name);
        return Said::Refused;
    }
    Said::Addresses(learnt.into_iter().map(|(address, _)| address).collect())
}

/// How long an address is good whose record says so many seconds.
fn good_for(seconds: u32, least: u64) -> Millis {
    Millis(u64::from(seconds).max(least).min(MOST_GOOD) * 1000)
}

async fn one_question(server: SocketAddr, question: &Question) -> Result<Vec<(IpAddr, u32)>, NoAnswer> {
    // A socket and a number of its own for each question, so that neither can be foreseen.
    let id = getrandom::u32().map_err(|_| NoAnswer::Failed)? as u16;
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let failed = |_: std::io::Error| NoAnswer::Failed;
    let socket = UdpSocket::bind((any, 0)).await.map_err(failed)?;
    socket.connect(server).await.map_err(failed)?;
    let asked = ask(id, &question.name, question.wanted).ok_or(NoAnswer::Failed)?;
    socket.send(&asked).await.map_err(failed)?;
    let mut bytes = [0; MOST_OF_ANSWER + 1];
    loop {
        let length = socket.recv(&mut bytes).await.map_err(failed)?;
        match read_answer(bytes.get(..length).unwrap_or_default(), id, &question.name, question.wanted) {
            Err(NoAnswer::Foreign) => {}
            read => return read,
        }
    }
}

/// The resolver of this machine, as its `resolv.conf` names it.
pub fn of_machine() -> Option<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").ok()?;
    let first = text.lines().find_map(|line| line.strip_prefix("nameserver")?.trim().parse::<IpAddr>().ok());
    first.map(|address| SocketAddr::new(address, 53))
}

/// What a name means to a workload: short names are of its own namespace, as a cluster's search list has it.
fn said(world: &World, workload: &Workload, name: &str) -> Said {
    let inventory = &world.inventory;
    let labels = name.split('.').count();
    let whole = match labels {
        1 => format!("{name}.{}.svc.{OWN}", workload.namespace),
        2 => format!("{name}.svc.{OWN}"),
        _ if name.ends_with(".svc") => format!("{name}.{OWN}"),
        _ => name.to_owned(),
    };
    // A host of two labels may be one outside as well.
    let id = inventory.service_of(&whole).or_else(|| inventory.service_of(name));
    match id.and_then(|id| inventory.service(id)) {
        Some(service) => Said::Addresses(addresses(world, workload, service)),
        // Where this resolver is the authority, a name that is not there is not there.
        None if labels == 1 || name.ends_with(OWN) || name.ends_with(".svc") => Said::Nothing,
        None => Said::Refused,
    }
}

/// The virtual address for a workload whose calls are intercepted; else where the service really is.
fn addresses(world: &World, workload: &Workload, service: &Service) -> Vec<IpAddr> {
    let virtual_address = ringwall_manifest::virtual_address(service);
    if workload.in_mesh {
        return vec![virtual_address];
    }
    let real = service.endpoints.iter().filter_map(|endpoint| match endpoint {
        Endpoint::Workload(id) => world.inventory.workload(*id).map(|workload| workload.address),
        Endpoint::Address(address) => Some(*address),
        Endpoint::Name(_) => None,
    });
    let real: Vec<IpAddr> = real.collect();
    if real.is_empty() { vec![virtual_address] } else { real }
}

#[cfg(test)]
mod tests {
    use super::good_for;
    use ringwall_model::Millis;

    #[test]
    fn an_address_is_good_as_long_as_its_record_says_within_bounds() {
        for (seconds, least, good) in [(90, 60, 90), (5, 60, 60), (0, 1, 1), (u32::MAX, 60, 3600), (90, 7200, 3600)] {
            assert_eq!(good_for(seconds, least), Millis(good * 1000), "{seconds} {least}");
        }
    }
}
