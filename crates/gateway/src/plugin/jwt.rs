//! `jwt`: a signed token whose key belongs to a consumer.
//!
//! Kong checks only the claims it is told to; [`Compatibility::Safe`] always wants an `exp` that lies ahead and an `nbf`,
//! where there is one, that does not.

use super::Outcome;
use super::key_auth::{Anonymous, anonymous};
use crate::entity::{ConsumerIndex, JwtCredential, VerifyKey};
use crate::template::query_values;
use crate::walk::Walk;
use crate::{Compatibility, reply};
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use ringwall_model::Reply;
use ringwall_token::{Claims, Key, Token};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Configuration of `jwt`.
#[derive(Clone, Debug)]
pub struct Jwt {
    /// Arguments of the query that may hold the token.
    pub uri_param_names: Vec<Box<str>>,
    /// Cookies that may hold it.
    pub cookie_names: Vec<Box<str>>,
    /// Fields that may hold it, after `Bearer`.
    pub header_names: Vec<Box<str>>,
    /// The claim that names the credential.
    pub key_claim_name: Box<str>,
    /// Whether shared secrets are written in base64.
    pub secret_is_base64: bool,
    /// Claims that must be there and good.
    pub claims_to_verify: BTreeSet<TimeClaim>,
    /// How far ahead `exp` may lie, in seconds; 0 for any.
    pub maximum_expiration: u64,
    /// What a call without a good token becomes.
    pub anonymous: Anonymous,
    /// Whether `OPTIONS` calls need a token too.
    pub run_on_preflight: bool,
    /// Realm of the challenge.
    pub realm: Option<Box<str>>,
}

/// A claim that says when a token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimeClaim {
    /// `exp`
    Expires,
    /// `nbf`
    NotBefore,
}

/// Why a call is refused.
enum Fault {
    /// With `{"message":…}`.
    Says(String),
    /// With an object of claims and what is wrong with them.
    Claims(Value),
    /// There is no token.
    Nothing,
}

/// No token, or none that is good: 401.
pub fn judge(config: &Jwt, walk: &mut Walk<'_>) -> Outcome {
    let has_other = matches!(config.anonymous, Anonymous::Consumer(_)) && walk.is_authenticated();
    if has_other || (!config.run_on_preflight && walk.call.method == "OPTIONS") {
        return Outcome::Pass;
    }
    match verify(config, walk) {
        Ok((index, key, claims)) => {
            let user = claims.subject().map(Into::into);
            walk.caller.user = user;
            walk.caller.tenant = claims.string(&walk.gateway.settings.tenant_claim).map(Into::into);
            walk.caller.claims = Some(claims.value().clone());
            walk.authenticate(index, &key);
            Outcome::Pass
        }
        Err(fault) => {
            let refusal = refusal(config, walk, fault);
            anonymous(&config.anonymous, walk, refusal)
        }
    }
}

fn verify(config: &Jwt, walk: &Walk<'_>) -> Result<(ConsumerIndex, Box<str>, Claims), Fault> {
    let says = |text: &str| Fault::Says(text.to_owned());
    let tokens = tokens(config, walk);
    let text = match tokens.iter().collect::<Vec<_>>().as_slice() {
        [] => return Err(Fault::Nothing),
        [one] => (*one).clone(),
        _ => return Err(says("Multiple tokens provided")),
    };
    let token = Token::read(&text).map_err(|fault| Fault::Says(format!("Bad token; {fault}")))?;
    let name = &*config.key_claim_name;
    let claim = token.claims().string(name).or_else(|| if name == "kid" { token.kid() } else { None });
    let key = claim.ok_or_else(|| Fault::Says(format!("No mandatory '{name}' in claims")))?;
    if key.is_empty() {
        return Err(Fault::Says(format!("Invalid '{name}' in claims")));
    }
    let no_credential = || Fault::Says(format!("No credentials found for given '{name}'"));
    let (index, number) = walk.gateway.directory().of_token(key).ok_or_else(no_credential)?;
    let consumer = walk.gateway.consumers.get(index.0 as usize);
    let credential = consumer.and_then(|it| it.jwt.get(number as usize)).ok_or_else(no_credential)?;
    if token.algorithm() != credential.algorithm {
        return Err(says("Invalid algorithm"));
    }
    let key = verify_key(config, credential).ok_or_else(|| says("Invalid key/secret"))?;
    key.verify(&token).map_err(|_| says("Invalid signature"))?;
    judge_claims(config, walk, token.claims())?;
    Ok((index, credential.key.clone(), token.claims().clone()))
}

fn verify_key(config: &Jwt, credential: &JwtCredential) -> Option<Key> {
    match &credential.verify {
        VerifyKey::Public(key) => Some(key.clone()),
        VerifyKey::Secret(secret) if config.secret_is_base64 => {
            decode_secret(secret).map(|secret| Key::secret(&secret))
        }
        VerifyKey::Secret(secret) => Some(Key::secret(secret)),
        VerifyKey::Unreadable => None,
    }
}

/// Kong takes both alphabets, with and without padding.
fn decode_secret(secret: &[u8]) -> Option<Vec<u8>> {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let standard = |byte: &u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => *other,
    };
    let text: Vec<u8> = secret.iter().map(standard).collect();
    GeneralPurpose::new(&base64::alphabet::STANDARD, lenient).decode(text).ok().filter(|secret| !secret.is_empty())
}

fn judge_claims(config: &Jwt, walk: &Walk<'_>, claims: &Claims) -> Result<(), Fault> {
    let now = walk.known.now.seconds() as f64;
    let seconds = |name: &str| claims.get(name).and_then(Value::as_f64);
    let (expires, not_before) = (seconds("exp"), seconds("nbf"));
    let safe = walk.compatibility() == Compatibility::Safe;
    let wants = |claim| config.claims_to_verify.contains(&claim);
    let mut faults = serde_json::Map::new();
    if safe || wants(TimeClaim::Expires) {
        match expires {
            None => faults.insert("exp".into(), json!("must be a number")),
            Some(expires) if expires <= now => faults.insert("exp".into(), json!("token expired")),
            Some(_) => None,
        };
    }
    if wants(TimeClaim::NotBefore) && not_before.is_none() {
        faults.insert("nbf".into(), json!("must be a number"));
    }
    if (safe || wants(TimeClaim::NotBefore)) && not_before.is_some_and(|from| from > now) {
        faults.insert("nbf".into(), json!("token not valid yet"));
    }
    if faults.is_empty() && config.maximum_expiration > 0 {
        // Kong subtracts without asking whether the token has expired: one that has always passes this check.
        let ahead = expires.unwrap_or(f64::MAX) - now;
        if ahead > config.maximum_expiration as f64 {
            faults.insert("exp".into(), json!("exceeds maximum allowed expiration"));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Fault::Claims(Value::Object(faults))) }
}

/// The distinct tokens of the call.
fn tokens(config: &Jwt, walk: &Walk<'_>) -> BTreeSet<Vec<u8>> {
    let query = walk.call.views.query.as_deref().unwrap_or_default();
    let mut tokens: BTreeSet<Vec<u8>> =
        config.uri_param_names.iter().flat_map(|name| query_values(query, name)).filter(|it| !it.is_empty()).collect();
    for name in &config.cookie_names {
        tokens.extend(cookies(walk, name));
    }
    for name in &config.header_names {
        tokens.extend(walk.call.fields.first(name).and_then(|value| bearer(value)).map(<[u8]>::to_vec));
    }
    tokens
}

fn cookies(walk: &Walk<'_>, name: &str) -> Vec<Vec<u8>> {
    let pair = |pair: &[u8]| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        (!value.is_empty()).then(|| value.to_vec())
    };
    walk.call.fields.all("cookie").flat_map(|line| line.split(|byte| *byte == b';').filter_map(pair)).collect()
}

/// The token after `Bearer` (RFC 6750 section 2.1).
pub fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.trim_ascii().split_at_checked(6)?;
    let token = rest.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer") && rest.first().is_some_and(u8::is_ascii_whitespace) && !token.is_empty())
        .then_some(token)
}

fn refusal(config: &Jwt, walk: &Walk<'_>, fault: Fault) -> Reply {
    let realm = config.realm.as_deref().map(|realm| format!("realm=\"{realm}\""));
    let bare = matches!(fault, Fault::Nothing);
    let parts: Vec<String> = realm.into_iter().chain((!bare).then(|| "error=\"invalid_token\"".into())).collect();
    let challenge = if parts.is_empty() { "Bearer".to_owned() } else { format!("Bearer {}", parts.join(", ")) };
    let reply = match fault {
        Fault::Nothing => reply::message(401, "Unauthorized", walk.call.id),
        Fault::Says(text) => reply::message(401, &text, walk.call.id),
        Fault::Claims(claims) => Reply::json(401, claims.to_string()),
    };
    reply::with(reply, "www-authenticate", Bytes::from(challenge))
}
