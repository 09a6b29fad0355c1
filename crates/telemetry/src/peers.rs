//! Both ends of an exchange in the words of Istio's metrics.

use crate::telemetry::Names;
use ringwall_model::{Endpoint, Inventory, Layer, Reason, Role, Service, SpiffeId, Workload, WorkloadId};

const UNKNOWN: &str = "unknown";
const CLUSTER: &str = "Kubernetes";

/// One end: workload, namespace, principal, app, version, canonical service and revision, cluster.
pub type End = [String; 8];

/// What the labels are made of.
pub struct Ends {
    pub source: End,
    pub destination: End,
    /// Host, name and namespace of the service that was called.
    pub service: [String; 3],
    /// Whether the service lies outside the mesh.
    pub external: bool,
    pub reporter: &'static str,
    pub security: &'static str,
}

/// What an event says of its two ends.
pub struct Told<'a> {
    pub role: Role,
    pub workload: &'a str,
    pub peer: Option<&'a SpiffeId>,
    pub cluster: &'a str,
}

/// Finds both ends in the inventory.
pub fn ends(told: &Told<'_>, names: &Names<'_>) -> Ends {
    let inventory = names.inventory;
    let own = by_name(inventory, told.workload);
    let (port, host) = cluster(told.cluster);
    if told.role == Role::Inbound {
        let service = own.and_then(|(id, _)| service_before(inventory, id, port));
        let source = told.peer.map_or_else(unknown, |peer| by_identity(inventory, peer));
        let security = if told.peer.is_some() { "mutual_tls" } else { "none" };
        let destination = own.map_or_else(unknown, |(_, workload)| end(workload));
        return Ends {
            source,
            destination,
            service: named(service, host),
            external: false,
            reporter: "destination",
            security,
        };
    }
    let service = inventory.service_of(host).and_then(|id| inventory.service(id));
    let workload =
        service.and_then(|service| service.endpoints.iter().find_map(|endpoint| workload_of(inventory, endpoint)));
    Ends {
        source: own.map_or_else(unknown, |(_, workload)| end(workload)),
        destination: workload.map_or_else(unknown, end),
        service: named(service, host),
        external: service.is_some_and(|service| service.external),
        reporter: "source",
        security: UNKNOWN,
    }
}

/// The labels that requests and connections share, in the order of the family.
pub fn labels<'a>(ends: &'a Ends, protocol: &'a str, flags: &'a str) -> Vec<&'a str> {
    let mut labels = vec![ends.reporter];
    labels.extend(ends.source.iter().map(String::as_str));
    labels.extend(ends.destination.iter().map(String::as_str));
    labels.extend(ends.service.iter().map(String::as_str));
    labels.extend([ends.security, ends.security, protocol, flags]);
    labels
}

/// The rule of a reason, as a label: bounded by the number of rules.
pub fn rule(reason: Reason, names: &Names<'_>) -> String {
    match reason {
        Reason::DefaultDeny { .. } => "default deny".into(),
        other => names.rules.render(other),
    }
}

/// `layer: rule`, as logs write a refusal.
pub fn refusal(refused: Option<(Layer, Reason)>, names: &Names<'_>) -> Option<String> {
    refused.map(|(layer, reason)| format!("{layer}: {}", names.rules.render(reason)))
}

/// Port and host of `outbound|8080|subset|host`.
fn cluster(name: &str) -> (u16, &str) {
    let mut parts = name.split('|').skip(1);
    let port = parts.next().and_then(|port| port.parse().ok()).unwrap_or(0);
    (port, parts.nth(1).unwrap_or_default())
}

fn by_name<'a>(inventory: &'a Inventory, full: &str) -> Option<(WorkloadId, &'a Workload)> {
    let (namespace, name) = full.split_once('/')?;
    let same = |workload: &Workload| &*workload.namespace == namespace && &*workload.name == name;
    (0_u32..).map(WorkloadId).zip(&inventory.workloads).find(|(_, workload)| same(workload))
}

fn by_identity(inventory: &Inventory, peer: &SpiffeId) -> End {
    if let Some(workload) = inventory.workloads.iter().find(|workload| workload.identity == *peer) {
        return end(workload);
    }
    let mut end = unknown();
    end[1] = peer.service_account().map_or(UNKNOWN, |(namespace, _)| namespace).into();
    end[2] = peer.to_string();
    end
}

fn service_before(inventory: &Inventory, id: WorkloadId, port: u16) -> Option<&Service> {
    let here = |service: &&Service| {
        service.endpoints.contains(&Endpoint::Workload(id))
            && (port == 0 || service.ports.iter().any(|one| one.target == port || one.number == port))
    };
    inventory.services.iter().find(here)
}

fn workload_of<'a>(inventory: &'a Inventory, endpoint: &Endpoint) -> Option<&'a Workload> {
    match endpoint {
        Endpoint::Workload(id) => inventory.workload(*id),
        Endpoint::Address(_) | Endpoint::Name(_) => None,
    }
}

fn named(service: Option<&Service>, host: &str) -> [String; 3] {
    let known = |text: &str| if text.is_empty() { UNKNOWN.to_owned() } else { text.to_owned() };
    match service {
        Some(service) => [service.host.to_string(), known(&service.name), known(&service.namespace)],
        // A host that no service has was still chosen by a route, never by the client.
        None => [known(host), known(host.split('.').next().unwrap_or_default()), UNKNOWN.into()],
    }
}

fn end(workload: &Workload) -> End {
    let label = |names: &[&str], default: &str| {
        let found = names.iter().find_map(|name| workload.labels.get(*name));
        found.map_or_else(|| default.to_owned(), ToString::to_string)
    };
    [
        workload.app.to_string(),
        workload.namespace.to_string(),
        workload.identity.to_string(),
        label(&["app", "app.kubernetes.io/name"], UNKNOWN),
        label(&["version", "app.kubernetes.io/version"], UNKNOWN),
        label(&["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"], &workload.app),
        label(&["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"], "latest"),
        CLUSTER.into(),
    ]
}

fn unknown() -> End {
    std::array::from_fn(|_| UNKNOWN.to_owned())
}
