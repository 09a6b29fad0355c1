//! gRPC: the strings of its messages, without a schema.
//!
//! In: length-prefixed messages (gRPC over HTTP/2, "Length-Prefixed-Message") of Protocol Buffers; gRPC-Web has the same, and
//! a form of it in base64. Out: each text as an
//! argument `grpc.FIELD.FIELD`. What can be read both as a text and as a message inside of one is read as both.

use crate::Rules;
use crate::state::State;
use crate::transform::Transformation;
use crate::variable::Variable;

const MALFORMED: &str = "gRPC framing error";
const DEEPEST: usize = 24;

pub(super) fn read(rules: &Rules, limit: usize, body: &[u8], state: &mut State) -> Result<(), &'static str> {
    let coding = {
        let named = |name: &[u8]| name.eq_ignore_ascii_case(b"grpc-encoding");
        let entry = state.list(Variable::RequestHeaders).iter().find(|entry| named(state.texts.bytes(entry.name)));
        entry.map(|entry| state.texts.bytes(entry.value).to_vec()).unwrap_or_default()
    };
    let text = is_text(super::media_type(state.texts.bytes(state.content_type))).then(|| from_base64(body));
    let decoded = text.transpose()?;
    let mut rest = decoded.as_deref().unwrap_or(body);
    while let [flag, a, b, c, d, after @ ..] = rest {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let message = after.get(..length).ok_or(MALFORMED)?;
        rest = after.get(length..).unwrap_or_default();
        match (
            flag,
            if *flag == 1 {
                super::coding::decode(&coding, message, limit, super::coding::Beyond::Refuse)
            } else {
                None
            },
        ) {
            (1, Some(decoded)) => one(rules, &decoded?, state)?,
            (0, _) => one(rules, message, state)?,
            _ => return Err(MALFORMED),
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(MALFORMED) }
}

/// One message: JSON, as some services have it, else Protocol Buffers.
fn one(rules: &Rules, message: &[u8], state: &mut State) -> Result<(), &'static str> {
    let is_json = matches!(message.trim_ascii_start().first(), Some(b'{' | b'['));
    if is_json && super::json::read(rules, message.to_vec(), state).is_ok() {
        return Ok(());
    }
    fields(message, &mut b"grpc".to_vec(), 0, rules.configuration.arguments, state)
}

/// Whether a media type is that of gRPC, in whatever format: a server that does not know it takes it for its usual one.
pub(super) fn is_plain(media: &[u8]) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let named = media.get(..GRPC.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC));
    named && matches!(media.get(GRPC.len()), None | Some(b'+'))
}

/// Whether a media type is that of gRPC-Web with Protocol Buffers.
pub(super) fn is_web(media: &[u8]) -> bool {
    const WEB: [&[u8]; 2] = [b"application/grpc-web", b"application/grpc-web+proto"];
    is_text(media) || WEB.iter().any(|known| media.eq_ignore_ascii_case(known))
}

fn is_text(media: &[u8]) -> bool {
    const TEXT: [&[u8]; 2] = [b"application/grpc-web-text", b"application/grpc-web-text+proto"];
    TEXT.iter().any(|known| media.eq_ignore_ascii_case(known))
}

/// gRPC-Web's text: base64 that may be padded after any of its parts.
fn from_base64(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let (mut out, mut part) = (Vec::with_capacity(text.len() / 4 * 3), Vec::new());
    for four in text.chunks(4) {
        let padding = four.iter().rev().take_while(|byte| **byte == b'=').count();
        Transformation::Base64Decode.apply(four, &mut part);
        if four.len() != 4 || part.len() + padding != 3 {
            return Err(MALFORMED);
        }
        out.extend_from_slice(&part);
    }
    Ok(out)
}

/// Adds the texts of a message. What is no message is taken for one text.
fn fields(
    message: &[u8],
    name: &mut Vec<u8>,
    depth: usize,
    most: usize,
    state: &mut State,
) -> Result<(), &'static str> {
    if depth == 0 && !is_message(message) {
        return text(message, name, most, state);
    }
    let own = name.len();
    let mut rest = message;
    while let Some((field, value, left)) = field(rest) {
        rest = left;
        let Some(value) = value else { continue };
        name.push(b'.');
        crate::transform::shape::number(usize::try_from(field).unwrap_or(usize::MAX), name);
        let is_text = std::str::from_utf8(value).is_ok();
        if is_text || depth >= DEEPEST {
            text(value, name, most, state)?;
        }
        let plain = is_text && !value.iter().any(|byte| *byte < 32 && !byte.is_ascii_whitespace());
        if !plain && depth < DEEPEST && is_message(value) {
            fields(value, name, depth + 1, most, state)?;
        }
        name.truncate(own);
    }
    Ok(())
}

fn text(value: &[u8], name: &[u8], most: usize, state: &mut State) -> Result<(), &'static str> {
    let (name, value) = (state.texts.keep(name), state.texts.keep(value));
    super::argument(state, most, name, value)
}

fn is_message(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        match field(rest) {
            Some((_, _, left)) => rest = left,
            None => return false,
        }
    }
    !bytes.is_empty()
}

/// A field number, its content when it is delimited by its length, and what follows.
type Field<'a> = (u64, Option<&'a [u8]>, &'a [u8]);

fn field(bytes: &[u8]) -> Option<Field<'_>> {
    let (key, rest) = varint(bytes)?;
    let number = key >> 3;
    if number == 0 {
        return None;
    }
    match key & 7 {
        0 => varint(rest).map(|(_, left)| (number, None, left)),
        1 => Some((number, None, rest.get(8..)?)),
        2 => {
            let (length, rest) = varint(rest)?;
            let (value, left) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            Some((number, Some(value), left))
        }
        5 => Some((number, None, rest.get(4..)?)),
        _ => None,
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * index as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}
