//! One request and its response: the page decides, [`crate::forward`] obeys, and one event is told at the end.
//!
//! In: a call and its body, from either version of HTTP. Out: the response for the codec. Never: bytes on the wire.

mod record;

use crate::clock;
use crate::forward;
use crate::judged;
use crate::message::{Body, Response};
use crate::page::{Admitted, Outcome, Reading, Refused};
use crate::standing::{Held, Hold, Said};
use crate::websocket;
use crate::worker::{Conversation, turn};
use bytes::Bytes;
use ringwall_model::{BodyLength, Call, CallId, Fault, FieldEdit, Fields, Layer, Reason, Reply, Version};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use tokio::time::sleep;

pub(crate) use record::{Note, Record};

/// Whether a connection is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// It stays open.
    Stays,
    /// It is closed after this response.
    Close,
}

/// The status of a response that is none: the page drops or resets the connection (the stream, in HTTP/2).
pub(crate) const SILENCE: u16 = 0;

/// Takes a call through the page and, if it was admitted, to its upstream.
pub(crate) async fn run(
    conversation: &Rc<Conversation>,
    reading: &Reading,
    mut call: Box<Call>,
    mut body: Body,
) -> Response {
    let shared = &conversation.shared;
    body.limit(reading.body_limit);
    let mut record = Record::begin(conversation, &call);
    if let Some(sampling) = reading.tracing {
        record.trace(sampling, &call);
    }
    body.count_in(record.received());
    let said = match call.version {
        Version::Http2 => Said::Call(call.clone()),
        Version::Http10 | Version::Http11 => Said::Head(call.id, call.raw.head.clone()),
    };
    if let BodyLength::Known(length) = call.body
        && length > reading.body_limit
    {
        return too_large(&call, record);
    }
    turn().await;
    match shared.page.request(&conversation.listener, &mut call, &mut body).await {
        Outcome::Refused(mut refused) => {
            websocket::no_tunnel(&call, &mut refused.reply);
            if let Some(delay) = refused.delay {
                sleep(delay.duration()).await;
            }
            refuse(call.id, *refused, record)
        }
        Outcome::Admitted(admitted) => {
            let hold = Rc::new(Hold::new(conversation, said, admitted.expires));
            admit(conversation, call, body, admitted, hold, record).await
        }
    }
}

async fn admit(
    conversation: &Rc<Conversation>,
    mut call: Box<Call>,
    mut body: Body,
    mut admitted: Box<Admitted>,
    hold: Rc<Hold>,
    mut record: Record,
) -> Response {
    record.admitted(&mut admitted);
    if let Some(limit) = admitted.body_limit {
        body.limit(limit);
        if matches!(call.body, BodyLength::Known(length) if length > limit) {
            return too_large(&call, record);
        }
    }
    if let Some(delay) = admitted.delay {
        sleep(delay.duration()).await;
    }
    let page = &conversation.shared.page;
    let streams = judged::Streams::of(&**page, &mut call, &admitted, record.noted());
    let body = streams.request(body);
    turn().await;
    let forwarded = {
        let mut forwarding = pin!(forward::forward(&admitted, conversation, &call, body, &mut record));
        poll_fn(|context| match forwarding.as_mut().poll(context) {
            Poll::Ready(forwarded) => Poll::Ready(Ok(forwarded)),
            Poll::Pending => hold.poll_ended(context).map(Err),
        })
        .await
    };
    let mut response = match forwarded {
        Ok(Ok(response)) => response,
        Err((layer, because)) => {
            record.ended(layer, because);
            record.note(Note { flags: "-", details: NO_LONGER.into() });
            let reply = Reply::text(403, "this call is no longer allowed");
            return finish(of_reply(call.id, reply).unwrap_or_else(|| of_status(403)), record);
        }
        Ok(Err(_)) if let Some(refused) = streams.refused() => {
            record.ended(Layer::Waf, Reason::Builtin("waf/message-refused"));
            return finish(refused, record);
        }
        Ok(Err(failure)) => {
            record.note(failure.note);
            let reply = Reply::text(failure.status, failure.says);
            let mut response = of_reply(call.id, reply).unwrap_or_else(|| of_status(502));
            apply(&admitted.response_edits, &mut response.fields);
            record.failed(failure.status);
            return finish(response, record);
        }
    };
    if let Some(judged) = page.response(&conversation.listener, &call, &admitted, &mut response)
        && let Err(refused) = judged.await
    {
        return refuse(call.id, refused, record);
    }
    if let Err(judged::Unreadable((layer, because))) =
        streams.response(&**page, &call, &admitted, &mut response, &mut record)
    {
        record.ended(layer, because);
        record.note(Note { flags: "-", details: "waf_response".into() });
        let reply = Reply::text(502, "the response was withheld");
        return finish(of_reply(call.id, reply).unwrap_or_else(|| of_status(502)), record);
    }
    apply(&admitted.response_edits, &mut response.fields);
    if response.fields.first("date").is_none() {
        response.fields.push("date", clock::date_field());
    }
    websocket::switched(&call, &mut response);
    if let Some(io) = response.tunnel.take() {
        response.tunnel = Some(Box::new(Held::new(io, hold.clone())));
    }
    record.hold(hold);
    finish(response, record)
}

/// `response_code_details` of what was admitted and is refused while it goes on.
pub(crate) const NO_LONGER: &str = "no_longer_allowed";

fn apply(edits: &[FieldEdit], fields: &mut Fields) {
    edits.iter().for_each(|edit| edit.apply(fields));
}

/// What the page says, as a response; dropping and resetting are the codec's.
fn refuse(id: CallId, mut refused: Refused, mut record: Record) -> Response {
    record.refused(&mut refused);
    let mut response = of_reply(id, refused.reply).unwrap_or_else(|| of_status(SILENCE));
    apply(&refused.edits, &mut response.fields);
    finish(response, record)
}

fn too_large(call: &Call, mut record: Record) -> Response {
    record.note(Note { flags: "-", details: "request_payload_too_large".into() });
    record.ended(Layer::Head, Reason::Builtin("head/body-too-large"));
    let reply = Reply::text(413, "Payload Too Large");
    let response = of_reply(call.id, reply).unwrap_or_else(|| of_status(413));
    finish(response, record)
}

/// The answer to bytes that are no call at all.
pub(crate) fn fault(conversation: &Rc<Conversation>, fault: Fault) -> Response {
    let id = clock::call_id();
    let mut record = Record::of_nothing(conversation, id, clock::now());
    record.note(Note { flags: "DPE", details: fault.name.into() });
    record.ended(Layer::Head, Reason::Builtin(fault.name));
    let response = of_reply(id, Reply::text(fault.status, fault.says)).unwrap_or_else(|| of_status(400));
    finish(response, record)
}

fn of_reply(id: CallId, reply: Reply) -> Option<Response> {
    let Reply::Http { status, fields, body } = reply else { return None };
    let mut all = Fields::default();
    fields.into_iter().for_each(|(name, value)| all.push(name, value));
    all.push("content-length", body.len().to_string());
    all.push("date", clock::date_field());
    all.set("x-request-id", id.to_string());
    Some(Response { status, fields: all, body: Body::full(body), tunnel: None })
}

fn of_status(status: u16) -> Response {
    Response { status, fields: Fields::default(), body: Body::full(Bytes::new()), tunnel: None }
}

/// The event is told when the body has gone, or when nobody reads it any more.
fn finish(mut response: Response, mut record: Record) -> Response {
    record.answered(&response);
    let length = response.body.length();
    response.body = Body::stream(record.with(response.body), length);
    response
}
