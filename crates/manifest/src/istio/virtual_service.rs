//! VirtualService (networking.istio.io/v1, v1beta1, v1alpha3).
//!
//! In: a resource. Out: [`VirtualService`] and findings. A condition that cannot be read is never met.

mod action;
mod connection;
mod matching;

use super::networking::{complete, dns_name, export_to, origin};
use crate::{Cursor, Resource};
use ringwall_mesh::route::{HttpRoute, Retries, RetryOn, VirtualService, code};
use ringwall_model::{Millis, RuleBook, Severity};
use std::sync::Arc;

/// What the parts of a VirtualService have to know about it.
pub(super) struct Context<'a> {
    pub namespace: &'a str,
    pub resource: &'a Resource<'a>,
}

/// Lowers one resource.
pub fn lower(resource: &Resource<'_>, rules: &mut RuleBook) -> VirtualService {
    let spec = resource.spec();
    let context = Context { namespace: resource.namespace, resource };
    let hosts = spec.get("hosts").items().filter_map(|at| Some(complete(dns_name(at)?, resource.namespace))).collect();
    let gateways = gateways(spec.get("gateways"), resource.namespace);
    let service = VirtualService {
        origin: origin(resource, rules),
        hosts,
        gateways: if gateways.is_empty() { vec!["mesh".into()] } else { gateways },
        export_to: export_to(spec.get("exportTo"), resource.namespace),
        http: spec.get("http").items().map(|at| http(&context, at, rules)).collect(),
        tls: spec.get("tls").items().map(|at| connection::tls(&context, at, rules)).collect(),
        tcp: spec.get("tcp").items().map(|at| connection::tcp(&context, at, rules)).collect(),
    };
    check(spec, &service);
    service
}

/// Names of gateways: `mesh`, `name` (of the own namespace), or `namespace/name`.
pub(super) fn gateways(at: Cursor<'_>, namespace: &str) -> Vec<Box<str>> {
    let names = at.strings().unwrap_or_default();
    let full = names.into_iter().map(|name| match name.split_once('/') {
        Some((".", name)) => format!("{namespace}/{name}").into(),
        Some(_) => name.into(),
        None if name == "mesh" => name.into(),
        None => format!("{namespace}/{name}").into(),
    });
    full.collect()
}

fn check(spec: Cursor<'_>, service: &VirtualService) {
    if service.http.is_empty() && service.tls.is_empty() && service.tcp.is_empty() {
        let title = "there is no route: every call to these hosts is answered with 404";
        spec.report(spec.finding(code::IDLE_VIRTUAL_SERVICE, Severity::Error, title));
    }
    let hosts = spec.get("hosts");
    let delegate = service.hosts.is_empty();
    if delegate && spec.get("gateways").is_present() {
        let title = "a VirtualService without `hosts` is a delegate, and a delegate has no `gateways`";
        hosts.report(hosts.finding(code::IDLE_VIRTUAL_SERVICE, Severity::Error, title));
    }
    if service.hosts.iter().any(|host| &**host == "*") && service.gateways.iter().any(|name| &**name == "mesh") {
        let title = "the host `*` is not allowed in the mesh";
        hosts.report(hosts.finding(code::ROUTE_SETTING, Severity::Error, title));
    }
}

fn http(context: &Context<'_>, at: Cursor<'_>, rules: &mut RuleBook) -> HttpRoute {
    let rule = context.resource.rule_at(rules, at);
    let matches = at.get("match");
    let listed: Vec<_> = matches.items().map(|one| matching::lower(context, one)).collect();
    let timeout = at.get("timeout").duration().filter(|timeout| *timeout != Millis(0));
    let retries = retries(at.get("retries"), timeout);
    let rewrite = action::rewrite(at.get("rewrite"), &listed);
    HttpRoute {
        rule,
        place: at.place(),
        name: at.get("name").string().unwrap_or_default().into(),
        matches: listed,
        action: action::lower(context, at),
        headers: action::headers(at.get("headers")),
        rewrite,
        timeout,
        retries: retries.map(Arc::new),
        fault: action::fault(at.get("fault")).map(Arc::new),
        mirrors: action::mirrors(context, at),
        cors: action::cors(at.get("corsPolicy")).map(Arc::new),
    }
}

fn retries(at: Cursor<'_>, timeout: Option<Millis>) -> Option<Retries> {
    if !at.is_present() {
        return None;
    }
    let attempts = at.get("attempts").integer(0..=i64::from(i32::MAX)).and_then(|count| u32::try_from(count).ok());
    let attempts = attempts.unwrap_or(0);
    let per_try_timeout = at.get("perTryTimeout").duration().filter(|time| *time != Millis(0));
    let backoff = at.get("backoff").duration().unwrap_or(Millis(25));
    let on_at = at.get("retryOn");
    let text = on_at.filled();
    at.ignored("retryRemoteLocalities", "all endpoints are of one locality");
    at.ignored("retryIgnorePreviousHosts", "another endpoint is always preferred for a retry");
    let on = match text {
        None => Retries::mesh_default().on,
        Some(text) => {
            let (on, unknown) = RetryOn::read(text);
            for word in unknown {
                let title = format!("`{word}` is no retry condition and no status code");
                on_at.report(on_at.finding(code::RETRY_CONDITION, Severity::Warning, title));
            }
            on
        }
    };
    if attempts > 0 {
        warn_of_retries(at, attempts, per_try_timeout, timeout, &on);
    }
    Some(Retries { attempts, per_try_timeout, on, backoff })
}

fn warn_of_retries(at: Cursor<'_>, attempts: u32, per_try: Option<Millis>, timeout: Option<Millis>, on: &RetryOn) {
    let tries = u64::from(attempts) + 1;
    if let (Some(per_try), Some(timeout)) = (per_try, timeout)
        && per_try.0.saturating_mul(tries) > timeout.0
    {
        let (each, whole) = (per_try.0, timeout.0);
        let title =
            format!("{tries} tries of {each} ms do not fit into the timeout of {whole} ms, which ends them all");
        let help =
            format!("attempts: {} or a timeout of at least {} ms", whole / each.max(1), each.saturating_mul(tries));
        at.report(at.finding(code::RETRIES_OVER_TIMEOUT, Severity::Warning, title).help(help));
    }
    if on.repeats_answered_calls() {
        let title = "these conditions repeat calls that the application may have carried out already, POST too";
        let help = "`connect-failure,refused-stream` repeats only calls that never reached it";
        at.report(at.finding(code::REPEATED_CALLS, Severity::Warning, title).help(help));
    }
}
