//! What a compiler does not hold: floors, sizes, names, waypoints.

mod floors;
mod names;
mod sizes;
mod waypoints;

use crate::run;
use std::path::{Path, PathBuf};

/// Checks the whole tree and prints what is wrong.
pub fn command() -> bool {
    let problems = problems(&run::root());
    problems.iter().for_each(|problem| println!("tidy: {problem}"));
    println!("tidy: {} problems", problems.len());
    problems.is_empty()
}

/// Everything that is wrong in a tree.
fn problems(root: &Path) -> Vec<String> {
    let files: Vec<Source> = sources(root);
    let mut problems = floors::problems(root);
    problems.extend(sizes::problems(&files));
    problems.extend(names::problems(&files));
    problems.extend(waypoints::problems(root, &files));
    problems
}

/// One Rust file.
struct Source {
    /// Path from the root of the tree, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// The file's name without `.rs`.
    fn stem(&self) -> &str {
        self.path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs")).unwrap_or_default()
    }

    /// Whether the whole file is a test, an example or a bench.
    fn is_test(&self) -> bool {
        self.stem() == "tests" || ["/tests/", "/examples/", "/benches/"].iter().any(|part| self.path.contains(part))
    }
}

/// All Rust files of the project, sorted by path.
fn sources(root: &Path) -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in ["crates", "xtask", "fuzz"] {
        collect(&root.join(folder), &mut paths);
    }
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).ok()?;
        let path = path.strip_prefix(root).ok()?.to_string_lossy().replace('\\', "/");
        Some(Source { path, text })
    };
    paths.into_iter().filter_map(read).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, paths);
        } else if path.extension().is_some_and(|end| end == "rs") {
            paths.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    /// The tree is tidy: the same as `cargo xtask tidy`, for those who only run the tests.
    #[test]
    fn the_house_is_tidy() {
        let problems = super::problems(&crate::run::root());
        assert!(problems.is_empty(), "{problems:#?}");
    }
}
