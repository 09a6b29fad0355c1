//! The BPF objects of `crates/kernel/bpf/`: they are checked in, so that nobody needs clang to build Ringwall, and
//! rebuilt here, so that nobody has to believe that they come from the source beside them.

use crate::run;
use std::path::{Path, PathBuf};

/// Which compiler made the objects, as it says itself.
const COMPILER: &str = "compiler.txt";

/// What a rebuild showed.
pub enum Rebuilt {
    /// Every object is byte for byte what the source gives.
    Same,
    /// One is not, or the source does not compile.
    Differs(String),
    /// It could not be compared: another compiler, or none and nobody asked that there is one.
    NotRun(String),
}

/// `bpf`: rebuilds the objects in place. `bpf --check`: rebuilds them elsewhere and compares.
pub fn command(words: &[&str]) -> bool {
    match words {
        [] => rebuild(),
        ["--check"] => match check() {
            Rebuilt::Same => true,
            Rebuilt::Differs(why) => {
                eprintln!("{why}");
                false
            }
            Rebuilt::NotRun(why) => {
                println!("not run: {why}");
                true
            }
        },
        _ => {
            eprintln!("usage: cargo xtask bpf [--check]");
            false
        }
    }
}

/// Compares the objects with what the source gives here.
pub fn check() -> Rebuilt {
    let Some(compiler) = compiler() else {
        let why = "BPF objects: no clang here".to_owned();
        let required = std::env::var("RINGWALL_REQUIRE").as_deref() == Ok("parts");
        return if required { Rebuilt::Differs(why) } else { Rebuilt::NotRun(why) };
    };
    let recorded = std::fs::read_to_string(folder().join(COMPILER)).unwrap_or_default();
    if compiler != recorded.trim() {
        let (here, there) = (compiler.as_str(), recorded.trim());
        return Rebuilt::NotRun(format!("BPF objects: built with `{there}`, and here is `{here}`"));
    }
    let elsewhere = run::root().join("target/bpf");
    if let Err(error) = std::fs::create_dir_all(&elsewhere) {
        return Rebuilt::Differs(format!("{}: {error}", elsewhere.display()));
    }
    for source in sources() {
        let name = source.with_extension("o").file_name().map(PathBuf::from).unwrap_or_default();
        let fresh = elsewhere.join(&name);
        if !compile(&source, &fresh) {
            return Rebuilt::Differs(format!("{} does not compile", source.display()));
        }
        let stored = std::fs::read(folder().join(&name)).unwrap_or_default();
        if std::fs::read(&fresh).ok().as_ref() != Some(&stored) {
            let name = name.display();
            return Rebuilt::Differs(format!("{name} is not what its source gives: run `cargo xtask bpf`"));
        }
    }
    Rebuilt::Same
}

fn rebuild() -> bool {
    let Some(compiler) = compiler() else {
        eprintln!("no clang here; `cargo xtask parts` installs it");
        return false;
    };
    sources().iter().all(|source| compile(source, &source.with_extension("o")))
        && std::fs::write(folder().join(COMPILER), compiler + "\n").is_ok()
}

fn folder() -> PathBuf {
    run::root().join("crates/kernel/bpf")
}

fn sources() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).into_iter().flatten().flatten();
    let mut sources: Vec<_> = entries.map(|entry| entry.path()).filter(|path| has_end(path, "c")).collect();
    sources.sort();
    sources
}

fn has_end(path: &Path, end: &str) -> bool {
    path.extension().is_some_and(|it| it == end)
}

/// `clang --version`, first line.
fn compiler() -> Option<String> {
    let output = run::program("clang", &["--version"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(str::to_owned)
}

/// Types stay in the object (the maps need them), debug information and paths do not.
fn compile(source: &Path, object: &Path) -> bool {
    let headers = format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH);
    let object = object.to_string_lossy();
    let flags = ["-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror", &headers];
    let Some(name) = source.file_name() else { return false };
    let name = name.to_string_lossy();
    let place = format!("-fdebug-prefix-map={}=.", folder().display());
    let mut clang = run::program("clang", &[&flags[..], &[&place, "-c", &name, "-o", &object]].concat());
    // A relative name, so that the object is the same wherever it is built.
    clang.current_dir(folder());
    run::holds(clang) && run::holds(run::program("llvm-strip", &["-g", &object]))
}
