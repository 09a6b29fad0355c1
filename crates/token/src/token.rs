//! A token as it came: JWS compact serialization (RFC 7515 section 7.1) that holds a claims set (RFC 7519).
//!
//! In: foreign bytes. Out: [`Token`], not yet verified. Never: a claim that anyone may believe.
//! The words of [`BadToken`] are the ones Envoy's JWT filter answers with, so that logs and clients see the same text.

use crate::{Algorithm, Claims, encoding};
use serde_json::{Map, Value};

/// A longer token is refused: many times what identity providers issue, and below the limit on heads.
pub const MAX_LENGTH: usize = 32 * 1024;

/// A token that was read and whose signature nobody has checked yet.
#[derive(Clone, Debug)]
pub struct Token {
    algorithm: Algorithm,
    kid: Option<Box<str>>,
    text: Box<str>,
    signed: usize,
    header: usize,
    signature: Vec<u8>,
    claims: Claims,
}

/// Why bytes are not a token that could be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// Not three sections, or longer than [`MAX_LENGTH`].
    #[error("Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections")]
    Form,
    /// The header is not base64url.
    #[error("Jwt header is an invalid Base64url encoded")]
    HeaderEncoding,
    /// The header is not a JSON object, or names a member twice.
    #[error("Jwt header is an invalid JSON")]
    HeaderJson,
    /// No `alg`, or not a string.
    #[error("Jwt header [alg] field is required and must be a string")]
    AlgorithmMissing,
    /// `none`, or an algorithm that is not supported.
    #[error("Jwt header [alg] is not supported")]
    Algorithm,
    /// `kid` is not a string.
    #[error("Jwt header [kid] field is not a string")]
    Kid,
    /// There is a `crit` header: an extension that must be understood (RFC 7515 section 4.1.11), and none is.
    #[error("Jwt header [crit] names an extension that is not supported")]
    Critical,
    /// The payload is not base64url.
    #[error("Jwt payload is an invalid Base64url encoded")]
    PayloadEncoding,
    /// The payload is not a JSON object, or names a member twice.
    #[error("Jwt payload is an invalid JSON")]
    PayloadJson,
    /// `iss` is not a string.
    #[error("Jwt payload [iss] field is not a string")]
    Issuer,
    /// `sub` is not a string.
    #[error("Jwt payload [sub] field is not a string")]
    Subject,
    /// `iat` is not a number, or negative.
    #[error("Jwt payload [iat] field is not a positive 64 bit integer")]
    IssuedAt,
    /// `nbf` is not a number, or negative.
    #[error("Jwt payload [nbf] field is not a positive 64 bit integer")]
    NotBefore,
    /// `exp` is not a number, or negative.
    #[error("Jwt payload [exp] field is not a positive 64 bit integer")]
    Expires,
    /// `jti` is not a string.
    #[error("Jwt payload [jti] field is not a string")]
    Id,
    /// `aud` is neither a string nor a list of strings.
    #[error("Jwt payload [aud] field is not a string or string list")]
    Audience,
    /// The signature is not base64url.
    #[error("Jwt signature is an invalid Base64url encoded")]
    SignatureEncoding,
}

impl Token {
    /// Reads a token. Nothing in it is to be believed before a key has verified it.
    ///
    /// # Errors
    /// [`BadToken`] names the first thing that is wrong, from left to right.
    pub fn read(bytes: &[u8]) -> Result<Self, BadToken> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= MAX_LENGTH).ok_or(BadToken::Form)?;
        let mut sections = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (sections.next(), sections.next(), sections.next(), sections.next())
        else {
            return Err(BadToken::Form);
        };
        let (algorithm, kid) = read_header(header)?;
        let decoded = encoding::decode(payload.as_bytes()).ok_or(BadToken::PayloadEncoding)?;
        let members = encoding::object(&decoded).ok_or(BadToken::PayloadJson)?;
        check_registered(&members)?;
        let decoded = encoding::decode(signature.as_bytes()).ok_or(BadToken::SignatureEncoding)?;
        Ok(Self {
            algorithm,
            kid,
            text: text.into(),
            signed: header.len() + 1 + payload.len(),
            header: header.len(),
            signature: decoded,
            claims: Claims::new(members),
        })
    }

    /// The algorithm its header names.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key its header names.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Its claims: what it says, whoever wrote it.
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The bytes that are signed: both first sections with the dot between.
    pub fn signed(&self) -> &[u8] {
        self.text.as_bytes().get(..self.signed).unwrap_or_default()
    }

    /// The payload section as it came, base64url.
    pub fn payload(&self) -> &str {
        self.text.get(self.header + 1..self.signed).unwrap_or_default()
    }

    /// The signature's bytes.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

fn read_header(section: &str) -> Result<(Algorithm, Option<Box<str>>), BadToken> {
    let decoded = encoding::decode(section.as_bytes()).ok_or(BadToken::HeaderEncoding)?;
    let header = encoding::object(&decoded).ok_or(BadToken::HeaderJson)?;
    let name = header.get("alg").and_then(Value::as_str).ok_or(BadToken::AlgorithmMissing)?;
    let algorithm = Algorithm::named(name).ok_or(BadToken::Algorithm)?;
    let kid = match header.get("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid.as_str().into()),
        Some(_) => return Err(BadToken::Kid),
    };
    if header.contains_key("crit") {
        return Err(BadToken::Critical);
    }
    Ok((algorithm, kid))
}

/// The registered claims have the types RFC 7519 section 4.1 gives them, where they are there.
fn check_registered(claims: &Map<String, Value>) -> Result<(), BadToken> {
    let string = |name, fault| claims.get(name).is_none_or(Value::is_string).then_some(()).ok_or(fault);
    let date = |name: &str, fault| {
        let positive = |value: &Value| value.as_f64().is_some_and(|seconds| seconds >= 0.0);
        claims.get(name).is_none_or(positive).then_some(()).ok_or(fault)
    };
    string("iss", BadToken::Issuer)?;
    string("sub", BadToken::Subject)?;
    date("iat", BadToken::IssuedAt)?;
    date("nbf", BadToken::NotBefore)?;
    date("exp", BadToken::Expires)?;
    string("jti", BadToken::Id)?;
    match claims.get("aud") {
        None | Some(Value::String(_)) => Ok(()),
        Some(Value::Array(list)) if list.iter().all(Value::is_string) => Ok(()),
        Some(_) => Err(BadToken::Audience),
    }
}

#[cfg(test)]
mod tests;
