//! HTTP/2 on either side, and gRPC's trailers across both.

use super::rig::{Rig, TestPage};
use super::upstream::Server;
use at_hand::Frames;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ringwall_dataplane::page::{MessageKind, Place, Speaks, Upstream};
use ringwall_model::{Layer, Reason, Version};
use std::convert::Infallible;
use std::net::SocketAddr;

async fn client<B>(address: SocketAddr) -> SendRequest<B>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
{
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn post(path: &str, body: &'static str) -> Request<Full<Bytes>> {
    Request::post(format!("http://h{path}")).header("te", "trailers").body(Full::from(body)).unwrap()
}

/// Answers as gRPC does: what came, then the status in the trailers.
async fn grpc_server() -> Upstream {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = socket.accept().await.unwrap();
            let serve = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), hyper::service::service_fn(grpc));
            tokio::spawn(serve);
        }
    });
    let upstream = Upstream::plain("outbound|9000||grpc", address);
    upstream.with_places(|place| Place { speaks: Speaks::Http2, ..place.clone() })
}

async fn grpc(request: Request<Incoming>) -> Result<Response<Frames>, Infallible> {
    assert_eq!(request.headers().get("te").map(|te| te.as_bytes()), Some(&b"trailers"[..]));
    let body = request.into_body().collect().await.unwrap();
    assert!(body.trailers().is_none(), "what nobody judged");
    let body = body.to_bytes();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let frames = Frames::from([Frame::data(body), Frame::trailers(trailers)]);
    Ok(Response::builder().header("content-type", "application/grpc").body(frames).unwrap())
}

/// A stream of frames at hand.
mod at_hand {
    use super::{Bytes, Frame, Infallible};
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    pub struct Frames(VecDeque<Frame<Bytes>>);

    impl<const N: usize> From<[Frame<Bytes>; N]> for Frames {
        fn from(frames: [Frame<Bytes>; N]) -> Self {
            Self(frames.into())
        }
    }

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }
    }
}

#[tokio::test]
async fn grpc_passes_with_its_trailers() {
    let mut rig = Rig::start(TestPage::to(grpc_server().await));
    let mut client = client(rig.address).await;
    for _ in 0..3 {
        let response = client.send_request(post("/pkg.Service/Call", "message")).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(body.to_bytes(), "message");
        let event = rig.exchange().await;
        assert_eq!((event.version, event.flags), (Version::Http2, "-"));
        assert_eq!(event.response_fields.first("grpc-status").map(AsRef::as_ref), Some(&b"0"[..]));
    }
}

#[tokio::test]
async fn http_2_is_translated_for_an_upstream_that_speaks_http_1() {
    let server = Server::echo().await;
    let rig = Rig::start(TestPage::to(server.upstream()));
    let mut client = client(rig.address).await;
    let response = client.send_request(post("/a?b=c", "body")).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "POST /a?b=c HTTP/1.1|body");
    assert!(server.heads.lock().unwrap()[0].contains("host: h\r\n"));
}

#[tokio::test]
async fn http_1_is_translated_for_an_upstream_that_speaks_http_2() {
    let rig = Rig::start(TestPage::to(grpc_server().await));
    let request = "POST /s HTTP/1.1\r\nhost: h\r\nte: trailers\r\ncontent-length: 2\r\n\r\nhi";
    let answer = rig.connect().await.ask(request).await;
    assert_eq!((answer.status, answer.text().as_str(), answer.field("grpc-status")), (200, "hi", Some("0")));
}

#[tokio::test]
async fn trailers_of_a_request_end_here() {
    let rig = Rig::start(TestPage::to(grpc_server().await));
    let request = "POST /s HTTP/1.1\r\nhost: h\r\nte: trailers\r\ntransfer-encoding: chunked\r\n\r\n\
                   2\r\nhi\r\n0\r\nx-user-id: admin\r\n\r\n";
    let mut first = rig.connect().await;
    for _ in 0..2 {
        assert_eq!(first.ask(request).await.text(), "hi");
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-user-id", "admin".parse().unwrap());
    let frames = Frames::from([Frame::data(Bytes::from_static(b"hi")), Frame::trailers(trailers)]);
    let request = Request::post("http://h/s").header("te", "trailers").body(frames).unwrap();
    let answer = client(rig.address).await.send_request(request).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hi");
}

#[tokio::test]
async fn a_refusal_is_one_in_http_2_too() {
    let mut rig = Rig::start(TestPage::to(grpc_server().await));
    let mut client = client(rig.address).await;
    let response = client.send_request(post("/refused", "x")).await.unwrap();
    assert_eq!(response.status(), 403);
    assert!(response.headers().contains_key("x-request-id"));
    response.into_body().collect().await.unwrap();
    assert_eq!(rig.exchange().await.flags, "-");
}

#[tokio::test]
async fn streams_share_one_connection_to_the_upstream() {
    let rig = Rig::start(TestPage::to(grpc_server().await));
    let client = client(rig.address).await;
    let calls = (0..20).map(|_| {
        let mut client = client.clone();
        tokio::spawn(async move { client.send_request(post("/s", "x")).await.unwrap().status() })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), 200);
    }
}

/// A call of gRPC whose service sends back what came.
fn call_of_grpc(messages: &'static str) -> Request<Full<Bytes>> {
    let mut call = post("/x.Y/Z", messages);
    call.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    call.headers_mut().insert("grpc-accept-encoding", "gzip".parse().unwrap());
    call
}

#[tokio::test]
async fn messages_of_grpc_from_the_service_are_judged() {
    let page = TestPage { judges: vec![MessageKind::GrpcAnswer], ..TestPage::to(grpc_server().await) };
    let mut rig = Rig::start(page);
    let mut sender = client(rig.address).await;
    let good = "\0\0\0\0\u{3}one\0\0\0\0\u{3}two";
    let answer = sender.send_request(call_of_grpc(good)).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(answer.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(answer.to_bytes(), good);
    assert_eq!(rig.exchange().await.refused, None);
    let bad = sender.send_request(call_of_grpc("\0\0\0\0\u{3}one\0\0\0\0\u{3}bad")).await.unwrap();
    let answer = bad.into_body().collect().await.unwrap();
    assert_eq!(answer.trailers().unwrap()["grpc-status"], "7");
    assert_eq!(answer.to_bytes(), "\0\0\0\0\u{3}one");
    assert_eq!(rig.exchange().await.refused, Some((Layer::Waf, Reason::Builtin("waf/bad"))));
}

/// A service that sends events in a coding.
async fn coded_events(coding: &str, content: &str) -> Server {
    let length = content.len();
    let fields = format!("content-type: text/event-stream\r\ncontent-encoding: {coding}\r\ncontent-length: {length}");
    let said = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{content}");
    Server::saying(Box::leak(said.into_boxed_str())).await
}

fn get_events(accept: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: h\r\naccept: {accept}\r\naccept-encoding: gzip\r\n\r\n")
}

#[tokio::test]
async fn events_are_asked_for_in_plain_and_told_of_when_they_pass_unread() {
    let server = coded_events("pass", "bad").await;
    let told = |exchange: &ringwall_model::Exchange| {
        let because = Reason::Builtin("waf/compressed-events-not-read");
        exchange.trace.steps().iter().any(|step| step.passed && step.because == because)
    };
    for (judges, is_told) in [(vec![MessageKind::Event], true), (Vec::new(), false)] {
        let mut rig = Rig::start(TestPage { judges, ..TestPage::to(server.upstream()) });
        let mut client = rig.connect().await;
        for (accept, is_plain) in [("text/html, Text/Event-Stream", is_told), ("*/*", false)] {
            assert_eq!(client.ask(get_events(accept)).await.text(), "bad");
            let head = server.heads.lock().unwrap().last().unwrap().clone();
            assert_eq!(!head.contains("accept-encoding"), is_plain, "{head}");
            assert_eq!(told(&rig.exchange().await), is_told);
        }
    }
}

#[tokio::test]
async fn events_that_come_compressed_are_read_or_refused() {
    // `a` before `b`: the events say `good` and `bad`, with a line end for the tab before it.
    let events = |texts: &[&str]| {
        let plain = texts.iter().map(|text| format!("{text}\n\n")).collect::<String>();
        plain.bytes().map(|byte| char::from(byte - 1)).collect::<String>()
    };
    let judges = || vec![MessageKind::Event];
    let server = coded_events("next", &events(&["good", "better", "bad", "late"])).await;
    let mut rig = Rig::start(TestPage { judges: judges(), ..TestPage::to(server.upstream()) });
    let answer = rig.connect().await.ask(get_events("*/*")).await;
    assert_eq!((answer.text(), answer.field("content-encoding")), ("good\n\nbetter\n\n".to_owned(), None));
    assert_eq!(rig.exchange().await.refused, Some((Layer::Waf, Reason::Builtin("waf/bad"))));

    let server = coded_events("unknown", "good").await;
    let mut rig = Rig::start(TestPage { judges: judges(), ..TestPage::to(server.upstream()) });
    let answer = rig.connect().await.ask(get_events("*/*")).await;
    assert_eq!((answer.status, answer.text()), (502, "the response was withheld".to_owned()));
    let told = rig.exchange().await;
    assert_eq!((told.refused, told.status), (Some((Layer::Waf, Reason::Builtin("waf/unreadable"))), 502));
}
