//! `metav1.LabelSelector`: equalities and expressions.

use crate::node::Cursor;
use ringwall_packet::{Requirement, Selector};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

const OPERATORS: [(&str, Operator); 4] = [
    ("In", Operator::In),
    ("NotIn", Operator::NotIn),
    ("Exists", Operator::Exists),
    ("DoesNotExist", Operator::DoesNotExist),
];

/// Reads a selector. What cannot be read is reported; the caller asks whether the cursor is sound.
pub fn lower(at: Cursor<'_>) -> Selector {
    let labels = at.get("matchLabels").labels().unwrap_or_default();
    let equalities = labels.into_iter().map(|(key, value)| Requirement::In(key, vec![value]));
    let expressions = at.get("matchExpressions").items().filter_map(requirement);
    Selector::of(equalities.chain(expressions.collect::<Vec<_>>()))
}

fn requirement(at: Cursor<'_>) -> Option<Requirement> {
    let key: Option<Box<str>> = at.get("key").required().filled().map(Into::into);
    let operator = at.get("operator").required().enumeration(&OPERATORS);
    let listed = at.get("values");
    let values: Vec<Box<str>> = listed.strings().unwrap_or_default().into_iter().map(Into::into).collect();
    let (key, operator) = (key?, operator?);
    let takes_values = matches!(operator, Operator::In | Operator::NotIn);
    if takes_values && values.is_empty() {
        listed.refuse::<()>("`In` and `NotIn` need at least one of `values`");
    } else if !takes_values && !values.is_empty() {
        listed.refuse::<()>("`Exists` and `DoesNotExist` take no `values`");
    }
    Some(match operator {
        Operator::In => Requirement::In(key, values),
        Operator::NotIn => Requirement::NotIn(key, values),
        Operator::Exists => Requirement::Exists(key),
        Operator::DoesNotExist => Requirement::DoesNotExist(key),
    })
}
