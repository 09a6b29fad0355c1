//! Kong's own engine (`atc-router`) as the oracle: both routers choose the same route, for any routes and any call.

use atc_router::ast::{Type, Value};
use atc_router::context::Context;
use atc_router::router::Router as Oracle;
use atc_router::schema::Schema;
use proptest::prelude::*;
use ringwall_gateway::router::{Probe, Router};
use ringwall_gateway::{Compatibility, Route, Service, ServiceIndex};
use ringwall_model::{Fields, RuleId, Scheme};
use std::collections::BTreeMap;
use uuid::Uuid;

#[derive(Clone, Debug)]
struct Request {
    method: &'static str,
    host: &'static str,
    port: u16,
    path: String,
    scheme: Scheme,
    server_name: &'static str,
    fields: Vec<(&'static str, &'static str)>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_router_chooses_as_kongs_engine_does(
        routes in proptest::collection::vec(route(), 1..12),
        requests in proptest::collection::vec(request(), 1..12),
    ) {
        let routes: Vec<Route> = (0_u32..).zip(routes).map(|(number, mut route)| {
            route.id = Uuid::from_u128(u128::from(number) + 1);
            route.name = number.to_string().into();
            route
        }).collect();
        let services = [Service::new(RuleId(0), "s", "h")];
        let ours = Router::compile(&routes, &services, Compatibility::Kong);
        let schema = schema();
        let (oracle, owners) = oracle(&schema, &routes);
        for request in &requests {
            let got = ours_for(&ours, request).map(|index| index as usize);
            let want = oracle_for(&schema, &oracle, request).map(|id| owners[&id]);
            prop_assert_eq!(got, want, "{:?}", request);
        }
    }
}

fn ours_for(router: &Router, request: &Request) -> Option<u32> {
    let mut fields = Fields::default();
    request.fields.iter().for_each(|(name, value)| fields.push(*name, *value));
    let authority = format!("{}:{}", request.host, request.port);
    let probe = Probe {
        method: request.method.as_bytes(),
        authority: authority.as_bytes(),
        path: request.path.as_bytes(),
        scheme: request.scheme,
        server_name: Some(request.server_name),
        fields: &fields,
        source: "192.0.2.1:4000".parse().unwrap(),
        destination: "192.0.2.2:80".parse().unwrap(),
    };
    router.select(&probe).map(|(index, _)| index.0)
}

fn oracle_for(schema: &Schema, oracle: &Oracle<'_>, request: &Request) -> Option<Uuid> {
    let mut context = Context::new(schema);
    context.add_value("http.method", Value::String(request.method.into()));
    context.add_value("http.host", Value::String(request.host.into()));
    context.add_value("http.path", Value::String(request.path.clone()));
    context.add_value("net.protocol", Value::String(request.scheme.as_str().into()));
    context.add_value("tls.sni", Value::String(request.server_name.into()));
    context.add_value("net.dst.port", Value::Int(request.port.into()));
    for (name, value) in &request.fields {
        let name = format!("http.headers.{}", name.replace('-', "_").to_lowercase());
        context.add_value(&name, Value::String((*value).into()));
    }
    oracle.execute(&mut context).then(|| context.result.unwrap().uuid)
}

fn schema() -> Schema {
    let mut schema = Schema::default();
    for field in ["http.method", "http.host", "http.path", "net.protocol", "tls.sni", "http.headers.*"] {
        schema.add_field(field, Type::String);
    }
    schema.add_field("net.dst.port", Type::Int);
    schema
}

/// The oracle's rows, and the route each belongs to.
fn oracle<'a>(schema: &'a Schema, routes: &[Route]) -> (Oracle<'a>, BTreeMap<Uuid, usize>) {
    let mut oracle = Oracle::new(schema);
    let mut owners = BTreeMap::new();
    for (number, route) in routes.iter().enumerate() {
        let mut groups: BTreeMap<Option<usize>, Vec<&str>> = BTreeMap::new();
        for path in &route.paths {
            groups.entry((!path.starts_with('~')).then_some(path.len())).or_default().push(path);
        }
        if groups.is_empty() {
            groups.insert(None, Vec::new());
        }
        for (group, paths) in (0_u32..).zip(groups.into_values()) {
            // Rows of one route never share a priority, so only the order of routes matters among equals.
            let id = Uuid::from_u128(route.id.as_u128() << 32 | u128::from(group));
            let priority = usize::try_from(priority(route, &paths)).unwrap();
            oracle.add_matcher(priority, id, &expression(route, &paths)).unwrap();
            owners.insert(id, number);
        }
    }
    (oracle, owners)
}

/// Written apart from the router's own, from the description of Kong's layout.
fn priority(route: &Route, paths: &[&str]) -> u64 {
    let mut weight = 0_u64;
    weight += u64::from(!route.methods.is_empty());
    weight += u64::from(!route.hosts.is_empty());
    weight += u64::from(!route.headers.is_empty());
    weight += u64::from(!route.snis.is_empty());
    weight += u64::from(!paths.is_empty());
    let mut bits = weight * (1 << 61) + route.headers.len() as u64 * (1 << 52);
    if !route.hosts.is_empty() && route.hosts.iter().all(|host| !host.contains('*')) {
        bits += 1 << 60;
    }
    match paths.first() {
        Some(path) if path.starts_with('~') => bits + (1 << 51) + u64::from(route.regex_priority) * (1 << 19),
        Some(path) => bits + path.len() as u64,
        None => bits,
    }
}

fn expression(route: &Route, paths: &[&str]) -> String {
    let any = |parts: Vec<String>| format!("({})", parts.join(" || "));
    let affix = |name: &str, value: &str| match (value.strip_prefix('*'), value.strip_suffix('*')) {
        (Some(end), _) => format!("{name} =^ \"{end}\""),
        (_, Some(start)) => format!("{name} ^= \"{start}\""),
        _ => format!("{name} == \"{value}\""),
    };
    let mut all = Vec::new();
    if !route.snis.is_empty() {
        let names = route.snis.iter().map(|name| format!("tls.sni == \"{name}\"")).collect();
        all.push(format!("(net.protocol != \"https\" || {})", any(names)));
    }
    if !route.methods.is_empty() {
        all.push(any(route.methods.iter().map(|method| format!("http.method == \"{method}\"")).collect()));
    }
    if !route.hosts.is_empty() {
        let host = |host: &str| match host.split_once(':') {
            Some((name, port)) => format!("({} && net.dst.port == {port})", affix("http.host", name)),
            None => affix("http.host", host),
        };
        all.push(any(route.hosts.iter().map(|it| host(it)).collect()));
    }
    if !paths.is_empty() {
        let path = |path: &&str| match path.strip_prefix('~') {
            Some(pattern) => format!("http.path ~ r#\"^{pattern}\"#"),
            None => format!("http.path ^= \"{path}\""),
        };
        all.push(any(paths.iter().map(path).collect()));
    }
    for (name, values) in &route.headers {
        let name = format!("any(lower(http.headers.{}))", name.replace('-', "_").to_lowercase());
        let value = |value: &str| match value.strip_prefix("~*") {
            Some(pattern) => format!("{name} ~ r#\"{}\"#", pattern.to_lowercase()),
            None => format!("{name} == \"{}\"", value.to_lowercase()),
        };
        all.push(any(values.iter().map(|it| value(it)).collect()));
    }
    all.join(" && ")
}

fn texts(of: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<Box<str>>> {
    proptest::sample::subsequence(of, 0..=most).prop_map(|texts| texts.into_iter().map(Into::into).collect())
}

const PATHS: &[&str] =
    &["/", "/a", "/a/", "/ab", "/a/b", "/abc", "/b", "~/a", "~/a/\\d+", "~/(?<x>a|b)/c", "~/a|/b", "~/b?c", "~/a/b$"];
const HOSTS: &[&str] =
    &["a.test", "b.test", "*.test", "*.a.test", "a.*", "www.a.*", "a.test:80", "*.test:8080", "b.test:8080"];

fn route() -> impl Strategy<Value = Route> {
    let headers = (texts(&["v1", "V2", "~*v\\d"], 2), texts(&["eu", "us"], 2));
    (texts(&["GET", "POST"], 2), texts(HOSTS, 3), texts(PATHS, 4), headers, texts(&["a.test", "x.test"], 1), 0_u32..3)
        .prop_map(|(methods, hosts, paths, (versions, regions), snis, regex_priority)| {
            let mut route = Route::new(RuleId(0), Uuid::nil(), "", Some(ServiceIndex(0)));
            let named = [("x-version", versions), ("Region", regions)];
            route.headers = named
                .into_iter()
                .filter(|(_, values)| !values.is_empty())
                .map(|(name, values)| (name.into(), values))
                .collect();
            (route.methods, route.hosts, route.paths, route.snis) = (methods, hosts, paths, snis);
            route.regex_priority = regex_priority;
            if route.methods.is_empty() && route.hosts.is_empty() && route.headers.is_empty() && route.paths.is_empty()
            {
                route.methods.push("GET".into());
            }
            route
        })
}

fn request() -> impl Strategy<Value = Request> {
    let fields = proptest::sample::subsequence(
        vec![("X-Version", "v1"), ("x_version", "V2"), ("x-version", "v7"), ("region", "EU")],
        0..=3,
    );
    (
        prop_oneof![Just("GET"), Just("POST"), Just("PUT")],
        proptest::sample::select(vec![
            "a.test",
            "b.test",
            "www.a.test",
            "x.a.test",
            "a.example",
            "test",
            "a.b.c",
            ".a.test",
        ]),
        prop_oneof![Just(80_u16), Just(8080)],
        "(/(a|b|c|ab|abc|1|22)){0,3}/?",
        prop_oneof![Just(Scheme::Http), Just(Scheme::Https)],
        prop_oneof![Just("a.test"), Just("x.test"), Just("")],
        fields,
    )
        .prop_map(|(method, host, port, path, scheme, server_name, fields)| Request {
            method,
            host,
            port,
            path: if path.is_empty() { "/".into() } else { path },
            scheme,
            server_name,
            fields,
        })
}
