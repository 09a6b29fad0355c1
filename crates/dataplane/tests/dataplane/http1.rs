//! HTTP/1.1: framing, order, streaming, retries, failures in Envoy's words.

use super::rig::{Rig, TestPage};
use super::upstream::{Server, request};
use ringwall_dataplane::page::{Destination, Place, RetryOn, Upstream};
use ringwall_model::{Millis, Protocol};
use std::sync::Arc;

async fn echo() -> (Server, Rig) {
    let server = Server::echo().await;
    let rig = Rig::start(TestPage::to(server.upstream()));
    (server, rig)
}

const GET: &str = "GET /a HTTP/1.1\r\nhost: h\r\n\r\n";

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let (server, rig) = echo().await;
    let mut client = rig.connect().await;
    for _ in 0..3 {
        let answer = client.ask(GET).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "GET /a HTTP/1.1|"));
    }
    assert_eq!(server.took(), 1);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (_server, rig) = echo().await;
    let mut client = rig.connect().await;
    let one = |path: &str| format!("POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\nx");
    client.send([one("/1"), one("/refused"), one("/3")].concat()).await;
    assert_eq!(client.answer().await.text(), "POST /1 HTTP/1.1|x");
    assert_eq!(client.answer().await.status, 403);
    assert_eq!(client.answer().await.text(), "POST /3 HTTP/1.1|x");
}

#[tokio::test]
async fn bodies_stream_in_chunks_both_ways() {
    let (server, rig) = echo().await;
    let mut client = rig.connect().await;
    client.send("POST /c HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client.send("3\r\nabc\r\n").await;
    client.send("2\r\nde\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "POST /c HTTP/1.1|abcde");
    assert!(server.heads.lock().unwrap()[0].contains("transfer-encoding: chunked\r\n"));
    let held = client.ask("POST /held HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nabcdefghi").await;
    assert_eq!(held.text(), "POST /held HTTP/1.1|abcdefghi");
}

#[tokio::test]
async fn chunked_responses_keep_their_trailers() {
    let server =
        Server::saying("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n").await;
    let rig = Rig::start(TestPage::to(server.upstream()));
    let answer = rig.connect().await.ask(GET).await;
    assert_eq!((answer.text().as_str(), answer.field("x-sum")), ("hi", Some("1")));
}

#[tokio::test]
async fn events_leave_as_they_come() {
    let (next, go) = tokio::sync::mpsc::unbounded_channel::<()>();
    let go = Arc::new(tokio::sync::Mutex::new(go));
    let server = Server::start(move |_, mut client, _| {
        let go = go.clone();
        async move {
            request(&mut client).await;
            client.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await;
            for number in 0..3 {
                client.send(format!("data: {number}\n\n")).await;
                // The next event is only sent when the client has seen this one.
                go.lock().await.recv().await;
            }
        }
    })
    .await;
    let rig = Rig::start(TestPage::to(server.upstream()));
    let mut client = rig.connect().await;
    client.send(GET).await;
    assert_eq!(client.head().await.field("transfer-encoding"), Some("chunked"));
    for number in 0..3 {
        let event = String::from_utf8(client.until(b"\n\n").await).unwrap();
        assert!(event.ends_with(&format!("data: {number}\n\n")), "{event}");
        next.send(()).unwrap();
    }
    client.until(b"0\r\n\r\n").await;
}

#[tokio::test]
async fn websockets_pass_and_are_counted_at_their_end() {
    let server = Server::start(|_, mut client, heads| async move {
        let (head, _) = request(&mut client).await.unwrap();
        heads.lock().unwrap().push(head);
        client.send("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n").await;
        let frame = client.exactly(4).await;
        client.send(frame).await;
        client.rest().await;
    })
    .await;
    let mut rig = Rig::start(TestPage::to(server.upstream()));
    let mut client = rig.connect().await;
    client.send("GET /ws HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n").await;
    let head = client.head().await;
    assert_eq!(
        (head.status, head.field("upgrade"), head.field("connection")),
        (101, Some("websocket"), Some("upgrade"))
    );
    client.send("ping").await;
    assert_eq!(client.exactly(4).await, b"ping");
    drop(client);
    assert_eq!(rig.exchange().await.status, 101);
    assert!(server.heads.lock().unwrap()[0].contains("connection: upgrade\r\n"));
}

#[tokio::test]
async fn no_other_protocol_is_switched_to() {
    let (server, rig) = echo().await;
    let h2c = "GET /a HTTP/1.1\r\nhost: h\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n\r\n";
    assert_eq!(rig.connect().await.ask(h2c).await.status, 200);
    let head = server.heads.lock().unwrap()[0].clone();
    assert!(!head.contains("upgrade") && !head.contains("h2c") && !head.contains("http2-settings"), "{head}");
}

#[tokio::test]
async fn connect_makes_a_tunnel_where_it_may() {
    let server = Server::start(|_, mut client, _| async move {
        let line = client.until(b"\n").await;
        client.send(line).await;
    })
    .await;
    let settings = Arc::new(ringwall_head::Settings {
        connect: ringwall_head::Connect::Tunnel,
        ..ringwall_head::Settings::default()
    });
    let mut rig = Rig::start(TestPage { settings, ..TestPage::to(server.upstream()) });
    let mut client = rig.connect().await;
    client.send("CONNECT h:443 HTTP/1.1\r\nhost: h:443\r\n\r\n").await;
    let head = client.head().await;
    assert_eq!((head.status, head.field("content-length")), (200, None));
    client.send("sealed\n").await;
    assert_eq!(client.rest().await, b"sealed\n");
    drop(client);
    assert_eq!(rig.exchange().await.status, 200);
    let closed = Rig::start(TestPage::to(server.upstream()));
    let refused = closed.connect().await.ask("CONNECT h:443 HTTP/1.1\r\nhost: h:443\r\n\r\n").await;
    assert_eq!(refused.status, 405);
}

#[tokio::test]
async fn a_client_that_expects_is_told_to_continue() {
    let (server, rig) = echo().await;
    let mut client = rig.connect().await;
    let head =
        |path: &str| format!("POST {path} HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
    client.send(head("/e")).await;
    assert_eq!(client.head().await.status, 100);
    assert_eq!(client.ask("ok").await.text(), "POST /e HTTP/1.1|ok");
    assert!(!server.heads.lock().unwrap()[0].contains("expect"));
    // A refusal comes in its place; then nobody knows what the next bytes are, and the connection ends.
    let refused = client.ask(head("/refused")).await;
    assert_eq!((refused.status, refused.field("connection")), (403, Some("close")));
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_response_without_a_body_has_none() {
    let server = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").await;
    let rig = Rig::start(TestPage::to(server.upstream()));
    let mut client = rig.connect().await;
    client.send("HEAD /a HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(client.head().await.field("content-length"), Some("5"));
    client.send("HEAD /b HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(client.head().await.status, 200);
    let server = Server::saying("HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n").await;
    let rig = Rig::start(TestPage::to(server.upstream()));
    let answer = rig.connect().await.ask(GET).await;
    assert_eq!((answer.status, answer.field("etag"), answer.body.len()), (304, Some("x"), 0));
}

#[tokio::test]
async fn http_1_0_gets_what_it_can_read() {
    let server = Server::saying("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n").await;
    let rig = Rig::start(TestPage::to(server.upstream()));
    let mut client = rig.connect().await;
    client.send("GET /a HTTP/1.0\r\n\r\n").await;
    let all = String::from_utf8(client.rest().await).unwrap();
    assert!(all.ends_with("\r\n\r\nhi") && !all.contains("transfer-encoding"), "{all}");
}

#[tokio::test]
async fn a_response_that_ends_with_its_connection_is_whole() {
    let server = Server::saying("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall of it").await;
    let mut rig = Rig::start(TestPage::to(server.upstream()));
    assert_eq!(rig.connect().await.ask(GET).await.text(), "all of it");
    assert_eq!(rig.exchange().await.flags, "-");
}

#[tokio::test]
async fn what_is_for_one_hop_stays_there() {
    let (server, rig) = echo().await;
    let request =
        "GET /a HTTP/1.1\r\nhost: h\r\nconnection: x-secret\r\nx-secret: 1\r\nkeep-alive: 5\r\nx-kept: 2\r\n\r\n";
    rig.connect().await.ask(request).await;
    let head = server.heads.lock().unwrap()[0].clone();
    assert!(head.contains("x-kept: 2\r\n") && head.contains("x-forwarded-for: 127.0.0.1\r\n"), "{head}");
    assert!(!head.contains("x-secret") && !head.contains("keep-alive"), "{head}");
    assert!(head.contains("x-request-id: "), "{head}");
}

#[tokio::test]
async fn a_refusal_is_told_with_its_reason() {
    let (_server, mut rig) = echo().await;
    let answer = rig.connect().await.ask("GET /refused HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(answer.status, 403);
    for name in ["x-request-id", "date", "content-length"] {
        assert!(answer.field(name).is_some(), "{name}");
    }
    let event = rig.exchange().await;
    assert_eq!(event.status, 403);
    assert_eq!(Some(event.id.to_string().as_str()), answer.field("x-request-id"));
    assert!(event.refused.is_some());
}

#[tokio::test]
async fn a_dropped_call_gets_no_answer() {
    let (server, mut rig) = echo().await;
    let mut client = rig.connect().await;
    client.send("GET /dropped HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(client.rest().await, b"");
    assert_eq!((rig.exchange().await.status, server.took()), (0, 0));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let server = Server::echo().await;
    let page = TestPage { body_limit: 10, ..TestPage::to(server.upstream()) };
    let rig = Rig::start(page);
    let known = "POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 11\r\n\r\nhello world";
    assert_eq!(rig.connect().await.ask(known).await.status, 413);
    let chunks = "POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n";
    assert_eq!(rig.connect().await.ask(chunks).await.status, 413);
    assert!(server.heads.lock().unwrap().iter().all(|head| !head.contains("content-length: 11")));
}

#[tokio::test]
async fn failures_are_named_as_envoy_names_them() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let gone = Upstream { retries: 0, ..Upstream::plain("gone", address) };
    check_failure(gone, 503, "UF").await;
    let hang_up = Server::start(|_, mut client, _| async move { drop(request(&mut client).await) }).await;
    check_failure(Upstream { retries: 0, ..hang_up.upstream() }, 503, "UC").await;
    let silent = Server::start(|_, mut client, _| async move { drop(client.rest().await) }).await;
    check_failure(Upstream { timeout: Some(Millis(30)), ..silent.upstream() }, 504, "UT").await;
    check_failure(Upstream { per_try: Some(Millis(30)), retries: 0, ..silent.upstream() }, 504, "UT").await;
    let two_ways = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n").await;
    check_failure(Upstream { retries: 0, ..two_ways.upstream() }, 502, "UPE").await;
    let mut full = two_ways.upstream();
    full.limits.connections = 0;
    check_failure(full, 503, "UO").await;
    check_failure(Upstream { places: Arc::new([]), ..two_ways.upstream() }, 503, "UH").await;
}

async fn check_failure(upstream: Upstream, status: u16, flags: &str) {
    let mut rig = Rig::start(TestPage::to(upstream));
    let answer = rig.connect().await.ask(GET).await;
    let event = rig.exchange().await;
    assert_eq!((answer.status, event.flags), (status, flags), "{answer:?} {}", event.details);
    assert!(answer.field("x-request-id").is_some());
}

#[tokio::test]
async fn a_failed_try_is_repeated_with_its_body() {
    let server = Server::start(|number, mut client, _| async move {
        while let Some((_, body)) = request(&mut client).await {
            let status = if number < 2 { "503 Service Unavailable" } else { "200 OK" };
            let length = body.len();
            client.send(format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n")).await;
            client.send(body).await;
            if number < 2 {
                return;
            }
        }
    })
    .await;
    let rig = Rig::start(TestPage::to(server.upstream()));
    let answer = rig.connect().await.ask("POST /r HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nbody").await;
    assert_eq!((answer.status, answer.text().as_str(), server.took()), (200, "body", 3));
}

#[tokio::test]
async fn a_try_goes_to_another_endpoint() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = Destination::Address(closed.local_addr().unwrap());
    drop(closed);
    let server = Server::echo().await;
    let mut upstream = server.upstream();
    let place = |to: &Destination| Arc::new(Place { to: to.clone(), ..Place::clone(&upstream.places[0]) });
    upstream.places = [&dead, &Destination::Address(server.address), &dead].map(place).into();
    upstream.retry_on = RetryOn { connect_failure: true, ..RetryOn::default() };
    let rig = Rig::start(TestPage::to(upstream));
    for _ in 0..8 {
        assert_eq!(rig.connect().await.ask(GET).await.status, 200);
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_replaced() {
    let server = Server::start(|_, mut client, _| async move {
        request(&mut client).await;
        client.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    let rig = Rig::start(TestPage::to(Upstream { retries: 0, ..server.upstream() }));
    let mut client = rig.connect().await;
    for _ in 0..5 {
        assert_eq!(client.ask(GET).await.status, 200);
    }
    assert_eq!(server.took(), 5);
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_call() {
    let (done, ended) = tokio::sync::oneshot::channel::<()>();
    let done = Arc::new(std::sync::Mutex::new(Some(done)));
    let server = Server::start(move |_, mut client, heads| {
        let done = done.clone();
        async move {
            let (head, _) = request(&mut client).await.unwrap();
            heads.lock().unwrap().push(head);
            client.rest().await;
            let _ = done.lock().unwrap().take().unwrap().send(());
        }
    })
    .await;
    let mut rig = Rig::start(TestPage::to(server.upstream()));
    let mut client = rig.connect().await;
    client.send(GET).await;
    while server.took() == 0 {
        tokio::task::yield_now().await;
    }
    drop(client);
    ended.await.unwrap();
    assert_eq!(rig.exchange().await.flags, "DC");
}

#[tokio::test]
async fn tcp_where_the_server_speaks_first() {
    let server = Server::start(|_, mut client, _| async move {
        client.send("220 ready\r\n").await;
        let line = client.until(b"\n").await;
        client.send(line).await;
    })
    .await;
    let mut rig = Rig::with(TestPage::to(server.upstream()), Protocol::Tcp, |_| {});
    let mut client = rig.connect().await;
    assert_eq!(client.until(b"\n").await, b"220 ready\r\n");
    client.send("hello\n").await;
    assert_eq!(client.rest().await, b"hello\n");
    drop(client);
    let event = rig.connection().await;
    assert_eq!((event.received, event.sent), (6, 17));
}
