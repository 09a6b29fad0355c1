//! Routes and VirtualServices that no call can reach.

use super::delegate::text_within;
use super::sidecar::MESH;
use super::{Compiled, Compiler};
use crate::route::code;
use crate::route::hosts::intersection;
use crate::route::matching::HttpMatch;
use crate::route::table::Entry;
use ringwall_model::{Finding, Severity};
use std::sync::Arc;

/// Routes behind a catch-all, and matches that an earlier one covers.
pub(super) fn unreachable(findings: &mut Vec<Finding>, entries: &[Entry]) {
    for (at, entry) in entries.iter().enumerate() {
        let same_source = |other: &&Entry| {
            other.matching.source == Default::default() || other.matching.source == entry.matching.source
        };
        let before = entries.iter().take(at).filter(same_source);
        let Some(wider) = before.into_iter().find(|other| covers(&other.matching, &entry.matching)) else { continue };
        let same_route = Arc::ptr_eq(&wider.plan, &entry.plan);
        let (code, severity, title) = if same_route {
            (code::INEFFECTIVE_MATCH, Severity::Note, "an earlier match of this route covers this one")
        } else {
            (code::UNREACHABLE_ROUTE, Severity::Warning, "no call reaches this: an earlier match covers it")
        };
        let finding = Finding::new(code, severity, entry.matching.place.clone(), title);
        findings.push(finding.related(wider.matching.place.clone(), "this one matches first"));
    }
}

/// Whether each call that the second match takes is taken by the first. Only what can be seen at a glance is compared.
fn covers(wide: &HttpMatch, narrow: &HttpMatch) -> bool {
    if !wide.is_path_only() || wide.port.is_some() && wide.port != narrow.port {
        return false;
    }
    match (&wide.uri, &narrow.uri) {
        (None, _) => true,
        (Some(_), _) if wide.is_catch_all() => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => wide.case == narrow.case && text_within(&wide.is, &narrow.is),
    }
}

/// VirtualServices whose gateways do not exist, or do not serve their hosts.
pub(super) fn unbound(compiler: &mut Compiler<'_>, services: &[Compiled<'_>]) {
    let mut findings = Vec::new();
    for service in services.iter().map(|compiled| compiled.service) {
        for (index, name) in service.gateways.iter().enumerate().filter(|(_, name)| &***name != MESH) {
            let place = service.origin.place.below(&format!("/spec/gateways/{index}"));
            let gateway = compiler.declared.gateways.iter().find(|gateway| gateway.origin.full_name() == **name);
            let Some(gateway) = gateway else {
                let title = format!("there is no Gateway `{name}`");
                findings.push(Finding::new(code::UNKNOWN_GATEWAY, Severity::Warning, place, title));
                continue;
            };
            let served = |host: &str| {
                gateway.servers.iter().flat_map(|server| &server.hosts).any(|own| {
                    own.namespace.as_deref().is_none_or(|wanted| wanted == &*service.origin.namespace)
                        && intersection(&own.host, host).is_some()
                })
            };
            for host in service.hosts.iter().filter(|host| !served(host)) {
                let title = format!("Gateway `{name}` does not serve `{host}`");
                findings.push(Finding::new(code::HOST_NOT_IN_GATEWAY, Severity::Warning, place.clone(), title));
            }
        }
    }
    compiler.findings.append(&mut findings);
}
