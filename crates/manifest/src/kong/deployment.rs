//! The `KONG_*` settings of a Deployment that runs Kong.
//!
//! In: the Pod spec. Out: [`Deployment`]: settings of the gateway, whose word counts for addresses, where it listens.
//! Follows Kong's configuration reference (3.9): `KONG_` and the setting's name in capitals.

mod names;

use super::code;
use super::schema::tell;
use crate::Cursor;
use ipnet::IpNet;
use ringwall_gateway::settings::OwnFields;
use ringwall_gateway::{Compatibility, Settings};
use ringwall_head::client::{RealIp, Search, Trust};
use ringwall_model::Severity;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// What a Deployment says of its Kong.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Settings of the gateway.
    pub settings: Settings,
    /// Whose word counts for the client's address. In [`Compatibility::Safe`] a range of all addresses is no trust.
    pub trust: Trust,
    /// Where calls come in.
    pub proxy: Vec<Listen>,
    /// Where the Admin API is.
    pub admin: Vec<Listen>,
    /// Where the status API is.
    pub status: Vec<Listen>,
    /// The longest body a call may have, in bytes (`nginx_http_client_max_body_size`); `None` for any.
    pub body_limit: Option<u64>,
}

/// One address that Kong listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address; unspecified for all.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub tls: ListenTls,
}

/// Whether TLS is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenTls {
    /// Clear text.
    Off,
    /// TLS.
    On,
}

type Env<'a> = BTreeMap<&'a str, (&'a str, Cursor<'a>)>;

/// Reads the Pod spec of a workload; `None` when none of its containers runs Kong.
pub fn lower(pod: Cursor<'_>, compatibility: Compatibility) -> Option<Deployment> {
    let container = pod.get("containers").items().find(|container| is_kong(*container))?;
    let env = env(container);
    image(container);
    unknown(&env);
    let trusted = trusted(&env);
    let trusts_all = trusted.iter().any(|net| net.prefix_len() == 0);
    if trusts_all {
        trust_all(&env, compatibility);
    }
    let settings = Settings {
        compatibility,
        trusted,
        real_ip_header: value(&env, "REAL_IP_HEADER").unwrap_or("X-Real-IP").into(),
        real_ip_recursive: value(&env, "REAL_IP_RECURSIVE") == Some("on"),
        own_fields: own_fields(&env),
        plugins: plugins(container, &env, compatibility),
        ..Settings::default()
    };
    let trust = trust(&settings);
    recursion(&env, &settings);
    encryption(&env);
    probes(container);
    let (admin, status) =
        (listens(&env, "ADMIN_LISTEN", "127.0.0.1:8001"), listens(&env, "STATUS_LISTEN", "127.0.0.1:8007"));
    exposed(&env, &admin, &status);
    Some(Deployment {
        settings,
        trust,
        proxy: listens(&env, "PROXY_LISTEN", "0.0.0.0:8000, 0.0.0.0:8443 ssl"),
        admin,
        status,
        body_limit: body_limit(container, &env),
    })
}

/// By its image's name, or by its settings.
fn is_kong(container: Cursor<'_>) -> bool {
    let Some(node) = container.peek() else { return false };
    let image = node.get("image").and_then(crate::Node::as_str).unwrap_or_default();
    let name = image.rsplit('/').next().unwrap_or_default().split([':', '@']).next().unwrap_or_default();
    matches!(name, "kong" | "kong-gateway")
}

fn env(container: Cursor<'_>) -> Env<'_> {
    let mut env = BTreeMap::new();
    for item in container.get("env").items() {
        let (name, value) = (item.get("name").string(), item.get("value"));
        let Some(name) = name.and_then(|name| name.strip_prefix("KONG_")) else { continue };
        // Values from Secrets are not known here; of the settings below none is a secret.
        env.insert(name, (value.string().unwrap_or_default(), value));
    }
    env
}

fn value<'a>(env: &Env<'a>, name: &str) -> Option<&'a str> {
    env.get(name).map(|(value, _)| value.trim()).filter(|value| !value.is_empty())
}

fn say(
    env: &Env<'_>,
    name: &str,
    code: ringwall_model::Code,
    severity: Severity,
    title: impl Into<String>,
    help: &str,
) {
    if let Some((_, at)) = env.get(name) {
        tell(*at, code, severity, title, help);
    }
}

fn image(container: Cursor<'_>) {
    let at = container.get("image");
    let Some(image) = at.string() else { return };
    let tag = image.rsplit_once(':').map(|(_, tag)| tag).unwrap_or_default();
    let minor: Option<u32> = tag.strip_prefix("3.").and_then(|rest| rest.split(['.', '-']).next()?.parse().ok());
    if tag.ends_with("alpine") && minor.is_some_and(|minor| minor >= 4) {
        let title = format!("image `{image}` does not exist: Kong's Alpine images ended with 3.4");
        tell(at, code::IMAGE, Severity::Warning, title, "Ringwall stands in its place; elsewhere use `kong:3.9`");
    }
}

fn unknown(env: &Env<'_>) {
    for (name, (_, at)) in env {
        if !names::is_known(name) {
            let title = format!("Kong has no setting `{}` and ignores `KONG_{name}`", name.to_ascii_lowercase());
            let help = names::meant(name).map(|meant| format!("meant is `KONG_{meant}`")).unwrap_or_default();
            tell(*at, code::SETTING_UNKNOWN, Severity::Warning, title, &help);
        }
    }
}

fn trusted(env: &Env<'_>) -> Vec<IpNet> {
    let mut nets = Vec::new();
    for text in value(env, "TRUSTED_IPS").unwrap_or_default().split(',').map(str::trim).filter(|it| !it.is_empty()) {
        match text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)) {
            Some(net) => nets.push(net),
            None => {
                let title = format!("`{text}` is no address range: nobody is trusted by it");
                say(env, "TRUSTED_IPS", code::SETTING_VALUE, Severity::Error, title, "");
            }
        }
    }
    nets
}

fn trust_all(env: &Env<'_>, compatibility: Compatibility) {
    let here = match compatibility {
        Compatibility::Safe => "here such a range trusts nobody",
        Compatibility::Kong => "and so does this gateway",
    };
    let title = format!("every peer is a trusted proxy: any client chooses its address, protocol and host; {here}");
    say(env, "TRUSTED_IPS", code::TRUST_ALL, Severity::Warning, title, "name the addresses of the hop before this one");
}

fn trust(settings: &Settings) -> Trust {
    let safe = settings.compatibility == Compatibility::Safe;
    let trusted: Vec<IpNet> = settings.trusted.iter().copied().filter(|net| !(safe && net.prefix_len() == 0)).collect();
    if trusted.is_empty() {
        return Trust::Peer;
    }
    let search = if settings.real_ip_recursive { Search::LastUntrusted } else { Search::Last };
    Trust::RealIp(RealIp { trusted, field: settings.real_ip_header.clone(), search })
}

fn recursion(env: &Env<'_>, settings: &Settings) {
    let is_list = settings.real_ip_header.eq_ignore_ascii_case("x-forwarded-for");
    if is_list && !settings.real_ip_recursive && !settings.trusted.is_empty() {
        let title = "the last entry of `X-Forwarded-For` is taken: behind two proxies that is a proxy, for all clients the same";
        say(env, "REAL_IP_HEADER", code::REAL_IP, Severity::Note, title, "set `KONG_REAL_IP_RECURSIVE` to `on`");
    }
}

fn own_fields(env: &Env<'_>) -> OwnFields {
    match value(env, "HEADERS") {
        Some("off") => OwnFields::Hidden,
        _ => OwnFields::Shown,
    }
}

/// Plugins of kong-oidc's kind, which are not in Kong's images.
const NOT_INSTALLED: [&str; 1] = ["oidc"];

fn plugins(
    container: Cursor<'_>,
    env: &Env<'_>,
    compatibility: Compatibility,
) -> Option<std::collections::BTreeSet<Box<str>>> {
    let list = value(env, "PLUGINS")?;
    let image = container.get("image").string().unwrap_or_default();
    let is_official = image.rsplit('/').next().is_some_and(|name| name.starts_with("kong:"));
    let mut names = std::collections::BTreeSet::new();
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty() && *name != "off") {
        if NOT_INSTALLED.contains(&name) && is_official && value(env, "LUA_PACKAGE_PATH").is_none() {
            let severity = if compatibility == Compatibility::Kong { Severity::Error } else { Severity::Warning };
            let title = format!("Kong does not start: `{name} plugin is enabled but not installed` in this image");
            say(env, "PLUGINS", code::PLUGIN_NOT_INSTALLED, severity, title, "Ringwall has it");
        }
        if name == "bundled" {
            let commercial = ["openid-connect", "rate-limiting-advanced", "oidc"];
            let bundled = ringwall_gateway::plugin::names().filter(|name| !commercial.contains(name));
            names.extend(bundled.map(Into::into));
        } else {
            names.insert(name.into());
        }
    }
    Some(names)
}

fn encryption(env: &Env<'_>) {
    let suite = value(env, "SSL_CIPHER_SUITE").unwrap_or("intermediate");
    if suite != "custom" {
        let title =
            format!("`KONG_SSL_PROTOCOLS` counts only beside `KONG_SSL_CIPHER_SUITE=custom`; `{suite}` brings its own");
        say(
            env,
            "SSL_PROTOCOLS",
            code::SSL_PROTOCOLS,
            Severity::Warning,
            title,
            "for TLS 1.3 alone set the suite to `modern`",
        );
    }
    let verifies = value(env, "PG_SSL") == Some("on") && value(env, "PG_SSL_VERIFY") == Some("on");
    if value(env, "DATABASE").unwrap_or("postgres") == "postgres" && !verifies {
        let title = "the database is spoken to in clear text: passwords and keys of consumers cross the network";
        say(
            env,
            "DATABASE",
            code::DATABASE_TLS,
            Severity::Warning,
            title,
            "Ringwall needs no database; else set `KONG_PG_SSL` and `KONG_PG_SSL_VERIFY` to `on`",
        );
    }
}

fn probes(container: Cursor<'_>) {
    // Probes belong to the workload's own lowering; looked at without reading.
    let path = container.peek().and_then(|node| node.get("readinessProbe")?.get("httpGet")?.get("path")?.as_str());
    if path == Some("/status") {
        let title = "the readiness probe asks `/status`, which says that Kong runs, not that it is configured";
        tell(container, code::READINESS, Severity::Note, title, "ask `/status/ready`");
    }
}

/// `address:port` with words after it, separated by commas; `off` is none.
fn listens(env: &Env<'_>, name: &str, default: &str) -> Vec<Listen> {
    let text = value(env, name).unwrap_or(default);
    let mut listens = Vec::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty() && *entry != "off") {
        let mut words = entry.split_ascii_whitespace();
        let read = words.next().and_then(|word| match word.rsplit_once(':') {
            Some((address, port)) => Some((address.trim_matches(['[', ']']).parse().ok()?, port.parse().ok()?)),
            None => Some((IpAddr::V4(Ipv4Addr::UNSPECIFIED), word.parse().ok()?)),
        });
        let tls = if words.any(|word| word == "ssl") { ListenTls::On } else { ListenTls::Off };
        match read {
            Some((address, port)) => listens.push(Listen { address, port, tls }),
            None => say(
                env,
                name,
                code::SETTING_VALUE,
                Severity::Error,
                format!("`{entry}` is no address to listen on"),
                "",
            ),
        }
    }
    listens
}

fn exposed(env: &Env<'_>, admin: &[Listen], status: &[Listen]) {
    let open = |listens: &[Listen]| listens.iter().any(|listen| !listen.address.is_loopback());
    if open(admin) {
        let title = "the Admin API can be reached from other hosts, and asks nobody who they are";
        say(env, "ADMIN_LISTEN", code::ADMIN_LISTEN, Severity::Warning, title, "listen on 127.0.0.1");
    }
    if open(status) {
        let title = "the status API with its metrics can be reached from other hosts";
        say(
            env,
            "STATUS_LISTEN",
            code::STATUS_LISTEN,
            Severity::Note,
            title,
            "let a NetworkPolicy admit Prometheus alone",
        );
    }
}

fn body_limit(container: Cursor<'_>, env: &Env<'_>) -> Option<u64> {
    let Some(text) = value(env, "NGINX_HTTP_CLIENT_MAX_BODY_SIZE") else {
        let title = "bodies may have any length: `KONG_NGINX_HTTP_CLIENT_MAX_BODY_SIZE` is not set";
        tell(container, code::BODY_LIMIT, Severity::Note, title, "set it, or use `request-size-limiting`");
        return None;
    };
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).unwrap_or((text, ""));
    let bytes = match unit {
        "k" | "K" => number.parse().ok().map(|it: u64| it.saturating_mul(1024)),
        "m" | "M" => number.parse().ok().map(|it: u64| it.saturating_mul(1_048_576)),
        "g" | "G" => number.parse().ok().map(|it: u64| it.saturating_mul(1_073_741_824)),
        _ => text.parse().ok(),
    };
    bytes.filter(|bytes| *bytes > 0)
}
