use super::{Decoder, Piece};
use crate::fault;
use proptest::prelude::{any, proptest};
use ringwall_model::Fault;

/// Decodes a body that comes in pieces of `step` bytes: its content, its trailers and what is left over.
fn decode(body: &[u8], step: usize) -> Result<Option<(Vec<u8>, usize, usize)>, Fault> {
    let (mut decoder, mut content, mut come, mut at) = (Decoder::default(), Vec::new(), 0, 0);
    loop {
        match decoder.next(&body[at..come])? {
            Piece::Partial if come == body.len() => return Ok(None),
            Piece::Partial => come = (come + step).min(body.len()),
            Piece::Content { framing, content: len } => {
                assert!(framing + len > 0);
                content.extend_from_slice(&body[at + framing..at + framing + len]);
                at += framing + len;
            }
            Piece::End { framing, trailers } => {
                return Ok(Some((content, trailers.0.len(), body.len() - at - framing)));
            }
        }
    }
}

#[track_caller]
fn check(body: &str, want: Result<Option<(&str, usize, usize)>, Fault>) {
    let want = want.map(|found| found.map(|(content, trailers, left)| (content.as_bytes().to_vec(), trailers, left)));
    for step in [1, 2, 3, 7, 4096] {
        let got = decode(body.as_bytes(), step);
        // What is left over depends on how much had come.
        let left =
            |found: &Option<(Vec<u8>, usize, usize)>| found.clone().map(|(content, trailers, _)| (content, trailers));
        assert_eq!(got.as_ref().map(left), want.as_ref().map(left), "{body:?} by {step}");
        if step == 4096 {
            assert_eq!(got, want, "{body:?}");
        }
    }
}

#[test]
fn chunks_become_content() {
    check("0\r\n\r\n", Ok(Some(("", 0, 0))));
    check("5\r\nhello\r\n0\r\n\r\nGET", Ok(Some(("hello", 0, 3))));
    check("5;a=b\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\n", Ok(Some(("hello0123456789", 0, 0))));
    check("1\r\nx\r\n0\r\nx-sum: 1\r\ny: 2\r\n\r\n", Ok(Some(("x", 2, 0))));
    check("5\r\nhel", Ok(None));
    check("0\r\n", Ok(None));
}

#[test]
fn framing_that_can_be_read_twice_is_refused() {
    let refused = |body: &str| check(body, Err(fault::CHUNK));
    refused("5\nhello\r\n0\r\n\r\n");
    refused("5;a\nb\r\nhello\r\n0\r\n\r\n");
    refused("5\r\nhello\n0\r\n\r\n");
    refused("5\r\nhelloX\r\n0\r\n\r\n");
    refused(" 5\r\nhello\r\n0\r\n\r\n");
    refused("5 \r\nhello\r\n0\r\n\r\n");
    refused("5 ;a\r\nhello\r\n0\r\n\r\n");
    refused("+5\r\nhello\r\n0\r\n\r\n");
    refused("0x5\r\nhello\r\n0\r\n\r\n");
    refused("-1\r\n\r\n");
    refused("\r\n\r\n");
    refused("g\r\n");
    refused("5;\0\r\nhello\r\n0\r\n\r\n");
    refused("5;a\rb\r\nhello\r\n0\r\n\r\n");
    refused("ffffffffffffffff\r\nx");
    refused("10000000000000000\r\nx");
    refused(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(300)));
    refused(&format!("{}0\r\n\r\n", format!("1;{}\r\nx\r\n", "y".repeat(200)).repeat(100)));
}

#[test]
fn trailers_neither_frame_nor_flood() {
    let refused = |trailer: &str| check(&format!("0\r\n{trailer}\r\n\r\n"), Err(fault::TRAILER));
    refused("Content-Length: 5");
    refused("transfer-encoding: chunked");
    refused("Host: b");
    refused("a: b\nc: d");
    refused("a : b");
    refused(&"a: b\r\n".repeat(33));
    refused(&format!("a: {}", "x".repeat(9000)));
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(body in proptest::collection::vec(any::<u8>(), 0..200), step in 1_usize..50) {
        let _ = decode(&body, step);
    }

    #[test]
    fn what_was_sent_arrives(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..8), step in 1_usize..20) {
        let mut body = Vec::new();
        for part in &parts {
            body.extend_from_slice(&super::size_line(part.len()));
            body.extend_from_slice(part);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\n\r\n");
        assert_eq!(decode(&body, step).unwrap().unwrap().0, parts.concat());
    }
}
