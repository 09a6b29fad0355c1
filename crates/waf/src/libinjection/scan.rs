//! The tokenizer: a text to tokens of SQL, one at a time.
//!
//! What a byte begins is in the crate's table of character kinds. A NUL counts as a member of every set of bytes, as it
//! does with C's `strchr`, on which libinjection relies.

use super::token::{self, Kind, SIZE, Token};
use super::words;
use libinjectionrs::sqli::sqli_data::{CHAR_MAP, CharType};

/// Which quote the text is taken to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quote {
    None,
    Single,
    Double,
}

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Ansi,
    MySql,
}

/// A text that is being read, and the tokens that were kept of it.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    pub text: &'a [u8],
    pub tokens: [Token; 8],
    /// How many tokens were read.
    pub count: usize,
    quote: Quote,
    dialect: Dialect,
    at: usize,
    /// `--` before something else than white space was seen; `#` was seen.
    dashes: bool,
    hash: bool,
}

/// Ends a word.
const WORD_END: &[u8] = b" []{}<>:\\?=@!#~+-*/&|^%(),';\t\n\x0b\x0c\r\"\xa0\0";
static ENDS_WORD: [bool; 256] = members(WORD_END);

#[expect(clippy::indexing_slicing, reason = "evaluated when the program is built")]
const fn members(set: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut index = 0;
    while index < set.len() {
        table[set[index] as usize] = true;
        index += 1;
    }
    table
}

/// Ends the name of a variable.
const VARIABLE_END: &[u8] = b" <>:\\?=@!#~+-*/&|^%(),';\t\n\x0b\x0c\r'`\"\0";

impl<'a> Scanner<'a> {
    /// Begins to read.
    pub fn new(text: &'a [u8], quote: Quote, dialect: Dialect) -> Self {
        let tokens = [Token::default(); 8];
        Self { text, tokens, count: 0, quote, dialect, at: 0, dashes: false, hash: false }
    }

    /// Whether MySQL would read the text otherwise.
    pub fn is_ambiguous(&self) -> bool {
        self.dashes || self.hash
    }

    /// The next token.
    pub fn next(&mut self) -> Option<Token> {
        let mut token = Token::default();
        if self.text.is_empty() {
            return None;
        }
        if self.at == 0 && self.quote != Quote::None {
            let delimiter = if self.quote == Quote::Single { b'\'' } else { b'"' };
            self.at = self.string(&mut token, 0, 0, delimiter);
            self.count += 1;
            return Some(token);
        }
        while let Some(byte) = self.byte(self.at) {
            self.at = self.token(&mut token, byte);
            if token.kind != 0 {
                self.count += 1;
                return Some(token);
            }
        }
        None
    }

    fn token(&mut self, token: &mut Token, byte: u8) -> usize {
        let at = self.at;
        match CHAR_MAP.get(usize::from(byte)).copied().unwrap_or(CharType::Other) {
            CharType::White => at + 1,
            CharType::Bang | CharType::Op2 => self.operator(token),
            CharType::String => self.string(token, at, 1, byte),
            CharType::Hash => self.hash(token),
            CharType::Money => self.money(token),
            CharType::Op1 | CharType::Unary => self.single(token, token::OPERATOR),
            CharType::LeftParens
            | CharType::RightParens
            | CharType::Comma
            | CharType::Semicolon
            | CharType::LeftBrace
            | CharType::RightBrace => self.single(token, byte),
            CharType::Dash => self.dash(token),
            CharType::Number => self.number(token),
            CharType::Slash => self.slash(token),
            CharType::Variable => self.variable(token),
            CharType::Word => self.word(token),
            CharType::BString => self.digits_in_quotes(token, b"01"),
            CharType::XString => self.digits_in_quotes(token, b"0123456789ABCDEFabcdef"),
            CharType::EString => self.escaped_string(token),
            CharType::NQString => self.national_string(token),
            CharType::QString => self.oracle_string(token, 0),
            CharType::UString => self.unicode_string(token),
            CharType::BWord => self.bracket(token),
            CharType::Backslash => self.backslash(token),
            CharType::Tick => self.tick(token),
            CharType::Other => self.single(token, token::UNKNOWN),
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    fn is(&self, at: usize, byte: u8) -> bool {
        self.byte(at) == Some(byte)
    }

    fn part(&self, from: usize, to: usize) -> &'a [u8] {
        self.text.get(from..to).unwrap_or_default()
    }

    fn rest(&self, from: usize) -> &'a [u8] {
        self.text.get(from..).unwrap_or_default()
    }

    /// How many bytes from here are in the set; NUL is in every set.
    fn span(&self, from: usize, set: &[u8]) -> usize {
        let rest = self.rest(from);
        rest.iter().position(|byte| *byte != 0 && !set.contains(byte)).unwrap_or(rest.len())
    }

    fn single(&self, token: &mut Token, kind: Kind) -> usize {
        token.assign(kind, self.part(self.at, self.at + 1));
        self.at + 1
    }

    fn line_comment(&self, token: &mut Token) -> usize {
        let rest = self.rest(self.at);
        let end = memchr::memchr(b'\n', rest);
        token.assign(token::COMMENT, rest.get(..end.unwrap_or(rest.len())).unwrap_or_default());
        end.map_or(self.text.len(), |end| self.at + end + 1)
    }

    fn hash(&mut self, token: &mut Token) -> usize {
        self.hash = true;
        match self.dialect {
            Dialect::MySql => self.line_comment(token),
            Dialect::Ansi => self.single(token, token::OPERATOR),
        }
    }

    fn dash(&mut self, token: &mut Token) -> usize {
        if !self.is(self.at + 1, b'-') {
            return self.single(token, token::OPERATOR);
        }
        match self.byte(self.at + 2) {
            None => self.line_comment(token),
            Some(next) if is_white(next) => self.line_comment(token),
            Some(_) if self.dialect == Dialect::Ansi => {
                self.dashes = true;
                self.line_comment(token)
            }
            Some(_) => self.single(token, token::OPERATOR),
        }
    }

    /// `/* … */`. One inside of another, and MySQL's conditional form, are evil by themselves.
    fn slash(&self, token: &mut Token) -> usize {
        if !self.is(self.at + 1, b'*') {
            return self.single(token, token::OPERATOR);
        }
        let inner = self.rest(self.at + 2);
        let end = memchr::memmem::find(inner, b"*/");
        let length = end.map_or(self.text.len() - self.at, |end| end + 4);
        let nested =
            end.is_some_and(|end| memchr::memmem::find(inner.get(..=end).unwrap_or_default(), b"/*").is_some());
        let kind = if nested || inner.first() == Some(&b'!') { token::EVIL } else { token::COMMENT };
        token.assign(kind, self.part(self.at, self.at + length));
        self.at + length
    }

    fn backslash(&self, token: &mut Token) -> usize {
        if self.is(self.at + 1, b'N') {
            token.assign(token::NUMBER, self.part(self.at, self.at + 2));
            return self.at + 2;
        }
        self.single(token, token::BACKSLASH)
    }

    fn operator(&self, token: &mut Token) -> usize {
        let at = self.at;
        if self.byte(at + 1).is_none() {
            return self.single(token, token::OPERATOR);
        }
        if self.part(at, at + 3) == b"<=>" {
            token.assign(token::OPERATOR, self.part(at, at + 3));
            return at + 3;
        }
        let pair = self.part(at, at + 2);
        if let Some(kind) = words::kind(pair) {
            token.assign(kind, pair);
            return at + 2;
        }
        self.single(token, if self.is(at, b':') { token::COLON } else { token::OPERATOR })
    }

    /// A string whose content begins `offset` bytes after `from`. Without an offset its opening quote is imagined.
    fn string(&self, token: &mut Token, from: usize, offset: usize, delimiter: u8) -> usize {
        let start = from + offset;
        token.open = if offset > 0 { delimiter } else { 0 };
        let mut search = start;
        while let Some(found) = memchr::memchr(delimiter, self.rest(search)) {
            let end = search + found;
            let backslashes = self.part(start, end).iter().rev().take_while(|byte| **byte == b'\\').count();
            if backslashes % 2 == 1 {
                search = end + 1;
            } else if self.is(end + 1, delimiter) {
                search = end + 2;
            } else {
                token.assign(token::STRING, self.part(start, end));
                token.close = delimiter;
                return end + 1;
            }
        }
        token.assign(token::STRING, self.rest(start));
        token.close = 0;
        self.text.len()
    }

    fn escaped_string(&self, token: &mut Token) -> usize {
        if self.at + 2 >= self.text.len() || !self.is(self.at + 1, b'\'') {
            return self.word(token);
        }
        self.string(token, self.at, 2, b'\'')
    }

    fn unicode_string(&mut self, token: &mut Token) -> usize {
        if !(self.is(self.at + 1, b'&') && self.is(self.at + 2, b'\'')) {
            return self.word(token);
        }
        let end = self.string(token, self.at + 2, 1, b'\'');
        token.open = b'u';
        if token.close == b'\'' {
            token.close = b'u';
        }
        end
    }

    fn national_string(&self, token: &mut Token) -> usize {
        if self.at + 2 < self.text.len() && self.is(self.at + 1, b'\'') {
            return self.escaped_string(token);
        }
        self.oracle_string(token, 1)
    }

    /// `q'[ … ]'`
    fn oracle_string(&self, token: &mut Token, offset: usize) -> usize {
        let at = self.at + offset;
        let opening = match self.part(at, at + 3) {
            // Signed in C: bytes from 0x80 are less than 33.
            [b'q' | b'Q', b'\'', opening @ 33..=127] => *opening,
            _ => return self.word(token),
        };
        let closing = match opening {
            b'(' => b')',
            b'[' => b']',
            b'{' => b'}',
            b'<' => b'>',
            other => other,
        };
        token.open = b'q';
        let inner = self.rest(at + 3);
        match memchr::memmem::find(inner, &[closing, b'\'']) {
            Some(end) => {
                token.assign(token::STRING, inner.get(..end).unwrap_or_default());
                token.close = b'q';
                at + 3 + end + 2
            }
            None => {
                token.assign(token::STRING, inner);
                token.close = 0;
                self.text.len()
            }
        }
    }

    /// `b'01'`, `x'ff'`
    fn digits_in_quotes(&self, token: &mut Token, digits: &[u8]) -> usize {
        if self.at + 2 >= self.text.len() || !self.is(self.at + 1, b'\'') {
            return self.word(token);
        }
        let length = self.span(self.at + 2, digits);
        if !self.is(self.at + 2 + length, b'\'') {
            return self.word(token);
        }
        token.assign(token::NUMBER, self.part(self.at, self.at + length + 3));
        self.at + length + 3
    }

    /// SQL Server's `[name]`; elsewhere a bracket opens like a parenthesis.
    fn bracket(&self, token: &mut Token) -> usize {
        let rest = self.rest(self.at);
        let end = memchr::memchr(b']', rest).map_or(rest.len(), |end| end + 1);
        token.assign(token::BAREWORD, rest.get(..end).unwrap_or_default());
        self.at + end
    }

    fn word(&self, token: &mut Token) -> usize {
        let rest = self.rest(self.at);
        let ends = |byte: &u8| ENDS_WORD.get(usize::from(*byte)).copied().unwrap_or(true);
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        let word = rest.get(..length).unwrap_or_default();
        token.assign(token::BAREWORD, word);
        // `SELECT.1` and SELECT`column` are a keyword and something else.
        for index in 0..token.length {
            if !matches!(word.get(index), Some(b'.' | b'`')) {
                continue;
            }
            let before = word.get(..index).unwrap_or_default();
            if let Some(kind) = words::kind(before).filter(|kind| *kind != token::BAREWORD) {
                token.assign(kind, before);
                return self.at + index;
            }
        }
        if length < SIZE {
            token.kind = words::kind(word).unwrap_or(token::BAREWORD);
        }
        self.at + length
    }

    /// MySQL's back-quoted names.
    fn tick(&self, token: &mut Token) -> usize {
        let end = self.string(token, self.at, 1, b'`');
        let function = words::kind(token.text()) == Some(token::FUNCTION);
        token.kind = if function { token::FUNCTION } else { token::BAREWORD };
        end
    }

    fn variable(&mut self, token: &mut Token) -> usize {
        let mut at = self.at + 1;
        token.ats = 1;
        if self.is(at, b'@') {
            at += 1;
            token.ats = 2;
        }
        self.at = at;
        let end = match self.byte(at) {
            Some(b'`') => self.tick(token),
            Some(quote @ (b'\'' | b'"')) => self.string(token, at, 1, quote),
            _ => {
                let rest = self.rest(at);
                let length = rest.iter().position(|byte| VARIABLE_END.contains(byte)).unwrap_or(rest.len());
                token.assign(token::VARIABLE, rest.get(..length).unwrap_or_default());
                at + length
            }
        };
        token.kind = token::VARIABLE;
        end
    }

    /// Amounts of money, and PostgreSQL's `$$ … $$` and `$tag$ … $tag$`.
    fn money(&self, token: &mut Token) -> usize {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let at = self.at;
        if self.byte(at + 1).is_none() {
            return self.single(token, token::BAREWORD);
        }
        let length = self.span(at + 1, b"0123456789.,");
        if length == 1 && self.is(at + 1, b'.') {
            return self.word(token);
        }
        if length > 0 {
            token.assign(token::NUMBER, self.part(at, at + 1 + length));
            return at + 1 + length;
        }
        let tag = if self.is(at + 1, b'$') { 0 } else { self.span(at + 1, LETTERS) };
        if (tag == 0 && !self.is(at + 1, b'$')) || !self.is(at + 1 + tag, b'$') {
            return self.single(token, token::BAREWORD);
        }
        let quote = self.part(at, at + tag + 2);
        let inner = self.rest(at + tag + 2);
        let end = memchr::memmem::find(inner, quote);
        token.assign(token::STRING, inner.get(..end.unwrap_or(inner.len())).unwrap_or_default());
        token.open = b'$';
        token.close = if end.is_some() { b'$' } else { 0 };
        end.map_or(self.text.len(), |end| at + tag + 2 + end + quote.len())
    }

    fn number(&self, token: &mut Token) -> usize {
        let start = self.at;
        let digits: &[u8] = match self.part(start, start + 2) {
            [b'0', b'x' | b'X'] => b"0123456789ABCDEFabcdef",
            [b'0', b'b' | b'B'] => b"01",
            _ => b"",
        };
        if !digits.is_empty() {
            let length = self.span(start + 2, digits);
            let kind = if length == 0 { token::BAREWORD } else { token::NUMBER };
            token.assign(kind, self.part(start, start + 2 + length));
            return start + 2 + length;
        }
        let mut at = self.after_digits(start);
        if self.is(at, b'.') {
            at = self.after_digits(at + 1);
            if at - start == 1 {
                token.assign(token::DOT, b".");
                return at;
            }
        }
        let mut exponent_is_empty = false;
        if matches!(self.byte(at), Some(b'e' | b'E')) {
            at += 1;
            at += usize::from(matches!(self.byte(at), Some(b'+' | b'-')));
            let end = self.after_digits(at);
            exponent_is_empty = end == at;
            at = end;
        }
        // Oracle's suffix of a float or double.
        let suffix = matches!(self.byte(at), Some(b'd' | b'D' | b'f' | b'F'));
        let ends = self.byte(at + 1).is_none_or(|next| is_white(next) || matches!(next, b';' | b'u' | b'U'));
        at += usize::from(suffix && ends);
        // MySQL takes `1.e` for a name.
        let kind = if exponent_is_empty { token::BAREWORD } else { token::NUMBER };
        token.assign(kind, self.part(start, at));
        at
    }

    fn after_digits(&self, from: usize) -> usize {
        from + self.rest(from).iter().take_while(|byte| byte.is_ascii_digit()).count()
    }
}

fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13 | 0xa0 | 0)
}
