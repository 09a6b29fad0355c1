//! The lines of a head: where each one ends, and what a field line says (RFC 9112 sections 2.2 and 5).

use super::{Settings, Underscores};
use crate::{fault, octets, read};
use bytes::Bytes;
use ringwall_model::{Fault, Field, Fields};

/// A head cut into its first line and the rest.
pub struct Lines {
    /// The first line without its end.
    pub first: Bytes,
    /// Where the second line begins.
    pub rest: usize,
}

impl Lines {
    pub fn of(head: &Bytes, faults: &mut Vec<Fault>) -> Self {
        let begin = read::leading_blank(head);
        let rest = head.get(begin..).unwrap_or_default();
        let (line, taken) = cut(rest, faults);
        Self { first: head.slice(begin..begin + line.len()), rest: begin + taken }
    }
}

/// The field lines up to the empty one. A line that is not a field is noted and left out.
pub fn read(head: &Bytes, lines: &Lines, settings: &Settings, faults: &mut Vec<Fault>) -> Fields {
    let mut fields = Vec::with_capacity(16);
    let mut at = lines.rest;
    let mut count = 0_usize;
    while let Some(rest) = head.get(at..).filter(|rest| !rest.is_empty()) {
        let (line, taken) = cut(rest, faults);
        at += taken;
        if line.is_empty() {
            break;
        }
        count += 1;
        if count > settings.limits.fields {
            fault::note(faults, fault::FIELD_COUNT);
            break;
        }
        if let Some((name, value)) = field(line, faults) {
            let underscored = settings.underscores != Underscores::Keep && name.contains(&b'_');
            match settings.underscores {
                Underscores::Drop if underscored => continue,
                Underscores::Refuse if underscored => fault::note(faults, fault::UNDERSCORE),
                _ => {}
            }
            fields.push(Field { name: head.slice_ref(name), value: head.slice_ref(value) });
        }
    }
    Fields(fields)
}

/// The first line of `rest` without its end, and how many bytes it takes with its end.
fn cut<'a>(rest: &'a [u8], faults: &mut Vec<Fault>) -> (&'a [u8], usize) {
    let Some(end) = memchr::memchr(b'\n', rest) else {
        return (rest, rest.len());
    };
    let line = rest.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or_else(|| {
        fault::note(faults, fault::BARE_LF);
        line
    });
    if memchr::memchr(b'\r', line).is_some() {
        fault::note(faults, fault::BARE_CR);
    }
    (line, end + 1)
}

/// Name and value of a field line; the parts are noted when they hold what they may not.
fn field<'a>(line: &'a [u8], faults: &mut Vec<Fault>) -> Option<(&'a [u8], &'a [u8])> {
    if let [b' ' | b'\t', ..] = line {
        fault::note(faults, fault::OBS_FOLD);
        return None;
    }
    let Some(colon) = memchr::memchr(b':', line) else {
        fault::note(faults, fault::FIELD_NAME);
        return None;
    };
    let (sent, value) = (line.get(..colon)?, octets::trim(line.get(colon + 1..)?));
    let name = octets::trim(sent);
    if name.len() != sent.len() {
        fault::note(faults, fault::SPACE_BEFORE_COLON);
    }
    if !octets::is_token(name) {
        fault::note(faults, fault::FIELD_NAME);
    }
    if !octets::is_value(value) {
        // CR has its own name already.
        if value.contains(&0) {
            fault::note(faults, fault::NUL);
        } else if value.iter().any(|octet| octet.is_ascii_control() && !matches!(octet, b'\t' | b'\r')) {
            fault::note(faults, fault::CONTROL);
        }
    }
    Some((name, value))
}
