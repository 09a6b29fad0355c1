//! Why a Certificate is to be issued again, and why it is not ready: two chains of questions, the first "yes" counts.
//!
//! Follows cert-manager's trigger and readiness policy chains; the names of the reasons are those of its conditions.
//! Readiness asks the same and, last, whether the certificate has ended: so a Certificate stays ready while its renewals
//! fail. That is kept, and told apart by [`crate::status::CertificateStatus::failing`].

use crate::certificate::{Certificate, IssuerRef};
use crate::profile::Validity;
use crate::renewal;
use ringwall_model::Timestamp;

/// What stands in the Secret and was asked for last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The Secret, if there is one.
    pub secret: Option<Secret>,
    /// The certificate that was last asked for, if one was.
    pub request: Option<LastRequest>,
}

/// A Secret of type `kubernetes.io/tls`, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// What its key and certificate are worth.
    pub content: Content,
    /// The issuer that its annotations name.
    pub issuer: IssuerRef,
    /// The Certificate that its annotations name.
    pub certificate: Box<str>,
}

/// What a Secret's key and certificate are worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// `tls.crt` or `tls.key` is missing.
    Missing,
    /// The key cannot be read, or is not that of the certificate.
    InvalidKeyPair,
    /// The certificate cannot be read.
    InvalidCertificate,
    /// A good pair.
    Pair {
        /// Algorithm and size of the key are those of the spec.
        key: Fit,
        /// The key is that of the last request.
        request: Fit,
        /// From when and until when it holds.
        validity: Validity,
    },
}

/// Whether something is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is.
    Same,
    /// It is not.
    Other,
}

/// The certificate that was last asked for: what of the spec it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRequest {
    /// The spec as it was then.
    pub spec: Certificate,
}

impl LastRequest {
    /// Whether what a request carries (names, usages, duration, issuer, role) has changed since.
    pub fn differs(&self, now: &Certificate) -> bool {
        let of = |spec: &Certificate| (spec.request(), spec.emails.clone(), spec.issuer.clone());
        of(&self.spec) != of(now)
    }
}

/// The reason of a condition, in cert-manager's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no Secret.
    DoesNotExist,
    /// The Secret lacks its key or certificate.
    MissingData,
    /// Key and certificate do not belong together.
    InvalidKeyPair,
    /// The certificate cannot be read.
    InvalidCertificate,
    /// The Secret was made by another issuer.
    IncorrectIssuer,
    /// The Secret was made for another Certificate.
    IncorrectCertificate,
    /// The key is not what the spec or the last request says.
    SecretMismatch,
    /// The spec has changed since the last request.
    RequestChanged,
    /// It is time to renew.
    Renewing,
    /// The certificate has ended.
    Expired,
}

impl Reason {
    /// The name in conditions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DoesNotExist => "DoesNotExist",
            Self::MissingData => "MissingData",
            Self::InvalidKeyPair => "InvalidKeyPair",
            Self::InvalidCertificate => "InvalidCertificate",
            Self::IncorrectIssuer => "IncorrectIssuer",
            Self::IncorrectCertificate => "IncorrectCertificate",
            Self::SecretMismatch => "SecretMismatch",
            Self::RequestChanged => "RequestChanged",
            Self::Renewing => "Renewing",
            Self::Expired => "Expired",
        }
    }
}

/// Why the Certificate is to be issued now; `None` when it is not.
pub fn trigger(spec: &Certificate, observed: &Observed, now: Timestamp) -> Option<Reason> {
    let due = |validity: Validity| renewal::of_certificate(validity, spec.renew_before) <= now;
    common(spec, observed).or_else(|| validity_of(observed).filter(|validity| due(*validity)).map(|_| Reason::Renewing))
}

/// Why the Certificate is not ready; `None` when it is.
pub fn unready(spec: &Certificate, observed: &Observed, now: Timestamp) -> Option<Reason> {
    let ended = |validity: Validity| validity.until <= now;
    common(spec, observed)
        .or_else(|| validity_of(observed).filter(|validity| ended(*validity)).map(|_| Reason::Expired))
}

fn common(spec: &Certificate, observed: &Observed) -> Option<Reason> {
    let Some(secret) = &observed.secret else { return Some(Reason::DoesNotExist) };
    let (key, request) = match &secret.content {
        Content::Missing => return Some(Reason::MissingData),
        Content::InvalidKeyPair => return Some(Reason::InvalidKeyPair),
        Content::InvalidCertificate => return Some(Reason::InvalidCertificate),
        Content::Pair { key, request, .. } => (*key, *request),
    };
    if secret.issuer != spec.issuer {
        return Some(Reason::IncorrectIssuer);
    }
    if secret.certificate != spec.name {
        return Some(Reason::IncorrectCertificate);
    }
    if key == Fit::Other || (observed.request.is_some() && request == Fit::Other) {
        return Some(Reason::SecretMismatch);
    }
    observed.request.as_ref().filter(|last| last.differs(spec)).map(|_| Reason::RequestChanged)
}

fn validity_of(observed: &Observed) -> Option<Validity> {
    match observed.secret.as_ref()?.content {
        Content::Pair { validity, .. } => Some(validity),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
