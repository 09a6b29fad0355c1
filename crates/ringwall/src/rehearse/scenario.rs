//! The format of a scenario: Markdown, of which five kinds of fenced blocks are read.
//!
//! - ```` ```manifests ````: YAML in place, or, after the word, a path beside the file whose manifests are meant.
//! - ```` ```world ````: what must be true of the World they make, a line a fact ([`super::facts`]).
//! - ```` ```call ````: `METHOD URL`, then lines `@name: value` (`from`, `at`, `outbound`, `address`,
//!   `claims`, `times`) and header
//!   lines as they are sent, then, after an empty line, the body.
//! - ```` ```flow ````: a flow of packets ([`super::flow`]).
//! - ```` ```trace ````: what must be said of the call or flow before it, a line a fact ([`super::judge`]).
//!
//! A line of `world` or `trace` that begins with `no ` says that no fact begins so; one that ends with `…` says how a
//! fact begins.

use super::flow::Written;
use crate::cli::Explain;
use clap::{Args, FromArgMatches};
use ringwall_control::source::{Input, Source};
use std::path::Path;

/// One scenario.
#[derive(Debug)]
pub struct Scenario {
    /// Its file.
    pub name: String,
    /// Its first heading.
    pub title: String,
    /// Its manifests.
    pub inputs: Vec<Input>,
    /// What its World must be.
    pub world: Vec<Wanted>,
    /// What is sent, in order.
    pub sent: Vec<Sent>,
}

/// One call or flow, with what is expected of it.
#[derive(Debug)]
pub struct Sent {
    /// Line of its block.
    pub line: usize,
    /// What it is.
    pub what: What,
    /// What must be said of it.
    pub wanted: Vec<Wanted>,
}

/// What is sent.
#[derive(Debug)]
pub enum What {
    /// A call.
    Call(Box<Call>),
    /// A flow of packets.
    Flow(Written),
}

/// One call.
#[derive(Debug)]
pub struct Call {
    /// Where to.
    pub url: String,
    /// The rest of its description.
    pub explain: Explain,
    /// Its body.
    pub body: String,
    /// How often it is made; the last time is what is expected.
    pub times: u32,
}

/// One expected line.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its line in the file.
    pub line: usize,
    /// Its text.
    pub text: String,
}

impl Wanted {
    /// Whether the facts fulfil it.
    pub fn holds(&self, facts: &[String]) -> bool {
        if let Some(absent) = self.text.strip_prefix("no ") {
            return !facts.iter().any(|fact| fact.starts_with(absent));
        }
        match self.text.strip_suffix('…') {
            Some(start) => facts.iter().any(|fact| fact.starts_with(start)),
            None => facts.contains(&self.text),
        }
    }
}

/// One fenced block.
struct Block<'a> {
    line: usize,
    word: &'a str,
    rest: &'a str,
    lines: Vec<&'a str>,
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong, with file and line.
    pub fn read(path: &Path, text: &str) -> Result<Self, String> {
        let name = path.display().to_string();
        let title = text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or(&name).trim().to_owned();
        let mut scenario = Self { name, title, inputs: Vec::new(), world: Vec::new(), sent: Vec::new() };
        for block in blocks(text) {
            let wrong = |why: String| format!("{}:{}: {why}", scenario.name, block.line);
            match block.word {
                "manifests" => scenario.inputs.extend(manifests(path, &block).map_err(wrong)?),
                "world" => scenario.world.extend(wanted(&block)),
                "call" => scenario.send(&block, What::Call(Box::new(Call::read(&block).map_err(wrong)?))),
                "flow" => scenario.send(&block, What::Flow(flow(&block).map_err(wrong)?)),
                "trace" => match scenario.sent.last_mut() {
                    Some(sent) => sent.wanted.extend(wanted(&block)),
                    None => return Err(wrong("a `trace` block needs a `call` or `flow` block before it".into())),
                },
                _ => {}
            }
        }
        let unjudged = scenario.sent.iter().find(|sent| sent.wanted.is_empty());
        if let Some(sent) = unjudged {
            return Err(format!("{}:{}: nothing is expected of this call or flow", scenario.name, sent.line));
        }
        if scenario.inputs.is_empty() || (scenario.sent.is_empty() && scenario.world.is_empty()) {
            return Err(format!(
                "{}: a scenario needs a `manifests` block and a `call` or `flow` with its `trace`, or a `world` block",
                scenario.name
            ));
        }
        Ok(scenario)
    }

    fn send(&mut self, block: &Block<'_>, what: What) {
        self.sent.push(Sent { line: block.line, what, wanted: Vec::new() });
    }
}

fn flow(block: &Block<'_>) -> Result<Written, String> {
    Written::read(block.lines.join(" ").trim())
}

/// All fenced blocks that have a word.
fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(text.lines()) {
        match line.strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(info) => {
                inside = true;
                let (word, rest) = info.split_once(' ').unwrap_or((info, ""));
                blocks.push(Block { line: number, word, rest: rest.trim(), lines: Vec::new() });
            }
            None if inside => {
                if let Some(block) = blocks.last_mut() {
                    block.lines.push(line);
                }
            }
            None => {}
        }
    }
    blocks
}

/// The manifests of a block: its own text, or those at a path beside the file.
fn manifests(path: &Path, block: &Block<'_>) -> Result<Vec<Input>, String> {
    if block.rest.is_empty() {
        // Named by its line, so that findings and rules say where to look.
        let bytes = block.lines.join("\n").into_bytes();
        return Ok(vec![Input { name: format!("{}:{}", path.display(), block.line), bytes }]);
    }
    let beside = path.parent().unwrap_or(Path::new(".")).join(block.rest);
    Source::parse(&beside.to_string_lossy()).read().map_err(|error| error.to_string())
}

fn wanted(block: &Block<'_>) -> Vec<Wanted> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines = (block.line + 1..).zip(&block.lines).map(|(line, text)| Wanted { line, text: words(text) });
    lines.filter(|wanted| !wanted.text.is_empty()).collect()
}

impl Call {
    fn read(block: &Block<'_>) -> Result<Self, String> {
        let mut lines = block.lines.iter();
        let first = lines.next().copied().unwrap_or_default();
        let (method, url) = first.split_once(' ').ok_or("a call begins with `METHOD URL`")?;
        let mut words = vec!["explain".to_owned(), format!("--url={}", url.trim()), format!("--method={method}")];
        let mut times = 1;
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            match line.strip_prefix('@').map(|it| it.split_once(':').unwrap_or((it, ""))) {
                Some(("times", number)) => {
                    times = number.trim().parse().map_err(|_| format!("`{number}` is no number of times"))?;
                }
                Some((name @ ("from" | "at" | "address" | "claims"), value)) => {
                    words.push(format!("--{name}={}", value.trim()));
                }
                Some(("outbound", _)) => words.push("--outbound".to_owned()),
                Some((name, _)) => {
                    return Err(format!(
                        "`@{name}` is not known; there are from, at, outbound, address, claims, times"
                    ));
                }
                None => words.push(format!("--header={line}")),
            }
        }
        let command = Explain::augment_args(clap::Command::new("explain"));
        let matches = command.try_get_matches_from(words).map_err(|error| error.to_string())?;
        let explain = Explain::from_arg_matches(&matches).map_err(|error| error.to_string())?;
        let body = lines.copied().collect::<Vec<_>>().join("\n");
        Ok(Self { url: url.trim().into(), explain, body, times })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# T\n\n```manifests\nkind: X\n```\n```call\nPOST https://a.b/c\n@from: x/y\n@times: 3\nA: b\n\nbody\n```\n```trace\nrefuse  403 mesh\nno sent\n```\n";

    #[test]
    fn a_scenario_is_read() {
        let scenario = Scenario::read(Path::new("t.md"), TEXT).unwrap();
        assert_eq!((scenario.title.as_str(), scenario.inputs.len()), ("T", 1));
        let What::Call(call) = &scenario.sent[0].what else { panic!("a flow") };
        assert_eq!((call.url.as_str(), call.times, call.body.as_str()), ("https://a.b/c", 3, "body"));
        assert_eq!((call.explain.method.as_str(), call.explain.from.as_deref()), ("POST", Some("x/y")));
        assert_eq!(call.explain.headers, ["A: b"]);
        assert_eq!(scenario.sent[0].wanted[0].text, "refuse 403 mesh");
    }

    #[test]
    fn what_is_expected_holds_or_does_not() {
        let holds = |text: &str| Wanted { line: 1, text: text.into() }.holds(&["mesh pass A".into(), "sent x".into()]);
        assert!(holds("mesh pass A") && holds("mesh pass…") && holds("no mesh refuse"));
        assert!(!holds("mesh pass") && !holds("route…") && !holds("no sent"));
    }

    #[test]
    fn a_call_without_expectation_and_unknown_words_are_refused() {
        for bad in [
            "```manifests\nx\n```\n```call\nGET https://a/\n```\n",
            "```manifests\nx\n```\n```call\nGET https://a/\n@form: x\n```\n```trace\nx\n```\n",
            "```manifests\nx\n```\n```call\nGET\n```\n```trace\nx\n```\n",
            "```manifests\nx\n```\n```trace\nx\n```\n",
            "```manifests\nx\n```\n",
            "```manifests\nx\n```\n```flow\na/b to c/d\n```\n```trace\nx\n```\n",
        ] {
            assert!(Scenario::read(Path::new("t.md"), bad).is_err(), "{bad}");
        }
    }
}
