//! Conditions of HTTP routes.

use super::{Context, gateways};
use crate::Cursor;
use ringwall_mesh::route::{Case, HttpMatch, Pattern, SourceMatch, StringMatch, UriMatch, code};
use ringwall_model::{Selector, Severity};

/// Lowers one block of `match`.
pub(super) fn lower(context: &Context<'_>, at: Cursor<'_>) -> HttpMatch {
    let case = if at.get("ignoreUriCase").flag() == Some(true) { Case::Ignored } else { Case::Sensitive };
    let uri_at = at.get("uri");
    let uri = string(uri_at).map(|is| UriMatch { is, case });
    if let Some(uri) = &uri {
        check_uri(uri_at, uri);
    }
    at.ignored("statPrefix", "metrics have the route's name");
    HttpMatch {
        name: at.get("name").string().unwrap_or_default().into(),
        place: at.place(),
        uri,
        scheme: string(at.get("scheme")),
        method: string(at.get("method")),
        authority: string(at.get("authority")),
        headers: named(at.get("headers"), Names::Fields),
        without_headers: named(at.get("withoutHeaders"), Names::Fields),
        query: named(at.get("queryParams"), Names::AsWritten),
        port: at.get("port").port(),
        source: source(context, at),
    }
}

/// `sourceLabels`, `sourceNamespace` and `gateways` of any match.
pub(super) fn source(context: &Context<'_>, at: Cursor<'_>) -> SourceMatch {
    let labels = at.get("sourceLabels");
    let gateways = gateways(at.get("gateways"), context.namespace);
    let source = SourceMatch {
        labels: Selector(labels.labels().unwrap_or_default()),
        namespace: at.get("sourceNamespace").filled().map(Into::into),
        gateways,
    };
    if !source.gateways.is_empty() && !source.labels.0.is_empty() {
        let title = "`gateways` in a match switches `sourceLabels` off: they do nothing here";
        labels.report(labels.finding(code::CONDITION, Severity::Warning, title));
    }
    source
}

#[derive(Clone, Copy, PartialEq)]
enum Names {
    /// In lower case.
    Fields,
    /// As they stand.
    AsWritten,
}

fn named(at: Cursor<'_>, names: Names) -> Vec<(Box<str>, StringMatch)> {
    let mut list = Vec::new();
    for (name, value) in at.entries() {
        if name.starts_with("@request.auth.") {
            let title = "routing by token claims is not supported: this condition is never met";
            value.report(value.finding(code::CLAIM_ROUTING, Severity::Warning, title));
            value.set_rest_aside();
            list.push((name.into(), StringMatch::Never));
            continue;
        }
        let is = string(value).unwrap_or(StringMatch::Present);
        let any = matches!(&is, StringMatch::Regex(pattern) if pattern.source() == "*");
        let name = if names == Names::Fields { name.to_ascii_lowercase() } else { name.into() };
        list.push((name.into(), if any { StringMatch::Present } else { is }));
    }
    list
}

/// `exact`, `prefix` or `regex`; `None` for an empty block or none at all.
pub(super) fn string(at: Cursor<'_>) -> Option<StringMatch> {
    let (exact, prefix, regex) = (at.get("exact"), at.get("prefix"), at.get("regex"));
    let told = [exact, prefix, regex].into_iter().filter(|one| one.is_present()).count();
    if told > 1 {
        return at
            .refuse_with("more than one of `exact`, `prefix`, `regex`", "write one of them")
            .or(Some(StringMatch::Never));
    }
    if told == 0 {
        return None;
    }
    if let Some(text) = exact.string() {
        return Some(StringMatch::Exact(text.into()));
    }
    if let Some(text) = prefix.string() {
        return Some(StringMatch::Prefix(text.into()));
    }
    let Some(text) = regex.string() else { return Some(StringMatch::Never) };
    // Istio takes the text `*` for any value, though it is no expression.
    if text == "*" {
        return Some(StringMatch::Present);
    }
    Some(expression(regex, text).map_or(StringMatch::Never, StringMatch::Regex))
}

/// A regular expression; what is none is reported.
pub(super) fn expression(at: Cursor<'_>, text: &str) -> Option<Pattern> {
    match Pattern::read(text) {
        Ok(pattern) => Some(pattern),
        Err(says) => {
            let title = format!("`{text}` is not a regular expression: {says}");
            at.report(at.finding(code::EXPRESSION, Severity::Error, title));
            None
        }
    }
}

fn check_uri(at: Cursor<'_>, uri: &UriMatch) {
    match &uri.is {
        StringMatch::Prefix(text) if text.len() > 1 && !text.ends_with('/') => {
            let title = format!("the prefix `{text}` is compared as text: it also matches `{text}0` and `{text}-x`");
            let help = format!("write `prefix: {text}/`, and `exact: {text}` beside it");
            at.report(at.finding(code::RAW_PREFIX, Severity::Note, title).help(help));
        }
        StringMatch::Exact(text) | StringMatch::Prefix(text) if !text.starts_with('/') && !text.is_empty() => {
            let title = format!("no path begins with `{text}`: every path begins with `/`");
            at.report(at.finding(code::CONDITION, Severity::Warning, title));
        }
        StringMatch::Exact(text) if text.contains('?') => {
            let title = "paths are compared without their query: this never matches";
            at.report(at.finding(code::CONDITION, Severity::Warning, title).help("use `queryParams`"));
        }
        StringMatch::Regex(_) if uri.case == Case::Ignored => {
            let title = "`ignoreUriCase` does nothing for a regular expression";
            at.report(at.finding(code::CONDITION, Severity::Warning, title).help("begin the expression with `(?i)`"));
        }
        _ => {}
    }
}
