//! `routes`: which calls go to which service.

use super::declarative::{enter, id, resolve};
use super::schema::{COMMENTS, Flag, flag, is_field_name, tell, texts};
use super::{Lowering, code};
use crate::Cursor;
use ringwall_gateway::entity::{Ends, EndsIp};
use ringwall_gateway::router::Pattern;
use ringwall_gateway::{Compatibility, HttpsRedirect, Route, RouteIndex, RouteProtocol, Scope, ServiceIndex};
use ringwall_model::Severity;

/// Lowers all routes that stand for themselves.
pub fn lower_all<'a>(root: Cursor<'a>, lowering: &mut Lowering<'a, '_>) {
    for at in root.get("routes").items() {
        let service = resolve(at.get("service"), &lowering.services);
        lower_one(at, service, lowering);
    }
}

/// Lowers one route, with the plugins in it.
pub fn lower_one<'a>(at: Cursor<'a>, service: Option<ServiceIndex>, lowering: &mut Lowering<'a, '_>) {
    at.descriptive(&COMMENTS);
    let index = RouteIndex(u32::try_from(lowering.parts.routes.len()).unwrap_or(u32::MAX));
    let (name, id) = (at.get("name").string(), id(at));
    let shown = name.map_or_else(|| format!("route-{}", index.0), str::to_owned);
    let rule = lowering.rules.enter("KongRoute", "", &shown, "", Some(at.place()));
    let mut route = Route::new(rule, id.unwrap_or_default(), shown, service);
    protocols(at, &mut route);
    conditions(at, &mut route, lowering.compatibility());
    behaviour(at, &mut route);
    complete(at, &route);
    let id = id.map(|id| id.to_string());
    enter(at, &mut lowering.routes, &[name, id.as_deref()], index);
    lowering.parts.routes.push(route);
    lowering.route_cursors.push(at);
    let scope = Scope { route: Some(index), ..Scope::default() };
    lowering.plugins.extend(at.get("plugins").items().map(|plugin| (plugin, scope)));
}

/// The protocols that may stand together.
const SETS: [&[RouteProtocol]; 4] = [
    &[RouteProtocol::Http, RouteProtocol::Https],
    &[RouteProtocol::Tcp, RouteProtocol::Tls, RouteProtocol::Udp],
    &[RouteProtocol::TlsPassthrough],
    &[RouteProtocol::Grpc, RouteProtocol::Grpcs],
];

fn protocols(at: Cursor<'_>, route: &mut Route) {
    let at = at.get("protocols");
    let Some(names) = texts(at) else { return };
    let read: std::collections::BTreeSet<_> = names.iter().filter_map(|name| RouteProtocol::read(name)).collect();
    if read.len() < names.len() || read.is_empty() {
        let title = "Kong refuses this: `protocols: expected one of: grpc, grpcs, http, https, tcp, tls, \
                     tls_passthrough, udp`";
        tell(at, code::SCHEMA, Severity::Error, title, "");
    } else if !SETS.iter().any(|set| read.iter().all(|protocol| set.contains(protocol))) {
        let title = "Kong refuses this: `protocols: ('http', 'https'), ('tcp', 'tls', 'udp'), ('tls_passthrough'), \
                     ('grpc', 'grpcs')` do not mix";
        tell(at, code::SCHEMA, Severity::Error, title, "");
    } else {
        route.protocols = read;
    }
}

fn conditions(at: Cursor<'_>, route: &mut Route, compatibility: Compatibility) {
    route.methods = texts(at.get("methods")).unwrap_or_default();
    if route.methods.iter().any(|method| method.is_empty() || method.bytes().any(|byte| !byte.is_ascii_uppercase())) {
        tell(at.get("methods"), code::SCHEMA, Severity::Error, "Kong refuses this: `methods: invalid value`", "");
    }
    route.hosts = texts(at.get("hosts")).unwrap_or_default();
    for host in route.hosts.iter().filter(|host| !is_host(host)) {
        let title = format!("Kong refuses this: `hosts: invalid wildcard or host: {host}`");
        tell(
            at.get("hosts"),
            code::SCHEMA,
            Severity::Error,
            title,
            "an asterisk stands alone in the first or last label",
        );
    }
    route.snis = texts(at.get("snis")).unwrap_or_default();
    route.snis.iter_mut().for_each(|name| *name = name.to_ascii_lowercase().into());
    for (name, values) in at.get("headers").entries() {
        if name.eq_ignore_ascii_case("host") {
            let title =
                "Kong refuses this: `headers: cannot contain 'host' header, which must be specified in 'hosts'`";
            tell(values, code::SCHEMA, Severity::Error, title, "");
        }
        let list = texts(values).unwrap_or_default();
        for pattern in list.iter().filter_map(|value| value.strip_prefix("~*")) {
            if let Err(fault) = Pattern::compile_for_field(pattern, compatibility) {
                tell(values, code::PATTERN, Severity::Error, format!("`{pattern}` is no expression: {}", fault.0), "");
            }
        }
        route.headers.push((name.into(), list));
    }
    route.sources = ends(at.get("sources"));
    route.destinations = ends(at.get("destinations"));
    paths(at.get("paths"), route, compatibility);
}

fn paths(at: Cursor<'_>, route: &mut Route, compatibility: Compatibility) {
    for item in at.items() {
        let Some(path) = item.string() else { continue };
        match path.strip_prefix('~') {
            Some(pattern) => {
                if let Err(fault) = Pattern::compile(pattern, compatibility) {
                    let title = format!("Kong refuses this: `paths: invalid regex: '{pattern}'` ({})", fault.0);
                    tell(
                        item,
                        code::PATTERN,
                        Severity::Error,
                        title,
                        "look-around and back references are not supported",
                    );
                }
            }
            None if !path.starts_with('/') => {
                let title = "Kong refuses this: `paths: should start with: / (fixed path) or ~/ (regex path)`";
                tell(item, code::SCHEMA, Severity::Error, title, "");
            }
            None if path.contains("//") => {
                let title = "Kong refuses this: `paths: must not have empty segments`";
                tell(item, code::SCHEMA, Severity::Error, title, "");
            }
            None if !path.ends_with('/') => prefix(item, path, compatibility),
            None => {}
        }
        route.paths.push(path.into());
    }
}

fn prefix(at: Cursor<'_>, path: &str, compatibility: Compatibility) {
    let severity = match compatibility {
        Compatibility::Safe => Severity::Note,
        Compatibility::Kong => Severity::Warning,
    };
    let here = match compatibility {
        Compatibility::Safe => "here the prefix ends at a segment",
        Compatibility::Kong => "and so it does here",
    };
    let title = format!("in Kong the prefix `{path}` also matches `{path}x`; {here}");
    tell(at, code::PREFIX, severity, title, &format!("write `{path}/`, or `~{path}(/|$)`"));
}

fn ends(at: Cursor<'_>) -> Vec<Ends> {
    let end = |at: Cursor<'_>| {
        let ip = at.get("ip").block().map(|block| {
            let is_one = block.prefix_len() == block.max_prefix_len();
            if is_one { EndsIp::One(block.addr()) } else { EndsIp::Range(block) }
        });
        let port = at.get("port").port();
        if ip.is_none() && port.is_none() {
            tell(
                at,
                code::SCHEMA,
                Severity::Error,
                "Kong refuses this: `at least one of these fields: 'ip', 'port'`",
                "",
            );
        }
        Ends { ip, port }
    };
    at.items().map(end).collect()
}

fn behaviour(at: Cursor<'_>, route: &mut Route) {
    let status = at.get("https_redirect_status_code");
    match status.integer(0..=999) {
        None | Some(426) => {}
        Some(code @ (301 | 302 | 307 | 308)) => route.https_redirect = HttpsRedirect::To(code as u16),
        Some(_) => {
            let title = "Kong refuses this: `https_redirect_status_code: expected one of: 426, 301, 302, 307, 308`";
            tell(status, code::SCHEMA, Severity::Error, title, "");
        }
    }
    let strip = at.get("strip_path");
    let is_grpc = route.protocols.iter().any(|it| matches!(it, RouteProtocol::Grpc | RouteProtocol::Grpcs));
    route.strip_path = flag(strip, if is_grpc { Flag::Off } else { Flag::On }).is_on();
    if !strip.is_written() && route.strip_path && route.paths.iter().any(|path| path.len() > 1) {
        let shown = route.paths.first().map(|path| &**path).unwrap_or_default();
        let title =
            format!("route `{}` cuts `{shown}` off the path: `strip_path` is true unless it is set", route.name);
        tell(at, code::STRIP_PATH, Severity::Warning, title, "set `strip_path` to what is meant");
    }
    route.preserve_host = flag(at.get("preserve_host"), Flag::Off).is_on();
    let priority = at.get("regex_priority").integer(0..=i64::from(u32::MAX));
    route.regex_priority = priority.and_then(|it| it.try_into().ok()).unwrap_or_default();
    let handling = at.get("path_handling");
    if handling.string().is_some_and(|text| text != "v0") {
        let title = "`path_handling: v1` has no effect in Kong's router flavour `traditional_compatible`; v0 is used";
        tell(handling, code::SCHEMA, Severity::Warning, title, "");
    }
    at.ignored("request_buffering", "bodies are streamed");
    at.ignored("response_buffering", "bodies are streamed");
    let expression = at.get("expression");
    if expression.string().is_some() {
        let title = "`expression` routes are of another router flavour than `traditional_compatible`";
        tell(expression, code::SCHEMA, Severity::Error, title, "");
    }
}

/// A route must say something about the calls it takes.
fn complete(at: Cursor<'_>, route: &Route) {
    let is_encrypted = route.protocols.iter().any(|it| matches!(it, RouteProtocol::Https | RouteProtocol::Grpcs));
    let says = if route.is_stream() {
        !route.sources.is_empty() || !route.destinations.is_empty() || !route.snis.is_empty()
    } else {
        !route.methods.is_empty()
            || !route.hosts.is_empty()
            || !route.headers.is_empty()
            || !route.paths.is_empty()
            || (is_encrypted && !route.snis.is_empty())
    };
    if !says {
        let fields = if route.is_stream() {
            "'sources', 'destinations', 'snis'"
        } else {
            "'methods', 'hosts', 'headers', 'paths', 'snis'"
        };
        let title = format!("Kong refuses this: `must set one of {fields}`");
        tell(at, code::SCHEMA, Severity::Error, title, "");
    }
    for (name, _) in route.headers.iter().filter(|(name, _)| !is_field_name(name)) {
        let title = format!("Kong refuses this: `headers: '{name}' is not a valid header`");
        tell(at.get("headers"), code::SCHEMA, Severity::Error, title, "");
    }
}

fn is_host(host: &str) -> bool {
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    let inner = name.strip_prefix("*.").or_else(|| name.strip_suffix(".*")).unwrap_or(name);
    !inner.is_empty() && !inner.contains('*') && !inner.contains(['/', ' '])
}
