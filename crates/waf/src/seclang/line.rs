//! Logical lines: physical lines joined where one ends in `\`, comments and empty lines left out.
//!
//! In: text. Out: [`Logical`] lines that remember where each of their bytes stood.

/// A directive's text with continuations joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Logical {
    /// Name of the file.
    pub file: String,
    /// The joined text, without white space at both ends.
    pub text: String,
    /// Where the joined parts begin, in order.
    pub marks: Vec<Mark>,
}

/// Where a part of a logical line stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Offset in the joined text.
    pub offset: usize,
    /// Line, from 1.
    pub line: u32,
    /// Column of the part's first byte, from 1.
    pub column: u32,
}

impl Logical {
    /// Line and column of a byte of the joined text, and the offset at which its physical line begins.
    pub fn place(&self, offset: usize) -> (u32, u32, usize) {
        let mark = self.marks.iter().rev().find(|mark| mark.offset <= offset);
        mark.map_or((1, 1, 0), |mark| {
            let within = u32::try_from(offset - mark.offset).unwrap_or(u32::MAX);
            (mark.line, mark.column.saturating_add(within), mark.offset)
        })
    }

    /// The physical line that holds this byte, as far as it was kept.
    pub fn excerpt(&self, offset: usize) -> &str {
        let start = self.place(offset).2;
        let end = self.marks.iter().map(|mark| mark.offset).find(|at| *at > start).unwrap_or(self.text.len());
        self.text.get(start..end).unwrap_or_default()
    }

    /// Line of the directive's first byte.
    pub fn line(&self) -> u32 {
        self.marks.first().map_or(1, |mark| mark.line)
    }
}

/// The logical lines of a file.
pub(crate) fn logical(file: &str, text: &str) -> Vec<Logical> {
    let mut out = Vec::new();
    let mut open: Option<Logical> = None;
    for (index, raw) in text.lines().enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let line = raw.trim_end_matches('\r');
        let inside = line.trim_start();
        if open.is_none() && (inside.is_empty() || inside.starts_with('#')) {
            continue;
        }
        let indent = if open.is_none() { line.len() - inside.len() } else { 0 };
        let kept = line.get(indent..).unwrap_or_default();
        let trimmed = kept.trim_end();
        let continued = trimmed.ends_with('\\');
        let part = if continued { trimmed.strip_suffix('\\').unwrap_or(trimmed) } else { trimmed };
        let logical = open.get_or_insert_with(|| Logical { file: file.to_owned(), ..Logical::default() });
        let column = u32::try_from(indent + 1).unwrap_or(u32::MAX);
        logical.marks.push(Mark { offset: logical.text.len(), line: number, column });
        logical.text.push_str(part);
        if !continued {
            out.extend(open.take());
        }
    }
    out.extend(open);
    out
}
