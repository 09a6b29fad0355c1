//! The refusals of the mesh: status, body, fields and details as Envoy writes them.
//!
//! In: the rule. Out: a judgement with its details. Never: text of the caller that was not made harmless first.

use crate::request_authentication::judge::Refusal;
use bytes::Bytes;
use ringwall_model::{Builtin, Call, Judgement, Reason, Reply, RuleId};
use std::sync::Arc;

type Refused = (Judgement, Arc<str>);

/// 403 `RBAC: access denied`.
pub fn authorization(because: Reason, details: Arc<str>) -> Refused {
    (Judgement::refuse(because, Reply::text(403, "RBAC: access denied")), details)
}

/// The details when no ALLOW rule matches.
pub fn no_rule() -> Arc<str> {
    "rbac_access_denied_matched_policy[none]".into()
}

/// The peer did not prove an identity where one is demanded. Envoy resets such a connection in the handshake.
pub fn plaintext(because: Reason) -> Refused {
    let because = if because == Reason::NoRuleApplies { Reason::Builtin("mesh/mtls-required") } else { because };
    (Judgement::refuse(because, Reply::Reset), "mtls_required".into())
}

/// A security header was repeated.
pub fn duplicate_header() -> Refused {
    builtin("mesh/duplicate-security-header", 400, "a security header is repeated", "duplicate_security_header")
}

/// A claim cannot be written into a header.
pub fn claim_value() -> Refused {
    builtin("mesh/claim-not-a-field-value", 401, "a claim is not fit for a header", "claim_not_a_field_value")
}

/// There are no rules for this workload at all, not even empty ones.
pub fn unknown_workload() -> Refused {
    builtin("mesh/unknown-workload", 403, "RBAC: access denied", "unknown_workload")
}

/// A token is refused: 401, or 403 when it is for somebody else.
pub fn token(rule: RuleId, why: Refusal, call: &Call) -> Refused {
    let status = if why == Refusal::Audience { 403 } else { 401 };
    let text = why.to_string();
    let details = format!("jwt_authn_access_denied{{{}}}", text.replace(' ', "_"));
    let mut reply = Reply::text(status, text);
    if let Reply::Http { fields, .. } = &mut reply {
        fields.push(("www-authenticate", challenge(call)));
    }
    (Judgement::refuse(Reason::Rule(rule), reply), details.into())
}

fn builtin(name: Builtin, status: u16, body: &'static str, details: &str) -> Refused {
    (Judgement::refuse(Reason::Builtin(name), Reply::text(status, body)), details.into())
}

/// `Bearer realm="<scheme>://<host><path>", error="invalid_token"` (RFC 6750 section 3); the path without its query,
/// 256 bytes at most, and nothing in it that could end the quoted string.
fn challenge(call: &Call) -> Bytes {
    let harmless = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    let clean = |bytes: &[u8]| -> String { bytes.iter().copied().filter(harmless).take(256).map(char::from).collect() };
    let (scheme, host, path) = (call.scheme.as_str(), clean(&call.authority), clean(&call.views.istio));
    format!(r#"Bearer realm="{scheme}://{host}{path}", error="invalid_token""#).into()
}
