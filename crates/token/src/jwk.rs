//! JSON Web Key sets (RFC 7517) and the choice of a key for a token.
//!
//! In: foreign bytes. Out: [`JwkSet`]. Never: a private part (it is not read), more than [`MAX_KEYS`] keys.
//! Keys that cannot be used here — encryption keys, unknown types — are left out, as RFC 7517 section 5 asks.

mod proved;

use crate::key::{BadSignature, Curve, Key, Material};
use crate::{Algorithm, Token, encoding};
use proved::Proved;
use serde_json::{Map, Value};

/// Longer sets are refused.
pub const MAX_LENGTH: usize = 256 * 1024;
/// Sets of more keys are refused.
pub const MAX_KEYS: usize = 256;
/// So many keys are tried at most for one token: each try is a public key operation that anyone can ask for.
pub const MAX_TRIES: usize = 8;

/// The keys of one issuer.
#[derive(Clone, Debug, Default)]
pub struct JwkSet {
    keys: Vec<Key>,
    proved: Proved,
}

/// Why bytes are not a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeySet {
    /// Longer than [`MAX_LENGTH`].
    #[error("key set is longer than 262144 bytes")]
    Length,
    /// Not a JSON object with a list `keys` of objects, or a member is named twice.
    #[error("key set is not a JSON object with a list `keys`")]
    Json,
    /// More than [`MAX_KEYS`] keys.
    #[error("key set holds more than 256 keys")]
    TooMany,
    /// None of its keys can verify a token.
    #[error("key set holds no key that can verify a token")]
    NoValidKeys,
}

impl JwkSet {
    /// Reads a key set.
    ///
    /// # Errors
    /// [`BadKeySet`]
    pub fn read(bytes: &[u8]) -> Result<Self, BadKeySet> {
        if bytes.len() > MAX_LENGTH {
            return Err(BadKeySet::Length);
        }
        let set = encoding::object(bytes).ok_or(BadKeySet::Json)?;
        let listed = set.get("keys").and_then(Value::as_array).ok_or(BadKeySet::Json)?;
        if listed.len() > MAX_KEYS {
            return Err(BadKeySet::TooMany);
        }
        let keys: Vec<Key> = listed.iter().filter_map(Value::as_object).filter_map(key).collect();
        if keys.is_empty() { Err(BadKeySet::NoValidKeys) } else { Ok(Self::of(keys)) }
    }

    /// A set of keys at hand.
    pub fn of(keys: Vec<Key>) -> Self {
        Self { keys, proved: Proved::default() }
    }

    /// Its keys.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Whether a key of that name is in the set.
    pub fn holds(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// Checks a token's signature: with the key it names (or keys without a name), or, when it names none, with every
    /// key that fits its algorithm, [`MAX_TRIES`] at most. A token whose signature this set found good before is not
    /// calculated again.
    ///
    /// # Errors
    /// [`BadSignature::NoKey`] when no key fits, [`BadSignature::Mismatch`] when none of them made the signature.
    pub fn verify(&self, token: &Token) -> Result<(), BadSignature> {
        let named = |key: &&Key| key.kid.is_none() || token.kid().is_none() || key.kid.as_deref() == token.kid();
        let hash = Proved::hash(token);
        if hash.as_ref().is_some_and(|hash| self.proved.holds(hash)) {
            return Ok(());
        }
        let mut verdict = Err(BadSignature::NoKey);
        for key in self.keys.iter().filter(named).filter(|key| key.fits(token.algorithm())).take(MAX_TRIES) {
            verdict = key.verify(token);
            if verdict.is_ok() {
                hash.into_iter().for_each(|hash| self.proved.enter(hash));
                break;
            }
        }
        verdict
    }
}

/// One key of a set; `None` when it cannot verify a token.
fn key(jwk: &Map<String, Value>) -> Option<Key> {
    if jwk.get("use").is_some_and(|usage| usage != "sig") {
        return None;
    }
    if let Some(operations) = jwk.get("key_ops")
        && !operations.as_array()?.iter().any(|operation| operation == "verify")
    {
        return None;
    }
    let mut key = Key::new(material(jwk)?);
    key.kid = match jwk.get("kid") {
        None => None,
        Some(kid) => Some(kid.as_str()?.into()),
    };
    if let Some(name) = jwk.get("alg") {
        let algorithm = Algorithm::named(name.as_str()?)?;
        key = key.fits(algorithm).then(|| key.only_for(algorithm))?;
    }
    Some(key)
}

fn material(jwk: &Map<String, Value>) -> Option<Material> {
    let bytes = |name| jwk.get(name).and_then(Value::as_str).and_then(|text| encoding::decode(text.as_bytes()));
    let curve = jwk.get("crv").and_then(Value::as_str);
    match jwk.get("kty")?.as_str()? {
        "RSA" => Some(Material::Rsa { n: without_zeros(bytes("n")?)?, e: without_zeros(bytes("e")?)? }),
        "EC" => {
            let curve = match curve? {
                "P-256" => Curve::P256,
                "P-384" => Curve::P384,
                "P-521" => Curve::P521,
                _ => return None,
            };
            let (x, y) = (bytes("x")?, bytes("y")?);
            // RFC 7518 section 6.2.1.2: a coordinate always has its full width.
            (x.len() == curve.width() && y.len() == curve.width())
                .then(|| Material::Ec { curve, point: [&[4], &*x, &*y].concat() })
        }
        "OKP" if curve == Some("Ed25519") => bytes("x")?.try_into().ok().map(Material::Ed25519),
        "oct" => bytes("k").filter(|secret| !secret.is_empty()).map(Material::Secret),
        _ => None,
    }
}

/// Some issuers write a leading zero byte, which RFC 7518 section 6.3.1.1 forbids and the library refuses.
fn without_zeros(number: Vec<u8>) -> Option<Vec<u8>> {
    let first = number.iter().position(|byte| *byte != 0)?;
    number.get(first..).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests;
