//! `consumers` and their credentials.

use super::declarative::{enter, reference};
use super::schema::{COMMENTS, tell};
use super::{Lowering, code};
use crate::Cursor;
use ringwall_gateway::entity::{BasicCredential, JwtCredential, KeyCredential, VerifyKey};
use ringwall_gateway::{Consumer, ConsumerIndex, Scope};
use ringwall_model::Severity;
use ringwall_token::{Algorithm, Key};

/// The lists of credentials, in consumers and for themselves.
const LISTS: [&str; 5] =
    ["jwt_secrets", "keyauth_credentials", "basicauth_credentials", "acls", "hmacauth_credentials"];

/// Lowers all consumers of a document, with what is in them, and credentials that stand for themselves.
pub fn lower_all<'a>(root: Cursor<'a>, lowering: &mut Lowering<'a, '_>) {
    for at in root.get("consumers").items() {
        at.descriptive(&COMMENTS);
        let index = ConsumerIndex(u32::try_from(lowering.parts.consumers.len()).unwrap_or(u32::MAX));
        let (username, custom_id) = (at.get("username").filled(), at.get("custom_id").filled());
        let id = at.get("id").string();
        if username.is_none() && custom_id.is_none() {
            let title = "Kong refuses this: `at least one of these fields must be non-empty: 'custom_id', 'username'`";
            tell(at, code::SCHEMA, Severity::Error, title, "");
        }
        let mut consumer = Consumer {
            id: id.or(username).or(custom_id).unwrap_or_default().into(),
            username: username.map(Into::into),
            custom_id: custom_id.map(Into::into),
            ..Consumer::default()
        };
        credentials(at, &mut consumer);
        at.ignored("groups", "consumer groups are of the commercial edition");
        enter(at, &mut lowering.consumers, &[username, id.filter(|id| Some(*id) != username)], index);
        lowering.parts.consumers.push(consumer);
        let scope = Scope { consumer: Some(index), ..Scope::default() };
        lowering.plugins.extend(at.get("plugins").items().map(|plugin| (plugin, scope)));
    }
    let names = lowering.consumers.clone();
    let consumers = &mut lowering.parts.consumers;
    for list in LISTS {
        for at in root.get(list).items() {
            let found = reference(at.get("consumer")).and_then(|name| names.get(name)).copied();
            if found.is_none() {
                tell(at, code::REFERENCE, Severity::Error, "Kong refuses this: `consumer: invalid reference`", "");
            }
            if let Some(consumer) = found.and_then(|index| consumers.get_mut(index.0 as usize)) {
                credential(list, at, consumer);
            }
        }
    }
}

fn credentials(at: Cursor<'_>, consumer: &mut Consumer) {
    for list in LISTS {
        for item in at.get(list).items() {
            credential(list, item, consumer);
        }
    }
}

fn credential(list: &str, at: Cursor<'_>, consumer: &mut Consumer) {
    at.descriptive(&COMMENTS);
    let id = at.get("id").string().unwrap_or_default();
    match list {
        "jwt_secrets" => consumer.jwt.extend(jwt(at)),
        "keyauth_credentials" => {
            let key = at.get("key").required().filled();
            consumer.keys.extend(key.map(|key| KeyCredential { id: id.into(), key: key.into() }));
        }
        "basicauth_credentials" => {
            let username = at.get("username").required().filled();
            let password = at.get("password").required().filled();
            let pair = username.zip(password);
            consumer.basic.extend(
                pair.map(|(username, password)| BasicCredential {
                    username: username.into(),
                    password: password.into(),
                }),
            );
        }
        "acls" => consumer.groups.extend(at.get("group").required().filled().map(Into::into)),
        _ => {
            let _ = at.whole();
            let title = "`hmac-auth` is not supported, so this credential opens nothing";
            tell(at, code::CREDENTIAL, Severity::Warning, title, "");
        }
    }
}

fn jwt(at: Cursor<'_>) -> Option<JwtCredential> {
    let key = at.get("key").required().filled()?;
    let named = at.get("algorithm");
    let algorithm = match named.string() {
        None => Some(Algorithm::Hs256),
        Some(name) => Algorithm::named(name),
    };
    let Some(algorithm) = algorithm else {
        tell(named, code::CREDENTIAL, Severity::Error, "Kong refuses this: `algorithm: expected one of: HS256, …`", "");
        return None;
    };
    let (secret, public) = (at.get("secret"), at.get("rsa_public_key"));
    let verify = if algorithm.is_symmetric() {
        secret.filled().map_or(VerifyKey::Unreadable, |secret| VerifyKey::Secret(secret.as_bytes().into()))
    } else {
        let _ = secret.string();
        match public.filled().map(Key::public_pem) {
            Some(Ok(key)) => VerifyKey::Public(key.only_for(algorithm)),
            Some(Err(fault)) => {
                let title = format!("Kong refuses this: `rsa_public_key: invalid key` (it {fault})");
                tell(public, code::CREDENTIAL, Severity::Error, title, "");
                VerifyKey::Unreadable
            }
            None => VerifyKey::Unreadable,
        }
    };
    if matches!(verify, VerifyKey::Unreadable) {
        let title = format!("credential `{key}` has no key that verifies {}", algorithm.name());
        tell(at, code::CREDENTIAL, Severity::Warning, title, "no token of it is good");
    }
    Some(JwtCredential { key: key.into(), algorithm, verify })
}
