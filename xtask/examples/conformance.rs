//! Foreign suites of small rooms: `conformance istio-paths|router --corpus DIR`. Prints each failing case and closes with
//! `N passed, N failed`.

use ringwall_gateway::conformance as gateway;
use ringwall_head::conformance as head;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [suite, flag, folder] = arguments.as_slice() else { return usage() };
    let (file, run): (&str, fn(&str) -> Score) = match suite.as_str() {
        "istio-paths" => ("istio/path-normalization.jsonl", istio_paths),
        "router" => ("router/cases.jsonl", router),
        _ => return usage(),
    };
    let Some(text) = std::fs::read_to_string(format!("{folder}/{file}")).ok().filter(|_| flag == "--corpus") else {
        eprintln!("there is no {file} in {folder}");
        return ExitCode::from(2);
    };
    let score = run(&text);
    score.failed.iter().for_each(|line| println!("{line}"));
    println!("{} passed, {} failed", score.passed, score.failed.len());
    if score.failed.is_empty() && score.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage() -> ExitCode {
    eprintln!("usage: conformance istio-paths|router --corpus DIR");
    ExitCode::from(2)
}

struct Score {
    passed: usize,
    failed: Vec<String>,
}

fn istio_paths(text: &str) -> Score {
    let cases = head::istio_paths(text);
    let failed = cases.iter().filter(|case| !case.passed());
    let failed: Vec<String> = failed.map(|case| format!("{}: {:?}, not {:?}", case.id, case.got, case.want)).collect();
    Score { passed: cases.len() - failed.len(), failed }
}

fn router(text: &str) -> Score {
    let (recorded, all) = (gateway::MISRECORDED, gateway::router(text));
    let cases = all.iter().filter(|case| !recorded.contains(&&*case.id)).collect::<Vec<_>>();
    recorded.iter().for_each(|id| println!("{id}: left out: recorded after its route set had changed"));
    let failed = cases.iter().filter(|case| !case.passed());
    let failed: Vec<String> = failed.map(|case| format!("{}: {:?}, not {:?}", case.id, case.got, case.want)).collect();
    Score { passed: cases.len() - failed.len(), failed }
}
