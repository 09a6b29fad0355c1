//! Service: a host, its ports, and a selector over workloads.

use super::Declared;
use super::protocol::{is_told, protocol_of};
use crate::code;
use crate::node::{Cursor, Value};
use crate::resource::Resource;
use ringwall_model::{DatagramPort, Endpoint, Finding, Selector, Service, ServicePort, Severity};
use ringwall_packet::endpoint::protocol::{SCTP, TCP, UDP};

/// Lowers a `Service`.
pub fn lower(resource: &Resource<'_>, declared: &mut Declared) {
    let spec = resource.spec();
    let kind = spec
        .get("type")
        .enumeration(&[
            ("ClusterIP", Type::Cluster),
            ("NodePort", Type::Cluster),
            ("LoadBalancer", Type::Cluster),
            ("ExternalName", Type::External),
        ])
        .unwrap_or(Type::Cluster);
    set_aside(spec);
    let headless = spec.get("clusterIP").string() == Some("None");
    let address = if headless { None } else { written_address(spec.get("clusterIP")) };
    let external = spec.get("externalName").string();
    let endpoints = match (kind, external) {
        (Type::External, Some(name)) => vec![Endpoint::Name(name.to_ascii_lowercase().into())],
        _ => Vec::new(),
    };
    let (mut ports, mut datagram_ports) = (Vec::new(), Vec::new());
    for one in spec.get("ports").items().filter_map(port) {
        match one {
            Port::Carried(port) => ports.push(port),
            Port::Datagrams(port) => datagram_ports.push(port),
        }
    }
    declared.services.push(Service {
        namespace: resource.namespace.into(),
        name: resource.name.into(),
        host: format!("{}.{}.svc.cluster.local", resource.name, resource.namespace).into(),
        address,
        cidrs: Vec::new(),
        ports,
        datagram_ports,
        external: false,
        endpoints,
        selector: spec.get("selector").labels().map(Selector),
        place: Some(resource.place()),
    });
}

#[derive(Clone, Copy)]
enum Type {
    Cluster,
    External,
}

fn written_address(at: Cursor<'_>) -> Option<std::net::IpAddr> {
    if at.string().is_none_or(str::is_empty) { None } else { at.address() }
}

fn set_aside(spec: Cursor<'_>) {
    spec.ignored("externalIPs", "Ringwall binds only its own addresses");
    spec.ignored("loadBalancerSourceRanges", "use a ShieldPolicy for the edge");
    spec.ignored("sessionAffinity", "balancing follows DestinationRule");
    spec.descriptive(&[
        "allocateLoadBalancerNodePorts",
        "clusterIPs",
        "externalTrafficPolicy",
        "healthCheckNodePort",
        "internalTrafficPolicy",
        "ipFamilies",
        "ipFamilyPolicy",
        "loadBalancerClass",
        "loadBalancerIP",
        "publishNotReadyAddresses",
        "sessionAffinityConfig",
        "trafficDistribution",
    ]);
}

enum Port {
    Carried(ServicePort),
    Datagrams(DatagramPort),
}

fn port(at: Cursor<'_>) -> Option<Port> {
    let name = at.get("name").string().unwrap_or_default();
    let number = at.get("port").required().port();
    let app_protocol = at.get("appProtocol").string();
    let transport = at.get("protocol").enumeration(&[("TCP", TCP), ("UDP", UDP), ("SCTP", SCTP)]);
    at.descriptive(&["nodePort"]);
    let target = at.get("targetPort");
    let number = number?;
    let (target, target_name) = match target.peek().map(|node| &node.value) {
        Some(Value::String(name)) => (number, Some(name.clone())),
        Some(_) => (target.port()?, None),
        None => (number, None),
    };
    if let Some(protocol) = transport.filter(|transport| *transport != TCP) {
        let title = format!("port {number} is not TCP; Ringwall's mesh carries TCP only");
        at.report(at.finding(code::NOT_ENFORCED, Severity::Note, title));
        return Some(Port::Datagrams(DatagramPort { name: name.into(), protocol, number, target, target_name }));
    }
    if !is_told(name, app_protocol) {
        let spoken = if protocol_of(name, app_protocol, number).is_http() { "HTTP" } else { "plain TCP" };
        let title = format!("port {number} does not say what it speaks; it is taken for {spoken}");
        let help = "name the port `http-…`, `grpc-…`, `tcp-…`, or set `appProtocol`";
        at.report(Finding::new(code::VALUE, Severity::Note, at.place(), title).help(help));
    }
    let protocol = protocol_of(name, app_protocol, number);
    Some(Port::Carried(ServicePort { name: name.into(), number, protocol, target, target_name }))
}
