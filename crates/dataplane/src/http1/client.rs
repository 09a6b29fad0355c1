//! The client side of an HTTP/1 connection: one request, one response, then back to the pool.
//!
//! The request's body goes out in a task of its own, so that neither direction waits for the other: a server may answer
//! before it has read everything, and a client may send everything before it reads.

use super::Framing;
use super::write::{self, Delivery, Stage, Unwritten};
use crate::link::{Io, Wire};
use crate::message::{Body, BodyError, Frame, Response, Source};
use crate::worker::turn;
use bytes::{BufMut, BytesMut};
use ringwall_head::chunk::Decoder;
use ringwall_head::framing::ResponseBody;
use ringwall_head::read::{Progress, Scan};
use ringwall_head::{Limits, fields, framing, response};
use ringwall_model::{BodyLength, Call, Fields};
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use tokio::task::JoinHandle;

/// A connection to an upstream, between two requests or in one.
pub(crate) struct Connection {
    wire: Wire,
    /// How many requests it has carried.
    pub used: u32,
}

/// What goes out: request line and fields, already without what belongs to another hop.
pub(crate) struct Outgoing<'a> {
    /// The call, as the last layer left it.
    pub call: &'a Call,
    /// Path and query.
    pub target: &'a [u8],
    /// Fields.
    pub fields: &'a Fields,
    /// The protocol to change to, if the client asked for one.
    pub upgrade: Option<&'a [u8]>,
}

/// Why there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The connection ended before a byte of the response came.
    BeforeAnswer,
    /// It ended inside the head.
    InsideHead,
    /// The head is not one, or frames its body in two ways.
    Malformed,
    /// The request's body broke off: the upstream is not to blame.
    Request(BodyError),
}

/// What to do with a connection that can be used again.
pub(crate) type GiveBack = Box<dyn FnOnce(Connection)>;

impl Connection {
    /// A fresh connection.
    pub(crate) fn new(io: Box<dyn Io>) -> Self {
        Self { wire: Wire::new(io, BytesMut::new()), used: 0 }
    }

    /// Whether the server has closed it, or sent something that nobody asked for, while it was idle.
    pub(crate) fn is_stale(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        self.wire.poll_fill(&mut context).is_ready()
    }

    /// Sends a request and waits for the head of its response.
    ///
    /// # Errors
    /// [`Broken`]; the connection is closed then.
    pub(crate) async fn send(
        mut self,
        outgoing: &Outgoing<'_>,
        body: Body,
        give_back: GiveBack,
    ) -> Result<Response, Broken> {
        self.used = self.used.saturating_add(1);
        let delivery = request_head(&mut self.wire.output, outgoing, body.length());
        let shared: Shared = Rc::new(RefCell::new(Inner { connection: Some(self), framing: Framing::Done }));
        turn().await;
        let mut upload = upload(&shared, body, delivery).await?;
        let head = loop {
            let head = read_head(&shared);
            let head = match &mut upload {
                None => head.await,
                Some(task) => tokio::select! {
                    biased;
                    head = head => head,
                    sent = &mut task.0 => {
                        let failed = sent.unwrap_or(None);
                        upload = None;
                        match failed {
                            // A server may answer and close without reading everything: its answer counts.
                            Some(Unwritten::Sink) | None => continue,
                            Some(Unwritten::Source(error)) => return Err(Broken::Request(error)),
                        }
                    }
                },
            };
            match head? {
                head if head.status == 101 && outgoing.upgrade.is_some() => return Ok(switched(&shared, head)),
                head if head.status >= 200 => break head,
                head if head.status == 101 => return Err(Broken::Malformed),
                _ => {}
            }
        };
        receive(&shared, outgoing, head, upload, give_back)
    }
}

/// The connection while it carries a request. It is taken out when it is used for something else.
struct Inner {
    connection: Option<Connection>,
    framing: Framing,
}

type Shared = Rc<RefCell<Inner>>;

/// A task that ends with its owner.
struct Upload(JoinHandle<Option<Unwritten>>);

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn request_head(out: &mut BytesMut, outgoing: &Outgoing<'_>, length: BodyLength) -> Delivery {
    let Outgoing { call, target, fields, upgrade } = outgoing;
    write::reserve(out, length);
    out.put_slice(&call.method);
    out.put_slice(b" ");
    out.put_slice(target);
    out.put_slice(b" HTTP/1.1\r\n");
    if !call.authority.is_empty() || fields.first("host").is_none() {
        write::line(out, b"host", &call.authority);
    }
    if let Some(protocol) = upgrade {
        out.put_slice(b"connection: upgrade\r\n");
        write::line(out, b"upgrade", protocol);
    }
    let own = |field: &&ringwall_model::Field| {
        !field.is("content-length") && !field.is("expect") && (call.authority.is_empty() || !field.is("host"))
    };
    // RFC 9110 section 8.6: a method that means something with content says so when there is none.
    let means_content = matches!(call.method.as_ref(), b"POST" | b"PUT" | b"PATCH");
    let delivery = match length {
        BodyLength::Unknown => Delivery::Chunked,
        BodyLength::Empty if !means_content => Delivery::Nothing,
        BodyLength::Known(_) | BodyLength::Empty => Delivery::Length,
    };
    write::fields(out, fields.iter().filter(own), length, delivery);
    delivery
}

/// Writes the head and as much of the body as is at hand; the rest goes out in a task.
async fn upload(shared: &Shared, body: Body, delivery: Delivery) -> Result<Option<Upload>, Broken> {
    let mut sending = Sending { shared: shared.clone(), body, delivery, stage: Stage::Content };
    match poll_fn(|context| Poll::Ready(sending.poll(context))).await {
        Poll::Ready(Ok(()) | Err(Unwritten::Sink)) => Ok(None),
        Poll::Ready(Err(Unwritten::Source(error))) => Err(Broken::Request(error)),
        Poll::Pending => {
            let rest = async move { poll_fn(|context| sending.poll(context)).await.err() };
            Ok(Some(Upload(tokio::task::spawn_local(rest))))
        }
    }
}

/// A request on its way out.
struct Sending {
    shared: Shared,
    body: Body,
    delivery: Delivery,
    stage: Stage,
}

impl Sending {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Unwritten>> {
        // Polled without a borrow: the body may be of a connection that shares nothing with this one.
        let Some(mut connection) = self.shared.borrow_mut().connection.take() else { return Poll::Ready(Ok(())) };
        let polled = write::poll_body(&mut connection.wire, &mut self.body, self.delivery, &mut self.stage, context);
        self.shared.borrow_mut().connection = Some(connection);
        polled
    }
}

async fn fill(shared: &Shared) -> usize {
    poll_fn(|context| match &mut shared.borrow_mut().connection {
        Some(connection) => connection.wire.poll_fill(context),
        None => Poll::Ready(Ok(0)),
    })
    .await
    .unwrap_or(0)
}

async fn read_head(shared: &Shared) -> Result<response::Response, Broken> {
    let limits = Limits { fields: 200, ..Limits::default() };
    let mut scan = Scan::default();
    loop {
        if let Some(connection) = &mut shared.borrow_mut().connection {
            match scan.look(&connection.wire.input, &limits) {
                Progress::Complete { len } => {
                    let raw = connection.wire.input.split_to(len).freeze();
                    return response::response(&raw, limits).map_err(|_| Broken::Malformed);
                }
                Progress::Refuse(_) => return Err(Broken::Malformed),
                Progress::Partial => {}
            }
        }
        if fill(shared).await == 0 {
            let inner = shared.borrow();
            let begun = inner.connection.as_ref().is_some_and(|connection| !connection.wire.input.is_empty());
            return Err(if begun { Broken::InsideHead } else { Broken::BeforeAnswer });
        }
    }
}

/// `101`: the connection becomes a tunnel.
fn switched(shared: &Shared, head: response::Response) -> Response {
    let protocol = head.fields.first("upgrade").cloned();
    let mut fields = head.fields;
    fields::strip_hop_by_hop(&mut fields);
    if let Some(protocol) = protocol {
        fields.push("upgrade", protocol);
    }
    let tunnel = shared.borrow_mut().connection.take().map(|connection| connection.wire.into_io());
    Response { status: head.status, fields, body: Body::empty(), tunnel }
}

fn receive(
    shared: &Shared,
    outgoing: &Outgoing<'_>,
    head: response::Response,
    upload: Option<Upload>,
    give_back: GiveBack,
) -> Result<Response, Broken> {
    let method = &outgoing.call.method;
    let framed = framing::response(method, head.status, head.version, &head.fields).map_err(|_| Broken::Malformed)?;
    let keeps = !fields::closes(&head.fields, head.version) && framed != ResponseBody::UntilClose;
    let mut fields = head.fields;
    fields::strip_hop_by_hop(&mut fields);
    let (framing, length) = match framed {
        ResponseBody::Empty => (Framing::Done, BodyLength::Empty),
        ResponseBody::Known(length) => (Framing::Length(length), BodyLength::Known(length)),
        ResponseBody::Chunked => (Framing::Chunked(Decoder::default()), BodyLength::Unknown),
        ResponseBody::UntilClose => (Framing::UntilClose, BodyLength::Unknown),
    };
    shared.borrow_mut().framing = framing;
    let mut body = ResponseBodySource { shared: shared.clone(), upload, give_back: keeps.then_some(give_back) };
    if shared.borrow().framing.is_done() {
        body.end();
        let empty = Response { status: head.status, fields, body: Body::empty(), tunnel: None };
        return Ok(empty);
    }
    Ok(Response { status: head.status, fields, body: Body::stream(body, length), tunnel: None })
}

struct ResponseBodySource {
    shared: Shared,
    upload: Option<Upload>,
    give_back: Option<GiveBack>,
}

impl Source for ResponseBodySource {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let next = {
            let mut inner = self.shared.borrow_mut();
            let inner = &mut *inner;
            let Some(connection) = &mut inner.connection else {
                return Poll::Ready((!inner.framing.is_done()).then_some(Err(BodyError::Closed)));
            };
            ready!(inner.framing.poll(&mut connection.wire, context))
        };
        let over = next.is_none() || matches!(next, Some(Ok(Frame::Trailers(_))));
        if over || self.shared.borrow().framing.is_done() {
            self.end();
        }
        Poll::Ready(next)
    }
}

impl ResponseBodySource {
    /// The response is complete. The connection can be used again when the request is complete, too, and nothing that
    /// nobody asked for came behind the response.
    fn end(&mut self) {
        let uploaded = self.upload.as_ref().is_none_or(|upload| upload.0.is_finished());
        let Some(give_back) = self.give_back.take() else { return };
        let Some(connection) = self.shared.borrow_mut().connection.take() else { return };
        if uploaded && connection.wire.input.is_empty() && connection.wire.output.is_empty() {
            give_back(connection);
        }
    }
}
