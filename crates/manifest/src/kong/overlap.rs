//! Findings about what several entities mean together: plugins that never run, routes that escape others' plugins.

use super::schema::tell;
use super::{Lowering, code};
use ringwall_gateway::entity::Route;
use ringwall_gateway::plugin::Config;
use ringwall_gateway::plugin::rate_limiting::LimitBy;
use ringwall_gateway::scope::Plan;
use ringwall_gateway::{PluginIndex, RouteIndex};
use ringwall_model::Severity;
use std::collections::{BTreeMap, BTreeSet};

/// Judges all of it.
pub fn judge(lowering: &Lowering<'_, '_>) {
    let parts = &lowering.parts;
    let routes = (0_u32..).map(RouteIndex).zip(&parts.routes);
    let plans: Vec<Plan> = routes.map(|(index, route)| Plan::of(index, route, &parts.plugins)).collect();
    shadowed(lowering, &plans);
    escapes(lowering, &plans);
    limits(lowering);
    consumers(lowering);
}

/// Kong runs exactly one configuration of each name: the most specific. The others are dead there.
fn shadowed(lowering: &Lowering<'_, '_>, plans: &[Plan]) {
    let mut dead: BTreeMap<PluginIndex, BTreeSet<&str>> = BTreeMap::new();
    for (plan, route) in plans.iter().zip(&lowering.parts.routes) {
        for slot in plan.slots() {
            let winner = slot.pick(None);
            for index in slot.all().filter(|index| winner.is_some_and(|winner| winner != *index)) {
                let won = winner.and_then(|winner| plugin(lowering, winner)).map(|winner| winner.scope);
                // Two at one place are a duplicate, which is told where it stands.
                let is_for_all = plugin(lowering, index)
                    .is_some_and(|plugin| plugin.scope.consumer.is_none() && Some(plugin.scope) != won);
                if is_for_all {
                    dead.entry(index).or_default().insert(&route.name);
                }
            }
        }
    }
    for (index, routes) in dead {
        let (Some(at), Some(plugin)) = (lowering.plugin_cursors.get(index.0 as usize), plugin(lowering, index)) else {
            continue;
        };
        let names = list(routes);
        let title =
            format!("this `{}` does not run on {names}, where a more specific one stands", plugin.config.name());
        let help =
            "of one plugin exactly one configuration runs, never two; a limit for everybody is a `ShieldPolicy`'s";
        tell(*at, code::PLUGIN_SHADOWED, Severity::Warning, title, help);
    }
}

/// Plugins whose absence opens something.
const GUARDS: [&str; 11] = [
    "acl",
    "basic-auth",
    "ip-restriction",
    "jwt",
    "key-auth",
    "oidc",
    "openid-connect",
    "rate-limiting",
    "rate-limiting-advanced",
    "request-size-limiting",
    "request-transformer",
];

/// A route below another's path takes those calls, and only its own plugins run for them.
fn escapes(lowering: &Lowering<'_, '_>, plans: &[Plan]) {
    let parts = &lowering.parts;
    let mut by_path: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, route) in parts.routes.iter().enumerate() {
        route.paths.iter().filter(|path| path.starts_with('/')).for_each(|path| {
            by_path.entry(path.trim_end_matches('/')).or_default().push(number);
        });
    }
    for (inner, route) in parts.routes.iter().enumerate() {
        for path in route.paths.iter().filter(|path| path.starts_with('/')) {
            for (outer, above) in above(path, &by_path).filter(|(outer, _)| *outer != inner) {
                let Some(other) = parts.routes.get(outer).filter(|other| same_hosts(route, other)) else { continue };
                let missing: Vec<&str> =
                    guards(lowering, plans, outer).difference(&guards(lowering, plans, inner)).copied().collect();
                let Some(at) = lowering.route_cursors.get(inner).filter(|_| !missing.is_empty()) else { continue };
                let title = format!(
                    "calls to `{path}` take route `{}` and not `{}` (`{above}`): {} of that route {} not run for them",
                    route.name,
                    other.name,
                    list(missing.iter().copied().collect()),
                    if missing.len() == 1 { "does" } else { "do" },
                );
                tell(
                    at.get("paths"),
                    code::ESCAPES,
                    Severity::Warning,
                    title,
                    "give both the same plugins, or the service",
                );
            }
        }
    }
}

/// The routes whose path is a whole part of `path`'s beginning.
fn above<'m>(path: &'m str, by_path: &'m BTreeMap<&str, Vec<usize>>) -> impl Iterator<Item = (usize, &'m str)> {
    let trimmed = path.trim_end_matches('/');
    trimmed.match_indices('/').filter_map(|(at, _)| trimmed.get(..at)).flat_map(|start| {
        let found = by_path.get(start).map(Vec::as_slice).unwrap_or_default();
        found.iter().map(move |number| (*number, if start.is_empty() { "/" } else { start }))
    })
}

fn same_hosts(a: &Route, b: &Route) -> bool {
    a.hosts.is_empty() || b.hosts.is_empty() || a.hosts.iter().any(|host| b.hosts.contains(host))
}

fn guards<'l>(lowering: &'l Lowering<'_, '_>, plans: &[Plan], route: usize) -> BTreeSet<&'l str> {
    let slots = plans.get(route).map(Plan::slots).unwrap_or_default();
    let picked = slots.iter().filter_map(|slot| plugin(lowering, slot.pick(None)?));
    picked.map(|plugin| plugin.config.name()).filter(|name| GUARDS.contains(name)).collect()
}

/// A limit for everybody that counts each caller.
fn limits(lowering: &Lowering<'_, '_>) {
    for (plugin, at) in lowering.parts.plugins.iter().zip(&lowering.plugin_cursors) {
        let Config::RateLimiting(config) = &plugin.config else { continue };
        let is_everywhere = plugin.scope == ringwall_gateway::Scope::default();
        if is_everywhere && config.limit_by == LimitBy::Consumer {
            let title = "this limit stands for everything and is counted for each consumer, or address, on its own";
            let help = "for a limit over all calls use `ShieldPolicy` with `scope: global`";
            tell(*at, code::LIMIT_SCOPE, Severity::Warning, title, help);
        }
    }
}

/// Plugins for a consumer that nothing ever authenticates.
fn consumers(lowering: &Lowering<'_, '_>) {
    let maps_tokens = lowering
        .parts
        .plugins
        .iter()
        .any(|plugin| matches!(&plugin.config, Config::Oidc(oidc) if oidc.consumer_claim.is_some()));
    for (plugin, at) in lowering.parts.plugins.iter().zip(&lowering.plugin_cursors) {
        let consumer = plugin.scope.consumer.and_then(|index| lowering.parts.consumers.get(index.0 as usize));
        let Some(consumer) = consumer.filter(|_| !maps_tokens) else { continue };
        let is_anonymous =
            lowering.parts.plugins.iter().any(|other| is_anonymous(&other.config, plugin.scope.consumer));
        if consumer.jwt.is_empty() && consumer.keys.is_empty() && consumer.basic.is_empty() && !is_anonymous {
            let title = format!("no call is ever known to be consumer `{}`: this plugin never runs", consumer.name());
            let help = "users that come by `oidc` are no consumers unless `consumer_claim` says so";
            tell(*at, code::CONSUMER_SCOPE, Severity::Warning, title, help);
        }
    }
}

fn is_anonymous(config: &Config, consumer: Option<ringwall_gateway::ConsumerIndex>) -> bool {
    use ringwall_gateway::plugin::key_auth::Anonymous;
    let anonymous = match config {
        Config::Jwt(config) => &config.anonymous,
        Config::KeyAuth(config) => &config.anonymous,
        Config::BasicAuth(config) => &config.anonymous,
        _ => return false,
    };
    matches!(anonymous, Anonymous::Consumer(index) if Some(*index) == consumer)
}

fn plugin<'l>(lowering: &'l Lowering<'_, '_>, index: PluginIndex) -> Option<&'l ringwall_gateway::Plugin> {
    lowering.parts.plugins.get(index.0 as usize)
}

fn list(names: BTreeSet<&str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
