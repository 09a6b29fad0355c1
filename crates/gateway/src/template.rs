//! The templates of `request-transformer`: text with `$(…)` in it.
//!
//! Kong evaluates Lua expressions there. Ringwall reads the part of that language which configurations use:
//! `headers.x`, `headers["x"]`, `query_params.x`, `uri_captures[1]`, `uri_captures["name"]`, literals, `or`, `..`.
//! Everything else is refused when it is read. `$(uuid)`, `$(date)` and `$(msec)` are Ringwall's own: Kong takes them
//! for unset variables and sends an empty field; [`Compatibility::Kong`] does the same.

use crate::Compatibility;
use crate::walk::Walk;
use ringwall_model::CallId;
use std::borrow::Cow;

/// Text with expressions in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    /// The first alternative that has a value; each is joined of terms.
    Either(Vec<Vec<Term>>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Literal(Box<str>),
    Header(Box<str>),
    Query(Box<str>),
    Group(usize),
    NamedGroup(Box<str>),
    Uuid,
    Date,
    Milliseconds,
}

/// Why a text is no template: the expression that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTemplate(pub Box<str>);

impl Template {
    /// Reads a template. Errors: an expression outside of the supported part, or without its closing parenthesis.
    pub fn read(text: &str) -> Result<Self, BadTemplate> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("$(") {
            if !before.is_empty() {
                pieces.push(Piece::Text(before.into()));
            }
            let end = closing(after).ok_or_else(|| BadTemplate(after.into()))?;
            let (expression, following) = after.split_at(end);
            pieces.push(either(expression).ok_or_else(|| BadTemplate(expression.into()))?);
            rest = following.strip_prefix(')').unwrap_or(following);
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        Ok(Self(pieces))
    }

    /// Whether it uses one of the variables that only Ringwall has.
    pub fn uses_own_variables(&self) -> bool {
        let own = |term: &Term| matches!(term, Term::Uuid | Term::Date | Term::Milliseconds);
        self.0.iter().any(|piece| match piece {
            Piece::Text(_) => false,
            Piece::Either(alternatives) => alternatives.iter().flatten().any(own),
        })
    }

    /// The text for a call.
    pub fn render(&self, walk: &Walk<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Either(alternatives) => {
                    let value = alternatives.iter().find_map(|terms| joined(terms, walk));
                    out.extend(value.unwrap_or_default());
                }
            }
        }
        out
    }
}

/// Where the `)` of an expression is, outside of quotes and brackets.
fn closing(text: &str) -> Option<usize> {
    let (mut quote, mut depth) = (None, 0_u32);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') if depth == 0 => return Some(at),
            (None, ')') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

fn either(expression: &str) -> Option<Piece> {
    let alternatives = split(expression, " or ");
    let terms =
        |text: &&str| split(text, "..").into_iter().map(|term| read_term(term.trim())).collect::<Option<Vec<_>>>();
    Some(Piece::Either(alternatives.iter().map(terms).collect::<Option<_>>()?))
}

/// Splits at a separator outside of quotes.
fn split<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let (mut start, mut quote) = (0, None);
    for (at, c) in text.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if at >= start && text.get(at..).is_some_and(|rest| rest.starts_with(separator)) => {
                parts.extend(text.get(start..at));
                start = at + separator.len();
            }
            None => {}
        }
    }
    parts.extend(text.get(start..));
    parts
}

fn read_term(text: &str) -> Option<Term> {
    match text {
        "uuid" => return Some(Term::Uuid),
        "date" => return Some(Term::Date),
        "msec" => return Some(Term::Milliseconds),
        _ => {}
    }
    if let Some(literal) = unquote(text) {
        return Some(Term::Literal(literal.into()));
    }
    let (table, key) = match text.split_once('.') {
        Some((table, key)) if is_name(key) => (table, key),
        _ => {
            let (table, index) = text.strip_suffix(']')?.split_once('[')?;
            let index = index.trim();
            if table == "uri_captures"
                && let Ok(number) = index.parse()
            {
                return Some(Term::Group(number));
            }
            (table, unquote(index)?)
        }
    };
    match table {
        "headers" => Some(Term::Header(key.replace('_', "-").into())),
        "query_params" => Some(Term::Query(key.into())),
        "uri_captures" => Some(Term::NamedGroup(key.into())),
        _ => None,
    }
}

fn unquote(text: &str) -> Option<&str> {
    let inner = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote).filter(|inner| !inner.contains(quote));
    inner('"').or_else(|| inner('\''))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The terms' values one after another; `None` when one has none.
fn joined(terms: &[Term], walk: &Walk<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for term in terms {
        out.extend_from_slice(&value(term, walk)?);
    }
    Some(out)
}

fn value<'a>(term: &'a Term, walk: &'a Walk<'_>) -> Option<Cow<'a, [u8]>> {
    let own = |text: String| (walk.compatibility() == Compatibility::Safe).then(|| Cow::Owned(text.into_bytes()));
    match term {
        Term::Literal(text) => Some(Cow::Borrowed(text.as_bytes())),
        Term::Header(name) => walk.fields().first(name).map(|value| Cow::Owned(value.to_vec())),
        Term::Query(name) => query_value(walk.call.views.query.as_deref().unwrap_or_default(), name).map(Cow::Owned),
        Term::Group(number) => groups(walk).into_iter().nth(*number).map(|(_, text)| Cow::Borrowed(text)),
        Term::NamedGroup(name) => {
            groups(walk).into_iter().find(|(it, _)| it.as_ref() == Some(name)).map(|(_, text)| Cow::Borrowed(text))
        }
        Term::Uuid => own(uuid(walk.random.rotate_left(64)).to_string()),
        Term::Date => own(walk.known.now.rfc3339()),
        Term::Milliseconds => own(walk.known.now.0.to_string()),
    }
}

/// The captured groups of the route's expression.
fn groups<'a>(walk: &'a Walk<'_>) -> Vec<(Option<Box<str>>, &'a [u8])> {
    let route = walk.gateway.route(walk.selected.route);
    let path = walk.selected.matched.and_then(|matched| route?.paths.get(matched.path as usize));
    let pattern = path.and_then(|path| path.strip_prefix('~'));
    let compiled = pattern.and_then(|text| crate::router::Pattern::compile(text, walk.compatibility()).ok());
    compiled.map(|pattern| pattern.captures(&walk.call.views.kong)).unwrap_or_default()
}

/// Random bits as a version 4 UUID (RFC 9562 section 5.4).
pub const fn uuid(random: u128) -> CallId {
    let version = 0x4_u128 << 76;
    let variant = 0x2_u128 << 62;
    CallId(random & !(0xf << 76) & !(0x3 << 62) | version | variant)
}

/// The first value of an argument, decoded.
pub fn query_value(query: &[u8], name: &str) -> Option<Vec<u8>> {
    query_values(query, name).next()
}

/// The values of an argument in order, decoded (`application/x-www-form-urlencoded`).
pub fn query_values<'a>(query: &'a [u8], name: &'a str) -> impl Iterator<Item = Vec<u8>> + 'a {
    query.split(|byte| *byte == b'&').filter_map(move |pair| {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let key = halves.next().unwrap_or_default();
        (decoded(key) == name.as_bytes()).then(|| decoded(halves.next().unwrap_or_default()))
    })
}

/// Undoes `+` and `%xx`.
pub fn decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
        let code = (*first == b'%').then(|| Some(hex(after.first())? * 16 + hex(after.get(1))?)).flatten();
        let (byte, length) = match (first, code) {
            (_, Some(code)) => (code as u8, 2),
            (b'+', None) => (b' ', 0),
            (other, None) => (*other, 0),
        };
        out.push(byte);
        rest = after.get(length..).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Piece, Template, Term, decoded, query_values, uuid};

    #[track_caller]
    fn one(text: &str, want: &[&[Term]]) {
        let want = want.iter().map(|terms| terms.to_vec()).collect();
        assert_eq!(Template::read(text), Ok(Template(vec![Piece::Either(want)])));
    }

    #[test]
    fn expressions_are_read() {
        one("$(headers.x_a)", &[&[Term::Header("x-a".into())]]);
        one("$(headers[\"X-A\"])", &[&[Term::Header("X-A".into())]]);
        one("$(uri_captures[1])", &[&[Term::Group(1)]]);
        one("$(uri_captures['id'])", &[&[Term::NamedGroup("id".into())]]);
        one("$(query_params.user or 'no one')", &[&[Term::Query("user".into())], &[Term::Literal("no one".into())]]);
        one("$('a)' .. uuid)", &[&[Term::Literal("a)".into()), Term::Uuid]]);
    }

    #[test]
    fn other_expressions_are_refused() {
        for text in ["$(os.execute('x'))", "$(uuid())", "$(a", "$()", "$(headers)", "$(shared.x)"] {
            assert!(Template::read(text).is_err(), "{text}");
        }
        assert_eq!(Template::read("a $ b"), Ok(Template(vec![Piece::Text("a $ b".into())])));
    }

    #[test]
    fn arguments_are_decoded() {
        assert_eq!(decoded(b"a+b%20c%zz%4"), b"a b c%zz%4");
        assert_eq!(query_values(b"a=1&b=2&%61=3&a", "a").collect::<Vec<_>>(), [&b"1"[..], b"3", b""]);
    }

    #[test]
    fn a_uuid_names_its_version() {
        assert_eq!(uuid(u128::MAX).to_string(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid(0).to_string(), "00000000-0000-4000-8000-000000000000");
    }
}
