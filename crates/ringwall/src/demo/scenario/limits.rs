//! How often: limits of an address, a user, a tenant, and of all; blocks with a time to live.

use super::{Expect, Report, Run, Scenario, Wants, judge, passes, sent};
use crate::demo::client::{Answer, Wire, once};
use crate::demo::stage::{HOST, Stage, request};
use std::time::Duration;

/// Each limited scenario's limit.
const LIMIT: u32 = 5;

pub const LIST: &[Scenario] = &[
    Scenario { name: "limit of one address", wants: Wants::Limit("address", LIMIT), run: |stage| address(stage) },
    Scenario { name: "limit of one user", wants: Wants::Limit("user", LIMIT), run: |stage| user(stage) },
    Scenario {
        name: "limit of one tenant, by the token",
        wants: Wants::Limit("tenant", LIMIT),
        run: |stage| tenant(stage),
    },
    Scenario { name: "limit of all", wants: Wants::Limit("global", LIMIT), run: |stage| everyone(stage) },
    Scenario {
        name: "blocked address, and its open connection",
        wants: Wants::Fresh,
        run: |stage| Box::pin(blocked(stage)),
    },
];

/// Sends calls until one is over: exactly so many must pass, and the next names the limit.
async fn exhausts(stage: &Stage, tokens: &[String], rule: &'static str) -> Report {
    let way = stage.edge();
    let calls = tokens.iter().cycle().map(|token| {
        let bearer = format!("Bearer {token}");
        request("GET", "/api/v1/orders", HOST, &[("Authorization", &bearer)], b"")
    });
    let mut passed = 0;
    for bytes in calls.take(LIMIT as usize + 1) {
        let answer = once(&way, &bytes).await;
        if answer.status == 200 {
            passed += 1;
            continue;
        }
        let mut report = judge(stage, &way, &bytes, &answer, Expect::refused(429, "shield", rule)).await;
        report.held &= passed == LIMIT && answer.field("retry-after").is_some();
        report.saw = format!("{passed} passed, then refused {}", answer.status);
        return report;
    }
    let through = passed == LIMIT + 1;
    Report { saw: format!("all {passed} passed"), wanted: format!("{LIMIT} pass"), through, ..sent(&way, b"") }
}

fn address(stage: &Stage) -> Run<'_> {
    Box::pin(async move {
        exhausts(stage, &[stage.token_of("alice", "acme"), stage.token_of("bob", "blue")], "ShieldPolicy").await
    })
}

fn user(stage: &Stage) -> Run<'_> {
    Box::pin(async move {
        let mut report = exhausts(stage, &[stage.token_of("alice", "acme")], "ShieldPolicy").await;
        // The limit is this user's: another one passes.
        report.held &= other(stage, "bob", "acme").await;
        report
    })
}

fn tenant(stage: &Stage) -> Run<'_> {
    Box::pin(async move {
        let mut report =
            exhausts(stage, &[stage.token_of("alice", "acme"), stage.token_of("bob", "acme")], "ShieldPolicy").await;
        report.held &= other(stage, "carol", "blue").await;
        report
    })
}

fn everyone(stage: &Stage) -> Run<'_> {
    Box::pin(async move {
        exhausts(stage, &[stage.token_of("alice", "acme"), stage.token_of("bob", "blue")], "ShieldPolicy").await
    })
}

async fn other(stage: &Stage, user: &str, tenant: &str) -> bool {
    let bearer = format!("Bearer {}", stage.token_of(user, tenant));
    let bytes = request("GET", "/api/v1/orders", HOST, &[("Authorization", &bearer)], b"");
    passes(&stage.edge(), &bytes, 200).await.held
}

async fn blocked(stage: &Stage) -> Report {
    let mut way = stage.edge();
    way.from = Some([127, 0, 0, 66].into());
    let bytes = stage.good("GET", "/api/v1/orders", &[], b"");
    let mut report = sent(&way, &bytes);
    let Ok(mut live) = Wire::open(&way).await else { return report };
    let before: Answer = live.exchange(&bytes).await;
    if let Err(error) = stage.platform.block("127.0.0.66", 900) {
        report.saw = error;
        return report;
    }
    let cut = live.closed(Duration::from_secs(2)).await;
    let refused = Wire::open(&way).await;
    let refused = match refused {
        Ok(mut wire) => wire.exchange(&bytes).await.status != 200,
        Err(_) => true,
    };
    // Free again by time, not by hand.
    let mut free = Answer::default();
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        free = once(&way, &bytes).await;
        if free.status == 200 {
            break;
        }
    }
    report.held = before.status == 200 && cut && refused && free.status == 200;
    report.status = 0;
    report.layer = "shield".into();
    report.rule = "block".into();
    report.saw = format!(
        "{}; live connection {}; new one {}; by time {}",
        before.status,
        if cut { "cut" } else { "lives on" },
        if refused { "refused" } else { "admitted" },
        free.status
    );
    report.wanted = "200; cut; refused; 200 after its time".into();
    report
}
