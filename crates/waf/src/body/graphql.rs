//! GraphQL over JSON: the document's strings are arguments, its syntax is not.
//!
//! In: the arguments of a JSON body whose `query` members are GraphQL documents (GraphQL 2021, section 2, lexical grammar).
//! Out: each string literal as `graphql.string`, the deepest nesting as `graphql.depth`, the number of names as
//! `graphql.names`, so that rules can limit them. Variables are JSON arguments already. Never: types, a schema.

use crate::state::{Entry, State};
use crate::transform::shape;
use crate::variable::Variable;

const MALFORMED: &str = "GraphQL parsing error";

/// What a document holds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Document {
    strings: Vec<Vec<u8>>,
    depth: usize,
    names: usize,
}

/// Adds what the documents of a body hold.
pub(super) fn read(most: usize, state: &mut State) -> Result<(), &'static str> {
    let is_query = |entry: &&Entry| {
        let name = state.texts.bytes(entry.name);
        name == b"json.query" || name.starts_with(b"json.array_") && name.ends_with(b".query")
    };
    let found: Vec<Entry> =
        state.list(Variable::Args).iter().skip(state.from_query).filter(is_query).copied().collect();
    for entry in found {
        let document = document(state.texts.bytes(entry.value)).ok_or(MALFORMED)?;
        let name = state.texts.keep(b"graphql.string");
        for string in &document.strings {
            let value = state.texts.keep(string);
            super::argument(state, most, name, value)?;
        }
        for (name, number) in [(&b"graphql.depth"[..], document.depth), (b"graphql.names", document.names)] {
            let mut digits = Vec::new();
            shape::number(number, &mut digits);
            let (name, value) = (state.texts.keep(name), state.texts.keep(&digits));
            super::argument(state, most, name, value)?;
        }
    }
    Ok(())
}

/// Reads the tokens of a document; `None` when a token or the nesting is wrong.
fn document(text: &[u8]) -> Option<Document> {
    let mut out = Document::default();
    let mut open = Vec::new();
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            b'#' => {
                let end = after.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(after.len());
                // A comment reaches a server that logs it: it is looked at like a string.
                out.strings.push(after.get(..end)?.to_vec());
                after.get(end..)?
            }
            b'"' => string(rest, &mut out)?,
            b'{' | b'(' | b'[' => {
                open.push(*first);
                out.depth = out.depth.max(open.len());
                after
            }
            b'}' | b')' | b']' => {
                let pair = [open.pop()?, *first];
                if !matches!(&pair, b"{}" | b"()" | b"[]") {
                    return None;
                }
                after
            }
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                out.names += 1;
                let inside = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
                after.get(after.iter().position(|byte| !inside(byte)).unwrap_or(after.len())..)?
            }
            b'0'..=b'9' | b'-' | b'+' | b'.' | b'$' | b'!' | b'&' | b':' | b'=' | b'@' | b'|' => after,
            b' ' | b'\t' | b'\n' | b'\r' | b',' => after,
            // A byte order mark.
            0xef => after.strip_prefix(b"\xbb\xbf")?,
            _ => return None,
        };
    }
    (open.is_empty() && out.names > 0).then_some(out)
}

/// A string at the begin of `text`; what follows it.
fn string<'a>(text: &'a [u8], out: &mut Document) -> Option<&'a [u8]> {
    if let Some(block) = text.strip_prefix(b"\"\"\"") {
        let mut search = 0;
        loop {
            let end = search + memchr::memmem::find(block.get(search..)?, b"\"\"\"")?;
            if end > 0 && block.get(end - 1) == Some(&b'\\') {
                search = end + 3;
                continue;
            }
            out.strings.push(block.get(..end)?.to_vec());
            return block.get(end + 3..);
        }
    }
    let inner = text.get(1..)?;
    let mut escaped = false;
    let end = inner.iter().position(|byte| {
        let ends = matches!(byte, b'"' | b'\n') && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })?;
    if inner.get(end) != Some(&b'"') {
        return None;
    }
    let mut decoded = Vec::new();
    crate::transform::Transformation::JsDecode.apply(inner.get(..end)?, &mut decoded);
    out.strings.push(decoded);
    inner.get(end + 1..)
}

#[cfg(test)]
mod tests {
    use super::document;

    #[test]
    fn documents() {
        let strings = |text: &str| {
            document(text.as_bytes()).map(|found| {
                found.strings.iter().map(|string| String::from_utf8_lossy(string).into_owned()).collect::<Vec<_>>()
            })
        };
        assert_eq!(
            strings("{ a(b: \"x\\\"y\", c: \"\"\"z \"q\" \"\"\") { d } } # e"),
            Some(["x\"y", "z \"q\" ", " e"].map(String::from).to_vec())
        );
        assert_eq!(strings("query Q($a: [Int!] = [1]) { a @skip(if: $b) ...F }"), Some(Vec::new()));
        assert_eq!(document(b"{ a { b { c } } }").unwrap().depth, 3);
        for wrong in ["{ a", "{ a )", "a ' or 1", "{ \"x }", "", "\"x\""] {
            assert_eq!(strings(wrong), None, "{wrong}");
        }
    }
}
