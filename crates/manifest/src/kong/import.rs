//! Scripts that configure Kong by its Admin API, as a declarative file.
//!
//! In: text of shell scripts with `curl` commands. Out: YAML that means what the script's author meant, and findings:
//! what Kong itself would answer, what it would take and not do. Follows Kong's Admin API (form arguments as
//! `kong/api/arguments` reads them: `a.b=v`, `x[]=v`, `x[1]=v`, repeated names). Never: carrying anything out.

mod form;
mod shell;
mod yaml;

use super::code;
use crate::node::Value as Tree;
use crate::source::Input;
use form::Form;
use ringwall_gateway::Settings;
use ringwall_model::{DocumentId, Finding, Place, RuleBook, Severity};
use serde_json::{Map, Value, json};
use shell::Request;

/// What scripts come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    /// A declarative file, `_format_version: "3.0"`.
    pub yaml: String,
    /// What is to be said of the scripts: at a command, and at the whole script where it is about all of it.
    pub findings: Vec<Finding>,
}

/// Reads scripts, each with the document it is, in the order in which they would be run.
pub fn import(scripts: &[(DocumentId, &str)]) -> Import {
    let mut importing = Importing::default();
    for (document, text) in scripts {
        importing.script(*document, text);
    }
    let yaml = yaml::render(&Value::Object(importing.file.clone()));
    let mut findings = importing.findings;
    for (document, file) in &importing.pieces {
        findings.extend(kongs_answers(*document, file));
    }
    findings.sort_by(|a, b| (&a.primary, a.code, &a.title).cmp(&(&b.primary, b.code, &b.title)));
    findings.dedup();
    Import { yaml, findings }
}

#[derive(Default)]
struct Importing {
    file: Map<String, Value>,
    /// What each script alone comes to, for the findings of the lowering.
    pieces: Vec<(DocumentId, Map<String, Value>)>,
    findings: Vec<Finding>,
}

impl Importing {
    fn script(&mut self, document: DocumentId, text: &str) {
        let mut piece = Map::new();
        let mut in_clear_text = false;
        let script = crate::script::read(text);
        let commands = if let Tree::List(commands) = &script.value { commands.as_slice() } else { &[] };
        for (index, command) in commands.iter().enumerate() {
            let at = Place::value(document, format!("/{index}"));
            let command = command.as_str().unwrap_or_default();
            if let Some(request) = shell::request(command) {
                // Once a script: its calls all go the same way.
                if request.is_clear_text() && !in_clear_text {
                    in_clear_text = true;
                    let title = "the Admin API is called in clear text, and asks nobody who they are";
                    let help = "keep it on loopback; write a file";
                    self.say(&at, code::ADMIN_CALL, Severity::Warning, title.into(), help);
                }
                self.request(&at, &request, &mut piece);
            }
            for line in shell::schedules(command) {
                let help = "blocks with a time to live end by themselves";
                self.say(&at, code::SCHEDULE, Severity::Warning, line.into(), help);
            }
        }
        for (list, entries) in &piece {
            let all = self.file.entry(list.clone()).or_insert_with(|| json!([]));
            if let (Value::Array(all), Value::Array(entries)) = (all, entries) {
                all.extend(entries.iter().cloned());
            }
        }
        self.pieces.push((document, piece));
    }

    fn say(&mut self, at: &Place, code: ringwall_model::Code, severity: Severity, title: String, help: &str) {
        let mut finding = Finding::new(code, severity, at.clone(), title);
        if !help.is_empty() {
            finding = finding.help(help);
        }
        self.findings.push(finding);
    }

    fn request(&mut self, at: &Place, request: &Request, piece: &mut Map<String, Value>) {
        let form = Form::read(&request.arguments);
        for (code, title, help) in form.faults.iter().cloned() {
            self.say(at, code, Severity::Warning, title, help);
        }
        let path: Vec<&str> = request.path.split('/').filter(|segment| !segment.is_empty()).collect();
        match (request.method.as_str(), path.as_slice()) {
            ("POST" | "PUT", [collection]) if is_collection(collection) => add(piece, collection, form.value),
            ("POST" | "PUT", [owners, owner, collection]) if is_collection(owners) => {
                self.nested(at, (owners, owner, collection), form.value, piece);
            }
            ("PATCH", [collection, _]) if is_collection(collection) => self.patch(at, request, &form),
            ("GET" | "HEAD", _) => {}
            (method, _) => {
                let title = format!("`{method} /{}` is not read", path.join("/"));
                self.say(at, code::COMMAND, Severity::Warning, title, "write the file that the calls should come to");
            }
        }
    }

    /// `POST /routes/{id}/plugins`: an entity that belongs to another.
    fn nested(
        &mut self,
        at: &Place,
        (owners, owner, collection): (&str, &str, &str),
        mut value: Map<String, Value>,
        piece: &mut Map<String, Value>,
    ) {
        let name = owner.trim_matches(['{', '}', '$']);
        if name != owner {
            let title = format!("`{owner}` stands for a name that only its reader knows");
            let help = format!("the file says `{name}`; put the name of one of your {owners} there");
            self.say(at, code::TARGET_PLACEHOLDER, Severity::Warning, title, &help);
        }
        let list = match collection {
            "jwt" => "jwt_secrets",
            "key-auth" => "keyauth_credentials",
            "basic-auth" => "basicauth_credentials",
            other => other,
        };
        value.insert(owners.trim_end_matches('s').to_owned(), Value::from(name));
        add(piece, list, value);
    }

    /// Records merge, lists do not: the request's list stands in the place of the old one.
    fn patch(&mut self, at: &Place, request: &Request, form: &Form) {
        for name in &form.lists {
            let title = format!("`PATCH` replaces the whole list `{name}`: what was in it before is forgotten");
            self.say(
                at,
                code::PATCH_REPLACES,
                Severity::Warning,
                title,
                "send the whole list; for blocks use Ringwall's own",
            );
        }
        for argument in request.arguments.iter().filter(|argument| argument.contains('$')) {
            let title = format!("`{argument}` is put together unchecked: `&` in the value adds arguments of its own");
            self.say(at, code::ARGUMENT_VARIABLE, Severity::Warning, title, "check that it is an address first");
        }
    }
}

const COLLECTIONS: [&str; 5] = ["services", "routes", "plugins", "consumers", "upstreams"];

fn is_collection(name: &str) -> bool {
    COLLECTIONS.contains(&name)
}

fn add(piece: &mut Map<String, Value>, list: &str, value: Map<String, Value>) {
    if let Value::Array(entries) = piece.entry(list.to_owned()).or_insert_with(|| json!([])) {
        entries.push(Value::Object(value));
    }
}

/// What Kong would answer to the entities of one script: the findings of their lowering, put at the script.
fn kongs_answers(document: DocumentId, piece: &Map<String, Value>) -> Vec<Finding> {
    let text = yaml::render(&Value::Object(piece.clone()));
    let (sources, mut findings) = crate::read(&[Input { name: "import.yaml", bytes: text.as_bytes() }]);
    let documents: Vec<_> = sources.documents.iter().collect();
    let (_, found, _) = super::lower(&documents, Settings::default(), &mut RuleBook::default());
    findings.extend(found);
    // A name that another script or a person gives is not wrong here; nor does Kong with a database refuse its counts.
    findings.retain(|finding| finding.code != code::REFERENCE && finding.code != crate::code::SCALAR);
    for finding in &mut findings {
        finding.primary = Place::value(document, "");
        finding.related.clear();
        finding.fix = None;
    }
    findings
}

#[cfg(test)]
mod tests;
