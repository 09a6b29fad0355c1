//! `ShieldPolicy`: limits, lists and connections before the door of a workload.
//!
//! ```yaml
//! apiVersion: ringwall.dev/v1
//! kind: ShieldPolicy
//! metadata: { name: edge, namespace: istio-system }
//! spec:
//!   # Workloads of this namespace; absent: all of them, and in the root namespace all workloads of the mesh.
//!   selector: { matchLabels: { istio: ingressgateway } }
//!   # Judged first. Passes automatic blocks, reputation, geography, asn and limits per address; counts in global limits.
//!   allow: [10.0.0.0/8]
//!   limits:
//!   - scope: global               # global | address (IPv6: /64) | user | tenant (of the verified token)
//!     requests: 10000
//!     per: minute                 # calendar: second | minute | hour | day | month | year; sliding: a duration, `90s`
//!     unauthenticatedShare: 50    # hundredths of a global limit that calls without a verified caller may use; 50
//!     onStoreFailure: refuse      # refuse | pass; absent: as the policy says
//!   connections: { max: 10000, perAddress: 100, delay: 1s }
//!   reputation: { deny: [192.0.2.0/24], feeds: [spamhaus-drop] }
//!   geography: { database: country, deny: [KP], onUnknown: pass, onMissing: refuse }   # or `allow: [DE]`
//!   asn: { database: asn, deny: [64500] }
//!   credentials: { headers: [authorization], queryParameters: [jwt] }   # where a call may carry a credential
//!   onStoreFailure: refuse
//! ```
//!
//! What is wrong in a deny list denies, in an allow list allows nothing, in a limit admits nothing; and an error keeps
//! the whole World out.

mod lists;
#[cfg(test)]
mod tests;

use super::code;
use crate::node::{Cursor, read_duration};
use crate::resource::Resource;
use ringwall_model::{Budget, Inventory, Labels, Millis, RuleBook, RuleId, Selector, Severity, Window, WorkloadId};
use ringwall_shield::rules::{ConnectionLimit, Credentials};
use ringwall_shield::{Applies, ConnectionLimits, Limit, OnStoreFailure, Policy, Scope, UnauthenticatedPart};
use std::collections::BTreeSet;

/// Lowers one ShieldPolicy. The World sorts policies by namespace and name.
pub fn lower(resource: &Resource<'_>, inventory: &Inventory, rules: &mut RuleBook) -> Policy {
    let spec = resource.spec().required();
    let mut lowering = Lowering { resource, rules };
    let applies = applies(resource, spec.get("selector"), inventory);
    let on_store_failure = spec.get("onStoreFailure").enumeration(&ON_STORE_FAILURE).unwrap_or_default();
    let limits: Vec<Limit> = spec.get("limits").items().map(|limit| lowering.limit(limit, on_store_failure)).collect();
    let policy = Policy {
        applies,
        allow: lowering.allow(spec.get("allow")),
        connections: lowering.connections(spec.get("connections")),
        reputation: lowering.reputation(spec.get("reputation")),
        geography: lowering.geography(spec.get("geography")),
        systems: lowering.systems(spec.get("asn")),
        credentials: credentials(spec.get("credentials")),
        limits,
    };
    review(spec, &policy);
    policy
}

const ON_STORE_FAILURE: [(&str, OnStoreFailure); 2] =
    [("refuse", OnStoreFailure::Refuse), ("pass", OnStoreFailure::Pass)];

struct Lowering<'r, 'a> {
    resource: &'r Resource<'a>,
    rules: &'r mut RuleBook,
}

impl Lowering<'_, '_> {
    /// Enters the rule that stands at a cursor; with its number across Worlds.
    fn rule(&mut self, at: Cursor<'_>) -> (RuleId, u64) {
        let id = self.resource.rule_at(self.rules, at);
        (id, self.rules.name(id).map_or(0, |name| name.stable))
    }

    /// A limit that is not sound admits nothing.
    fn limit(&mut self, at: Cursor<'_>, default: OnStoreFailure) -> Limit {
        let (because, stable) = self.rule(at);
        let scope = at.get("scope").required().enumeration(&SCOPES).unwrap_or(Scope::Global);
        let requests = at.get("requests").required().integer(0..=i64::from(u32::MAX));
        let per = window(at.get("per").required());
        let store = at.get("onStoreFailure");
        let on_store_failure = store.enumeration(&ON_STORE_FAILURE).unwrap_or(default);
        if on_store_failure == OnStoreFailure::Pass {
            let title =
                "calls pass uncounted when the store of counters is full: a flood of addresses can bring that about";
            at.report(at.finding(code::FAILS_OPEN, Severity::Note, title));
        }
        let share = at.get("unauthenticatedShare");
        let hundredths = share.integer(0..=100);
        let (limit, window) = match (requests.and_then(|number| u64::try_from(number).ok()), per) {
            (Some(limit), Some(window)) => (limit, window),
            _ => (0, Window::Minute),
        };
        if scope != Scope::Global && share.is_present() {
            let title = "`unauthenticatedShare` has a meaning for a global limit only";
            share.report(share.finding(code::SHARE_WITHOUT_GLOBAL, Severity::Error, title));
        }
        let part = (scope == Scope::Global).then(|| hundredths.unwrap_or(DEFAULT_SHARE));
        let unauthenticated = part.filter(|part| *part < 100).map(|part| {
            let pointer = format!("{}/unauthenticatedShare", at.place().pointer);
            let because = self.resource.rule(self.rules, &pointer);
            let stable = self.rules.name(because).map_or(0, |name| name.stable);
            let limit = limit / 100 * part.unsigned_abs() + limit % 100 * part.unsigned_abs() / 100;
            UnauthenticatedPart { because, stable, budget: Budget { limit, window } }
        });
        if part == Some(100) {
            let title = "calls without a verified caller may use the whole limit: a flood of them shuts out everybody";
            share.report(share.finding(code::NO_SHARE, Severity::Warning, title));
        }
        Limit { because, stable, scope, budget: Budget { limit, window }, unauthenticated, on_store_failure }
    }

    fn connections(&mut self, at: Cursor<'_>) -> Option<ConnectionLimits> {
        if !at.is_present() {
            return None;
        }
        let delay = at.get("delay").duration().unwrap_or(Millis(0));
        let (max, each) = (at.get("max"), at.get("perAddress"));
        let listener = self.connection_limit(max);
        let address = self.connection_limit(each);
        let all = listener.as_ref().map(|limit| limit.max);
        match (all, &address) {
            (Some(all), Some(each)) if each.max >= all => {
                let title = "one address may take all connections of a listener";
                at.report(at.get("perAddress").finding(code::ONE_ADDRESS_TAKES_ALL, Severity::Warning, title));
            }
            (Some(_), None) => {
                let title = "no `perAddress`: one address may take all connections of a listener";
                at.report(at.finding(code::ONE_ADDRESS_TAKES_ALL, Severity::Warning, title));
            }
            _ => {}
        }
        Some(ConnectionLimits { listener, address, delay })
    }

    /// A limit that is written and not sound admits nothing.
    fn connection_limit(&mut self, at: Cursor<'_>) -> Option<ConnectionLimit> {
        if !at.is_present() {
            return None;
        }
        let max = at.integer(0..=i64::from(u32::MAX)).and_then(|number| u64::try_from(number).ok()).unwrap_or(0);
        let (because, stable) = self.rule(at);
        Some(ConnectionLimit { because, stable, max })
    }
}

const SCOPES: [(&str, Scope); 4] =
    [("global", Scope::Global), ("address", Scope::Address), ("user", Scope::User), ("tenant", Scope::Tenant)];

/// `unauthenticatedShare` when it is absent.
const DEFAULT_SHARE: i64 = 50;

/// The longest sliding window: a day.
const LONGEST_SLIDING: u64 = 86_400;

fn window(at: Cursor<'_>) -> Option<Window> {
    let calendar = [
        ("second", Window::Second),
        ("minute", Window::Minute),
        ("hour", Window::Hour),
        ("day", Window::Day),
        ("month", Window::Month),
        ("year", Window::Year),
    ];
    let text = at.string()?;
    if let Some((_, window)) = calendar.iter().find(|(word, _)| *word == text) {
        return Some(*window);
    }
    let help =
        "one of `second`, `minute`, `hour`, `day`, `month`, `year`, or a span of whole seconds up to a day, `90s`";
    let Some(span) = read_duration(text) else {
        return at.refuse_with(format!("`{text}` is not a window"), help);
    };
    let seconds = span.0 / 1000;
    if !span.0.is_multiple_of(1000) || !(1..=LONGEST_SLIDING).contains(&seconds) {
        return at.refuse_with(format!("a sliding window of `{text}` is not kept"), help);
    }
    u32::try_from(seconds).ok().map(Window::Sliding)
}

fn applies(resource: &Resource<'_>, selector: Cursor<'_>, inventory: &Inventory) -> Applies {
    let labels: Labels = selector.get("matchLabels").labels().unwrap_or_default();
    let root = *resource.namespace == *inventory.root_namespace;
    if root && labels.is_empty() && !selector.is_present() {
        return Applies::Everywhere;
    }
    let selector_of = Selector(labels);
    let workloads: BTreeSet<WorkloadId> =
        inventory.select(resource.namespace, &selector_of).map(|(id, _)| id).collect();
    if workloads.is_empty() {
        let title = format!("no workload of namespace `{}` is selected: the policy guards nothing", resource.namespace);
        selector.report(selector.finding(code::SELECTS_NOTHING, Severity::Warning, title));
    }
    Applies::To(workloads)
}

fn credentials(at: Cursor<'_>) -> Credentials {
    let own = |name: &'static str| {
        let names = at.get(name).strings()?;
        Some(names.into_iter().map(|name| Box::from(name.to_ascii_lowercase())).collect::<Vec<Box<str>>>())
    };
    let default = Credentials::default();
    let parameters = at.get("queryParameters").strings().map(|names| names.into_iter().map(Box::from).collect());
    Credentials {
        fields: own("headers").unwrap_or(default.fields),
        parameters: parameters.unwrap_or(default.parameters),
    }
}

/// What can be said of the policy as a whole.
fn review(spec: Cursor<'_>, policy: &Policy) {
    let empty = policy.limits.is_empty()
        && policy.connections.is_none()
        && policy.reputation.deny.entries.is_empty()
        && policy.reputation.feeds.is_empty()
        && policy.geography.is_none()
        && policy.systems.is_none();
    if empty {
        spec.report(spec.finding(code::EMPTY_POLICY, Severity::Warning, "the policy has no rule that could refuse"));
    }
    covered(spec);
    let least = |scope: Scope, window: Window| {
        let same = policy.limits.iter().filter(move |limit| limit.scope == scope && limit.budget.window == window);
        same.map(|limit| limit.budget.limit).min()
    };
    for (limit, at) in policy.limits.iter().zip(spec.get("limits").items()) {
        let all = least(Scope::Global, limit.budget.window);
        if limit.scope != Scope::Global && all.is_some_and(|all| limit.budget.limit >= all) {
            let title = "this limit is never reached: the global one of the same window is not above it";
            at.report(at.finding(code::UNREACHABLE_LIMIT, Severity::Warning, title));
        }
    }
}

/// Deny entries that never act, because an allow entry covers them.
fn covered(spec: Cursor<'_>) {
    let read = |entry: Cursor<'_>| entry.peek()?.as_str().and_then(ringwall_shield::address::network);
    let allow: Vec<_> = spec.get("allow").items().filter_map(read).collect();
    for entry in spec.get("reputation").get("deny").items() {
        let Some(network) = read(entry) else { continue };
        if let Some(by) = allow.iter().find(|allow| allow.contains(&network)) {
            let title = format!("`{network}` is never refused: `allow` has `{by}`, which is judged first");
            entry.report(entry.finding(code::DENY_COVERED, Severity::Warning, title));
        }
    }
}
