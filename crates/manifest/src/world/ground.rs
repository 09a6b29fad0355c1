//! The packet layer's ground: network policies, and the workloads as its endpoints.

mod review;
#[cfg(test)]
mod tests;

use super::World;
use super::kinds::Dialect;
use super::opening::Opened;
use crate::kubernetes::{Declared, Draft, cluster_network_policy, code, network_policy};
use crate::resource::Resource;
use ringwall_model::{Finding, Place, Severity, WorkloadId};
use ringwall_packet::policy::{Policy, Tier};
use ringwall_packet::{Endpoint, Endpoints, Ground, Policies};
use std::collections::HashMap;

/// Lowers every network policy and lays it over the inventory.
pub fn lower(opened: &Opened<'_>, declared: &Declared, world: &mut World, findings: &mut Vec<Finding>) {
    let mut policies = Vec::new();
    for entry in opened.of(Dialect::Packet) {
        let resource = Resource::open(entry.ledger.root());
        let lower = match resource.kind {
            "NetworkPolicy" => network_policy::lower,
            _ => cluster_network_policy::lower,
        };
        policies.push((lower(&resource, &mut world.rules), resource.place()));
    }
    ties(&policies, findings);
    let policies = Policies::of(policies.into_iter().map(|(policy, _)| policy).collect());
    world.ground = Ground::of(policies, endpoints(declared, world));
    findings.extend(review::review(world));
    for (id, workload) in (0_u32..).map(WorkloadId).zip(&world.inventory.workloads) {
        world.bearers.entry(workload.identity.clone()).or_default().push(id);
    }
}

/// The order of equal priorities is open upstream; here the name decides, and a finding says so.
fn ties(policies: &[(Policy, Place)], findings: &mut Vec<Finding>) {
    let mut first: HashMap<(Tier, u16), &(Policy, Place)> = HashMap::new();
    let of_cluster = policies.iter().filter(|(policy, _)| policy.tier != Tier::Network);
    for entry in of_cluster {
        let (policy, place) = entry;
        let Some((other, stands)) = first.get(&(policy.tier, policy.priority)) else {
            first.insert((policy.tier, policy.priority), entry);
            continue;
        };
        let title = format!("`{}` has the same priority: which of them comes first is left open", other.name);
        let at = place.below("/spec/priority");
        let finding = Finding::new(code::PRIORITY_TIE, Severity::Warning, at, title);
        findings.push(finding.help("here the name decides").related(stands.below("/spec/priority"), "the other one"));
    }
}

/// Workloads in their order, so that the numbers are the same.
fn endpoints(declared: &Declared, world: &World) -> Endpoints {
    let drafts = declared.workloads.iter().rev().map(|draft| ((&draft.namespace, &draft.name), draft));
    let drafts: HashMap<_, &Draft> = drafts.collect();
    let list = world.inventory.workloads.iter().map(|workload| {
        let draft = drafts.get(&(&workload.namespace, &workload.name));
        let link = draft.map(|draft| draft.link.clone()).unwrap_or_default();
        Endpoint {
            namespace: workload.namespace.clone(),
            name: workload.name.clone(),
            labels: workload.labels.clone(),
            addresses: [workload.address].into_iter().chain(link.other_addresses).collect(),
            ports: link.named_ports,
            network: link.network,
            node: link.node,
        }
    });
    let namespaces = world.inventory.namespaces.iter();
    let namespaces = namespaces.map(|(name, namespace)| (name.clone(), namespace.labels.clone())).collect();
    Endpoints::of(list.collect(), namespaces, declared.nodes.clone())
}
