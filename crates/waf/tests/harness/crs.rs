//! The Core Rule Set's own regression tests, in memory.

use super::case::{self, Case, Expect, Stage};
use super::corpus;
use super::serve::{self, Outcome};
use regex_automata::meta::Regex;
use ringwall_waf::{Prefilter, Profile, Settings, Waf};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How CRS's own set-up for its tests reads in the words of the rule set.
pub const SETUP: &str = r#"
SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html text/xml application/json
SecAction "id:900005,phase:1,nolog,pass,\
  setvar:tx.blocking_paranoia_level=4,\
  setvar:tx.crs_validate_utf8_encoding=1,\
  setvar:tx.arg_name_length=100,\
  setvar:tx.arg_length=400,\
  setvar:tx.total_arg_length=64000,\
  setvar:tx.max_num_args=255,\
  setvar:tx.max_file_size=64100,\
  setvar:tx.combined_file_sizes=65535"
"#;

/// Cases where Ringwall does otherwise, and why it is the safer way. A case that passes must not stand here.
pub const OVERRIDES: [(&str, &str); 2] = [
    ("920181-1", "both Content-Length and Transfer-Encoding: refused (RFC 9112 section 6.1), not repaired"),
    ("920620-1", "two Content-Type fields: both are seen, not merged"),
];

/// Passed, failed (with the reason), and cases of [`OVERRIDES`] that failed as foreseen.
#[derive(Debug, Default)]
pub struct Score {
    pub passed: usize,
    pub failed: Vec<(String, String)>,
    pub foreseen: Vec<String>,
}

/// The rule set of a corpus with its test set-up; `None` when the corpus is absent.
pub fn engine(corpus: &Path, own: &str) -> Option<Arc<Waf>> {
    let folder = corpus.join("crs");
    if !folder.join("rules").is_dir() {
        return None;
    }
    let (bundle, roots) = corpus::crs(&folder, own);
    let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
    match Waf::load(&bundle, &roots) {
        Ok(waf) => Some(waf),
        Err(errors) => panic!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

/// All cases of a corpus.
pub fn cases(corpus: &Path) -> Vec<Case> {
    let files = corpus::files(&corpus.join("crs/tests"));
    let yaml = files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    let read = |path: &std::path::PathBuf| corpus::bytes(path).and_then(|bytes| String::from_utf8(bytes).ok());
    yaml.filter_map(read).flat_map(|text| case::read(&text)).collect()
}

/// Runs all cases.
pub fn run(waf: &Arc<Waf>, cases: &[Case]) -> Score {
    let profile = waf.profile(Settings::default()).expect("settings");
    let next = AtomicUsize::new(0);
    let work = || {
        let mut results = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            results.push((case.id.clone(), judge(waf, &profile, case)));
        }
        results
    };
    let mut results = std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut results = work();
        results.extend(other.join().expect("no panic"));
        results
    });
    results.sort();
    tally(results, &OVERRIDES)
}

/// Counts results; what is foreseen must fail.
pub fn tally(results: Vec<(String, Result<(), String>)>, overrides: &[(&str, &str)]) -> Score {
    let mut score = Score::default();
    for (id, result) in results {
        let foreseen = overrides.iter().any(|(known, _)| *known == id);
        match (result, foreseen) {
            (Ok(()), false) => score.passed += 1,
            (Ok(()), true) => score.failed.push((id, "passes, and stands among the overrides".into())),
            (Err(_), true) => score.foreseen.push(id),
            (Err(why), false) => score.failed.push((id, why)),
        }
    }
    score
}

fn judge(waf: &Arc<Waf>, profile: &Arc<Profile>, case: &Case) -> Result<(), String> {
    case.stages.iter().try_for_each(|stage| verdict(stage, &serve::serve(waf, profile, &stage.request)))
}

fn verdict(stage: &Stage, outcome: &Outcome) -> Result<(), String> {
    let logged: Vec<_> = outcome.report.matched.iter().filter(|matched| matched.logged).collect();
    let ids: Vec<u64> = logged.iter().map(|matched| matched.id).collect();
    let lines: Vec<String> = logged.iter().map(ToString::to_string).collect();
    check(&stage.expect, outcome.status, &ids, &lines)
}

/// Whether a status (`None`: closed without an answer), the rules that were logged and their lines are as expected.
pub fn check(expect: &Expect, status: Option<u16>, ids: &[u64], lines: &[String]) -> Result<(), String> {
    if expect.error {
        return if status.is_none() { Ok(()) } else { Err(format!("answered {status:?}")) };
    }
    if status.is_none() {
        return Err("closed without an answer".into());
    }
    if expect.status.is_some() && expect.status != status {
        return Err(format!("status {status:?}, not {:?}", expect.status));
    }
    if let Some(id) = expect.ids.iter().find(|id| !ids.contains(id)) {
        return Err(format!("{id} did not match; {ids:?} did"));
    }
    if let Some(id) = expect.no_ids.iter().find(|id| ids.contains(id)) {
        return Err(format!("{id} matched"));
    }
    let finds = |pattern: &str| {
        let regex = Regex::new(pattern).expect("a pattern");
        lines.iter().any(|line| regex.is_match(line))
    };
    if let Some(pattern) = expect.matches.as_deref().filter(|pattern| !finds(pattern)) {
        return Err(format!("no line matches {pattern}: {lines:?}"));
    }
    match expect.no_match.as_deref().filter(|pattern| finds(pattern)) {
        Some(pattern) => Err(format!("a line matches {pattern}")),
        None => Ok(()),
    }
}

/// Cases for which the prefilter changes what is reported, or it changes when texts are forgotten as soon as they were
/// used; there must be none.
pub fn prefilter_differences(waf: &Arc<Waf>, requests: &[(String, Vec<u8>)]) -> Vec<String> {
    let with = waf.profile(Settings::default()).expect("settings");
    let without = waf.profile(Settings { prefilter: Prefilter::Off, ..Settings::default() }).expect("settings");
    let without_room = waf.profile(Settings { room: Some(0), ..Settings::default() }).expect("settings");
    let next = AtomicUsize::new(0);
    let work = || {
        let mut different = Vec::new();
        while let Some((id, request)) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
            let report = |profile| serve::serve(waf, profile, request).report;
            let wanted = report(&with);
            if wanted != report(&without) || wanted != report(&without_room) {
                different.push(id.clone());
            }
        }
        different
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut different = work();
        different.extend(other.join().expect("no panic"));
        different
    })
}
