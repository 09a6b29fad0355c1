//! `Issuer` and `ClusterIssuer`.

use super::code;
use crate::node::Cursor;
use crate::resource::Resource;
use ringwall_model::Severity;
use ringwall_pki::certificate::IssuerRef;
use ringwall_pki::plan::{Acme, DurationAsked, Issuer, IssuerKind, Plan};
use ringwall_pki::solver::{Challenge, Selector, Solver};

/// Where Secrets of ClusterIssuers are read from: cert-manager's own namespace, as its chart installs it.
pub const CLUSTER_RESOURCE_NAMESPACE: &str = "cert-manager";

const TYPES: [&str; 5] = ["selfSigned", "ca", "acme", "vault", "venafi"];

/// Lowers one issuer into the plan. An unsound one stands there too, and signs nothing.
pub fn lower(resource: &Resource<'_>, plan: &mut Plan) {
    let spec = resource.spec().required();
    let cluster = resource.kind == "ClusterIssuer";
    let namespace = if cluster { CLUSTER_RESOURCE_NAMESPACE } else { resource.namespace };
    let present: Vec<&'static str> = TYPES.into_iter().filter(|name| spec.get(name).is_present()).collect();
    let kind = match present.as_slice() {
        ["selfSigned"] => self_signed(spec.get("selfSigned")),
        ["ca"] => ca(spec.get("ca"), namespace),
        ["acme"] => acme(spec.get("acme")),
        ["vault"] => vault(spec.get("vault")),
        ["venafi"] => venafi(spec.get("venafi")),
        [] => wrong_type(spec, "it has no type"),
        _ => {
            // What is in them is not judged: which of them is meant is not known.
            present.iter().for_each(|name| _ = spec.get(name).whole());
            wrong_type(spec, "it has more than one type")
        }
    };
    let kind = if spec.is_sound() { kind } else { IssuerKind::Broken };
    let reference = IssuerRef {
        kind: resource.kind.into(),
        namespace: if cluster { "".into() } else { resource.namespace.into() },
        name: resource.name.into(),
        group: "cert-manager.io".into(),
    };
    plan.issuers.insert(reference, Issuer { kind, place: Some(resource.place()) });
}

fn wrong_type(spec: Cursor<'_>, what: &str) -> IssuerKind {
    let help = "an issuer is exactly one of `selfSigned`, `ca`, `acme`, `vault`, `venafi`";
    spec.report(spec.finding(code::ISSUER_TYPE, Severity::Error, what).help(help));
    IssuerKind::Broken
}

fn self_signed(at: Cursor<'_>) -> IssuerKind {
    at.ignored("crlDistributionPoints", "no revocation list is published there");
    IssuerKind::SelfSigned
}

fn ca(at: Cursor<'_>, namespace: &str) -> IssuerKind {
    for field in ["crlDistributionPoints", "issuingCertificateURLs", "ocspServers"] {
        at.ignored(field, "cert-manager only copies it into certificates");
    }
    IssuerKind::Ca { namespace: namespace.into(), secret: text(at.get("secretName").required()) }
}

fn vault(at: Cursor<'_>) -> IssuerKind {
    at.descriptive(&[
        "auth",
        "caBundle",
        "caBundleSecretRef",
        "clientCertSecretRef",
        "clientKeySecretRef",
        "namespace",
        "serverName",
    ]);
    IssuerKind::Vault { server: text(at.get("server").required()), path: text(at.get("path").required()) }
}

fn venafi(at: Cursor<'_>) -> IssuerKind {
    at.descriptive(&["cloud", "ngts", "tpp"]);
    IssuerKind::Venafi { zone: text(at.get("zone").required()) }
}

fn acme(at: Cursor<'_>) -> IssuerKind {
    let skip = at.get("skipTLSVerify");
    if skip.flag() == Some(true) {
        let title = "the ACME server's certificate is not checked: anybody on the way may issue in its name";
        skip.report(skip.finding(code::SKIP_VERIFY, Severity::Warning, title).help("write its CA into `caBundle`"));
    }
    at.get("privateKeySecretRef").required().descriptive(&["name", "key"]);
    at.descriptive(&[
        "caBundle",
        "disableAccountKeyGeneration",
        "externalAccountBinding",
        "preferredChain",
        "renewalInformationSource",
    ]);
    let asked = at.get("enableDurationFeature").flag() == Some(true);
    IssuerKind::Acme(Box::new(Acme {
        server: text(at.get("server").required()),
        email: at.get("email").string().filter(|email| !email.is_empty()).map(Into::into),
        profile: at.get("profile").string().filter(|profile| !profile.is_empty()).map(Into::into),
        duration: if asked { DurationAsked::Asked } else { DurationAsked::Ignored },
        solvers: at.get("solvers").items().filter_map(solver).collect(),
    }))
}

fn solver(at: Cursor<'_>) -> Option<Solver> {
    let (http, dns) = (at.get("http01"), at.get("dns01"));
    let challenge = match (http.is_present(), dns.is_present()) {
        (true, false) => Challenge::Http01,
        (false, true) => Challenge::Dns01,
        _ => return at.refuse("a solver is either `http01` or `dns01`"),
    };
    // How the challenge is answered is the concern of who answers it: of its fields nothing decides here.
    http.whole();
    dns.whole();
    at.descriptive(&["waitInsteadOfSelfCheck"]);
    let selector = at.get("selector");
    let names = |name| selector.get(name).items().filter_map(Cursor::filled).map(Box::from).collect();
    let found = selector.is_present().then(|| Selector {
        dns_names: names("dnsNames"),
        dns_zones: names("dnsZones"),
        labels: selector.get("matchLabels").labels().unwrap_or_default(),
    });
    Some(Solver { challenge, selector: found })
}

fn text(at: Cursor<'_>) -> Box<str> {
    at.filled().unwrap_or_default().into()
}
