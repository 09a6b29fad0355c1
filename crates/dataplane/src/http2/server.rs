//! The server side of an HTTP/2 connection: streams, and tunnels in streams (RFC 9113 section 8.5, RFC 8441).

use super::{OnThisThread, fields, header_map, request_body};
use crate::exchange;
use crate::link::Io;
use crate::message::{Body, BodyError, Response};
use crate::worker::Conversation;
use bytes::Bytes;
use http::Request;
use http::request::Parts;
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use ringwall_head::h2::{Pseudo, Stream, call};
use ringwall_model::Scheme;
use std::pin::pin;
use std::rc::Rc;

/// Serves streams until the connection ends.
pub(crate) async fn serve(io: Box<dyn Io>, conversation: Rc<Conversation>) {
    let limits = &conversation.shared.limits;
    let mut builder = hyper::server::conn::http2::Builder::new(OnThisThread);
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        // Any route may upgrade to WebSocket, as in Istio.
        .enable_connect_protocol()
        .max_concurrent_streams(limits.streams)
        // CVE-2023-44487 and its kin: a client that opens and resets faster than this is cut off.
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(100)
        .max_header_list_size(64 * 1024)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_send_buf_size(256 * 1024)
        .keep_alive_interval(limits.idle / 2)
        .keep_alive_timeout(limits.head);
    let service = {
        let conversation = conversation.clone();
        service_fn(move |request| one(conversation.clone(), request))
    };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    tokio::select! {
        // How it ended is the client's business; each stream has told its own event.
        _ = connection.as_mut() => return,
        () = conversation.until_drain() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn one(
    conversation: Rc<Conversation>,
    mut request: Request<Incoming>,
) -> Result<http::Response<Body>, BodyError> {
    let reading = conversation.shared.page.reading(&conversation.listener);
    let opened = (request.method() == http::Method::CONNECT).then(|| hyper::upgrade::on(&mut request));
    let (parts, incoming) = request.into_parts();
    let stream = if incoming.is_end_stream() { Stream::Ended } else { Stream::Open };
    let pseudo = pseudo(&parts, conversation.scheme());
    let call = call(pseudo, fields(&parts.headers), stream, conversation.context(&reading.settings));
    let length = call.body;
    let body = request_body(incoming, length);
    let mut response = exchange::run(&conversation, &reading, Box::new(call), body).await;
    if let (Some(opened), Some(upstream)) = (opened, response.tunnel.take()) {
        return Ok(tunnel(&conversation, opened, upstream, response));
    }
    // An error makes hyper reset the stream.
    if response.status == exchange::SILENCE { Err(BodyError::Closed) } else { Ok(outgoing(response)) }
}

/// Bytes both ways, once the client has its answer, until one side ends.
fn tunnel(
    conversation: &Conversation,
    opened: OnUpgrade,
    upstream: Box<dyn Io>,
    response: Response,
) -> http::Response<Body> {
    let idle = conversation.shared.limits.tunnel_idle;
    // The record of the exchange lives in the body: it ends when the tunnel does.
    let mut record = response.body;
    tokio::task::spawn_local(async move {
        if let Ok(client) = opened.await {
            crate::tcp::tunnel(Box::new(TokioIo::new(client)), upstream, idle).await;
        }
        let _ = record.next().await;
    });
    outgoing(Response { body: Body::empty(), ..response })
}

/// hyper has put the pseudo-fields into a URI; this takes them apart again.
fn pseudo(parts: &Parts, connection: Scheme) -> Pseudo {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let uri = &parts.uri;
    Pseudo {
        method: bytes(parts.method.as_str()),
        // A CONNECT alone has no scheme; for the rest hyper has seen to it that there is one.
        scheme: (parts.method != http::Method::CONNECT || uri.scheme().is_some())
            .then(|| uri.scheme_str().map_or_else(|| bytes(connection.as_str()), bytes)),
        authority: uri.authority().map(|authority| bytes(authority.as_str())),
        path: uri.path_and_query().map(|path| bytes(path.as_str())),
        protocol: parts.extensions.get::<hyper::ext::Protocol>().map(|protocol| bytes(protocol.as_str())),
    }
}

fn outgoing(response: Response) -> http::Response<Body> {
    let headers = header_map(&response.fields);
    let mut outgoing = http::Response::new(response.body);
    *outgoing.status_mut() = http::StatusCode::from_u16(response.status).unwrap_or(http::StatusCode::BAD_GATEWAY);
    *outgoing.headers_mut() = headers;
    outgoing
}
