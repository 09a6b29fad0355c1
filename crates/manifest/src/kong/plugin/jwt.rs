//! `jwt`

use super::super::schema::{Flag, flag, tell, texts};
use super::super::{Lowering, code};
use super::anonymous;
use crate::Cursor;
use ringwall_gateway::Compatibility;
use ringwall_gateway::plugin::jwt::{Jwt, TimeClaim};
use ringwall_model::Severity;
use std::collections::BTreeSet;

/// Lowers the configuration.
pub fn lower(at: Cursor<'_>, lowering: &Lowering<'_, '_>) -> Jwt {
    let claims_to_verify = claims(at.get("claims_to_verify"), lowering);
    let longest = at.get("maximum_expiration").integer(0..=31_536_000).and_then(|it| u64::try_from(it).ok());
    let maximum_expiration = longest.unwrap_or_default();
    expiry(at, &claims_to_verify, maximum_expiration, lowering);
    let query = at.get("uri_param_names");
    let uri_param_names = texts(query).unwrap_or_else(|| vec!["jwt".into()]);
    if !uri_param_names.is_empty() {
        let title = "tokens are taken from the query too, where logs and browsers keep them";
        tell(query, code::JWT_QUERY, Severity::Warning, title, "set `uri_param_names: []`");
    }
    let key_claim_name = at.get("key_claim_name").filled().unwrap_or("iss");
    if lowering.parts.consumers.iter().all(|consumer| consumer.jwt.is_empty()) {
        let title =
            format!("no consumer has a `jwt` credential that `{key_claim_name}` could name: every call ends with 401");
        let help = "add `jwt_secrets` to a consumer; for the rotating keys of a provider use `oidc`";
        tell(at, code::JWT_CREDENTIALS, Severity::Warning, title, help);
    } else if key_claim_name == "kid" {
        let title = "`kid` names a credential: each key that the provider rotates in needs a credential of its own";
        tell(
            at.get("key_claim_name"),
            code::JWT_CREDENTIALS,
            Severity::Warning,
            title,
            "use `oidc`, which follows the key set",
        );
    }
    Jwt {
        uri_param_names,
        cookie_names: texts(at.get("cookie_names")).unwrap_or_default(),
        header_names: texts(at.get("header_names")).unwrap_or_else(|| vec!["authorization".into()]),
        key_claim_name: key_claim_name.into(),
        secret_is_base64: flag(at.get("secret_is_base64"), Flag::Off).is_on(),
        claims_to_verify,
        maximum_expiration,
        anonymous: anonymous(at, lowering),
        run_on_preflight: flag(at.get("run_on_preflight"), Flag::On).is_on(),
        realm: at.get("realm").string().map(Into::into),
    }
}

fn claims(at: Cursor<'_>, lowering: &Lowering<'_, '_>) -> BTreeSet<TimeClaim> {
    let mut claims = BTreeSet::new();
    for text in texts(at).unwrap_or_default() {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let refused = if parts.len() > 1 { lowering.refused_by_kong() } else { Severity::Error };
        let read: Vec<_> = parts.iter().filter_map(|name| claim(name)).collect();
        let is_known = read.len() == parts.len();
        if parts.len() > 1 || !is_known {
            let title = "Kong refuses this: `config.claims_to_verify: expected one of: exp, nbf`";
            let severity = if is_known { refused } else { Severity::Error };
            tell(at, if is_known { code::COMMA } else { code::SCHEMA }, severity, title, "write a list: `[exp, nbf]`");
        }
        claims.extend(read);
    }
    claims
}

fn claim(name: &str) -> Option<TimeClaim> {
    match name {
        "exp" => Some(TimeClaim::Expires),
        "nbf" => Some(TimeClaim::NotBefore),
        _ => None,
    }
}

fn expiry(at: Cursor<'_>, claims: &BTreeSet<TimeClaim>, longest: u64, lowering: &Lowering<'_, '_>) {
    if claims.contains(&TimeClaim::Expires) {
        return;
    }
    let here = match lowering.compatibility() {
        Compatibility::Safe => "here `exp` is wanted always",
        Compatibility::Kong => "and so they do here",
    };
    let title = if longest == 0 {
        format!("`exp` is not among `claims_to_verify`: in Kong tokens never end; {here}")
    } else if claims.is_empty() {
        format!("`maximum_expiration` without `exp` in `claims_to_verify`: in Kong expired tokens pass; {here}")
    } else {
        let title = "Kong refuses this: `config.claims_to_verify: expected to contain: exp`";
        tell(at, code::JWT_EXPIRY, Severity::Error, title, "write `claims_to_verify: [exp, nbf]`");
        return;
    };
    tell(at, code::JWT_EXPIRY, Severity::Warning, title, "write `claims_to_verify: [exp, nbf]`");
}
