//! What an Istio installation says about the whole mesh, and the gateways it brings.
//!
//! In: `IstioOperator` resources and the mesh's ConfigMap, by name only (the dialect reads their fields). Out: trust
//! domain, root namespace, gateway workloads with their services. On one machine each gateway is one workload, whatever
//! its replica count.

use crate::inventory::MeshScope;
use crate::kubernetes::protocol::protocol_of;
use crate::kubernetes::{Declared, Draft, Injection, Link};
use crate::node::{Node, Value};
use crate::resource::Kind;
use crate::source::Document;
use ringwall_model::{Labels, Place, Selector, Service, ServicePort};
use std::collections::BTreeMap;

/// Trust domain and root namespace.
pub fn scope(resources: &[(Kind<'_>, &Document)]) -> MeshScope {
    let mut scope = MeshScope::default();
    for (_, document) in resources.iter().filter(|(kind, _)| kind.kind == "IstioOperator") {
        let text =
            |path: &[&str]| path.iter().try_fold(&*document.root, |node, name| node.get(name)).and_then(Node::as_str);
        let domain = text(&["spec", "meshConfig", "trustDomain"])
            .or_else(|| text(&["spec", "values", "meshConfig", "trustDomain"]))
            .or_else(|| text(&["spec", "values", "global", "trustDomain"]));
        let root = text(&["spec", "meshConfig", "rootNamespace"]);
        if let Some(domain) = domain.filter(|domain| !domain.is_empty()) {
            scope.trust_domain = domain.into();
        }
        if let Some(root) = root.filter(|root| !root.is_empty()) {
            scope.root_namespace = root.into();
        }
    }
    scope
}

/// The gateways that an `IstioOperator` installs.
pub fn declare(resources: &[(Kind<'_>, &Document)], declared: &mut Declared) {
    for (_, document) in resources.iter().filter(|(kind, _)| kind.kind == "IstioOperator") {
        let metadata = document.root.get("metadata");
        let home = metadata.and_then(|it| it.get("namespace")).and_then(Node::as_str).unwrap_or("istio-system");
        let components = document.root.get("spec").and_then(|spec| spec.get("components"));
        for (list, label) in [("ingressGateways", "ingressgateway"), ("egressGateways", "egressgateway")] {
            let Some(Value::List(gateways)) = components.and_then(|it| it.get(list)).map(|node| &node.value) else {
                continue;
            };
            for (index, gateway) in gateways.iter().enumerate() {
                let place = Place::value(document.id, format!("/spec/components/{list}/{index}"));
                add(gateway, label, home, place, declared);
            }
        }
    }
}

fn add(gateway: &Node, label: &str, home: &str, place: Place, declared: &mut Declared) {
    if gateway.get("enabled").map(|node| &node.value) == Some(&Value::Bool(false)) {
        return;
    }
    let text = |name: &str| gateway.get(name).and_then(Node::as_str).filter(|text| !text.is_empty());
    let Some(name) = text("name") else { return };
    let namespace = text("namespace").unwrap_or(home);
    let taken = declared.services.iter().any(|it| &*it.namespace == namespace && &*it.name == name);
    let standing = declared
        .workloads
        .iter()
        .any(|it| &*it.namespace == namespace && it.labels.get("istio").is_some_and(|value| &**value == label));
    if standing {
        return;
    }
    let mut labels: Labels = [("app".into(), name.into()), ("istio".into(), label.into())].into();
    if let Some(Value::Map(own)) = gateway.get("label").map(|node| &node.value) {
        labels.extend(own.iter().filter_map(|entry| Some((entry.key.clone(), entry.value.as_str()?.into()))));
    }
    let mut ports = service_ports(gateway);
    if ports.is_empty() {
        ports = default_ports(label);
    }
    declared.workloads.push(gateway_draft(namespace, name, labels.clone(), &ports, place.clone()));
    if !taken {
        declared.services.push(gateway_service(namespace, name, labels, ports, place));
    }
}

/// A gateway workload.
pub fn gateway_draft(namespace: &str, name: &str, labels: Labels, ports: &[ServicePort], place: Place) -> Draft {
    Draft {
        namespace: namespace.into(),
        name: name.into(),
        app: name.into(),
        labels,
        annotations: Labels::new(),
        service_account: format!("{name}-service-account").into(),
        address: None,
        ports: ports.iter().map(|port| (port.name.clone(), port.target, port.protocol)).collect(),
        link: Link::default(),
        injection: Injection::Always,
        env: BTreeMap::new(),
        place,
    }
}

/// The service before a gateway workload.
pub fn gateway_service(namespace: &str, name: &str, labels: Labels, ports: Vec<ServicePort>, place: Place) -> Service {
    Service {
        namespace: namespace.into(),
        name: name.into(),
        host: format!("{name}.{namespace}.svc.cluster.local").into(),
        address: None,
        cidrs: Vec::new(),
        ports,
        datagram_ports: Vec::new(),
        external: false,
        endpoints: Vec::new(),
        selector: Some(Selector(labels)),
        place: Some(place),
    }
}

fn service_ports(gateway: &Node) -> Vec<ServicePort> {
    let ports = ["k8s", "service", "ports"].iter().try_fold(gateway, |node, name| node.get(name));
    let Some(Value::List(ports)) = ports.map(|node| &node.value) else { return Vec::new() };
    let number = |node: &Node, name: &str| match node.get(name)?.value {
        Value::Integer(number) => u16::try_from(number).ok(),
        _ => None,
    };
    let read = |port: &Node| {
        let at = number(port, "port")?;
        let name = port.get("name").and_then(Node::as_str).unwrap_or_default();
        Some(service_port(name, at, number(port, "targetPort").unwrap_or(at)))
    };
    ports.iter().filter_map(read).collect()
}

/// One port of a gateway's service.
pub fn service_port(name: &str, number: u16, target: u16) -> ServicePort {
    ServicePort { name: name.into(), number, protocol: protocol_of(name, None, number), target, target_name: None }
}

/// The ports of Istio's gateway charts.
fn default_ports(label: &str) -> Vec<ServicePort> {
    let mut ports = vec![service_port("http2", 80, 8080), service_port("https", 443, 8443)];
    if label == "ingressgateway" {
        ports.insert(0, service_port("http-status", 15021, 15021));
    }
    ports
}
