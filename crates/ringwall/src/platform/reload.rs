//! Takes a World: lowers the manifests, prepares all that follows them, and puts all in force, or nothing.
//!
//! In: manifests. Out: the World's number, or why it was not taken. Order of commits: certificates, logs, applications,
//! then listeners: what widens comes last.

use super::certificates::Kept;
use super::force::Current;
use super::{Live, NotUp, Platform, workers};
use crate::demo::app::App;
use ringwall_control::facts::now;
use ringwall_control::publish::{Prepared, Publisher, Shell, Undo};
use ringwall_control::source::Input;
use ringwall_dataplane::Engine;
use ringwall_manifest::World;
use ringwall_manifest::world::{self, StandIn};
use ringwall_model::{Listener, Protocol, Role};
use ringwall_pki::Reach;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, PoisonError};

/// Listeners that were just bound.
type Bound = Vec<(Listener, Vec<TcpListener>)>;

impl Platform {
    /// Takes the World of these manifests.
    ///
    /// # Errors
    /// [`NotUp`] with the findings; what was in force stays in force.
    pub fn take(&self, inputs: Vec<Input>, author: &str, revision: Option<String>) -> Result<u64, NotUp> {
        let mut live = self.live();
        let generation = live.history.next_generation().max(self.world().world.generation + 1);
        let (mut world, mut findings) = lower(&inputs, generation, self.options.stand_in);
        findings.extend(world.arm(&self.options.rules));
        let rendered =
            ringwall_manifest::render::human(&findings, &world.sources, ringwall_manifest::render::Colour::Plain);
        if !world::may_be_taken(&findings) {
            return Err(NotUp(rendered));
        }
        let (current, fresh) = self.bind(world, &live).map_err(NotUp)?;
        let fresh = RefCell::new(fresh);
        let shells: Vec<Box<dyn Shell<Current> + '_>> = vec![
            Box::new(Certificates { platform: self, live: RefCell::new(&mut live) }),
            Box::new(Logs { platform: self }),
        ];
        let publisher = Publisher::new(self.force.current.clone());
        let current = publisher.publish(current, &shells).map_err(|error| NotUp(error.to_string()))?;
        drop(shells);
        self.start_apps(&current, &mut live);
        self.serve(&current, fresh.into_inner(), &mut live);
        live.findings = rendered;
        live.inputs = inputs;
        let inputs = std::mem::take(&mut live.inputs);
        let noted = live.history.note(author, revision, &inputs, now());
        live.inputs = inputs;
        // A World that could not be written into the history is in force all the same; the next command says so.
        noted.map_err(|error| NotUp(format!("World {generation} is in force, but not in the history: {error}")))?;
        Ok(generation)
    }

    /// Gives every listener of a World its socket address; binds those that are new.
    fn bind(&self, world: World, live: &Live) -> Result<(Current, Bound), String> {
        let mut bound = BTreeMap::new();
        let mut fresh = Vec::new();
        for listener in &world.listeners {
            let Some(home) = world.inventory.workload(listener.workload).map(|workload| workload.address) else {
                continue;
            };
            let known = self.binds.known(listener, home).filter(|at| live.served.contains_key(at));
            let (at, sockets) = match known {
                Some(at) => (at, None),
                None => {
                    let made = self.binds.bind(listener, home, workers(&self.options.settings));
                    let (at, sockets) = made.map_err(|error| format!("listener {}: {error}", listener.address))?;
                    (at, Some(sockets))
                }
            };
            let listener = Listener { bind: at, ..listener.clone() };
            if let Some(sockets) = sockets {
                fresh.push((listener.clone(), sockets));
            }
            bound.insert(at, Arc::new(listener));
        }
        Ok((Current { world, bound }, fresh))
    }

    /// Serves what is new, and closes what the World has no longer. Connections of closed listeners end at their next call.
    fn serve(&self, current: &Current, fresh: Bound, live: &mut Live) {
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(engine) = engine.as_ref() else { return };
        for (listener, sockets) in fresh {
            if let Ok(id) = engine.listen(listener.clone(), sockets) {
                live.served.insert(listener.bind, (id, listener));
            }
        }
        let gone: Vec<SocketAddr> = live.served.keys().filter(|at| !current.bound.contains_key(at)).copied().collect();
        for at in gone {
            if let Some((id, _)) = live.served.remove(&at) {
                engine.close(id);
            }
        }
    }

    /// Starts the built-in applications of workloads that have none of their own yet.
    fn start_apps(&self, current: &Current, live: &mut Live) {
        for listener in current.bound.values().filter(|listener| listener.role == Role::Inbound) {
            let Some(workload) = current.world.inventory.workload(listener.workload) else { continue };
            let key = (workload.address, listener.address.port());
            if live.started.contains_key(&key) {
                continue;
            }
            if let Some(address) = workload.app_address {
                let own = SocketAddr::new(address, listener.address.port());
                self.binds.set_app(key.0, key.1, own);
                live.started.insert(key, own);
                continue;
            }
            let outbound = current.listener(Role::Outbound, &workload.full_name(), None).map(|outbound| outbound.bind);
            let is_provider =
                &*workload.app == "keycloak" || workload.labels.get("app").is_some_and(|app| &**app == "keycloak");
            let app = App {
                workload: workload.full_name(),
                name: workload.labels.get("app").map_or_else(|| workload.app.to_string(), ToString::to_string),
                outbound,
                provider: is_provider.then(|| self.provider.clone()),
                raw: matches!(listener.protocol, Protocol::Tcp | Protocol::Tls),
            };
            if let Ok(at) = self.apps.add(Arc::new(app)) {
                self.binds.set_app(key.0, key.1, at);
                live.started.insert(key, at);
            }
        }
    }

    /// Makes all certificates anew and puts them in force.
    ///
    /// # Errors
    /// Which certificate could not be made; the old set stays in force.
    pub fn rotate_certificates(&self) -> Result<(), String> {
        let current = self.world();
        let set = self.authorities.make(&current.world, self.reach(), now(), &Kept::default())?;
        let mut live = self.live();
        self.put(set, &mut live);
        Ok(())
    }

    fn put(&self, set: super::certificates::Set, live: &mut Live) {
        (live.edge, live.missing, live.due, live.kept) = (set.edge, set.missing, set.due, set.kept);
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = engine.as_ref() {
            engine.shared().credentials.store(Arc::new(set.credentials));
        }
    }

    /// Whether issuers outside this process are asked.
    pub fn reach(&self) -> Reach {
        match self.options.stand_in {
            StandIn::Nothing => Reach::Real,
            StandIn::Workloads => Reach::StandIn,
        }
    }

    /// The engine, for commands.
    pub(super) fn with_engine<T>(&self, ask: impl FnOnce(&Engine) -> T) -> Option<T> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(ask)
    }
}

/// Lowers manifests.
pub fn lower(inputs: &[Input], generation: u64, stand_in: StandIn) -> (World, Vec<ringwall_model::Finding>) {
    let inputs: Vec<_> = inputs
        .iter()
        .map(|input| ringwall_manifest::Input { name: input.name.as_str(), bytes: input.bytes.as_slice() })
        .collect();
    let reach = if stand_in == StandIn::Workloads { Reach::StandIn } else { Reach::Real };
    let options = world::Options { generation, stand_in, reach, ..world::Options::default() };
    world::lower(&inputs, &options)
}

/// Certificates of a World.
struct Certificates<'a> {
    platform: &'a Platform,
    live: RefCell<&'a mut Live>,
}

impl Shell<Current> for Certificates<'_> {
    fn name(&self) -> &'static str {
        "certificates"
    }

    fn prepare(&self, current: &Arc<Current>) -> Result<Prepared, String> {
        let mut live = self.live.borrow_mut();
        let set = self.platform.authorities.make(&current.world, self.platform.reach(), now(), &live.kept)?;
        (live.edge, live.missing, live.due, live.kept) = (set.edge, set.missing, set.due, set.kept);
        let credentials = Arc::new(set.credentials);
        let shared = self.platform.with_engine(|engine| engine.shared().clone()).ok_or("the engine has ended")?;
        let commit = move || {
            let before = shared.credentials.swap(credentials);
            Ok(Box::new(move || shared.credentials.store(before)) as Undo)
        };
        Ok(Prepared { commit: Box::new(commit) })
    }
}

/// Access logs and tracing of a World.
struct Logs<'a> {
    platform: &'a Platform,
}

impl Shell<Current> for Logs<'_> {
    fn name(&self) -> &'static str {
        "logs"
    }

    fn prepare(&self, current: &Arc<Current>) -> Result<Prepared, String> {
        let logs = super::logs::of(&current.world, self.platform.options.settings.text("access_log"));
        let telemetry = self.platform.telemetry.clone();
        let commit = move || {
            telemetry.follow(logs);
            Ok(Box::new(|| ()) as Undo)
        };
        Ok(Prepared { commit: Box::new(commit) })
    }
}
