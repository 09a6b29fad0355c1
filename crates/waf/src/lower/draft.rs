//! Rules as they are gathered: parsed, edited by later directives, not yet compiled.

use crate::Interval;
use crate::seclang::action::{self, Act};
use crate::seclang::target::{self, Item, Sign};
use crate::seclang::{Directive, LoadError};

/// A rule, or a place to skip to.
#[derive(Debug)]
pub(crate) enum Entry {
    Rule(Box<Draft>),
    Marker(String),
}

impl Entry {
    /// The rule, when it is one that stays.
    pub fn rule(&self) -> Option<&Draft> {
        match self {
            Self::Rule(draft) if !draft.removed => Some(draft),
            _ => None,
        }
    }
}

/// A rule with its chain.
#[derive(Debug)]
pub(crate) struct Draft {
    pub id: u64,
    pub phase: u8,
    pub links: Vec<LinkDraft>,
    /// The default actions in force where it stands.
    pub defaults: Vec<Act>,
    pub removed: bool,
}

/// One link of a chain.
#[derive(Debug)]
pub(crate) struct LinkDraft {
    pub directive: Directive,
    /// `None`: `SecAction`.
    pub items: Option<Vec<Item>>,
    pub acts: Vec<Act>,
}

impl Draft {
    /// The link that carries the rule's own actions.
    pub fn head(&self) -> Option<&LinkDraft> {
        self.links.first()
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let acts = self.links.iter().flat_map(|link| &link.acts);
        acts.filter(move |act| act.name == name).map(|act| act.value.as_str())
    }

    /// Id, tags and message.
    pub fn summary(&self) -> (u64, Vec<String>, String) {
        let message = self.values("msg").next().unwrap_or_default().to_owned();
        (self.id, self.values("tag").map(str::to_owned).collect(), message)
    }

    /// Where evaluation goes on after a match.
    pub fn skip(&self) -> Option<Skip> {
        let after = self.values("skipafter").next().map(|name| Skip::After(name.to_owned()));
        after.or_else(|| self.values("skip").next().and_then(|count| count.parse().ok()).map(Skip::Count))
    }
}

/// Where evaluation goes on after a match.
#[derive(Debug)]
pub(crate) enum Skip {
    After(String),
    Count(u32),
}

impl Skip {
    /// The position in the phase's list. A marker that does not follow means the end of the phase.
    pub fn target(&self, position: u32, phase: usize, markers: &[(String, [u32; 5])]) -> u32 {
        match self {
            Self::Count(count) => position.saturating_add(1).saturating_add(*count),
            Self::After(name) => {
                let places = markers.iter().filter(|(known, _)| known == name).filter_map(|(_, at)| at.get(phase));
                places.copied().find(|at| *at > position).unwrap_or(u32::MAX)
            }
        }
    }
}

/// What has been gathered.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub entries: Vec<Entry>,
    defaults: [Vec<Act>; 5],
    /// The last rule waits for a link of its chain.
    open: bool,
}

impl Gathered {
    /// Takes a `SecRule` or a `SecAction`.
    pub fn rule(&mut self, directive: &Directive) -> Result<(), LoadError> {
        let is_action = directive.name.eq_ignore_ascii_case("SecAction");
        let index = if is_action { 0 } else { 2 };
        let acts = action::read(directive.text(index)).map_err(|(at, what)| directive.error(index, at, what))?;
        let items = match is_action {
            true => None,
            false => Some(target::read(directive.text(0)).map_err(|(at, what)| directive.error(0, at, what))?),
        };
        let chains = acts.iter().any(|act| act.name == "chain");
        let link = LinkDraft { directive: directive.clone(), items, acts };
        if self.open {
            self.open = chains;
            if let Some(Entry::Rule(draft)) = self.entries.last_mut() {
                draft.links.push(link);
            }
            return Ok(());
        }
        let phase = match link.acts.iter().rfind(|act| act.name == "phase") {
            Some(act) => phase(&act.value).ok_or_else(|| directive.error(index, act.at, "a phase is 1 to 5"))?,
            None => 2,
        };
        let id = match link.acts.iter().find(|act| act.name == "id") {
            Some(act) => act.value.parse().map_err(|_| directive.error(index, act.at, "an id is a number"))?,
            None => return Err(directive.error(0, 0, "this rule has no id").help("every rule needs `id:NUMBER`")),
        };
        if self.rules().any(|draft| draft.id == id && !draft.removed) {
            return Err(directive.error(index, 0, format!("the id {id} is taken by another rule")));
        }
        let defaults = self.defaults.get(usize::from(phase) - 1).cloned().unwrap_or_default();
        self.open = chains;
        self.entries.push(Entry::Rule(Box::new(Draft { id, phase, links: vec![link], defaults, removed: false })));
        Ok(())
    }

    /// Takes a `SecDefaultAction`.
    pub fn default_action(&mut self, directive: &Directive) -> Result<(), LoadError> {
        let acts = action::read(directive.text(0)).map_err(|(at, what)| directive.error(0, at, what))?;
        let named = acts.iter().find(|act| act.name == "phase").and_then(|act| phase(&act.value));
        let phase = named.ok_or_else(|| directive.error(0, 0, "default actions need a phase, 1 to 5"))?;
        if let Some(kept) = self.defaults.get_mut(usize::from(phase) - 1) {
            *kept = acts;
        }
        Ok(())
    }

    /// The rules so far.
    pub fn rules(&self) -> impl Iterator<Item = &Draft> {
        self.entries.iter().filter_map(Entry::rule)
    }

    /// Removes the rules that fit.
    pub fn remove(&mut self, fits: impl Fn(&Draft) -> bool) {
        self.edit(&fits, |draft| draft.removed = true);
    }

    /// Adds targets to the rules that fit, or puts them in the place of `replaced`.
    pub fn retarget(&mut self, directive: &Directive, fits: impl Fn(&Draft) -> bool) -> Result<(), LoadError> {
        let added = target::read(directive.text(1)).map_err(|(at, what)| directive.error(1, at, what))?;
        let replaced = match directive.arguments.get(2) {
            Some(argument) => target::read(&argument.text).map_err(|(at, what)| directive.error(2, at, what))?,
            None => Vec::new(),
        };
        self.edit(&fits, |draft| {
            let Some(items) = draft.links.first_mut().and_then(|link| link.items.as_mut()) else { return };
            let is_replaced = |item: &Item| {
                replaced.iter().any(|old| old.name.eq_ignore_ascii_case(&item.name) && old.choice == item.choice)
            };
            items.retain(|item| item.sign == Sign::Exclude || !is_replaced(item));
            items.extend(added.iter().cloned());
        });
        Ok(())
    }

    /// Replaces or adds actions of the rules with this id.
    pub fn change_actions(&mut self, directive: &Directive) -> Result<(), LoadError> {
        let added = action::read(directive.text(1)).map_err(|(at, what)| directive.error(1, at, what))?;
        let name = directive.text(0);
        let (id, link) = name.split_once(':').unwrap_or((name, "0"));
        let wrong = || directive.error(0, 0, "expected the id of a rule");
        let (id, link): (u64, usize) = (id.parse().map_err(|_| wrong())?, link.parse().map_err(|_| wrong())?);
        self.edit(&|draft: &Draft| draft.id == id, |draft| {
            let Some(link) = draft.links.get_mut(link) else { return };
            const DISRUPTIVE: [&str; 7] = ["allow", "block", "deny", "drop", "pass", "proxy", "redirect"];
            const SEVERAL: [&str; 5] = ["t", "tag", "setvar", "ctl", "expirevar"];
            for act in &added {
                let disruptive = DISRUPTIVE.contains(&act.name.as_str());
                if act.name == "t" && act.value == "none" {
                    link.acts.retain(|old| old.name != "t");
                } else if disruptive {
                    link.acts.retain(|old| !DISRUPTIVE.contains(&old.name.as_str()));
                } else if !SEVERAL.contains(&act.name.as_str()) {
                    link.acts.retain(|old| old.name != act.name);
                }
                link.acts.push(act.clone());
            }
        });
        Ok(())
    }

    /// Says when the last chain is open.
    pub fn finish(&self, errors: &mut Vec<LoadError>) {
        if !self.open {
            return;
        }
        if let Some(link) = self.rules().last().and_then(|draft| draft.links.last()) {
            errors.push(link.directive.error(0, 0, "this rule says `chain`, and no rule follows"));
        }
    }

    fn edit(&mut self, fits: &impl Fn(&Draft) -> bool, mut change: impl FnMut(&mut Draft)) {
        for entry in &mut self.entries {
            if let Entry::Rule(draft) = entry
                && !draft.removed
                && fits(draft)
            {
                change(draft);
            }
        }
    }
}

/// A phase by number or name.
fn phase(text: &str) -> Option<u8> {
    match text.trim() {
        "request" => Some(2),
        "response" => Some(4),
        "logging" => Some(5),
        number => number.parse().ok().filter(|phase| (1..=5).contains(phase)),
    }
}

/// Ids and ranges of ids: `1 5-9,12`.
pub(crate) fn intervals(text: &str) -> Option<Vec<Interval>> {
    let words = text.split([' ', ',', '\t']).filter(|word| !word.is_empty());
    let all: Vec<Interval> = words.map(|word| word.trim_matches('"').parse().ok()).collect::<Option<_>>()?;
    (!all.is_empty()).then_some(all)
}
