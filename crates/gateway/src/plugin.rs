//! The plugins: their configurations, and the order in which they run.
//!
//! Adding one: a file in `plugin/`, a variant of [`Config`], a line in `ORDER` and one in [`judge`].

pub mod acl;
pub mod basic_auth;
pub mod bot_detection;
pub mod correlation_id;
pub mod cors;
pub mod ip_restriction;
pub mod jwt;
pub mod key_auth;
pub mod oidc;
pub mod rate_limiting;
pub mod request_size_limiting;
pub mod request_termination;
pub mod request_transformer;
pub mod response_transformer;

use crate::entity::{ConsumerIndex, RouteIndex, ServiceIndex};
use crate::reply;
use crate::walk::Walk;
use ringwall_model::{Question, Reply, RuleId};

/// Index of a plugin in its [`crate::Gateway`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginIndex(pub u32);

/// One configured plugin.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// Its rule: named when it refuses.
    pub rule: RuleId,
    /// [`ringwall_model::RuleName::stable`] of that rule: keys its counters.
    pub stable: u64,
    /// Where it runs.
    pub scope: Scope,
    /// What it does.
    pub config: Config,
}

/// Where a plugin runs; nothing given is everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// On this route.
    pub route: Option<RouteIndex>,
    /// On all routes of this service.
    pub service: Option<ServiceIndex>,
    /// For this consumer.
    pub consumer: Option<ConsumerIndex>,
}

/// What a plugin does.
#[derive(Clone, Debug)]
pub enum Config {
    /// `acl`
    Acl(acl::Acl),
    /// `basic-auth`
    BasicAuth(basic_auth::BasicAuth),
    /// `bot-detection`
    BotDetection(bot_detection::BotDetection),
    /// `correlation-id`
    CorrelationId(correlation_id::CorrelationId),
    /// `cors`
    Cors(cors::Cors),
    /// `ip-restriction`
    IpRestriction(ip_restriction::IpRestriction),
    /// `jwt`
    Jwt(jwt::Jwt),
    /// `key-auth`
    KeyAuth(key_auth::KeyAuth),
    /// `oidc` (community) and `openid-connect`: bearer tokens only.
    Oidc(oidc::Oidc),
    /// `prometheus`: telemetry reads it; it judges nothing.
    Prometheus(Prometheus),
    /// `rate-limiting`
    RateLimiting(rate_limiting::RateLimiting),
    /// `rate-limiting-advanced`
    RateLimitingAdvanced(rate_limiting::RateLimiting),
    /// `request-size-limiting`
    RequestSizeLimiting(request_size_limiting::RequestSizeLimiting),
    /// `request-termination`
    RequestTermination(request_termination::RequestTermination),
    /// `request-transformer`
    RequestTransformer(request_transformer::RequestTransformer),
    /// `response-transformer`
    ResponseTransformer(response_transformer::ResponseTransformer),
    /// A plugin that Ringwall does not have, or whose configuration cannot be read: its routes refuse every call.
    Unknown(Box<str>),
}

/// Which of its metrics `prometheus` gives; all are off unless asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prometheus {
    /// `http_requests_total`
    pub status_code: bool,
    /// The latency histograms.
    pub latency: bool,
    /// `bandwidth_bytes`
    pub bandwidth: bool,
    /// `upstream_target_health`
    pub upstream_health: bool,
    /// The label `consumer`.
    pub per_consumer: bool,
}

/// Plugins with their priorities in Kong, first to run first. An unknown plugin runs before all others, because nothing
/// may happen on its routes.
const ORDER: [(&str, u32); 17] = [
    ("correlation-id", 100_001),
    ("bot-detection", 2500),
    ("cors", 2000),
    ("jwt", 1450),
    ("key-auth", 1250),
    ("basic-auth", 1100),
    ("openid-connect", 1050),
    ("oidc", 1000),
    ("ip-restriction", 990),
    ("request-size-limiting", 951),
    ("acl", 950),
    ("rate-limiting", 910),
    ("rate-limiting-advanced", 909),
    ("request-transformer", 801),
    ("response-transformer", 800),
    ("prometheus", 13),
    ("request-termination", 2),
];

/// Names of the plugins that Ringwall has, in the order in which they run.
pub fn names() -> impl Iterator<Item = &'static str> {
    ORDER.iter().map(|(name, _)| *name)
}

impl Config {
    /// Its name in Kong.
    pub fn name(&self) -> &str {
        match self {
            Self::Acl(_) => "acl",
            Self::BasicAuth(_) => "basic-auth",
            Self::BotDetection(_) => "bot-detection",
            Self::CorrelationId(_) => "correlation-id",
            Self::Cors(_) => "cors",
            Self::IpRestriction(_) => "ip-restriction",
            Self::Jwt(_) => "jwt",
            Self::KeyAuth(_) => "key-auth",
            Self::Oidc(oidc) => oidc.name,
            Self::Prometheus(_) => "prometheus",
            Self::RateLimiting(_) => "rate-limiting",
            Self::RateLimitingAdvanced(_) => "rate-limiting-advanced",
            Self::RequestSizeLimiting(_) => "request-size-limiting",
            Self::RequestTermination(_) => "request-termination",
            Self::RequestTransformer(_) => "request-transformer",
            Self::ResponseTransformer(_) => "response-transformer",
            Self::Unknown(name) => name,
        }
    }

    /// When it runs: higher first, as in Kong.
    pub fn priority(&self) -> u32 {
        if matches!(self, Self::Unknown(_)) {
            return u32::MAX;
        }
        ORDER.iter().find(|(name, _)| *name == self.name()).map_or(0, |(_, priority)| *priority)
    }
}

/// What a plugin says of a call. Edits, takes and the caller go into the [`Walk`].
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The call goes on; this plugin had nothing to object.
    Pass,
    /// The call ends here.
    Refuse(Reply),
    /// An answer is needed first.
    Ask(Question),
}

/// Lets one plugin judge.
pub fn judge(index: PluginIndex, plugin: &Plugin, walk: &mut Walk<'_>) -> Outcome {
    match &plugin.config {
        Config::Acl(config) => acl::judge(config, walk),
        Config::BasicAuth(config) => basic_auth::judge(config, walk),
        Config::BotDetection(config) => bot_detection::judge(config, walk),
        Config::CorrelationId(config) => correlation_id::judge(config, walk),
        Config::Cors(config) => cors::judge(config, walk),
        Config::IpRestriction(config) => ip_restriction::judge(config, walk),
        Config::Jwt(config) => jwt::judge(config, walk),
        Config::KeyAuth(config) => key_auth::judge(config, walk),
        Config::Oidc(config) => oidc::judge(config, walk),
        Config::Prometheus(_) => Outcome::Pass,
        Config::RateLimiting(config) | Config::RateLimitingAdvanced(config) => {
            rate_limiting::judge(index, plugin, config, walk)
        }
        Config::RequestSizeLimiting(config) => request_size_limiting::judge(config, walk),
        Config::RequestTermination(config) => request_termination::judge(config, walk),
        Config::RequestTransformer(config) => request_transformer::judge(config, walk),
        Config::ResponseTransformer(config) => response_transformer::judge(config, walk),
        Config::Unknown(_) => Outcome::Refuse(reply::message(500, "An unexpected error occurred", walk.call.id)),
    }
}
