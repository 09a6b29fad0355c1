//! The verifiers of mesh hops, for both sides of a handshake.
//!
//! In: a chain from the wire. Out: yes, or a TLS alert. All reasoning is `pki::verify::peer`'s.

use super::provider;
use arc_swap::ArcSwap;
use ringwall_model::{SpiffeId, Timestamp};
use ringwall_pki::{BadPeer, Bundles, Denylist, Purpose, Verified, verify};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::fmt;
use std::sync::Arc;

/// Verifies the client of a mesh connection: it must show an X509-SVID.
pub struct MeshClient {
    bundles: Arc<Bundles>,
    denylist: Denials,
}

/// Verifies the server of a mesh connection: an X509-SVID, and one of the expected identities.
pub struct MeshServer {
    bundles: Arc<Bundles>,
    denylist: Denials,
    expected: Arc<[SpiffeId]>,
}

impl MeshClient {
    /// With these authorities and this denylist.
    pub const fn new(bundles: Arc<Bundles>, denylist: Denials) -> Self {
        Self { bundles, denylist }
    }
}

impl MeshServer {
    /// With these authorities and this denylist; an empty `expected` accepts every identity of a known trust domain.
    pub const fn new(bundles: Arc<Bundles>, denylist: Denials, expected: Arc<[SpiffeId]>) -> Self {
        Self { bundles, denylist, expected }
    }
}

/// Who was revoked; swapped apart from credentials, so that a revocation takes effect at once.
pub type Denials = Arc<ArcSwap<Denylist>>;

/// Judges a peer's chain, leaf first, as both verifiers do.
///
/// # Errors
/// As [`verify::peer`].
pub fn judge(
    chain: &[CertificateDer<'_>],
    bundles: &Bundles,
    denylist: &Denials,
    purpose: Purpose,
    now: Timestamp,
) -> Result<Verified, BadPeer> {
    verify::peer(chain, bundles, &denylist.load(), purpose, now)
}

fn chain<'a>(leaf: &CertificateDer<'a>, rest: &[CertificateDer<'a>]) -> Vec<CertificateDer<'a>> {
    std::iter::once(leaf).chain(rest).cloned().collect()
}

/// The TLS alert that fits.
fn refuse(bad: BadPeer) -> Error {
    Error::InvalidCertificate(match bad {
        BadPeer::Expired => CertificateError::Expired,
        BadPeer::NotYetValid => CertificateError::NotValidYet,
        BadPeer::UnknownIssuer | BadPeer::TrustDomain(_) => CertificateError::UnknownIssuer,
        BadPeer::Denied(_) => CertificateError::Revoked,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    })
}

/// A server that is somebody, but not who was called.
#[derive(Debug, thiserror::Error)]
#[error("the server is {0}, which is not expected here")]
struct Unexpected(SpiffeId);

impl ClientCertVerifier for MeshClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let now = Timestamp(now.as_secs().saturating_mul(1000));
        judge(&chain(leaf, intermediates), &self.bundles, &self.denylist, Purpose::Client, now).map_err(refuse)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for MeshServer {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let now = Timestamp(now.as_secs().saturating_mul(1000));
        let chain = chain(leaf, intermediates);
        let peer = judge(&chain, &self.bundles, &self.denylist, Purpose::Server, now).map_err(refuse)?;
        if !self.expected.is_empty() && !self.expected.contains(&peer.id) {
            let unexpected = OtherError(Arc::new(Unexpected(peer.id)));
            return Err(Error::InvalidCertificate(CertificateError::Other(unexpected)));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for MeshClient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("MeshClient")
    }
}

impl fmt::Debug for MeshServer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "MeshServer({:?})", self.expected)
    }
}
