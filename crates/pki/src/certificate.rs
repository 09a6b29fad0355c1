//! A `Certificate` resource (cert-manager.io/v1) with its defaults, and what is wrong with it.
//!
//! Follows cert-manager's API and validation, except for one thing: `renewBeforePercentage` is held to the five minutes
//! that it is meant to be held to (cert-manager's validator computes the part that *remains*, and passes 5 % of an hour).

use crate::authority::{KeyKind, Request, Role, Usage};
use crate::renewal::RenewBefore;
use ringwall_model::{Millis, Place};
use std::net::IpAddr;

/// `duration` when it is absent: 90 days.
pub const DEFAULT_DURATION: Millis = Millis::seconds(2160 * 3600);
/// The shortest `duration`.
pub const MINIMUM_DURATION: Millis = Millis::seconds(3600);
/// The shortest `renewBefore`.
pub const MINIMUM_RENEW_BEFORE: Millis = Millis::seconds(300);
/// The usages of a certificate that names none. Neither server nor client authentication is among them.
pub const DEFAULT_USAGES: [Usage; 2] = [Usage::DigitalSignature, Usage::KeyEncipherment];

/// What a `Certificate` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Namespace.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
    /// Name of the Secret that gets the certificate, in the same namespace.
    pub secret: Box<str>,
    /// Who is to sign it.
    pub issuer: IssuerRef,
    /// Common name.
    pub common_name: Option<Box<str>>,
    /// DNS names.
    pub dns_names: Vec<Box<str>>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// URIs.
    pub uris: Vec<Box<str>>,
    /// E-mail addresses.
    pub emails: Vec<Box<str>>,
    /// `duration`, as written.
    pub duration: Option<Millis>,
    /// `renewBefore` or `renewBeforePercentage`.
    pub renew_before: RenewBefore,
    /// What the key may be used for; empty means [`DEFAULT_USAGES`].
    pub usages: Vec<Usage>,
    /// `isCA`.
    pub role: Role,
    /// The private key.
    pub key: KeySpec,
    /// Labels of the resource, which solvers may select by.
    pub labels: ringwall_model::Labels,
    /// Whether a temporary certificate is made while the real one is not there
    /// (`cert-manager.io/issue-temporary-certificate`).
    pub temporary: Temporary,
    /// Where it is declared.
    pub place: Option<Place>,
}

/// The issuer that a Certificate names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IssuerRef {
    /// `Issuer` or `ClusterIssuer`, or a foreign kind.
    pub kind: Box<str>,
    /// Namespace of the Issuer; empty for a ClusterIssuer.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
    /// API group; `cert-manager.io` when it is absent.
    pub group: Box<str>,
}

/// The key that a Certificate asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// Algorithm.
    pub algorithm: Algorithm,
    /// Size in bits; 0 when it is absent.
    pub size: u32,
    /// Whether each renewal has a new key.
    pub rotation: Rotation,
}

impl Default for KeySpec {
    fn default() -> Self {
        Self { algorithm: Algorithm::Rsa, size: 0, rotation: Rotation::Always }
    }
}

/// Algorithm of a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA; cert-manager's default.
    Rsa,
    /// ECDSA.
    Ecdsa,
    /// Ed25519.
    Ed25519,
}

/// Whether each renewal has a new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It has; the default since cert-manager 1.18.
    Always,
    /// It keeps the old one; the default before.
    Never,
}

/// Whether a temporary certificate is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temporary {
    /// It is not.
    #[default]
    Absent,
    /// It is.
    Made,
}

/// What is wrong with a Certificate; the World is not taken with one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No name at all.
    #[error("it needs a common name, a DNS name, an address, a URI or an e-mail address")]
    Nameless,
    /// A common name that X.509 has no room for.
    #[error("`commonName` is longer than 64 bytes")]
    LongCommonName,
    /// `duration` is too short.
    #[error("`duration` is shorter than an hour")]
    ShortDuration,
    /// `renewBefore` is too short.
    #[error("`renewBefore` is shorter than five minutes")]
    ShortRenewBefore,
    /// `renewBefore` is not shorter than the duration.
    #[error("`renewBefore` is not shorter than the duration")]
    LongRenewBefore,
    /// `renewBeforePercentage` is out of its range.
    #[error("`renewBeforePercentage` is not within 1 to 99")]
    Percentage,
    /// A key size that the algorithm does not have.
    #[error("a key of this algorithm cannot have {0} bits")]
    KeySize(u32),
}

impl Certificate {
    /// `namespace/name`
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// How long it is asked to hold.
    pub fn lifetime(&self) -> Millis {
        self.duration.unwrap_or(DEFAULT_DURATION)
    }

    /// Everything that cert-manager's validation refuses.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let nameless = self.common_name.is_none()
            && self.dns_names.is_empty()
            && self.addresses.is_empty()
            && self.uris.is_empty()
            && self.emails.is_empty();
        if nameless {
            faults.push(Fault::Nameless);
        }
        if self.common_name.as_ref().is_some_and(|name| name.len() > 64) {
            faults.push(Fault::LongCommonName);
        }
        if self.lifetime() < MINIMUM_DURATION {
            faults.push(Fault::ShortDuration);
        }
        let before = match self.renew_before {
            RenewBefore::Third => None,
            RenewBefore::Span(span) => Some(span),
            RenewBefore::Percentage(hundredths @ 1..=99) => {
                Some(Millis(self.lifetime().0 / 100 * u64::from(hundredths)))
            }
            RenewBefore::Percentage(_) => {
                faults.push(Fault::Percentage);
                None
            }
        };
        match before {
            Some(before) if before < MINIMUM_RENEW_BEFORE => faults.push(Fault::ShortRenewBefore),
            Some(before) if before >= self.lifetime() => faults.push(Fault::LongRenewBefore),
            _ => {}
        }
        if self.key.kind().is_none() {
            faults.push(Fault::KeySize(self.key.size));
        }
        faults
    }

    /// What to ask of an authority. A key size that we cannot make is rounded up to one that we can.
    pub fn request(&self) -> Request {
        Request {
            common_name: self.common_name.clone(),
            dns_names: self.dns_names.clone(),
            addresses: self.addresses.clone(),
            uris: self.uris.clone(),
            usages: if self.usages.is_empty() { DEFAULT_USAGES.into() } else { self.usages.clone() },
            role: self.role,
            lifetime: self.lifetime(),
            key: self.key.kind().unwrap_or_default(),
        }
    }
}

impl KeySpec {
    /// The key to make; `None` for a size that the algorithm does not have.
    pub const fn kind(self) -> Option<KeyKind> {
        match (self.algorithm, self.size) {
            (Algorithm::Rsa, 0 | 2048) => Some(KeyKind::Rsa2048),
            (Algorithm::Rsa, 2049..=3072) => Some(KeyKind::Rsa3072),
            (Algorithm::Rsa, 3073..=8192) => Some(KeyKind::Rsa4096),
            (Algorithm::Ecdsa, 0 | 256) => Some(KeyKind::P256),
            (Algorithm::Ecdsa, 384) => Some(KeyKind::P384),
            (Algorithm::Ecdsa, 521) => Some(KeyKind::P521),
            (Algorithm::Ed25519, _) => Some(KeyKind::Ed25519),
            (Algorithm::Rsa | Algorithm::Ecdsa, _) => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
