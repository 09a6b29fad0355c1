//! The World in force with the State and Facts beside it: what the data plane's threads look at.
//!
//! In: a World, swapped. Out: the same World for one call, what was made for it once, State that survives it.

use super::aside::Bench;
use super::isolation::Isolation;
use super::upstream::Chosen;
use arc_swap::ArcSwap;
use ringwall_control::binds::Binds;
use ringwall_control::facts::FactsKeeper;
use ringwall_dataplane::page::{ProxyHeader, Upstream};
use ringwall_manifest::World;
use ringwall_mesh::route::ServerTls;
use ringwall_model::{Listener, WorkloadId};
use ringwall_shield::{Blocks, Connections, Counters};
use ringwall_wall::{Aside, Busy, Work};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

/// Live budgets that are counted at most; each takes some hundred bytes.
const BUDGETS: usize = 200_000;
/// Blocks that are kept at most.
const BLOCKS: usize = 100_000;

/// A World and where its listeners are bound: swapped together, so that a listener's workload number is always one of
/// the World beside it.
#[derive(Default)]
pub struct Current {
    /// The World.
    pub world: World,
    /// Its listeners by the socket they are bound to.
    pub bound: BTreeMap<SocketAddr, Arc<Listener>>,
    /// What is behind the doors of isolated workloads.
    pub doors: super::doors::Doors,
}

/// What the data plane's threads look at.
pub struct InForce {
    /// The World in force.
    pub current: Arc<ArcSwap<Current>>,
    /// Key sets and discovery documents.
    pub facts: Arc<FactsKeeper>,
    /// Feeds and address databases.
    pub shield_facts: ArcSwap<ringwall_shield::Facts>,
    /// Blocks.
    pub blocks: Arc<Blocks>,
    /// Budgets.
    pub counters: Arc<Counters>,
    /// Open connections.
    pub connections: Arc<Connections>,
    /// Whether the edge stands behind a balancer that speaks the PROXY protocol.
    pub proxy_header: ProxyHeader,
    /// Where everything is bound.
    pub binds: Arc<Binds>,
    /// The node of isolated workloads.
    pub isolation: Option<Arc<Isolation>>,
    /// Balancing and outlier detection.
    pub health: super::health::Health,
    /// Where large calls are judged.
    pub aside: Arc<Bench>,
    made: RwLock<Made>,
}

impl Aside for InForce {
    async fn aside(&self, work: Work) -> Result<Work, Busy> {
        self.aside.aside(work).await
    }
}

/// What is made once for a World.
#[derive(Default)]
pub struct Made {
    /// The World that it was made for.
    generation: u64,
    settings: BTreeMap<SocketAddr, Arc<ringwall_head::Settings>>,
    /// Upstreams by what was chosen.
    pub upstreams: HashMap<Chosen, Arc<Upstream>>,
}

impl InForce {
    /// With empty State.
    pub fn new(
        current: Arc<ArcSwap<Current>>,
        facts: Arc<FactsKeeper>,
        binds: Arc<Binds>,
        proxy_header: ProxyHeader,
        (isolation, aside): (Option<Arc<Isolation>>, Bench),
    ) -> Self {
        Self {
            current,
            facts,
            shield_facts: ArcSwap::default(),
            blocks: Arc::new(Blocks::new(BLOCKS)),
            counters: Arc::new(Counters::new(BUDGETS)),
            connections: Arc::default(),
            proxy_header,
            binds,
            isolation,
            health: super::health::Health::default(),
            aside: Arc::new(aside),
            made: RwLock::default(),
        }
    }

    /// The World in force, and what this listener is in it; `None` when it serves it no longer.
    pub fn at(&self, listener: &Listener) -> Option<(Arc<Current>, Arc<Listener>)> {
        let current = self.current.load_full();
        let own = current.bound.get(&listener.bind).filter(|own| own.address == listener.address).cloned();
        let now = own.or_else(|| current.meant(listener.bind, listener.address))?;
        Some((current, now))
    }

    /// How heads are read at a listener.
    pub fn head_settings(&self, listener: &Listener) -> Arc<ringwall_head::Settings> {
        let current = self.current.load();
        let world = &current.world;
        let found = self.made(world.generation, |made| made.settings.get(&listener.address).cloned());
        found.unwrap_or_else(|| {
            let settings = Arc::new(ringwall_wall::reading::settings(world, listener));
            self.make(world.generation, |made| drop(made.settings.insert(listener.address, settings.clone())));
            settings
        })
    }

    /// Reads what was made for that World.
    pub fn made<T>(&self, generation: u64, read: impl FnOnce(&Made) -> Option<T>) -> Option<T> {
        let made = self.made.read().unwrap_or_else(PoisonError::into_inner);
        if made.generation == generation { read(&made) } else { None }
    }

    /// Adds to what was made for that World; what was made for an older one goes.
    pub fn make(&self, generation: u64, add: impl FnOnce(&mut Made)) {
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        if made.generation != generation {
            *made = Made { generation, ..Made::default() };
        }
        add(&mut made);
    }

    /// Name of the credential of a TLS server, as the engine's table has it.
    pub fn credential_name(&self, world: &World, workload: WorkloadId, tls: &ServerTls) -> Option<Arc<str>> {
        let name = tls.credential.as_deref()?;
        let namespace = world.inventory.workload(workload).map(|it| it.namespace.clone())?;
        Some(format!("{namespace}/{name}").into())
    }
}
