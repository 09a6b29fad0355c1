//! A call's place in a trace: what the next hop is told, and what the event keeps.

use super::rig::{Rig, TestPage};
use super::upstream::Server;
use ringwall_head::tracing::Sampling;
use ringwall_model::Span;

async fn rig(tracing: Option<Sampling>) -> (Server, Rig) {
    let server = Server::echo().await;
    let rig = Rig::start(TestPage { tracing, ..TestPage::to(server.upstream()) });
    (server, rig)
}

const IN: &str = "GET /a HTTP/1.1\r\nhost: h\r\n\
    traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;

#[tokio::test]
async fn the_next_hop_hangs_below_this_one() {
    let (server, mut rig) = rig(Some(Sampling(0))).await;
    rig.connect().await.ask(IN).await;
    let event = rig.exchange().await;
    let Some(Span { trace: TRACE, id, parent: Some(0xb7ad_6b71_6920_3331) }) = event.span.as_deref() else {
        panic!("{:?}", event.span)
    };
    let head = server.heads.lock().unwrap()[0].clone();
    for line in [
        format!("traceparent: 00-{TRACE:032x}-{id:016x}-01\r\n"),
        format!("x-b3-spanid: {id:016x}\r\n"),
        "x-b3-parentspanid: b7ad6b7169203331\r\n".into(),
        "x-b3-sampled: 1\r\n".into(),
    ] {
        assert!(head.contains(&line), "{line}{head}");
    }
}

#[tokio::test]
async fn a_call_that_is_not_traced_here_is_traced_nowhere_behind() {
    let (server, mut rig) = rig(Some(Sampling(0))).await;
    rig.connect().await.ask("GET /a HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(rig.exchange().await.span, None);
    assert!(server.heads.lock().unwrap()[0].contains("x-b3-sampled: 0\r\n"));
}

#[tokio::test]
async fn refused_calls_are_traced_too() {
    let (_server, mut rig) = rig(Some(Sampling(1_000_000))).await;
    assert_eq!(rig.connect().await.ask("GET /refused HTTP/1.1\r\nhost: h\r\n\r\n").await.status, 403);
    assert!(rig.exchange().await.span.is_some_and(|span| span.parent.is_none()));
}

#[tokio::test]
async fn without_a_collector_fields_pass_as_they_came() {
    let (server, mut rig) = rig(None).await;
    rig.connect().await.ask(IN).await;
    assert_eq!(rig.exchange().await.span, None);
    let head = server.heads.lock().unwrap()[0].clone();
    assert!(head.contains("-b7ad6b7169203331-01\r\n") && !head.contains("x-b3-"), "{head}");
}
