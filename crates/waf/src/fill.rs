//! Heads to variables.
//!
//! In: request and response heads. Out: entries of the [`State`]. Only variables that some rule looks at are filled.

use crate::Rules;
use crate::body::{self, Processor, urlencoded};
use crate::state::State;
use crate::text::{EMPTY, TextId};
use crate::transaction::{RequestHead, ResponseHead};
use crate::variable::Variable as V;
use std::fmt::Write;

pub(crate) fn request<'a>(
    rules: &Rules,
    state: &mut State,
    head: &RequestHead<'_>,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) {
    for zero in ZEROES {
        if rules.use_of(zero) {
            state.set(zero, b"0");
        }
    }
    state.set(V::RequestLine, head.line);
    state.set(V::RequestMethod, head.method);
    state.set(V::RequestProtocol, head.protocol);
    target(rules, state, head.target);
    ends(rules, state, head);
    if rules.use_of(V::UniqueId) {
        state.set(V::UniqueId, head.id.as_bytes());
    }
    for (name, value) in fields {
        let (name, text) = (state.texts.keep(name), state.texts.keep(value));
        field(state, name, text, value);
    }
    times(rules, state);
    let media = body::media_type(state.texts.bytes(state.content_type));
    let processor = Processor::of(media);
    state.processor = processor;
    state.set(V::ReqbodyProcessor, processor.name().as_bytes());
}

/// Flags that are 0 until something goes wrong.
#[rustfmt::skip]
const ZEROES: [V; 21] = [
    V::InboundDataError, V::MscPcreLimitsExceeded, V::MultipartBoundaryQuoted, V::MultipartBoundaryWhitespace,
    V::MultipartCrlfLfLines, V::MultipartDataAfter, V::MultipartDataBefore, V::MultipartFileLimitExceeded,
    V::MultipartHeaderFolding, V::MultipartInvalidHeaderFolding, V::MultipartInvalidPart, V::MultipartInvalidQuoting,
    V::MultipartLfLine, V::MultipartMissingSemicolon, V::MultipartSemicolonMissing, V::MultipartStrictError,
    V::MultipartUnmatchedBoundary, V::OutboundDataError, V::ReqbodyError, V::ReqbodyProcessorError, V::UrlencodedError,
];

/// Scheme and authority of an absolute target are no part of `REQUEST_URI`.
fn target(rules: &Rules, state: &mut State, target: &[u8]) {
    let raw = state.texts.keep(target);
    state.set_text(V::RequestUriRaw, raw);
    let skip = memchr::memmem::find(target, b"://")
        .filter(|at| target.get(..*at).unwrap_or_default().iter().all(u8::is_ascii_alphabetic) && *at > 0)
        .map(|at| {
            let rest = target.get(at + 3..).unwrap_or_default();
            at + 3 + rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len())
        });
    let uri = state.texts.keep_part(raw, skip.unwrap_or(0), target.len());
    state.set_text(V::RequestUri, uri);
    let rest = target.get(skip.unwrap_or(0)..).unwrap_or_default();
    let fragmentless = rest.len();
    let question = memchr::memchr(b'?', rest).unwrap_or(fragmentless);
    let query = rest.get(question + 1..).unwrap_or_default();
    state.set(V::QueryString, query);
    let encoded = rest.get(..question).unwrap_or_default();
    let file = if memchr::memchr(b'%', encoded).is_some() {
        let mut path = std::mem::take(&mut state.scratch);
        path.clear();
        urlencoded::decode_path(encoded, &mut path);
        let kept = state.texts.keep(&path);
        state.scratch = path;
        kept
    } else {
        state.texts.keep(encoded)
    };
    state.set_text(V::RequestFilename, file);
    if rules.use_of(V::PathInfo) {
        state.set_text(V::PathInfo, file);
    }
    let bytes = state.texts.bytes(file);
    let start = bytes.iter().rposition(|byte| matches!(byte, b'/' | b'\\')).map_or(0, |at| at + 1);
    let length = bytes.len();
    let base = state.texts.keep_part(file, start, length);
    state.set_text(V::RequestBasename, base);
    urlencoded::read(rules.configuration.separator, rules.configuration.arguments, query, state);
    state.from_query = state.list(V::Args).len();
}

fn ends(rules: &Rules, state: &mut State, head: &RequestHead<'_>) {
    let mut text = std::mem::take(&mut state.scratch);
    let mut put = |state: &mut State, variable: V, value: &dyn std::fmt::Display| {
        if rules.use_of(variable) {
            text.clear();
            let mut line = Line(&mut text);
            // Writing to memory does not fail.
            let _ = write!(line, "{value}");
            state.set(variable, &text);
        }
    };
    put(state, V::RemoteAddr, &head.client.ip().to_canonical());
    put(state, V::RemoteHost, &head.client.ip().to_canonical());
    put(state, V::RemotePort, &head.client.port());
    put(state, V::ServerAddr, &head.server.ip().to_canonical());
    put(state, V::ServerPort, &head.server.port());
    state.scratch = text;
}

struct Line<'a>(&'a mut Vec<u8>);

impl Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

fn field(state: &mut State, name: TextId, text: TextId, value: &[u8]) {
    state.push(V::RequestHeaders, name, text);
    let bytes = state.texts.bytes(name);
    if bytes.eq_ignore_ascii_case(b"cookie") {
        cookies(state, value);
    } else if bytes.eq_ignore_ascii_case(b"content-type") && state.content_type == EMPTY {
        state.content_type = text;
    } else if bytes.eq_ignore_ascii_case(b"host") && state.list(V::ServerName).is_empty() {
        let end = value.iter().rposition(|byte| *byte == b':').filter(|_| !value.ends_with(b"]"));
        let name = state.texts.keep_part(text, 0, end.unwrap_or(value.len()));
        state.set_text(V::ServerName, name);
    }
}

/// RFC 6265 section 4.2.1, as servers read it: pairs between semicolons, nothing decoded.
fn cookies(state: &mut State, value: &[u8]) {
    for pair in value.split(|byte| *byte == b';') {
        let start = pair.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(pair.len());
        let pair = pair.get(start..).unwrap_or_default();
        if pair.is_empty() {
            continue;
        }
        let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let name = state.texts.keep(pair.get(..at).unwrap_or_default());
        let text = state.texts.keep(pair.get(at + 1..).unwrap_or_default());
        state.push(V::RequestCookies, name, text);
    }
}

fn times(rules: &Rules, state: &mut State) {
    let seconds = state.now.seconds();
    if rules.use_of(V::TimeEpoch) {
        state.set_number(V::TimeEpoch, seconds);
    }
    if rules.use_of(V::Duration) {
        state.set(V::Duration, b"0");
    }
    let parts = [V::Time, V::TimeDay, V::TimeHour, V::TimeMin, V::TimeMon, V::TimeSec, V::TimeWday, V::TimeYear];
    if !parts.iter().any(|part| rules.use_of(*part)) {
        return;
    }
    // 2026-11-23T16:04:12.222Z
    let text = state.now.rfc3339();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default().to_owned();
    let number = |text: String| text.trim_start_matches('0').parse::<u64>().unwrap_or(0);
    state.set(V::Time, part(11, 19).as_bytes());
    state.set_number(V::TimeYear, number(part(0, 4)));
    // Months count from 0, as in ModSecurity.
    state.set_number(V::TimeMon, number(part(5, 7)).saturating_sub(1));
    state.set_number(V::TimeDay, number(part(8, 10)));
    state.set_number(V::TimeHour, number(part(11, 13)));
    state.set_number(V::TimeMin, number(part(14, 16)));
    state.set_number(V::TimeSec, number(part(17, 19)));
    // 1970-01-01 was a Thursday.
    state.set_number(V::TimeWday, (seconds / 86_400 + 4) % 7);
}

pub(crate) fn response<'a>(
    rules: &Rules,
    state: &mut State,
    head: &ResponseHead<'_>,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) {
    state.set_number(V::ResponseStatus, head.status.into());
    state.set(V::ResponseProtocol, head.protocol);
    if rules.use_of(V::StatusLine) {
        let line = [head.protocol, b" ", head.status.to_string().as_bytes()].concat();
        state.set(V::StatusLine, &line);
    }
    state.content_type = EMPTY;
    for (name, value) in fields {
        let (name, text) = (state.texts.keep(name), state.texts.keep(value));
        state.push(V::ResponseHeaders, name, text);
        let bytes = state.texts.bytes(name);
        if bytes.eq_ignore_ascii_case(b"content-type") {
            state.content_type = text;
            state.set_text(V::ResponseContentType, text);
        } else if bytes.eq_ignore_ascii_case(b"content-length") {
            state.set_text(V::ResponseContentLength, text);
        }
    }
}
