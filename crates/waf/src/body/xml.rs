//! XML bodies to `XML:/*` (all character data), `XML://@*` (each attribute's value) and what other paths of rules name.
//!
//! Never: document types, entities beyond the five of XML 1.0 section 4.6 and character references. A body that has a
//! document type, is not well-formed in its tags, or is nested too deep is an error, and what was read until there stays.

pub(crate) mod path;

use crate::Rules;
use crate::state::State;
use crate::variable::Variable;
use path::{Name, Path, Reach};

const MALFORMED: &str = "XML parsing error";
const DOCTYPE: &str = "XML with a document type is not read";
const ENCODING: &str = "XML in an encoding that is not read";
const DEEP: &str = "XML is nested deeper than its limit";
const DEEPEST: usize = 1024;

/// So many times the body's bytes may be looked at as values of nested elements.
const TIMES: usize = 8;
/// So many bindings of prefixes may hold at once.
const BINDINGS: usize = 256;
const COSTLY: &str = "XML whose elements are looked at too often";

pub(super) fn read(rules: &Rules, body: &[u8], state: &mut State) -> Result<(), &'static str> {
    if !rules.use_of(Variable::Xml) {
        return Ok(());
    }
    let mut reading = Reading {
        text: Vec::new(),
        attributes: Vec::new(),
        most: rules.configuration.arguments,
        open: Vec::new(),
        bindings: Vec::new(),
        paths: &rules.paths,
        found: Vec::new(),
        budget: body.len().saturating_mul(TIMES),
    };
    let mut read = reading.document(body);
    // What a broken document left open is looked at too.
    while let Some(element) = reading.open.pop() {
        read = read.and(reading.close(&element));
    }
    let Reading { text, attributes, found, .. } = reading;
    let name = state.texts.keep(b"/*");
    let whole = state.texts.keep(&text);
    state.push(Variable::Xml, name, whole);
    let name = state.texts.keep(b"//@*");
    for attribute in attributes {
        let value = state.texts.keep(&attribute);
        state.push(Variable::Xml, name, value);
    }
    for (path, value) in found {
        let name = rules.paths.get(path).map_or(&b""[..], |(name, _)| name.as_bytes());
        let name = state.texts.keep(name);
        let value = match value {
            Found::Text(from, to) => state.texts.keep_part(whole, from, to),
            Found::Attribute(value) => state.texts.keep(&value),
        };
        state.push(Variable::Xml, name, value);
    }
    read
}

/// Whether what an XML declaration says of the encoding leaves ASCII as it is (XML 1.0 section 4.3.3). In others, such as
/// UTF-7, a server would read something else.
fn is_read(instruction: &[u8]) -> bool {
    const READ: [&[u8]; 7] =
        [b"utf-8", b"utf8", b"us-ascii", b"iso-8859-1", b"iso-8859-15", b"windows-1252", b"latin1"];
    let Some(declared) =
        instruction.strip_prefix(b"xml").filter(|rest| rest.first().is_some_and(u8::is_ascii_whitespace))
    else {
        return true;
    };
    let lower = declared.to_ascii_lowercase();
    let Some(at) = memchr::memmem::find(&lower, b"encoding") else { return true };
    let mut quoted = lower.get(at..).unwrap_or_default().split(|byte| matches!(byte, b'"' | b'\'')).skip(1);
    quoted.next().is_some_and(|name| READ.contains(&name))
}

/// What a path names.
enum Found {
    /// A part of the document's text.
    Text(usize, usize),
    Attribute(Vec<u8>),
}

/// An element that is open.
struct Element<'a> {
    name: &'a [u8],
    /// Where its text begins.
    from: usize,
    /// How far each path has come.
    reach: Vec<Reach>,
    /// How many bindings hold around it.
    bindings: usize,
}

struct Reading<'a> {
    text: Vec<u8>,
    attributes: Vec<Vec<u8>>,
    most: usize,
    open: Vec<Element<'a>>,
    /// Prefixes (empty: the default) with their URIs, the innermost last.
    bindings: Vec<(&'a [u8], Vec<u8>)>,
    paths: &'a [(Box<str>, Path)],
    found: Vec<(usize, Found)>,
    budget: usize,
}

impl<'a> Reading<'a> {
    fn document(&mut self, body: &'a [u8]) -> Result<(), &'static str> {
        let mut rest = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let mut elements = 0_usize;
        while let Some(at) = memchr::memchr(b'<', rest) {
            let before = rest.get(..at).unwrap_or_default();
            if self.open.is_empty() && !before.trim_ascii().is_empty() {
                return Err(MALFORMED);
            }
            if !self.open.is_empty() {
                let from = self.text.len();
                decode(before, &mut self.text);
                self.direct(from)?;
            }
            rest = rest.get(at + 1..).unwrap_or_default();
            if let Some(inner) = rest.strip_prefix(b"!--") {
                rest = after(inner, b"-->")?.1;
            } else if let Some(inner) = rest.strip_prefix(b"![CDATA[") {
                let (content, left) = after(inner, b"]]>")?;
                let from = self.text.len();
                self.text.extend_from_slice(content);
                self.direct(from)?;
                rest = left;
            } else if rest.starts_with(b"!") {
                return Err(DOCTYPE);
            } else if let Some(inner) = rest.strip_prefix(b"?") {
                let (inner, left) = after(inner, b"?>")?;
                if !is_read(inner) {
                    return Err(ENCODING);
                }
                rest = left;
            } else if let Some(inner) = rest.strip_prefix(b"/") {
                let (name, left) = after(inner, b">")?;
                let element = self.open.pop().ok_or(MALFORMED)?;
                self.close(&element)?;
                if element.name != name.trim_ascii() {
                    return Err(MALFORMED);
                }
                rest = left;
            } else {
                elements += 1;
                rest = self.begin(rest)?;
            }
        }
        let whole = elements > 0 && self.open.is_empty() && rest.trim_ascii().is_empty();
        if whole { Ok(()) } else { Err(MALFORMED) }
    }

    /// Reads a tag from its name on; what follows it.
    fn begin(&mut self, rest: &'a [u8]) -> Result<&'a [u8], &'static str> {
        let name = rest.get(..name_length(rest)).filter(|name| !name.is_empty()).ok_or(MALFORMED)?;
        let mut own = Vec::new();
        let room = self.most.saturating_sub(self.attributes.len());
        let (closed, left) = tag(rest.get(name.len()..).unwrap_or_default(), &mut own, room)?;
        let bindings = self.bindings.len();
        if !self.paths.is_empty() {
            for (name, value) in &own {
                let prefix = if *name == b"xmlns" { Some(&b""[..]) } else { name.strip_prefix(b"xmlns:") };
                self.bindings.extend(prefix.map(|prefix| (prefix, value.clone())));
            }
            if self.bindings.len() > BINDINGS {
                return Err("too many XML namespaces");
            }
        }
        let around = self.open.last();
        let split = qualified(&self.bindings, name, Bare::Default);
        let reach: Vec<Reach> = self
            .paths
            .iter()
            .enumerate()
            .map(|(index, (_, path))| {
                let around = around.and_then(|element| element.reach.get(index)).copied();
                path.step(around.unwrap_or(Reach::START), split)
            })
            .collect();
        for (index, (_, path)) in self.paths.iter().enumerate() {
            let Some(reach) = reach.get(index).copied() else { continue };
            for (name, value) in &own {
                if path.is_attribute(reach, qualified(&self.bindings, name, Bare::Nowhere)) {
                    spend(&mut self.budget, value.len())?;
                    self.found.push((index, Found::Attribute(value.clone())));
                }
            }
        }
        self.attributes.extend(own.into_iter().map(|(_, value)| value));
        let element = Element { name, from: self.text.len(), reach, bindings };
        if closed {
            self.close(&element)?;
        } else {
            self.open.push(element);
        }
        if self.open.len() > DEEPEST { Err(DEEP) } else { Ok(left) }
    }

    /// Text that stands directly in the innermost element, from there on.
    fn direct(&mut self, from: usize) -> Result<(), &'static str> {
        let to = self.text.len();
        let Some(element) = self.open.last().filter(|_| from < to) else { return Ok(()) };
        for (index, (_, path)) in self.paths.iter().enumerate() {
            if element.reach.get(index).is_some_and(|reach| path.is_text(*reach)) {
                spend(&mut self.budget, to - from)?;
                self.found.push((index, Found::Text(from, to)));
            }
        }
        Ok(())
    }

    /// The element has ended: it is a value of the paths that name it.
    fn close(&mut self, element: &Element<'_>) -> Result<(), &'static str> {
        self.bindings.truncate(element.bindings);
        for (index, (_, path)) in self.paths.iter().enumerate() {
            if element.reach.get(index).is_some_and(|reach| path.is_element(*reach)) {
                spend(&mut self.budget, self.text.len() - element.from)?;
                self.found.push((index, Found::Text(element.from, self.text.len())));
            }
        }
        Ok(())
    }
}

/// A value costs its bytes and one more.
fn spend(budget: &mut usize, bytes: usize) -> Result<(), &'static str> {
    *budget = budget.checked_sub(bytes + 1).ok_or(COSTLY)?;
    Ok(())
}

/// Which namespace a name without a prefix has: the default one for elements, none for attributes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bare {
    Default,
    Nowhere,
}

/// A name's namespace and local part (Namespaces in XML 1.0, section 6).
fn qualified<'b>(bindings: &'b [(&[u8], Vec<u8>)], name: &'b [u8], bare: Bare) -> Name<'b> {
    let (prefix, local) = match memchr::memchr(b':', name) {
        Some(at) => (name.get(..at).unwrap_or_default(), name.get(at + 1..).unwrap_or_default()),
        None => (&b""[..], name),
    };
    if prefix.is_empty() && bare == Bare::Nowhere {
        return (b"", local);
    }
    let bound = bindings.iter().rev().find(|(known, _)| *known == prefix);
    (bound.map_or(&b""[..], |(_, uri)| uri), local)
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
fn tag<'a>(
    text: &'a [u8],
    attributes: &mut Vec<(&'a [u8], Vec<u8>)>,
    most: usize,
) -> Result<(bool, &'a [u8]), &'static str> {
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
        attributes.push((rest.get(..length).unwrap_or_default(), decoded));
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

#[cfg(test)]
mod tests;
