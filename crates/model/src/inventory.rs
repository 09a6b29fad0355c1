//! Who and what there is: namespaces, workloads, services, hosts.

use crate::{Place, Protocol, SpiffeId};
use ipnet::IpNet;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Kubernetes labels.
pub type Labels = BTreeMap<Box<str>, Box<str>>;

/// A label selector of equalities, as Istio and Services have it. Empty selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Selector(pub Labels);

impl Selector {
    /// Whether every label of the selector is in `labels`.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// A namespace with its labels.
#[derive(Clone, Debug, Default)]
pub struct Namespace {
    /// Its labels.
    pub labels: Labels,
    /// Where it is declared.
    pub place: Option<Place>,
}

/// Index of a workload in its [`Inventory`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct WorkloadId(pub u32);

/// Index of a service in its [`Inventory`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ServiceId(pub u32);

/// One running thing with an identity: a Pod, one replica of a Deployment, or a WorkloadEntry.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Namespace.
    pub namespace: Box<str>,
    /// Name: of the Pod or WorkloadEntry, or of the Deployment with `-0`, `-1` … for its replicas.
    pub name: Box<str>,
    /// The name metrics use: of the Deployment, or the same as `name`.
    pub app: Box<str>,
    /// Labels.
    pub labels: Labels,
    /// Service account; `default` when none is named.
    pub service_account: Box<str>,
    /// Its identity.
    pub identity: SpiffeId,
    /// The manifest's address, which all policy sees; given from the pod network when the manifest has none.
    pub address: IpAddr,
    /// Declared ports: name (may be empty), number, protocol.
    pub ports: Vec<(Box<str>, u16, Protocol)>,
    /// Annotations that Ringwall or Istio reads.
    pub annotations: Labels,
    /// Whether the mesh stands before it (sidecar injected): its inbound speaks mTLS.
    pub in_mesh: bool,
    /// The address where the application itself listens on this machine, if one was given (`ringwall.dev/app`).
    pub app_address: Option<IpAddr>,
    /// Where it is declared.
    pub place: Option<Place>,
}

impl Workload {
    /// `namespace/name`
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// A Kubernetes Service or an Istio ServiceEntry host.
#[derive(Clone, Debug)]
pub struct Service {
    /// Namespace.
    pub namespace: Box<str>,
    /// Name of the resource.
    pub name: Box<str>,
    /// The host that routes name it by: `name.namespace.svc.cluster.local`, or the ServiceEntry's host.
    pub host: Host,
    /// Its virtual address, from the manifest or the service network.
    pub address: Option<IpAddr>,
    /// CIDRs a ServiceEntry gives.
    pub cidrs: Vec<IpNet>,
    /// Its ports that the mesh carries: TCP.
    pub ports: Vec<ServicePort>,
    /// Its others, of which network policies alone speak: UDP and SCTP.
    pub datagram_ports: Vec<DatagramPort>,
    /// Whether it lies outside the mesh (`MESH_EXTERNAL`).
    pub external: bool,
    /// What stands behind it.
    pub endpoints: Vec<Endpoint>,
    /// Selector over workloads of its namespace, when endpoints come from one.
    pub selector: Option<Selector>,
    /// Where it is declared.
    pub place: Option<Place>,
}

/// A lower-case DNS name, perhaps with a leading `*.`.
pub type Host = Arc<str>;

/// One port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Name; may be empty.
    pub name: Box<str>,
    /// Port of the service.
    pub number: u16,
    /// What is spoken.
    pub protocol: Protocol,
    /// Port of the workload, by number.
    pub target: u16,
    /// Port of the workload, by name, when it is given so.
    pub target_name: Option<Box<str>>,
}

/// One port of a service that is not TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatagramPort {
    /// Name; may be empty.
    pub name: Box<str>,
    /// IP protocol number: 17 or 132.
    pub protocol: u8,
    /// Port of the service.
    pub number: u16,
    /// Port of the workload, by number.
    pub target: u16,
    /// Port of the workload, by name, when it is given so.
    pub target_name: Option<Box<str>>,
}

/// One place where a service can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A workload of this inventory.
    Workload(WorkloadId),
    /// An address outside.
    Address(IpAddr),
    /// A name to be resolved.
    Name(Host),
}

/// All that there is, in one World.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Namespaces by name.
    pub namespaces: BTreeMap<Box<str>, Namespace>,
    /// Workloads; [`WorkloadId`] indexes them.
    pub workloads: Vec<Workload>,
    /// Services; [`ServiceId`] indexes them.
    pub services: Vec<Service>,
    /// Services by host.
    pub hosts: BTreeMap<Host, ServiceId>,
    /// The mesh's trust domain, `cluster.local` when nothing says otherwise.
    pub trust_domain: Box<str>,
    /// Istio's root namespace, `istio-system` when nothing says otherwise.
    pub root_namespace: Box<str>,
}

impl Inventory {
    /// A workload by number.
    pub fn workload(&self, id: WorkloadId) -> Option<&Workload> {
        self.workloads.get(id.0 as usize)
    }

    /// A service by number.
    pub fn service(&self, id: ServiceId) -> Option<&Service> {
        self.services.get(id.0 as usize)
    }

    /// The service of a host: exact, else the longest `*.` wildcard.
    pub fn service_of(&self, host: &str) -> Option<ServiceId> {
        if let Some(id) = self.hosts.get(host) {
            return Some(*id);
        }
        let mut rest = host;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(id) = self.hosts.get(format!("*.{parent}").as_str()) {
                return Some(*id);
            }
            rest = parent;
        }
        None
    }

    /// Workloads of a namespace that a selector matches; an empty selector matches all of them.
    pub fn select<'a>(
        &'a self,
        namespace: &'a str,
        selector: &'a Selector,
    ) -> impl Iterator<Item = (WorkloadId, &'a Workload)> {
        (0_u32..)
            .map(WorkloadId)
            .zip(&self.workloads)
            .filter(move |(_, workload)| &*workload.namespace == namespace && selector.matches(&workload.labels))
    }
}
