//! `application/x-www-form-urlencoded`, of query strings and bodies.

use crate::state::State;
use crate::text::TextId;
use crate::transform::Transformation;
use crate::variable::Variable as V;

/// Adds the arguments of a text. Escapes that are broken stay as they are and set `URLENCODED_ERROR`.
pub(crate) fn read(separator: u8, most: usize, text: &[u8], state: &mut State) {
    if text.is_empty() {
        return;
    }
    if crate::operator::validate::bad_url_encoding(text) {
        state.set(V::UrlencodedError, b"1");
    }
    let mut buffer = std::mem::take(&mut state.scratch);
    for pair in text.split(|byte| *byte == separator) {
        if pair.is_empty() {
            continue;
        }
        let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let name = decoded(pair.get(..at).unwrap_or_default(), &mut buffer, state);
        let value = decoded(pair.get(at + 1..).unwrap_or_default(), &mut buffer, state);
        if super::argument(state, most, name, value).is_err() {
            super::fault(state, "too many arguments");
            break;
        }
    }
    state.scratch = buffer;
}

fn decoded(text: &[u8], buffer: &mut Vec<u8>, state: &mut State) -> TextId {
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return state.texts.keep(text);
    }
    Transformation::UrlDecode.apply(text, buffer);
    state.texts.keep(buffer)
}

/// Undoes `%HH` of a path, where `+` is a plus.
pub(crate) fn decode_path(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        match (first, after) {
            (b'%', [high, low, left @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
                out.push(digit(*high) << 4 | digit(*low));
                rest = left;
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
}
