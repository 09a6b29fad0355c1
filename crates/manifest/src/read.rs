//! waypoint: policy/1 — bytes become documents.
//!
//! In: named bytes. Out: [`Sources`] with the tree of every document and the span of every node, and findings. Never:
//! meaning. YAML 1.2 and JSON by one pass over parser events. `List` kinds are unrolled into their items; anchors and
//! aliases are expanded within a bound; duplicate keys are refused, as the API server's strict decoding does.
//! Scalars follow the YAML 1.2 core schema, and YAML 1.1 for Kong's declarative files, whose reader (lyaml) is of 1.1.

mod build;
mod scalar;
#[cfg(test)]
mod tests;

use crate::code;
use crate::node::{Node, Span, Style, Value};
use crate::source::{Document, File, Format, Input, Sources};
use ringwall_model::{DocumentId, Finding, Place, Severity};
use std::sync::Arc;

/// The largest file that is read, in bytes.
pub const MAX_BYTES: usize = 16 << 20;
/// The most nodes that a file may have, those that aliases repeat included.
pub const MAX_NODES: usize = 2_000_000;
/// The most nodes of a file that may come from aliases.
pub const MAX_ALIASED: usize = 100_000;
/// The deepest nesting.
pub const MAX_DEPTH: usize = 64;
/// The most notes on scalars in one file; a file with more gets one that says so.
const MAX_NOTES: usize = 100;

/// Reads files into documents. Files are taken in the order of their names, so that the order in which they are handed
/// in changes nothing.
pub fn read(inputs: &[Input<'_>]) -> (Sources, Vec<Finding>) {
    read_after(inputs, &Sources::default())
}

/// The same, but of a file that stands in `before` as it is now, the documents are taken from there.
pub fn read_after(inputs: &[Input<'_>], before: &Sources) -> (Sources, Vec<Finding>) {
    let mut ordered: Vec<&Input<'_>> = inputs.iter().collect();
    ordered.sort_by_key(|input| (input.name, input.bytes));
    let mut reading = Reading::default();
    for input in ordered {
        match before.same(input) {
            Some((file, documents)) => reading.keep(file, documents),
            None => reading.file(input),
        }
    }
    (reading.sources, reading.findings)
}

#[derive(Default)]
struct Reading {
    sources: Sources,
    findings: Vec<Finding>,
}

/// What stopped the reading of a file, and where.
struct Stop {
    code: ringwall_model::Code,
    span: Span,
    title: String,
    help: Option<String>,
}

impl Reading {
    /// Takes over what was read before.
    fn keep(&mut self, kept: &File, documents: &[Document]) {
        let file = self.sources.files.len();
        self.sources.files.push(kept.clone());
        for document in documents {
            self.number(file, Arc::clone(&document.root), document.format);
        }
    }

    fn file(&mut self, input: &Input<'_>) {
        let found = self.findings.len();
        self.text(input);
        let clean = self.findings.len() == found;
        self.sources.files.last_mut().into_iter().for_each(|file| file.clean = clean);
    }

    fn text(&mut self, input: &Input<'_>) {
        let file = self.sources.files.len();
        let shown = input.bytes.get(..MAX_BYTES).unwrap_or(input.bytes);
        let text: Arc<str> = String::from_utf8_lossy(shown).into();
        self.sources.files.push(File { name: input.name.into(), text: Arc::clone(&text), clean: false });
        if input.bytes.len() > MAX_BYTES {
            let title = format!("file of {} bytes; at most {MAX_BYTES} are read", input.bytes.len());
            return self.broken(file, Stop { code: code::SIZE, span: Span::default(), title, help: None });
        }
        if let Err(wrong) = std::str::from_utf8(input.bytes) {
            let start = u32::try_from(wrong.valid_up_to()).unwrap_or(u32::MAX);
            let byte = input.bytes.get(wrong.valid_up_to()).copied().unwrap_or_default();
            let title = format!("byte 0x{byte:02x} is not UTF-8");
            let help = Some("write manifests in UTF-8".into());
            // The replacement character is three bytes long.
            let span = Span { start, end: start.saturating_add(3) };
            return self.broken(file, Stop { code: code::ENCODING, span, title, help });
        }
        if has_end(input.name, "sh") {
            self.document(file, crate::script::read(&text), Format::Script);
            return;
        }
        let built = build::build(&text);
        for root in built.roots {
            self.root(file, root);
        }
        for stop in built.stops {
            self.broken(file, stop);
        }
    }

    /// One document of a file; a `List` becomes its items.
    fn root(&mut self, file: usize, root: Node) {
        if !is_list(&root) {
            return self.settled(file, root);
        }
        if let Value::Map(entries) = root.value {
            for entry in entries.into_iter().filter(|entry| &*entry.key == "items") {
                if let Value::List(items) = entry.value.value {
                    items.into_iter().for_each(|item| self.root(file, item));
                }
            }
        }
    }

    /// Gives the scalars of a document their types, numbers its nodes and keeps it.
    fn settled(&mut self, file: usize, mut root: Node) {
        let name = self.sources.files.get(file).map(|file| Arc::clone(&file.name)).unwrap_or_default();
        let format = match &root.value {
            Value::Map(_) if root.get("_format_version").is_some() => Format::Kong,
            _ if has_end(&name, "json") && root.get("kind").is_none() => Format::Json,
            _ => Format::Resource,
        };
        let schema = if format == Format::Kong { scalar::Schema::Yaml11 } else { scalar::Schema::Core };
        // In JSON there is but one way to read a scalar.
        let compare =
            if root_is_flow(&self.sources, file, &root) { scalar::Compare::Skip } else { scalar::Compare::Note };
        let mut notes = Vec::new();
        scalar::settle(&mut root, schema, compare, &mut String::new(), &mut notes);
        let id = self.document(file, root, format);
        let more = notes.len().saturating_sub(MAX_NOTES);
        for (pointer, title, help) in notes.into_iter().take(MAX_NOTES) {
            let place = Place::value(id, pointer);
            self.findings.push(Finding::new(code::SCALAR, Severity::Note, place, title).help(help));
        }
        if more > 0 {
            let title = format!("{more} more scalars of this document differ between YAML 1.1 and 1.2");
            self.findings.push(Finding::new(code::SCALAR, Severity::Note, Place::value(id, ""), title));
        }
    }

    fn document(&mut self, file: usize, mut root: Node, format: Format) -> DocumentId {
        root.number(0);
        self.number(file, Arc::new(root), format)
    }

    fn number(&mut self, file: usize, root: Arc<Node>, format: Format) -> DocumentId {
        let id = DocumentId(u32::try_from(self.sources.documents.len()).unwrap_or(u32::MAX));
        self.sources.documents.push(Document { id, file, root, format });
        id
    }

    /// A part of a file that cannot be read: a document of nothing, so that its error has a place.
    fn broken(&mut self, file: usize, stop: Stop) {
        let id = self.document(file, Node::new(Value::Null, stop.span), Format::Broken);
        let mut finding = Finding::new(stop.code, Severity::Error, Place::value(id, ""), stop.title);
        finding.help = stop.help;
        self.findings.push(finding);
    }
}

/// Whether a file's name ends in `.end`.
fn has_end(name: &str, end: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, found)| found.eq_ignore_ascii_case(end))
}

/// Whether a document is a `List` (or `NamespaceList` …) as `kubectl get -o yaml` prints it.
fn is_list(root: &Node) -> bool {
    let kind = root.get("kind").and_then(Node::as_text).unwrap_or_default();
    let items = root.get("items").is_some_and(|items| matches!(items.value, Value::List(_)));
    kind.ends_with("List") && items && root.get("apiVersion").is_some()
}

fn root_is_flow(sources: &Sources, file: usize, root: &Node) -> bool {
    let text = sources.files.get(file).map(|file| &*file.text).unwrap_or_default();
    text.as_bytes().get(root.span.start as usize).is_some_and(|byte| matches!(byte, b'{' | b'['))
}

impl Node {
    /// The text of a string, or of a scalar that has no type yet.
    fn as_text(&self) -> Option<&str> {
        match (&self.value, self.style) {
            (Value::String(text), _) => Some(text),
            (_, Style::Plain) => Some(&self.written),
            _ => None,
        }
    }
}
