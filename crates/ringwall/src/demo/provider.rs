//! The development identity provider: one ES256 key made for this run, its discovery document and key set, and tokens.
//!
//! In: claims. Out: signed tokens, and the two documents that a resource server fetches. Never: a key on disk.
//! Follows OpenID Connect Discovery 1.0 section 4 and RFC 7517.

use serde_json::{Value, json};

/// Keys and issuer name of one run.
pub struct Provider {
    /// Issuer identifier, as the manifests name it.
    pub issuer: String,
    /// Base of its endpoints inside the mesh.
    pub base: String,
    /// The signing keys, newest first; all are in the published set.
    pub keys: std::sync::RwLock<Vec<ringwall_token::development::Signer>>,
}

impl Provider {
    /// The answer to a `GET` of that path, or `None` when it is none of the provider's.
    pub fn answer(&self, path: &str) -> Option<Value> {
        let realm = path.strip_prefix("/realms/platform")?;
        match realm {
            "/.well-known/openid-configuration" => Some(json!({
                "issuer": self.issuer,
                "jwks_uri": format!("{}/realms/platform/protocol/openid-connect/certs", self.base),
                "id_token_signing_alg_values_supported": ["ES256"],
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
            })),
            "/protocol/openid-connect/certs" => Some(self.key_set()),
            _ => None,
        }
    }

    /// The public keys (RFC 7517 section 5).
    pub fn key_set(&self) -> Value {
        let keys = self.keys.read().map(|keys| keys.iter().map(|key| key.public_jwk()).collect()).unwrap_or_default();
        json!({ "keys": Value::Array(keys) })
    }
}
