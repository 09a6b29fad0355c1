//! `bot-detection`: which user agents may call.

use super::Outcome;
use crate::reply;
use crate::router::Pattern;
use crate::walk::Walk;

/// Configuration of `bot-detection`.
#[derive(Clone, Debug, Default)]
pub struct BotDetection {
    /// User agents that may call, whatever else is said.
    pub allow: Vec<Pattern>,
    /// User agents that may not.
    pub deny: Vec<Pattern>,
}

/// Programs that call by themselves, by what their user agent begins with or contains, in lower case. Kong has a longer
/// list, made from ua-parser's; this one is our own and names the common ones.
const KNOWN: [&str; 24] = [
    "ahrefsbot",
    "applebot",
    "axios/",
    "baiduspider",
    "bingbot",
    "bytespider",
    "crawler",
    "curl-bot",
    "duckduckbot",
    "facebookexternalhit",
    "go-http-client",
    "googlebot",
    "gptbot",
    "httrack",
    "java/",
    "mj12bot",
    "okhttp",
    "petalbot",
    "python-requests",
    "python-urllib",
    "scrapy",
    "semrushbot",
    "spider",
    "yandexbot",
];

/// More than one user agent: 400. A known bot: 403. None at all passes, as in Kong.
pub fn judge(config: &BotDetection, walk: &mut Walk<'_>) -> Outcome {
    let mut agents = walk.call.fields.all("user-agent");
    let Some(agent) = agents.next() else { return Outcome::Pass };
    if agents.next().is_some() {
        return Outcome::Refuse(reply::message(400, "Bad Request", walk.call.id));
    }
    if config.allow.iter().any(|pattern| pattern.is_in(agent)) {
        return Outcome::Pass;
    }
    let lower = agent.to_ascii_lowercase();
    let is_known = || KNOWN.iter().any(|name| lower.windows(name.len()).any(|part| part == name.as_bytes()));
    if config.deny.iter().any(|pattern| pattern.is_in(agent)) || is_known() {
        return Outcome::Refuse(reply::message(403, "Forbidden", walk.call.id));
    }
    Outcome::Pass
}
