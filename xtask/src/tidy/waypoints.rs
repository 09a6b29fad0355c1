//! The two walks: each waypoint that a page names stands in the code exactly once, in the file that the page names.

use super::Source;
use std::path::Path;

const PAGES: &[(&str, &str)] = &[("request", "docs/request.md"), ("policy", "docs/policy.md")];
const STEPS: usize = 5;
/// Lines of the five files of one walk.
const MOST_LINES: usize = 2000;

/// Pages and code that do not agree.
pub fn problems(root: &Path, files: &[Source]) -> Vec<String> {
    let marks: Vec<(String, &Source)> =
        files.iter().flat_map(|file| marks(file).map(move |mark| (mark, file))).collect();
    let mut problems = Vec::new();
    for (walk, page) in PAGES {
        let text = std::fs::read_to_string(root.join(page)).unwrap_or_default();
        let rows = rows(walk, &text);
        let order: Vec<String> = (1..=STEPS).map(|step| format!("{walk}/{step}")).collect();
        if rows.iter().map(|(mark, _)| mark).ne(&order) {
            problems.push(format!("{page}: its table must list {walk}/1 to {walk}/{STEPS}, in order, each once"));
        }
        let mut lines = 0;
        for (mark, path) in &rows {
            let at: Vec<&str> = marks.iter().filter(|(found, _)| found == mark).map(|(_, file)| &*file.path).collect();
            if at != [path.as_str()] {
                problems.push(format!("{page}: {mark} must stand once, in {path}; it stands in {at:?}"));
            }
            lines += files.iter().find(|file| file.path == *path).map_or(0, |file| file.text.lines().count());
        }
        if lines > MOST_LINES {
            problems.push(format!("{page}: its files have {lines} lines; {MOST_LINES} is the most"));
        }
        let unknown = marks.iter().filter(|(mark, _)| mark.starts_with(walk) && !order.contains(mark));
        problems.extend(unknown.map(|(mark, file)| format!("{}: {mark} is on no page", file.path)));
    }
    problems
}

/// `request/3` of each comment that has the sign and then `request/3 — …`.
fn marks(file: &Source) -> impl Iterator<Item = String> {
    let sign = concat!("way", "point: ");
    let comments = file.text.lines().map(str::trim_start).filter(|line| line.starts_with("//"));
    comments.filter_map(move |line| Some(line.split_once(sign)?.1.split_whitespace().next()?.to_owned()))
}

/// Mark and file of each row of a page's table.
fn rows(walk: &str, page: &str) -> Vec<(String, String)> {
    let row = |line: &str| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let mark = cells.next().filter(|mark| mark.strip_prefix(walk).is_some_and(|rest| rest.starts_with('/')))?;
        Some((mark.to_owned(), cells.next()?.trim_matches('`').to_owned()))
    };
    page.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::{Source, marks, rows};

    #[test]
    fn marks_and_rows_are_read() {
        let text = format!(
            "//! A.\n    // {}: request/3 — the page.\nlet x = \"{0}: request/9 \";\n",
            concat!("way", "point")
        );
        let file = Source { path: "a.rs".into(), text };
        assert_eq!(marks(&file).collect::<Vec<_>>(), ["request/3"]);
        let page = "| waypoint | file |\n|---|---|\n| request/1 | `a/b.rs` | does |\n| policy/1 | `c.rs` | does |\n";
        assert_eq!(rows("request", page), [("request/1".to_owned(), "a/b.rs".to_owned())]);
    }
}
