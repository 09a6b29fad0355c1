//! Gateways: which workloads they select, which server answers for which name, and which routes stand behind it.

use super::{Compiled, Compiler, Draft, applies};
use crate::route::hosts::{HostTable, covers, intersection};
use crate::route::resource::{Gateway, Server, TlsMode};
use crate::route::{GatewayPort, GatewayTable, code};
use ringwall_model::{Finding, Inventory, Severity, Workload, WorkloadId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The table of every gateway workload.
pub(super) fn tables(compiler: &mut Compiler<'_>, services: &[Compiled<'_>]) -> BTreeMap<WorkloadId, GatewayTable> {
    let mut gateways: Vec<&Gateway> = compiler.declared.gateways.iter().collect();
    gateways.sort_by(|one, other| one.origin.age().cmp(&other.origin.age()));
    for gateway in &gateways {
        let selects = |(_, workload): &(WorkloadId, &Workload)| selects(gateway, workload);
        if !workloads(compiler.inventory).any(|pair| selects(&pair)) {
            let title = "no workload has the labels of this Gateway's selector: it serves nothing";
            let place = gateway.origin.place.below("/spec/selector");
            compiler.findings.push(Finding::new(code::GATEWAY_WITHOUT_WORKLOAD, Severity::Warning, place, title));
        }
    }
    lint_conflicts(compiler, &gateways);
    let mut tables = BTreeMap::new();
    for (id, workload) in workloads(compiler.inventory) {
        let own: Vec<&Gateway> = gateways.iter().copied().filter(|gateway| selects(gateway, workload)).collect();
        if !own.is_empty() {
            tables.insert(id, table(compiler.inventory, id, workload, &own, services));
        }
    }
    tables
}

fn workloads(inventory: &Inventory) -> impl Iterator<Item = (WorkloadId, &Workload)> {
    (0_u32..).map(WorkloadId).zip(&inventory.workloads)
}

/// An empty selector means every gateway, not every workload.
fn selects(gateway: &Gateway, workload: &Workload) -> bool {
    let is_gateway = || workload.labels.get("istio").is_some_and(|value| value.ends_with("gateway"));
    gateway.selector.matches(&workload.labels) && (!gateway.selector.0.is_empty() || is_gateway())
}

fn table(
    inventory: &Inventory,
    id: WorkloadId,
    workload: &Workload,
    gateways: &[&Gateway],
    services: &[Compiled<'_>],
) -> GatewayTable {
    let mut drafts: BTreeMap<u16, Port<'_>> = BTreeMap::new();
    for gateway in gateways {
        for server in &gateway.servers {
            let port = drafts.entry(server.port).or_default();
            // Plaintext and TLS cannot share a port: the older server stays.
            if port.servers.first().is_none_or(|(_, first)| first.tls.is_some() == server.tls.is_some()) {
                port.servers.push((gateway, server));
            }
        }
    }
    let ports = drafts.into_iter().map(|(number, port)| (number, port.finish(workload, services)));
    GatewayTable { ports: ports.collect(), behind: behind(inventory, id) }
}

/// Ports of the workload that its Services map a port to.
fn behind(inventory: &Inventory, id: WorkloadId) -> BTreeMap<u16, u16> {
    let own =
        inventory.services.iter().filter(|service| service.endpoints.contains(&ringwall_model::Endpoint::Workload(id)));
    own.flat_map(|service| &service.ports).map(|port| (port.target, port.number)).collect()
}

#[derive(Default)]
struct Port<'a> {
    servers: Vec<(&'a Gateway, &'a Server)>,
}

impl Port<'_> {
    fn finish(self, workload: &Workload, services: &[Compiled<'_>]) -> GatewayPort {
        let mut port = GatewayPort::default();
        let mut drafts: Vec<HostTable<Draft>> = Vec::new();
        for (index, (gateway, server)) in self.servers.iter().enumerate() {
            for host in &server.hosts {
                port.by_name.entry(&host.host, || index);
            }
            port.servers.push((*server).clone());
            let own = if server.tls.is_some() { index } else { 0 };
            if drafts.len() <= own {
                drafts.push(HostTable::default());
            }
            if let Some(table) = drafts.get_mut(own) {
                bind(gateway, server, workload, services, table);
            }
        }
        port.hosts = drafts.into_iter().map(|table| table.map(Draft::finish)).collect();
        port
    }
}

/// Binds VirtualServices to one server.
fn bind(
    gateway: &Gateway,
    server: &Server,
    workload: &Workload,
    services: &[Compiled<'_>],
    table: &mut HostTable<Draft>,
) {
    let name = gateway.origin.full_name();
    for compiled in services {
        let service = compiled.service;
        let says = |source: &crate::route::SourceMatch| {
            applies(source, &service.gateways, &name, &workload.namespace, &workload.labels)
        };
        if !bound_to(service, &name) || !service.export_to.reaches(&gateway.origin.namespace) {
            continue;
        }
        let mut seen: Vec<Arc<str>> = Vec::new();
        for host in &service.hosts {
            let allowed = server
                .hosts
                .iter()
                .filter(|own| own.namespace.as_deref().is_none_or(|namespace| namespace == &*service.origin.namespace));
            for both in allowed.filter_map(|own| intersection(&own.host, host)) {
                if !seen.iter().any(|known| &**known == both) {
                    seen.push(both.into());
                    table.entry(both, Draft::default).take(compiled, &says);
                }
            }
        }
    }
}

/// Whether a VirtualService names a gateway, itself or in a match.
pub(super) fn bound_to(service: &crate::route::VirtualService, name: &str) -> bool {
    let here = |names: &[Box<str>]| names.iter().any(|known| &**known == name);
    here(&service.gateways)
        || service.http.iter().flat_map(|route| &route.matches).any(|matching| here(&matching.source.gateways))
        || service.tls.iter().flat_map(|route| &route.matches).any(|matching| here(&matching.source.gateways))
        || service.tcp.iter().flat_map(|route| &route.matches).any(|matching| here(&matching.source.gateways))
}

/// Two servers for one host and port on one workload; plaintext beside TLS; one certificate for overlapping hosts.
fn lint_conflicts(compiler: &mut Compiler<'_>, gateways: &[&Gateway]) {
    let all: Vec<(&Gateway, &Server)> =
        gateways.iter().flat_map(|gateway| gateway.servers.iter().map(|server| (*gateway, server))).collect();
    let mut findings = Vec::new();
    for (at, (gateway, server)) in all.iter().enumerate() {
        let before = all.iter().take(at).filter(|(other, _)| meet(compiler.inventory, gateway, other));
        for (other, older) in before {
            findings.extend(conflict(gateway, server, other, older));
        }
    }
    compiler.findings.append(&mut findings);
}

fn meet(inventory: &Inventory, one: &Gateway, other: &Gateway) -> bool {
    one.selector == other.selector
        || inventory.workloads.iter().any(|workload| selects(one, workload) && selects(other, workload))
}

fn conflict(gateway: &Gateway, server: &Server, other: &Gateway, older: &Server) -> Option<Finding> {
    let whose = other.origin.full_name();
    let host_pairs = || server.hosts.iter().flat_map(|own| older.hosts.iter().map(move |old| (&*own.host, &*old.host)));
    if server.port == older.port && server.tls.is_some() != older.tls.is_some() {
        let title =
            format!("port {} is plaintext in one server and TLS in `{whose}`: this one is dropped", server.port);
        let finding = Finding::new(code::CONFLICTING_PROTOCOLS, Severity::Warning, server.place.clone(), title);
        return Some(finding.related(older.place.clone(), "this one is taken"));
    }
    let same = host_pairs().find(|(own, old)| own == old);
    if let Some((host, _)) = same.filter(|_| server.port == older.port && server.tls.is_some()) {
        let title = format!(
            "`{host}` on port {} is served by `{whose}` already: this server never answers for it",
            server.port
        );
        let help =
            format!("Istio: IST0145; make one server of both, in `{whose}` or in `{}`", gateway.origin.full_name());
        let finding = Finding::new(code::CONFLICTING_GATEWAYS, Severity::Warning, server.place.clone(), title);
        return Some(finding.related(older.place.clone(), "the one that answers").help(help));
    }
    let credential = |server: &Server| {
        let tls =
            server.tls.as_ref().filter(|tls| !matches!(tls.mode, TlsMode::Passthrough | TlsMode::AutoPassthrough))?;
        tls.credential.clone()
    };
    let shared = credential(server).filter(|name| credential(older).as_ref() == Some(name))?;
    let (own, old) = host_pairs().find(|(own, old)| covers(own, old) || covers(old, own))?;
    let title = format!(
        "`{own}` and `{old}` of `{whose}` share the certificate `{shared}`: HTTP/2 clients reuse a connection and get 404"
    );
    let finding = Finding::new(code::DUPLICATE_CERTIFICATE, Severity::Warning, server.place.clone(), title);
    Some(
        finding
            .related(older.place.clone(), "the other server")
            .help("Istio: IST0138; serve both hosts from one server"),
    )
}
