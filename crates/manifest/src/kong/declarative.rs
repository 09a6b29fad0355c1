//! Declarative files become a gateway.
//!
//! Follows Kong's `declarative_config` schema: nested and flat forms, references by name or id, one set of names over
//! all files that are handed in.

use super::schema::{COMMENTS, tell};
use super::{Lowering, code, consumer, overlap, plugin, route, service, upstream};
use crate::node::Value;
use crate::source::Document;
use crate::{Cursor, FieldRecord, Ledger};
use ringwall_gateway::{Gateway, Parts, Scope, Settings};
use ringwall_model::{Finding, RuleBook, Severity};
use std::collections::BTreeMap;

/// What Kong's documents mean: the gateway, the findings, and what became of each field.
pub fn lower(
    documents: &[&Document],
    settings: Settings,
    rules: &mut RuleBook,
) -> (Gateway, Vec<Finding>, Vec<FieldRecord>) {
    let ledgers: Vec<Ledger<'_>> = documents.iter().map(|document| Ledger::open(document)).collect();
    let mut lowering = Lowering {
        rules,
        parts: Parts { settings, ..Parts::default() },
        services: BTreeMap::new(),
        routes: BTreeMap::new(),
        consumers: BTreeMap::new(),
        plugins: Vec::new(),
        plugin_cursors: Vec::new(),
        route_cursors: Vec::new(),
    };
    let roots: Vec<Cursor<'_>> = ledgers.iter().map(Ledger::root).collect();
    // ORDER: what is referred to comes before what refers to it, over all documents.
    roots.iter().for_each(|root| head(*root));
    roots.iter().for_each(|root| service::lower_all(*root, &mut lowering));
    roots.iter().for_each(|root| route::lower_all(*root, &mut lowering));
    roots.iter().for_each(|root| consumer::lower_all(*root, &mut lowering));
    roots.iter().for_each(|root| upstream::lower_all(*root, &mut lowering));
    for root in &roots {
        for plugin in root.get("plugins").items() {
            let scope = Scope::default();
            lowering.plugins.push((plugin, scope));
        }
    }
    plugin::lower_all(&mut lowering);
    overlap::judge(&lowering);
    let gateway = Gateway::assemble(lowering.parts);
    let (mut findings, mut records) = (Vec::new(), Vec::new());
    for (found, fields) in ledgers.iter().map(Ledger::finish) {
        findings.extend(found);
        records.extend(fields);
    }
    (gateway, findings, records)
}

/// Entities of Kong that are not lowered.
const OTHERS: [&str; 6] = ["certificates", "ca_certificates", "snis", "vaults", "consumer_groups", "keys"];

fn head(root: Cursor<'_>) {
    root.descriptive(&COMMENTS);
    root.descriptive(&["_info", "_workspace", "_konnect", "_plugin_configs"]);
    let _ = root.get("_transform").flag();
    let version = root.get("_format_version");
    match version.peek().map(|node| &node.value) {
        Some(Value::String(text)) if matches!(&**text, "1.1" | "2.1" | "3.0") => {
            let _ = version.string();
        }
        Some(Value::String(_)) => {
            let _ = version.string();
            let title = "Kong refuses this: `_format_version: expected one of: 1.1, 2.1, 3.0`";
            tell(version, code::FORMAT_VERSION, Severity::Error, title, "write `_format_version: \"3.0\"`");
        }
        _ => {
            let _ = version.whole();
            let title = "Kong refuses this: `_format_version: expected a string`";
            tell(
                version,
                code::FORMAT_VERSION,
                Severity::Error,
                title,
                "write `_format_version: \"3.0\"`, with quotes",
            );
        }
    }
    for name in OTHERS {
        let at = root.get(name);
        if at.whole().is_some() {
            let title = format!("`{name}` are not read: certificates come from Secrets and Certificate resources");
            tell(at, code::ENTITY, Severity::Warning, title, "");
        }
    }
}

/// The name or id that a reference gives: `service: foo`, `service: {name: foo}`, `service: {id: …}`.
pub fn reference<'a>(at: Cursor<'a>) -> Option<&'a str> {
    match at.peek().map(|node| &node.value) {
        Some(Value::Map(_)) => {
            let (name, id, username) = (at.get("name"), at.get("id"), at.get("username"));
            name.string().or_else(|| id.string()).or_else(|| username.string())
        }
        Some(_) => at.string(),
        None => None,
    }
}

/// Looks a reference up; one that leads nowhere is an error, as Kong has it.
pub fn resolve<T: Copy>(at: Cursor<'_>, known: &BTreeMap<Box<str>, T>) -> Option<T> {
    let name = reference(at)?;
    let found = known.get(name).copied();
    if found.is_none() {
        let title = format!("Kong refuses this: `{}: invalid reference '{name}'` (no such entity)", at.name());
        tell(at, code::REFERENCE, Severity::Error, title, "");
    }
    found
}

/// Enters names of an entity; a name that is taken is an error.
pub fn enter<T: Copy>(at: Cursor<'_>, known: &mut BTreeMap<Box<str>, T>, names: &[Option<&str>], index: T) {
    for name in names.iter().flatten() {
        if known.insert((*name).into(), index).is_some() {
            let title = format!("Kong refuses this: `uniqueness violation: '{name}' is already used`");
            tell(at, code::DUPLICATE, Severity::Error, title, "");
        }
    }
}

/// Reads `id`.
pub fn id(at: Cursor<'_>) -> Option<ringwall_gateway::Uuid> {
    let at = at.get("id");
    let text = at.string()?;
    let read = text.parse().ok();
    if read.is_none() {
        tell(at, code::SCHEMA, Severity::Error, "Kong refuses this: `id: expected a valid UUID`", "");
    }
    read
}
