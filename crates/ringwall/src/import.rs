//! `ringwall import`: Kong declarative configuration of curl lines to its Admin API.
//!
//! In: shell scripts. Out: YAML on standard output, what Kong would answer as findings on standard error; exit 1 when one
//! is an error. Never: carrying anything out.

use crate::check::{colour, read};
use crate::cli::{Everywhere, Format};
use crate::exit::Exit;
use ringwall_manifest::kong::import::import;
use ringwall_manifest::render;
use ringwall_manifest::world::may_be_taken;
use ringwall_model::DocumentId;
use serde_json::json;

/// Reads scripts in the order in which they are named, as they would be run.
pub fn run(scripts: &[String], common: &Everywhere) -> Exit {
    let mut inputs = match read(scripts) {
        Ok(inputs) => inputs,
        Err(exit) => return exit,
    };
    for (number, input) in inputs.iter_mut().enumerate() {
        // ORDER: sources are kept by name; the number keeps the order of the command line, which is the order of running.
        let ends = input.name.rsplit_once('.').is_some_and(|(_, end)| end.eq_ignore_ascii_case("sh"));
        input.name = format!("{:03}:{}{}", number + 1, input.name, if ends { "" } else { ".sh" });
    }
    let named: Vec<_> = inputs
        .iter()
        .map(|input| ringwall_manifest::Input { name: input.name.as_str(), bytes: input.bytes.as_slice() })
        .collect();
    let (mut sources, mut findings) = ringwall_manifest::read(&named);
    let texts: Vec<(DocumentId, String)> = sources
        .documents
        .iter()
        .filter_map(|document| Some((document.id, sources.files.get(document.file)?.text.to_string())))
        .collect();
    let scripts: Vec<(DocumentId, &str)> = texts.iter().map(|(id, text)| (*id, text.as_str())).collect();
    let imported = import(&scripts);
    findings.extend(imported.findings);
    for file in &mut sources.files {
        let name = file.name.split_once(':').map_or("", |(_, name)| name);
        file.name = if name == "-.sh" { "standard input" } else { name }.into();
    }
    if common.format == Format::Human {
        print!("{}", imported.yaml);
        eprint!("{}", render::human(&findings, &sources, colour(common.color)));
    } else {
        let listed: serde_json::Value =
            serde_json::from_str(&render::json(&findings, &sources)).unwrap_or(serde_json::Value::Null);
        println!("{:#}", json!({ "yaml": imported.yaml, "findings": listed }));
    }
    if may_be_taken(&findings) { Exit::HELD } else { Exit::FAILED }
}
