//! Findings as text: for people (with the lines they are about), as JSON, SARIF 2.1.0 and JUnit.
//!
//! In: findings and [`Sources`]. Out: text. Never: the values of Secrets, or of keys that are named like one: they are
//! blanked out in every excerpt.

mod blank;
mod json;
mod junit;
mod sarif;
#[cfg(test)]
mod tests;

pub use json::json;
pub use junit::junit;
pub use sarif::sarif;

use crate::source::{Sources, position};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use ringwall_model::{Finding, Place, Severity};
use std::iter::repeat_n;
use std::ops::Range;

/// Whether text for people has colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// ANSI escapes.
    Ansi,
    /// None.
    #[default]
    Plain,
}

/// The most lines of context around a place.
const MAX_LINES: usize = 12;

/// Findings for people, each with its lines, and a last line that counts them.
pub fn human(findings: &[Finding], sources: &Sources, colour: Colour) -> String {
    let renderer = match colour {
        Colour::Ansi => Renderer::styled(),
        Colour::Plain => Renderer::plain(),
    };
    let mut text = String::new();
    for finding in findings {
        text.push_str(&one(finding, sources, &renderer));
        text.push_str("\n\n");
    }
    text.push_str(&summary(findings));
    text.push('\n');
    text
}

/// `3 errors, 1 warning, 12 notes`
pub fn summary(findings: &[Finding]) -> String {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let words = |number: usize, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
    let (errors, warnings, notes) = (count(Severity::Error), count(Severity::Warning), count(Severity::Note));
    format!("{}, {}, {}", words(errors, "error"), words(warnings, "warning"), words(notes, "note"))
}

fn one(finding: &Finding, sources: &Sources, renderer: &Renderer) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let code = finding.code.to_string();
    let mut group: Group<'_> = Group::with_title(level.primary_title(clean(&finding.title)).id(code));
    if let Some(excerpt) = Excerpt::of(&finding.primary, sources) {
        group = group.element(excerpt.snippet(AnnotationKind::Primary, None));
    }
    for (place, says) in &finding.related {
        if let Some(excerpt) = Excerpt::of(place, sources) {
            group = group.element(excerpt.snippet(AnnotationKind::Context, Some(clean(says))));
        }
    }
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(clean(help)));
    }
    renderer.render(&[group])
}

/// Control characters of foreign text would move the cursor of a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Some lines of a file with a place in them, cut to what people read.
struct Excerpt {
    name: String,
    first_line: usize,
    text: String,
    span: Range<usize>,
}

impl Excerpt {
    fn of(place: &Place, sources: &Sources) -> Option<Self> {
        let file = sources.file(place.document)?;
        let document = sources.document(place.document)?;
        let span = sources.span(place)?;
        let text = &*file.text;
        let start = span.start.min(text.len());
        let line_start = text.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
        let end = span.end.clamp(start, text.len());
        // A long value is shown by its first lines.
        let shown = text.get(start..end)?;
        let cut = shown.match_indices('\n').nth(2).map_or(end, |(at, _)| start + at);
        let rest = text.get(cut..)?;
        let line_end = cut + rest.find('\n').unwrap_or(rest.len());
        let lines = text.get(line_start..line_end)?;
        // One line of a megabyte is no excerpt.
        let near = |at: usize| (0..4).map(|step| at + step).find(|at| lines.is_char_boundary(*at));
        let (from, to) = if lines.len() > 2000 {
            let from = near((start - line_start).saturating_sub(60))?;
            (from, near(from + 200).unwrap_or(lines.len()).min(lines.len()))
        } else {
            (0, lines.len())
        };
        let blanked = blank::secrets(lines, line_start, document);
        let mut text = String::new();
        for c in blanked.get(from..to)?.chars() {
            // A control character becomes as many spaces as it has bytes, so that the places after it stay right.
            if c == '\t' || c == '\n' || !c.is_control() {
                text.push(c)
            } else {
                text.extend(repeat_n(' ', c.len_utf8()))
            }
        }
        let first_line = position(&file.text, line_start).line;
        let inner = text.floor_char_boundary(start.saturating_sub(line_start + from));
        let span = inner..text.floor_char_boundary((cut - line_start).saturating_sub(from)).max(inner);
        Some(Self { name: clean(&file.name), first_line, text, span })
    }

    fn snippet(
        self,
        kind: AnnotationKind,
        label: Option<String>,
    ) -> Snippet<'static, annotate_snippets::Annotation<'static>> {
        let lines = self.text.lines().count().min(MAX_LINES);
        let mut annotation = kind.span(self.span);
        if let Some(label) = label {
            annotation = annotation.label(label);
        }
        Snippet::source(self.text).line_start(self.first_line).path(self.name).fold(lines > 8).annotation(annotation)
    }
}
