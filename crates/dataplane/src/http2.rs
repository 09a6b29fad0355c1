//! HTTP/2 on both sides: hyper frames it, the engine gives it the same calls and bodies as HTTP/1.
//!
//! In: a byte stream. Out: calls to [`crate::exchange`]; on the client side responses. Limits against abuse stand in
//! [`server`] (streams, resets, header lists, keep-alive). Follows RFC 9113.

pub(crate) mod client;
pub(crate) mod server;
mod settled;

pub(crate) use client::Sender;

use crate::message::{Body, BodyError, Frame, Source};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::body::{Body as _, Incoming};
use ringwall_model::{BodyLength, Fields};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Runs hyper's futures on this thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnThisThread;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Fields as hyper has them; what HTTP/2 does not allow is left out (RFC 9113 section 8.2).
pub(crate) fn header_map(fields: &Fields) -> HeaderMap {
    const NEVER: [&str; 5] = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];
    let mut map = HeaderMap::with_capacity(fields.0.len());
    for field in fields.iter() {
        let name = HeaderName::from_bytes(&field.name);
        let value = HeaderValue::from_maybe_shared(field.value.clone());
        if let (Ok(name), Ok(value)) = (name, value)
            && !NEVER.contains(&name.as_str())
        {
            map.append(name, value);
        }
    }
    map
}

/// Fields as the engine has them.
pub(crate) fn fields(map: &HeaderMap) -> Fields {
    let one = |(name, value): (&HeaderName, &HeaderValue)| ringwall_model::Field {
        name: Bytes::copy_from_slice(name.as_str().as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
    };
    Fields(map.iter().map(one).collect())
}

/// The body of a request that hyper receives. Trailers are no part of what is judged: they end here (RFC 9110 section
/// 6.5.1); gRPC sends none.
pub(crate) fn request_body(incoming: Incoming, length: BodyLength) -> Body {
    body(incoming, length, false)
}

/// The body of a response that hyper receives.
pub(crate) fn response_body(incoming: Incoming, length: BodyLength) -> Body {
    body(incoming, length, true)
}

fn body(incoming: Incoming, length: BodyLength, has_trailers: bool) -> Body {
    if incoming.is_end_stream() {
        return Body::empty();
    }
    Body::stream(Stream { incoming, has_trailers }, length)
}

struct Stream {
    incoming: Incoming,
    has_trailers: bool,
}

impl Source for Stream {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let next = ready!(Pin::new(&mut self.incoming).poll_frame(context));
        Poll::Ready(match next {
            None => None,
            Some(Err(_)) => Some(Err(BodyError::Closed)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) => Some(Ok(Frame::Bytes(bytes))),
                Err(_) if !self.has_trailers => None,
                Err(frame) => Some(Ok(Frame::Trailers(frame.trailers_ref().map(fields).unwrap_or_default()))),
            },
        })
    }
}
