//! Namespace, ServiceAccount and Node.

use super::Declared;
use crate::resource::Resource;
use ringwall_model::Namespace;
use ringwall_packet::endpoint::Node;
use std::net::IpAddr;

/// Lowers a `Namespace`.
pub fn lower(resource: &Resource<'_>, declared: &mut Declared) {
    resource.root.descriptive(&["spec"]);
    let mut labels = resource.labels.clone();
    // The API server sets this one itself.
    labels.insert("kubernetes.io/metadata.name".into(), resource.name.into());
    declared.namespaces.insert(resource.name.into(), Namespace { labels, place: Some(resource.place()) });
}

/// Lowers a `ServiceAccount`.
pub fn lower_account(resource: &Resource<'_>, declared: &mut Declared) {
    resource.root.descriptive(&["automountServiceAccountToken", "imagePullSecrets", "secrets"]);
    declared.accounts.insert((resource.namespace.into(), resource.name.into()));
}

/// Lowers a `Node`: its labels and addresses, for policies that choose nodes.
pub fn lower_node(resource: &Resource<'_>, declared: &mut Declared) {
    resource.root.descriptive(&["spec"]);
    let status = resource.root.get("status");
    let addresses = status.get("addresses").items().filter_map(|at| {
        at.descriptive(&["type"]);
        // Host names stand in the same list.
        at.get("address").string()?.parse::<IpAddr>().ok()
    });
    let node = Node { labels: resource.labels.clone(), addresses: addresses.collect() };
    status.set_rest_aside();
    declared.nodes.insert(resource.name.into(), node);
}
