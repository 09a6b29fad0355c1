//! Trust bundles: the roots of each trust domain that we believe.
//!
//! A bundle may hold several roots, so that a root can be changed without a failed handshake: trust old and new
//! everywhere, then sign with the new one, then stop trusting the old one (SPIFFE trust domain and bundle, section 4).

use rustls_pki_types::{CertificateDer, TrustAnchor};
use std::collections::BTreeMap;

/// The bundles of all trust domains, by trust domain.
#[derive(Clone, Debug, Default)]
pub struct Bundles(BTreeMap<Box<str>, Bundle>);

/// The roots of one trust domain.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    roots: Vec<(CertificateDer<'static>, TrustAnchor<'static>)>,
}

/// A root that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("root {0} of the bundle is not a certificate")]
pub struct BadRoot(pub usize);

impl Bundle {
    /// A bundle of these roots, DER.
    ///
    /// # Errors
    /// [`BadRoot`] names the first one that is not a certificate; a bundle is taken whole or not at all.
    pub fn new(roots: impl IntoIterator<Item = CertificateDer<'static>>) -> Result<Self, BadRoot> {
        let read = |(index, root): (usize, CertificateDer<'static>)| {
            let anchor = webpki::anchor_from_trusted_cert(&root).map_err(|_| BadRoot(index))?.to_owned();
            Ok((root, anchor))
        };
        Ok(Self { roots: roots.into_iter().enumerate().map(read).collect::<Result<_, _>>()? })
    }

    /// The roots, DER.
    pub fn roots(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.roots.iter().map(|(root, _)| root)
    }

    pub(crate) fn anchors(&self) -> Vec<TrustAnchor<'static>> {
        self.roots.iter().map(|(_, anchor)| anchor.clone()).collect()
    }
}

impl Bundles {
    /// Bundles with one trust domain.
    pub fn of(trust_domain: &str, bundle: Bundle) -> Self {
        Self(BTreeMap::from([(trust_domain.into(), bundle)]))
    }

    /// Sets the bundle of a trust domain (a federated one, or a new set of roots).
    pub fn set(&mut self, trust_domain: &str, bundle: Bundle) {
        self.0.insert(trust_domain.into(), bundle);
    }

    /// The bundle of a trust domain.
    pub fn of_domain(&self, trust_domain: &str) -> Option<&Bundle> {
        self.0.get(trust_domain)
    }

    /// All bundles, by trust domain.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bundle)> {
        self.0.iter().map(|(domain, bundle)| (&**domain, bundle))
    }
}
