//! The health of endpoints: balancing and outlier detection of each cluster, kept beside the World and surviving it.
//!
//! In: a cluster's policy, what became of tries. Out: which place is tried next. Follows DestinationRule
//! `outlierDetection` and `loadBalancer` (the room `mesh` has the state machines).

use ringwall_control::facts::now;
use ringwall_dataplane::page::{Answer, Draw, Kept, Place, Upstream};
use ringwall_mesh::outlier::{Ejector, Observed};
use ringwall_mesh::upstream::balancer::{self, Balancer};
use ringwall_mesh::upstream::{BalancerPolicy, Settings};
use ringwall_model::Call;
use smallvec::SmallVec;
use std::any::Any;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Clusters that are remembered; a host that a client names makes one, too.
const MOST_CLUSTERS: usize = 4096;

/// The health of all clusters, by the name of the workload that calls and the cluster's.
#[derive(Default)]
pub struct Health(Mutex<BTreeMap<Cluster, Arc<Watched>>>);

/// The caller's name and the cluster's.
type Cluster = (Arc<str>, Arc<str>);

/// One cluster as one workload sees it.
#[derive(Debug)]
pub struct Watched {
    places: Arc<[Arc<Place>]>,
    policy: BalancerPolicy,
    balancer: Balancer,
    ejector: Option<Ejector>,
}

impl Kept for Watched {}

impl Health {
    /// Watches a cluster; one whose places and policy are the same keeps what is known of them.
    pub fn watch(&self, caller: &Arc<str>, upstream: &Upstream, settings: &Settings) -> Arc<Watched> {
        let key = (caller.clone(), upstream.cluster.clone());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(&key)
            && known.places == upstream.places
            && known.policy == settings.balancer
        {
            return known.clone();
        }
        if all.len() >= MOST_CLUSTERS {
            all.retain(|_, watched| Arc::strong_count(watched) > 1);
        }
        let watched = Arc::new(Watched {
            places: upstream.places.clone(),
            policy: settings.balancer.clone(),
            balancer: Balancer::default(),
            ejector: settings.outlier.map(|policy| Ejector::new(policy, upstream.places.len())),
        });
        all.insert(key, watched.clone());
        watched
    }
}

fn of(upstream: &Upstream) -> Option<&Watched> {
    let kept: &dyn Any = &**upstream.kept.as_ref()?;
    kept.downcast_ref()
}

/// What sends a call to the same place as calls that are alike, where the cluster's policy asks for it.
pub fn affinity(upstream: &Upstream, call: &Call) -> Option<u64> {
    match &of(upstream)?.policy {
        BalancerPolicy::ConsistentHash(on) => balancer::hash(on, call),
        _ => None,
    }
}

/// The same for a connection without HTTP, of which only the address is known.
pub fn affinity_of_address(upstream: &Upstream, address: IpAddr) -> Option<u64> {
    match &of(upstream)?.policy {
        BalancerPolicy::ConsistentHash(on) => balancer::hash_of_address(on, address),
        _ => None,
    }
}

/// Which place to try: one that is not ejected and was not tried yet; when all were tried, any of the admitted.
pub fn choose(upstream: &Upstream, tried: &[Arc<Place>], draw: Draw) -> Option<Arc<Place>> {
    let Some(watched) = of(upstream) else { return upstream.places.first().cloned() };
    let all: SmallVec<[usize; 16]> = match &watched.ejector {
        None => (0..watched.places.len()).collect(),
        Some(ejector) => {
            let now = now();
            (0..watched.places.len()).filter(|index| ejector.admits(*index, now)).collect()
        }
    };
    let fresh = |index: &usize| watched.places.get(*index).is_some_and(|one| !tried.contains(one));
    let left: SmallVec<[usize; 16]> =
        if tried.is_empty() { SmallVec::new() } else { all.iter().copied().filter(fresh).collect() };
    let from = if left.is_empty() { &all } else { &left };
    let index = watched.balancer.choose(&watched.policy, from, |_| 0, draw.affinity, draw.dice)?;
    watched.places.get(index).cloned()
}

/// Counts what became of a try.
pub fn observe(upstream: &Upstream, to: &Place, answer: Answer) {
    let Some(watched) = of(upstream) else { return };
    let Some(ejector) = &watched.ejector else { return };
    let Some(index) = watched.places.iter().position(|one| **one == *to) else { return };
    let observed = match answer {
        Answer::Status(status, _) => Observed::Status(status),
        Answer::Failed(_) => Observed::Failure,
    };
    ejector.observe(index, observed, now());
}
