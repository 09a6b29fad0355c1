//! What a WafPolicy says of what the firewall cannot read: bodies, answers, messages that are not text. Nothing of it passes
//! unless the policy says so.

use super::{WafPolicy, code};
use crate::node::Cursor;
use crate::resource::Resource;
use ringwall_model::{RuleBook, RuleId, Severity};

/// What becomes of a body that cannot be read to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unreadable {
    /// It is refused.
    #[default]
    Refuse,
    /// What could be read is judged, and all of it passes.
    Pass,
}

/// What becomes of binary messages of a WebSocket, from either side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Binary {
    /// The texts in them are judged, and their bytes as a body.
    #[default]
    Judge,
    /// This rule refuses them.
    Refuse(RuleId),
    /// They pass, and nobody looks at them.
    Pass,
}

/// What becomes of what cannot be read, or not as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// A request's body that is not what it says, or more than is read: behind that place no rule looks.
    pub request: Unreadable,
    /// An answer in a coding that is not read, or in parts.
    pub response: Unreadable,
    /// Binary messages.
    pub binary: Binary,
}

#[derive(Clone, Copy)]
enum Word {
    Judge,
    Refuse,
    Pass,
}

const UNREADABLE: [(&str, Unreadable); 2] = [("refuse", Unreadable::Refuse), ("pass", Unreadable::Pass)];
const BINARY: [(&str, Word); 3] = [("judge", Word::Judge), ("refuse", Word::Refuse), ("pass", Word::Pass)];

pub(super) fn lower(spec: Cursor<'_>, resource: &Resource<'_>, rules: &mut RuleBook, policy: &mut WafPolicy) {
    let request = spec.get("requestBody").get("unreadable");
    let response = spec.get("responseBody").get("unreadable");
    let binary = spec.get("webSocket").get("binary");
    policy.unread = Unread {
        request: unreadable(request, "what stands behind the place where a body cannot be read passes unseen"),
        response: unreadable(response, "answers that cannot be read pass unseen"),
        binary: match binary.enumeration(&BINARY).unwrap_or(Word::Judge) {
            Word::Judge => Binary::Judge,
            Word::Refuse => Binary::Refuse(resource.rule_at(rules, binary)),
            Word::Pass => {
                looks_away(binary, "binary messages of WebSockets pass unseen, whatever text is in them");
                Binary::Pass
            }
        },
    };
}

/// Absent or wrong: refused.
fn unreadable(at: Cursor<'_>, title: &str) -> Unreadable {
    let unreadable = at.enumeration(&UNREADABLE).unwrap_or_default();
    if unreadable == Unreadable::Pass {
        looks_away(at, title);
    }
    unreadable
}

fn looks_away(at: Cursor<'_>, title: &str) {
    at.report(at.finding(code::WAF_REFUSES_NOTHING, Severity::Warning, title));
}
