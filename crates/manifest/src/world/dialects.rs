//! Calls each dialect over its documents, and puts what they say into the World.
//!
//! In: sorted documents, the inventory. Out: engines' rules. The order does not matter to meaning: every rule names its
//! resource, and each engine sorts by what its product sorts by.

use super::ground;
use super::kinds::{Dialect, Lowering};
use super::opening::{Opened, kind_fields};
use super::{Options, World};
use crate::certmanager::{self, Redirect, Surroundings};
use crate::code;
use crate::inventory::MeshScope;
use crate::istio;
use crate::istio::envoy_filter::{EdgeExtras, Extra};
use crate::istio::networking::{self, Networking};
use crate::kong::{self, Deployment};
use crate::kubernetes::{Declared, Draft};
use crate::node::{Ledger, Node, Value};
use crate::prometheus;
use crate::resource::Resource;
use crate::ringwall;
use crate::source::Document;
use bytes::Bytes;
use ipnet::IpNet;
use ringwall_gateway::Settings;
use ringwall_mesh::route::Routes;
use ringwall_mesh::{Mesh, Policies};
use ringwall_model::{DocumentId, Finding, Place, Severity, Workload, WorkloadId};
use ringwall_shield::{Applies, Policy};
use std::sync::Arc;

/// What dialects add to who and what there is: hosts of ServiceEntries.
pub fn declare(opened: &Opened<'_>, declared: &mut Declared) {
    for entry in opened.of(Dialect::Istio).filter(|entry| entry.kind.kind == "ServiceEntry") {
        istio::service_entry::declare(&Resource::open(entry.ledger.root()), declared);
    }
}

/// Lowers every dialect.
pub fn lower(
    opened: &Opened<'_>,
    declared: &Declared,
    scope: &MeshScope,
    options: &Options,
    world: &mut World,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    ground::lower(opened, declared, world, &mut findings);
    mesh(opened, scope, world, &mut findings);
    gateways(opened, declared, options, world, &mut findings);
    shield(opened, world, &mut findings);
    firewall(opened, world, &mut findings);
    watched(opened, world, &mut findings);
    certificates(opened, declared, options, world, &mut findings);
    findings
}

/// Kong: each workload that runs it is a gateway with the same declarative configuration.
fn gateways(
    opened: &Opened<'_>,
    declared: &Declared,
    options: &Options,
    world: &mut World,
    findings: &mut Vec<Finding>,
) {
    let mut deployments = deployments(opened, options);
    if deployments.is_empty() {
        if let Some(document) = opened.kong.first() {
            let title = "no workload runs Kong; this configuration is checked and serves nobody";
            let finding = Finding::new(code::NOT_ENFORCED, Severity::Warning, Place::value(document.id, ""), title);
            findings.push(finding.help("declare the Deployment of Kong, or use stand-ins"));
            let settings = Settings { compatibility: options.compatibility, ..Settings::default() };
            let (_, found, fields) = kong::lower(&opened.kong, settings, &mut world.rules);
            findings.extend(found);
            world.fields.push(kind_fields("kong", fields));
        }
        return;
    }
    deployments.sort_by_key(|deployment| deployment.document);
    for (index, found) in deployments.into_iter().enumerate() {
        let lowered = kong::lower(&opened.kong, found.deployment.settings.clone(), &mut world.rules);
        let (gateway, said, fields) = lowered;
        if index == 0 {
            findings.extend(said);
            world.fields.push(kind_fields("kong", fields));
        }
        let gateway = Arc::new(gateway);
        let deployment = Arc::new(found.deployment);
        for (id, workload) in (0_u32..).map(WorkloadId).zip(&world.inventory.workloads) {
            let draft = draft_of(workload, declared);
            if draft.is_some_and(|draft| draft.place.document == found.document) {
                world.gateways.insert(id, Arc::clone(&gateway));
                world.deployments.insert(id, Arc::clone(&deployment));
            }
        }
    }
}

/// A resource whose Pods run Kong.
struct Kong {
    document: DocumentId,
    deployment: Deployment,
}

fn deployments(opened: &Opened<'_>, options: &Options) -> Vec<Kong> {
    let mut found = Vec::new();
    for entry in opened.entries.iter().filter(|entry| matches!(entry.lowering, Lowering::Inventory(_))) {
        let root = entry.ledger.root();
        let pod = match entry.kind.kind {
            "Pod" => root.get("spec"),
            "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => root.get("spec").get("template").get("spec"),
            _ => continue,
        };
        if let Some(deployment) = kong::deployment::lower(pod, options.compatibility) {
            found.push(Kong { document: entry.document.id, deployment });
        }
    }
    found
}

/// ShieldPolicies, in the order of namespace and name, then what EnvoyFilters limit and refuse.
fn shield(opened: &Opened<'_>, world: &mut World, findings: &mut Vec<Finding>) {
    for entry in opened.of(Dialect::Ringwall).filter(|entry| entry.kind.kind == "ShieldPolicy") {
        let resource = Resource::open(entry.ledger.root());
        let policy = ringwall::shield_policy::lower(&resource, &world.inventory, &mut world.rules);
        world.shield.policies.push(policy);
    }
    for extras in world.extras.clone() {
        for extra in &extras.found {
            shield_extra(&extras, extra, world, findings);
        }
    }
}

/// WafPolicies, in the order of namespace and name.
fn firewall(opened: &Opened<'_>, world: &mut World, findings: &mut Vec<Finding>) {
    for entry in opened.of(Dialect::Ringwall).filter(|entry| entry.kind.kind == "WafPolicy") {
        let resource = Resource::open(entry.ledger.root());
        let policy = ringwall::waf_policy::lower(&resource, &world.inventory, &mut world.rules);
        world.waf_policies.push(policy);
    }
    let services = opened.of(Dialect::Istio).filter(|entry| entry.kind.kind == "VirtualService");
    let services: Vec<_> = services.map(|entry| entry.document).collect();
    findings.extend(ringwall::waf_policy::review(&world.waf_policies, &services, world));
}

fn shield_extra(extras: &EdgeExtras, extra: &Extra, world: &mut World, findings: &mut Vec<Finding>) {
    let everywhere = extras.namespace == world.inventory.root_namespace;
    let chosen = (0_u32..).map(WorkloadId).zip(&world.inventory.workloads).filter(|(_, workload)| {
        (everywhere || workload.namespace == extras.namespace) && extras.selector.matches(&workload.labels)
    });
    let applies = Applies::To(chosen.map(|(id, _)| id).collect());
    let stable = world.rules.name(extras.rule).map_or(0, |name| name.stable);
    let policy = match extra {
        Extra::ConnectionLimit { most, delay, .. } => {
            Policy::of_connection_limit(applies, extras.rule, stable, *most, delay.unwrap_or_default())
        }
        Extra::Blocklist { addresses, status, body, .. } => {
            let listed: Vec<_> = addresses.iter().map(|address| (IpNet::from(*address), extras.rule)).collect();
            Policy::of_address_list(applies, &listed, *status, Bytes::copy_from_slice(body.as_bytes()))
        }
        Extra::LocalRateLimit { place, .. } => {
            let title = "a local rate limit of an EnvoyFilter is read and not enforced";
            let finding = Finding::new(code::NOT_ENFORCED, Severity::Warning, place.clone(), title);
            findings.push(finding.help("write a ShieldPolicy with `limits`"));
            return;
        }
        // The shell that writes logs reads it from the World.
        Extra::AccessLog { .. } => return,
    };
    world.shield.policies.push(policy);
}

fn certificates(
    opened: &Opened<'_>,
    declared: &Declared,
    options: &Options,
    world: &mut World,
    findings: &mut Vec<Finding>,
) {
    for entry in opened.of(Dialect::CertManager) {
        certmanager::lower(&Resource::open(entry.ledger.root()), &mut world.certificates);
    }
    let in_mesh = world.inventory.workloads.iter().filter(|workload| workload.in_mesh);
    let mut around = Surroundings {
        reach: options.reach,
        secrets: declared.secrets.keys().cloned().collect(),
        redirects: Vec::new(),
        credentials: Vec::new(),
        mesh_namespaces: in_mesh.map(|workload| workload.namespace.clone()).collect(),
    };
    for entry in opened.of(Dialect::Istio).filter(|entry| entry.kind.kind == "Gateway") {
        surroundings_of(entry.document, &mut around);
    }
    findings.extend(certmanager::review(&world.certificates, &around));
}

/// What a Gateway means to certificates: redirects and the Secrets that its servers name. A gateway reads Secrets of
/// its own namespace, which for Istio's charts is that of the Gateway.
fn surroundings_of(document: &Document, around: &mut Surroundings) {
    let root = &document.root;
    let home = root.get("metadata").and_then(|it| it.get("namespace")).and_then(Node::as_str).unwrap_or("default");
    let servers = root.get("spec").and_then(|spec| spec.get("servers")).map(|servers| &servers.value);
    let Some(Value::List(servers)) = servers else { return };
    for (index, server) in servers.iter().enumerate() {
        let Some(tls) = server.get("tls") else { continue };
        if let Some(name) = tls.get("credentialName").and_then(Node::as_str) {
            let place = Place::value(document.id, format!("/spec/servers/{index}/tls/credentialName"));
            around.credentials.push((home.into(), name.into(), place));
        }
        let port = server.get("port").and_then(|port| port.get("number")).map(|number| &number.value);
        let redirects = tls.get("httpsRedirect").map(|redirect| &redirect.value);
        if port == Some(&Value::Integer(80)) && redirects == Some(&Value::Bool(true)) {
            let hosts = match server.get("hosts").map(|hosts| &hosts.value) {
                Some(Value::List(hosts)) => hosts.iter().filter_map(Node::as_str).map(Into::into).collect(),
                _ => Vec::new(),
            };
            let place = Place::value(document.id, format!("/spec/servers/{index}/tls/httpsRedirect"));
            around.redirects.push(Redirect { hosts, place });
        }
    }
}

fn mesh(opened: &Opened<'_>, scope: &MeshScope, world: &mut World, findings: &mut Vec<Finding>) {
    let mut policies = Policies::default();
    let mut routing = Networking::default();
    let mut telemetry = Vec::new();
    let collector = collector(opened, &scope.root_namespace);
    for entry in opened.of(Dialect::Istio) {
        let root = entry.ledger.root();
        let resource = Resource::open(root);
        let rules = &mut world.rules;
        match entry.kind.kind {
            "AuthorizationPolicy" => {
                policies.authorizations.push(istio::authorization_policy::lower(&resource, rules));
            }
            "PeerAuthentication" => {
                policies.peers.push(istio::peer_authentication::lower(&resource, rules, &scope.root_namespace));
            }
            "RequestAuthentication" => policies.requests.push(istio::request_authentication::lower(&resource, rules)),
            "Telemetry" => telemetry.push(istio::telemetry::lower(&resource, collector)),
            _ => _ = networking::lower(&resource, rules, collector, &mut routing),
        }
    }
    findings.extend(istio::peer_authentication::shadowed(&policies.peers, &world.rules));
    policies.trust_domain_aliases.clone_from(&routing.settings.trust_domain_aliases);
    world.mesh = Mesh::of(&policies, &world.inventory);
    let (routes, found) = Routes::compile(&routing.routes, &world.inventory);
    world.routes = routes;
    world.settings = routing.settings;
    world.observed = istio::telemetry::compile(&telemetry, &world.inventory, &scope.root_namespace, findings);
    world.extras = routing.extras;
    findings.extend(found);
}

/// The provider that spans are sent to: the Telemetry of the root namespace names it, or the mesh's settings.
fn collector<'a>(opened: &Opened<'a>, root: &str) -> Option<&'a str> {
    let of = |kind: &'static str| opened.of(Dialect::Istio).filter(move |entry| entry.kind.kind == kind);
    let home = |document: &'a Document| document.root.get("metadata")?.get("namespace")?.as_str();
    let of_mesh = of("Telemetry").filter(|entry| home(entry.document) == Some(root));
    let named = of_mesh.map(|entry| entry.document).find_map(|it| istio::telemetry::provider(&it.root));
    named.or_else(|| {
        of("IstioOperator").map(|entry| entry.document).find_map(|it| istio::mesh_config::provider(&it.root))
    })
}

fn watched(opened: &Opened<'_>, world: &mut World, findings: &mut Vec<Finding>) {
    for entry in opened.of(Dialect::Prometheus) {
        prometheus::lower(&Resource::open(entry.ledger.root()), &mut world.watched);
    }
    let mut fields = Vec::new();
    for document in &opened.json {
        if !prometheus::dashboard::is_dashboard(&document.root) {
            let title = "JSON of a form that nobody here reads: no `kind`, and no dashboard";
            findings.push(Finding::new(code::FORMAT, Severity::Warning, Place::value(document.id, ""), title));
            continue;
        }
        let ledger = Ledger::open(document);
        world.watched.dashboards.push(prometheus::dashboard::lower(&ledger));
        let (found, records) = ledger.finish();
        findings.extend(found);
        fields.extend(records);
    }
    if !fields.is_empty() {
        world.fields.push(kind_fields("grafana", fields));
    }
}

/// The draft that a workload was made of.
pub fn draft_of<'d>(workload: &Workload, declared: &'d Declared) -> Option<&'d Draft> {
    declared.workloads.iter().find(|draft| draft.namespace == workload.namespace && draft.name == workload.name)
}
