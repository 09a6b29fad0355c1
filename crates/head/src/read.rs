//! Finds the end of a head in bytes that come piece by piece.
//!
//! In: what has been received so far. Out: whether the head is complete. Never: a look at what the head says; that is
//! [`mod@crate::call`]. The end is searched for as leniently as any reader would (an empty line, with or without CR), so that
//! a head that must be refused is still seen whole.

use crate::fault;
use ringwall_model::Fault;

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole head, with the empty line.
    pub head: usize,
    /// Bytes of the target.
    pub target: usize,
    /// Field lines.
    pub fields: usize,
}

impl Default for Limits {
    /// Envoy's limits on the head (60 KiB, 100 fields) and 16 KiB for the target.
    fn default() -> Self {
        Self { head: 60 * 1024, target: 16 * 1024, fields: 100 }
    }
}

/// How far a head has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed.
    Partial,
    /// The head is complete.
    Complete {
        /// How many bytes it has, with the empty line at its end.
        len: usize,
    },
    /// It is too long already.
    Refuse(Fault),
}

/// Whether `buf` holds a whole head. Searches from the beginning; use a [`Scan`] for bytes that come in small pieces.
pub fn head(buf: &[u8], limits: &Limits) -> Progress {
    Scan::default().look(buf, limits)
}

/// A search for the end of a head that does not look twice at the same bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    /// Where the line begins that is being searched.
    line: usize,
    /// How far that line has been searched.
    seen: usize,
}

impl Scan {
    /// Looks at `buf`, which begins where it began the last time, and may have grown.
    pub fn look(&mut self, buf: &[u8], limits: &Limits) -> Progress {
        while let Some(at) = buf.get(self.seen..).and_then(|rest| memchr::memchr(b'\n', rest)) {
            let end = self.seen + at;
            let line = buf.get(self.line..end).unwrap_or_default();
            let begun = self.line > leading_blank(buf);
            (self.line, self.seen) = (end + 1, end + 1);
            if matches!(line, b"" | b"\r") && begun {
                return if self.line > limits.head {
                    Progress::Refuse(fault::HEAD_LENGTH)
                } else {
                    Progress::Complete { len: self.line }
                };
            }
            // A second empty line before the request line: nobody sends that, and each byte of it would be looked at
            // again and again.
            if matches!(line, b"" | b"\r") && end > 1 && !begun {
                return Progress::Refuse(fault::REQUEST_LINE);
            }
        }
        self.seen = buf.len();
        if buf.len() > limits.head { Progress::Refuse(fault::HEAD_LENGTH) } else { Progress::Partial }
    }
}

/// How many bytes the one empty line takes that a server ignores before a request line (RFC 9112 section 2.2).
pub(crate) fn leading_blank(head: &[u8]) -> usize {
    if head.starts_with(b"\r\n") { 2 } else { 0 }
}
