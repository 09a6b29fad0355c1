//! `basic-auth`: a user name and a password (RFC 7617).

use super::Outcome;
use super::key_auth::{Anonymous, anonymous};
use crate::reply;
use crate::scope::digest;
use crate::walk::Walk;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// Configuration of `basic-auth`.
#[derive(Clone, Debug)]
pub struct BasicAuth {
    /// Whether the credential is kept from the service.
    pub hide_credentials: bool,
    /// What a call without a good credential becomes.
    pub anonymous: Anonymous,
    /// Realm of the challenge.
    pub realm: Box<str>,
}

/// No or bad credential: 401.
pub fn judge(config: &BasicAuth, walk: &mut Walk<'_>) -> Outcome {
    if matches!(config.anonymous, Anonymous::Consumer(_)) && walk.is_authenticated() {
        return Outcome::Pass;
    }
    let header = walk.call.fields.first("proxy-authorization").or_else(|| walk.call.fields.first("authorization"));
    let found = header.and_then(|value| credentials(value)).and_then(|(user, password)| {
        let (index, number) = walk.gateway.directory().of_user(&user)?;
        let credential = walk.gateway.consumers.get(index.0 as usize)?.basic.get(number as usize)?;
        // Hashes are compared, so that the time tells nothing of where passwords differ.
        (digest(credential.password.as_bytes()) == digest(password.as_bytes())).then_some((index, user))
    });
    match found {
        Some((index, user)) => {
            if config.hide_credentials {
                walk.take_out("authorization");
                walk.take_out("proxy-authorization");
            }
            walk.authenticate(index, &user);
            Outcome::Pass
        }
        None => {
            let challenge = Bytes::from(format!("Basic realm=\"{}\"", config.realm));
            let reply = reply::message(401, "Unauthorized", walk.call.id);
            anonymous(&config.anonymous, walk, reply::with(reply, "www-authenticate", challenge))
        }
    }
}

fn credentials(header: &[u8]) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim_ascii()).ok()?).ok()?;
    text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}
