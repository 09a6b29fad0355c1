//! Chunked bodies (RFC 9112 section 7.1), read strictly, without a socket.
//!
//! In: the bytes that have come. Out: how many of them are framing and how many are content. Never: a copy of content.
//! Differs: LF alone ends nothing, white space before a chunk's size or its extensions is refused, and extensions, which
//! nobody uses, are bounded: what one reader skips, another takes for a request.

use crate::call::{Settings, read_lines};
use crate::{Limits, fault, octets, read};
use bytes::Bytes;
use ringwall_model::{Fault, Fields};

/// Bytes of one size line with its extensions.
const LONGEST_LINE: usize = 256;
/// Bytes of all extensions of one body.
const MOST_EXTENSIONS: usize = 16 * 1024;
/// Bytes of the trailer section.
const LONGEST_TRAILER: usize = 8 * 1024;
const MOST_TRAILERS: usize = 32;

/// Reads one chunked body.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    state: State,
    /// Bytes of extensions so far.
    extensions: usize,
    scan: read::Scan,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Size,
    Content {
        left: u64,
    },
    AfterContent,
    Trailer,
    Done,
}

/// What the next bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// More bytes are needed.
    Partial,
    /// First `framing` bytes to throw away, then `content` bytes of the body; then ask again. Not both are 0.
    Content {
        /// Bytes to throw away.
        framing: usize,
        /// Bytes of content behind them.
        content: usize,
    },
    /// The body ends.
    End {
        /// Bytes to throw away.
        framing: usize,
        /// Trailer fields.
        trailers: Fields,
    },
}

impl Decoder {
    /// Looks at the bytes that have come and were not yet thrown away or taken.
    ///
    /// # Errors
    /// [`fault::CHUNK`] or [`fault::TRAILER`]; the connection cannot be used any more.
    pub fn next(&mut self, buf: &[u8]) -> Result<Piece, Fault> {
        let mut framing = 0;
        loop {
            let rest = buf.get(framing..).unwrap_or_default();
            let taken = match self.state {
                State::Size => self.size(rest)?,
                State::Content { left } => return Ok(self.content(rest, framing, left)),
                State::AfterContent => self.after_content(rest)?,
                State::Trailer => return self.trailer(rest, framing),
                State::Done => return Ok(Piece::End { framing, trailers: Fields::default() }),
            };
            match taken {
                Some(taken) => framing += taken,
                None if framing == 0 => return Ok(Piece::Partial),
                None => return Ok(Piece::Content { framing, content: 0 }),
            }
        }
    }

    /// `size [extensions] CR LF`
    fn size(&mut self, rest: &[u8]) -> Result<Option<usize>, Fault> {
        let window = rest.get(..rest.len().min(LONGEST_LINE)).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', window) else {
            return if rest.len() < LONGEST_LINE && possible(window) { Ok(None) } else { Err(fault::CHUNK) };
        };
        let line = window.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(fault::CHUNK)?;
        let digits = line.iter().take_while(|octet| octet.is_ascii_hexdigit()).count();
        let extension = line.get(digits..).unwrap_or_default();
        let well_formed = matches!(extension, [] | [b';', ..]) && octets::is_value(extension);
        // 15 digits: no size overflows, and `Known` lengths stay below 2^63.
        if digits == 0 || digits > 15 || !well_formed {
            return Err(fault::CHUNK);
        }
        self.extensions += extension.len();
        if self.extensions > MOST_EXTENSIONS {
            return Err(fault::CHUNK);
        }
        let size =
            line.iter().take(digits).filter_map(|o| octets::hex(*o)).fold(0, |n, digit| n << 4 | u64::from(digit));
        self.state = if size == 0 { State::Trailer } else { State::Content { left: size } };
        Ok(Some(end + 1))
    }

    fn content(&mut self, rest: &[u8], framing: usize, left: u64) -> Piece {
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
        if here == 0 && framing == 0 {
            return Piece::Partial;
        }
        let left = left.saturating_sub(here as u64);
        self.state = if left == 0 { State::AfterContent } else { State::Content { left } };
        Piece::Content { framing, content: here }
    }

    fn after_content(&mut self, rest: &[u8]) -> Result<Option<usize>, Fault> {
        match rest {
            [] | [b'\r'] => Ok(None),
            [b'\r', b'\n', ..] => {
                self.state = State::Size;
                Ok(Some(2))
            }
            _ => Err(fault::CHUNK),
        }
    }

    /// Field lines up to an empty one.
    fn trailer(&mut self, rest: &[u8], framing: usize) -> Result<Piece, Fault> {
        if rest.starts_with(b"\r\n") {
            self.state = State::Done;
            return Ok(Piece::End { framing: framing + 2, trailers: Fields::default() });
        }
        // The search for the end begins anew when framing is thrown away before the trailer.
        let mut scan = if framing == 0 { self.scan } else { read::Scan::default() };
        let limits = Limits { head: LONGEST_TRAILER, ..Limits::default() };
        let progress = scan.look(rest, &limits);
        self.scan = scan;
        match progress {
            read::Progress::Partial if framing == 0 => Ok(Piece::Partial),
            read::Progress::Partial => Ok(Piece::Content { framing, content: 0 }),
            read::Progress::Refuse(_) => Err(fault::TRAILER),
            read::Progress::Complete { len } => {
                self.state = State::Done;
                let trailers = trailers(rest.get(..len).unwrap_or_default())?;
                Ok(Piece::End { framing: framing + len, trailers })
            }
        }
    }
}

/// What must be written before a chunk of `len` bytes; `\r\n` follows it.
pub fn size_line(len: usize) -> Bytes {
    format!("{len:x}\r\n").into()
}

/// Whether an unfinished size line can still become one: a fault is told at once, not when the line ends.
fn possible(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    octets::is_value(line) && line.first().is_none_or(u8::is_ascii_hexdigit)
}

fn trailers(section: &[u8]) -> Result<Fields, Fault> {
    let mut faults = Vec::new();
    let settings = Settings { limits: Limits { fields: MOST_TRAILERS, ..Limits::default() }, ..Settings::default() };
    let lines = crate::call::Lines { first: Bytes::new(), rest: 0 };
    let fields = read_lines(&Bytes::copy_from_slice(section), &lines, &settings, &mut faults);
    let framing = ["content-length", "transfer-encoding", "host", "connection", "content-encoding", "authorization"];
    let frames = fields.iter().any(|field| framing.iter().any(|name| field.is(name)));
    if frames || !faults.is_empty() { Err(fault::TRAILER) } else { Ok(fields) }
}

#[cfg(test)]
mod tests;
