use super::{Redirect, Surroundings, lower, review};
use crate::node::Ledger;
use crate::resource::Resource;
use crate::source::{Input, Sources};
use ringwall_model::{Finding, Millis};
use ringwall_pki::authority::Usage;
use ringwall_pki::plan::{IssuerKind, Plan, Reach};
use ringwall_pki::renewal::RenewBefore;

/// The plan of a text, with all findings as `code pointer`.
fn plan(text: &str) -> (Plan, Vec<Finding>, Sources) {
    let (sources, mut findings) = crate::read(&[Input { name: "test.yaml", bytes: text.as_bytes() }]);
    let mut plan = Plan::default();
    for document in &sources.documents {
        let ledger = Ledger::open(document);
        lower(&Resource::open(ledger.root()), &mut plan);
        findings.extend(ledger.finish().0);
    }
    (plan, findings, sources)
}

fn around() -> Surroundings {
    Surroundings {
        reach: Reach::Real,
        secrets: Default::default(),
        redirects: Vec::new(),
        credentials: Vec::new(),
        mesh_namespaces: ["application".into()].into(),
    }
}

fn told(findings: &[Finding]) -> Vec<String> {
    let mut told: Vec<String> =
        findings.iter().map(|finding| format!("{} {}", finding.code, finding.primary.pointer)).collect();
    told.sort();
    told
}

/// The platform's own manifests for certificates.
const PLATFORM: &str = r#"
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata:
  name: letsencrypt-prod
spec:
  acme:
    server: https://acme-v02.api.letsencrypt.org/directory
    email: security@platform.local
    privateKeySecretRef:
      name: letsencrypt-prod-private-key
    solvers:
    - http01:
        ingress:
          class: istio
    - dns01:
        cloudDNS:
          project: platform-project
          serviceAccountSecretRef:
            name: clouddns-dns01-solver-svc-acct
            key: key.json
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: platform-tls-cert
  namespace: istio-system
spec:
  secretName: platform-tls-cert
  issuerRef:
    name: letsencrypt-prod
    kind: ClusterIssuer
  dnsNames:
  - api.platform.local
  - "*.platform.local"
  duration: 2160h
  renewBefore: 720h
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: service-mtls-cert
  namespace: application
spec:
  secretName: service-mtls-cert
  duration: 720h
  renewBefore: 168h
  issuerRef:
    name: istio-ca
    kind: ClusterIssuer
  commonName: llm-agent-service.application.svc.cluster.local
  dnsNames:
  - llm-agent-service.application.svc.cluster.local
  usages:
  - digital signature
  - key encipherment
  - server auth
  - client auth
"#;

#[test]
fn the_platform_s_certificates_are_planned() {
    let (plan, findings, _) = plan(PLATFORM);
    let names: Vec<&str> = plan.certificates.iter().map(|certificate| &*certificate.name).collect();
    assert_eq!(names, ["service-mtls-cert", "platform-tls-cert"], "in the order of namespaces");
    let edge = &plan.certificates[1];
    assert_eq!(
        (edge.duration, edge.renew_before),
        (Some(Millis::seconds(7_776_000)), RenewBefore::Span(Millis::seconds(2_592_000)))
    );
    assert_eq!(plan.certificates[0].usages.last(), Some(&Usage::ClientAuth));
    assert_eq!(plan.issuers.len(), 1);
    let Some(IssuerKind::Acme(acme)) = plan.issuers.values().next().map(|issuer| &issuer.kind) else { panic!("acme") };
    assert_eq!(acme.solvers.len(), 2);
    // S7, S15: what is said of each Certificate alone.
    let own = ["RW4021 /spec/usages/1", "RW4022 /spec", "RW4022 /spec", "RW4023 /spec", "RW4023 /spec"];
    assert_eq!(told(&findings), own);
}

#[test]
fn what_the_platform_s_certificates_do_not_mean_is_told() {
    let (plan, _, sources) = plan(PLATFORM);
    let place = ringwall_model::Place::value(sources.documents[0].id, "/spec/servers/1/tls/httpsRedirect");
    let redirects = vec![Redirect { hosts: vec!["*".into()], place }];
    let findings = review(&plan, &Surroundings { redirects, ..around() });
    let all = [
        "RW4001 /spec/issuerRef",                   // S5: `istio-ca` is declared nowhere
        "RW4003 /spec/issuerRef",                   // pending: not declared
        "RW4003 /spec/issuerRef",                   // pending: Let's Encrypt
        "RW4010 /spec/servers/1/tls/httpsRedirect", // S1: the deadlock at first issuance
        "RW4011 /spec/dnsNames/0",                  // S2: no public name
        "RW4011 /spec/dnsNames/1",
        "RW4012 /spec/acme/email",   // S2: no public contact
        "RW4013 /spec/acme/solvers", // S3: solvers by order
        "RW4015 /spec/duration",     // S4: duration not asked for
        "RW4016 /spec/renewBefore",  // S4: fixed renewBefore
        "RW4020 /spec/usages",       // S6: no identity of the mesh
    ];
    assert_eq!(told(&findings), all);
    let order = findings.iter().find(|finding| finding.code.0 == 4013).unwrap();
    assert!(
        order.title.contains("`api.platform.local` by solver 0 (http01); `*.platform.local` by solver 1 (dns01)"),
        "{}",
        order.title
    );
    let (stood_in, real) = (Reach::StandIn, Reach::Real);
    let count = |reach| {
        told(&review(&plan, &Surroundings { reach, ..around() })).iter().filter(|t| t.starts_with("RW4002")).count()
    };
    assert_eq!((count(stood_in), count(real)), (2, 0));
}

/// A Certificate with these lines in its spec: the codes of its findings, without those on its key.
#[track_caller]
fn check(lines: &str, want: &[&str]) {
    let head = "apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: a, namespace: n}\nspec:\n";
    let rest = "  privateKey: {algorithm: ECDSA, rotationPolicy: Always}\n  secretName: s\n  issuerRef: {name: i}\n";
    let (_, findings, _) = plan(&format!("{head}{rest}{lines}"));
    assert_eq!(told(&findings), want, "{lines}");
}

#[test]
fn a_certificate_is_validated() {
    check("  dnsNames: [a.example.org]\n", &[]);
    check("  dnsNames: []\n", &["RW4030 /spec"]);
    check("  dnsNames: [a]\n  duration: 59m\n", &["RW4030 /spec/duration"]);
    check("  dnsNames: [a]\n  duration: 1h\n  renewBefore: 1h\n", &["RW4030 /spec/renewBefore"]);
    check("  dnsNames: [a]\n  renewBefore: 1m\n", &["RW4030 /spec/renewBefore"]);
    check("  dnsNames: [a]\n  renewBefore: 1h\n  renewBeforePercentage: 30\n", &["RW4030 /spec/renewBeforePercentage"]);
    check("  dnsNames: [a]\n  renewBeforePercentage: 100\n", &["RW0022 /spec/renewBeforePercentage"]);
    check("  dnsNames: [a]\n  usages: [server auth, servr auth]\n", &["RW0022 /spec/usages/1"]);
    check("  dnsNames: [a]\n  usages: [key encipherment]\n", &["RW4021 /spec/usages/0"]);
    check("  dnsNames: [a]\n  dnsName: b\n", &["RW0020 /spec/dnsName"]);
    check("  dnsNames: [a]\n  keystores: {jks: {create: true}}\n", &["RW0024 /spec/keystores"]);
}

#[test]
fn an_issuer_has_exactly_one_type() {
    #[track_caller]
    fn check(spec: &str, want: &[&str], kind: IssuerKind) {
        let text = format!(
            "apiVersion: cert-manager.io/v1\nkind: Issuer\nmetadata: {{name: i, namespace: n}}\nspec: {spec}\n"
        );
        let (plan, findings, _) = plan(&text);
        assert_eq!(told(&findings), want, "{spec}");
        assert_eq!(plan.issuers.values().next().map(|issuer| issuer.kind.clone()), Some(kind), "{spec}");
    }
    check("{selfSigned: {}}", &[], IssuerKind::SelfSigned);
    let ca = IssuerKind::Ca { namespace: "n".into(), secret: "root".into() };
    check("{ca: {secretName: root}}", &[], ca);
    check("{}", &["RW4031 /spec"], IssuerKind::Broken);
    check("{selfSigned: {}, ca: {secretName: root}}", &["RW4031 /spec"], IssuerKind::Broken);
}

#[test]
fn secrets_have_one_owner_and_somebody_makes_them() {
    let one = |name: &str| {
        format!(
            "apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {{name: {name}, namespace: n}}\nspec: {{secretName: s, \
             issuerRef: {{name: i}}, dnsNames: [a.example.org], privateKey: {{algorithm: ECDSA, rotationPolicy: Always}}}}\n---\n"
        )
    };
    let issuer = "apiVersion: cert-manager.io/v1\nkind: Issuer\nmetadata: {name: i, namespace: n}\nspec: {ca: {secretName: root}}\n";
    let (plan, _, sources) = plan(&format!("{}{}{issuer}", one("a"), one("b")));
    let place = ringwall_model::Place::value(sources.documents[0].id, "/gateway");
    let credentials = vec![("n".into(), "s".into(), place.clone()), ("n".into(), "t".into(), place)];
    let found = review(&plan, &Surroundings { credentials: credentials.clone(), ..around() });
    assert_eq!(
        told(&found),
        ["RW4024 /spec/secretName", "RW4025 /gateway", "RW4032 /spec/issuerRef", "RW4032 /spec/issuerRef"]
    );
    let secrets = [("n".into(), "root".into()), ("n".into(), "t".into())].into();
    let found = review(&plan, &Surroundings { credentials, secrets, ..around() });
    assert_eq!(told(&found), ["RW4024 /spec/secretName"]);
}
