//! The packet filter of the node: the World's network policies as rules of the kernel, blocks of addresses, and what the
//! filter says of packets.
//!
//! In: Worlds, blocks. Out: rules in the router's namespace; events. Never: a decision of its own.

use super::Isolation;
use ipnet::IpNet;
use ringwall_kernel::apply::{Applied, ApplyError, Firewall, ReadBack};
use ringwall_kernel::blocklist::Blocker;
use ringwall_kernel::events::{Event, Fate, Listener, Part};
use ringwall_kernel::namespace::Namespace;
use ringwall_kernel::netlink::{Error, Wait};
use ringwall_kernel::nft::layout::Settings;
use ringwall_manifest::World;
use ringwall_packet::compile::{Local, Share, compile};
use ringwall_packet::{Endpoint, Ground, Names};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The filter; its rules end with the router's namespace.
pub struct Filter {
    firewall: Mutex<Firewall>,
    blocker: Mutex<Blocker>,
    router: Namespace,
    ended: Arc<AtomicBool>,
    /// Somebody took the filter away on purpose.
    detached: AtomicBool,
}

impl Filter {
    /// Opens the way to the router's rules; nothing is in force yet.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn open(router: &Namespace) -> io::Result<Self> {
        let (firewall, blocker) = router.run(|| {
            let firewall = Firewall::open(settings()).map_err(io::Error::other)?;
            let blocker = firewall.blocker().map_err(io::Error::other)?;
            Ok((firewall, blocker))
        })?;
        let (firewall, blocker) = (Mutex::new(firewall), Mutex::new(blocker));
        Ok(Self { firewall, blocker, router: router.clone(), ended: Arc::default(), detached: AtomicBool::new(false) })
    }

    /// Puts a World's network policies in force, all or none.
    ///
    /// # Errors
    /// A sentence; the rules before it stay in force.
    pub fn apply(&self, world: &World, isolation: &Isolation) -> Result<Applied, String> {
        let ruleset = compile(&world.ground, &Names::default(), &share(&world.ground, isolation));
        let applied = lock(&self.firewall).apply(&ruleset, &world.rules).map_err(|error| error.to_string())?;
        self.detached.store(false, Ordering::Relaxed);
        match &applied.read_back {
            ReadBack::Equal => Ok(applied),
            ReadBack::Differs(names) => Err(format!("the kernel has other rules than were asked for: {names:?}")),
        }
    }

    /// Blocks an address or a network; `lasts`: `None` until it is lifted.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn block(&self, network: &IpNet, lasts: Option<Duration>) -> Result<(), String> {
        lock(&self.firewall).make_place(network).map_err(|error| error.to_string())?;
        lock(&self.blocker).block(*network, lasts).map_err(|error| error.to_string())
    }

    /// Ends a block.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn unblock(&self, network: &IpNet) -> Result<(), Error> {
        lock(&self.blocker).unblock(*network).map(drop)
    }

    /// What is in force, for people.
    pub fn status(&self) -> String {
        if self.detached.load(Ordering::Relaxed) {
            return "packet       NOT in force: taken away by `ringwall kernel detach`\n".into();
        }
        let compared = match lock(&self.firewall).read_back() {
            Ok(ReadBack::Equal) => "as asked for".to_owned(),
            Ok(ReadBack::Differs(names)) => format!("CHANGED by somebody: {names:?}"),
            Err(error) => format!("not readable: {error}"),
        };
        let blocks = lock(&self.blocker).blocks().map_or(0, |blocks| blocks.len());
        format!(
            "packet       nftables `inet ringwall` in the router's namespace, {compared}; {blocks} addresses blocked\n"
        )
    }

    /// Puts back what somebody changed, and says what that was.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn mend(&self) -> Result<Vec<Box<str>>, ApplyError> {
        if self.detached.load(Ordering::Relaxed) { Ok(Vec::new()) } else { lock(&self.firewall).mend() }
    }

    /// Takes the whole filter away.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn detach(&self) -> io::Result<()> {
        self.detached.store(true, Ordering::Relaxed);
        self.router.run(|| {
            use ringwall_kernel::nft::{Generation, NftBackend, Nftables, batch::Batch};
            let mut batch = Batch::default();
            batch.delete_table();
            Nftables::open().and_then(|mut it| it.commit(&batch, Generation::Any)).map_err(io::Error::other)
        })
    }

    /// Tells `each` what the filter says of packets, from a thread that ends with the filter.
    ///
    /// # Errors
    /// When the group of events cannot be heard.
    pub fn hear(&self, each: impl Fn(Event) + Send + 'static) -> io::Result<()> {
        let group = settings().telling.group;
        let mut listener = self.router.run(|| Listener::open(group).map_err(io::Error::other))?;
        let ended = self.ended.clone();
        let hear = move || {
            while !ended.load(Ordering::Relaxed) {
                // What was lost was counted in the kernel all the same.
                listener.read(Wait::Yes, &each).unwrap_or_default();
            }
        };
        std::thread::Builder::new().name("packets".into()).spawn(hear).map(drop)
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn settings() -> Settings {
    Settings::default()
}

/// Everything that the World has is on this node.
fn share(ground: &Ground, isolation: &Isolation) -> Share {
    let node = isolation.node();
    let local = |(endpoint, pod): (_, &Endpoint)| {
        let home = pod.addresses.iter().find_map(|address| node.home(*address));
        Local { endpoint, interface: home.map(|home| home.interface.as_str().into()) }
    };
    let [high, low] = ringwall_manifest::inventory::POD_NETWORK;
    let pods = ipnet::Ipv4Net::new([high, low, 0, 0].into(), 16).map(IpNet::from);
    Share {
        networks: pods.into_iter().collect(),
        node: Vec::new(),
        locals: ground.endpoints().iter().map(local).collect(),
    }
}

/// An event in the words of telemetry.
pub fn told(world: &World, event: &Event) -> ringwall_model::Packet {
    let name = |address: IpAddr| {
        let workload = world.inventory.workloads.iter().find(|workload| workload.address == address);
        workload.map_or_else(|| address.to_string(), |workload| workload.full_name()).into()
    };
    ringwall_model::Packet {
        id: ringwall_model::CallId(u128::from(crate::platform::dice()) << 64 | u128::from(crate::platform::dice())),
        seen: ringwall_control::facts::now(),
        fate: match event.fate {
            Fate::Dropped => ringwall_model::PacketFate::Dropped,
            Fate::WouldDrop => ringwall_model::PacketFate::WouldDrop,
        },
        part: match event.part {
            Part::Egress => "egress",
            Part::Ingress => "ingress",
            Part::Blocklist => "blocklist",
            Part::Flood => "flood",
            Part::Spoofing => "spoofing",
            Part::Unknown => "unknown",
            Part::Changing => "changing",
        },
        rule: event.reason.clone(),
        source: event.source,
        destination: event.destination,
        workloads: (name(event.source), name(event.destination)),
        protocol: event.protocol,
        ports: event.ports,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
