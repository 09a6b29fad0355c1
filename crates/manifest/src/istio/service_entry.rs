//! ServiceEntry (networking.istio.io/v1, v1beta1, v1alpha3): hosts that no Kubernetes Service declares.
//!
//! In: a resource. Out: services for the inventory ([`declare`]) and their visibility ([`exports`]).
//! Without `location` a host lies outside the mesh; without `resolution` nothing is resolved (Istio's defaults).

use super::networking::{dns_name, export_to};
use crate::kubernetes::Declared;
use crate::kubernetes::protocol::protocol_of;
use crate::{Cursor, Resource};
use ringwall_mesh::egress::ExportTo;
use ringwall_mesh::route::code;
use ringwall_model::{Endpoint, Host, Protocol, Selector, Service, ServicePort, Severity};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Resolution {
    None,
    Static,
    Dns,
}

/// Declares the services of one resource: one for each host.
pub fn declare(resource: &Resource<'_>, declared: &mut Declared) {
    let spec = resource.spec();
    let location = spec.get("location").enumeration(&[("MESH_EXTERNAL", true), ("MESH_INTERNAL", false)]);
    let resolution = spec.get("resolution").enumeration(&[
        ("NONE", Resolution::None),
        ("STATIC", Resolution::Static),
        ("DNS", Resolution::Dns),
        ("DNS_ROUND_ROBIN", Resolution::Dns),
        ("DYNAMIC_DNS", Resolution::Dns),
    ]);
    let resolution = resolution.unwrap_or(Resolution::None);
    let ports: Vec<ServicePort> = spec.get("ports").items().filter_map(port).collect();
    let cidrs: Vec<_> = spec.get("addresses").items().filter_map(Cursor::block).collect();
    let written: Vec<Endpoint> = spec.get("endpoints").items().filter_map(endpoint).collect();
    let selector = spec.get("workloadSelector").get("labels").labels().filter(|labels| !labels.is_empty());
    spec.ignored("subjectAltNames", "name them in the DestinationRule's `tls`");
    check(spec, resolution, &ports, &written, cidrs.is_empty(), selector.is_some());
    for at in spec.get("hosts").required().items() {
        let Some(host) = dns_name(at) else { continue };
        let host: Host = host.to_ascii_lowercase().into();
        if &*host == "*" {
            at.refuse_with::<()>("the host `*` would declare everything", "name the hosts");
            continue;
        }
        let mut endpoints = written.clone();
        if endpoints.is_empty() && resolution == Resolution::Dns {
            endpoints.push(Endpoint::Name(host.clone()));
        }
        let single = cidrs.first().filter(|block| block.prefix_len() == block.max_prefix_len());
        declared.services.push(Service {
            namespace: resource.namespace.into(),
            name: resource.name.into(),
            host,
            address: single.map(ipnet::IpNet::addr),
            cidrs: cidrs.clone(),
            ports: ports.clone(),
            datagram_ports: Vec::new(),
            external: location.unwrap_or(true),
            endpoints,
            selector: selector.clone().map(Selector),
            place: Some(resource.place()),
        });
    }
}

/// To whom the hosts of one resource are visible; nothing for those that all see.
pub fn exports(resource: &Resource<'_>) -> Vec<(Host, ExportTo)> {
    let spec = resource.spec();
    let export = export_to(spec.get("exportTo"), resource.namespace);
    if export == ExportTo::All {
        return Vec::new();
    }
    let hosts = spec.get("hosts").items().filter_map(Cursor::filled);
    hosts.map(|host| (host.to_ascii_lowercase().into(), export.clone())).collect()
}

fn port(at: Cursor<'_>) -> Option<ServicePort> {
    let name = at.get("name").required().filled().unwrap_or_default();
    let number = at.get("number").required().port();
    let target = at.get("targetPort").port();
    let word = at.get("protocol").filled().map(str::to_ascii_lowercase);
    let number = number?;
    let protocol = protocol_of(name, word.as_deref(), number);
    // HTTPS of a host outside is not opened on the way: it is routed by its server name.
    let protocol = if protocol == Protocol::Https { Protocol::Tls } else { protocol };
    Some(ServicePort { name: name.into(), number, protocol, target: target.unwrap_or(number), target_name: None })
}

fn endpoint(at: Cursor<'_>) -> Option<Endpoint> {
    let address = at.get("address").required();
    at.ignored("ports", "the port's own `targetPort` is used");
    at.descriptive(&["labels", "network", "locality", "weight", "serviceAccount"]);
    let text = address.filled()?;
    match text.parse() {
        Ok(address) => Some(Endpoint::Address(address)),
        Err(_) => Some(Endpoint::Name(dns_name(address)?.to_ascii_lowercase().into())),
    }
}

fn check(
    spec: Cursor<'_>,
    resolution: Resolution,
    ports: &[ServicePort],
    endpoints: &[Endpoint],
    no_addresses: bool,
    selects: bool,
) {
    let report = |code, severity, title: &str, help: &str| spec.report(spec.finding(code, severity, title).help(help));
    if resolution == Resolution::None && !endpoints.is_empty() {
        let title = "endpoints do nothing with `resolution: NONE`, which is what a missing `resolution` means";
        report(code::SERVICE_ENTRY, Severity::Warning, title, "resolution: STATIC");
    }
    if resolution == Resolution::Static && endpoints.is_empty() && !selects {
        let title = "`resolution: STATIC` without endpoints reaches nothing";
        report(code::SERVICE_ENTRY, Severity::Warning, title, "list `endpoints`, or select workloads");
    }
    if !endpoints.is_empty() && selects {
        let title = "`endpoints` and `workloadSelector` exclude each other";
        report(code::SERVICE_ENTRY, Severity::Error, title, "take one of them out");
    }
    let tcp = ports.iter().any(|port| port.protocol == Protocol::Tcp);
    if tcp && no_addresses && resolution == Resolution::None {
        let title = "TCP without `addresses`: any address on this port counts as this host (Istio: IST0134)";
        report(code::SERVICE_ENTRY_ADDRESSES, Severity::Warning, title, "list `addresses`");
    }
}
