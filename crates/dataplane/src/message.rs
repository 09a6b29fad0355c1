//! The one form that messages have inside the engine, whichever HTTP version carries them.
//!
//! In: frames from a codec. Out: frames to a codec. Never: policy. A body is a stream with back-pressure: nothing is read
//! from one side before the other side has room, except what the page asked to hold ([`Body::hold`]).

use bytes::{Bytes, BytesMut};
use ringwall_model::{BodyLength, Fields};
use std::cell::Cell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// A part of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Content.
    Bytes(Bytes),
    /// The fields after the content; always the last frame.
    Trailers(Fields),
}

/// Why a body did not come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The sender went away in the middle.
    #[error("the sender closed the connection inside the body")]
    Closed,
    /// The chunked coding is broken (RFC 9112 section 7.1).
    #[error("the chunked coding is broken")]
    Malformed,
    /// More bytes than the engine's limit.
    #[error("the body is larger than the limit")]
    TooLarge,
    /// No byte came in time.
    #[error("no byte came in time")]
    TimedOut,
    /// The page refused a message in it.
    #[error("a message was refused")]
    Refused,
}

/// Where frames come from. Works like `Stream`; is never polled again after `None` or an error.
pub trait Source {
    /// The next frame.
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>>;
}

/// A request's or response's body.
pub struct Body {
    held: VecDeque<Frame>,
    rest: Option<Box<dyn Source>>,
    length: BodyLength,
    failed: Option<BodyError>,
    /// Bytes that may still come.
    allowed: u64,
    /// Counts the bytes that came.
    count: Option<Rc<Cell<u64>>>,
}

/// What [`Body::hold`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// All of the body is held.
    Whole,
    /// More follows after what is held.
    Partly,
}

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self::of(VecDeque::new(), None, BodyLength::Empty)
    }

    /// A body at hand.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Self::empty();
        }
        let length = BodyLength::Known(bytes.len() as u64);
        Self::of(VecDeque::from([Frame::Bytes(bytes)]), None, length)
    }

    /// A body that is still to come.
    pub fn stream(source: impl Source + 'static, length: BodyLength) -> Self {
        Self::of(VecDeque::new(), Some(Box::new(source)), length)
    }

    fn of(held: VecDeque<Frame>, rest: Option<Box<dyn Source>>, length: BodyLength) -> Self {
        Self { held, rest, length, failed: None, allowed: u64::MAX, count: None }
    }

    /// Gives [`BodyError::TooLarge`] once more than so many bytes have come, what is held included.
    pub fn limit(&mut self, most: u64) {
        let held = self.held_length();
        if held > most {
            // Not a byte of it goes on.
            self.held.clear();
            self.failed = Some(BodyError::TooLarge);
        }
        self.allowed = self.allowed.min(most.saturating_sub(held));
    }

    /// Counts the bytes that come from now on.
    pub fn count_in(&mut self, counter: Rc<Cell<u64>>) {
        self.count = Some(counter);
    }

    /// How long it claims to be.
    pub const fn length(&self) -> BodyLength {
        self.length
    }

    /// Whether no frame will come any more.
    pub fn is_over(&self) -> bool {
        self.held.is_empty() && self.rest.is_none() && self.failed.is_none()
    }

    /// Whether all that is left is in memory.
    pub fn is_held(&self) -> bool {
        self.rest.is_none() && self.failed.is_none()
    }

    /// Reads ahead until `limit` bytes are held or the body ends. What is held is still delivered afterwards.
    ///
    /// # Errors
    /// As the source says; the body gives the same error again when it is read.
    pub async fn hold(&mut self, limit: u64) -> Result<Held, BodyError> {
        std::future::poll_fn(|context| self.poll_hold(context, limit)).await
    }

    fn poll_hold(&mut self, context: &mut Context<'_>, limit: u64) -> Poll<Result<Held, BodyError>> {
        loop {
            if let Some(error) = self.failed {
                return Poll::Ready(Err(error));
            }
            if self.rest.is_none() {
                return Poll::Ready(Ok(Held::Whole));
            }
            if self.held_length() >= limit {
                return Poll::Ready(Ok(Held::Partly));
            }
            match ready!(self.poll_source(context)) {
                Some(Ok(frame)) => self.held.push_back(frame),
                Some(Err(error)) => self.failed = Some(error),
                None => {}
            }
        }
    }

    /// What is held, in one piece.
    pub fn held(&self) -> Bytes {
        let mut parts = self.held.iter().filter_map(|frame| match frame {
            Frame::Bytes(bytes) => Some(bytes),
            Frame::Trailers(_) => None,
        });
        let Some(first) = parts.next() else { return Bytes::new() };
        let Some(second) = parts.next() else { return first.clone() };
        let mut whole = BytesMut::from(&first[..]);
        whole.extend_from_slice(second);
        parts.for_each(|part| whole.extend_from_slice(part));
        whole.freeze()
    }

    fn held_length(&self) -> u64 {
        self.held.iter().map(|frame| if let Frame::Bytes(bytes) = frame { bytes.len() as u64 } else { 0 }).sum()
    }

    /// The same body again, when all of it is in memory: what a retry sends.
    pub fn again(&self) -> Option<Self> {
        self.is_held().then(|| Self::of(self.held.clone(), None, self.length))
    }

    /// The next frame, or `None` at the end.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if let Some(frame) = self.held.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        self.poll_source(context)
    }

    fn poll_source(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let Some(source) = &mut self.rest else { return Poll::Ready(None) };
        let mut next = ready!(source.poll_frame(context));
        if let Some(Ok(Frame::Bytes(bytes))) = &next {
            let length = bytes.len() as u64;
            if let Some(count) = &self.count {
                count.set(count.get().saturating_add(length));
            }
            match self.allowed.checked_sub(length) {
                Some(allowed) => self.allowed = allowed,
                None => next = Some(Err(BodyError::TooLarge)),
            }
        }
        if !matches!(next, Some(Ok(_))) {
            self.rest = None;
        }
        Poll::Ready(next)
    }

    /// The next frame, or `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Frame, BodyError>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Body({:?}, {} held)", self.length, self.held_length())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        let next = ready!(self.get_mut().poll_next(context));
        Poll::Ready(next.map(|frame| {
            frame.map(|frame| match frame {
                Frame::Bytes(bytes) => http_body::Frame::data(bytes),
                Frame::Trailers(fields) => http_body::Frame::trailers(crate::http2::header_map(&fields)),
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self.length {
            BodyLength::Empty => http_body::SizeHint::with_exact(0),
            // Only where hyper would otherwise have to guess; our own `content-length` field is authoritative.
            BodyLength::Known(_) | BodyLength::Unknown => http_body::SizeHint::default(),
        }
    }
}

/// A response, as it goes to the client or came from an upstream.
#[derive(Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Fields without the ones that frame the message on one hop.
    pub fields: Fields,
    /// Body.
    pub body: Body,
    /// After `101 Switching Protocols`: the other side of the tunnel.
    pub tunnel: Option<Box<dyn crate::link::Io>>,
}

impl std::fmt::Debug for dyn crate::link::Io {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Io")
    }
}
