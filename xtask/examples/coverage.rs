//! Which fields of manifests are enforced: `coverage DIR…`. One line a kind, then what is not enforced, then the sum.

use ringwall_manifest::{FieldUse, Input, world};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut paths = Vec::new();
    std::env::args().skip(1).for_each(|folder| collect(Path::new(&folder), &mut paths));
    paths.sort();
    if paths.is_empty() {
        eprintln!("usage: coverage DIR…");
        return ExitCode::from(2);
    }
    let read = |path: &PathBuf| Some((path.to_string_lossy().into_owned(), std::fs::read(path).ok()?));
    let files: Vec<(String, Vec<u8>)> = paths.iter().filter_map(read).collect();
    let inputs: Vec<Input<'_>> = files.iter().map(|(name, bytes)| Input { name, bytes }).collect();
    let (mut enforced, mut all) = (0, 0);
    for kind in world::field_coverage(&inputs) {
        let held = kind.fields.iter().filter(|field| field.treated == FieldUse::Enforced).count();
        println!("{:<60} {held:>4} of {:>4}", kind.kind, kind.fields.len());
        for field in kind.fields.iter().filter(|field| field.treated != FieldUse::Enforced) {
            println!("    {} ({})", field.path, treated(field.treated));
        }
        enforced += held;
        all += kind.fields.len();
    }
    println!("{enforced} of {all} field paths enforced ({} %)", (enforced * 100).checked_div(all).unwrap_or(0));
    ExitCode::SUCCESS
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
