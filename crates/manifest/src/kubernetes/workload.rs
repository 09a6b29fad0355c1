//! Pods, and what makes Pods: Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, CronJob; also Istio's WorkloadEntry.

use super::Declared;
use super::protocol::protocol_of;
use crate::code;
use crate::node::Cursor;
use crate::resource::Resource;
use ringwall_model::{Finding, Labels, Place, Protocol, Severity};
use ringwall_packet::Network;
use ringwall_packet::endpoint::protocol::{SCTP, TCP, UDP};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The most replicas of one resource that become workloads.
pub const MAX_REPLICAS: i64 = 64;

/// A workload before it has an address and an identity.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Namespace.
    pub namespace: Box<str>,
    /// Name; of a replica with `-0`, `-1` ….
    pub name: Box<str>,
    /// The name metrics use.
    pub app: Box<str>,
    /// Labels of the Pod.
    pub labels: Labels,
    /// Annotations of the Pod.
    pub annotations: Labels,
    /// Service account.
    pub service_account: Box<str>,
    /// Address, when the manifest has one.
    pub address: Option<IpAddr>,
    /// Ports: name, number, protocol.
    pub ports: Vec<(Box<str>, u16, Protocol)>,
    /// What the packet layer needs to know of it beside its labels and its address.
    pub link: Link,
    /// What the Pod itself says about the mesh.
    pub injection: Injection,
    /// Environment of its containers, by name.
    pub env: BTreeMap<Box<str>, EnvValue>,
    /// Where it is declared.
    pub place: Place,
}

/// How a Pod hangs on the network.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// Ports by name, of every protocol: name, IP protocol number, port.
    pub named_ports: Vec<(Box<str>, u8, u16)>,
    /// Its own network, or the host's.
    pub network: Network,
    /// The node it runs on; empty when nothing says so.
    pub node: Box<str>,
    /// Addresses beside the first.
    pub other_addresses: Vec<IpAddr>,
}

/// What a Pod says about the sidecar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Injection {
    /// Nothing: the namespace decides.
    #[default]
    ByNamespace,
    /// It wants one.
    Always,
    /// It wants none.
    Never,
}

/// The value of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvValue {
    /// Written out.
    Text(Box<str>),
    /// A key of a Secret of the same namespace.
    Secret {
        /// Name of the Secret.
        name: Box<str>,
        /// Its key.
        key: Box<str>,
    },
    /// A key of a ConfigMap of the same namespace.
    ConfigMap {
        /// Name of the ConfigMap.
        name: Box<str>,
        /// Its key.
        key: Box<str>,
    },
    /// Something else (a field of the Pod).
    Other,
}

/// Lowers a `Pod`.
pub fn lower_pod(resource: &Resource<'_>, declared: &mut Declared) {
    let place = resource.place();
    let draft = pod(resource, resource.spec(), &resource.labels, &resource.annotations, place);
    let status = resource.root.get("status");
    let address = status.get("podIP");
    let address = if address.is_present() { address.address() } else { None };
    let addresses = status.get("podIPs").items().filter_map(|at| at.get("ip").address());
    let other_addresses = addresses.filter(|other| Some(*other) != address).collect();
    let link = Link { other_addresses, ..draft.link.clone() };
    declared.workloads.push(Draft { address, link, ..draft });
}

/// Lowers a `Deployment`, `ReplicaSet` or `StatefulSet`: `spec.replicas` workloads.
pub fn lower_replicated(resource: &Resource<'_>, declared: &mut Declared) {
    let replicas = resource.spec().get("replicas").integer(0..=i64::from(i32::MAX)).unwrap_or(1);
    if replicas > MAX_REPLICAS {
        let at = resource.spec().get("replicas");
        let title = format!("{replicas} replicas; {MAX_REPLICAS} of them become workloads");
        at.report(Finding::new(code::SIZE, Severity::Warning, at.place(), title));
    }
    template(resource, resource.spec(), replicas.min(MAX_REPLICAS), declared);
}

/// Lowers a `DaemonSet` or `Job`: one workload (there is one machine).
pub fn lower_single(resource: &Resource<'_>, declared: &mut Declared) {
    template(resource, resource.spec(), 1, declared);
}

/// Lowers a `CronJob`: the workload that its Jobs are.
pub fn lower_cron_job(resource: &Resource<'_>, declared: &mut Declared) {
    resource.spec().descriptive(&[
        "concurrencyPolicy",
        "failedJobsHistoryLimit",
        "schedule",
        "startingDeadlineSeconds",
        "successfulJobsHistoryLimit",
        "suspend",
        "timeZone",
    ]);
    let job = resource.spec().get("jobTemplate");
    job.descriptive(&["metadata"]);
    template(resource, job.get("spec"), 1, declared);
}

fn template(resource: &Resource<'_>, spec: Cursor<'_>, replicas: i64, declared: &mut Declared) {
    spec.descriptive(&[
        "activeDeadlineSeconds",
        "backoffLimit",
        "completionMode",
        "completions",
        "manualSelector",
        "minReadySeconds",
        "ordinals",
        "paused",
        "parallelism",
        "persistentVolumeClaimRetentionPolicy",
        "podFailurePolicy",
        "podManagementPolicy",
        "progressDeadlineSeconds",
        "revisionHistoryLimit",
        "serviceName",
        "strategy",
        "suspend",
        "ttlSecondsAfterFinished",
        "updateStrategy",
        "volumeClaimTemplates",
    ]);
    let template = spec.get("template").required();
    let metadata = template.get("metadata");
    let labels = metadata.get("labels").labels().unwrap_or_default();
    let annotations = metadata.get("annotations").labels().unwrap_or_default();
    metadata.descriptive(&["creationTimestamp", "name", "namespace"]);
    check_selector(spec, &labels);
    let draft = pod(resource, template.get("spec").required(), &labels, &annotations, resource.place());
    for replica in 0..replicas {
        let name = format!("{}-{replica}", resource.name).into();
        declared.workloads.push(Draft { name, ..draft.clone() });
    }
}

/// The API server refuses a selector that its own template does not match.
fn check_selector(spec: Cursor<'_>, labels: &Labels) {
    let selector = spec.get("selector");
    selector.descriptive(&["matchExpressions"]);
    let wanted = selector.get("matchLabels");
    for (key, value) in wanted.entries() {
        let Some(text) = value.string() else { continue };
        if labels.get(key).map(|label| &**label) != Some(text) {
            let title = format!("the template's labels lack `{key}: {text}`, which the selector asks for");
            value.report(value.finding(code::VALUE, Severity::Error, title));
        }
    }
}

fn pod(resource: &Resource<'_>, spec: Cursor<'_>, labels: &Labels, annotations: &Labels, place: Place) -> Draft {
    let account = spec.get_either("serviceAccountName", "serviceAccount").string().filter(|name| !name.is_empty());
    let host_network = spec.get("hostNetwork").flag() == Some(true);
    if host_network {
        let at = spec.get("hostNetwork");
        let title = "a Pod on the host's network has no sidecar, and its calls have no mesh identity";
        at.report(at.finding(code::IGNORED, Severity::Warning, title));
    }
    let (mut ports, mut env) = (Vec::new(), BTreeMap::new());
    let mut link = Link { node: spec.get("nodeName").string().unwrap_or_default().into(), ..Link::default() };
    link.network = if host_network { Network::Host } else { Network::Own };
    for container in spec.get("containers").required().items() {
        read_container(container, &mut ports, &mut link.named_ports, &mut env);
    }
    spec.descriptive(POD);
    Draft {
        namespace: resource.namespace.into(),
        name: resource.name.into(),
        app: resource.name.into(),
        labels: labels.clone(),
        annotations: annotations.clone(),
        service_account: account.unwrap_or("default").into(),
        address: None,
        ports,
        link,
        injection: injection(labels, annotations, host_network),
        env,
        place,
    }
}

/// Label before annotation, as Istio's webhook reads them; never for a Pod on the host's network.
fn injection(labels: &Labels, annotations: &Labels, host_network: bool) -> Injection {
    const KEY: &str = "sidecar.istio.io/inject";
    let told = labels.get(KEY).or_else(|| annotations.get(KEY)).map(|value| value.to_ascii_lowercase());
    match told.as_deref() {
        _ if host_network => Injection::Never,
        Some("true" | "yes" | "y" | "on" | "1") => Injection::Always,
        Some("false" | "no" | "n" | "off" | "0") => Injection::Never,
        _ => Injection::ByNamespace,
    }
}

fn read_container(
    container: Cursor<'_>,
    ports: &mut Vec<(Box<str>, u16, Protocol)>,
    named_ports: &mut Vec<(Box<str>, u8, u16)>,
    env: &mut BTreeMap<Box<str>, EnvValue>,
) {
    for port in container.get("ports").items() {
        let name = port.get("name").string().unwrap_or_default();
        let transport = port.get("protocol").enumeration(&[("TCP", TCP), ("UDP", UDP), ("SCTP", SCTP)]).unwrap_or(TCP);
        port.ignored("hostPort", "Ringwall binds only its own addresses");
        port.descriptive(&["hostIP"]);
        let Some(number) = port.get("containerPort").required().port() else { continue };
        if !name.is_empty() {
            named_ports.push((name.into(), transport, number));
        }
        if transport == TCP {
            ports.push((name.into(), number, protocol_of(name, None, number)));
        }
    }
    for variable in container.get("env").items() {
        let Some(name) = variable.get("name").required().filled() else { continue };
        let from = variable.get("valueFrom");
        let value = if from.is_present() {
            referred(from)
        } else {
            EnvValue::Text(variable.get("value").string().unwrap_or_default().into())
        };
        env.insert(name.into(), value);
    }
    container.descriptive(CONTAINER);
}

fn referred(from: Cursor<'_>) -> EnvValue {
    let pair = |at: Cursor<'_>| {
        at.descriptive(&["optional"]);
        Some((at.get("name").required().filled()?.into(), at.get("key").required().filled()?.into()))
    };
    from.descriptive(&["fieldRef", "fileKeyRef", "resourceFieldRef"]);
    let (secret, config_map) = (from.get("secretKeyRef"), from.get("configMapKeyRef"));
    if secret.is_present() {
        pair(secret).map_or(EnvValue::Other, |(name, key)| EnvValue::Secret { name, key })
    } else if config_map.is_present() {
        pair(config_map).map_or(EnvValue::Other, |(name, key)| EnvValue::ConfigMap { name, key })
    } else {
        EnvValue::Other
    }
}

/// Lowers Istio's `WorkloadEntry`: a machine outside the cluster that is part of the mesh.
pub fn lower_entry(resource: &Resource<'_>, declared: &mut Declared) {
    let spec = resource.spec();
    let mut labels = resource.labels.clone();
    labels.extend(spec.get("labels").labels().unwrap_or_default());
    let (mut ports, mut named_ports) = (Vec::new(), Vec::new());
    for (name, number) in spec.get("ports").entries() {
        if let Some(number) = number.port() {
            named_ports.push((name.into(), TCP, number));
            ports.push((name.into(), number, protocol_of(name, None, number)));
        }
    }
    spec.ignored("weight", "endpoints of a service weigh the same");
    spec.ignored("network", "there is one network");
    spec.ignored("locality", "there is one locality");
    let address = spec.get("address");
    let address = if address.string().is_some_and(|text| text.parse::<IpAddr>().is_err()) {
        let title = "names and sockets as a WorkloadEntry's address are not supported";
        address.report(address.finding(code::VALUE, Severity::Warning, title).help("write its IP address"));
        None
    } else {
        address.address()
    };
    declared.workloads.push(Draft {
        namespace: resource.namespace.into(),
        name: resource.name.into(),
        app: resource.name.into(),
        labels,
        annotations: resource.annotations.clone(),
        service_account: spec.get("serviceAccount").string().unwrap_or("default").into(),
        address,
        link: Link { named_ports, ..Link::default() },
        ports,
        injection: Injection::Always,
        env: BTreeMap::new(),
        place: resource.place(),
    });
}

/// Fields of a Pod that say nothing about the network.
const POD: &[&str] = &[
    "activeDeadlineSeconds",
    "affinity",
    "automountServiceAccountToken",
    "dnsConfig",
    "dnsPolicy",
    "enableServiceLinks",
    "ephemeralContainers",
    "hostAliases",
    "hostIPC",
    "hostPID",
    "hostUsers",
    "hostname",
    "imagePullSecrets",
    "initContainers",
    "nodeSelector",
    "os",
    "overhead",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "readinessGates",
    "resourceClaims",
    "resources",
    "restartPolicy",
    "runtimeClassName",
    "schedulerName",
    "schedulingGates",
    "securityContext",
    "setHostnameAsFQDN",
    "shareProcessNamespace",
    "subdomain",
    "terminationGracePeriodSeconds",
    "tolerations",
    "topologySpreadConstraints",
    "volumes",
];

/// Fields of a container that say nothing about the network.
const CONTAINER: &[&str] = &[
    "args",
    "command",
    "envFrom",
    "image",
    "imagePullPolicy",
    "lifecycle",
    "livenessProbe",
    "name",
    "readinessProbe",
    "resizePolicy",
    "resources",
    "restartPolicy",
    "securityContext",
    "startupProbe",
    "stdin",
    "stdinOnce",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "tty",
    "volumeDevices",
    "volumeMounts",
    "workingDir",
];
