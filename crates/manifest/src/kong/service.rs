//! `services`: where calls go.

use super::declarative::{enter, id};
use super::schema::{COMMENTS, Flag, flag, tell, timeout};
use super::{Lowering, code, route};
use crate::Cursor;
use ringwall_gateway::{Scope, Service, ServiceIndex, ServiceProtocol};
use ringwall_model::Severity;

/// Lowers all services of a document, with the routes and plugins in them.
pub fn lower_all<'a>(root: Cursor<'a>, lowering: &mut Lowering<'a, '_>) {
    for at in root.get("services").items() {
        let index = ServiceIndex(u32::try_from(lowering.parts.services.len()).unwrap_or(u32::MAX));
        let service = lower(at, lowering);
        let id = id(at).map(|id| id.to_string());
        enter(at, &mut lowering.services, &[at.get("name").string(), id.as_deref()], index);
        lowering.parts.services.push(service);
        for route in at.get("routes").items() {
            route::lower_one(route, Some(index), lowering);
        }
        let scope = Scope { service: Some(index), ..Scope::default() };
        lowering.plugins.extend(at.get("plugins").items().map(|plugin| (plugin, scope)));
    }
}

fn lower(at: Cursor<'_>, lowering: &mut Lowering<'_, '_>) -> Service {
    at.descriptive(&COMMENTS);
    let name = at.get("name").string();
    let rule = lowering.rules.enter("KongService", "", name.unwrap_or("unnamed"), "", Some(at.place()));
    let mut service = Service::new(rule, name.unwrap_or("unnamed"), "");
    if let Some(url) = at.get("url").string() {
        match read_url(url) {
            Some((protocol, host, port, path)) => {
                (service.protocol, service.port, service.path) = (protocol, port, path);
                service.host = host.into();
            }
            None => tell(at.get("url"), code::SCHEMA, Severity::Error, "Kong refuses this: `url: invalid url`", ""),
        }
    }
    explicit(at, &mut service);
    if service.host.is_empty() {
        tell(at, code::SCHEMA, Severity::Error, "Kong refuses this: `host: required field missing`", "");
    }
    service.retries = at.get("retries").integer(0..=32767).and_then(|it| u16::try_from(it).ok()).unwrap_or(5);
    service.connect_timeout = timeout(at.get("connect_timeout"), 60_000);
    service.write_timeout = timeout(at.get("write_timeout"), 60_000);
    service.read_timeout = timeout(at.get("read_timeout"), 60_000);
    service.enabled = flag(at.get("enabled"), Flag::On).is_on();
    tls(at, &mut service);
    service
}

/// Fields that stand beside `url` or in its place.
fn explicit(at: Cursor<'_>, service: &mut Service) {
    let protocol = at.get("protocol");
    if let Some(name) = protocol.string() {
        match ServiceProtocol::read(name) {
            Some(protocol) => service.protocol = protocol,
            None => {
                let title = "Kong refuses this: `protocol: expected one of: grpc, grpcs, http, https, tcp, tls, udp`";
                tell(protocol, code::SCHEMA, Severity::Error, title, "");
            }
        }
    }
    if let Some(host) = at.get("host").filled() {
        service.host = host.into();
    }
    if let Some(port) = at.get("port").integer(0..=65535).and_then(|port| u16::try_from(port).ok()) {
        service.port = port;
    }
    let path = at.get("path");
    if let Some(text) = path.string() {
        if !text.starts_with('/') {
            tell(path, code::SCHEMA, Severity::Error, "Kong refuses this: `path: should start with: /`", "");
        } else if text.contains("//") {
            tell(path, code::SCHEMA, Severity::Error, "Kong refuses this: `path: must not have empty segments`", "");
        } else {
            service.path = Some(text.to_owned().into());
        }
    }
    let has_path =
        !matches!(service.protocol, ServiceProtocol::Http | ServiceProtocol::Https) && service.path.is_some();
    if has_path {
        tell(path, code::SCHEMA, Severity::Error, "Kong refuses this: `path: value must be null`", "");
    }
}

fn tls(at: Cursor<'_>, service: &mut Service) {
    let names = ["tls_verify", "tls_verify_depth", "client_certificate", "ca_certificates"];
    let verify = at.get("tls_verify");
    service.tls_verify = verify.flag();
    for name in ["tls_verify_depth", "client_certificate", "ca_certificates"] {
        at.ignored(name, "hops are secured by the mesh's identities");
    }
    let is_encrypted = service.protocol.is_encrypted();
    let has_any = names.iter().any(|name| at.peek().is_some_and(|node| node.get(name).is_some()));
    if has_any && !is_encrypted {
        tell(
            at,
            code::SCHEMA,
            Severity::Error,
            "Kong refuses this: `tls_verify: value must be null` (not `https`)",
            "",
        );
    } else if is_encrypted && service.tls_verify != Some(true) {
        let title = format!("certificate of service `{}` is not verified", service.name);
        tell(at, code::TLS_VERIFY, Severity::Warning, title, "set `tls_verify: true`");
    }
}

/// `url` of Kong: scheme, host, port (80 or 443 unless given), path.
fn read_url(url: &str) -> Option<(ServiceProtocol, &str, u16, Option<bytes::Bytes>)> {
    let (scheme, rest) = url.split_once("://")?;
    let protocol = ServiceProtocol::read(scheme)?;
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let bracket = authority.rfind(']').unwrap_or_default();
    let (host, port) = match authority.rfind(':').filter(|colon| *colon > bracket) {
        Some(colon) => (authority.get(..colon)?, authority.get(colon + 1..)?.parse().ok()?),
        None => (authority, if protocol.is_encrypted() { 443 } else { 80 }),
    };
    (!host.is_empty()).then(|| (protocol, host, port, (!path.is_empty()).then(|| path.to_owned().into())))
}
