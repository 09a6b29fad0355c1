//! The packet filter of the node: the World's network policies as rules of the kernel, blocks of addresses, and what the
//! filter says of packets.
//!
//! In: Worlds, blocks. Out: rules in the router's namespace; events. Never: a decision of its own.

use super::Isolation;
use crate::platform::force::Current;
use arc_swap::ArcSwap;
use ipnet::IpNet;
use ringwall_kernel::apply::{Applied, Firewall, ReadBack};
use ringwall_kernel::blocklist::Blocker;
use ringwall_kernel::conntrack::Connections;
use ringwall_kernel::events::{Event, Fate, Listener, Part};
use ringwall_kernel::namespace::Namespace;
use ringwall_kernel::namespace::node::OUTSIDE;
use ringwall_kernel::netlink::{Error, Wait};
use ringwall_kernel::nft::layout::Settings;
use ringwall_kernel::nft::watch::Watch;
use ringwall_manifest::World;
use ringwall_model::Timestamp;
use ringwall_packet::compile::{Local, Share, compile, held};
use ringwall_packet::names::Learnt;
use ringwall_packet::ruleset::Ruleset;
use ringwall_packet::{Endpoint, Ground, Names};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What becomes of flows that a change forbids and that are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Established {
    /// They go on; only new ones are judged.
    Keep,
    /// They are cut: their next packet is judged like a first one.
    Cut,
}

/// The filter; its rules end with the router's namespace.
pub struct Filter {
    firewall: Arc<Mutex<Firewall>>,
    blocker: Mutex<Blocker>,
    router: Namespace,
    established: Established,
    /// What names of the outside have turned out to be.
    pub names: ArcSwap<Names>,
    /// What is in force, to be compiled again when names change.
    applied: Mutex<Option<(Arc<Current>, Share)>>,
    ended: Arc<AtomicBool>,
    /// Somebody took the filter away on purpose.
    detached: Arc<AtomicBool>,
    /// What went wrong last, and changes by others that were put back.
    diary: Arc<Mutex<Diary>>,
}

/// What is remembered of the filter's troubles.
#[derive(Default)]
struct Diary {
    /// Why what is in force is not what was asked for last.
    trouble: Option<String>,
    /// How often others changed the table.
    changes: u64,
    /// The last of these changes: when, who, what was put back.
    last: Option<String>,
}

impl Filter {
    /// Opens the way to the router's rules; nothing is in force yet.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn open(router: &Namespace, established: Established) -> io::Result<Self> {
        let (firewall, blocker, watch) = router.run(|| {
            let firewall = Firewall::open(settings()).map_err(io::Error::other)?;
            let blocker = firewall.blocker().map_err(io::Error::other)?;
            let watch = firewall.watch().map_err(io::Error::other)?;
            Ok((firewall, blocker, watch))
        })?;
        let filter = Self {
            firewall: Arc::new(Mutex::new(firewall)),
            blocker: Mutex::new(blocker),
            router: router.clone(),
            established,
            names: ArcSwap::default(),
            applied: Mutex::default(),
            ended: Arc::default(),
            detached: Arc::default(),
            diary: Arc::default(),
        };
        filter.guard(watch)?;
        Ok(filter)
    }

    /// Puts a World's network policies in force, all or none.
    ///
    /// # Errors
    /// A sentence; the rules before it stay in force.
    pub fn apply(&self, current: &Arc<Current>, isolation: &Isolation) -> Result<(), String> {
        let share = share(&current.world.ground, isolation);
        let mut applied = lock(&self.applied);
        self.put(&current.world, &share)?;
        *applied = Some((current.clone(), share));
        self.detached.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Takes an answer to a question that a workload asked: the rules for that name have these addresses before the
    /// workload does. What is no longer good goes.
    ///
    /// # Errors
    /// A sentence; the rules before it stay in force.
    pub fn learn(&self, name: &str, addresses: &[(IpAddr, Timestamp)], now: Timestamp) -> Result<(), String> {
        let applied = lock(&self.applied);
        let mut names = self.names.load().at(now);
        let gone = names.expire(now);
        let before = names.clone();
        let learnt: Vec<Learnt> = addresses.iter().map(|(at, until)| names.learn(name, *at, *until)).collect();
        self.names.store(Arc::new(names));
        let Some((current, share)) = applied.as_ref().filter(|_| !self.detached.load(Ordering::Relaxed)) else {
            return Ok(());
        };
        let done = match learnt.iter().max() {
            _ if gone > 0 => self.put(&current.world, share),
            Some(Learnt::New) => self.put(&current.world, share),
            Some(Learnt::Longer) => self.renew(&current.world),
            Some(Learnt::Inside | Learnt::Known) | None => Ok(()),
        };
        // What the kernel has not taken is asked for again, not taken for known.
        done.inspect_err(|_| self.names.store(Arc::new(before)))
    }

    /// The rules stay; the kernel knows by itself when an address is good no more, and has to be told of another time.
    fn renew(&self, world: &World) -> Result<(), String> {
        let mut firewall = lock(&self.firewall);
        let names = held(&world.ground, &self.names.load(), firewall.names().keys());
        firewall.renew(names).map(drop).map_err(|error| error.to_string())
    }

    /// When the next address of a name is no longer good.
    pub fn first_end(&self) -> Option<Timestamp> {
        self.names.load().first_end()
    }

    /// Forgets the addresses of names that are no longer good.
    ///
    /// # Errors
    /// As for [`Self::learn`].
    pub fn expire(&self, now: Timestamp) -> Result<(), String> {
        if self.names.load().is_empty() { Ok(()) } else { self.learn("", &[], now) }
    }

    /// Why what is in force is not what was asked for last; `None`: it is.
    pub fn trouble(&self) -> Option<String> {
        lock(&self.diary).trouble.clone()
    }

    fn put(&self, world: &World, share: &Share) -> Result<(), String> {
        let ruleset = compile(&world.ground, &self.names.load(), share);
        // What is blocked is dropped where it comes from, before the router's stack: a link is named here before it is up,
        // and no longer before it goes.
        let homes = share.locals.iter().filter_map(|local| local.interface.as_deref());
        let links: Vec<&str> = homes.chain([OUTSIDE]).collect();
        let done = match lock(&self.firewall).apply_at(&links, &ruleset, &world.rules) {
            Ok(Applied { read_back: ReadBack::Differs(names), .. }) => {
                Err(format!("the kernel has other rules than were asked for: {names:?}"))
            }
            Ok(_) => self.cut(&ruleset),
            Err(error) => Err(error.to_string()),
        };
        lock(&self.diary).trouble = done.as_ref().err().cloned();
        done
    }

    fn cut(&self, ruleset: &Ruleset) -> Result<(), String> {
        if self.established == Established::Keep {
            return Ok(());
        }
        let cut = || Connections::open()?.cut_forbidden(ruleset);
        let cut = self.router.run(|| cut().map_err(io::Error::other));
        cut.map(drop).map_err(|error| format!("established flows could not be cut: {error}"))
    }

    /// Puts back, and remembers, what others change in the table, from a thread that ends with the filter.
    fn guard(&self, mut watch: Watch) -> io::Result<()> {
        let (firewall, ended) = (self.firewall.clone(), self.ended.clone());
        let (detached, diary) = (self.detached.clone(), self.diary.clone());
        let guard = move || {
            while !ended.load(Ordering::Relaxed) {
                let mut who = None;
                let lost = watch.read(Wait::Yes, |change| who = Some(change.process)).is_err();
                if (lost || who.is_some()) && !detached.load(Ordering::Relaxed) {
                    mend(&firewall, &diary, who.flatten());
                }
            }
        };
        std::thread::Builder::new().name("guard".into()).spawn(guard).map(drop)
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
        let mut text = format!(
            "packet       nftables `inet ringwall` in the router's namespace, {compared}; {blocks} addresses blocked\n"
        );
        let diary = lock(&self.diary);
        if let Some(trouble) = &diary.trouble {
            text.push_str(&format!("packet       NOT READY: {trouble}\n"));
        }
        if let Some(last) = &diary.last {
            text.push_str(&format!(
                "packet       changed by others {} times and put back; last {last}\n",
                diary.changes
            ));
        }
        let names = self.names.load();
        if !names.is_empty() {
            text.push_str(&format!("packet       {} addresses of names of the outside\n", names.len()));
        }
        text
    }

    /// Looks whether all is as it was asked for; puts back and remembers what is not. Changes are heard of at once: this
    /// is for those that were not told.
    pub fn mend(&self) {
        if !self.detached.load(Ordering::Relaxed) {
            mend(&self.firewall, &self.diary, None);
        }
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

/// Puts back what somebody changed. What cannot be put back is a trouble.
fn mend(firewall: &Mutex<Firewall>, diary: &Mutex<Diary>, who: Option<(u32, Box<str>)>) {
    let mended = lock(firewall).mend();
    let mut diary = lock(diary);
    match mended {
        Ok(found) if found.is_empty() => {}
        Ok(found) => {
            let who =
                who.map_or_else(|| "somebody".to_owned(), |(process, name)| format!("process {process} ({name})"));
            let (when, what) = (ringwall_control::facts::now().rfc3339(), found.join(", "));
            diary.changes += 1;
            diary.last = Some(format!("{when} by {who}: {what}"));
            eprintln!("ringwall: {who} changed the packet filter; put back: {what}");
        }
        Err(error) => {
            eprintln!("ringwall: the packet filter could not be put back: {error}");
            diary.trouble = Some(format!("the packet filter could not be put back: {error}"));
        }
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
            Part::Stray => "stray",
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
