//! Everything that must hold, in the order in which it is cheapest to find out.

use crate::{bpf, run, suites, tidy};
use std::time::Instant;

/// What was found so far.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    not_run: Vec<String>,
    broken: Vec<&'static str>,
}

/// What the steps after the tests run: built at one time.
const BUILT: [&str; 14] = [
    "--bin",
    "ringwall",
    "--example",
    "gen",
    "--example",
    "fuzz_replay",
    "--example",
    "conformance",
    "--example",
    "conformance_edge",
    "--example",
    "conformance_kernel",
    "--example",
    "conformance_waf",
];

/// Runs all steps, also those after one that failed, and closes with the count.
pub fn ci() -> bool {
    let mut tally = Tally::default();
    step(&mut tally, "fmt", |_| run::holds(run::cargo(&["fmt", "--all", "--check"])));
    step(&mut tally, "tidy", |_| tidy::command());
    step(&mut tally, "clippy", |_| {
        run::holds(run::cargo(&["clippy", "--workspace", "--all-targets", "--release", "--", "-D", "warnings"]))
    });
    step(&mut tally, "test", tests);
    step(&mut tally, "doc", |_| {
        let mut doc = run::cargo(&["doc", "--workspace", "--no-deps", "--release", "--quiet"]);
        doc.env("RUSTDOCFLAGS", "-D warnings");
        run::holds(doc)
    });
    step(&mut tally, "build", |_| run::builds(&BUILT));
    step(&mut tally, "gen", |_| run::example("gen", &["--check"]));
    step(&mut tally, "bpf", objects);
    step(&mut tally, "fuzz-replay", |_| run::example("fuzz_replay", &[]));
    step(&mut tally, "conformance", conformance);
    close(&tally)
}

fn step(tally: &mut Tally, name: &'static str, work: impl FnOnce(&mut Tally) -> bool) {
    println!("── {name}");
    let begun = Instant::now();
    if !work(tally) {
        tally.broken.push(name);
        println!("── {name} FAILED");
    }
    println!("── {name}: {} s", begun.elapsed().as_secs());
}

/// All tests of the workspace; what they say was not run is kept for the last lines.
fn tests(tally: &mut Tally) -> bool {
    let words = ["test", "--release", "--workspace", "--all-targets", "--no-fail-fast", "--", "--show-output"];
    let (lines, held) = run::lines(run::cargo(&words), |line| {
        if line.starts_with("test result:") || (line.starts_with("test ") && line.ends_with("FAILED")) {
            println!("{line}");
        }
    });
    for line in &lines {
        match line.strip_prefix("test result: ").and_then(|_| counts(line)) {
            Some((passed, failed, ignored)) => {
                tally.passed += passed;
                tally.failed += failed;
                if ignored > 0 {
                    tally.not_run.push(format!("{ignored} tests are marked as ignored"));
                }
            }
            None => tally.not_run.extend(line.strip_prefix("not run: ").map(str::to_owned)),
        }
    }
    if !held {
        // What failed, with all it said.
        let from = lines.iter().position(|line| line == "failures:").unwrap_or(0);
        lines.iter().skip(from).for_each(|line| println!("{line}"));
    }
    held
}

/// `… 3 passed; 0 failed; 1 ignored; …`
fn counts(line: &str) -> Option<(usize, usize, usize)> {
    let number =
        |word: &str| line.split(';').find_map(|part| part.trim().strip_suffix(word)?.rsplit(' ').next()?.parse().ok());
    Some((number(" passed")?, number(" failed")?, number(" ignored")?))
}

fn objects(tally: &mut Tally) -> bool {
    match bpf::check() {
        bpf::Rebuilt::Same => true,
        bpf::Rebuilt::Differs(why) => {
            println!("{why}");
            false
        }
        bpf::Rebuilt::NotRun(why) => {
            tally.not_run.push(why);
            true
        }
    }
}

fn conformance(tally: &mut Tally) -> bool {
    if !suites::corpus(None).is_dir() {
        tally.not_run.push("conformance suites: no corpus".into());
        return std::env::var("RINGWALL_REQUIRE").as_deref() != Ok("parts");
    }
    suites::run_all(None)
}

fn close(tally: &Tally) -> bool {
    for what in &tally.not_run {
        println!("not run: {what}");
    }
    println!("{} not run", tally.not_run.len());
    let failed = tally.failed + tally.broken.len();
    if !tally.broken.is_empty() {
        println!("failed: {}", tally.broken.join(", "));
    }
    println!("{} passed, {failed} failed", tally.passed);
    failed == 0
}

#[cfg(test)]
mod tests {
    #[test]
    fn counts_are_read_from_a_result_line() {
        let line = "test result: ok. 22 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.02s";
        assert_eq!(super::counts(line), Some((22, 1, 2)));
        assert_eq!(super::counts("test result: unknown"), None);
    }
}
