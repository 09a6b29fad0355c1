//! Folding: a stream of tokens to at most five that tell what kind of statement it is.
//!
//! Two or three tokens at a time are looked at and joined, shortened or left; each rule is one line of a `match`.

use super::scan::Scanner;
use super::token::{self as t, Kind, Token};
use super::words;

/// So many tokens make a fingerprint.
const MOST: usize = 5;

/// What a rule does.
enum Rule {
    /// Nothing; the next rule is asked.
    None,
    /// So many tokens at the end are dropped, and it goes on from the begin.
    Restart(usize),
    /// One token is dropped, and it goes on where it is, or one token earlier.
    Stay,
    Back,
    /// It goes on where it is: a token's kind was changed.
    Again,
    /// The text is evil; so many tokens count.
    Evil(usize),
}

/// State of the folding.
struct Fold<'s, 'a> {
    scanner: &'s mut Scanner<'a>,
    /// Where the next token goes.
    end: usize,
    /// How many tokens are settled.
    left: usize,
    more: bool,
    comment: Option<Token>,
}

/// Folds the tokens of a text into `scanner.tokens`; how many there are.
pub(super) fn fold(scanner: &mut Scanner<'_>) -> usize {
    let mut fold = Fold { scanner, end: 0, left: 0, more: true, comment: None };
    if !fold.skip_lead() {
        return 0;
    }
    loop {
        if fold.end >= MOST {
            fold.shorten();
        }
        if !fold.more || fold.left >= MOST {
            fold.left = fold.end;
            break;
        }
        fold.fetch(2);
        if fold.end - fold.left < 2 {
            fold.left = fold.end;
            continue;
        }
        match fold.pair() {
            Rule::None => {}
            Rule::Evil(count) => return count,
            rule => {
                fold.follow(&rule);
                continue;
            }
        }
        fold.fetch(3);
        if fold.end - fold.left < 3 {
            fold.left = fold.end;
            continue;
        }
        match fold.triple() {
            Rule::None => fold.left += 1,
            rule => fold.follow(&rule),
        }
    }
    fold.finish()
}

impl Fold<'_, '_> {
    /// Passes over comments, parentheses, types and unary operators at the begin. `false`: there is nothing else.
    fn skip_lead(&mut self) -> bool {
        loop {
            let Some(token) = self.scanner.next() else { return false };
            self.put(0, token);
            if !(matches!(token.kind, t::COMMENT | t::LEFT_PAREN | t::SQL_TYPE) || token.is_unary()) {
                self.end = 1;
                return true;
            }
        }
    }

    /// Reads tokens until so many are unsettled.
    fn fetch(&mut self, wanted: usize) {
        while self.more && self.end <= MOST && self.end - self.left < wanted {
            match self.scanner.next() {
                None => self.more = false,
                Some(token) if token.kind == t::COMMENT => self.comment = Some(token),
                Some(token) => {
                    self.comment = None;
                    self.put(self.end, token);
                    self.end += 1;
                }
            }
        }
    }

    fn follow(&mut self, rule: &Rule) {
        match rule {
            Rule::Restart(dropped) => {
                self.end = self.end.saturating_sub(*dropped);
                self.left = 0;
            }
            Rule::Stay => self.end -= 1,
            Rule::Back => {
                self.end -= 1;
                self.left = self.left.saturating_sub(1);
            }
            Rule::None | Rule::Again | Rule::Evil(_) => {}
        }
    }

    fn get(&self, index: usize) -> Token {
        self.scanner.tokens.get(index).copied().unwrap_or_default()
    }

    fn put(&mut self, index: usize, token: Token) {
        if let Some(place) = self.scanner.tokens.get_mut(index) {
            *place = token;
        }
    }

    fn set_kind(&mut self, index: usize, kind: Kind) {
        if let Some(place) = self.scanner.tokens.get_mut(index) {
            place.kind = kind;
        }
    }

    /// Five tokens that say no more than one: the first stands for all.
    fn shorten(&mut self) {
        let kind = |index: usize| self.get(index).kind;
        let five = [kind(0), kind(1), kind(2), kind(3), kind(4)];
        let short = matches!(
            five,
            [t::NUMBER, t::OPERATOR | t::COMMA, t::LEFT_PAREN, t::NUMBER, t::RIGHT_PAREN]
                | [t::BAREWORD, t::OPERATOR, t::LEFT_PAREN, t::BAREWORD | t::NUMBER, t::RIGHT_PAREN]
                | [t::NUMBER, t::RIGHT_PAREN, t::COMMA, t::LEFT_PAREN, t::NUMBER]
                | [t::BAREWORD, t::RIGHT_PAREN, t::OPERATOR, t::LEFT_PAREN, t::BAREWORD]
        );
        if !short {
            return;
        }
        self.left = 0;
        if self.end > MOST {
            self.put(1, self.get(MOST));
            self.end = 2;
        } else {
            self.end = 1;
        }
    }

    /// The rules for two tokens, in their order.
    fn pair(&mut self) -> Rule {
        let (one, two) = (self.get(self.left), self.get(self.left + 1));
        match (one.kind, two.kind) {
            (t::STRING, t::STRING) | (t::SEMICOLON, t::SEMICOLON) => return Rule::Stay,
            (t::OPERATOR | t::LOGIC, kind) if two.is_unary() || kind == t::SQL_TYPE => return Rule::Restart(1),
            (t::LEFT_PAREN, _) if two.is_unary() => return Rule::Back,
            _ => {}
        }
        if let Some(merged) = merged(&one, &two) {
            self.put(self.left, merged);
            return Rule::Back;
        }
        match (one.kind, two.kind) {
            (t::SEMICOLON, t::FUNCTION)
                if two.text().get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"IF")) =>
            {
                self.set_kind(self.left + 1, t::TSQL);
                Rule::Again
            }
            (t::BAREWORD | t::VARIABLE, t::LEFT_PAREN) if is_function_name(&one) => {
                self.set_kind(self.left, t::FUNCTION);
                Rule::Again
            }
            (t::KEYWORD, next) if one.is(b"IN") || one.is(b"NOT IN") => {
                self.set_kind(self.left, if next == t::LEFT_PAREN { t::OPERATOR } else { t::BAREWORD });
                Rule::Again
            }
            (t::OPERATOR, next) if one.is(b"LIKE") || one.is(b"NOT LIKE") => {
                if next == t::LEFT_PAREN {
                    self.set_kind(self.left, t::FUNCTION);
                }
                Rule::None
            }
            (
                t::SQL_TYPE,
                t::BAREWORD | t::NUMBER | t::SQL_TYPE | t::LEFT_PAREN | t::FUNCTION | t::VARIABLE | t::STRING,
            ) => {
                self.put(self.left, two);
                Rule::Restart(1)
            }
            (t::COLLATE, t::BAREWORD) => {
                if two.text().split(|byte| *byte == 0).next().is_some_and(|text| text.contains(&b'_')) {
                    self.set_kind(self.left + 1, t::SQL_TYPE);
                    self.left = 0;
                }
                Rule::None
            }
            (t::BACKSLASH, _) if two.is_arithmetic() => {
                self.set_kind(self.left, t::NUMBER);
                Rule::Restart(0)
            }
            (t::BACKSLASH, _) => {
                self.put(self.left, two);
                Rule::Restart(1)
            }
            (t::LEFT_PAREN, t::LEFT_PAREN) | (t::RIGHT_PAREN, t::RIGHT_PAREN) => Rule::Restart(1),
            (t::LEFT_BRACE, t::BAREWORD) if two.length == 0 => {
                self.set_kind(self.left + 1, t::EVIL);
                Rule::Evil(self.left + 2)
            }
            (t::LEFT_BRACE, t::BAREWORD) => Rule::Restart(2),
            (_, t::RIGHT_BRACE) => Rule::Restart(1),
            _ => Rule::None,
        }
    }

    /// The rules for three tokens, in their order.
    fn triple(&mut self) -> Rule {
        let (one, two, three) = (self.get(self.left), self.get(self.left + 1), self.get(self.left + 2));
        match (one.kind, two.kind, three.kind) {
            (t::NUMBER, t::OPERATOR, t::NUMBER) => Rule::Restart(2),
            (t::OPERATOR, middle, t::OPERATOR) if middle != t::LEFT_PAREN => Rule::Restart(2),
            (t::LOGIC, _, t::LOGIC) => Rule::Restart(2),
            (t::VARIABLE, t::OPERATOR, t::VARIABLE | t::NUMBER | t::BAREWORD) => Rule::Restart(2),
            (t::BAREWORD | t::NUMBER, t::OPERATOR, t::NUMBER | t::BAREWORD) => Rule::Restart(2),
            (t::BAREWORD | t::NUMBER | t::VARIABLE | t::STRING, t::OPERATOR, t::SQL_TYPE) if two.text() == b"::" => {
                Rule::Restart(2)
            }
            (
                t::BAREWORD | t::NUMBER | t::STRING | t::VARIABLE,
                t::COMMA,
                t::NUMBER | t::BAREWORD | t::STRING | t::VARIABLE,
            ) => Rule::Restart(2),
            (t::EXPRESSION | t::GROUP | t::COMMA, _, t::LEFT_PAREN) if two.is_unary() => self.without_middle(three, 1),
            (
                t::KEYWORD | t::EXPRESSION | t::GROUP,
                _,
                t::NUMBER | t::BAREWORD | t::VARIABLE | t::STRING | t::FUNCTION,
            ) if two.is_unary() => self.without_middle(three, 1),
            (t::COMMA, _, t::NUMBER | t::BAREWORD | t::VARIABLE | t::STRING) if two.is_unary() => {
                self.without_middle(three, 3)
            }
            (t::COMMA, _, t::FUNCTION) if two.is_unary() => self.without_middle(three, 1),
            (t::BAREWORD, t::DOT, t::BAREWORD) => Rule::Restart(2),
            (t::EXPRESSION, t::DOT, t::BAREWORD) => self.without_middle(three, 1),
            (t::FUNCTION, t::LEFT_PAREN, last) if last != t::RIGHT_PAREN && one.is(b"USER") => {
                self.set_kind(self.left, t::BAREWORD);
                Rule::None
            }
            _ => Rule::None,
        }
    }

    fn without_middle(&mut self, last: Token, dropped: usize) -> Rule {
        self.put(self.left + 1, last);
        Rule::Restart(dropped)
    }

    /// A comment at the end counts when there is room; a sixth token was only read to tell the fifth.
    fn finish(mut self) -> usize {
        if self.left < MOST
            && let Some(comment) = self.comment
        {
            self.put(self.left, comment);
            self.left += 1;
        }
        self.left.min(MOST)
    }
}

/// Two words that are one phrase, such as `UNION ALL`.
fn merged(one: &Token, two: &Token) -> Option<Token> {
    let joins = |kind: Kind| {
        matches!(
            kind,
            t::KEYWORD | t::BAREWORD | t::OPERATOR | t::UNION | t::FUNCTION | t::EXPRESSION | t::TSQL | t::SQL_TYPE
        )
    };
    if !joins(one.kind) || !(joins(two.kind) || two.kind == t::LOGIC) {
        return None;
    }
    let length = one.length + two.length + 1;
    if length >= t::SIZE || !words::may_be(one.text().first().copied()?, length) {
        return None;
    }
    let mut phrase = [b' '; t::SIZE];
    let parts = one.text().iter().chain(b" ").chain(two.text());
    for (place, byte) in phrase.iter_mut().zip(parts) {
        *place = *byte;
    }
    let phrase = phrase.get(..length)?;
    let kind = words::kind(phrase)?;
    let mut token = *one;
    token.assign(kind, phrase);
    Some(token)
}

/// Names that are a column as often as a function: with a parenthesis they are a function.
fn is_function_name(token: &Token) -> bool {
    const NAMES: [&[u8]; 11] = [
        b"USER_ID",
        b"USER_NAME",
        b"DATABASE",
        b"PASSWORD",
        b"USER",
        b"CURRENT_USER",
        b"CURRENT_DATE",
        b"CURRENT_TIME",
        b"CURRENT_TIMESTAMP",
        b"LOCALTIME",
        b"LOCALTIMESTAMP",
    ];
    NAMES.iter().any(|name| token.is(name))
}
