//! The web application firewall of a World: a compiled rule set, and the names of its rules in the World's book.
//!
//! In: a loaded rule set. Out: [`Firewall`]. Never: rule files; the shell reads them and says where they came from.

use super::World;
use ringwall_model::{Reason, RuleId};
use ringwall_waf::{Profile, Report, Settings, Waf};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest request body that is judged, in bytes; a longer one is refused at this layer with 413.
pub const BODY_LIMIT: usize = 2 << 20;

/// A rule set in force.
#[derive(Clone)]
pub struct Firewall {
    /// The compiled rules.
    pub waf: Arc<Waf>,
    /// What holds beside them.
    pub profile: Arc<Profile>,
    /// What it is, for the first screen: `OWASP_CRS/4.28.0, 695 rules`.
    pub title: Arc<str>,
    names: BTreeMap<u64, RuleId>,
}

impl std::fmt::Debug for Firewall {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Firewall").field("title", &self.title).finish_non_exhaustive()
    }
}

impl Firewall {
    /// The rule that a refusal is named by: of those that matched the one that added most to the score, since a rule set
    /// that counts refuses by the sum; else the one that refused.
    pub fn reason(&self, report: &Report) -> Reason {
        let heaviest = report.matched.iter().filter(|one| one.score > 0).max_by_key(|one| one.score);
        let first = heaviest.and_then(|top| report.matched.iter().find(|one| one.score == top.score));
        let named = first.map(|one| one.id).or_else(|| report.interruption.as_ref().map(|by| by.rule));
        let rule = named.and_then(|id| self.names.get(&id));
        rule.map_or(Reason::Builtin("waf/limit"), |id| Reason::Rule(*id))
    }
}

impl World {
    /// Puts a rule set in force in this World.
    ///
    /// # Errors
    /// A sentence, when what holds beside the rules cannot be read.
    pub fn arm(&mut self, waf: Arc<Waf>, title: &str) -> Result<(), String> {
        let profile = waf.profile(Settings { request_limit: Some(BODY_LIMIT), ..Settings::default() })?;
        let mut names = BTreeMap::new();
        for (id, ..) in waf.list() {
            names.entry(id).or_insert_with(|| self.rules.enter("SecRule", "", &id.to_string(), "", None));
        }
        self.firewall = Some(Firewall { waf, profile, title: title.into(), names });
        Ok(())
    }
}
