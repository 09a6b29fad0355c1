//! A resolver in every home: Services and the hosts of ServiceEntries have addresses that are the same in every run; it
//! asks nobody, so a name that the manifests do not know has none.
//!
//! In: questions on the home's own loopback. Out: answers from the World in force. Never: a question to another
//! resolver: what workloads may reach, the data plane resolves itself.

use super::super::force::Current;
use arc_swap::ArcSwap;
use ringwall_kernel::dns::{self, Said};
use ringwall_manifest::World;
use ringwall_model::{Endpoint, Service, Workload};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connections of one home that are served at a time; more wait.
const CONNECTIONS: usize = 8;
/// How long a question may take to come.
const PATIENCE: Duration = Duration::from_secs(5);
/// The end of the mesh's own names.
const OWN: &str = "cluster.local";

/// What the resolvers' thread is told.
enum Order {
    Serve(IpAddr, std::net::UdpSocket, std::net::TcpListener),
    End(IpAddr),
}

/// The resolvers, all on one thread, which ends with this.
pub struct Resolvers(UnboundedSender<Order>);

impl Resolvers {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn start(current: Arc<ArcSwap<Current>>) -> std::io::Result<Self> {
        let (orders, inbox) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("names".into()).spawn(move || runtime.block_on(run(inbox, current)))?;
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

async fn run(mut inbox: UnboundedReceiver<Order>, current: Arc<ArcSwap<Current>>) {
    let mut running = BTreeMap::new();
    while let Some(order) = inbox.recv().await {
        match order {
            Order::Serve(home, datagrams, streams) => {
                let sockets = (UdpSocket::from_std(datagrams), TcpListener::from_std(streams));
                let (Ok(datagrams), Ok(streams)) = sockets else { continue };
                let mut tasks = JoinSet::new();
                tasks.spawn(answer_datagrams(home, datagrams, current.clone()));
                tasks.spawn(answer_streams(home, streams, current.clone()));
                running.insert(home, tasks);
            }
            Order::End(home) => drop(running.remove(&home)),
        }
    }
}

async fn answer_datagrams(home: IpAddr, socket: UdpSocket, current: Arc<ArcSwap<Current>>) {
    let mut bytes = [0; dns::MOST + 1];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut bytes).await else { continue };
        if let Some(answer) = answer(&current.load().world, home, bytes.get(..length).unwrap_or_default()) {
            // Whoever asked and is gone gets no answer.
            socket.send_to(&answer, from).await.unwrap_or_default();
        }
    }
}

async fn answer_streams(home: IpAddr, socket: TcpListener, current: Arc<ArcSwap<Current>>) {
    let mut open = JoinSet::new();
    loop {
        if open.len() >= CONNECTIONS {
            open.join_next().await;
        }
        while open.try_join_next().is_some() {}
        let Ok((stream, _)) = socket.accept().await else { continue };
        open.spawn(conversation(home, stream, current.clone()));
    }
}

/// Questions on one connection, each behind its length (RFC 1035 section 4.2.2).
async fn conversation(home: IpAddr, mut stream: TcpStream, current: Arc<ArcSwap<Current>>) {
    while let Ok(Ok(length)) = timeout(PATIENCE, stream.read_u16()).await {
        let mut bytes = vec![0; usize::from(length)];
        if bytes.len() > dns::MOST || !matches!(timeout(PATIENCE, stream.read_exact(&mut bytes)).await, Ok(Ok(_))) {
            return;
        }
        let Some(answer) = answer(&current.load().world, home, &bytes) else { return };
        let length = u16::try_from(answer.len()).unwrap_or_default().to_be_bytes();
        if stream.write_all(&[&length[..], &answer].concat()).await.is_err() {
            return;
        }
    }
}

fn answer(world: &World, home: IpAddr, bytes: &[u8]) -> Option<Vec<u8>> {
    let question = match dns::read(bytes) {
        Ok(question) => question,
        Err(bad) => return dns::render_bad(bad),
    };
    let workload = world.inventory.workloads.iter().find(|workload| workload.address == home)?;
    Some(dns::render(&question, &said(world, workload, &question.name)))
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
