//! The pages about findings: their table, and the list by which they are embedded.

use std::fmt::Write as _;
use std::path::Path;

const INTRO: &str = "\
What `ringwall check` says has a code. `ringwall explain RW2001` prints its page; a severity that a finding has less often
stands after the usual one. An error keeps a World out; a warning is taken, and likely does not do what was meant; a note is
worth knowing.

A page is one paragraph on what is so and why it matters, one on what to write instead, and two examples that a test lowers:
the `bad` one gives exactly the findings that its lines are marked with (`# RW1234`), the `good` one none. The words after
`bad` or `good` carry what else an example needs: `file=NAME` another name than `manifests.yaml` (`.json`, `.sh`); `RW1234@3`
a mark for line 3 where the form has no comments; `kong` a Pod beside it that runs Kong, without which a Kong file serves
nobody; `stand-in` for `check --stand-in`; `import` for `ringwall import`; `latin-1` for bytes of that encoding. The rules of
the firewall are our own few ones (`--set crs=none`).
";

/// The files that are made of the pages: `docs/findings/README.md` and the list in `manifest`.
pub fn files(root: &Path, made: &str) -> [(&'static str, String); 2] {
    let pages = pages(root);
    let mut table = format!(
        "# Findings\n{made}\n{INTRO}\n{} pages.\n\n| code | severity | what is so |\n|---|---|---|\n",
        pages.len()
    );
    let mut list = format!(
        "//! The pages, embedded. Made by `cargo xtask gen` of `docs/findings`.\n\n/// Each page by the number of its code, \
         sorted.\npub(super) const PAGES: [(u16, &str); {}] = [\n",
        pages.len()
    );
    for (name, text) in &pages {
        let title = text.lines().next().and_then(|line| line.split_once(" · ")).map_or("", |(_, title)| title);
        let severity = text.lines().find_map(|line| line.strip_prefix("Severity: ")).unwrap_or_default();
        let _ = writeln!(table, "| [{name}]({name}.md) | {severity} | {} |", title.replace('|', "\\|"));
        let number = name.trim_start_matches("RW").trim_start_matches('0');
        let _ = writeln!(list, "    ({number}, include_str!(\"../../../../docs/findings/{name}.md\")),");
    }
    list.push_str("];\n");
    [("docs/findings/README.md", table), ("crates/manifest/src/pages/list.rs", list)]
}

/// Name without its end, and text of every page, sorted.
fn pages(root: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(root.join("docs/findings")).into_iter().flatten().flatten();
    let mut pages: Vec<(String, String)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?.strip_suffix(".md")?.to_owned();
            let text = std::fs::read_to_string(entry.path()).ok()?;
            name.starts_with("RW").then_some((name, text))
        })
        .collect();
    pages.sort();
    pages
}
