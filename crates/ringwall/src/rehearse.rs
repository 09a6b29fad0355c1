//! `ringwall test`: literate scenarios, judged in memory by the same page as live traffic. Nothing is sent, no port is
//! opened, no State outlives a scenario.
//!
//! In: Markdown files with manifests, calls, flows and what is expected of them ([`scenario`]). Out: a line a scenario, what
//! differed, and with `--fields` which field of the manifests each scenario hangs on. Start reading at [`run`].

mod facts;
mod fields;
mod flow;
mod judge;
mod scenario;

use crate::cli::{Everywhere, Format, Test};
use crate::exit::Exit;
use scenario::Scenario;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Judges scenarios, or says which fields they hang on.
pub fn run(test: &Test, common: &Everywhere) -> Exit {
    let scenarios = match read(&test.scenarios) {
        Ok(scenarios) => scenarios,
        Err(exit) => return exit,
    };
    if test.fields { fields::run(&scenarios, common) } else { all(&scenarios, common) }
}

/// Every scenario of the named files and folders, in the order of their names.
fn read(paths: &[PathBuf]) -> Result<Vec<Scenario>, Exit> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files).map_err(|error| Exit::input(format!("cannot read `{}`: {error}", path.display())))?;
    }
    files.sort();
    if files.is_empty() {
        return Err(Exit::input("no scenario: name Markdown files, or folders that hold some"));
    }
    let one = |path: &PathBuf| {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Exit::input(format!("cannot read `{}`: {error}", path.display())))?;
        Scenario::read(path, &text).map_err(Exit::input)
    };
    files.iter().map(one).collect()
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() || path.extension().is_some_and(|it| it == "md") {
            collect(&path, files)?;
        }
    }
    Ok(())
}

fn all(scenarios: &[Scenario], common: &Everywhere) -> Exit {
    let mut failed = 0;
    for scenario in scenarios {
        let differences = match judge::rehearse(scenario, &scenario.inputs) {
            Ok(differences) => differences,
            Err(why) => vec![judge::Difference { line: 1, wanted: "a World that can be taken".into(), saw: vec![why] }],
        };
        failed += usize::from(!differences.is_empty());
        tell(scenario, &differences, common);
    }
    if common.format == Format::Human {
        println!("{} passed, {failed} failed", scenarios.len() - failed);
    }
    if failed == 0 { Exit::HELD } else { Exit::FAILED }
}

fn tell(scenario: &Scenario, differences: &[judge::Difference], common: &Everywhere) {
    let held = differences.is_empty();
    if common.format != Format::Human {
        let told = |it: &judge::Difference| json!({ "line": it.line, "wanted": it.wanted, "saw": it.saw });
        println!(
            "{}",
            json!({ "scenario": scenario.title, "file": scenario.name, "calls": scenario.sent.len(), "held": held,
                "differences": differences.iter().map(told).collect::<Vec<_>>() })
        );
        return;
    }
    println!("{} {} · {} sent", if held { "held  " } else { "FAILED" }, scenario.title, scenario.sent.len());
    for difference in differences {
        println!("  {}:{}: wanted `{}`; it says:", scenario.name, difference.line, difference.wanted);
        difference.saw.iter().for_each(|line| println!("    {line}"));
    }
}
