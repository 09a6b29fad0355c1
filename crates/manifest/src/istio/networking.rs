//! The routing kinds together: what each lowering adds to, and how hosts and namespaces are written in them.
//!
//! In: resources of `networking.istio.io` and `install.istio.io`. Out: [`Networking`]. Follows istio/api `networking/v1`.

use super::{destination_rule, envoy_filter, gateway, mesh_config, service_entry, sidecar, virtual_service};
use crate::{Cursor, Resource};
use ringwall_mesh::egress::ExportTo;
use ringwall_mesh::route::{Declared, Origin};
use ringwall_model::{Host, RuleBook};

/// What the routing kinds say.
#[derive(Clone, Debug, Default)]
pub struct Networking {
    /// Resources of the router; compile them with `Routes::compile`.
    pub routes: Declared,
    /// Settings of the whole mesh.
    pub settings: mesh_config::MeshSettings,
    /// What EnvoyFilters add at the edge, as data for other rooms.
    pub extras: Vec<envoy_filter::EdgeExtras>,
}

/// Whether a kind is one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Yes; it was lowered.
    Lowered,
    /// No.
    Other,
}

/// Lowers a resource of one of the routing kinds. ServiceEntries were declared before with [`service_entry::declare`];
/// here only their visibility is read. `collector` is the provider that spans are sent to, where one is named.
pub fn lower(resource: &Resource<'_>, rules: &mut RuleBook, collector: Option<&str>, into: &mut Networking) -> Taken {
    match resource.kind {
        "Gateway" => into.routes.gateways.push(gateway::lower(resource, rules)),
        "VirtualService" => into.routes.virtual_services.push(virtual_service::lower(resource, rules)),
        "DestinationRule" => into.routes.destination_rules.push(destination_rule::lower(resource, rules)),
        "Sidecar" => into.routes.sidecars.push(sidecar::lower(resource, rules)),
        "ServiceEntry" => into.routes.exports.extend(service_entry::exports(resource)),
        "EnvoyFilter" => into.extras.push(envoy_filter::lower(resource, rules)),
        "IstioOperator" => {
            into.settings = mesh_config::lower(resource, collector);
            into.routes.outbound = into.settings.outbound;
            into.routes.auto_mtls = into.settings.auto_mtls;
        }
        _ => return Taken::Other,
    }
    Taken::Lowered
}

/// Which resource it is, with a rule of its own.
pub(super) fn origin(resource: &Resource<'_>, rules: &mut RuleBook) -> Origin {
    Origin {
        namespace: resource.namespace.into(),
        name: resource.name.into(),
        created: resource.root.get("metadata").get("creationTimestamp").string().map(Into::into),
        rule: resource.rule(rules, ""),
        place: resource.place(),
    }
}

/// `exportTo`: `*`, `.` (the own namespace), `~` (none), or names.
pub(super) fn export_to(at: Cursor<'_>, namespace: &str) -> ExportTo {
    let Some(names) = at.strings().filter(|names| !names.is_empty()) else { return ExportTo::All };
    if names.contains(&"*") {
        return ExportTo::All;
    }
    let named = names.iter().filter(|name| **name != "~");
    ExportTo::Namespaces(named.map(|name| if *name == "." { namespace.into() } else { (*name).into() }).collect())
}

/// A host as routes name it: a name without a dot is a service of the resource's own namespace.
pub(super) fn complete(host: &str, namespace: &str) -> Host {
    let host = host.to_ascii_lowercase();
    if host.contains(['.', '*', ':']) || host.is_empty() {
        host.into()
    } else {
        format!("{host}.{namespace}.svc.cluster.local").into()
    }
}

/// A DNS name in which only the whole first label, or its beginning, may be `*`. Reports what is none.
pub(super) fn dns_name<'a>(at: Cursor<'a>) -> Option<&'a str> {
    let host = at.filled()?;
    let rest = host.strip_prefix('*').unwrap_or(host);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_');
    if host.len() > 253 || !rest.chars().all(plain) || rest.contains("..") {
        return at.refuse_with(format!("`{host}` is not a host"), "a DNS name, perhaps with `*` as its first label");
    }
    Some(host)
}

#[cfg(test)]
mod tests;
