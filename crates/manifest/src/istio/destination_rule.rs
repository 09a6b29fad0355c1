//! DestinationRule (networking.istio.io/v1, v1beta1, v1alpha3).
//!
//! In: a resource. Out: [`DestinationRule`] and findings. A `tls` block that cannot be read is ISTIO_MUTUAL.

use super::networking::{complete, dns_name, export_to, origin};
use crate::{Cursor, Resource};
use ringwall_mesh::route::{CertificateFiles, code};
use ringwall_mesh::upstream::rule::{ClientTlsMode, LocalOrigin};
use ringwall_mesh::upstream::{
    BalancerPolicy, ClientTls, DestinationRule, HashOn, Keepalive, OutlierPolicy, Pool, Subset, Traffic, Verification,
};
use ringwall_model::{Millis, RuleBook, Selector, Severity};
use std::sync::Arc;

/// Lowers one resource.
pub fn lower(resource: &Resource<'_>, rules: &mut RuleBook) -> DestinationRule {
    let spec = resource.spec();
    let host = dns_name(spec.get("host").required()).unwrap_or_default();
    let selector = spec.get("workloadSelector").get("matchLabels").labels().filter(|labels| !labels.is_empty());
    let subsets = spec.get("subsets").items().map(|at| Subset {
        name: at.get("name").required().filled().unwrap_or_default().into(),
        labels: Arc::new(at.get("labels").labels().unwrap_or_default()),
        policy: traffic(at.get("trafficPolicy")),
    });
    DestinationRule {
        host: complete(host, resource.namespace),
        export_to: export_to(spec.get("exportTo"), resource.namespace),
        selector: selector.map(Selector),
        subsets: subsets.collect(),
        policy: traffic(spec.get("trafficPolicy")),
        origin: origin(resource, rules),
    }
}

fn traffic(at: Cursor<'_>) -> Traffic {
    let mut policy = blocks(at);
    policy.ports = at
        .get("portLevelSettings")
        .items()
        .filter_map(|one| Some((one.get("port").get("number").port()?, blocks(one))))
        .collect();
    for name in ["tunnel", "proxyProtocol", "retryBudget"] {
        at.ignored(name, "not supported");
    }
    policy
}

fn blocks(at: Cursor<'_>) -> Traffic {
    Traffic {
        pool: pool(at.get("connectionPool")),
        outlier: outlier(at.get("outlierDetection")),
        balancer: balancer(at.get("loadBalancer")),
        tls: tls(at.get("tls")).map(Arc::new),
        ports: Vec::new(),
    }
}

fn limit(at: Cursor<'_>) -> Option<u32> {
    at.integer(0..=i64::from(i32::MAX)).and_then(|count| u32::try_from(count).ok())
}

fn pool(at: Cursor<'_>) -> Option<Pool> {
    if !at.is_present() {
        return None;
    }
    let (tcp, http) = (at.get("tcp"), at.get("http"));
    let default = Pool::default();
    let set = |field: Cursor<'_>, otherwise: u32| limit(field).filter(|count| *count > 0).unwrap_or(otherwise);
    let keepalive = tcp.get("tcpKeepalive");
    let span = |field: Cursor<'_>| field.duration().filter(|span| *span != Millis(0));
    let idle = span(http.get("idleTimeout")).or_else(|| span(tcp.get("idleTimeout")));
    http.ignored("h2UpgradePolicy", "the upstream's protocol follows the port");
    http.ignored("useClientProtocol", "the upstream's protocol follows the port");
    http.ignored("maxConcurrentStreams", "set by the upstream");
    Some(Pool {
        max_connections: set(tcp.get("maxConnections"), default.max_connections),
        connect_timeout: span(tcp.get("connectTimeout")).unwrap_or(default.connect_timeout),
        keepalive: keepalive.is_present().then(|| Keepalive {
            probes: limit(keepalive.get("probes")),
            time: span(keepalive.get("time")),
            interval: span(keepalive.get("interval")),
        }),
        max_pending: set(http.get("http1MaxPendingRequests"), default.max_pending),
        max_requests: set(http.get("http2MaxRequests"), default.max_requests),
        max_retries: set(http.get("maxRetries"), default.max_retries),
        max_requests_per_connection: limit(http.get("maxRequestsPerConnection")).unwrap_or(0),
        idle_timeout: idle.unwrap_or(default.idle_timeout),
        max_connection_duration: span(tcp.get("maxConnectionDuration")),
    })
}

fn outlier(at: Cursor<'_>) -> Option<OutlierPolicy> {
    if !at.is_present() {
        return None;
    }
    let default = OutlierPolicy::default();
    let (old, five) = (at.get("consecutiveErrors"), at.get("consecutive5xxErrors"));
    if let Some(count) = limit(old) {
        let effect = if five.is_present() { "" } else { ", and consecutive5xxErrors is 5" };
        let title = format!("nothing reads `consecutiveErrors: {count}` any more{effect}");
        old.report(
            old.finding(code::CONSECUTIVE_ERRORS, Severity::Warning, title)
                .help(format!("consecutive5xxErrors: {count}")),
        );
    }
    let count =
        |field: Cursor<'_>| field.proto_integer(0..=i64::from(u32::MAX)).and_then(|count| u32::try_from(count).ok());
    let split = at.get("splitExternalLocalOriginErrors").flag() == Some(true);
    let local_at = at.get("consecutiveLocalOriginFailures");
    let local = count(local_at);
    if local.is_some() && !split {
        let title = "`consecutiveLocalOriginFailures` needs `splitExternalLocalOriginErrors: true`: it does nothing";
        local_at.report(local_at.finding(code::RULE_SETTING, Severity::Warning, title));
    }
    at.ignored("outlierDetectionHttpErrorCodes", "5xx answers are counted");
    let percent = |field: Cursor<'_>| field.integer(0..=100).and_then(|value| u8::try_from(value).ok());
    let some = |count: Option<u32>| count.filter(|count| *count > 0);
    let base = at.get("baseEjectionTime").duration().unwrap_or(default.base_ejection);
    let policy = OutlierPolicy {
        consecutive_5xx: count(five).map_or(default.consecutive_5xx, |count| some(Some(count))),
        consecutive_gateway: some(count(at.get("consecutiveGatewayErrors"))),
        local_origin: if split { LocalOrigin::Split(some(local.or(Some(5)))) } else { LocalOrigin::WithAnswers },
        interval: at.get("interval").duration().unwrap_or(default.interval),
        base_ejection: base,
        max_ejection: default.max_ejection.max(base),
        max_ejection_percent: percent(at.get("maxEjectionPercent")).unwrap_or(default.max_ejection_percent),
        min_health_percent: percent(at.get("minHealthPercent")).unwrap_or(0),
    };
    if policy.max_ejection_percent == 100 && policy.min_health_percent == 0 {
        let title = "a fault that all endpoints share ejects them all: every call then gets 503";
        let help = "maxEjectionPercent: 50, or a `minHealthPercent` below which ejections are disregarded";
        at.report(at.finding(code::TOTAL_EJECTION, Severity::Warning, title).help(help));
    }
    Some(policy)
}

fn balancer(at: Cursor<'_>) -> Option<BalancerPolicy> {
    if !at.is_present() {
        return None;
    }
    for name in ["localityLbSetting", "warmupDurationSecs", "warmup"] {
        at.ignored(name, "all endpoints are of one locality and take full load at once");
    }
    let hash = at.get("consistentHash");
    if hash.is_present() {
        return hash_on(hash).map(BalancerPolicy::ConsistentHash);
    }
    let words = [
        ("UNSPECIFIED", BalancerWord::Default),
        ("LEAST_CONN", BalancerWord::Least),
        ("LEAST_REQUEST", BalancerWord::Least),
        ("RANDOM", BalancerWord::Random),
        ("ROUND_ROBIN", BalancerWord::Round),
        ("PASSTHROUGH", BalancerWord::Passthrough),
    ];
    Some(match at.get("simple").enumeration(&words)? {
        BalancerWord::Default | BalancerWord::Least => BalancerPolicy::LeastRequest,
        BalancerWord::Random => BalancerPolicy::Random,
        BalancerWord::Round => BalancerPolicy::RoundRobin,
        BalancerWord::Passthrough => BalancerPolicy::Passthrough,
    })
}

#[derive(Clone, Copy)]
enum BalancerWord {
    Default,
    Least,
    Random,
    Round,
    Passthrough,
}

fn hash_on(at: Cursor<'_>) -> Option<HashOn> {
    for name in ["ringHash", "maglev", "minimumRingSize"] {
        at.ignored(name, "rendezvous hashing is used");
    }
    let cookie = at.get("httpCookie");
    if let Some(name) = at.get("httpHeaderName").filled() {
        return Some(HashOn::Header(name.to_ascii_lowercase().into()));
    }
    if let Some(name) = at.get("httpQueryParameterName").filled() {
        return Some(HashOn::Query(name.into()));
    }
    if cookie.is_present() {
        cookie.ignored("attributes", "not supported");
        let name = cookie.get("name").required().filled()?;
        let path = cookie.get("path").filled().map(Into::into);
        return Some(HashOn::Cookie { name: name.into(), path, ttl: cookie.get("ttl").duration() });
    }
    if at.get("useSourceIp").flag() == Some(true) {
        return Some(HashOn::SourceAddress);
    }
    at.refuse("a consistent hash needs a header, a cookie, a query parameter or the source address")
}

fn tls(at: Cursor<'_>) -> Option<ClientTls> {
    if !at.is_present() {
        return None;
    }
    let mode = at.get("mode").enumeration(&[
        ("DISABLE", ClientTlsMode::Disable),
        ("SIMPLE", ClientTlsMode::Simple),
        ("MUTUAL", ClientTlsMode::Mutual),
        ("ISTIO_MUTUAL", ClientTlsMode::IstioMutual),
    ]);
    // The first value of the enumeration is what protobuf takes for nothing said.
    let mode = match mode {
        Some(mode) => mode,
        None if at.get("mode").is_present() => ClientTlsMode::IstioMutual,
        None => ClientTlsMode::Disable,
    };
    let file = |name: &'static str| at.get(name).filled().map(Arc::from);
    let files = CertificateFiles {
        certificate: file("clientCertificate"),
        key: file("privateKey"),
        authorities: file("caCertificates"),
    };
    let credential: Option<Arc<str>> = file("credentialName");
    at.ignored("caCrl", "revocation lists are not read here");
    let skipped = at.get("insecureSkipVerify").flag() == Some(true);
    if skipped {
        let title = "the server's certificate is not verified: anybody on the way can read and change what is sent";
        at.report(at.finding(code::UNVERIFIED, Severity::Warning, title));
    }
    let own = matches!(mode, ClientTlsMode::Simple | ClientTlsMode::Mutual);
    if own && files.authorities.is_none() && credential.is_none() && !skipped {
        let title = "no certificate authority is named: those of the system are trusted";
        at.report(at.finding(code::SYSTEM_AUTHORITIES, Severity::Note, title).help("Istio: IST0128; `caCertificates`"));
    }
    if mode == ClientTlsMode::Mutual && credential.is_none() && (files.certificate.is_none() || files.key.is_none()) {
        let title = "MUTUAL needs a client certificate and its key";
        at.report(at.finding(code::RULE_SETTING, Severity::Error, title));
    }
    let names = at.get("subjectAltNames").strings().unwrap_or_default();
    Some(ClientTls {
        mode,
        sni: file("sni"),
        subject_alt_names: names.into_iter().map(Into::into).collect(),
        files,
        credential,
        verification: if skipped { Verification::Skipped } else { Verification::Verified },
    })
}
