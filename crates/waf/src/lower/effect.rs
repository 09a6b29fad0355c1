//! Actions that change something when a link matches: `setvar`, `ctl`, `initcol` and their kind.

use super::Treatment::{self, Ignored, Rejected, Supported};
use super::draft::{LinkDraft, intervals};
use super::{Lowering, directive, link};
use crate::body::Processor;
use crate::rule::{Amount, Change, Control, Effect, Name};
use crate::seclang::LoadError;
use crate::seclang::action::Act;
use crate::template::{Key, Piece, Template};
use crate::variable::Variable;
use std::sync::Arc;

/// Every action of the reference manual v3 and what becomes of it, sorted without regard to case.
pub(crate) const ACTIONS: &[(&str, Treatment)] = &[
    ("accuracy", Supported),
    ("allow", Supported),
    ("append", Rejected("bodies are not rewritten")),
    ("auditlog", Supported),
    ("block", Supported),
    ("capture", Supported),
    ("chain", Supported),
    ("ctl", Supported),
    ("deny", Supported),
    ("deprecatevar", Supported),
    ("drop", Supported),
    ("exec", Ignored("it would run a program; Ringwall runs none, takes the rule without it, and warns")),
    ("expirevar", Supported),
    ("id", Supported),
    ("initcol", Supported),
    ("log", Supported),
    ("logdata", Supported),
    ("maturity", Supported),
    ("msg", Supported),
    ("multiMatch", Supported),
    ("noauditlog", Supported),
    ("nolog", Supported),
    ("pass", Supported),
    ("pause", Ignored("a request is not held back")),
    ("phase", Supported),
    ("prepend", Rejected("bodies are not rewritten")),
    ("proxy", Rejected("where a request goes is the router's")),
    ("redirect", Supported),
    ("rev", Supported),
    ("sanitiseArg", Supported),
    ("sanitiseMatched", Supported),
    ("sanitiseMatchedBytes", Supported),
    ("sanitiseRequestHeader", Supported),
    ("sanitiseResponseHeader", Supported),
    ("sanitizeArg", Supported),
    ("sanitizeMatched", Supported),
    ("sanitizeMatchedBytes", Supported),
    ("sanitizeRequestHeader", Supported),
    ("sanitizeResponseHeader", Supported),
    ("setenv", Supported),
    ("setsid", Supported),
    ("setuid", Supported),
    ("setvar", Supported),
    ("severity", Supported),
    ("skip", Supported),
    ("skipAfter", Supported),
    ("status", Supported),
    ("t", Supported),
    ("tag", Supported),
    ("ver", Supported),
    ("xmlns", Supported),
];

/// Every `ctl` of the reference manual v3 and what becomes of it, sorted.
pub(crate) const CONTROLS: &[(&str, Treatment)] = &[
    ("auditEngine", Supported),
    ("auditLogParts", Ignored("the parts of a record are those of the rule files")),
    ("debugLogLevel", Ignored("use `explain`")),
    ("forceRequestBodyVariable", Supported),
    ("hashEnforcement", Ignored("link signing is not part of Ringwall")),
    ("hashEngine", Ignored("link signing is not part of Ringwall")),
    ("parseXmlIntoArgs", Ignored("XML is looked at as `XML`, not as arguments")),
    ("requestBodyAccess", Supported),
    ("requestBodyLimit", Ignored("the limit is the policy's; a body is taken before rules could change it")),
    ("requestBodyProcessor", Supported),
    ("responseBodyAccess", Supported),
    ("responseBodyLimit", Ignored("the limit is the policy's")),
    ("ruleEngine", Supported),
    ("ruleRemoveById", Supported),
    ("ruleRemoveByMsg", Supported),
    ("ruleRemoveByTag", Supported),
    ("ruleRemoveTargetById", Supported),
    ("ruleRemoveTargetByMsg", Supported),
    ("ruleRemoveTargetByTag", Supported),
];

/// Reads an action that changes something.
pub(super) fn read(
    lowering: &mut Lowering<'_>,
    link: &LinkDraft,
    argument: usize,
    act: &Act,
) -> Result<Option<Effect>, LoadError> {
    let fault = |what: String| link.directive.error(argument, act.at, what);
    let value = act.value.as_str();
    let mut template = |text: &str| lowering.template(&link.directive, argument, act.at, text);
    Ok(Some(match act.name.as_str() {
        "setvar" => return set(lowering, link, argument, act).map(Some),
        "ctl" => return control(lowering, value).map(Some).map_err(fault),
        "initcol" => {
            let (name, key) = value.split_once('=').ok_or_else(|| fault("expected `collection=key`".into()))?;
            Effect::Open(persistent(name).map_err(fault)?, template(key)?)
        }
        "setsid" => Effect::Open(Variable::Session, template(value)?),
        "setuid" => Effect::Open(Variable::User, template(value)?),
        "expirevar" => {
            let (name, seconds) = value.split_once('=').ok_or_else(|| fault("expected `name=seconds`".into()))?;
            let seconds = template(seconds)?;
            let (collection, name) = member(lowering, link, argument, act, name)?;
            Effect::Expire(collection, name, seconds)
        }
        "deprecatevar" => {
            let (name, rate) = value.split_once('=').ok_or_else(|| fault("expected `name=amount/seconds`".into()))?;
            let parsed = rate.split_once('/').and_then(|(by, per)| Some((by.parse().ok()?, per.parse().ok()?)));
            let (by, per): (i64, u64) = parsed.ok_or_else(|| fault("expected `name=amount/seconds`".into()))?;
            let (collection, name) = member(lowering, link, argument, act, name)?;
            Effect::Deprecate(collection, name, by, per)
        }
        "setenv" => {
            let (name, value) = value.split_once('=').unwrap_or((value, "1"));
            Effect::Environment(template(name)?, template(value)?)
        }
        "sanitisearg" | "sanitizearg" => Effect::Hide(Variable::Args, value.into()),
        "sanitiserequestheader" | "sanitizerequestheader" => Effect::Hide(Variable::RequestHeaders, value.into()),
        "sanitiseresponseheader" | "sanitizeresponseheader" => Effect::Hide(Variable::ResponseHeaders, value.into()),
        "sanitisematched" | "sanitizematched" | "sanitisematchedbytes" | "sanitizematchedbytes" => Effect::HideMatched,
        "exec" => {
            lowering.warnings.push(fault("`exec` is left out: Ringwall runs no program".into()));
            return Ok(None);
        }
        // `link` and `draft` read the others.
        other => {
            let known = ACTIONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(other));
            return match known {
                Some((_, Rejected(why))) => Err(fault(format!("the action `{other}` is not supported: {why}"))),
                Some(_) => Ok(None),
                None => Err(fault(format!("there is no action `{other}`"))),
            };
        }
    }))
}

fn persistent(name: &str) -> Result<Variable, String> {
    let found = Variable::named(name.trim()).filter(|variable| variable.is_persistent());
    found.ok_or_else(|| format!("`{name}` is no collection that lasts: GLOBAL, IP, RESOURCE, SESSION, USER"))
}

/// `tx.name` or `ip.name`.
fn member(
    lowering: &mut Lowering<'_>,
    link: &LinkDraft,
    argument: usize,
    act: &Act,
    text: &str,
) -> Result<(Variable, Name), LoadError> {
    let fault = |what: String| link.directive.error(argument, act.at, what);
    let (collection, name) =
        text.trim().split_once('.').ok_or_else(|| fault(format!("expected `collection.name`, found `{text}`")))?;
    let collection = match Variable::named(collection) {
        Some(Variable::Tx) => Variable::Tx,
        _ => persistent(collection).map_err(fault)?,
    };
    lowering.note(collection);
    let template = lowering.template(&link.directive, argument, act.at, name)?;
    let fixed = template.fixed().filter(|_| collection == Variable::Tx).map(str::to_owned);
    Ok((collection, fixed.map_or_else(|| Name::Made(template), |name| Name::Slot(lowering.slot(&name)))))
}

fn set(lowering: &mut Lowering<'_>, link: &LinkDraft, argument: usize, act: &Act) -> Result<Effect, LoadError> {
    let text = act.value.as_str();
    if let Some(name) = text.strip_prefix('!') {
        let (collection, name) = member(lowering, link, argument, act, name)?;
        return Ok(Effect::Set { collection, name, change: Change::Remove });
    }
    let (name, value) = text.split_once('=').unwrap_or((text, "1"));
    let (collection, name) = member(lowering, link, argument, act, name)?;
    let change = match value.trim_start().as_bytes().first() {
        Some(b'+') => Change::Add(amount(lowering.template(&link.directive, argument, act.at, after_sign(value))?)),
        Some(b'-') => {
            Change::Subtract(amount(lowering.template(&link.directive, argument, act.at, after_sign(value))?))
        }
        _ => Change::Assign(amount(lowering.template(&link.directive, argument, act.at, value)?)),
    };
    Ok(Effect::Set { collection, name, change })
}

fn after_sign(text: &str) -> &str {
    text.trim_start().get(1..).unwrap_or_default()
}

fn amount(template: Template) -> Amount {
    if let Some(text) = template.fixed() {
        // `007` and `+1` stay text: only what a number would print as is kept as one.
        let number = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
        return number.map_or(Amount::Made(template), Amount::Number);
    }
    match template.pieces.as_slice() {
        [Piece::Value(Variable::Tx, Some(Key::Slot(slot)))] => Amount::Slot(*slot),
        _ => Amount::Made(template),
    }
}

fn control(lowering: &mut Lowering<'_>, text: &str) -> Result<Effect, String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "expected `ctl:name=value`".to_owned())?;
    let value = value.trim();
    let wrong = |what: &str| format!("`{value}` is not {what}");
    let access = || directive::access(value).ok_or_else(|| wrong("On or Off"));
    Ok(Effect::Control(match name.trim().to_ascii_lowercase().as_str() {
        "ruleengine" => Control::Engine(directive::engine(value).ok_or_else(|| wrong("On, Off or DetectionOnly"))?),
        "requestbodyaccess" => Control::RequestBodyAccess(access()?),
        "responsebodyaccess" => Control::ResponseBodyAccess(access()?),
        "forcerequestbodyvariable" => Control::ForceRequestBody(access()?),
        "requestbodyprocessor" => Control::Processor(Processor::named(value).ok_or_else(|| wrong("a body processor"))?),
        "auditengine" => Control::Audit(directive::audit(value).ok_or_else(|| wrong("On, Off or RelevantOnly"))?),
        "ruleremovebyid" => {
            let ids = intervals(value).ok_or_else(|| wrong("a list of ids"))?;
            Control::RemoveRules(lowering.chosen(|id, _, _| ids.iter().any(|interval| interval.holds(id))))
        }
        "ruleremovebytag" => Control::RemoveRules(lowering.chosen(|_, tags, _| tags.iter().any(|tag| tag == value))),
        "ruleremovebymsg" => Control::RemoveRules(lowering.chosen(|_, _, message| message == value)),
        target @ ("ruleremovetargetbyid" | "ruleremovetargetbytag" | "ruleremovetargetbymsg") => {
            let (which, excluded) = value.split_once(';').ok_or_else(|| wrong("`which;TARGET`"))?;
            let exclusion = link::exclusion_of(lowering, excluded)?;
            let ids = intervals(which).unwrap_or_default();
            let bits = match target {
                "ruleremovetargetbyid" if ids.is_empty() => return Err(wrong("an id and a target")),
                "ruleremovetargetbyid" => lowering.chosen(|id, _, _| ids.iter().any(|interval| interval.holds(id))),
                "ruleremovetargetbytag" => lowering.chosen(|_, tags, _| tags.iter().any(|tag| tag == which)),
                _ => lowering.chosen(|_, _, message| message == which),
            };
            Control::RemoveTarget(Arc::new((bits, exclusion)))
        }
        other if CONTROLS.iter().any(|(name, how)| name.eq_ignore_ascii_case(other) && matches!(how, Ignored(_))) => {
            return Ok(Effect::Nothing);
        }
        other => return Err(format!("there is no `ctl:{other}`")),
    }))
}
