//! `spec.openapi`: the API's own OpenAPI document, written out. What it declares passes; nothing else does.

use super::{WafPolicy, code};
use crate::node::{Cursor, Value};
use crate::resource::Resource;
use ringwall_model::{Finding, Place, RuleBook, RuleId, Severity};
use ringwall_waf::Engine;
use ringwall_waf::openapi::OpenApi;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A document with the names of its operations in the World's book.
#[derive(Debug)]
pub struct Api {
    /// The document, lowered.
    pub document: OpenApi,
    /// What refuses a call that is none of its operations.
    undeclared: RuleId,
    operations: BTreeMap<Box<str>, RuleId>,
}

impl Api {
    /// What refuses a call of an operation, or one that is none.
    pub fn rule(&self, operation: Option<&str>) -> RuleId {
        operation.and_then(|name| self.operations.get(name)).copied().unwrap_or(self.undeclared)
    }
}

/// Lowers the document of a policy. What cannot be read keeps the World out.
pub(super) fn lower(at: Cursor<'_>, resource: &Resource<'_>, rules: &mut RuleBook, policy: &mut WafPolicy) {
    let Some(node) = at.whole() else { return };
    if !matches!(node.value, Value::Map(_)) {
        let help = "put the document itself here: `openapi: 3.1.0`, `paths:` …";
        let title = format!("an OpenAPI document is a map, not {}", node.type_name());
        at.refuse_with::<()>(title, help);
        return;
    }
    let (document, notes) = match OpenApi::read(&node.to_json()) {
        Ok(read) => read,
        Err(why) => return at.report(at.finding(code::WAF_OPENAPI, Severity::Error, why)),
    };
    let place = at.place();
    for note in notes {
        let severity = if note.is_fault { Severity::Error } else { Severity::Note };
        let there = Place::value(place.document, format!("{}{}", place.pointer, note.pointer));
        at.report(Finding::new(code::WAF_OPENAPI, severity, there, note.what));
    }
    if policy.settings.engine != Some(Engine::On) {
        let title = "calls that the document does not declare are only written down here, and pass";
        at.report(at.finding(code::WAF_REFUSES_NOTHING, Severity::Warning, title));
    }
    let named = |(method, path, name): (&str, &str, &str), rules: &mut RuleBook| {
        let path = path.replace('~', "~0").replace('/', "~1");
        (name.into(), resource.rule(rules, &format!("/spec/openapi/paths/{path}/{}", method.to_ascii_lowercase())))
    };
    let undeclared = resource.rule(rules, "/spec/openapi/paths");
    let operations = document.operations().map(|operation| named(operation, rules)).collect();
    policy.api = Some(Arc::new(Api { document, undeclared, operations }));
}
