//! `rate-limiting` and `rate-limiting-advanced`: so many calls in so long.
//!
//! Kong reads a counter, lets the call go on and increments later, so bursts overshoot, and counts in Redis are spent
//! even by refused calls. Here a limit is a list of takes that the shell commits at once, all or none, before the call
//! goes on. Windows, headers and bodies are Kong's (`rate-limiting` 3.9; draft-ietf-httpapi-ratelimit-headers).

use super::{Config, Outcome, Plugin, PluginIndex};
use crate::judge::{Limit, Verdict};
use crate::scope::digest;
use crate::walk::Walk;
use crate::{Compatibility, Gateway, reply};
use bytes::Bytes;
use ringwall_model::{Budget, Call, FieldEdit, Reason, Reply, Spent, Take, TakeKey, Window};
use std::net::IpAddr;

/// Configuration of both plugins.
#[derive(Clone, Debug)]
pub struct RateLimiting {
    /// The limits; all hold.
    pub budgets: Vec<Budget>,
    /// Whose calls are counted together.
    pub limit_by: LimitBy,
    /// Whether responses say nothing of the limits.
    pub hide_client_headers: bool,
    /// Status of the refusal.
    pub error_code: u16,
    /// Message of the refusal.
    pub error_message: Box<str>,
    /// Whether calls pass when they cannot be counted (`fault_tolerant`).
    pub on_failure: OnFailure,
}

/// What a call that cannot be counted meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It passes.
    Pass,
    /// It is refused.
    #[default]
    Refuse,
}

/// Whose calls are counted together. Where a call has no such thing, its address counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LimitBy {
    /// The consumer, else the credential or verified user.
    #[default]
    Consumer,
    /// The credential or verified user.
    Credential,
    /// The client's address.
    Ip,
    /// The service: all callers together.
    Service,
    /// The value of a field.
    Header(Box<str>),
    /// Calls to exactly this path together.
    Path(Box<str>),
}

/// Adds the takes.
pub fn judge(index: PluginIndex, plugin: &Plugin, config: &RateLimiting, walk: &mut Walk<'_>) -> Outcome {
    let subject = subject(&config.limit_by, walk);
    let first = walk.takes.len();
    walk.takes.extend(config.budgets.iter().map(|budget| Take {
        because: Reason::Rule(plugin.rule),
        key: TakeKey { rule: plugin.stable, subject },
        budget: *budget,
    }));
    walk.limits.push(Limit { plugin: index, first, count: config.budgets.len() });
    Outcome::Pass
}

/// A number for whose call it is. Kinds are kept apart, so that no user can be named like an address.
fn subject(limit_by: &LimitBy, walk: &Walk<'_>) -> u128 {
    let named = |kind: &[u8], name: &[u8]| {
        let hash = digest(&[kind, b"\0", name].concat());
        hash.first_chunk::<16>().map_or(0, |bytes| u128::from_be_bytes(*bytes))
    };
    let caller = &walk.caller;
    let credential = || {
        let name = caller.credential.as_deref().or(caller.user.as_deref());
        name.map(|name| named(b"credential", name.as_bytes()))
    };
    let found = match limit_by {
        LimitBy::Consumer => walk.consumer().map(|it| named(b"consumer", it.id.as_bytes())).or_else(credential),
        LimitBy::Credential => credential(),
        LimitBy::Ip => None,
        LimitBy::Service => {
            let service = walk.selected.service.and_then(|index| walk.gateway.service(index));
            service.map(|service| named(b"service", service.name.as_bytes()))
        }
        LimitBy::Header(name) => walk.call.fields.first(name).map(|value| named(b"header", value)),
        LimitBy::Path(path) => (walk.call.views.kong == path.as_bytes()).then(|| named(b"path", path.as_bytes())),
    };
    found.unwrap_or_else(|| named(b"address", address(walk).to_string().as_bytes()))
}

/// The client's address; an IPv6 client owns at least a /64, so in [`Compatibility::Safe`] that counts.
fn address(walk: &Walk<'_>) -> IpAddr {
    match (walk.call.client.address.to_canonical(), walk.compatibility()) {
        (IpAddr::V6(address), Compatibility::Safe) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(network.into())
        }
        (address, _) => address,
    }
}

/// The configuration behind take number `take` of a verdict.
fn config_of<'a>(gateway: &'a Gateway, limit: &Limit) -> Option<&'a RateLimiting> {
    match &gateway.plugin(limit.plugin)?.config {
        Config::RateLimiting(config) | Config::RateLimitingAdvanced(config) => Some(config),
        _ => None,
    }
}

/// What the client gets when take number `index` of the verdict was refused.
pub fn limited(gateway: &Gateway, verdict: &Verdict, index: usize, spent: &Spent, call: &Call) -> Reply {
    let limit = verdict.limits.iter().find(|limit| (limit.first..limit.first + limit.count).contains(&index));
    let config = limit.and_then(|limit| config_of(gateway, limit));
    let (status, message) = config.map_or((429, "API rate limit exceeded"), |it| (it.error_code, &*it.error_message));
    let mut refusal = reply::message(status, message, call.id);
    if config.is_some_and(|config| config.hide_client_headers) {
        return refusal;
    }
    refusal = reply::with(refusal, "retry-after", spent.reset.max(1).to_string());
    let takes = limit.and_then(|limit| verdict.judgement.takes.get(limit.first..limit.first + limit.count));
    for take in takes.unwrap_or_default() {
        refusal = reply::with(refusal, names_of(take.budget.window).0, take.budget.limit.to_string());
    }
    refusal = reply::with(refusal, names_of(spent.budget.window).1, spent.remaining.to_string());
    refusal = reply::with(refusal, "ratelimit-limit", spent.budget.limit.to_string());
    refusal = reply::with(refusal, "ratelimit-remaining", spent.remaining.to_string());
    reply::with(refusal, "ratelimit-reset", spent.reset.max(1).to_string())
}

/// Takes out of a verdict the limit whose take number `index` cannot be counted, when its plugin lets such calls pass.
/// Says whether it did; then the rest of the takes is to be committed again.
pub fn tolerate(gateway: &Gateway, verdict: &mut Verdict, index: usize) -> OnFailure {
    let its = |limit: &Limit| (limit.first..limit.first + limit.count).contains(&index);
    let Some(place) = verdict.limits.iter().position(its) else { return OnFailure::Refuse };
    let limit = verdict.limits.get(place).copied();
    let Some(limit) = limit.filter(|it| config_of(gateway, it).is_some_and(|it| it.on_failure == OnFailure::Pass))
    else {
        return OnFailure::Refuse;
    };
    verdict.limits.remove(place);
    verdict.judgement.takes.drain(limit.first..limit.first + limit.count);
    for later in verdict.limits.iter_mut().filter(|later| later.first > limit.first) {
        later.first -= limit.count;
    }
    OnFailure::Pass
}

/// The response fields that tell what is left; `spent` are the answers to the verdict's takes, in their order.
pub fn limit_fields(gateway: &Gateway, verdict: &Verdict, spent: &[Spent]) -> Vec<FieldEdit> {
    let mut edits = Vec::new();
    for limit in &verdict.limits {
        let shows = config_of(gateway, limit).is_some_and(|config| !config.hide_client_headers);
        let Some(spent) = spent.get(limit.first..limit.first + limit.count).filter(|_| shows) else { continue };
        let mut set = |name: &'static str, value: u64| {
            edits.push(FieldEdit::Set(Bytes::from_static(name.as_bytes()), value.to_string().into()));
        };
        for one in spent {
            let (limit, remaining) = names_of(one.budget.window);
            set(limit, one.budget.limit);
            set(remaining, one.remaining);
        }
        // The tightest window; of equals the longest.
        if let Some(tightest) = spent.iter().min_by_key(|one| (one.remaining, std::cmp::Reverse(one.reset))) {
            set("ratelimit-limit", tightest.budget.limit);
            set("ratelimit-remaining", tightest.remaining);
            set("ratelimit-reset", tightest.reset.max(1));
        }
    }
    edits
}

/// Names of the fields for a window: its limit, and what is left.
const fn names_of(window: Window) -> (&'static str, &'static str) {
    match window {
        Window::Second | Window::Sliding(1) => ("x-ratelimit-limit-second", "x-ratelimit-remaining-second"),
        Window::Minute | Window::Sliding(60) => ("x-ratelimit-limit-minute", "x-ratelimit-remaining-minute"),
        Window::Hour | Window::Sliding(3600) => ("x-ratelimit-limit-hour", "x-ratelimit-remaining-hour"),
        Window::Day | Window::Sliding(86_400) => ("x-ratelimit-limit-day", "x-ratelimit-remaining-day"),
        Window::Month => ("x-ratelimit-limit-month", "x-ratelimit-remaining-month"),
        Window::Year => ("x-ratelimit-limit-year", "x-ratelimit-remaining-year"),
        // Field names of replies are fixed; Kong writes the seconds into the name of such a window.
        Window::Sliding(_) => ("x-ratelimit-limit", "x-ratelimit-remaining"),
    }
}
