//! Makes and keeps certificates: SVIDs of all identities, and the edge's from Certificate resources and Secrets. A new
//! set replaces the old one whole; handshakes that have begun end with the old one.
//!
//! In: a World, an authority, the time. Out: the engine's credentials. Never: a leaf key on disk.

use ringwall_dataplane::tls::{Credentials, Identity, ServerCredential, provider};
use ringwall_manifest::World;
use ringwall_model::{Millis, SpiffeId, Timestamp};
use ringwall_pki::authority::{Authority, FreshKey, Issued, KeyKind, PkiError, Request, self_signed};
use ringwall_pki::certificate::Certificate;
use ringwall_pki::plan::{Reach, Source};
use ringwall_pki::profile::Validity;
use ringwall_pki::{Bundle, Bundles};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The authorities of one process: one for the mesh, one in the stead of public issuers.
pub struct Authorities {
    /// Signs SVIDs.
    pub mesh: Authority,
    /// Signs edge certificates where the real issuer is not asked.
    pub edge: Authority,
    /// Lifetime of an SVID.
    pub svid_lifetime: Millis,
    /// Keys that were made ahead.
    spare: SpareKeys,
}

/// One set of credentials and what there is to say of it.
pub struct Set {
    /// For the engine.
    pub credentials: Credentials,
    /// When the next certificate of the set is due.
    pub due: Timestamp,
    /// Each edge certificate: Secret, validity, serial, who signed it.
    pub edge: Vec<EdgeCertificate>,
    /// Why a server of the edge has no certificate.
    pub missing: Vec<String>,
    /// What the next World may keep.
    pub kept: Kept,
}

/// What was made for a World, and holds for the next one as far as it asks for the same.
#[derive(Clone, Default)]
pub struct Kept {
    svids: BTreeMap<SpiffeId, Made>,
    edge: Vec<MadeForEdge>,
}

/// A certificate with its key.
#[derive(Clone)]
struct Made {
    key: Arc<CertifiedKey>,
    /// When it is made anew.
    renews: Timestamp,
}

/// A certificate of the edge, and what it was made for.
#[derive(Clone)]
struct MadeForEdge {
    request: Request,
    source: Source,
    told: EdgeCertificate,
    made: Made,
}

/// One certificate of the edge.
#[derive(Clone, Debug)]
pub struct EdgeCertificate {
    /// Name of the Secret, `namespace/name`.
    pub secret: String,
    /// From when and until when it holds.
    pub validity: Validity,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Who signed it, for people.
    pub signed: String,
}

impl Authorities {
    /// Makes a set for a World. What was made before, is asked for again and is not due is kept.
    ///
    /// # Errors
    /// A sentence that names the certificate that could not be made.
    pub fn make(&self, world: &World, reach: Reach, now: Timestamp, before: &Kept) -> Result<Set, String> {
        let mut credentials = Credentials::default();
        credentials.bundles = Arc::new(self.bundles(world)?);
        let mut kept = Kept::default();
        for workload in world.inventory.workloads.iter().filter(|workload| workload.in_mesh) {
            let identity = &workload.identity;
            if !kept.svids.contains_key(identity) {
                let made = before.svids.get(identity).filter(|made| now < made.renews).cloned();
                let made = made.map_or_else(|| self.made(identity, now), Ok)?;
                credentials.identities.insert(identity.clone(), Identity { key: made.key.clone() });
                kept.svids.insert(identity.clone(), made);
            }
        }
        let due = kept.svids.values().map(|made| made.renews).fold(now.plus(self.svid_lifetime), Timestamp::min);
        let mut set = Set { credentials, due, edge: Vec::new(), missing: Vec::new(), kept };
        self.secrets(world, &mut set)?;
        self.edge(world, reach, now, before, &mut set)?;
        Ok(set)
    }

    fn made(&self, identity: &SpiffeId, now: Timestamp) -> Result<Made, String> {
        let issued = self.svid(identity, now)?;
        // Renewed at half its life, give or take a tenth, so that workloads do not all come at once.
        let renews = ringwall_pki::renewal::of_svid(issued.validity, super::outside::dice());
        Ok(Made { key: certified(issued)?, renews })
    }

    /// An SVID.
    ///
    /// # Errors
    /// A sentence that names it.
    pub fn svid(&self, identity: &SpiffeId, now: Timestamp) -> Result<Issued, String> {
        self.mesh.issue(identity, self.svid_lifetime, now).map_err(|error| format!("{identity}: {error}"))
    }

    fn bundles(&self, world: &World) -> Result<Bundles, String> {
        let bundle =
            Bundle::new([self.mesh.root().clone()]).map_err(|_| "the mesh root cannot be trusted".to_owned())?;
        Ok(Bundles::of(&world.inventory.trust_domain, bundle))
    }

    /// Key pairs that the manifests bring themselves.
    fn secrets(&self, world: &World, set: &mut Set) -> Result<(), String> {
        for ((namespace, name), secret) in &world.secrets {
            let Some((chain, key)) = secret.key_pair() else { continue };
            let full = format!("{namespace}/{name}");
            let told = |what: &str| format!("Secret {full}: {what}");
            let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.reveal()).filter_map(Result::ok).collect();
            let key =
                PrivateKeyDer::from_pem_slice(key.reveal()).map_err(|_| told("`tls.key` is no private key in PEM"))?;
            let key = CertifiedKey::from_der(chain, key, provider()).map_err(|error| told(&error.to_string()))?;
            let credential = ServerCredential { key: Arc::new(key), client_authorities: None };
            set.credentials.servers.insert(full.into(), credential);
        }
        Ok(())
    }

    /// Certificates that Certificate resources ask for.
    fn edge(&self, world: &World, reach: Reach, now: Timestamp, before: &Kept, set: &mut Set) -> Result<(), String> {
        let plan = &world.certificates;
        for certificate in plan.order().into_iter().filter_map(|index| plan.certificates.get(index)) {
            let secret = format!("{}/{}", certificate.namespace, certificate.secret);
            if set.credentials.servers.contains_key(secret.as_str()) {
                continue;
            }
            let (request, source) = (certificate.request(), plan.source(certificate, reach));
            let same = |made: &&MadeForEdge| {
                made.told.secret == secret && made.request == request && made.source == source && now < made.made.renews
            };
            let made = match (before.edge.iter().find(same), &source) {
                (Some(made), _) => made.clone(),
                (None, Source::Pending { why }) => {
                    set.missing.push(format!("Certificate {}: {why}", certificate.full_name()));
                    continue;
                }
                (None, _) => {
                    let issued = self.issue(&request, &source, now);
                    let issued = issued.map_err(|why| format!("Certificate {}: {why}", certificate.full_name()))?;
                    self.made_for_edge(certificate, secret.clone(), request, source, issued)?
                }
            };
            set.due = set.due.min(made.made.renews);
            set.edge.push(made.told.clone());
            let credential = ServerCredential { key: made.made.key.clone(), client_authorities: None };
            set.credentials.servers.insert(secret.into(), credential);
            set.kept.edge.push(made);
        }
        Ok(())
    }

    /// A Secret with an authority in it is a real signer only when the manifests bring it.
    fn issue(&self, request: &Request, source: &Source, now: Timestamp) -> Result<Issued, PkiError> {
        let key = self.spare.take(request.key)?;
        match source {
            Source::SelfSigned => self_signed(request, key, now),
            _ => self.edge.issue_names(request, key, now),
        }
    }

    fn made_for_edge(
        &self,
        certificate: &Certificate,
        secret: String,
        request: Request,
        source: Source,
        issued: Issued,
    ) -> Result<MadeForEdge, String> {
        let signed = if source == Source::SelfSigned { "itself" } else { "the embedded authority" };
        let validity = issued.validity;
        let serial = issued.serial.iter().map(|byte| format!("{byte:02x}")).collect();
        let renews = ringwall_pki::renewal::of_certificate(validity, certificate.renew_before);
        let told = EdgeCertificate { secret, validity, serial, signed: signed.to_owned() };
        Ok(MadeForEdge { request, source, told, made: Made { key: certified(issued)?, renews } })
    }
}

/// Keys that take long to make, made ahead on a thread of their own, a few of each kind that was asked for: a reload does
/// not wait for one.
#[derive(Clone, Default)]
struct SpareKeys(Arc<Mutex<Spares>>);

#[derive(Default)]
struct Spares {
    keys: BTreeMap<KeyKind, Vec<FreshKey>>,
    /// Whether the thread that makes them runs.
    making: bool,
}

/// So many keys of a kind are kept ready.
const SPARES: usize = 8;

impl SpareKeys {
    /// A key that was made ahead, or one that is made now.
    fn take(&self, kind: KeyKind) -> Result<FreshKey, PkiError> {
        if !kind.is_slow() {
            return kind.generate();
        }
        let spare = self.lock().keys.entry(kind).or_default().pop();
        self.restock();
        spare.map_or_else(|| kind.generate(), Ok)
    }

    /// Has what is missing made. Without a thread the next key is made when it is needed.
    fn restock(&self) {
        if std::mem::replace(&mut self.lock().making, true) {
            return;
        }
        let keys = self.clone();
        let made = std::thread::Builder::new().name("keys".into()).spawn(move || {
            while let Some(kind) = keys.missing() {
                let made = kind.generate();
                let mut spares = keys.lock();
                let Ok(key) = made else {
                    spares.making = false;
                    return;
                };
                spares.keys.entry(kind).or_default().push(key);
            }
        });
        if made.is_err() {
            self.lock().making = false;
        }
    }

    /// A kind of which there are too few; `None` also ends the making.
    fn missing(&self) -> Option<KeyKind> {
        let mut spares = self.lock();
        let missing = spares.keys.iter().find(|(_, keys)| keys.len() < SPARES).map(|(kind, _)| *kind);
        spares.making = missing.is_some();
        missing
    }

    fn lock(&self) -> MutexGuard<'_, Spares> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn certified(issued: Issued) -> Result<Arc<CertifiedKey>, String> {
    CertifiedKey::from_der(issued.chain, issued.key, provider()).map(Arc::new).map_err(|error| error.to_string())
}

/// Where the authorities are kept in the state folder.
const FILE: &str = "authorities.json";

impl Authorities {
    /// The authorities of a state folder, made when it has none; in memory without a folder.
    ///
    /// # Errors
    /// A sentence that names what cannot be read or made.
    pub fn open(
        state: Option<&ringwall_control::state::StateDir>,
        svid_lifetime: Millis,
        now: Timestamp,
    ) -> Result<Self, String> {
        let bytes = match state {
            Some(state) => state.read(FILE).map_err(|error| error.to_string())?,
            None => None,
        };
        if let Some(bytes) = bytes {
            return Self::read(&bytes, svid_lifetime, now)
                .map_err(|error| format!("`{FILE}` in the state folder: {error}"));
        }
        let make = |name| Authority::generate(name, ringwall_pki::profile::Constraints::Unconstrained, now);
        let told = |error: PkiError| error.to_string();
        let (mesh, edge) = (make("mesh").map_err(told)?, make("edge").map_err(told)?);
        let made = Self { mesh, edge, svid_lifetime, spare: SpareKeys::default() };
        if let Some(state) = state {
            let stored = serde_json::json!({ "mesh": text(&made.mesh), "edge": text(&made.edge) });
            state.write(FILE, stored.to_string().as_bytes()).map_err(|error| error.to_string())?;
        }
        Ok(made)
    }

    fn read(bytes: &[u8], svid_lifetime: Millis, now: Timestamp) -> Result<Self, String> {
        let stored: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let load = |name: &str| {
            let one = stored.get(name).ok_or_else(|| format!("no `{name}`"))?;
            let field = |key: &str| one.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
            let stored = ringwall_pki::Stored {
                root_certificate: field("root_certificate").ok_or("no root certificate")?,
                root_key: field("root_key"),
                intermediate_certificate: field("intermediate_certificate").ok_or("no intermediate certificate")?,
                intermediate_key: field("intermediate_key").ok_or("no intermediate key")?,
            };
            let constraints = ringwall_pki::profile::Constraints::Unconstrained;
            Authority::load(&stored, constraints, now).map_err(|error| error.to_string())
        };
        Ok(Self { mesh: load("mesh")?, edge: load("edge")?, svid_lifetime, spare: SpareKeys::default() })
    }
}

fn text(authority: &Authority) -> serde_json::Value {
    let stored = authority.stored();
    serde_json::json!({
        "root_certificate": stored.root_certificate, "root_key": stored.root_key,
        "intermediate_certificate": stored.intermediate_certificate, "intermediate_key": stored.intermediate_key,
    })
}
