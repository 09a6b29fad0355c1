//! Every kind that is read, in which versions, and by whom. The one list; sorted by group and kind.

use crate::kubernetes::{Lower, endpoints, namespace, secret, service, workload};

/// One kind.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Versions, the preferred one first.
    pub versions: &'static [&'static str],
    /// Who lowers it.
    pub lowering: Lowering,
}

/// Who lowers a kind.
#[derive(Clone, Copy, Debug)]
pub enum Lowering {
    /// Here, into what is declared.
    Inventory(Lower),
    /// A dialect, over the inventory.
    Dialect(Dialect),
    /// Nobody yet: read, and not enforced by this build; the text says what would.
    NotEnforced(&'static str),
}

/// The dialects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// Istio.
    Istio,
    /// cert-manager.
    CertManager,
    /// Kubernetes' own network policies.
    Packet,
    /// Prometheus operator.
    Prometheus,
    /// Our own.
    Ringwall,
}

const ISTIO: Lowering = Lowering::Dialect(Dialect::Istio);
const CERTIFICATES: Lowering = Lowering::Dialect(Dialect::CertManager);
const PROMETHEUS: Lowering = Lowering::Dialect(Dialect::Prometheus);
const PACKET: Lowering = Lowering::Dialect(Dialect::Packet);
const SILENT: Lowering = Lowering::NotEnforced("it says nothing about who may call whom");

const fn kind(
    group: &'static str,
    kind: &'static str,
    versions: &'static [&'static str],
    lowering: Lowering,
) -> Served {
    Served { group, kind, versions, lowering }
}

/// Every kind that is read.
pub const KINDS: &[Served] = &[
    kind("", "ConfigMap", &["v1"], Lowering::Inventory(secret::lower_config_map)),
    kind("", "Endpoints", &["v1"], Lowering::Inventory(endpoints::lower)),
    kind("", "LimitRange", &["v1"], SILENT),
    kind("", "Namespace", &["v1"], Lowering::Inventory(namespace::lower)),
    kind("", "Node", &["v1"], Lowering::Inventory(namespace::lower_node)),
    kind("", "PersistentVolume", &["v1"], SILENT),
    kind("", "PersistentVolumeClaim", &["v1"], SILENT),
    kind("", "Pod", &["v1"], Lowering::Inventory(workload::lower_pod)),
    kind("", "ResourceQuota", &["v1"], SILENT),
    kind("", "Secret", &["v1"], Lowering::Inventory(secret::lower)),
    kind("", "Service", &["v1"], Lowering::Inventory(service::lower)),
    kind("", "ServiceAccount", &["v1"], Lowering::Inventory(namespace::lower_account)),
    kind("apiextensions.k8s.io", "CustomResourceDefinition", &["v1"], SILENT),
    kind("apps", "DaemonSet", &["v1"], Lowering::Inventory(workload::lower_single)),
    kind("apps", "Deployment", &["v1"], Lowering::Inventory(workload::lower_replicated)),
    kind("apps", "ReplicaSet", &["v1"], Lowering::Inventory(workload::lower_replicated)),
    kind("apps", "StatefulSet", &["v1"], Lowering::Inventory(workload::lower_replicated)),
    kind("autoscaling", "HorizontalPodAutoscaler", &["v2", "v1"], SILENT),
    kind("batch", "CronJob", &["v1"], Lowering::Inventory(workload::lower_cron_job)),
    kind("batch", "Job", &["v1"], Lowering::Inventory(workload::lower_single)),
    kind("cert-manager.io", "Certificate", &["v1"], CERTIFICATES),
    kind("cert-manager.io", "ClusterIssuer", &["v1"], CERTIFICATES),
    kind("cert-manager.io", "Issuer", &["v1"], CERTIFICATES),
    kind("discovery.k8s.io", "EndpointSlice", &["v1"], Lowering::Inventory(endpoints::lower_slice)),
    kind("install.istio.io", "IstioOperator", &["v1alpha1"], ISTIO),
    kind("monitoring.coreos.com", "PodMonitor", &["v1"], PROMETHEUS),
    kind("monitoring.coreos.com", "PrometheusRule", &["v1"], PROMETHEUS),
    kind("monitoring.coreos.com", "ServiceMonitor", &["v1"], PROMETHEUS),
    kind("networking.istio.io", "DestinationRule", &["v1", "v1beta1", "v1alpha3"], ISTIO),
    kind("networking.istio.io", "EnvoyFilter", &["v1alpha3"], ISTIO),
    kind("networking.istio.io", "Gateway", &["v1", "v1beta1", "v1alpha3"], ISTIO),
    kind("networking.istio.io", "ProxyConfig", &["v1beta1"], SILENT),
    kind("networking.istio.io", "ServiceEntry", &["v1", "v1beta1", "v1alpha3"], ISTIO),
    kind("networking.istio.io", "Sidecar", &["v1", "v1beta1", "v1alpha3"], ISTIO),
    kind("networking.istio.io", "VirtualService", &["v1", "v1beta1", "v1alpha3"], ISTIO),
    kind(
        "networking.istio.io",
        "WorkloadEntry",
        &["v1", "v1beta1", "v1alpha3"],
        Lowering::Inventory(workload::lower_entry),
    ),
    kind("networking.istio.io", "WorkloadGroup", &["v1", "v1beta1", "v1alpha3"], SILENT),
    kind("networking.k8s.io", "Ingress", &["v1"], Lowering::NotEnforced("write a Gateway and a VirtualService")),
    kind("networking.k8s.io", "NetworkPolicy", &["v1"], PACKET),
    kind("policy", "PodDisruptionBudget", &["v1"], SILENT),
    kind("policy.networking.k8s.io", "AdminNetworkPolicy", &["v1alpha1"], PACKET),
    kind("policy.networking.k8s.io", "BaselineAdminNetworkPolicy", &["v1alpha1"], PACKET),
    kind("policy.networking.k8s.io", "ClusterNetworkPolicy", &["v1alpha2", "v1beta1"], PACKET),
    kind("rbac.authorization.k8s.io", "ClusterRole", &["v1"], SILENT),
    kind("rbac.authorization.k8s.io", "ClusterRoleBinding", &["v1"], SILENT),
    kind("rbac.authorization.k8s.io", "Role", &["v1"], SILENT),
    kind("rbac.authorization.k8s.io", "RoleBinding", &["v1"], SILENT),
    kind("ringwall.dev", "ShieldPolicy", &["v1"], Lowering::Dialect(Dialect::Ringwall)),
    kind("ringwall.dev", "WafPolicy", &["v1"], Lowering::Dialect(Dialect::Ringwall)),
    kind("security.istio.io", "AuthorizationPolicy", &["v1", "v1beta1"], ISTIO),
    kind("security.istio.io", "PeerAuthentication", &["v1", "v1beta1"], ISTIO),
    kind("security.istio.io", "RequestAuthentication", &["v1", "v1beta1"], ISTIO),
    kind("telemetry.istio.io", "Telemetry", &["v1", "v1alpha1"], ISTIO),
];

/// The entry of a kind.
pub fn find(group: &str, kind: &str) -> Option<&'static Served> {
    KINDS.iter().find(|served| served.group == group && served.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::KINDS;

    #[test]
    fn the_list_is_sorted_and_without_repetition() {
        let names: Vec<_> = KINDS.iter().map(|served| (served.group, served.kind)).collect();
        assert!(names.is_sorted());
        let mut once = names.clone();
        once.dedup();
        assert_eq!(names, once);
    }
}
