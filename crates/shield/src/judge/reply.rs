//! The answer to a call that is over a limit, in Kong's words and fields.

use crate::{Cause, Exceeded, OnStoreFailure, Shield};
use bytes::Bytes;
use ringwall_model::{Judgement, Reason, Reply, Take};

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
