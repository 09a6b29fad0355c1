//! What the Certificates, issuers and Gateways of a World together do not mean.

use super::code;
use ringwall_model::{Code, Finding, Place, Severity};
use ringwall_pki::authority::Usage;
use ringwall_pki::certificate::Certificate;
use ringwall_pki::plan::{Acme, DurationAsked, IssuerKind, Plan, Reach, Source};
use ringwall_pki::renewal::RenewBefore;
use ringwall_pki::solver::{self, Challenge};
use std::collections::{BTreeMap, BTreeSet};

/// What of the rest of a World matters to certificates.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// How this run treats issuers outside this process.
    pub reach: Reach,
    /// Secrets that the manifests declare, as (namespace, name).
    pub secrets: BTreeSet<(Box<str>, Box<str>)>,
    /// Gateway servers of port 80 that redirect everything to HTTPS.
    pub redirects: Vec<Redirect>,
    /// Secrets that Gateway servers name, as (namespace, name), with the place that names them.
    pub credentials: Vec<(Box<str>, Box<str>, Place)>,
    /// Namespaces whose workloads have their identity from the mesh.
    pub mesh_namespaces: BTreeSet<Box<str>>,
}

/// A server of a Gateway that sends all HTTP calls of some hosts to HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Hosts as the Gateway writes them: `*`, `*.example.org`, `ns/host`.
    pub hosts: Vec<Box<str>>,
    /// The `httpsRedirect` field.
    pub place: Place,
}

/// All findings that need more than one resource, in the order of the certificates.
pub fn review(plan: &Plan, around: &Surroundings) -> Vec<Finding> {
    let mut findings = Vec::new();
    for certificate in &plan.certificates {
        let Some(place) = &certificate.place else { continue };
        source(plan, certificate, place, around, &mut findings);
        identity(certificate, place, around, &mut findings);
        if let Some(IssuerKind::Acme(acme)) = plan.issuers.get(&certificate.issuer).map(|issuer| &issuer.kind) {
            let issuer_place = plan.issuers.get(&certificate.issuer).and_then(|issuer| issuer.place.as_ref());
            lifetime(certificate, acme, place, &mut findings);
            names(certificate, acme, place, &mut findings);
            solvers(certificate, acme, (place, issuer_place), around, &mut findings);
        }
    }
    one_secret(plan, &mut findings);
    contacts(plan, &mut findings);
    missing_secrets(plan, around, &mut findings);
    findings
}

fn finding(code: Code, severity: Severity, place: Place, title: impl Into<String>) -> Finding {
    Finding::new(code, severity, place, title)
}

fn source(plan: &Plan, certificate: &Certificate, place: &Place, around: &Surroundings, out: &mut Vec<Finding>) {
    let at = place.below("/spec/issuerRef");
    let reference = &certificate.issuer;
    if !plan.issuers.contains_key(reference) {
        let title = format!(
            "{} `{}` is declared nowhere: the Certificate stays pending for ever",
            reference.kind, reference.name
        );
        let help = "declare it, or name one that is declared";
        out.push(finding(code::NO_ISSUER, Severity::Warning, at.clone(), title).help(help));
    }
    match plan.source(certificate, around.reach) {
        Source::StandIn { why } => {
            let title = format!("not reached in this run: {why}");
            out.push(finding(code::STAND_IN, Severity::Note, at, title));
        }
        Source::Pending { why } => out.push(finding(code::PENDING, Severity::Note, at, format!("pending: {why}"))),
        Source::Secret(namespace, secret) => {
            let made = plan.maker(&namespace, &secret).is_some();
            if !made && !around.secrets.contains(&(namespace.clone(), secret.clone())) {
                let title = format!("its issuer signs with Secret `{namespace}/{secret}`, which nothing makes");
                out.push(finding(code::NO_CA_SECRET, Severity::Warning, at, title));
            }
        }
        Source::SelfSigned => {}
    }
}

/// A certificate for TLS clients in a namespace whose workloads already have one from the mesh.
fn identity(certificate: &Certificate, place: &Place, around: &Surroundings, out: &mut Vec<Finding>) {
    let for_clients = certificate.usages.contains(&Usage::ClientAuth);
    let spiffe = certificate.uris.iter().any(|uri| uri.starts_with("spiffe://"));
    if for_clients && !spiffe && around.mesh_namespaces.contains(&certificate.namespace) {
        let title =
            "the mesh does not use this certificate: it has no SPIFFE ID, so no principal of a policy is its own";
        let help =
            "workloads of the mesh have their certificates from the mesh's authority, for 24 hours; leave this one out";
        out.push(finding(code::NOT_AN_IDENTITY, Severity::Warning, place.below("/spec/usages"), title).help(help));
    }
}

fn lifetime(certificate: &Certificate, acme: &Acme, place: &Place, out: &mut Vec<Finding>) {
    if certificate.duration.is_some() && acme.duration == DurationAsked::Ignored {
        let title = "the ACME server is not asked for this duration: it decides itself";
        let help = "set `enableDurationFeature` if the server supports it, or choose a profile";
        out.push(finding(code::DURATION_IGNORED, Severity::Warning, place.below("/spec/duration"), title).help(help));
    }
    if matches!(certificate.renew_before, RenewBefore::Span(_)) && acme.duration == DurationAsked::Ignored {
        let title = "a fixed `renewBefore` while the server decides on the lifetime: public servers go from 90 days to 45, and to 6";
        let help = "write `renewBeforePercentage: 33`";
        out.push(
            finding(code::FIXED_RENEW_BEFORE, Severity::Warning, place.below("/spec/renewBefore"), title).help(help),
        );
    }
}

/// Names that a public CA does not sign, and uses that it does not sign for.
fn names(certificate: &Certificate, acme: &Acme, place: &Place, out: &mut Vec<Finding>) {
    let Some(server) = public_server(&acme.server) else { return };
    for (index, name) in certificate.dns_names.iter().enumerate() {
        if let Some(suffix) = not_public(name) {
            let title = format!("`{name}` is not a public name (`{suffix}`): {server} refuses the whole order");
            let at = place.below(&format!("/spec/dnsNames/{index}"));
            out.push(
                finding(code::NOT_PUBLIC, Severity::Warning, at, title)
                    .help("use a public name, or an issuer of your own"),
            );
        }
    }
    if certificate.usages.contains(&Usage::ClientAuth) {
        let title = format!("{server} no longer signs certificates for TLS clients");
        out.push(finding(code::PUBLIC_CLIENT, Severity::Warning, place.below("/spec/usages"), title));
    }
}

fn solvers(
    certificate: &Certificate,
    acme: &Acme,
    (place, issuer_place): (&Place, Option<&Place>),
    around: &Surroundings,
    out: &mut Vec<Finding>,
) {
    let plain = |challenge| acme.solvers.iter().filter(|s| s.selector.is_none() && s.challenge == challenge).count();
    let by_order = plain(Challenge::Http01) > 0 && plain(Challenge::Dns01) > 0;
    let all = certificate.common_name.iter().filter(|name| name.contains('.')).chain(&certificate.dns_names);
    let mut chosen_for = BTreeMap::<usize, Vec<&str>>::new();
    for name in all {
        match solver::choose(&acme.solvers, name, &certificate.labels) {
            Some(index) => chosen_for.entry(index).or_default().push(name),
            None => {
                let title = format!("no solver of its issuer can prove `{name}`: the order stays pending for ever");
                let help =
                    if name.starts_with("*.") { "a wildcard is proved by `dns01` only" } else { "add a solver for it" };
                out.push(finding(code::NO_SOLVER, Severity::Warning, place.below("/spec/dnsNames"), title).help(help));
            }
        }
    }
    let label = |index: &usize| match acme.solvers.get(*index).map(|solver| solver.challenge) {
        Some(Challenge::Http01) => "http01",
        _ => "dns01",
    };
    if let (true, Some(issuer)) = (by_order, issuer_place) {
        let told = |(index, names): (&usize, &Vec<&str>)| {
            format!("`{}` by solver {index} ({})", names.join("`, `"), label(index))
        };
        let told = chosen_for.iter().map(told).collect::<Vec<_>>().join("; ");
        let title = format!("several solvers without a selector: the first that fits is taken; here {told}");
        let note = finding(code::SOLVER_ORDER, Severity::Note, issuer.below("/spec/acme/solvers"), title);
        out.push(note.help("write `selector.dnsZones`").related(place.clone(), "names of this Certificate"));
    }
    for (index, names) in chosen_for.iter().filter(|(index, _)| label(index) == "http01") {
        for name in names {
            let Some(redirect) = around.redirects.iter().find(|redirect| redirect.covers(name)) else { continue };
            let title =
                format!("the HTTP-01 challenge for `{name}` is redirected to HTTPS, which has no certificate yet");
            let help = "prove it by `dns01`, or leave `/.well-known/acme-challenge/` out of the redirect";
            let deadlock =
                finding(code::CHALLENGE_REDIRECTED, Severity::Warning, redirect.place.clone(), title).help(help);
            let solver = issuer_place.map(|issuer| issuer.below(&format!("/spec/acme/solvers/{index}")));
            let deadlock = deadlock.related(place.clone(), "the Certificate that waits");
            out.push(match solver {
                Some(solver) => deadlock.related(solver, "the solver that is taken"),
                None => deadlock,
            });
        }
    }
}

impl Redirect {
    fn covers(&self, name: &str) -> bool {
        self.hosts.iter().any(|host| {
            let host = host.rsplit('/').next().unwrap_or(host);
            let below = |parent: &str| name.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
            host == "*" || host.eq_ignore_ascii_case(name) || host.strip_prefix("*.").is_some_and(below)
        })
    }
}

fn one_secret(plan: &Plan, out: &mut Vec<Finding>) {
    let mut owners = BTreeMap::<(&str, &str), &Certificate>::new();
    for certificate in &plan.certificates {
        let Some(place) = &certificate.place else { continue };
        let Some(first) = owners.get(&(&*certificate.namespace, &*certificate.secret)) else {
            owners.insert((&certificate.namespace, &certificate.secret), certificate);
            continue;
        };
        let title = format!(
            "Secret `{}` is written by Certificate `{}` too: only one of them owns it",
            certificate.secret, first.name
        );
        let mut told = finding(code::ONE_SECRET, Severity::Warning, place.below("/spec/secretName"), title);
        if let Some(first) = &first.place {
            told = told.related(first.below("/spec/secretName"), "the other one");
        }
        out.push(told);
    }
}

fn contacts(plan: &Plan, out: &mut Vec<Finding>) {
    for issuer in plan.issuers.values() {
        let (IssuerKind::Acme(acme), Some(place)) = (&issuer.kind, &issuer.place) else { continue };
        let Some(server) = public_server(&acme.server) else { continue };
        let Some((email, domain)) = acme.email.as_ref().and_then(|email| Some((email, email.rsplit_once('@')?.1)))
        else {
            continue;
        };
        if not_public(domain).is_some() {
            let title = format!(
                "`{email}` is not a public address: {server} refuses the account, and the issuer is never ready"
            );
            out.push(finding(code::CONTACT, Severity::Warning, place.below("/spec/acme/email"), title));
        }
    }
}

fn missing_secrets(plan: &Plan, around: &Surroundings, out: &mut Vec<Finding>) {
    for (namespace, secret, place) in &around.credentials {
        let declared = around.secrets.contains(&(namespace.clone(), secret.clone()));
        if !declared && plan.maker(namespace, secret).is_none() {
            let title = format!("Secret `{namespace}/{secret}` is made by nothing: this server has no certificate");
            out.push(finding(code::NO_SECRET, Severity::Warning, place.clone(), title));
        }
    }
}

/// The name of a public ACME server, by its directory.
fn public_server(directory: &str) -> Option<&'static str> {
    const PUBLIC: [(&str, &str); 6] = [
        ("api.letsencrypt.org", "Let's Encrypt"),
        ("acme.zerossl.com", "ZeroSSL"),
        ("dv.acme-v02.api.pki.goog", "Google Trust Services"),
        ("api.buypass.com", "Buypass"),
        ("acme.ssl.com", "SSL.com"),
        ("acme.sectigo.com", "Sectigo"),
    ];
    let host = directory.split("://").nth(1)?.split('/').next()?;
    PUBLIC.iter().find(|(known, _)| host.ends_with(known)).map(|(_, name)| *name)
}

/// The special-use or private top-level name that a DNS name is in (RFC 6761, RFC 6762, RFC 8375, RFC 9476; ICANN's
/// `internal`); a name of one label is none that a public CA signs either.
fn not_public(name: &str) -> Option<String> {
    const PRIVATE: [&str; 18] = [
        "alt",
        "arpa",
        "corp",
        "example",
        "home",
        "internal",
        "intranet",
        "invalid",
        "lan",
        "local",
        "localdomain",
        "localhost",
        "mail",
        "onion",
        "private",
        "svc",
        "test",
        "cluster",
    ];
    let name = name.strip_prefix("*.").unwrap_or(name).trim_end_matches('.').to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    let private = PRIVATE.contains(&last) || last == name;
    private.then(|| format!(".{last}"))
}
