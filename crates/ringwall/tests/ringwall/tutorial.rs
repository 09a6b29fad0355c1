//! Executes `docs/tutorial.md`: every line that begins with `$` is run, and what stands below it must be said, in order.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Ends what the tutorial started, also when it stops half-way.
struct Ended(PathBuf);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Ok(pid) = std::fs::read_to_string(self.0.join("pid")) {
            let _ = Command::new("kill").arg(pid.trim()).output();
        }
    }
}

#[test]
fn the_tutorial_is_true() {
    let text = std::fs::read_to_string(root().join("docs/tutorial.md")).unwrap();
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().join("state");
    let _ended = Ended(folder.clone());
    let binary = Path::new(env!("CARGO_BIN_EXE_ringwall")).parent().unwrap().to_owned();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
    let mut commands = 0;
    for (command, wanted) in steps(&text) {
        commands += 1;
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &command])
            .current_dir(root())
            .env("STATE", &folder)
            .env("PATH", &path)
            .env("RINGWALL_CRS", "none");
        let output = shell.output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let mut rest = said.as_str();
        for line in &wanted {
            let at = rest.find(line.as_str());
            let at = at.unwrap_or_else(|| panic!("`{command}` does not say `{line}` (in this order):\n{said}"));
            rest = rest.get(at + line.len()..).unwrap_or_default();
        }
    }
    assert!(commands >= 10, "only {commands} commands were found in the tutorial");
}

/// The commands of all `console` blocks, each with the lines below it.
fn steps(text: &str) -> Vec<(String, Vec<String>)> {
    let mut steps: Vec<(String, Vec<String>)> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.strip_prefix("$ ") {
            _ if line.starts_with("```") => inside = line == "```console",
            Some(command) if inside => steps.push((command.into(), Vec::new())),
            None if inside && !line.trim().is_empty() => {
                if let Some((_, wanted)) = steps.last_mut() {
                    wanted.push(line.trim().into());
                }
            }
            _ => {}
        }
    }
    steps
}
