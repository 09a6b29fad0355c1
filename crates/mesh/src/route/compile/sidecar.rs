//! What each workload sees and how its own calls are routed. Workloads that see the same share one scope.

use super::{Compiled, Compiler, Draft, applies, clients, gateway};
use crate::egress::{self, ExportTo, Sidecar};
use crate::route::hosts::HostTable;
use crate::route::{Client, Scope, SourceMatch, code};
use ringwall_model::{Finding, Inventory, Selector, ServiceId, Severity, Workload};
use std::collections::BTreeMap;

/// The name that VirtualServices give the mesh itself.
pub(super) const MESH: &str = "mesh";

/// All scopes, and each workload with its own.
pub(super) fn scopes(compiler: &mut Compiler<'_>, services: &[Compiled<'_>]) -> (Vec<Client>, Vec<Scope>) {
    lint_conflicts(compiler, services);
    let selectors = source_selectors(services);
    let mut known: BTreeMap<(&str, Option<usize>, Vec<bool>), usize> = BTreeMap::new();
    let mut scopes = Vec::new();
    let mut of_workloads = Vec::new();
    for workload in &compiler.inventory.workloads {
        let sidecar = sidecar_of(compiler, workload);
        let index =
            sidecar.and_then(|own| compiler.declared.sidecars.iter().position(|other| std::ptr::eq(own, other)));
        let matched = selectors.iter().map(|selector| selector.matches(&workload.labels)).collect();
        let scope = *known.entry((&workload.namespace, index, matched)).or_insert_with(|| {
            scopes.push(scope(compiler, workload, sidecar, services));
            scopes.len() - 1
        });
        of_workloads.push(scope);
    }
    (clients(compiler.inventory, &of_workloads), scopes)
}

fn sidecar_of<'a>(compiler: &Compiler<'a>, workload: &Workload) -> Option<&'a Sidecar> {
    let root = &compiler.inventory.root_namespace;
    egress::sidecar_of(&compiler.declared.sidecars, root, &workload.namespace, &workload.labels)
}

/// All source labels that any match asks for, each once.
fn source_selectors(services: &[Compiled<'_>]) -> Vec<Selector> {
    let mut found: Vec<Selector> = Vec::new();
    let http = services.iter().flat_map(|compiled| compiled.http.iter().map(|entry| &entry.matching.source));
    let connections = services.iter().flat_map(|compiled| compiled.tls.iter().chain(&compiled.tcp));
    let connections = connections.filter_map(|entry| entry.matching.as_ref()).map(|matching| &matching.source);
    for source in http.chain(connections).filter(|source| !source.labels.0.is_empty()) {
        if !found.contains(&source.labels) {
            found.push(source.labels.clone());
        }
    }
    found
}

fn scope(compiler: &Compiler<'_>, workload: &Workload, sidecar: Option<&Sidecar>, services: &[Compiled<'_>]) -> Scope {
    let namespace = &*workload.namespace;
    let sees = |owner: &str, host: &str| sidecar.is_none_or(|sidecar| sidecar.sees(owner, host));
    let mut hosts: HostTable<Draft> = HostTable::default();
    for compiled in services {
        let service = compiled.service;
        let says = |source: &SourceMatch| applies(source, &service.gateways, MESH, namespace, &workload.labels);
        if !gateway::bound_to(service, MESH) || !service.export_to.reaches(namespace) {
            continue;
        }
        for host in service.hosts.iter().filter(|host| sees(&service.origin.namespace, host)) {
            // Of two VirtualServices for one host the older one holds; nothing is merged in the mesh.
            if hosts.get(host).is_none() {
                hosts.entry(host, Draft::default).take(compiled, &says);
            }
        }
    }
    let hidden = (0_u32..).map(ServiceId).zip(&compiler.inventory.services).filter(|(_, service)| {
        let exported = compiler.declared.exports.get(&service.host).unwrap_or(&ExportTo::All);
        !exported.reaches(namespace) || !sees(&service.namespace, &service.host)
    });
    Scope {
        hosts: hosts.map(Draft::finish),
        hidden: hidden.map(|(id, _)| id).collect(),
        outbound: sidecar.and_then(|sidecar| sidecar.outbound).unwrap_or(compiler.declared.outbound),
    }
}

/// Two VirtualServices of the mesh for one host; two Sidecars for one namespace.
fn lint_conflicts(compiler: &mut Compiler<'_>, services: &[Compiled<'_>]) {
    let mut findings = Vec::new();
    let mut first: BTreeMap<&str, &Compiled<'_>> = BTreeMap::new();
    for compiled in services.iter().filter(|compiled| gateway::bound_to(compiled.service, MESH)) {
        for host in &compiled.service.hosts {
            let Some(older) = first.get(&**host) else {
                first.insert(host, compiled);
                continue;
            };
            let title = format!(
                "`{host}` has VirtualService `{}` already: this one is not used in the mesh",
                older.service.origin.full_name()
            );
            let place = compiled.service.origin.place.clone();
            let finding = Finding::new(code::CONFLICTING_VIRTUAL_SERVICES, Severity::Warning, place, title);
            let finding = finding.related(older.service.origin.place.clone(), "this one is used");
            findings
                .push(finding.help("Istio: IST0109; in the mesh, unlike on gateways, VirtualServices are not merged"));
        }
    }
    let mut sidecars: BTreeMap<(&str, Option<&ringwall_model::Labels>), &Sidecar> = BTreeMap::new();
    for sidecar in &compiler.declared.sidecars {
        let key = (&*sidecar.origin.namespace, sidecar.selector.as_ref().map(|selector| &selector.0));
        if let Some(other) = sidecars.insert(key, sidecar) {
            let title = format!(
                "two Sidecars for the same workloads: `{}` and `{}`; the older one holds",
                other.origin.name, sidecar.origin.name
            );
            let place = sidecar.origin.place.clone();
            let finding = Finding::new(code::CONFLICTING_SIDECARS, Severity::Warning, place, title);
            findings.push(finding.related(other.origin.place.clone(), "the other one"));
        }
    }
    unused(compiler.inventory, &compiler.declared.sidecars, &mut findings);
    compiler.findings.append(&mut findings);
}

fn unused(inventory: &Inventory, sidecars: &[Sidecar], findings: &mut Vec<Finding>) {
    for sidecar in sidecars {
        let Some(selector) = &sidecar.selector else { continue };
        if inventory.select(&sidecar.origin.namespace, selector).next().is_none() {
            let title = "no workload of the namespace has these labels: this Sidecar does nothing";
            let place = sidecar.origin.place.below("/spec/workloadSelector");
            findings.push(Finding::new(code::SIDECAR, Severity::Warning, place, title));
        }
    }
}
