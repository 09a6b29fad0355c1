//! What a WafPolicy leaves out: rules by id or tag, or targets of them.

use super::{WafPolicy, What, Written, code};
use crate::node::{Cursor, Value};
use ringwall_model::Severity;
use ringwall_waf::{Exclude, Interval};
use std::fmt::Write;

/// What an entry is about.
enum Rules {
    Ids(Interval),
    Tag(Box<str>),
}

/// Lowers one entry of `exclusions`. The engine's settings know names; what is a regular expression over names is given
/// back as lines of SecLang.
pub(super) fn lower(at: Cursor<'_>, policy: &mut WafPolicy) -> String {
    let mut lines = String::new();
    let mut about = Vec::new();
    for item in at.get("rules").items() {
        if let Some(ids) = ids(item) {
            policy.written.push(Written { place: item.place(), what: What::Ids(ids) });
            about.push(Rules::Ids(ids));
        }
    }
    for item in at.get("tags").items() {
        if let Some(tag) = item.filled().filter(|tag| is_plain(item, tag)) {
            policy.written.push(Written { place: item.place(), what: What::Tag(tag.into()) });
            about.push(Rules::Tag(tag.into()));
        }
    }
    let targets = at.get("targets");
    if about.is_empty() && at.is_sound() {
        let title = "an exclusion names `rules` or `tags`; this one leaves nothing out";
        at.report(at.finding(code::WAF_NO_EFFECT, Severity::Error, title));
    }
    for rules in about {
        if !targets.is_present() {
            let exclude = match rules {
                Rules::Ids(ids) => Exclude::Ids(ids),
                Rules::Tag(tag) => Exclude::Tag(tag),
            };
            if let Some(title) = leaves_nothing(&exclude) {
                at.report(at.finding(code::WAF_WIDE_EXCLUSION, Severity::Warning, title));
            }
            policy.settings.exclusions.push(exclude);
            continue;
        }
        for target in targets.items().filter_map(target) {
            leave_out(&rules, target, policy, &mut lines);
        }
    }
    lines
}

fn leave_out(rules: &Rules, target: &str, policy: &mut WafPolicy, lines: &mut String) {
    if !target.contains(":/") {
        policy.settings.exclusions.push(match rules {
            Rules::Ids(ids) => Exclude::TargetOfIds(*ids, target.into()),
            Rules::Tag(tag) => Exclude::TargetOfTag(tag.clone(), target.into()),
        });
        return;
    }
    // Writing to memory does not fail.
    let _ = match rules {
        Rules::Ids(Interval { from, to }) => {
            writeln!(lines, "SecRuleUpdateTargetById {from}-{to} \"!{target}\"")
        }
        Rules::Tag(tag) => writeln!(lines, "SecRuleUpdateTargetByTag \"{tag}\" \"!{target}\""),
    };
}

/// `942100` or `942100-942199`; a plain number too.
fn ids(at: Cursor<'_>) -> Option<Interval> {
    let node = at.peek()?;
    if let Value::Integer(number) = node.value {
        let id = u64::try_from(at.integer(1..=i64::MAX).unwrap_or(number)).ok()?;
        return Some(Interval { from: id, to: id });
    }
    let text = at.filled()?;
    match text.parse::<Interval>() {
        Ok(ids) if ids.from <= ids.to && ids.from > 0 => Some(ids),
        _ => at.refuse_with(format!("`{text}` is no rule id"), "ids look like `942100` or `942100-942199`"),
    }
}

/// A target as SecLang names it. It may become a part of a directive, so nothing in it may end one.
fn target(at: Cursor<'_>) -> Option<&str> {
    let text = at.filled()?.trim_start_matches('!');
    if !is_plain(at, text) {
        return None;
    }
    match ringwall_waf::check_target(text) {
        Ok(()) => Some(text),
        Err(why) => at.refuse_with(why, "targets look like `ARGS:password`, `REQUEST_COOKIES:/^_ga/`"),
    }
}

fn is_plain(at: Cursor<'_>, text: &str) -> bool {
    let plain = !text.chars().any(|c| c.is_control() || matches!(c, '"' | '|' | ','));
    if !plain {
        at.refuse::<()>("quotation marks, `|`, `,` and control characters are no part of a tag or a target");
    }
    plain
}

/// Whether an exclusion takes the very rules away that refuse.
fn leaves_nothing(exclude: &Exclude) -> Option<&'static str> {
    let judges = |ids: &Interval| [949_110, 959_100].iter().any(|id| ids.holds(*id));
    match exclude {
        Exclude::Ids(ids) if judges(ids) => Some("without this rule the scores are summed and nothing is refused"),
        Exclude::Tag(tag) if &**tag == "OWASP_CRS" => Some("every rule of the Core Rule Set bears this tag"),
        _ => None,
    }
}
