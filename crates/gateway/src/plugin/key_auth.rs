//! `key-auth`: an API key in a field or an argument.

use super::Outcome;
use crate::entity::ConsumerIndex;
use crate::reply;
use crate::template::query_values;
use crate::walk::Walk;
use bytes::Bytes;
use ringwall_model::{Edit, Reply};

/// Configuration of `key-auth`. Keys in bodies (`key_in_body`) are not supported.
#[derive(Clone, Debug)]
pub struct KeyAuth {
    /// Names of fields and arguments.
    pub key_names: Vec<Box<str>>,
    /// Whether fields are looked at.
    pub key_in_header: bool,
    /// Whether arguments of the query are looked at.
    pub key_in_query: bool,
    /// Whether the key is kept from the service.
    pub hide_credentials: bool,
    /// What a call without a good key becomes.
    pub anonymous: Anonymous,
    /// Whether `OPTIONS` calls need a key too.
    pub run_on_preflight: bool,
}

/// What a call without a good credential becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// It is refused.
    Refused,
    /// It goes on as this consumer.
    Consumer(ConsumerIndex),
    /// The consumer that is named does not exist: 500, as in Kong.
    Missing,
}

/// No key, two keys, or an unknown key: 401.
pub fn judge(config: &KeyAuth, walk: &mut Walk<'_>) -> Outcome {
    let has_other = matches!(config.anonymous, Anonymous::Consumer(_)) && walk.is_authenticated();
    if has_other || (!config.run_on_preflight && walk.call.method == "OPTIONS") {
        return Outcome::Pass;
    }
    let refusal = |message| {
        let reply = reply::message(401, message, walk.call.id);
        reply::with(reply, "www-authenticate", Bytes::from_static(b"Key"))
    };
    let (key, name) = match key(config, walk) {
        Ok(Some(found)) => found,
        Ok(None) => {
            let reply = refusal("No API key found in request");
            return anonymous(&config.anonymous, walk, reply);
        }
        Err(()) => {
            let reply = refusal("Duplicate API key found");
            return anonymous(&config.anonymous, walk, reply);
        }
    };
    let Some((index, number)) = walk.gateway.directory().of_key(&key) else {
        let reply = refusal("Unauthorized");
        return anonymous(&config.anonymous, walk, reply);
    };
    if config.hide_credentials {
        hide(&name, walk);
    }
    let consumer = walk.gateway.consumers.get(index.0 as usize);
    let id = consumer.and_then(|it| it.keys.get(number as usize)).map(|credential| credential.id.clone());
    walk.authenticate(index, &id.unwrap_or_default());
    Outcome::Pass
}

/// A key and the name it was under.
type Found = (Vec<u8>, Box<str>);

/// The key and the name it was under: the first name that has one. Two of one name are one too many.
fn key(config: &KeyAuth, walk: &Walk<'_>) -> Result<Option<Found>, ()> {
    let query = walk.call.views.query.as_deref().unwrap_or_default();
    for name in &config.key_names {
        let mut found: Vec<Vec<u8>> = Vec::new();
        if config.key_in_header {
            found.extend(walk.call.fields.all(name).map(|value| value.to_vec()));
        }
        if config.key_in_query && found.is_empty() {
            found.extend(query_values(query, name));
        }
        match found.as_slice() {
            [] => {}
            [key] => return Ok(Some((key.clone(), name.clone()))),
            _ => return Err(()),
        }
    }
    Ok(None)
}

fn hide(name: &str, walk: &mut Walk<'_>) {
    walk.take_out(name);
    let Some(query) = walk.call.views.query.clone() else { return };
    let keeps = |pair: &&[u8]| {
        let key = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        crate::template::decoded(key) != name.as_bytes()
    };
    let kept: Vec<&[u8]> = query.split(|byte| *byte == b'&').filter(keeps).collect();
    let kept = kept.join(b"&".as_slice());
    if kept != query {
        walk.edits.push(Edit::Query((!kept.is_empty()).then(|| kept.into())));
    }
}

/// Lets a call without a good credential go on anonymously, or refuses it.
pub fn anonymous(anonymous: &Anonymous, walk: &mut Walk<'_>, refusal: Reply) -> Outcome {
    match anonymous {
        Anonymous::Refused => Outcome::Refuse(refusal),
        Anonymous::Consumer(index) => {
            walk.stay_anonymous(*index);
            Outcome::Pass
        }
        Anonymous::Missing => Outcome::Refuse(reply::message(500, "An unexpected error occurred", walk.call.id)),
    }
}
