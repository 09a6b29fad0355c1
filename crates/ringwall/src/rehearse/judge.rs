//! One scenario, judged: its manifests make a World, its calls go down the page in order, and what is said is compared.
//!
//! In: a scenario, its manifests or a change of them. Out: every expected line that no fact fulfils. Never: a clock:
//! all calls of a scenario come at one moment, so that no window of a limit ends between them.

use super::facts;
use super::scenario::{Call, Scenario, Wanted, What};
use crate::explain::described::{Around, judge, signer};
use crate::platform::rules;
use ringwall_control::source::Input;
use ringwall_manifest::World;
use ringwall_manifest::world::StandIn;
use ringwall_model::Timestamp;
use ringwall_shield::Counters;
use ringwall_wall::assumed::Budgets;
use serde_json::Value;

/// When all calls of a scenario come: 2026-01-01T00:00:00Z. A fixed time makes what is said of a call the same each run.
const NOW: Timestamp = Timestamp(1_767_225_600_000);
/// Budgets that one scenario can open.
const BUDGETS: usize = 4096;

/// An expected line that nothing fulfils, with what was said instead.
#[derive(Debug)]
pub struct Difference {
    /// Line of the file.
    pub line: usize,
    /// What was expected.
    pub wanted: String,
    /// The facts.
    pub saw: Vec<String>,
}

/// Judges a scenario by these manifests.
///
/// # Errors
/// Why the manifests make no World that may be taken.
pub fn rehearse(scenario: &Scenario, inputs: &[Input]) -> Result<Vec<Difference>, String> {
    let (mut world, mut findings) = crate::platform::lower(inputs, &crate::platform::options(StandIn::Workloads));
    let rules = rules::load(rules::NONE)?;
    findings.extend(world.arm(&rules));
    if !ringwall_manifest::world::may_be_taken(&findings) {
        return Err(ringwall_manifest::render::human(
            &findings,
            &world.sources,
            ringwall_manifest::render::Colour::Plain,
        ));
    }
    let mut differences = Vec::new();
    if !scenario.world.is_empty() {
        compare(&scenario.world, &facts::of_world(&world, &findings), &mut differences);
    }
    let broken = |exit: crate::exit::Exit| exit.says.unwrap_or_default();
    let (signer, keys) = signer().map_err(broken)?;
    let counters = Counters::new(BUDGETS);
    for sent in &scenario.sent {
        let facts = match &sent.what {
            What::Flow(flow) => flow.told(&world),
            What::Call(call) => {
                let budgets = Budgets::Rehearsed(&counters);
                let body = call.body.clone().into();
                told(&world, call, &Around { signer: &signer, keys: keys.clone(), now: NOW, budgets, body })
            }
        };
        compare(&sent.wanted, &facts, &mut differences);
    }
    Ok(differences)
}

fn compare(wanted: &[Wanted], facts: &[String], differences: &mut Vec<Difference>) {
    for one in wanted.iter().filter(|one| !one.holds(facts)) {
        differences.push(Difference { line: one.line, wanted: one.text.clone(), saw: facts.to_vec() });
    }
}

/// What is said of the last time of a call. A call that cannot be made is a fact too.
fn told(world: &World, call: &Call, around: &Around<'_>) -> Vec<String> {
    let mut facts = Vec::new();
    for _ in 0..call.times {
        facts = match judge(world, &call.url, &call.explain, around, Vec::new()) {
            Ok(told) => lines(&told),
            Err(exit) => vec![format!("impossible {}", exit.says.unwrap_or_default())],
        };
    }
    facts
}

/// What was told, a line a fact: the outcome; `at ROLE WORKLOAD`; `client ADDRESS…`; `LAYER VERDICT RULE`; `sent …`;
/// `field NAME: VALUE`; `response …`; `timeout`, `retries`, `delay`, `mirror`, `route`.
fn lines(told: &Value) -> Vec<String> {
    let text = |at: &str| told.pointer(at).and_then(Value::as_str).unwrap_or_default();
    let outcome = match text("/outcome") {
        "pass" => format!("pass to {}", text("/goes_to")),
        outcome => {
            let status = told.get("status").and_then(Value::as_u64).map_or("dropped".into(), |it| it.to_string());
            format!("{outcome} {status} {} {}", text("/layer"), text("/rule"))
        }
    };
    let mut lines = vec![
        outcome,
        format!("at {} {}", text("/at/role"), text("/at/workload")),
        format!("client {}", text("/client")),
    ];
    let of = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = |at: &str| told.pointer(at).and_then(Value::as_array).cloned().unwrap_or_default();
    for step in list("/layers") {
        lines.push(format!("{} {} {}", of(&step, "layer"), of(&step, "verdict"), of(&step, "rule")));
    }
    let texts = |at: &str| list(at).into_iter().filter_map(|it| it.as_str().map(str::to_owned));
    lines.extend(texts("/fields").map(|field| format!("field {field}")));
    lines.extend(texts("/response_edits").map(|edit| format!("response {edit}")));
    lines.extend(texts("/way/mirrors").map(|to| format!("mirror {to}")));
    for (word, at) in [
        ("sent", "/as"),
        ("route", "/way/route"),
        ("timeout", "/way/timeout"),
        ("retries", "/way/retries"),
        ("delay", "/delay"),
        ("details", "/details"),
    ] {
        if !text(at).is_empty() {
            lines.push(format!("{word} {}", text(at)));
        }
    }
    lines
}
