//! Endpoints and EndpointSlice: addresses of a service that are written out.

use super::Declared;
use crate::resource::Resource;
use ringwall_model::Host;
use std::net::IpAddr;

/// Addresses of one service.
#[derive(Clone, Debug)]
pub struct EndpointSet {
    /// Namespace.
    pub namespace: Box<str>,
    /// Name of the service.
    pub service: Box<str>,
    /// Addresses that are ready.
    pub addresses: Vec<IpAddr>,
    /// Names, when the slice has names.
    pub names: Vec<Host>,
}

/// Lowers an `Endpoints`.
pub fn lower(resource: &Resource<'_>, declared: &mut Declared) {
    let mut addresses = Vec::new();
    for subset in resource.root.get("subsets").items() {
        for address in subset.get("addresses").items() {
            address.descriptive(&["hostname", "nodeName", "targetRef"]);
            addresses.extend(address.get("ip").required().address());
        }
        subset.descriptive(&["notReadyAddresses"]);
        subset.ignored("ports", "ports come from the Service");
    }
    declared.endpoints.push(EndpointSet {
        namespace: resource.namespace.into(),
        service: resource.name.into(),
        addresses,
        names: Vec::new(),
    });
}

/// Lowers an `EndpointSlice`.
pub fn lower_slice(resource: &Resource<'_>, declared: &mut Declared) {
    let root = resource.root;
    let service = resource.labels.get("kubernetes.io/service-name").cloned().unwrap_or_else(|| resource.name.into());
    let names_only = root.get("addressType").string() == Some("FQDN");
    let (mut addresses, mut names) = (Vec::new(), Vec::new());
    for endpoint in root.get("endpoints").items() {
        let ready = endpoint.get("conditions").get("ready").flag().unwrap_or(true);
        endpoint.get("conditions").descriptive(&["serving", "terminating"]);
        endpoint.descriptive(&["deprecatedTopology", "hints", "hostname", "nodeName", "targetRef", "zone"]);
        for address in endpoint.get("addresses").items() {
            if names_only {
                names.extend(address.string().filter(|_| ready).map(|name| Host::from(name.to_ascii_lowercase())));
            } else {
                addresses.extend(address.address().filter(|_| ready));
            }
        }
    }
    root.ignored("ports", "ports come from the Service");
    declared.endpoints.push(EndpointSet { namespace: resource.namespace.into(), service, addresses, names });
}
