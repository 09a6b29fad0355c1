//! XML bodies to `XML:/*` (all character data) and `XML://@*` (each attribute's value).
//!
//! Never: document types, entities beyond the five of XML 1.0 section 4.6 and character references. A body that has a
//! document type, is not well-formed in its tags, or is nested too deep is an error, and what was read until there stays.

use crate::Rules;
use crate::state::State;
use crate::variable::Variable;

const MALFORMED: &str = "XML parsing error";
const DOCTYPE: &str = "XML with a document type is not read";
const DEEP: &str = "XML is nested deeper than its limit";
const DEEPEST: usize = 1024;

pub(super) fn read(rules: &Rules, body: &[u8], state: &mut State) -> Result<(), &'static str> {
    if !rules.use_of(Variable::Xml) {
        return Ok(());
    }
    let mut text = Vec::new();
    let mut attributes = Vec::new();
    let read = document(body, &mut text, &mut attributes, rules.configuration.arguments);
    let name = state.texts.keep(b"/*");
    let value = state.texts.keep(&text);
    state.push(Variable::Xml, name, value);
    let name = state.texts.keep(b"//@*");
    for attribute in attributes {
        let value = state.texts.keep(&attribute);
        state.push(Variable::Xml, name, value);
    }
    read
}

fn document(body: &[u8], text: &mut Vec<u8>, attributes: &mut Vec<Vec<u8>>, most: usize) -> Result<(), &'static str> {
    let mut rest = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut open: Vec<&[u8]> = Vec::new();
    let mut elements = 0_usize;
    while let Some(at) = memchr::memchr(b'<', rest) {
        let before = rest.get(..at).unwrap_or_default();
        if open.is_empty() && !before.trim_ascii().is_empty() {
            return Err(MALFORMED);
        }
        if !open.is_empty() {
            decode(before, text);
        }
        rest = rest.get(at + 1..).unwrap_or_default();
        if let Some(inner) = rest.strip_prefix(b"!--") {
            rest = after(inner, b"-->")?.1;
        } else if let Some(inner) = rest.strip_prefix(b"![CDATA[") {
            let (data, left) = after(inner, b"]]>")?;
            text.extend_from_slice(data);
            rest = left;
        } else if rest.starts_with(b"!") {
            return Err(DOCTYPE);
        } else if let Some(inner) = rest.strip_prefix(b"?") {
            rest = after(inner, b"?>")?.1;
        } else if let Some(inner) = rest.strip_prefix(b"/") {
            let (name, left) = after(inner, b">")?;
            if open.pop() != Some(name.trim_ascii()) {
                return Err(MALFORMED);
            }
            rest = left;
        } else {
            elements += 1;
            let name = rest.get(..name_length(rest)).filter(|name| !name.is_empty()).ok_or(MALFORMED)?;
            let (closed, left) = tag(rest.get(name.len()..).unwrap_or_default(), attributes, most)?;
            if !closed {
                open.push(name);
            }
            if open.len() > DEEPEST {
                return Err(DEEP);
            }
            rest = left;
        }
    }
    if elements == 0 || !open.is_empty() || !rest.trim_ascii().is_empty() { Err(MALFORMED) } else { Ok(()) }
}

/// What stands before `end`, and after it.
fn after<'a>(text: &'a [u8], end: &[u8]) -> Result<(&'a [u8], &'a [u8]), &'static str> {
    let at = memchr::memmem::find(text, end).ok_or(MALFORMED)?;
    Ok((text.get(..at).unwrap_or_default(), text.get(at + end.len()..).unwrap_or_default()))
}

fn name_length(text: &[u8]) -> usize {
    let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'=' | b'/' | b'>' | b'<' | b'"' | b'\'');
    text.iter().position(ends).unwrap_or(text.len())
}

/// The attributes of a tag after its name; whether the element is empty, and what follows the tag.
fn tag<'a>(text: &'a [u8], attributes: &mut Vec<Vec<u8>>, most: usize) -> Result<(bool, &'a [u8]), &'static str> {
    let mut rest = text.trim_ascii_start();
    loop {
        if let Some(left) = rest.strip_prefix(b"/>") {
            return Ok((true, left));
        }
        if let Some(left) = rest.strip_prefix(b">") {
            return Ok((false, left));
        }
        let length = name_length(rest);
        let value = rest.get(length..).unwrap_or_default().trim_ascii_start().strip_prefix(b"=").ok_or(MALFORMED)?;
        let (quote, inner) = value.trim_ascii_start().split_first().ok_or(MALFORMED)?;
        if length == 0 || !matches!(quote, b'"' | b'\'') {
            return Err(MALFORMED);
        }
        let (value, left) = after(inner, std::slice::from_ref(quote))?;
        if attributes.len() >= most {
            return Err("too many attributes");
        }
        let mut decoded = Vec::new();
        decode(value, &mut decoded);
        attributes.push(decoded);
        rest = left.trim_ascii_start();
    }
}

/// Character data with its references resolved; an unknown one stays.
fn decode(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        rest = rest.get(at..).unwrap_or_default();
        let end = rest.iter().take(12).position(|byte| *byte == b';');
        let name = end.and_then(|end| rest.get(1..end)).unwrap_or_default();
        match reference(name) {
            Some(c) => {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = rest.get(name.len() + 2..).unwrap_or_default();
            }
            None => {
                out.push(b'&');
                rest = rest.get(1..).unwrap_or_default();
            }
        }
    }
    out.extend_from_slice(rest);
}

fn reference(name: &[u8]) -> Option<char> {
    let number = |digits: &[u8], radix: u32| {
        let text = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
        u32::from_str_radix(text, radix).ok().and_then(char::from_u32)
    };
    match name {
        b"lt" => Some('<'),
        b"gt" => Some('>'),
        b"amp" => Some('&'),
        b"apos" => Some('\''),
        b"quot" => Some('"'),
        [b'#', b'x' | b'X', digits @ ..] => number(digits, 16),
        [b'#', digits @ ..] => number(digits, 10),
        _ => None,
    }
}
