//! What a transaction has to say: which rules matched and why, and whether it is refused.

use crate::configuration::Engine;
use crate::rule::Rule;
use crate::state::State;
use crate::template::Template;
use crate::text::TextId;
use crate::variable::Variable;
use crate::{Rules, Waf};
use ringwall_model::RuleMatch;

/// A match as the transaction keeps it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Match {
    pub rule: u32,
    pub variable: Option<Variable>,
    pub name: TextId,
    pub value: TextId,
    pub message: TextId,
    pub data: TextId,
    pub score: i64,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interruption {
    /// Status of the answer; 0 for a connection that is closed without one.
    pub status: u16,
    /// Id of the rule; 0 for a limit of the engine, which `message` names.
    pub rule: u64,
    /// Its message.
    pub message: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Where the client is sent, for a redirect.
    pub location: Option<String>,
    /// Phase in which it fell, 1 to 5.
    pub phase: u8,
}

/// All that a transaction has to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The rules that matched, in order, without those that only set variables.
    pub matched: Vec<RuleMatch>,
    /// The refusal; in detection only what would have been one.
    pub interruption: Option<Interruption>,
    /// Inbound and outbound anomaly scores that decide, when the rule set keeps them.
    pub inbound: i64,
    /// Outbound score.
    pub outbound: i64,
}

/// So much of a value is shown.
pub(crate) const SHOWN: usize = 256;
/// So much of the log data and of the message.
pub(crate) const SHOWN_DATA: usize = 4096;

pub(crate) fn render(waf: &Waf, state: &mut State) -> Report {
    let rules = &waf.rules;
    let score = |names: [&str; 2]| {
        let slot = names.iter().find_map(|name| rules.slots.get(*name).copied());
        slot.map_or(0, |slot| state.number_of(state.slot(slot)))
    };
    // CRS 4 and CRS 3.
    let inbound = score(["blocking_inbound_anomaly_score", "anomaly_score"]);
    let outbound = score(["blocking_outbound_anomaly_score", "outbound_anomaly_score"]);
    let matched = state.matches.iter().filter_map(|held| one(rules, state, held)).collect();
    Report { matched, interruption: state.interruption.clone(), inbound, outbound }
}

fn one(rules: &Rules, state: &State, held: &Match) -> Option<RuleMatch> {
    let rule = rules.rules.get(held.rule as usize)?;
    let refuses = state.engine == Engine::On;
    let refused = refuses && state.interruption.as_ref().is_some_and(|by| by.rule == rule.id);
    let text = |id: TextId, limit: usize| {
        let bytes = state.texts.bytes(id);
        String::from_utf8_lossy(bytes.get(..limit).unwrap_or(bytes)).into_owned()
    };
    let name = text(held.name, SHOWN);
    let variable = held.variable.map_or("", Variable::name);
    Some(RuleMatch {
        id: rule.id,
        phase: rule.phase,
        variable: if name.is_empty() { variable.to_owned() } else { format!("{variable}:{name}") },
        value: text(held.value, SHOWN),
        message: text(held.message, SHOWN_DATA),
        data: text(held.data, SHOWN_DATA),
        severity: rule.severity,
        score: held.score,
        tags: tags(rule),
        version: rule.version.to_string(),
        file: rule.file.to_string(),
        line: rule.line,
        logged: rule.log,
        audited: rule.audit,
        refused,
    })
}

/// Tags that hold no macro.
pub(crate) fn tags(rule: &Rule) -> Vec<String> {
    rule.tags.iter().filter_map(Template::fixed).map(str::to_owned).collect()
}
