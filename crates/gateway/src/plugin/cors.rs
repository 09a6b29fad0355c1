//! `cors`: which pages of other origins may call (Fetch standard, section 3.2).

use super::Outcome;
use crate::Compatibility;
use crate::router::Pattern;
use crate::walk::Walk;
use bytes::Bytes;
use ringwall_model::{FieldEdit, Reply};

/// Configuration of `cors`.
#[derive(Clone, Debug)]
pub struct Cors {
    /// Origins that may; empty is any, as in Kong.
    pub origins: Vec<Origin>,
    /// Methods they may use.
    pub methods: Vec<Box<str>>,
    /// Fields they may send; empty repeats what the preflight asks for.
    pub headers: Vec<Box<str>>,
    /// Response fields they may read.
    pub exposed_headers: Vec<Box<str>>,
    /// Whether they may send cookies and credentials.
    pub credentials: bool,
    /// For how many seconds a preflight counts.
    pub max_age: Option<u64>,
    /// Whether preflights go on to the service.
    pub preflight_continue: bool,
}

/// Origins that may call.
#[derive(Clone, Debug)]
pub enum Origin {
    /// `*`
    Any,
    /// This one.
    Exact(Box<str>),
    /// All that fit an expression.
    Pattern(Pattern),
}

impl Origin {
    /// Reads one entry: `*`, an origin, or an expression when it holds a character that no origin has. Kong leaves
    /// expressions open at both ends; [`Compatibility::Safe`] closes them.
    pub fn read(text: &str, compatibility: Compatibility) -> Option<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '/' | '.' | '-' | '_');
        if text == "*" {
            return Some(Self::Any);
        }
        if text.chars().all(is_plain) {
            return Some(Self::Exact(text.trim_end_matches('/').to_ascii_lowercase().into()));
        }
        let closed = match compatibility {
            Compatibility::Safe => format!("^(?:{text})$"),
            Compatibility::Kong => text.to_owned(),
        };
        Pattern::compile_for_field(&closed, Compatibility::Safe).ok().map(Self::Pattern)
    }

    fn fits(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(text) => text.as_bytes().eq_ignore_ascii_case(origin),
            Self::Pattern(pattern) => pattern.is_in(origin),
        }
    }
}

/// Answers preflights, and tells browsers who may read the response. It refuses nobody: CORS is the browser's rule.
pub fn judge(config: &Cors, walk: &mut Walk<'_>) -> Outcome {
    let Some(origin) = walk.call.fields.first("origin").cloned() else { return Outcome::Pass };
    let is_any = config.origins.is_empty() || config.origins.iter().any(|rule| matches!(rule, Origin::Any));
    let mut fields: Vec<(&'static str, Bytes)> = Vec::new();
    if is_any || config.origins.iter().any(|rule| rule.fits(&origin)) {
        // Kong answers "any origin, with credentials" by naming whatever origin asks, which opens every user's session
        // to every page. Safe: any origin, without credentials.
        let names_origin = !is_any || (config.credentials && walk.compatibility() == Compatibility::Kong);
        let allowed = if names_origin { origin } else { Bytes::from_static(b"*") };
        fields.push(("access-control-allow-origin", allowed));
        if names_origin {
            fields.push(("vary", Bytes::from_static(b"Origin")));
        }
        if config.credentials && names_origin {
            fields.push(("access-control-allow-credentials", Bytes::from_static(b"true")));
        }
    }
    let asks = walk.call.fields.first("access-control-request-method").is_some();
    if walk.call.method == "OPTIONS" && asks && !config.preflight_continue {
        preflight(config, walk, &mut fields);
        return Outcome::Refuse(Reply::Http { status: 200, fields, body: Bytes::new() });
    }
    if !config.exposed_headers.is_empty() {
        fields.push(("access-control-expose-headers", config.exposed_headers.join(",").into()));
    }
    walk.response
        .extend(fields.into_iter().map(|(name, value)| FieldEdit::Set(Bytes::from_static(name.as_bytes()), value)));
    Outcome::Pass
}

fn preflight(config: &Cors, walk: &Walk<'_>, fields: &mut Vec<(&'static str, Bytes)>) {
    let asked = walk.call.fields.first("access-control-request-headers").cloned();
    let headers = if config.headers.is_empty() { asked } else { Some(config.headers.join(",").into()) };
    fields.extend(headers.map(|headers| ("access-control-allow-headers", headers)));
    fields.push(("access-control-allow-methods", config.methods.join(",").into()));
    fields.extend(config.max_age.map(|seconds| ("access-control-max-age", seconds.to_string().into())));
}
