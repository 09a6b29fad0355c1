//! The engine against foreign truth: the Core Rule Set's regression tests, libinjection's verdicts, and rules of our own.

mod harness;

use harness::{corpus, crs, libinjection, serve};
use ringwall_waf::{Preset, Settings};
use std::path::PathBuf;

/// The corpus; a test without it says so and passes, unless `RINGWALL_REQUIRE=parts`.
fn corpus_or_skip(suite: &str, folder: &str) -> Option<PathBuf> {
    let all = corpus::folder(None);
    if all.join(folder).is_dir() {
        return Some(all);
    }
    assert!(std::env::var("RINGWALL_REQUIRE").as_deref() != Ok("parts"), "{suite}: no corpus in {}", all.display());
    println!("not run: {suite}: no corpus");
    None
}

#[test]
fn core_rule_set_regression_tests() {
    let Some(corpus) = corpus_or_skip("crs", "crs/rules") else { return };
    let waf = crs::engine(&corpus, crs::SETUP).expect("rules");
    let score = crs::run(&waf, &crs::cases(&corpus));
    assert!(score.failed.is_empty(), "{} passed, failed: {:#?}", score.passed, score.failed);
    assert!(score.passed > 4000, "only {} cases were found", score.passed);
    assert_eq!(score.foreseen.len(), crs::OVERRIDES.len());
}

#[test]
fn prefilter_changes_nothing() {
    let Some(corpus) = corpus_or_skip("prefilter", "crs/rules") else { return };
    let waf = crs::engine(&corpus, crs::SETUP).expect("rules");
    let cases = crs::cases(&corpus);
    let stages = cases.iter().flat_map(|case| case.stages.iter().map(|stage| (case.id.clone(), stage.request.clone())));
    // Every fourth case: the other three ask the same operators again.
    let requests: Vec<_> = stages.step_by(4).collect();
    assert_eq!(crs::prefilter_differences(&waf, &requests), Vec::<String>::new());
}

#[test]
fn libinjection_agrees_with_the_current_c() {
    let Some(corpus) = corpus_or_skip("libinjection", "libinjection/tests") else { return };
    let (passed, failed) = libinjection::run(&corpus).expect("verdicts");
    assert!(failed.is_empty(), "{passed} passed, failed: {failed:#?}");
    assert!(passed > 13_000, "only {passed} cases were found");
}

/// Paranoia level 1, blocking: what is refused is refused with 403 by the rule that sums the scores.
#[test]
fn blocking_at_paranoia_level_1() {
    let Some(corpus) = corpus_or_skip("blocking", "crs/rules") else { return };
    let waf = crs::engine(&corpus, "SecRuleEngine On\nSecResponseBodyAccess On\n").expect("rules");
    let profile = waf.profile(Settings::default()).expect("settings");
    let (mut refused, mut passed) = (0, 0);
    for case in crs::cases(&corpus) {
        for stage in &case.stages {
            let outcome = serve::serve(&waf, &profile, &stage.request);
            let report = &outcome.report;
            if matches!(outcome.status, Some(400) | None) {
                // The head was refused before its body was judged.
                continue;
            }
            let over = report.inbound >= 5 || report.outbound >= 4;
            let by_score = report.interruption.as_ref().is_some_and(|by| [949_110, 959_100].contains(&by.rule));
            assert_eq!(over, by_score, "{}: {} {} {:?}", case.id, report.inbound, report.outbound, report.interruption);
            if by_score {
                assert_eq!(outcome.status, Some(403), "{}", case.id);
                refused += 1;
            } else {
                passed += 1;
            }
        }
    }
    assert!(refused > 1000 && passed > 500, "{refused} refused, {passed} passed");
}

/// What a route says beside the rule files.
#[test]
fn settings_of_a_route() {
    let Some(corpus) = corpus_or_skip("settings", "crs/rules") else { return };
    let waf = crs::engine(&corpus, "SecRuleEngine On\n").expect("rules");
    let request = b"GET /?q=%3Cscript%3Ealert(1)%3C/script%3E HTTP/1.1\r\nHost: a.example\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n";
    let outcome = |settings: Settings| serve::serve(&waf, &waf.profile(settings).expect("settings"), request);
    let plain = outcome(Settings::default());
    assert_eq!(plain.status, Some(403));
    assert!(
        plain
            .report
            .matched
            .iter()
            .any(|matched| matched.id == 941_100 && matched.variable == "ARGS:q" && matched.score == 5)
    );
    assert_eq!(outcome(Settings::default().inbound_threshold(1000)).status, Some(200));
    let off = Settings { engine: Some(ringwall_waf::Engine::Off), ..Settings::default() };
    assert!(outcome(off).report.matched.is_empty());
    let xss = "attack-xss".into();
    let tagged = Settings { exclusions: vec![ringwall_waf::Exclude::Tag(xss)], ..Settings::default() };
    assert!(outcome(tagged).report.matched.iter().all(|matched| !matched.tags.iter().any(|tag| tag == "attack-xss")));
    let target = ringwall_waf::Exclude::TargetOfTag("OWASP_CRS".into(), "ARGS:q".into());
    let report = outcome(Settings { exclusions: vec![target], ..Settings::default() }).report;
    assert!(report.matched.iter().all(|matched| matched.variable != "ARGS:q"), "{report:#?}");
    let more = outcome(Settings::default().paranoia(4)).report.matched.len();
    assert!(more > plain.report.matched.len());
}

/// The benchmark's requests: what is benign passes, attacks are refused; a prompt with code and a GraphQL query pass under
/// their presets, and attacks in other fields do not.
#[test]
fn verdicts_of_the_benchmark_and_the_presets() {
    let Some(corpus) = corpus_or_skip("benchmark", "../bench/waf") else { return };
    let load = |preset: Option<Preset>| {
        let own = format!("SecRuleEngine On\n{}", preset.map_or("", Preset::text));
        let waf = crs::engine(&corpus, &own).expect("rules");
        let profile = waf.profile(Settings::default()).expect("settings");
        move |request: &[u8]| serve::serve(&waf, &profile, request).status
    };
    let (plain, prompts, graphql) = (load(None), load(Some(Preset::Prompts)), load(Some(Preset::GraphQl)));
    for path in corpus::files(&corpus.join("../bench/waf")) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let request = corpus::bytes(&path).expect("a request");
        let refused = name.contains("attack") || name.starts_with("05") || name.starts_with("10");
        assert_eq!(plain(&request), Some(if refused { 403 } else { 200 }), "{name}");
        if name.starts_with("05") {
            assert_eq!(prompts(&request), Some(200), "{name}");
        }
        if name.starts_with("10") {
            assert_eq!(graphql(&request), Some(200), "{name}");
        }
    }
    let post = |body: &str| {
        let head =
            "POST /api HTTP/1.1\r\nHost: a.example\r\nUser-Agent: x\r\nAccept: */*\r\nContent-Type: application/json";
        format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    let attack = "<script>alert(document.cookie)</script>";
    assert_eq!(prompts(&post(&format!("{{\"user\":\"{attack}\"}}"))), Some(403));
    assert_eq!(prompts(&post(&format!("{{\"prompt\":\"{attack}\"}}"))), Some(200));
    assert_eq!(graphql(&post(&format!("{{\"query\":\"{{ a(b: \\\"{attack}\\\") }}\"}}"))), Some(403));
    assert_eq!(graphql(&post(&format!("{{\"query\":\"{{ a }}\",\"variables\":{{\"v\":\"{attack}\"}}}}"))), Some(403));
}
