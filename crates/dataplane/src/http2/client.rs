//! The client side of an HTTP/2 connection: one connection, many requests, and WebSockets in streams (RFC 8441).

use super::settled::{Note, Settled};
use super::{OnThisThread, fields, header_map, response_body};
use crate::http1::client::{Broken, Outgoing};
use crate::link::Io;
use crate::message::{Body, Response};
use crate::pool::Slot;
use crate::websocket;
use http::uri::{Authority, PathAndQuery, Scheme};
use hyper::client::conn::http2::SendRequest;
use hyper::ext::Protocol;
use hyper_util::rt::{TokioIo, TokioTimer};
use ringwall_head::fields::strip_hop_by_hop;
use ringwall_head::h2::settings::ExtendedConnect;
use ringwall_model::BodyLength;
use std::time::Duration;

/// Where requests of a connection go in.
#[derive(Clone)]
pub(crate) struct Sender {
    requests: SendRequest<Body>,
    settings: Note,
}

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
    let (io, settings) = Settled::new(io);
    let (requests, connection) = builder.handshake(TokioIo::new(io)).await.map_err(|_| Broken::BeforeAnswer)?;
    tokio::task::spawn_local(async move {
        // Each request on it learns of its end by itself.
        let _ = connection.await;
        drop(slot);
    });
    Ok(Sender { requests, settings })
}

impl Sender {
    /// Whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.requests.is_closed()
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
        self.requests.ready().await.map_err(|_| Broken::BeforeAnswer)?;
        let request = request(outgoing, secure, body).ok_or(Broken::Malformed)?;
        let answer = self.requests.send_request(request).await.map_err(|error| broken(&error))?;
        Ok(incoming(answer))
    }

    /// Whether the server takes WebSockets in streams. One that has not said so in time does not.
    pub(crate) async fn takes_sockets(&mut self, patience: Duration) -> bool {
        let said = tokio::time::timeout(patience, self.settings.wait_for(Option::is_some)).await;
        matches!(said, Ok(Ok(said)) if *said == Some(ExtendedConnect::Taken))
    }

    /// Opens a WebSocket in a stream (RFC 8441 section 5). The answer is that of HTTP/1.1, for the key that was sent.
    ///
    /// # Errors
    /// [`Broken`]
    pub(crate) async fn socket(
        &mut self,
        outgoing: &Outgoing<'_>,
        secure: ringwall_model::Scheme,
    ) -> Result<Response, Broken> {
        self.requests.ready().await.map_err(|_| Broken::BeforeAnswer)?;
        let mut request = request(outgoing, secure, Body::empty()).ok_or(Broken::Malformed)?;
        *request.method_mut() = http::Method::CONNECT;
        request.extensions_mut().insert(Protocol::from_static("websocket"));
        request.headers_mut().remove(http::header::SEC_WEBSOCKET_KEY);
        request.headers_mut().remove(http::header::CONTENT_LENGTH);
        let answer = self.requests.send_request(request).await.map_err(|error| broken(&error))?;
        if answer.status() != http::StatusCode::OK {
            return Ok(incoming(answer));
        }
        let mut fields = fields(answer.headers());
        strip_hop_by_hop(&mut fields);
        let tunnel = hyper::upgrade::on(answer).await.map_err(|error| broken(&error))?;
        fields.push("upgrade", "websocket");
        let key = outgoing.fields.only("sec-websocket-key").and_then(|key| std::str::from_utf8(key).ok());
        fields.set("sec-websocket-accept", websocket::accept(key.unwrap_or_default()));
        Ok(Response { status: 101, fields, body: Body::empty(), tunnel: Some(Box::new(TokioIo::new(tunnel))) })
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
    let body = response_body(stream, known.map_or(BodyLength::Unknown, BodyLength::Known));
    Response { status: parts.status.as_u16(), fields, body, tunnel: None }
}
