//! Names that say nothing, marks of unfinished work, files that do not say what they are.

use super::Source;

/// Words that no file and no type is named by.
const EMPTY_WORDS: &[&str] = &[
    "util",
    "utils",
    "common",
    "helper",
    "helpers",
    "misc",
    "manager",
    "handler",
    "processor",
    "data",
    "info",
    "base",
];

/// Types that have such a word in their name because the field has it. The list may only shrink.
const FIELD_TERMS: &[(&str, &str)] = &[("Processor", "SecLang's own word: `ctl:requestBodyProcessor`")];

/// Marks of unfinished work, in two parts so that this file holds none of them.
const MARKS: &[(&str, &str)] = &[("TO", "DO"), ("FIX", "ME"), ("to", "do!("), ("unimple", "mented!("), ("X", "XX:")];

/// Everything about names and marks that is wrong.
pub fn problems(files: &[Source]) -> Vec<String> {
    files.iter().flat_map(file).collect()
}

fn file(source: &Source) -> Vec<String> {
    let mut problems = Vec::new();
    let path = &source.path;
    let stem = source.stem();
    if stem == "mod" {
        problems.push(format!("{path}: a module is `x.rs` beside `x/`, not `mod.rs`"));
    }
    if stem.split('_').any(|word| EMPTY_WORDS.contains(&word)) {
        problems.push(format!("{path}: its name says nothing"));
    }
    if !source.is_test() && !source.text.starts_with("//!") {
        problems.push(format!("{path}: its first line does not say what it is (`//! …`)"));
    }
    for (number, line) in (1..).zip(source.text.lines()) {
        for (one, other) in MARKS {
            if line.contains(&format!("{one}{other}")) {
                problems.push(format!("{path}:{number}: a mark of unfinished work"));
            }
        }
        if let Some(name) = declared(line)
            .filter(|name| !is_field_term(name) && words(name).iter().any(|word| EMPTY_WORDS.contains(&word.as_str())))
        {
            problems.push(format!("{path}:{number}: `{name}` says nothing"));
        }
    }
    problems
}

fn is_field_term(name: &str) -> bool {
    FIELD_TERMS.iter().any(|(term, _)| *term == name)
}

/// The type that a line declares.
fn declared(line: &str) -> Option<&str> {
    let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    let mut word = words.next()?;
    while matches!(word, "pub" | "crate" | "super") {
        word = words.next()?;
    }
    matches!(word, "struct" | "enum" | "trait").then(|| words.next()).flatten()
}

/// `TwoWords` as `two`, `words`.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for c in name.chars() {
        match words.last_mut().filter(|_| !c.is_ascii_uppercase()) {
            Some(word) => word.push(c),
            None => words.push(c.to_ascii_lowercase().to_string()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::{Source, file};

    #[track_caller]
    fn check(path: &str, text: &str, want: usize) {
        let got = file(&Source { path: path.into(), text: text.into() });
        assert_eq!(got.len(), want, "{got:?}");
    }

    #[test]
    fn names_must_say_something() {
        check("crates/a/src/route.rs", "//! Routes.\npub struct RouteTable;\n", 0);
        check("crates/a/src/util.rs", "//! X.\n", 1);
        check("crates/a/src/path_helpers.rs", "//! X.\n", 1);
        check("crates/a/src/x/mod.rs", "//! X.\n", 1);
        check("crates/a/src/x.rs", "//! X.\npub(crate) struct RouteManager {\n", 1);
        check("crates/a/src/x.rs", "//! X.\nenum DataFrame {\n", 1);
        check("crates/a/src/x.rs", "//! X.\nstruct Database;\n", 0);
        check("crates/a/src/x.rs", "use x;\n", 1);
        check("crates/a/src/x/tests.rs", "use x;\n", 0);
        check("crates/a/src/x.rs", &format!("//! X.\n// {}{}: later\n", "TO", "DO"), 1);
    }
}
