use super::{FactsKeeper, now};
use crate::fetch::Resolve;
use ringwall_model::{Millis, Question};
use ringwall_token::{DevelopmentSigner, DiscoveryAnswer, KeyAnswer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct To(SocketAddr);

impl Resolve for To {
    fn resolve(&self, _: &str, _: u16) -> Option<SocketAddr> {
        Some(self.0)
    }
}

/// Serves one answer again and again, and counts.
async fn serve(status: &'static str, body: String) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut head = [0_u8; 2048];
            drop(stream.read(&mut head).await);
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            drop(stream.write_all(answer.as_bytes()).await);
        }
    });
    (at, count)
}

fn keys(uri: &str, kid: Option<&str>) -> Question {
    Question::Keys { uri: uri.into(), kid: kid.map(Into::into) }
}

#[tokio::test]
async fn a_key_set_is_fetched_once_within_the_cooldown() {
    let set = DevelopmentSigner::generate("k1").unwrap().key_set().to_string();
    let (at, count) = serve("200 OK", set).await;
    let keeper = Arc::new(FactsKeeper::new(Arc::new(To(at)), Millis::seconds(60)));
    let asked = (0..20).map(|n| {
        let keeper = keeper.clone();
        // Each call invents another key id; all of them together cost one fetch.
        tokio::spawn(async move { keeper.answer(&keys("http://issuer/certs", Some(&format!("kid-{n}")))).await })
    });
    for task in asked.collect::<Vec<_>>() {
        let facts = task.await.unwrap();
        assert!(matches!(facts.keys.get("http://issuer/certs"), Some(KeyAnswer::Set(_))));
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_failed_fetch_is_an_answer_and_forgets_nothing() {
    let (at, _) = serve("500 Oops", String::new()).await;
    let keeper = FactsKeeper::new(Arc::new(To(at)), Millis(0));
    let facts = keeper.answer(&keys("http://issuer/certs", None)).await;
    assert!(matches!(facts.keys.get("http://issuer/certs"), Some(KeyAnswer::Unanswered)));
    let set = DevelopmentSigner::generate("k1").unwrap().key_set().to_string();
    keeper.learn(&keys("http://issuer/certs", None), &"http://issuer/certs".into(), Some(set.as_bytes()));
    let facts = keeper.answer(&keys("http://issuer/certs", Some("other"))).await;
    assert!(matches!(facts.keys.get("http://issuer/certs"), Some(KeyAnswer::Set(_))));
}

#[tokio::test]
async fn discovery_is_read_where_the_manifest_says() {
    let document = r#"{"issuer":"https://issuer/realm","jwks_uri":"https://issuer/certs"}"#.to_owned();
    let (at, _) = serve("200 OK", document).await;
    let keeper = FactsKeeper::new(Arc::new(To(at)), Millis(0));
    let question =
        Question::Discovery { issuer: "https://issuer/realm".into(), at: Some("http://inside:8080/document".into()) };
    let facts = keeper.answer(&question).await;
    assert!(matches!(facts.discovery.get("https://issuer/realm"), Some(DiscoveryAnswer::Document(_))));
    assert!(now().0 > 1_700_000_000_000);
}
