//! A route as it is carried out: destinations resolved, shares summed, edits ready.
//!
//! In: one [`Plan`], a call, dice. Out: a [`Selection`]. Never: a look at other routes.

use super::cors::{self, Answer};
use super::rewrite;
use super::table::Entry;
use super::{
    Abort, DirectResponse, Fault, HeaderOps, MirrorChoice, Redirect, Retries, Rewrite, RouteChoice, RouteReply, Routes,
    Selection, Toward, no_upstream,
};
use bytes::Bytes;
use ringwall_model::{Call, Edit, FieldEdit, Host, Millis, Reason, Reply, RuleId, ServiceId};
use std::sync::Arc;

/// What a route does.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) because: RuleId,
    pub(crate) name: Arc<str>,
    pub(crate) action: PlanAction,
    pub(crate) headers: HeaderOps,
    pub(crate) rewrite: Option<Rewrite>,
    pub(crate) timeout: Option<Millis>,
    pub(crate) retries: Arc<Retries>,
    pub(crate) fault: Option<Arc<Fault>>,
    pub(crate) mirrors: Vec<(u32, PlanTarget)>,
    pub(crate) cors: Option<Arc<cors::Cors>>,
}

/// What happens to a call.
#[derive(Clone, Debug)]
pub(crate) enum PlanAction {
    /// Goes to one of these; the sum of their weights is `total`.
    Forward { targets: Vec<PlanTarget>, total: u64 },
    /// Is sent elsewhere.
    Redirect(Redirect),
    /// Is answered.
    Respond(DirectResponse),
}

/// A destination with its service looked up.
#[derive(Clone, Debug)]
pub(crate) struct PlanTarget {
    pub host: Host,
    /// `None`: nothing declares that host.
    pub service: Option<ServiceId>,
    /// `None`: the port that was called.
    pub port: Option<u16>,
    pub subset: Option<Arc<str>>,
    /// Whether some rule declares the subset.
    pub subset_known: Known,
    pub weight: u32,
    pub headers: HeaderOps,
}

/// Whether something is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Yes,
    No,
}

impl Plan {
    /// Carries the route out for a call that came in on `port`.
    pub(crate) fn select(&self, routes: &Routes, entry: &Entry, call: &Call, port: u16, dice: u64) -> Selection {
        let mut response_edits = Vec::new();
        if let Some(cors) = &self.cors {
            match cors::judge(cors, call) {
                Answer::Nothing => {}
                Answer::Fields(fields) => response_edits = fields,
                Answer::Preflight(reply) => return self.reply(reply, Vec::new(), None, "", "cors"),
            }
        }
        let (delay, abort) = self.faults(dice);
        if let Some(abort) = abort {
            return self.reply(abort_reply(abort), response_edits, delay, "FI", "fault_filter_abort");
        }
        match &self.action {
            PlanAction::Forward { targets, total } => {
                self.forward(routes, entry, call, port, dice, Forward { targets, total: *total, delay, response_edits })
            }
            PlanAction::Redirect(redirect) => {
                let fields = vec![("location", rewrite::location(redirect, call))];
                let reply = Reply::Http { status: redirect.status, fields, body: Bytes::new() };
                self.headers.response.response_edits(call, &mut response_edits);
                self.reply(reply, response_edits, delay, "", "direct_response")
            }
            PlanAction::Respond(direct) => {
                let reply = if direct.body.is_empty() {
                    Reply::Http { status: direct.status, fields: Vec::new(), body: Bytes::new() }
                } else {
                    Reply::text(direct.status, direct.body.clone())
                };
                self.headers.response.response_edits(call, &mut response_edits);
                self.reply(reply, response_edits, delay, "", "direct_response")
            }
        }
    }

    fn forward(
        &self,
        routes: &Routes,
        entry: &Entry,
        call: &Call,
        port: u16,
        dice: u64,
        forward: Forward<'_>,
    ) -> Selection {
        let Forward { targets, total, delay, mut response_edits } = forward;
        let Some(target) = by_weight(targets, total, dice, |target| target.weight) else { return no_upstream(routes) };
        let (Some(service), Known::Yes) = (target.service, target.subset_known) else { return no_upstream(routes) };
        let mut edits = Vec::new();
        let single = targets.len() == 1;
        self.request_edits(target, single, call, &mut edits);
        if let Some(rewrite) = &self.rewrite {
            rewrite.edits(call, entry.matching.uri.as_ref(), &mut edits);
        }
        self.response_edits(target, single, call, &mut response_edits);
        let mirrors = (1_u64..)
            .zip(&self.mirrors)
            .filter(|(nth, (share, mirror))| mirror.is_there() && lot(dice, 3 + nth) < *share);
        Selection::Route(RouteChoice {
            because: Reason::Rule(self.because),
            name: Arc::clone(&self.name),
            host: Arc::clone(&target.host),
            port: target.port.unwrap_or(port),
            subset: target.subset.clone(),
            toward: Toward::Service(service),
            edits,
            response_edits,
            timeout: self.timeout,
            retries: Arc::clone(&self.retries),
            delay,
            mirrors: mirrors.map(|(_, (_, mirror))| mirror.copy(port)).collect(),
        })
    }

    /// With one destination Istio joins its operations behind the route's; with several Envoy does the destination's
    /// first.
    fn request_edits(&self, target: &PlanTarget, single: bool, call: &Call, edits: &mut Vec<Edit>) {
        let (first, second) = if single { (&self.headers, &target.headers) } else { (&target.headers, &self.headers) };
        first.request.request_edits(call, edits);
        second.request.request_edits(call, edits);
    }

    fn response_edits(&self, target: &PlanTarget, single: bool, call: &Call, edits: &mut Vec<FieldEdit>) {
        let (first, second) = if single { (&self.headers, &target.headers) } else { (&target.headers, &self.headers) };
        first.response.response_edits(call, edits);
        second.response.response_edits(call, edits);
    }

    fn faults(&self, dice: u64) -> (Option<Millis>, Option<Abort>) {
        let Some(fault) = &self.fault else { return (None, None) };
        let delay = fault.delay.filter(|(_, share)| lot(dice, 1) < *share).map(|(delay, _)| delay);
        let abort = fault.abort.filter(|(_, share)| lot(dice, 2) < *share).map(|(abort, _)| abort);
        (delay, abort)
    }

    fn reply(
        &self,
        reply: Reply,
        response_edits: Vec<FieldEdit>,
        delay: Option<Millis>,
        flag: &'static str,
        details: &'static str,
    ) -> Selection {
        let (because, name) = (Reason::Rule(self.because), Arc::clone(&self.name));
        Selection::Reply(RouteReply { because, name, reply, response_edits, delay, flag, details })
    }
}

/// What a route goes on with once it is clear that it forwards.
struct Forward<'a> {
    targets: &'a [PlanTarget],
    total: u64,
    delay: Option<Millis>,
    response_edits: Vec<FieldEdit>,
}

impl PlanTarget {
    fn is_there(&self) -> bool {
        self.service.is_some() && self.subset_known == Known::Yes
    }

    fn copy(&self, port: u16) -> MirrorChoice {
        MirrorChoice { host: Arc::clone(&self.host), port: self.port.unwrap_or(port), subset: self.subset.clone() }
    }
}

/// The one that the dice fall on; all of them when there is only one, whatever its weight.
pub(crate) fn by_weight<T>(targets: &[T], total: u64, dice: u64, weight: impl Fn(&T) -> u32) -> Option<&T> {
    if let [only] = targets {
        return Some(only);
    }
    let mut left = spread(dice, 0).checked_rem(total)?;
    targets.iter().find(|target| {
        let weight = u64::from(weight(target));
        let hit = left < weight;
        left = left.saturating_sub(weight);
        hit
    })
}

/// A number below a million, another one for each `salt`.
fn lot(dice: u64, salt: u64) -> u32 {
    u32::try_from(spread(dice, salt) % 1_000_000).unwrap_or(0)
}

/// Independent bits for each `salt` (the finalizer of SplitMix64).
fn spread(dice: u64, salt: u64) -> u64 {
    let mixed = dice.wrapping_add(salt.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn abort_reply(abort: Abort) -> Reply {
    match abort {
        Abort::Http(status) => Reply::text(status, "fault filter abort"),
        Abort::Grpc(status) => {
            let fields = vec![
                ("content-type", Bytes::from_static(b"application/grpc")),
                ("grpc-status", Bytes::from(status.to_string())),
                ("grpc-message", Bytes::from_static(b"fault filter abort")),
            ];
            Reply::Http { status: 200, fields, body: Bytes::new() }
        }
    }
}
