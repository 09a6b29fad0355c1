//! Content codings: gzip (RFC 1952), deflate (RFC 1950, or RFC 1951 bare as some send it), br (RFC 7932).
//!
//! In: a coded body and a limit. Out: the body, or why not. INVARIANT: never more than the limit is made, whatever the
//! body claims.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZFlush, MZStatus};

/// Why a coded body cannot be judged.
pub(crate) const TOO_LONG: &str = "the body is longer than its limit once it is decompressed";
pub(crate) const BROKEN: &str = "the body is not what its content coding says";
pub(crate) const UNKNOWN: &str = "the body has a content coding that is not read";

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
    let names = codings.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty());
    let names: Vec<&[u8]> = names.filter(|name| !name.eq_ignore_ascii_case(b"identity")).take(4).collect();
    let mut out: Option<Vec<u8>> = None;
    for name in names.iter().rev() {
        match one(name, out.as_deref().unwrap_or(body), limit, beyond) {
            Ok(decoded) => out = Some(decoded),
            Err(why) => return Some(Err(why)),
        }
    }
    out.map(Ok)
}

fn one(name: &[u8], body: &[u8], limit: usize, beyond: Beyond) -> Result<Vec<u8>, &'static str> {
    if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
        inflated(gzip_content(body).ok_or(BROKEN)?, DataFormat::Raw, limit, beyond)
    } else if name.eq_ignore_ascii_case(b"deflate") {
        match inflated(body, DataFormat::Zlib, limit, beyond) {
            Err(BROKEN) => inflated(body, DataFormat::Raw, limit, beyond),
            done => done,
        }
    } else if name.eq_ignore_ascii_case(b"br") {
        brotli(body, limit, beyond)
    } else {
        Err(UNKNOWN)
    }
}

/// What follows the header of a gzip member.
fn gzip_content(body: &[u8]) -> Option<&[u8]> {
    let [0x1f, 0x8b, 8, flags, _, _, _, _, _, _, rest @ ..] = body else { return None };
    let mut rest = rest;
    if flags & 4 != 0 {
        let [low, high, after @ ..] = rest else { return None };
        rest = after.get(usize::from(u16::from_le_bytes([*low, *high]))..)?;
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            rest = rest.get(memchr::memchr(0, rest)? + 1..)?;
        }
    }
    if flags & 2 != 0 { rest.get(2..) } else { Some(rest) }
}

/// What was made so far, or the error.
fn cut(mut out: Vec<u8>, limit: usize, beyond: Beyond, why: &'static str) -> Result<Vec<u8>, &'static str> {
    if beyond == Beyond::Refuse || out.is_empty() {
        return Err(why);
    }
    out.truncate(limit);
    Ok(out)
}

const PIECE: usize = 16 << 10;

fn inflated(body: &[u8], format: DataFormat, limit: usize, beyond: Beyond) -> Result<Vec<u8>, &'static str> {
    let mut state = InflateState::new_boxed(format);
    let mut out = Vec::new();
    let mut piece = vec![0; PIECE];
    let mut rest = body;
    loop {
        let result = inflate(&mut state, rest, &mut piece, MZFlush::None);
        rest = rest.get(result.bytes_consumed..).unwrap_or_default();
        out.extend_from_slice(piece.get(..result.bytes_written).unwrap_or_default());
        if out.len() > limit {
            return cut(out, limit, beyond, TOO_LONG);
        }
        match result.status {
            Ok(MZStatus::StreamEnd) => return Ok(out),
            Ok(_) if result.bytes_written > 0 || result.bytes_consumed > 0 => {}
            Ok(_) | Err(_) => return cut(out, limit, beyond, BROKEN),
        }
    }
}

fn brotli(body: &[u8], limit: usize, beyond: Beyond) -> Result<Vec<u8>, &'static str> {
    let alloc = StandardAlloc::default;
    let mut state = BrotliState::new(alloc(), alloc(), alloc());
    let mut out = Vec::new();
    let mut piece = vec![0; PIECE];
    let (mut left, mut at, mut total) = (body.len(), 0, 0);
    loop {
        let (mut room, mut written) = (piece.len(), 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut at,
            body,
            &mut room,
            &mut written,
            &mut piece,
            &mut total,
            &mut state,
        );
        out.extend_from_slice(piece.get(..written).unwrap_or_default());
        if out.len() > limit {
            return cut(out, limit, beyond, TOO_LONG);
        }
        match result {
            BrotliResult::ResultSuccess => return Ok(out),
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::NeedsMoreInput | BrotliResult::ResultFailure => return cut(out, limit, beyond, BROKEN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BROKEN, Beyond, TOO_LONG, UNKNOWN, decode};
    use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};

    #[test]
    fn codings() {
        let plain = b"hello hello hello hello".to_vec();
        let gzip =
            [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3][..], b"name\0", &compress_to_vec(&plain, 6), &[0; 8]].concat();
        let check = |coding: &str, body: &[u8], want: Option<Result<Vec<u8>, &str>>| {
            assert_eq!(decode(coding.as_bytes(), body, 1000, Beyond::Refuse), want, "{coding}");
        };
        check("", &plain, None);
        check("identity", &plain, None);
        check("gzip", &gzip, Some(Ok(plain.clone())));
        check("x-gzip, identity", &gzip, Some(Ok(plain.clone())));
        check("deflate", &compress_to_vec_zlib(&plain, 6), Some(Ok(plain.clone())));
        check("deflate", &compress_to_vec(&plain, 6), Some(Ok(plain.clone())));
        check("br", b"\x0b\x02\x80hello\x03", Some(Ok(b"hello".to_vec())));
        check("gzip", b"not gzip", Some(Err(BROKEN)));
        check("gzip", &gzip[..20], Some(Err(BROKEN)));
        check("zstd", &plain, Some(Err(UNKNOWN)));
    }

    #[test]
    fn a_bomb_is_cut_at_its_limit() {
        let bomb = compress_to_vec_zlib(&vec![0; 10 << 20], 9);
        assert!(bomb.len() < 20_000);
        assert_eq!(decode(b"deflate", &bomb, 1 << 20, Beyond::Refuse), Some(Err(TOO_LONG)));
        assert_eq!(decode(b"deflate", &bomb, 1 << 20, Beyond::Cut), Some(Ok(vec![0; 1 << 20])));
        let start = decode(b"deflate", &bomb[..5000], 1 << 20, Beyond::Cut);
        assert!(start.is_some_and(|start| start.is_ok_and(|start| start.len() > 1000)));
    }
}
