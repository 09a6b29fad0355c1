//! What can be asked of an authority beside identities: a certificate for names.

use super::PkiError;
use crate::profile::{self, Constraints, Validity};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize,
    SanType,
};
use ringwall_model::Millis;
use std::net::IpAddr;

/// A certificate to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Common name of the subject.
    pub common_name: Option<Box<str>>,
    /// DNS names, wildcards included.
    pub dns_names: Vec<Box<str>>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// URIs.
    pub uris: Vec<Box<str>>,
    /// What the key may be used for.
    pub usages: Vec<Usage>,
    /// Whether it may sign others.
    pub role: Role,
    /// How long it holds.
    pub lifetime: Millis,
    /// Its key.
    pub key: KeyKind,
}

/// Whether a certificate signs others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It does not.
    #[default]
    Leaf,
    /// It does (`isCA: true`).
    Authority,
}

/// Kind of a private key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    /// ECDSA on P-256.
    #[default]
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// Ed25519.
    Ed25519,
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
}

/// A key that nothing was signed for yet. To make one of RSA takes a tenth of a second, so a shell makes it ahead.
#[derive(Debug)]
pub struct FreshKey {
    kind: KeyKind,
    pair: KeyPair,
}

impl FreshKey {
    /// Its kind.
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The pair, if it is of that kind.
    pub(super) fn of_kind(self, kind: KeyKind) -> Result<KeyPair, PkiError> {
        if self.kind == kind { Ok(self.pair) } else { kind.pair() }
    }
}

impl KeyKind {
    /// Makes a key.
    ///
    /// # Errors
    /// What the crypto library says.
    pub fn generate(self) -> Result<FreshKey, PkiError> {
        Ok(FreshKey { kind: self, pair: self.pair()? })
    }

    /// Whether a key of that kind takes long to make.
    pub const fn is_slow(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096)
    }

    fn pair(self) -> Result<KeyPair, PkiError> {
        let rsa = |size| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size);
        Ok(match self {
            Self::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Self::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            Self::P521 => KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512),
            Self::Ed25519 => KeyPair::generate_for(&PKCS_ED25519),
            Self::Rsa2048 => rsa(RsaKeySize::_2048),
            Self::Rsa3072 => rsa(RsaKeySize::_3072),
            Self::Rsa4096 => rsa(RsaKeySize::_4096),
        }?)
    }
}

/// What a key may be used for, in cert-manager's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Usage {
    /// `signing` and `digital signature`
    DigitalSignature,
    /// `content commitment`
    ContentCommitment,
    /// `key encipherment`
    KeyEncipherment,
    /// `data encipherment`
    DataEncipherment,
    /// `key agreement`
    KeyAgreement,
    /// `cert sign`
    CertSign,
    /// `crl sign`
    CrlSign,
    /// `encipher only`
    EncipherOnly,
    /// `decipher only`
    DecipherOnly,
    /// `any`
    Any,
    /// `server auth`
    ServerAuth,
    /// `client auth`
    ClientAuth,
    /// `code signing`
    CodeSigning,
    /// `email protection` and `s/mime`
    EmailProtection,
    /// `ipsec end system`
    IpsecEndSystem,
    /// `ipsec tunnel`
    IpsecTunnel,
    /// `ipsec user`
    IpsecUser,
    /// `timestamping`
    Timestamping,
    /// `ocsp signing`
    OcspSigning,
    /// `microsoft sgc`
    MicrosoftSgc,
    /// `netscape sgc`
    NetscapeSgc,
}

/// The 23 names that cert-manager's API knows.
pub(super) const NAMES: [(&str, Usage); 23] = [
    ("any", Usage::Any),
    ("cert sign", Usage::CertSign),
    ("client auth", Usage::ClientAuth),
    ("code signing", Usage::CodeSigning),
    ("content commitment", Usage::ContentCommitment),
    ("crl sign", Usage::CrlSign),
    ("data encipherment", Usage::DataEncipherment),
    ("decipher only", Usage::DecipherOnly),
    ("digital signature", Usage::DigitalSignature),
    ("email protection", Usage::EmailProtection),
    ("encipher only", Usage::EncipherOnly),
    ("ipsec end system", Usage::IpsecEndSystem),
    ("ipsec tunnel", Usage::IpsecTunnel),
    ("ipsec user", Usage::IpsecUser),
    ("key agreement", Usage::KeyAgreement),
    ("key encipherment", Usage::KeyEncipherment),
    ("microsoft sgc", Usage::MicrosoftSgc),
    ("netscape sgc", Usage::NetscapeSgc),
    ("ocsp signing", Usage::OcspSigning),
    ("s/mime", Usage::EmailProtection),
    ("server auth", Usage::ServerAuth),
    ("signing", Usage::DigitalSignature),
    ("timestamping", Usage::Timestamping),
];

impl Usage {
    /// The usage of that name.
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, usage)| *usage)
    }

    const fn key_usage(self) -> Option<KeyUsagePurpose> {
        Some(match self {
            Self::DigitalSignature => KeyUsagePurpose::DigitalSignature,
            Self::ContentCommitment => KeyUsagePurpose::ContentCommitment,
            Self::KeyEncipherment => KeyUsagePurpose::KeyEncipherment,
            Self::DataEncipherment => KeyUsagePurpose::DataEncipherment,
            Self::KeyAgreement => KeyUsagePurpose::KeyAgreement,
            Self::CertSign => KeyUsagePurpose::KeyCertSign,
            Self::CrlSign => KeyUsagePurpose::CrlSign,
            Self::EncipherOnly => KeyUsagePurpose::EncipherOnly,
            Self::DecipherOnly => KeyUsagePurpose::DecipherOnly,
            _ => return None,
        })
    }

    fn extended(self) -> Option<ExtendedKeyUsagePurpose> {
        let other = |last: u64| ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, last]);
        Some(match self {
            Self::Any => ExtendedKeyUsagePurpose::Any,
            Self::ServerAuth => ExtendedKeyUsagePurpose::ServerAuth,
            Self::ClientAuth => ExtendedKeyUsagePurpose::ClientAuth,
            Self::CodeSigning => ExtendedKeyUsagePurpose::CodeSigning,
            Self::EmailProtection => ExtendedKeyUsagePurpose::EmailProtection,
            Self::IpsecEndSystem => other(5),
            Self::IpsecTunnel => other(6),
            Self::IpsecUser => other(7),
            Self::Timestamping => ExtendedKeyUsagePurpose::TimeStamping,
            Self::OcspSigning => ExtendedKeyUsagePurpose::OcspSigning,
            Self::MicrosoftSgc => ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 4, 1, 311, 10, 3, 3]),
            Self::NetscapeSgc => ExtendedKeyUsagePurpose::Other(vec![2, 16, 840, 1, 113_730, 4, 1]),
            _ => return None,
        })
    }
}

impl Request {
    /// Whether every name may be signed under these constraints. A common name that looks like a DNS name counts as
    /// one, because some verifiers still read it so. URIs of the scheme `spiffe` are never signed here: identities are
    /// given only by [`super::Authority::issue`].
    pub(super) fn admitted_by(&self, constraints: &Constraints) -> Result<(), PkiError> {
        let subject = self.common_name.iter().filter(|name| name.contains('.') && !name.contains(' '));
        let refused_dns = self.dns_names.iter().chain(subject).find(|name| !constraints.admits_dns(name));
        let refused_uri = self.uris.iter().find(|uri| uri.to_ascii_lowercase().starts_with("spiffe:"));
        if let Some(name) = refused_dns.or(refused_uri) {
            return Err(PkiError::Name(name.clone()));
        }
        if let Some(address) = self.addresses.iter().find(|address| !constraints.admits_address(**address)) {
            return Err(PkiError::Name(address.to_string().into()));
        }
        let nameless = self.common_name.is_none()
            && self.dns_names.is_empty()
            && self.addresses.is_empty()
            && self.uris.is_empty();
        if nameless { Err(PkiError::Nameless) } else { Ok(()) }
    }

    pub(super) fn params(&self, validity: Validity) -> Result<CertificateParams, PkiError> {
        let mut params = profile::bare(self.common_name.as_deref(), validity)?;
        for name in &self.dns_names {
            params.subject_alt_names.push(SanType::DnsName(name.to_string().try_into()?));
        }
        params.subject_alt_names.extend(self.addresses.iter().map(|address| SanType::IpAddress(*address)));
        for uri in &self.uris {
            params.subject_alt_names.push(SanType::URI(uri.to_string().try_into()?));
        }
        params.is_ca = match self.role {
            Role::Leaf => IsCa::ExplicitNoCa,
            Role::Authority => IsCa::Ca(BasicConstraints::Unconstrained),
        };
        let mut usages = self.usages.clone();
        if self.role == Role::Authority {
            usages.push(Usage::CertSign);
        }
        usages.sort_unstable();
        usages.dedup();
        params.key_usages = usages.iter().filter_map(|usage| usage.key_usage()).collect();
        params.extended_key_usages = usages.iter().filter_map(|usage| usage.extended()).collect();
        Ok(params)
    }
}
