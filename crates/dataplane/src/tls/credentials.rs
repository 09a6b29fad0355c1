//! Certificates, keys and roots of one moment, and the rustls configurations made from them.

use super::peer::{Denials, MeshClient, MeshServer};
use super::{http_protocols, provider};
use crate::page::{ClientCertificate, Floor, UpstreamTls};
use ringwall_model::SpiffeId;
use ringwall_pki::Bundles;
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// All credentials of one moment. Made whole, swapped whole, never changed.
#[derive(Default)]
pub struct Credentials {
    /// Certificates of servers, by name of their Secret (`namespace/name`).
    pub servers: BTreeMap<Arc<str>, ServerCredential>,
    /// SVIDs of the workloads whose proxy this is.
    pub identities: BTreeMap<SpiffeId, Identity>,
    /// The authorities of each trust domain.
    pub bundles: Arc<Bundles>,
    /// Authority bundles for TLS towards the world, by name; `system` is used when none is named.
    pub authorities: BTreeMap<Arc<str>, Arc<RootCertStore>>,
    made: Mutex<BTreeMap<Wanted, Arc<ServerConfig>>>,
}

/// What a server's configuration is made of.
type Wanted = (Arc<str>, Floor, ClientCertificate);

/// A server's certificate and key.
#[derive(Clone, Debug)]
pub struct ServerCredential {
    /// Chain, leaf first, and key.
    pub key: Arc<CertifiedKey>,
    /// Who signs client certificates, where those are asked for.
    pub client_authorities: Option<Arc<RootCertStore>>,
}

/// A workload's SVID.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Chain, leaf first, and key.
    pub key: Arc<CertifiedKey>,
}

/// Why no configuration could be made: the connection is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchCredential {
    /// No credential of that name was loaded.
    #[error("there is no credential `{0}`")]
    Absent(Arc<str>),
    /// rustls does not take it.
    #[error("the credential cannot be used: {0}")]
    Unusable(Box<str>),
}

fn unusable(error: impl std::fmt::Display) -> NoSuchCredential {
    NoSuchCredential::Unusable(error.to_string().into())
}

const TLS_12_UP: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
const TLS_13_UP: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

impl Credentials {
    /// The configuration of a server that ends TLS for the world.
    ///
    /// # Errors
    /// [`NoSuchCredential`]; also when client certificates are required and nobody is named to have signed them.
    pub fn server(
        &self,
        name: &Arc<str>,
        floor: Floor,
        client: ClientCertificate,
    ) -> Result<Arc<ServerConfig>, NoSuchCredential> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = (name.clone(), floor, client);
        if let Some(config) = made.get(&wanted) {
            return Ok(config.clone());
        }
        let credential = self.servers.get(name).ok_or_else(|| NoSuchCredential::Absent(name.clone()))?;
        let versions = if floor == Floor::Tls13 { TLS_13_UP } else { TLS_12_UP };
        let builder = ServerConfig::builder_with_provider(provider().clone())
            .with_protocol_versions(versions)
            .map_err(unusable)?;
        let resolver = Arc::new(One(credential.key.clone()));
        let mut config = match client {
            ClientCertificate::NotAsked => builder.with_no_client_auth().with_cert_resolver(resolver),
            ClientCertificate::Required => {
                let roots = credential.client_authorities.clone();
                let roots = roots.ok_or_else(|| unusable("client certificates are required and nobody signs them"))?;
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider().clone()).build();
                builder.with_client_cert_verifier(verifier.map_err(unusable)?).with_cert_resolver(resolver)
            }
        };
        if client == ClientCertificate::Required {
            never_resume(&mut config);
        }
        config.alpn_protocols = http_protocols();
        let config = Arc::new(config);
        made.insert(wanted, config.clone());
        Ok(config)
    }

    /// The configuration of a mesh listener: the workload's SVID, and a client that must show its own.
    ///
    /// # Errors
    /// [`NoSuchCredential`]
    pub fn mesh_server(&self, identity: &SpiffeId, denylist: &Denials) -> Result<Arc<ServerConfig>, NoSuchCredential> {
        let svid = self.identity(identity)?;
        let verifier = Arc::new(MeshClient::new(self.bundles.clone(), denylist.clone()));
        let mut config = ServerConfig::builder_with_provider(provider().clone())
            .with_protocol_versions(TLS_12_UP)
            .map_err(unusable)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(One(svid.key.clone())));
        never_resume(&mut config);
        config.alpn_protocols = http_protocols();
        // Envoy's sidecars offer these beside the usual ones; a server that knows none of them would break off.
        config.alpn_protocols.insert(0, b"istio-h2".to_vec());
        config.alpn_protocols.extend([b"istio-http/1.1".to_vec(), b"istio".to_vec(), b"istio-peer-exchange".to_vec()]);
        Ok(Arc::new(config))
    }

    /// The configuration of a client towards an upstream; `protocols` is what is offered by ALPN.
    ///
    /// # Errors
    /// [`NoSuchCredential`]
    pub fn client(
        &self,
        tls: &UpstreamTls,
        denylist: &Denials,
        protocols: Vec<Vec<u8>>,
    ) -> Result<Arc<ClientConfig>, NoSuchCredential> {
        let builder = ClientConfig::builder_with_provider(provider().clone())
            .with_protocol_versions(TLS_12_UP)
            .map_err(unusable)?;
        let mut config = match tls {
            UpstreamTls::Clear | UpstreamTls::Unproven => return Err(unusable("clear text was asked for")),
            UpstreamTls::Mesh { identity, expected, .. } => {
                let svid = self.identity(identity)?;
                let verifier = MeshServer::new(self.bundles.clone(), denylist.clone(), expected.clone());
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier))
                    .with_client_cert_resolver(Arc::new(One(svid.key.clone())))
            }
            UpstreamTls::Simple { authorities, credential, .. } => {
                let name = authorities.clone().unwrap_or_else(|| "system".into());
                let roots = self.authorities.get(&name).ok_or(NoSuchCredential::Absent(name))?;
                let verifier = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider().clone());
                let builder = builder.with_webpki_verifier(verifier.build().map_err(unusable)?);
                match credential {
                    None => builder.with_no_client_auth(),
                    Some(name) => {
                        let own = self.servers.get(name).ok_or_else(|| NoSuchCredential::Absent(name.clone()))?;
                        builder.with_client_cert_resolver(Arc::new(One(own.key.clone())))
                    }
                }
            }
        };
        config.resumption = Resumption::disabled();
        config.alpn_protocols = protocols;
        Ok(Arc::new(config))
    }

    fn identity(&self, identity: &SpiffeId) -> Result<&Identity, NoSuchCredential> {
        self.identities.get(identity).ok_or_else(|| NoSuchCredential::Absent(identity.as_str().into()))
    }
}

/// INVARIANT: a server that verifies client certificates never resumes a session: rustls does not verify the certificate
/// again on a resumed one, so a revoked client that holds a ticket would still get in.
fn never_resume(config: &mut ServerConfig) {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
}

/// Always the one certificate; rustls's own resolver for that reads DER again at each use.
#[derive(Debug)]
struct One(Arc<CertifiedKey>);

impl ResolvesServerCert for One {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

impl ResolvesClientCert for One {
    fn resolve(&self, _: &[&[u8]], schemes: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        ResolvesClientCert::resolve(&SingleCertAndKey::from(self.0.clone()), &[], schemes)
    }

    fn has_certs(&self) -> bool {
        true
    }
}
