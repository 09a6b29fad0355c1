//! The policies that apply to one workload, laid out for calls and for connections.
//!
//! In: policies of the root namespace and of the workload's. Out: [`Authorization`]. Follows Istio's authorization
//! builder: policies of one action are one union; rules are named `ns[…]-policy[…]-rule[…]` and tried in the order of
//! those names, byte by byte. On connections without HTTP an ALLOW rule with an HTTP-only field is dropped, and a rule
//! of another action loses those fields and so matches more.

use super::index::{Laid, RuleSet};
use super::trust_domain::widen;
use super::{Action, AuthorizationPolicy, Clause, Field, Force, Rule, Values};

/// The authorization policies in force on one workload.
#[derive(Clone, Debug, Default)]
pub struct Authorization {
    /// For HTTP calls.
    pub http: Rulings,
    /// For connections without HTTP.
    pub tcp: Rulings,
}

/// Rule sets by action.
#[derive(Clone, Debug, Default)]
pub struct Rulings {
    /// What would be asked of an external authorizer, and is refused.
    pub custom: RuleSet,
    /// What is refused.
    pub deny: RuleSet,
    /// What is noted.
    pub audit: RuleSet,
    /// What is allowed; `None` when no policy allows, and so everything is.
    pub allow: Option<RuleSet>,
    /// What dry-run policies would refuse.
    pub dry_deny: RuleSet,
    /// What dry-run policies would allow.
    pub dry_allow: Option<RuleSet>,
}

impl Authorization {
    /// Lays out policies that were already selected. `domains` is our own trust domain, then its aliases.
    pub fn of(policies: &[&AuthorizationPolicy], domains: &[Box<str>]) -> Self {
        Self { http: rulings(policies, domains, |rule, _| Some(rule)), tcp: rulings(policies, domains, without_http) }
    }
}

type Adapt = fn(Rule, Action) -> Option<Rule>;

fn rulings(policies: &[&AuthorizationPolicy], domains: &[Box<str>], adapt: Adapt) -> Rulings {
    let set = |action, force| rule_set(policies, domains, adapt, action, force);
    let exists = |force| policies.iter().any(|policy| policy.action == Action::Allow && policy.force == force);
    Rulings {
        custom: set(Action::Custom, Force::Enforced),
        deny: set(Action::Deny, Force::Enforced),
        audit: set(Action::Audit, Force::Enforced),
        allow: exists(Force::Enforced).then(|| set(Action::Allow, Force::Enforced)),
        dry_deny: set(Action::Deny, Force::DryRun),
        dry_allow: exists(Force::DryRun).then(|| set(Action::Allow, Force::DryRun)),
    }
}

fn rule_set(
    policies: &[&AuthorizationPolicy],
    domains: &[Box<str>],
    adapt: Adapt,
    action: Action,
    force: Force,
) -> RuleSet {
    let mut named: Vec<(String, Rule)> = Vec::new();
    for policy in policies.iter().filter(|policy| policy.action == action && policy.force == force) {
        for rule in policy.rules.iter().filter_map(|rule| adapt(rule.clone(), action)) {
            let name = format!("ns[{}]-policy[{}]-rule[{}]", policy.namespace, policy.name, rule.index);
            named.push((name, widened(rule, domains)));
        }
    }
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    RuleSet::of(named.iter().map(|(name, rule)| Laid::of(rule, name, action)).collect())
}

fn widened(mut rule: Rule, domains: &[Box<str>]) -> Rule {
    let clauses = rule.from.iter_mut().flatten().chain(rule.when.iter_mut());
    for clause in clauses.filter(|clause| clause.field == Field::Principal) {
        if let Values::Text(forms) = &mut clause.values {
            *forms = forms.iter().flat_map(|form| widen(&form.text(), domains)).collect();
        }
    }
    rule
}

fn without_http(mut rule: Rule, action: Action) -> Option<Rule> {
    let is_http = |clause: &Clause| clause.field.is_http();
    let parts = rule.from.iter_mut().chain(rule.to.iter_mut()).chain([&mut rule.when]);
    for part in parts {
        if action == Action::Allow && part.iter().any(is_http) {
            return None;
        }
        part.retain(|clause| !is_http(clause));
    }
    Some(rule)
}
