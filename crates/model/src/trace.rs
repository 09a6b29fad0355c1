//! What every layer said of one call, in order.

use crate::{Decision, Layer, Reason, RuleBook};
use smallvec::SmallVec;

/// The decisions on one call, in the order in which the page asked. Cheap to fill: no text is made.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    steps: SmallVec<[Entry; 8]>,
}

/// What one layer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The layer.
    pub layer: Layer,
    /// Whether the call passed it.
    pub passed: bool,
    /// Its reason.
    pub because: Reason,
    /// The rule in audit mode by which it would refuse a call that it lets pass.
    pub would_refuse: Option<Reason>,
}

impl Trace {
    /// Notes a layer's decision.
    pub fn note(&mut self, layer: Layer, decision: &Decision) {
        let passed = matches!(decision, Decision::Pass { .. });
        self.steps.push(Entry { layer, passed, because: decision.because(), would_refuse: None });
    }

    /// Notes a layer's decision to let pass what a rule in audit mode would refuse.
    pub fn note_audited(&mut self, layer: Layer, because: Reason, would_refuse: Reason) {
        self.steps.push(Entry { layer, passed: true, because, would_refuse: Some(would_refuse) });
    }

    /// The steps in order.
    pub fn steps(&self) -> &[Entry] {
        &self.steps
    }

    /// The refusal, if the call was refused: always the last step.
    pub fn refusal(&self) -> Option<&Entry> {
        self.steps.last().filter(|step| !step.passed)
    }

    /// One line a layer, and one more where a rule in audit mode would refuse: `mesh      pass    AuthorizationPolicy/application/kong-to-bff#/spec/rules/0`.
    pub fn render(&self, rules: &RuleBook) -> String {
        let mut text = String::new();
        for step in &self.steps {
            let verdict = if step.passed { "pass" } else { "refuse" };
            text.push_str(&format!("{:<9} {verdict:<7} {}\n", step.layer.as_str(), rules.render(step.because)));
            if let Some(audited) = step.would_refuse {
                text.push_str(&format!("{:<9} audit   {}\n", step.layer.as_str(), rules.render(audited)));
            }
        }
        text
    }
}
