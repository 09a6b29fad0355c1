//! `spec.bots`: crawlers that are believed by their networks, and the score from which calls are refused.

use super::{WafPolicy, code};
use crate::node::Cursor;
use ringwall_model::Severity;
use ringwall_waf::bot::{Bots, SIGNS};
use std::sync::Arc;

/// Lowers them; the rule that refuses by the score is given back as a line of SecLang.
pub(super) fn lower(at: Cursor<'_>, policy: &mut WafPolicy) -> Option<String> {
    if !at.is_present() {
        return None;
    }
    let mut bots = Bots::default();
    for crawler in at.get("crawlers").items() {
        let name = crawler.get("name").required().filled();
        let agent = crawler.get("userAgent").required().filled();
        let networks = crawler.get("networks").required();
        let blocks: Vec<String> = networks.items().filter_map(|item| Some(item.block()?.to_string())).collect();
        if blocks.is_empty() && networks.is_sound() {
            let title = "no network: whoever names this crawler pretends";
            networks.report(networks.finding(code::WAF_NO_EFFECT, Severity::Warning, title));
        }
        if let (Some(name), Some(agent)) = (name, agent) {
            // Blocks were read as such; the engine reads the same ones.
            if let Err(why) = bots.believe(name, agent, &blocks.join(",")) {
                networks.refuse::<()>(why);
            }
        }
    }
    policy.bots = Arc::new(bots);
    let most = SIGNS.iter().map(|sign| i64::from(sign.points)).sum();
    let score = at.get("refuseAt").integer(1..=most)?;
    Some(format!(
        "SecRule TX:ringwall_bot_score \"@ge {score}\" \"id:9990500,phase:1,deny,status:403,log,t:none,\\\n  \
         msg:'Signs of a program: %{{tx.ringwall_bot_signs}}',logdata:'score %{{MATCHED_VAR}}',tag:'ringwall/bot'\"\n"
    ))
}
