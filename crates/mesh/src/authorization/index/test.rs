//! One clause, ready to be tried.
//!
//! In: a [`Clause`]. Out: whether a call has what it asks for. Never: an allocation while trying.

use crate::authorization::attributes::Attributes;
use crate::authorization::{Action, Clause, Field, PathForm, RequestPrincipal, Sense, Values};
use crate::matching::set::{Pattern, TextIndex};
use crate::matching::template::{Reach, Template};
use crate::matching::{Form, bits};

/// A clause with its values laid out.
#[derive(Clone, Debug)]
pub struct Test {
    /// The clause as it was written.
    pub clause: Clause,
    set: TextIndex,
    templates: Vec<Template>,
    reach: Reach,
    principals: Vec<RequestPrincipal>,
}

impl Test {
    /// Lays a clause of a policy with that action out.
    pub fn of(clause: &Clause, action: Action) -> Self {
        let refuses = action != Action::Allow;
        let negative = clause.sense == Sense::None;
        let templates = match &clause.values {
            Values::Paths(paths) => paths.iter().filter_map(PathForm::template).cloned().collect(),
            _ => Vec::new(),
        };
        let principals = match &clause.values {
            Values::RequestPrincipals(principals) => principals.clone(),
            _ => Vec::new(),
        };
        Self {
            set: TextIndex::of(patterns(clause).into_iter().map(|pattern| (pattern, 0))),
            clause: clause.clone(),
            templates,
            reach: if refuses == negative { Reach::Envoy } else { Reach::Wide },
            principals,
        }
    }

    /// Whether a call has what the clause asks for.
    pub fn matches(&self, call: &Attributes<'_>) -> bool {
        let mut found = false;
        call.visit(&self.clause.field, &mut |value| {
            found = found
                || self.set.matches(value)
                || self.templates.iter().any(|template| template.matches(value, self.reach));
        });
        if !self.principals.is_empty()
            && let Some((issuer, subject)) = call.http.and_then(|http| http.principal())
        {
            found |= self
                .principals
                .iter()
                .any(|one| one.issuer.matches(issuer.as_bytes()) && one.subject.matches(subject.as_bytes()));
        }
        found == (self.clause.sense == Sense::Any)
    }

    /// Values one of which a call must have for the clause to match; `None` when there are no such values.
    pub(super) fn anchors(&self) -> Option<Vec<(Field, Pattern)>> {
        if self.clause.sense == Sense::None {
            return None;
        }
        if let Values::RequestPrincipals(principals) = &self.clause.values {
            return Some(principals.iter().map(principal_anchor).collect());
        }
        let starts = self.templates.iter().map(|template| Pattern::Prefix(template.start().as_bytes().into()));
        Some(patterns(&self.clause).into_iter().chain(starts).map(|it| (self.clause.field.clone(), it)).collect())
    }
}

fn principal_anchor(principal: &RequestPrincipal) -> (Field, Pattern) {
    let (claim, form) = match (&principal.subject, &principal.issuer) {
        (Form::Exact(_), _) | (_, Form::Any) => ("sub", &principal.subject),
        (_, issuer) => ("iss", issuer),
    };
    (Field::Claim([claim.into()].into()), form.into())
}

/// What a field's value is compared with, as bytes.
fn patterns(clause: &Clause) -> Vec<Pattern> {
    let forms = |forms: &[Form]| match clause.field {
        Field::Host => forms.iter().map(|form| Pattern::from(&form.lower_case())).collect(),
        _ => forms.iter().map(Pattern::from).collect(),
    };
    match &clause.values {
        Values::Text(values) => forms(values),
        Values::Paths(paths) => paths.iter().filter_map(PathForm::text).map(Pattern::from).collect(),
        Values::Blocks(blocks) => {
            blocks.iter().map(|it| Pattern::Prefix(bits(it.addr(), it.prefix_len()).as_slice().into())).collect()
        }
        Values::Ports(ports) => ports.iter().map(|port| Pattern::Exact(port.to_be_bytes().into())).collect(),
        Values::Accounts(accounts) => {
            let path = |(namespace, account): &(Box<str>, Box<str>)| format!("{namespace}/sa/{account}");
            accounts.iter().map(|it| Pattern::Exact(path(it).into_bytes().into())).collect()
        }
        Values::RequestPrincipals(_) => Vec::new(),
        Values::Nothing => vec![Pattern::Present],
    }
}
