//! `WafPolicy`: what the web application firewall does for some calls, beside the rule set in force.
//!
//! ```yaml
//! apiVersion: ringwall.dev/v1
//! kind: WafPolicy
//! metadata: { name: chat, namespace: gateway }
//! spec:
//!   # Absent: all calls at workloads of this namespace; in the root namespace at all workloads. All that is given must
//!   # fit; of the three lists of routes one entry is enough. Of several policies the one with the narrowest target is in
//!   # force, alone: route before service, service before host, host before workload, workload before namespace.
//!   targets:
//!     selector: { matchLabels: { app: kong } }
//!     hosts: [api.example.com, "*.example.com"]
//!     kongRoutes: [chat]
//!     kongServices: [llm]
//!     virtualServices: [{ name: api, namespace: istio-system, route: chat }]     # route absent: all of its routes
//!   mode: block                              # "off" (in quotes: YAML 1.1 reads a truth value) | detect | block
//!   paranoia: { blocking: 1, detection: 2 }  # 1 to 4
//!   thresholds: { inbound: 5, outbound: 4 }
//!   presets: [llm]                           # llm | graphql | json | strict
//!   exclusions:
//!   - rules: ["942100", 942110-942199]       # ids and ranges
//!     tags: [attack-rce]
//!     targets: ["ARGS:json.prompt"]          # absent: the rules are left out as a whole
//!   requestBody: { inspect: true, limit: 2Mi, beyond: refuse, unreadable: refuse }   # both: refuse | pass
//!   responseBody: { inspect: true, limit: 512Ki, beyond: refuse, unreadable: refuse, types: [application/json] }
//!   webSocket: { binary: judge }             # judge | refuse | pass: messages that are not text, from either side
//!   openapi: { openapi: 3.1.0, paths: {} }   # the API's own document, written out: what it does not declare is refused
//!   bots:                                    # signs of programs; rules read `TX:ringwall_bot_score` (docs/layers/waf.md)
//!     crawlers: [{ name: Example, userAgent: examplebot, networks: [192.0.2.0/24] }]
//!     refuseAt: 60                           # absent: only rules of yours refuse by the score
//!   secLang:
//!     before: |                              # before the first rule of the set
//!       SecRule REQUEST_URI "@beginsWith /internal/" "id:10001,phase:1,deny,status:404,msg:'Not for the outside'"
//!     after: |                               # after the last one
//!       SecRuleUpdateTargetById 942100 "!ARGS:/^json\.notes\./"
//! ```
//!
//! What is wrong in an exclusion excludes nothing; every error keeps the whole World out. `secLang` is compiled with the
//! rule set in force when the World is made: what it says wrong is an error at its text.

mod body;
mod bots;
mod exclusion;
mod openapi;
mod review;
mod targets;
#[cfg(test)]
mod tests;
mod unread;

pub use openapi::Api;
pub use review::review;
pub use targets::{Fit, Subject, Targets};
pub use unread::{Binary, Unread, Unreadable};

use super::code;
use crate::node::Cursor;
use crate::resource::Resource;
use ringwall_model::{Inventory, Place, RuleBook, RuleId, Severity};
use ringwall_waf::bot::Bots;
use ringwall_waf::{Engine, Preset, Settings};
use std::sync::Arc;

/// One WafPolicy, lowered; in force once the shell has armed the World with a rule set.
#[derive(Clone, Debug)]
pub struct WafPolicy {
    /// The policy as a whole.
    pub rule: RuleId,
    /// Where it stands.
    pub place: Place,
    /// `namespace/name`.
    pub name: Box<str>,
    /// Which calls it is for.
    pub targets: Targets,
    /// What it sets beside the rule set.
    pub settings: Settings,
    /// What the API of these calls declares; nothing else passes.
    pub api: Option<Arc<Api>>,
    /// Crawlers that are believed.
    pub bots: Arc<Bots>,
    /// What becomes of what cannot be read.
    pub unread: Unread,
    /// Rules of presets and exclusions that are compiled into the set.
    pub made: Files,
    /// Rules that the policy itself writes out.
    pub own: Files,
    /// Where the parts stand that only the rule set in force can judge.
    pub written: Vec<Written>,
}

/// Rule files of a policy; its rules are compiled together with the set in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Files {
    /// Before the first rule of the set.
    pub before: Option<Box<str>>,
    /// After the last one.
    pub after: Option<Box<str>>,
}

/// A part of a policy that means something only beside a rule set.
#[derive(Clone, Debug)]
pub struct Written {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub what: What,
}

/// What a policy has to say of a rule set.
#[derive(Clone, Debug)]
pub enum What {
    /// Members of `TX` of which the set must name one, or the setting has no effect.
    Variables(&'static [&'static str]),
    /// Ids, of which one must be in the set.
    Ids(ringwall_waf::Interval),
    /// A tag that some rule must bear.
    Tag(Box<str>),
    /// [`Files::before`] of its own rules.
    Before,
    /// [`Files::after`] of its own rules.
    After,
}

/// Lowers one WafPolicy.
pub fn lower(resource: &Resource<'_>, inventory: &Inventory, rules: &mut RuleBook) -> WafPolicy {
    let spec = resource.spec().required();
    let mut policy = WafPolicy {
        rule: resource.rule(rules, ""),
        place: resource.place(),
        name: format!("{}/{}", resource.namespace, resource.name).into(),
        targets: targets::lower(resource, spec.get("targets"), inventory),
        settings: Settings { engine: Some(mode(spec.get("mode"))), ..Settings::default() },
        api: None,
        bots: Arc::default(),
        unread: Unread::default(),
        made: Files::default(),
        own: Files::default(),
        written: Vec::new(),
    };
    paranoia(spec.get("paranoia"), &mut policy);
    thresholds(spec.get("thresholds"), &mut policy);
    presets(spec.get("presets"), &mut policy);
    let lines = spec.get("exclusions").items().map(|at| exclusion::lower(at, &mut policy)).collect::<String>();
    policy.made.after = (!lines.is_empty()).then(|| lines.into());
    openapi::lower(spec.get("openapi"), resource, rules, &mut policy);
    if let Some(line) = bots::lower(spec.get("bots"), &mut policy) {
        let before = policy.made.before.as_deref().unwrap_or_default();
        policy.made.before = Some(format!("{before}\n{line}").into());
    }
    body::request(spec.get("requestBody"), &mut policy.settings);
    body::response(spec.get("responseBody"), &mut policy.settings);
    unread::lower(spec, resource, rules, &mut policy);
    let rules = spec.get("secLang");
    policy.own.before = rules.get("before").filled().map(Into::into);
    policy.own.after = rules.get("after").filled().map(Into::into);
    for (at, what) in [(rules.get("before"), What::Before), (rules.get("after"), What::After)] {
        if at.is_present() {
            policy.written.push(Written { place: at.place(), what });
        }
    }
    policy
}

const MODES: [(&str, Engine); 3] = [("off", Engine::Off), ("detect", Engine::DetectionOnly), ("block", Engine::On)];

/// Absent or wrong: it blocks.
fn mode(at: Cursor<'_>) -> Engine {
    let mode = at.enumeration(&MODES).unwrap_or(Engine::On);
    let title = match mode {
        Engine::On => return mode,
        Engine::DetectionOnly => "the firewall writes down what it would refuse here, and refuses nothing",
        Engine::Off => "the firewall looks at none of these calls",
    };
    at.report(at.finding(code::WAF_REFUSES_NOTHING, Severity::Warning, title));
    mode
}

fn paranoia(at: Cursor<'_>, policy: &mut WafPolicy) {
    // CRS 4 and CRS 3.
    const BLOCKING: &[&str] = &["blocking_paranoia_level", "paranoia_level"];
    const DETECTION: &[&str] = &["detection_paranoia_level", "executing_paranoia_level"];
    let (blocking, detection) = (at.get("blocking"), at.get("detection"));
    let level = blocking.integer(1..=4);
    pin(blocking, level, BLOCKING, policy);
    pin(detection, detection.integer(1..=4).or(level), DETECTION, policy);
    if let (Some(blocks), Some(detects)) = (level, detection.integer(1..=4))
        && detects < blocks
    {
        let title = format!("detection at level {detects} is below blocking at {blocks}: those rules never run");
        detection.report(detection.finding(code::WAF_NO_EFFECT, Severity::Error, title));
    }
}

fn thresholds(at: Cursor<'_>, policy: &mut WafPolicy) {
    const INBOUND: &[&str] = &["inbound_anomaly_score_threshold"];
    const OUTBOUND: &[&str] = &["outbound_anomaly_score_threshold"];
    for (at, names) in [(at.get("inbound"), INBOUND), (at.get("outbound"), OUTBOUND)] {
        pin(at, at.integer(1..=1_000_000), names, policy);
    }
}

/// Holds members of `TX` at a value that no rule changes.
fn pin(at: Cursor<'_>, value: Option<i64>, names: &'static [&'static str], policy: &mut WafPolicy) {
    let Some(value) = value else { return };
    policy.settings.variables.extend(names.iter().map(|name| (Box::from(*name), value)));
    if at.is_present() {
        policy.written.push(Written { place: at.place(), what: What::Variables(names) });
    }
}

const PRESETS: [(&str, Preset); 4] =
    [("llm", Preset::Prompts), ("graphql", Preset::GraphQl), ("json", Preset::JsonApi), ("strict", Preset::Strict)];

fn presets(at: Cursor<'_>, policy: &mut WafPolicy) {
    let mut chosen: Vec<Preset> = at.items().filter_map(|item| item.enumeration(&PRESETS)).collect();
    // The order in which they are compiled is ours; each is there once.
    let place = |preset: &Preset| PRESETS.iter().position(|(_, known)| known == preset);
    chosen.sort_by_key(place);
    chosen.dedup();
    let texts: Vec<&str> = chosen.into_iter().map(Preset::text).collect();
    policy.made.before = (!texts.is_empty()).then(|| texts.join("\n").into());
}
