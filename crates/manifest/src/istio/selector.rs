//! Which workloads a security policy is for: `selector` or `targetRefs`.
//!
//! In: the spec of a policy. Out: [`Applies`]. Where it cannot be read, the policy is for its whole scope: what refuses
//! reaches further, and what allows is made to allow nothing by its lowering.

use super::codes_authorization as codes;
use crate::Cursor;
use ringwall_mesh::authorization::Applies;
use ringwall_model::{Selector, Severity};

/// Reads `selector`, `targetRef` and `targetRefs`.
pub fn lower(spec: Cursor<'_>) -> Applies {
    let chosen = labels(spec);
    for name in ["targetRef", "targetRefs"] {
        let target = spec.get(name);
        if target.whole().is_some() {
            let title = format!("`{name}` names what is no workload here; the policy would be in force nowhere");
            let help = "select workloads by their labels: `selector.matchLabels`";
            target.report(target.finding(codes::TARGET, Severity::Error, title).help(help));
            return Applies::Nowhere;
        }
    }
    Applies::To(chosen)
}

/// Reads `selector.matchLabels`.
pub fn labels(spec: Cursor<'_>) -> Selector {
    let labels = spec.get("selector").get("matchLabels");
    let read = labels.labels().unwrap_or_default();
    let odd = |text: &str| text.contains('*');
    if read.iter().any(|(key, value)| key.is_empty() || odd(key) || odd(value)) {
        let title = "a label selector takes no `*` and no empty key";
        labels.report(labels.finding(codes::SELECTOR, Severity::Error, title));
    }
    if labels.is_sound() { Selector(read) } else { Selector::default() }
}
