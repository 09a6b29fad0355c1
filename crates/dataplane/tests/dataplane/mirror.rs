//! Copies for mirrors: sent and forgotten.

use super::rig::{Rig, TestPage};
use super::upstream::{Server, request};
use ringwall_model::{Event, Layer, Reason, UpstreamChange};
use std::sync::Arc;

/// What became of the next copy.
async fn became(rig: &mut Rig) -> UpstreamChange {
    loop {
        if let Event::Upstream { change, cluster } = rig.events.recv().await.unwrap()
            && matches!(change, UpstreamChange::Mirrored | UpstreamChange::NotMirrored)
        {
            assert_eq!(&*cluster, "outbound|80||mirror");
            return change;
        }
    }
}

/// Waits until the mirror has so many copies.
async fn copies(mirror: &Server, number: usize) -> Vec<String> {
    loop {
        let heads = mirror.heads.lock().unwrap().clone();
        if heads.len() >= number {
            return heads;
        }
        tokio::task::yield_now().await;
    }
}

async fn with(server: &Server, mirror: &Server) -> Rig {
    let mut mirror = mirror.upstream();
    mirror.cluster = "outbound|80||mirror".into();
    Rig::start(TestPage { mirrors: vec![mirror], ..TestPage::to(server.upstream()) })
}

#[tokio::test]
async fn a_copy_goes_out_and_its_answer_is_dropped() {
    let (server, mirror) = (Server::echo().await, Server::saying("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n").await);
    let mut rig = with(&server, &mirror).await;
    let mut client = rig.connect().await;
    assert_eq!(client.ask("GET /a HTTP/1.1\r\nhost: h:80\r\n\r\n").await.text(), "GET /a HTTP/1.1|");
    assert_eq!(copies(&mirror, 1).await.len(), 1);
    assert_eq!(became(&mut rig).await, UpstreamChange::Mirrored);
    let post = "POST /b HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    assert_eq!(client.ask(post).await.text(), "POST /b HTTP/1.1|hi");
    let copies = copies(&mirror, 2).await;
    assert!(
        copies[0].starts_with("GET /a HTTP/1.1\r\n") && copies[0].contains("\r\nhost: h-shadow:80\r\n"),
        "{copies:?}"
    );
    assert!(copies[1].contains("\r\nhost: h-shadow\r\n") && copies[1].contains("content-length: 2\r\n"), "{copies:?}");
    assert!(server.heads.lock().unwrap().iter().all(|head| !head.contains("shadow")));
}

#[tokio::test]
async fn a_mirror_that_does_not_answer_delays_nothing() {
    let server = Server::echo().await;
    let mirror = Server::start(|_, mut client, heads| async move {
        if let Some((head, _)) = request(&mut client).await {
            heads.lock().unwrap().push(head);
        }
        client.rest().await;
    })
    .await;
    let rig = with(&server, &mirror).await;
    let mut client = rig.connect().await;
    for _ in 0..3 {
        assert_eq!(client.ask("GET /a HTTP/1.1\r\nhost: h\r\n\r\n").await.status, 200);
    }
    copies(&mirror, 3).await;
}

#[tokio::test]
async fn what_is_too_long_or_has_no_place_is_not_copied() {
    let (server, mirror) = (Server::echo().await, Server::echo().await);
    let mut rig = with(&server, &mirror).await;
    let long = "x".repeat(65 * 1024);
    let post = format!("POST /b HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{long}", long.len());
    let mut client = rig.connect().await;
    assert!(client.ask(post).await.text().ends_with(&long));
    assert_eq!(became(&mut rig).await, UpstreamChange::NotMirrored);
    let chunks = format!("10008\r\n{}\r\n0\r\n\r\n", "x".repeat(0x10008));
    let post = format!("POST /c HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
    assert_eq!(client.ask(post).await.status, 200);
    assert_eq!(became(&mut rig).await, UpstreamChange::NotMirrored);
    assert!(mirror.heads.lock().unwrap().is_empty());

    let mut gone = mirror.upstream();
    (gone.places, gone.cluster) = (Arc::new([]), "outbound|80||mirror".into());
    let mut rig = Rig::start(TestPage { mirrors: vec![gone], ..TestPage::to(server.upstream()) });
    assert_eq!(rig.connect().await.ask("GET /a HTTP/1.1\r\nhost: h\r\n\r\n").await.status, 200);
    assert_eq!(became(&mut rig).await, UpstreamChange::NotMirrored);
}

#[tokio::test]
async fn a_route_may_copy_the_call_as_it_was() {
    let (server, mirror) = (Server::echo().await, Server::echo().await);
    let rig = Rig::start(TestPage::to(server.upstream()));
    rig.connect().await.ask("GET /before HTTP/1.1\r\nhost: first\r\n\r\n").await;
    let before = rig.page.seen.lock().unwrap()[0].clone();
    let page = TestPage { mirrors: vec![mirror.upstream()], copied: Some(before), ..TestPage::to(server.upstream()) };
    let rig = Rig::start(page);
    let post = "POST /after HTTP/1.1\r\nhost: second\r\nx-secret: 1\r\ncontent-length: 2\r\n\r\nhi";
    assert_eq!(rig.connect().await.ask(post).await.text(), "POST /after HTTP/1.1|hi");
    let copies = copies(&mirror, 1).await;
    assert!(
        copies[0].starts_with("GET /before HTTP/1.1\r\n") && copies[0].contains("host: first-shadow"),
        "{copies:?}"
    );
    assert!(!copies[0].contains("x-secret"), "{copies:?}");
}

#[tokio::test]
async fn a_copy_that_a_rule_refuses_is_told_and_the_call_goes_on() {
    let server = Server::echo().await;
    let by = (Layer::Packet, Reason::DefaultDeny { considered: 1 });
    let mut rig = Rig::start(TestPage { refuses_copy: Some(by), ..TestPage::to(server.upstream()) });
    assert_eq!(rig.connect().await.ask("GET /a HTTP/1.1\r\nhost: h\r\n\r\n").await.status, 200);
    let told = loop {
        if let Event::Copy(copy) = rig.events.recv().await.unwrap() {
            break copy;
        }
    };
    assert_eq!((told.refused, &*told.cluster), (by, "outbound|80||mirror"));
    assert_eq!(told.id, rig.page.seen.lock().unwrap()[0].id);
}
