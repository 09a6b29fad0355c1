//! What can be said of all WafPolicies together: targets that nothing has, and policies that are never in force.

use super::{WafPolicy, code};
use crate::node::{Node, Value};
use crate::source::Document;
use crate::world::World;
use ringwall_model::{Finding, Place, Severity};

/// Reviews policies beside the routes of a World. `services` are the VirtualServices.
pub fn review(policies: &[WafPolicy], services: &[&Document], world: &World) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, policy) in policies.iter().enumerate() {
        let at =
            |list: &str, index: usize| Place::value(policy.place.document, format!("/spec/targets/{list}/{index}"));
        let routes = |name: &str| world.gateways.values().any(|it| it.routes.iter().any(|route| *route.name == *name));
        let kong_services =
            |name: &str| world.gateways.values().any(|it| it.services.iter().any(|service| *service.name == *name));
        for (index, name) in policy.targets.kong_routes.iter().enumerate().filter(|(_, name)| !routes(name)) {
            findings.push(nothing(at("kongRoutes", index), format!("there is no Kong route `{name}`")));
        }
        for (index, name) in policy.targets.kong_services.iter().enumerate().filter(|(_, name)| !kong_services(name)) {
            findings.push(nothing(at("kongServices", index), format!("there is no Kong service `{name}`")));
        }
        for (index, target) in policy.targets.virtual_services.iter().enumerate() {
            let found = services.iter().find(|it| named(it, &target.namespace, &target.name));
            let missing = match (found, &target.route) {
                (None, _) => format!("there is no VirtualService `{}/{}`", target.namespace, target.name),
                (Some(service), Some(route)) if !has_route(service, route) => {
                    format!("VirtualService `{}/{}` has no HTTP route `{route}`", target.namespace, target.name)
                }
                _ => continue,
            };
            findings.push(nothing(at("virtualServices", index), missing));
        }
        if let Some(first) = policies.iter().take(index).find(|other| other.targets == policy.targets) {
            let title = format!("never in force: WafPolicy `{}` has the same targets and comes first", first.name);
            findings.push(Finding::new(code::WAF_SAME_TARGETS, Severity::Warning, policy.place.clone(), title));
        }
    }
    findings
}

fn nothing(place: Place, title: String) -> Finding {
    Finding::new(code::WAF_TARGETS_NOTHING, Severity::Warning, place, title)
}

fn named(service: &Document, namespace: &str, name: &str) -> bool {
    let metadata = service.root.get("metadata");
    let text = |field| metadata.and_then(|metadata| metadata.get(field)).and_then(Node::as_str);
    text("name") == Some(name) && text("namespace").unwrap_or("default") == namespace
}

fn has_route(service: &Document, route: &str) -> bool {
    let Some(http) = service.root.get("spec").and_then(|spec| spec.get("http")) else { return false };
    let Value::List(routes) = &http.value else { return false };
    routes.iter().any(|one| one.get("name").and_then(Node::as_str) == Some(route))
}
