//! `oidc` (community kong-oidc) and `openid-connect`: a bearer token of an OpenID provider.
//!
//! The login flow (redirects, sessions) is not supported; a configuration that needs it refuses every call, and lowering
//! says so. Kong-oidc's `bearer_only` falls into that flow unless an introspection endpoint is set; here bearer only
//! means it: no token, no call. Follows RFC 6750 (challenges), RFC 9068 (access tokens as JWT).

use super::Outcome;
use super::jwt::bearer;
use crate::reply;
use crate::walk::Walk;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ringwall_model::{Millis, Reply};
use ringwall_token::claims::strings;
use ringwall_token::{Algorithm, Claims, KeySource, Token, Verification};
use serde_json::Value;
use std::sync::Arc;

/// Configuration of `oidc` and `openid-connect`.
#[derive(Clone, Debug)]
pub struct Oidc {
    /// `oidc` or `openid-connect`.
    pub name: &'static str,
    /// The `iss` that tokens must have, exactly.
    pub issuer: Arc<str>,
    /// Where its keys are.
    pub keys: KeySource,
    /// Who tokens must be for.
    pub audience: Audience,
    /// Scopes that tokens must have, all of them.
    pub scopes: Vec<Box<str>>,
    /// Algorithms that are taken.
    pub algorithms: Vec<Algorithm>,
    /// What a call without a token meets.
    pub flow: Flow,
    /// Realm of challenges.
    pub realm: Box<str>,
    /// Claims that go to the service in fields: (claim path, field).
    pub header_claims: Vec<(Vec<Box<str>>, Box<str>)>,
    /// Field that carries all claims as base64 of JSON.
    pub userinfo_header: Option<Box<str>>,
    /// Claim with the caller's groups, for `acl`.
    pub groups_claim: Option<Vec<Box<str>>>,
    /// Claim that names a consumer, which must then exist.
    pub consumer_claim: Option<Vec<Box<str>>>,
    /// How far clocks may differ.
    pub leeway: Millis,
}

/// Who a token must be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Anyone: the configuration does not say.
    Any,
    /// One of these is in `aud`.
    OneOf(Vec<Box<str>>),
    /// This client is in `aud`, or is the party the token was issued to (`azp`, `client_id`).
    Client(Box<str>),
}

/// What a call without a token meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// 401.
    BearerOnly,
    /// It goes on unauthenticated (`unauth_action: pass`).
    PassUnauthenticated,
    /// The login flow, which is not supported: every call is refused.
    Login,
}

/// No token, or none that is good: 401. Too few scopes: 403.
pub fn judge(config: &Oidc, walk: &mut Walk<'_>) -> Outcome {
    if config.flow == Flow::Login {
        return Outcome::Refuse(reply::message(500, "An unexpected error occurred", walk.call.id));
    }
    let mut values = walk.call.fields.all("authorization");
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return refuse(config, walk, 401, Some("more than one token"));
    }
    let Some(text) = first.and_then(|value| bearer(value)) else {
        return match config.flow {
            Flow::PassUnauthenticated => Outcome::Pass,
            Flow::BearerOnly | Flow::Login => refuse(config, walk, 401, None),
        };
    };
    let token = match Token::read(text) {
        Ok(token) => token,
        Err(fault) => return refuse(config, walk, 401, Some(&fault.to_string())),
    };
    // Times, issuer and audience first: they cost nothing, and a token that fails them needs no key.
    if let Err(fault) = judge_claims(config, walk, &token) {
        return refuse(config, walk, 401, Some(fault));
    }
    match config.keys.verify(&token, walk.known) {
        Verification::Verified => {}
        Verification::Ask(question) => return Outcome::Ask(question),
        Verification::Refused(fault) => return refuse(config, walk, 401, Some(&fault.to_string())),
        Verification::Unanswered => return refuse(config, walk, 401, Some("keys of the issuer are not known")),
    }
    let claims = token.claims();
    let has = |scope: &str| strings(claims.get("scope")).flat_map(str::split_ascii_whitespace).any(|one| one == scope);
    if !config.scopes.iter().all(|scope| has(scope)) {
        return refuse(config, walk, 403, Some("insufficient scope"));
    }
    accept(config, walk, claims)
}

fn judge_claims(config: &Oidc, walk: &Walk<'_>, token: &Token) -> Result<(), &'static str> {
    let claims = token.claims();
    if !config.algorithms.contains(&token.algorithm()) {
        return Err("algorithm is not allowed");
    }
    if claims.issuer() != Some(&*config.issuer) {
        return Err("issuer is not the configured one");
    }
    if claims.expires().is_none() {
        return Err("token has no expiry");
    }
    claims.judge_times(walk.known.now, config.leeway).map_err(|_| "token is expired or not valid yet")?;
    let is_ours = match &config.audience {
        Audience::Any => true,
        Audience::OneOf(allowed) => claims.audiences().any(|one| allowed.iter().any(|allowed| **allowed == *one)),
        Audience::Client(client) => {
            let party = claims.string("azp").or_else(|| claims.string("client_id"));
            claims.audiences().chain(party).any(|one| one == &**client)
        }
    };
    if is_ours { Ok(()) } else { Err("audience is not allowed") }
}

fn accept(config: &Oidc, walk: &mut Walk<'_>, claims: &Claims) -> Outcome {
    if let Some(path) = &config.consumer_claim {
        let name = claims.at(path).and_then(Value::as_str);
        let Some(index) = name.and_then(|name| walk.gateway.directory().named(name)) else {
            return refuse(config, walk, 403, Some("no such consumer"));
        };
        walk.authenticate(index, name.unwrap_or_default());
    }
    let subject = claims.subject().or_else(|| claims.string("client_id")).or_else(|| claims.string("azp"));
    walk.caller.user = subject.map(Into::into);
    walk.caller.tenant = claims.string(&walk.gateway.settings.tenant_claim).map(Into::into);
    if walk.caller.credential.is_none() {
        walk.caller.credential = walk.caller.user.clone();
        walk.set("X-Credential-Identifier", subject.unwrap_or_default().to_owned());
    }
    walk.caller.claims = Some(claims.value().clone());
    if let Some(path) = &config.groups_claim {
        walk.groups = strings(claims.at(path)).map(Into::into).collect();
    }
    for (path, field) in &config.header_claims {
        match claims.at(path).and_then(field_value) {
            Some(value) => walk.set(field, value),
            None => walk.take_out(field),
        }
    }
    if let Some(field) = &config.userinfo_header {
        walk.set(field, STANDARD.encode(claims.value().to_string()));
    }
    Outcome::Pass
}

/// A claim as a field's value. A value that could end the line is none.
fn field_value(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        Value::Null => return None,
        other => other.to_string(),
    };
    (!text.chars().any(char::is_control)).then_some(text)
}

fn refuse(config: &Oidc, walk: &Walk<'_>, status: u16, fault: Option<&str>) -> Outcome {
    let error = if status == 403 { "insufficient_scope" } else { "invalid_token" };
    let challenge = match fault {
        None => format!("Bearer realm=\"{}\"", config.realm),
        Some(fault) => format!("Bearer realm=\"{}\", error=\"{error}\", error_description=\"{fault}\"", config.realm),
    };
    let message = if status == 403 { "Forbidden" } else { "Unauthorized" };
    let reply: Reply = reply::message(status, message, walk.call.id);
    Outcome::Refuse(reply::with(reply, "www-authenticate", Bytes::from(challenge)))
}
