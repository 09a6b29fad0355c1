//! A running platform: the World in force, the engine that serves it, and everything that follows them.
//!
//! In: manifests, settings. Out: listeners that answer, until it is dropped. Everything that it starts ends with it.
//! Start reading at [`Platform::start`].

pub mod admin;
pub mod apps;
mod aside;
pub mod certificates;
mod collector;
pub mod commands;
mod dial;
mod doors;
pub mod force;
mod health;
pub mod isolation;
pub mod logs;
mod outside;
mod page;
pub mod plain;
pub mod programs;
mod reload;
mod response;
pub mod rules;
mod screen;
pub use outside::dice;
pub use reload::{lower, options};
pub mod subject;
pub mod table;
mod upstream;

use crate::demo::provider::Provider;
use apps::Apps;
use arc_swap::ArcSwap;
use certificates::{Authorities, EdgeCertificate};
use dial::{LoopbackDial, NodeDial};
use force::{Current, InForce};
use isolation::Isolation;
use ringwall_control::binds::Binds;
use ringwall_control::facts::{FactsKeeper, now};
use ringwall_control::history::History;
use ringwall_control::settings::Settings;
use ringwall_control::source::Input;
use ringwall_control::state::StateDir;
use ringwall_dataplane::page::ProxyHeader;
use ringwall_dataplane::{Dial, Engine, EventSink, ListenerId, Shared};
use ringwall_manifest::world::StandIn;
use ringwall_model::{Event, Listener, Millis, Question, Role, Timestamp};
use ringwall_telemetry::{Names, Telemetry};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// How a platform is to run.
pub struct Options {
    /// What becomes of workloads that the manifests only name.
    pub stand_in: StandIn,
    /// Process settings.
    pub settings: Settings,
    /// The rules of the web application firewall.
    pub rules: rules::Rules,
    /// Where state is kept; `None` keeps it in memory.
    pub state: Option<StateDir>,
    /// Whether the edge stands behind a balancer that speaks the PROXY protocol.
    pub proxy_header: ProxyHeader,
    /// Who has the first World taken.
    pub author: String,
    /// Revision of the manifests' folder.
    pub revision: Option<String>,
    /// How namespaces can be made, when workloads are to be isolated.
    pub isolate: Option<ringwall_kernel::namespace::Standing>,
}

/// Why a platform did not come up, or a World was not taken: text for people, findings included.
#[derive(Debug)]
pub struct NotUp(pub String);

/// A running platform.
pub struct Platform {
    options: Options,
    force: Arc<InForce>,
    engine: Mutex<Option<Engine>>,
    telemetry: Arc<Telemetry>,
    /// Folder of the ring of decisions.
    traces: std::path::PathBuf,
    authorities: Authorities,
    provider: Arc<Provider>,
    binds: Arc<Binds>,
    apps: Apps,
    /// The node of isolated workloads.
    isolation: Option<Arc<Isolation>>,
    /// What the kernel does at the machine's own links.
    screen: Option<screen::Screen>,
    /// Whether the kernel refused a block that is in force above.
    owed: AtomicBool,
    /// Control groups of plain processes.
    plain: plain::Plain,
    /// Sends spans for as long as the platform lives.
    _collector: collector::Collector,
    /// Metrics and health; set once the platform is up.
    admin: OnceLock<admin::Admin>,
    live: Mutex<Live>,
}

/// What changes when a World is taken.
struct Live {
    /// Served listeners by socket address.
    served: BTreeMap<SocketAddr, (ListenerId, Listener)>,
    /// Served doors of isolated workloads.
    doors: BTreeMap<SocketAddr, ListenerId>,
    /// Workload addresses and ports whose application was started.
    started: BTreeMap<(std::net::IpAddr, u16), SocketAddr>,
    /// The edge's certificates.
    edge: Vec<EdgeCertificate>,
    /// Why some server has none.
    missing: Vec<String>,
    /// Certificates that hold for the next World, too.
    kept: certificates::Kept,
    /// When certificates are made anew.
    due: Timestamp,
    history: History,
    inputs: Vec<Input>,
    /// Findings of the World in force, rendered.
    findings: String,
}

impl Platform {
    /// Brings a platform up.
    ///
    /// # Errors
    /// [`NotUp`] says what is wrong, with file, line and column where it is a manifest.
    pub fn start(inputs: Vec<Input>, options: Options) -> Result<Arc<Self>, NotUp> {
        let (history, authorities) = open_state(&options)?;
        let provider = Arc::new(Provider::new(ISSUER, PROVIDER_BASE).map_err(NotUp)?);
        let binds = Arc::new(Binds::choose(u16::try_from(dice() & 0xffff).unwrap_or_default()));
        let current = Arc::new(ArcSwap::from_pointee(Current::default()));
        let facts = Arc::new(keeper(&options, &current, &binds, &provider));
        let bench = aside::Bench::start(aside::threads()).map_err(|error| NotUp(error.to_string()))?;
        let screen = screen::Screen::open(&options.settings).map_err(|error| NotUp(format!("{error}\n")))?;
        let isolation = make_node(&options, &current)?;
        let tried = isolation::Tried(isolation.clone());
        let force =
            InForce::new(current.clone(), facts, binds.clone(), options.proxy_header, (isolation.clone(), bench));
        let force = Arc::new(force);
        restore_blocks(&options, &force)?;
        let traces = match &options.state {
            Some(state) => state.file("traces"),
            None => std::env::temp_dir().join(format!("ringwall-{}-{:016x}", std::process::id(), dice())),
        };
        make_folder(&traces)?;
        let telemetry = Arc::new(open_telemetry(&options, &traces)?);
        let collector = send_spans(&telemetry, &current, &binds)?;
        let dial: Arc<dyn Dial> = match &isolation {
            Some(isolation) => Arc::new(NodeDial { isolation: isolation.clone(), current }),
            None => Arc::new(LoopbackDial { current, binds: binds.clone() }),
        };
        let sink = Arc::new(Sink { telemetry: telemetry.clone(), force: force.clone() });
        if let Some(isolation) = &isolation {
            hear_packets(isolation, &sink).map_err(|error| NotUp(format!("events of packets: {error}\n")))?;
        }
        if let Some(screen) = &screen {
            let heard = screen.hear(teller(&sink));
            heard.map_err(|error| NotUp(format!("events of packets: {error}\n")))?;
        }
        let plain = {
            // Without a state folder the traces' is this run's own.
            let folder = options.state.as_ref().map_or_else(|| traces.clone(), |state| state.file(""));
            plain::Plain::new(&folder, Arc::new(teller(&sink)))
        };
        let shared = Arc::new(Shared::new(force.clone(), dial, sink));
        let engine = Engine::start(workers(&options.settings), shared).map_err(|error| NotUp(error.to_string()))?;
        let apps = Apps::start().map_err(|error| NotUp(format!("applications: {error}")))?;
        let platform = Arc::new(Self {
            options,
            force,
            engine: Mutex::new(Some(engine)),
            telemetry,
            traces,
            authorities,
            provider,
            binds,
            apps,
            isolation,
            screen,
            owed: AtomicBool::new(false),
            plain,
            _collector: collector,
            admin: OnceLock::new(),
            live: Mutex::new(Live {
                served: BTreeMap::new(),
                doors: BTreeMap::new(),
                started: BTreeMap::new(),
                edge: Vec::new(),
                missing: Vec::new(),
                kept: certificates::Kept::default(),
                due: now(),
                history,
                inputs: Vec::new(),
                findings: String::new(),
            }),
        });
        let (author, revision) = (platform.options.author.clone(), platform.options.revision.clone());
        platform.deny_identities();
        platform.take(inputs, &author, revision)?;
        platform.block_packets().map_err(|error| NotUp(format!("blocks in the packet filter: {error}\n")))?;
        if platform.isolation.is_none() {
            platform.adopt_groups();
        }
        let admin = admin::Admin::start(&platform).map_err(|error| NotUp(format!("admin listener: {error}")))?;
        // Set here only, so it was empty.
        drop(platform.admin.set(admin));
        tried.came_up();
        Ok(platform)
    }

    /// The World in force.
    pub fn world(&self) -> Arc<Current> {
        self.force.current.load_full()
    }

    /// Ends: accepts nothing more, lets requests finish, and cuts what is left after the deadline.
    pub fn drain(&self, deadline: Millis) -> usize {
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner).take();
        engine.map_or(0, |engine| engine.drain(deadline.duration()))
    }

    /// The node of isolated workloads.
    pub fn isolation(&self) -> Option<&Isolation> {
        self.isolation.as_deref()
    }

    fn live(&self) -> std::sync::MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.drain(Millis(0));
        if self.options.state.is_none() {
            // A run without a state folder leaves nothing behind.
            std::fs::remove_dir_all(&self.traces).unwrap_or_default();
        }
    }
}

/// The issuer that the built-in identity provider speaks for.
const ISSUER: &str = "https://keycloak.platform.local/realms/platform";
/// Where its documents are, inside the mesh.
const PROVIDER_BASE: &str = "http://keycloak.infrastructure.svc.cluster.local:8080/realms/platform";

fn open_state(options: &Options) -> Result<(History, Authorities), NotUp> {
    let told = |error: ringwall_control::state::StateError| NotUp(error.to_string());
    let history = History::open(options.state.clone()).map_err(told)?;
    let svid_lifetime = Millis(options.settings.number("svid_lifetime"));
    let authorities = Authorities::open(options.state.as_ref(), svid_lifetime, now()).map_err(NotUp)?;
    Ok((history, authorities))
}

fn keeper(
    options: &Options,
    current: &Arc<ArcSwap<Current>>,
    binds: &Arc<Binds>,
    provider: &Arc<Provider>,
) -> FactsKeeper {
    let resolve = Arc::new(dial::MeshResolve { current: current.clone(), binds: binds.clone() });
    let keeper = FactsKeeper::new(resolve, Millis(options.settings.number("facts_cooldown")));
    if options.stand_in == StandIn::Nothing {
        return keeper;
    }
    let provider = provider.clone();
    keeper.with_stand_in(Box::new(move |question| {
        let document = match question {
            Question::Keys { .. } => provider.key_set(),
            Question::Discovery { issuer, .. } => serde_json::json!({
                "issuer": &**issuer, "jwks_uri": format!("{issuer}/protocol/openid-connect/certs"),
            }),
        };
        Some(document.to_string().into_bytes())
    }))
}

fn send_spans(
    telemetry: &Arc<Telemetry>,
    current: &Arc<ArcSwap<Current>>,
    binds: &Arc<Binds>,
) -> Result<collector::Collector, NotUp> {
    let resolve = dial::MeshResolve { current: current.clone(), binds: binds.clone() };
    let collector = collector::Collector::start(telemetry.clone(), resolve);
    collector.map_err(|error| NotUp(format!("spans: {error}\n")))
}

/// The node of isolated workloads, when they are to be isolated.
fn make_node(options: &Options, current: &Arc<ArcSwap<Current>>) -> Result<Option<Arc<Isolation>>, NotUp> {
    let Some(standing) = options.isolate else { return Ok(None) };
    let established = match options.settings.text("established_flows") {
        "cut" => isolation::filter::Established::Cut,
        _ => isolation::filter::Established::Keep,
    };
    let outside = name_server(&options.settings)?;
    let folder = options.state.as_ref().map(|state| state.file(""));
    let named = (outside, Millis(options.settings.number("name_keep")));
    let isolation = Isolation::start(standing, current.clone(), established, named, folder.as_deref());
    isolation.map(|isolation| Some(Arc::new(isolation))).map_err(|error| NotUp(format!("{error}\n")))
}

/// Who is asked for names of the outside.
fn name_server(settings: &Settings) -> Result<Option<SocketAddr>, NotUp> {
    let text = settings.text("name_server");
    if text.is_empty() {
        return Ok(isolation::names::of_machine());
    }
    let plain = || text.parse().ok().map(|address| SocketAddr::new(address, 53));
    let address = text.parse().ok().or_else(plain);
    address.map(Some).ok_or_else(|| NotUp(format!("`name_server` is an address or `address:port`, not `{text}`\n")))
}

fn restore_blocks(options: &Options, force: &InForce) -> Result<(), NotUp> {
    let Some(state) = &options.state else { return Ok(()) };
    let bytes = state.read(commands::BLOCKS_FILE).map_err(|error| NotUp(error.to_string()))?;
    let Some(bytes) = bytes else { return Ok(()) };
    let blocks = serde_json::from_slice(&bytes)
        .map_err(|error| NotUp(format!("`{}` cannot be read: {error}", state.file(commands::BLOCKS_FILE).display())))?;
    force.blocks.restore(blocks, now());
    Ok(())
}

fn open_telemetry(options: &Options, folder: &std::path::Path) -> Result<Telemetry, NotUp> {
    let access: Box<dyn std::io::Write + Send> = match options.settings.text("access_log") {
        "stdout" => Box::new(std::io::stdout()),
        "file" => match &options.state {
            Some(state) => Box::new(append(&state.file("access.log"))?),
            None => Box::new(std::io::sink()),
        },
        _ => Box::new(std::io::sink()),
    };
    let kept = |name: &str| -> Result<Box<dyn std::io::Write + Send>, NotUp> {
        Ok(match &options.state {
            Some(state) => Box::new(append(&state.file(name))?),
            None => Box::new(std::io::sink()),
        })
    };
    let bytes = options.settings.number("trace_records").saturating_mul(2048);
    let counting = match options.settings.text("metrics") {
        "off" => ringwall_telemetry::Counting::NoCalls,
        _ => ringwall_telemetry::Counting::Calls,
    };
    let output = ringwall_telemetry::Output {
        access,
        flow: kept("flow.log")?,
        firewall: kept("waf.log")?,
        audit: kept("audit.log")?,
        decisions: Some((folder.to_owned(), bytes)),
        lines_per_second: 100_000,
        counting,
    };
    Telemetry::start(output).map_err(|error| NotUp(format!("logs: {error}")))
}

fn make_folder(path: &std::path::Path) -> Result<(), NotUp> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| NotUp(format!("`{}`: {error}", path.display())))
}

fn append(path: &std::path::Path) -> Result<std::fs::File, NotUp> {
    use std::os::unix::fs::OpenOptionsExt;
    let opened = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    opened.map_err(|error| NotUp(format!("`{}`: {error}", path.display())))
}

/// One data plane thread a core, unless a number is set.
pub fn workers(settings: &Settings) -> usize {
    match settings.number("workers") {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        set => usize::try_from(set).unwrap_or(1),
    }
}

/// Hands what the packet filter says to telemetry.
fn hear_packets(isolation: &Isolation, sink: &Arc<Sink>) -> std::io::Result<()> {
    isolation.filter.hear(teller(sink))
}

/// Tells telemetry what the kernel says of packets.
fn teller(sink: &Arc<Sink>) -> impl Fn(ringwall_kernel::events::Event) + Clone + Send + 'static {
    let sink = sink.clone();
    move |event| {
        let told = isolation::filter::told(&sink.force.current.load().world, &event);
        sink.tell(Event::Packet(Box::new(told)));
    }
}

/// Hands events to telemetry with the names of the World in force.
struct Sink {
    telemetry: Arc<Telemetry>,
    force: Arc<InForce>,
}

impl EventSink for Sink {
    fn tell(&self, event: Event) {
        let current = self.force.current.load();
        // Rules are named by the World that decided, which may be an older one.
        let decided = match &event {
            Event::Exchange(exchange) => exchange.decided.as_ref().and_then(|it| it.0.downcast_ref::<Current>()),
            Event::Copy(copy) => copy.decided.as_ref().and_then(|it| it.0.downcast_ref::<Current>()),
            Event::Connection(_) | Event::Packet(_) | Event::Upstream { .. } => None,
        };
        let world = decided.map_or(&current.world, |decided| &decided.world);
        let names = Names { generation: world.generation, rules: &world.rules, inventory: &world.inventory };
        self.telemetry.tell(&event, &names);
    }
}

impl Current {
    /// A listener of that role at that workload (`namespace/name`), with its manifest port if one is named.
    pub fn listener(&self, role: Role, workload: &str, port: Option<u16>) -> Option<&Listener> {
        self.bound.values().map(|listener| &**listener).find(|listener| {
            let owner = self.world.inventory.workload(listener.workload);
            listener.role == role
                && listener.target.is_none()
                && port.is_none_or(|port| listener.address.port() == port)
                && owner.is_some_and(|owner| owner.full_name() == workload)
        })
    }
}
