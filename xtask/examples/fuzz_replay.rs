//! Every fuzz target over its stored inputs, on stable; a panic names target and input.

#[path = "../../fuzz/src/targets.rs"]
mod targets;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let (mut passed, mut failed) = (0, 0);
    for (name, target) in targets::TARGETS {
        let mut inputs: Vec<_> =
            std::fs::read_dir(corpus.join(name)).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        inputs.sort();
        if inputs.is_empty() {
            println!("{name}: no inputs in fuzz/corpus/{name}");
            failed += 1;
        }
        for input in inputs {
            let bytes = std::fs::read(&input).unwrap_or_default();
            // The input itself, and each beginning of it: what a peer sends that stops in the middle.
            let stops = [bytes.len(), bytes.len() / 2, bytes.len() / 3, 1.min(bytes.len()), 0];
            let held = stops.iter().all(|end| std::panic::catch_unwind(|| target(&bytes[..*end])).is_ok());
            if held {
                passed += 1;
            } else {
                println!("{name}: {} breaks it", input.display());
                failed += 1;
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
