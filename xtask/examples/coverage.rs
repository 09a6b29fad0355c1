//! Which fields of manifests are enforced: `coverage [--named=FILE] DIR…`. One line a kind, then what is not enforced, or
//! not named by a scenario that fails without it (`FILE`: the JSON lines of `ringwall test --fields`), then the sums.

use ringwall_manifest::{FieldUse, Input, world};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Scenario by kind and path of a field.
type Named = BTreeMap<(String, String), String>;

fn main() -> ExitCode {
    let (mut paths, mut named) = (Vec::new(), Named::new());
    for argument in std::env::args().skip(1) {
        match argument.strip_prefix("--named=") {
            Some(file) => named = read(Path::new(file)),
            None => collect(Path::new(&argument), &mut paths),
        }
    }
    paths.sort();
    if paths.is_empty() {
        eprintln!("usage: coverage [--named=FILE] DIR…");
        return ExitCode::from(2);
    }
    let read = |path: &PathBuf| Some((path.to_string_lossy().into_owned(), std::fs::read(path).ok()?));
    let files: Vec<(String, Vec<u8>)> = paths.iter().filter_map(read).collect();
    let inputs: Vec<Input<'_>> = files.iter().map(|(name, bytes)| Input { name, bytes }).collect();
    let (mut enforced, mut proved, mut all) = (0, 0, 0);
    for kind in world::field_coverage(&inputs) {
        let scenario = |path: &str| named.get(&(kind.kind.to_string(), path.to_owned()));
        let held = kind.fields.iter().filter(|field| field.treated == FieldUse::Enforced).count();
        let by = kind.fields.iter().filter(|field| scenario(&field.path).is_some()).count();
        println!("{:<50} {held:>4} of {:>4} enforced, {by:>4} named by a scenario", kind.kind, kind.fields.len());
        for field in &kind.fields {
            match (field.treated, scenario(&field.path)) {
                (FieldUse::Enforced, Some(scenario)) => println!("    {:<76} {scenario}", field.path),
                (FieldUse::Enforced, None) => println!("    {:<76} (no scenario)", field.path),
                (how, _) => println!("    {:<76} ({})", field.path, treated(how)),
            }
        }
        (enforced, proved, all) = (enforced + held, proved + by, all + kind.fields.len());
    }
    let part = |some: usize| (some * 100).checked_div(all).unwrap_or(0);
    println!("{enforced} of {all} field paths enforced ({} %)", part(enforced));
    println!("{proved} of {all} named by a scenario that fails without them ({} %)", part(proved));
    ExitCode::SUCCESS
}

/// The fields that scenarios name.
fn read(file: &Path) -> Named {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let one = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let text = |name: &str| line.get(name)?.as_str().map(str::to_owned);
        Some(((text("kind")?, text("path")?), text("scenario")?))
    };
    text.lines().filter_map(one).collect()
}

fn treated(how: FieldUse) -> &'static str {
    match how {
        FieldUse::Enforced => "enforced",
        FieldUse::Ignored => "known, not enforced",
        FieldUse::Unknown => "unknown",
    }
}

/// Every file of a folder, or the file itself.
fn collect(path: &Path, paths: &mut Vec<PathBuf>) {
    if path.is_dir() {
        std::fs::read_dir(path).into_iter().flatten().flatten().for_each(|entry| collect(&entry.path(), paths));
    } else if path.is_file() {
        paths.push(path.to_path_buf());
    }
}
