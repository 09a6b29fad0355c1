//! `multipart/form-data` (RFC 7578) to arguments, files, part headers and the flags of what is odd about it.
//!
//! Lenient where servers are, so that rules see what a server might see; strict in its flags. A header line is kept as
//! it came, control bytes and all.

use crate::Rules;
use crate::state::State;
use crate::text::{EMPTY, TextId};
use crate::variable::Variable as V;

const NO_BOUNDARY: &str = "Multipart: there is no usable boundary";
const NO_END: &str = "Multipart: the final boundary is missing";
const NO_PART: &str = "Multipart: there is no part";
const TOO_MANY: &str = "Multipart: too many files";
const HIDDEN: &str = "Multipart: something stands outside of its parts, or in a part that is not one";

/// One part while it is read.
#[derive(Default)]
struct Part<'a> {
    headers: Vec<Vec<u8>>,
    in_headers: bool,
    /// Range of its content in the body.
    from: usize,
    to: usize,
    body: &'a [u8],
}

pub(super) fn read(rules: &Rules, body: &[u8], state: &mut State) -> Result<(), &'static str> {
    let content_type = state.texts.bytes(state.content_type).to_vec();
    let delimiter = boundary(&content_type, state).ok_or(NO_BOUNDARY)?;
    let result = parts(rules, body, &delimiter, state);
    let strict = [
        V::MultipartBoundaryQuoted,
        V::MultipartBoundaryWhitespace,
        V::MultipartDataAfter,
        V::MultipartDataBefore,
        V::MultipartHeaderFolding,
        V::MultipartInvalidHeaderFolding,
        V::MultipartInvalidPart,
        V::MultipartInvalidQuoting,
        V::MultipartLfLine,
        V::MultipartMissingSemicolon,
        V::MultipartFileLimitExceeded,
    ];
    let raised =
        |state: &State, flag: V| state.list(flag).first().is_some_and(|entry| state.texts.bytes(entry.value) == b"1");
    if result.is_err() || strict.into_iter().any(|flag| raised(state, flag)) {
        state.set(V::MultipartStrictError, b"1");
    }
    // To rules these are flags. What stands there was read by nobody here, and another reader may take it for a part.
    let hides =
        [V::MultipartDataAfter, V::MultipartDataBefore, V::MultipartInvalidPart, V::MultipartInvalidHeaderFolding];
    if hides.into_iter().any(|flag| raised(state, flag)) {
        state.faults.push(HIDDEN);
    }
    result
}

/// `--` and the boundary of a content type; of two, servers take the one or the other.
fn boundary(content_type: &[u8], state: &mut State) -> Option<Vec<u8>> {
    const NAME: &[u8] = b"boundary";
    let lower = content_type.to_ascii_lowercase();
    // Also in the forms of RFC 2231: `boundary*0=`.
    let is_named = |at: &usize| {
        let rest = lower.get(at + NAME.len()..).unwrap_or_default().iter();
        rest.copied().find(|byte| !matches!(byte, b' ' | b'\t' | b'*' | b'0'..=b'9')) == Some(b'=')
    };
    let mut named = memchr::memmem::find_iter(&lower, NAME).filter(is_named);
    let at = named.next().filter(|_| named.next().is_none())?;
    lower.get(..at)?.last().filter(|byte| matches!(byte, b';' | b',' | b' ' | b'\t'))?;
    let rest = content_type.get(at + NAME.len()..)?;
    let value = rest.trim_ascii_start().strip_prefix(b"=")?;
    if rest.len() != rest.trim_ascii_start().len() || value.trim_ascii_start().len() != value.len() {
        state.set(V::MultipartBoundaryWhitespace, b"1");
    }
    let value = value.trim_ascii_start();
    let found = if let Some(quoted) = value.strip_prefix(b"\"") {
        state.set(V::MultipartBoundaryQuoted, b"1");
        quoted.get(..memchr::memchr(b'"', quoted)?)?
    } else {
        let end = value.iter().position(|byte| matches!(byte, b';' | b',') || byte.is_ascii_whitespace());
        value.get(..end.unwrap_or(value.len()))?
    };
    (!found.is_empty() && found.len() <= 200).then(|| [b"--", found].concat())
}

fn parts(rules: &Rules, body: &[u8], delimiter: &[u8], state: &mut State) -> Result<(), &'static str> {
    let mut part: Option<Part<'_>> = None;
    let (mut seen, mut ended, mut lf, mut crlf, mut at) = (0_usize, false, false, false, 0);
    while at < body.len() {
        let rest = body.get(at..).unwrap_or_default();
        let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let whole = rest.get(..length).unwrap_or_default();
        let line = whole.strip_suffix(b"\n").unwrap_or(whole);
        let (line, has_cr) = line.strip_suffix(b"\r").map_or((line, false), |line| (line, true));
        let from = at;
        at += length;
        let is_content = part.as_ref().is_some_and(|part| !part.in_headers);
        if let Some(tail) = line.strip_prefix(delimiter).filter(|_| !ended) {
            let tail = tail.trim_ascii_end();
            if tail.is_empty() || tail == b"--" {
                note_line(whole, has_cr, &mut lf, &mut crlf);
                if let Some(done) = part.take() {
                    finish(rules, done, state)?;
                }
                ended = !tail.is_empty();
                seen += 1;
                if !ended {
                    part = Some(Part { in_headers: true, from: at, to: at, body, ..Part::default() });
                }
                continue;
            }
            state.set(V::MultipartUnmatchedBoundary, b"1");
        } else if line.starts_with(b"--")
            && is_content
            && state.list(V::MultipartUnmatchedBoundary).first().is_none_or(|e| state.texts.bytes(e.value) == b"0")
        {
            // A line that looks like a boundary: worth noting, not an error by itself.
            state.set(V::MultipartUnmatchedBoundary, b"2");
        }
        match &mut part {
            Some(part) if part.in_headers => {
                note_line(whole, has_cr, &mut lf, &mut crlf);
                header(part, line, at, state);
            }
            Some(part) => part.to = (from + line.len()).max(part.from),
            None if ended && !line.trim_ascii().is_empty() => state.set(V::MultipartDataAfter, b"1"),
            None if !ended && !line.is_empty() => state.set(V::MultipartDataBefore, b"1"),
            None => {}
        }
    }
    if lf {
        state.set(V::MultipartLfLine, b"1");
    }
    if lf && crlf {
        state.set(V::MultipartCrlfLfLines, b"1");
    }
    if let Some(open) = part.take() {
        finish(rules, open, state)?;
    }
    match (seen, ended) {
        (0, _) => Err(NO_PART),
        (_, false) => Err(NO_END),
        _ => Ok(()),
    }
}

fn note_line(whole: &[u8], has_cr: bool, lf: &mut bool, crlf: &mut bool) {
    *crlf |= has_cr;
    *lf |= !has_cr && whole.ends_with(b"\n");
}

/// Takes a line of a part's head; the empty one ends it.
fn header(part: &mut Part<'_>, line: &[u8], next: usize, state: &mut State) {
    if line.is_empty() {
        part.in_headers = false;
        (part.from, part.to) = (next, next);
        return;
    }
    if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
        state.set(V::MultipartHeaderFolding, b"1");
        match part.headers.last_mut() {
            Some(last) => last.extend_from_slice(line),
            None => {
                state.set(V::MultipartInvalidHeaderFolding, b"1");
                part.headers.push(line.to_vec());
            }
        }
        return;
    }
    if memchr::memchr(b':', line).is_none() {
        state.set(V::MultipartInvalidPart, b"1");
    }
    part.headers.push(line.to_vec());
}

/// Adds what a part holds.
fn finish(rules: &Rules, part: Part<'_>, state: &mut State) -> Result<(), &'static str> {
    let mut disposition = Disposition::default();
    for line in &part.headers {
        let at = memchr::memchr(b':', line).unwrap_or(line.len());
        if line.get(..at).unwrap_or_default().trim_ascii().eq_ignore_ascii_case(b"content-disposition") {
            disposition = Disposition::read(line.get(at + 1..).unwrap_or_default(), state);
        }
    }
    let name = disposition.name.as_ref().map(|name| state.texts.keep(name));
    for line in &part.headers {
        let line = state.texts.keep(line);
        state.push(V::MultipartPartHeaders, name.unwrap_or(EMPTY), line);
    }
    let Some(name) = name else {
        state.set(V::MultipartInvalidPart, b"1");
        return Ok(());
    };
    if part.in_headers {
        state.set(V::MultipartInvalidPart, b"1");
    }
    state.push(V::MultipartName, name, name);
    let content = part.body.get(part.from..part.to).unwrap_or_default();
    match disposition.file {
        None => {
            let value = state.texts.keep(content);
            super::argument(state, rules.configuration.arguments, name, value)
        }
        Some(file) => {
            if state.list(V::Files).len() >= rules.configuration.files {
                state.set(V::MultipartFileLimitExceeded, b"1");
                return Err(TOO_MANY);
            }
            let file = state.texts.keep(&file);
            let size = state.texts.keep_number(i64::try_from(content.len()).unwrap_or(i64::MAX));
            add_file(rules, state, name, file, size, content);
            Ok(())
        }
    }
}

fn add_file(rules: &Rules, state: &mut State, name: TextId, file: TextId, size: TextId, content: &[u8]) {
    state.push(V::Files, name, file);
    state.push(V::FilesSizes, name, size);
    state.push(V::MultipartFilename, name, file);
    state.push(V::FilesTmpNames, name, file);
    if rules.use_of(V::FilesTmpContent) {
        let content = state.texts.keep(content);
        state.push(V::FilesTmpContent, name, content);
    }
}

/// `form-data; name="a"; filename="b"`
#[derive(Default)]
struct Disposition {
    name: Option<Vec<u8>>,
    file: Option<Vec<u8>>,
}

impl Disposition {
    fn read(text: &[u8], state: &mut State) -> Self {
        let mut out = Self::default();
        let mut rest = match memchr::memchr(b';', text) {
            Some(at) => text.get(at + 1..).unwrap_or_default(),
            None => return out,
        };
        loop {
            rest = rest.trim_ascii_start();
            if rest.is_empty() {
                return out;
            }
            let end = rest.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(rest.len());
            let key = rest.get(..end).unwrap_or_default().trim_ascii().to_ascii_lowercase();
            rest = rest.get(end..).unwrap_or_default();
            let Some(after) = rest.strip_prefix(b"=") else {
                state.set(V::MultipartInvalidPart, b"1");
                rest = rest.get(1..).unwrap_or_default();
                continue;
            };
            let (value, left) = parameter(after.trim_ascii_start(), state);
            let left = left.trim_ascii_start();
            rest = match left.strip_prefix(b";") {
                Some(next) => next,
                None => {
                    if !left.is_empty() {
                        state.set(V::MultipartMissingSemicolon, b"1");
                        state.set(V::MultipartSemicolonMissing, b"1");
                    }
                    left
                }
            };
            let slot = match key.as_slice() {
                b"name" => &mut out.name,
                b"filename" | b"filename*" => &mut out.file,
                _ => continue,
            };
            if slot.is_some() && key != b"filename*" {
                // A server may take either of the two.
                state.set(V::MultipartInvalidPart, b"1");
            }
            *slot = Some(value);
        }
    }
}

fn parameter<'a>(text: &'a [u8], state: &mut State) -> (Vec<u8>, &'a [u8]) {
    let Some(mut rest) = text.strip_prefix(b"\"") else {
        if text.starts_with(b"'") {
            state.set(V::MultipartInvalidQuoting, b"1");
        }
        let end = memchr::memchr(b';', text).unwrap_or(text.len());
        let value = text.get(..end).unwrap_or_default().trim_ascii_end().to_vec();
        return (value, text.get(end..).unwrap_or_default());
    };
    let mut value = Vec::new();
    loop {
        match rest {
            [b'\\', byte @ (b'"' | b'\\'), left @ ..] => {
                value.push(*byte);
                rest = left;
            }
            [b'"', left @ ..] => return (value, left),
            [byte, left @ ..] => {
                value.push(*byte);
                rest = left;
            }
            [] => {
                state.set(V::MultipartInvalidQuoting, b"1");
                return (value, rest);
            }
        }
    }
}
