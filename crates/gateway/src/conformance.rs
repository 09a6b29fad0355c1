//! Kong's own answers, recorded, against this router: one line a case.
//!
//! In: text of `router/cases.jsonl` (lines with `routes` define a set, the others are requests against it). Out: a
//! [`Case`] each. Used by the tests and by `cargo xtask conformance router`. The router runs in
//! [`Compatibility::Kong`], since the answers are Kong's.

use crate::entity::{Ends, EndsIp, Route, RouteProtocol, Service};
use crate::router::{Probe, Router, StreamProbe};
use crate::{Compatibility, ServiceIndex};
use ringwall_model::{Fields, RuleId, Scheme};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use uuid::Uuid;

/// Cases whose route set was recorded after the specification had changed it in place: the request is for `/bar`, the
/// set holds `/foo` and `/baz`, and the answer is the route that was `/bar`. No router can give it.
pub const MISRECORDED: [&str; 1] = ["router/40/110"];

/// One recorded request and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// `router/<set>/<line>`: stable as long as the file is.
    pub id: String,
    /// What was recorded: the route's number from 1, or none.
    pub want: Option<u64>,
    /// What this router says.
    pub got: Option<u64>,
}

impl Case {
    /// Whether both agree.
    pub fn passed(&self) -> bool {
        self.want == self.got
    }
}

/// Runs all cases of the text. A line that is not JSON, or names an unknown set, is a case that fails.
pub fn router(text: &str) -> Vec<Case> {
    let mut sets: BTreeMap<u64, Vec<Route>> = BTreeMap::new();
    let mut cases = Vec::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        let set = value.get("router").and_then(Value::as_u64).unwrap_or_default();
        match value.get("routes").and_then(Value::as_array) {
            Some(routes) => {
                sets.insert(set, routes.iter().filter_map(|row| route(row.get("route")?)).collect());
            }
            None => {
                let want = value.pointer("/expect/route").and_then(Value::as_u64);
                let got = match sets.get(&set) {
                    Some(routes) => select(routes, &value),
                    None => Some(u64::MAX),
                };
                cases.push(Case { id: format!("router/{set}/{line}"), want, got });
            }
        }
    }
    cases
}

/// The number of the route, from 1.
fn select(routes: &[Route], case: &Value) -> Option<u64> {
    let services = [Service::new(RuleId(0), "service", "service.test")];
    let router = Router::compile(routes, &services, Compatibility::Kong);
    let text = |key: &str| case.get(key).and_then(Value::as_str);
    let scheme = text("scheme").unwrap_or("http");
    let (source, destination) = (end(case, "src_ip", "src_port", 0), end(case, "dst_ip", "dst_port", 80));
    let found = if matches!(scheme, "tcp" | "tls" | "udp") {
        router.select_stream(&StreamProbe { source, destination, server_name: text("sni") })
    } else {
        let uri = text("uri").unwrap_or("/");
        let fields = fields(case.get("headers"));
        let probe = Probe {
            method: text("method").unwrap_or("GET").as_bytes(),
            authority: text("host").unwrap_or_default().as_bytes(),
            path: uri.split('?').next().unwrap_or_default().as_bytes(),
            scheme: if scheme == "https" { Scheme::Https } else { Scheme::Http },
            server_name: text("sni"),
            fields: &fields,
            source,
            destination,
        };
        router.select(&probe).map(|(index, _)| index)
    };
    found.map(|index| u64::from(index.0) + 1)
}

fn end(case: &Value, ip: &str, port: &str, default: u16) -> SocketAddr {
    let ip = case.get(ip).and_then(Value::as_str).and_then(|ip| ip.parse().ok());
    let port = case.get(port).and_then(Value::as_u64).and_then(|port| port.try_into().ok());
    SocketAddr::new(ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), port.unwrap_or(default))
}

fn fields(value: Option<&Value>) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in value.and_then(Value::as_object).into_iter().flatten() {
        ringwall_token::claims::strings(Some(value))
            .for_each(|value| fields.push(name.clone().into_bytes(), value.as_bytes().to_vec()));
    }
    fields
}

/// A route as Kong's entity has it.
fn route(value: &Value) -> Option<Route> {
    let list =
        |key: &str| -> Vec<Box<str>> { ringwall_token::claims::strings(value.get(key)).map(Into::into).collect() };
    let id: Uuid = value.get("id")?.as_str()?.parse().ok()?;
    let mut route = Route::new(RuleId(0), id, "route", Some(ServiceIndex(0)));
    route.methods = list("methods");
    route.hosts = list("hosts");
    route.paths = list("paths");
    route.snis = list("snis");
    route.sources = ends(value.get("sources"));
    route.destinations = ends(value.get("destinations"));
    let headers = value.get("headers").and_then(Value::as_object).into_iter().flatten();
    route.headers = headers
        .map(|(name, values)| {
            (name.as_str().into(), ringwall_token::claims::strings(Some(values)).map(Into::into).collect())
        })
        .collect();
    let priority = value.get("regex_priority").and_then(Value::as_u64);
    route.regex_priority = priority.and_then(|priority| priority.try_into().ok()).unwrap_or_default();
    let protocols: Vec<_> = list("protocols").iter().filter_map(|name| RouteProtocol::read(name)).collect();
    if !protocols.is_empty() {
        route.protocols = protocols.into_iter().collect();
    }
    Some(route)
}

fn ends(value: Option<&Value>) -> Vec<Ends> {
    let end = |value: &Value| {
        let ip = value.get("ip").and_then(Value::as_str).and_then(|ip| match ip.contains('/') {
            true => ip.parse().ok().map(EndsIp::Range),
            false => ip.parse().ok().map(EndsIp::One),
        });
        let port = value.get("port").and_then(Value::as_u64).and_then(|port| port.try_into().ok());
        Ends { ip, port }
    };
    value.and_then(Value::as_array).map(|list| list.iter().map(end).collect()).unwrap_or_default()
}
