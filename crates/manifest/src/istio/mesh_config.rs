//! The mesh's settings: `meshConfig` of an IstioOperator (install.istio.io/v1alpha1).
//!
//! In: a resource. Out: [`MeshSettings`] and findings. The rest of an IstioOperator is the installer's; what in it
//! looks like security and is none is said.

mod tracing;

use super::sidecar;
use crate::node::Value;
use crate::{Cursor, Node, Resource};
use ringwall_head::path::Normalization;
use ringwall_mesh::egress::OutboundMode;
use ringwall_mesh::route::code;
use ringwall_mesh::upstream::AutoMtls;
use ringwall_model::Severity;
use std::sync::Arc;
pub use tracing::{Speaks, Tracing};

/// Settings of the whole mesh.
#[derive(Clone, Debug)]
pub struct MeshSettings {
    /// What becomes of calls to hosts that nothing declares.
    pub outbound: OutboundMode,
    /// Whether mutual TLS is spoken without a rule.
    pub auto_mtls: AutoMtls,
    /// Trust domains beside our own.
    pub trust_domain_aliases: Vec<Box<str>>,
    /// How paths are normalized before any rule.
    pub normalization: Normalization,
    /// The access log; `None`: none is written.
    pub access_log: Option<AccessLog>,
    /// Who is sent spans of how many calls; `None`: nothing is traced.
    pub tracing: Option<Tracing>,
    /// How many proxies before the gateways are trusted.
    pub trusted_proxies: u8,
    /// Whether gateways expect a PROXY protocol header.
    pub proxy_protocol: ProxyProtocol,
}

/// An access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Where it goes.
    pub path: Arc<str>,
    /// How it is written.
    pub encoding: Encoding,
    /// Its format, with Envoy's operators; `None` is the default.
    pub format: Option<Arc<str>>,
}

/// How an access log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Lines of text.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// Whether a PROXY protocol header is expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// No.
    #[default]
    Absent,
    /// Yes.
    Expected,
}

impl Default for MeshSettings {
    fn default() -> Self {
        Self {
            outbound: OutboundMode::AllowAny,
            auto_mtls: AutoMtls::On,
            trust_domain_aliases: Vec::new(),
            normalization: Normalization::Base,
            access_log: None,
            tracing: None,
            trusted_proxies: 0,
            proxy_protocol: ProxyProtocol::Absent,
        }
    }
}

/// The provider that `defaultProviders.tracing` names first.
pub fn provider(root: &Node) -> Option<&str> {
    let names = root.get("spec")?.get("meshConfig")?.get("defaultProviders")?.get("tracing")?;
    match &names.value {
        Value::List(names) => names.first()?.as_str(),
        _ => None,
    }
}

/// Lowers one IstioOperator. `collector` is the provider that spans are sent to, where one is named.
pub fn lower(resource: &Resource<'_>, collector: Option<&str>) -> MeshSettings {
    let spec = resource.spec();
    let mesh = spec.get("meshConfig");
    installer(spec);
    let settings = settings(mesh, collector);
    if settings.outbound == OutboundMode::AllowAny {
        let title =
            "workloads may call any host outside: `outboundTrafficPolicy` is ALLOW_ANY unless it says otherwise";
        let help = "outboundTrafficPolicy: {mode: REGISTRY_ONLY}";
        mesh.report(mesh.finding(code::ALLOW_ANY, Severity::Warning, title).help(help));
    }
    settings
}

fn settings(mesh: Cursor<'_>, collector: Option<&str>) -> MeshSettings {
    let aliases = mesh.get("trustDomainAliases").strings().unwrap_or_default();
    // Read by the inventory, which needs them before all else.
    _ = (mesh.get("trustDomain").string(), mesh.get("rootNamespace").string());
    let defaults = mesh.get("defaultConfig");
    let topology = defaults.get("gatewayTopology");
    let proxies = topology.get("numTrustedProxies").integer(0..=255).and_then(|count| u8::try_from(count).ok());
    let proxy_protocol = topology.get("proxyProtocol");
    let expected = if proxy_protocol.is_present() { ProxyProtocol::Expected } else { ProxyProtocol::Absent };
    proxy_protocol.set_rest_aside();
    topology.ignored("forwardClientCertDetails", "the header is always written by the gateway itself");
    let tracing = tracing::lower(mesh, collector);
    for name in ["configPath", "holdApplicationUntilProxyStarts"] {
        defaults.ignored(name, "there is no proxy beside the application to be started");
    }
    defaults.set_rest_aside();
    let auto = mesh.get("enableAutoMtls").flag();
    let read = MeshSettings {
        outbound: sidecar::outbound(mesh.get("outboundTrafficPolicy")).unwrap_or_default(),
        auto_mtls: if auto == Some(false) { AutoMtls::Off } else { AutoMtls::On },
        trust_domain_aliases: aliases.into_iter().map(Into::into).collect(),
        normalization: normalization(mesh.get("pathNormalization").get("normalization")),
        access_log: access_log(mesh),
        tracing,
        trusted_proxies: proxies.unwrap_or(0),
        proxy_protocol: expected,
    };
    for name in ["discoverySelectors", "meshMTLS", "tlsDefaults", "localityLbSetting"] {
        mesh.ignored(name, "not supported");
    }
    mesh.descriptive(&[
        "ingressClass",
        "ingressService",
        "ingressSelector",
        "ingressControllerMode",
        "enablePrometheusMerge",
    ]);
    read
}

fn normalization(at: Cursor<'_>) -> Normalization {
    let words = [
        ("DEFAULT", Normalization::Base),
        ("NONE", Normalization::None),
        ("BASE", Normalization::Base),
        ("MERGE_SLASHES", Normalization::MergeSlashes),
        ("DECODE_AND_MERGE_SLASHES", Normalization::DecodeAndMergeSlashes),
    ];
    match at.enumeration(&words) {
        Some(mode) => {
            if mode == Normalization::None {
                let title = "paths are not normalized: `/public/../admin` is judged as it stands";
                at.report(
                    at.finding(code::PATH_NORMALIZATION, Severity::Warning, title).help("DECODE_AND_MERGE_SLASHES"),
                );
            }
            mode
        }
        // What cannot be read is the strictest.
        None if at.is_present() => Normalization::DecodeAndMergeSlashes,
        None => {
            let title = "an encoded slash hides a traversal from path rules: `/api/..%2fadmin` is one segment";
            let help = "pathNormalization: {normalization: DECODE_AND_MERGE_SLASHES}";
            at.report(at.finding(code::PATH_NORMALIZATION, Severity::Warning, title).help(help));
            Normalization::Base
        }
    }
}

fn access_log(mesh: Cursor<'_>) -> Option<AccessLog> {
    let encoding = mesh.get("accessLogEncoding").enumeration(&[("TEXT", Encoding::Text), ("JSON", Encoding::Json)]);
    let format_at = mesh.get("accessLogFormat");
    let format = format_at.filled();
    let path = mesh.get("accessLogFile").filled();
    if format.is_some_and(|format| !format.contains("%RESPONSE_CODE_DETAILS%")) {
        let title =
            "the format lacks `%RESPONSE_CODE_DETAILS%`, the only operator that says which policy refused a call";
        format_at.report(format_at.finding(code::ACCESS_LOG, Severity::Note, title));
    }
    Some(AccessLog { path: path?.into(), encoding: encoding.unwrap_or_default(), format: format.map(Arc::from) })
}

/// The installer's part: what in it looks like security.
fn installer(spec: Cursor<'_>) {
    const PROFILES: [&str; 9] =
        ["default", "demo", "minimal", "empty", "preview", "ambient", "remote", "stable", "openshift"];
    let profile = spec.get("profile");
    if let Some(name) = profile.filled().filter(|name| !PROFILES.contains(name) && !name.starts_with("openshift")) {
        let title = format!("there is no profile `{name}`: the installer refuses it");
        profile.report(profile.finding(code::LEGACY_SETTING, Severity::Warning, title).help("profile: default"));
    }
    let global = spec.get("values").get("global");
    for (name, says) in [
        ("controlPlaneSecurityEnabled", "nothing reads `controlPlaneSecurityEnabled` any more"),
        ("mtls", "nothing reads `values.global.mtls` any more: mutual TLS is a PeerAuthentication's"),
    ] {
        let at = global.get(name);
        if at.is_present() {
            at.set_rest_aside();
            at.report(at.finding(code::LEGACY_SETTING, Severity::Warning, says));
        }
    }
    let domain = global.get("trustDomain");
    if domain.string().is_some() {
        let title = "the trust domain is a setting of `meshConfig`";
        domain.report(
            domain.finding(code::MISPLACED_SETTING, Severity::Note, title).help("meshConfig: {trustDomain: …}"),
        );
    }
    let key = global.get("proxy").get("privateKeyProvider");
    if key.is_present() {
        let title = "a private key provider is a setting of `meshConfig.defaultConfig`; here it does nothing";
        key.report(key.finding(code::MISPLACED_SETTING, Severity::Note, title));
    }
    global.get("proxy").set_rest_aside();
    global.set_rest_aside();
    spec.get("values").set_rest_aside();
    spec.get("components").set_rest_aside();
    spec.descriptive(&[
        "profile",
        "hub",
        "tag",
        "namespace",
        "revision",
        "components",
        "values",
        "compatibilityVersion",
        "installPackagePath",
    ]);
}
