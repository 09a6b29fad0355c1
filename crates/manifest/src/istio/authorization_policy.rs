//! AuthorizationPolicy (security.istio.io/v1, v1beta1).
//!
//! In: a resource. Out: [`AuthorizationPolicy`] and findings, for what Istio's validation refuses and for what it takes
//! in silence. What cannot be read refuses in a rule that refuses, and allows nothing in a rule that allows; an action
//! that cannot be read makes a policy that allows nothing.
// waypoint: policy/2 — one kind of document becomes the engine's rules, and findings

mod clause;
mod condition;

use super::{codes_authorization as codes, selector};
use crate::{Cursor, Resource};
use clause::{never, operation, source};
use ringwall_mesh::authorization::{Action, Applies, AuthorizationPolicy, Clause, Field, Force, Rule};
use ringwall_model::{RuleBook, Severity};

const ACTIONS: [(&str, Action); 4] =
    [("ALLOW", Action::Allow), ("DENY", Action::Deny), ("AUDIT", Action::Audit), ("CUSTOM", Action::Custom)];

const DRY_RUN: &str = "istio.io/dry-run";

/// What the clauses of one policy need to know of it.
#[derive(Clone, Copy)]
struct Policy<'a> {
    action: Action,
    namespace: &'a str,
}

/// Lowers one resource.
pub fn lower(resource: &Resource<'_>, rules: &mut RuleBook) -> AuthorizationPolicy {
    let spec = resource.spec();
    let id = resource.rule(rules, "");
    let written = spec.get("action");
    let action = written.enumeration(&ACTIONS).unwrap_or(Action::Allow);
    let policy = Policy { action, namespace: resource.namespace };
    let applies = selector::lower(spec);
    custom(spec, action);
    let mut lowered = policy_rules(resource, rules, policy);
    // An unreadable action or selector leaves a policy that allows nothing.
    let readable = written.is_sound() && spec.get("selector").is_sound();
    if !readable && action == Action::Allow {
        lowered.clear();
    }
    AuthorizationPolicy {
        id,
        namespace: resource.namespace.into(),
        name: resource.name.into(),
        applies: if readable { applies } else { Applies::To(Default::default()) },
        action,
        force: force(resource, action),
        rules: lowered,
    }
}

fn policy_rules(resource: &Resource<'_>, book: &mut RuleBook, policy: Policy<'_>) -> Vec<Rule> {
    let at = resource.spec().get("rules");
    let mut rules: Vec<Rule> = Vec::new();
    for (index, item) in (0_u32..).zip(at.items()) {
        rules.push(rule(resource.rule_at(book, item), index, item, policy));
    }
    if rules.is_empty() && policy.action != Action::Allow {
        let title = "a policy that does not allow needs rules: without them it does nothing";
        let help = "write `rules: [{}]` to match everything";
        at.report(at.finding(codes::NO_RULES, Severity::Error, title).help(help));
    }
    rules
}

fn rule(id: ringwall_model::RuleId, index: u32, at: Cursor<'_>, policy: Policy<'_>) -> Rule {
    let part = |list: &'static str, name: &'static str, read: fn(Cursor<'_>, Policy<'_>) -> Vec<Clause>| {
        let list = at.get(list);
        let items: Vec<Vec<Clause>> = list.items().map(|item| read(filled(item.get(name)), policy)).collect();
        if list.is_present() && items.is_empty() {
            empty(list);
        }
        items
    };
    let from = part("from", "source", source);
    let to = part("to", "operation", operation);
    let mut when: Vec<Clause> = at.get("when").items().flat_map(|item| condition::lower(item, policy)).collect();
    if policy.action == Action::Allow && !at.is_sound() {
        when.push(never());
    }
    let rule = Rule { id, index, from, to, when };
    without_http(at, &rule, policy.action);
    rule
}

/// A source or operation must say something: Istio refuses one that does not.
fn filled(at: Cursor<'_>) -> Cursor<'_> {
    let at = at.required();
    if at.peek().is_some_and(|node| matches!(&node.value, crate::node::Value::Map(entries) if entries.is_empty())) {
        empty(at);
    }
    at
}

fn empty(at: Cursor<'_>) {
    let title = format!("`{}` is empty", at.name());
    at.report(at.finding(codes::EMPTY_PART, Severity::Error, title).help("take it out to match everything"));
}

/// Ports without HTTP know nothing of methods and paths: what becomes of such a rule there is rarely what was meant.
fn without_http(at: Cursor<'_>, rule: &Rule, action: Action) {
    let names_port = |clauses: &Vec<Clause>| clauses.iter().any(|clause| clause.field == Field::Port);
    let is_http = |clause: &Clause| clause.field.is_http();
    let http = rule.from.iter().flatten().chain(rule.to.iter().flatten()).chain(&rule.when).any(is_http);
    let ports = (!rule.to.is_empty() && rule.to.iter().all(names_port)) || names_port(&rule.when);
    let only_http = rule.from.iter().flatten().chain(&rule.when).chain(rule.to.iter().flatten()).all(is_http);
    if action != Action::Allow && http && only_http && !ports {
        let title = "on ports without HTTP this rule refuses every connection: only its HTTP fields are dropped there";
        let help = "name the HTTP ports in `to.operation.ports`";
        at.report(at.finding(codes::DENY_WIDE_ON_TCP, Severity::Note, title).help(help));
    } else if action == Action::Allow && http && ports {
        let title = "on a port without HTTP this rule allows nothing: it has fields that only HTTP has";
        let help = "put ports without HTTP into a rule of their own";
        at.report(at.finding(codes::ALLOW_NOTHING_ON_TCP, Severity::Note, title).help(help));
    }
}

fn custom(spec: Cursor<'_>, action: Action) {
    let provider = spec.get("provider");
    if provider.is_present() && action != Action::Custom {
        provider.refuse::<()>("`provider` belongs to the action CUSTOM alone");
    }
    let name = provider.get("name");
    if action == Action::Custom {
        let name = name.required().filled().unwrap_or_default();
        let title = format!("there is no external authorizer `{name}`: every call that the rules match is refused");
        provider.report(provider.finding(codes::CUSTOM, Severity::Warning, title));
    }
}

fn force(resource: &Resource<'_>, action: Action) -> Force {
    let Some(value) = resource.annotations.get(DRY_RUN) else { return Force::Enforced };
    let at = resource.root.get("metadata").get("annotations");
    let report = |title: String| at.report(at.finding(codes::DRY_RUN, Severity::Error, title));
    match (&**value, action) {
        ("true", Action::Allow | Action::Deny) => Force::DryRun,
        ("false", Action::Allow | Action::Deny) => Force::Enforced,
        ("true" | "false", _) => {
            report(format!("`{DRY_RUN}` is for ALLOW and DENY alone; the policy is enforced"));
            Force::Enforced
        }
        _ => {
            report(format!("`{DRY_RUN}` is `true` or `false`, not `{value}`; the policy is enforced"));
            Force::Enforced
        }
    }
}

#[cfg(test)]
mod tests;
