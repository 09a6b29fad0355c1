//! The one Lua filter that is understood: compare the client's address with a literal list, and refuse.
//!
//! In: source text. Out: the list as data. The text is never run; a filter that does anything else is not recognised.

use super::Extra;
use crate::Cursor;
use ringwall_mesh::route::code;
use ringwall_model::Severity;
use std::net::IpAddr;

/// Words of Lua and names that such a filter may use beside its own variables.
const CALLS: [&str; 6] = ["envoy_on_request", "headers", "get", "ipairs", "pairs", "respond"];

/// Reads the filter; `None` when it is another one.
pub(super) fn blocklist(at: Cursor<'_>, config: Cursor<'_>) -> Option<Extra> {
    let source = config.get_either("inline_code", "inlineCode");
    let source = if source.is_present() { source } else { config.get("default_source_code").get("inline_string") };
    let text = strip_comments(source.filled()?);
    let compact: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if !compact.contains("envoy_on_request") || !only_known_calls(&compact) {
        return None;
    }
    let strings = strings(&compact);
    let reads = strings.iter().any(|text| text.eq_ignore_ascii_case("x-forwarded-for"));
    let compares = compact.contains("==");
    let (_, list) = compact.split_once("= {")?;
    let (list, _) = list.split_once('}')?;
    let literals = self::strings(list);
    let addresses: Vec<IpAddr> = literals.iter().filter_map(|text| text.parse().ok()).collect();
    if !reads || !compares || addresses.is_empty() || addresses.len() != literals.len() {
        return None;
    }
    let (_, answer) = compact.split_once("respond(")?;
    let answer = self::strings(answer);
    let status = answer.iter().find_map(|text| text.parse().ok().filter(|status| (200..600).contains(status)));
    let body = answer.last().copied().unwrap_or_default();
    let title = "Lua is not run: the list was read as data, and the client's address is compared with it";
    at.report(at.finding(code::LUA, Severity::Note, title));
    let title = "in Istio this filter is gone around by sending `X-Forwarded-For`: the header then holds two addresses and equals none of the list";
    let help = "write a ShieldPolicy with a blocklist, or an AuthorizationPolicy with `notRemoteIpBlocks`";
    at.report(at.finding(code::LIST_BYPASS, Severity::Warning, title).help(help));
    Some(Extra::Blocklist { addresses, status: status.unwrap_or(403), body: body.into(), place: at.place() })
}

/// Without `--` comments; a `--` inside a string ends the line too, and so makes the filter unknown.
fn strip_comments(text: &str) -> String {
    text.lines().map(|line| line.split_once("--").map_or(line, |(code, _)| code)).collect::<Vec<_>>().join("\n")
}

/// The texts in double quotes, in order.
fn strings(text: &str) -> Vec<&str> {
    text.split('"').skip(1).step_by(2).collect()
}

/// Whether everything that is called is known.
fn only_known_calls(text: &str) -> bool {
    let quoted_away: String = text.split('"').step_by(2).collect::<Vec<_>>().join("\"\"");
    let before_parentheses = quoted_away.split('(').rev().skip(1);
    before_parentheses.into_iter().all(|before| {
        let name: &str =
            before.trim_end().rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
        CALLS.contains(&name)
    })
}
