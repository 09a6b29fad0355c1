//! The names of operators and how their arguments are read.
//!
//! In: `!@rx ^a` as written. Out: an [`Operator`] and whether it is negated. One line of [`NAMES`] is one operator.

use super::address::Networks;
use super::phrases::Phrases;
use super::validate::{self, CheckDigits};
use super::{Number, Operator, Order, Relation};
use crate::lower::{Lowering, Treatment};
use crate::openapi::Standalone;
use crate::seclang::{Directive, LoadError};
use crate::template::{Key, Piece, Template};
use crate::variable::Variable;

/// What an operator's argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rx,
    RxGlobal,
    Pm,
    PmFile,
    Order(Order),
    Text(Relation),
    Ip,
    IpFile,
    Sqli,
    Xss,
    Always,
    Never,
    Geography,
    ByteRange,
    UrlEncoding,
    Utf8,
    Verify(CheckDigits),
    Schema,
    Rbl,
    Rejected(&'static str),
}

/// Every operator of the reference manual, sorted without regard to case.
const NAMES: [(&str, Kind); 40] = [
    ("beginsWith", Kind::Text(Relation::BeginsWith)),
    ("contains", Kind::Text(Relation::Contains)),
    ("containsWord", Kind::Text(Relation::ContainsWord)),
    ("detectSQLi", Kind::Sqli),
    ("detectXSS", Kind::Xss),
    ("endsWith", Kind::Text(Relation::EndsWith)),
    ("eq", Kind::Order(Order::Eq)),
    ("fuzzyHash", Kind::Rejected("fuzzy hashes need a library that is not part of Ringwall")),
    ("ge", Kind::Order(Order::Ge)),
    ("geoLookup", Kind::Geography),
    ("gsbLookup", Kind::Rejected("the service behind it was closed")),
    ("gt", Kind::Order(Order::Gt)),
    ("inspectFile", Kind::Rejected("it would run a program; Ringwall runs none")),
    ("ipMatch", Kind::Ip),
    ("ipMatchF", Kind::IpFile),
    ("ipMatchFromFile", Kind::IpFile),
    ("le", Kind::Order(Order::Le)),
    ("lt", Kind::Order(Order::Lt)),
    ("noMatch", Kind::Never),
    ("pm", Kind::Pm),
    ("pmf", Kind::PmFile),
    ("pmFromFile", Kind::PmFile),
    ("rbl", Kind::Rbl),
    ("rsub", Kind::Rejected("bodies are not rewritten")),
    ("rx", Kind::Rx),
    ("rxGlobal", Kind::RxGlobal),
    ("streq", Kind::Text(Relation::Equal)),
    ("strmatch", Kind::Text(Relation::Contains)),
    ("unconditionalMatch", Kind::Always),
    ("validateByteRange", Kind::ByteRange),
    ("validateDTD", Kind::Rejected("document type definitions are never read")),
    ("validateHash", Kind::Rejected("link signing (SecHashEngine) is not part of Ringwall")),
    ("validateSchema", Kind::Schema),
    ("validateUrlEncoding", Kind::UrlEncoding),
    ("validateUtf8Encoding", Kind::Utf8),
    ("verifyCC", Kind::Verify(CheckDigits::Card)),
    ("verifyCPF", Kind::Verify(CheckDigits::Cpf)),
    ("verifySSN", Kind::Verify(CheckDigits::Ssn)),
    ("verifySVNR", Kind::Verify(CheckDigits::Svnr)),
    ("within", Kind::Text(Relation::Within)),
];

/// All names and how each operator is treated.
pub(crate) fn names() -> impl Iterator<Item = (&'static str, Treatment)> {
    NAMES.iter().map(|(name, kind)| match kind {
        Kind::Rejected(why) => (*name, Treatment::Rejected(why)),
        Kind::Rbl => (*name, Treatment::Ignored("it never matches: nothing is asked over the network while a request waits; lists of addresses are the shield's")),
        _ => (*name, Treatment::Supported),
    })
}

/// Reads the operator argument of a `SecRule`.
pub(crate) fn read(lowering: &mut Lowering<'_>, directive: &Directive) -> Result<(Operator, bool), LoadError> {
    let text = directive.text(1);
    let trimmed = text.trim_start();
    let (negated, rest) = match trimmed.strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, trimmed),
    };
    let Some(named) = rest.strip_prefix('@') else {
        // Without a name it is `@rx`; the whole text is the pattern.
        let pattern = if negated { rest } else { text };
        return Ok((pattern_of(lowering, directive, pattern, 0)?, negated));
    };
    let end = named.find(|c: char| c.is_ascii_whitespace()).unwrap_or(named.len());
    let name = named.get(..end).unwrap_or_default();
    let argument = named.get(end..).unwrap_or_default();
    let argument = argument.strip_prefix([' ', '\t']).unwrap_or(argument);
    let at = text.len() - argument.len();
    let Some((_, kind)) = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
        let start = text.len() - named.len();
        return Err(directive.error(1, start, format!("there is no operator `@{name}`")));
    };
    Ok((operator(lowering, directive, *kind, argument, at)?, negated))
}

fn operator(
    lowering: &mut Lowering<'_>,
    directive: &Directive,
    kind: Kind,
    argument: &str,
    at: usize,
) -> Result<Operator, LoadError> {
    let fault = |what: String| directive.error(1, at, what);
    Ok(match kind {
        Kind::Rx => pattern_of(lowering, directive, argument, at)?,
        Kind::RxGlobal => Operator::PatternGlobal(lowering.pattern(argument).map_err(fault)?),
        Kind::Pm => Operator::Phrases(lowering.phrases(Phrases::new(Phrases::words(argument)))),
        Kind::PmFile => {
            let mut list = Vec::new();
            for name in argument.split_ascii_whitespace() {
                list.extend(Phrases::lines(data(lowering, directive, name, at)?));
            }
            Operator::Phrases(lowering.phrases(Phrases::new(list.into_iter())))
        }
        Kind::Order(order) => Operator::Compare(order, number(lowering.template(directive, 1, at, argument)?)),
        Kind::Text(relation) => Operator::Text(relation, lowering.template(directive, 1, at, argument)?),
        Kind::Ip => Operator::Address(Networks::read(argument).map_err(|word| fault(not_a_network(&word)))?),
        Kind::IpFile => {
            let bytes = data(lowering, directive, argument.trim(), at)?;
            let lines = Phrases::lines(bytes).map(|line| String::from_utf8_lossy(&line).into_owned());
            let joined = lines.collect::<Vec<_>>().join(",");
            Operator::Address(Networks::read(&joined).map_err(|word| fault(not_a_network(&word)))?)
        }
        Kind::Sqli => Operator::Sqli,
        Kind::Xss => Operator::Xss,
        Kind::Always => Operator::Always,
        Kind::Never | Kind::Rbl => Operator::Never,
        Kind::Schema => {
            let text = data(lowering, directive, argument.trim(), at)?;
            Operator::Schema(Box::new(Standalone::read(text).map_err(|what| {
                fault(format!("this is no JSON Schema that is judged as a whole: {what}"))
                    .help("XML Schema is not read")
            })?))
        }
        Kind::Geography => {
            lowering.note(Variable::Geo);
            Operator::Geography
        }
        Kind::ByteRange => Operator::ByteRange(
            validate::byte_range(argument).map_err(|part| fault(format!("`{part}` is not a range of bytes")))?,
        ),
        Kind::UrlEncoding => Operator::UrlEncoding,
        Kind::Utf8 => Operator::Utf8,
        Kind::Verify(digits) => Operator::Verify(digits, lowering.pattern(argument).map_err(fault)?),
        Kind::Rejected(why) => return Err(fault(format!("this operator is not supported: {why}"))),
    })
}

fn pattern_of(
    lowering: &mut Lowering<'_>,
    directive: &Directive,
    text: &str,
    at: usize,
) -> Result<Operator, LoadError> {
    if text.contains("%{") {
        let template = lowering.template(directive, 1, at, text)?;
        if template.fixed().is_none() {
            return Ok(Operator::MadePattern(template));
        }
    }
    let fault = |what: String| directive.error(1, at, what);
    Ok(Operator::Pattern(lowering.pattern(text).map_err(fault)?))
}

fn number(template: Template) -> Number {
    if let Some(text) = template.fixed() {
        return Number::Fixed(super::number(text.as_bytes()));
    }
    match template.pieces.as_slice() {
        [Piece::Value(Variable::Tx, Some(Key::Slot(slot)))] => Number::Slot(*slot),
        _ => Number::Made(template),
    }
}

fn data<'a>(lowering: &Lowering<'a>, directive: &Directive, name: &str, at: usize) -> Result<&'a [u8], LoadError> {
    lowering.bundle.beside(&directive.source.file, name).ok_or_else(|| {
        let message = format!("there is no phrase file `{name}` beside `{}`", directive.source.file);
        directive.error(1, at, message).help("give the folder that holds the `.data` files too")
    })
}

fn not_a_network(word: &str) -> String {
    format!("`{word}` is neither an address nor a network")
}
