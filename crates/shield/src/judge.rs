//! What the shield says of a connection, of a call, and of a caller.
//!
//! In: policy, facts, blocks (read only), the call. Out: a [`Judgement`] whose takes the shell commits, all or none.
//! Never: changes of state.
//!
//! The order, at each door: blocks set by people → allowlists → automatic blocks → own deny lists → feeds → countries →
//! autonomous systems → budgets. Every policy that applies must be satisfied; an allowlist speaks for its own policy,
//! and of any policy for automatic blocks.
//!
//! Global budgets and who may use them: a call that carries no credential is counted at [`call`], one that carries one
//! is counted at [`caller`], when it is known whether the credential is true. Unverified calls take from the limit's
//! unauthenticated part and from the whole, verified ones only from the whole. So neither a flood without credentials
//! nor one with false ones can use up more than that part. Until its credential is judged, a call is bounded by the
//! limits of its address. A shell must therefore ask [`caller`] also for a call whose credential was just refused.

mod address;
mod reply;

use crate::blocks::{Automatic, Known};
use crate::rules::{Limit, Policy, Scope, Shield};
use crate::{Action, Block, Blocks, Facts, Hold, Subject};
use address::Verdict;
use aws_lc_rs::digest;
use ringwall_model::{Call, Caller, Decision, Judgement, Peer, Reason, Reply, Take, TakeKey, Timestamp, WorkloadId};
use std::net::{IpAddr, SocketAddr};

pub use reply::{commit, limited};

/// What the shield may look at beside the policy.
#[derive(Clone, Copy, Debug)]
pub struct State<'a> {
    /// Feeds and databases.
    pub facts: &'a Facts,
    /// Blocks.
    pub blocks: &'a Blocks,
    /// The time.
    pub now: Timestamp,
}

/// Whether a call carries something that may be a credential. Asked once, before any edit, and handed to [`call`] and
/// [`caller`], so that the call is counted exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// It does; whether it is true is not known yet.
    Credential,
    /// It does not.
    Nothing,
}

/// What follows on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// Calls, each judged by its client address, which may be another than the peer's.
    ByCalls,
    /// Nothing that can be judged (TCP, passthrough): the peer is judged as the client.
    ByBytes,
}

/// What the shield says of a new connection.
#[derive(Clone, Debug)]
pub struct ConnectionVerdict {
    /// Refused connections are dropped or reset.
    pub judgement: Judgement,
    /// Limits to count the connection in, with [`crate::Connections::open`], before anything is read from it.
    pub holds: Vec<Hold>,
}

/// Judges a new connection by its direct peer, before TLS.
pub fn connection(
    shield: &Shield,
    at: WorkloadId,
    local: SocketAddr,
    peer: &Peer,
    followed: Followed,
    state: State<'_>,
) -> ConnectionVerdict {
    let address = peer.address.ip();
    let known = Known { address: Some(address), identity: peer.identity(), ..Known::default() };
    let judgement = match address::judge(shield, at, &known, followed, state) {
        Verdict::Refused { because, .. } => Judgement::refuse(because, Reply::Drop),
        Verdict::Passes { because, delay, .. } => Judgement { delay, ..Judgement::pass(because) },
    };
    let holds = shield.at(at).flat_map(|policy| holds(policy, local, address)).collect();
    ConnectionVerdict { judgement, holds }
}

/// Whether a call carries a credential, by the fields and parameters that the policies of this workload name, or by
/// the verified identity of its peer.
pub fn presented(shield: &Shield, at: WorkloadId, call: &Call) -> Presented {
    let query = call.views.query.as_deref().unwrap_or_default();
    let mut policies = shield.at(at).map(|policy| &policy.credentials);
    let carried = policies.any(|credentials| {
        let parameter = |part: &[u8]| {
            let name = part.split(|byte| *byte == b'=').next().unwrap_or_default();
            credentials.parameters.iter().any(|known| known.as_bytes() == name)
        };
        credentials.fields.iter().any(|name| call.fields.first(name).is_some())
            || query.split(|byte| *byte == b'&').any(parameter)
    });
    if carried || call.peer.identity().is_some() { Presented::Credential } else { Presented::Nothing }
}

/// Judges a call by its client address, and by its peer's identity: lists, countries, limits of the address, and,
/// when it carries no credential, global limits.
pub fn call(shield: &Shield, at: WorkloadId, call: &Call, presented: Presented, state: State<'_>) -> Judgement {
    let address = call.client.address;
    let known = Known { address: Some(address), identity: call.peer.identity(), ..Known::default() };
    let (because, delay, allowed) = match address::judge(shield, at, &known, Followed::ByBytes, state) {
        Verdict::Refused { because, reply } => return Judgement::refuse(because, reply),
        Verdict::Passes { because, delay, allowed } => (because, delay, allowed),
    };
    let mut takes = Vec::new();
    for (number, policy) in shield.at(at).enumerate() {
        for limit in &policy.limits {
            match limit.scope {
                Scope::Address if !allowed.contains(&number) => {
                    takes.push(whole(limit, crate::address::subject(address)));
                }
                Scope::Global if presented == Presented::Nothing => unverified(limit, &mut takes),
                _ => {}
            }
        }
    }
    judgement(because, delay, takes)
}

/// Judges a call by its verified caller: blocks, limits of the user and the tenant, and, when the call carried a
/// credential, global limits. Ask it for every call that [`call`] passed and that no layer between refused; also when
/// authentication refused it, to count it (the refusal stays).
pub fn caller(shield: &Shield, at: WorkloadId, who: &Caller, presented: Presented, state: State<'_>) -> Judgement {
    let token = who.claims.as_ref().and_then(|claims| claims.get("jti")).and_then(|jti| jti.as_str());
    let known = Known { user: who.user.as_deref(), tenant: who.tenant.as_deref(), token, ..Known::default() };
    let block = state.blocks.acting(&known, Automatic::Count, state.now);
    let delay = match block.as_ref().map(|block| (block.action, block)) {
        None => None,
        Some((Action::Delay(delay), _)) => Some(delay),
        Some((_, block)) => return Judgement::refuse(Reason::Builtin(block.subject.rule()), blocked(block)),
    };
    let mut takes = Vec::new();
    for limit in shield.at(at).flat_map(|policy| &policy.limits) {
        match limit.scope {
            Scope::User => {
                takes.extend(who.user.as_deref().map(|user| whole(limit, hash(&[b"user", user.as_bytes()]))))
            }
            Scope::Tenant => {
                takes.extend(who.tenant.as_deref().map(|tenant| whole(limit, hash(&[b"tenant", tenant.as_bytes()]))));
            }
            Scope::Global if presented == Presented::Credential && who.is_authenticated() => {
                takes.push(whole(limit, 0))
            }
            Scope::Global if presented == Presented::Credential => unverified(limit, &mut takes),
            Scope::Global | Scope::Address => {}
        }
    }
    judgement(Reason::NoRuleApplies, delay, takes)
}

/// A call that a limit refuses names the limit; one that passes names the rule that let it pass, else the first limit
/// that it must be counted in.
fn judgement(because: Reason, delay: Option<ringwall_model::Millis>, takes: Vec<Take>) -> Judgement {
    let because = match (because, takes.first()) {
        (Reason::NoRuleApplies, Some(take)) => take.because,
        (because, _) => because,
    };
    Judgement { decision: Decision::Pass { because }, edits: Vec::new(), takes, delay }
}

fn whole(limit: &Limit, subject: u128) -> Take {
    Take { because: Reason::Rule(limit.because), key: TakeKey { rule: limit.stable, subject }, budget: limit.budget }
}

/// The smaller budget first, so that a flood is refused there and named so.
fn unverified(limit: &Limit, takes: &mut Vec<Take>) {
    takes.extend(limit.unauthenticated.map(|part| Take {
        because: Reason::Rule(part.because),
        key: TakeKey { rule: part.stable, subject: 0 },
        budget: part.budget,
    }));
    takes.push(whole(limit, 0));
}

fn holds(policy: &Policy, local: SocketAddr, peer: IpAddr) -> Vec<Hold> {
    let Some(limits) = &policy.connections else { return Vec::new() };
    let listener = hash(&[b"listener", local.to_string().as_bytes()]);
    let address = policy.allow.longest(peer).is_none().then_some(limits.address).flatten();
    let both = [(address, crate::address::subject(peer)), (limits.listener, listener)];
    let hold = |(limit, subject): (Option<crate::rules::ConnectionLimit>, u128)| {
        limit.map(|limit| Hold {
            because: Reason::Rule(limit.because),
            key: TakeKey { rule: limit.stable, subject },
            max: limit.max,
            delay: limits.delay,
        })
    };
    both.into_iter().filter_map(hold).collect()
}

/// What a blocked call gets: the connection's end, or as little as possible.
fn blocked(block: &Block) -> Reply {
    match (block.action, &block.subject) {
        (Action::Drop, _) => Reply::Drop,
        (_, Subject::Token(_)) => Reply::json(401, &b"{\"message\":\"Unauthorized\"}"[..]),
        _ => crate::rules::forbidden(),
    }
}

/// 128 bits of SHA-256 over the parts, each with its length: two users never share a budget, whatever their names.
fn hash(parts: &[&[u8]]) -> u128 {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let digest = context.finish();
    digest.as_ref().iter().take(16).fold(0, |number, byte| (number << 8) | u128::from(*byte))
}

#[cfg(test)]
mod tests;
