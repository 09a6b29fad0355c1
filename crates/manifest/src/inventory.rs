//! From what is declared to the inventory: addresses, identities, membership in the mesh, endpoints.
//!
//! In: [`Declared`]. Out: [`Inventory`], in the order of names, so that the order of files changes nothing. A workload
//! without an address gets one of 10.244.0.0/16 by a hash of its name, so that it keeps it when others come and go;
//! services likewise of 10.96.0.0/16.

use crate::code;
use crate::kubernetes::{Declared, Draft, Injection};
use ringwall_model::{
    Endpoint, Finding, Inventory, Namespace, Place, Service, ServiceId, Severity, SpiffeId, Workload, WorkloadId,
};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

/// Pod network: what workloads without an address get theirs from.
pub const POD_NETWORK: [u8; 2] = [10, 244];
/// Service network.
pub const SERVICE_NETWORK: [u8; 2] = [10, 96];

/// What holds for the whole mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshScope {
    /// Trust domain.
    pub trust_domain: Box<str>,
    /// Root namespace.
    pub root_namespace: Box<str>,
}

impl Default for MeshScope {
    fn default() -> Self {
        Self { trust_domain: "cluster.local".into(), root_namespace: "istio-system".into() }
    }
}

/// Makes the inventory.
pub fn assemble(declared: &Declared, scope: &MeshScope) -> (Inventory, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut inventory = Inventory {
        namespaces: declared.namespaces.clone(),
        trust_domain: scope.trust_domain.clone(),
        root_namespace: scope.root_namespace.clone(),
        ..Inventory::default()
    };
    add_workloads(&mut inventory, &declared.workloads, &mut findings);
    add_services(&mut inventory, &declared.services, &mut findings);
    for index in 0..inventory.services.len() {
        let endpoints = endpoints_of(&inventory, index, declared);
        if let Some(service) = inventory.services.get_mut(index) {
            service.endpoints = endpoints;
        }
    }
    settle_ports(&mut inventory);
    settle_datagram_ports(&mut inventory, &declared.workloads);
    (inventory, findings)
}

fn add_workloads(inventory: &mut Inventory, drafts: &[Draft], findings: &mut Vec<Finding>) {
    let mut drafts: Vec<&Draft> = drafts.iter().collect();
    drafts.sort_by(|one, other| {
        (&one.namespace, &one.name, &one.place).cmp(&(&other.namespace, &other.name, &other.place))
    });
    drafts.dedup_by(|later, kept| later.namespace == kept.namespace && later.name == kept.name);
    let mut network = Network::new(POD_NETWORK, drafts.iter().filter_map(|draft| draft.address));
    for draft in drafts {
        namespace(inventory, &draft.namespace);
        let domain = &inventory.trust_domain;
        let identity = SpiffeId::of_service_account(domain, &draft.namespace, &draft.service_account);
        let Ok(identity) = identity else {
            let title = format!("service account `{}` makes no SPIFFE ID", draft.service_account);
            findings.push(Finding::new(code::VALUE, Severity::Error, draft.place.clone(), title));
            continue;
        };
        let key = format!("{}/{}", draft.namespace, draft.name);
        let Some(address) = draft.address.or_else(|| network.give(&key)) else {
            let title = "no address is left in the pod network 10.244.0.0/16";
            findings.push(Finding::new(code::SIZE, Severity::Error, draft.place.clone(), title));
            continue;
        };
        let in_mesh = is_in_mesh(draft, inventory.namespaces.get(&draft.namespace));
        let app_address = app_address(draft, findings);
        inventory.workloads.push(Workload {
            namespace: draft.namespace.clone(),
            name: draft.name.clone(),
            app: draft.app.clone(),
            labels: draft.labels.clone(),
            service_account: draft.service_account.clone(),
            identity,
            address,
            ports: draft.ports.clone(),
            annotations: draft.annotations.clone(),
            in_mesh,
            app_address,
            place: Some(draft.place.clone()),
        });
    }
}

fn namespace(inventory: &mut Inventory, name: &str) {
    inventory.namespaces.entry(name.into()).or_insert_with(|| Namespace {
        labels: [("kubernetes.io/metadata.name".into(), name.into())].into(),
        place: None,
    });
}

/// Istio's injection: what the Pod says, else the label of its namespace. Gateways are proxies themselves.
fn is_in_mesh(draft: &Draft, namespace: Option<&Namespace>) -> bool {
    let label = |key: &str| namespace.and_then(|namespace| namespace.labels.get(key)).map(|value| &**value);
    let gateway = draft.labels.get("istio").is_some_and(|value| matches!(&**value, "ingressgateway" | "egressgateway"));
    match draft.injection {
        Injection::Always => true,
        Injection::Never => gateway,
        Injection::ByNamespace => match label("istio-injection") {
            Some("enabled") => true,
            Some("disabled") => gateway,
            _ => gateway || label("istio.io/rev").is_some(),
        },
    }
}

/// `ringwall.dev/app`: where the application listens on this machine.
fn app_address(draft: &Draft, findings: &mut Vec<Finding>) -> Option<IpAddr> {
    let text = draft.annotations.get("ringwall.dev/app")?;
    let address = text.parse().ok();
    if address.is_none() {
        let title = format!("annotation `ringwall.dev/app`: `{text}` is not an IP address");
        findings.push(Finding::new(code::VALUE, Severity::Error, draft.place.clone(), title));
    }
    address
}

fn add_services(inventory: &mut Inventory, services: &[Service], findings: &mut Vec<Finding>) {
    let mut services: Vec<&Service> = services.iter().collect();
    let order = |service: &Service| (service.host.clone(), service.namespace.clone(), service.place.clone());
    services.sort_by_key(|service| order(service));
    let mut network = Network::new(SERVICE_NETWORK, services.iter().filter_map(|service| service.address));
    for service in services {
        let mut service = service.clone();
        if let Some(first) = inventory.hosts.get(&service.host).and_then(|id| inventory.service(*id)) {
            // Istio takes the older one; without ages, the first by namespace.
            let title = format!("host `{}` is declared twice; the other one is taken", service.host);
            let place = service.place.clone().unwrap_or_else(|| Place::value(ringwall_model::DocumentId(0), ""));
            let mut finding = Finding::new(code::DUPLICATE_RESOURCE, Severity::Warning, place, title);
            if let Some(other) = &first.place {
                finding = finding.related(other.clone(), "this one is taken");
            }
            findings.push(finding);
            continue;
        }
        // Headless services and names have no address of their own.
        let named = service.external || service.endpoints.iter().any(|endpoint| matches!(endpoint, Endpoint::Name(_)));
        if service.address.is_none() && !named && service.selector.is_some() {
            service.address = network.give(&service.host);
        }
        let id = ServiceId(u32::try_from(inventory.services.len()).unwrap_or(u32::MAX));
        inventory.hosts.insert(service.host.clone(), id);
        inventory.services.push(service);
    }
}

/// What stands behind a service: written out, or the workloads that its selector matches.
fn endpoints_of(inventory: &Inventory, index: usize, declared: &Declared) -> Vec<Endpoint> {
    let Some(service) = inventory.services.get(index) else { return Vec::new() };
    let mut found = service.endpoints.clone();
    // Kubernetes: a Service without a selector has no endpoints of its own; an empty one selects nothing either.
    if let Some(selector) = service.selector.as_ref().filter(|selector| !selector.0.is_empty()) {
        found.extend(inventory.select(&service.namespace, selector).map(|(id, _)| Endpoint::Workload(id)));
    }
    let written = declared.endpoints.iter();
    for set in written.filter(|set| set.namespace == service.namespace && set.service == service.name) {
        for address in &set.addresses {
            let workload = (0_u32..).zip(&inventory.workloads).find(|(_, workload)| workload.address == *address);
            found.push(workload.map_or(Endpoint::Address(*address), |(id, _)| Endpoint::Workload(WorkloadId(id))));
        }
        found.extend(set.names.iter().map(|name| Endpoint::Name(name.clone())));
    }
    let mut kept: Vec<Endpoint> = Vec::new();
    for endpoint in found {
        if !kept.contains(&endpoint) {
            kept.push(endpoint);
        }
    }
    kept
}

/// Resolves target ports by name, and lets services say what is spoken on the ports of their workloads: a container's
/// port list is only information, a Service's target is where calls really go.
fn settle_ports(inventory: &mut Inventory) {
    let Inventory { workloads, services, .. } = inventory;
    for service in services {
        let behind = service.endpoints.iter().filter_map(|endpoint| match endpoint {
            Endpoint::Workload(id) => Some(id.0 as usize),
            _ => None,
        });
        let behind: Vec<usize> = behind.collect();
        for port in &mut service.ports {
            if let Some(name) = &port.target_name {
                let named =
                    behind.iter().filter_map(|index| workloads.get(*index)).flat_map(|workload| &workload.ports);
                if let Some((_, number, _)) = named.into_iter().find(|(known, _, _)| known == name) {
                    port.target = *number;
                }
            }
            for index in &behind {
                let Some(workload) = workloads.get_mut(*index) else { continue };
                match workload.ports.iter_mut().find(|(_, number, _)| *number == port.target) {
                    Some((_, _, protocol)) => *protocol = port.protocol,
                    None => workload.ports.push((port.name.clone(), port.target, port.protocol)),
                }
            }
        }
    }
    for workload in workloads {
        workload.ports.sort_by_key(|(_, number, _)| *number);
        workload.ports.dedup_by_key(|(_, number, _)| *number);
    }
}

/// Resolves target ports of UDP and SCTP by name: as for TCP the first workload that has one tells the number.
fn settle_datagram_ports(inventory: &mut Inventory, drafts: &[Draft]) {
    let Inventory { workloads, services, .. } = inventory;
    let draft = |id: &WorkloadId| {
        let workload = workloads.get(id.0 as usize)?;
        drafts.iter().find(|draft| draft.namespace == workload.namespace && draft.name == workload.name)
    };
    for service in services {
        let Service { endpoints, datagram_ports, .. } = service;
        for port in datagram_ports {
            let Some(name) = &port.target_name else { continue };
            let behind = endpoints.iter().filter_map(|endpoint| match endpoint {
                Endpoint::Workload(id) => draft(id),
                _ => None,
            });
            let named = behind.flat_map(|draft| &draft.link.named_ports);
            let is_meant = |(known, protocol, _): &&(Box<str>, u8, u16)| known == name && *protocol == port.protocol;
            if let Some((_, _, number)) = named.into_iter().find(is_meant) {
                port.target = *number;
            }
        }
    }
}

/// Addresses of a /16, given by name.
struct Network {
    prefix: [u8; 2],
    taken: BTreeSet<u16>,
}

impl Network {
    fn new(prefix: [u8; 2], written: impl Iterator<Item = IpAddr>) -> Self {
        let taken = written.filter_map(|address| match address {
            IpAddr::V4(address) if address.octets().starts_with(&prefix) => {
                let [_, _, high, low] = address.octets();
                Some(u16::from_be_bytes([high, low]))
            }
            _ => None,
        });
        Self { prefix, taken: taken.collect() }
    }

    /// The address of a name: its hash, or the next free one after it.
    fn give(&mut self, name: &str) -> Option<IpAddr> {
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let start = (hash ^ (hash >> 32)) as u16 ^ (hash >> 16) as u16;
        let usable = |at: &u16| !matches!(at & 0xff, 0 | 255);
        let free =
            (0..=u16::MAX).map(|step| start.wrapping_add(step)).filter(usable).find(|at| !self.taken.contains(at))?;
        self.taken.insert(free);
        let [high, low] = free.to_be_bytes();
        let [one, two] = self.prefix;
        Some(Ipv4Addr::new(one, two, high, low).into())
    }
}
