//! The answer to a call that is over a limit, in Kong's words and fields, and the one place where takes are committed
//! with each limit's own word for a store that fails.

use crate::{Cause, Counters, Exceeded, OnStoreFailure, Shield};
use bytes::Bytes;
use ringwall_model::{Decision, Judgement, Reason, Reply, Spent, Take, Timestamp};
use smallvec::SmallVec;

/// For the shell: commits the takes of this shield's judgements, all or none. A take that the store cannot count is
/// left out when its limit says so ([`OnStoreFailure::Pass`]); the others are counted all the same.
///
/// # Errors
/// The refusal, in the name of the limit, with 429 and `retry-after`; nothing has been counted then.
pub fn commit(
    shield: &Shield,
    counters: &Counters,
    takes: &[Take],
    now: Timestamp,
) -> Result<SmallVec<[Spent; 4]>, Box<Judgement>> {
    let mut left: Vec<Take> = takes.to_vec();
    // Ends: each round either returns or has one take less.
    loop {
        let exceeded = match counters.take(&left, now) {
            Ok(spent) => return Ok(spent),
            Err(exceeded) => exceeded,
        };
        let judgement = limited(shield, &left, &exceeded);
        match judgement.decision {
            Decision::Pass { .. } if exceeded.index < left.len() => _ = left.remove(exceeded.index),
            _ => return Err(Box::new(judgement)),
        }
    }
}

/// What becomes of a call whose takes were refused: refused with 429 and `retry-after`, in the name of the limit; or,
/// when the store failed and that limit says so, let pass.
///
/// `index` of `exceeded` must be one of `takes`; a strange index refuses too. A pass here means that *this* take could
/// not be counted: take the others without it.
pub fn limited(shield: &Shield, takes: &[Take], exceeded: &Exceeded) -> Judgement {
    let Some(take) = takes.get(exceeded.index) else {
        return Judgement::refuse(Reason::Builtin("shield/limit"), reply(exceeded));
    };
    match (exceeded.cause, shield.on_store_failure(take)) {
        (Cause::StoreFull, OnStoreFailure::Pass) => Judgement::pass(take.because),
        (Cause::StoreFull | Cause::UsedUp, _) => Judgement::refuse(take.because, reply(exceeded)),
    }
}

fn reply(exceeded: &Exceeded) -> Reply {
    let number = |number: u64| Bytes::from(number.to_string());
    let spent = exceeded.spent;
    Reply::Http {
        status: 429,
        fields: vec![
            ("content-type", Bytes::from_static(b"application/json; charset=utf-8")),
            ("retry-after", number(spent.reset)),
            ("ratelimit-limit", number(spent.budget.limit)),
            ("ratelimit-remaining", number(spent.remaining)),
            ("ratelimit-reset", number(spent.reset)),
        ],
        body: Bytes::from_static(b"{\"message\":\"API rate limit exceeded\"}"),
    }
}
