//! Blocking at paranoia level 1, through the edge: the benchmark's requests get their verdicts, and each regression case is
//! refused with 403 when, and only when, its score reaches the threshold, and with 400 when, and only when, its score does
//! not and it cannot be read to its end; another refusal counts only when the case expects it. Scores, and what cannot be
//! read, come from the engine in memory, which judges the same bytes. Cases of rules above level 1 are run as well;
//! those whose head is refused before any score say nothing about the firewall at level 1, and are told, not counted.

use super::harness::case::Stage;
use super::harness::{corpus, crs, serve};
use super::{client, edge, send_all};
use ringwall_waf::Settings;
use std::collections::BTreeSet;
use std::path::Path;

/// The rule set's own thresholds.
const INBOUND: i64 = 5;
const OUTBOUND: i64 = 4;
/// How rules of this suite's level are tagged.
const LEVEL_1: &str = "paranoia-level/1";

/// Policies: all calls, those that carry prompts, those that carry GraphQL.
const POLICIES: &str = r#"
apiVersion: ringwall.dev/v1
kind: WafPolicy
metadata: { name: all, namespace: istio-system }
spec:
  mode: block
  responseBody: { inspect: true, limit: 512Ki, types: [text/plain, text/html, text/xml, application/json] }
---
apiVersion: ringwall.dev/v1
kind: WafPolicy
metadata: { name: prompts, namespace: istio-system }
spec: { targets: { hosts: [prompts.example.com] }, mode: block, presets: [llm] }
---
apiVersion: ringwall.dev/v1
kind: WafPolicy
metadata: { name: graphql, namespace: istio-system }
spec: { targets: { hosts: [graphql.example.com] }, mode: block, presets: [graphql] }
"#;

/// Runs both parts.
///
/// # Errors
/// A sentence.
pub fn run(folder: &Path) -> Result<crs::Score, String> {
    let edge = edge::Edge::start(folder, POLICIES)?;
    let mut results = benchmark(folder, &edge);
    results.extend(regression(folder, &edge)?);
    Ok(crs::tally(results, &[]))
}

type Results = Vec<(String, Result<(), String>)>;

fn benchmark(folder: &Path, edge: &edge::Edge) -> Results {
    let mut results = Results::new();
    let mut ask = |id: String, request: &[u8], wanted: u16| {
        let status = client::send(edge.address, request).status;
        results.push((id, if status == Some(wanted) { Ok(()) } else { Err(format!("{status:?}, not {wanted}")) }));
    };
    let files = corpus::files(&folder.join("../bench/waf"));
    for path in files.iter().filter(|path| path.extension().is_some_and(|it| it == "http")) {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let Some(request) = corpus::bytes(path) else { continue };
        let refused = name.contains("attack") || name.starts_with("05") || name.starts_with("10");
        ask(name.clone(), &request, if refused { 403 } else { 200 });
        for (number, host) in [("05", "prompts.example.com"), ("10", "graphql.example.com")] {
            if name.starts_with(number) {
                ask(format!("{name} under its preset"), &sent_to(&request, host), 200);
            }
        }
    }
    results
}

/// The same request to another host.
fn sent_to(request: &[u8], host: &str) -> Vec<u8> {
    let end = request.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(request.len());
    let (head, body) = request.split_at(end);
    let lines = String::from_utf8_lossy(head).into_owned();
    let named = |line: &str| line.to_ascii_lowercase().starts_with("host:");
    let lines: Vec<String> =
        lines.split("\r\n").map(|line| if named(line) { format!("Host: {host}") } else { line.to_owned() }).collect();
    [lines.join("\r\n").as_bytes(), body].concat()
}

fn regression(folder: &Path, edge: &edge::Edge) -> Result<Results, String> {
    const SETUP: &str = "SecRuleEngine DetectionOnly\nSecRequestBodyAccess On\nSecResponseBodyAccess On\n\
                         SecResponseBodyMimeType text/plain text/html text/xml application/json\n";
    let engine = |setup: &str| {
        let waf = crs::engine(folder, setup).ok_or("there is no crs/rules in the corpus")?;
        Ok::<_, String>((waf.profile(Settings::default())?, waf))
    };
    // The one counts on to the end; the other, as the edge does, stops what it refuses, and says what it could not read.
    let ((profile, waf), (stops, stopper)) = (engine(SETUP)?, engine(&SETUP.replace("DetectionOnly", "On"))?);
    let cases = crs::cases(folder);
    let expects = |stage: &&Stage| !stage.expect.ids.is_empty();
    let stages: Vec<(&str, &Stage)> =
        cases.iter().flat_map(|case| case.stages.iter().filter(expects).map(|it| (&*case.id, it))).collect();
    let requests: Vec<&[u8]> = stages.iter().map(|(_, stage)| &*stage.request).collect();
    let answers = send_all(edge, &requests);
    let judged = |request: &[u8]| {
        let outcome = serve::serve(&waf, &profile, request);
        let report = &outcome.report;
        let over = report.inbound >= INBOUND || report.outbound >= OUTBOUND;
        let unread = !over && serve::serve(&stopper, &stops, request).unread;
        (over, unread, report.inbound, report.outbound)
    };
    let level_1: BTreeSet<u64> =
        waf.list().filter(|rule| rule.1.iter().any(|tag| tag == LEVEL_1)).map(|rule| rule.0).collect();
    let mut results = Results::new();
    let (mut by_head, mut left_out, mut unreadable) = (0, Vec::new(), Vec::new());
    for ((id, stage), answer) in stages.into_iter().zip(answers) {
        let (over, unread, inbound, outbound) = judged(&stage.request);
        let held = match answer.status {
            Some(403) => over,
            Some(200) => !over && !unread,
            Some(400) if unread => {
                unreadable.push(id);
                true
            }
            // Refused for what its head is: where the score refuses it as well, or the case itself expects that answer.
            status => {
                by_head += 1;
                let expected = if stage.expect.error { None } else { stage.expect.status };
                let held = over || status == expected;
                if !held && !stage.expect.ids.iter().any(|id| level_1.contains(id)) {
                    left_out.push(id);
                    continue;
                }
                held
            }
        };
        let why = || format!("{:?} with scores {inbound} and {outbound}", answer.status);
        results.push((format!("{id} blocking"), if held { Ok(()) } else { Err(why()) }));
    }
    println!("{by_head} cases were answered by the reading of their head");
    println!("{} cannot be read to their end and were refused for that: {}", unreadable.len(), unreadable.join(", "));
    let (count, ids) = (left_out.len(), left_out.join(", "));
    println!("of those answered by their head {count} of rules above level 1 are not counted: {ids}");
    Ok(results)
}
