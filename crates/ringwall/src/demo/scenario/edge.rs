//! The way in: TLS, framing, paths, sizes.

use super::{Expect, Report, Run, Scenario, Wants, clear, judge, no_connection, passed, refuses};
use crate::demo::client::{Old, once};
use crate::demo::stage::{HOST, Stage, request};

pub const LIST: &[Scenario] = &[
    Scenario { name: "TLS 1.2", wants: Wants::Shared, run: |stage| Box::pin(old_tls(stage)) },
    Scenario { name: "unknown server name", wants: Wants::Shared, run: |stage| Box::pin(unknown_name(stage)) },
    Scenario { name: "port 80", wants: Wants::Shared, run: |stage| Box::pin(redirect(stage)) },
    Scenario {
        name: "smuggling: Content-Length and Transfer-Encoding",
        wants: Wants::Shared,
        run: |stage| smuggle(stage, 0),
    },
    Scenario { name: "smuggling: two different lengths", wants: Wants::Shared, run: |stage| smuggle(stage, 1) },
    Scenario { name: "smuggling: obsolete line folding", wants: Wants::Shared, run: |stage| smuggle(stage, 2) },
    Scenario { name: "smuggling: two hosts", wants: Wants::Shared, run: |stage| smuggle(stage, 3) },
    Scenario {
        name: "path traversal, plain",
        wants: Wants::Shared,
        run: |stage| traversal(stage, "/api/v1/orders/../admin/users"),
    },
    Scenario {
        name: "path traversal, encoded slash",
        wants: Wants::Shared,
        run: |stage| traversal(stage, "/api/v1/orders/..%2fadmin/users"),
    },
    Scenario {
        name: "path traversal, backslash",
        wants: Wants::Shared,
        run: |stage| traversal(stage, "/api/v1/orders/..%5cadmin/users"),
    },
    Scenario {
        name: "path traversal, path parameter",
        wants: Wants::Shared,
        run: |stage| traversal(stage, "/api/v1/orders/..;/admin/users"),
    },
    Scenario { name: "NUL in the path", wants: Wants::Shared, run: |stage| Box::pin(nul(stage)) },
    Scenario {
        name: "body over the limit, length told",
        wants: Wants::Shared,
        run: |stage| Box::pin(oversized(stage)),
    },
    Scenario {
        name: "body over the limit, length hidden",
        wants: Wants::Shared,
        run: |stage| Box::pin(oversized_chunks(stage)),
    },
    Scenario {
        name: "address with a bad reputation",
        wants: Wants::Balancer,
        run: |stage| Box::pin(reputation(stage)),
    },
    Scenario {
        name: "X-Forwarded-For made up by a direct client",
        wants: Wants::Shared,
        run: |stage| Box::pin(spoofed(stage)),
    },
    Scenario {
        name: "client address behind two HTTP proxies",
        wants: Wants::Proxies(2),
        run: |stage| Box::pin(two_proxies(stage)),
    },
    Scenario {
        name: "client address behind a PROXY protocol balancer",
        wants: Wants::Balancer,
        run: |stage| Box::pin(balancer(stage)),
    },
];

async fn old_tls(stage: &Stage) -> Report {
    let mut way = stage.edge();
    if let Some(tls) = &mut way.tls {
        tls.old = Old::OnlyTls12;
    }
    no_connection(stage, &way, &stage.good("GET", "/api/v1/orders", &[], b""), "tls", "").await
}

async fn unknown_name(stage: &Stage) -> Report {
    let mut way = stage.edge();
    if let Some(tls) = &mut way.tls {
        tls.name = "intranet.platform.local".into();
    }
    no_connection(stage, &way, &stage.good("GET", "/api/v1/orders", &[], b""), "tls", "").await
}

async fn redirect(stage: &Stage) -> Report {
    let way = clear(stage.platform.edge(80));
    let bytes = request("GET", "/api/v1/orders", HOST, &[], b"");
    let answer = once(&way, &bytes).await;
    let mut report = passed(&way, &bytes, &answer, 301);
    let to = answer.field("location").unwrap_or_default().to_owned();
    report.held &= to.starts_with("https://api.platform.local");
    report.saw = format!("{} to {to}", report.status);
    report.wanted = "301 to https".into();
    report
}

/// Requests whose end two servers could see in two places, and the built-in rule that each breaks.
const SMUGGLED: [(&str, &str); 4] = [
    ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "length-and-coding"),
    ("Content-Length: 4\r\nContent-Length: 5\r\n", "conflicting-length"),
    ("X-Folded: a\r\n b\r\n", "obs-fold"),
    ("Host: evil.example\r\n", "several-hosts"),
];

fn smuggle(stage: &Stage, which: usize) -> Run<'_> {
    Box::pin(async move {
        let (lines, rule) = SMUGGLED.get(which).copied().unwrap_or_default();
        let bytes = format!(
            "POST /api/v1/orders HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n0\r\n\r\nGET /api/v1/admin HTTP/1.1\r\n\r\n"
        );
        refuses(stage, &stage.edge(), bytes.as_bytes(), Expect::refused(400, "head", rule)).await
    })
}

fn traversal<'a>(stage: &'a Stage, path: &'static str) -> Run<'a> {
    Box::pin(async move {
        let bytes = stage.good("GET", path, &[], b"");
        // The rule for administrators' paths sees the path as the service would.
        refuses(stage, &stage.edge(), &bytes, Expect::refused(403, "mesh", "no-admin-paths").or_firewall()).await
    })
}

async fn nul(stage: &Stage) -> Report {
    let bytes = stage.good("GET", "/api/v1/orders%00.json", &[], b"");
    refuses(stage, &stage.edge(), &bytes, Expect::refused(400, "head", "path-nul")).await
}

async fn oversized(stage: &Stage) -> Report {
    let body = format!("{{\"note\":\"{}\"}}", "a".repeat(1_200_000));
    let bytes = stage.good("POST", "/api/v1/orders", &[("Content-Type", "application/json")], body.as_bytes());
    refuses(stage, &stage.edge(), &bytes, Expect::refused(413, "gateway", "request-size-limiting")).await
}

async fn oversized_chunks(stage: &Stage) -> Report {
    let fields = [("Transfer-Encoding", "chunked"), ("Content-Type", "application/json")];
    let mut bytes = stage.good("POST", "/api/v1/orders", &fields, b"");
    bytes.extend_from_slice(b"9\r\n{\"note\":\"\r\n");
    for _ in 0..20 {
        bytes.extend_from_slice(b"10000\r\n");
        bytes.extend_from_slice(&[b'a'; 0x10000]);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"2\r\n\"}\r\n0\r\n\r\n");
    let way = stage.edge();
    let answer = once(&way, &bytes).await;
    let mut report = judge(stage, &way, &bytes, &answer, Expect::refused(413, "gateway", "")).await;
    report.held = answer.status == 413;
    report
}

async fn reputation(stage: &Stage) -> Report {
    let way = stage.platform.behind_balancer(stage.edge(), "192.0.2.1");
    no_connection(stage, &way, &stage.good("GET", "/api/v1/orders", &[], b""), "shield", "platform-shield").await
}

/// The client address that the wall derived, as the service is told it.
async fn told(stage: &Stage, way: super::Way, fields: &[(&str, &str)], want: &str) -> Report {
    let bytes = stage.good("GET", "/api/v1/orders", fields, b"");
    let answer = once(&way, &bytes).await;
    let mut report = passed(&way, &bytes, &answer, 200);
    let echo: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let address = echo.get("fields").and_then(|fields| fields.get("x-real-ip")).and_then(|ip| ip.as_str());
    let address = address.unwrap_or("no address").to_owned();
    report.held &= address == want;
    report.saw = format!("{}, client address {address}", report.status);
    report.wanted = format!("client address {want}");
    report
}

async fn spoofed(stage: &Stage) -> Report {
    let mut way = stage.edge();
    way.from = Some([127, 0, 0, 9].into());
    told(stage, way, &[("X-Forwarded-For", "8.8.8.8")], "127.0.0.9").await
}

async fn two_proxies(stage: &Stage) -> Report {
    let chain = "6.6.6.6, 203.0.113.7, 198.51.100.20";
    told(stage, stage.edge(), &[("X-Forwarded-For", chain)], "203.0.113.7").await
}

async fn balancer(stage: &Stage) -> Report {
    let way = stage.platform.behind_balancer(stage.edge(), "203.0.113.99");
    told(stage, way, &[("X-Forwarded-For", "8.8.8.8")], "203.0.113.99").await
}
