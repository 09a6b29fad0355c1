//! Kubernetes' own kinds: who and what there is, before any policy.
//!
//! In: resources of the groups core, `apps`, `batch` and `discovery.k8s.io`. Out: [`Declared`], from which
//! [`crate::inventory`] makes the inventory. Policy of the packet layer: [`network_policy`], [`cluster_network_policy`]. Follows the Kubernetes API reference 1.34; what says nothing
//! about the network (resources, probes, volumes) is set aside without a word.

pub mod cluster_network_policy;
pub mod code;
pub mod endpoints;
pub mod label_selector;
pub mod namespace;
pub mod network_policy;
pub mod protocol;
pub mod secret;
pub mod service;
pub mod workload;

pub use endpoints::EndpointSet;
pub use secret::{Redacted, Secret};
pub use workload::{Draft, EnvValue, Injection, Link};

use crate::resource::Resource;
use ringwall_model::{Namespace, Service};
use ringwall_packet::endpoint::Node;
use std::collections::BTreeMap;

/// All that the manifests declare, before addresses are given and selectors resolved.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    /// Namespaces by name.
    pub namespaces: BTreeMap<Box<str>, Namespace>,
    /// Service accounts, as (namespace, name).
    pub accounts: std::collections::BTreeSet<(Box<str>, Box<str>)>,
    /// Nodes by name.
    pub nodes: BTreeMap<Box<str>, Node>,
    /// Workloads.
    pub workloads: Vec<Draft>,
    /// Services; endpoints are still empty.
    pub services: Vec<Service>,
    /// Endpoints that are written out, by namespace and service.
    pub endpoints: Vec<EndpointSet>,
    /// Secrets by (namespace, name).
    pub secrets: BTreeMap<(Box<str>, Box<str>), Secret>,
    /// ConfigMaps by (namespace, name): text by key.
    pub config_maps: BTreeMap<(Box<str>, Box<str>), Texts>,
}

/// The texts of a ConfigMap by key.
pub type Texts = BTreeMap<Box<str>, Box<str>>;

/// How one kind is lowered into what is declared.
pub type Lower = fn(&Resource<'_>, &mut Declared);
