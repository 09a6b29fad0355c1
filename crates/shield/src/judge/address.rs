//! What is decided from an address alone: blocks, allowlists, deny lists, feeds, countries, autonomous systems.

use super::{Followed, State, blocked};
use crate::blocks::{Automatic, Known};
use crate::rules::{Geography, OnMissing, Policy, Shield, Systems, forbidden};
use crate::{Action, Facts};
use ringwall_model::{Builtin, Millis, Reason, Reply, RuleId, WorkloadId};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Numbers of policies.
pub(super) type Allowed = SmallVec<[usize; 4]>;

/// What an address gets.
pub(super) enum Verdict {
    /// It is kept out.
    Refused { because: Reason, reply: Reply },
    /// It passes; `allowed` holds the numbers of the policies whose allowlist it is on.
    Passes { because: Reason, delay: Option<Millis>, allowed: Allowed },
}

/// Refused by a rule of its own, when a database that a policy needs is not there.
const MISSING: Builtin = "shield/database-missing";

pub(super) fn judge(
    shield: &Shield,
    at: WorkloadId,
    known: &Known<'_>,
    followed: Followed,
    state: State<'_>,
) -> Verdict {
    let Some(address) = known.address else {
        return Verdict::Passes { because: Reason::NoRuleApplies, delay: None, allowed: Allowed::new() };
    };
    let allowing: SmallVec<[(usize, RuleId); 4]> =
        (0..).zip(shield.at(at)).filter_map(|(n, policy)| Some((n, *policy.allow.longest(address)?))).collect();
    let automatic = if allowing.is_empty() { Automatic::Count } else { Automatic::Ignore };
    let delay = match state.blocks.acting(known, automatic, state.now) {
        None => None,
        Some(block) => match block.action {
            Action::Delay(delay) => Some(delay),
            Action::Refuse | Action::Drop => {
                return Verdict::Refused { because: Reason::Builtin(block.subject.rule()), reply: blocked(&block) };
            }
        },
    };
    let mut because = Reason::NoRuleApplies;
    for (number, policy) in shield.at(at).enumerate() {
        let passed = match allowing.iter().find(|(allowing, _)| *allowing == number) {
            Some((_, rule)) => Ok(Some(*rule)),
            None => policy_of(policy, address, followed, state.facts),
        };
        match passed {
            Err((because, reply)) => return Verdict::Refused { because, reply },
            Ok(Some(rule)) if because == Reason::NoRuleApplies => because = Reason::Rule(rule),
            Ok(_) => {}
        }
    }
    Verdict::Passes { because, delay, allowed: allowing.into_iter().map(|(number, _)| number).collect() }
}

/// One policy's lists. `Ok` holds the rule that expressly lets the address pass, if one does.
fn policy_of(
    policy: &Policy,
    address: IpAddr,
    followed: Followed,
    facts: &Facts,
) -> Result<Option<RuleId>, (Reason, Reply)> {
    let deny = &policy.reputation.deny;
    if let Some(rule) = deny.entries.longest(address) {
        return Err((Reason::Rule(*rule), deny.reply.clone()));
    }
    let listed = |name: &std::sync::Arc<str>| facts.feeds.get(name).is_some_and(|set| set.longest(address).is_some());
    if let Some((_, rule)) = policy.reputation.feeds.iter().find(|(name, _)| listed(name)) {
        return Err((Reason::Rule(*rule), deny.reply.clone()));
    }
    // The peer of a connection that carries calls may be a balancer: its country says nothing of the client.
    if followed == Followed::ByCalls {
        return Ok(None);
    }
    let country = policy.geography.as_ref().map_or(Ok(None), |rules| country_of(rules, address, facts))?;
    let system = policy.systems.as_ref().map_or(Ok(None), |rules| system_of(rules, address, facts))?;
    Ok(country.or(system))
}

fn country_of(rules: &Geography, address: IpAddr, facts: &Facts) -> Result<Option<RuleId>, (Reason, Reply)> {
    let Some(database) = facts.databases.get(&rules.database) else { return missing(rules.on_missing) };
    listed(database.country(address).as_ref(), &rules.deny, rules.allow.as_ref(), rules.on_unknown, rules.because)
}

fn system_of(rules: &Systems, address: IpAddr, facts: &Facts) -> Result<Option<RuleId>, (Reason, Reply)> {
    let Some(database) = facts.databases.get(&rules.database) else { return missing(rules.on_missing) };
    listed(database.system(address).as_ref(), &rules.deny, rules.allow.as_ref(), rules.on_unknown, rules.because)
}

fn missing(on_missing: OnMissing) -> Result<Option<RuleId>, (Reason, Reply)> {
    match on_missing {
        OnMissing::Pass => Ok(None),
        OnMissing::Refuse => Err((Reason::Builtin(MISSING), forbidden())),
    }
}

fn listed<K: Ord>(
    found: Option<&K>,
    deny: &BTreeMap<K, RuleId>,
    allow: Option<&BTreeMap<K, RuleId>>,
    on_unknown: OnMissing,
    because: RuleId,
) -> Result<Option<RuleId>, (Reason, Reply)> {
    let refused = |rule: RuleId| Err((Reason::Rule(rule), forbidden()));
    let Some(found) = found else {
        return if on_unknown == OnMissing::Refuse { refused(because) } else { Ok(None) };
    };
    match (deny.get(found), allow) {
        (Some(rule), _) => refused(*rule),
        (None, None) => Ok(None),
        (None, Some(allow)) => allow.get(found).map_or_else(|| refused(because), |rule| Ok(Some(*rule))),
    }
}
