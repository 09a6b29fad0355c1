//! A gathered rule to a compiled one.

use super::draft::{Draft, LinkDraft};
use super::{Lowering, effect};
use crate::operator::{self, Operator};
use crate::rule::{Choice, Disruptive, Exclusion, Link, Reach, Rule, Target};
use crate::seclang::LoadError;
use crate::seclang::action::Act;
use crate::seclang::target::{self as syntax, Item, Sign};
use crate::template::{Key, Template};
use crate::transform::Transformation;
use crate::variable::{REJECTED, Variable};

/// Compiles a rule with its chain.
pub(super) fn rule(lowering: &mut Lowering<'_>, draft: &Draft) -> Result<Rule, LoadError> {
    let (rule, asks_matched) = lowering.noting(Variable::MatchedVars, |lowering| compiled(lowering, draft))?;
    Ok(Rule { asks_matched, ..rule })
}

fn compiled(lowering: &mut Lowering<'_>, draft: &Draft) -> Result<Rule, LoadError> {
    let head = draft.head().ok_or_else(|| LoadError::whole("", "a rule without a link"))?;
    let mut rule = Rule {
        id: draft.id,
        phase: draft.phase,
        links: Vec::with_capacity(draft.links.len()),
        disruptive: Disruptive::Pass,
        status: 403,
        log: true,
        audit: true,
        severity: None,
        message: None,
        data: None,
        tags: Vec::new(),
        version: "".into(),
        revision: "".into(),
        skip_to: None,
        asks_matched: true,
        file: head.directive.source.file.as_str().into(),
        line: head.directive.source.line(),
    };
    let mut fallback = Disruptive::Pass;
    for act in &draft.defaults {
        own(lowering, &mut rule, head, act, &Disruptive::Pass)?;
    }
    std::mem::swap(&mut fallback, &mut rule.disruptive);
    rule.disruptive = fallback.clone();
    for (index, link) in draft.links.iter().enumerate() {
        for act in &link.acts {
            // A link of a chain may carry its own message and log data; what decides stands in the head.
            let chained = index > 0 && !matches!(act.name.as_str(), "msg" | "logdata" | "severity" | "tag");
            let second = index > 0 && act.name == "msg" && rule.message.is_some();
            if !(chained || second) {
                own(lowering, &mut rule, link, act, &fallback)?;
            }
        }
        let compiled = self::link(lowering, draft, link)?;
        rule.links.push(compiled);
    }
    Ok(rule)
}

/// The position of a link's actions among the arguments of its directive.
fn argument(link: &LinkDraft) -> usize {
    if link.items.is_some() { 2 } else { 0 }
}

/// An action that belongs to the rule, not to a link.
fn own(
    lowering: &mut Lowering<'_>,
    rule: &mut Rule,
    link: &LinkDraft,
    act: &Act,
    fallback: &Disruptive,
) -> Result<(), LoadError> {
    let index = argument(link);
    let mut template =
        |text: &str| -> Result<Template, LoadError> { lowering.template(&link.directive, index, act.at, text) };
    let fault = |what: &str| link.directive.error(index, act.at, what);
    match act.name.as_str() {
        "deny" => rule.disruptive = Disruptive::Deny,
        "drop" => rule.disruptive = Disruptive::Drop,
        "pass" => rule.disruptive = Disruptive::Pass,
        "block" => rule.disruptive = fallback.clone(),
        "redirect" => rule.disruptive = Disruptive::Redirect(template(&act.value)?),
        "allow" => {
            rule.disruptive = Disruptive::Allow(match act.value.as_str() {
                "" => Reach::All,
                "phase" => Reach::Phase,
                "request" => Reach::Request,
                _ => return Err(fault("`allow` knows `phase` and `request`")),
            });
        }
        "status" => rule.status = act.value.parse().map_err(|_| fault("a status is a number"))?,
        "log" => rule.log = true,
        "nolog" => (rule.log, rule.audit) = (false, false),
        "auditlog" => rule.audit = true,
        "noauditlog" => rule.audit = false,
        "severity" => rule.severity = Some(severity(&act.value).ok_or_else(|| fault("there is no such severity"))?),
        "msg" => rule.message = Some(template(&act.value)?),
        "logdata" => rule.data = Some(template(&act.value)?),
        "tag" => rule.tags.push(template(&act.value)?),
        "ver" => rule.version = act.value.as_str().into(),
        "rev" => rule.revision = act.value.as_str().into(),
        _ => {}
    }
    Ok(())
}

fn severity(text: &str) -> Option<u8> {
    const NAMES: [&str; 8] = ["EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"];
    let named = NAMES.iter().position(|name| name.eq_ignore_ascii_case(text)).and_then(|at| u8::try_from(at).ok());
    named.or_else(|| text.parse().ok().filter(|number| *number < 8))
}

fn link(lowering: &mut Lowering<'_>, draft: &Draft, link: &LinkDraft) -> Result<Link, LoadError> {
    let mut compiled = Link {
        targets: Vec::new(),
        exclusions: Vec::new(),
        node: 0,
        asked: None,
        operator: Operator::Always,
        negated: false,
        multi_match: false,
        capture: false,
        effects: Vec::new(),
    };
    if let Some(items) = &link.items {
        let bound = link.acts.iter().filter(|act| act.name == "xmlns").filter_map(|act| act.value.split_once('='));
        lowering.namespaces = bound.map(|(prefix, uri)| (prefix.trim().to_owned(), uri.trim().to_owned())).collect();
        for item in items {
            let fault = |(at, what): (usize, String)| link.directive.error(0, at, what);
            match item.sign {
                Sign::Exclude => compiled.exclusions.push(exclusion(lowering, item).map_err(fault)?),
                _ => compiled.targets.push(target(lowering, item).map_err(fault)?),
            }
        }
        (compiled.operator, compiled.negated) = operator::read::read(lowering, &link.directive)?;
    }
    let mut chain = Vec::new();
    let inherited = draft.defaults.iter().filter(|act| act.name == "t");
    for act in inherited.chain(link.acts.iter().filter(|act| act.name == "t")) {
        if act.value.eq_ignore_ascii_case("none") {
            chain.clear();
            continue;
        }
        chain.push(Transformation::named(&act.value).ok_or_else(|| {
            link.directive.error(argument(link), act.at, format!("there is no transformation `{}`", act.value))
        })?);
    }
    compiled.node = lowering.node(&chain);
    compiled.multi_match = link.acts.iter().any(|act| act.name == "multimatch");
    for act in &link.acts {
        match act.name.as_str() {
            "capture" => compiled.capture = true,
            "multimatch" => {}
            _ => compiled.effects.extend(effect::read(lowering, link, argument(link), act)?),
        }
    }
    Ok(compiled)
}

/// A target; the error has its offset.
pub(super) fn target(lowering: &mut Lowering<'_>, item: &Item) -> Result<Target, (usize, String)> {
    let variable = variable(lowering, item)?;
    let choice = choice(lowering, variable, item)?;
    Ok(Target { variable, kept: variable.kept(), choice, count: item.sign == Sign::Count, asks: 0..0 })
}

/// An exclusion; the error has its offset.
pub(super) fn exclusion(lowering: &mut Lowering<'_>, item: &Item) -> Result<Exclusion, (usize, String)> {
    let variable = variable(lowering, item)?;
    Ok(Exclusion { variable, choice: choice(lowering, variable, item)? })
}

/// An exclusion from text such as `ARGS:password`.
pub(super) fn exclusion_of(lowering: &mut Lowering<'_>, text: &str) -> Result<Exclusion, String> {
    let items = syntax::read(text.trim_start_matches('!')).map_err(|(_, what)| what.to_owned())?;
    let [item] = items.as_slice() else { return Err("expected one target".into()) };
    exclusion(lowering, item).map_err(|(_, what)| what)
}

fn variable(lowering: &mut Lowering<'_>, item: &Item) -> Result<Variable, (usize, String)> {
    if let Some((_, why)) = REJECTED.iter().find(|(name, _)| name.eq_ignore_ascii_case(&item.name)) {
        return Err((item.at, format!("the variable {} is not supported: {why}", item.name)));
    }
    let found = Variable::named(&item.name);
    let variable = found.ok_or_else(|| (item.at, format!("there is no variable {}", item.name)))?;
    lowering.note(variable);
    Ok(variable)
}

fn choice(lowering: &mut Lowering<'_>, variable: Variable, item: &Item) -> Result<Choice, (usize, String)> {
    Ok(match &item.choice {
        syntax::Choice::All => Choice::All,
        _ if !variable.is_collection() => {
            return Err((item.at, format!("{} has no members", variable.name())));
        }
        syntax::Choice::Name(name) if variable == Variable::Xml => {
            Choice::Name(Key::Name(lowering.path(name).map_err(|what| (item.at, what))?))
        }
        syntax::Choice::Name(name) if variable == Variable::Tx => Choice::Name(Key::Slot(lowering.slot(name))),
        syntax::Choice::Name(name) => Choice::Name(Key::Name(name.to_ascii_lowercase().into())),
        syntax::Choice::Regex(pattern) => {
            // Names of members have no case, whatever the pattern says.
            let number = lowering.pattern(&format!("(?i){pattern}")).map_err(|what| (item.at, what))?;
            Choice::Pattern { pattern: number, slots: Vec::new() }
        }
    })
}
