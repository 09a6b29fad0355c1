//! What is true of a World beside its calls: a line a fact, for the `world` block of a scenario.
//!
//! `finding CODE TITLE` · `workload NAME IDENTITY` · `service HOST tcp|udp|sctp/PORT → TARGET` · `listener ROLE WORKLOAD PORT PROTOCOL`
//! · `observed WORKLOAD server|client …` · `certificate NAMESPACE/NAME …` · `issuer …` · `upstream HOST:PORT [subset NAME] …` · `alert …` · `scrape …` · `panel …`

use ringwall_manifest::World;
use ringwall_manifest::prometheus::{Monitor, Panel, Watched};
use ringwall_model::{Finding, Service, Workload};
use ringwall_packet::endpoint::protocol::UDP;
use ringwall_pki::Certificate;

/// All facts of a World.
pub fn of_world(world: &World, findings: &[Finding]) -> Vec<String> {
    let mut facts: Vec<String> = findings.iter().map(|it| format!("finding {} {}", it.code, it.title)).collect();
    for workload in &world.inventory.workloads {
        facts.push(format!("workload {} {}", workload.full_name(), workload.identity));
    }
    for (name, namespace) in &world.inventory.namespaces {
        let labels = namespace.labels.iter().map(|(key, value)| format!(" {key}={value}"));
        facts.push(format!("namespace {name}{}", labels.collect::<String>()));
    }
    facts.extend(services(world));
    for listener in &world.listeners {
        let owner = world.inventory.workload(listener.workload).map(Workload::full_name).unwrap_or_default();
        let (port, protocol) = (listener.address.port(), format!("{:?}", listener.protocol).to_lowercase());
        facts.push(format!("listener {} {owner} {port} {protocol}", listener.role.as_str()));
    }
    for (reference, issuer) in &world.certificates.issuers {
        facts.push(format!("issuer {} {}: {:?}", reference.kind, reference.name, issuer.kind));
    }
    facts.extend(world.certificates.certificates.iter().map(certificate));
    facts.extend(upstreams(world));
    facts.extend(servers(world));
    facts.push(format!("settings {:?}", world.settings));
    for (id, observed) in &world.observed {
        let name = world.inventory.workload(*id).map(Workload::full_name).unwrap_or_default();
        facts.push(format!("observed {name} server {:?}", observed.server));
        facts.push(format!("observed {name} client {:?}", observed.client));
    }
    facts.extend(world.extras.iter().map(|extras| format!("extras {extras:?}")));
    facts.extend(world.deployments.values().map(|deployment| format!("kong {deployment:?}")));
    facts.extend(watched(&world.watched));
    facts.iter().map(|fact| plain(fact)).collect()
}

/// Without the numbers of rules and documents, which say nothing to people, and with single blanks.
fn plain(fact: &str) -> String {
    let mut text = fact.split_whitespace().collect::<Vec<_>>().join(" ");
    for (start, end) in [("rule: RuleId(", "), "), ("place: Place {", "}, "), (", place: Place {", "}")] {
        while let Some(at) = text.find(start) {
            let Some(length) = text.get(at..).and_then(|rest| rest.find(end)) else { break };
            text.replace_range(at..at + length + end.len(), "");
        }
    }
    text
}

/// Ports of services and where they lead, of every protocol.
fn services(world: &World) -> Vec<String> {
    let mut facts = Vec::new();
    for Service { host, ports, datagram_ports, .. } in &world.inventory.services {
        facts.extend(ports.iter().map(|port| format!("service {host} tcp/{} → {}", port.number, port.target)));
        facts.extend(datagram_ports.iter().map(|port| {
            let name = if port.protocol == UDP { "udp" } else { "sctp" };
            format!("service {host} {name}/{} → {}", port.number, port.target)
        }));
    }
    facts
}

fn certificate(certificate: &Certificate) -> String {
    let names: Vec<&str> = certificate.dns_names.iter().map(|name| &**name).collect();
    let days = certificate.duration.map_or("its issuer's time".into(), |it| format!("{} h", it.0 / 3_600_000));
    format!(
        "certificate {}/{} in {} by {} {} for {} common name {} lives {days} renewed {:?} usages {:?} key {:?}",
        certificate.namespace,
        certificate.name,
        certificate.secret,
        certificate.issuer.kind,
        certificate.issuer.name,
        names.join(" "),
        certificate.common_name.as_deref().unwrap_or("-"),
        certificate.renew_before,
        certificate.usages,
        certificate.key,
    )
}

/// What each workload's calls to each service are bound by.
fn upstreams(world: &World) -> Vec<String> {
    let mut facts = Vec::new();
    let Some(any) = world.inventory.workloads.first().map(|_| ringwall_model::WorkloadId(0)) else { return facts };
    for service in &world.inventory.services {
        for port in &service.ports {
            let policy = ringwall_mesh::upstream::policy(&world.routes, any, &service.host, port.number, None);
            let Some(policy) = policy else { continue };
            facts.push(format!(
                "upstream {}:{} by {} tls {:?} {:?}",
                service.host,
                port.number,
                world.rules.render(policy.because),
                policy.tls,
                policy.settings
            ));
        }
    }
    facts
}

/// What Prometheus and Grafana would watch.
fn watched(watched: &Watched) -> Vec<String> {
    let mut facts = Vec::new();
    for group in &watched.groups {
        for rule in &group.rules {
            facts.push(format!(
                "alert {}/{} {} every {:?} {} {:?} for {:?} then {:?} labels {:?} annotations {:?} when {}",
                group.namespace,
                group.resource,
                group.name,
                group.interval,
                rule.name,
                rule.kind,
                rule.hold,
                rule.keep_firing,
                rule.labels,
                rule.annotations,
                rule.expr
            ));
        }
    }
    for monitor in &watched.monitors {
        let Monitor { namespace, name, selector, namespaces, endpoints, .. } = monitor;
        facts.push(format!("scrape {namespace}/{name} {selector:?} of {namespaces:?} at {endpoints:?}"));
    }
    for dashboard in &watched.dashboards {
        let of = |panel: &Panel| {
            let expressions: Vec<&str> = panel.expressions.iter().map(|(expression, _)| &**expression).collect();
            format!("panel {} / {}: {}", dashboard.title, panel.title, expressions.join("; "))
        };
        facts.extend(dashboard.panels.iter().map(of));
    }
    facts
}

/// The TLS of each server of a Gateway.
fn servers(world: &World) -> Vec<String> {
    let mut facts = Vec::new();
    for listener in &world.listeners {
        let own = |(port, _): &(u16, &[ringwall_mesh::route::Server])| *port == listener.address.port();
        for (port, servers) in world.routes.servers(listener.workload).filter(own) {
            let owner = world.inventory.workload(listener.workload).map(Workload::full_name).unwrap_or_default();
            facts.extend(servers.iter().map(|server| format!("server {owner} {port} {server:?}")));
        }
    }
    facts
}
