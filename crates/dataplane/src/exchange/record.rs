//! What becomes the event of one exchange: filled as it goes, told once, when the response has gone or was given up.

use crate::judged::Noted;
use crate::message::{Body, BodyError, Frame, Response, Source};
use crate::page::{Admitted, Labels, Refused, Witness};
use crate::standing::Hold;
use crate::worker::Conversation;
use bytes::Bytes;
use ringwall_head::tracing::Sampling;
use ringwall_model::{
    Call, CallId, Decision, Event, Exchange, Fields, Layer, Millis, Reason, Timestamp, Trace, Version,
};
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::time::Instant;

/// Envoy's words for how it went.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    /// Response flags.
    pub flags: &'static str,
    /// `response_code_details`.
    pub details: Arc<str>,
}

/// An exchange while it goes on.
pub(crate) struct Record {
    event: Option<Box<Exchange>>,
    conversation: Rc<Conversation>,
    begun: Instant,
    received: Rc<Cell<u64>>,
    went: Went,
    tracing: Tracing,
    witness: Option<Witness>,
    noted: Noted,
    /// As long as it goes on it is judged again.
    hold: Option<Rc<Hold>>,
}

/// Whether calls are traced at all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tracing {
    Off,
    On,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Went {
    /// Nothing has gone to the client yet, or not all of it.
    Begun,
    /// All of it.
    Whole,
    /// The upstream broke off in the middle.
    Broken,
}

impl Record {
    pub(super) fn begin(conversation: &Rc<Conversation>, call: &Call) -> Self {
        let mut record = Self::of_nothing(conversation, call.id, call.received);
        if let Some(event) = &mut record.event {
            event.version = call.version;
            event.method = call.method.clone();
            event.target = call.target.clone();
            event.authority = call.authority.clone();
            event.client = call.client.address;
            event.request_fields = kept(&call.fields);
        }
        record
    }

    /// For bytes that are no call.
    pub(super) fn of_nothing(conversation: &Rc<Conversation>, id: CallId, started: Timestamp) -> Self {
        let (peer, words) = (&conversation.peer, &conversation.thread.words);
        // Written in its place: it is large, and made for each call.
        let event = Box::write(
            Box::new_uninit(),
            Exchange {
                id,
                started,
                duration: Millis(0),
                role: conversation.listener.role,
                workload: conversation.workload.clone(),
                version: Version::Http11,
                method: Bytes::from_static(b"-"),
                target: Bytes::from_static(b"-"),
                authority: Bytes::from_static(b"-"),
                request_fields: Fields::default(),
                response_fields: Fields::default(),
                status: 0,
                flags: "-",
                refused: None,
                details: words.via_upstream.clone(),
                received: 0,
                sent: 0,
                peer: peer.address,
                peer_identity: peer.identity().cloned(),
                client: peer.address.ip(),
                local: conversation.local,
                server_name: peer.tls.as_ref().and_then(|tls| tls.server_name.clone()),
                route: words.none.clone(),
                cluster: words.none.clone(),
                upstream: None,
                upstream_time: None,
                gateway: None,
                upstream_local: None,
                trace: Trace::default(),
                decided: None,
                inspected: None,
                span: None,
            },
        );
        Self {
            event: Some(event),
            conversation: conversation.clone(),
            begun: Instant::now(),
            received: Rc::default(),
            went: Went::Begun,
            tracing: Tracing::Off,
            witness: None,
            noted: Noted::default(),
            hold: None,
        }
    }

    /// Decides whether the call is traced.
    pub(super) fn trace(&mut self, sampling: Sampling, call: &Call) {
        self.tracing = Tracing::On;
        self.with_event(|event| event.span = sampling.span(call.id, &call.fields).map(Box::new));
    }

    /// Tells the next hop of it.
    pub(crate) fn propagate(&self, outgoing: &mut Fields) {
        if self.tracing == Tracing::On {
            let span = self.event.as_ref().and_then(|event| event.span.as_deref());
            ringwall_head::tracing::propagate(span, outgoing);
        }
    }

    /// Counts the bytes of the request's body.
    pub(super) fn received(&self) -> Rc<Cell<u64>> {
        self.received.clone()
    }

    /// Keeps the place among what goes on.
    pub(super) fn hold(&mut self, hold: Rc<Hold>) {
        self.hold = Some(hold);
    }

    fn with_event(&mut self, change: impl FnOnce(&mut Exchange)) {
        if let Some(event) = &mut self.event {
            change(event);
        }
    }

    pub(super) fn admitted(&mut self, admitted: &mut Admitted) {
        self.witness = Some(admitted.witness.clone());
        self.with_event(|event| {
            event.cluster = admitted.upstream.cluster.clone();
            event.trace = std::mem::take(&mut admitted.trace);
            event.decided.clone_from(&admitted.decided);
            labelled(event, &admitted.labels);
        });
    }

    pub(super) fn refused(&mut self, refused: &mut Refused) {
        let inspected = refused.inspected.take();
        self.with_event(|event| {
            event.inspected = inspected;
            event.refused = refused.because;
            event.details = refused.details.clone();
            event.flags = refused.flag;
            event.trace = std::mem::take(&mut refused.trace);
            event.decided.clone_from(&refused.decided);
            labelled(event, &refused.labels);
        });
    }

    pub(super) fn ended(&mut self, layer: Layer, because: Reason) {
        self.with_event(|event| event.refused = Some((layer, because)));
    }

    pub(super) fn failed(&mut self, status: u16) {
        // A client that broke off its own body is not refused by a rule of the upstream.
        if status >= 500 {
            self.ended(Layer::Upstream, Reason::Builtin("upstream/failed"));
        }
    }

    /// Envoy's words for how it went.
    pub(crate) fn note(&mut self, note: Note) {
        self.with_event(|event| {
            event.flags = note.flags;
            event.details = note.details;
        });
    }

    /// An upstream answered.
    pub(crate) fn upstream(&mut self, address: Option<SocketAddr>, after: Millis) {
        self.with_event(|event| {
            event.upstream = address;
            event.upstream_time = Some(after);
        });
    }

    /// What the firewall found since it was asked last.
    fn inspected(&mut self) {
        let Some(witness) = self.witness.clone() else { return };
        self.with_event(|event| {
            // A transaction that is being judged elsewhere, because its client went away meanwhile, is not told of.
            let told = witness.try_borrow_mut().ok().and_then(|mut witness| witness.told(event.id));
            match (&mut event.inspected, told) {
                (Some(held), Some(more)) => held.matches.extend(more.matches),
                (held @ None, told) => *held = told,
                (Some(_), None) => {}
            }
        });
    }

    /// Where it is noted what becomes of the call's streams.
    pub(super) fn noted(&self) -> Noted {
        self.noted.clone()
    }

    /// Something passed that the firewall would have looked at, could it be read.
    pub(crate) fn unread(&mut self, because: Reason) {
        self.with_event(|event| event.trace.note(Layer::Waf, &Decision::Pass { because }));
    }

    pub(super) fn answered(&mut self, response: &Response) {
        self.inspected();
        self.with_event(|event| {
            event.status = response.status;
            for name in ["content-type", "location", "grpc-status"] {
                let value = response.fields.first(name);
                value.into_iter().for_each(|value| event.response_fields.push(name, value.clone()));
            }
        });
    }

    /// Goes with the response's body.
    pub(super) fn with(self, body: Body) -> Recorded {
        Recorded { body, record: self }
    }
}

/// The fields of a request that events have, found in one walk, and the names that they have there.
const KEPT: [(&str, &str); 4] = [
    ("user-agent", "user-agent"),
    ("x-forwarded-for", "x-forwarded-for"),
    ("referer", "referer"),
    // The name that the hop before gave the call: `probe` follows it from proxy to proxy.
    ("x-request-id", "previous-x-request-id"),
];

fn kept(fields: &Fields) -> Fields {
    let mut found = [None; KEPT.len()];
    for field in fields.iter() {
        for (place, (name, _)) in found.iter_mut().zip(KEPT) {
            if field.name.len() == name.len() && place.is_none() && field.is(name) {
                *place = Some(&field.value);
            }
        }
    }
    let mut kept = Fields(Vec::with_capacity(KEPT.len()));
    for (value, (_, name)) in found.into_iter().zip(KEPT) {
        value.into_iter().for_each(|value| kept.push(name, value.clone()));
    }
    kept
}

fn labelled(event: &mut Exchange, labels: &Labels) {
    if let Some(route) = &labels.route {
        event.route = route.clone();
    }
    event.gateway = labels.gateway.clone();
    event.request_fields.0.extend(labels.fields.0.iter().cloned());
}

impl Drop for Record {
    fn drop(&mut self) {
        self.inspected();
        if let Some(because) = self.noted.unread.get() {
            self.unread(because);
        }
        let Some(mut event) = self.event.take() else { return };
        event.received = self.received.get();
        event.duration = Millis(u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX));
        match self.went {
            Went::Whole => {}
            Went::Begun if event.flags == "-" => {
                event.flags = "DC";
                event.details = "downstream_remote_disconnect".into();
            }
            Went::Broken if event.flags == "-" => {
                event.flags = "UPE";
                event.details = "upstream_reset_after_response_started{connection_termination}".into();
            }
            Went::Begun | Went::Broken => {}
        }
        // What ended it says more than how it broke off.
        if let Some(by) = self.noted.refused.get() {
            event.refused = Some(by);
            event.details = "message_refused".into();
        }
        let cut = || self.conversation.cut.by().filter(|_| self.went != Went::Whole);
        if let Some(ended) = self.hold.as_ref().and_then(|hold| hold.ended()).or_else(cut) {
            (event.refused, event.flags, event.details) = (Some(ended), "-", super::NO_LONGER.into());
        }
        self.conversation.thread.telling.tell(Event::Exchange(event));
    }
}

/// A response body that knows whether all of it went.
pub(super) struct Recorded {
    body: Body,
    record: Record,
}

impl Source for Recorded {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let ended = self.record.hold.as_ref().is_some_and(|hold| hold.poll_ended(context).is_ready());
        let next = if ended { Some(Err(BodyError::Closed)) } else { ready!(self.body.poll_next(context)) };
        match &next {
            Some(Ok(Frame::Bytes(bytes))) => {
                let length = bytes.len() as u64;
                self.record.with_event(|event| event.sent = event.sent.saturating_add(length));
            }
            Some(Ok(Frame::Trailers(fields))) => {
                // Nothing comes after trailers, and HTTP/2 does not ask whether something does.
                self.record.went = Went::Whole;
                let status = fields.first("grpc-status").cloned();
                self.record.with_event(|event| {
                    status.into_iter().for_each(|status| event.response_fields.push("grpc-status", status));
                });
            }
            Some(Err(_)) => self.record.went = Went::Broken,
            None => self.record.went = Went::Whole,
        }
        // HTTP/2 stops asking once it knows that nothing follows.
        if self.body.is_over() && self.record.went == Went::Begun {
            self.record.went = Went::Whole;
        }
        Poll::Ready(next)
    }
}
