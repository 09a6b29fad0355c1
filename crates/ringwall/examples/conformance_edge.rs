//! The Core Rule Set's regression tests through the real edge: `conformance_edge crs-edge|crs-blocking --corpus DIR`. The
//! binary comes up on loopback with the rule set of the corpus, an application in this process answers as `albedo` does,
//! each request goes over a connection of its own, and what matched is read from the firewall's log. Prints each failing
//! case and closes with `N passed, N failed`.

#[path = "conformance_edge/application.rs"]
mod application;
#[path = "conformance_edge/blocking.rs"]
mod blocking;
#[path = "conformance_edge/client.rs"]
mod client;
#[path = "conformance_edge/edge.rs"]
mod edge;
#[path = "../../waf/tests/harness.rs"]
mod harness;

use harness::{corpus, crs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Requests that are under way at one time.
const AT_ONCE: usize = 8;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = arguments.iter().position(|word| word == "--corpus").and_then(|at| arguments.get(at + 1));
    let folder = corpus::folder(given.map(PathBuf::from).as_deref());
    let score = match arguments.first().map(String::as_str) {
        Some("crs-edge") => through_edge(&folder),
        Some("crs-blocking") => blocking::run(&folder),
        _ => Err("usage: conformance_edge crs-edge|crs-blocking [--corpus DIR]".into()),
    };
    let score = match score {
        Ok(score) => score,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    for (id, why) in &score.failed {
        println!("{id}: {}", why.chars().take(300).collect::<String>());
    }
    for id in &score.foreseen {
        let why = crs::OVERRIDES.iter().find(|(known, _)| known == id).map_or("", |(_, why)| *why);
        println!("{id}: documented override: {why}");
    }
    println!("{} passed, {} failed", score.passed, score.failed.len());
    if score.failed.is_empty() && score.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All cases, in detection at paranoia level 4, as the rule set's own set-up for its tests has it.
fn through_edge(folder: &Path) -> Result<crs::Score, String> {
    let cases = crs::cases(folder);
    let edge = edge::Edge::start(folder, edge::DETECT)?;
    let stages: Vec<(usize, &harness::case::Stage)> =
        cases.iter().enumerate().flat_map(|(case, it)| it.stages.iter().map(move |stage| (case, stage))).collect();
    let requests: Vec<&[u8]> = stages.iter().map(|(_, stage)| &*stage.request).collect();
    let answers = send_all(&edge, &requests);
    let log = edge.log()?;
    let mut results: Vec<(String, Result<(), String>)> = cases.iter().map(|case| (case.id.clone(), Ok(()))).collect();
    for ((case, stage), answer) in stages.iter().zip(&answers) {
        let none = Vec::new();
        let lines = answer.id.as_ref().and_then(|id| log.get(id)).unwrap_or(&none);
        let ids: Vec<u64> = lines.iter().filter_map(|line| edge::rule(line)).collect();
        let held = crs::check(&stage.expect, answer.status, &ids, lines);
        if let (Some((_, result @ Ok(()))), Err(why)) = (results.get_mut(*case), held) {
            *result = Err(why);
        }
    }
    Ok(crs::tally(results, &crs::OVERRIDES))
}

/// Sends every request on a connection of its own; answers in the same order.
fn send_all(edge: &edge::Edge, requests: &[&[u8]]) -> Vec<client::Answer> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut answers = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(request) = requests.get(number) else { return answers };
            answers.push((number, client::send(edge.address, request)));
        }
    };
    let mut all = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, answer)| answer).collect()
}
