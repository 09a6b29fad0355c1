//! The client side of an HTTP/2 connection: one connection, many requests.

use super::{OnThisThread, body, fields, header_map};
use crate::http1::client::{Broken, Outgoing};
use crate::link::Io;
use crate::message::{Body, Response};
use crate::pool::Slot;
use http::uri::{Authority, PathAndQuery, Scheme};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioIo, TokioTimer};
use ringwall_head::fields::strip_hop_by_hop;
use ringwall_model::BodyLength;
use std::time::Duration;

/// Where requests of a connection go in.
#[derive(Clone)]
pub(crate) struct Sender(SendRequest<Body>);

/// Speaks HTTP/2 on a stream. The slot is held as long as the connection lives.
pub(crate) async fn handshake(io: Box<dyn Io>, slot: Slot) -> Result<Sender, Broken> {
    let mut builder = hyper::client::conn::http2::Builder::new(OnThisThread);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10))
        .max_header_list_size(64 * 1024)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024);
    let (sender, connection) = builder.handshake(TokioIo::new(io)).await.map_err(|_| Broken::BeforeAnswer)?;
    tokio::task::spawn_local(async move {
        // Each request on it learns of its end by itself.
        let _ = connection.await;
        drop(slot);
    });
    Ok(Sender(sender))
}

impl Sender {
    /// Whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Sends a request and waits for the head of its response.
    ///
    /// # Errors
    /// [`Broken`]
    pub(crate) async fn send(
        &mut self,
        outgoing: &Outgoing<'_>,
        secure: ringwall_model::Scheme,
        body: Body,
    ) -> Result<Response, Broken> {
        self.0.ready().await.map_err(|_| Broken::BeforeAnswer)?;
        let request = request(outgoing, secure, body).ok_or(Broken::Malformed)?;
        let answer = self.0.send_request(request).await.map_err(|error| broken(&error))?;
        Ok(incoming(answer))
    }
}

fn broken(error: &hyper::Error) -> Broken {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(body) = inner.downcast_ref::<crate::message::BodyError>() {
            return Broken::Request(*body);
        }
        cause = inner.source();
    }
    if error.is_parse() { Broken::Malformed } else { Broken::BeforeAnswer }
}

fn request(outgoing: &Outgoing<'_>, secure: ringwall_model::Scheme, body: Body) -> Option<http::Request<Body>> {
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(if secure == ringwall_model::Scheme::Https { Scheme::HTTPS } else { Scheme::HTTP });
    uri.authority = Some(Authority::from_maybe_shared(outgoing.call.authority.clone()).ok()?);
    uri.path_and_query = Some(PathAndQuery::try_from(outgoing.target).ok()?);
    let mut headers = header_map(outgoing.fields);
    headers.remove(http::header::HOST);
    headers.remove(http::header::EXPECT);
    if body.length() == BodyLength::Unknown {
        headers.remove(http::header::CONTENT_LENGTH);
    }
    let mut request = http::Request::new(body);
    *request.method_mut() = http::Method::from_bytes(&outgoing.call.method).ok()?;
    *request.uri_mut() = http::Uri::from_parts(uri).ok()?;
    *request.version_mut() = http::Version::HTTP_2;
    *request.headers_mut() = headers;
    Some(request)
}

fn incoming(answer: http::Response<hyper::body::Incoming>) -> Response {
    let (parts, stream) = answer.into_parts();
    let mut fields = fields(&parts.headers);
    strip_hop_by_hop(&mut fields);
    let known = fields.only("content-length").and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
    let body = body(stream, known.map_or(BodyLength::Unknown, BodyLength::Known));
    Response { status: parts.status.as_u16(), fields, body, tunnel: None }
}
