//! What the running platform can be asked and told: by the control socket, and by the tour.
//!
//! In: commands. Out: answers as JSON, with a text for people where a table says it better.

use super::{NotUp, Platform};
use crate::platform::certificates::Authorities;
use ringwall_control::facts::now;
use ringwall_control::settings::milliseconds;
use ringwall_control::source::Input;
use ringwall_dataplane::Selector;
use ringwall_model::{Layer, Listener, Millis, Reason, Role, SpiffeId, Timestamp};
use ringwall_pki::{Denied, Denylist};
use ringwall_shield::{Action, Block, BlockId, Origin, Subject, Until};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Blocks in the state folder.
pub const BLOCKS_FILE: &str = "blocks.json";
/// How long a block waits to hear what it ended.
const JUDGED: Duration = Duration::from_secs(1);
/// Characters of an id that are enough to look for it.
const SHORTEST: usize = 4;

impl Platform {
    /// Answers one command of the control socket.
    ///
    /// # Errors
    /// A sentence for the person who gave it.
    pub fn answer(&self, command: &str, arguments: &Value) -> Result<Value, String> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
        match command {
            "status" => Ok(json!({ "generation": self.world().world.generation, "text": self.table() })),
            "history" => Ok(self.history()),
            "rollback" => {
                let wanted = arguments.get("generation").and_then(Value::as_u64).unwrap_or_default();
                let inputs = self.live().history.inputs(wanted);
                let inputs = inputs.ok_or_else(|| format!("there is no World {wanted} in the history"))?;
                let taken = self.take(inputs, text("author"), Some(format!("World {wanted}")));
                taken.map(|generation| json!({ "generation": generation })).map_err(|NotUp(why)| why)
            }
            "block" => self.command_block(text("subject"), text("for"), text("reason"), text("by")),
            "unblock" => self.unblock(text("subject")),
            "blocks" => Ok(json!(self.force.blocks.list(now()).iter().map(show_block).collect::<Vec<_>>())),
            "home" => self.home(text("workload")),
            "kernel status" => self.kernel_status(),
            "kernel detach" => self.kernel_detach(),
            "token" => self.token(arguments),
            "explain" => self.explain(text("id")),
            "manifests" => Ok(self.manifests()),
            "probe" => self.probe(arguments),
            other => Err(format!("the running wall knows no command `{other}`")),
        }
    }

    fn history(&self) -> Value {
        let live = self.live();
        let entry = |entry: &ringwall_control::history::Entry| {
            json!({ "generation": entry.generation, "time": entry.time.rfc3339(), "author": entry.author,
                "revision": entry.revision, "difference": entry.difference })
        };
        json!(live.history.entries().map(entry).collect::<Vec<_>>())
    }

    fn command_block(&self, subject: &str, span: &str, reason: &str, by: &str) -> Result<Value, String> {
        let span = milliseconds(span).ok_or_else(|| format!("`{span}` is no span of time such as `10m` or `1h`"))?;
        let done = self.block_for(subject, Millis(span), reason, by)?;
        let mut answer = json!({ "id": done.id.0, "subject": subject, "until": done.until.rfc3339(), "cut": done.cut });
        if let (Some(kernel), Some(fields)) = (done.kernel, answer.as_object_mut()) {
            fields.insert("kernel_us".into(), json!(kernel.as_secs_f64() * 1e6));
        }
        if done.passes
            && let Some(fields) = answer.as_object_mut()
        {
            fields.insert("passes_links".into(), true.into());
        }
        Ok(answer)
    }

    fn block_for(&self, subject: &str, span: Millis, reason: &str, by: &str) -> Result<Blocked, String> {
        let (now, begun) = (now(), Instant::now());
        let until = now.plus(span);
        let parsed = super::subject::parse(subject)?;
        let block = Block {
            id: BlockId(0),
            subject: parsed.clone(),
            action: Action::Drop,
            created: now,
            until: Until::At(until),
            origin: Origin::Person(by.into()),
            reason: reason.into(),
        };
        let id = self.force.blocks.add(block, now).map_err(|error| error.to_string())?;
        self.deny_identities();
        // ORDER: the kernel, the page above it, then the state folder: what is told as done is all three.
        // A kernel that refuses keeps none of the rest from being done: it is told when that is in force and kept.
        let (mut kernel, mut passes, mut by_kernel) = (None, false, Ok(()));
        if let Subject::Address(network) = &parsed {
            by_kernel = self.block_packet(network, Some(span.duration()), id);
            kernel = (self.isolation.is_some() || self.screen().is_some()).then(|| begun.elapsed());
            passes = self.screen().is_some_and(|screen| screen.allows(network));
        }
        // ORDER: first the block, then the cut: a connection that comes between the two meets the block.
        let rule = (Layer::Shield, Reason::Builtin(parsed.rule()));
        let selector = match parsed {
            Subject::Address(network) => Some(Selector::Addresses(vec![network])),
            Subject::Identity(identity) => SpiffeId::parse(&identity).ok().map(Selector::Identity),
            Subject::User(_) | Subject::Tenant(_) | Subject::Token(_) => None,
        };
        // A connection may carry calls of many, and calls of a client that a proxy stands before: only those end.
        let cut = self.with_engine(|engine| {
            selector.map_or(0, |selector| engine.cut(&selector, rule)) + engine.judge_again(JUDGED)
        });
        let cut = cut.unwrap_or(0);
        self.keep_blocks()?;
        by_kernel.map_err(|error| format!("block {} is in force above, but the kernel refused it: {error}", id.0))?;
        Ok(Blocked { id, cut, until, kernel, passes })
    }

    fn unblock(&self, subject: &str) -> Result<Value, String> {
        let all = self.force.blocks.list(now());
        let wanted = super::subject::parse(subject).ok();
        let fits = |block: &&Block| subject.parse() == Ok(block.id.0) || Some(&block.subject) == wanted.as_ref();
        let (mut lifted, mut by_kernel) = (0, Ok(()));
        for block in all.iter().filter(fits) {
            lifted += usize::from(self.force.blocks.lift(block.id).is_some());
            if let Subject::Address(network) = &block.subject {
                by_kernel = by_kernel.and(self.unblock_packet(network));
            }
        }
        self.deny_identities();
        self.keep_blocks()?;
        by_kernel?;
        if lifted == 0 { Err(format!("`{subject}` is not blocked")) } else { Ok(json!({ "lifted": lifted })) }
    }

    /// Has handshakes of the mesh refuse the identities that are blocked: the shield sees calls at the edge only.
    pub(super) fn deny_identities(&self) {
        let mut denylist = Denylist::default();
        for block in self.force.blocks.list(now()) {
            let until = match block.until {
                Until::At(until) => until,
                Until::Lifted => Timestamp(u64::MAX),
            };
            if let Subject::Identity(identity) = block.subject {
                denylist.deny(Denied::Identity(identity), until);
            }
        }
        self.with_engine(|engine| engine.shared().denylist.store(Arc::new(denylist)));
    }

    fn keep_blocks(&self) -> Result<(), String> {
        let Some(state) = &self.options.state else { return Ok(()) };
        let bytes = serde_json::to_vec(&self.force.blocks.list(now())).map_err(|error| error.to_string())?;
        state.write(BLOCKS_FILE, &bytes).map_err(|error| error.to_string())
    }

    fn token(&self, arguments: &Value) -> Result<Value, String> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default();
        let span = text("for");
        let (negative, digits) = span.strip_prefix('-').map_or((false, span), |digits| (true, digits));
        let span = milliseconds(digits).ok_or_else(|| format!("`{span}` is no span of time"))? / 1000;
        let now = now().seconds();
        let expires = if negative { now.saturating_sub(span) } else { now + span };
        let claims = json!({
            "iss": self.provider.issuer, "sub": text("sub"), "aud": text("aud"), "azp": "ringwall",
            "tenant_id": text("tenant"), "roles": arguments.get("roles").cloned().unwrap_or_default(),
            "iat": now.min(expires), "nbf": now.min(expires), "exp": expires,
        });
        Ok(json!({ "token": self.provider.sign(&claims)? }))
    }

    /// The manifests in force, as `explain --url` lowers them again.
    fn manifests(&self) -> Value {
        let one = |input: &Input| json!({ "name": input.name, "text": String::from_utf8_lossy(&input.bytes) });
        let stand_in = self.reach() == ringwall_pki::Reach::StandIn;
        json!({ "inputs": self.inputs().iter().map(one).collect::<Vec<_>>(), "stand_in": stand_in })
    }

    /// The records of the only call or connection whose id begins so.
    fn begun_with(&self, start: &str) -> Result<Vec<Value>, String> {
        if start.len() < SHORTEST {
            return Err(format!("`{start}` is too short for an id: at least {SHORTEST} characters"));
        }
        let mut all = self.recent(|record| record["id"].as_str().is_some_and(|id| id.starts_with(start)));
        let mut ids: Vec<String> = all.iter().filter_map(|record| record["id"].as_str().map(str::to_owned)).collect();
        ids.sort();
        ids.dedup();
        if ids.len() > 1 {
            return Err(format!("`{start}` begins {} ids: {}", ids.len(), ids.join(", ")));
        }
        all.sort_by_key(|record| record["time"].as_str().unwrap_or_default().to_owned());
        Ok(all)
    }

    fn explain(&self, id: &str) -> Result<Value, String> {
        let found = self.telemetry.find(id).map_err(|error| error.to_string())?;
        let found = if found.is_empty() { self.begun_with(id)? } else { found };
        let record = found.into_iter().next_back();
        let record =
            record.ok_or_else(|| format!("no call `{id}` is recorded; records are kept in a ring of fixed size"))?;
        let record = placed(&self.world().world, record);
        let text = crate::explain::text(&record);
        Ok(json!({ "record": record, "text": text }))
    }
}

/// A block that was set.
struct Blocked {
    id: BlockId,
    /// Live connections that were cut.
    cut: usize,
    until: Timestamp,
    /// From the command until the kernel had said yes.
    kernel: Option<Duration>,
    /// Whether it does not hold at the machine's links, because its subject is never blocked there.
    passes: bool,
}

/// What the tour asks.
impl Platform {
    /// The record of a refused call, with the layer and the place of its rule.
    pub async fn record(&self, id: &str) -> Option<Value> {
        if id.is_empty() {
            return None;
        }
        let found = self.find(|| self.telemetry.find(id).ok()?.into_iter().next_back()).await?;
        Some(placed(&self.world().world, found))
    }

    /// The newest record of a connection to that socket that carried no call.
    pub async fn latest_connection(&self, to: SocketAddr) -> Option<Value> {
        let current = self.world();
        let owner = current.world.inventory.workload(current.bound.get(&to)?.workload)?.full_name();
        let fits = |record: &Value| {
            record.get("workload").and_then(Value::as_str) == Some(&owner) && record.get("start_time").is_some()
        };
        let newest = || {
            let ids = self.recent_connections();
            ids.into_iter().rev().find(|record| fits(record))
        };
        Some(placed(&current.world, self.find(newest).await?))
    }

    /// The newest record of a packet between these two.
    pub async fn latest_packet(&self, from: IpAddr, to: SocketAddr) -> Option<Value> {
        let (from, destination) = (from.to_string(), to.ip().to_string());
        let fits = |record: &Value| {
            record["role"] == "packet"
                && record["peer"] == *from
                && record["destination"] == *destination
                && record["port"] == to.port()
        };
        let newest = || self.recent_connections().into_iter().rev().find(|record| fits(record));
        Some(placed(&self.world().world, self.find(newest).await?))
    }

    /// Who the newest call to a workload came from, by its certificate.
    pub async fn latest_principal(&self, workload: &str) -> Option<String> {
        let fits = |record: &Value| record["role"] == "inbound" && record["workload"] == *workload;
        let newest = || self.recent_calls().into_iter().rev().find(|record| fits(record));
        Some(self.find(newest).await?["principal"].as_str()?.to_owned())
    }

    /// Ends the blocks of a subject.
    pub fn lift(&self, subject: &str) {
        // A block that ended by itself meanwhile is as well.
        drop(self.unblock(subject));
    }

    /// All records of the ring that fit.
    fn recent(&self, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.telemetry.flush();
        let mut all: Vec<Value> = Vec::new();
        for name in ["decisions-0.jsonl", "decisions-1.jsonl"] {
            let text = std::fs::read_to_string(self.traces.join(name)).unwrap_or_default();
            all.extend(text.lines().filter_map(|line| serde_json::from_str(line).ok()).filter(&fits));
        }
        all
    }

    /// The records of calls, oldest first.
    pub fn recent_calls(&self) -> Vec<Value> {
        let mut all = self.recent(|record| record.get("time").is_some());
        all.sort_by_key(|record| record["time"].as_str().unwrap_or_default().to_owned());
        all
    }

    fn recent_connections(&self) -> Vec<Value> {
        let mut all = self.recent(|record| record.get("start_time").is_some());
        all.sort_by_key(|record| record["start_time"].as_str().unwrap_or_default().to_owned());
        all
    }

    /// Records are written by a thread of their own: looks again for a moment.
    async fn find(&self, look: impl Fn() -> Option<Value>) -> Option<Value> {
        for _ in 0..40 {
            if let Some(record) = look() {
                return Some(record);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        None
    }

    /// The edge's socket for that port of the manifests.
    pub fn edge(&self, port: u16) -> SocketAddr {
        let current = self.world();
        let found =
            current.bound.values().find(|listener| listener.role == Role::Edge && listener.address.port() == port);
        found.map_or(NOWHERE, |listener| listener.bind)
    }

    /// A workload's inbound socket.
    pub fn inbound(&self, workload: &str, port: u16) -> SocketAddr {
        self.world().listener(Role::Inbound, workload, Some(port)).map_or(NOWHERE, |listener| listener.bind)
    }

    /// A workload's outbound socket.
    pub fn outbound(&self, workload: &str) -> SocketAddr {
        self.world().listener(Role::Outbound, workload, None).map_or(NOWHERE, |listener| listener.bind)
    }

    /// The roots that a client of the edge must trust.
    pub fn edge_roots(&self) -> Vec<CertificateDer<'static>> {
        vec![self.authorities.edge.root().clone()]
    }

    /// The same in PEM.
    pub fn edge_root_pem(&self) -> String {
        self.authorities.edge.root_pem()
    }

    /// A new SVID of a service account: its chain, and its key in PKCS#8.
    pub fn identity(&self, namespace: &str, account: &str) -> Option<(Vec<CertificateDer<'static>>, Vec<u8>)> {
        let domain = &self.world().world.inventory.trust_domain;
        identity_of(&self.authorities, domain, namespace, account)
    }

    /// An SVID of the same names, signed by somebody else.
    pub fn foreign_identity(
        &self,
        domain: &str,
        namespace: &str,
        account: &str,
    ) -> Option<(Vec<CertificateDer<'static>>, Vec<u8>)> {
        let foreign = Authorities::open(None, self.authorities.svid_lifetime, now()).ok()?;
        identity_of(&foreign, domain, namespace, account)
    }

    /// A token with exactly these claims; empty when the library fails.
    pub fn sign(&self, claims: &Value) -> String {
        self.provider.sign(claims).unwrap_or_default()
    }

    /// Replaces the issuer's signing key.
    ///
    /// # Errors
    /// When the library makes no key.
    pub fn rotate_issuer_key(&self) -> Result<(), String> {
        self.provider.rotate()
    }

    /// Blocks an address for so many milliseconds.
    ///
    /// # Errors
    /// A sentence.
    pub fn block(&self, subject: &str, milliseconds: u64) -> Result<(), String> {
        self.block_for(subject, Millis(milliseconds), "the tour", "tour").map(drop)
    }

    /// Serial number of the edge's first certificate.
    pub fn edge_serial(&self) -> String {
        self.live().edge.first().map(|edge| edge.serial.clone()).unwrap_or_default()
    }

    /// Reads the manifests again with one more.
    ///
    /// # Errors
    /// The findings, when the World was not taken.
    pub async fn add_manifest(&self, name: &str, text: &str) -> Result<u64, String> {
        let mut inputs = self.live().inputs.clone();
        inputs.retain(|input| input.name != name);
        inputs.push(Input { name: name.into(), bytes: text.into() });
        self.take(inputs, "tour", None).map_err(|NotUp(why)| why)
    }

    /// The manifests in force.
    pub fn inputs(&self) -> Vec<Input> {
        self.live().inputs.clone()
    }

    /// Ends a workload's applications.
    pub fn stop_app(&self, workload: &str) {
        let current = self.world();
        let Some(found) = current.world.inventory.workloads.iter().find(|it| it.full_name() == workload) else {
            return;
        };
        let mut live = self.live();
        let stopped: Vec<_> = live.started.keys().filter(|(address, _)| *address == found.address).copied().collect();
        for key in stopped {
            if let Some(at) = live.started.remove(&key) {
                self.apps.remove(at);
            }
        }
    }

    /// Closes all listeners of a workload and cuts what is open: as if its process were killed.
    pub fn stop_workload(&self, workload: &str) {
        let current = self.world();
        let mut live = self.live();
        let of = |listener: &Listener| {
            current.world.inventory.workload(listener.workload).is_some_and(|owner| owner.full_name() == workload)
        };
        let gone: Vec<SocketAddr> =
            live.served.iter().filter(|(_, (_, listener))| of(listener)).map(|(at, _)| *at).collect();
        for at in gone {
            if let Some((id, _)) = live.served.remove(&at) {
                self.with_engine(|engine| engine.close(id));
            }
        }
    }

    /// A way to the edge with a PROXY protocol header that names that client.
    pub fn behind_balancer(&self, mut way: crate::demo::client::Way, client: &str) -> crate::demo::client::Way {
        way.prelude = format!("PROXY TCP4 {client} {} 40000 {}\r\n", way.to.ip(), way.to.port()).into_bytes();
        way
    }
}

/// Adds layer, rule and place to a record, from the words it was refused with.
fn placed(world: &ringwall_manifest::World, mut record: Value) -> Value {
    let said = record.get("refused_by").and_then(Value::as_str).unwrap_or_default().to_owned();
    let (layer, rule) = said.split_once(": ").unwrap_or_default();
    let names =
        (0..world.rules.len()).filter_map(|id| world.rules.name(ringwall_model::RuleId(u32::try_from(id).ok()?)));
    let place = names.filter(|name| name.to_string() == rule).find_map(|name| name.place.clone());
    let place = place.map(|place| world.sources.locate(&place)).unwrap_or_default();
    if let Some(fields) = record.as_object_mut() {
        fields.insert("layer".into(), layer.into());
        fields.insert("rule".into(), rule.into());
        fields.insert("place".into(), place.into());
    }
    record
}

/// Where nothing listens: the discard port of loopback.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

fn identity_of(
    authorities: &Authorities,
    domain: &str,
    namespace: &str,
    account: &str,
) -> Option<(Vec<CertificateDer<'static>>, Vec<u8>)> {
    let id = SpiffeId::of_service_account(domain, namespace, account).ok()?;
    let issued = authorities.svid(&id, now()).ok()?;
    match issued.key {
        PrivateKeyDer::Pkcs8(key) => Some((issued.chain, key.secret_pkcs8_der().to_vec())),
        _ => None,
    }
}

fn show_block(block: &Block) -> Value {
    let until = match block.until {
        Until::At(time) => time.rfc3339(),
        Until::Lifted => "until lifted".into(),
    };
    json!({ "id": block.id.0, "subject": super::subject::render(&block.subject), "until": until, "reason": &*block.reason,
        "by": super::subject::origin(&block.origin) })
}

/// The layers that this build enforces and those that it does not, with the reason.
pub const NOT_IN_FORCE: &[(Layer, &str)] = &[(
    Layer::Packet,
    "in the kernel; NetworkPolicy is enforced on the connections that this wall carries, by identity",
)];

/// The answerer of the control socket.
pub fn answerer(platform: &Arc<Platform>) -> Arc<ringwall_control::socket::Answerer> {
    let platform = Arc::downgrade(platform);
    Arc::new(move |command, arguments| match platform.upgrade() {
        Some(platform) => platform.answer(command, arguments),
        None => Err("the wall is ending".into()),
    })
}
