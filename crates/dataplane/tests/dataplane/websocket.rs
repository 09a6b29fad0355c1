//! WebSockets of HTTP/2 clients, to services that know them from HTTP/1; and in streams, to services that take them there.

use super::rig::{Rig, TestPage};
use super::upstream::{Server, request};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ringwall_dataplane::page::{Place, Speaks, Upstream};
use ringwall_model::{Layer, Reason, Version};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A client that has seen the server's settings.
async fn client(rig: &mut Rig) -> SendRequest<Empty<Bytes>> {
    let stream = tokio::net::TcpStream::connect(rig.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let first = Request::get("http://h/refused").body(Empty::new()).unwrap();
    let answer = sender.send_request(first).await.unwrap();
    assert_eq!(answer.status(), 403);
    answer.into_body().collect().await.unwrap();
    rig.exchange().await;
    rig.page.seen.lock().unwrap().clear();
    sender
}

fn connect(path: &str, protocol: &'static str) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = format!("http://h{path}").parse().unwrap();
    request.extensions_mut().insert(Protocol::from_static(protocol));
    request.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
    request
}

/// What RFC 6455 section 4.2.2 wants a server to answer to the key in that head.
fn accept(head: &str) -> String {
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
    assert_eq!(key.len(), 24, "{head}");
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes());
    STANDARD.encode(hash)
}

/// Agrees and echoes, but for `/wrong` (a false accept) and `/other` (200).
async fn echo() -> Server {
    Server::start(|_, mut client, heads| async move {
        let Some((head, _)) = request(&mut client).await else { return };
        heads.lock().unwrap().push(head.clone());
        let said = if head.contains("/wrong") { "AAAAAAAAAAAAAAAAAAAAAAAAAAA=".into() } else { accept(&head) };
        if head.contains("/other") {
            client.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
            return;
        }
        let lines = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-protocol: chat\r\n";
        client.send(format!("HTTP/1.1 101 Switching Protocols\r\n{lines}sec-websocket-accept: {said}\r\n\r\n")).await;
        let bytes = client.exactly(4).await;
        client.send(bytes).await;
        client.rest().await;
    })
    .await
}

async fn opened(answer: Response<Incoming>) -> TokioIo<hyper::upgrade::Upgraded> {
    assert_eq!(answer.status(), 200);
    TokioIo::new(hyper::upgrade::on(answer).await.unwrap())
}

#[tokio::test]
async fn a_websocket_of_http_2_is_bridged_to_http_1() {
    let server = echo().await;
    let mut rig = Rig::start(TestPage::to(server.upstream()));
    let mut sender = client(&mut rig).await;
    let answer = sender.send_request(connect("/ws?room=1", "websocket")).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
    for name in ["upgrade", "connection", "sec-websocket-accept"] {
        assert!(!answer.headers().contains_key(name), "{name}");
    }
    let mut socket = opened(answer).await;
    socket.write_all(b"ping").await.unwrap();
    let mut echoed = [0; 4];
    socket.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"ping");
    {
        // Every layer saw what it sees of HTTP/1.
        let seen = rig.page.seen.lock().unwrap();
        assert_eq!((&*seen[0].method, &*seen[0].target), (&b"GET"[..], &b"/ws?room=1"[..]));
        assert_eq!(ringwall_head::fields::upgrade(&seen[0].fields), Some(&b"websocket"[..]));
    }
    drop(socket);
    let told = rig.exchange().await;
    assert_eq!((told.version, told.status, told.flags), (Version::Http2, 200, "-"));
    let head = server.heads.lock().unwrap()[0].clone();
    for line in [
        "GET /ws?room=1 HTTP/1.1\r\n",
        "connection: upgrade\r\n",
        "upgrade: websocket\r\n",
        "sec-websocket-version: 13\r\n",
    ] {
        assert_eq!(head.matches(line).count(), 1, "{line}{head}");
    }
}

#[tokio::test]
async fn no_answer_reads_as_a_tunnel_that_is_not_there() {
    let server = echo().await;
    let mut rig = Rig::start(TestPage::to(server.upstream()));
    let mut sender = client(&mut rig).await;
    for (path, protocol, status) in [
        ("/refused", "websocket", 403),
        ("/wrong", "websocket", 502),
        ("/other", "websocket", 502),
        ("/ws", "connect-udp", 405),
    ] {
        let answer = sender.send_request(connect(path, protocol)).await.unwrap();
        assert_eq!(answer.status(), status, "{path} {protocol}");
        answer.into_body().collect().await.unwrap();
        assert_eq!(rig.exchange().await.status, status, "{path} {protocol}");
    }
}

#[tokio::test]
async fn a_service_that_speaks_http_2_is_asked_in_http_1() {
    let server = echo().await;
    let upstream = server.upstream().with_places(|place| Place { speaks: Speaks::Http2, ..place.clone() });
    let mut rig = Rig::start(TestPage::to(upstream));
    let mut sender = client(&mut rig).await;
    let mut socket = opened(sender.send_request(connect("/ws", "websocket")).await.unwrap()).await;
    socket.write_all(b"ping").await.unwrap();
    socket.read_exact(&mut [0; 4]).await.unwrap();
}

#[tokio::test]
async fn what_is_no_longer_admitted_ends_here_too() {
    let server = echo().await;
    let mut rig = Rig::start(TestPage::to(server.upstream()));
    let mut sender = client(&mut rig).await;
    let mut socket = opened(sender.send_request(connect("/ws", "websocket")).await.unwrap()).await;
    let patience = Duration::from_secs(10);
    assert_eq!(rig.engine.judge_again(patience), 0);
    *rig.page.ended.lock().unwrap() = Some("/ws");
    assert_eq!(rig.engine.judge_again(patience), 1);
    assert_eq!(socket.read(&mut [0; 4]).await.unwrap_or(0), 0);
    let told = rig.exchange().await;
    assert_eq!(told.refused, Some((Layer::Shield, Reason::Builtin("shield/blocked-user"))));
    // Other streams of the connection go on.
    let mut other = opened(sender.send_request(connect("/still", "websocket")).await.unwrap()).await;
    other.write_all(b"ping").await.unwrap();
    other.read_exact(&mut [0; 4]).await.unwrap();
}

/// Whether a service takes WebSockets in streams.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Sockets,
    None,
}

/// A service that speaks HTTP/2 alone, and the connections that were made to it.
async fn http2_alone(takes: Takes) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            if takes == Takes::Sockets {
                builder.enable_connect_protocol();
            }
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), hyper::service::service_fn(echo_in_stream)));
        }
    });
    address
}

async fn echo_in_stream(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let is_socket = request.extensions().get::<Protocol>().is_some_and(|it| it.as_str() == "websocket");
    let plain = ["sec-websocket-key", "upgrade", "connection"].iter().all(|it| !request.headers().contains_key(*it));
    let whole = request.uri().path() == "/ws" && request.headers().contains_key("sec-websocket-version") && plain;
    if request.method() != Method::CONNECT || !is_socket || !whole {
        return Ok(Response::builder().status(403).body(Empty::new()).unwrap());
    }
    let opened = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(opened.await.unwrap());
        let mut four = [0; 4];
        while stream.read_exact(&mut four).await.is_ok() && stream.write_all(&four).await.is_ok() {}
    });
    Ok(Response::builder().header("sec-websocket-protocol", "chat").body(Empty::new()).unwrap())
}

fn http2(address: SocketAddr) -> Upstream {
    let upstream = Upstream::plain("outbound|80||h", address);
    upstream.with_places(|place| Place { speaks: Speaks::Http2, ..place.clone() })
}

#[tokio::test]
async fn a_service_of_http_2_alone_is_asked_in_a_stream() {
    let mut rig = Rig::start(TestPage::to(http2(http2_alone(Takes::Sockets).await)));
    let mut sender = client(&mut rig).await;
    let answer = sender.send_request(connect("/ws", "websocket")).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
    assert!(!answer.headers().contains_key("sec-websocket-accept"));
    let mut first = opened(answer).await;
    let mut second = opened(sender.send_request(connect("/ws", "websocket")).await.unwrap()).await;
    for four in [b"ping", b"more"] {
        for socket in [&mut first, &mut second] {
            let mut echoed = [0; 4];
            socket.write_all(four).await.unwrap();
            socket.read_exact(&mut echoed).await.unwrap();
            assert_eq!(&echoed, four);
        }
    }
    // What the service refuses is its answer.
    assert_eq!(sender.send_request(connect("/other", "websocket")).await.unwrap().status(), 403);

    // A client of HTTP/1 gets the answer to its own key.
    let mut client = rig.connect().await;
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n";
    client.send(format!("GET /ws HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n{key}\r\n")).await;
    let head = client.head().await;
    assert_eq!((head.status, head.field("sec-websocket-accept")), (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
    client.send("ping").await;
    assert_eq!(client.exactly(4).await, b"ping");
}

#[tokio::test]
async fn a_service_of_http_2_that_takes_no_websockets_is_told_of() {
    let mut rig = Rig::start(TestPage::to(http2(http2_alone(Takes::None).await)));
    let mut sender = client(&mut rig).await;
    let answer = sender.send_request(connect("/ws", "websocket")).await.unwrap();
    assert_eq!(answer.status(), 502);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(
        String::from_utf8_lossy(&body).contains("takes WebSockets neither in it (RFC 8441) nor in HTTP/1.1"),
        "{body:?}"
    );
    let told = rig.exchange().await;
    assert_eq!((told.flags, &*told.details), ("UPE", "upstream_takes_no_websockets"));
}
