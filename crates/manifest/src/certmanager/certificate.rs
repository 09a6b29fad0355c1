//! `Certificate`.

use super::code;
use crate::node::Cursor;
use crate::resource::Resource;
use ringwall_model::{Millis, Severity};
use ringwall_pki::Plan;
use ringwall_pki::authority::{Role, Usage};
use ringwall_pki::certificate::{Algorithm, Certificate, Fault, IssuerRef, KeySpec, Rotation, Temporary};
use ringwall_pki::renewal::RenewBefore;

const TEMPORARY: &str = "cert-manager.io/issue-temporary-certificate";

/// Lowers one Certificate into the plan. One that cert-manager refuses is left out, with an error.
pub fn lower(resource: &Resource<'_>, plan: &mut Plan) {
    let spec = resource.spec().required();
    let certificate = Certificate {
        namespace: resource.namespace.into(),
        name: resource.name.into(),
        secret: spec.get("secretName").required().filled().unwrap_or_default().into(),
        issuer: issuer(spec.get("issuerRef").required(), resource.namespace),
        common_name: spec.get("commonName").string().filter(|name| !name.is_empty()).map(Into::into),
        dns_names: names(spec.get("dnsNames")),
        addresses: spec.get("ipAddresses").items().filter_map(Cursor::address).collect(),
        uris: names(spec.get("uris")),
        emails: names(spec.get("emailAddresses")),
        duration: spec.get("duration").duration(),
        renew_before: renew_before(spec),
        usages: spec.get("usages").items().filter_map(usage).collect(),
        role: if spec.get("isCA").flag() == Some(true) { Role::Authority } else { Role::Leaf },
        key: key(spec.get("privateKey")),
        labels: resource.labels.clone(),
        temporary: temporary(resource),
        place: Some(resource.place()),
    };
    set_aside(spec);
    for fault in certificate.faults() {
        let at = field(spec, &fault);
        at.report(at.finding(code::INVALID, Severity::Error, fault.to_string()));
    }
    advise(spec, &certificate);
    if resource.root.is_sound() || spec.is_sound() {
        let place = plan
            .certificates
            .partition_point(|known| (&known.namespace, &known.name) <= (&certificate.namespace, &certificate.name));
        plan.certificates.insert(place, certificate);
    }
}

fn names(at: Cursor<'_>) -> Vec<Box<str>> {
    at.items().filter_map(Cursor::filled).map(Into::into).collect()
}

fn issuer(at: Cursor<'_>, namespace: &str) -> IssuerRef {
    let kind = at.get("kind").string().filter(|kind| !kind.is_empty()).unwrap_or("Issuer");
    let group = at.get("group").string().filter(|group| !group.is_empty()).unwrap_or("cert-manager.io");
    IssuerRef {
        kind: kind.into(),
        namespace: if kind == "ClusterIssuer" { "".into() } else { namespace.into() },
        name: at.get("name").required().filled().unwrap_or_default().into(),
        group: group.into(),
    }
}

fn renew_before(spec: Cursor<'_>) -> RenewBefore {
    let (span, hundredths) = (spec.get("renewBefore"), spec.get("renewBeforePercentage"));
    if span.is_present() && hundredths.is_present() {
        let title = "`renewBefore` and `renewBeforePercentage` exclude each other";
        hundredths.report(hundredths.finding(code::INVALID, Severity::Error, title));
    }
    let of_life = hundredths.integer(1..=99).and_then(|number| u8::try_from(number).ok());
    match (span.duration(), of_life) {
        (Some(span), _) => RenewBefore::Span(span),
        (None, Some(hundredths)) => RenewBefore::Percentage(hundredths),
        (None, None) => RenewBefore::Third,
    }
}

fn usage(at: Cursor<'_>) -> Option<Usage> {
    let name = at.string()?;
    Usage::named(name).or_else(|| {
        at.refuse_with(
            format!("`{name}` is not a usage"),
            "usages look like `digital signature`, `server auth`, `client auth`",
        )
    })
}

fn key(at: Cursor<'_>) -> KeySpec {
    let algorithms = [("RSA", Algorithm::Rsa), ("ECDSA", Algorithm::Ecdsa), ("Ed25519", Algorithm::Ed25519)];
    let policies = [("Always", Rotation::Always), ("Never", Rotation::Never)];
    let size = at.get("size").integer(0..=i64::from(u32::MAX)).and_then(|size| u32::try_from(size).ok());
    at.ignored("encoding", "keys are kept as PKCS#8");
    KeySpec {
        algorithm: at.get("algorithm").enumeration(&algorithms).unwrap_or(Algorithm::Rsa),
        size: size.unwrap_or(0),
        rotation: at.get("rotationPolicy").enumeration(&policies).unwrap_or(Rotation::Always),
    }
}

fn temporary(resource: &Resource<'_>) -> Temporary {
    match resource.annotations.get(TEMPORARY).map(|value| &**value) {
        Some("true") => Temporary::Made,
        _ => Temporary::Absent,
    }
}

fn set_aside(spec: Cursor<'_>) {
    spec.ignored("additionalOutputFormats", "only `tls.crt`, `tls.key` and `ca.crt` are made");
    spec.ignored("encodeUsagesInRequest", "no request is sent: the embedded authority signs without one");
    spec.ignored("keystores", "PKCS#12 and JKS keystores are not made");
    spec.ignored("literalSubject", "subjects have a common name only");
    spec.ignored("nameConstraints", "name constraints are set on our own intermediates only");
    spec.ignored("otherNames", "other names are not signed");
    spec.ignored("renewal", "renewal windows are not kept");
    spec.ignored("subject", "subjects have a common name only");
    spec.descriptive(&["revisionHistoryLimit", "secretTemplate", "signatureAlgorithm"]);
}

/// The field that a fault is about.
fn field<'a>(spec: Cursor<'a>, fault: &Fault) -> Cursor<'a> {
    match fault {
        Fault::Nameless => spec,
        Fault::LongCommonName => spec.get("commonName"),
        Fault::ShortDuration => spec.get("duration"),
        Fault::ShortRenewBefore | Fault::LongRenewBefore | Fault::Percentage => {
            spec.get_either("renewBefore", "renewBeforePercentage")
        }
        Fault::KeySize(_) => spec.get("privateKey").get("size"),
    }
}

/// What can be said of one Certificate alone.
fn advise(spec: Cursor<'_>, certificate: &Certificate) {
    let key = spec.get("privateKey");
    if !key.get("rotationPolicy").is_present() {
        let title = "each renewal has a new key since cert-manager 1.18; before, it kept the old one";
        let help = "write `privateKey.rotationPolicy: Always`, so that a leaked key ends with its certificate";
        key.report(key.finding(code::ROTATION, Severity::Note, title).help(help));
    }
    if !key.get("algorithm").is_present() {
        let title = "no key algorithm is named: RSA with 2048 bits, a thousand times dearer to make than ECDSA";
        let help = "write `privateKey.algorithm: ECDSA`, unless a client cannot do without RSA";
        key.report(key.finding(code::RSA_BY_DEFAULT, Severity::Note, title).help(help));
    }
    let encipherment = spec.get("usages").items().find(|usage| usage.string() == Some("key encipherment"));
    if let Some(usage) = encipherment.filter(|_| certificate.key.algorithm != Algorithm::Rsa) {
        let title = "`key encipherment` is for RSA keys; this key cannot encipher";
        usage.report(usage.finding(code::KEY_ENCIPHERMENT, Severity::Warning, title).help("leave it out"));
    } else if let Some(usage) = encipherment {
        let title = "`key encipherment` is for RSA key exchange, which TLS 1.3 does not have";
        usage.report(usage.finding(code::KEY_ENCIPHERMENT, Severity::Note, title));
    }
    let short = Millis::seconds(24 * 3600);
    if certificate.duration.is_some_and(|span| span < short) && certificate.key.algorithm == Algorithm::Rsa {
        let title = "a key of RSA is made more than once a day";
        key.report(key.finding(code::RSA_BY_DEFAULT, Severity::Warning, title));
    }
}
