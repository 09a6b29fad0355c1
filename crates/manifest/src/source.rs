//! What was read: files with their bytes, the documents in them, and where each node stands.
//!
//! In: texts and trees from `read`. Out: a place (document, JSON pointer) as a range of bytes, and as line and column.
//! Never: meaning. Spans live in the nodes themselves, so a place costs nothing until somebody asks for it.

use crate::node::{Node, Value};
use ringwall_model::{DocumentId, Part, Place};
use std::ops::Range;
use std::sync::Arc;

/// One input: a name for people (a path, `cluster`, `stdin`) and its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Name, shown in findings; its end (`.sh`, `.json`) says what kind of text it is.
    pub name: &'a str,
    /// The bytes as they are.
    pub bytes: &'a [u8],
}

/// Everything that was read.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Files in the order of their names.
    pub files: Vec<File>,
    /// Documents; [`DocumentId`] indexes them.
    pub documents: Vec<Document>,
}

/// One file that was read.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name.
    pub name: Arc<str>,
    /// Its text; bytes that are not UTF-8 are replaced, and an error stands in the findings.
    pub text: Arc<str>,
    /// Whether reading it gave no finding: then the same bytes need not be read again.
    pub clean: bool,
}

/// One document of a file: one resource, one Kong configuration, one dashboard, or the rest of a file that cannot be
/// read any further.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its number.
    pub id: DocumentId,
    /// Index of its file.
    pub file: usize,
    /// Its tree; Worlds that follow each other share those of files that stay.
    pub root: Arc<Node>,
    /// What the text is.
    pub format: Format,
}

/// What a document's text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// YAML or JSON of a resource: scalars by the YAML 1.2 core schema.
    Resource,
    /// A Kong declarative file: scalars by YAML 1.1.
    Kong,
    /// JSON without `kind`.
    Json,
    /// A shell script; its tree is the list of its commands.
    Script,
    /// Could not be read; its root is null and stands where reading stopped.
    Broken,
}

/// Line and column of a byte, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Sources {
    /// The file of this name and these bytes, when reading it gave no finding, and its documents.
    pub fn same(&self, input: &Input<'_>) -> Option<(&File, &[Document])> {
        let sought = (input.name, input.bytes);
        let index = self.files.binary_search_by(|file| (&*file.name, file.text.as_bytes()).cmp(&sought)).ok()?;
        let start = self.documents.partition_point(|document| document.file < index);
        let end = self.documents.partition_point(|document| document.file <= index);
        let file = self.files.get(index).filter(|file| file.clean)?;
        Some((file, self.documents.get(start..end)?))
    }

    /// A document by number.
    pub fn document(&self, id: DocumentId) -> Option<&Document> {
        self.documents.get(id.0 as usize)
    }

    /// The file a document stands in.
    pub fn file(&self, id: DocumentId) -> Option<&File> {
        self.files.get(self.document(id)?.file)
    }

    /// The bytes of a place in its file. A pointer to something that is not there gives the nearest node above it.
    pub fn span(&self, place: &Place) -> Option<Range<usize>> {
        let root = &*self.document(place.document)?.root;
        let mut at = root.span;
        let mut key = None;
        let mut node = root;
        for segment in place.pointer.split('/').skip(1) {
            let name = segment.replace("~1", "/").replace("~0", "~");
            let (next, next_key) = match &node.value {
                Value::List(items) => (name.parse().ok().and_then(|index: usize| items.get(index)), None),
                Value::Map(entries) => match entries.iter().find(|entry| *entry.key == *name) {
                    Some(entry) => (Some(&entry.value), Some(entry.key_span)),
                    None => (None, None),
                },
                _ => (None, None),
            };
            let Some(found) = next else { break };
            (node, key, at) = (found, next_key, found.span);
        }
        // A value of no text (`key:`) is shown by its key.
        let shown = match (place.part, key) {
            (Part::Key, Some(key)) => key,
            (Part::Value, Some(key)) if at.is_empty() => key,
            _ => at,
        };
        Some(shown.start as usize..shown.end as usize)
    }

    /// Where a place begins, as `name:line:column` has it.
    pub fn position(&self, place: &Place) -> Option<(&File, Position)> {
        let file = self.file(place.document)?;
        let span = self.span(place)?;
        Some((file, position(&file.text, span.start)))
    }

    /// `name:line:column` of a place, or the number of the document when it has no text.
    pub fn locate(&self, place: &Place) -> String {
        match self.position(place) {
            Some((file, at)) => format!("{}:{}:{}", file.name, at.line, at.column),
            None => format!("document {}", place.document.0),
        }
    }
}

/// Line and column of a byte of a text.
pub fn position(text: &str, byte: usize) -> Position {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(line_start..).map_or(0, |line| line.trim_start_matches('\u{feff}').chars().count());
    Position { line: before.bytes().filter(|byte| *byte == b'\n').count() + 1, column: column + 1 }
}
