//! PeerAuthentication (security.istio.io/v1, v1beta1).
//!
//! In: a resource. Out: [`PeerAuthentication`] and findings. A mode that cannot be read is STRICT.

use super::{codes_authorization as codes, selector};
use crate::{Cursor, Resource};
use ringwall_mesh::Mode;
use ringwall_mesh::peer_authentication::PeerAuthentication;
use ringwall_model::{Finding, RuleBook, Severity};
use std::collections::BTreeMap;

const MODES: [(&str, Option<Mode>); 4] = [
    ("UNSET", None),
    ("DISABLE", Some(Mode::Disable)),
    ("PERMISSIVE", Some(Mode::Permissive)),
    ("STRICT", Some(Mode::Strict)),
];

/// Lowers one resource. `root` is Istio's root namespace.
pub fn lower(resource: &Resource<'_>, rules: &mut RuleBook, root: &str) -> PeerAuthentication {
    let spec = resource.spec();
    let selector = selector::labels(spec);
    let selects = !selector.0.is_empty();
    if selects && resource.namespace == root {
        let at = spec.get("selector");
        let title = format!("a selector in the root namespace `{root}` selects nothing: the policy has no effect");
        let help = "put the policy into the workload's own namespace, or take the selector out";
        at.report(at.finding(codes::ROOT_SELECTOR, Severity::Warning, title).help(help));
    }
    PeerAuthentication {
        id: resource.rule(rules, ""),
        namespace: resource.namespace.into(),
        name: resource.name.into(),
        selector,
        created: resource.root.get("metadata").get("creationTimestamp").string().unwrap_or_default().into(),
        mode: mode(spec.get("mtls")),
        ports: ports(spec.get("portLevelMtls"), selects),
    }
}

/// Those that have no effect, since another for the same workloads is older, or comes first by name where no time of
/// creation is known. Nothing of such a resource is joined with the other.
pub fn shadowed(all: &[PeerAuthentication], rules: &RuleBook) -> Vec<Finding> {
    let mut ordered: Vec<&PeerAuthentication> = all.iter().collect();
    ordered.sort_by(|one, other| (&one.created, &one.name).cmp(&(&other.created, &other.name)));
    let mut first = BTreeMap::new();
    let mut findings = Vec::new();
    for policy in ordered {
        let older = *first.entry((&policy.namespace, &policy.selector.0)).or_insert(policy);
        let place = |of: &PeerAuthentication| rules.name(of.id).and_then(|name| name.place.clone());
        if let (false, Some(own), Some(other)) = (older.id == policy.id, place(policy), place(older)) {
            let title = format!("no effect: PeerAuthentication `{}` is for the same workloads and older", older.name);
            let finding = Finding::new(codes::SHADOWED, Severity::Warning, own, title);
            findings.push(finding.related(other, "this one is in force").help("make one resource of both"));
        }
    }
    findings
}

fn mode(at: Cursor<'_>) -> Option<Mode> {
    let read = at.get("mode").enumeration(&MODES).flatten();
    if at.is_sound() { read } else { Some(Mode::Strict) }
}

fn ports(at: Cursor<'_>, selects: bool) -> Vec<(u16, Option<Mode>)> {
    let report = |title: &str, help: &str| at.report(at.finding(codes::PORT_LEVEL, Severity::Error, title).help(help));
    let Some(entries) = at.map() else { return Vec::new() };
    let entries: Vec<_> = entries.collect();
    if entries.is_empty() {
        report("`portLevelMtls` is empty", "name a port, or take it out");
    } else if !selects {
        report("`portLevelMtls` needs a selector", "port modes are a workload's own: select it by its labels");
    }
    let port = |(key, value): (&str, Cursor<'_>)| match key.parse::<u16>() {
        Ok(port @ 1..) => Some((port, mode(value))),
        _ => {
            value.report(value.finding(codes::PORT_LEVEL, Severity::Error, format!("`{key}` is not a port")));
            None
        }
    };
    entries.into_iter().filter_map(port).collect()
}
