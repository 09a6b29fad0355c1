//! The mesh's word on one call or one connection at a workload.
//!
//! In: [`Mesh`], the call, what is known of keys. Out: a [`Verdict`], or the question that comes first. Never: an
//! allocation for a call without a token that passes. Follows the order of Istio's filters: mutual TLS, repeated
//! security headers (ours), external authorization, tokens, then AUDIT, DENY and ALLOW.
//! Start reading at [`inbound`].
// waypoint: request/4 — one layer reasons: mutual TLS, tokens, authorization

mod refusal;

use crate::authorization::attributes::{Attributes, Http, Overlay};
use crate::authorization::layout::Rulings;
use crate::mesh::{Duplicates, Mesh, WorkloadRules};
use crate::peer_authentication::Mode;
use crate::request_authentication::judge::{Outcome, Verified, judge as judge_tokens};
use crate::request_authentication::output;
use ringwall_model::{Call, Caller, Decision, Judgement, Peer, Reason, Reply, RuleId, Step, Version, WorkloadId};
use ringwall_token::Known;
use std::sync::Arc;

/// All that the mesh says of one call.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The decision, with the edits that claims make.
    pub judgement: Judgement,
    /// The caller that a verified token names.
    pub caller: Caller,
    /// Envoy's `response_code_details` of a refusal; empty for a pass.
    pub details: Arc<str>,
    /// What policies say that do not decide.
    pub notes: Notes,
}

/// What policies say that do not decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// The AUDIT rule that matches.
    pub audit: Option<RuleId>,
    /// What the dry-run DENY policies would have said.
    pub dry_deny: DryRun,
    /// What the dry-run ALLOW policies would have said.
    pub dry_allow: DryRun,
}

/// What the dry-run policies of one action would have said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DryRun {
    /// There are none.
    #[default]
    Absent,
    /// A pass, by this rule of an ALLOW policy or because no DENY rule matches.
    Pass(Option<RuleId>),
    /// A refusal, by this rule of a DENY policy or because no ALLOW rule matches.
    Refuse(Option<RuleId>),
}

/// Judges a call at a workload's inbound listener: mutual TLS as PeerAuthentication demands it, then as [`gateway`].
pub fn inbound(mesh: &Mesh, workload: WorkloadId, port: u16, call: &Call, known: &Known<'_>) -> Step<Verdict> {
    match refuse_plaintext(mesh, workload, port, &call.peer) {
        Some(because) => Step::Done(refused(refusal::plaintext(because))),
        None => gateway(mesh, workload, port, call, known),
    }
}

/// Judges a call at a gateway's listener, whose TLS its Gateway resource sets: tokens and authorization.
pub fn gateway(mesh: &Mesh, workload: WorkloadId, port: u16, call: &Call, known: &Known<'_>) -> Step<Verdict> {
    let Some(rules) = mesh.rules(workload) else { return Step::Done(refused(refusal::unknown_workload())) };
    if mesh.duplicates == Duplicates::Refuse && repeats_watched(rules, call) {
        return Step::Done(refused(refusal::duplicate_header()));
    }
    let bare = attributes(rules, port, call, None, &[]);
    if let Some(rule) = rules.authorization.http.custom.first(&bare) {
        return Step::Done(refused(refusal::authorization(Reason::Rule(rule.id), Arc::clone(&rule.details))));
    }
    let verified = match tokens(rules, call, known) {
        Outcome::Anonymous => None,
        Outcome::Verified(verified) => Some(verified),
        Outcome::Refused(rule, why) => return Step::Done(refused(refusal::token(rule, why, call))),
        Outcome::Ask(question) => return Step::Ask(question),
    };
    let Ok(overlay) = output::overlay(&rules.requests, verified.as_deref()) else {
        return Step::Done(refused(refusal::claim_value()));
    };
    let seen = attributes(rules, port, call, verified.as_deref(), &overlay);
    let mut verdict = authorize(mesh, &rules.authorization.http, &seen);
    if matches!(verdict.judgement.decision, Decision::Pass { .. }) {
        verdict.judgement.edits = output::edits(&overlay, verified.as_deref(), call);
    }
    verdict.caller = verified.map(|verified| caller(mesh, &verified)).unwrap_or_default();
    Step::Done(verdict)
}

/// Judges a connection without HTTP at a workload's inbound listener.
pub fn connection(mesh: &Mesh, workload: WorkloadId, port: u16, peer: &Peer) -> Judgement {
    connection_verdict(mesh, workload, port, peer).judgement
}

/// The same with Envoy's `CONNECTION_TERMINATION_DETAILS`.
pub fn connection_verdict(mesh: &Mesh, workload: WorkloadId, port: u16, peer: &Peer) -> Verdict {
    let Some(rules) = mesh.rules(workload) else { return refused(refusal::unknown_workload()) };
    let mut verdict = match refuse_plaintext(mesh, workload, port, peer) {
        Some(because) => refused(refusal::plaintext(because)),
        None => {
            let seen = Attributes::of_connection(peer, rules.address, port);
            match rules.authorization.tcp.custom.first(&seen) {
                Some(rule) => refused(refusal::authorization(Reason::Rule(rule.id), Arc::clone(&rule.details))),
                None => authorize(mesh, &rules.authorization.tcp, &seen),
            }
        }
    };
    if let Decision::Refuse { reply, .. } = &mut verdict.judgement.decision {
        *reply = Reply::Drop;
    }
    verdict
}

/// The rule that demands mutual TLS of a peer that did not prove an identity, if there is one.
fn refuse_plaintext(mesh: &Mesh, workload: WorkloadId, port: u16, peer: &Peer) -> Option<Reason> {
    let (mode, because) = mesh.rules(workload)?.peer.mode(port);
    (mode == Mode::Strict && peer.identity().is_none()).then_some(because)
}

/// A repeated cookie line is how HTTP/2 writes one cookie header (RFC 9113 section 8.2.3).
fn repeats_watched(rules: &WorkloadRules, call: &Call) -> bool {
    let crumbs = |name: &[u8]| call.version == Version::Http2 && name.eq_ignore_ascii_case(b"cookie");
    !rules.watched.is_empty()
        && call.fields.iter().enumerate().any(|(at, field)| {
            rules.watched.holds(&field.name)
                && !crumbs(&field.name)
                && call
                    .fields
                    .iter()
                    .skip(at + 1)
                    .any(|later| ringwall_model::edit::same_when_folded(&later.name, &field.name))
        })
}

/// A CORS preflight carries no credentials and is not asked for any (Fetch standard; Istio sets the bypass).
fn tokens<'a>(rules: &'a WorkloadRules, call: &'a Call, known: &Known<'_>) -> Outcome<'a> {
    let there = |name| call.fields.first(name).is_some_and(|value| !value.is_empty());
    if &*call.method == b"OPTIONS" && there("origin") && there("access-control-request-method") {
        return Outcome::Anonymous;
    }
    judge_tokens(&rules.requests, call, known)
}

pub(crate) fn attributes<'a>(
    rules: &WorkloadRules,
    port: u16,
    call: &'a Call,
    verified: Option<&'a Verified<'_>>,
    overlay: &'a [Overlay],
) -> Attributes<'a> {
    let destination = if call.local.ip().is_unspecified() { rules.address } else { call.local.ip() };
    let claims = verified.map(|verified| verified.token.claims());
    let spaced = verified.map(|verified| &*verified.rule.spaced_claims).unwrap_or_default();
    let http = Http { call, claims, spaced, overlay };
    Attributes { peer: &call.peer, client: call.client.address, destination, port, http: Some(http) }
}

/// AUDIT and dry runs are noted; a DENY that matches refuses; with ALLOW policies one of their rules must match.
fn authorize(mesh: &Mesh, rulings: &Rulings, seen: &Attributes<'_>) -> Verdict {
    let notes = Notes {
        audit: rulings.audit.first(seen).map(|rule| rule.id),
        dry_deny: match rulings.dry_deny.first(seen) {
            Some(rule) => DryRun::Refuse(Some(rule.id)),
            None if rulings.dry_deny.rules().is_empty() => DryRun::Absent,
            None => DryRun::Pass(None),
        },
        dry_allow: match &rulings.dry_allow {
            None => DryRun::Absent,
            Some(set) => set.first(seen).map_or(DryRun::Refuse(None), |rule| DryRun::Pass(Some(rule.id))),
        },
    };
    if let Some(rule) = rulings.deny.first(seen) {
        let refusal = refusal::authorization(Reason::Rule(rule.id), Arc::clone(&rule.details));
        return Verdict { notes, ..refused(refusal) };
    }
    let because = match &rulings.allow {
        None => Reason::NoRuleApplies,
        Some(set) => match set.first(seen) {
            Some(rule) => Reason::Rule(rule.id),
            None => {
                let considered = u32::try_from(set.rules().len()).unwrap_or(u32::MAX);
                let refusal = refusal::authorization(Reason::DefaultDeny { considered }, refusal::no_rule());
                return Verdict { notes, ..refused(refusal) };
            }
        },
    };
    Verdict {
        judgement: Judgement::pass(because),
        caller: Caller::default(),
        details: Arc::clone(&mesh.nothing),
        notes,
    }
}

fn refused((judgement, details): (Judgement, Arc<str>)) -> Verdict {
    Verdict { judgement, caller: Caller::default(), details, notes: Notes::default() }
}

fn caller(mesh: &Mesh, verified: &Verified<'_>) -> Caller {
    let claims = verified.token.claims();
    Caller {
        user: claims.subject().map(Into::into),
        tenant: claims.string(&mesh.tenant_claim.0).map(Into::into),
        claims: Some(Arc::clone(claims.value())),
        ..Caller::default()
    }
}

#[cfg(test)]
mod tests;
