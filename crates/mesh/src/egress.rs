//! What a workload may see and reach beyond what routes say: visibility, Sidecar scopes, the outbound policy.
//!
//! In: `exportTo`, Sidecar resources, `outboundTrafficPolicy`. Out: yes or no for one host. Never: a connection.
//! Follows istio/api `Sidecar`, `exportTo` and `MeshConfig.outboundTrafficPolicy`.

use crate::route::Origin;
use crate::route::hosts::covers;
use ringwall_model::{Builtin, Host, Selector};

/// The built-in rule that refuses calls to hosts that nothing declares.
pub const UNREGISTERED: Builtin = "route/registry-only";

/// What becomes of calls to hosts that nothing declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutboundMode {
    /// They pass (Istio's default).
    #[default]
    AllowAny,
    /// They are refused: 502 for HTTP, a closed connection otherwise.
    RegistryOnly,
}

/// To which namespaces something is visible.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ExportTo {
    /// All (`*`, or nothing said).
    #[default]
    All,
    /// These; the own one already written out. Empty: none (`~`).
    Namespaces(Vec<Box<str>>),
}

impl ExportTo {
    /// Whether a workload of that namespace sees it.
    pub fn reaches(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Namespaces(names) => names.iter().any(|name| &**name == namespace),
        }
    }
}

/// A Sidecar resource: what workloads of its namespace see when they call out.
#[derive(Clone, Debug)]
pub struct Sidecar {
    /// Which resource.
    pub origin: Origin,
    /// Workloads it is for; `None`: all of the namespace (or of all namespaces, in the root namespace).
    pub selector: Option<Selector>,
    /// Hosts that are visible, as namespace and DNS name; `None`: all.
    pub egress: Option<Vec<EgressHost>>,
    /// Outbound policy, when this Sidecar has its own.
    pub outbound: Option<OutboundMode>,
}

/// One visible host of a Sidecar: `namespace/dns`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressHost {
    /// Namespace of the service; `None` is `*`, any.
    pub namespace: Option<Box<str>>,
    /// DNS name, perhaps with a leading `*`.
    pub host: Host,
}

/// The Sidecar that holds for a workload: one that selects it, else the namespace's, else the root namespace's. Among
/// several of one kind the oldest.
pub fn sidecar_of<'a>(
    sidecars: &'a [Sidecar],
    root: &str,
    namespace: &str,
    labels: &ringwall_model::Labels,
) -> Option<&'a Sidecar> {
    let rank = |sidecar: &&Sidecar| match &sidecar.selector {
        Some(selector) if &*sidecar.origin.namespace == namespace => selector.matches(labels).then_some(0_u8),
        None if &*sidecar.origin.namespace == namespace => Some(1),
        None if &*sidecar.origin.namespace == root => Some(2),
        _ => None,
    };
    let fitting = sidecars.iter().filter_map(|sidecar| Some((rank(&sidecar)?, sidecar)));
    fitting
        .min_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.origin.age().cmp(&other.origin.age())))
        .map(|(_, s)| s)
}

impl Sidecar {
    /// Whether a host declared in `namespace` is visible.
    pub fn sees(&self, namespace: &str, host: &str) -> bool {
        self.egress.as_ref().is_none_or(|hosts| {
            hosts.iter().any(|seen| {
                seen.namespace.as_deref().is_none_or(|wanted| wanted == namespace) && covers(&seen.host, host)
            })
        })
    }
}
