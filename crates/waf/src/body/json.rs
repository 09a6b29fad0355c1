//! JSON bodies (RFC 8259) to arguments: `{"a":[1]}` is the argument `json.a.array_0` with the value `1`.
//!
//! One pass with a stack of its own. What is not JSON ends the reading with a reason; what was read until there stays,
//! so that rules see it. Control bytes in strings are read and reported, since lenient servers read them too.

use crate::Rules;
use crate::state::State;
use crate::text::TextId;
use crate::transform::shape;

const MALFORMED: &str = "JSON parsing error";
const DEEP: &str = "JSON is nested deeper than its limit";

/// A member's name as Coraza writes it: `json.a.0` for `json.a.array_0`. Rules may select by either. `None`: it has no index.
pub(crate) fn plain_indices(name: &[u8]) -> Option<Vec<u8>> {
    const INDEX: &[u8] = b".array_";
    let mut at = memchr::memmem::find(name.strip_prefix(b"json")?, INDEX)? + 4;
    let mut out = name.get(..at)?.to_vec();
    let mut rest = name.get(at..)?;
    while !rest.is_empty() {
        let skip = if rest.starts_with(INDEX) && rest.get(INDEX.len()).is_some_and(u8::is_ascii_digit) {
            out.push(b'.');
            INDEX.len()
        } else {
            0
        };
        rest = rest.get(skip..)?;
        at = rest.iter().skip(1).position(|byte| *byte == b'.').map_or(rest.len(), |at| at + 1);
        out.extend_from_slice(rest.get(..at)?);
        rest = rest.get(at..)?;
    }
    Some(out)
}

/// A container that is open.
#[derive(Clone, Copy, Debug)]
enum Open {
    /// Length of the name of the container itself.
    Object(usize),
    /// The same, and the index of its next member.
    Array(usize, u64),
}

struct Reader {
    /// The body, or what is left of it.
    text: Vec<u8>,
    at: usize,
    /// Name of the value that comes next.
    name: Vec<u8>,
    stack: Vec<Open>,
    buffer: Vec<u8>,
    most: usize,
    depth: usize,
    control: bool,
}

/// So much of a body that was read is given back at once: what was read of it takes more than it.
const PIECE: usize = 1 << 15;

pub(super) fn read(rules: &Rules, body: Vec<u8>, state: &mut State) -> Result<(), &'static str> {
    let files = &rules.configuration;
    let mut reader = Reader {
        at: if body.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 },
        text: body,
        name: b"json".to_vec(),
        stack: Vec::new(),
        buffer: Vec::new(),
        most: files.arguments,
        depth: files.json_depth,
        control: false,
    };
    reader.document(state)?;
    if reader.control { Err(MALFORMED) } else { Ok(()) }
}

impl Reader {
    fn document(&mut self, state: &mut State) -> Result<(), &'static str> {
        loop {
            if self.at >= PIECE.max(self.text.len() / 4) {
                self.text.drain(..self.at);
                self.text.shrink_to_fit();
                self.at = 0;
            }
            let mut done = self.value(state)?;
            while done {
                let Some(open) = self.stack.last().copied() else {
                    self.white();
                    return if self.at == self.text.len() { Ok(()) } else { Err(MALFORMED) };
                };
                self.white();
                done = match (self.next(), open) {
                    (Some(b','), Open::Object(length)) => self.key(length)?,
                    (Some(b','), Open::Array(length, index)) => self.element(length, index),
                    (Some(b'}'), Open::Object(length)) => {
                        self.stack.pop();
                        self.name.truncate(length);
                        true
                    }
                    (Some(b']'), Open::Array(length, count)) => {
                        self.stack.pop();
                        self.name.truncate(length);
                        self.count(state, count)?
                    }
                    _ => return Err(MALFORMED),
                };
            }
        }
    }

    /// Reads a scalar (`true`), or opens a container (`false`: a value comes next; `true`: it was empty).
    fn value(&mut self, state: &mut State) -> Result<bool, &'static str> {
        self.white();
        match self.peek() {
            Some(b'{') => {
                self.at += 1;
                self.open(Open::Object(self.name.len()))?;
                self.white();
                if self.peek() == Some(b'}') {
                    return Ok(self.close());
                }
                self.key(self.name.len())
            }
            Some(b'[') => {
                self.at += 1;
                self.open(Open::Array(self.name.len(), 0))?;
                self.white();
                if self.peek() == Some(b']') {
                    self.close();
                    return self.count(state, 0);
                }
                Ok(self.element(self.name.len(), 0))
            }
            Some(b'"') => {
                self.at += 1;
                let value = self.string(state)?;
                self.argument(state, value)
            }
            Some(b'-' | b'0'..=b'9') => {
                let value = self.number(state)?;
                self.argument(state, value)
            }
            _ => {
                let rest = self.text.get(self.at..).unwrap_or_default();
                let words: [(&[u8], &[u8]); 3] = [(b"true", b"true"), (b"false", b"false"), (b"null", b"")];
                let (word, value) = words.into_iter().find(|(word, _)| rest.starts_with(word)).ok_or(MALFORMED)?;
                self.at += word.len();
                let value = state.texts.keep(value);
                self.argument(state, value)
            }
        }
    }

    fn open(&mut self, open: Open) -> Result<(), &'static str> {
        if self.stack.len() >= self.depth {
            return Err(DEEP);
        }
        self.stack.push(open);
        Ok(())
    }

    fn close(&mut self) -> bool {
        self.at += 1;
        self.stack.pop();
        true
    }

    /// Reads `"key":` of an object whose own name has this length. `false`: a value comes next.
    fn key(&mut self, length: usize) -> Result<bool, &'static str> {
        self.white();
        if self.next() != Some(b'"') {
            return Err(MALFORMED);
        }
        let mut key = std::mem::take(&mut self.buffer);
        let read = self.string_into(&mut key);
        self.name.truncate(length);
        self.name.push(b'.');
        self.name.extend_from_slice(&key);
        self.buffer = key;
        read?;
        self.white();
        if self.next() == Some(b':') { Ok(false) } else { Err(MALFORMED) }
    }

    /// Names the next member of an array whose own name has this length. `false`: a value comes next.
    fn element(&mut self, length: usize, index: u64) -> bool {
        self.name.truncate(length);
        self.name.extend_from_slice(b".array_");
        shape::number(usize::try_from(index).unwrap_or(usize::MAX), &mut self.name);
        if let Some(Open::Array(_, next)) = self.stack.last_mut() {
            *next = index + 1;
        }
        false
    }

    /// An array is an argument too, its length the value, so that rules over names see the name without `.array_N`.
    fn count(&mut self, state: &mut State, count: u64) -> Result<bool, &'static str> {
        let value = state.texts.keep_number(i64::try_from(count).unwrap_or(i64::MAX));
        self.argument(state, value)
    }

    fn argument(&mut self, state: &mut State, value: TextId) -> Result<bool, &'static str> {
        let name = state.texts.keep_alone(&self.name);
        super::argument(state, self.most, name, value)?;
        Ok(true)
    }

    fn string(&mut self, state: &mut State) -> Result<TextId, &'static str> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        // Most strings hold no escape.
        let end = memchr::memchr2(b'"', b'\\', rest).ok_or(MALFORMED)?;
        let plain = rest.get(..end).unwrap_or_default();
        if rest.get(end) == Some(&b'"') && plain.iter().all(|byte| *byte >= 0x20) {
            self.at += end + 1;
            return Ok(state.texts.keep(plain));
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = self.string_into(&mut buffer);
        let value = state.texts.keep(&buffer);
        self.buffer = buffer;
        read.map(|()| value)
    }

    fn string_into(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        out.clear();
        loop {
            match self.next().ok_or(MALFORMED)? {
                b'"' => return Ok(()),
                b'\\' => self.escape(out)?,
                byte => {
                    self.control |= byte < 0x20;
                    out.push(byte);
                }
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let byte = match self.next().ok_or(MALFORMED)? {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut code = self.hex()?;
                if (0xd800..0xdc00).contains(&code)
                    && self.text.get(self.at..).is_some_and(|rest| rest.starts_with(b"\\u"))
                {
                    self.at += 2;
                    let low = self.hex()?;
                    code = 0x1_0000 + ((code - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff);
                }
                let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            c @ (b'"' | b'\\' | b'/') => c,
            _ => return Err(MALFORMED),
        };
        out.push(byte);
        Ok(())
    }

    fn hex(&mut self) -> Result<u32, &'static str> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(MALFORMED)?;
        self.at += 4;
        digits.iter().try_fold(0, |sum, digit| Ok(sum << 4 | char::from(*digit).to_digit(16).ok_or(MALFORMED)?))
    }

    fn number(&mut self, state: &mut State) -> Result<TextId, &'static str> {
        let from = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let whole = self.digits();
        let leading_zero = whole > 1 && self.text.get(self.at.saturating_sub(whole)) == Some(&b'0');
        if whole == 0 || leading_zero {
            return Err(MALFORMED);
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(MALFORMED);
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            if self.digits() == 0 {
                return Err(MALFORMED);
            }
        }
        Ok(state.texts.keep(self.text.get(from..self.at).unwrap_or_default()))
    }

    fn digits(&mut self) -> usize {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        count
    }

    fn white(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::plain_indices;

    #[test]
    fn names_have_two_forms() {
        let check = |name: &str, want: Option<&str>| {
            let got = plain_indices(name.as_bytes()).map(|name| String::from_utf8(name).unwrap());
            assert_eq!(got.as_deref(), want, "{name}");
        };
        check("json.a.array_0.b.array_12", Some("json.a.0.b.12"));
        check("json.array_0", Some("json.0"));
        check("json.array_x.array_1.array_", Some("json.array_x.1.array_"));
        check("json.a.b", None);
        check("a.array_0", None);
    }
}
