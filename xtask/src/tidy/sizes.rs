//! Sizes: nine files of ten stay under 450 lines, none passes 800 without a reason. Functions are held by clippy.

use super::Source;

const MOST: usize = 800;
const NINE_OF_TEN: usize = 450;

/// Files that may be longer, each with its reason. The list may only shrink.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// Files that are too long, and exceptions that are none any more.
pub fn problems(files: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut sizes: Vec<usize> = Vec::new();
    for file in files {
        let lines = file.text.lines().count();
        sizes.push(lines);
        if lines > MOST && !EXCEPTIONS.iter().any(|(path, _)| *path == file.path) {
            problems.push(format!("{} has {lines} lines; {MOST} is the most", file.path));
        }
    }
    for (path, _) in EXCEPTIONS {
        if !files.iter().any(|file| file.path == *path && file.text.lines().count() > MOST) {
            problems.push(format!("{path} needs no exception from the size of files any more"));
        }
    }
    sizes.sort_unstable();
    let ninth = sizes.get(sizes.len() * 9 / 10).copied().unwrap_or_default();
    if ninth >= NINE_OF_TEN {
        problems.push(format!("one file of ten has {ninth} lines or more; {NINE_OF_TEN} is the limit"));
    }
    problems
}
