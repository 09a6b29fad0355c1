//! `ringwall explain --url …`: a call that is described goes down the same page as a live one, with nothing sent.
//!
//! In: manifests, a call in words. Out: what each layer says, by which rule and where that stands; what was assumed; for
//! a refusal of the mesh, the rules that came nearest. Never: a socket, except to ask the running wall for its manifests.

use crate::cli::{Everywhere, Explain, Format};
use crate::exit::Exit;
use bytes::Bytes;
use ringwall_control::facts::now;
use ringwall_control::settings::Settings;
use ringwall_control::socket::{SocketError, ask};
use ringwall_control::source::{Input, Source};
use ringwall_head::call::Context;
use ringwall_manifest::World;
use ringwall_manifest::world::StandIn;
use ringwall_mesh::explain::{Considered, Match};
use ringwall_model::{
    Call, CallId, Client, ClientOrigin, Endpoint, Field, Layer, Listener, Peer, PeerTls, Protocol, Reason, Role,
    Scheme, SpiffeId, Timestamp, Workload, WorkloadId,
};
use ringwall_token::{DevelopmentSigner, JwkSet, Known};
use ringwall_wall::assumed::{Assumed, Budgets};
use ringwall_wall::outcome::Kind;
use ringwall_wall::{Hop, Outcome};
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

/// Who signs when the claims name nobody.
const ISSUER: &str = "https://keycloak.platform.local/realms/platform";
/// The address that stands for any client (RFC 5737), unless one is given.
const ANY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7));
/// Rules that are shown as nearest.
const NEAREST: usize = 3;

/// Explains a described call.
pub fn run(url: &str, explain: &Explain, common: &Everywhere, settings: &Settings, folder: &Path) -> Exit {
    let told = match tell(url, explain, settings, folder) {
        Ok(told) => told,
        Err(exit) => return exit,
    };
    match common.format {
        Format::Human => print!("{}", super::told::text(&told)),
        Format::Json | Format::Sarif | Format::Junit => println!("{told:#}"),
    }
    if told.get("outcome").and_then(Value::as_str) == Some("refuse") { Exit::FAILED } else { Exit::HELD }
}

/// A call as the command line describes it.
struct Described<'a> {
    url: Url,
    explain: &'a Explain,
    listener: &'a Listener,
    from: Option<SpiffeId>,
    address: IpAddr,
    token: Option<String>,
}

/// What a described call is judged with, beside its World.
pub struct Around<'a> {
    /// Signs its token.
    pub signer: &'a DevelopmentSigner,
    /// The key set that every issuer is assumed to have.
    pub keys: Arc<JwkSet>,
    /// The time.
    pub now: Timestamp,
    /// What is known of budgets.
    pub budgets: Budgets<'a>,
    /// The body.
    pub body: Bytes,
}

fn tell(url: &str, explain: &Explain, settings: &Settings, folder: &Path) -> Result<Value, Exit> {
    let mut assumed = Vec::new();
    let world = world(explain, settings, folder, &mut assumed)?;
    let (signer, keys) = signer()?;
    let body = explain.data.clone().unwrap_or_default().into();
    let around = Around { signer: &signer, keys, now: now(), budgets: Budgets::Untouched, body };
    assumed.push("no limit is used up and nobody is blocked".into());
    judge(&world, url, explain, &around, assumed)
}

/// A signer of tokens for one run, and its key set.
///
/// # Errors
/// [`Exit`] when no key can be made.
pub fn signer() -> Result<(DevelopmentSigner, Arc<JwkSet>), Exit> {
    let signer = DevelopmentSigner::generate("assumed").map_err(Exit::broken)?;
    let keys = JwkSet::read(signer.key_set().to_string().as_bytes()).map_err(Exit::broken)?;
    Ok((signer, Arc::new(keys)))
}

/// Takes a described call down the page of a World, and tells what each layer said.
///
/// # Errors
/// [`Exit`] when the description makes no call.
pub fn judge(
    world: &World,
    url: &str,
    explain: &Explain,
    around: &Around<'_>,
    mut assumed: Vec<String>,
) -> Result<Value, Exit> {
    let token = match &explain.claims {
        Some(claims) => Some(around.signer.sign(&completed(claims, around.now, &mut assumed)?).map_err(Exit::broken)?),
        None => None,
    };
    let from = explain.from.as_deref().map(|from| identity(world, from)).transpose()?;
    let sender = from.as_ref().and_then(|id| world.inventory.workloads.iter().find(|it| it.identity == *id));
    let address = match sender {
        Some(workload) if explain.address == ANY => workload.address,
        _ => explain.address,
    };
    let url = Url::read(url)?;
    let listener = listener(world, explain, &url)?;
    let call = Described { url, explain, listener, from, address, token };
    judged(world, &call, around, assumed)
}

/// The World of the named manifests, or of those that the running wall has.
fn world(explain: &Explain, settings: &Settings, folder: &Path, assumed: &mut Vec<String>) -> Result<World, Exit> {
    let (inputs, stand_in) = match &explain.manifests {
        Some(path) => {
            assumed.push("workloads that the manifests only name have stand-ins, as with `up --stand-in`".into());
            (Source::parse(path).read().map_err(Exit::input)?, StandIn::Workloads)
        }
        None => running(folder)?,
    };
    let (mut world, mut findings) = crate::platform::lower(&inputs, &crate::platform::options(stand_in));
    let rules = crate::crs::rules(settings, folder, crate::crs::Absent::Accept)?;
    findings.extend(world.arm(&rules));
    if !ringwall_manifest::world::may_be_taken(&findings) {
        let plain = ringwall_manifest::render::Colour::Plain;
        eprint!("{}", ringwall_manifest::render::human(&findings, &world.sources, plain));
        return Err(Exit::input("the manifests make no World that could be taken"));
    }
    Ok(world)
}

fn running(folder: &Path) -> Result<(Vec<Input>, StandIn), Exit> {
    let answer = ask(folder, "manifests", json!({})).map_err(|error| match error {
        SocketError::Nobody { .. } => Exit::nobody(format!("{error}; or name manifests with --manifests DIR")),
        error => Exit::broken(error),
    })?;
    let read = |one: &Value| {
        let text = |name: &str| one.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Input { name: text("name")?, bytes: text("text")?.into_bytes() })
    };
    let inputs = answer.get("inputs").and_then(Value::as_array).into_iter().flatten().filter_map(read).collect();
    let stand_in = match answer.get("stand_in").and_then(Value::as_bool) {
        Some(true) => StandIn::Workloads,
        _ => StandIn::Nothing,
    };
    Ok((inputs, stand_in))
}

/// The claims with what every token must say, when they say nothing else.
fn completed(claims: &str, now: Timestamp, assumed: &mut Vec<String>) -> Result<Value, Exit> {
    let mut claims: Value =
        serde_json::from_str(claims).map_err(|error| Exit::usage(format!("--claims is no JSON: {error}")))?;
    let fields = claims.as_object_mut().ok_or_else(|| Exit::usage("--claims must be a JSON object"))?;
    let now = now.seconds();
    for (name, value) in [("iss", json!(ISSUER)), ("iat", json!(now)), ("exp", json!(now + 3600))] {
        if !fields.contains_key(name) {
            assumed.push(format!("claim {name} is {value}"));
            fields.insert(name.into(), value);
        }
    }
    Ok(claims)
}

fn identity(world: &World, from: &str) -> Result<SpiffeId, Exit> {
    if from.starts_with("spiffe://") {
        return SpiffeId::parse(from).map_err(|error| Exit::usage(format!("--from {from}: {error}")));
    }
    let (namespace, account) = from
        .split_once('/')
        .ok_or_else(|| Exit::usage(format!("--from {from}: write `namespace/service-account` or a SPIFFE ID")))?;
    SpiffeId::of_service_account(&world.inventory.trust_domain, namespace, account)
        .map_err(|error| Exit::usage(format!("--from {from}: {error}")))
}

/// What of a URL a call is made of.
struct Url {
    scheme: Scheme,
    authority: String,
    host: String,
    port: u16,
    target: String,
}

impl Url {
    /// Only split, never mended: the path goes down the page as it is written.
    fn read(text: &str) -> Result<Self, Exit> {
        let wrong = || Exit::usage(format!("`{text}` is no URL; write `https://host[:port]/path`"));
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (scheme, default) = match scheme {
            "https" => (Scheme::Https, 443),
            "http" => (Scheme::Http, 80),
            _ => return Err(wrong()),
        };
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(at).ok_or_else(wrong)?;
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
            _ => (authority, default),
        };
        if host.is_empty() {
            return Err(wrong());
        }
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(Self { scheme, authority: authority.into(), host: host.to_ascii_lowercase(), port, target })
    }
}

/// The listener that the call arrives at.
fn listener<'a>(world: &'a World, explain: &Explain, url: &Url) -> Result<&'a Listener, Exit> {
    let named = |listener: &Listener, name: &str| {
        world.inventory.workload(listener.workload).is_some_and(|it| it.full_name() == name)
    };
    let arrives =
        |listener: &&Listener| (listener.role == Role::Outbound) == explain.outbound && listener.protocol.is_http();
    let called = if explain.from.is_some() { behind(world, url) } else { None };
    let candidates: Vec<&Listener> = match (&explain.at, called) {
        (Some(at), _) if explain.outbound => {
            let toward = |it: &&Listener| it.target.as_ref().is_none_or(|(host, _)| **host == *url.host);
            world.listeners.iter().filter(arrives).filter(|it| named(it, at)).filter(toward).collect()
        }
        (Some(at), _) => world.listeners.iter().filter(arrives).filter(|it| named(it, at)).collect(),
        (None, Some((workload, port))) => {
            let there = |it: &&Listener| it.workload == workload && it.address.port() == port;
            world.listeners.iter().filter(arrives).filter(there).collect()
        }
        _ => world.listeners.iter().filter(arrives).filter(|it| it.role == Role::Edge).collect(),
    };
    let secure = |it: &Listener| (it.protocol == Protocol::Https) == (url.scheme == Scheme::Https);
    let by_port = candidates.iter().find(|it| it.address.port() == url.port);
    let by_scheme = || candidates.iter().find(|it| secure(it));
    let found = by_port.or_else(by_scheme).or_else(|| candidates.first()).copied();
    found.ok_or_else(|| {
        let at = explain.at.as_deref().unwrap_or("the ingress gateway");
        let mut known: Vec<String> = world
            .listeners
            .iter()
            .filter(arrives)
            .filter_map(|it| world.inventory.workload(it.workload).map(Workload::full_name))
            .collect();
        known.sort();
        known.dedup();
        Exit::usage(format!("no HTTP listener at {at}; there are: {}", known.join(", ")))
    })
}

/// The workload and port behind a service of the mesh.
fn behind(world: &World, url: &Url) -> Option<(WorkloadId, u16)> {
    let service = world.inventory.service(world.inventory.service_of(&url.host)?)?;
    let workload = service.endpoints.iter().find_map(|endpoint| match endpoint {
        Endpoint::Workload(id) => Some(*id),
        _ => None,
    })?;
    Some((workload, world.target_port(&url.host, url.port)))
}

impl Described<'_> {
    /// The head's bytes, as a client would send them.
    fn head(&self, body: usize) -> Vec<u8> {
        let mut head =
            format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.explain.method, self.url.target, self.url.authority);
        for field in &self.explain.headers {
            head.push_str(field);
            head.push_str("\r\n");
        }
        if let Some(token) = &self.token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if body > 0 {
            head.push_str(&format!("Content-Length: {body}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    fn peer(&self) -> Peer {
        let faces_world = self.listener.role == Role::Edge;
        let speaks_tls = if faces_world { self.listener.protocol == Protocol::Https } else { self.from.is_some() };
        let tls = speaks_tls.then(|| PeerTls {
            identity: self.from.clone().filter(|_| !faces_world),
            server_name: Some(self.url.host.as_str().into()),
            version: "TLSv1.3",
        });
        Peer { address: SocketAddr::new(self.address, 40_000), tls }
    }
}

fn judged(world: &World, described: &Described<'_>, around: &Around<'_>, mut said: Vec<String>) -> Result<Value, Exit> {
    let listener = described.listener;
    let settings = ringwall_wall::reading::settings(world, listener);
    let peer = described.peer();
    let nearest = Client { address: peer.address.ip(), origin: ClientOrigin::Peer };
    let context = Context {
        id: CallId(1),
        received: around.now,
        scheme: if peer.tls.is_some() { Scheme::Https } else { Scheme::Http },
        peer,
        origin: ClientOrigin::Peer,
        local: listener.address,
        settings: &settings,
    };
    let mut call = ringwall_head::call(described.head(around.body.len()).into(), context);
    let as_it_came = call.clone();
    let client = ringwall_head::client::explain(&call.fields, nearest, &settings.trust);
    let (blocks, facts) = (ringwall_shield::Blocks::new(1), ringwall_shield::Facts::default());
    let mut outside = Assumed::new(around.now, Some(around.keys.clone()), &blocks, &facts);
    (outside.budgets, outside.body) = (around.budgets, around.body.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(Exit::broken)?;
    let mut outcome = runtime.block_on(ringwall_wall::request(world, listener, &mut call, &outside));
    let inspected = match &mut outcome {
        Outcome::Admitted(admitted) => admitted.inspection.as_mut().and_then(|inspection| inspection.finish(call.id)),
        Outcome::Refused(refused) => refused.inspected.take(),
    };
    said.extend(outside.assumptions());
    let owner = world.inventory.workload(listener.workload).map(Workload::full_name).unwrap_or_default();
    let mut told = json!({
        "method": String::from_utf8_lossy(&as_it_came.method), "url": format!("{}://{}{}",
            described.url.scheme.as_str(), described.url.authority, described.url.target),
        "at": { "role": listener.role.as_str(), "workload": owner, "address": listener.address.to_string() },
        "from": described.from.as_ref().map(ToString::to_string), "peer": described.address.to_string(),
        "client": client, "assumed": said, "layers": layers(world, &outcome),
        "firewall": inspected.map(|inspected| ringwall_telemetry::firewall::record(&inspected)),
    });
    let more = match &outcome {
        Outcome::Admitted(admitted) => json!({
            "outcome": "pass", "goes_to": hop(world, &admitted.hop),
            "as": format!("{} {}{}", String::from_utf8_lossy(&call.method), String::from_utf8_lossy(&call.authority),
                String::from_utf8_lossy(&call.target)),
            "fields": call.fields.0.iter().map(shown).collect::<Vec<_>>(),
            "response_edits": admitted.response_edits.iter().map(|edit| format!("{edit:?}")).collect::<Vec<_>>(),
            "way": way(world, admitted), "delay": admitted.delay.map(|it| format!("{it:?}")),
        }),
        Outcome::Refused(refused) => json!({
            "outcome": if refused.kind == Kind::Answer { "answer" } else { "refuse" },
            "status": refused.reply.status(), "details": &*refused.details, "layer": refused.layer.as_str(),
            "rule": world.rules.render(refused.because), "place": place(world, refused.because),
            "nearest": if refused.layer == Layer::Mesh { near(world, described, &as_it_came, &outcome, &outside) } else { json!([]) },
        }),
    };
    if let (Some(told), Value::Object(more)) = (told.as_object_mut(), more) {
        told.extend(more);
    }
    Ok(told)
}

fn layers(world: &World, outcome: &Outcome) -> Value {
    let one = |step: &ringwall_model::Entry| {
        json!({ "layer": step.layer.as_str(), "verdict": if step.passed { "pass" } else { "refuse" },
            "rule": world.rules.render(step.because), "place": place(world, step.because),
            "would_be_refused_by": step.would_refuse.map(|audited| world.rules.render(audited)) })
    };
    json!(outcome.trace().steps().iter().map(one).collect::<Vec<_>>())
}

fn place(world: &World, because: Reason) -> String {
    let Reason::Rule(id) = because else { return String::new() };
    let place = world.rules.name(id).and_then(|name| name.place.as_ref());
    place.map(|place| world.sources.locate(place)).unwrap_or_default()
}

fn hop(world: &World, hop: &Hop) -> String {
    let name = |id: &WorkloadId| world.inventory.workload(*id).map(Workload::full_name).unwrap_or_default();
    match hop {
        Hop::Application { workload, port } => format!("the application of {} on port {port}", name(workload)),
        Hop::Upstream { source, route } => {
            let subset = route.subset.as_ref().map(|subset| format!(" subset {subset}")).unwrap_or_default();
            format!("{}:{}{subset}, as {}", route.host, route.port, name(source))
        }
    }
}

/// How a call goes on: what its route settles beside the destination.
fn way(world: &World, admitted: &ringwall_wall::Admitted) -> Value {
    match &admitted.hop {
        Hop::Application { .. } => Value::Null,
        Hop::Upstream { route, .. } => json!({
            "route": &*route.name, "timeout": route.timeout.map(|it| format!("{it:?}")),
            "retries": format!("{:?}", route.retries),
            "mirrors": admitted.copies.iter().map(|copy| mirror(world, copy)).collect::<Vec<_>>(),
        }),
    }
}

/// Where a copy goes, as whom, and the rule that refuses it, if one does.
fn mirror(world: &World, copy: &ringwall_wall::Copied) -> String {
    let name = world.inventory.workload(copy.source).map(Workload::full_name).unwrap_or_default();
    let refused = copy.refused.map(|because| format!(", refused by {}", world.rules.render(because)));
    format!("{}:{}, as {name}{}", copy.to.host, copy.to.port, refused.unwrap_or_default())
}

fn shown(field: &Field) -> String {
    format!("{}: {}", String::from_utf8_lossy(&field.name).to_ascii_lowercase(), String::from_utf8_lossy(&field.value))
}

/// The rules of the mesh that decided, or that came nearest to letting the call pass.
fn near(world: &World, described: &Described<'_>, call: &Call, outcome: &Outcome, outside: &Assumed<'_>) -> Value {
    let mut call = call.clone();
    let (mut workload, mut port) = (described.listener.workload, described.listener.address.port());
    let in_mesh = outcome.trace().steps().iter().filter(|step| step.layer == Layer::Mesh).count();
    if described.listener.role == Role::Edge && in_mesh > 1 {
        // The ingress let it pass, and the gateway behind it did not: that one sees the ingress's identity.
        let identity = world.inventory.workload(workload).map(|it| it.identity.clone());
        call.peer.tls = Some(PeerTls { identity, server_name: None, version: "TLSv1.3" });
        if let Some(gateway) = world.gateways.keys().next() {
            workload = *gateway;
            let of = |it: &&Listener| it.workload == workload && it.role == Role::Gateway;
            port = world.listeners.iter().find(of).map_or(port, |it| it.address.port());
        }
    }
    let facts = ringwall_wall::Outside::facts(outside);
    let known = Known { facts: &facts, asked: &[], now: outside.now };
    let mut rules = ringwall_mesh::explain::inbound(&world.mesh, workload, port, &call, &known).rules;
    rules.sort_by_key(|rule| match &rule.outcome {
        Match::Matched => 0,
        Match::Missed(miss) => u32::MAX - miss.matched,
    });
    let shown = |rule: &Considered| {
        let place = place(world, Reason::Rule(rule.rule));
        let action = format!("{:?}", rule.action).to_ascii_uppercase();
        match &rule.outcome {
            Match::Matched => json!({ "rule": &*rule.name, "action": action, "place": place, "matched": true }),
            Match::Missed(miss) => json!({ "rule": &*rule.name, "action": action, "place": place, "matched": false,
                "field": miss.field, "wanted": miss.wanted, "actual": miss.actual, "clauses_before": miss.matched }),
        }
    };
    json!(rules.iter().take(NEAREST).map(shown).collect::<Vec<_>>())
}
