//! A small signer for development and tests: ES256 tokens for `ringwall token` and the demo's identity provider.
//!
//! In: a private key, claims. Out: a token, a key set. Never: used by an engine.
//! Exception to purity, on purpose: ECDSA needs a random number for each signature and for a new key; both come from
//! the cryptographic library's own generator, since a caller's bad number would give the key away.

use crate::encoding;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

/// Signs tokens with a P-256 key.
#[derive(Debug)]
pub struct DevelopmentSigner {
    pair: EcdsaKeyPair,
    kid: Box<str>,
    pkcs8: Vec<u8>,
}

/// The key could not be made or read, or the library failed to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key is not a P-256 private key in PKCS#8, or the cryptographic library failed")]
pub struct BadSigner;

impl DevelopmentSigner {
    /// A signer with a new key.
    ///
    /// # Errors
    /// [`BadSigner`] when the library fails.
    pub fn generate(kid: &str) -> Result<Self, BadSigner> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Self::from_pkcs8(document.map_err(|_| BadSigner)?.as_ref(), kid)
    }

    /// A signer with a key in PKCS#8 (DER).
    ///
    /// # Errors
    /// [`BadSigner`]
    pub fn from_pkcs8(der: &[u8], kid: &str) -> Result<Self, BadSigner> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map_err(|_| BadSigner)?;
        Ok(Self { pair, kid: kid.into(), pkcs8: der.to_vec() })
    }

    /// The private key in PKCS#8 (DER). Secret.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The key set that verifies its tokens, as JSON.
    pub fn key_set(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let coordinate = |from: usize| encoding::encode(point.get(from..from + 32).unwrap_or_default());
        json!({"keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid,
            "x": coordinate(1), "y": coordinate(33),
        }]})
    }

    /// A token with these claims.
    ///
    /// # Errors
    /// [`BadSigner`] when the library fails.
    pub fn sign(&self, claims: &Value) -> Result<String, BadSigner> {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": self.kid});
        let section = |value: &Value| encoding::encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", section(&header), section(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| BadSigner)?;
        Ok(format!("{signed}.{}", encoding::encode(signature.as_ref())))
    }
}
