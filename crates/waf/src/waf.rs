//! A compiled rule set and what a route says beside it.

use crate::bits::Bits;
use crate::body::xml::path::Path;
use crate::bundle::Bundle;
use crate::configuration::{Configuration, Exclude, Settings};
use crate::judge::pass::Plans;
use crate::lower::{self, lower};
use crate::machine::Machine;
use crate::operator::pattern::Pattern;
use crate::operator::phrases::Phrases;
use crate::prefilter::Literals;
use crate::rule::{Ask, Asked, Choice, Condition, Exclusion, Node, Rule, Source, SourceSet};
use crate::seclang::LoadError;
use crate::seclang::target;
use crate::state::State;
use crate::template::Key;
use crate::transaction::Transaction;
use crate::variable::{COUNT, Variable};
use ringwall_model::Timestamp;
use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

/// All that the rule files say.
#[derive(Debug)]
pub(crate) struct Rules {
    pub rules: Vec<Rule>,
    /// The rules of each phase in order.
    pub phases: [Vec<u32>; 5],
    /// By rule what is asked for its first link, so that most rules need no look.
    pub first: Vec<Option<Asked>>,
    pub nodes: Vec<Node>,
    /// What goes through passes, what is asked there, and the conditions by which rules are skipped.
    pub sources: Vec<Source>,
    pub asks: Vec<Ask>,
    pub source_sets: Vec<SourceSet>,
    pub conditions: Vec<Condition>,
    /// What passes ask; made when it is first needed.
    pub plans: Mutex<Plans>,
    pub patterns: Vec<Pattern>,
    pub phrases: Vec<Phrases>,
    /// XPath selectors other than `/*` and `//@*`, each under the name that its values have.
    pub paths: Vec<(Box<str>, Path)>,
    pub prefilter: Literals,
    /// Known names of `TX`.
    pub slots: BTreeMap<Box<str>, u16>,
    pub names: Vec<Box<str>>,
    /// Which variables any rule looks at.
    pub uses: [bool; COUNT],
    pub configuration: Configuration,
    /// Whether any transaction may be kept in the audit log.
    pub audits: bool,
    /// Id, tags and message of each rule.
    pub index: Vec<(u64, Vec<String>, String)>,
    /// What was taken and has no effect where its author would expect one.
    pub warnings: Vec<LoadError>,
}

impl Rules {
    /// Whether any rule looks at the variable.
    pub fn use_of(&self, variable: Variable) -> bool {
        self.uses.get(variable as usize).copied().unwrap_or(true)
    }

    /// Whether an audit record may show a request's body.
    pub fn may_show_bodies(&self) -> bool {
        self.audits && self.configuration.audit_parts.contains(['C', 'I'])
    }
}

/// A compiled rule set: immutable, shared by all transactions.
#[derive(Debug)]
#[expect(clippy::vec_box, reason = "they are large, and move between the pools and transactions")]
pub struct Waf {
    pub(crate) rules: Rules,
    machines: Mutex<Vec<Box<Machine>>>,
    states: Mutex<Vec<Box<State>>>,
}

/// So many idle machines and states are kept.
const IDLE: usize = 64;

impl Waf {
    /// Reads and compiles the files named `roots`, in order, and all that they include.
    ///
    /// # Errors
    /// Every error of the files; nothing is taken when there is one.
    pub fn load(bundle: &Bundle, roots: &[&str]) -> Result<Arc<Self>, Vec<LoadError>> {
        let rules = lower(bundle, roots)?;
        Ok(Arc::new(Self { rules, machines: Mutex::default(), states: Mutex::default() }))
    }

    /// Compiles every regular expression now instead of when it is first needed.
    pub fn warm(&self) {
        for pattern in &self.rules.patterns {
            pattern.warm();
        }
    }

    /// How many rules there are, by phase.
    pub fn counts(&self) -> Counts {
        let links = self.rules.rules.iter().map(|rule| rule.links.len()).sum();
        Counts {
            rules: self.rules.rules.len(),
            links,
            patterns: self.rules.patterns.len(),
            phrases: self.rules.phrases.iter().map(|phrases| phrases.list.len()).sum(),
            phases: std::array::from_fn(|phase| self.rules.phases.get(phase).map_or(0, Vec::len)),
        }
    }

    /// Names of the rule sets (`SecComponentSignature`).
    pub fn signatures(&self) -> &[String] {
        &self.rules.configuration.signatures
    }

    /// What of the files was taken and has no effect where its author would expect one, with its place.
    pub fn warnings(&self) -> &[LoadError] {
        &self.rules.warnings
    }

    /// Whether any rule names this member of `TX`, such as `blocking_paranoia_level`.
    pub fn names_variable(&self, name: &str) -> bool {
        self.rules.slots.contains_key(name.to_ascii_lowercase().as_str())
    }

    /// Id, tags, message and place of every rule, in order.
    pub fn list(&self) -> impl Iterator<Item = (u64, &[String], &str, &str, u32)> {
        let index = self.rules.index.iter().zip(&self.rules.rules);
        index.map(|((id, tags, message), rule)| (*id, tags.as_slice(), message.as_str(), &*rule.file, rule.line))
    }

    /// Prepares what a route says.
    ///
    /// # Errors
    /// One sentence that names the exclusion that cannot be read.
    pub fn profile(&self, settings: Settings) -> Result<Arc<Profile>, String> {
        let mut profile = Profile { removed: Bits::new(self.rules.rules.len()), ..Profile::default() };
        for exclude in &settings.exclusions {
            match exclude {
                Exclude::Ids(interval) => profile.removed.extend(&self.chosen(|id, _| interval.holds(id))),
                Exclude::Tag(tag) => profile.removed.extend(&self.chosen(|_, tags| tags.iter().any(|t| **t == **tag))),
                Exclude::TargetOfIds(interval, target) => {
                    profile.targets.push(Arc::new((self.chosen(|id, _| interval.holds(id)), exclusion(target)?)));
                }
                Exclude::TargetOfTag(tag, target) => {
                    let rules = self.chosen(|_, tags| tags.iter().any(|t| **t == **tag));
                    profile.targets.push(Arc::new((rules, exclusion(target)?)));
                }
            }
        }
        for (name, value) in &settings.variables {
            if let Some(slot) = self.rules.slots.get(name.to_ascii_lowercase().as_str()) {
                profile.pinned.push((*slot, *value));
            }
        }
        profile.settings = settings;
        Ok(Arc::new(profile))
    }

    fn chosen(&self, fits: impl Fn(u64, &[String]) -> bool) -> Bits {
        let mut bits = Bits::new(self.rules.rules.len());
        for (number, (id, tags, _)) in self.rules.index.iter().enumerate() {
            if fits(*id, tags) {
                bits.insert(number);
            }
        }
        bits
    }

    /// Begins a transaction at `now`.
    pub fn begin(self: &Arc<Self>, profile: &Arc<Profile>, now: Timestamp) -> Transaction {
        let mut state = pop(&self.states).unwrap_or_default();
        state.reset(&self.rules, profile, now);
        Transaction::new(Arc::clone(self), Arc::clone(profile), state)
    }

    pub(crate) fn machine(&self) -> Box<Machine> {
        pop(&self.machines).unwrap_or_else(|| Box::new(Machine::new(&self.rules)))
    }

    pub(crate) fn give_back(&self, mut machine: Box<Machine>) {
        machine.shrink();
        push(&self.machines, machine);
    }

    pub(crate) fn recycle(&self, mut state: Box<State>) {
        state.shrink();
        push(&self.states, state);
    }
}

fn pop<T>(pool: &Mutex<Vec<T>>) -> Option<T> {
    pool.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

fn push<T>(pool: &Mutex<Vec<T>>, item: T) {
    let mut held = pool.lock().unwrap_or_else(PoisonError::into_inner);
    if held.len() < IDLE {
        held.push(item);
    }
}

/// Whether a text names one target of rules, such as `ARGS:password` or `REQUEST_COOKIES:/^_ga/`.
///
/// # Errors
/// A sentence that says why it does not.
pub fn check_target(text: &str) -> Result<(), String> {
    let items = target::read(text).map_err(|(_, what)| format!("`{text}`: {what}"))?;
    let [item] = items.as_slice() else { return Err(format!("`{text}` is not one target")) };
    Variable::named(&item.name).map(drop).ok_or_else(|| format!("there is no variable {}", item.name))
}

/// An exclusion of a route's settings: by variable and name, or by a regular expression over names.
fn exclusion(text: &str) -> Result<Exclusion, String> {
    let items = target::read(text.trim_start_matches('!')).map_err(|(_, what)| format!("`{text}`: {what}"))?;
    let [item] = items.as_slice() else { return Err(format!("`{text}` is not one target")) };
    let variable = Variable::named(&item.name).ok_or_else(|| format!("there is no variable {}", item.name))?;
    let choice = match &item.choice {
        target::Choice::All => Choice::All,
        target::Choice::Name(name) => Choice::Name(Key::Name(name.to_ascii_lowercase().into())),
        target::Choice::Regex(_) => return Err(format!("`{text}`: write a regular expression into the rule files")),
    };
    Ok(Exclusion { variable, choice })
}

/// What a route says, prepared for one rule set.
#[derive(Debug, Default)]
pub struct Profile {
    pub(crate) settings: Settings,
    pub(crate) removed: Bits,
    pub(crate) targets: Vec<Arc<(Bits, Exclusion)>>,
    pub(crate) pinned: Vec<(u16, i64)>,
}

/// How large a rule set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Rules, a chain counted once.
    pub rules: usize,
    /// Rules, each link of a chain counted.
    pub links: usize,
    /// Distinct regular expressions.
    pub patterns: usize,
    /// Phrases of `@pm` and `@pmFromFile`.
    pub phrases: usize,
    /// Rules by phase.
    pub phases: [usize; 5],
}

/// Ids from one to another, both included: `942100` or `942100-942199`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// First id.
    pub from: u64,
    /// Last id.
    pub to: u64,
}

impl Interval {
    /// Whether the id lies in it.
    pub const fn holds(&self, id: u64) -> bool {
        self.from <= id && id <= self.to
    }
}

impl FromStr for Interval {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        Ok(Self { from: from.trim().parse()?, to: to.trim().parse()? })
    }
}

/// What of the language is supported: kind, name, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// `directive`, `variable`, `operator`, `transformation`, `action`, `ctl`.
    pub kind: &'static str,
    /// Its name.
    pub name: &'static str,
    /// `supported`, `ignored`, `rejected`.
    pub state: &'static str,
    /// Why it is ignored or rejected.
    pub why: &'static str,
}

impl Support {
    /// The whole language, for the generated document.
    pub fn table() -> Vec<Self> {
        lower::support()
    }
}

#[cfg(test)]
mod tests {
    use super::Waf;
    use crate::{Bundle, Fuel, Profile, RequestHead, Settings};
    use ringwall_model::Timestamp;
    use std::net::SocketAddr;
    use std::sync::Arc;

    /// Judges a JSON body; the most bytes that took, and what the state keeps afterwards.
    fn judged(waf: &Arc<Waf>, profile: &Arc<Profile>, body: &str) -> (usize, usize) {
        let mut tx = waf.begin(profile, Timestamp(0));
        let ends = SocketAddr::from(([192, 0, 2, 1], 1));
        let (line, target) = (&b"POST / HTTP/1.1"[..], &b"/"[..]);
        let head =
            RequestHead { line, method: b"POST", target, protocol: b"HTTP/1.1", client: ends, server: ends, id: "" };
        let fields: [(&[u8], &[u8]); 1] = [(b"Content-Type", b"application/json")];
        tx.head(&head, fields.into_iter());
        tx.phase1(Fuel::ENDLESS);
        tx.request_body(body.as_bytes());
        tx.phase2(Fuel::ENDLESS);
        let most = tx.memory();
        drop(tx);
        (most, waf.states.lock().unwrap().iter().map(|state| state.retained()).sum())
    }

    #[test]
    fn a_large_transaction_is_bounded_and_leaves_little_behind() {
        let rule = |id: usize, chain: &str, what: &str| {
            format!("SecRule ARGS \"@rx {what}\" \"id:{id},phase:2,pass,{chain}\"\n")
        };
        let chains =
            ["t:lowercase", "t:removeWhitespace", "t:lowercase,t:compressWhitespace", "t:hexEncode", "t:cmdLine"];
        let rules = chains.iter().enumerate().map(|(id, chain)| rule(id + 1, chain, "[^ -~]x"));
        let mut bundle = Bundle::default();
        bundle.add("a.conf", format!("SecRequestBodyAccess On\n{}", rules.collect::<String>()));
        let waf = Waf::load(&bundle, &["a.conf"]).unwrap();
        let profile = waf.profile(Settings::default()).unwrap();
        let many: Vec<String> =
            (0..4000).map(|n| format!("{{\"Key\":\"Value {n} of some  length, as is usual\"}}")).collect();
        let bodies = [format!("[{}]", many.join(",")), format!("{{\"a\":\"{}\"}}", "Some  Text ".repeat(20_000))];
        for body in bodies {
            let (most, kept) = judged(&waf, &profile, &body);
            assert!(most <= 4 * body.len(), "{most} for {}", body.len());
            assert!(kept <= 512 << 10, "{kept} kept after {}", body.len());
        }
    }
}
