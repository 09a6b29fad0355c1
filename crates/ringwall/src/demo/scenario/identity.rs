//! Who is calling: tokens, and the fields that only the wall may write.

use super::{Expect, Report, Run, Scenario, Wants, passed, passes, refuses};
use crate::demo::client::once;
use crate::demo::stage::{HOST, Stage, request};
use serde_json::{Value, json};

pub const LIST: &[Scenario] = &[
    Scenario { name: "valid call", wants: Wants::Shared, run: |stage| Box::pin(valid(stage)) },
    Scenario { name: "streamed answer of the model", wants: Wants::Shared, run: |stage| Box::pin(streamed(stage)) },
    Scenario { name: "no token", wants: Wants::Shared, run: |stage| Box::pin(no_token(stage)) },
    Scenario { name: "expired token", wants: Wants::Shared, run: |stage| expired(stage) },
    Scenario { name: "token for another audience", wants: Wants::Shared, run: |stage| wrong_audience(stage) },
    Scenario { name: "token signed by nobody (alg none)", wants: Wants::Shared, run: |stage| unsigned(stage) },
    Scenario { name: "forged user and tenant headers", wants: Wants::Shared, run: |stage| Box::pin(forged(stage)) },
    Scenario {
        name: "X_Internal_Secret in another spelling",
        wants: Wants::Shared,
        run: |stage| Box::pin(secret(stage)),
    },
    Scenario {
        name: "X-Internal-Secret as the 101st header",
        wants: Wants::Shared,
        run: |stage| Box::pin(late_secret(stage)),
    },
    Scenario { name: "path for administrators only", wants: Wants::Shared, run: |stage| Box::pin(admin(stage)) },
    Scenario {
        name: "signing key of the issuer replaced",
        wants: Wants::Fresh,
        run: |stage| Box::pin(rotated_key(stage)),
    },
];

async fn valid(stage: &Stage) -> Report {
    passes(&stage.edge(), &stage.good("GET", "/api/v1/orders?page=2", &[], b""), 200).await
}

async fn streamed(stage: &Stage) -> Report {
    let (way, bytes) = (
        stage.edge(),
        stage.good("POST", "/api/v1/chat", &[("Content-Type", "application/json")], br#"{"prompt":"does it stand?"}"#),
    );
    let answer = once(&way, &bytes).await;
    let mut report = passed(&way, &bytes, &answer, 200);
    let done = answer.text().ends_with("data: [DONE]\n\n");
    let spread = answer.arrivals.last().zip(answer.arrivals.first()).map(|(last, first)| *last - *first);
    report.held &= done && answer.arrivals.len() >= 4 && spread.is_some_and(|spread| spread.as_millis() > 20);
    report.saw = format!(
        "{}, {} parts over {} ms",
        answer.status,
        answer.arrivals.len(),
        spread.unwrap_or_default().as_millis()
    );
    report.wanted = "200 in several parts as they are made".into();
    report
}

async fn no_token(stage: &Stage) -> Report {
    let bytes = request("GET", "/api/v1/orders", HOST, &[], b"");
    refuses(stage, &stage.edge(), &bytes, Expect::refused(401, "gateway", "oidc")).await
}

fn expired(stage: &Stage) -> Run<'_> {
    let past = ringwall_control::facts::now().seconds() - 900;
    Box::pin(bad_token(stage, json!({ "exp": past, "nbf": past - 60, "iat": past - 60 })))
}

fn wrong_audience(stage: &Stage) -> Run<'_> {
    Box::pin(bad_token(stage, json!({ "aud": "another-api" })))
}

async fn bad_token(stage: &Stage, changes: Value) -> Report {
    let token = stage.token_with("alice", "acme", &changes);
    with_token(stage, &token).await
}

fn unsigned(stage: &Stage) -> Run<'_> {
    let token = stage.token();
    let claims = token.split('.').nth(1).unwrap_or_default();
    // {"alg":"none","typ":"JWT"}
    let forged = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.");
    Box::pin(async move { with_token(stage, &forged).await })
}

async fn with_token(stage: &Stage, token: &str) -> Report {
    let bearer = format!("Bearer {token}");
    let bytes = request("GET", "/api/v1/orders", HOST, &[("Authorization", &bearer)], b"");
    refuses(stage, &stage.edge(), &bytes, Expect::refused(401, "gateway", "oidc")).await
}

/// What the service saw of a request that passed: the fields of its echo.
async fn seen(stage: &Stage, fields: &[(&str, &str)]) -> (Report, Value) {
    let (way, bytes) = (stage.edge(), stage.good("GET", "/api/v1/orders", fields, b""));
    let answer = once(&way, &bytes).await;
    let echo: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    (passed(&way, &bytes, &answer, 200), echo.get("fields").cloned().unwrap_or_default())
}

async fn forged(stage: &Stage) -> Report {
    let claims = [("X-User-Id", "root"), ("X-Tenant-Id", "victim"), ("X-User-Roles", "platform-admin")];
    let (mut report, fields) = seen(stage, &claims).await;
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    report.held &= text("x-user-id") == "alice" && text("x-tenant-id") == "acme";
    report.saw = format!("service saw user {}, tenant {}", text("x-user-id"), text("x-tenant-id"));
    report.wanted = "user alice, tenant acme, whatever the client wrote".into();
    report
}

async fn secret(stage: &Stage) -> Report {
    without_secret(stage, &[("X_Internal_Secret", "let-me-in"), ("x-internal_Secret", "again")]).await
}

async fn late_secret(stage: &Stage) -> Report {
    let names: Vec<String> = (0..90).map(|n| format!("X-Filler-{n}")).collect();
    let mut fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
    fields.push(("X-Internal-Secret", "let-me-in"));
    without_secret(stage, &fields).await
}

async fn without_secret(stage: &Stage, sent: &[(&str, &str)]) -> Report {
    let (mut report, fields) = seen(stage, sent).await;
    let leaked = fields.to_string().contains("let-me-in") || fields.to_string().contains("again");
    // A refusal keeps the secret out as well as a removal does.
    report.held = !leaked && (report.status == 200 || (400..500).contains(&report.status));
    report.saw = if leaked { "the service saw it".into() } else { format!("{}, and no service saw it", report.status) };
    report.wanted = "no service sees it".into();
    report
}

async fn admin(stage: &Stage) -> Report {
    let bytes = stage.good("GET", "/api/v1/admin/users", &[], b"");
    refuses(stage, &stage.edge(), &bytes, Expect::refused(403, "mesh", "no-admin-paths")).await
}

async fn rotated_key(stage: &Stage) -> Report {
    if let Err(error) = stage.platform.rotate_issuer_key() {
        return Report { saw: error, ..Report::default() };
    }
    // The first unknown key after the cool-down has the key set fetched anew.
    tokio::time::sleep(super::super::COOLDOWN * 2).await;
    let mut report = passes(&stage.edge(), &stage.good("GET", "/api/v1/orders", &[], b""), 200).await;
    report.saw = format!("{} with a token of the new key", report.status);
    report
}
