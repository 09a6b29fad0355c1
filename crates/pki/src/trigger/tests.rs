use super::{Content, Fit, LastRequest, Observed, Reason, Secret, trigger, unready};
use crate::certificate::Certificate;
use crate::certificate::tests::{certificate, issuer};
use crate::profile::Validity;
use ringwall_model::Timestamp;

const DAY: u64 = 86_400_000;

fn pair(key: Fit, request: Fit) -> Content {
    // The server gave 90 days; renewal is asked for 30 days before the end.
    Content::Pair { key, request, validity: Validity { from: Timestamp(0), until: Timestamp(90 * DAY) } }
}

fn good() -> Observed {
    let secret = Secret {
        content: pair(Fit::Same, Fit::Same),
        issuer: issuer("letsencrypt-prod"),
        certificate: "platform-tls-cert".into(),
    };
    Observed { secret: Some(secret), request: Some(LastRequest { spec: certificate() }) }
}

type Change = Box<dyn FnOnce(&mut Observed, &mut Certificate)>;

#[track_caller]
fn check(
    change: impl FnOnce(&mut Observed, &mut Certificate),
    day: u64,
    triggered: Option<Reason>,
    not_ready: Option<Reason>,
) {
    let (mut observed, mut spec) = (good(), certificate());
    change(&mut observed, &mut spec);
    let now = Timestamp(day * DAY);
    assert_eq!((trigger(&spec, &observed, now), unready(&spec, &observed, now)), (triggered, not_ready));
}

fn content(content: Content) -> impl FnOnce(&mut Observed, &mut Certificate) {
    move |observed, _| observed.secret.iter_mut().for_each(|secret| secret.content = content.clone())
}

#[test]
fn the_first_reason_counts() {
    let both = |reason| (Some(reason), Some(reason));
    let table: Vec<(Change, u64, _)> = vec![
        (Box::new(|_, _| {}), 1, (None, None)),
        (Box::new(|observed, _| observed.secret = None), 1, both(Reason::DoesNotExist)),
        (Box::new(content(Content::Missing)), 1, both(Reason::MissingData)),
        (Box::new(content(Content::InvalidKeyPair)), 1, both(Reason::InvalidKeyPair)),
        (Box::new(content(Content::InvalidCertificate)), 1, both(Reason::InvalidCertificate)),
        (Box::new(|_, spec| spec.issuer = issuer("other")), 1, both(Reason::IncorrectIssuer)),
        (Box::new(|_, spec| spec.name = "other".into()), 1, both(Reason::IncorrectCertificate)),
        (Box::new(content(pair(Fit::Other, Fit::Same))), 1, both(Reason::SecretMismatch)),
        (Box::new(content(pair(Fit::Same, Fit::Other))), 1, both(Reason::SecretMismatch)),
        (Box::new(|_, spec| spec.dns_names.truncate(1)), 1, both(Reason::RequestChanged)),
        (Box::new(|_, _| {}), 59, (None, None)),
        (Box::new(|_, _| {}), 60, (Some(Reason::Renewing), None)),
        (Box::new(|_, _| {}), 89, (Some(Reason::Renewing), None)),
        (Box::new(|_, _| {}), 90, (Some(Reason::Renewing), Some(Reason::Expired))),
        // An earlier question hides a later one.
        (Box::new(|_, spec| spec.issuer = issuer("other")), 95, both(Reason::IncorrectIssuer)),
    ];
    for (change, day, (triggered, not_ready)) in table {
        check(change, day, triggered, not_ready);
    }
}

#[test]
fn what_a_request_does_not_carry_asks_for_no_new_one() {
    check(|_, spec| spec.renew_before = crate::renewal::RenewBefore::Third, 1, None, None);
    check(|_, spec| spec.secret = "renamed".into(), 1, None, None);
    check(|observed, _| observed.request = None, 1, None, None);
}
