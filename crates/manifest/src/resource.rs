//! The head of every Kubernetes resource: `apiVersion`, `kind`, `metadata`.
//!
//! In: the cursor of a document. Out: [`Resource`], with the cursor for the rest. Follows the Kubernetes API
//! conventions ("Types" and "Objects").

use crate::code;
use crate::node::{Cursor, Node};
use ringwall_model::{Finding, Labels, Place, RuleBook, RuleId, Severity};

/// One resource: who it is, and the cursor over all of it.
#[derive(Clone)]
pub struct Resource<'a> {
    /// API group; empty for the core group.
    pub group: &'a str,
    /// Version, such as `v1beta1`.
    pub version: &'a str,
    /// Kind.
    pub kind: &'a str,
    /// Namespace; `default` when none is written.
    pub namespace: &'a str,
    /// Name; empty when missing (then an error stands in the ledger).
    pub name: &'a str,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `metadata.annotations`.
    pub annotations: Labels,
    /// The whole document.
    pub root: Cursor<'a>,
}

/// What a document is, by `apiVersion` and `kind` alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind<'a> {
    /// API group; empty for the core group.
    pub group: &'a str,
    /// Version.
    pub version: &'a str,
    /// Kind.
    pub kind: &'a str,
}

impl<'a> Kind<'a> {
    /// The kind of a tree; `None` when `apiVersion` or `kind` is missing or no text.
    pub fn of(root: &'a Node) -> Option<Self> {
        let api = root.get("apiVersion").and_then(Node::as_str)?;
        let kind = root.get("kind").and_then(Node::as_str).filter(|kind| !kind.is_empty())?;
        let (group, version) = api.split_once('/').unwrap_or(("", api));
        Some(Self { group, version, kind })
    }
}

impl<'a> Resource<'a> {
    /// Reads the head of a resource. What is missing is reported, and stands as empty text.
    pub fn open(root: Cursor<'a>) -> Self {
        let api = root.get("apiVersion").required().string().unwrap_or_default();
        let kind = root.get("kind").required().string().unwrap_or_default();
        let (group, version) = api.split_once('/').unwrap_or(("", api));
        let metadata = root.get("metadata").required();
        let name = metadata.get("name").required().filled().unwrap_or_default();
        let namespace = metadata.get("namespace").string().filter(|name| !name.is_empty()).unwrap_or("default");
        let labels = metadata.get("labels").labels().unwrap_or_default();
        let annotations = metadata.get("annotations").labels().unwrap_or_default();
        metadata.descriptive(&[
            "creationTimestamp",
            "deletionGracePeriodSeconds",
            "deletionTimestamp",
            "finalizers",
            "generateName",
            "generation",
            "managedFields",
            "ownerReferences",
            "resourceVersion",
            "selfLink",
            "uid",
        ]);
        root.descriptive(&["status"]);
        check_name(metadata.get("name"), name);
        check_name(metadata.get("namespace"), namespace);
        Self { group, version, kind, namespace, name, labels, annotations, root }
    }

    /// The cursor at `spec`.
    pub fn spec(&self) -> Cursor<'a> {
        self.root.get("spec")
    }

    /// Where the resource stands.
    pub fn place(&self) -> Place {
        self.root.place()
    }

    /// Enters a rule of this resource: `pointer` is a JSON pointer into it (empty for the whole).
    pub fn rule(&self, rules: &mut RuleBook, pointer: &str) -> RuleId {
        let place = Place::value(self.place().document, pointer);
        rules.enter(self.kind, self.namespace, self.name, pointer, Some(place))
    }

    /// Enters the rule that stands at a cursor.
    pub fn rule_at(&self, rules: &mut RuleBook, at: Cursor<'_>) -> RuleId {
        let place = at.place();
        rules.enter(self.kind, self.namespace, self.name, &place.pointer.clone(), Some(place))
    }

    /// `kind namespace/name`, for texts.
    pub fn title(&self) -> String {
        format!("{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// Names are DNS subdomains (RFC 1123): a `/` or `..` in one would make two rules look like one.
fn check_name(at: Cursor<'_>, name: &str) {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let fits = name.len() <= 253 && name.chars().all(plain) && ends(name.chars().next()) && ends(name.chars().last());
    if !name.is_empty() && !fits {
        let title = format!("`{name}` is not a name");
        let help = "names have lower-case letters, digits, `-` and `.`, and begin and end with a letter or digit";
        at.report(Finding::new(code::VALUE, Severity::Error, at.place(), title).help(help));
    }
}
