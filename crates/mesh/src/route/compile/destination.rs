//! Destinations: their services, ports and subsets; and DestinationRules of one host made one.

use super::Compiler;
use crate::route::HeaderOps;
use crate::route::code;
use crate::route::hosts::covers;
use crate::route::plan::{Known, PlanTarget};
use crate::route::resource::{Declared, Destination, Weighted};
use crate::upstream::rule::DestinationRule;
use ringwall_model::{Endpoint, Finding, ServiceId, Severity};
use std::sync::Arc;

/// Destinations of a route; those without a share are dropped when there are several.
pub(super) fn targets(compiler: &mut Compiler<'_>, to: &[Weighted]) -> Vec<PlanTarget> {
    let several = to.len() > 1;
    let kept = to.iter().filter(|weighted| !several || weighted.weight > 0);
    kept.map(|weighted| target(compiler, &weighted.destination, weighted.weight, &weighted.headers, Sent::Call))
        .collect()
}

/// The destination of copies.
pub(super) fn mirror(compiler: &mut Compiler<'_>, to: &Destination) -> PlanTarget {
    target(compiler, to, 1, &HeaderOps::default(), Sent::Copy)
}

/// What goes to a destination.
#[derive(Clone, Copy)]
enum Sent {
    Call,
    Copy,
}

impl Sent {
    /// What becomes of it where the destination is not there.
    const fn lost(self) -> &'static str {
        match self {
            Self::Call => "calls get 503",
            Self::Copy => "no copy is sent",
        }
    }
}

/// One destination with its service looked up.
fn target(compiler: &mut Compiler<'_>, to: &Destination, weight: u32, headers: &HeaderOps, sent: Sent) -> PlanTarget {
    let service = compiler.inventory.service_of(&to.host);
    let port = match service {
        Some(id) => to.port.or_else(|| only_port(compiler, id, to)),
        None => {
            let title = format!("nothing declares the host `{}`: {}", to.host, sent.lost());
            let help = "declare a Service or a ServiceEntry, or correct the name";
            let finding = Finding::new(code::UNKNOWN_DESTINATION, Severity::Warning, to.place.clone(), title);
            compiler.findings.push(finding.help(help));
            to.port
        }
    };
    check_port(compiler, service, to, sent);
    let subset_known = subset_known(compiler, to, sent);
    PlanTarget {
        host: Arc::clone(&to.host),
        service: service.filter(|id| has_port(compiler, *id, to.port)),
        port,
        subset: to.subset.clone(),
        subset_known,
        weight,
        headers: headers.clone(),
    }
}

fn only_port(compiler: &mut Compiler<'_>, id: ServiceId, to: &Destination) -> Option<u16> {
    let ports = compiler.inventory.service(id).map(|service| service.ports.as_slice()).unwrap_or_default();
    if let [only] = ports {
        return Some(only.number);
    }
    let title = format!("`{}` has {} ports and none is chosen: the port that was called is used", to.host, ports.len());
    let finding = Finding::new(code::PORT_REQUIRED, Severity::Warning, to.place.clone(), title);
    compiler.findings.push(finding.help("name the port: `port: {number: …}`"));
    None
}

fn has_port(compiler: &Compiler<'_>, id: ServiceId, port: Option<u16>) -> bool {
    let service = compiler.inventory.service(id);
    port.is_none_or(|port| service.is_some_and(|service| service.ports.iter().any(|known| known.number == port)))
}

fn check_port(compiler: &mut Compiler<'_>, service: Option<ServiceId>, to: &Destination, sent: Sent) {
    if let (Some(id), Some(port)) = (service, to.port)
        && !has_port(compiler, id, to.port)
    {
        let title = format!("`{}` has no port {port}: {}", to.host, sent.lost());
        compiler.findings.push(Finding::new(code::UNKNOWN_DESTINATION, Severity::Warning, to.place.clone(), title));
    }
}

fn subset_known(compiler: &mut Compiler<'_>, to: &Destination, sent: Sent) -> Known {
    let Some(subset) = &to.subset else { return Known::Yes };
    let declares = |rule: &DestinationRule| {
        covers(&rule.host, &to.host) && rule.subsets.iter().any(|known| known.name.as_ref() == &**subset)
    };
    if compiler.rules.iter().any(declares) {
        return Known::Yes;
    }
    let lost = sent.lost();
    let title = format!("no DestinationRule for `{}` declares the subset `{subset}`: {lost}", to.host);
    compiler.findings.push(Finding::new(code::UNKNOWN_SUBSET, Severity::Warning, to.place.clone(), title));
    Known::No
}

/// Sorts rules by age and makes one of those for the same host, namespace and workloads: subsets together, the policy
/// of the oldest whole.
pub(super) fn merge(declared: &Declared, findings: &mut Vec<Finding>) -> Vec<DestinationRule> {
    let mut sorted: Vec<&DestinationRule> = declared.destination_rules.iter().collect();
    sorted.sort_by(|one, other| one.origin.age().cmp(&other.origin.age()));
    let mut merged: Vec<DestinationRule> = Vec::new();
    for rule in sorted {
        let same = |old: &&mut DestinationRule| {
            old.host == rule.host && old.origin.namespace == rule.origin.namespace && old.selector == rule.selector
        };
        let Some(old) = merged.iter_mut().find(same) else {
            merged.push(rule.clone());
            continue;
        };
        let title = format!(
            "`{}` has no effect on traffic policy: `{}` is for the same host `{}` and is taken whole",
            rule.origin.name, old.origin.name, rule.host
        );
        let help = "Istio joins the subsets of such rules and takes the traffic policy of the oldest; write one rule";
        let finding = Finding::new(code::CONFLICTING_RULES, Severity::Warning, rule.origin.place.clone(), title);
        findings.push(finding.related(old.origin.place.clone(), "this one is taken").help(help));
        let new = rule.subsets.iter().filter(|subset| !old.subsets.iter().any(|known| known.name == subset.name));
        let new: Vec<_> = new.cloned().collect();
        old.subsets.extend(new);
    }
    merged
}

/// What is wrong between rules, services and workloads.
pub(super) fn check(compiler: &mut Compiler<'_>) {
    let mut findings = Vec::new();
    for rule in &compiler.rules {
        let wider = compiler.rules.iter().filter(|other| {
            other.host != rule.host
                && other.origin.namespace == rule.origin.namespace
                && other.selector.is_none()
                && covers(&other.host, &rule.host)
        });
        if let Some(wider) = wider.max_by_key(|other| other.host.len()) {
            let title = format!(
                "`{}` replaces `{}` for `{}`; nothing of it is inherited",
                rule.origin.name, wider.origin.name, rule.host
            );
            let finding = Finding::new(code::REPLACED_RULE, Severity::Note, rule.origin.place.clone(), title);
            let lost = lost_blocks(wider, rule);
            let help = if lost.is_empty() { String::new() } else { format!("lost for this host: {lost}") };
            let finding = finding.related(wider.origin.place.clone(), "the wider rule");
            findings.push(if help.is_empty() { finding } else { finding.help(help) });
        }
        let known = compiler.names.find(&rule.host).is_some()
            || compiler.inventory.services.iter().any(|service| covers(&rule.host, &service.host));
        if !known {
            let title = format!("nothing declares the host `{}`", rule.host);
            let place = rule.origin.place.below("/spec/host");
            findings.push(Finding::new(code::UNKNOWN_RULE_HOST, Severity::Warning, place, title));
        }
        empty_subsets(compiler, rule, &mut findings);
    }
    compiler.findings.append(&mut findings);
}

fn lost_blocks(wider: &DestinationRule, rule: &DestinationRule) -> String {
    let mut lost = Vec::new();
    let (wide, own) = (&wider.policy, &rule.policy);
    if wide.tls.is_some() && own.tls.is_none() {
        lost.push("`tls` (auto mTLS decides)");
    }
    if wide.outlier.is_some() && own.outlier.is_none() {
        lost.push("`outlierDetection`");
    }
    if wide.balancer.is_some() && own.balancer.is_none() {
        lost.push("`loadBalancer`");
    }
    match (&wide.pool, &own.pool) {
        (Some(_), None) => lost.push("`connectionPool`"),
        (Some(wide), Some(own)) => {
            let default = crate::upstream::Pool::default();
            if wide.connect_timeout != default.connect_timeout && own.connect_timeout == default.connect_timeout {
                lost.push("`connectTimeout`");
            }
            if wide.keepalive.is_some() && own.keepalive.is_none() {
                lost.push("`tcpKeepalive`");
            }
        }
        (None, _) => {}
    }
    lost.join(", ")
}

fn empty_subsets(compiler: &Compiler<'_>, rule: &DestinationRule, findings: &mut Vec<Finding>) {
    let Some(service) = compiler.names.find(&rule.host).and_then(|id| compiler.inventory.service(*id)) else { return };
    for (index, subset) in rule.subsets.iter().enumerate() {
        let fits = |endpoint: &Endpoint| match endpoint {
            Endpoint::Workload(id) => compiler.inventory.workload(*id).is_some_and(|workload| {
                subset.labels.iter().all(|(key, value)| workload.labels.get(key) == Some(value))
            }),
            Endpoint::Address(_) | Endpoint::Name(_) => false,
        };
        if !service.endpoints.iter().any(fits) {
            let title = format!("no endpoint of `{}` has the labels of subset `{}`", rule.host, subset.name);
            let place = rule.origin.place.below(&format!("/spec/subsets/{index}"));
            findings.push(Finding::new(code::EMPTY_SUBSET, Severity::Warning, place, title));
        }
    }
}
