//! The data zone: protocols that are not HTTP go through mutual TLS, with identity, unchanged.

use super::{Report, Scenario, Wants, mutual, sent};
use crate::demo::client::Wire;
use crate::demo::stage::Stage;

pub const LIST: &[Scenario] = &[
    Scenario { name: "PostgreSQL with identity", wants: Wants::Shared, run: |stage| Box::pin(postgresql(stage)) },
    Scenario { name: "Redis with identity", wants: Wants::Shared, run: |stage| Box::pin(redis(stage)) },
];

/// `SSLRequest` (PostgreSQL protocol 3.0, section "SSL session encryption"): a server without TLS of its own says `N`.
const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
const PING: &[u8] = b"PING\r\n";

async fn postgresql(stage: &Stage) -> Report {
    let wanted = if stage.real.contains(&"postgresql") { b"N" } else { SSL_REQUEST };
    speaks(stage, ("postgresql", 5432), SSL_REQUEST, wanted).await
}

async fn redis(stage: &Stage) -> Report {
    let wanted = if stage.real.contains(&"redis") { b"+PONG\r\n" } else { PING };
    speaks(stage, ("redis", 6379), PING, wanted).await
}

async fn speaks(stage: &Stage, (app, port): (&str, u16), says: &[u8], wanted: &[u8]) -> Report {
    let way = mutual(stage, stage.platform.inbound(&format!("data/{app}"), port), "application", "bff-service");
    let mut report = sent(&way, says);
    let answer = match Wire::open(&way).await {
        Ok(mut wire) => match wire.send(says).await {
            Ok(()) => wire.read_some().await,
            Err(why) => Err(why),
        },
        Err(why) => Err(why),
    };
    let stands = if stage.real.contains(&app) { "the server" } else { "the byte echo that stands for it" };
    report.held = answer.as_deref() == Ok(wanted);
    report.through = answer.is_ok();
    report.saw = match answer {
        Ok(bytes) => format!("{stands} answered {}", bytes.escape_ascii()),
        Err(why) => format!("no answer: {why}"),
    };
    report.wanted = format!("{}", wanted.escape_ascii());
    report
}
