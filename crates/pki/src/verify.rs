//! From a peer's certificate chain to its SPIFFE ID.
//!
//! In: the chain as TLS gave it, bundles, the denylist, the time. Out: [`Verified`], or the one rule that is broken.
//! Follows SPIFFE X509-SVID sections 4 and 5: an RFC 5280 path to the bundle *of the trust domain that the leaf claims*
//! (path building and signatures: rustls-webpki), and the profile of the leaf, checked here.

mod read;

use crate::denylist::{Denied, Denylist, KeyHash};
use crate::{Bundles, profile::Validity};
use ringwall_model::{BadSpiffeId, Builtin, SpiffeId, Timestamp};
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

pub use read::{common_name, hash_of_key, is_authority, is_signed_by, public_key, validity};

/// What the peer's certificate is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The peer is a TLS client.
    Client,
    /// The peer is a TLS server.
    Server,
}

/// A peer whose chain is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Who it is.
    pub id: SpiffeId,
    /// Serial number of its certificate, big-endian, without leading zeros.
    pub serial: Box<[u8]>,
    /// Hash of its public key.
    pub key: KeyHash,
    /// Hashes of the public keys of its issuers: the leaf's issuer first, the root last.
    pub issuers: Vec<KeyHash>,
    /// From when and until when its certificate holds.
    pub validity: Validity,
}

impl Verified {
    /// Hash of the key that signed the leaf.
    pub fn issuer(&self) -> KeyHash {
        self.issuers.first().copied().unwrap_or_default()
    }
}

/// Why a peer is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPeer {
    /// It sent no certificate.
    #[error("no certificate")]
    NoCertificate,
    /// It sent more than [`LONGEST_CHAIN`] certificates.
    #[error("the chain is longer than {LONGEST_CHAIN} certificates")]
    LongChain,
    /// The leaf is not a certificate that can be read.
    #[error("the leaf cannot be read")]
    Unreadable,
    /// The leaf has no URI name, or more than one.
    #[error("the leaf has {0} URI names, not exactly one")]
    UriNames(usize),
    /// The URI name is not a SPIFFE ID.
    #[error("the URI name {0}")]
    SpiffeId(#[from] BadSpiffeId),
    /// The SPIFFE ID has no path: it is the ID of a trust domain, not of a workload.
    #[error("the SPIFFE ID has no path")]
    NoPath,
    /// The names are not critical although the subject is empty (RFC 5280 section 4.2.1.6).
    #[error("the subject is empty and the names are not critical")]
    NamesNotCritical,
    /// The leaf is a CA.
    #[error("the leaf is a certificate authority")]
    Authority,
    /// The leaf has no KeyUsage, or one that is not critical or lacks digitalSignature.
    #[error("the leaf's key usage is missing, not critical or without digital signature")]
    KeyUsage,
    /// The leaf's KeyUsage allows to sign certificates or revocation lists.
    #[error("the leaf's key may sign certificates")]
    SigningKey,
    /// The leaf's extended key usage does not allow this use.
    #[error("the leaf's extended key usage does not allow this use")]
    ExtendedKeyUsage,
    /// We have no bundle for the trust domain.
    #[error("no bundle for trust domain `{0}`")]
    TrustDomain(Box<str>),
    /// No path to a root of that trust domain.
    #[error("no path to a root of its trust domain")]
    UnknownIssuer,
    /// The leaf or an intermediate has ended.
    #[error("a certificate of the chain has ended")]
    Expired,
    /// The leaf or an intermediate has not begun.
    #[error("a certificate of the chain does not hold yet")]
    NotYetValid,
    /// Another rule of RFC 5280, in the library's words.
    #[error("the chain is not valid: {0}")]
    Chain(Box<str>),
    /// The chain is good but denied.
    #[error("revoked")]
    Denied(Denied),
}

impl BadPeer {
    /// The built-in rule that the refusal names.
    pub const fn rule(&self) -> Builtin {
        match self {
            Self::NoCertificate => "pki/no-certificate",
            Self::LongChain => "pki/long-chain",
            Self::Unreadable => "pki/unreadable",
            Self::UriNames(_) => "pki/uri-names",
            Self::SpiffeId(_) | Self::NoPath => "pki/spiffe-id",
            Self::NamesNotCritical => "pki/names-not-critical",
            Self::Authority => "pki/leaf-is-authority",
            Self::KeyUsage => "pki/key-usage",
            Self::SigningKey => "pki/signing-key",
            Self::ExtendedKeyUsage => "pki/extended-key-usage",
            Self::TrustDomain(_) => "pki/trust-domain",
            Self::UnknownIssuer => "pki/unknown-issuer",
            Self::Expired => "pki/expired",
            Self::NotYetValid => "pki/not-yet-valid",
            Self::Chain(_) => "pki/chain",
            Self::Denied(denied) => denied.rule(),
        }
    }
}

/// More certificates than this are refused unread.
pub const LONGEST_CHAIN: usize = 8;

/// Verifies a chain, leaf first, as TLS gave it.
///
/// # Errors
/// [`BadPeer`] names the first rule that is broken.
pub fn peer(
    chain: &[CertificateDer<'_>],
    bundles: &Bundles,
    denylist: &Denylist,
    purpose: Purpose,
    now: Timestamp,
) -> Result<Verified, BadPeer> {
    let (leaf, rest) = chain.split_first().ok_or(BadPeer::NoCertificate)?;
    if chain.len() > LONGEST_CHAIN {
        return Err(BadPeer::LongChain);
    }
    let facts = read::leaf(leaf)?;
    let bundle = bundles.of_domain(facts.id.trust_domain());
    let bundle = bundle.ok_or_else(|| BadPeer::TrustDomain(facts.id.trust_domain().into()))?;
    let anchors = bundle.anchors();
    let end_entity = EndEntityCert::try_from(leaf).map_err(|_| BadPeer::Unreadable)?;
    let usage = match purpose {
        Purpose::Client => KeyUsage::client_auth(),
        Purpose::Server => KeyUsage::server_auth(),
    };
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.seconds()));
    let path = end_entity
        .verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, rest, time, usage, None, None)
        .map_err(|error| bad_path(&error))?;
    let mut issuers: Vec<KeyHash> =
        path.intermediate_certificates().map(|cert| hash_of_key(&cert.subject_public_key_info())).collect();
    issuers.push(hash_of_key(&webpki::spki_for_anchor(path.anchor())));
    let read::Leaf { id, serial, key, validity } = facts;
    let verified = Verified { id, serial, key, issuers, validity };
    denylist.denies(&verified, now).map_or(Ok(verified), |denied| Err(BadPeer::Denied(denied)))
}

fn bad_path(error: &webpki::Error) -> BadPeer {
    match error {
        webpki::Error::CertExpired { .. } => BadPeer::Expired,
        webpki::Error::CertNotValidYet { .. } => BadPeer::NotYetValid,
        // Two roots may have one name: a signature that fits none of their keys is no path either.
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => BadPeer::UnknownIssuer,
        webpki::Error::RequiredEkuNotFoundContext(_) => BadPeer::ExtendedKeyUsage,
        webpki::Error::CaUsedAsEndEntity => BadPeer::Authority,
        other => BadPeer::Chain(other.to_string().into()),
    }
}

#[cfg(test)]
mod tests;
