//! Puts the routing resources of a World together.
//!
//! In: [`Declared`], the inventory. Out: [`Routes`] and what is wrong between resources. Never: reading a document.
//! The order of files changes nothing: resources are sorted by age, then by name.

mod delegate;
mod destination;
mod gateway;
mod lint;
mod sidecar;

use super::hosts::HostTable;
use super::matching::HttpMatch;
use super::plan::{Plan, PlanAction};
use super::resource::{Action, Declared, HttpRoute, VirtualService};
use super::table::{Entry, RouteTable};
use super::{Client, Fixed, KnownService, Routes, VirtualHost, connection};
use crate::upstream::rule::{DestinationRule, Rules};
use ringwall_model::{Endpoint, Finding, Inventory, ServiceId, SpiffeId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What compiling works with.
struct Compiler<'a> {
    inventory: &'a Inventory,
    declared: &'a Declared,
    rules: Vec<DestinationRule>,
    names: HostTable<ServiceId>,
    findings: Vec<Finding>,
}

/// A VirtualService put together: its entries, still with the conditions on who routes.
struct Compiled<'a> {
    service: &'a VirtualService,
    http: Vec<Entry>,
    tls: Vec<connection::Entry>,
    tcp: Vec<connection::Entry>,
}

/// Compiles everything.
pub(super) fn routes(declared: &Declared, inventory: &Inventory) -> (Routes, Vec<Finding>) {
    let mut findings = Vec::new();
    let rules = destination::merge(declared, &mut findings);
    let names = names_of(inventory);
    let mut compiler = Compiler { inventory, declared, rules, names, findings };
    destination::check(&mut compiler);
    let mut sorted: Vec<&VirtualService> = declared.virtual_services.iter().collect();
    sorted.sort_by(|one, other| one.origin.age().cmp(&other.origin.age()));
    let mut compiled = Vec::new();
    for service in sorted.iter().copied().filter(|service| !service.hosts.is_empty()) {
        compiled.push(compiler.virtual_service(service, &sorted));
    }
    lint::unbound(&mut compiler, &compiled);
    let gateways = gateway::tables(&mut compiler, &compiled);
    let (clients, scopes) = sidecar::scopes(&mut compiler, &compiled);
    let routes = Routes {
        gateways,
        clients,
        scopes,
        services: services_of(inventory),
        short: short_names(inventory),
        rules: Rules::new(&compiler.rules, &inventory.root_namespace),
        auto_mtls: declared.auto_mtls,
        fixed: Fixed::default(),
        names: compiler.names,
    };
    (routes, compiler.findings)
}

impl Compiler<'_> {
    fn virtual_service<'a>(&mut self, service: &'a VirtualService, all: &[&'a VirtualService]) -> Compiled<'a> {
        let mut http = Vec::new();
        for route in &service.http {
            match &route.action {
                Action::Delegate { namespace, name } => {
                    for merged in delegate::routes(self, route, namespace, name, all) {
                        self.entries(&merged, &mut http);
                    }
                }
                _ => self.entries(route, &mut http),
            }
        }
        lint::unreachable(&mut self.findings, &http);
        let tls =
            service.tls.iter().flat_map(|route| self.connection(route.rule, &route.matches, &route.route)).collect();
        let tcp =
            service.tcp.iter().flat_map(|route| self.connection(route.rule, &route.matches, &route.route)).collect();
        Compiled { service, http, tls, tcp }
    }

    fn entries(&mut self, route: &HttpRoute, entries: &mut Vec<Entry>) {
        let plan = Arc::new(self.plan(route));
        if route.matches.is_empty() {
            entries.push(Entry { matching: Arc::new(HttpMatch::any(route.place.clone())), plan });
            return;
        }
        for matching in &route.matches {
            entries.push(Entry { matching: Arc::new(matching.clone()), plan: Arc::clone(&plan) });
        }
    }

    fn plan(&mut self, route: &HttpRoute) -> Plan {
        let action = match &route.action {
            Action::Forward(to) => {
                let targets = destination::targets(self, to);
                let total = targets.iter().map(|target| u64::from(target.weight)).sum();
                PlanAction::Forward { targets, total }
            }
            Action::Redirect(redirect) => PlanAction::Redirect(redirect.clone()),
            Action::Respond(direct) => PlanAction::Respond(direct.clone()),
            // A delegate of a delegate: it was reported, and goes nowhere.
            Action::Delegate { .. } => PlanAction::Forward { targets: Vec::new(), total: 0 },
        };
        let mirrors = route.mirrors.iter().map(|mirror| (mirror.share, destination::mirror(self, &mirror.destination)));
        Plan {
            because: route.rule,
            name: Arc::clone(&route.name),
            action,
            headers: route.headers.clone(),
            rewrite: route.rewrite.clone(),
            timeout: route.timeout,
            retries: route.retries.clone().unwrap_or_else(|| Arc::new(super::Retries::mesh_default())),
            fault: route.fault.clone(),
            mirrors: mirrors.collect(),
            cors: route.cors.clone(),
        }
    }

    fn connection(
        &mut self,
        because: ringwall_model::RuleId,
        matches: &[super::ConnectionMatch],
        route: &[super::Weighted],
    ) -> Vec<connection::Entry> {
        let targets = destination::targets(self, route);
        let total = targets.iter().map(|target| u64::from(target.weight)).sum();
        let entry = |matching| connection::Entry { because, matching, targets: targets.clone(), total };
        if matches.is_empty() {
            return vec![entry(None)];
        }
        matches.iter().cloned().map(Some).map(entry).collect()
    }
}

/// What a host gathers before its routes are indexed.
#[derive(Default)]
struct Draft {
    http: Vec<Entry>,
    tls: Vec<connection::Entry>,
    tcp: Vec<connection::Entry>,
    /// How many VirtualServices gave to it.
    from: usize,
}

impl Draft {
    /// Takes what of a VirtualService holds for whoever `applies` says yes to.
    fn take(&mut self, compiled: &Compiled<'_>, applies: &dyn Fn(&super::SourceMatch) -> bool) {
        self.from += 1;
        self.http.extend(compiled.http.iter().filter(|entry| applies(&entry.matching.source)).cloned());
        let holds = |entry: &&connection::Entry| match &entry.matching {
            Some(matching) => applies(&matching.source),
            None => applies(&super::SourceMatch::default()),
        };
        self.tls.extend(compiled.tls.iter().filter(holds).cloned());
        self.tcp.extend(compiled.tcp.iter().filter(holds).cloned());
    }

    /// Catch-alls of merged VirtualServices come last.
    fn finish(self) -> VirtualHost {
        let mut http = self.http;
        if self.from > 1 {
            http.sort_by_key(|entry| entry.matching.is_catch_all());
        }
        VirtualHost { http: RouteTable::new(http), tls: self.tls, tcp: self.tcp }
    }
}

/// Whether a match holds for one who routes under these gateway names (or `mesh`), with these labels and namespace.
/// `own` are the VirtualService's gateways.
fn applies(
    source: &super::SourceMatch,
    own: &[Box<str>],
    at: &str,
    namespace: &str,
    labels: &ringwall_model::Labels,
) -> bool {
    if !source.gateways.is_empty() {
        // Gateways in a match override those of the VirtualService and switch the labels off.
        return source.gateways.iter().any(|name| &**name == at);
    }
    own.iter().any(|name| &**name == at)
        && source.labels.matches(labels)
        && source.namespace.as_deref().is_none_or(|wanted| wanted == namespace)
}

fn services_of(inventory: &Inventory) -> Vec<KnownService> {
    let services = inventory.services.iter().map(|service| KnownService {
        namespace: service.namespace.clone(),
        host: Arc::clone(&service.host),
        ports: service.ports.iter().map(|port| (port.number, port.protocol)).collect(),
        external: service.external,
        identities: identities(inventory, &service.endpoints),
    });
    services.collect()
}

/// The identities behind a service, each once.
fn identities(inventory: &Inventory, endpoints: &[Endpoint]) -> Arc<[SpiffeId]> {
    let found = endpoints.iter().filter_map(|endpoint| match endpoint {
        Endpoint::Workload(id) => inventory.workload(*id).map(|workload| workload.identity.clone()),
        Endpoint::Address(_) | Endpoint::Name(_) => None,
    });
    found.collect::<BTreeSet<_>>().into_iter().collect()
}

fn is_kubernetes(service: &ringwall_model::Service) -> bool {
    let host = service.host.strip_prefix(&*service.name).and_then(|rest| rest.strip_prefix('.'));
    host.and_then(|rest| rest.strip_prefix(&*service.namespace)).is_some_and(|rest| rest.starts_with(".svc."))
}

fn names_of(inventory: &Inventory) -> HostTable<ServiceId> {
    let mut names = HostTable::default();
    for (id, service) in (0_u32..).map(ServiceId).zip(&inventory.services) {
        names.entry(&service.host, || id);
        if is_kubernetes(service) {
            names.entry(&format!("{}.{}", service.name, service.namespace), || id);
            names.entry(&format!("{}.{}.svc", service.name, service.namespace), || id);
        }
        if let Some(address) = service.address {
            names.entry(&address.to_string(), || id);
        }
    }
    names
}

fn short_names(inventory: &Inventory) -> BTreeMap<Box<str>, BTreeMap<Box<str>, ServiceId>> {
    let mut short: BTreeMap<Box<str>, BTreeMap<Box<str>, ServiceId>> = BTreeMap::new();
    for (id, service) in (0_u32..).map(ServiceId).zip(&inventory.services).filter(|(_, service)| is_kubernetes(service))
    {
        short.entry(service.namespace.clone()).or_default().insert(service.name.clone(), id);
    }
    short
}

/// The clients of the inventory, all in scope `scope(index)`.
fn clients(inventory: &Inventory, scopes: &[usize]) -> Vec<Client> {
    let all = inventory.workloads.iter().zip(scopes);
    all.map(|(workload, scope)| Client {
        namespace: workload.namespace.clone(),
        labels: workload.labels.clone(),
        scope: *scope,
    })
    .collect()
}
