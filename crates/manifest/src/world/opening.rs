//! Sorting documents by kind, opening a ledger for each, and closing them all.

use super::kinds::{self, Dialect, Lowering};
use crate::code;
use crate::kubernetes::Declared;
use crate::node::{FieldRecord, Ledger, Value, nearest};
use crate::resource::{Kind, Resource};
use crate::script;
use crate::source::{Document, Format, Sources};
use ringwall_model::{DocumentId, Finding, Part, Place, Severity};
use std::collections::BTreeMap;

/// What became of the fields of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindFields {
    /// The kind, as `group/Kind`; `kong` and `grafana` for what has none.
    pub kind: Box<str>,
    /// Its fields, sorted, each once for each use.
    pub fields: Vec<FieldRecord>,
}

/// All documents, sorted out.
pub struct Opened<'a> {
    /// Resources with their ledgers, in the order of group, kind, namespace and name.
    pub entries: Vec<Entry<'a>>,
    /// Kong's declarative documents.
    pub kong: Vec<&'a Document>,
    /// JSON that is no resource.
    pub json: Vec<&'a Document>,
}

/// One resource that somebody lowers.
pub struct Entry<'a> {
    /// Its document.
    pub document: &'a Document,
    /// Its kind.
    pub kind: Kind<'a>,
    /// Who lowers it.
    pub lowering: Lowering,
    /// Its ledger.
    pub ledger: Ledger<'a>,
}

impl<'a> Opened<'a> {
    /// The entries of a dialect.
    pub fn of(&self, dialect: Dialect) -> impl Iterator<Item = &Entry<'a>> {
        self.entries.iter().filter(move |entry| matches!(entry.lowering, Lowering::Dialect(found) if found == dialect))
    }

    /// Documents of a dialect, for dialects that open their own ledgers.
    pub fn documents(&self, dialect: Dialect) -> Vec<&'a Document> {
        self.of(dialect).map(|entry| entry.document).collect()
    }

    /// All resources as trees, for those who look at names only.
    pub fn resources(&self) -> Vec<(Kind<'a>, &'a Document)> {
        self.entries.iter().map(|entry| (entry.kind, entry.document)).collect()
    }

    /// Closes the ledgers that were used here.
    pub fn finish(&mut self) -> (Vec<Finding>, Vec<KindFields>) {
        let mut findings = Vec::new();
        let mut by_kind: BTreeMap<String, Vec<FieldRecord>> = BTreeMap::new();
        for entry in &self.entries {
            // A document that nobody opened a cursor on says so in its own finding, not field by field.
            if !entry.ledger.was_opened() {
                continue;
            }
            let (found, fields) = entry.ledger.finish();
            findings.extend(found);
            by_kind.entry(kind_name(entry.kind)).or_default().extend(fields);
        }
        (findings, by_kind.into_iter().map(|(kind, fields)| kind_fields(kind, fields)).collect())
    }
}

/// Sorted and without repetition.
pub fn kind_fields(kind: impl Into<Box<str>>, mut fields: Vec<FieldRecord>) -> KindFields {
    fields.sort();
    fields.dedup();
    KindFields { kind: kind.into(), fields }
}

/// `group/Kind`, or the kind alone in the core group.
pub fn kind_name(kind: Kind<'_>) -> String {
    if kind.group.is_empty() { kind.kind.into() } else { format!("{}/{}", kind.group, kind.kind) }
}

/// Sorts the documents out. What nobody reads is a finding.
pub fn open<'a>(sources: &'a Sources, findings: &mut Vec<Finding>) -> Opened<'a> {
    let mut opened = Opened { entries: Vec::new(), kong: Vec::new(), json: Vec::new() };
    for document in &sources.documents {
        match document.format {
            Format::Broken => {}
            Format::Script => findings.extend(script::judge(document, sources)),
            Format::Kong => opened.kong.push(document),
            Format::Json => opened.json.push(document),
            Format::Resource => match entry(document) {
                Ok(entry) => {
                    if let Lowering::NotEnforced(why) = entry.lowering {
                        findings.push(not_enforced(&entry, why));
                    }
                    opened.entries.push(entry);
                }
                Err(finding) => findings.push(*finding),
            },
        }
    }
    keep_last(&mut opened.entries, findings);
    opened
}

/// The last one of several resources of one name is taken, as when files are applied one after the other.
fn keep_last(entries: &mut Vec<Entry<'_>>, findings: &mut Vec<Finding>) {
    let identity = |entry: &Entry<'_>| {
        let metadata = entry.document.root.get("metadata");
        let text = |name| metadata.and_then(|metadata| metadata.get(name)).and_then(|node| node.as_str());
        let names = (text("namespace").unwrap_or("default").to_owned(), text("name").unwrap_or_default().to_owned());
        (entry.kind.group.to_owned(), entry.kind.kind.to_owned(), names.0, names.1)
    };
    let mut last: BTreeMap<_, DocumentId> = BTreeMap::new();
    for entry in &*entries {
        last.insert(identity(entry), entry.document.id);
    }
    entries.retain(|entry| {
        let key = identity(entry);
        let Some(kept) = last.get(&key).filter(|kept| **kept != entry.document.id && !key.3.is_empty()) else {
            return true;
        };
        let title = format!("{} `{}` is declared again later; that one is taken", key.1, key.3);
        let place = Place::value(entry.document.id, "/metadata/name");
        let finding = Finding::new(code::DUPLICATE_RESOURCE, Severity::Warning, place, title);
        findings.push(finding.related(Place::value(*kept, "/metadata/name"), "this one is taken"));
        false
    });
    entries.sort_by_key(identity);
}

fn entry(document: &Document) -> Result<Entry<'_>, Box<Finding>> {
    let whole = Place::value(document.id, "");
    if !matches!(document.root.value, Value::Map(_)) {
        let title = format!("a manifest must be a map, and this document is {}", document.root.type_name());
        return Err(Finding::new(code::NOT_A_MAP, Severity::Error, whole, title).into());
    }
    let Some(kind) = Kind::of(&document.root) else {
        let title = "`apiVersion` or `kind` is missing";
        let finding = Finding::new(code::NO_KIND, Severity::Error, whole, title);
        return Err(finding.help("a Kong declarative file begins with `_format_version: \"3.0\"`").into());
    };
    let place = Place::value(document.id, "/kind");
    let Some(served) = kinds::find(kind.group, kind.kind) else {
        let title = format!("kind `{}` of `{}` is not known; nothing of it is enforced", kind.kind, shown(kind.group));
        return Err(Finding::new(code::UNKNOWN_KIND, Severity::Warning, place, title).help(near_kinds(kind)).into());
    };
    if !served.versions.contains(&kind.version) {
        let title = format!("version `{}` of kind `{}` is not served", kind.version, kind.kind);
        let place = Place { part: Part::Value, ..Place::value(document.id, "/apiVersion") };
        let versions = served.versions.iter().map(|version| format!("`{}`", joined(served.group, version)));
        let help = format!("served: {}", versions.collect::<Vec<_>>().join(", "));
        return Err(Finding::new(code::VERSION, Severity::Error, place, title).help(help).into());
    }
    // The API server holds these two to no schema: the installer's file, and patches of Envoy's own configuration.
    let free = matches!(kind.kind, "IstioOperator" | "EnvoyFilter");
    let ledger = Ledger::open(document).unknown_fields_are(if free { Severity::Warning } else { Severity::Error });
    Ok(Entry { document, kind, lowering: served.lowering, ledger })
}

fn shown(group: &str) -> &str {
    if group.is_empty() { "v1" } else { group }
}

fn joined(group: &str, version: &str) -> String {
    if group.is_empty() { version.into() } else { format!("{group}/{version}") }
}

fn near_kinds(kind: Kind<'_>) -> String {
    if kind.group == "gateway.networking.k8s.io" {
        return "the Gateway API is not read: write a Gateway and a VirtualService of `networking.istio.io`, where a \
                `RequestMirror` is one of the `mirrors`"
            .into();
    }
    let same = kinds::KINDS.iter().filter(|served| served.kind == kind.kind);
    let groups: Vec<String> = same.map(|served| format!("`{}`", shown(served.group))).collect();
    if !groups.is_empty() {
        return format!("a kind of this name is known in {}", groups.join(", "));
    }
    let names: Vec<&str> = kinds::KINDS.iter().map(|served| served.kind).collect();
    match nearest(kind.kind, &names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{} kinds are read; `docs/layers/kinds.md` lists them", names.len()),
    }
}

fn not_enforced(entry: &Entry<'_>, why: &str) -> Finding {
    let place = Place::value(entry.document.id, "/kind");
    let title = format!("{} is read and not enforced: {why}", entry.kind.kind);
    Finding::new(code::NOT_ENFORCED, Severity::Note, place, title)
}

/// Lowers what declares who and what there is.
pub fn lower_inventory(opened: &Opened<'_>, declared: &mut Declared) {
    for entry in &opened.entries {
        if let Lowering::Inventory(lower) = entry.lowering {
            lower(&Resource::open(entry.ledger.root()), declared);
        }
    }
}
