//! The request-smuggling matrix: what reads in two ways reaches no upstream.

use super::rig::{Rig, TestPage};
use super::upstream::Server;
use ringwall_head::{Settings, Underscores};
use std::sync::Arc;

const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nhost: h\r\n\r\n";

fn cases() -> Vec<(&'static str, Vec<u8>)> {
    let post = |fields: &str, body: &str| format!("POST /a HTTP/1.1\r\nhost: h\r\n{fields}\r\n{body}").into_bytes();
    let get = |fields: &str| format!("GET /a HTTP/1.1\r\nhost: h\r\n{fields}\r\n").into_bytes();
    let many: String = (0..200).map(|number| format!("x-{number}: 1\r\n")).collect();
    vec![
        ("CL then TE", post("content-length: 4\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n")),
        ("TE then CL", post("transfer-encoding: chunked\r\ncontent-length: 4\r\n", "0\r\n\r\n")),
        ("two lengths differ", post("content-length: 1\r\ncontent-length: 2\r\n", "ab")),
        ("two lengths agree", post("content-length: 1\r\ncontent-length: 1\r\n", "a")),
        ("list of lengths", post("content-length: 1, 1\r\n", "a")),
        ("signed length", post("content-length: +2\r\n", "ab")),
        ("unknown coding", post("transfer-encoding: xchunked\r\n", "0\r\n\r\n")),
        ("coding list", post("transfer-encoding: gzip, chunked\r\n", "0\r\n\r\n")),
        ("space before colon", post("transfer-encoding : chunked\r\n", "0\r\n\r\n")),
        ("folded line", get("x-a: 1\r\n 2\r\n")),
        ("bare CR", get("x-a: 1\r2\r\n")),
        ("NUL", get("x-a: 1\0\r\n")),
        ("two hosts", get("host: other\r\n")),
        ("no host", b"GET /a HTTP/1.1\r\n\r\n".to_vec()),
        ("target and host differ", b"GET http://other/a HTTP/1.1\r\nhost: h\r\n\r\n".to_vec()),
        ("bare LF in a chunk extension", post("transfer-encoding: chunked\r\n", "1;x\n\r\na\r\n0\r\n\r\n")),
        ("chunk size overflow", post("transfer-encoding: chunked\r\n", "ffffffffffffffff1\r\na\r\n0\r\n\r\n")),
        ("coding in 1.0", b"POST /a HTTP/1.0\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_vec()),
        ("underscore", get("x_a: 1\r\n")),
        ("200 fields", get(&many)),
        ("nominated host", get("connection: host\r\n")),
        ("bare LF lines", b"GET /a HTTP/1.1\nhost: h\n\n".to_vec()),
    ]
}

#[tokio::test]
async fn what_reads_in_two_ways_is_refused() {
    let server = Server::echo().await;
    let settings = Arc::new(Settings { underscores: Underscores::Refuse, ..Settings::default() });
    let mut rig = Rig::start(TestPage { settings, ..TestPage::to(server.upstream()) });
    let cases = cases();
    assert_eq!(cases.len(), 22);
    for (name, bytes) in cases {
        let mut client = rig.connect().await;
        client.send([&bytes[..], HIDDEN.as_bytes()].concat()).await;
        let answer = client.answer().await;
        assert!((400..500).contains(&answer.status), "{name}: {answer:?}");
        assert!(answer.field("x-request-id").is_some(), "{name}");
        // Nothing behind it is taken for a request.
        assert_eq!(client.rest().await, b"", "{name}");
        let event = rig.exchange().await;
        assert_eq!(event.status, answer.status, "{name}");
    }
    let heads = server.heads.lock().unwrap();
    assert!(heads.iter().all(|head| !head.contains("/hidden")), "{heads:?}");
}
