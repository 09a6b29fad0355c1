//! What an OpenID provider says of itself (OpenID Connect Discovery 1.0, section 4).
//!
//! In: foreign bytes and the issuer that was asked. Out: [`Discovery`]. Never: another issuer's word (section 4.3).

use crate::encoding;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The part of a provider's metadata that Ringwall uses.
#[derive(Clone, Debug, PartialEq)]
pub struct Discovery {
    /// Issuer identifier: the one that was asked.
    pub issuer: Arc<str>,
    /// Where its key set is.
    pub jwks_uri: Arc<str>,
    /// All of the metadata.
    pub metadata: Map<String, Value>,
}

/// Why a discovery document is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDiscovery {
    /// Longer than 64 KiB, or not a JSON object.
    #[error("discovery document is not a JSON object of at most 65536 bytes")]
    Json,
    /// It speaks for another issuer.
    #[error("discovery document speaks for another issuer")]
    Issuer,
    /// It names no key set.
    #[error("discovery document names no `jwks_uri`")]
    NoKeySet,
}

impl Discovery {
    /// Reads the document that `issuer`'s `/.well-known/openid-configuration` gave.
    ///
    /// # Errors
    /// [`BadDiscovery`]
    pub fn read(bytes: &[u8], issuer: &str) -> Result<Self, BadDiscovery> {
        let metadata =
            Some(bytes).filter(|it| it.len() <= 65_536).and_then(encoding::object).ok_or(BadDiscovery::Json)?;
        // Keycloak and others differ in the trailing slash between configuration and document.
        let same = |said: &str| said.trim_end_matches('/') == issuer.trim_end_matches('/');
        if !metadata.get("issuer").and_then(Value::as_str).is_some_and(same) {
            return Err(BadDiscovery::Issuer);
        }
        let jwks_uri = metadata.get("jwks_uri").and_then(Value::as_str).ok_or(BadDiscovery::NoKeySet)?.into();
        Ok(Self { issuer: issuer.into(), jwks_uri, metadata })
    }
}

#[cfg(test)]
mod tests {
    use super::{BadDiscovery, Discovery};

    #[test]
    fn only_the_issuer_that_was_asked_is_heard() {
        let check =
            |text: &str, want| assert_eq!(Discovery::read(text.as_bytes(), "https://i/r").err(), want, "{text}");
        check(r#"{"issuer":"https://i/r","jwks_uri":"https://i/certs"}"#, None);
        check(r#"{"issuer":"https://i/r/","jwks_uri":"https://i/certs"}"#, None);
        check(r#"{"issuer":"https://evil/r","jwks_uri":"https://i/certs"}"#, Some(BadDiscovery::Issuer));
        check(r#"{"issuer":"https://i/r"}"#, Some(BadDiscovery::NoKeySet));
        check("[]", Some(BadDiscovery::Json));
    }
}
