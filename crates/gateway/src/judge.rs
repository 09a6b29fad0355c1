//! What the plugins of a route say of a call, and where the call then goes.
//!
//! In: a [`Gateway`], the route that [`crate::route::select`] found, the call, what is known. Out: [`Verdict`]. Never:
//! effects. Asking again with more answers begins from the start and comes to the same, so an `Ask` is resumed by
//! calling again.

mod forwarded;
mod target;

pub use crate::plugin::rate_limiting::{limit_fields, limited, tolerate};
pub use target::{Target, Tls, balance};

use crate::plugin::{self, Outcome, PluginIndex};
use crate::walk::Walk;
use crate::{Compatibility, Gateway, Selected, reply, route};
use ringwall_model::{Call, Caller, Decision, Edit, FieldEdit, Judgement, Reason, Reply, Step, edit::same_when_folded};
use ringwall_token::Known;
use std::sync::Arc;

/// All that the gateway says of a call.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The decision, the edits and the takes. ORDER: takes are committed before anything goes upstream.
    pub judgement: Judgement,
    /// Who is calling, as far as a plugin verified it.
    pub caller: Caller,
    /// Changes to the response's fields, also to a refusal's: Kong's response phases run for both.
    pub response_edits: Vec<FieldEdit>,
    /// The longest body the call may have, in bytes; the data plane counts a body of unknown length.
    pub body_limit: Option<u64>,
    /// Where the call goes; `None` when it is refused.
    pub upstream: Option<Target>,
    /// Name of the route.
    pub route: Arc<str>,
    /// Name of the service, if the route has one.
    pub service: Option<Arc<str>>,
    /// Which takes belong to which plugin: for [`limited`] and [`limit_fields`].
    pub limits: Vec<Limit>,
}

/// The takes of one plugin: `first .. first + count` of the judgement's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The plugin.
    pub plugin: PluginIndex,
    /// Index of its first take.
    pub first: usize,
    /// How many takes it has.
    pub count: usize,
}

/// Lets the plugins of a route judge a call, in Kong's order. `random` are 128 bits for this call.
pub fn request(
    gateway: &Gateway,
    selected: &Selected,
    call: &Call,
    known: &Known<'_>,
    random: u128,
) -> Step<Box<Verdict>> {
    let mut walk = begin(gateway, selected, call, known, random);
    for slot in gateway.plan(selected.route).slots() {
        let Some(index) = slot.pick(walk.consumer) else { continue };
        let Some(plugin) = gateway.plugin(index) else { continue };
        match plugin::judge(index, plugin, &mut walk) {
            Outcome::Pass => {}
            Outcome::Ask(question) => return Step::Ask(question),
            Outcome::Refuse(reply) => return Step::Done(Box::new(refuse(walk, Reason::Rule(plugin.rule), reply))),
        }
    }
    Step::Done(Box::new(finish(walk)))
}

fn begin<'a>(
    gateway: &'a Gateway,
    selected: &'a Selected,
    call: &'a Call,
    known: &'a Known<'a>,
    random: u128,
) -> Walk<'a> {
    let service = selected.service.and_then(|index| gateway.service(index));
    let path = gateway
        .route(selected.route)
        .map(|route| route::upstream_path(route, service, selected.matched, &call.views.kong))
        .unwrap_or_default();
    let mut walk = Walk {
        gateway,
        selected,
        call,
        known,
        random,
        caller: Caller::default(),
        consumer: None,
        groups: Vec::new(),
        edits: Vec::new(),
        response: Vec::new(),
        takes: Vec::new(),
        limits: Vec::new(),
        body_limit: None,
        path,
    };
    if gateway.settings.compatibility == Compatibility::Safe {
        drop_claimed_identity(&mut walk);
    }
    walk
}

/// Fields by which the gateway tells services who is calling. Kong replaces them when it has authenticated someone, and
/// lets a client's own through when no plugin did.
const IDENTITY_FIELDS: [&str; 8] = [
    "X-Consumer-ID",
    "X-Consumer-Username",
    "X-Consumer-Custom-ID",
    "X-Consumer-Groups",
    "X-Authenticated-Groups",
    "X-Credential-Identifier",
    "X-Anonymous-Consumer",
    "X-Userinfo",
];

fn drop_claimed_identity(walk: &mut Walk<'_>) {
    for name in IDENTITY_FIELDS {
        if walk.call.fields.iter().any(|field| same_when_folded(&field.name, name.as_bytes())) {
            walk.take_out(name);
        }
    }
}

fn finish(mut walk: Walk<'_>) -> Verdict {
    let Some(route) = walk.gateway.route(walk.selected.route) else {
        let reply = reply::message(404, "no Route matched with those values", walk.call.id);
        return refuse(walk, Reason::Builtin("gateway/no-route"), reply);
    };
    let Some(upstream) = target::of(&walk, route) else {
        let reply = reply::message(503, "no Service found with those values", walk.call.id);
        return refuse(walk, Reason::Builtin("gateway/no-service"), reply);
    };
    forwarded::tell(&mut walk, route);
    if walk.path != walk.call.views.istio || walk.path != route::without_query(&walk.call.target) {
        walk.edits.push(Edit::Path(walk.path.clone()));
    }
    if upstream.authority != walk.call.authority {
        walk.edits.push(Edit::Authority(upstream.authority.clone()));
    }
    let because = Reason::Rule(route.rule);
    let judgement = Judgement {
        decision: Decision::Pass { because },
        edits: std::mem::take(&mut walk.edits),
        takes: std::mem::take(&mut walk.takes),
        delay: None,
    };
    verdict(walk, judgement, Some(upstream))
}

/// A refusal changes nothing of the request, but keeps the takes: Kong counts a call when its limiter runs, and a later
/// plugin's refusal does not give it back.
fn refuse(walk: Walk<'_>, because: Reason, reply: Reply) -> Verdict {
    let takes = walk.takes.clone();
    let judgement = Judgement { takes, ..Judgement::refuse(because, reply) };
    verdict(walk, judgement, None)
}

fn verdict(walk: Walk<'_>, judgement: Judgement, upstream: Option<Target>) -> Verdict {
    let service = walk.selected.service.and_then(|index| walk.gateway.service(index));
    Verdict {
        judgement,
        caller: walk.caller,
        response_edits: walk.response,
        body_limit: walk.body_limit,
        upstream,
        route: walk.gateway.route(walk.selected.route).map(|route| Arc::clone(&route.name)).unwrap_or_default(),
        service: service.map(|service| Arc::clone(&service.name)),
        limits: walk.limits,
    }
}

#[cfg(test)]
mod tests;
