//! waypoint: policy/3 — documents become a World: sealed, numbered, whole.
//!
//! In: named bytes, options. Out: [`World`] and all findings. Never: half a World: with an error among the findings the
//! caller keeps the World it has. Order: what there is first (namespaces, workloads, services), then each dialect over
//! it. The list of kinds is [`kinds::KINDS`]; a kind that is not on it is a finding.

mod dialects;
pub mod firewall;
mod ground;
pub mod installation;
pub mod kinds;
mod listeners;
mod opening;
pub mod stand_in;
#[cfg(test)]
mod tests;

pub use listeners::virtual_address;
pub use opening::KindFields;

use crate::inventory::{self, MeshScope};
use crate::istio::envoy_filter::EdgeExtras;
use crate::istio::mesh_config::MeshSettings;
use crate::istio::telemetry::Observed;
use crate::kong::Deployment;
use crate::kubernetes::{Declared, Secret};
use crate::prometheus::Watched;
use crate::ringwall::waf_policy::WafPolicy;
use crate::source::{Input, Sources};
use ringwall_gateway::Gateway;
use ringwall_mesh::Mesh;
use ringwall_mesh::route::Routes;
use ringwall_model::{Endpoint, Finding, Inventory, Listener, RuleBook, ServiceId, Severity, SpiffeId, WorkloadId};
use ringwall_packet::Ground;
use ringwall_pki::plan::{Plan, Reach};
use ringwall_shield::Shield;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All policy of one moment. Immutable; swapped whole.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Its number; each World has a greater one than the World before.
    pub generation: u64,
    /// Who and what there is.
    pub inventory: Inventory,
    /// The names of all rules.
    pub rules: RuleBook,
    /// Authentication and authorization of workloads.
    pub mesh: Mesh,
    /// Routes, subsets, upstream policies, egress.
    pub routes: Routes,
    /// Settings of the whole mesh: path normalization, access log, tracing, trusted proxies.
    pub settings: MeshSettings,
    /// What is told of the calls of workloads, where that is not as the settings have it.
    pub observed: BTreeMap<WorkloadId, Observed>,
    /// What EnvoyFilters add; limits and lists of them are in the shield already.
    pub extras: Vec<EdgeExtras>,
    /// API gateways, by the workload that each runs as.
    pub gateways: BTreeMap<WorkloadId, Arc<Gateway>>,
    /// The settings that each of them runs with.
    pub deployments: BTreeMap<WorkloadId, Arc<Deployment>>,
    /// Network policies over the workloads: endpoint numbers are workload numbers.
    pub ground: Ground,
    /// Who proves each identity; several where pods share a service account.
    pub bearers: BTreeMap<SpiffeId, Vec<WorkloadId>>,
    /// Limits, blocks, reputation, geography.
    pub shield: Shield,
    /// What manifests say of the web application firewall.
    pub waf_policies: Vec<WafPolicy>,
    /// The web application firewall; the shell arms it. `None`: no rule set is in force.
    pub firewall: Option<firewall::Firewall>,
    /// Certificates to be made and kept.
    pub certificates: Plan,
    /// Where calls come in; bind ports are 0 until bound.
    pub listeners: Vec<Listener>,
    /// Alert rules, scrape targets and dashboards.
    pub watched: Watched,
    /// Secrets by (namespace, name).
    pub secrets: BTreeMap<(Box<str>, Box<str>), Secret>,
    /// What became of each field, by kind.
    pub fields: Vec<KindFields>,
    /// What was read, for findings and `explain`.
    pub sources: Sources,
}

/// How manifests are lowered.
#[derive(Clone, Debug)]
pub struct Options {
    /// The World's number.
    pub generation: u64,
    /// What becomes of names that policies use and nothing declares.
    pub stand_in: StandIn,
    /// How closely Kong is followed where it leaves a hole.
    pub compatibility: ringwall_gateway::Compatibility,
    /// How issuers outside this process are treated.
    pub reach: Reach,
    /// What the World before was made of: files that stay as they are are not read again.
    pub before: Sources,
}

impl Default for Options {
    /// As a cluster has it: nothing is made up, outside issuers are asked.
    fn default() -> Self {
        let compatibility = ringwall_gateway::Compatibility::default();
        let before = Sources::default();
        Self { generation: 0, stand_in: StandIn::Nothing, compatibility, reach: Reach::Real, before }
    }
}

/// What becomes of workloads and services that policies name and nothing declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StandIn {
    /// They do not exist, as in a cluster.
    #[default]
    Nothing,
    /// Each gets a workload with a service account, so that policies can be tried without the applications.
    Workloads,
}

/// Makes a World of manifests. An error among the findings means that it must not be taken.
pub fn lower(inputs: &[Input<'_>], options: &Options) -> (World, Vec<Finding>) {
    let (sources, mut findings) = crate::read::read_after(inputs, &options.before);
    let mut opened = opening::open(&sources, &mut findings);
    let mut declared = Declared::default();
    let scope = installation::scope(&opened.resources());
    opening::lower_inventory(&opened, &mut declared);
    dialects::declare(&opened, &mut declared);
    installation::declare(&opened.resources(), &mut declared);
    if options.stand_in == StandIn::Workloads {
        stand_in::fill(&opened, &scope.root_namespace, &mut declared, &mut findings);
    }
    let (inventory, found) = inventory::assemble(&declared, &scope);
    findings.extend(found);
    let mut world = World { generation: options.generation, inventory, ..World::default() };
    findings.extend(dialects::lower(&opened, &declared, &scope, options, &mut world));
    world.secrets = std::mem::take(&mut declared.secrets);
    let (found, fields) = opened.finish();
    findings.extend(found);
    world.fields.extend(fields);
    let (found, listeners) = listeners::derive(&world);
    findings.extend(found);
    world.listeners = listeners;
    drop(opened);
    world.sources = sources;
    sort(&mut findings);
    (world, findings)
}

/// By file and place, each finding once.
fn sort(findings: &mut Vec<Finding>) {
    findings.sort_by(|one, other| {
        (&one.primary, one.severity, one.code, &one.title).cmp(&(
            &other.primary,
            other.severity,
            other.code,
            &other.title,
        ))
    });
    findings.dedup();
}

/// Whether a World with these findings may be taken.
pub fn may_be_taken(findings: &[Finding]) -> bool {
    !findings.iter().any(|finding| finding.severity == Severity::Error)
}

impl World {
    /// The gateway that runs as a workload.
    pub fn gateway(&self, workload: WorkloadId) -> Option<&Gateway> {
        self.gateways.get(&workload).map(|gateway| &**gateway)
    }

    /// The gateway workload behind a service's port, when the port is one that the gateway serves calls on.
    pub fn gateway_workload(&self, host: &str, port: u16) -> Option<WorkloadId> {
        let target = self.target_port(host, port);
        let service = self.inventory.service(self.service_of(host)?)?;
        let mut behind = service.endpoints.iter().filter_map(|endpoint| match endpoint {
            Endpoint::Workload(id) => Some(*id),
            _ => None,
        });
        behind.find(|id| {
            self.listeners.iter().any(|listener| {
                listener.role == ringwall_model::Role::Gateway
                    && listener.workload == *id
                    && listener.address.port() == target
            })
        })
    }

    /// The workload's port behind a service's port; the port itself when nothing says otherwise.
    pub fn target_port(&self, host: &str, port: u16) -> u16 {
        let service = self.service_of(host).and_then(|id| self.inventory.service(id));
        let known = service.and_then(|service| service.ports.iter().find(|known| known.number == port));
        known.map_or(port, |known| known.target)
    }

    fn service_of(&self, host: &str) -> Option<ServiceId> {
        self.inventory.service_of(host)
    }
}

/// What became of each field of the manifests of a folder, by kind: for tables of coverage.
pub fn field_coverage(inputs: &[Input<'_>]) -> Vec<KindFields> {
    let options = Options { stand_in: StandIn::Workloads, ..Options::default() };
    lower(inputs, &options).0.fields
}

/// The scope of the mesh that manifests give, without anything else.
pub fn mesh_scope(inputs: &[Input<'_>]) -> MeshScope {
    let (sources, mut findings) = crate::read::read(inputs);
    let opened = opening::open(&sources, &mut findings);
    installation::scope(&opened.resources())
}
