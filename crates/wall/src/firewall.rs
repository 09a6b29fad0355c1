//! The WAF's place on the page: phases 1 and 2 of a transaction over the raw head and the body.
//!
//! In: the World's rule set, the call, the world outside for its body. Out: a decision. ORDER: after the routes are
//! selected, before any plugin rewrites: rules are written against the request as it came.

use crate::outside::Outside;
use bytes::Bytes;
use ringwall_manifest::world::firewall::{BODY_LIMIT, Firewall};
use ringwall_model::{BodyLength, Call, Decision, Reason, Reply};
use ringwall_waf::{BodyRoom, Fuel, Progress, Transaction};

/// Judges a call.
pub async fn judge(firewall: &Firewall, call: &Call, outside: &impl Outside) -> Decision {
    let mut transaction = firewall.waf.begin(&firewall.profile, outside.now());
    transaction.call(call);
    if phase(&mut transaction, Transaction::phase1).await == Progress::Interrupt {
        return refuse(firewall, &mut transaction);
    }
    if transaction.wants_request_body() && call.body != BodyLength::Empty && !is_tunnel(call) {
        let body = match outside.body(BODY_LIMIT as u64 + 1).await {
            Ok(body) => body,
            Err(_) => return broken("waf/body-not-read", 400),
        };
        if transaction.request_body(&body) == BodyRoom::Refuse {
            return refuse(firewall, &mut transaction);
        }
    }
    if phase(&mut transaction, Transaction::phase2).await == Progress::Interrupt {
        return refuse(firewall, &mut transaction);
    }
    Decision::Pass { because: Reason::NoRuleApplies }
}

/// What follows a protocol switch is no request body.
fn is_tunnel(call: &Call) -> bool {
    &*call.method == b"CONNECT" || call.fields.first("upgrade").is_some()
}

/// Runs a phase in slices, so that one large request does not keep its thread from the others.
async fn phase(transaction: &mut Transaction, run: fn(&mut Transaction, Fuel) -> Progress) -> Progress {
    loop {
        match run(transaction, Fuel::SLICE) {
            Progress::Yield => breathe().await,
            done => return done,
        }
    }
}

/// Lets other tasks of the thread run once.
async fn breathe() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

fn refuse(firewall: &Firewall, transaction: &mut Transaction) -> Decision {
    let status = transaction.interruption().map_or(403, |by| by.status);
    let because = firewall.reason(&transaction.report());
    let reply = if status == 0 { Reply::Drop } else { Reply::text(status, Bytes::from_static(b"Forbidden")) };
    Decision::Refuse { because, reply }
}

fn broken(rule: &'static str, status: u16) -> Decision {
    Decision::Refuse { because: Reason::Builtin(rule), reply: Reply::text(status, Bytes::from_static(b"Bad Request")) }
}
