//! A token of SQL.

/// What a token is: the letter that stands for it in fingerprints.
pub(super) type Kind = u8;

pub(super) const KEYWORD: Kind = b'k';
pub(super) const UNION: Kind = b'U';
pub(super) const GROUP: Kind = b'B';
pub(super) const EXPRESSION: Kind = b'E';
pub(super) const SQL_TYPE: Kind = b't';
pub(super) const FUNCTION: Kind = b'f';
pub(super) const BAREWORD: Kind = b'n';
pub(super) const NUMBER: Kind = b'1';
pub(super) const VARIABLE: Kind = b'v';
pub(super) const STRING: Kind = b's';
pub(super) const OPERATOR: Kind = b'o';
pub(super) const LOGIC: Kind = b'&';
pub(super) const COMMENT: Kind = b'c';
pub(super) const COLLATE: Kind = b'A';
pub(super) const LEFT_PAREN: Kind = b'(';
pub(super) const RIGHT_PAREN: Kind = b')';
pub(super) const LEFT_BRACE: Kind = b'{';
pub(super) const RIGHT_BRACE: Kind = b'}';
pub(super) const DOT: Kind = b'.';
pub(super) const COMMA: Kind = b',';
pub(super) const COLON: Kind = b':';
pub(super) const SEMICOLON: Kind = b';';
pub(super) const TSQL: Kind = b'T';
pub(super) const UNKNOWN: Kind = b'?';
pub(super) const EVIL: Kind = b'X';
pub(super) const BACKSLASH: Kind = b'\\';

/// So many bytes of a token are kept, and words are looked up by no more.
pub(super) const SIZE: usize = 32;

/// A token of SQL.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Token {
    /// 0: none yet.
    pub kind: Kind,
    /// Bytes kept.
    pub length: usize,
    /// How many `@` a variable had.
    pub ats: u8,
    /// The quotes of a string, 0 when it has none.
    pub open: u8,
    pub close: u8,
    text: [u8; SIZE],
}

impl Token {
    /// The bytes that are kept.
    pub fn text(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or_default()
    }

    /// Its first byte, 0 when it is empty.
    pub fn first(&self) -> u8 {
        self.text().first().copied().unwrap_or(0)
    }

    /// Gives it a kind and a text.
    pub fn assign(&mut self, kind: Kind, text: &[u8]) {
        let length = if text.len() < SIZE { text.len() } else { SIZE - 1 };
        self.kind = kind;
        self.length = length;
        if let (Some(place), Some(text)) = (self.text.get_mut(..length), text.get(..length)) {
            place.copy_from_slice(text);
        }
    }

    /// Whether its text is this word, whatever its case; `word` is in upper case.
    pub fn is(&self, word: &[u8]) -> bool {
        self.text().eq_ignore_ascii_case(word)
    }

    /// `+ - * / %`
    pub fn is_arithmetic(&self) -> bool {
        self.kind == OPERATOR && matches!(self.text(), [b'*' | b'/' | b'-' | b'+' | b'%'])
    }

    /// `+ - ! ~ !! NOT`
    pub fn is_unary(&self) -> bool {
        self.kind == OPERATOR && (matches!(self.text(), [b'+' | b'-' | b'!' | b'~'] | b"!!") || self.is(b"NOT"))
    }

    /// Adds a line as libinjection's tests write it.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend([self.kind, b' ']);
        if self.kind == VARIABLE {
            out.extend(std::iter::repeat_n(b'@', usize::from(self.ats.min(2))));
        }
        let quoted = matches!(self.kind, STRING | VARIABLE);
        if quoted && self.open != 0 {
            out.push(self.open);
        }
        out.extend(self.text());
        if quoted && self.close != 0 {
            out.push(self.close);
        }
        out.push(b'\n');
    }
}
