//! The tour's scenarios: each sends real bytes through the running wall and says whether the wall held.
//!
//! In: a running platform. Out: a [`Report`]. Never: knowledge of how the wall decides; a scenario sees what a client
//! sees, and what `ringwall explain` would print for the id that came back.

mod edge;
pub mod ground;
mod identity;
mod life;
mod limits;
pub mod mesh;
mod stores;
mod waf;

use super::client::{Answer, Tls, Way, once};
use super::stage::Stage;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

/// A scenario's run.
pub type Run<'a> = Pin<Box<dyn Future<Output = Report> + 'a>>;

/// What runs it on a stage.
pub type Play = for<'a> fn(&'a Stage) -> Run<'a>;

/// One scenario.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// What happens, in a few words.
    pub name: &'static str,
    /// Whether it wants a platform for itself: one with small limits, or one that it will break.
    pub wants: Wants,
    /// Runs it.
    pub run: Play,
}

/// Which platform a scenario runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// The tour's own.
    Shared,
    /// A fresh one whose limit of that name admits this many calls a day.
    Limit(&'static str, u32),
    /// A fresh one with the manifests as they are.
    Fresh,
    /// A fresh one behind that many trusted HTTP proxies.
    Proxies(u8),
    /// A fresh one behind a balancer that speaks the PROXY protocol.
    Balancer,
    /// A fresh one without mutual TLS.
    Clear,
}

/// All scenarios, in the order of the tour.
pub fn all() -> Vec<Scenario> {
    [identity::LIST, edge::LIST, waf::LIST, mesh::LIST, stores::LIST, limits::LIST, life::LIST].concat()
}

/// What a scenario saw.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Whether the wall held.
    pub held: bool,
    /// In a few words, what came back: `refused 403`, `200 through bff-service`.
    pub saw: String,
    /// Status; 0 for none.
    pub status: u16,
    /// Whether it got through to what stands behind the wall.
    pub through: bool,
    /// Layer that decided.
    pub layer: String,
    /// Rule that decided.
    pub rule: String,
    /// Where that rule stands: `file:line:column`.
    pub place: String,
    /// The call's id.
    pub id: String,
    /// The bytes that were sent.
    pub request: String,
    /// The listener they were sent to.
    pub listener: String,
    /// What was expected, when it did not hold.
    pub wanted: String,
}

/// What a scenario expects of the deciding step.
#[derive(Clone, Copy, Debug)]
pub struct Expect {
    /// Status; 0 when the connection ends without a response.
    pub status: u16,
    /// Layer.
    pub layer: &'static str,
    /// A part of the rule's name.
    pub rule: &'static str,
    /// Whether a firewall that refuses first is as good.
    pub firewall: bool,
}

impl Expect {
    /// A refusal.
    pub const fn refused(status: u16, layer: &'static str, rule: &'static str) -> Self {
        Self { status, layer, rule, firewall: false }
    }

    /// The same, where a firewall that refuses first is as good.
    #[must_use]
    pub const fn or_firewall(mut self) -> Self {
        self.firewall = true;
        self
    }
}

/// Sends one request and expects a refusal by that rule.
pub async fn refuses(stage: &Stage, way: &Way, request: &[u8], expect: Expect) -> Report {
    let answer = once(way, request).await;
    judge(stage, way, request, &answer, expect).await
}

/// Sends one request and expects this status from the service itself.
pub async fn passes(way: &Way, request: &[u8], status: u16) -> Report {
    let answer = once(way, request).await;
    passed(way, request, &answer, status)
}

/// Makes the report of a call that should have passed.
pub fn passed(way: &Way, request: &[u8], answer: &Answer, status: u16) -> Report {
    let through = serde_json::from_slice::<serde_json::Value>(&answer.body).ok();
    let service = through.as_ref().and_then(|json| json.get("service")).and_then(|name| name.as_str());
    let failure = answer.failure.clone().map(|failure| format!(" ({failure})")).unwrap_or_default();
    Report {
        held: answer.status == status && answer.failure.is_none(),
        saw: service
            .map_or_else(|| format!("{}{failure}", answer.status), |name| format!("{} from {name}", answer.status)),
        status: answer.status,
        through: answer.through(),
        id: answer.field("x-request-id").unwrap_or_default().into(),
        wanted: format!("status {status}"),
        ..sent(way, request)
    }
}

/// Makes the report of a call that should have been refused.
pub async fn judge(stage: &Stage, way: &Way, request: &[u8], answer: &Answer, expect: Expect) -> Report {
    let id = answer.field("x-request-id").unwrap_or_default().to_owned();
    let record = stage.platform.record(&id).await;
    let text =
        |name: &str| record.as_ref().and_then(|it| it.get(name)?.as_str().map(str::to_owned)).unwrap_or_default();
    let (layer, rule) = (text("layer"), text("rule"));
    let held = answer.status == expect.status && named(&layer, &rule, expect);
    let failure = answer.failure.clone().unwrap_or_default();
    Report {
        held,
        saw: if answer.status == 0 {
            format!("connection ended: {failure}")
        } else if answer.through() {
            format!("passed {}", answer.status)
        } else {
            format!("refused {}", answer.status)
        },
        status: answer.status,
        through: answer.through(),
        layer,
        rule,
        place: text("place"),
        id,
        wanted: format!("{} by {} {}", expect.status, expect.layer, expect.rule),
        ..sent(way, request)
    }
}

/// Whether the deciding step is the expected one. Where a full rule set is in force, its firewall may see an attack before
/// the layer that would have refused it.
fn named(layer: &str, rule: &str, expect: Expect) -> bool {
    let firewall = layer == "waf" && rule.starts_with("SecRule/") && expect.firewall;
    firewall || (layer == expect.layer && rule.contains(expect.rule))
}

/// Expects that no connection comes to be, and that the log says why.
pub async fn no_connection(
    stage: &Stage,
    way: &Way,
    request: &[u8],
    layer: &'static str,
    rule: &'static str,
) -> Report {
    let answer = once(way, request).await;
    let record = stage.platform.latest_connection(way.to).await;
    let text =
        |name: &str| record.as_ref().and_then(|it| it.get(name)?.as_str().map(str::to_owned)).unwrap_or_default();
    let (seen_layer, seen_rule) = (text("layer"), text("rule"));
    Report {
        held: answer.status == 0 && seen_layer == layer && seen_rule.contains(rule),
        saw: format!(
            "no connection: {}",
            answer.failure.clone().unwrap_or_else(|| format!("answered {}", answer.status))
        ),
        status: answer.status,
        through: answer.through(),
        layer: seen_layer,
        rule: seen_rule,
        place: text("place"),
        id: text("id"),
        wanted: format!("no connection, by {layer} {rule}"),
        ..sent(way, request)
    }
}

/// A report with what was sent and where.
pub fn sent(way: &Way, request: &[u8]) -> Report {
    let shown = String::from_utf8_lossy(request.get(..request.len().min(2048)).unwrap_or_default()).into_owned();
    Report { request: shown, listener: way.to.to_string(), ..Report::default() }
}

/// TLS to a mesh listener, as that identity.
pub fn mutual(stage: &Stage, to: SocketAddr, namespace: &str, account: &str) -> Way {
    let identity = stage.platform.identity(namespace, account);
    let tls = Tls { name: "mesh.internal".into(), roots: Vec::new(), identity, old: super::client::Old::No };
    Way { to, from: None, prelude: Vec::new(), tls: Some(tls) }
}

/// A connection in clear text.
pub fn clear(to: SocketAddr) -> Way {
    Way { to, from: None, prelude: Vec::new(), tls: None }
}
