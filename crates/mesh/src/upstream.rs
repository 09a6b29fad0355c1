//! How a destination is spoken to: TLS, pool limits, balancing, outlier detection, subset labels.
//!
//! In: DestinationRules, the client workload, the destination a route chose. Out: [`UpstreamPolicy`]. Never: a socket.
//! Follows istio/api `DestinationRule` as Istio resolves it: the client's namespace, then the service's, then the root
//! namespace; in each the exact host before the longest wildcard; the first hit only, nothing is inherited.
//! Start reading at [`policy`].

pub mod balancer;
pub mod breaker;
pub mod rule;

use crate::route::Routes;
use ringwall_model::{Labels, Reason, ServiceId, SpiffeId, WorkloadId};
use std::sync::Arc;

pub use rule::{
    BalancerPolicy, ClientTls, DestinationRule, HashOn, Keepalive, OutlierPolicy, Pool, Subset, Traffic, Verification,
};

/// How a destination is spoken to.
#[derive(Clone, Debug)]
pub struct UpstreamPolicy {
    /// The DestinationRule, or that none applies.
    pub because: Reason,
    /// TLS towards the destination.
    pub tls: UpstreamTls,
    /// Pool limits, balancing, outlier detection.
    pub settings: Arc<Settings>,
    /// Labels that an endpoint must have, when a subset was chosen.
    pub subset_labels: Option<Arc<Labels>>,
}

/// What a DestinationRule settles once all blocks are resolved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Connection pool and its limits.
    pub pool: Pool,
    /// Outlier detection; `None` is off.
    pub outlier: Option<OutlierPolicy>,
    /// Load balancing.
    pub balancer: BalancerPolicy,
}

/// TLS towards a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamTls {
    /// Plaintext.
    Disable,
    /// The mesh's own mutual TLS.
    Mesh {
        /// Server name: `outbound_.<port>_.<subset>_.<host>`.
        server_name: Arc<str>,
        /// Identities of which the server must have one: those of the service's service accounts. Empty: any of the
        /// trust domain.
        identities: Arc<[SpiffeId]>,
        /// Whether an endpoint outside the mesh gets plaintext instead.
        demand: Demand,
    },
    /// TLS with the rule's own settings (SIMPLE, MUTUAL).
    Origination(Arc<ClientTls>),
}

/// Whether mutual TLS is demanded of every endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Of every one (a rule says ISTIO_MUTUAL).
    Always,
    /// Of those that are in the mesh and do not have it disabled (auto mTLS).
    WhereOffered,
}

/// The policy for calls of `source` to a host, port and subset. `None`: no rule declares that subset, so there is no
/// such upstream (503 `NC`). Costs a few look-ups and no allocation but the server name.
pub fn policy(
    routes: &Routes,
    source: WorkloadId,
    host: &str,
    port: u16,
    subset: Option<&str>,
) -> Option<UpstreamPolicy> {
    let client = routes.clients.get(source.0 as usize);
    let service = routes.service_of(host);
    let rule = client.and_then(|client| routes.rules.find(client, host, service.map(|(_, known)| &*known.namespace)));
    let Some(rule) = rule else {
        return subset.is_none().then(|| UpstreamPolicy {
            because: Reason::NoRuleApplies,
            tls: automatic(routes, service.map(|(id, _)| id), host, port, None),
            settings: Arc::clone(&routes.rules.defaults),
            subset_labels: None,
        });
    };
    let resolved = rule.resolve(port, subset)?;
    let tls = match &resolved.tls {
        None => automatic(routes, service.map(|(id, _)| id), host, port, subset),
        Some(tls) => explicit(routes, tls, service.map(|(id, _)| id), host, port, subset),
    };
    Some(UpstreamPolicy {
        because: Reason::Rule(rule.because),
        tls,
        settings: Arc::clone(&resolved.settings),
        subset_labels: resolved.labels.clone(),
    })
}

/// Auto mTLS: only towards services inside, and only when it is on.
fn automatic(routes: &Routes, service: Option<ServiceId>, host: &str, port: u16, subset: Option<&str>) -> UpstreamTls {
    match service.and_then(|id| routes.services.get(id.0 as usize)) {
        Some(known) if !known.external && routes.auto_mtls == AutoMtls::On => UpstreamTls::Mesh {
            server_name: server_name(host, port, subset),
            identities: Arc::clone(&known.identities),
            demand: Demand::WhereOffered,
        },
        _ => UpstreamTls::Disable,
    }
}

fn explicit(
    routes: &Routes,
    tls: &Arc<ClientTls>,
    service: Option<ServiceId>,
    host: &str,
    port: u16,
    subset: Option<&str>,
) -> UpstreamTls {
    match tls.mode {
        rule::ClientTlsMode::Disable => UpstreamTls::Disable,
        rule::ClientTlsMode::Simple | rule::ClientTlsMode::Mutual => UpstreamTls::Origination(Arc::clone(tls)),
        rule::ClientTlsMode::IstioMutual => UpstreamTls::Mesh {
            server_name: tls.sni.clone().unwrap_or_else(|| server_name(host, port, subset)),
            identities: service
                .and_then(|id| routes.services.get(id.0 as usize))
                .map_or_else(|| Arc::from([]), |known| Arc::clone(&known.identities)),
            demand: Demand::Always,
        },
    }
}

fn server_name(host: &str, port: u16, subset: Option<&str>) -> Arc<str> {
    format!("outbound_.{port}_.{}_.{host}", subset.unwrap_or_default()).into()
}

/// Whether mutual TLS is spoken without a rule (`enableAutoMtls`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoMtls {
    /// Yes (the default).
    #[default]
    On,
    /// No: plaintext without a rule.
    Off,
}
