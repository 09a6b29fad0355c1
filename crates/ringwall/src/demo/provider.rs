//! The development identity provider: ES256 keys made for this run, its discovery document and key set, and tokens.
//!
//! In: claims. Out: signed tokens, and the two documents that a resource server fetches. Never: a key on disk.
//! Follows OpenID Connect Discovery 1.0 section 4 and RFC 7517.

use ringwall_token::DevelopmentSigner;
use serde_json::{Value, json};
use std::sync::{PoisonError, RwLock};

/// Keys and issuer name of one run.
pub struct Provider {
    /// Issuer identifier, as the manifests name it.
    pub issuer: String,
    /// Base of its endpoints inside the mesh.
    pub base: String,
    /// The signing keys, newest first; all are in the published set.
    keys: RwLock<Vec<DevelopmentSigner>>,
}

impl Provider {
    /// A provider with one new key.
    ///
    /// # Errors
    /// When the cryptographic library makes no key.
    pub fn new(issuer: &str, base: &str) -> Result<Self, String> {
        let key = DevelopmentSigner::generate("key-1").map_err(|error| error.to_string())?;
        Ok(Self { issuer: issuer.into(), base: base.into(), keys: RwLock::new(vec![key]) })
    }

    /// The answer to a `GET` of that path, or `None` when it is none of the provider's.
    pub fn answer(&self, path: &str) -> Option<Value> {
        if path.ends_with("/.well-known/openid-configuration") {
            return Some(json!({
                "issuer": self.issuer,
                "jwks_uri": format!("{}/protocol/openid-connect/certs", self.base),
                "id_token_signing_alg_values_supported": ["ES256"],
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
            }));
        }
        path.ends_with("/protocol/openid-connect/certs").then(|| self.key_set())
    }

    /// The public keys of all signers (RFC 7517 section 5).
    pub fn key_set(&self) -> Value {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let all = keys.iter().filter_map(|key| key.key_set().get("keys").and_then(Value::as_array).cloned());
        json!({ "keys": all.flatten().collect::<Vec<_>>() })
    }

    /// Makes a new signing key; tokens of the older ones stay good while their keys are published.
    ///
    /// # Errors
    /// When the cryptographic library makes no key.
    pub fn rotate(&self) -> Result<(), String> {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let name = format!("key-{}", keys.len() + 1);
        keys.insert(0, DevelopmentSigner::generate(&name).map_err(|error| error.to_string())?);
        Ok(())
    }

    /// Signs claims with the newest key; `iss` and times are the caller's.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn sign(&self, claims: &Value) -> Result<String, String> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.first().ok_or("the provider has no key")?;
        key.sign(claims).map_err(|error| error.to_string())
    }
}
