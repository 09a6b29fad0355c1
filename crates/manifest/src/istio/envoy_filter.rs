//! EnvoyFilter (networking.istio.io/v1alpha3): a fixed set of patches, read as data. Every other one is an error.
//!
//! In: a resource. Out: [`EdgeExtras`] for the rooms that carry such things out, and findings. Never: Lua that runs.
//! Known: connection_limit, a Lua filter that refuses a list of addresses, access_log, local_ratelimit.

mod lua;

use crate::{Cursor, Resource};
use ringwall_mesh::route::code;
use ringwall_model::{Millis, Place, RuleBook, RuleId, Selector, Severity};
use std::net::IpAddr;
use std::sync::Arc;

/// What one EnvoyFilter adds, as data.
#[derive(Clone, Debug)]
pub struct EdgeExtras {
    /// The rule that stands for it.
    pub rule: RuleId,
    /// Namespace; in the root namespace it is for workloads of all.
    pub namespace: Box<str>,
    /// Workloads it is for.
    pub selector: Selector,
    /// What was found in it.
    pub found: Vec<Extra>,
}

/// One thing that a patch adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extra {
    /// At most so many connections; one too many is closed after a delay.
    ConnectionLimit {
        /// Most connections at once.
        most: u64,
        /// Time before a connection too many is closed.
        delay: Option<Millis>,
        /// Whether the patch takes effect in Istio.
        effect: Effect,
        /// Where it stands.
        place: Place,
    },
    /// Addresses that are refused with a status.
    Blocklist {
        /// The addresses.
        addresses: Vec<IpAddr>,
        /// Status of the refusal.
        status: u16,
        /// Body of the refusal.
        body: Box<str>,
        /// Where it stands.
        place: Place,
    },
    /// A further access log, as a JSON object of names and formats.
    AccessLog {
        /// Where it goes.
        path: Arc<str>,
        /// Names and formats in order.
        fields: Vec<(Box<str>, Box<str>)>,
        /// Where it stands.
        place: Place,
    },
    /// A token bucket for each proxy.
    LocalRateLimit {
        /// Most tokens.
        most: u64,
        /// Tokens that come back at a time.
        refill: u64,
        /// The time.
        interval: Millis,
        /// Where it stands.
        place: Place,
    },
}

/// Whether a patch takes effect in Istio. Ringwall carries out what was meant and says that Istio would not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does.
    Matches,
    /// It is relative to a filter that is in no chain of the gateway.
    NeverMatches,
}

/// Lowers one resource.
pub fn lower(resource: &Resource<'_>, rules: &mut RuleBook) -> EdgeExtras {
    let spec = resource.spec();
    spec.ignored("priority", "patches do not depend on each other here");
    let selector = spec.get("workloadSelector").get("labels").labels().unwrap_or_default();
    let found = spec.get("configPatches").required().items().filter_map(patch);
    let found = found.collect();
    EdgeExtras {
        rule: resource.rule(rules, ""),
        namespace: resource.namespace.into(),
        selector: Selector(selector),
        found,
    }
}

fn patch(at: Cursor<'_>) -> Option<Extra> {
    let value = at.get("patch").get("value");
    let name = value.get("name").string();
    let config = value.get("typed_config");
    _ = config.get("@type").string();
    let matching = at.get("match");
    let apply_to = at.get("applyTo").required().filled();
    let operation = at.get("patch").get("operation").filled();
    let relative = relative_to(matching);
    let extra = match name {
        Some("envoy.filters.network.connection_limit") => connection_limit(at, config, relative, operation),
        Some("envoy.filters.http.lua") => lua::blocklist(at, config),
        Some("envoy.filters.http.local_ratelimit") => local_ratelimit(at, config),
        _ if config.get("access_log").is_present() => access_log(at, config),
        _ => None,
    };
    at.set_rest_aside();
    if extra.is_none() {
        let what = name.or(apply_to).unwrap_or("this");
        let title = format!("the patch `{what}` is not one of those that are recognised: it is not enforced");
        let help = "known: connection_limit, a Lua filter that refuses a literal list of addresses, access_log, local_ratelimit";
        at.report(at.finding(code::ENVOY_FILTER, Severity::Error, title).help(help));
    }
    extra
}

/// The filter that the patch is placed relative to.
fn relative_to<'a>(matching: Cursor<'a>) -> Option<&'a str> {
    _ = matching.get("context").string();
    let filter = matching.get("listener").get("filterChain").get("filter");
    let name = filter.get("name").string();
    _ = filter.get("subFilter").get("name").string();
    name
}

fn connection_limit(
    at: Cursor<'_>,
    config: Cursor<'_>,
    relative: Option<&str>,
    operation: Option<&str>,
) -> Option<Extra> {
    _ = config.get("stat_prefix").string();
    let most = config.get_either("max_connections", "maxConnections").proto_integer(1..=i64::MAX)?;
    let delay = config.get("delay").duration();
    let inserted = operation.is_some_and(|operation| operation.starts_with("INSERT_"));
    let effect = match relative {
        Some("envoy.filters.network.tcp_proxy") if inserted => Effect::NeverMatches,
        _ => Effect::Matches,
    };
    if effect == Effect::NeverMatches {
        let title = format!(
            "in Istio there is no limit of {most} connections: a gateway that speaks HTTP has no `tcp_proxy` filter to stand before"
        );
        let help =
            "relate it to `envoy.filters.network.http_connection_manager`, or write a ShieldPolicy (Istio: IST0151)";
        at.report(at.finding(code::ENVOY_FILTER_NO_MATCH, Severity::Warning, title).help(help));
    }
    Some(Extra::ConnectionLimit { most: u64::try_from(most).ok()?, delay, effect, place: at.place() })
}

fn local_ratelimit(at: Cursor<'_>, config: Cursor<'_>) -> Option<Extra> {
    // Either the message itself, or a TypedStruct around it.
    let inner = config.get("value");
    let config = if inner.is_present() { inner } else { config };
    let bucket = config.get_either("token_bucket", "tokenBucket");
    let most = bucket.get_either("max_tokens", "maxTokens").proto_integer(1..=i64::MAX)?;
    let refill = bucket.get_either("tokens_per_fill", "tokensPerFill").proto_integer(1..=i64::MAX).unwrap_or(1);
    let interval = bucket.get_either("fill_interval", "fillInterval").duration()?;
    Some(Extra::LocalRateLimit {
        most: u64::try_from(most).ok()?,
        refill: u64::try_from(refill).ok()?,
        interval,
        place: at.place(),
    })
}

fn access_log(at: Cursor<'_>, config: Cursor<'_>) -> Option<Extra> {
    let logger = config.get("access_log").items().next()?;
    logger.descriptive(&["name"]);
    let file = logger.get("typed_config");
    let path = file.get("path").filled()?;
    let format = file.get("log_format").get("json_format");
    let fields = format.entries().filter_map(|(name, value)| Some((name.into(), value.string()?.into())));
    let fields = fields.collect();
    let title = "MERGE appends to lists: with `accessLogFile` set in the mesh, each call is logged twice";
    at.report(at.finding(code::SECOND_ACCESS_LOG, Severity::Note, title));
    Some(Extra::AccessLog { path: path.into(), fields, place: at.place() })
}
