//! Why a call was judged so: for each rule that was considered, whether it matches, or the first field that does not.
//!
//! In: the same as `judge`. Out: [`Explanation`]. Never on the hot path: it allocates freely. It runs the judge's own
//! tests, so it cannot disagree with it.

use crate::authorization::attributes::{Attributes, Overlay};
use crate::authorization::index::{Laid, RuleSet, Test};
use crate::authorization::{Action, Field, Force, PathForm, RequestPrincipal, Sense, Values};
use crate::judge::{self, Verdict};
use crate::mesh::Mesh;
use crate::request_authentication::judge::{Outcome, judge as judge_tokens};
use crate::request_authentication::output;
use ringwall_model::{Call, RuleId, Step, WorkloadId};
use ringwall_token::Known;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// What the mesh says of a call, and what each rule says.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The judge's verdict, or the question that comes first.
    pub verdict: Step<Verdict>,
    /// Every authorization rule on the workload, in the order of judging.
    pub rules: Vec<Considered>,
}

/// One rule and what it says of the call.
#[derive(Clone, Debug)]
pub struct Considered {
    /// Its number in the rule book.
    pub rule: RuleId,
    /// Its name in Envoy's form.
    pub name: Arc<str>,
    /// What it does when it matches.
    pub action: Action,
    /// Whether it decides.
    pub force: Force,
    /// Whether it matches.
    pub outcome: Match,
}

/// Whether a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// It does.
    Matched,
    /// It does not, and this is the first field that says so, in the alternative that came nearest.
    Missed(Miss),
}

/// A field that does not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// The field, as policies name it.
    pub field: String,
    /// What the rule wants.
    pub wanted: String,
    /// What the call has.
    pub actual: String,
    /// How many clauses matched before it.
    pub matched: u32,
}

/// Explains a call at a workload's inbound listener.
pub fn inbound(mesh: &Mesh, workload: WorkloadId, port: u16, call: &Call, known: &Known<'_>) -> Explanation {
    let verdict = judge::inbound(mesh, workload, port, call, known);
    let Some(rules) = mesh.rules(workload) else { return Explanation { verdict, rules: Vec::new() } };
    let verified = match judge_tokens(&rules.requests, call, known) {
        Outcome::Verified(verified) => Some(verified),
        _ => None,
    };
    let overlay: Vec<Overlay> = output::overlay(&rules.requests, verified.as_deref()).unwrap_or_default();
    let before = judge::attributes(rules, port, call, None, &[]);
    let seen = judge::attributes(rules, port, call, verified.as_deref(), &overlay);
    let http = &rules.authorization.http;
    let mut considered = Vec::new();
    let mut add = |set: &RuleSet, action, force, call: &Attributes<'_>| {
        considered.extend(set.rules().iter().map(|rule| consider(rule, action, force, call)));
    };
    add(&http.custom, Action::Custom, Force::Enforced, &before);
    add(&http.audit, Action::Audit, Force::Enforced, &seen);
    add(&http.dry_deny, Action::Deny, Force::DryRun, &seen);
    http.dry_allow.iter().for_each(|set| add(set, Action::Allow, Force::DryRun, &seen));
    add(&http.deny, Action::Deny, Force::Enforced, &seen);
    http.allow.iter().for_each(|set| add(set, Action::Allow, Force::Enforced, &seen));
    Explanation { verdict, rules: considered }
}

fn consider(rule: &Laid, action: Action, force: Force, call: &Attributes<'_>) -> Considered {
    let alternatives = |of: &[Vec<Test>]| {
        let misses: Vec<Option<Miss>> = of.iter().map(|tests| first_miss(tests, call)).collect();
        if misses.iter().any(Option::is_none) { None } else { misses.into_iter().flatten().max_by_key(|it| it.matched) }
    };
    let miss = alternatives(&rule.from).or_else(|| alternatives(&rule.to)).or_else(|| first_miss(&rule.when, call));
    let outcome = miss.map_or(Match::Matched, Match::Missed);
    Considered { rule: rule.id, name: Arc::clone(&rule.name), action, force, outcome }
}

fn first_miss(tests: &[Test], call: &Attributes<'_>) -> Option<Miss> {
    let (matched, test) = (0_u32..).zip(tests).find(|(_, test)| !test.matches(call))?;
    Some(Miss {
        field: test.clause.field.name(),
        wanted: wanted(test),
        actual: actual(&test.clause.field, call),
        matched,
    })
}

fn wanted(test: &Test) -> String {
    let values: Vec<String> = match &test.clause.values {
        Values::Text(forms) => forms.iter().map(|form| format!("`{}`", form.text())).collect(),
        Values::Paths(paths) => paths
            .iter()
            .map(|path| match path {
                PathForm::Text(form) => format!("`{}`", form.text()),
                PathForm::Template(template) => format!("`{}…`", template.start()),
            })
            .collect(),
        Values::Blocks(blocks) => blocks.iter().map(|block| format!("`{block}`")).collect(),
        Values::Ports(ports) => ports.iter().map(|port| format!("`{port}`")).collect(),
        Values::Accounts(accounts) => accounts.iter().map(|(ns, account)| format!("`{ns}/{account}`")).collect(),
        Values::RequestPrincipals(principals) => principals.iter().map(principal).collect(),
        Values::Nothing => vec!["a field that can be read".into()],
    };
    let joined = values.join(" or ");
    if test.clause.sense == Sense::Any { joined } else { format!("not {joined}") }
}

fn principal(one: &RequestPrincipal) -> String {
    format!("`{}/{}`", one.issuer.text(), one.subject.text())
}

fn actual(field: &Field, call: &Attributes<'_>) -> String {
    let mut values = Vec::new();
    call.visit(field, &mut |value| {
        values.push(match field {
            Field::PeerAddress | Field::ClientAddress | Field::DestinationAddress => address(value),
            Field::Port => call.port.to_string(),
            _ => format!("`{}`", value.escape_ascii()),
        });
    });
    if *field == Field::RequestPrincipal
        && let Some((issuer, subject)) = call.http.and_then(|http| http.principal())
    {
        values.push(format!("`{issuer}/{subject}`"));
    }
    if values.is_empty() { "absent".into() } else { values.join(", ") }
}

/// The address that was written as bits.
fn address(bits: &[u8]) -> String {
    let number = bits.iter().skip(1).fold(0_u128, |number, bit| number << 1 | u128::from(bit & 1));
    match bits.first() {
        Some(b'4') => IpAddr::V4(Ipv4Addr::from_bits(number as u32)).to_string(),
        _ => IpAddr::V6(Ipv6Addr::from_bits(number)).to_string(),
    }
}
