//! Who is sent spans: `defaultConfig.tracing`, or the provider that the mesh's Telemetry or `defaultProviders.tracing` names.
//!
//! In: `meshConfig`. Out: [`Tracing`]; none where nobody is named, `enableTracing` is off, or the collector speaks what we
//! do not (OTLP over gRPC), which is said. Follows Istio's MeshConfig.

use crate::Cursor;
use ringwall_mesh::route::code;
use ringwall_model::Severity;
use std::sync::Arc;

/// Who is sent spans, and of how many calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// Share of calls that are traced where their caller does not say, of a million.
    pub sampling: u32,
    /// `http://host:port/path` of the collector.
    pub collector: Arc<str>,
    /// What it reads.
    pub speaks: Speaks,
}

/// What a collector reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// Zipkin's JSON v2.
    Zipkin,
    /// OTLP over HTTP, in JSON.
    Otlp,
}

/// Zipkin's own path.
const ZIPKIN: &str = "/api/v2/spans";
/// Kinds of providers, of which those for traces are read when they are named.
const KINDS: [&str; 13] = [
    "datadog",
    "envoyExtAuthzGrpc",
    "envoyExtAuthzHttp",
    "envoyFileAccessLog",
    "envoyHttpAls",
    "envoyOtelAls",
    "envoyTcpAls",
    "lightstep",
    "opencensus",
    "opentelemetry",
    "prometheus",
    "stackdriver",
    "zipkin",
];

pub(super) fn lower(mesh: Cursor<'_>, collector: Option<&str>) -> Option<Tracing> {
    let at = mesh.get("defaultConfig").get("tracing");
    let share = at.get("sampling").number();
    let sampling = share.map_or(10_000, |share| (share.clamp(0.0, 100.0) * 10_000.0).round() as u32);
    let zipkin = zipkin(at.get("zipkin").get("address"));
    at.set_rest_aside();
    let named = provider(mesh, collector);
    let is_on = mesh.get("enableTracing").flag() != Some(false);
    let (collector, speaks) = named.unwrap_or(zipkin).filter(|_| is_on)?;
    Some(Tracing { sampling, collector, speaks })
}

fn zipkin(at: Cursor<'_>) -> Option<(Arc<str>, Speaks)> {
    let address = at.filled()?;
    let port = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    if !port.is_some_and(|(host, port)| is_host(host) && port > 0) {
        return at.refuse_with("this is no address of a collector", "host:9411");
    }
    Some((format!("http://{address}{ZIPKIN}").into(), Speaks::Zipkin))
}

/// What the provider that is named for traces says; `None` where none is named.
fn provider(mesh: Cursor<'_>, wanted: Option<&str>) -> Option<Option<(Arc<str>, Speaks)>> {
    let defaults = mesh.get("defaultProviders");
    // Which of its names counts was asked before.
    _ = defaults.get("tracing").strings();
    for name in ["metrics", "accessLogging"] {
        defaults.ignored(name, "metrics and the access log are always the built-in ones");
    }
    let mut found = wanted.map(|_| None);
    let mut is_known = false;
    for one in mesh.get("extensionProviders").items() {
        let name = one.get("name").filled();
        if name.is_some() && name == wanted {
            (found, is_known) = (Some(read(one)), true);
        }
        for kind in KINDS.into_iter().filter(|kind| !is_for_traces(kind) || name != wanted) {
            one.ignored(kind, "only the provider that is named for the spans of the mesh is used");
        }
    }
    if let Some(name) = wanted.filter(|_| !is_known) {
        let title = format!("no extension provider is called `{name}`: spans are not sent");
        mesh.report(mesh.finding(code::MISPLACED_SETTING, Severity::Warning, title));
    }
    found
}

fn is_for_traces(kind: &str) -> bool {
    matches!(kind, "opentelemetry" | "zipkin")
}

fn read(one: Cursor<'_>) -> Option<(Arc<str>, Speaks)> {
    let (zipkin, otlp) = (one.get("zipkin"), one.get("opentelemetry"));
    let at = if zipkin.is_present() { zipkin } else { otlp };
    for name in ["maxTagLength", "enable64bitTraceId", "traceContextOption", "timeout", "resourceDetectors", "sampler"]
    {
        at.ignored(name, "spans have the built-in form");
    }
    // `namespace/host`: the namespace only says where Istio looks for the service.
    let service = at.get("service").required().filled()?;
    let host = service.rsplit_once('/').map_or(service, |(_, host)| host);
    let port = at.get("port").required().port()?;
    if !is_host(host) {
        return at.get("service").refuse("this is no name of a host");
    }
    let (path, speaks) = if zipkin.is_present() {
        (zipkin.get("path").filled().unwrap_or(ZIPKIN), Speaks::Zipkin)
    } else {
        let http = otlp.get("http");
        if !http.is_present() {
            let title = "spans are not sent: this build speaks OTLP over HTTP, and without `http` Istio speaks gRPC";
            otlp.report(
                otlp.finding(code::MISPLACED_SETTING, Severity::Warning, title).help("http: {path: /v1/traces}"),
            );
            return None;
        }
        http.ignored("timeout", "a batch has five seconds");
        http.ignored("headers", "no field of its own is sent");
        (http.get("path").filled().unwrap_or("/v1/traces"), Speaks::Otlp)
    };
    if !path.starts_with('/') || path.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return at.refuse("its path is no path");
    }
    Some((format!("http://{host}:{port}{path}").into(), speaks))
}

fn is_host(host: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    bracketed.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
        || (!host.is_empty() && host.bytes().all(plain))
}
