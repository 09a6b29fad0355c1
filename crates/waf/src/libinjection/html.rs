//! The tokenizer of HTML: names and values of tags and attributes, as lenient browsers read them.
//!
//! WHATWG HTML, "Tokenization", shortened to what matters for scripts, with the habits of old browsers.

/// Where the text is taken to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    Data,
    Unquoted,
    SingleQuoted,
    DoubleQuoted,
    BackQuoted,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    TagOpen,
    TagOpenEnd,
    TagSelfClose,
    TagClose,
    Name,
    Value,
    Comment,
    Doctype,
}

impl Kind {
    /// Its name in libinjection's tests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "DATA_TEXT",
            Self::TagOpen => "TAG_NAME_OPEN",
            Self::TagOpenEnd => "TAG_NAME_CLOSE",
            Self::TagSelfClose => "TAG_NAME_SELFCLOSE",
            Self::TagClose => "TAG_CLOSE",
            Self::Name => "ATTR_NAME",
            Self::Value => "ATTR_VALUE",
            Self::Comment => "TAG_COMMENT",
            Self::Doctype => "DOCTYPE",
        }
    }
}

/// A token of HTML.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub kind: Kind,
    pub text: &'a [u8],
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    End,
    Data,
    TagOpen,
    TagNameEnd,
    SelfClosing,
    BeforeName,
    AfterName,
    BeforeValue,
    AfterValue,
    Quoted(u8),
}

/// A text that is being read.
#[derive(Debug)]
pub(super) struct Html<'a> {
    text: &'a [u8],
    at: usize,
    state: State,
    closes: bool,
}

impl<'a> Iterator for Html<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        match self.state {
            State::End => None,
            State::Data => self.data(),
            State::TagOpen => self.tag_open(),
            State::TagNameEnd => self.tag_name_end(),
            State::SelfClosing => self.self_closing(),
            State::BeforeName => self.before_name(),
            State::AfterName => self.after_name(),
            State::BeforeValue => self.before_value(),
            State::AfterValue => self.after_value(),
            State::Quoted(quote) => self.quoted(quote),
        }
    }
}

impl<'a> Html<'a> {
    /// Begins to read.
    pub fn new(text: &'a [u8], context: Context) -> Self {
        let state = match context {
            Context::Data => State::Data,
            Context::Unquoted => State::BeforeName,
            Context::SingleQuoted => State::Quoted(b'\''),
            Context::DoubleQuoted => State::Quoted(b'"'),
            Context::BackQuoted => State::Quoted(b'`'),
        };
        Self { text, at: 0, state, closes: false }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// A token from here to `to`; reading goes on at `next`.
    fn piece(&mut self, kind: Kind, to: usize, next: usize, state: State) -> Option<Piece<'a>> {
        let text = self.text.get(self.at..to).unwrap_or_default();
        self.at = next;
        self.state = state;
        Some(Piece { kind, text })
    }

    /// A token of all that is left.
    fn last(&mut self, kind: Kind) -> Option<Piece<'a>> {
        let end = self.text.len();
        self.piece(kind, end, end, State::End)
    }

    fn data(&mut self) -> Option<Piece<'a>> {
        match memchr::memchr(b'<', self.rest()) {
            None if self.rest().is_empty() => {
                self.state = State::End;
                None
            }
            None => self.last(Kind::Text),
            Some(0) => {
                self.at += 1;
                self.state = State::TagOpen;
                self.tag_open()
            }
            Some(length) => self.piece(Kind::Text, self.at + length, self.at + length + 1, State::TagOpen),
        }
    }

    fn tag_open(&mut self) -> Option<Piece<'a>> {
        match self.peek()? {
            b'!' => {
                self.at += 1;
                self.declaration()
            }
            b'/' => {
                self.at += 1;
                self.closes = true;
                self.end_tag()
            }
            b'?' => {
                self.at += 1;
                self.bogus_comment()
            }
            b'%' => {
                self.at += 1;
                self.percent_comment()
            }
            byte if byte.is_ascii_alphabetic() || byte == 0 => self.tag_name(),
            _ if self.at == 0 => self.data(),
            _ => {
                self.at -= 1;
                self.piece(Kind::Text, self.at + 1, self.at + 1, State::Data)
            }
        }
    }

    fn end_tag(&mut self) -> Option<Piece<'a>> {
        match self.peek()? {
            b'>' => self.data(),
            byte if byte.is_ascii_alphabetic() => self.tag_name(),
            _ => {
                self.closes = false;
                self.bogus_comment()
            }
        }
    }

    fn tag_name(&mut self) -> Option<Piece<'a>> {
        // NUL does not end the name of a tag, though it ends that of an attribute.
        let ends = |byte: &u8| *byte != 0 && is_white(*byte) || matches!(byte, b'/' | b'>');
        let Some(length) = self.rest().iter().position(ends) else { return self.last(Kind::TagOpen) };
        let end = self.at + length;
        match self.text.get(end) {
            Some(b'/') => self.piece(Kind::TagOpen, end, end + 1, State::SelfClosing),
            Some(b'>') if self.closes => {
                self.closes = false;
                self.piece(Kind::TagClose, end, end + 1, State::Data)
            }
            Some(b'>') => self.piece(Kind::TagOpen, end, end, State::TagNameEnd),
            _ => self.piece(Kind::TagOpen, end, end + 1, State::BeforeName),
        }
    }

    fn tag_name_end(&mut self) -> Option<Piece<'a>> {
        self.closes = false;
        let next = self.at + 1;
        let state = if next < self.text.len() { State::Data } else { State::End };
        self.piece(Kind::TagOpenEnd, next, next, state)
    }

    fn before_name(&mut self) -> Option<Piece<'a>> {
        // A slash that closes nothing is passed over, as often as it comes.
        loop {
            match self.skip_white()? {
                b'/' => {
                    self.at += 1;
                    if self.peek()? == b'>' {
                        return self.self_closing();
                    }
                }
                b'>' => return self.piece(Kind::TagOpenEnd, self.at + 1, self.at + 1, State::Data),
                _ => return self.name(),
            }
        }
    }

    fn self_closing(&mut self) -> Option<Piece<'a>> {
        if self.peek()? != b'>' {
            return self.before_name();
        }
        self.at = self.at.checked_sub(1)?;
        self.piece(Kind::TagSelfClose, self.at + 2, self.at + 2, State::Data)
    }

    fn name(&mut self) -> Option<Piece<'a>> {
        let ends = |byte: &u8| is_white(*byte) || matches!(byte, b'/' | b'=' | b'>');
        // Its first byte is part of it, whatever it is.
        let Some(length) = self.rest().iter().skip(1).position(ends) else { return self.last(Kind::Name) };
        let end = self.at + 1 + length;
        match self.text.get(end) {
            Some(b'/') => self.piece(Kind::Name, end, end + 1, State::SelfClosing),
            Some(b'=') => self.piece(Kind::Name, end, end + 1, State::BeforeValue),
            Some(b'>') => self.piece(Kind::Name, end, end, State::TagNameEnd),
            _ => self.piece(Kind::Name, end, end + 1, State::AfterName),
        }
    }

    fn after_name(&mut self) -> Option<Piece<'a>> {
        match self.skip_white()? {
            b'/' => {
                self.at += 1;
                self.self_closing()
            }
            b'=' => {
                self.at += 1;
                self.before_value()
            }
            b'>' => self.tag_name_end(),
            _ => self.name(),
        }
    }

    fn before_value(&mut self) -> Option<Piece<'a>> {
        match self.skip_white() {
            None => {
                self.state = State::End;
                None
            }
            Some(quote @ (b'"' | b'\'' | b'`')) => self.quoted(quote),
            Some(_) => self.unquoted(),
        }
    }

    fn quoted(&mut self, quote: u8) -> Option<Piece<'a>> {
        // At the very begin there is no opening quote to pass over: the text follows it.
        if self.at > 0 {
            self.at += 1;
        }
        match memchr::memchr(quote, self.rest()) {
            None => self.last(Kind::Value),
            Some(length) => self.piece(Kind::Value, self.at + length, self.at + length + 1, State::AfterValue),
        }
    }

    fn unquoted(&mut self) -> Option<Piece<'a>> {
        let Some(length) = self.rest().iter().position(|byte| is_white(*byte) || *byte == b'>') else {
            return self.last(Kind::Value);
        };
        let end = self.at + length;
        if self.text.get(end) == Some(&b'>') {
            return self.piece(Kind::Value, end, end, State::TagNameEnd);
        }
        self.piece(Kind::Value, end, end + 1, State::BeforeName)
    }

    fn after_value(&mut self) -> Option<Piece<'a>> {
        match self.peek()? {
            b'/' => {
                self.at += 1;
                self.self_closing()
            }
            b'>' => self.piece(Kind::TagOpenEnd, self.at + 1, self.at + 1, State::Data),
            byte => {
                self.at += usize::from(is_white(byte));
                self.before_name()
            }
        }
    }

    /// To the next `>`.
    fn bogus_comment(&mut self) -> Option<Piece<'a>> {
        match memchr::memchr(b'>', self.rest()) {
            None => self.last(Kind::Comment),
            Some(length) => self.piece(Kind::Comment, self.at + length, self.at + length + 1, State::Data),
        }
    }

    /// To the next `%>`; a habit of old browsers.
    fn percent_comment(&mut self) -> Option<Piece<'a>> {
        match memchr::memmem::find(self.rest(), b"%>") {
            None => self.last(Kind::Comment),
            Some(length) => self.piece(Kind::Comment, self.at + length, self.at + length + 2, State::Data),
        }
    }

    fn declaration(&mut self) -> Option<Piece<'a>> {
        let rest = self.rest();
        if rest.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"doctype")) {
            return match memchr::memchr(b'>', rest) {
                None => self.last(Kind::Doctype),
                Some(length) => self.piece(Kind::Doctype, self.at + length, self.at + length + 1, State::Data),
            };
        }
        if rest.starts_with(b"[CDATA[") {
            self.at += 7;
            return match memchr::memmem::find(self.rest(), b"]]>") {
                None => self.last(Kind::Text),
                Some(length) => self.piece(Kind::Text, self.at + length, self.at + length + 3, State::Data),
            };
        }
        if rest.starts_with(b"--") {
            self.at += 2;
            return self.comment();
        }
        self.bogus_comment()
    }

    /// To `-->` or `-!>`, NUL bytes after the first dash passed over.
    fn comment(&mut self) -> Option<Piece<'a>> {
        let mut search = self.at;
        loop {
            let Some(found) = memchr::memchr(b'-', self.text.get(search..).unwrap_or_default()) else {
                return self.last(Kind::Comment);
            };
            let dash = search + found;
            if dash + 3 > self.text.len() {
                return self.last(Kind::Comment);
            }
            let after = self.text.get(dash + 1..).unwrap_or_default();
            let nuls = after.iter().take_while(|byte| **byte == 0).count();
            let mark = dash + 1 + nuls;
            match (self.text.get(mark), self.text.get(mark + 1)) {
                (None, _) | (Some(b'-' | b'!'), None) => return self.last(Kind::Comment),
                (Some(b'-' | b'!'), Some(b'>')) => return self.piece(Kind::Comment, dash, mark + 2, State::Data),
                // The run of NUL bytes need not be read again from its middle.
                _ => search = dash + 1 + nuls.saturating_sub(1),
            }
        }
    }

    fn skip_white(&mut self) -> Option<u8> {
        while let Some(byte) = self.peek() {
            if !is_white(byte) {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }
}

/// White space, and NUL as old browsers have it.
fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13 | 0)
}
