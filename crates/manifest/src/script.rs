//! Shell scripts among the manifests: not run, but what they mean to do is told in our own commands.
//!
//! In: a script as `read` splits it (one node a command, joined over `\`). Out: findings that name the command of
//! Ringwall that does it. Never: running, expanding or importing (`kong::import` does that when asked).

use crate::code;
use crate::node::{Node, Span, Value};
use crate::source::{Document, Sources};
use ringwall_model::{Finding, Place, Severity};

/// The most commands of one script that are looked at.
const MAX_COMMANDS: usize = 20_000;

/// Splits a script into its commands: comments left out, continued lines joined.
pub fn read(text: &str) -> Node {
    let mut commands = Vec::new();
    let mut open: Option<(usize, String)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\n', '\r']);
        let (start, mut joined) = match open.take() {
            Some((start, joined)) => (start, joined),
            None => (at + (bare.len() - bare.trim_start().len()), String::new()),
        };
        at += line.len();
        let end = at - (line.len() - bare.trim_end().len());
        let continued = bare.strip_suffix('\\');
        joined.push_str(continued.unwrap_or(bare));
        if continued.is_some() && at < text.len() {
            joined.push(' ');
            open = Some((start, joined));
            continue;
        }
        let command = joined.trim();
        if !command.is_empty() && !command.starts_with('#') && commands.len() < MAX_COMMANDS {
            let span = Span { start: start as u32, end: end as u32 };
            commands.push(Node::new(Value::String(command.into()), span));
        }
    }
    Node::new(Value::List(commands), Span { start: 0, end: text.len() as u32 })
}

/// What the commands of a script mean here.
pub fn judge(document: &Document, sources: &Sources) -> Vec<Finding> {
    let Value::List(commands) = &document.root.value else { return Vec::new() };
    let file = sources.files.get(document.file).map(|file| &*file.name).unwrap_or_default();
    let told = commands.iter().enumerate().filter_map(|(index, command)| {
        let (title, help) = meaning(command.as_str().unwrap_or_default(), file)?;
        let place = Place::value(document.id, format!("/{index}"));
        Some(Finding::new(code::SCRIPT, Severity::Note, place, title).help(help))
    });
    told.collect()
}

/// What a command is for, and ours in its place.
fn meaning(command: &str, file: &str) -> Option<(String, String)> {
    let words: Vec<&str> = command.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).collect();
    let has = |word: &str| words.contains(&word);
    let first = words.iter().copied().find(|word| !word.is_empty() && !word.contains('='))?;
    let tell = |title: &str, help: &str| Some((title.to_owned(), help.to_owned()));
    if has("at") && command.contains("at now +") {
        return tell(
            "a removal that waits for `at` is forgotten when the machine restarts",
            "`ringwall block ADDRESS --for 1h` ends by itself",
        );
    }
    match first {
        "curl" if is_admin_call(command) && command.contains("config.deny") && has("PATCH") => tell(
            "this replaces the whole list of refused addresses by one",
            "`ringwall block ADDRESS --for 1h` adds one, with an end",
        ),
        "curl" if is_admin_call(command) && (has("POST") || has("PUT") || has("PATCH")) => tell(
            "a call of Kong's Admin API is not run",
            &format!("`ringwall import {file}` makes declarative configuration of it"),
        ),
        "curl" if is_admin_call(command) => {
            tell("a question to Kong's Admin API is not asked", "`ringwall status` shows what is in force")
        }
        "kubectl" if has("patch") && has("authorizationpolicy") => tell(
            "a patch of a list by position removes whatever stands there by then",
            "`ringwall block ADDRESS --for 1h` adds one, with an end",
        ),
        "curl" => tell(
            "a call that tries a connection is not made",
            "`ringwall explain` tells which layer lets it pass or refuses it",
        ),
        "kubectl" if has("logs") => {
            tell("a search in logs is not made", "`ringwall explain` tells why a call is refused, by rule")
        }
        "kubectl" if has("describe") || has("get") => {
            tell("a look at the cluster is not taken", "`ringwall status` shows what is in force")
        }
        "istioctl" => {
            tell("a look at a proxy is not taken", "`ringwall status` shows certificates and what is in force")
        }
        _ => None,
    }
}

/// Whether a curl line speaks to an Admin API: by its port or by its name.
fn is_admin_call(command: &str) -> bool {
    let address = |word: &&str| word.contains("://");
    let named = |word: &str| word.contains(":8001/") || word.contains(":8444/") || word.contains("kong-admin");
    command.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).filter(address).any(named)
}
