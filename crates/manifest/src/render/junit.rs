//! Findings as JUnit XML: one test case a file, which fails when the file has errors or warnings.

use crate::source::Sources;
use ringwall_model::{Finding, Severity};

/// Findings as one test suite.
pub fn junit(findings: &[Finding], sources: &Sources) -> String {
    let mut cases = String::new();
    let mut failures = 0;
    for (index, file) in sources.files.iter().enumerate() {
        let of_file = |finding: &&Finding| {
            sources.document(finding.primary.document).is_some_and(|document| document.file == index)
        };
        let failing = findings.iter().filter(of_file).filter(|finding| finding.severity != Severity::Note);
        let lines: Vec<String> = failing.map(|finding| line(finding, sources)).collect();
        let name = escaped(&file.name);
        if lines.is_empty() {
            cases.push_str(&format!("  <testcase classname=\"ringwall.check\" name=\"{name}\"/>\n"));
            continue;
        }
        failures += 1;
        let first = escaped(lines.first().map(String::as_str).unwrap_or_default());
        let all = escaped(&lines.join("\n"));
        cases.push_str(&format!("  <testcase classname=\"ringwall.check\" name=\"{name}\">\n"));
        cases.push_str(&format!("    <failure message=\"{first}\">{all}</failure>\n  </testcase>\n"));
    }
    let tests = sources.files.len();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"ringwall check\" tests=\"{tests}\" failures=\"{failures}\">\n{cases}</testsuite>\n"
    )
}

fn line(finding: &Finding, sources: &Sources) -> String {
    format!("{}: {} {}", sources.locate(&finding.primary), finding.code, finding.title)
}

/// XML 1.0: markup escaped, characters that it cannot hold replaced.
fn escaped(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => kept.push_str("&amp;"),
            '<' => kept.push_str("&lt;"),
            '>' => kept.push_str("&gt;"),
            '"' => kept.push_str("&quot;"),
            '\n' => kept.push('\n'),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => kept.push('\u{fffd}'),
            c => kept.push(c),
        }
    }
    kept
}
