//! What ends a connection: slowness, blocks, drain; and what does not.

use super::rig::{Rig, TestPage, listener};
use super::upstream::{Server, request};
use ringwall_dataplane::Selector;
use ringwall_dataplane::page::ProxyHeader;
use ringwall_model::{ClientOrigin, Layer, Protocol, Reason, Timestamp};
use std::sync::Arc;
use std::time::Duration;

const GET: &str = "GET /a HTTP/1.1\r\nhost: h\r\n\r\n";

#[tokio::test]
async fn a_slow_head_is_cut_off() {
    let server = Server::echo().await;
    let rig = Rig::with(TestPage::to(server.upstream()), Protocol::Http, |shared| {
        shared.limits.head = Duration::from_millis(40);
    });
    let mut client = rig.connect().await;
    client.send("GET /a HTTP/1.1\r\nhost: ").await;
    assert_eq!(client.answer().await.status, 408);
    assert_eq!(client.rest().await, b"");
    assert_eq!(server.took(), 0);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = Server::echo().await;
    let rig = Rig::with(TestPage::to(server.upstream()), Protocol::Http, |shared| {
        shared.limits.idle = Duration::from_millis(40);
    });
    let mut client = rig.connect().await;
    assert_eq!(client.ask(GET).await.status, 200);
    assert_eq!(client.rest().await, b"");
}

const BLOCKED: (Layer, Reason) = (Layer::Shield, Reason::Builtin("shield/blocked-address"));

#[tokio::test]
async fn a_block_cuts_live_connections() {
    let server = Server::echo().await;
    let rig = Rig::start(TestPage::to(server.upstream()));
    let mut client = rig.connect().await;
    assert_eq!(client.ask(GET).await.status, 200);
    assert_eq!(rig.engine.cut(&Selector::Addresses(vec!["10.0.0.0/8".parse().unwrap()]), BLOCKED), 0);
    assert_eq!(client.ask(GET).await.status, 200);
    assert_eq!(rig.engine.cut(&Selector::Addresses(vec!["127.0.0.1/32".parse().unwrap()]), BLOCKED), 1);
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_block_cuts_a_tunnel() {
    let server = Server::start(|_, mut client, _| async move {
        request(&mut client).await;
        client.send("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n").await;
        client.rest().await;
    })
    .await;
    let mut rig = Rig::start(TestPage::to(server.upstream()));
    let mut client = rig.connect().await;
    client.send("GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
    assert_eq!(client.head().await.status, 101);
    assert_eq!(rig.engine.cut(&Selector::All, BLOCKED), 1);
    assert_eq!(client.rest().await, b"");
    let told = rig.exchange().await;
    assert_eq!((told.refused, &*told.details), (Some(BLOCKED), "no_longer_allowed"));
}

#[tokio::test]
async fn listeners_come_and_go_under_live_connections() {
    let server = Server::echo().await;
    let rig = Rig::start(TestPage::to(server.upstream()));
    let mut old = rig.connect().await;
    assert_eq!(old.ask(GET).await.status, 200);
    rig.engine.close(rig.id);
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    rig.engine.listen(listener(Protocol::Http), vec![socket]).unwrap();
    let mut new = super::rig::Client::new(tokio::net::TcpStream::connect(address).await.unwrap());
    assert_eq!(new.ask(GET).await.status, 200);
    assert_eq!(old.ask(GET).await.status, 200);
    assert!(tokio::net::TcpStream::connect(rig.address).await.is_err());
}

#[tokio::test]
async fn drain_finishes_what_has_begun() {
    let (go, gate) = tokio::sync::watch::channel(false);
    let (arrived, mut at_server) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |_, mut client, _| {
        let (mut gate, arrived) = (gate.clone(), arrived.clone());
        async move {
            request(&mut client).await;
            arrived.send(()).unwrap();
            gate.wait_for(|open| *open).await.unwrap();
            client.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").await;
        }
    })
    .await;
    let rig = Rig::start(TestPage::to(server.upstream()));
    let mut busy = rig.connect().await;
    busy.send(GET).await;
    at_server.recv().await.unwrap();
    let mut idle = rig.connect().await;
    idle.send("").await;
    let engine = rig.engine;
    let drained = tokio::task::spawn_blocking(move || engine.drain(Duration::from_secs(20)));
    // The idle connection is closed at once; the busy one gets its answer and is told to close.
    assert_eq!(idle.rest().await, b"");
    go.send(true).unwrap();
    let answer = busy.answer().await;
    assert_eq!((answer.text().as_str(), answer.field("connection")), ("done", Some("close")));
    drop(busy);
    assert_eq!(drained.await.unwrap(), 0);
}

#[tokio::test]
async fn the_proxy_header_of_a_balancer_names_the_client() {
    let server = Server::echo().await;
    let page = TestPage { proxy_header: ProxyHeader::Required, ..TestPage::to(server.upstream()) };
    let rig = Rig::start(page);
    let mut client = rig.connect().await;
    client.send("PROXY TCP4 192.0.2.9 10.0.0.1 4000 80\r\n").await;
    assert_eq!(client.ask(GET).await.status, 200);
    let call = rig.page.seen.lock().unwrap()[0].clone();
    assert_eq!(call.peer.address.to_string(), "192.0.2.9:4000");
    assert_eq!(call.client.origin, ClientOrigin::ProxyProtocol);
    assert_eq!(rig.engine.cut(&Selector::Addresses(vec!["192.0.2.9/32".parse().unwrap()]), BLOCKED), 1);
    assert_eq!(client.rest().await, b"");
    let mut without = rig.connect().await;
    without.send(GET).await;
    assert_eq!(without.rest().await, b"");
}

#[tokio::test]
async fn beyond_the_last_place_a_connection_is_closed() {
    let server = Server::echo().await;
    let rig = Rig::with(TestPage::to(server.upstream()), Protocol::Http, |shared| {
        shared.registry = Arc::new(ringwall_dataplane::Registry::new(1));
    });
    let mut first = rig.connect().await;
    assert_eq!(first.ask(GET).await.status, 200);
    assert_eq!(rig.connect().await.rest().await, b"");
    assert_eq!(first.ask(GET).await.status, 200);
}

/// Answers `/tunnel` with an upgrade, anything else with the beginning of a stream; then waits for the client's end.
async fn begins() -> Server {
    Server::start(|_, mut client, _| async move {
        let Some((head, _)) = request(&mut client).await else { return };
        let answer = if head.contains("/tunnel") {
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
        } else if head.contains("/late") {
            ""
        } else {
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfrom\r\n"
        };
        client.send(answer).await;
        client.rest().await;
    })
    .await
}

#[tokio::test]
async fn what_goes_on_ends_when_it_is_no_longer_admitted() {
    let server = begins().await;
    let mut rig = Rig::start(TestPage::to(server.upstream()));
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    let (mut tunnel, mut stream, mut stays) = (rig.connect().await, rig.connect().await, rig.connect().await);
    tunnel.send(format!("GET /tunnel HTTP/1.1\r\nhost: h\r\n{upgrade}\r\n")).await;
    assert_eq!(tunnel.head().await.status, 101);
    stream.send("GET /stream HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(stream.head().await.status, 200);
    assert_eq!(stream.until(b"from\r\n").await, b"4\r\nfrom\r\n");
    stays.send("GET /stays HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(stays.head().await.status, 200);
    let patience = Duration::from_secs(10);
    assert_eq!(rig.engine.judge_again(patience), 0, "all of them are admitted still");
    for (path, client) in [("/tunnel", &mut tunnel), ("/stream", &mut stream)] {
        *rig.page.ended.lock().unwrap() = Some(path);
        assert_eq!(rig.engine.judge_again(patience), 1, "{path}");
        assert_eq!(client.rest().await, b"", "{path}");
        let told = rig.exchange().await;
        assert_eq!(told.target, path);
        assert_eq!(told.refused, Some((Layer::Shield, Reason::Builtin("shield/blocked-user"))), "{path}");
        assert_eq!(&*told.details, "no_longer_allowed");
    }
    assert_eq!(stays.until(b"from\r\n").await, b"4\r\nfrom\r\n");
    assert_eq!(rig.engine.judge_again(patience), 0);
}

#[tokio::test]
async fn a_call_that_waits_for_its_answer_is_refused_when_it_is_no_longer_admitted() {
    let server = begins().await;
    let rig = Rig::start(TestPage::to(server.upstream()));
    let mut client = rig.connect().await;
    client.send("GET /late HTTP/1.1\r\nhost: h\r\n\r\n").await;
    while server.took() == 0 {
        tokio::task::yield_now().await;
    }
    *rig.page.ended.lock().unwrap() = Some("/late");
    assert_eq!(rig.engine.judge_again(Duration::from_secs(10)), 1);
    assert_eq!(client.answer().await.status, 403);
}

#[tokio::test]
async fn a_connection_without_http_ends_when_it_is_no_longer_admitted() {
    let server = Server::start(|_, mut client, _| async move {
        client.send("220 ready\r\n").await;
        client.rest().await;
    })
    .await;
    let mut rig = Rig::with(TestPage::to(server.upstream()), Protocol::Tcp, |_| {});
    let mut client = rig.connect().await;
    assert_eq!(client.until(b"\n").await, b"220 ready\r\n");
    let patience = Duration::from_secs(10);
    assert_eq!(rig.engine.judge_again(patience), 0);
    *rig.page.ended.lock().unwrap() = Some("tcp");
    assert_eq!(rig.engine.judge_again(patience), 1);
    assert_eq!(client.rest().await, b"");
    let told = rig.connection().await;
    assert_eq!((told.refused, told.sent), (Some(BLOCKED), 11));
}

#[tokio::test]
async fn a_token_that_expires_ends_what_it_began() {
    let server = begins().await;
    let page = TestPage { expires: Some(Timestamp(0)), ..TestPage::to(server.upstream()) };
    let rig = Rig::start(page);
    let mut client = rig.connect().await;
    *rig.page.ended.lock().unwrap() = Some("/late");
    client.send("GET /late HTTP/1.1\r\nhost: h\r\n\r\n").await;
    // Nobody asks for it: the engine itself asks the page again once the token has expired.
    assert_eq!(client.answer().await.status, 403);
}
