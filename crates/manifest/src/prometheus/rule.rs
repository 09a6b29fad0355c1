//! `PrometheusRule`: groups of alert and recording rules.

use super::duration;
use crate::code;
use crate::node::Cursor;
use crate::resource::Resource;
use ringwall_model::{Labels, Millis, Place, Severity};

/// A group of rules that are evaluated together.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleGroup {
    /// Namespace of the resource.
    pub namespace: Box<str>,
    /// Its name.
    pub resource: Box<str>,
    /// Name of the group.
    pub name: Box<str>,
    /// How often it is evaluated, when it says so.
    pub interval: Option<Millis>,
    /// Its rules.
    pub rules: Vec<AlertRule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRule {
    /// Name of the alert, or of the recorded series.
    pub name: Box<str>,
    /// What it is.
    pub kind: RuleKind,
    /// The expression, PromQL.
    pub expr: Box<str>,
    /// How long it must hold before it fires.
    pub hold: Millis,
    /// How long it goes on firing after it ceased to hold.
    pub keep_firing: Millis,
    /// Labels that are added.
    pub labels: Labels,
    /// Annotations, templates for people.
    pub annotations: Labels,
    /// Where it stands.
    pub place: Place,
}

/// What a rule makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// An alert.
    Alert,
    /// A series.
    Record,
}

/// Lowers a `PrometheusRule`.
pub fn lower(resource: &Resource<'_>) -> Vec<RuleGroup> {
    let spec = resource.spec();
    let kind = resource.root.get("kind");
    let title = "PrometheusRule is read and its expressions are not evaluated in this build";
    kind.report(kind.finding(code::NOT_ENFORCED, Severity::Note, title));
    spec.get("groups").items().map(|at| group(resource, at)).collect()
}

fn group(resource: &Resource<'_>, at: Cursor<'_>) -> RuleGroup {
    at.descriptive(&["labels", "limit", "partial_response_strategy", "query_offset"]);
    RuleGroup {
        namespace: resource.namespace.into(),
        resource: resource.name.into(),
        name: at.get("name").required().filled().unwrap_or_default().into(),
        interval: duration::at(at.get("interval")),
        rules: at.get("rules").items().filter_map(rule).collect(),
    }
}

fn rule(at: Cursor<'_>) -> Option<AlertRule> {
    let (alert, record) = (at.get("alert"), at.get("record"));
    let kind = if record.is_present() { RuleKind::Record } else { RuleKind::Alert };
    if alert.is_present() && record.is_present() {
        record.refuse::<()>("a rule is an alert or a record, not both");
    }
    let name = if kind == RuleKind::Record { record } else { alert.required() }.filled();
    // Numbers are expressions too (`expr: 1`).
    let expr = at.get("expr").required();
    let text = expr.peek().map(|node| node.as_str().map_or_else(|| node.written.to_string(), str::to_owned));
    if text.as_deref().is_some_and(|text| text.trim().is_empty()) {
        expr.refuse::<()>("`expr` is empty");
    }
    let hold = duration::at(at.get("for")).unwrap_or_default();
    let keep_firing = duration::at(at.get("keep_firing_for")).unwrap_or_default();
    let labels = at.get("labels").labels().unwrap_or_default();
    let annotations = at.get("annotations").labels().unwrap_or_default();
    Some(AlertRule {
        name: name?.into(),
        kind,
        expr: text?.into(),
        hold,
        keep_firing,
        labels,
        annotations,
        place: at.place(),
    })
}
