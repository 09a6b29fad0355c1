//! What stands in one certificate.

use super::BadPeer;
use crate::denylist::KeyHash;
use crate::profile::Validity;
use aws_lc_rs::digest;
use ringwall_model::{SpiffeId, Timestamp};
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// A leaf that keeps the SVID profile.
pub(super) struct Leaf {
    pub(super) id: SpiffeId,
    pub(super) serial: Box<[u8]>,
    pub(super) key: KeyHash,
    pub(super) validity: Validity,
}

pub(super) fn leaf(der: &CertificateDer<'_>) -> Result<Leaf, BadPeer> {
    let certificate = parse(der).ok_or(BadPeer::Unreadable)?;
    let id = identity(&certificate)?;
    let constraints = certificate.basic_constraints().map_err(|_| BadPeer::Unreadable)?;
    if constraints.is_some_and(|constraints| constraints.value.ca) {
        return Err(BadPeer::Authority);
    }
    let usage = certificate.key_usage().map_err(|_| BadPeer::Unreadable)?.ok_or(BadPeer::KeyUsage)?;
    if usage.value.key_cert_sign() || usage.value.crl_sign() {
        return Err(BadPeer::SigningKey);
    }
    if !usage.critical || !usage.value.digital_signature() {
        return Err(BadPeer::KeyUsage);
    }
    let serial = certificate.tbs_certificate.raw_serial();
    let leading = serial.iter().take_while(|byte| **byte == 0).count();
    Ok(Leaf {
        id,
        serial: serial.iter().skip(leading).copied().collect(),
        key: hash_of_key(certificate.public_key().raw),
        validity: validity_of(&certificate).ok_or(BadPeer::Unreadable)?,
    })
}

fn identity(certificate: &X509Certificate<'_>) -> Result<SpiffeId, BadPeer> {
    let names = certificate.subject_alternative_name().map_err(|_| BadPeer::Unreadable)?;
    let names = names.ok_or(BadPeer::UriNames(0))?;
    let uris: Vec<&str> = names
        .value
        .general_names
        .iter()
        .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None })
        .collect();
    let [uri] = uris.as_slice() else { return Err(BadPeer::UriNames(uris.len())) };
    let id = SpiffeId::parse(uri)?;
    if id.principal() == id.trust_domain() {
        return Err(BadPeer::NoPath);
    }
    if certificate.subject().iter().next().is_none() && !names.critical {
        return Err(BadPeer::NamesNotCritical);
    }
    Ok(id)
}

/// From when and until when a certificate holds; `None` when it cannot be read.
pub fn validity(der: &CertificateDer<'_>) -> Option<Validity> {
    validity_of(&parse(der)?)
}

/// The common name of a certificate's subject.
pub fn common_name(der: &CertificateDer<'_>) -> Option<String> {
    let certificate = parse(der)?;
    certificate.subject().iter_common_name().next()?.as_str().ok().map(str::to_owned)
}

/// The SubjectPublicKeyInfo of a certificate, DER.
pub fn public_key(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    Some(parse(der)?.public_key().raw.to_vec())
}

/// Whether `issuer`'s key signed `certificate`.
pub fn is_signed_by(certificate: &CertificateDer<'_>, issuer: &CertificateDer<'_>) -> bool {
    let (Some(certificate), Some(issuer)) = (parse(certificate), parse(issuer)) else { return false };
    certificate.issuer() == issuer.subject() && certificate.verify_signature(Some(issuer.public_key())).is_ok()
}

/// Whether a certificate may sign others: a CA by its basic constraints, and by its key usage if it has one.
pub fn is_authority(der: &CertificateDer<'_>) -> bool {
    let Some(certificate) = parse(der) else { return false };
    let ca = certificate.basic_constraints().ok().flatten().is_some_and(|constraints| constraints.value.ca);
    let usage = certificate.key_usage();
    ca && usage.is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()))
}

/// SHA-256 of a SubjectPublicKeyInfo.
pub fn hash_of_key(spki: &[u8]) -> KeyHash {
    let digest = digest::digest(&digest::SHA256, spki);
    KeyHash::try_from(digest.as_ref()).unwrap_or_default()
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, certificate)| certificate)
}

fn validity_of(certificate: &X509Certificate<'_>) -> Option<Validity> {
    let time =
        |at: x509_parser::time::ASN1Time| Some(Timestamp(u64::try_from(at.timestamp()).ok()?.checked_mul(1000)?));
    let validity = certificate.validity();
    Some(Validity { from: time(validity.not_before)?, until: time(validity.not_after)? })
}
