//! Which fields of a folder's manifests are enforced, and which scenario fails when one of them is taken out.

use crate::run;

/// Where the scenarios are that name fields.
const SCENARIOS: &str = "tests/scenarios";

/// `coverage DIR…`
pub fn command(folders: &[&str]) -> bool {
    println!("── taking each field out of the manifests of {SCENARIOS}");
    let words = ["run", "--quiet", "--release", "--package", "ringwall", "--", "--format", "json", "test", "--fields"];
    let (lines, held) = run::lines(run::cargo(&[&words[..], &[SCENARIOS]].concat()), |_| {});
    let named = run::root().join("target/scenario-fields.jsonl");
    let written = std::fs::create_dir_all(run::root().join("target"))
        .and_then(|()| std::fs::write(&named, lines.join("\n")))
        .inspect_err(|error| eprintln!("{}: {error}", named.display()));
    let named = format!("--named={}", named.display());
    held && written.is_ok() && run::example("coverage", &[&[named.as_str()], folders].concat())
}
