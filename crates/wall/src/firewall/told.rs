//! What a transaction found, in the words of events.

use super::declared::Found;
use ringwall_model::{CallId, Inspected, RuleMatch};
use ringwall_waf::{AuditFormat, Fuel, Transaction};

/// Runs the last phase and gathers what there is to tell.
pub(super) fn told(
    transaction: &mut Transaction,
    (found, unread): (Option<Found>, Option<&'static str>),
    id: CallId,
) -> Option<Box<Inspected>> {
    // It refuses nothing; its few rules write down scores.
    transaction.phase5(Fuel::ENDLESS);
    let report = transaction.report();
    let audit = transaction.audit(&id.to_string(), AuditFormat::Json);
    if report.matched.is_empty() && audit.is_none() && found.is_none() && unread.is_none() {
        return None;
    }
    let matches = report.matched.into_iter().chain(found.map(undeclared)).chain(unread.map(not_read)).collect();
    Some(Box::new(Inspected { matches, inbound: report.inbound, outbound: report.outbound, audit }))
}

/// What the API's document does not declare, among the matches; it has no id.
fn undeclared(found: Found) -> RuleMatch {
    let Found { misfit, phase, refused } = found;
    let operation = misfit.operation.as_deref().unwrap_or("no operation");
    let message = format!("openapi: {operation}: {}: {}", misfit.place, misfit.what);
    RuleMatch { phase, variable: misfit.place, message, refused, logged: true, ..RuleMatch::default() }
}

/// That the request was not read to its end, among the matches; it has no id.
fn not_read(why: &'static str) -> RuleMatch {
    let (variable, message) = ("REQUEST_BODY".to_owned(), format!("the request was not read to its end: {why}"));
    RuleMatch { phase: 2, variable, message, refused: true, logged: true, ..RuleMatch::default() }
}
