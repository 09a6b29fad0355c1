//! The shield's policy as data: what a `ShieldPolicy` resource means, after lowering.
//!
//! In: lowered resources, or plain data of an Envoy filter. Out: [`Shield`], read by `judge`. Never: state.

use crate::AddressSet;
use bytes::Bytes;
use ipnet::IpNet;
use ringwall_model::{Budget, Millis, Reason, Reply, RuleId, Take, WorkloadId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All policies of one World, in the order of namespace and name. Each policy that applies to a workload must be
/// satisfied.
#[derive(Clone, Debug, Default)]
pub struct Shield {
    /// The policies.
    pub policies: Vec<Policy>,
}

impl Shield {
    /// The policies that apply to a workload's listeners.
    pub fn at(&self, workload: WorkloadId) -> impl Iterator<Item = &Policy> {
        self.policies.iter().filter(move |policy| policy.applies.holds(workload))
    }

    /// What to do with a call when the store of counters cannot answer for this take. A take that is not of this
    /// shield is refused.
    pub fn on_store_failure(&self, take: &Take) -> OnStoreFailure {
        let mut limits = self.policies.iter().flat_map(|policy| &policy.limits);
        limits.find(|limit| limit.owns(take.because)).map_or(OnStoreFailure::Refuse, |limit| limit.on_store_failure)
    }

    /// Names of all feeds that some policy reads; the shell fetches these into [`crate::Facts`].
    pub fn feeds(&self) -> BTreeSet<Arc<str>> {
        self.policies.iter().flat_map(|policy| &policy.reputation.feeds).map(|(name, _)| name.clone()).collect()
    }

    /// Names of all address databases that some policy reads; the shell loads these into [`crate::Facts`].
    pub fn databases(&self) -> BTreeSet<Arc<str>> {
        let countries = self.policies.iter().filter_map(|policy| policy.geography.as_ref()).map(|g| g.database.clone());
        let systems = self.policies.iter().filter_map(|policy| policy.systems.as_ref()).map(|s| s.database.clone());
        countries.chain(systems).collect()
    }
}

/// One policy.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Whose listeners it guards.
    pub applies: Applies,
    /// Addresses that pass automatic blocks, reputation, geography, systems and per-address limits unseen. They still
    /// count against global limits, and a block set by a person still holds them.
    pub allow: AddressSet<RuleId>,
    /// Rate limits.
    pub limits: Vec<Limit>,
    /// Connection limits.
    pub connections: Option<ConnectionLimits>,
    /// Addresses known to be bad.
    pub reputation: Reputation,
    /// Countries.
    pub geography: Option<Geography>,
    /// Autonomous systems.
    pub systems: Option<Systems>,
    /// Where a credential may stand.
    pub credentials: Credentials,
}

impl Policy {
    /// The policy that Envoy's `connection_limit` network filter is (`max_connections`, `delay`), per listener of the
    /// workloads it is patched into. `stable` is the rule's [`ringwall_model::RuleName::stable`].
    pub fn of_connection_limit(applies: Applies, because: RuleId, stable: u64, max: u64, delay: Millis) -> Self {
        let listener = ConnectionLimit { because, stable, max };
        Self {
            applies,
            connections: Some(ConnectionLimits { listener: Some(listener), address: None, delay }),
            ..Self::default()
        }
    }

    /// The policy that a fixed list of refused addresses in an Envoy Lua filter is. It is compared with the client
    /// address derived from trusted hops, not with the text of `X-Forwarded-For`, which any client may write.
    pub fn of_address_list(applies: Applies, addresses: &[(IpNet, RuleId)], status: u16, body: Bytes) -> Self {
        let mut entries = AddressSet::default();
        addresses.iter().for_each(|(network, because)| _ = entries.insert(*network, *because));
        let deny = AddressList { entries, reply: Reply::text(status, body) };
        Self { applies, reputation: Reputation { deny, feeds: Vec::new() }, ..Self::default() }
    }
}

/// Whose listeners a policy guards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Applies {
    /// All workloads.
    #[default]
    Everywhere,
    /// These workloads.
    To(BTreeSet<WorkloadId>),
}

impl Applies {
    /// Whether it applies to this workload.
    pub fn holds(&self, workload: WorkloadId) -> bool {
        match self {
            Self::Everywhere => true,
            Self::To(workloads) => workloads.contains(&workload),
        }
    }
}

/// One rate limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its rule.
    pub because: RuleId,
    /// [`ringwall_model::RuleName::stable`] of that rule, so that counts survive a reload.
    pub stable: u64,
    /// Who shares one budget.
    pub scope: Scope,
    /// The budget.
    pub budget: Budget,
    /// Global limits only: the part of the budget that calls without a verified caller may use.
    pub unauthenticated: Option<UnauthenticatedPart>,
    /// What holds when the store of counters fails.
    pub on_store_failure: OnStoreFailure,
}

impl Limit {
    fn owns(&self, reason: Reason) -> bool {
        let part = self.unauthenticated.as_ref().map(|part| Reason::Rule(part.because));
        reason == Reason::Rule(self.because) || Some(reason) == part
    }
}

/// The part of a global budget that calls without a verified caller may use. They take from both budgets, verified
/// calls only from the global one; so a flood without credentials (or with false ones) leaves the rest to others, and
/// verified calls may use the whole budget when nobody else calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnauthenticatedPart {
    /// Its rule.
    pub because: RuleId,
    /// Stable number of that rule.
    pub stable: u64,
    /// The smaller budget, over the same window.
    pub budget: Budget,
}

/// Who shares one budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All calls.
    Global,
    /// All calls of one client address (IPv6: of one /64).
    Address,
    /// All calls of one verified user.
    User,
    /// All calls of one verified tenant.
    Tenant,
}

/// What holds for a call when the store of counters cannot answer (it is full of offenders, or, for a store outside
/// this process, out of reach).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStoreFailure {
    /// The call is refused.
    #[default]
    Refuse,
    /// The call goes on uncounted.
    Pass,
}

/// What holds for a call when a database or feed that a rule reads is not there, or does not know the address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMissing {
    /// The call is refused.
    #[default]
    Refuse,
    /// The call goes on.
    Pass,
}

/// Limits on connections that are open at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// For one listener.
    pub listener: Option<ConnectionLimit>,
    /// For one client address (IPv6: one /64).
    pub address: Option<ConnectionLimit>,
    /// A connection over the limit is closed after so long, so that a client cannot try again at full speed (Envoy's
    /// `connection_limit.delay`).
    pub delay: Millis,
}

/// So many connections at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimit {
    /// Its rule.
    pub because: RuleId,
    /// Stable number of that rule.
    pub stable: u64,
    /// How many.
    pub max: u64,
}

/// Addresses that are refused, and how.
#[derive(Clone, Debug)]
pub struct AddressList {
    /// Each network with its rule.
    pub entries: AddressSet<RuleId>,
    /// What a refused call gets.
    pub reply: Reply,
}

impl Default for AddressList {
    fn default() -> Self {
        Self { entries: AddressSet::default(), reply: forbidden() }
    }
}

/// Addresses known to be bad: a list of the policy's own, and feeds.
#[derive(Clone, Debug, Default)]
pub struct Reputation {
    /// The policy's own list.
    pub deny: AddressList,
    /// Feeds by name, each with its rule. A feed that has never been read refuses nobody; `check` and the metrics say
    /// that it is missing.
    pub feeds: Vec<(Arc<str>, RuleId)>,
}

/// Countries, by ISO 3166-1 alpha-2 code. Deny is judged before allow; an allow list that is present refuses the rest.
#[derive(Clone, Debug)]
pub struct Geography {
    /// The rule as a whole, named when the country is not on the allow list or not known.
    pub because: RuleId,
    /// Name of the address database.
    pub database: Arc<str>,
    /// Refused countries.
    pub deny: BTreeMap<[u8; 2], RuleId>,
    /// The only countries that pass, when there is such a list.
    pub allow: Option<BTreeMap<[u8; 2], RuleId>>,
    /// What holds for an address without a country.
    pub on_unknown: OnMissing,
    /// What holds for every address while the database is not there.
    pub on_missing: OnMissing,
}

/// Autonomous systems, by number. Deny is judged before allow; an allow list that is present refuses the rest.
#[derive(Clone, Debug)]
pub struct Systems {
    /// The rule as a whole.
    pub because: RuleId,
    /// Name of the address database.
    pub database: Arc<str>,
    /// Refused systems.
    pub deny: BTreeMap<u32, RuleId>,
    /// The only systems that pass, when there is such a list.
    pub allow: Option<BTreeMap<u32, RuleId>>,
    /// What holds for an address without a system.
    pub on_unknown: OnMissing,
    /// What holds for every address while the database is not there.
    pub on_missing: OnMissing,
}

/// Where a call may carry a credential. It only decides *when* a call is counted as unauthenticated: at once when it
/// carries none, after it was verified when it carries one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Names of fields.
    pub fields: Vec<Box<str>>,
    /// Names of query parameters.
    pub parameters: Vec<Box<str>>,
}

impl Default for Credentials {
    fn default() -> Self {
        let own = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect();
        Self {
            fields: own(&["authorization", "proxy-authorization", "x-api-key", "apikey", "cookie"]),
            parameters: own(&["jwt", "apikey", "access_token"]),
        }
    }
}

/// What a call from a refused address gets when its rule says nothing else.
pub fn forbidden() -> Reply {
    Reply::json(403, &b"{\"message\":\"Forbidden\"}"[..])
}
