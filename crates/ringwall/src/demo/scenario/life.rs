//! While it lives: certificates change, configurations are refused, upstreams go away.

use super::{Expect, Report, Scenario, Wants, passes, refuses, sent};
use crate::demo::client::{Wire, once};
use crate::demo::stage::Stage;
use std::time::Duration;

pub const LIST: &[Scenario] = &[
    Scenario { name: "certificates replaced under load", wants: Wants::Fresh, run: |stage| Box::pin(rotation(stage)) },
    Scenario {
        name: "bad configuration while traffic flows",
        wants: Wants::Fresh,
        run: |stage| Box::pin(bad_configuration(stage)),
    },
    Scenario {
        name: "WebSocket through edge, gateway and mesh",
        wants: Wants::Shared,
        run: |stage| Box::pin(websocket(stage)),
    },
    Scenario { name: "upstream down", wants: Wants::Fresh, run: |stage| Box::pin(upstream_down(stage)) },
    Scenario { name: "one gateway of three killed", wants: Wants::Fresh, run: |stage| Box::pin(gateway_killed(stage)) },
];

/// Calls again and again on new connections while `change` runs; says how many failed.
async fn under_load(stage: &Stage, calls: usize, change: impl AsyncFn()) -> (usize, usize) {
    let way = stage.edge();
    let bytes = stage.good("GET", "/api/v1/orders", &[], b"");
    let load = async {
        let mut failed = 0;
        for _ in 0..calls {
            let answer = once(&way, &bytes).await;
            if answer.status != 200 {
                failed += 1;
            }
        }
        failed
    };
    let (failed, ()) = tokio::join!(load, change());
    (calls, failed)
}

async fn rotation(stage: &Stage) -> Report {
    let way = stage.edge();
    let before = stage.platform.edge_serial();
    let rotate = async || {
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            stage.platform.rotate_certificates().unwrap_or_default();
        }
    };
    let (calls, failed) = under_load(stage, 60, rotate).await;
    let changed = stage.platform.edge_serial() != before;
    Report {
        held: failed == 0 && changed,
        saw: format!("{calls} new connections during 5 rotations, {failed} failed"),
        wanted: "0 failed, and another certificate".into(),
        ..sent(&way, b"")
    }
}

async fn bad_configuration(stage: &Stage) -> Report {
    let way = stage.edge();
    let refused = std::cell::Cell::new(String::new());
    let change = async || {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let bad = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: broken\n  namespace: application\nspec:\n  action: ALOW\n";
        if let Err(error) = stage.platform.add_manifest("broken.yaml", bad).await {
            refused.set(error);
        }
    };
    let (calls, failed) = under_load(stage, 20, change).await;
    let error = refused.take();
    let first = error.lines().find(|line| line.contains("broken.yaml")).unwrap_or_default().trim().to_owned();
    Report {
        held: failed == 0 && first.contains("broken.yaml:7"),
        saw: format!("not taken ({first}); {calls} calls meanwhile, {failed} failed"),
        layer: "control".into(),
        rule: "manifest".into(),
        wanted: "not taken, with file and line, and 0 calls failed".into(),
        ..sent(&way, b"")
    }
}

async fn websocket(stage: &Stage) -> Report {
    let way = stage.edge();
    let key = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let bytes = stage.good("GET", "/api/v1/socket", &key, b"");
    let mut report = sent(&way, &bytes);
    let Ok(mut wire) = Wire::open(&way).await else { return report };
    let answer = wire.exchange(&bytes).await;
    report.status = answer.status;
    let echoed = match wire.send(b"\x81\x02hi").await {
        Ok(()) => wire.read_some().await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    report.held = answer.status == 101 && echoed == b"\x81\x02hi";
    report.saw = format!("{}, {} bytes echoed", answer.status, echoed.len());
    report.wanted = "101 and the message back".into();
    report
}

async fn upstream_down(stage: &Stage) -> Report {
    stage.platform.stop_app("application/bff-service");
    refuses(stage, &stage.edge(), &stage.good("GET", "/api/v1/orders", &[], b""), Expect::refused(503, "upstream", ""))
        .await
}

async fn gateway_killed(stage: &Stage) -> Report {
    let kill = async || {
        tokio::time::sleep(Duration::from_millis(20)).await;
        stage.platform.stop_workload("infrastructure/kong-gateway-0");
    };
    let (calls, failed) = under_load(stage, 40, kill).await;
    let after = passes(&stage.edge(), &stage.good("GET", "/api/v1/orders", &[], b""), 200).await;
    Report {
        held: failed == 0 && after.held,
        saw: format!("{calls} calls meanwhile, {failed} failed"),
        wanted: "0 failed".into(),
        ..after
    }
}
