//! Other programs, run from the root of the workspace.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// A program in the root of the workspace.
pub fn program(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root()).args(arguments);
    command
}

/// The cargo that runs this.
pub fn cargo(arguments: &[&str]) -> Command {
    program(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()), arguments)
}

/// Runs it with its output on ours; whether it succeeded.
pub fn holds(mut command: Command) -> bool {
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("{}: {error}", command.get_program().display());
            false
        }
    }
}

/// Runs an example, whose name no other package uses. It is built with the features that the whole workspace agrees on, as
/// the tests are: built for its package alone, half the house would be compiled a second time.
pub fn example(name: &str, arguments: &[&str]) -> bool {
    if !builds(&["--example", name]) {
        return false;
    }
    // Beside this program: cargo puts examples there, whatever its target directory.
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join("examples").join(name)));
    beside.is_some_and(|built| holds(program(&built.to_string_lossy(), arguments)))
}

/// Builds something of the workspace; whether it succeeded.
pub fn builds(what: &[&str]) -> bool {
    holds(cargo(&[&["build", "--quiet", "--release", "--workspace"], what].concat()))
}

/// Runs it, gives each line of its output to `each`, and returns all of them and whether it succeeded.
pub fn lines(mut command: Command, mut each: impl FnMut(&str)) -> (Vec<String>, bool) {
    let mut child = match command.stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => return (vec![format!("{}: {error}", command.get_program().display())], false),
    };
    let output = child.stdout.take().map(BufReader::new);
    let mut all = Vec::new();
    for line in output.into_iter().flat_map(BufRead::lines).map_while(Result::ok) {
        each(&line);
        all.push(line);
    }
    let held = child.wait().is_ok_and(|status| status.success());
    (all, held)
}
