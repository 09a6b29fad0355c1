//! The gateway against Kong's recorded answers, and its router against Kong's own engine on random routes.
#![expect(clippy::disallowed_methods, reason = "a test reads its corpus from a file")]

#[path = "gateway/oracle.rs"]
mod oracle;

use ringwall_gateway::conformance;

/// Recorded answers; absent corpus: skipped, unless `RINGWALL_REQUIRE=parts`.
#[test]
fn routes_are_chosen_as_kong_recorded_them() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus");
    let corpus = std::env::var("RINGWALL_CORPUS").unwrap_or_else(|_| default.to_owned());
    let Ok(text) = std::fs::read_to_string(format!("{corpus}/router/cases.jsonl")) else {
        assert_ne!(std::env::var("RINGWALL_REQUIRE").as_deref(), Ok("parts"), "router: no corpus at {corpus}");
        println!("not run: router: no corpus");
        return;
    };
    let cases = conformance::router(&text);
    let failed: Vec<&str> = cases.iter().filter(|case| !case.passed()).map(|case| &*case.id).collect();
    assert_eq!(failed, conformance::MISRECORDED, "of {} cases", cases.len());
    assert!(cases.len() >= 100, "only {} cases were read", cases.len());
}
