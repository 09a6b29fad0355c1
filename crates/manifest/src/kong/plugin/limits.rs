//! `rate-limiting`, `rate-limiting-advanced` and `request-size-limiting`.

use super::super::schema::{Flag, flag, is_field_name, tell};
use super::super::{Lowering, code};
use crate::Cursor;
use ringwall_gateway::Compatibility;
use ringwall_gateway::plugin::rate_limiting::{LimitBy, OnFailure, RateLimiting};
use ringwall_gateway::plugin::request_size_limiting::RequestSizeLimiting;
use ringwall_model::{Budget, Severity, Window};

/// The windows of `rate-limiting`, shortest first.
const WINDOWS: [(&str, Window); 6] = [
    ("second", Window::Second),
    ("minute", Window::Minute),
    ("hour", Window::Hour),
    ("day", Window::Day),
    ("month", Window::Month),
    ("year", Window::Year),
];

/// `rate-limiting`
pub fn plain(at: Cursor<'_>, lowering: &Lowering<'_, '_>) -> RateLimiting {
    let mut budgets: Vec<Budget> = Vec::new();
    let mut before: Option<(&str, f64)> = None;
    for (name, window) in WINDOWS {
        let field = at.get(name);
        let Some(number) = field.number() else { continue };
        if number <= 0.0 {
            let title = format!("Kong refuses this: `config.{name}: value must be greater than 0`");
            tell(field, code::SCHEMA, Severity::Error, title, "");
        }
        if let Some((shorter, limit)) = before.filter(|(_, limit)| *limit > number) {
            let title = format!(
                "Kong refuses this: `config: The limit for {name}({number}.0) cannot be lower than the limit for {shorter}({limit}.0)`"
            );
            tell(field, code::SCHEMA, Severity::Error, title, "");
        }
        before = Some((name, number));
        // A limit that could not be read lets nothing through.
        budgets.push(Budget { limit: number.max(0.0) as u64, window });
    }
    if budgets.is_empty() {
        let all = "'second', 'minute', 'hour', 'day', 'month', 'year'";
        let title = format!("Kong refuses this: `config: at least one of these fields must be non-empty: {all}`");
        tell(at, code::SCHEMA, Severity::Error, title, "");
        budgets.push(Budget { limit: 0, window: Window::Second });
    }
    policy(at, lowering);
    let tolerant = at.get("fault_tolerant");
    // Kong's default is to let calls pass; here that must be written, or Kong's ways asked for.
    let default = if lowering.compatibility() == Compatibility::Kong { Flag::On } else { Flag::Off };
    let on_failure = if flag(tolerant, default).is_on() { OnFailure::Pass } else { OnFailure::Refuse };
    if tolerant.flag() == Some(true) {
        let title = "`fault_tolerant`: calls pass uncounted when the store fails";
        tell(
            tolerant,
            code::LIMIT_TOLERANT,
            Severity::Note,
            title,
            "counters here are in memory, and fail only when they are full; write `fault_tolerant: false` to refuse then",
        );
    }
    RateLimiting {
        budgets,
        limit_by: limit_by(at.get("limit_by"), at),
        hide_client_headers: flag(at.get("hide_client_headers"), Flag::Off).is_on(),
        error_code: error_code(at),
        error_message: at.get("error_message").string().unwrap_or("API rate limit exceeded").into(),
        on_failure,
    }
}

fn policy(at: Cursor<'_>, lowering: &Lowering<'_, '_>) {
    let policy = at.get("policy");
    match policy.enumeration(&[("local", "local"), ("cluster", "cluster"), ("redis", "redis")]) {
        Some("cluster") => {
            let title = "Kong refuses this in a declarative file: `config.policy: expected one of: local, redis`";
            let help = "counts are exact and of this process here; write `policy: local`";
            tell(policy, code::LIMIT_POLICY, lowering.refused_by_kong(), title, help);
        }
        Some("redis") => {
            let title = "counts are kept in this process, not in Redis";
            tell(policy, code::LIMIT_POLICY, Severity::Warning, title, "each replica counts for itself");
        }
        _ => {}
    }
    for name in [
        "redis",
        "redis_host",
        "redis_port",
        "redis_password",
        "redis_username",
        "redis_ssl",
        "redis_ssl_verify",
        "redis_server_name",
        "redis_timeout",
        "redis_database",
        "sync_rate",
    ] {
        at.ignored(name, "counts are kept in this process");
    }
}

fn error_code(at: Cursor<'_>) -> u16 {
    at.get("error_code").integer(400..=599).and_then(|code| u16::try_from(code).ok()).unwrap_or(429)
}

fn limit_by(kind: Cursor<'_>, at: Cursor<'_>) -> LimitBy {
    let (header, path) = (at.get("header_name"), at.get("path"));
    match kind.string() {
        None | Some("consumer" | "consumer-group") => LimitBy::Consumer,
        Some("credential") => LimitBy::Credential,
        Some("ip") => LimitBy::Ip,
        Some("service") => LimitBy::Service,
        Some("header") => {
            let name = header.required().string().unwrap_or_default();
            if !is_field_name(name) {
                tell(
                    kind,
                    code::SCHEMA,
                    Severity::Error,
                    "Kong refuses this: `config.header_name: required field missing`",
                    "",
                );
            }
            LimitBy::Header(name.into())
        }
        Some("path") => LimitBy::Path(path.required().string().unwrap_or_default().into()),
        Some(_) => {
            let all = "consumer, credential, ip, service, header, path, consumer-group";
            let title = format!("Kong refuses this: `config.{}: expected one of: {all}`", kind.name());
            tell(kind, code::SCHEMA, Severity::Error, title, "");
            LimitBy::Ip
        }
    }
}

/// `rate-limiting-advanced`: pairs of limits and windows that all hold.
pub fn advanced(at: Cursor<'_>) -> RateLimiting {
    let whole = |name: &'static str| -> Vec<u64> {
        let items = at.get(name).items().filter_map(|item| item.number());
        items.map(|number| if number >= 1.0 { number as u64 } else { 0 }).collect()
    };
    let (limits, windows) = (whole("limit"), whole("window_size"));
    if limits.is_empty() || limits.len() != windows.len() || windows.contains(&0) {
        let title = "Kong refuses this: `config: You must provide the same number of windows and limits`";
        tell(at, code::SCHEMA, Severity::Error, title, "");
    }
    let fixed = at.get("window_type").enumeration(&[("sliding", false), ("fixed", true)]) == Some(true);
    let budget = |(limit, seconds): (&u64, &u64)| {
        let window = match (fixed, seconds) {
            (true, 1) => Window::Second,
            (true, 60) => Window::Minute,
            (true, 3600) => Window::Hour,
            (true, 86_400) => Window::Day,
            _ => Window::Sliding(u32::try_from(*seconds).unwrap_or(u32::MAX)),
        };
        Budget { limit: *limit, window }
    };
    let mut budgets: Vec<Budget> = limits.iter().zip(&windows).map(budget).collect();
    if budgets.is_empty() {
        budgets.push(Budget { limit: 0, window: Window::Second });
    }
    let odd = fixed && windows.iter().any(|seconds| ![1, 60, 3600, 86_400].contains(seconds));
    if odd {
        let title = "a fixed window of this length is counted as a sliding one, which lets no more calls through";
        tell(at.get("window_size"), code::LIMIT_POLICY, Severity::Note, title, "");
    }
    for name in [
        "strategy",
        "sync_rate",
        "redis",
        "dictionary_name",
        "namespace",
        "consumer_groups",
        "enforce_consumer_groups",
        "disable_penalty",
        "retry_after_jitter_max",
        "lock_dictionary_name",
    ] {
        at.ignored(name, "counts are kept in this process, exactly");
    }
    RateLimiting {
        budgets,
        limit_by: limit_by(at.get("identifier"), at),
        hide_client_headers: flag(at.get("hide_client_headers"), Flag::Off).is_on(),
        error_code: error_code(at),
        error_message: at.get("error_message").string().unwrap_or("API rate limit exceeded").into(),
        on_failure: OnFailure::Refuse,
    }
}

/// `request-size-limiting`
pub fn size(at: Cursor<'_>) -> RequestSizeLimiting {
    let units = [("megabytes", 1_048_576_u64), ("kilobytes", 1024), ("bytes", 1)];
    let unit = at.get("size_unit").enumeration(&units).unwrap_or(1_048_576);
    let allowed = at.get("allowed_payload_size");
    // A size that cannot be read allows nothing.
    let size = match (allowed.is_present(), allowed.integer(0..=i64::from(u32::MAX))) {
        (_, Some(size)) => u64::try_from(size).unwrap_or_default(),
        (true, None) => 0,
        (false, None) => 128,
    };
    let require = flag(at.get("require_content_length"), Flag::Off);
    RequestSizeLimiting { allowed: size.saturating_mul(unit), require_content_length: require.is_on() }
}
