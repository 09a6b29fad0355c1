//! The pages about findings: what each means, why it matters, what to write instead.
//!
//! In: a code. Out: its [`Page`], embedded from `docs/findings`. The list is made by `cargo xtask gen`; a test lowers what
//! each page shows, so that it cannot say what the code does not do.

mod list;
#[cfg(test)]
mod tests;

use ringwall_model::Code;

/// One page, in Markdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The code it is about.
    pub code: Code,
    /// Its text.
    pub text: &'static str,
}

/// All pages, sorted by code.
pub fn all() -> impl Iterator<Item = Page> {
    list::PAGES.iter().map(|(number, text)| Page { code: Code(*number), text })
}

/// The page about a code.
pub fn find(code: Code) -> Option<Page> {
    let at = list::PAGES.binary_search_by_key(&code.0, |(number, _)| *number).ok()?;
    list::PAGES.get(at).map(|(number, text)| Page { code: Code(*number), text })
}

/// The code that is written as `RW1234`, in either case.
pub fn read_code(text: &str) -> Option<Code> {
    let digits = text.strip_prefix("RW").or_else(|| text.strip_prefix("rw"))?;
    let plain = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain).map(Code)
}

impl Page {
    /// One line: what is so.
    pub fn title(self) -> &'static str {
        let first = self.text.lines().next().unwrap_or_default();
        first.split_once(" · ").map_or(first, |(_, title)| title)
    }

    /// The severities that the finding may have, the usual one first: `warning, error`.
    pub fn severities(self) -> &'static str {
        self.text.lines().find_map(|line| line.strip_prefix("Severity: ")).unwrap_or_default()
    }

    /// What is so and what to do: the text without its head and its examples.
    pub fn body(self) -> &'static str {
        let after = self.text.split_once("\nSeverity: ").and_then(|(_, rest)| rest.split_once('\n'));
        let body = after.map_or(self.text, |(_, body)| body);
        body.split_once("\n```").map_or(body, |(body, _)| body).trim()
    }
}
