//! What is asked in passes: targets of rules to sources, stages and asks.
//!
//! In: compiled rules. Out: [`Passes`], and in each target and link the numbers of what is asked for them. An operator is
//! asked in a pass when its verdict depends on nothing but the text. See `judge/pass.rs`.

use crate::alphabet;
use crate::operator::gate::Gate;
use crate::operator::pattern::Pattern;
use crate::operator::phrases::Phrases;
use crate::operator::{Number, Operator};
use crate::prefilter::{Literals, NONE};
use crate::rule::{Ask, Asked, Choice, Condition, Link, Node, Rule, STAGES, Source, SourceSet, Stage, Target};
use crate::template::Key;
use crate::variable::{Aspect, Part, Variable};

/// All that is asked in passes.
#[derive(Debug, Default)]
pub(super) struct Passes {
    pub sources: Vec<Source>,
    pub asks: Vec<Ask>,
    pub sets: Vec<SourceSet>,
    pub conditions: Vec<Condition>,
}

/// A source that is being gathered: its nodes, and what is asked at which of them.
#[derive(Debug)]
struct Draft {
    kept: (Variable, Aspect, Part),
    name: Option<Box<str>>,
    nodes: Vec<u32>,
    asks: Vec<(u32, u32)>,
}

/// Gathers what is asked for the targets of all rules, and tells them the numbers of it.
pub(super) fn build(
    rules: &mut [Rule],
    phases: &[Vec<u32>; 5],
    nodes: &[Node],
    patterns: &[Pattern],
    phrases: &[Phrases],
    prefilter: &Literals,
) -> Passes {
    let mut passes = Passes::default();
    let guards = guards(rules, phases, &mut passes.conditions);
    let mut drafts: Vec<Draft> = Vec::new();
    for ((number, rule), guards) in rules.iter_mut().enumerate().zip(guards) {
        for (place, link) in rule.links.iter_mut().enumerate() {
            // `multiMatch` asks after each step: then a value may match at any node of the way there.
            let way = way(nodes, link.node);
            let asked = if link.multi_match { way.as_slice() } else { way.get(way.len() - 1..).unwrap_or_default() };
            let (gate, slot) = needs(&link.operator, patterns, phrases, prefilter);
            let (first, mut sources) = (passes.asks.len() as u32, Vec::new());
            for at in 0..link.targets.len() {
                let Some(target) = link.targets.get(at) else { break };
                // A chain that is longer than a source has room for is asked value by value.
                let Some(name) = source_of(link, target).filter(|_| way.len() <= STAGES) else { continue };
                let (kept, from) = (target.kept, passes.asks.len() as u32);
                for node in asked {
                    let source = draft(&mut drafts, nodes, kept, name.as_deref(), *node, passes.asks.len() as u32);
                    sources.push(source);
                    let (rule, link, gate) = (number as u32, place as u16, gate.clone());
                    // The stage is known when the source is.
                    passes.asks.push(Ask { source, stage: 0, slot, rule, link, guards, gate });
                }
                if let Some(target) = link.targets.get_mut(at) {
                    target.asks = from..passes.asks.len() as u32;
                }
            }
            let is_asked = !link.targets.is_empty() && link.targets.iter().all(|target| !target.asks.is_empty());
            let asks = first..passes.asks.len() as u32;
            link.asked = is_asked.then(|| Asked { sources: set(&mut passes.sets, sources, guards), asks });
        }
    }
    passes.sources.extend(drafts.into_iter().map(|draft| source(draft, nodes, &mut passes.asks)));
    passes
}

/// A gathered source; tells what is asked of it the stages.
fn source(draft: Draft, nodes: &[Node], asks: &mut [Ask]) -> Source {
    let stages = stages(&draft.nodes, nodes);
    for (number, node) in &draft.asks {
        if let Some(ask) = asks.get_mut(*number as usize) {
            ask.stage = stages.iter().position(|stage| stage.node == *node).unwrap_or(0) as u8;
        }
    }
    let asks = draft.asks.into_iter().map(|(number, _)| number).collect();
    Source { kept: draft.kept, name: draft.name, stages, asks }
}

/// Numbers the sources that a link asks.
fn set(sets: &mut Vec<SourceSet>, mut sources: Vec<u16>, guards: u64) -> u16 {
    sources.sort_unstable();
    sources.dedup();
    let set = SourceSet { sources: sources.into(), guards };
    let known = sets.iter().position(|known| *known == set);
    let number = known.unwrap_or(sets.len());
    if known.is_none() {
        sets.push(set);
    }
    number as u16
}

/// The name of the members that a target chooses (`Some(None)`: all), when its values go through passes.
fn source_of(link: &Link, target: &Target) -> Option<Option<Box<str>>> {
    if link.negated || target.count || !has_list(target.kept.0) || !is_pure(&link.operator) {
        return None;
    }
    match &target.choice {
        Choice::All => Some(None),
        Choice::Name(Key::Name(name)) => Some(Some(name.clone())),
        Choice::Name(Key::Slot(_)) | Choice::Pattern { .. } => None,
    }
}

/// Whether values of this variable are kept in a list that stays while its rules are judged.
fn has_list(variable: Variable) -> bool {
    !matches!(
        variable,
        Variable::Tx | Variable::MatchedVar | Variable::MatchedVarName | Variable::MatchedVars | Variable::Rule
    ) && variable != Variable::HighestSeverity
        && !variable.is_persistent()
}

/// Whether the verdict depends on nothing but the text.
fn is_pure(operator: &Operator) -> bool {
    match operator {
        Operator::Compare(_, number) => matches!(number, Number::Fixed(_)),
        Operator::Text(_, template) => template.fixed().is_some(),
        Operator::MadePattern(_) | Operator::Geography => false,
        _ => true,
    }
}

/// What a text must have for the operator to hold: beside a gate, one of the literals of a slot.
fn needs(operator: &Operator, patterns: &[Pattern], phrases: &[Phrases], prefilter: &Literals) -> (Gate, u16) {
    let of = |masks: Vec<alphabet::Mask>| (Gate { length: 0, masks }, NONE);
    match operator {
        Operator::Pattern(number) | Operator::PatternGlobal(number) => {
            let gate = patterns.get(*number as usize).map(|pattern| pattern.gate.clone());
            (gate.unwrap_or_default(), prefilter.of_pattern(*number))
        }
        Operator::Phrases(number) => {
            let shortest = phrases.get(*number as usize).map_or(0, |phrases| phrases.shortest);
            (Gate { length: shortest, masks: Vec::new() }, prefilter.of_phrases(*number))
        }
        // See `libinjection::xss`.
        Operator::Xss => of(vec![alphabet::of_set(b"<=".iter().copied())]),
        Operator::UrlEncoding => of(vec![alphabet::of_set(b"%".iter().copied())]),
        Operator::Utf8 => of(vec![alphabet::HIGH]),
        Operator::ByteRange(allowed) => {
            let refused = (0..=255_u8).filter(|byte| !allowed.get(usize::from(*byte)).copied().unwrap_or(false));
            of(vec![alphabet::of_set(refused)])
        }
        _ => of(Vec::new()),
    }
}

/// Takes what is asked at a node into the draft of its source that has room for it; the number of the source.
fn draft(
    drafts: &mut Vec<Draft>,
    nodes: &[Node],
    kept: (Variable, Aspect, Part),
    name: Option<&str>,
    node: u32,
    ask: u32,
) -> u16 {
    let way = way(nodes, node);
    let fits = |draft: &Draft| {
        let new = way.iter().filter(|node| !draft.nodes.contains(node)).count();
        draft.kept == kept && draft.name.as_deref() == name && draft.nodes.len() + new <= STAGES
    };
    let known = drafts.iter().position(fits);
    let number = known.unwrap_or(drafts.len());
    if known.is_none() {
        drafts.push(Draft { kept, name: name.map(Into::into), nodes: vec![0], asks: Vec::new() });
    }
    if let Some(draft) = drafts.get_mut(number) {
        let new: Vec<u32> = way.into_iter().filter(|node| !draft.nodes.contains(node)).collect();
        draft.nodes.extend(new);
        draft.asks.push((ask, node));
    }
    number as u16
}

/// The nodes on the way to a node, the root first.
fn way(nodes: &[Node], node: u32) -> Vec<u32> {
    let mut way = vec![node];
    while let Some(last) = way.last().copied().filter(|last| *last != 0) {
        way.push(nodes.get(last as usize).map_or(0, |node| node.parent));
    }
    way.reverse();
    way
}

/// The nodes as a tree, each before those that come of it.
fn stages(known: &[u32], nodes: &[Node]) -> Vec<Stage> {
    let mut stages = vec![Stage { node: 0, before: 0, end: 0, step: None, touches: Some(0) }];
    branch(&mut stages, 0, known, nodes);
    stages
}

/// Adds what comes of a stage.
fn branch(stages: &mut Vec<Stage>, before: u8, known: &[u32], nodes: &[Node]) {
    let Some(from) = stages.get(usize::from(before)).map(|stage| stage.node) else { return };
    for number in known.iter().filter(|number| **number != 0) {
        if let Some(node) = nodes.get(*number as usize).filter(|node| node.parent == from) {
            let at = stages.len() as u8;
            stages.push(Stage { node: *number, before, end: 0, step: node.step, touches: node.touches });
            branch(stages, at, known, nodes);
        }
    }
    let end = stages.len() as u8;
    if let Some(stage) = stages.get_mut(usize::from(before)) {
        stage.end = end;
    }
}

/// For each rule the conditions by which rules before it skip it.
fn guards(rules: &[Rule], phases: &[Vec<u32>; 5], conditions: &mut Vec<Condition>) -> Vec<u64> {
    let mut guards = vec![0; rules.len()];
    for list in phases {
        for (position, number) in list.iter().enumerate() {
            let Some(rule) = rules.get(*number as usize) else { continue };
            let Some((to, condition)) = rule.skip_to.zip(condition(rule)) else { continue };
            let known = conditions.iter().position(|known| *known == condition);
            let bit = known.unwrap_or(conditions.len());
            if bit >= 64 {
                continue;
            }
            if known.is_none() {
                conditions.push(condition);
            }
            for skipped in list.get(position + 1..to as usize).unwrap_or_default() {
                if let Some(guards) = guards.get_mut(*skipped as usize) {
                    *guards |= 1 << bit;
                }
            }
        }
    }
    guards
}

/// When the rule matches, if that is a question of one known name of `TX`.
fn condition(rule: &Rule) -> Option<Condition> {
    let [link] = rule.links.as_slice() else { return None };
    let [Target { kept: (Variable::Tx, ..), choice: Choice::Name(Key::Slot(slot)), count: false, .. }] =
        link.targets.as_slice()
    else {
        return None;
    };
    let Operator::Compare(order, Number::Fixed(number)) = link.operator else { return None };
    let is_plain = link.node == 0 && !link.multi_match && link.exclusions.is_empty();
    is_plain.then_some(Condition { slot: *slot, order, number, negated: link.negated })
}
