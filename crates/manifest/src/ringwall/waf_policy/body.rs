//! What a WafPolicy says of bodies: whether they are looked at, how much of them, and what becomes of longer ones.

use super::code;
use crate::node::Cursor;
use ringwall_model::Severity;
use ringwall_waf::{Access, Overflow, Settings};

/// The largest limit: what one call may hold in memory.
const MOST: i128 = 64 << 20;

const BEYOND: [(&str, Overflow); 2] = [("refuse", Overflow::Reject), ("pass", Overflow::Partial)];

pub(super) fn request(at: Cursor<'_>, settings: &mut Settings) {
    settings.request_body = access(at, "the firewall does not look at the bodies of requests");
    settings.request_limit = limit(at.get("limit"));
    settings.request_overflow = Some(beyond(at.get("beyond")));
}

pub(super) fn response(at: Cursor<'_>, settings: &mut Settings) {
    settings.response_body = access(at, "");
    settings.response_limit = limit(at.get("limit"));
    settings.response_overflow = Some(beyond(at.get("beyond")));
    let types = at.get("types");
    settings.response_types = types.list().map(|items| items.filter_map(media_type).collect());
    if settings.response_types.as_ref().is_some_and(Vec::is_empty) && types.is_sound() {
        let title = "an empty list names no media type: no response's body is looked at";
        types.report(types.finding(code::WAF_NO_EFFECT, Severity::Warning, title));
    }
}

fn access(at: Cursor<'_>, off: &str) -> Option<Access> {
    let inspect = at.get("inspect");
    match inspect.flag()? {
        true => Some(Access::On),
        false => {
            if !off.is_empty() {
                inspect.report(inspect.finding(code::WAF_REFUSES_NOTHING, Severity::Warning, off));
            }
            Some(Access::Off)
        }
    }
}

fn limit(at: Cursor<'_>) -> Option<usize> {
    let bytes = at.quantity()? / 1000;
    if !(1..=MOST).contains(&bytes) {
        return at.refuse_with(format!("{bytes} bytes are not within 1 and {MOST}"), "limits look like `512Ki`, `2Mi`");
    }
    usize::try_from(bytes).ok()
}

/// Absent or wrong: refused.
fn beyond(at: Cursor<'_>) -> Overflow {
    let beyond = at.enumeration(&BEYOND).unwrap_or_default();
    if beyond == Overflow::Partial {
        let title = "what stands beyond the limit passes and is not looked at";
        at.report(at.finding(code::WAF_REFUSES_NOTHING, Severity::Warning, title));
    }
    beyond
}

fn media_type(at: Cursor<'_>) -> Option<String> {
    let text = at.filled()?.to_ascii_lowercase();
    let plain = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+/".contains(c);
    if text == "text/event-stream" {
        let help = "server-sent events are looked at one by one when responses are; see `docs/layers/waf.md`";
        return at.refuse_with("a stream of events is never held back as one body", help);
    }
    if !text.chars().all(plain) || text.matches('/').count() != 1 {
        return at.refuse_with(format!("`{text}` is no media type"), "media types look like `application/json`");
    }
    Some(text)
}
