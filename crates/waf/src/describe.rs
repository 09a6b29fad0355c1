//! Rules for people: a list with what one filters by, and one rule with what became of it.
//!
//! In: a compiled rule set and the files it came from. Out: names and texts. Never: a judgement.

use crate::operator::{Number, Operator};
use crate::report::tags;
use crate::rule::{Choice, Control, Disruptive, Effect, Link, Rule};
use crate::template::{Key, Piece, Template};
use crate::transform::TABLE;
use crate::variable::Variable;
use crate::{Bundle, Rules, Waf};

/// A rule in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: u64,
    /// Phase, 1 to 5.
    pub phase: u8,
    /// The paranoia level of its tags (`paranoia-level/2`).
    pub paranoia: Option<u8>,
    /// 0 (emergency) to 7 (debug).
    pub severity: Option<u8>,
    /// Its tags without macros.
    pub tags: Vec<String>,
    /// Its message as written.
    pub message: String,
    /// File in the bundle.
    pub file: String,
    /// Line of its first directive.
    pub line: u32,
}

/// A rule with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The rule in a list.
    pub listed: Listed,
    /// As written, with its chain.
    pub text: String,
    /// What a match does.
    pub does: &'static str,
    /// The rule itself and its chain.
    pub links: Vec<ShownLink>,
    /// Rules that leave this one or some of its targets out while a transaction runs (`ctl`).
    pub left_out_by: Vec<u64>,
}

/// One link of a chain, lowered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownLink {
    /// What is looked at; empty for `SecAction`.
    pub targets: Vec<String>,
    /// What is left out of it, by the rule itself or by a later directive.
    pub exclusions: Vec<String>,
    /// What is done to a value first, in order.
    pub transformations: Vec<&'static str>,
    /// The operator, and how it is answered.
    pub operator: String,
}

/// So many literals of a pattern are shown.
const LITERALS: usize = 8;

impl Waf {
    /// Every rule, in the order in which they are asked.
    pub fn listed(&self) -> impl Iterator<Item = Listed> {
        let rules = self.rules.rules.iter().zip(&self.rules.index);
        rules.map(|(rule, (_, _, message))| listed(rule, message))
    }

    /// One rule; `bundle` holds the files it was read from. `None`: there is no such rule.
    pub fn shown(&self, bundle: &Bundle, id: u64) -> Option<Shown> {
        let number = self.rules.rules.iter().position(|rule| rule.id == id)?;
        let rule = self.rules.rules.get(number)?;
        let (_, _, message) = self.rules.index.get(number)?;
        let leaves_out = |effect: &Effect| match effect {
            Effect::Control(Control::RemoveRules(bits)) => bits.contains(number),
            Effect::Control(Control::RemoveTarget(held)) => held.0.contains(number),
            _ => false,
        };
        let left_out_by =
            self.rules.rules.iter().filter(|rule| rule.links.iter().flat_map(|link| &link.effects).any(leaves_out));
        Some(Shown {
            listed: listed(rule, message),
            text: text(bundle, rule),
            does: does(&rule.disruptive),
            links: rule.links.iter().map(|link| shown(&self.rules, link)).collect(),
            left_out_by: left_out_by.map(|rule| rule.id).collect(),
        })
    }
}

fn listed(rule: &Rule, message: &str) -> Listed {
    let tags = tags(rule);
    let level = |tag: &String| tag.strip_prefix("paranoia-level/").and_then(|level| level.parse().ok());
    Listed {
        id: rule.id,
        phase: rule.phase,
        paranoia: tags.iter().find_map(level),
        severity: rule.severity,
        tags,
        message: message.to_owned(),
        file: rule.file.to_string(),
        line: rule.line,
    }
}

const fn does(disruptive: &Disruptive) -> &'static str {
    match disruptive {
        Disruptive::Pass => "pass",
        Disruptive::Deny => "deny",
        Disruptive::Drop => "drop",
        Disruptive::Redirect(_) => "redirect",
        Disruptive::Allow(_) => "allow",
    }
}

/// The lines of a rule: as many directives as it has links.
fn text(bundle: &Bundle, rule: &Rule) -> String {
    let bytes = bundle.file(&rule.file).unwrap_or_default();
    let whole = String::from_utf8_lossy(bytes);
    let mut out = String::new();
    let mut links = rule.links.len();
    for line in whole.lines().skip((rule.line as usize).saturating_sub(1)) {
        if links == 0 {
            break;
        }
        out.push_str(line);
        out.push('\n');
        let trimmed = line.trim();
        if !trimmed.is_empty() && !trimmed.starts_with('#') && !trimmed.ends_with('\\') {
            links -= 1;
        }
    }
    out
}

fn shown(rules: &Rules, link: &Link) -> ShownLink {
    let target = |target: &crate::rule::Target| {
        format!("{}{}", if target.count { "&" } else { "" }, member(rules, target.variable, &target.choice))
    };
    let mut transformations = Vec::new();
    let mut node = link.node;
    while let Some((parent, step)) = rules.nodes.get(node as usize).and_then(|node| Some((node.parent, node.step?))) {
        let named = TABLE.iter().find(|(_, known)| *known == step).map(|(name, _)| *name);
        transformations.extend(named);
        node = parent;
    }
    transformations.reverse();
    ShownLink {
        targets: link.targets.iter().map(target).collect(),
        exclusions: link.exclusions.iter().map(|one| member(rules, one.variable, &one.choice)).collect(),
        transformations,
        operator: format!("{}{}", if link.negated { "not " } else { "" }, operator(rules, &link.operator)),
    }
}

/// `ARGS:q`, `TX:/^a/`.
fn member(rules: &Rules, variable: Variable, choice: &Choice) -> String {
    let name = variable.name();
    match choice {
        Choice::All => name.to_owned(),
        Choice::Name(key) => format!("{name}:{}", key_name(rules, key)),
        Choice::Pattern { pattern, .. } => {
            let text = rules.patterns.get(*pattern as usize).map_or("", |pattern| pattern.text());
            format!("{name}:/{}/", text.strip_prefix("(?i)").unwrap_or(text))
        }
    }
}

fn key_name<'a>(rules: &'a Rules, key: &'a Key) -> &'a str {
    match key {
        Key::Slot(slot) => rules.names.get(usize::from(*slot)).map_or("", |name| name),
        Key::Name(name) => name,
    }
}

fn operator(rules: &Rules, operator: &Operator) -> String {
    match operator {
        Operator::Pattern(number) => pattern(rules, *number),
        Operator::PatternGlobal(number) => format!("{}; every match counts", pattern(rules, *number)),
        Operator::MadePattern(template) => format!("regular expression made of {}", made(rules, template)),
        Operator::Phrases(number) => {
            let count = rules.phrases.get(*number as usize).map_or(0, |phrases| phrases.list.len());
            format!("one of {count} phrases, without regard to case, by one automaton")
        }
        Operator::Compare(order, right) => {
            format!("number {} {}", format!("{order:?}").to_lowercase(), number(rules, right))
        }
        Operator::Text(relation, template) => format!("text {relation:?} {}", made(rules, template)),
        Operator::Address(_) => "address in one of the networks".into(),
        Operator::Sqli => "SQL injection by tokens and fingerprint (libinjection's algorithm)".into(),
        Operator::Xss => "cross-site scripting by HTML5 states (libinjection's algorithm)".into(),
        Operator::Always => "always".into(),
        Operator::Never => "never".into(),
        Operator::Geography => "the client's place is known".into(),
        Operator::ByteRange(allowed) => {
            format!("a byte beside the {} that are allowed", allowed.iter().filter(|allowed| **allowed).count())
        }
        Operator::UrlEncoding => "broken URL encoding".into(),
        Operator::Schema(_) => "no JSON that fits the schema".into(),
        Operator::Utf8 => "broken UTF-8".into(),
        Operator::Verify(digits, number) => format!("{digits:?} check digits of {}", pattern(rules, *number)),
    }
}

fn pattern(rules: &Rules, number: u32) -> String {
    let Some(pattern) = rules.patterns.get(number as usize) else { return String::new() };
    let size = pattern.text().len();
    if pattern.literals.is_empty() {
        return format!("regular expression of {size} bytes, run on every value that its gate lets through");
    }
    let shown = pattern.literals.iter().take(LITERALS).map(|literal| format!("{:?}", String::from_utf8_lossy(literal)));
    let more = if pattern.literals.len() > LITERALS { ", …" } else { "" };
    let count = pattern.literals.len();
    let shown = shown.collect::<Vec<_>>().join(", ");
    format!("regular expression of {size} bytes, run only where one of {count} literals stands: {shown}{more}")
}

fn number(rules: &Rules, number: &Number) -> String {
    match number {
        Number::Fixed(number) => number.to_string(),
        Number::Slot(slot) => format!("TX:{}", key_name(rules, &Key::Slot(*slot))),
        Number::Made(template) => made(rules, template),
    }
}

fn made(rules: &Rules, template: &Template) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => format!("{text:?}"),
        Piece::Value(variable, None) => variable.name().to_owned(),
        Piece::Value(variable, Some(key)) => format!("{}:{}", variable.name(), key_name(rules, key)),
        Piece::Rule(name) => format!("RULE:{name}"),
    };
    template.pieces.iter().map(piece).collect::<Vec<_>>().join(" + ")
}

#[cfg(test)]
mod tests {
    use crate::{Bundle, Waf};

    #[test]
    fn a_rule_is_shown_as_written_and_as_lowered() {
        let text = "# first\n\
            SecRule ARGS|!ARGS:x|&TX:/^a/ \"!@rx (?i)union.+select\" \\\n\
            \x20 \"id:1,phase:2,deny,t:none,t:lowercase,t:urlDecodeUni,msg:'m',severity:CRITICAL,tag:'paranoia-level/2',chain\"\n\
            # between\n\
            \x20 SecRule TX:score \"@ge %{tx.limit}\" \"t:none\"\n\
            SecAction \"id:2,phase:1,pass,nolog,ctl:ruleRemoveTargetById=1;ARGS:q\"\n\
            SecRuleUpdateTargetById 1 \"!ARGS:/^z/\"\n";
        let mut bundle = Bundle::default();
        bundle.add("a.conf", text);
        let waf = Waf::load(&bundle, &["a.conf"]).unwrap();
        let listed: Vec<_> =
            waf.listed().map(|one| (one.id, one.phase, one.paranoia, one.severity, one.line)).collect();
        assert_eq!(listed, [(1, 2, Some(2), Some(2), 2), (2, 1, None, None, 6)]);
        let shown = waf.shown(&bundle, 1).unwrap();
        assert_eq!(shown.text.lines().count(), 4);
        assert!(shown.text.starts_with("SecRule ARGS|") && shown.text.ends_with("\"t:none\"\n"));
        assert_eq!((shown.does, shown.left_out_by.as_slice()), ("deny", &[2][..]));
        let first = &shown.links[0];
        assert_eq!(first.targets, ["ARGS", "&TX:/^a/"]);
        assert_eq!(first.exclusions, ["ARGS:x", "ARGS:/^z/"]);
        assert_eq!(first.transformations, ["lowercase", "urlDecodeUni"]);
        assert!(first.operator.starts_with("not regular expression of 17 bytes"), "{}", first.operator);
        assert_eq!(shown.links[1].operator, "number ge TX:limit");
        assert!(waf.shown(&bundle, 3).is_none());
    }
}
