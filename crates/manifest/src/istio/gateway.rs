//! Gateway (networking.istio.io/v1, v1beta1, v1alpha3).
//!
//! In: a resource. Out: [`Gateway`] and findings. A TLS block that cannot be read leaves a server with the strictest
//! reading: TLS 1.3, and no certificate to answer with. TLS 1.3 cipher suites are honoured, which Istio drops.

use super::networking::{dns_name, origin};
use crate::{Cursor, Resource};
use ringwall_mesh::route::{
    CertificateFiles, Gateway, Plaintext, Server, ServerHost, ServerTls, TlsMode, TlsVersion, code,
};
use ringwall_model::{Protocol, RuleBook, Selector, Severity};
use std::sync::Arc;

/// Lowers one resource.
pub fn lower(resource: &Resource<'_>, rules: &mut RuleBook) -> Gateway {
    let spec = resource.spec();
    let selector = spec.get("selector");
    let labels = selector.labels().unwrap_or_default();
    if labels.is_empty() {
        let title = "an empty selector means every gateway workload of every namespace";
        selector.report(selector.finding(code::GATEWAY_SETTING, Severity::Warning, title));
    }
    let servers: Vec<Server> = spec
        .get("servers")
        .required()
        .items()
        .filter_map(|at| {
            let rule = resource.rule_at(rules, at);
            server(at, rule, resource.namespace)
        })
        .collect();
    Gateway { origin: origin(resource, rules), selector: Selector(labels), servers }
}

fn server(at: Cursor<'_>, rule: ringwall_model::RuleId, namespace: &str) -> Option<Server> {
    let port = at.get("port").required();
    let number = port.get("number").required().port();
    let words = [
        ("HTTP", Protocol::Http),
        ("HTTP2", Protocol::Http2),
        ("GRPC", Protocol::Grpc),
        ("GRPC-WEB", Protocol::Grpc),
        ("HTTPS", Protocol::Https),
        ("TLS", Protocol::Tls),
        ("TCP", Protocol::Tcp),
        ("MONGO", Protocol::Tcp),
    ];
    let protocol = port.get("protocol").required().enumeration(&words);
    port.ignored("targetPort", "Istio ignores it too");
    at.ignored("defaultEndpoint", "Istio ignores it too");
    at.ignored("bind", "listeners are bound where the workload has its addresses");
    at.descriptive(&["name"]);
    let hosts = at.get("hosts").required().items().filter_map(|host| server_host(host, namespace)).collect();
    let (port_name, number, mut protocol) = (port.get("name").string().unwrap_or_default(), number?, protocol?);
    let tls_at = at.get("tls");
    let redirect = tls_at.get("httpsRedirect").flag() == Some(true);
    let speaks_tls = matches!(protocol, Protocol::Https | Protocol::Tls);
    if redirect && speaks_tls {
        let flag = tls_at.get("httpsRedirect");
        let title = "`httpsRedirect` acts on HTTP servers only: here it does nothing";
        flag.report(flag.finding(code::GATEWAY_SETTING, Severity::Warning, title));
    }
    let tls = if speaks_tls { tls(tls_at).map(Arc::new) } else { plaintext_tls(tls_at) };
    let opened = tls.as_ref().is_none_or(|tls| !matches!(tls.mode, TlsMode::Passthrough | TlsMode::AutoPassthrough));
    if protocol == Protocol::Https && !opened {
        protocol = Protocol::Tls;
    }
    Some(Server {
        rule,
        place: at.place(),
        port: number,
        port_name: port_name.into(),
        protocol,
        hosts,
        tls,
        plaintext: if redirect && !speaks_tls { Plaintext::Redirect } else { Plaintext::Serve },
    })
}

/// `[namespace/]dns`; the namespace may be `*` or `.`.
fn server_host(at: Cursor<'_>, own: &str) -> Option<ServerHost> {
    let text = at.filled()?;
    let (namespace, host) = match text.split_once('/') {
        Some((namespace, host)) => (Some(namespace), host),
        None => (None, dns_name(at)?),
    };
    let namespace = match namespace {
        None | Some("*") => None,
        Some(".") => Some(own.into()),
        Some(name) => Some(name.into()),
    };
    Some(ServerHost { namespace, host: host.to_ascii_lowercase().into() })
}

/// A plaintext server has no TLS; a certificate named there is a mistake.
fn plaintext_tls(at: Cursor<'_>) -> Option<Arc<ServerTls>> {
    if at.get("mode").is_present() || at.get("credentialName").is_present() {
        let title = "TLS settings of a server whose protocol is plaintext do nothing";
        at.report(at.finding(code::SERVER_TLS, Severity::Error, title).help("write `protocol: HTTPS`"));
    }
    at.set_rest_aside();
    None
}

fn tls(at: Cursor<'_>) -> Option<ServerTls> {
    if !at.is_present() {
        let title = "a server with TLS needs a `tls` block";
        at.report(at.finding(code::SERVER_TLS, Severity::Error, title));
    }
    let modes = [
        ("PASSTHROUGH", TlsMode::Passthrough),
        ("SIMPLE", TlsMode::Simple),
        ("MUTUAL", TlsMode::Mutual),
        ("OPTIONAL_MUTUAL", TlsMode::OptionalMutual),
        ("AUTO_PASSTHROUGH", TlsMode::AutoPassthrough),
        ("ISTIO_MUTUAL", TlsMode::IstioMutual),
    ];
    // The first value of the enumeration is what protobuf takes for nothing said.
    let mode = at.get("mode").enumeration(&modes).unwrap_or(TlsMode::Passthrough);
    let credential = at.get("credentialName").filled();
    let file = |name: &'static str| at.get(name).filled().map(Arc::from);
    let files = CertificateFiles {
        certificate: file("serverCertificate"),
        key: file("privateKey"),
        authorities: file("caCertificates"),
    };
    for name in [
        "credentialNames",
        "caCertCredentialName",
        "tlsCertificates",
        "caCrl",
        "verifyCertificateSpki",
        "verifyCertificateHash",
    ] {
        at.ignored(name, "not supported: name one Secret with `credentialName`");
    }
    let own = matches!(mode, TlsMode::Simple | TlsMode::Mutual | TlsMode::OptionalMutual);
    if own && credential.is_none() && (files.certificate.is_none() || files.key.is_none()) {
        let title = "the server has no certificate: neither `credentialName` nor `serverCertificate` and `privateKey`";
        at.report(at.finding(code::SERVER_TLS, Severity::Error, title));
    }
    if !own && credential.is_some() {
        let title = "`credentialName` does nothing in this mode";
        at.report(at.finding(code::SERVER_TLS, Severity::Warning, title));
    }
    let (min, max) = versions(at);
    let subject_alt_names = at.get("subjectAltNames").strings().unwrap_or_default();
    Some(ServerTls {
        mode,
        credential: credential.map(Arc::from),
        files,
        min,
        max,
        ciphers: ciphers(at.get("cipherSuites"), min),
        subject_alt_names: subject_alt_names.into_iter().map(Into::into).collect(),
    })
}

fn versions(at: Cursor<'_>) -> (TlsVersion, TlsVersion) {
    let words =
        [("TLS_AUTO", None), ("TLSV1_0", Some(0_u8)), ("TLSV1_1", Some(1)), ("TLSV1_2", Some(2)), ("TLSV1_3", Some(3))];
    let read = |name: &'static str| {
        let field = at.get(name);
        let version = field.enumeration(&words).flatten();
        if version.is_some_and(|version| version < 2) {
            let title = "TLS 1.0 and 1.1 are not spoken (RFC 8996); TLS 1.2 is the lowest";
            field.report(field.finding(code::SERVER_TLS, Severity::Warning, title));
        }
        version.map(|version| if version == 3 { TlsVersion::V13 } else { TlsVersion::V12 })
    };
    let (min, max) = (read("minProtocolVersion"), read("maxProtocolVersion"));
    let (min, max) = (min.unwrap_or(TlsVersion::V12), max.unwrap_or(TlsVersion::V13));
    if min > max {
        let title = "the lowest TLS version is above the highest: no handshake can succeed";
        at.report(at.finding(code::SERVER_TLS, Severity::Error, title));
    }
    (min, max)
}

fn ciphers(at: Cursor<'_>, min: TlsVersion) -> Vec<Box<str>> {
    let names: Vec<Box<str>> = at.strings().unwrap_or_default().into_iter().map(Into::into).collect();
    let modern = names.iter().any(|name| is_13(name));
    if modern {
        let title = "Istio drops TLS 1.3 suites from `cipherSuites`; Ringwall honours them";
        at.report(at.finding(code::GATEWAY_SETTING, Severity::Note, title));
    }
    if !names.is_empty() && !modern && min == TlsVersion::V13 {
        let title = "none of these suites is of TLS 1.3, the only version spoken here: they do nothing";
        at.report(at.finding(code::GATEWAY_SETTING, Severity::Warning, title));
    }
    for name in names.iter().filter(|name| !is_13(name) && !KNOWN_12.contains(&&***name)) {
        let title = format!("cipher suite `{name}` is not spoken here");
        at.report(at.finding(code::SERVER_TLS, Severity::Warning, title));
    }
    names
}

fn is_13(name: &str) -> bool {
    matches!(name, "TLS_AES_256_GCM_SHA384" | "TLS_AES_128_GCM_SHA256" | "TLS_CHACHA20_POLY1305_SHA256")
}

/// Suites of TLS 1.2 with forward secrecy and authenticated encryption, which are the only ones spoken.
const KNOWN_12: [&str; 6] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
];
