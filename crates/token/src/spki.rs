//! Public keys as PEM: SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) for RSA (RFC 3279), EC (RFC 5480), Ed25519
//! (RFC 8410).
//!
//! In: foreign text. Out: key material. Never: a lenient reading; lengths are definite and minimal (DER).

use crate::key::{BadKey, Curve, Material};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// Longer texts are refused; an RSA key of 8192 bits takes about 1,500 bytes.
const MAX_LENGTH: usize = 16 * 1024;

pub(crate) fn read_pem(text: &str) -> Result<Material, BadKey> {
    let body = text
        .trim()
        .strip_prefix("-----BEGIN PUBLIC KEY-----")
        .and_then(|rest| rest.strip_suffix("-----END PUBLIC KEY-----"))
        .filter(|body| body.len() <= MAX_LENGTH)
        .ok_or(BadKey::Pem)?;
    let joined: String = body.split_ascii_whitespace().collect();
    read_der(&STANDARD.decode(joined).map_err(|_| BadKey::Encoding)?)
}

fn read_der(der: &[u8]) -> Result<Material, BadKey> {
    let whole = only(der, SEQUENCE)?;
    let (identifier, rest) = value(whole, SEQUENCE)?;
    let (kind, parameters) = value(identifier, OBJECT_IDENTIFIER)?;
    let bits = only(rest, BIT_STRING)?.strip_prefix(&[0]).ok_or(BadKey::Encoding)?;
    match kind {
        RSA => {
            let (n, rest) =
                value(only(bits, SEQUENCE)?, INTEGER).and_then(|(n, rest)| Ok((n, only(rest, INTEGER)?)))?;
            Ok(Material::Rsa { n: unsigned(n)?, e: unsigned(rest)? })
        }
        EC => {
            let curve = match only(parameters, OBJECT_IDENTIFIER)? {
                P256 => Curve::P256,
                P384 => Curve::P384,
                P521 => Curve::P521,
                _ => return Err(BadKey::Type),
            };
            let whole = bits.first() == Some(&4) && bits.len() == 1 + 2 * curve.width();
            if whole { Ok(Material::Ec { curve, point: bits.to_vec() }) } else { Err(BadKey::Encoding) }
        }
        ED25519 => bits.try_into().map(Material::Ed25519).map_err(|_| BadKey::Encoding),
        _ => Err(BadKey::Type),
    }
}

/// A positive INTEGER without its sign byte.
fn unsigned(integer: &[u8]) -> Result<Vec<u8>, BadKey> {
    match integer {
        [0, rest @ ..] if rest.first().is_some_and(|byte| byte & 0x80 != 0) => Ok(rest.to_vec()),
        [first, ..] if *first & 0x80 == 0 && *first != 0 => Ok(integer.to_vec()),
        _ => Err(BadKey::Encoding),
    }
}

/// The contents of the one value that fills `der`.
fn only(der: &[u8], tag: u8) -> Result<&[u8], BadKey> {
    value(der, tag).and_then(|(contents, rest)| if rest.is_empty() { Ok(contents) } else { Err(BadKey::Encoding) })
}

/// The contents of the first value, which must have that tag, and what follows it.
fn value(der: &[u8], tag: u8) -> Result<(&[u8], &[u8]), BadKey> {
    let (length, rest) = match der {
        [found, ..] if *found != tag => return Err(BadKey::Encoding),
        [_, short @ 0..=0x7f, rest @ ..] => (usize::from(*short), rest),
        [_, 0x81, one @ 0x80..=0xff, rest @ ..] => (usize::from(*one), rest),
        [_, 0x82, high @ 1..=0xff, low, rest @ ..] => (usize::from(*high) << 8 | usize::from(*low), rest),
        _ => return Err(BadKey::Encoding),
    };
    rest.split_at_checked(length).ok_or(BadKey::Encoding)
}
