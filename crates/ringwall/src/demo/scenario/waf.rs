//! The web application firewall: attacks in arguments, and prompts that must pass.

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
    Scenario {
        name: "harmless JSON body passes the firewall",
        wants: Wants::Shared,
        run: |stage| Box::pin(harmless(stage)),
    },
];

fn attack<'a>(stage: &'a Stage, path: &'static str) -> Run<'a> {
    Box::pin(async move {
        let bytes = stage.good("GET", path, &[], b"");
        refuses(stage, &stage.edge(), &bytes, Expect::refused(403, "waf", "SecRule/")).await
    })
}

async fn json_attack(stage: &Stage) -> Report {
    let body = br#"{"order":{"id":"1' UNION SELECT password FROM users -- "}}"#;
    let bytes = stage.good("POST", "/api/v1/orders", &[("Content-Type", "application/json")], body);
    refuses(stage, &stage.edge(), &bytes, Expect::refused(403, "waf", "SecRule/")).await
}

async fn scanner(stage: &Stage) -> Report {
    let text =
        String::from_utf8_lossy(&stage.good("GET", "/api/v1/orders", &[], b"")).replace("ringwall-demo", "sqlmap/1.8");
    refuses(stage, &stage.edge(), text.as_bytes(), Expect::refused(403, "waf", "SecRule/")).await
}

async fn harmless(stage: &Stage) -> Report {
    let body = br#"{"prompt":"Please select the best of these three plans and explain why."}"#;
    let bytes = stage.good("POST", "/api/v1/orders", &[("Content-Type", "application/json")], body);
    passes(&stage.edge(), &bytes, 200).await
}
