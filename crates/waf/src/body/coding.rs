//! Content codings: gzip (RFC 1952), deflate (RFC 1950, or RFC 1951 bare as some send it), br (RFC 7932).
//!
//! In: a coded body and a limit, or the parts of a coded stream. Out: what they say, or why not. INVARIANT: never more than
//! the limit is made, whatever the body claims; and what two readers could undo to two bodies is not undone at all: all
//! members of gzip are read, and nothing may follow the end.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

/// Why a coded body cannot be judged.
pub(crate) const TOO_LONG: &str = "the body is longer than its limit once it is decompressed";
pub(crate) const BROKEN: &str = "the body is not what its content coding says";
pub(crate) const UNKNOWN: &str = "the body has a content coding that is not read";

/// More codings one over the other than anybody sends.
const MOST_CODINGS: usize = 4;
/// So much is made at a time.
const PIECE: usize = 16 << 10;
/// A longer head of a gzip member is none.
const LONGEST_HEAD: usize = 64 << 10;

/// What becomes of a body that ends beyond the limit, or too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// It is an error.
    Refuse,
    /// What was read until there counts.
    Cut,
}

/// Undoes the codings of a `Content-Encoding` value, the last one first. `None`: there is none.
pub(crate) fn decode(
    codings: &[u8],
    body: &[u8],
    limit: usize,
    beyond: Beyond,
) -> Option<Result<Vec<u8>, &'static str>> {
    let names: Vec<&[u8]> = names(codings).take(MOST_CODINGS + 1).collect();
    if names.len() > MOST_CODINGS {
        return Some(Err(UNKNOWN));
    }
    let mut out: Option<Vec<u8>> = None;
    for name in names.iter().rev() {
        match one(name, out.as_deref().unwrap_or(body), limit, beyond) {
            Ok(decoded) => out = Some(decoded),
            Err(why) => return Some(Err(why)),
        }
    }
    out.map(Ok)
}

/// Whether bodies with that `Content-Encoding` value are read.
pub fn is_read(codings: &[u8]) -> bool {
    names(codings).count() <= MOST_CODINGS && names(codings).all(|name| Coding::named(name).is_some())
}

/// The codings of a value that are ones.
fn names(codings: &[u8]) -> impl Iterator<Item = &[u8]> {
    let names = codings.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
}

impl Coding {
    fn named(name: &[u8]) -> Option<Self> {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match () {
            () if is(b"gzip") || is(b"x-gzip") => Some(Self::Gzip),
            () if is(b"deflate") => Some(Self::Deflate),
            () if is(b"br") => Some(Self::Brotli),
            () => None,
        }
    }
}

fn one(name: &[u8], body: &[u8], limit: usize, beyond: Beyond) -> Result<Vec<u8>, &'static str> {
    let coding = Coding::named(name).ok_or(UNKNOWN)?;
    let read = whole(Decoder::new(coding), body, limit, beyond);
    if coding != Coding::Deflate || !matches!(body, [first, second, ..] if is_zlib(*first, *second)) {
        return read;
    }
    // It could be the bare form as well. A body that is both says two things.
    let bare = || whole(Decoder::bare(), body, limit, Beyond::Refuse);
    match read {
        Ok(_) if beyond == Beyond::Refuse && bare().is_ok() => Err(BROKEN),
        Err(BROKEN) => bare(),
        done => done,
    }
}

fn whole(mut decoder: Decoder, body: &[u8], limit: usize, beyond: Beyond) -> Result<Vec<u8>, &'static str> {
    let (mut out, mut rest) = (Vec::new(), body);
    loop {
        let before = out.len();
        let used = match decoder.read(rest, &mut out, PIECE) {
            Ok(used) => used,
            Err(why) => return cut(out, limit, beyond, why),
        };
        rest = rest.get(used..).unwrap_or_default();
        if out.len() > limit {
            return cut(out, limit, beyond, TOO_LONG);
        }
        if used == 0 && out.len() == before {
            let ended = decoder.is_whole() && rest.is_empty();
            return if ended { Ok(out) } else { cut(out, limit, beyond, BROKEN) };
        }
    }
}

/// What was made so far, or the error.
fn cut(mut out: Vec<u8>, limit: usize, beyond: Beyond, why: &'static str) -> Result<Vec<u8>, &'static str> {
    if beyond == Beyond::Refuse || out.is_empty() {
        return Err(why);
    }
    out.truncate(limit);
    Ok(out)
}

/// A stream in one coding, undone part by part.
pub struct Decoder {
    coding: Coding,
    stage: Stage,
    piece: Vec<u8>,
}

type Brotli = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// Where in it the next byte stands.
enum Stage {
    /// At the head of a member of gzip, or before anything else; so many members were whole.
    Head {
        members: usize,
    },
    /// Inside; whether more can be made without more input.
    Inflate {
        state: Box<InflateState>,
        pending: bool,
        members: usize,
    },
    /// The same.
    Brotli(Box<Brotli>),
    /// Before the last so many bytes of a member's checksum and length.
    Trailer {
        left: usize,
        members: usize,
    },
    Ended,
}

impl Decoder {
    /// For streams with that `Content-Encoding` value; `None` when nothing is coded.
    ///
    /// # Errors
    /// It has more than one coding, or one that is not read.
    pub fn of(codings: &[u8]) -> Result<Option<Self>, &'static str> {
        let mut names = names(codings);
        match (names.next(), names.next()) {
            (None, _) => Ok(None),
            (Some(name), None) => Coding::named(name).map(|coding| Some(Self::new(coding))).ok_or(UNKNOWN),
            (Some(_), Some(_)) => Err(UNKNOWN),
        }
    }

    fn new(coding: Coding) -> Self {
        let alloc = StandardAlloc::default;
        let stage = match coding {
            Coding::Brotli => Stage::Brotli(Box::new(BrotliState::new(alloc(), alloc(), alloc()))),
            Coding::Gzip | Coding::Deflate => Stage::Head { members: 0 },
        };
        Self { coding, stage, piece: Vec::new() }
    }

    /// `deflate` without a head.
    fn bare() -> Self {
        let state = InflateState::new_boxed(DataFormat::Raw);
        let stage = Stage::Inflate { state, pending: false, members: 0 };
        Self { coding: Coding::Deflate, stage, piece: Vec::new() }
    }

    /// Adds what the input says to `out`, at most about `most` bytes, and tells how much of the input was used. When
    /// nothing was used and nothing made, it needs more.
    ///
    /// # Errors
    /// The input is not what the coding says, or goes on after its end.
    pub fn read(&mut self, input: &[u8], out: &mut Vec<u8>, most: usize) -> Result<usize, &'static str> {
        let (mut used, goal) = (0, out.len().saturating_add(most));
        self.piece.resize(PIECE, 0);
        while out.len() < goal {
            let (before, stage) = ((used, out.len()), std::mem::discriminant(&self.stage));
            used += self.step(input.get(used..).unwrap_or_default(), out)?;
            if before == (used, out.len()) && stage == std::mem::discriminant(&self.stage) {
                break;
            }
        }
        Ok(used)
    }

    /// Whether nothing is missing: the end was there.
    pub fn is_whole(&self) -> bool {
        match &self.stage {
            Stage::Head { members } => *members > 0,
            Stage::Ended => true,
            Stage::Inflate { .. } | Stage::Brotli(_) | Stage::Trailer { .. } => false,
        }
    }

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, &'static str> {
        match &mut self.stage {
            Stage::Head { members } => {
                let members = *members;
                let Some((used, format)) = head(self.coding, input)? else { return Ok(0) };
                self.stage = Stage::Inflate { state: InflateState::new_boxed(format), pending: false, members };
                Ok(used)
            }
            Stage::Inflate { state, pending, members } => {
                if input.is_empty() && !*pending {
                    return Ok(0);
                }
                let result = inflate(state, input, &mut self.piece, MZFlush::None);
                out.extend_from_slice(self.piece.get(..result.bytes_written).unwrap_or_default());
                *pending = result.bytes_written == self.piece.len();
                match result.status {
                    Ok(MZStatus::StreamEnd) if self.coding == Coding::Gzip => {
                        self.stage = Stage::Trailer { left: 8, members: *members + 1 };
                    }
                    Ok(MZStatus::StreamEnd) => self.stage = Stage::Ended,
                    Ok(_) | Err(MZError::Buf) => {}
                    Err(_) => return Err(BROKEN),
                }
                Ok(result.bytes_consumed)
            }
            Stage::Brotli(state) => {
                let (mut left, mut at, mut total) = (input.len(), 0, 0);
                let (mut room, mut written) = (self.piece.len(), 0);
                let piece = &mut self.piece;
                let result = BrotliDecompressStream(
                    &mut left,
                    &mut at,
                    input,
                    &mut room,
                    &mut written,
                    piece,
                    &mut total,
                    state,
                );
                out.extend_from_slice(self.piece.get(..written).unwrap_or_default());
                match result {
                    BrotliResult::ResultSuccess => self.stage = Stage::Ended,
                    BrotliResult::NeedsMoreOutput | BrotliResult::NeedsMoreInput => {}
                    BrotliResult::ResultFailure => return Err(BROKEN),
                }
                Ok(at)
            }
            Stage::Trailer { left, members } => {
                let used = input.len().min(*left);
                *left -= used;
                if *left == 0 {
                    self.stage = Stage::Head { members: *members };
                }
                Ok(used)
            }
            Stage::Ended if input.is_empty() => Ok(0),
            Stage::Ended => Err(BROKEN),
        }
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Decoder").field("coding", &self.coding).finish_non_exhaustive()
    }
}

/// The length of what stands before the content, and the content's form; `None`: not all of it came.
fn head(coding: Coding, input: &[u8]) -> Result<Option<(usize, DataFormat)>, &'static str> {
    if coding == Coding::Gzip {
        let length = member_head(input)?;
        return if length.is_none() && input.len() > LONGEST_HEAD {
            Err(BROKEN)
        } else {
            Ok(length.map(|length| (length, DataFormat::Raw)))
        };
    }
    let [first, second, ..] = input else { return Ok(None) };
    Ok(Some((0, if is_zlib(*first, *second) { DataFormat::Zlib } else { DataFormat::Raw })))
}

/// RFC 1950 section 2.2.
fn is_zlib(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && first >> 4 <= 7 && (u16::from(first) << 8 | u16::from(second)) % 31 == 0
}

/// The length of the header of a gzip member (RFC 1952 section 2.3), when all of it is there.
fn member_head(input: &[u8]) -> Result<Option<usize>, &'static str> {
    const FIRST: [u8; 3] = [0x1f, 0x8b, 8];
    if input.iter().zip(FIRST).any(|(byte, known)| *byte != known) {
        return Err(BROKEN);
    }
    let Some(flags) = input.get(3).filter(|_| input.len() >= 10) else { return Ok(None) };
    let mut at = 10;
    if flags & 4 != 0 {
        let Some([low, high]) = input.get(at..at + 2) else { return Ok(None) };
        at += 2 + usize::from(u16::from_le_bytes([*low, *high]));
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            let end = input.get(at..).and_then(|rest| memchr::memchr(0, rest));
            let Some(end) = end else { return Ok(None) };
            at += end + 1;
        }
    }
    at += if flags & 2 != 0 { 2 } else { 0 };
    Ok((at <= input.len()).then_some(at))
}

#[cfg(test)]
mod tests;
