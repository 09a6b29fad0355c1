//! Foreign suites: `conformance_waf crs|libinjection [--corpus DIR]`. Prints each failing case and closes with
//! `N passed, N failed`.

#[path = "../tests/harness.rs"]
mod harness;

use harness::{corpus, crs, libinjection};
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = arguments.iter().position(|word| word == "--corpus").and_then(|at| arguments.get(at + 1));
    let folder = corpus::folder(given.map(PathBuf::from).as_deref());
    let (passed, failed) = match arguments.first().map(String::as_str) {
        Some("crs") => {
            let Some(waf) = crs::engine(&folder, crs::SETUP) else {
                eprintln!("there is no crs/rules in {}", folder.display());
                return ExitCode::from(2);
            };
            let score = crs::run(&waf, &crs::cases(&folder));
            for (id, why) in &score.failed {
                println!("{id}: {}", why.chars().take(300).collect::<String>());
            }
            for id in &score.foreseen {
                let why = crs::OVERRIDES.iter().find(|(known, _)| known == id).map_or("", |(_, why)| why);
                println!("{id}: documented override: {why}");
            }
            (score.passed, score.failed.len())
        }
        Some("libinjection") => {
            let Some((passed, failed)) = libinjection::run(&folder) else {
                eprintln!("there is no libinjection/verdicts.jsonl in {}", folder.display());
                return ExitCode::from(2);
            };
            for (id, why) in &failed {
                println!("{id}: {}", why.chars().take(300).collect::<String>());
            }
            (passed, failed.len())
        }
        _ => {
            eprintln!("usage: conformance_waf crs|libinjection [--corpus DIR]");
            return ExitCode::from(2);
        }
    };
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
