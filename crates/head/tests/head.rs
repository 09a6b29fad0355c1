//! Foreign truth: Istio's path vectors (`corpus/istio/path-normalization.jsonl`), all of them.
#![expect(clippy::disallowed_methods, reason = "a test reads the corpus")]

use ringwall_head::conformance;

/// Absent corpus: not run, unless `RINGWALL_REQUIRE=parts`.
#[test]
fn paths_are_normalized_as_istio_says() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus");
    let corpus = std::env::var("RINGWALL_CORPUS").unwrap_or_else(|_| default.to_owned());
    let Ok(text) = std::fs::read_to_string(format!("{corpus}/istio/path-normalization.jsonl")) else {
        assert_ne!(std::env::var("RINGWALL_REQUIRE").as_deref(), Ok("parts"), "istio-paths: no corpus at {corpus}");
        println!("not run: istio-paths: no corpus");
        return;
    };
    let cases = conformance::istio_paths(&text);
    let failed: Vec<_> = cases.iter().filter(|case| !case.passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(cases.len() >= 40, "only {} cases were read", cases.len());
}

/// The vectors that Envoy's fix changed, as an older list has them.
#[test]
fn a_vector_from_before_the_fix_is_read_with_the_fix() {
    let line = |path: &str| format!("{{\"mode\": \"BASE\", \"in\": \"{path}\", \"out\": \"{path}\"}}");
    let cases = conformance::istio_paths(&[line("/a/..;/admin"), line("/a/..;x=1/b"), line("/a/b;c")].join("\n"));
    let got: Vec<_> = cases.iter().map(|case| (case.passed(), case.got.as_deref().unwrap_or_default())).collect();
    assert_eq!(got, [(true, "/admin"), (true, "/b"), (true, "/a/b;c")]);
    assert!(!conformance::istio_paths("not json")[0].passed());
}
