use super::{Authority, KeyKind, PkiError, Request, Role, Usage, pem, self_signed};
use crate::profile::{Constraints, INTERMEDIATE_LIFETIME, SVID_LIFETIME};
use ringwall_model::{Millis, SpiffeId, Timestamp};
use x509_parser::prelude::{FromDer, X509Certificate};

const NOW: Timestamp = Timestamp(1_795_449_852_222);

fn fresh(request: &Request) -> super::FreshKey {
    request.key.generate().unwrap()
}

fn mesh() -> Authority {
    Authority::generate("cluster.local", Constraints::mesh("cluster.local"), NOW).unwrap()
}

fn id() -> SpiffeId {
    SpiffeId::parse("spiffe://cluster.local/ns/a/sa/b").unwrap()
}

fn names(dns: &[&str]) -> Request {
    Request {
        common_name: None,
        dns_names: dns.iter().map(|name| Box::from(*name)).collect(),
        addresses: Vec::new(),
        uris: Vec::new(),
        usages: vec![Usage::DigitalSignature, Usage::ServerAuth],
        role: Role::Leaf,
        lifetime: Millis::seconds(86_400),
        key: KeyKind::P256,
    }
}

#[test]
fn an_svid_has_the_profile() {
    let issued = mesh().issue(&id(), SVID_LIFETIME, NOW).unwrap();
    assert_eq!(issued.chain.len(), 2);
    let (_, leaf) = X509Certificate::from_der(&issued.chain[0]).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert!(names.critical && names.value.general_names.len() == 1 && leaf.subject().iter().next().is_none());
    let usage = leaf.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.flags == 1, "digital signature and nothing else");
    let extended = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.server_auth && extended.client_auth && !extended.any);
    assert!(!leaf.basic_constraints().unwrap().unwrap().value.ca);
    assert_eq!(issued.validity.until.since(issued.validity.from), Millis::seconds(24 * 3600 + 120));
    assert_eq!(&*issued.serial, leaf.tbs_certificate.raw_serial());
    let (_, intermediate) = X509Certificate::from_der(&issued.chain[1]).unwrap();
    let constraints = intermediate.basic_constraints().unwrap().unwrap();
    assert_eq!(
        (constraints.critical, constraints.value.ca, constraints.value.path_len_constraint),
        (true, true, Some(0))
    );
    let subtrees = intermediate.name_constraints().unwrap().unwrap();
    let text = format!("{:?}", subtrees.value);
    assert!(subtrees.critical && text.contains("DNSName") && !text.contains("URI"), "{text}");
}

#[test]
fn no_two_certificates_share_serial_or_key() {
    let authority = mesh();
    let (one, two) =
        (authority.issue(&id(), SVID_LIFETIME, NOW).unwrap(), authority.issue(&id(), SVID_LIFETIME, NOW).unwrap());
    assert!(one.serial != two.serial && one.key != two.key);
}

#[test]
fn what_is_stored_is_the_same_authority_again() {
    let authority = mesh();
    let stored = authority.stored();
    let again = Authority::load(&stored, Constraints::mesh("cluster.local"), NOW).unwrap();
    assert_eq!(again.stored(), stored);
    assert_eq!(again.root(), authority.root());
    assert!(!format!("{stored:?}").contains("PRIVATE"), "keys do not show in logs");
}

#[test]
fn stored_parts_must_fit() {
    #[track_caller]
    fn check(change: impl FnOnce(&mut super::Stored, super::Stored), want: &str) {
        let (mut stored, other) = (mesh().stored(), mesh().stored());
        change(&mut stored, other);
        let error = Authority::load(&stored, Constraints::Unconstrained, NOW).unwrap_err();
        assert_eq!(error.to_string(), want);
    }
    check(|stored, other| stored.root_key = other.root_key, "`root key` does not fit the others");
    check(
        |stored, other| stored.intermediate_key = other.intermediate_key,
        "`intermediate key` does not fit the others",
    );
    let foreign = |stored: &mut super::Stored, other: super::Stored| {
        stored.intermediate_certificate = other.intermediate_certificate;
        stored.intermediate_key = other.intermediate_key;
    };
    check(foreign, "`intermediate certificate` does not fit the others");
    check(|stored, _| stored.root_certificate = "nothing".into(), "`root certificate` is not the PEM it should be");
    let late = Timestamp(NOW.0 + crate::profile::ROOT_LIFETIME.0 + 1);
    let error = Authority::load(&mesh().stored(), Constraints::Unconstrained, late).unwrap_err();
    assert!(matches!(error, PkiError::Time("root certificate")));
}

#[test]
fn an_intermediate_that_has_ended_is_made_anew_if_the_root_is_here() {
    let later = Timestamp(NOW.0 + INTERMEDIATE_LIFETIME.0 + 1000);
    let stored = mesh().stored();
    assert!(matches!(mesh().issue(&id(), SVID_LIFETIME, later), Err(PkiError::Time(_))));
    let again = Authority::load(&stored, Constraints::mesh("cluster.local"), later).unwrap();
    assert_ne!(again.stored().intermediate_certificate, stored.intermediate_certificate);
    assert_eq!(again.stored().root_certificate, stored.root_certificate);
    assert!(again.issue(&id(), SVID_LIFETIME, later).is_ok());
    let offline = super::Stored { root_key: None, ..stored };
    let error = Authority::load(&offline, Constraints::mesh("cluster.local"), later).unwrap_err();
    assert!(matches!(error, PkiError::RootOffline));
}

#[test]
fn a_leaf_ends_before_its_issuer() {
    let late = Timestamp(NOW.0 + INTERMEDIATE_LIFETIME.0 - 10_000);
    let authority = mesh();
    let issued = authority.issue(&id(), SVID_LIFETIME, late).unwrap();
    assert_eq!(issued.validity.until, authority.validities().1.until);
}

#[test]
fn names_stay_within_the_constraints() {
    #[track_caller]
    fn check(request: Request, want: Option<&str>) {
        let got = mesh().issue_names(&request, fresh(&request), NOW).err().map(|error| error.to_string());
        assert_eq!(got, want.map(|name| format!("`{name}` is not a name that this authority may sign")));
    }
    check(names(&["a.cluster.local", "*.b.cluster.local", "cluster.local"]), None);
    check(names(&["api.example.org"]), Some("api.example.org"));
    check(names(&["evilcluster.local"]), Some("evilcluster.local"));
    check(Request { addresses: vec![[192, 0, 2, 1].into()], ..names(&["cluster.local"]) }, Some("192.0.2.1"));
    check(Request { common_name: Some("bank.example".into()), ..names(&["cluster.local"]) }, Some("bank.example"));
    let spiffe = "SPIFFE://cluster.local/ns/a/sa/admin";
    check(Request { uris: vec![spiffe.into()], ..names(&["cluster.local"]) }, Some(spiffe));
    assert!(matches!(mesh().issue_names(&names(&[]), fresh(&names(&[])), NOW), Err(PkiError::Nameless)));
}

#[test]
fn a_ca_issuer_signs_with_the_pair_of_its_secret() {
    let request = Request { role: Role::Authority, ..names(&["ca.example"]) };
    let ca = self_signed(&request, fresh(&request), NOW).unwrap();
    let (certificate, key) = (pem("CERTIFICATE", &ca.chain[0]), pem("PRIVATE KEY", ca.key.secret_der()));
    let authority = Authority::of_secret(&certificate, &key, NOW).unwrap();
    let issued = authority.issue_names(&names(&["api.example"]), fresh(&names(&["api.example"])), NOW).unwrap();
    assert_eq!(issued.chain.len(), 1, "the root is not sent");
    assert!(crate::verify::is_signed_by(&issued.chain[0], &ca.chain[0]));
    let leaf = self_signed(&names(&["leaf.example"]), fresh(&names(&["leaf.example"])), NOW).unwrap();
    let (certificate, key) = (pem("CERTIFICATE", &leaf.chain[0]), pem("PRIVATE KEY", leaf.key.secret_der()));
    assert!(matches!(Authority::of_secret(&certificate, &key, NOW), Err(PkiError::Mismatch("tls.crt"))));
}

#[test]
fn every_kind_of_key_can_be_asked_for() {
    for key in [KeyKind::P256, KeyKind::P384, KeyKind::P521, KeyKind::Ed25519, KeyKind::Rsa2048] {
        let issued = self_signed(&Request { key, ..names(&["a.example"]) }, key.generate().unwrap(), NOW);
        assert!(issued.is_ok(), "{key:?}: {:?}", issued.err());
    }
}

#[test]
fn usages_have_cert_manager_s_names() {
    let known = super::request::NAMES;
    assert!(known.is_sorted() && known.len() == 23);
    assert_eq!(Usage::named("server auth"), Some(Usage::ServerAuth));
    assert_eq!(Usage::named("signing"), Usage::named("digital signature"));
    assert_eq!(Usage::named("Server Auth"), None);
}

#[test]
fn pem_is_as_long_as_it_should_be() {
    let text = pem("X", &[0, 1, 2, 3, 250]);
    assert_eq!(text, "-----BEGIN X-----\nAAECA/o=\n-----END X-----\n");
    assert_eq!(pem("X", &[255; 49]).lines().nth(1).map(str::len), Some(64));
    assert_eq!(pem("X", &[]), "-----BEGIN X-----\n-----END X-----\n");
}
