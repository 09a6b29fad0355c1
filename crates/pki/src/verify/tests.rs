//! Negative tests of the SVID profile (SPIFFE X509-SVID sections 2 to 5) with certificates that break one rule each.

use super::{BadPeer, Purpose, Verified, peer};
use crate::denylist::{Denied, Denylist};
use crate::profile::{self, Constraints, Validity};
use crate::{Authority, Bundle, Bundles};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use ringwall_model::{BadSpiffeId, Millis, SpiffeId, Timestamp};
use rustls_pki_types::CertificateDer;

const NOW: Timestamp = Timestamp(1_795_449_852_222);
const HOUR: Millis = Millis::seconds(3600);
const ID: &str = "spiffe://cluster.local/ns/application/sa/bff-service";

fn id() -> SpiffeId {
    SpiffeId::parse(ID).unwrap()
}

fn authority() -> Authority {
    Authority::generate("cluster.local", Constraints::mesh("cluster.local"), NOW).unwrap()
}

fn bundles(authorities: &[&Authority]) -> Bundles {
    let roots = authorities.iter().map(|authority| authority.root().clone());
    Bundles::of("cluster.local", Bundle::new(roots).unwrap())
}

fn verify(chain: &[CertificateDer<'_>], bundles: &Bundles, now: Timestamp) -> Result<Verified, BadPeer> {
    peer(chain, bundles, &Denylist::default(), Purpose::Client, now)
}

/// A root of its own that signs whatever it is given.
struct Forge {
    root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Forge {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let params = profile::root("forge", Validity::backdated(NOW, HOUR)).unwrap();
        let root = params.self_signed(&key).unwrap().der().clone();
        Self { root, issuer: Issuer::new(params, key) }
    }

    fn bundles(&self) -> Bundles {
        Bundles::of("cluster.local", Bundle::new([self.root.clone()]).unwrap())
    }

    fn sign(&self, params: &CertificateParams) -> CertificateDer<'static> {
        params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap().der().clone()
    }
}

/// An SVID that `change` breaks.
#[track_caller]
fn check(change: impl FnOnce(&mut CertificateParams), want: Result<(), BadPeer>) {
    let forge = Forge::new();
    let mut params = profile::svid(&id(), Validity::backdated(NOW, HOUR)).unwrap();
    change(&mut params);
    let got = verify(&[forge.sign(&params)], &forge.bundles(), NOW);
    assert_eq!(got.map(|_| ()), want);
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// An extension of our own making, because the library writes these only as they should be.
fn extension(oid: &[u64], content: Vec<u8>) -> CustomExtension {
    CustomExtension::from_oid_content(oid, content)
}

#[test]
fn an_svid_as_it_should_be_is_believed() {
    check(|_| {}, Ok(()));
    check(|params| params.subject_alt_names.push(SanType::DnsName("a.cluster.local".try_into().unwrap())), Ok(()));
    check(|params| params.extended_key_usages.clear(), Ok(()));
}

#[test]
fn exactly_one_uri_name() {
    check(|params| params.subject_alt_names.clear(), Err(BadPeer::UriNames(0)));
    check(|params| params.subject_alt_names.push(uri("spiffe://cluster.local/b")), Err(BadPeer::UriNames(2)));
    check(|params| params.subject_alt_names.push(uri("https://example.org/")), Err(BadPeer::UriNames(2)));
    let dns = SanType::DnsName("a.cluster.local".try_into().unwrap());
    check(|params| params.subject_alt_names = vec![dns], Err(BadPeer::UriNames(0)));
}

#[test]
fn a_spiffe_id_with_a_path() {
    let with = |text: &str, want| check(|params| params.subject_alt_names = vec![uri(text)], Err(want));
    with("spiffe://cluster.local", BadPeer::NoPath);
    with("spiffe://cluster.local/", BadPeer::SpiffeId(BadSpiffeId::Path));
    with("spiffe://cluster.local/ns/a%2fb", BadPeer::SpiffeId(BadSpiffeId::Path));
    with("spiffe://cluster.local/a/../b", BadPeer::SpiffeId(BadSpiffeId::Path));
    with("spiffe://Cluster.local/a", BadPeer::SpiffeId(BadSpiffeId::TrustDomain));
    with("https://cluster.local/ns/a/sa/b", BadPeer::SpiffeId(BadSpiffeId::Scheme));
}

#[test]
fn names_are_critical_when_the_subject_is_empty() {
    let names =
        [&[0x30, u8::try_from(ID.len() + 2).unwrap(), 0x86, u8::try_from(ID.len()).unwrap()][..], ID.as_bytes()];
    let not_critical = move |params: &mut CertificateParams| {
        params.subject_alt_names.clear();
        params.custom_extensions.push(extension(&[2, 5, 29, 17], names.concat()));
    };
    check(not_critical, Err(BadPeer::NamesNotCritical));
    let with_subject = |params: &mut CertificateParams| {
        not_critical(params);
        params.distinguished_name.push(DnType::CommonName, "bff-service");
    };
    check(with_subject, Ok(()));
}

#[test]
fn a_leaf_is_no_authority_and_its_key_signs_no_certificate() {
    check(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained), Err(BadPeer::Authority));
    check(|params| params.key_usages.push(KeyUsagePurpose::KeyCertSign), Err(BadPeer::SigningKey));
    check(|params| params.key_usages.push(KeyUsagePurpose::CrlSign), Err(BadPeer::SigningKey));
}

#[test]
fn key_usage_is_critical_and_has_digital_signature() {
    check(|params| params.key_usages.clear(), Err(BadPeer::KeyUsage));
    check(|params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment], Err(BadPeer::KeyUsage));
    let not_critical = |params: &mut CertificateParams| {
        params.key_usages.clear();
        params.custom_extensions.push(extension(&[2, 5, 29, 15], vec![0x03, 0x02, 0x07, 0x80]));
    };
    check(not_critical, Err(BadPeer::KeyUsage));
}

#[test]
fn extended_key_usage_fits_the_use() {
    check(
        |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
        Err(BadPeer::ExtendedKeyUsage),
    );
    check(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth], Ok(()));
    let forge = Forge::new();
    let mut params = profile::svid(&id(), Validity::backdated(NOW, HOUR)).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let chain = [forge.sign(&params)];
    let as_server = peer(&chain, &forge.bundles(), &Denylist::default(), Purpose::Server, NOW);
    assert_eq!(as_server, Err(BadPeer::ExtendedKeyUsage));
}

#[test]
fn only_the_bundle_of_its_own_trust_domain_counts() {
    let (forge, other) = (Forge::new(), Forge::new());
    let foreign = SpiffeId::parse("spiffe://other.example/ns/a/sa/b").unwrap();
    let leaf = [forge.sign(&profile::svid(&foreign, Validity::backdated(NOW, HOUR)).unwrap())];
    assert_eq!(verify(&leaf, &forge.bundles(), NOW), Err(BadPeer::TrustDomain("other.example".into())));
    // A federated domain is believed by its own roots only: ours may not speak for it.
    let mut federated = forge.bundles();
    federated.set("other.example", Bundle::new([other.root.clone()]).unwrap());
    assert_eq!(verify(&leaf, &federated, NOW), Err(BadPeer::UnknownIssuer));
    federated.set("other.example", Bundle::new([forge.root.clone()]).unwrap());
    assert_eq!(verify(&leaf, &federated, NOW).map(|peer| peer.id), Ok(foreign));
}

#[test]
fn a_chain_has_its_times() {
    let authority = authority();
    let issued = authority.issue(&id(), HOUR, NOW).unwrap();
    let at = |millis: u64| verify(&issued.chain, &bundles(&[&authority]), Timestamp(millis)).map(|peer| peer.id);
    assert_eq!(at(NOW.0), Ok(id()));
    assert_eq!(at(NOW.0 - 110_000), Ok(id()), "backdated, for clocks that differ");
    assert_eq!(at(NOW.0 - 130_000), Err(BadPeer::NotYetValid));
    assert_eq!(at(NOW.0 + HOUR.0 - 1_000), Ok(id()));
    assert_eq!(at(NOW.0 + HOUR.0 + 1_000), Err(BadPeer::Expired));
}

#[test]
fn a_chain_is_whole_and_not_too_long() {
    let authority = authority();
    let issued = authority.issue(&id(), HOUR, NOW).unwrap();
    let bundles = bundles(&[&authority]);
    assert_eq!(verify(&[], &bundles, NOW), Err(BadPeer::NoCertificate));
    assert_eq!(verify(&issued.chain[..1], &bundles, NOW), Err(BadPeer::UnknownIssuer));
    let long = vec![issued.chain[0].clone(); super::LONGEST_CHAIN + 1];
    assert_eq!(verify(&long, &bundles, NOW), Err(BadPeer::LongChain));
    assert_eq!(verify(&[CertificateDer::from(vec![0x30, 0x03, 1, 2, 3])], &bundles, NOW), Err(BadPeer::Unreadable));
    let stranger = self::authority();
    assert_eq!(verify(&issued.chain, &self::bundles(&[&stranger]), NOW), Err(BadPeer::UnknownIssuer));
}

#[test]
fn a_signing_certificate_is_no_identity() {
    let authority = authority();
    let issued = authority.issue(&id(), HOUR, NOW).unwrap();
    assert_eq!(verify(&issued.chain[1..], &bundles(&[&authority]), NOW), Err(BadPeer::UriNames(0)));
    // A leaf that signs another leaf: the chain has an issuer that is no authority.
    let key = KeyPair::generate().unwrap();
    let forge = Forge::new();
    let mut params = profile::svid(&id(), Validity::backdated(NOW, HOUR)).unwrap();
    params.distinguished_name.push(DnType::CommonName, "not an authority");
    let middle = params.signed_by(&key, &forge.issuer).unwrap().der().clone();
    let issuer = Issuer::new(params, key);
    let leaf = profile::svid(&id(), Validity::backdated(NOW, HOUR)).unwrap();
    let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().clone();
    assert!(matches!(verify(&[leaf, middle], &forge.bundles(), NOW), Err(BadPeer::Chain(_))));
}

#[test]
fn an_intermediate_may_not_sign_names_beyond_its_constraints() {
    let authority = authority();
    let stored = authority.stored();
    let key = KeyPair::from_pem(&stored.intermediate_key).unwrap();
    let intermediate = {
        use rustls_pki_types::pem::PemObject;
        CertificateDer::from_pem_slice(stored.intermediate_certificate.as_bytes()).unwrap()
    };
    let issuer = Issuer::from_ca_cert_der(&intermediate, key).unwrap();
    let with = |name: SanType| {
        let mut params = profile::svid(&id(), Validity::backdated(NOW, HOUR)).unwrap();
        params.subject_alt_names.push(name);
        let leaf = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().clone();
        verify(&[leaf, intermediate.clone()], &bundles(&[&authority]), NOW)
    };
    assert!(with(SanType::DnsName("bff.application.svc.cluster.local".try_into().unwrap())).is_ok());
    assert!(matches!(with(SanType::DnsName("bank.example".try_into().unwrap())), Err(BadPeer::Chain(_))));
    assert!(matches!(with(SanType::IpAddress([192, 0, 2, 1].into())), Err(BadPeer::Chain(_))));
}

#[test]
fn roots_change_without_a_failed_handshake() {
    let (a, b) = (authority(), authority());
    let (of_a, of_b) = (a.issue(&id(), HOUR, NOW).unwrap(), b.issue(&id(), HOUR, NOW).unwrap());
    let ok = |chain: &[CertificateDer<'_>], bundles: &Bundles| verify(chain, bundles, NOW).is_ok();
    let (only_a, both, only_b) = (bundles(&[&a]), bundles(&[&a, &b]), bundles(&[&b]));
    assert_eq!((ok(&of_a.chain, &only_a), ok(&of_b.chain, &only_a)), (true, false), "sign with B too early");
    assert_eq!((ok(&of_a.chain, &both), ok(&of_b.chain, &both)), (true, true));
    assert_eq!((ok(&of_a.chain, &only_b), ok(&of_b.chain, &only_b)), (false, true), "drop A too early");
}

#[test]
fn what_is_denied_is_refused_and_nothing_else() {
    let authority = authority();
    let (one, two) = (authority.issue(&id(), HOUR, NOW).unwrap(), authority.issue(&id(), HOUR, NOW).unwrap());
    let other = SpiffeId::parse("spiffe://cluster.local/ns/a/sa/b").unwrap();
    let third = authority.issue(&other, HOUR, NOW).unwrap();
    let all = [&one, &two, &third];
    let bundles = bundles(&[&authority]);
    let verified = verify(&one.chain, &bundles, NOW).unwrap();
    assert_eq!(verified.serial, one.serial);
    assert_eq!((verified.issuers.len(), verified.validity), (2, one.validity));
    let refused = |what: Denied| {
        let mut denylist = Denylist::default();
        denylist.deny(what.clone(), Timestamp(NOW.0 + 1000));
        let judge =
            |list: &Denylist, chain: &[CertificateDer<'_>], now| peer(chain, &bundles, list, Purpose::Server, now);
        let again = Denylist::restore(serde_json::from_str(&serde_json::to_string(&denylist.list()).unwrap()).unwrap());
        assert!(judge(&denylist, &one.chain, Timestamp(NOW.0 + 1000)).is_ok(), "it ends");
        all.map(|issued| judge(&again, &issued.chain, NOW) == Err(BadPeer::Denied(what.clone())))
    };
    assert_eq!(refused(Denied::Serial(verified.issuer(), verified.serial.clone())), [true, false, false]);
    assert_eq!(refused(Denied::Key(verified.key)), [true, false, false]);
    assert_eq!(refused(Denied::Identity(ID.into())), [true, true, false]);
    assert_eq!(refused(Denied::Issuer(verified.issuers[0])), [true, true, true]);
    assert_eq!(refused(Denied::Issuer(verified.issuers[1])), [true, true, true]);
    let mut denylist = Denylist::default();
    denylist.deny(Denied::Identity(ID.into()), Timestamp(NOW.0 + 1000));
    denylist.deny(Denied::Identity(ID.into()), Timestamp(NOW.0 + 10));
    assert!(denylist.denies_identity(&id(), Timestamp(NOW.0 + 999)), "a longer denial is not shortened");
    denylist.sweep(Timestamp(NOW.0 + 1000));
    assert_eq!(denylist.list(), []);
}

proptest::proptest! {
    #[test]
    fn no_bytes_from_a_peer_are_too_strange(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let bundles = bundles(&[]);
        proptest::prop_assert!(verify(&[CertificateDer::from(bytes)], &bundles, NOW).is_err());
    }

    #[test]
    fn no_changed_byte_of_a_leaf_is_believed(place in 0_usize..1000, bit in 0_u8..8) {
        thread_local! {
            static MADE: (Authority, Vec<CertificateDer<'static>>) = {
                let authority = authority();
                let chain = authority.issue(&id(), HOUR, NOW).unwrap().chain;
                (authority, chain)
            };
        }
        MADE.with(|(authority, chain)| {
            let mut leaf = chain[0].to_vec();
            let place = place % leaf.len();
            leaf[place] ^= 1 << bit;
            let got = verify(&[leaf.into(), chain[1].clone()], &bundles(&[authority]), NOW);
            assert!(got.is_err(), "byte {place}, bit {bit}");
        });
    }
}
