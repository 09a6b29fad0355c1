//! The machine's own links: blocked addresses and networks are dropped at them before the stack looks at a packet, by
//! nftables, and in front of it by XDP where that can be had.
//!
//! In: names of links, blocks, who is never blocked. Out: what the kernel drops; events. Never: a block in XDP alone,
//! because XDP ends with this process and nftables does not; a rule between workloads, which is the node's part.

use super::Platform;
use ipnet::IpNet;
use ringwall_control::settings::Settings;
use ringwall_kernel::apply::{self, ApplyError, Firewall, ReadBack};
use ringwall_kernel::blocklist::{Blocker, Lists};
use ringwall_kernel::events::{Event, Fate, Listener, Part};
use ringwall_kernel::link::Links;
use ringwall_kernel::netlink::Wait;
use ringwall_kernel::nft::layout::{Scope, Settings as Layout};
use ringwall_kernel::xdp::{self, Events, Limits, Mode, Rate, Sizes, Verdict, Xdp};
use ringwall_model::{RuleBook, RuleId};
use ringwall_packet::ruleset::Ruleset;
use ringwall_shield::BlockId;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The links and what is in force at them.
pub struct Screen {
    links: Vec<String>,
    allowed: Vec<IpNet>,
    firewall: Mutex<Firewall>,
    blocker: Mutex<Blocker>,
    xdp: Mutex<Driver>,
    events: Mutex<Option<Events>>,
    detached: AtomicBool,
    ended: Arc<AtomicBool>,
}

/// XDP, or why there is none.
enum Driver {
    Loaded(Box<Xdp>),
    Without(String),
}

/// Drops that XDP tells, a second and at once, of each core.
const TOLD: Rate = Rate { per_second: 20, burst: 50 };
/// How long a thread that hears events waits before it sees whether it has ended.
const PATIENCE: Duration = Duration::from_millis(500);

impl Screen {
    /// Puts the lists in force at the links that the settings name; `None` when they name none.
    ///
    /// # Errors
    /// A sentence: a link that is not there, or what the kernel refused. XDP that cannot be had is no error.
    pub fn open(settings: &Settings) -> Result<Option<Self>, String> {
        let links: Vec<String> = words(settings.text("block_links")).map(str::to_owned).collect();
        if links.is_empty() {
            return Ok(None);
        }
        let there = std::fs::read_to_string("/proc/thread-self/net/dev").map_err(|error| error.to_string())?;
        let is_there = |link: &str| there.lines().any(|line| line.trim_start().split(':').next() == Some(link));
        if let Some(absent) = links.iter().find(|link| !is_there(link)) {
            return Err(format!("block_links: this machine has no link `{absent}`"));
        }
        let mut allowed = Vec::new();
        for word in words(settings.text("never_block")) {
            let network = word.parse().ok().or_else(|| word.parse::<IpAddr>().ok().map(IpNet::from));
            allowed.push(network.ok_or_else(|| format!("never_block: `{word}` is neither an address nor a CIDR"))?);
        }
        let own = Links::open().and_then(|mut links| links.addresses());
        allowed.extend(own.map_err(|error| format!("own addresses: {error}"))?.into_iter().map(IpNet::from));
        let most = u32::try_from(settings.number("source_packets")).unwrap_or(u32::MAX);
        let (firewall, blocker) = enforce(&links, &allowed, most).map_err(|error| {
            format!("the packet filter of {} (it needs CAP_NET_ADMIN, as root has it): {error}", links.join(", "))
        })?;
        let (xdp, events) = match settings.text("xdp") {
            "off" => (Driver::Without("switched off by the setting `xdp`".into()), None),
            _ => match load(&links, &allowed, most) {
                Ok((xdp, events)) => (Driver::Loaded(Box::new(xdp)), Some(events)),
                Err(error) => (Driver::Without(error.to_string()), None),
            },
        };
        Ok(Some(Self {
            links,
            allowed,
            firewall: Mutex::new(firewall),
            blocker: Mutex::new(blocker),
            xdp: Mutex::new(xdp),
            events: Mutex::new(events),
            detached: AtomicBool::new(false),
            ended: Arc::default(),
        }))
    }

    /// Blocks an address or a network; `lasts`: `None` until it is lifted.
    ///
    /// # Errors
    /// What the kernel refused of nftables. What XDP refuses is told and is no error: nftables drops it.
    pub fn block(&self, network: &IpNet, lasts: Option<Duration>, id: BlockId) -> Result<(), String> {
        lock(&self.firewall).make_place(network).map_err(|error| error.to_string())?;
        lock(&self.blocker).block(*network, lasts).map_err(|error| error.to_string())?;
        if let Driver::Loaded(xdp) = &mut *lock(&self.xdp)
            && let Err(error) = xdp.block(*network, lasts, RuleId(u32::try_from(id.0).unwrap_or(u32::MAX)))
        {
            eprintln!("ringwall: XDP does not block {network}, nftables does: {error}");
        }
        Ok(())
    }

    /// Ends a block.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn unblock(&self, network: &IpNet) -> Result<(), String> {
        lock(&self.blocker).unblock(*network).map_err(|error| error.to_string())?;
        match &mut *lock(&self.xdp) {
            Driver::Loaded(xdp) => xdp.unblock(*network).map(drop).map_err(|error| error.to_string()),
            Driver::Without(_) => Ok(()),
        }
    }

    /// Whether no block reaches all of a network here: it is on the list of who is never blocked.
    pub fn allows(&self, network: &IpNet) -> bool {
        self.allowed.iter().any(|allowed| allowed.contains(network))
    }

    /// What is in force, for people (`text`) and for programs.
    pub fn status(&self) -> Value {
        if self.detached.load(Ordering::Relaxed) {
            let text = "links        NOT in force: taken away by `ringwall kernel detach`\n";
            return json!({ "text": text, "detached": true });
        }
        let compared = match lock(&self.firewall).read_back() {
            Ok(ReadBack::Equal) => "as asked for".to_owned(),
            Ok(ReadBack::Differs(names)) => format!("CHANGED by somebody: {names:?}"),
            Err(error) => format!("not readable: {error}"),
        };
        let blocks = lock(&self.blocker).blocks().map_or(0, |blocks| blocks.len());
        let links = self.links.join(", ");
        let (line, xdp) = driver_status(&lock(&self.xdp));
        let text = format!(
            "links        nftables `inet ringwall` at {links}, {compared}; {blocks} blocked, {} never blocked\n{line}",
            self.allowed.len()
        );
        let allowed: Vec<_> = self.allowed.iter().map(ToString::to_string).collect();
        json!({ "text": text, "links": self.links, "nftables": compared, "blocks": blocks, "never_blocked": allowed, "xdp": xdp })
    }

    /// Puts back what somebody changed, and says what that was; forgets blocks of XDP that have ended.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn mend(&self) -> Result<Vec<Box<str>>, ApplyError> {
        if self.detached.load(Ordering::Relaxed) {
            return Ok(Vec::new());
        }
        if let Driver::Loaded(xdp) = &mut *lock(&self.xdp) {
            // What stays stops nothing any more.
            xdp.sweep().unwrap_or_default();
        }
        lock(&self.firewall).mend()
    }

    /// Takes all of it away.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn detach(&self) -> Result<(), String> {
        self.detached.store(true, Ordering::Relaxed);
        *lock(&self.xdp) = Driver::Without("taken away by `ringwall kernel detach`".into());
        apply::detach().map(drop).map_err(|error| error.to_string())
    }

    /// Tells `each` what is dropped, from threads that end with this.
    ///
    /// # Errors
    /// When the system gives no thread. A group of nflog that somebody else hears is told, and is no error.
    pub fn hear(&self, each: impl Fn(Event) + Clone + Send + 'static) -> std::io::Result<()> {
        match Listener::open(Layout::default().telling.group) {
            Err(error) => eprintln!("ringwall: drops at {} are counted and not told: {error}", self.links.join(", ")),
            Ok(mut listener) => {
                let (ended, each) = (self.ended.clone(), each.clone());
                let hear = move || {
                    while !ended.load(Ordering::Relaxed) {
                        // What was lost was counted in the kernel all the same.
                        listener.read(Wait::Yes, &each).unwrap_or_default();
                    }
                };
                std::thread::Builder::new().name("links".into()).spawn(hear)?;
            }
        }
        let Some(mut events) = lock(&self.events).take() else { return Ok(()) };
        let ended = self.ended.clone();
        let hear = move || {
            while !ended.load(Ordering::Relaxed) {
                events.wait(PATIENCE);
                events.by_ref().map(|event| told(&event)).for_each(&each);
            }
        };
        std::thread::Builder::new().name("xdp".into()).spawn(hear).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl Platform {
    /// What the kernel does at the machine's own links.
    pub(super) fn screen(&self) -> Option<&Screen> {
        self.screen.as_ref()
    }
}

/// nftables at the links.
fn enforce(links: &[String], allowed: &[IpNet], most: u32) -> Result<(Firewall, Blocker), ApplyError> {
    let flood = (most > 0).then_some((u64::from(most), most));
    let mut firewall = Firewall::open(Layout { scope: Scope::Lists, flood, ..Layout::default() })?;
    let links: Vec<&str> = links.iter().map(String::as_str).collect();
    firewall.set_links(&links)?;
    firewall.set_lists(Lists::of(allowed, &[]))?;
    firewall.apply(&Ruleset::default(), &RuleBook::default())?;
    let blocker = firewall.blocker()?;
    Ok((firewall, blocker))
}

/// XDP at the links, in front of nftables.
fn load(links: &[String], allowed: &[IpNet], most: u32) -> Result<(Xdp, Events), ringwall_kernel::bpf::BpfError> {
    let (mut xdp, events) = Xdp::load(Sizes::default())?;
    allowed.iter().try_for_each(|network| xdp.allow(*network))?;
    let packets = (most > 0).then_some(Rate { per_second: most, burst: most });
    xdp.limit(Limits { packets, events: Some(TOLD), ..Limits::default() })?;
    links.iter().try_for_each(|link| xdp.attach(link).map(drop))?;
    Ok((xdp, events))
}

fn driver_status(driver: &Driver) -> (String, Value) {
    let xdp = match driver {
        Driver::Loaded(xdp) => xdp,
        Driver::Without(why) => {
            return (format!("             without XDP, nftables drops alone: {why}\n"), json!({ "without": why }));
        }
    };
    let mode = |mode| if mode == Mode::Native { "in the driver" } else { "in the stack" };
    let places: Vec<_> = xdp.links().map(|(link, how)| format!("{link} ({})", mode(how))).collect();
    let links: Vec<_> = xdp.links().map(|(link, how)| json!({ "link": link, "runs": mode(how) })).collect();
    let counters = match xdp.counters() {
        Ok(counters) => counters,
        Err(error) => {
            return (format!("             XDP at {}: {error}\n", places.join(", ")), json!({ "links": links }));
        }
    };
    let verdicts = Verdict::ALL.map(|verdict| (verdict.name(), counters.of(verdict).frames));
    let named: Vec<_> =
        verdicts.iter().filter(|(_, count)| *count > 0).map(|(name, n)| format!("{name} {n}")).collect();
    let line = format!(
        "             XDP at {}: {} frames seen, {} dropped ({})\n",
        places.join(", "),
        counters.seen(),
        counters.dropped(),
        named.join(", ")
    );
    let verdicts: serde_json::Map<_, _> =
        verdicts.iter().map(|(name, count)| ((*name).to_owned(), json!(count))).collect();
    let value = json!({ "links": links, "seen": counters.seen(), "dropped": counters.dropped(),
        "untold": counters.untold(), "verdicts": verdicts });
    (line, value)
}

/// A drop of XDP in the words of the packet filter.
fn told(event: &xdp::Event) -> Event {
    let (part, reason) = match (event.verdict, event.rule) {
        (Verdict::Blocked | Verdict::Network, Some(RuleId(id))) => (Part::Blocklist, format!("block {id}, by XDP")),
        (Verdict::Blocked | Verdict::Network, None) => (Part::Blocklist, "blocked address, by XDP".into()),
        (verdict, _) => (Part::Flood, format!("{verdict}, by XDP")),
    };
    Event {
        fate: Fate::Dropped,
        part,
        reason: reason.into(),
        source: event.source,
        destination: event.destination,
        protocol: event.protocol,
        ports: event.ports,
        input: Some(event.link),
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
