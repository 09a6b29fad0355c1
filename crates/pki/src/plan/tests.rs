use super::{Acme, Issuer, IssuerKind, Plan, Progress, Reach, Source, Step};
use crate::certificate::tests::{certificate, issuer};
use crate::certificate::{Certificate, IssuerRef};
use crate::profile::Validity;
use crate::status::{self, Condition};
use crate::trigger::{Content, Fit, LastRequest, Observed, Reason, Secret};
use ringwall_model::Timestamp;

const DAY: u64 = 86_400_000;
const HOUR: u64 = 3_600_000;

fn plan(issuers: &[(&str, IssuerKind)]) -> Plan {
    let one = |(name, kind): &(&str, IssuerKind)| (issuer(name), Issuer { kind: kind.clone(), place: None });
    Plan { issuers: issuers.iter().map(one).collect(), certificates: vec![certificate()] }
}

fn acme() -> IssuerKind {
    IssuerKind::Acme(Box::new(Acme { server: "https://acme.example/directory".into(), ..Acme::default() }))
}

#[test]
fn an_issuer_out_of_reach_is_stood_in_for_only_where_that_is_said() {
    let plan_of = plan(&[("letsencrypt-prod", acme())]);
    let why = "ClusterIssuer `letsencrypt-prod` asks `https://acme.example/directory`";
    assert_eq!(plan_of.source(&certificate(), Reach::Real), Source::Pending { why: why.into() });
    let why = format!("{why}; the embedded authority signs in its stead");
    assert_eq!(plan_of.source(&certificate(), Reach::StandIn), Source::StandIn { why });
    let missing = plan(&[]).source(&certificate(), Reach::Real);
    assert_eq!(missing, Source::Pending { why: "ClusterIssuer `letsencrypt-prod` is not declared".into() });
    let kinds = [IssuerKind::SelfSigned, IssuerKind::Broken];
    let of = kinds.map(|kind| plan(&[("letsencrypt-prod", kind)]).source(&certificate(), Reach::StandIn));
    assert!(matches!(of, [Source::SelfSigned, Source::Pending { .. }]), "a broken issuer signs nothing");
}

#[test]
fn a_certificate_waits_for_its_issuer_s_secret() {
    let ca = IssuerKind::Ca { namespace: "cert-manager".into(), secret: "root-secret".into() };
    let mut plan = plan(&[("letsencrypt-prod", ca), ("self", IssuerKind::SelfSigned)]);
    let root = Certificate {
        namespace: "cert-manager".into(),
        name: "root".into(),
        secret: "root-secret".into(),
        issuer: issuer("self"),
        ..certificate()
    };
    plan.certificates.push(root);
    assert_eq!(plan.order(), [1, 0]);
    assert_eq!(plan.maker("istio-system", "platform-tls-cert").map(|c| &*c.name), Some("platform-tls-cert"));
    assert!(plan.maker("default", "platform-tls-cert").is_none());
    // A ring: each is listed once, so that nobody waits for ever without being told.
    let own = IssuerRef { name: "own".into(), ..issuer("own") };
    let kind = IssuerKind::Ca { namespace: "cert-manager".into(), secret: "root-secret".into() };
    plan.issuers.insert(own.clone(), Issuer { kind, place: None });
    plan.certificates[1].issuer = own;
    assert_eq!(plan.order(), [0, 1]);
}

fn observed() -> Observed {
    let validity = Validity { from: Timestamp(0), until: Timestamp(90 * DAY) };
    let content = Content::Pair { key: Fit::Same, request: Fit::Same, validity };
    let secret = Secret { content, issuer: issuer("letsencrypt-prod"), certificate: "platform-tls-cert".into() };
    Observed { secret: Some(secret), request: Some(LastRequest { spec: certificate() }) }
}

#[test]
fn a_certificate_lives_for_two_years_with_a_failing_server_in_between() {
    let (plan, spec) = (plan(&[("letsencrypt-prod", acme())]), certificate());
    let (mut observed_now, mut progress, mut now) = (observed(), Progress::default(), Timestamp(0));
    let (mut issued, mut failed, mut steps) = (0, 0, 0);
    let outage = 120 * DAY..123 * DAY;
    while now.0 < 730 * DAY {
        steps += 1;
        match plan.step(&spec, &observed_now, &progress, now) {
            Step::Wait { until } => {
                assert!(until > now, "time goes on");
                now = until;
            }
            Step::Issue { because } => {
                assert_eq!(because, Reason::Renewing);
                if outage.contains(&now.0) {
                    progress = progress.failed(&spec, "out of reach".into(), now);
                    failed += 1;
                    let status = status::of(&spec, Some(&observed_now), &progress, now);
                    assert_eq!((status.ready, status.failing.as_deref()), (Condition::True, Some("out of reach")));
                } else {
                    let validity = Validity { from: now, until: Timestamp(now.0 + 90 * DAY) };
                    let content = Content::Pair { key: Fit::Same, request: Fit::Same, validity };
                    observed_now.secret.iter_mut().for_each(|secret| secret.content = content.clone());
                    (progress, issued) = (Progress::issued(), issued + 1);
                }
            }
        }
    }
    // Day 60, 120 (fails at 0, 1, 3, 7, 15, 31 and 63 hours, good at 95), then every 60 days.
    assert_eq!((issued, failed), (12, 7));
    assert!(steps < 60);
}

#[test]
fn a_changed_spec_need_not_wait() {
    let (plan, spec) = (plan(&[]), certificate());
    let none = Observed::default();
    let progress = Progress::default().failed(&spec, "no".into(), Timestamp(1000));
    assert_eq!(plan.step(&spec, &none, &progress, Timestamp(2000)), Step::Wait { until: Timestamp(1000 + HOUR) });
    let other = Certificate { dns_names: vec!["a.example".into()], ..spec };
    assert_eq!(plan.step(&other, &none, &progress, Timestamp(2000)), Step::Issue { because: Reason::DoesNotExist });
}

#[test]
fn status_is_told_as_cert_manager_s_metrics_tell_it() {
    let spec = certificate();
    let of = |observed: Option<&Observed>, day| status::of(&spec, observed, &Progress::default(), Timestamp(day * DAY));
    let unknown = of(None, 0);
    assert_eq!((unknown.ready, unknown.not_after, unknown.renewal), (Condition::Unknown, None, None));
    let never = of(Some(&Observed::default()), 0);
    assert_eq!((never.ready, never.reason, never.not_after), (Condition::False, Some(Reason::DoesNotExist), None));
    let good = of(Some(&observed()), 1);
    assert_eq!((good.ready, good.renewal, good.failing), (Condition::True, Some(Timestamp(60 * DAY)), None));
    assert_eq!(of(Some(&observed()), 90).reason, Some(Reason::Expired));
}
