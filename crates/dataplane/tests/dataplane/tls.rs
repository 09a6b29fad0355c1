//! TLS by server name, mutual TLS of the mesh, and whom neither lets in.

use super::rig::{Client, Rig, TestPage};
use super::upstream::Server as Fake;
use arc_swap::ArcSwap;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use ringwall_dataplane::Selector;
use ringwall_dataplane::page::{ClientCertificate, Floor, Opening, Place, Server, Upstream, UpstreamTls};
use ringwall_dataplane::tls::{Credentials, Identity, ServerCredential, provider};
use ringwall_model::{Layer, Protocol, Reason, SpiffeId, Timestamp};
use ringwall_pki::{Bundle, Bundles, Denied, Denylist};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const GET: &str = "GET /a HTTP/1.1\r\nhost: h\r\n\r\n";
const KONG: &str = "spiffe://cluster.local/ns/infrastructure/sa/kong-gateway";
const BFF: &str = "spiffe://cluster.local/ns/application/sa/bff-service";
const NEVER: Timestamp = Timestamp(u64::MAX);

/// A root that signs whatever it is given.
struct Forge {
    root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Forge {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = params.self_signed(&key).unwrap().der().clone();
        Self { root, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, params: &CertificateParams) -> Arc<CertifiedKey> {
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Arc::new(CertifiedKey::new(vec![leaf], provider().key_provider.load_private_key(key).unwrap()))
    }

    fn svid(&self, id: &str) -> Arc<CertifiedKey> {
        self.sign(&svid(id))
    }

    /// What a proxy of the mesh knows, with the SVIDs of these workloads.
    fn credentials(&self, ids: &[&str]) -> Credentials {
        let mut credentials = Credentials::default();
        let bundle = Bundle::new([self.root.clone()]).unwrap();
        credentials.bundles = Arc::new(Bundles::of("cluster.local", bundle));
        for one in ids {
            credentials.identities.insert(id(one), Identity { key: self.svid(one) });
        }
        credentials
    }
}

fn id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).unwrap()
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn svid(id: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![uri(id)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// What is done to an SVID to break it.
type Change = Box<dyn Fn(&mut CertificateParams)>;

/// Takes any server: what is tested is the other side.
#[derive(Debug)]
struct Anyone;

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

fn client_config(key: Option<Arc<CertifiedKey>>) -> ClientConfig {
    client_config_of(key, rustls::ALL_VERSIONS)
}

fn client_config_of(
    key: Option<Arc<CertifiedKey>>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider().clone())
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone));
    match key {
        None => builder.with_no_client_auth(),
        Some(key) => builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key))),
    }
}

async fn dial(rig: &Rig, name: &str, config: Arc<ClientConfig>) -> std::io::Result<Client<TlsStream<TcpStream>>> {
    let stream = TcpStream::connect(rig.address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    Ok(Client::new(TlsConnector::from(config).connect(name, stream).await?))
}

/// Whether the server lets this client in: in TLS 1.3 the client learns it with the first byte that it reads.
async fn answer(rig: &Rig, config: ClientConfig) -> Option<u16> {
    use tokio::io::AsyncWriteExt;
    let mut client = dial(rig, "bff", Arc::new(config)).await.ok()?;
    client.io.write_all(GET.as_bytes()).await.ok()?;
    let head = client.until_or_end(b"\r\n\r\n").await?;
    String::from_utf8(head).unwrap().split(' ').nth(1)?.parse().ok()
}

async fn mesh(forge: &Forge, opening: Opening) -> (Fake, Rig) {
    let server = Fake::echo().await;
    let page = TestPage { opening, ..TestPage::to(server.upstream()) };
    let credentials = forge.credentials(&[BFF]);
    let rig = Rig::with(page, Protocol::Http, |shared| shared.credentials = ArcSwap::from_pointee(credentials));
    (server, rig)
}

fn strict() -> Opening {
    Opening::Strict { identity: id(BFF) }
}

#[tokio::test]
async fn a_peer_is_who_its_svid_says() {
    let forge = Forge::new();
    let (_server, mut rig) = mesh(&forge, strict()).await;
    assert_eq!(answer(&rig, client_config(Some(forge.svid(KONG)))).await, Some(200));
    let event = rig.exchange().await;
    assert_eq!(event.peer_identity, Some(id(KONG)));
    let call = rig.page.seen.lock().unwrap()[0].clone();
    assert_eq!(call.peer.identity(), Some(&id(KONG)));
}

#[tokio::test]
async fn strict_takes_no_clear_text_and_permissive_does() {
    let forge = Forge::new();
    let (_server, mut rig) = mesh(&forge, strict()).await;
    let mut clear = rig.connect().await;
    clear.send(GET).await;
    assert_eq!(clear.rest().await, b"");
    let event = rig.connection().await;
    assert!(format!("{:?}", event.refused).contains("tls/plaintext-refused"));
    assert_eq!(answer(&rig, client_config(None)).await, None);
    let (_server, rig) = mesh(&forge, Opening::Permissive { identity: id(BFF) }).await;
    assert_eq!(rig.connect().await.ask(GET).await.status, 200);
    assert_eq!(answer(&rig, client_config(Some(forge.svid(KONG)))).await, Some(200));
    assert_eq!(answer(&rig, client_config(None)).await, None);
}

#[tokio::test]
async fn an_svid_that_breaks_one_rule_is_refused() {
    let forge = Forge::new();
    let (server, rig) = mesh(&forge, strict()).await;
    let raw = |oid: &[u64], content: Vec<u8>| CustomExtension::from_oid_content(oid, content);
    let names = [&[0x30, KONG.len() as u8 + 2, 0x86, KONG.len() as u8][..], KONG.as_bytes()].concat();
    let broken: Vec<(&str, Change)> = vec![
        ("no URI", Box::new(|p| p.subject_alt_names = vec![SanType::DnsName("kong".try_into().unwrap())])),
        ("two URIs", Box::new(|p| p.subject_alt_names.push(uri(BFF)))),
        ("not SPIFFE", Box::new(|p| p.subject_alt_names = vec![uri("https://cluster.local/ns/a/sa/b")])),
        ("no path", Box::new(|p| p.subject_alt_names = vec![uri("spiffe://cluster.local")])),
        ("other trust domain", Box::new(|p| p.subject_alt_names = vec![uri("spiffe://other/ns/a/sa/b")])),
        ("leaf is an authority", Box::new(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
        ("no digitalSignature", Box::new(|p| p.key_usages = vec![KeyUsagePurpose::KeyEncipherment])),
        ("keyCertSign", Box::new(|p| p.key_usages.push(KeyUsagePurpose::KeyCertSign))),
        ("cRLSign", Box::new(|p| p.key_usages.push(KeyUsagePurpose::CrlSign))),
        (
            "key usage not critical",
            Box::new(move |p| {
                p.key_usages.clear();
                p.custom_extensions.push(raw(&[2, 5, 29, 15], vec![0x03, 0x02, 0x07, 0x80]));
            }),
        ),
        (
            "names not critical under an empty subject",
            Box::new(move |p| {
                p.subject_alt_names.clear();
                p.custom_extensions.push(raw(&[2, 5, 29, 17], names.clone()));
            }),
        ),
        ("server only", Box::new(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])),
    ];
    assert_eq!(broken.len(), 12);
    for (name, change) in broken {
        let mut params = svid(KONG);
        change(&mut params);
        assert_eq!(answer(&rig, client_config(Some(forge.sign(&params)))).await, None, "{name}");
    }
    let mut old = svid(KONG);
    old.not_before = rcgen::date_time_ymd(2020, 1, 1);
    old.not_after = rcgen::date_time_ymd(2021, 1, 1);
    assert_eq!(answer(&rig, client_config(Some(forge.sign(&old)))).await, None, "expired");
    assert_eq!(answer(&rig, client_config(Some(Forge::new().svid(KONG)))).await, None, "foreign authority");
    assert_eq!(server.took(), 0);
    assert_eq!(answer(&rig, client_config(Some(forge.svid(KONG)))).await, Some(200));
}

#[tokio::test]
async fn no_session_is_resumed() {
    let forge = Forge::new();
    let (_server, rig) = mesh(&forge, strict()).await;
    let config = Arc::new(client_config(Some(forge.svid(KONG))));
    for _ in 0..3 {
        let mut client = dial(&rig, "bff", config.clone()).await.unwrap();
        assert_eq!(client.ask(GET).await.status, 200);
        assert_eq!(client.io.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
    // TLS 1.2 resumes by ticket and by session id; a client that offers both gets neither.
    let mut tls12 = client_config_of(Some(forge.svid(KONG)), &[&rustls::version::TLS12]);
    tls12.resumption = rustls::client::Resumption::in_memory_sessions(8);
    let tls12 = Arc::new(tls12);
    for _ in 0..2 {
        let mut client = dial(&rig, "bff", tls12.clone()).await.unwrap();
        assert_eq!(client.ask(GET).await.status, 200);
        assert_eq!(client.io.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
        assert_eq!(client.io.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

const REVOKED: (Layer, Reason) = (Layer::Tls, Reason::Builtin("tls/revoked"));

#[tokio::test]
async fn a_revocation_cuts_and_keeps_out() {
    let forge = Forge::new();
    let (_server, rig) = mesh(&forge, strict()).await;
    let config = Arc::new(client_config(Some(forge.svid(KONG))));
    let mut live = dial(&rig, "bff", config.clone()).await.unwrap();
    assert_eq!(live.ask(GET).await.status, 200);
    let other = "spiffe://cluster.local/ns/a/sa/other";
    let mut bystander = dial(&rig, "bff", Arc::new(client_config(Some(forge.svid(other))))).await.unwrap();
    assert_eq!(bystander.ask(GET).await.status, 200);
    let mut denylist = Denylist::default();
    denylist.deny(Denied::Identity(KONG.into()), NEVER);
    let denylist = Arc::new(denylist);
    rig.engine.shared().denylist.store(denylist.clone());
    assert_eq!(rig.engine.cut(&Selector::Denied(denylist, Timestamp(0)), REVOKED), 1);
    assert_eq!(live.rest().await, b"");
    assert_eq!(answer(&rig, client_config(Some(forge.svid(KONG)))).await, None);
    assert_eq!(bystander.ask(GET).await.status, 200);
}

/// Two engines: one calls as Kong, the other is the BFF's.
async fn hop(forge: &Forge, expected: &str) -> (u16, Rig, Rig, Fake) {
    let (server, inner) = mesh(forge, strict()).await;
    let mut upstream = Upstream::plain("outbound|80||bff", inner.address);
    upstream.retries = 0;
    let tls = UpstreamTls::Mesh {
        identity: id(KONG),
        expected: Arc::new([id(expected)]),
        server_name: "outbound_.80_._.bff.application.svc.cluster.local".into(),
    };
    let upstream = upstream.with_places(|place| Place { tls: tls.clone(), ..place.clone() });
    let credentials = forge.credentials(&[KONG]);
    let outer = Rig::with(TestPage::to(upstream), Protocol::Http, |shared| {
        shared.credentials = ArcSwap::from_pointee(credentials);
    });
    let status = outer.connect().await.ask(GET).await.status;
    (status, outer, inner, server)
}

#[tokio::test]
async fn a_hop_shows_its_own_svid_and_checks_the_servers() {
    let forge = Forge::new();
    let (status, _outer, mut inner, _server) = hop(&forge, BFF).await;
    assert_eq!(status, 200);
    assert_eq!(inner.exchange().await.peer_identity, Some(id(KONG)));
    let (status, mut outer, inner, server) = hop(&forge, "spiffe://cluster.local/ns/application/sa/other").await;
    assert_eq!((status, server.took()), (503, 0));
    assert_eq!(outer.exchange().await.flags, "UF");
    assert!(inner.page.seen.lock().unwrap().is_empty());
}

fn world_server(forge: &Forge) -> Credentials {
    let mut params = CertificateParams::new(vec!["api.example.org".into()]).unwrap();
    params.is_ca = IsCa::ExplicitNoCa;
    let mut credentials = Credentials::default();
    let credential = ServerCredential { key: forge.sign(&params), client_authorities: None };
    credentials.servers.insert("infrastructure/api-tls".into(), credential);
    credentials
}

async fn edge(forge: &Forge, upstream: Upstream) -> Rig {
    let server = |name: Option<&str>| match name {
        Some("api.example.org") => Server::Terminate {
            credential: "infrastructure/api-tls".into(),
            floor: Floor::Tls13,
            client: ClientCertificate::NotAsked,
        },
        Some("sealed.example.org") => Server::PassThrough,
        _ => Server::Unknown,
    };
    let page = TestPage { opening: Opening::Named, server: Box::new(server), ..TestPage::to(upstream) };
    let credentials = world_server(forge);
    Rig::with(page, Protocol::Https, |shared| shared.credentials = ArcSwap::from_pointee(credentials))
}

#[tokio::test]
async fn the_server_name_says_which_server() {
    let forge = Forge::new();
    let server = Fake::echo().await;
    let mut rig = edge(&forge, server.upstream()).await;
    let mut roots = RootCertStore::empty();
    roots.add(forge.root.clone()).unwrap();
    let verified = ClientConfig::builder_with_provider(provider().clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client = dial(&rig, "API.example.org", Arc::new(verified)).await.unwrap();
    assert_eq!(client.ask(GET).await.status, 200);
    let call = rig.page.seen.lock().unwrap()[0].clone();
    assert_eq!(call.peer.tls.unwrap().server_name.as_deref(), Some("api.example.org"));
    let unknown = dial(&rig, "other.example.org", Arc::new(client_config(None))).await;
    let error = unknown.err().unwrap().to_string();
    assert!(error.to_ascii_lowercase().contains("unrecogni"), "{error}");
    let event = rig.connection().await;
    assert_eq!(event.server_name.as_deref(), Some("other.example.org"));
}

#[tokio::test]
async fn a_version_below_the_floor_is_refused() {
    let forge = Forge::new();
    let server = Fake::echo().await;
    let rig = edge(&forge, server.upstream()).await;
    let old = client_config_of(None, &[&rustls::version::TLS12]);
    assert!(dial(&rig, "api.example.org", Arc::new(old)).await.is_err());
    assert!(dial(&rig, "api.example.org", Arc::new(client_config(None))).await.is_ok());
}

#[tokio::test]
async fn sealed_tls_is_passed_on_by_its_server_name() {
    let forge = Forge::new();
    // The server behind is another engine, which opens what the first one passes on.
    let inner_forge = Forge::new();
    let (_server, inner) = mesh(&inner_forge, strict()).await;
    let upstream = Upstream::plain("outbound|443||sealed", inner.address);
    let mut rig = edge(&forge, upstream).await;
    let config = client_config(Some(inner_forge.svid(KONG)));
    let mut client = dial(&rig, "sealed.example.org", Arc::new(config)).await.unwrap();
    assert_eq!(client.ask(GET).await.status, 200);
    drop(client);
    assert!(rig.page.seen.lock().unwrap().is_empty());
    let event = rig.connection().await;
    assert_eq!(event.server_name.as_deref(), Some("sealed.example.org"));
}
