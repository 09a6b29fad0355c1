//! The page for a response: the firewall's transaction goes on where the request left it.
//!
//! In: what the page admitted, the response's head and as much of its body as is wanted. Out: nothing, or the refusal that
//! the client gets in place of the response.

use crate::firewall::Inspection;
use crate::outcome::{Admitted, Kind, Refused};
use crate::outside::Aside;
use ringwall_model::{Call, Decision, Fields, Layer, Version};
use std::future::Future;

/// The head of a response.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// Status code.
    pub status: u16,
    /// HTTP version towards the client.
    pub version: Version,
    /// Its fields as the upstream sent them.
    pub fields: &'a Fields,
    /// Whether a body follows.
    pub body: Follows,
}

/// Whether a body follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// One may.
    Body,
    /// None does, or what follows is no message (a tunnel).
    Nothing,
}

/// Takes a response through the firewall. `body` gives its first bytes, at most so many, or all that could be had.
///
/// # Errors
/// The refusal that takes the response's place.
pub async fn response<B: AsRef<[u8]>, F: Future<Output = B>>(
    admitted: &mut Admitted,
    call: &Call,
    head: ResponseHead<'_>,
    aside: &impl Aside,
    body: impl FnOnce(u64) -> F,
) -> Result<(), Box<Refused>> {
    let Some(inspection) = &mut admitted.inspection else { return Ok(()) };
    let decision = judge(inspection, head, aside, body).await;
    if let Decision::Pass { .. } = decision {
        return Ok(());
    }
    admitted.trace.note(Layer::Waf, &decision);
    let Decision::Refuse { because, reply } = decision else { return Ok(()) };
    Err(Box::new(Refused {
        delay: None,
        layer: Layer::Waf,
        because,
        kind: Kind::Refusal,
        reply,
        flag: "",
        details: "waf_response".into(),
        response_edits: Vec::new(),
        caller: admitted.caller.clone(),
        labels: admitted.labels.clone(),
        trace: admitted.trace.clone(),
        inspected: inspection.finish(call.id),
    }))
}

async fn judge<B: AsRef<[u8]>, F: Future<Output = B>>(
    inspection: &mut Inspection,
    head: ResponseHead<'_>,
    aside: &impl Aside,
    body: impl FnOnce(u64) -> F,
) -> Decision {
    let decision = inspection.response_head(head.status, head.version, head.fields, aside).await;
    if let Decision::Pass { .. } = decision
        && head.body == Follows::Body
        && let Some(refused) = inspection.unreadable_response(head.status, head.fields)
    {
        return refused;
    }
    let wanted = inspection.wants_response().filter(|_| head.body == Follows::Body);
    match (&decision, wanted) {
        (Decision::Refuse { .. }, _) => decision,
        (Decision::Pass { .. }, Some(wanted)) => inspection.response_body(body(wanted).await.as_ref(), aside).await,
        (Decision::Pass { .. }, None) => inspection.response_body(b"", aside).await,
    }
}
