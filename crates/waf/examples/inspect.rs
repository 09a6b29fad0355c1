//! One request under one rule set: `inspect -- --crs DIR [--paranoia N] REQUEST.http...`. Prints each rule that matched,
//! what it looked at, the value after its transformations, what it added to the score, and the verdict.

#[path = "../tests/harness.rs"]
mod harness;

use harness::{corpus, serve};
use ringwall_waf::{Settings, Waf};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut crs, mut paranoia, mut requests) = (None, 1, Vec::new());
    while let Some(word) = arguments.next() {
        match word.as_str() {
            "--crs" => crs = arguments.next(),
            "--paranoia" => paranoia = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1),
            _ => requests.push(word),
        }
    }
    let Some(crs) = crs.filter(|_| !requests.is_empty()) else {
        eprintln!("usage: inspect --crs DIR [--paranoia N] REQUEST.http...");
        return ExitCode::from(2);
    };
    let own = "SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\n";
    let (bundle, roots) = corpus::crs(Path::new(&crs), own);
    let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
    let waf = match Waf::load(&bundle, &roots) {
        Ok(waf) => waf,
        Err(errors) => {
            errors.iter().for_each(|error| eprintln!("{error}"));
            return ExitCode::FAILURE;
        }
    };
    println!("{} ({} rules)", waf.signatures().join(", "), waf.counts().rules);
    let profile = waf.profile(Settings::default().paranoia(paranoia)).expect("no exclusions");
    for path in &requests {
        let Some(raw) = corpus::bytes(Path::new(path)) else {
            eprintln!("{path}: cannot be read");
            return ExitCode::FAILURE;
        };
        let outcome = serve::serve(&waf, &profile, &raw);
        println!("\n{path}: {}", outcome.status.map_or_else(|| "closed".into(), |status| status.to_string()));
        for matched in outcome.report.matched.iter().filter(|matched| matched.log || matched.score != 0) {
            println!("  {} phase {} score {:+} {}", matched.id, matched.phase, matched.score, matched.message);
            println!("      {} = {:?}", matched.variable, matched.value);
            println!("      {}:{}", matched.file, matched.line);
        }
        println!("  inbound score {}, outbound score {}", outcome.report.inbound, outcome.report.outbound);
        match &outcome.report.interruption {
            Some(by) => println!("  refused by {} in phase {}: {}", by.rule, by.phase, by.message),
            None => println!("  passed"),
        }
    }
    ExitCode::SUCCESS
}
