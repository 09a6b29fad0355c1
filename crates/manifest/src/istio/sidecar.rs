//! Sidecar (networking.istio.io/v1, v1beta1, v1alpha3): what workloads see when they call out.
//!
//! In: a resource. Out: [`Sidecar`] and findings. A host that cannot be read is not seen.

use super::networking::origin;
use crate::{Cursor, Resource};
use ringwall_mesh::egress::{EgressHost, OutboundMode, Sidecar};
use ringwall_mesh::route::code;
use ringwall_model::{RuleBook, Selector, Severity};

/// Lowers one resource.
pub fn lower(resource: &Resource<'_>, rules: &mut RuleBook) -> Sidecar {
    let spec = resource.spec();
    let selector = spec.get("workloadSelector").get("labels").labels().filter(|labels| !labels.is_empty());
    for name in ["ingress", "inboundConnectionPool"] {
        spec.ignored(name, "inbound ports are the workload's own");
    }
    let listeners: Vec<_> = spec.get("egress").items().collect();
    for at in &listeners {
        for name in ["port", "bind", "captureMode"] {
            at.ignored(name, "its hosts are visible on every port");
        }
    }
    let hosts = listeners.iter().flat_map(|at| at.get("hosts").required().items());
    let hosts: Vec<EgressHost> = hosts.filter_map(|at| host(at, resource.namespace)).collect();
    Sidecar {
        origin: origin(resource, rules),
        selector: selector.map(Selector),
        egress: spec.get("egress").is_present().then_some(hosts),
        outbound: outbound(spec.get("outboundTrafficPolicy")),
    }
}

/// `outboundTrafficPolicy.mode`, here or in the mesh's settings.
pub(super) fn outbound(at: Cursor<'_>) -> Option<OutboundMode> {
    if !at.is_present() {
        return None;
    }
    at.ignored("egressProxy", "write a VirtualService that routes through the egress gateway");
    let words = [("ALLOW_ANY", OutboundMode::AllowAny), ("REGISTRY_ONLY", OutboundMode::RegistryOnly)];
    let mode = at.get("mode").enumeration(&words);
    // A block without a mode is its first value; a mode that cannot be read refuses.
    Some(mode.unwrap_or(OutboundMode::RegistryOnly))
}

/// `namespace/dns`; the namespace may be `*`, `.` or `~` (none).
fn host(at: Cursor<'_>, own: &str) -> Option<EgressHost> {
    let text = at.filled()?;
    let Some((namespace, host)) = text.split_once('/') else {
        let title = format!("`{text}` is no `namespace/host`");
        at.report(at.finding(code::SIDECAR, Severity::Error, title).help("`./*`, `*/api.example.org`"));
        return None;
    };
    let namespace = match namespace {
        "~" => return None,
        "*" => None,
        "." => Some(own.into()),
        name => Some(name.into()),
    };
    Some(EgressHost { namespace, host: host.to_ascii_lowercase().into() })
}
