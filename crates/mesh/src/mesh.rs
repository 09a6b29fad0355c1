//! Authentication and authorization of every workload, laid out from the policies of a World.
//!
//! In: [`Policies`] as lowering read them, the inventory. Out: [`Mesh`], which `judge` reads. Never: a decision.

use crate::authorization::index::fingerprint;
use crate::authorization::layout::{Authorization, Rulings};
use crate::authorization::{Applies, AuthorizationPolicy, Field};
use crate::peer_authentication::{Mode, PeerAuthentication, PeerRules};
use crate::request_authentication::{RequestAuthentication, RequestRules};
use ringwall_model::{Inventory, Selector, Workload, WorkloadId};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// The security policies of a World.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// PeerAuthentication resources.
    pub peers: Vec<PeerAuthentication>,
    /// RequestAuthentication resources.
    pub requests: Vec<RequestAuthentication>,
    /// AuthorizationPolicy resources.
    pub authorizations: Vec<AuthorizationPolicy>,
    /// Trust domains beside our own whose identities are ours (`meshConfig.trustDomainAliases`).
    pub trust_domain_aliases: Vec<Box<str>>,
    /// What becomes of repeated security headers.
    pub duplicates: Duplicates,
    /// The claim that names the tenant.
    pub tenant_claim: TenantClaim,
}

/// What becomes of a call that repeats a header which a rule in force matches on, or which authentication writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Duplicates {
    /// It is refused: a rule that is content with one line says nothing of the other (stricter than Envoy).
    #[default]
    Refuse,
    /// Each line is matched for itself, and any hit counts, as Envoy 1.40 does.
    MatchEach,
}

/// Name of the claim that becomes [`ringwall_model::Caller::tenant`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantClaim(pub Box<str>);

impl Default for TenantClaim {
    fn default() -> Self {
        Self("tenant_id".into())
    }
}

/// What `judge` reads. Workloads by their number in the inventory.
#[derive(Clone, Debug, Default)]
pub struct Mesh {
    /// Rules of each workload; [`WorkloadId`] indexes them.
    pub workloads: Vec<WorkloadRules>,
    /// Our own trust domain, then its aliases: peers of these are of the mesh.
    pub trust_domains: Vec<Box<str>>,
    /// What becomes of repeated security headers.
    pub duplicates: Duplicates,
    /// The claim that names the tenant.
    pub tenant_claim: TenantClaim,
    /// Details of a pass: none.
    pub(crate) nothing: Arc<str>,
}

/// The rules in force on one workload.
#[derive(Clone, Debug)]
pub struct WorkloadRules {
    /// Its address.
    pub address: IpAddr,
    /// Whether a sidecar stands before it.
    pub in_mesh: Injection,
    /// Mutual TLS.
    pub peer: PeerRules,
    /// Tokens.
    pub requests: RequestRules,
    /// Authorization.
    pub authorization: Authorization,
    pub(crate) watched: Watched,
}

/// Whether a sidecar stands before a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injection {
    /// Its inbound side speaks mutual TLS.
    Injected,
    /// It is called in plaintext.
    Bare,
}

/// What a client without a DestinationRule's `tls` block speaks to a workload (auto mTLS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoTls {
    /// Plaintext.
    Plaintext,
    /// Mutual TLS with the mesh's identities.
    Mutual,
}

impl Mesh {
    /// Lays out the policies for every workload of the inventory.
    pub fn of(policies: &Policies, inventory: &Inventory) -> Self {
        let own = [inventory.trust_domain.clone()];
        let trust_domains: Vec<Box<str>> = own.into_iter().chain(policies.trust_domain_aliases.clone()).collect();
        let rules = |workload| WorkloadRules::of(workload, policies, inventory, &trust_domains);
        Self {
            workloads: inventory.workloads.iter().map(rules).collect(),
            trust_domains,
            duplicates: policies.duplicates,
            tenant_claim: policies.tenant_claim.clone(),
            nothing: "".into(),
        }
    }

    /// The rules of a workload.
    pub fn rules(&self, workload: WorkloadId) -> Option<&WorkloadRules> {
        self.workloads.get(workload.0 as usize)
    }

    /// The mode of a workload's port; what is unknown is strict.
    pub fn mtls(&self, workload: WorkloadId, port: u16) -> Mode {
        self.rules(workload).map_or(Mode::Strict, |rules| rules.peer.mode(port).0)
    }

    /// What a client speaks to a workload when no DestinationRule says so.
    pub fn auto_tls(&self, workload: WorkloadId) -> AutoTls {
        match self.rules(workload) {
            Some(rules) if rules.in_mesh == Injection::Injected && rules.peer.inferred() != Mode::Disable => {
                AutoTls::Mutual
            }
            _ => AutoTls::Plaintext,
        }
    }
}

impl WorkloadRules {
    fn of(workload: &Workload, policies: &Policies, inventory: &Inventory, domains: &[Box<str>]) -> Self {
        let root = &inventory.root_namespace;
        let selected = |namespace: &str, selector: &Selector| {
            (namespace == &**root || namespace == &*workload.namespace) && selector.matches(&workload.labels)
        };
        let requests = policies.requests.iter().filter(|it| match &it.applies {
            Applies::To(selector) => selected(&it.namespace, selector),
            Applies::Nowhere => false,
        });
        let requests = RequestRules::of(requests);
        let authorizations: Vec<_> = policies
            .authorizations
            .iter()
            .filter(|it| match &it.applies {
                Applies::To(selector) => selected(&it.namespace, selector),
                Applies::Nowhere => false,
            })
            .collect();
        let authorization = Authorization::of(&authorizations, domains);
        Self {
            address: workload.address,
            in_mesh: if workload.in_mesh { Injection::Injected } else { Injection::Bare },
            peer: PeerRules::of(workload, &policies.peers, root),
            watched: Watched::of(&authorization.http, &requests),
            requests,
            authorization,
        }
    }
}

impl Default for WorkloadRules {
    /// A workload on which no policy is in force.
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            in_mesh: Injection::Injected,
            peer: PeerRules::default(),
            requests: RequestRules::default(),
            authorization: Authorization::default(),
            watched: Watched::default(),
        }
    }
}

/// Headers that a call may carry once only, by the fingerprint of their folded names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched(Vec<u64>);

impl Watched {
    fn of(rulings: &Rulings, requests: &RequestRules) -> Self {
        let sets = [&rulings.custom, &rulings.deny].into_iter().chain(&rulings.allow);
        let tests = sets.flat_map(|set| set.rules()).flat_map(|rule| rule.tests());
        let matched = tests.filter_map(|test| match &test.clause.field {
            Field::Header(name) => Some(name.clone()),
            _ => None,
        });
        let written = requests.written().iter().cloned();
        let prints: BTreeSet<u64> = matched.chain(written).map(|name| folded(name.as_bytes())).collect();
        Self(prints.into_iter().collect())
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn holds(&self, name: &[u8]) -> bool {
        self.0.binary_search(&folded(name)).is_ok()
    }
}

/// Names that an application server takes for the same have the same fingerprint.
fn folded(name: &[u8]) -> u64 {
    name.iter().fold(fingerprint(b""), |hash, byte| {
        let byte = if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
