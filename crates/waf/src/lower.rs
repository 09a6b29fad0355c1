//! Directives to rules: what SecLang text means.
//!
//! In: directives in order. Out: [`Rules`], or every error of the files. Never: half a rule set: one error refuses all.
//! Reference manual v3. Start reading at [`lower`]; `draft` gathers and edits rules, `link` compiles them.

mod directive;
mod draft;
mod effect;
mod link;
mod pass;

pub(crate) use directive::Treatment;

use crate::Rules;
use crate::bits::Bits;
use crate::body::xml::path::Path;
use crate::bundle::Bundle;
use crate::configuration::{AuditEngine, Configuration};
use crate::operator::pattern::Pattern;
use crate::operator::phrases::Phrases;
use crate::prefilter;
use crate::rule::{Choice, Control, Effect, Node, Rule, Target};
use crate::seclang::{self, Directive, LoadError};
use crate::template::Template;
use crate::transform::Transformation;
use crate::variable::{COUNT, Variable};
use draft::{Draft, Entry};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// `TX:0` to `TX:9` come first among the numbered names of `TX`.
pub(crate) const CAPTURES: u16 = 10;

/// Work in progress.
#[derive(Debug)]
pub(crate) struct Lowering<'a> {
    pub bundle: &'a Bundle,
    pub configuration: Configuration,
    patterns: Vec<Pattern>,
    pattern_numbers: BTreeMap<String, u32>,
    phrases: Vec<Phrases>,
    paths: Vec<(Box<str>, Path)>,
    /// Prefixes with their URIs of the rule that is being read (`xmlns`).
    pub namespaces: Vec<(String, String)>,
    nodes: Vec<Node>,
    names: Vec<Box<str>>,
    name_numbers: BTreeMap<Box<str>, u16>,
    uses: [bool; COUNT],
    /// Id, tags and message of each rule that stays, in order.
    index: Vec<(u64, Vec<String>, String)>,
    /// What is taken and has no effect where its author would expect one.
    pub warnings: Vec<LoadError>,
}

/// Reads and compiles the files named `roots` and all that they include.
pub(crate) fn lower(bundle: &Bundle, roots: &[&str]) -> Result<Rules, Vec<LoadError>> {
    let mut errors = Vec::new();
    let directives = seclang::read(bundle, roots, &mut errors);
    let mut lowering = Lowering::new(bundle);
    let mut gathered = draft::Gathered::default();
    for directive in &directives {
        if let Err(error) = directive::take(&mut lowering, &mut gathered, directive) {
            errors.push(error);
        }
    }
    gathered.finish(&mut errors);
    let entries = gathered.entries;
    lowering.index = entries.iter().filter_map(Entry::rule).map(Draft::summary).collect();
    let mut rules = Vec::new();
    let mut phases: [Vec<u32>; 5] = Default::default();
    let mut markers: Vec<(String, [u32; 5])> = Vec::new();
    let mut skips: Vec<(usize, u32, draft::Skip)> = Vec::new();
    for entry in &entries {
        match entry {
            Entry::Marker(name) => markers.push((
                name.clone(),
                std::array::from_fn(|phase| phases.get(phase).map_or(0, |list| list.len() as u32)),
            )),
            Entry::Rule(draft) if draft.removed => {}
            Entry::Rule(draft) => match link::rule(&mut lowering, draft) {
                Ok(rule) => {
                    let list = phases.get_mut(usize::from(rule.phase) - 1);
                    if let (Some(list), Some(skip)) = (list, draft.skip()) {
                        skips.push((rules.len(), list.len() as u32, skip));
                    }
                    if let Some(list) = phases.get_mut(usize::from(rule.phase) - 1) {
                        list.push(rules.len() as u32);
                    }
                    rules.push(rule);
                }
                Err(error) => errors.push(error),
            },
        }
    }
    for (rule, position, skip) in skips {
        if let Some(rule) = rules.get_mut(rule) {
            rule.skip_to = Some(skip.target(position, usize::from(rule.phase) - 1, &markers));
        }
    }
    if !errors.is_empty() {
        errors.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        return Err(errors);
    }
    Ok(lowering.finish(rules, phases))
}

impl<'a> Lowering<'a> {
    fn new(bundle: &'a Bundle) -> Self {
        let mut new = Self {
            bundle,
            configuration: Configuration::default(),
            patterns: Vec::new(),
            pattern_numbers: BTreeMap::new(),
            phrases: Vec::new(),
            paths: Vec::new(),
            namespaces: Vec::new(),
            nodes: vec![Node { parent: 0, step: None, touches: Some(0) }],
            names: Vec::new(),
            name_numbers: BTreeMap::new(),
            uses: [false; COUNT],
            index: Vec::new(),
            warnings: Vec::new(),
        };
        for number in 0..CAPTURES {
            new.slot(&number.to_string());
        }
        new
    }

    /// Numbers a pattern; equal ones share a number.
    pub fn pattern(&mut self, text: &str) -> Result<u32, String> {
        if let Some(number) = self.pattern_numbers.get(text) {
            return Ok(*number);
        }
        let number = self.patterns.len() as u32;
        self.patterns.push(Pattern::read(text)?);
        self.pattern_numbers.insert(text.to_owned(), number);
        Ok(number)
    }

    /// Numbers a list of phrases.
    pub fn phrases(&mut self, phrases: Phrases) -> u32 {
        self.phrases.push(phrases);
        self.phrases.len() as u32 - 1
    }

    /// The name under which the values of an XPath selector are kept. Names of members have no case, paths have: one that
    /// differs by case or by what its prefixes mean gets a name of its own.
    pub fn path(&mut self, text: &str) -> Result<Box<str>, String> {
        if matches!(text, "/*" | "//@*") {
            return Ok(text.into());
        }
        let path = Path::read(text, &self.namespaces)?;
        let mut name = text.to_owned();
        loop {
            match self.paths.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                Some((known, same)) if *same == path => return Ok(known.clone()),
                Some(_) => name.push('#'),
                None => break,
            }
        }
        self.paths.push((name.as_str().into(), path));
        Ok(name.into())
    }

    /// Numbers a name of `TX`, which has no case.
    pub fn slot(&mut self, name: &str) -> u16 {
        let name: Box<str> = name.to_ascii_lowercase().into();
        let next = u16::try_from(self.names.len()).unwrap_or(u16::MAX);
        let number = *self.name_numbers.entry(name.clone()).or_insert(next);
        if number == next {
            self.names.push(name);
        }
        number
    }

    /// Reads text with macros, for an argument of a directive.
    pub fn template(
        &mut self,
        directive: &Directive,
        index: usize,
        at: usize,
        text: &str,
    ) -> Result<Template, LoadError> {
        let read = Template::read(text, &mut |name| self.slot(name));
        let template = read.map_err(|name| directive.error(index, at, format!("`%{{{name}}}` names no variable")))?;
        for piece in &template.pieces {
            if let crate::template::Piece::Value(variable, _) = piece {
                self.note(*variable);
            }
        }
        Ok(template)
    }

    /// Notes that a variable is used, so that transactions fill it.
    pub fn note(&mut self, variable: Variable) {
        for variable in [variable, variable.kept().0] {
            if let Some(used) = self.uses.get_mut(variable as usize) {
                *used = true;
            }
        }
    }

    /// The node of a chain of transformations.
    pub fn node(&mut self, chain: &[Transformation]) -> u32 {
        chain.iter().fold(0, |parent, step| {
            let found = self.nodes.iter().position(|node| node.parent == parent && node.step == Some(*step));
            found.map_or_else(
                || {
                    self.nodes.push(Node { parent, step: Some(*step), touches: step.touches() });
                    self.nodes.len() as u32 - 1
                },
                |found| found as u32,
            )
        })
    }

    /// Compiles a rule, and says whether it asks for the variable.
    pub fn noting(
        &mut self,
        variable: Variable,
        work: impl FnOnce(&mut Self) -> Result<Rule, LoadError>,
    ) -> Result<(Rule, bool), LoadError> {
        let before = self.uses.get_mut(variable as usize).map(std::mem::take).unwrap_or(false);
        let rule = work(self)?;
        let now = self.uses.get(variable as usize).copied().unwrap_or(true);
        if let Some(used) = self.uses.get_mut(variable as usize) {
            *used |= before;
        }
        Ok((rule, now))
    }

    /// The rules whose summary fits, as a set.
    pub fn chosen(&self, fits: impl Fn(u64, &[String], &str) -> bool) -> Bits {
        let mut bits = Bits::new(self.index.len());
        for (number, (id, tags, message)) in self.index.iter().enumerate() {
            if fits(*id, tags, message) {
                bits.insert(number);
            }
        }
        bits
    }

    fn finish(self, mut rules: Vec<Rule>, phases: [Vec<u32>; 5]) -> Rules {
        let known = |pattern: u32| -> Vec<u16> {
            let Some(pattern) = self.patterns.get(pattern as usize) else { return Vec::new() };
            let names = self.names.iter().enumerate().filter(|(_, name)| pattern.finds(name.as_bytes()));
            names.filter_map(|(slot, _)| u16::try_from(slot).ok()).collect()
        };
        let tx_pattern = |target: &mut Target| {
            if let (Variable::Tx, Choice::Pattern { pattern, slots }) = (target.variable, &mut target.choice) {
                *slots = known(*pattern);
            }
        };
        rules.iter_mut().flat_map(|rule| &mut rule.links).flat_map(|link| &mut link.targets).for_each(tx_pattern);
        let prefilter = prefilter::build(&self.patterns, &self.phrases);
        let passes = pass::build(&mut rules, &phases, &self.nodes, &self.patterns, &self.phrases, &prefilter);
        let mut effects = rules.iter().flat_map(|rule| &rule.links).flat_map(|link| &link.effects);
        let turns_on =
            |effect: &Effect| matches!(effect, Effect::Control(Control::Audit(to)) if *to != AuditEngine::Off);
        let audits = self.configuration.audit != AuditEngine::Off || effects.any(turns_on);
        let first = rules.iter().map(|rule| rule.links.first().and_then(|link| link.asked.clone())).collect();
        Rules {
            first,
            rules,
            phases,
            nodes: self.nodes,
            sources: passes.sources,
            asks: passes.asks,
            source_sets: passes.sets,
            conditions: passes.conditions,
            plans: Mutex::default(),
            patterns: self.patterns,
            phrases: self.phrases,
            paths: self.paths,
            prefilter,
            slots: self.name_numbers,
            names: self.names,
            uses: self.uses,
            configuration: self.configuration,
            audits,
            index: self.index,
            warnings: self.warnings,
        }
    }
}

/// What of the language is supported.
pub(crate) fn support() -> Vec<crate::Support> {
    use crate::Support;
    let of = |kind: &'static str| {
        move |(name, treatment): (&'static str, Treatment)| {
            let (state, why) = match treatment {
                Treatment::Supported => ("supported", ""),
                Treatment::Ignored(why) => ("ignored", why),
                Treatment::Rejected(why) => ("rejected", why),
            };
            Support { kind, name, state, why }
        }
    };
    let supported = |name: &&'static str| (*name, Treatment::Supported);
    let refused = crate::variable::REJECTED.iter().map(|(name, why)| (*name, Treatment::Rejected(why)));
    let transformations = crate::transform::TABLE.iter().map(|(name, _)| name).chain(&["none"]).map(supported);
    directive::TABLE
        .iter()
        .copied()
        .map(of("directive"))
        .chain(Variable::names().iter().map(supported).chain(refused).map(of("variable")))
        .chain(crate::operator::read::names().map(of("operator")))
        .chain(transformations.map(of("transformation")))
        .chain(effect::ACTIONS.iter().copied().map(of("action")))
        .chain(effect::CONTROLS.iter().copied().map(of("ctl")))
        .collect()
}

#[cfg(test)]
mod tests;
