//! Foreign suites of small rooms: `conformance istio-paths|netpol|router --corpus DIR`. Prints each failing case and closes with
//! `N passed, N failed`.

use ringwall_gateway::conformance as gateway;
use ringwall_head::conformance as head;
use ringwall_manifest::conformance as manifest;
use ringwall_packet::ruleset::{Packet, Verdict, Word};
use ringwall_packet::{Direction, Flow, Names, Share, compile};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [suite, flag, folder] = arguments.as_slice() else { return usage() };
    let (file, run): (&str, fn(&str) -> Score) = match suite.as_str() {
        "istio-paths" => ("istio/path-normalization.jsonl", istio_paths),
        "netpol" => ("netpol/truth-tables.jsonl", netpol),
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
    eprintln!("usage: conformance istio-paths|netpol|router --corpus DIR");
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

/// Each step against the judge and against the ruleset compiled of it; a step counts once.
fn netpol(text: &str) -> Score {
    let mut score = Score { passed: 0, failed: Vec::new() };
    for step in manifest::netpol(text) {
        let differing = step.map(|step| (format!("{} ({})", step.id, step.title), differing(&step)));
        match differing {
            Ok((_, cells)) if cells.is_empty() => score.passed += 1,
            Ok((title, cells)) => score.failed.push(format!("{title}\n  {}", cells.join("\n  "))),
            Err(error) => score.failed.push(error),
        }
    }
    score
}

fn differing(step: &manifest::Step) -> Vec<String> {
    let (ground, names) = (&step.ground, Names::default());
    let ruleset = compile(ground, &names, &Share::of_all(ground));
    let address = |id| ground.endpoints().get(id).and_then(|endpoint| endpoint.addresses.first().copied());
    let mut lines = Vec::new();
    for cell in &step.cells {
        let (Some(source), Some(destination)) = (address(cell.source), address(cell.destination)) else { continue };
        let (protocol, port) = (cell.protocol, cell.port);
        let flow = Flow { source, destination, protocol, port };
        let fate = ruleset.interpret(&Packet { source, destination, protocol, port });
        let accepts = |word: Option<Word>| word.is_none_or(|word| word.verdict == Verdict::Accept);
        for (direction, want, compiled) in [
            (Direction::Egress, cell.egress, accepts(fate.egress)),
            (Direction::Ingress, cell.ingress, accepts(fate.ingress)),
        ] {
            let judged = ground.opinion(&names, &flow, direction).passes();
            if judged != want || compiled != want {
                let name = cell.name(ground);
                lines.push(format!("{direction:?} {name}: want {want}, judge {judged}, ruleset {compiled}"));
            }
        }
    }
    lines
}
