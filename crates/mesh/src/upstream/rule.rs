//! DestinationRules: what they say, which one holds, and what its blocks come to for one port and subset.
//!
//! In: lowered rules. Out: [`Rules`] to look up, [`Resolved`] blocks. Never: merging across namespaces or hosts, which
//! Istio does not do either. A subset's block replaces the rule's block of that name; settings of a port replace all.

use super::Settings;
use crate::egress::ExportTo;
use crate::route::hosts::HostTable;
use crate::route::{Client, Origin};
use ringwall_model::{Host, Labels, Millis, RuleId, Selector};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A DestinationRule.
#[derive(Clone, Debug)]
pub struct DestinationRule {
    /// Which resource.
    pub origin: Origin,
    /// Host, short names completed; perhaps with a leading `*`.
    pub host: Host,
    /// To whom it is visible.
    pub export_to: ExportTo,
    /// Client workloads it is for; `None`: all.
    pub selector: Option<Selector>,
    /// Its policy.
    pub policy: Traffic,
    /// Subsets.
    pub subsets: Vec<Subset>,
}

/// A subset.
#[derive(Clone, Debug)]
pub struct Subset {
    /// Name.
    pub name: Box<str>,
    /// Labels of its endpoints.
    pub labels: Arc<Labels>,
    /// What it overrides, block by block.
    pub policy: Traffic,
}

/// A traffic policy as written; a block that is absent is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Connection pool.
    pub pool: Option<Pool>,
    /// Outlier detection.
    pub outlier: Option<OutlierPolicy>,
    /// Load balancing.
    pub balancer: Option<BalancerPolicy>,
    /// TLS.
    pub tls: Option<Arc<ClientTls>>,
    /// Settings of single ports, which replace all of the above.
    pub ports: Vec<(u16, Self)>,
}

/// Connection pool. Without a rule: no limits, 10 s to connect, an hour idle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Most connections to the destination.
    pub max_connections: u32,
    /// Time to connect.
    pub connect_timeout: Millis,
    /// TCP keepalive.
    pub keepalive: Option<Keepalive>,
    /// Most calls that wait for a connection.
    pub max_pending: u32,
    /// Most calls at once.
    pub max_requests: u32,
    /// Most retries at once.
    pub max_retries: u32,
    /// Calls after which a connection is closed; 0 is no limit.
    pub max_requests_per_connection: u32,
    /// Time after which an idle connection is closed.
    pub idle_timeout: Millis,
    /// Longest life of a connection.
    pub max_connection_duration: Option<Millis>,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            max_connections: u32::MAX,
            connect_timeout: Millis::seconds(10),
            keepalive: None,
            max_pending: u32::MAX,
            max_requests: u32::MAX,
            max_retries: u32::MAX,
            max_requests_per_connection: 0,
            idle_timeout: Millis::seconds(3600),
            max_connection_duration: None,
        }
    }
}

/// TCP keepalive; `None` is the system's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// Probes that may fail.
    pub probes: Option<u32>,
    /// Idle time before the first.
    pub time: Option<Millis>,
    /// Time between two.
    pub interval: Option<Millis>,
}

/// Outlier detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierPolicy {
    /// 5xx answers (and, unless split, connection failures) in a row; `None` is off.
    pub consecutive_5xx: Option<u32>,
    /// 502, 503 and 504 answers in a row; `None` is off.
    pub consecutive_gateway: Option<u32>,
    /// Whether failures that never reached the endpoint are counted apart.
    pub local_origin: LocalOrigin,
    /// Time between two sweeps, in which the ejected return.
    pub interval: Millis,
    /// Ejection time of the first ejection; multiplied by their number.
    pub base_ejection: Millis,
    /// Longest ejection time.
    pub max_ejection: Millis,
    /// Share of endpoints that may be ejected; at least one always may.
    pub max_ejection_percent: u8,
    /// Share of healthy endpoints below which ejections are disregarded; 0 is never.
    pub min_health_percent: u8,
}

impl Default for OutlierPolicy {
    fn default() -> Self {
        Self {
            consecutive_5xx: Some(5),
            consecutive_gateway: None,
            local_origin: LocalOrigin::WithAnswers,
            interval: Millis::seconds(10),
            base_ejection: Millis::seconds(30),
            max_ejection: Millis::seconds(300),
            max_ejection_percent: 10,
            min_health_percent: 0,
        }
    }
}

/// How failures that never reached the endpoint's application are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalOrigin {
    /// As 5xx.
    WithAnswers,
    /// Apart (`splitExternalLocalOriginErrors`), so many in a row; `None` is off.
    Split(Option<u32>),
}

/// Load balancing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BalancerPolicy {
    /// The less busy of two that are picked at random (Istio's default).
    #[default]
    LeastRequest,
    /// One after the other.
    RoundRobin,
    /// At random.
    Random,
    /// The address that the caller named.
    Passthrough,
    /// By a hash of something in the call.
    ConsistentHash(HashOn),
}

/// What is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashOn {
    /// A request header.
    Header(Box<str>),
    /// A cookie, which is set with path and lifetime when it is missing and a lifetime is given.
    Cookie {
        /// Name.
        name: Box<str>,
        /// Path.
        path: Option<Box<str>>,
        /// Lifetime; zero is a session cookie.
        ttl: Option<Millis>,
    },
    /// The source address.
    SourceAddress,
    /// A query parameter.
    Query(Box<str>),
}

/// TLS that the rule asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// Mode.
    pub mode: ClientTlsMode,
    /// Server name; `None`: the call's authority.
    pub sni: Option<Arc<str>>,
    /// Names of which the server's certificate must have one; empty: the server name.
    pub subject_alt_names: Vec<Box<str>>,
    /// Certificate, key and authorities in files.
    pub files: crate::route::CertificateFiles,
    /// Secret that holds them.
    pub credential: Option<Arc<str>>,
    /// Whether the server's certificate is verified.
    pub verification: Verification,
}

/// TLS mode of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientTlsMode {
    /// Plaintext.
    Disable,
    /// Server certificate only.
    Simple,
    /// With a client certificate of one's own.
    Mutual,
    /// The mesh's certificates.
    IstioMutual,
}

/// Whether the server's certificate is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    /// Against the named authorities, else those of the system.
    #[default]
    Verified,
    /// Not at all (`insecureSkipVerify`).
    Skipped,
}

/// DestinationRules by namespace and host.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    by_namespace: BTreeMap<Box<str>, HostTable<Vec<Arc<Rule>>>>,
    root: Box<str>,
    pub(crate) defaults: Arc<Settings>,
}

/// One rule, resolved for its ports and subsets.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(crate) because: RuleId,
    export_to: ExportTo,
    selector: Option<Selector>,
    base: Variants,
    subsets: BTreeMap<Box<str>, Variants>,
}

/// What blocks come to: for most ports, and for those with settings of their own.
#[derive(Clone, Debug)]
struct Variants {
    any: Resolved,
    ports: Vec<(u16, Resolved)>,
}

/// What a rule's blocks come to for one port and subset.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// TLS, when a block says.
    pub tls: Option<Arc<ClientTls>>,
    /// The rest.
    pub settings: Arc<Settings>,
    /// Labels of the subset.
    pub labels: Option<Arc<Labels>>,
}

impl Rules {
    /// Puts rules in order. INVARIANT: `rules` come oldest first, and rules of one host and namespace with the same
    /// selector were already made one by [`crate::route::Routes::compile`].
    pub(crate) fn new(rules: &[DestinationRule], root: &str) -> Self {
        let mut by_namespace: BTreeMap<Box<str>, HostTable<Vec<Arc<Rule>>>> = BTreeMap::new();
        for rule in rules {
            let table = by_namespace.entry(rule.origin.namespace.clone()).or_default();
            let list = table.entry(&rule.host, Vec::new);
            // A rule for chosen workloads comes before one for all.
            let at = if rule.selector.is_some() {
                list.iter().take_while(|old| old.selector.is_some()).count()
            } else {
                list.len()
            };
            list.insert(at, Arc::new(Rule::new(rule)));
        }
        Self { by_namespace, root: root.into(), defaults: Arc::default() }
    }

    /// The rule that holds for a client's calls to a host.
    pub(crate) fn find(&self, client: &Client, host: &str, service_namespace: Option<&str>) -> Option<&Arc<Rule>> {
        let own = Some(&*client.namespace);
        let search = |namespace: &str| {
            let fits = |rule: &&Arc<Rule>| {
                let visible = Some(namespace) == own || rule.export_to.reaches(&client.namespace);
                visible && rule.selector.as_ref().is_none_or(|is| Some(namespace) == own && is.matches(&client.labels))
            };
            self.by_namespace.get(namespace)?.find_map(host, |list| list.iter().find(fits))
        };
        let others = [service_namespace, Some(&*self.root)];
        own.and_then(search).or_else(|| others.into_iter().flatten().filter(|name| Some(*name) != own).find_map(search))
    }
}

impl Rule {
    fn new(rule: &DestinationRule) -> Self {
        let base = Variants::new(&rule.policy, None);
        let subset = |subset: &Subset| (subset.name.clone(), Variants::over(&rule.policy, subset));
        Self {
            because: rule.origin.rule,
            export_to: rule.export_to.clone(),
            selector: rule.selector.clone(),
            base,
            // Of two subsets of one name the older one's holds, so it is entered last.
            subsets: rule.subsets.iter().rev().map(subset).collect(),
        }
    }

    /// What holds for a port and subset; `None` when there is no such subset.
    pub(crate) fn resolve(&self, port: u16, subset: Option<&str>) -> Option<&Resolved> {
        let variants = match subset {
            None => &self.base,
            Some(name) => self.subsets.get(name)?,
        };
        Some(variants.ports.iter().find(|(number, _)| *number == port).map_or(&variants.any, |(_, resolved)| resolved))
    }
}

impl Variants {
    fn new(policy: &Traffic, labels: Option<&Arc<Labels>>) -> Self {
        let ports = policy.ports.iter().map(|(port, policy)| (*port, Resolved::new(policy, labels))).collect();
        Self { any: Resolved::new(policy, labels), ports }
    }

    /// A subset over its rule: first the rule's settings for a port, then the subset's blocks over them, then the
    /// subset's own settings for that port instead of all.
    fn over(base: &Traffic, subset: &Subset) -> Self {
        let labels = Some(&subset.labels);
        let blocks = |under: &Traffic| Traffic {
            pool: subset.policy.pool.clone().or_else(|| under.pool.clone()),
            outlier: subset.policy.outlier.or(under.outlier),
            balancer: subset.policy.balancer.clone().or_else(|| under.balancer.clone()),
            tls: subset.policy.tls.clone().or_else(|| under.tls.clone()),
            ports: Vec::new(),
        };
        let own = subset.policy.ports.iter().map(|(port, policy)| (*port, Resolved::new(policy, labels)));
        let under = base.ports.iter().map(|(port, policy)| (*port, Resolved::new(&blocks(policy), labels)));
        Self { any: Resolved::new(&blocks(base), labels), ports: own.chain(under).collect() }
    }
}

impl Resolved {
    fn new(policy: &Traffic, labels: Option<&Arc<Labels>>) -> Self {
        let settings = Settings {
            pool: policy.pool.clone().unwrap_or_default(),
            outlier: policy.outlier,
            balancer: policy.balancer.clone().unwrap_or_default(),
        };
        Self { tls: policy.tls.clone(), settings: Arc::new(settings), labels: labels.cloned() }
    }
}
