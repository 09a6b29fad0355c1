//! Stand-ins: workloads and services that policies name and nothing declares.
//!
//! In: documents, what is declared. Out: drafts with the service accounts that policies name, so that a set of policies
//! can be tried without its applications. Never in the place of something declared.

mod names;

use super::installation::{gateway_draft, gateway_service, service_port};
use super::opening::Opened;
use crate::code;
use crate::kubernetes::protocol::protocol_of;
use crate::kubernetes::{Declared, Draft, Injection, Link};
use names::{Named, Names};
use ringwall_model::{Finding, Labels, Selector, Service, ServicePort, Severity};
use std::collections::{BTreeMap, BTreeSet};

/// The most stand-ins of one World.
const MAX_STAND_INS: usize = 1000;
/// The port of a stand-in of which nobody says a port.
const PORT: u16 = 8080;

/// Adds a stand-in for everything that is named and not declared.
pub fn fill(opened: &Opened<'_>, root_namespace: &str, declared: &mut Declared, findings: &mut Vec<Finding>) {
    let names = Names::gather(opened, declared, root_namespace);
    gateways(&names, declared, findings);
    let mut made = 0;
    for ((namespace, labels), named) in &names.selected {
        let stands = |draft: &Draft| *draft.namespace == **namespace && matches(labels, &draft.labels);
        if labels.is_empty() || declared.workloads.iter().any(stands) || made >= MAX_STAND_INS {
            continue;
        }
        made += 1;
        let app = app_of(labels);
        add_workload(declared, namespace, &app, labels.clone(), &app, named, findings);
    }
    for ((namespace, account), named) in &names.accounts {
        let has = |draft: &Draft| *draft.namespace == **namespace && *draft.service_account == **account;
        if declared.workloads.iter().any(has) || made >= MAX_STAND_INS {
            continue;
        }
        made += 1;
        add_workload(declared, namespace, account, app_label(account), account, named, findings);
    }
    for ((namespace, name), named) in &names.hosts {
        if declared.services.iter().any(|it| *it.namespace == **namespace && *it.name == **name)
            || made >= MAX_STAND_INS
        {
            continue;
        }
        made += 1;
        let stands = |draft: &Draft| *draft.namespace == **namespace && is_app(draft, name);
        if !declared.workloads.iter().any(stands) {
            add_workload(declared, namespace, name, app_label(name), name, named, findings);
        }
        add_service(declared, namespace, name, named, findings);
    }
    for ((namespace, labels), named) in &names.anywhere {
        if declared.workloads.iter().any(|draft| matches(labels, &draft.labels)) || made >= MAX_STAND_INS {
            continue;
        }
        made += 1;
        let app = app_of(labels);
        add_workload(declared, namespace, &app, labels.clone(), &app, named, findings);
    }
    // A workload that no Service stands before could not be called by name.
    let bare: BTreeMap<(Box<str>, Box<str>), Named> = declared
        .workloads
        .iter()
        .filter(|draft| declared.services.iter().all(|it| !serves(it, draft)) && draft.labels.contains_key("app"))
        .map(|draft| ((draft.namespace.clone(), app_of(&draft.labels)), Named::at(draft.place.clone())))
        .collect();
    for ((namespace, app), named) in &bare {
        if !declared.services.iter().any(|it| it.namespace == *namespace && it.name == *app) {
            add_service(declared, namespace, app, named, findings);
        }
    }
}

fn serves(service: &Service, draft: &Draft) -> bool {
    let selects = |selector: &Selector| !selector.0.is_empty() && selector.matches(&draft.labels);
    service.namespace == draft.namespace && service.selector.as_ref().is_some_and(selects)
}

fn matches(wanted: &Labels, labels: &Labels) -> bool {
    Selector(wanted.clone()).matches(labels)
}

fn is_app(draft: &Draft, name: &str) -> bool {
    draft.labels.get("app").is_some_and(|app| **app == *name) || *draft.app == *name
}

/// The name of a selection: its `app`, or the first value of its labels.
fn app_of(labels: &Labels) -> Box<str> {
    let known = ["app", "app.kubernetes.io/name", "k8s-app"].iter().find_map(|key| labels.get(*key));
    known.or_else(|| labels.values().next()).cloned().unwrap_or_else(|| "workload".into())
}

fn app_label(name: &str) -> Labels {
    [("app".into(), name.into())].into()
}

fn add_workload(
    declared: &mut Declared,
    namespace: &str,
    name: &str,
    labels: Labels,
    account: &str,
    named: &Named,
    findings: &mut Vec<Finding>,
) {
    let mut ports: BTreeSet<u16> = named.ports.clone();
    if ports.is_empty() {
        ports.insert(PORT);
    }
    tell(named, format!("no workload `{namespace}/{name}` is declared; a stand-in was made"), findings);
    let taken = declared.workloads.iter().any(|draft| *draft.namespace == *namespace && *draft.name == *name);
    let unique = if taken { format!("{name}-stand-in") } else { name.to_owned() };
    declared.workloads.push(Draft {
        namespace: namespace.into(),
        name: unique.into(),
        app: name.into(),
        labels,
        annotations: [("ringwall.dev/stand-in".into(), "true".into())].into(),
        service_account: account.into(),
        address: None,
        ports: ports.iter().map(|port| ("".into(), *port, protocol_of("", None, *port))).collect(),
        link: Link::default(),
        injection: Injection::ByNamespace,
        env: BTreeMap::new(),
        place: named.place.clone(),
    });
}

fn add_service(declared: &mut Declared, namespace: &str, name: &str, named: &Named, findings: &mut Vec<Finding>) {
    let behind: Vec<&Draft> =
        declared.workloads.iter().filter(|draft| *draft.namespace == *namespace && is_app(draft, name)).collect();
    let mut ports: BTreeMap<u16, ServicePort> = BTreeMap::new();
    for (port_name, number, protocol) in behind.iter().flat_map(|draft| &draft.ports) {
        let port = service_port(port_name, *number, *number);
        ports.insert(*number, ServicePort { protocol: *protocol, ..port });
    }
    for number in &named.ports {
        ports.entry(*number).or_insert_with(|| service_port("", *number, *number));
    }
    let labels = behind.first().map_or_else(
        || app_label(name),
        |draft| draft.labels.get("app").map_or_else(|| draft.labels.clone(), |app| app_label(app)),
    );
    tell(named, format!("no Service `{namespace}/{name}` is declared; a stand-in was made"), findings);
    let place = named.place.clone();
    declared.services.push(gateway_service(namespace, name, labels, ports.into_values().collect(), place));
}

fn tell(named: &Named, title: String, findings: &mut Vec<Finding>) {
    findings.push(Finding::new(code::STAND_IN, Severity::Note, named.place.clone(), title));
}

/// Gateways that a `Gateway` selects by Istio's own labels: with their services, as the charts make them.
fn gateways(names: &Names, declared: &mut Declared, findings: &mut Vec<Finding>) {
    for ((namespace, labels), named) in &names.gateways {
        let stands = declared.workloads.iter().any(|draft| matches(labels, &draft.labels));
        if stands || labels.is_empty() {
            continue;
        }
        let name = match labels.get("istio") {
            Some(label) => format!("istio-{label}").into(),
            None => app_of(labels),
        };
        let mut ports: Vec<ServicePort> = named.ports.iter().map(|port| service_port("", *port, *port)).collect();
        ports.dedup_by_key(|port| port.number);
        let mut own = labels.clone();
        own.entry("app".into()).or_insert_with(|| name.clone());
        tell(named, format!("no gateway workload `{namespace}/{name}` is declared; a stand-in was made"), findings);
        declared.workloads.push(gateway_draft(namespace, &name, own.clone(), &ports, named.place.clone()));
        if !declared.services.iter().any(|it| *it.namespace == **namespace && *it.name == *name) {
            declared.services.push(gateway_service(namespace, &name, own, ports, named.place.clone()));
        }
    }
}
