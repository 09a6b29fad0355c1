//! Takes a World: lowers the manifests, prepares all that follows them, and puts all in force, or nothing.
//!
//! In: manifests. Out: the World's number, or why it was not taken. Order of commits: certificates, logs, applications,
//! then listeners: what widens comes last.

use super::certificates::Kept;
use super::doors::{Doors, INBOUND, OUTBOUND};
use super::force::Current;
use super::isolation::Isolation;
use super::{Live, NotUp, Platform, workers};
use ringwall_control::facts::now;
use ringwall_control::publish::{Prepared, Publisher, Shell, Undo};
use ringwall_control::source::Input;
use ringwall_dataplane::Engine;
use ringwall_manifest::World;
use ringwall_manifest::world::{self, StandIn};
use ringwall_model::{Listener, Protocol, Role, WorkloadId};
use ringwall_pki::Reach;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Listeners that were just bound.
type Bound = Vec<(Listener, Vec<TcpListener>)>;

/// What was just bound for a World.
#[derive(Default)]
struct Fresh {
    listeners: Bound,
    doors: Bound,
}

impl Platform {
    /// Takes the World of these manifests.
    ///
    /// # Errors
    /// [`NotUp`] with the findings; what was in force stays in force.
    pub fn take(&self, inputs: Vec<Input>, author: &str, revision: Option<String>) -> Result<u64, NotUp> {
        let mut live = self.live();
        let generation = live.history.next_generation().max(self.world().world.generation + 1);
        let before = self.world().world.sources.clone();
        let options = world::Options { generation, before, ..options(self.options.stand_in) };
        let (mut world, mut findings) = lower(&inputs, &options);
        findings.extend(world.arm(&self.options.rules));
        let render = |world: &World| {
            ringwall_manifest::render::human(&findings, &world.sources, ringwall_manifest::render::Colour::Plain)
        };
        if !world::may_be_taken(&findings) {
            return Err(NotUp(render(&world)));
        }
        if let Some(isolation) = &self.isolation {
            isolation.make_homes(&world).map_err(|error| NotUp(format!("{error}\n")))?;
        }
        let (current, fresh) = self.bind(world, &live).map_err(NotUp)?;
        let shells: Vec<Box<dyn Shell<Current> + '_>> = vec![
            Box::new(Certificates { platform: self, live: RefCell::new(&mut live) }),
            Box::new(Logs { platform: self }),
            // ORDER: the last to prepare; a World whose network policies the kernel refuses is not taken.
            Box::new(Packets { platform: self }),
        ];
        let publisher = Publisher::new(self.force.current.clone());
        let current = publisher.publish(current, &shells).map_err(|error| NotUp(error.to_string()))?;
        drop(shells);
        self.start_apps(&current, &mut live);
        self.serve(&current, fresh, &mut live);
        // What goes on is judged by the new World; nobody waits for that.
        self.with_engine(|engine| engine.judge_again(Duration::ZERO));
        if let Some(isolation) = &self.isolation {
            let settled = isolation.settle(&current.world);
            settled.map_err(|error| NotUp(format!("World {generation} is in force, but not all links: {error}\n")))?;
        }
        // ORDER: once it is in force: nobody waits for what people read.
        live.findings = render(&current.world);
        live.inputs = inputs;
        let inputs = std::mem::take(&mut live.inputs);
        let noted = live.history.note(author, revision, &inputs, now());
        live.inputs = inputs;
        // A World that could not be written into the history is in force all the same; the next command says so.
        noted.map_err(|error| NotUp(format!("World {generation} is in force, but not in the history: {error}")))?;
        Ok(generation)
    }

    /// Gives every listener of a World its socket address; binds those that are new.
    fn bind(&self, world: World, live: &Live) -> Result<(Current, Fresh), String> {
        let mut bound = BTreeMap::new();
        let mut fresh = Fresh::default();
        let mut services = Vec::new();
        for listener in &world.listeners {
            let Some(home) = world.inventory.workload(listener.workload).map(|workload| workload.address) else {
                continue;
            };
            let told = |error: std::io::Error| format!("listener {}: {error}", listener.address);
            if self.isolation.is_some() && listener.role != Role::Edge {
                let listener = Listener { bind: behind_door(listener, home), ..listener.clone() };
                if listener.target.is_some() {
                    services.push(listener);
                } else {
                    bound.insert(listener.bind, Arc::new(listener));
                }
                continue;
            }
            let known = self.binds.known(listener, home).filter(|at| live.served.contains_key(at));
            let (at, sockets) = match known {
                Some(at) => (at, None),
                None => {
                    let made = self.binds.bind(listener, home, workers(&self.options.settings));
                    let (at, sockets) = made.map_err(told)?;
                    (at, Some(sockets))
                }
            };
            let listener = Listener { bind: at, ..listener.clone() };
            if let Some(sockets) = sockets {
                fresh.listeners.push((listener.clone(), sockets));
            }
            bound.insert(at, Arc::new(listener));
        }
        if let Some(isolation) = &self.isolation {
            fresh.doors = open_doors(isolation, &world, live, workers(&self.options.settings))?;
        }
        let doors = Doors::of(&world, &bound, services);
        Ok((Current { world, bound, doors }, fresh))
    }

    /// Serves what is new, and closes what the World has no longer. Connections of closed listeners end at their next call.
    fn serve(&self, current: &Current, fresh: Fresh, live: &mut Live) {
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(engine) = engine.as_ref() else { return };
        for (listener, sockets) in fresh.listeners {
            if let Ok(id) = engine.listen(listener.clone(), sockets) {
                live.served.insert(listener.bind, (id, listener));
            }
        }
        for (door, sockets) in fresh.doors {
            if let Ok(id) = engine.intercept(door.clone(), sockets) {
                live.doors.insert(door.bind, id);
            }
        }
        let gone: Vec<SocketAddr> = live.served.keys().filter(|at| !current.bound.contains_key(at)).copied().collect();
        for at in gone {
            if let Some((id, _)) = live.served.remove(&at) {
                engine.close(id);
            }
        }
        live.doors.retain(|at, id| {
            let stays = current.doors.has(at.ip());
            if !stays {
                engine.close(*id);
            }
            stays
        });
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
        reach(self.options.stand_in)
    }

    /// The engine, for commands.
    pub(super) fn with_engine<T>(&self, ask: impl FnOnce(&Engine) -> T) -> Option<T> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(ask)
    }
}

/// Where a listener of an isolated workload is reached: the door for what it sends, else its own address.
fn behind_door(listener: &Listener, home: IpAddr) -> SocketAddr {
    if listener.role == Role::Outbound { SocketAddr::new(home, OUTBOUND) } else { listener.address }
}

/// Opens the doors of the workloads in the mesh that have none yet, inside their homes.
fn open_doors(isolation: &Isolation, world: &World, live: &Live, workers: usize) -> Result<Bound, String> {
    let mut fresh = Vec::new();
    for (id, workload) in (0_u32..).map(WorkloadId).zip(&world.inventory.workloads) {
        for (role, port) in [(Role::Inbound, INBOUND), (Role::Outbound, OUTBOUND)] {
            let address = SocketAddr::new(workload.address, port);
            if !workload.in_mesh || live.doors.contains_key(&address) {
                continue;
            }
            let at = SocketAddr::new(ringwall_kernel::socket::any(workload.address), port);
            let sockets = isolation.listen(workload.address, at, workers);
            let sockets = sockets.map_err(|error| format!("door {address}: {error}"))?;
            let protocol = Protocol::Tcp;
            fresh.push((Listener { role, workload: id, address, bind: address, protocol, target: None }, sockets));
        }
    }
    Ok(fresh)
}

/// Lowers manifests.
pub fn lower(inputs: &[Input], options: &world::Options) -> (World, Vec<ringwall_model::Finding>) {
    let inputs: Vec<_> = inputs
        .iter()
        .map(|input| ringwall_manifest::Input { name: input.name.as_str(), bytes: input.bytes.as_slice() })
        .collect();
    world::lower(&inputs, options)
}

/// How manifests are lowered with, or without, stand-ins.
pub fn options(stand_in: StandIn) -> world::Options {
    world::Options { stand_in, reach: reach(stand_in), ..world::Options::default() }
}

/// Whether issuers outside this process are asked.
fn reach(stand_in: StandIn) -> Reach {
    match stand_in {
        StandIn::Nothing => Reach::Real,
        StandIn::Workloads => Reach::StandIn,
    }
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

/// The packet filter of an isolated World.
struct Packets<'a> {
    platform: &'a Platform,
}

impl Shell<Current> for Packets<'_> {
    fn name(&self) -> &'static str {
        "packets"
    }

    fn prepare(&self, current: &Arc<Current>) -> Result<Prepared, String> {
        let isolation = self.platform.isolation.clone();
        let (current, before) = (current.clone(), self.platform.world());
        let commit = move || {
            let Some(isolation) = isolation else { return Ok(Box::new(|| ()) as Undo) };
            isolation.filter.apply(&current, &isolation)?;
            let undo = move || {
                if let Err(error) = isolation.filter.apply(&before, &isolation) {
                    eprintln!("ringwall: the network policies of the World before could not be put back: {error}");
                }
            };
            Ok(Box::new(undo) as Undo)
        };
        Ok(Prepared { commit: Box::new(commit) })
    }
}
