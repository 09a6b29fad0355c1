//! The health of endpoints: balancing and outlier detection of each cluster, kept beside the World and surviving it.
//!
//! In: a cluster's policy, what became of tries. Out: which endpoint is tried next. Follows DestinationRule
//! `outlierDetection` and `loadBalancer` (the room `mesh` has the state machines).

use super::force::InForce;
use ringwall_control::facts::now;
use ringwall_dataplane::page::{Answer, Destination, Upstream};
use ringwall_mesh::outlier::{Ejector, Observed};
use ringwall_mesh::upstream::balancer::Balancer;
use ringwall_mesh::upstream::{BalancerPolicy, Settings};
use ringwall_model::WorkloadId;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The health of all clusters, by the workload that calls and the cluster's name.
#[derive(Default)]
pub struct Health(RwLock<Clusters>);

type Clusters = BTreeMap<(WorkloadId, Arc<str>), Arc<Watched>>;

/// One cluster as one workload sees it.
struct Watched {
    endpoints: Arc<[Destination]>,
    policy: BalancerPolicy,
    balancer: Balancer,
    ejector: Option<Ejector>,
}

impl Health {
    /// Begins to watch a cluster; one whose endpoints are the same keeps what is known of them.
    pub fn watch(&self, upstream: &Upstream, settings: &Settings) {
        let key = (upstream.source, upstream.cluster.clone());
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if all.get(&key).is_some_and(|known| known.endpoints == upstream.endpoints && known.policy == settings.balancer)
        {
            return;
        }
        let ejector = settings.outlier.map(|policy| Ejector::new(policy, upstream.endpoints.len()));
        let watched = Watched {
            endpoints: upstream.endpoints.clone(),
            policy: settings.balancer.clone(),
            balancer: Balancer::default(),
            ejector,
        };
        all.insert(key, Arc::new(watched));
    }

    fn of(&self, upstream: &Upstream) -> Option<Arc<Watched>> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.get(&(upstream.source, upstream.cluster.clone())).cloned()
    }
}

impl InForce {
    /// Which endpoint to try: one that is not ejected and was not tried yet; when all were tried, any of the admitted.
    pub fn choose_endpoint(&self, upstream: &Upstream, tried: &[Destination], dice: u64) -> Option<Destination> {
        let Some(watched) = self.health.of(upstream) else { return upstream.endpoints.first().cloned() };
        let now = now();
        let admitted = |index: &usize| watched.ejector.as_ref().is_none_or(|ejector| ejector.admits(*index, now));
        let all: Vec<usize> = (0..watched.endpoints.len()).filter(admitted).collect();
        let fresh = |index: &usize| watched.endpoints.get(*index).is_some_and(|one| !tried.contains(one));
        let left: Vec<usize> = all.iter().copied().filter(fresh).collect();
        let from = if left.is_empty() { &all } else { &left };
        let index = watched.balancer.choose(&watched.policy, from, |_| 0, None, dice)?;
        watched.endpoints.get(index).cloned()
    }

    /// Counts what became of a try.
    pub fn observe_endpoint(&self, upstream: &Upstream, to: &Destination, answer: Answer) {
        let Some(watched) = self.health.of(upstream) else { return };
        let Some(ejector) = &watched.ejector else { return };
        let Some(index) = watched.endpoints.iter().position(|one| one == to) else { return };
        let observed = match answer {
            Answer::Status(status, _) => Observed::Status(status),
            Answer::Failed(_) => Observed::Failure,
        };
        ejector.observe(index, observed, now());
    }
}
