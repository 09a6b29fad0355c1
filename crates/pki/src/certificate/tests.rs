use super::{Algorithm, Certificate, Fault, IssuerRef, KeySpec, Temporary};
use crate::authority::{KeyKind, Role, Usage};
use crate::renewal::RenewBefore;
use ringwall_model::Millis;

/// The Certificate of an API host, as the platform's manifests have it.
pub(crate) fn certificate() -> Certificate {
    Certificate {
        namespace: "istio-system".into(),
        name: "platform-tls-cert".into(),
        secret: "platform-tls-cert".into(),
        issuer: issuer("letsencrypt-prod"),
        common_name: None,
        dns_names: vec!["api.platform.local".into(), "*.platform.local".into()],
        addresses: Vec::new(),
        uris: Vec::new(),
        emails: Vec::new(),
        duration: Some(Millis::seconds(2160 * 3600)),
        renew_before: RenewBefore::Span(Millis::seconds(720 * 3600)),
        usages: Vec::new(),
        role: Role::Leaf,
        key: KeySpec::default(),
        labels: Default::default(),
        temporary: Temporary::Absent,
        place: None,
    }
}

pub(crate) fn issuer(name: &str) -> IssuerRef {
    IssuerRef { kind: "ClusterIssuer".into(), namespace: "".into(), name: name.into(), group: "cert-manager.io".into() }
}

#[track_caller]
fn check(change: impl FnOnce(&mut Certificate), want: &[Fault]) {
    let mut certificate = certificate();
    change(&mut certificate);
    assert_eq!(certificate.faults(), want);
}

const MINUTE: u64 = 60;

#[test]
fn validation_is_cert_manager_s() {
    let span = |seconds| RenewBefore::Span(Millis::seconds(seconds));
    check(|_| {}, &[]);
    check(|c| c.dns_names.clear(), &[Fault::Nameless]);
    check(|c| c.common_name = Some("a".repeat(64).into()), &[]);
    check(|c| c.common_name = Some("a".repeat(65).into()), &[Fault::LongCommonName]);
    check(|c| (c.duration, c.renew_before) = (Some(Millis::seconds(3600)), RenewBefore::Third), &[]);
    check(
        |c| (c.duration, c.renew_before) = (Some(Millis::seconds(3599)), RenewBefore::Third),
        &[Fault::ShortDuration],
    );
    check(|c| c.renew_before = span(5 * MINUTE), &[]);
    check(|c| c.renew_before = span(5 * MINUTE - 1), &[Fault::ShortRenewBefore]);
    check(|c| c.renew_before = span(2160 * 3600), &[Fault::LongRenewBefore]);
    check(|c| c.renew_before = RenewBefore::Percentage(0), &[Fault::Percentage]);
    check(|c| c.renew_before = RenewBefore::Percentage(100), &[Fault::Percentage]);
    // Here we are stricter than cert-manager, whose validator counts the part that remains.
    let short =
        |c: &mut Certificate| (c.duration, c.renew_before) = (Some(Millis::seconds(3600)), RenewBefore::Percentage(5));
    check(short, &[Fault::ShortRenewBefore]);
    // Without a duration the default of 90 days counts, also for `renewBefore`.
    check(|c| (c.duration, c.renew_before) = (None, span(2160 * 3600)), &[Fault::LongRenewBefore]);
}

#[test]
fn keys_have_the_sizes_of_their_algorithm() {
    let check = |algorithm, size, want| {
        let key = KeySpec { algorithm, size, ..KeySpec::default() };
        assert_eq!(key.kind(), want, "{algorithm:?} {size}");
    };
    check(Algorithm::Rsa, 0, Some(KeyKind::Rsa2048));
    check(Algorithm::Rsa, 4096, Some(KeyKind::Rsa4096));
    check(Algorithm::Rsa, 2047, None);
    check(Algorithm::Rsa, 8193, None);
    check(Algorithm::Ecdsa, 0, Some(KeyKind::P256));
    check(Algorithm::Ecdsa, 521, Some(KeyKind::P521));
    check(Algorithm::Ecdsa, 512, None);
    check(Algorithm::Ed25519, 0, Some(KeyKind::Ed25519));
}

#[test]
fn no_usages_means_the_two_defaults() {
    assert_eq!(certificate().request().usages, [Usage::DigitalSignature, Usage::KeyEncipherment]);
    assert_eq!(certificate().request().lifetime, Millis::seconds(90 * 86_400));
}
