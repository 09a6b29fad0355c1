//! One key and the check of one signature.
//!
//! In: key material, a token. Out: verified or not. Never: an algorithm that the key's type or its own `alg` does not
//! name — a token cannot make a public RSA key a shared secret (RFC 8725 section 3.1).
//! Sizes: RSA 2048 to 8192 bits; HMAC secrets as long as they are (RFC 7518 section 3.2 asks for the hash's length;
//! Kong's credentials are often shorter, so the rooms that read key material say so in a finding).

use crate::{Algorithm, Token, spki};
use aws_lc_rs::{hmac, signature};
use std::fmt;

/// A key that verifies.
#[derive(Clone)]
pub struct Key {
    /// The name tokens call it by.
    pub kid: Option<Box<str>>,
    /// The only algorithm it is for, if it says so.
    pub algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Clone)]
pub(crate) enum Material {
    /// Modulus and exponent, big-endian.
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// Uncompressed point.
    Ec {
        curve: Curve,
        point: Vec<u8>,
    },
    Ed25519([u8; 32]),
    Secret(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    /// Bytes of one coordinate.
    pub(crate) const fn width(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

/// Why bytes are not a key that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Not a PEM block `PUBLIC KEY`.
    #[error("is not a PEM block `PUBLIC KEY`")]
    Pem,
    /// Its encoding is broken.
    #[error("its encoding is broken")]
    Encoding,
    /// A type or curve that is not supported.
    #[error("its type or curve is not supported")]
    Type,
}

/// Why no key verified a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// No key has that name and fits that algorithm.
    #[error("Jwks doesn't have key to match kid or alg from Jwt")]
    NoKey,
    /// There are such keys, and none of them made this signature.
    #[error("Jwt verification fails")]
    Mismatch,
}

impl Key {
    pub(crate) const fn new(material: Material) -> Self {
        Self { kid: None, algorithm: None, material }
    }

    /// A shared secret, for the HMAC algorithms.
    pub fn secret(bytes: &[u8]) -> Self {
        Self::new(Material::Secret(bytes.to_vec()))
    }

    /// A public key as PEM `PUBLIC KEY` (RFC 5280 SubjectPublicKeyInfo): RSA, P-256, P-384, P-521 or Ed25519.
    ///
    /// # Errors
    /// [`BadKey`]
    pub fn public_pem(text: &str) -> Result<Self, BadKey> {
        spki::read_pem(text).map(Self::new)
    }

    /// The same key, for one algorithm only.
    #[must_use]
    pub fn only_for(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = Some(algorithm);
        self
    }

    /// Whether this key may verify that algorithm.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDsa, Es256, Es384, Es512, Hs256, Hs384, Hs512, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        let by_type = match &self.material {
            Material::Rsa { .. } => matches!(algorithm, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512),
            Material::Ec { curve: Curve::P256, .. } => algorithm == Es256,
            Material::Ec { curve: Curve::P384, .. } => algorithm == Es384,
            Material::Ec { curve: Curve::P521, .. } => algorithm == Es512,
            Material::Ed25519(_) => algorithm == EdDsa,
            Material::Secret(_) => matches!(algorithm, Hs256 | Hs384 | Hs512),
        };
        by_type && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Checks a token's signature with this key.
    ///
    /// # Errors
    /// [`BadSignature::NoKey`] when the key does not fit the token's algorithm, [`BadSignature::Mismatch`] otherwise.
    pub fn verify(&self, token: &Token) -> Result<(), BadSignature> {
        if !self.fits(token.algorithm()) {
            return Err(BadSignature::NoKey);
        }
        if self.made(token.algorithm(), token.signed(), token.signature()) {
            Ok(())
        } else {
            Err(BadSignature::Mismatch)
        }
    }

    pub(crate) fn made(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Rsa { n, e } => rsa(algorithm).is_some_and(|parameters| {
                signature::RsaPublicKeyComponents { n, e }.verify(parameters, signed, signature).is_ok()
            }),
            Material::Ec { curve, point } => {
                let algorithm: &signature::EcdsaVerificationAlgorithm = match curve {
                    Curve::P256 => &signature::ECDSA_P256_SHA256_FIXED,
                    Curve::P384 => &signature::ECDSA_P384_SHA384_FIXED,
                    Curve::P521 => &signature::ECDSA_P521_SHA512_FIXED,
                };
                signature::UnparsedPublicKey::new(algorithm, point).verify(signed, signature).is_ok()
            }
            Material::Ed25519(public) => {
                signature::UnparsedPublicKey::new(&signature::ED25519, public).verify(signed, signature).is_ok()
            }
            // Constant time: `hmac::verify` compares the tags without looking at where they differ.
            Material::Secret(secret) => hmac_of(algorithm)
                .is_some_and(|hash| hmac::verify(&hmac::Key::new(hash, secret), signed, signature).is_ok()),
        }
    }
}

impl fmt::Debug for Key {
    /// Without secrets.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.material {
            Material::Rsa { .. } => "RSA",
            Material::Ec { .. } => "EC",
            Material::Ed25519(_) => "Ed25519",
            Material::Secret(_) => "secret",
        };
        out.debug_struct("Key").field("kid", &self.kid).field("kind", &kind).finish_non_exhaustive()
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static signature::RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

const fn hmac_of(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::Hs256 => Some(hmac::HMAC_SHA256),
        Algorithm::Hs384 => Some(hmac::HMAC_SHA384),
        Algorithm::Hs512 => Some(hmac::HMAC_SHA512),
        _ => None,
    }
}
