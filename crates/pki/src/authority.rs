//! The embedded certificate authority: a root that signs intermediates, an intermediate that signs leaves.
//!
//! In: what a shell stored, or nothing, and the time. Out: certificates with their keys. Never: files; the shell keeps
//! what [`Authority::stored`] gives it (keys readable by their owner only) and hands it back to [`Authority::load`].
//! All keys are ECDSA P-256. Two authorities are made in practice: one for the mesh, one for the edge, so that no edge
//! key can ever sign an identity that the mesh believes.

use crate::profile::{self, Constraints, INTERMEDIATE_LIFETIME, ROOT_LIFETIME, Validity};
use crate::verify;
use rcgen::{CertificateParams, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};
use ringwall_model::{Millis, SpiffeId, Timestamp};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

mod request;

pub use request::{FreshKey, KeyKind, Request, Role, Usage};

/// A certificate authority with its keys.
#[derive(Debug)]
pub struct Authority {
    root: Certificate,
    root_key: Option<Key>,
    intermediate: Certificate,
    issuer: Issuer<'static, Key>,
    constraints: Constraints,
}

/// Why the authority could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The certificate library refused.
    #[error("certificate library: {0}")]
    Library(#[from] rcgen::Error),
    /// The crypto library gave no random bytes.
    #[error("no random bytes")]
    Randomness,
    /// Stored PEM could not be read.
    #[error("`{0}` is not the PEM it should be")]
    Pem(&'static str),
    /// A stored key does not belong to its certificate, or a certificate not to its issuer.
    #[error("`{0}` does not fit the others")]
    Mismatch(&'static str),
    /// A certificate of the authority has ended, or has not begun.
    #[error("the {0} does not hold now")]
    Time(&'static str),
    /// The root's key is not here, and only it can sign an intermediate.
    #[error("the root's key is not here")]
    RootOffline,
    /// A name that this authority may not sign.
    #[error("`{0}` is not a name that this authority may sign")]
    Name(Box<str>),
    /// A request without any name.
    #[error("a certificate needs at least one name")]
    Nameless,
}

/// What a shell must keep to have the same authority again. The two keys are secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// Root certificate, PEM.
    pub root_certificate: String,
    /// Root key, PKCS#8 PEM; absent when it is kept elsewhere.
    pub root_key: Option<String>,
    /// Intermediate certificate, PEM.
    pub intermediate_certificate: String,
    /// Intermediate key, PKCS#8 PEM.
    pub intermediate_key: String,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Stored").field("root_certificate", &self.root_certificate).finish_non_exhaustive()
    }
}

/// A certificate that was just signed, with its chain and key.
#[derive(Debug)]
pub struct Issued {
    /// The leaf first, then the intermediate; never the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key, PKCS#8.
    pub key: PrivateKeyDer<'static>,
    /// The leaf's serial number, big-endian.
    pub serial: Box<[u8]>,
    /// From when and until when it holds.
    pub validity: Validity,
}

type Key = KeyPair;

#[derive(Clone, Debug)]
struct Certificate {
    der: CertificateDer<'static>,
    validity: Validity,
}

impl Authority {
    /// Makes a new root and intermediate. `name` goes into their subjects, such as `cluster.local`.
    ///
    /// # Errors
    /// [`PkiError`] when the crypto library fails.
    pub fn generate(name: &str, constraints: Constraints, now: Timestamp) -> Result<Self, PkiError> {
        let root_key = generate_key()?;
        let validity = Validity::backdated(now, ROOT_LIFETIME);
        let params = profile::root(&format!("Ringwall root {name}"), validity)?;
        let root = Certificate { der: params.self_signed(&root_key)?.der().clone(), validity };
        let (intermediate, issuer) = sign_intermediate(&root, &root_key, name, &constraints, now)?;
        Ok(Self { root, root_key: Some(root_key), intermediate, issuer, constraints })
    }

    /// The authority that was stored. Its parts are checked against each other and against the time.
    ///
    /// # Errors
    /// [`PkiError`] names the part that is broken, foreign or out of time.
    pub fn load(stored: &Stored, constraints: Constraints, now: Timestamp) -> Result<Self, PkiError> {
        let root = read_certificate(&stored.root_certificate, "root certificate")?;
        let intermediate = read_certificate(&stored.intermediate_certificate, "intermediate certificate")?;
        let root_key = stored.root_key.as_deref().map(|pem| read_key(pem, "root key")).transpose()?;
        let key = read_key(&stored.intermediate_key, "intermediate key")?;
        if root_key.as_ref().is_some_and(|key| !fits(key, &root.der)) {
            return Err(PkiError::Mismatch("root key"));
        }
        if !fits(&key, &intermediate.der) {
            return Err(PkiError::Mismatch("intermediate key"));
        }
        if !verify::is_signed_by(&intermediate.der, &root.der) {
            return Err(PkiError::Mismatch("intermediate certificate"));
        }
        let holds = |validity: Validity| validity.from <= now && now < validity.until;
        if !holds(root.validity) {
            return Err(PkiError::Time("root certificate"));
        }
        let issuer = Issuer::from_ca_cert_der(&intermediate.der, key)?;
        let authority = Self { root, root_key, intermediate, issuer, constraints };
        if holds(authority.intermediate.validity) { Ok(authority) } else { authority.renew_intermediate(now) }
    }

    /// The authority that a `ca` issuer's Secret is: `tls.crt` (the signing certificate, then perhaps its issuers up to
    /// the root) and `tls.key`.
    ///
    /// # Errors
    /// [`PkiError`] names the part that is broken, foreign or out of time.
    pub fn of_secret(certificates: &str, key: &str, now: Timestamp) -> Result<Self, PkiError> {
        let read = CertificateDer::pem_slice_iter(certificates.as_bytes()).collect::<Result<Vec<_>, _>>();
        let chain = read.map_err(|_| PkiError::Pem("tls.crt"))?;
        let of = |der: Option<&CertificateDer<'static>>| {
            let der = der.cloned().ok_or(PkiError::Pem("tls.crt"))?;
            let validity = verify::validity(&der).ok_or(PkiError::Pem("tls.crt"))?;
            Ok::<_, PkiError>(Certificate { der, validity })
        };
        let (intermediate, root) = (of(chain.first())?, of(chain.last())?);
        let key = read_key(key, "tls.key")?;
        if !fits(&key, &intermediate.der) {
            return Err(PkiError::Mismatch("tls.key"));
        }
        if !verify::is_authority(&intermediate.der) {
            return Err(PkiError::Mismatch("tls.crt"));
        }
        if now < intermediate.validity.from || intermediate.validity.until <= now {
            return Err(PkiError::Time("signing certificate"));
        }
        let issuer = Issuer::from_ca_cert_der(&intermediate.der, key)?;
        Ok(Self { root, root_key: None, intermediate, issuer, constraints: Constraints::Unconstrained })
    }

    /// What the shell must keep.
    pub fn stored(&self) -> Stored {
        Stored {
            root_certificate: pem("CERTIFICATE", &self.root.der),
            root_key: self.root_key.as_ref().map(KeyPair::serialize_pem),
            intermediate_certificate: pem("CERTIFICATE", &self.intermediate.der),
            intermediate_key: self.issuer.key().serialize_pem(),
        }
    }

    /// The root certificate: the trust anchor that goes into bundles.
    pub const fn root(&self) -> &CertificateDer<'static> {
        &self.root.der
    }

    /// The root certificate as PEM, for clients.
    pub fn root_pem(&self) -> String {
        pem("CERTIFICATE", &self.root.der)
    }

    /// From when and until when root and intermediate hold.
    pub const fn validities(&self) -> (Validity, Validity) {
        (self.root.validity, self.intermediate.validity)
    }

    /// The same root with a new intermediate and a new intermediate key. Leaves of the old one stay good.
    ///
    /// # Errors
    /// [`PkiError::RootOffline`] when the root's key is kept elsewhere.
    pub fn renew_intermediate(self, now: Timestamp) -> Result<Self, PkiError> {
        let root_key = self.root_key.ok_or(PkiError::RootOffline)?;
        let name = verify::common_name(&self.intermediate.der).unwrap_or_default();
        let name = name.strip_prefix("Ringwall intermediate ").unwrap_or(&name).to_owned();
        let (intermediate, issuer) = sign_intermediate(&self.root, &root_key, &name, &self.constraints, now)?;
        Ok(Self { root: self.root, root_key: Some(root_key), intermediate, issuer, constraints: self.constraints })
    }

    /// Issues an X509-SVID with a new key. It ends no later than the intermediate does.
    ///
    /// # Errors
    /// [`PkiError`] when the crypto library fails or the intermediate has ended.
    pub fn issue(&self, id: &SpiffeId, lifetime: Millis, now: Timestamp) -> Result<Issued, PkiError> {
        let validity = self.within(Validity::backdated(now, lifetime), now)?;
        let key = generate_key()?;
        let params = profile::svid(id, validity)?;
        self.sign(&params, key, validity)
    }

    /// Issues a certificate for names, such as the one of a Gateway, for a new key of the kind that was asked for.
    ///
    /// # Errors
    /// [`PkiError::Name`] for a name outside the constraints, [`PkiError::Nameless`] without any.
    pub fn issue_names(&self, request: &Request, key: FreshKey, now: Timestamp) -> Result<Issued, PkiError> {
        request.admitted_by(&self.constraints)?;
        let validity = self.within(Validity::backdated(now, request.lifetime), now)?;
        let key = key.of_kind(request.key)?;
        let mut params = request.params(validity)?;
        params.use_authority_key_identifier_extension = true;
        self.sign(&params, key, validity)
    }

    fn sign(&self, params: &CertificateParams, key: KeyPair, validity: Validity) -> Result<Issued, PkiError> {
        let leaf = params.signed_by(&key, &self.issuer)?;
        let above = Some(&self.intermediate.der).filter(|intermediate| **intermediate != self.root.der);
        Ok(issued(params, leaf.der().clone(), above.cloned(), &key, validity))
    }

    /// INVARIANT: a leaf never outlives its issuer, else it would fail before its own end.
    fn within(&self, wanted: Validity, now: Timestamp) -> Result<Validity, PkiError> {
        let until = wanted.until.min(self.intermediate.validity.until);
        if until <= now {
            return Err(PkiError::Time("intermediate certificate"));
        }
        Ok(Validity { from: wanted.from, until })
    }
}

/// A certificate signed with its own key, as cert-manager's `selfSigned` issuer makes it.
///
/// # Errors
/// [`PkiError::Nameless`] without any name, or when the crypto library fails.
pub fn self_signed(request: &Request, key: FreshKey, now: Timestamp) -> Result<Issued, PkiError> {
    request.admitted_by(&Constraints::Unconstrained)?;
    let validity = Validity::from_now(now, request.lifetime);
    let key = key.of_kind(request.key)?;
    let params = request.params(validity)?;
    let certificate = params.self_signed(&key)?;
    Ok(issued(&params, certificate.der().clone(), None, &key, validity))
}

fn issued(
    params: &CertificateParams,
    leaf: CertificateDer<'static>,
    issuer: Option<CertificateDer<'static>>,
    key: &KeyPair,
    validity: Validity,
) -> Issued {
    let serial = params.serial_number.as_ref().map(rcgen::SerialNumber::to_bytes).unwrap_or_default();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Issued { chain: std::iter::once(leaf).chain(issuer).collect(), key, serial: serial.into(), validity }
}

fn sign_intermediate(
    root: &Certificate,
    root_key: &KeyPair,
    name: &str,
    constraints: &Constraints,
    now: Timestamp,
) -> Result<(Certificate, Issuer<'static, Key>), PkiError> {
    let wanted = Validity::backdated(now, INTERMEDIATE_LIFETIME);
    let validity = Validity { from: wanted.from, until: wanted.until.min(root.validity.until) };
    let params = profile::intermediate(&format!("Ringwall intermediate {name}"), constraints, validity)?;
    let key = generate_key()?;
    let signer = Issuer::from_ca_cert_der(&root.der, root_key)?;
    let der = params.signed_by(&key, &signer)?.der().clone();
    Ok((Certificate { der, validity }, Issuer::new(params, key)))
}

fn generate_key() -> Result<KeyPair, PkiError> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

fn read_certificate(text: &str, what: &'static str) -> Result<Certificate, PkiError> {
    let der = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| PkiError::Pem(what))?;
    let validity = verify::validity(&der).ok_or(PkiError::Pem(what))?;
    Ok(Certificate { der, validity })
}

fn read_key(text: &str, what: &'static str) -> Result<KeyPair, PkiError> {
    KeyPair::from_pem(text).map_err(|_| PkiError::Pem(what))
}

fn fits(key: &KeyPair, certificate: &CertificateDer<'_>) -> bool {
    use rcgen::PublicKeyData;
    verify::public_key(certificate).is_some_and(|spki| *spki == *key.subject_public_key_info())
}

/// PEM (RFC 7468) of DER bytes.
pub fn pem(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let byte = |n: usize| u32::from(group.get(n).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for n in 0..4 {
                let sextet = (bits >> (18 - 6 * n) & 63) as usize;
                let letter = ALPHABET.get(sextet).copied().unwrap_or(b'=');
                text.push(if n > group.len() { '=' } else { char::from(letter) });
            }
        }
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests;
