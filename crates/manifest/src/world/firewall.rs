//! The web application firewall of a World: a compiled rule set, the policies that say what it does for which calls, and
//! the names of its rules in the World's book.
//!
//! In: a loaded [`RuleSet`], the World's WafPolicies. Out: [`Firewall`], which chooses a [`Guard`] for each call. Never:
//! rule files from anywhere; the shell reads them and says where they came from.

mod rule_set;

pub use rule_set::RuleSet;

use super::World;
use crate::ringwall::code;
use crate::ringwall::waf_policy::{Api, Subject, Targets, Unread, WafPolicy, What, Written};
use ringwall_model::{DocumentId, Finding, Place, Reason, RuleId, Severity, Timestamp};
use ringwall_waf::bot::Bots;
use ringwall_waf::{Access, Collections, Engine, LoadError, Profile, Report, Settings, Waf};
use rule_set::{AFTER, BEFORE};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest request body that is judged where no policy says otherwise, in bytes; a longer one is refused with 413.
pub const BODY_LIMIT: usize = 2 << 20;
/// The longest response body that is judged where responses are looked at and no policy says otherwise.
pub const RESPONSE_LIMIT: usize = 512 << 10;

/// Where rules read the signs of programs.
const READ: [&str; 3] = ["ringwall_bot_score", "ringwall_bot_signs", "ringwall_bot_crawler"];

/// A rule set in force.
#[derive(Clone, Debug)]
pub struct Firewall {
    /// What it is, for the first screen: `OWASP_CRS/4.28.0, 695 rules`.
    pub title: Arc<str>,
    /// For calls that no policy is for.
    default: Arc<Guard>,
    policies: Vec<(Targets, Arc<Guard>)>,
}

/// What the firewall does for the calls of one policy.
pub struct Guard {
    /// The compiled rules.
    pub waf: Arc<Waf>,
    /// What holds beside them.
    pub profile: Arc<Profile>,
    /// The policy; `None` where none is for the call.
    pub policy: Option<RuleId>,
    /// Whether rules are asked at all.
    pub engine: Engine,
    /// What the API declares; nothing else passes.
    pub api: Option<Arc<Api>>,
    /// Crawlers that are believed; `None`: no rule reads what the signs of programs add up to.
    pub bots: Option<Arc<Bots>>,
    /// What rules keep beyond one call (`initcol`). Outlives Worlds.
    pub collections: Arc<Collections>,
    /// The longest request body that is judged, in bytes.
    pub request_limit: usize,
    /// The longest response body that is judged, in bytes.
    pub response_limit: usize,
    /// What becomes of what cannot be read.
    pub unread: Unread,
    /// Whether bodies of requests are looked at.
    pub requests: Access,
    /// Whether bodies of responses are.
    pub responses: Access,
    names: Arc<BTreeMap<u64, RuleId>>,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Guard").field("policy", &self.policy).field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl Firewall {
    /// What is in force for a call: the policy with the narrowest target, the first by name of several.
    pub fn guard(&self, subject: &Subject<'_>) -> &Arc<Guard> {
        let fitting = self.policies.iter().filter_map(|(targets, guard)| Some((targets.fit(subject)?, guard)));
        let narrowest = fitting.reduce(|held, next| if next.0 > held.0 { next } else { held });
        narrowest.map_or(&self.default, |(_, guard)| guard)
    }
}

impl Guard {
    /// The rule that a refusal is named by: of those that matched the one that added most to the score, since a rule set
    /// that counts refuses by the sum; else the one that refused, else the first that matched.
    pub fn reason(&self, report: &Report) -> Reason {
        let by = report.interruption.as_ref();
        if let Some(limit) = by.filter(|by| by.rule == 0) {
            return Reason::Builtin(match limit.status {
                400 => "waf/broken-content-coding",
                415 => "waf/unknown-content-coding",
                500 => "waf/response-too-long",
                _ => "waf/request-too-long",
            });
        }
        let heaviest = report.matched.iter().filter(|one| one.score > 0).max_by_key(|one| one.score);
        let first = heaviest.and_then(|top| report.matched.iter().find(|one| one.score == top.score));
        let named = first.map(|one| one.id).or_else(|| by.map(|by| by.rule));
        let named = named.or_else(|| report.matched.first().map(|one| one.id));
        let rule = named.and_then(|id| self.names.get(&id));
        rule.map_or(Reason::Builtin("waf/unnamed-rule"), |id| Reason::Rule(*id))
    }

    /// Why a call passes: its policy, or that none is for it.
    pub fn passes(&self) -> Reason {
        self.policy.map_or(Reason::NoRuleApplies, Reason::Rule)
    }
}

impl World {
    /// Puts a rule set in force in this World, with what its policies say beside it. An error among the findings means
    /// that the World must not be taken; then it has no firewall.
    pub fn arm(&mut self, set: &RuleSet) -> Vec<Finding> {
        let mut names = BTreeMap::new();
        for (id, ..) in set.waf.list() {
            names.entry(id).or_insert_with(|| self.rules.enter("SecRule", "", &id.to_string(), "", None));
        }
        let names = Arc::new(names);
        let mut findings = Vec::new();
        let mut policies = Vec::new();
        for policy in std::mem::take(&mut self.waf_policies) {
            match self.guard(set, &policy, &names) {
                Ok((guard, said)) => {
                    findings.extend(said);
                    policies.push((policy.targets.clone(), Arc::new(guard)));
                }
                Err(errors) => findings.extend(errors),
            }
            self.waf_policies.push(policy);
        }
        match prepare(set, &set.waf, &Settings::default(), names) {
            Ok(guard) if super::may_be_taken(&findings) => {
                self.firewall = Some(Firewall { title: set.title.clone(), default: Arc::new(guard), policies });
            }
            Ok(_) => {}
            // Settings that name nothing are always read.
            Err(why) => {
                findings.push(Finding::new(code::WAF_SECLANG, Severity::Error, Place::value(DocumentId(0), ""), why))
            }
        }
        findings
    }

    fn guard(
        &mut self,
        set: &RuleSet,
        policy: &WafPolicy,
        names: &Arc<BTreeMap<u64, RuleId>>,
    ) -> Result<(Guard, Vec<Finding>), Vec<Finding>> {
        let place = |what: fn(&What) -> bool| {
            policy.written.iter().find(|written| what(&written.what)).map(|written| written.place.clone())
        };
        let whole = || policy.place.clone();
        let before = place(|what| matches!(what, What::Before)).unwrap_or_else(whole);
        let after = place(|what| matches!(what, What::After)).unwrap_or_else(whole);
        let loaded = set.with(&policy.made, &policy.own);
        let waf = loaded.map_err(|errors| {
            let at = |error: &LoadError| match &*error.file {
                BEFORE => before.clone(),
                AFTER => after.clone(),
                _ => whole(),
            };
            errors.iter().map(|error| wrong(error, at(error), &set.title)).collect::<Vec<_>>()
        })?;
        let mut own = BTreeMap::clone(names);
        for (id, _, _, file, _) in waf.list() {
            let place = match file {
                BEFORE => Some(before.clone()),
                AFTER => Some(after.clone()),
                _ => None,
            };
            own.entry(id).or_insert_with(|| self.rules.enter("SecRule", "", &id.to_string(), "", place));
        }
        let names = if own.len() == names.len() { names.clone() } else { Arc::new(own) };
        let findings = policy.written.iter().filter_map(|written| idle(written, &waf, &set.title)).collect();
        let guard = prepare(set, &waf, &policy.settings, names)
            .map_err(|why| vec![Finding::new(code::WAF_SECLANG, Severity::Error, whole(), why)])?;
        let bots = guard.bots.is_some().then(|| policy.bots.clone());
        let (api, unread) = (policy.api.clone(), policy.unread);
        Ok((Guard { policy: Some(policy.rule), api, bots, unread, ..guard }, findings))
    }
}

fn prepare(
    set: &RuleSet,
    waf: &Arc<Waf>,
    settings: &Settings,
    names: Arc<BTreeMap<u64, RuleId>>,
) -> Result<Guard, String> {
    let request_limit = settings.request_limit.unwrap_or(BODY_LIMIT);
    let response_limit = settings.response_limit.unwrap_or(RESPONSE_LIMIT);
    let settings =
        Settings { request_limit: Some(request_limit), response_limit: Some(response_limit), ..settings.clone() };
    let engine = settings.engine.unwrap_or(Engine::On);
    let profile = waf.profile(settings)?;
    let fresh = waf.begin(&profile, Timestamp(0));
    let looks = |looks: bool| if looks { Access::On } else { Access::Off };
    let (requests, responses) = (looks(fresh.wants_request_body()), looks(fresh.wants_events()));
    Ok(Guard {
        profile,
        policy: None,
        engine,
        api: None,
        bots: READ.iter().any(|name| waf.names_variable(name)).then(Arc::default),
        collections: Arc::clone(&set.collections),
        request_limit,
        response_limit,
        unread: Unread::default(),
        requests,
        responses,
        names,
        waf: Arc::clone(waf),
    })
}

/// An error of rule files as a finding at the text that says it.
fn wrong(error: &LoadError, place: Place, set: &str) -> Finding {
    let title = format!("line {}, column {}: {}", error.line, error.column, error.message);
    let finding = Finding::new(code::WAF_SECLANG, Severity::Error, place, title);
    match error.help {
        Some(help) => finding.help(help),
        None => finding.help(format!("it is compiled together with {set}; the line at fault: {}", error.excerpt)),
    }
}

/// What a policy says and the set does not know.
fn idle(written: &Written, waf: &Waf, set: &str) -> Option<Finding> {
    let (code, title) = match &written.what {
        What::Variables(names) if !names.iter().any(|name| waf.names_variable(name)) => {
            (code::WAF_NO_EFFECT, format!("no rule of the set in force reads it ({set})"))
        }
        What::Ids(ids) if !waf.list().any(|(id, ..)| ids.holds(id)) => {
            let ids = if ids.from == ids.to { ids.from.to_string() } else { format!("{}-{}", ids.from, ids.to) };
            (code::WAF_EXCLUDES_NOTHING, format!("the set in force has no rule {ids} ({set})"))
        }
        What::Tag(tag) if !waf.list().any(|(_, tags, ..)| tags.iter().any(|it| **it == **tag)) => {
            (code::WAF_EXCLUDES_NOTHING, format!("no rule of the set in force bears the tag `{tag}` ({set})"))
        }
        _ => return None,
    };
    Some(Finding::new(code, Severity::Note, written.place.clone(), title))
}
