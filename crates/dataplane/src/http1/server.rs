//! The server side of an HTTP/1 connection: requests in order, each answered before the next is read.
//!
//! In: a byte stream and the connection's facts. Out: calls to [`crate::exchange`], and their responses on the wire.
//! Bounded: while a request is answered, at most one buffer of pipelined bytes is read ahead.

use super::Framing;
use super::write::{self, Delivery, Stage, Unwritten};
use crate::engine::Limits;
use crate::exchange::{self, Ends};
use crate::link::{Io, Wire};
use crate::message::{Body, BodyError, Frame, Response, Source};
use crate::page::{Reading, boxed};
use crate::worker::{Conversation, gave_way, turn};
use bytes::{BufMut, Bytes, BytesMut};
use ringwall_head::call::call as read_call;
use ringwall_head::chunk::Decoder;
use ringwall_head::fields;
use ringwall_head::read::{Progress, Scan};
use ringwall_model::{BodyLength, Call, Fault, Version};
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

/// Pipelined bytes beyond this wait in the socket.
const READ_AHEAD: usize = 16 * 1024;
/// So much of a body that nobody wants is read, so that the connection can be used again.
const SKIM: usize = 64 * 1024;

/// One connection.
struct Session {
    wire: Wire,
    framing: Framing,
    /// The client waits for `100 Continue`.
    expects: bool,
    /// Wakes the task that watches for the client to go away, once the body has been read.
    watcher: Option<Waker>,
}

type Shared = Rc<RefCell<Session>>;

/// Serves requests until the connection ends.
pub(crate) async fn serve(io: Box<dyn Io>, input: BytesMut, conversation: Rc<Conversation>) {
    let wire = Wire::new(io, input);
    let session = Session { wire, framing: Framing::Done, expects: false, watcher: None };
    let session = Rc::new(RefCell::new(session));
    let mut waiting = Waiting::new(&conversation);
    loop {
        let (raw, reading) = match read_head(&session, &mut waiting, &conversation).await {
            Arrived::Head(raw, reading) => (raw, reading),
            Arrived::Fault(fault) => {
                let response = exchange::fault(&conversation, fault);
                write_response(&session, response, Version::Http11, Method::Other, Ends::Close).await;
                return linger(&session).await;
            }
            Arrived::Nothing => return close(&session).await,
        };
        turn().await;
        // Boxed, so that a connection that waits for its next request does not hold the space of one.
        match boxed(|| one(&session, &conversation, &reading, raw)).await {
            After::Next => {}
            After::Linger => return linger(&session).await,
            After::Gone => return,
        }
    }
}

enum Arrived {
    Head(Bytes, Reading),
    Fault(Fault),
    Nothing,
}

enum After {
    Next,
    Linger,
    Gone,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Head,
    Connect,
    Other,
}

/// What a connection waits with: one timer and one watch for its whole life. The timer is moved only to an earlier time,
/// and when it ends too early: most of what is waited for comes long before.
struct Waiting<'a> {
    conversation: &'a Conversation,
    limits: &'a Limits,
    until: Instant,
    timer: Pin<Box<Sleep>>,
    drained: Pin<Box<dyn Future<Output = ()> + 'a>>,
    /// Whether the drain is waited for: the task's waker stays the same.
    watches: bool,
}

/// What came first.
#[derive(PartialEq, Eq)]
enum First {
    Bytes,
    End,
    Time,
    Drain,
}

impl<'a> Waiting<'a> {
    fn new(conversation: &'a Conversation) -> Self {
        let limits = &conversation.shared.limits;
        let (until, drained) = (Instant::now() + limits.idle, Box::pin(conversation.until_drain()));
        let timer = Box::pin(sleep_until(until));
        Self { conversation, limits, until, timer, drained, watches: false }
    }

    /// Waits at most so long from now.
    fn at_most(&mut self, patience: Duration) {
        self.until = Instant::now() + patience;
        if self.until < self.timer.deadline() {
            self.timer.as_mut().reset(self.until);
        }
    }

    fn poll_time(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            if self.timer.deadline() >= self.until {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.until);
        }
    }

    /// Waits for bytes between two requests.
    async fn idle(&mut self, session: &Shared) -> First {
        self.at_most(self.limits.idle);
        poll_fn(|context| {
            if let Poll::Ready(first) = self.poll_bytes(session, context) {
                return Poll::Ready(first);
            }
            self.poll_drained(context).map(|()| First::Drain)
        })
        .await
    }

    fn poll_drained(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.watches && !self.conversation.is_draining() {
            return Poll::Pending;
        }
        self.watches = true;
        self.drained.as_mut().poll(context)
    }

    /// Begins to wait for the rest of a head.
    fn begin_head(&mut self) {
        self.at_most(self.limits.head);
    }

    /// Waits for more of it.
    async fn more(&mut self, session: &Shared) -> First {
        poll_fn(|context| self.poll_bytes(session, context)).await
    }

    fn poll_bytes(&mut self, session: &Shared, context: &mut Context<'_>) -> Poll<First> {
        if let Poll::Ready(read) = session.borrow_mut().wire.poll_fill(context) {
            return Poll::Ready(if matches!(read, Ok(1..)) { First::Bytes } else { First::End });
        }
        self.poll_time(context).map(|()| First::Time)
    }
}

/// Waits for a request, then for all of its head.
async fn read_head(session: &Shared, waiting: &mut Waiting<'_>, conversation: &Conversation) -> Arrived {
    if session.borrow().wire.input.is_empty() {
        session.borrow_mut().wire.rest();
        if waiting.idle(session).await != First::Bytes {
            return Arrived::Nothing;
        }
    }
    // ORDER: asked once bytes are there: the World may have changed while the connection was idle.
    let reading = conversation.shared.page.reading(&conversation.listener);
    let mut scan = Scan::default();
    let mut begun = false;
    loop {
        let progress = scan.look(&session.borrow().wire.input, &reading.settings.limits);
        match progress {
            Progress::Complete { len } => {
                return Arrived::Head(session.borrow_mut().wire.input.split_to(len).freeze(), reading);
            }
            Progress::Refuse(fault) => return Arrived::Fault(fault),
            Progress::Partial => {}
        }
        // Most heads come in one piece: only what has to be waited for has a deadline.
        if !begun {
            waiting.begin_head();
            begun = true;
        }
        match waiting.more(session).await {
            First::Bytes => {}
            First::Time => return Arrived::Fault(HEAD_TIMEOUT),
            First::End | First::Drain => return Arrived::Nothing,
        }
    }
}

/// The head did not come in time.
const HEAD_TIMEOUT: Fault =
    Fault { name: "head-timeout", status: 408, says: "the head did not come in time (RFC 9110 section 15.5.9)" };

async fn fill(session: &Shared) -> std::io::Result<usize> {
    poll_fn(|context| session.borrow_mut().wire.poll_fill(context)).await
}

/// Reads, asks, answers one request.
async fn one(session: &Shared, conversation: &Rc<Conversation>, reading: &Reading, raw: Bytes) -> After {
    let context = conversation.context(&reading.settings);
    let call = Box::new(read_call(raw, context));
    let version = call.version;
    let method = match call.method.as_ref() {
        b"HEAD" => Method::Head,
        b"CONNECT" => Method::Connect,
        _ => Method::Other,
    };
    let asked_to_close = fields::closes(&call.fields, version);
    let damaged = !call.faults.is_empty();
    let body = begin_body(session, &call);
    let answered = {
        let mut answer = pin!(exchange::run(conversation, reading, call, body));
        let mut gone = pin!(until_gone(session));
        poll_fn(|context| {
            gave_way();
            if let Poll::Ready(response) = answer.as_mut().poll(context) {
                return Poll::Ready(Some(response));
            }
            // It comes again at once: there is nothing to watch meanwhile.
            if gave_way() {
                return Poll::Pending;
            }
            gone.as_mut().poll(context).map(|()| None)
        })
        .await
    };
    let Some(mut response) = answered else { return After::Gone };
    if response.status == exchange::SILENCE {
        return After::Gone;
    }
    if response.tunnel.is_some() {
        return Box::pin(tunnel(session, conversation, response, version)).await;
    }
    let unread = !skim(session);
    let close = damaged || asked_to_close || unread || conversation.is_draining();
    let ends = if close { Ends::Close } else { Ends::Stays };
    response.fields.remove("connection");
    match write_response(session, response, version, method, ends).await {
        Written::Whole if ends == Ends::Stays && session.borrow().framing.is_done() => After::Next,
        Written::Whole | Written::UntilClose => After::Linger,
        Written::Broken => After::Gone,
    }
}

fn begin_body(session: &Shared, call: &Call) -> Body {
    let mut state = session.borrow_mut();
    // A damaged head frames nothing: what follows it is never read as a message.
    if !call.faults.is_empty() {
        state.framing = Framing::Broken;
        return Body::empty();
    }
    state.framing = match call.body {
        BodyLength::Empty => Framing::Done,
        BodyLength::Known(length) => Framing::Length(length),
        BodyLength::Unknown => Framing::Chunked(Decoder::default()),
    };
    if state.framing.is_done() {
        return Body::empty();
    }
    let expect = call.fields.first("expect").is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"));
    state.expects = expect && call.version == Version::Http11;
    Body::stream(RequestBody { session: session.clone(), stalled: None, patience: STALL }, call.body)
}

/// How long a client may pause inside a body.
const STALL: Duration = Duration::from_secs(60);

/// The body of the request that is being answered.
struct RequestBody {
    session: Shared,
    stalled: Option<Pin<Box<Sleep>>>,
    patience: Duration,
}

impl Source for RequestBody {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let mut session = self.session.borrow_mut();
        let session = &mut *session;
        if session.expects {
            session.expects = false;
            session.wire.output.put_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        if !session.wire.output.is_empty() && ready!(session.wire.poll_flush(context)).is_err() {
            return Poll::Ready(Some(Err(BodyError::Closed)));
        }
        let Poll::Ready(next) = session.framing.poll(&mut session.wire, context) else {
            let patience = self.patience;
            let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
            return stalled.as_mut().poll(context).map(|()| Some(Err(BodyError::TimedOut)));
        };
        self.stalled = None;
        if session.framing.is_done()
            && let Some(watcher) = session.watcher.take()
        {
            watcher.wake();
        }
        // Trailers are no part of what was judged: they end here (RFC 9110 section 6.5.1).
        Poll::Ready(next.filter(|frame| !matches!(frame, Ok(Frame::Trailers(_)))))
    }
}

/// Ends when the client goes away while it waits for its answer.
async fn until_gone(session: &Shared) {
    poll_fn(|context| {
        let mut state = session.borrow_mut();
        if !state.framing.is_done() {
            state.watcher = Some(context.waker().clone());
            return Poll::Pending;
        }
        loop {
            if state.wire.input.len() >= READ_AHEAD {
                return Poll::Pending;
            }
            if !matches!(ready!(state.wire.poll_fill(context)), Ok(1..)) {
                return Poll::Ready(());
            }
        }
    })
    .await;
}

/// Takes what is already there of a body that nobody read. Says whether the body ended with it.
fn skim(session: &Shared) -> bool {
    let mut state = session.borrow_mut();
    let state = &mut *state;
    if state.framing.is_done() {
        return true;
    }
    if state.expects {
        // Without `100 Continue` the client may or may not send its body: nobody can know what the next bytes are.
        state.expects = false;
        return false;
    }
    let mut skimmed = 0;
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(next) = state.framing.poll(&mut state.wire, &mut context) {
        match next {
            Some(Ok(Frame::Bytes(bytes))) => skimmed += bytes.len(),
            Some(Ok(Frame::Trailers(_))) => {}
            Some(Err(_)) => return false,
            None => return true,
        }
        if skimmed > SKIM {
            return false;
        }
    }
    false
}

enum Written {
    Whole,
    /// The end of the body is the end of the connection.
    UntilClose,
    Broken,
}

async fn write_response(
    session: &Shared,
    mut response: Response,
    version: Version,
    method: Method,
    ends: Ends,
) -> Written {
    let length = response.body.length();
    let delivery = match (response.status, method, length) {
        (100..=199 | 204 | 304, _, _) | (_, Method::Head, _) | (200..=299, Method::Connect, _) => Delivery::Nothing,
        (_, _, BodyLength::Empty | BodyLength::Known(_)) => Delivery::Length,
        (_, _, BodyLength::Unknown) if version == Version::Http10 => Delivery::UntilClose,
        (_, _, BodyLength::Unknown) => Delivery::Chunked,
    };
    // RFC 9110 section 8.6: neither these nor an answer that makes a tunnel tell a length.
    if delivery == Delivery::Nothing && (method == Method::Connect || matches!(response.status, 100..=199 | 204)) {
        response.fields.remove("content-length");
    }
    let closes = ends == Ends::Close || delivery == Delivery::UntilClose;
    {
        let out = &mut session.borrow_mut().wire.output;
        write::reserve(out, length);
        status_line(out, response.status);
        if closes {
            out.put_slice(b"connection: close\r\n");
        } else if version == Version::Http10 {
            out.put_slice(b"connection: keep-alive\r\n");
        }
        write::fields(out, response.fields.iter(), length, delivery);
    }
    turn().await;
    let mut stage = Stage::Content;
    let wrote = {
        let body = &mut response.body;
        let mut send = pin!(poll_fn(|context| poll_body(session, body, delivery, &mut stage, context)));
        let mut gone = pin!(until_gone(session));
        poll_fn(|context| {
            if let Poll::Ready(wrote) = send.as_mut().poll(context) {
                return Poll::Ready(Some(wrote));
            }
            gone.as_mut().poll(context).map(|()| None)
        })
        .await
    };
    match wrote {
        Some(Ok(())) if closes => Written::UntilClose,
        Some(Ok(())) => Written::Whole,
        // The head promised more: only breaking off tells the client that it did not get all.
        Some(Err(_)) | None => Written::Broken,
    }
}

/// The body is polled without the session borrowed: a response may be made of the request's own body.
fn poll_body(
    session: &Shared,
    body: &mut Body,
    delivery: Delivery,
    stage: &mut Stage,
    context: &mut Context<'_>,
) -> Poll<Result<(), Unwritten>> {
    let mut wire = std::mem::replace(&mut session.borrow_mut().wire, vacant());
    let polled = write::poll_body(&mut wire, body, delivery, stage, context);
    session.borrow_mut().wire = wire;
    polled
}

fn vacant() -> Wire {
    Wire::new(Box::new(tokio::io::empty()), BytesMut::new())
}

fn status_line(out: &mut BytesMut, status: u16) {
    let reason = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("");
    out.reserve(256);
    out.put_slice(b"HTTP/1.1 ");
    // Three digits, always (RFC 9112 section 4).
    let digits = [status / 100 % 10, status / 10 % 10, status % 10];
    digits.iter().for_each(|digit| out.put_u8(b'0' + u8::try_from(*digit).unwrap_or_default()));
    out.put_slice(b" ");
    out.put_slice(reason.as_bytes());
    out.put_slice(b"\r\n");
}

/// After `101`, or `200` to a `CONNECT`: bytes both ways until one side ends.
async fn tunnel(session: &Shared, conversation: &Conversation, mut response: Response, version: Version) -> After {
    let Some(upstream) = response.tunnel.take().filter(|_| version == Version::Http11) else { return After::Gone };
    {
        let out = &mut session.borrow_mut().wire.output;
        status_line(out, response.status);
        if response.status == 101 {
            out.put_slice(b"connection: upgrade\r\n");
        }
        write::fields(out, response.fields.iter(), BodyLength::Empty, Delivery::Nothing);
    }
    if poll_fn(|context| session.borrow_mut().wire.poll_flush(context)).await.is_err() {
        return After::Gone;
    }
    let wire = std::mem::replace(&mut session.borrow_mut().wire, vacant());
    crate::tcp::tunnel(wire.into_io(), upstream, conversation.shared.limits.tunnel_idle).await;
    // The record of the exchange lives in the body: it ends when the tunnel does.
    let _ = response.body.next().await;
    After::Gone
}

async fn close(session: &Shared) {
    // The other side may be gone already.
    let _ = timeout(LINGER, poll_fn(|context| session.borrow_mut().wire.poll_shutdown(context))).await;
}

/// How long the last response is given to arrive.
const LINGER: Duration = Duration::from_secs(2);

/// Closes so that the response arrives: a socket that is closed with unread bytes resets, and the client may lose it
/// (RFC 9112 section 9.6).
async fn linger(session: &Shared) {
    close(session).await;
    let drain = async {
        let mut left = 256 * 1024_usize;
        while let Ok(read @ 1..) = fill(session).await {
            session.borrow_mut().wire.input.clear();
            left = left.saturating_sub(read);
            if left == 0 {
                return;
            }
        }
    };
    let _ = timeout(LINGER, drain).await;
}
