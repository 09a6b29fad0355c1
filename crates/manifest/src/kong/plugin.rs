//! `plugins`: their common fields, and the configuration of each, one file a family.

mod access;
mod jwt;
mod limits;
mod oidc;
mod transformers;

use super::declarative::{reference, resolve};
use super::schema::{COMMENTS, Flag, flag, tell};
use super::{Lowering, code};
use crate::Cursor;
use ringwall_gateway::plugin::key_auth::Anonymous;
use ringwall_gateway::plugin::{Config, Prometheus, names};
use ringwall_gateway::{Plugin, Scope};
use ringwall_model::Severity;
use std::collections::BTreeSet;

/// Plugins of Kong that only send logs elsewhere, which telemetry does.
const LOGGERS: [&str; 10] =
    ["datadog", "file-log", "http-log", "loggly", "opentelemetry", "statsd", "syslog", "tcp-log", "udp-log", "zipkin"];

/// Plugins of Kong that Ringwall does not have.
const OTHERS: [&str; 23] = [
    "acme",
    "ai-prompt-decorator",
    "ai-prompt-guard",
    "ai-prompt-template",
    "ai-proxy",
    "aws-lambda",
    "azure-functions",
    "grpc-gateway",
    "grpc-web",
    "header-cert-auth",
    "hmac-auth",
    "ldap-auth",
    "oauth2",
    "post-function",
    "pre-function",
    "proxy-cache",
    "redirect",
    "response-ratelimiting",
    "session",
    "standard-webhooks",
    "upstream-timeout",
    "websocket-size-limit",
    "websocket-validator",
];

/// Plugins of Kong's commercial edition that Ringwall has.
const ENTERPRISE: [&str; 2] = ["openid-connect", "rate-limiting-advanced"];

/// Lowers all plugins, in the order in which they were met.
pub fn lower_all<'a>(lowering: &mut Lowering<'a, '_>) {
    let mut seen = BTreeSet::new();
    for (at, scope) in std::mem::take(&mut lowering.plugins) {
        if let Some((scope, config)) = lower_one(at, scope, lowering) {
            let name: Box<str> = config.name().into();
            if !seen.insert((name.clone(), scope)) {
                let title = format!("Kong refuses this: `uniqueness violation: plugin '{name}' stands here twice`");
                tell(at, code::DUPLICATE, Severity::Error, title, "");
            }
            let rule = lowering.rules.enter("KongPlugin", &place_name(lowering, scope), &name, "", Some(at.place()));
            let stable = lowering.rules.name(rule).map(|name| name.stable).unwrap_or_default();
            lowering.parts.plugins.push(Plugin { rule, stable, scope, config });
            lowering.plugin_cursors.push(at);
        }
    }
}

/// Where a plugin runs, as a part of its name: `route:bff-api`.
fn place_name(lowering: &Lowering<'_, '_>, scope: Scope) -> String {
    let route =
        scope.route.and_then(|it| lowering.parts.routes.get(it.0 as usize)).map(|it| format!("route:{}", it.name));
    let service = scope.service.and_then(|it| lowering.parts.services.get(it.0 as usize));
    let service = service.map(|service| format!("service:{}", service.name));
    let consumer = scope.consumer.and_then(|it| lowering.parts.consumers.get(it.0 as usize));
    let consumer = consumer.map(|consumer| format!("consumer:{}", consumer.name()));
    [route, service, consumer].into_iter().flatten().collect::<Vec<_>>().join(",")
}

fn lower_one<'a>(at: Cursor<'a>, outer: Scope, lowering: &mut Lowering<'a, '_>) -> Option<(Scope, Config)> {
    at.descriptive(&COMMENTS);
    at.descriptive(&["id", "instance_name"]);
    let name = at.get("name").required().filled()?;
    let scope = Scope {
        route: outer.route.or_else(|| resolve(at.get("route"), &lowering.routes)),
        service: outer.service.or_else(|| resolve(at.get("service"), &lowering.services)),
        consumer: outer.consumer.or_else(|| resolve(at.get("consumer"), &lowering.consumers)),
    };
    at.ignored("protocols", "a plugin runs on every protocol of its routes");
    for field in ["consumer_group", "ordering", "condition", "partials"] {
        let written = at.get(field);
        if written.whole().is_some() {
            let title = format!("`{field}` is of Kong's commercial edition");
            tell(written, code::PLUGIN_ENTERPRISE, Severity::Error, title, "");
        }
    }
    let enabled = flag(at.get("enabled"), Flag::On);
    let config = config(at, name, lowering);
    // INVARIANT: a plugin whose route, service or consumer is unknown is an error, and never runs everywhere instead.
    let leads_nowhere = |field: &'static str, found: bool| at.get(field).is_present() && !found;
    if leads_nowhere("route", scope.route.is_some())
        || leads_nowhere("service", scope.service.is_some())
        || leads_nowhere("consumer", scope.consumer.is_some())
    {
        return None;
    }
    // A disabled plugin is checked all the same, as Kong does.
    config.filter(|_| enabled.is_on()).map(|config| (scope, config))
}

/// The configuration; `None` for plugins that have no effect here.
fn config<'a>(at: Cursor<'a>, name: &'a str, lowering: &Lowering<'a, '_>) -> Option<Config> {
    let body = at.get("config");
    if let Some(enabled) = &lowering.parts.settings.plugins
        && !enabled.contains(name)
    {
        let title =
            format!("Kong refuses this: `plugin '{name}' not enabled; add it to the 'plugins' configuration property`");
        tell(at.get("name"), code::PLUGIN_DISABLED, Severity::Error, title, "");
    }
    if ENTERPRISE.contains(&name) {
        let title = format!("`{name}` is of Kong's commercial edition: open-source Kong refuses it");
        tell(at.get("name"), code::PLUGIN_ENTERPRISE, lowering.refused_by_kong(), title, "Ringwall has it");
    }
    let config = match name {
        "acl" => Config::Acl(access::acl(body)),
        "basic-auth" => Config::BasicAuth(access::basic_auth(body, lowering)),
        "bot-detection" => Config::BotDetection(access::bot_detection(body, lowering)),
        "correlation-id" => Config::CorrelationId(transformers::correlation_id(body, lowering)),
        "cors" => Config::Cors(access::cors(body, lowering)),
        "ip-restriction" => Config::IpRestriction(access::ip_restriction(body)),
        "jwt" => Config::Jwt(jwt::lower(body, lowering)),
        "key-auth" => Config::KeyAuth(access::key_auth(body, lowering)),
        "oidc" => Config::Oidc(oidc::lower(body, "oidc", lowering)),
        "openid-connect" => Config::Oidc(oidc::lower(body, "openid-connect", lowering)),
        "prometheus" => Config::Prometheus(prometheus(body)),
        "rate-limiting" => Config::RateLimiting(limits::plain(body, lowering)),
        "rate-limiting-advanced" => Config::RateLimitingAdvanced(limits::advanced(body)),
        "request-size-limiting" => Config::RequestSizeLimiting(limits::size(body)),
        "request-termination" => Config::RequestTermination(access::termination(body)),
        "request-transformer" => Config::RequestTransformer(transformers::request(body, lowering)),
        "response-transformer" => Config::ResponseTransformer(transformers::response(body, lowering)),
        _ => {
            let _ = body.whole();
            return unknown(at, name);
        }
    };
    Some(config)
}

fn unknown(at: Cursor<'_>, name: &str) -> Option<Config> {
    let at = at.get("name");
    if LOGGERS.contains(&name) {
        let title = format!("plugin `{name}` has no effect here: telemetry has its own destinations");
        tell(at, code::PLUGIN_LOGS, Severity::Warning, title, "");
        return None;
    }
    if OTHERS.contains(&name) {
        let title = format!("plugin `{name}` of Kong is not supported; its routes refuse every call");
        tell(at, code::PLUGIN_UNSUPPORTED, Severity::Error, title, "");
    } else {
        let title =
            format!("Kong refuses this: `plugin '{name}' not enabled; add it to the 'plugins' configuration property`");
        let all = names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        tell(at, code::PLUGIN_UNKNOWN, Severity::Error, title, &format!("plugins that Ringwall has: {all}"));
    }
    Some(Config::Unknown(name.into()))
}

fn prometheus(at: Cursor<'_>) -> Prometheus {
    let on = |name| flag(at.get(name), Flag::Off).is_on();
    at.ignored("ai_metrics", "not part of this gateway");
    at.ignored("wasm_metrics", "not part of this gateway");
    Prometheus {
        status_code: on("status_code_metrics"),
        latency: on("latency_metrics"),
        bandwidth: on("bandwidth_metrics"),
        upstream_health: on("upstream_health_metrics"),
        per_consumer: on("per_consumer"),
    }
}

/// `anonymous`: a consumer by name or id.
fn anonymous(at: Cursor<'_>, lowering: &Lowering<'_, '_>) -> Anonymous {
    let at = at.get("anonymous");
    let Some(name) = reference(at).filter(|name| !name.is_empty()) else { return Anonymous::Refused };
    match lowering.consumers.get(name) {
        Some(index) => Anonymous::Consumer(*index),
        None => {
            let title = format!("anonymous consumer `{name}` does not exist: calls without a credential end with 500");
            tell(at, code::REFERENCE, Severity::Error, title, "");
            Anonymous::Missing
        }
    }
}
