//! Streams whose messages the page judges one by one: gRPC and WebSockets both ways, and server-sent events. A message
//! waits until it was judged, and no longer; the stream is never held as a whole.
//!
//! In: bodies and tunnels. Out: the same, up to the first message that is refused. Then gRPC ends with status 7, events end,
//! a WebSocket is closed with 1008. Events that come compressed go on as they were read. Bounded: what is longer than the
//! longest message is refused.
//! Follows RFC 6455, the HTML standard ("Server-sent events"), and gRPC over HTTP/2.

mod websocket;

use crate::exchange::Record;
use crate::message::{Body, BodyError, Frame, Response, Source};
use crate::page::{Admitted, Coded, Decode, Form, MessageKind, Messages, Page, Verdict};
use bytes::{Buf, Bytes, BytesMut};
use ringwall_head::fields;
use ringwall_head::messages::{event_end, grpc_length};
use ringwall_model::{Call, Fields, Layer, Reason, Version};
use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// What is noted of the streams of a call.
#[derive(Default)]
pub(crate) struct Notes {
    /// What refused a message.
    pub refused: Cell<Option<(Layer, Reason)>>,
    /// Why something passed that nobody looked at.
    pub unread: Cell<Option<Reason>>,
}

/// Where it is noted.
pub(crate) type Noted = Rc<Notes>;

/// A stream of the service that cannot be read, and what refuses it.
pub(crate) struct Unreadable(pub (Layer, Reason));

/// The streams of one call.
pub(crate) struct Streams {
    grpc: Option<Rc<dyn Messages>>,
    answers: Option<Rc<dyn Messages>>,
    socket: Option<Rc<dyn Messages>>,
    socket_answers: Option<Rc<dyn Messages>>,
    noted: Noted,
}

impl Streams {
    /// Asks the page which of a call's streams it judges.
    pub(crate) fn of(page: &dyn Page, call: &mut Call, admitted: &Admitted, noted: Noted) -> Self {
        let is_grpc = fields::is_grpc(&call.fields, call.version);
        let of_grpc = |call: &Call, kind| is_grpc.then(|| page.messages(call, admitted, kind)).flatten();
        let grpc = of_grpc(call, MessageKind::Grpc);
        let answers = of_grpc(call, MessageKind::GrpcAnswer);
        if answers.is_some() {
            // A service that may not compress its messages sends them so that they can be read.
            call.fields.remove("grpc-accept-encoding");
        }
        if takes_events(&call.fields) && page.messages(call, admitted, MessageKind::Event).is_some() {
            call.fields.remove("accept-encoding");
        }
        let upgrades = fields::upgrade(&call.fields).is_some_and(|name| name.eq_ignore_ascii_case(b"websocket"));
        let of_socket = |call: &Call, kind| upgrades.then(|| page.messages(call, admitted, kind)).flatten();
        let socket = of_socket(call, MessageKind::WebSocket);
        let socket_answers = of_socket(call, MessageKind::WebSocketAnswer);
        if socket.is_some() || socket_answers.is_some() {
            // What is compressed between the two ends cannot be read here.
            call.fields.remove("sec-websocket-extensions");
        }
        Self { grpc, answers, socket, socket_answers, noted }
    }

    /// The request's body.
    pub(crate) fn request(&self, body: Body) -> Body {
        match &self.grpc {
            Some(messages) if !body.is_over() => judged(body, messages.clone(), Cut::Grpc, self.noted.clone()),
            _ => body,
        }
    }

    /// The answer to a call that ended by a refused message before it was answered.
    pub(crate) fn refused(&self) -> Option<Response> {
        self.grpc.as_ref().filter(|_| self.noted.refused.get().is_some())?;
        let mut all = status_fields();
        all.push("content-type", "application/grpc");
        Some(Response { status: 200, fields: all, body: Body::empty(), tunnel: None })
    }

    /// The response, with what it carries.
    ///
    /// # Errors
    /// It carries what cannot be read.
    pub(crate) fn response(
        &self,
        page: &dyn Page,
        call: &Call,
        admitted: &Admitted,
        response: &mut Response,
        record: &mut Record,
    ) -> Result<(), Unreadable> {
        let judges_socket = self.socket.is_some() || self.socket_answers.is_some();
        if judges_socket
            && response.status == 101
            && let Some(io) = response.tunnel.take()
        {
            let (asked, said) = (self.socket.clone(), self.socket_answers.clone());
            response.tunnel = Some(Box::new(websocket::Guarded::new(io, asked, said, self.noted.clone())));
        }
        let length = response.body.length();
        if let Some(messages) = &self.answers
            && fields::is_grpc(&response.fields, Version::Http2)
            && !response.body.is_over()
        {
            let body = std::mem::replace(&mut response.body, Body::empty());
            response.body = judged(body, messages.clone(), Cut::Grpc, self.noted.clone());
        }
        if self.grpc.is_some() || self.answers.is_some() {
            let body = std::mem::replace(&mut response.body, Body::empty());
            response.body = Body::stream(Closing { body, noted: self.noted.clone() }, length);
        }
        let is_events =
            response.fields.first("content-type").is_some_and(|media| is_media(media, b"text/event-stream"));
        if is_events
            && !response.body.is_over()
            && let Some(messages) = page.messages(call, admitted, MessageKind::Event)
        {
            return self.events(messages, response, record);
        }
        Ok(())
    }

    /// A stream of events, undone where it is compressed.
    fn events(
        &self,
        messages: Rc<dyn Messages>,
        response: &mut Response,
        record: &mut Record,
    ) -> Result<(), Unreadable> {
        let codings: Vec<&[u8]> = response.fields.all("content-encoding").map(|coding| &**coding).collect();
        let decoder = match messages.coded(&codings.join(&b","[..])) {
            Coded::Plain => None,
            Coded::Read(decoder) => Some(decoder),
            Coded::Refuse(by) => return Err(Unreadable(by)),
            Coded::Pass => {
                record.unread(Reason::Builtin("waf/compressed-events-not-read"));
                return Ok(());
            }
        };
        if decoder.is_some() {
            // They go on as they were read: no client can undo them to something else.
            response.fields.remove("content-encoding");
            response.fields.remove("content-length");
        }
        let body = std::mem::replace(&mut response.body, Body::empty());
        response.body = decoded(body, messages, Cut::Events, (self.noted.clone(), decoder));
        Ok(())
    }
}

/// Whether a client asks for events: they are asked for in plain then, where somebody looks at them.
fn takes_events(fields: &Fields) -> bool {
    const EVENTS: &[u8] = b"text/event-stream";
    let is_events = |accept: &Bytes| accept.windows(EVENTS.len()).any(|part| part.eq_ignore_ascii_case(EVENTS));
    fields.first("accept").is_some_and(is_events) && fields.first("accept-encoding").is_some()
}

fn is_media(value: &[u8], media: &[u8]) -> bool {
    value.get(..media.len()).is_some_and(|start| start.eq_ignore_ascii_case(media))
}

/// `PERMISSION_DENIED`.
fn status_fields() -> Fields {
    let mut all = Fields::default();
    all.push("grpc-status", "7");
    all.push("grpc-message", "a message was refused");
    all
}

/// How a stream is cut into messages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    Grpc,
    Events,
}

impl Cut {
    /// The length of the first message, when it is whole; for gRPC also when it is not yet.
    fn first(self, waiting: &[u8], seen: &mut usize) -> Option<usize> {
        match self {
            Self::Grpc => grpc_length(waiting),
            Self::Events => {
                let from = seen.saturating_sub(3);
                *seen = waiting.len();
                event_end(waiting.get(from..).unwrap_or_default()).map(|end| from + end)
            }
        }
    }
}

fn judged(body: Body, messages: Rc<dyn Messages>, cut: Cut, noted: Noted) -> Body {
    decoded(body, messages, cut, (noted, None))
}

fn decoded(
    body: Body,
    messages: Rc<dyn Messages>,
    cut: Cut,
    (noted, decoder): (Noted, Option<Box<dyn Decode>>),
) -> Body {
    // Its length may no longer be what was promised.
    let length = if cut == Cut::Grpc { body.length() } else { ringwall_model::BodyLength::Unknown };
    let judged = Judged {
        body,
        messages,
        cut,
        noted,
        decoder,
        coded: BytesMut::new(),
        waiting: BytesMut::new(),
        seen: 0,
        judging: None,
        last: None,
        ended: false,
    };
    Body::stream(judged, length)
}

/// A body whose messages are judged.
struct Judged {
    body: Body,
    messages: Rc<dyn Messages>,
    cut: Cut,
    noted: Noted,
    /// Undoes what comes.
    decoder: Option<Box<dyn Decode>>,
    /// What came and was not undone yet.
    coded: BytesMut,
    /// Not a whole message yet.
    waiting: BytesMut,
    /// How far it was searched.
    seen: usize,
    judging: Option<(Bytes, Verdict)>,
    /// Trailers, after the last message.
    last: Option<Fields>,
    ended: bool,
}

impl Source for Judged {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        loop {
            if let Some((message, verdict)) = &mut self.judging {
                let verdict = ready!(verdict.as_mut().poll(context));
                let message = std::mem::take(message);
                self.judging = None;
                return match verdict {
                    Ok(()) => Poll::Ready(Some(Ok(Frame::Bytes(message)))),
                    Err(by) => self.refuse(by),
                };
            }
            let first = self.cut.first(&self.waiting, &mut self.seen);
            let longest = self.messages.longest();
            if first.unwrap_or(self.waiting.len()) > longest.saturating_add(5) {
                return self.refuse(self.messages.too_long());
            }
            if let Some(length) = first.filter(|length| *length <= self.waiting.len()) {
                self.begin(length);
                continue;
            }
            match self.decode() {
                Some(Made::Something) => continue,
                Some(Made::Nothing) => {}
                None => return self.refuse(self.messages.unreadable()),
            }
            if self.ended {
                if !self.waiting.is_empty() {
                    // The end of the stream ends its last message.
                    self.begin(self.waiting.len());
                    continue;
                }
                return Poll::Ready(self.last.take().map(|fields| Ok(Frame::Trailers(fields))));
            }
            match ready!(self.body.poll_next(context)) {
                Some(Ok(Frame::Bytes(bytes))) if self.decoder.is_some() => self.coded.extend_from_slice(&bytes),
                Some(Ok(Frame::Bytes(bytes))) => self.waiting.extend_from_slice(&bytes),
                Some(Ok(Frame::Trailers(fields))) => (self.last, self.ended) = (Some(fields), true),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.ended = true,
            }
        }
    }
}

/// So much is undone at a time.
const PIECE: usize = 16 << 10;

/// What was undone of a part.
enum Made {
    Something,
    Nothing,
}

impl Judged {
    /// Undoes a piece of what came; `None`: it is not what its coding says.
    fn decode(&mut self) -> Option<Made> {
        let Some(decoder) = &mut self.decoder else { return Some(Made::Nothing) };
        let mut made = Vec::new();
        let used = decoder.read(&self.coded, &mut made, PIECE)?;
        self.coded.advance(used);
        self.waiting.extend_from_slice(&made);
        Some(if used == 0 && made.is_empty() { Made::Nothing } else { Made::Something })
    }

    fn begin(&mut self, length: usize) {
        let message = self.waiting.split_to(length).freeze();
        self.seen = 0;
        self.judging = Some((message.clone(), self.messages.judge(message, Form::Text)));
    }

    fn refuse(&mut self, by: (Layer, Reason)) -> Poll<Option<Result<Frame, BodyError>>> {
        self.noted.refused.set(Some(by));
        (self.waiting, self.coded, self.decoder) = (BytesMut::new(), BytesMut::new(), None);
        (self.last, self.ended, self.body) = (None, true, Body::empty());
        match self.cut {
            Cut::Grpc => Poll::Ready(Some(Err(BodyError::Refused))),
            Cut::Events => Poll::Ready(None),
        }
    }
}

/// A response of gRPC: when it breaks because a message of its request was refused, it ends with that status.
struct Closing {
    body: Body,
    noted: Noted,
}

impl Source for Closing {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let next = ready!(self.body.poll_next(context));
        let broke = matches!(next, Some(Err(_)) | None) && self.noted.refused.get().is_some();
        Poll::Ready(if broke { Some(Ok(Frame::Trailers(status_fields()))) } else { next })
    }
}

#[cfg(test)]
mod tests;
