//! Whether a call meets the conditions of an HTTP route.
//!
//! In: [`HttpMatch`], a `Call`. Out: yes or no. Never: which route is chosen.
//! Follows istio/api `HTTPMatchRequest` as Istio translates it for Envoy: a prefix is a raw string prefix, a regular
//! expression matches the whole text, repeated header lines are matched one by one, a missing header counts as empty
//! in `withoutHeaders`.

use super::resource::SourceMatch;
use ringwall_model::{Call, Place};

/// One block of conditions: all must hold.
#[derive(Clone, Debug)]
pub struct HttpMatch {
    /// Name of the block.
    pub name: Box<str>,
    /// Where it stands.
    pub place: Place,
    /// Path without query, normalized.
    pub uri: Option<UriMatch>,
    /// Scheme.
    pub scheme: Option<StringMatch>,
    /// Method.
    pub method: Option<StringMatch>,
    /// Authority, with its port when it has one.
    pub authority: Option<StringMatch>,
    /// Headers that must match.
    pub headers: Vec<(Box<str>, StringMatch)>,
    /// Headers that must not match.
    pub without_headers: Vec<(Box<str>, StringMatch)>,
    /// Query parameters, compared undecoded; the first of a name counts.
    pub query: Vec<(Box<str>, StringMatch)>,
    /// Port of the service or of the gateway's server.
    pub port: Option<u16>,
    /// Conditions that no call changes.
    pub source: SourceMatch,
}

impl HttpMatch {
    /// A block without conditions.
    pub fn any(place: Place) -> Self {
        Self {
            name: "".into(),
            place,
            uri: None,
            scheme: None,
            method: None,
            authority: None,
            headers: Vec::new(),
            without_headers: Vec::new(),
            query: Vec::new(),
            port: None,
            source: SourceMatch::default(),
        }
    }

    /// Whether it matches every call: no condition but perhaps the prefix `/`.
    pub fn is_catch_all(&self) -> bool {
        let uri = match &self.uri {
            None => true,
            Some(uri) => matches!(&uri.is, StringMatch::Prefix(prefix) if &**prefix == "/"),
        };
        uri && self.port.is_none() && self.is_path_only()
    }

    /// Whether nothing but path and port is asked.
    pub(crate) fn is_path_only(&self) -> bool {
        self.scheme.is_none()
            && self.method.is_none()
            && self.authority.is_none()
            && self.headers.is_empty()
            && self.without_headers.is_empty()
            && self.query.is_empty()
    }

    /// Whether the call, come in on `port`, meets all conditions.
    pub fn matches(&self, call: &Call, port: u16) -> bool {
        self.uri.as_ref().is_none_or(|uri| uri.matches(&call.views.istio)) && self.matches_rest(call, port)
    }

    /// All conditions but the path.
    pub(crate) fn matches_rest(&self, call: &Call, port: u16) -> bool {
        self.port.is_none_or(|wanted| wanted == port)
            && self.method.as_ref().is_none_or(|is| is.matches(&call.method))
            && self.scheme.as_ref().is_none_or(|is| is.matches(call.scheme.as_str().as_bytes()))
            && self.authority.as_ref().is_none_or(|is| is.matches(&call.authority))
            && self.headers.iter().all(|(name, is)| header(call, name, is))
            && self.without_headers.iter().all(|(name, is)| !header_or_empty(call, name, is))
            && self.query.iter().all(|(name, is)| parameter(call, name).is_some_and(|value| is.matches(value)))
    }
}

fn header(call: &Call, name: &str, is: &StringMatch) -> bool {
    match name {
        ":method" => is.matches(&call.method),
        ":authority" | "host" => is.matches(&call.authority),
        ":path" => is.matches(&call.target),
        ":scheme" => is.matches(call.scheme.as_str().as_bytes()),
        _ => call.fields.all(name).any(|value| is.matches(value)),
    }
}

fn header_or_empty(call: &Call, name: &str, is: &StringMatch) -> bool {
    if name.starts_with(':') || name == "host" || call.fields.first(name).is_some() {
        return header(call, name, is);
    }
    !matches!(is, StringMatch::Present) && is.matches(b"")
}

/// The first value of a query parameter; empty for a key without value.
fn parameter<'a>(call: &'a Call, name: &str) -> Option<&'a [u8]> {
    let query = call.views.query.as_ref()?;
    query.split(|byte| *byte == b'&').find_map(|pair| {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let key = parts.next()?;
        (key == name.as_bytes()).then(|| parts.next().unwrap_or_default())
    })
}

/// A condition on the path.
#[derive(Clone, Debug)]
pub struct UriMatch {
    /// The condition.
    pub is: StringMatch,
    /// Whether case counts.
    pub case: Case,
}

/// Whether case counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Case {
    /// It does.
    #[default]
    Sensitive,
    /// It does not (`ignoreUriCase`; never for regular expressions).
    Ignored,
}

impl UriMatch {
    /// Whether the path meets it.
    pub fn matches(&self, path: &[u8]) -> bool {
        match (&self.is, self.case) {
            (StringMatch::Exact(text), Case::Ignored) => path.eq_ignore_ascii_case(text.as_bytes()),
            (StringMatch::Prefix(text), Case::Ignored) => {
                path.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text.as_bytes()))
            }
            (is, _) => is.matches(path),
        }
    }
}

/// A condition on a text.
#[derive(Clone, Debug)]
pub enum StringMatch {
    /// The same text.
    Exact(Box<str>),
    /// A text that begins so.
    Prefix(Box<str>),
    /// A text that the expression matches as a whole.
    Regex(Pattern),
    /// Any text, the empty one too.
    Present,
    /// No text: what is left of a condition that could not be read.
    Never,
}

impl StringMatch {
    /// Whether the text meets it.
    pub fn matches(&self, text: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => text == exact.as_bytes(),
            Self::Prefix(prefix) => text.starts_with(prefix.as_bytes()),
            Self::Regex(pattern) => pattern.is_match(text),
            Self::Present => true,
            Self::Never => false,
        }
    }
}

/// A regular expression (RE2 syntax, which the crate `regex-automata` shares but for a few corners), linear in time.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: Box<str>,
    /// Anchored at both ends.
    whole: regex_automata::meta::Regex,
    /// As written, for rewriting.
    part: regex_automata::meta::Regex,
}

impl Pattern {
    /// Reads an expression; at most 1 MiB compiled.
    ///
    /// # Errors
    /// One sentence that says what is wrong with it.
    pub fn read(source: &str) -> Result<Self, String> {
        let build = |source: &str| {
            let limits =
                regex_automata::meta::Config::new().nfa_size_limit(Some(1 << 20)).onepass_size_limit(Some(1 << 20));
            regex_automata::meta::Regex::builder().configure(limits).build(source).map_err(|error| says(&error))
        };
        // The expression alone first: `a)|(b` must not become valid by being wrapped.
        let part = build(source)?;
        let whole = build(&format!("^(?:{source})$"))?;
        Ok(Self { source: source.into(), whole, part })
    }

    /// The expression as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it matches the whole text.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.whole.is_match(text)
    }

    pub(crate) const fn part(&self) -> &regex_automata::meta::Regex {
        &self.part
    }
}

fn says(error: &regex_automata::meta::BuildError) -> String {
    match (error.syntax_error(), error.size_limit()) {
        (Some(syntax), _) => {
            syntax.to_string().lines().last().unwrap_or("bad syntax").trim_start_matches("error: ").into()
        }
        (None, Some(limit)) => format!("compiled, it would need more than {limit} bytes"),
        (None, None) => error.to_string(),
    }
}
