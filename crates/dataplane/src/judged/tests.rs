//! Cutting streams into messages, and what becomes of the rest when one is refused.

use super::websocket::Guarded;
use super::{Closing, Cut, Refusal, judged};
use crate::message::{Body, BodyError, Frame, Source};
use crate::page::{Messages, Verdict};
use bytes::Bytes;
use ringwall_model::{BodyLength, Fields, Layer, Reason};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Refuses messages with `bad` in them; remembers all.
struct Bad(RefCell<Vec<Bytes>>);

impl Messages for Bad {
    fn judge(&self, message: Bytes) -> Verdict {
        let bad = message.windows(3).any(|three| three == b"bad");
        self.0.borrow_mut().push(message);
        Box::pin(async move {
            // Elsewhere for a moment, as a large one is.
            tokio::task::yield_now().await;
            if bad { Err((Layer::Waf, Reason::Builtin("waf/bad"))) } else { Ok(()) }
        })
    }

    fn longest(&self) -> usize {
        64
    }

    fn too_long(&self) -> (Layer, Reason) {
        (Layer::Waf, Reason::Builtin("waf/message-too-long"))
    }
}

fn bad() -> Rc<Bad> {
    Rc::new(Bad(RefCell::default()))
}

/// A body in parts of its own sizes.
struct Parts(VecDeque<Frame>);

impl Source for Parts {
    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

fn parts(text: &[u8], size: usize) -> Body {
    let frames = text.chunks(size).map(|part| Frame::Bytes(Bytes::copy_from_slice(part)));
    Body::stream(Parts(frames.collect()), BodyLength::Unknown)
}

async fn all(mut body: Body) -> (Vec<u8>, Option<BodyError>, Option<Fields>) {
    let (mut bytes, mut trailers) = (Vec::new(), None);
    loop {
        match body.next().await {
            Some(Ok(Frame::Bytes(part))) => bytes.extend_from_slice(&part),
            Some(Ok(Frame::Trailers(fields))) => {
                trailers = Some(fields);
                return (bytes, None, trailers);
            }
            Some(Err(error)) => return (bytes, Some(error), trailers),
            None => return (bytes, None, trailers),
        }
    }
}

fn grpc(messages: &[&str]) -> Vec<u8> {
    let one = |text: &&str| [&[0][..], &u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
    messages.iter().flat_map(one).collect()
}

#[tokio::test]
async fn events_go_on_one_by_one_until_one_is_refused() {
    let text = b"data: a\n\ndata: b\r\n\r\ndata: bad\n\ndata: c\n\n";
    for size in [1, 3, 100] {
        let (messages, refusal) = (bad(), Refusal::default());
        let (bytes, error, _) = all(judged(parts(text, size), messages.clone(), Cut::Events, refusal.clone())).await;
        // A CR ends a line; the LF after it may come with the next event, and goes with that.
        let seen = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        assert_eq!((seen, error), (&b"data: a\n\ndata: b\r\n\r"[..], None), "{size}");
        assert_eq!(messages.0.borrow().len(), 3);
        assert_eq!(refusal.get(), Some((Layer::Waf, Reason::Builtin("waf/bad"))));
    }
    let (bytes, _, _) = all(judged(parts(b"data: a\n\ndata: b", 4), bad(), Cut::Events, Refusal::default())).await;
    assert_eq!(bytes, b"data: a\n\ndata: b", "the end of the stream ends its last event");
    let refusal = Refusal::default();
    let (bytes, _, _) = all(judged(parts(&[b'x'; 200], 10), bad(), Cut::Events, refusal.clone())).await;
    assert_eq!((bytes.len(), refusal.get().is_some()), (0, true), "an event without an end is not held for ever");
}

#[tokio::test]
async fn messages_of_grpc_go_on_until_one_is_refused() {
    let whole = grpc(&["one", "", "two"]);
    for size in [1, 4, 100] {
        let messages = bad();
        let (bytes, error, _) = all(judged(parts(&whole, size), messages.clone(), Cut::Grpc, Refusal::default())).await;
        assert_eq!((bytes, error), (whole.clone(), None), "{size}");
        assert_eq!(messages.0.borrow().len(), 3);
    }
    let refusal = Refusal::default();
    let broken = grpc(&["one", "a bad one", "two"]);
    let (bytes, error, _) = all(judged(parts(&broken, 5), bad(), Cut::Grpc, refusal.clone())).await;
    assert_eq!((bytes, error), (grpc(&["one"]), Some(BodyError::Refused)));
    let response = Body::stream(Closing { body: Body::empty(), refusal }, BodyLength::Unknown);
    let (_, _, trailers) = all(response).await;
    assert_eq!(trailers.unwrap().first("grpc-status").map(|status| status.as_ref()), Some(&b"7"[..]));
    let refusal = Refusal::default();
    let (_, error, _) = all(judged(parts(b"id=1' OR '1'='1", 5), bad(), Cut::Grpc, refusal.clone())).await;
    assert_eq!(error, Some(BodyError::Refused), "what is no gRPC is longer than any message");
}

/// A masked frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let masked = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    [&[first, 0x80 | u8::try_from(payload.len()).unwrap()][..], &mask].concat().into_iter().chain(masked).collect()
}

/// What the server got of what the client sent, and what the client got.
async fn talk(frames: &[Vec<u8>], from_server: &[u8]) -> (Vec<u8>, Vec<u8>, Option<(Layer, Reason)>) {
    let (near, mut server) = tokio::io::duplex(4096);
    let refusal = Refusal::default();
    let mut guarded = Guarded::new(Box::new(near), bad(), refusal.clone());
    server.write_all(from_server).await.unwrap();
    for frame in frames {
        for part in frame.chunks(3) {
            guarded.write_all(part).await.unwrap();
        }
    }
    guarded.flush().await.unwrap();
    let mut said = vec![0; 256];
    let mut client = Vec::new();
    if refusal.get().is_some() {
        while let Ok(read @ 1..) = guarded.read(&mut said).await {
            client.extend_from_slice(&said[..read]);
        }
        assert!(guarded.write_all(b"more").await.is_err());
    }
    drop(guarded);
    let mut got = Vec::new();
    server.read_to_end(&mut got).await.unwrap();
    (got, client, refusal.get())
}

#[tokio::test]
async fn text_of_a_websocket_is_judged() {
    let good = [frame(0x81, b"hello"), frame(0x82, b"bad\xff in binary"), frame(0x89, b"ping")];
    let (got, _, refusal) = talk(&good, b"").await;
    assert_eq!((got, refusal), (good.concat(), None));
    // A message in fragments, with a ping between them.
    let fragments = [frame(0x01, b"he"), frame(0x89, b""), frame(0x80, b"llo")];
    assert_eq!(talk(&fragments, b"").await.0, fragments.concat());
    let split = [frame(0x81, b"first"), frame(0x01, b"b"), frame(0x80, b"ad")];
    let (got, client, refusal) = talk(&split, b"").await;
    let close = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf0];
    assert_eq!(got, [split[0].as_slice(), &close].concat());
    assert_eq!(client, [0x88, 0x02, 0x03, 0xf0]);
    assert_eq!(refusal, Some((Layer::Waf, Reason::Builtin("waf/bad"))));
    // What claims to be compressed cannot be read, and what is too long is not held.
    assert_eq!(talk(&[frame(0xc1, b"xx")], b"").await.1, [0x88, 0x02, 0x03, 0xea]);
    assert_eq!(talk(&[frame(0x81, &[b'x'; 100])], b"").await.1, [0x88, 0x02, 0x03, 0xf1]);
    assert_eq!(talk(&[frame(0x01, b"a"), frame(0x81, b"b")], b"").await.1, [0x88, 0x02, 0x03, 0xea]);
}

#[tokio::test]
async fn text_in_binary_messages_is_judged() {
    let refused = Some((Layer::Waf, Reason::Builtin("waf/bad")));
    assert_eq!(talk(&[frame(0x82, b"{\"a\":\"bad\"}")], b"").await.2, refused);
    let split = [frame(0x02, b"a b"), frame(0x89, b"ping"), frame(0x00, b"a"), frame(0x80, b"d one")];
    let (got, client, refusal) = talk(&split, b"").await;
    assert_eq!((got, refusal), (vec![0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf0], refused));
    assert_eq!(client, [0x88, 0x02, 0x03, 0xf0]);
    // A character over two frames, and text that is let through; what comes after it is judged as before.
    let good = [frame(0x02, b"caf\xc3"), frame(0x80, b"\xa9"), frame(0x82, b"hi"), frame(0x81, b"ho")];
    assert_eq!(talk(&good, b"").await, (good.concat(), Vec::new(), None));
    // What is no text goes on unread, however long, with what was held of it.
    let mut long = frame(0x02, &[b'x'; 60]);
    long.extend(frame(0x00, b"bad"));
    let unread = [long, frame(0x00, b"\xff"), frame(0x00, &[b'y'; 120]), frame(0x80, b"bad"), frame(0x81, b"ho")];
    assert_eq!(talk(&unread, b"").await, (unread.concat(), Vec::new(), None));
    assert_eq!(talk(&[frame(0x82, &[0xff; 120])], b"").await.2, None);
    let cut_short = [frame(0x82, b"bad caf\xc3"), frame(0x81, b"bad")];
    assert_eq!(talk(&cut_short, b"").await.0[..cut_short[0].len()], cut_short[0], "its last character is not whole");
    // Text that is too long is refused in binary messages, too.
    assert_eq!(talk(&[frame(0x82, &[b'x'; 100])], b"").await.1, [0x88, 0x02, 0x03, 0xf1]);
    assert_eq!(talk(&[frame(0x02, b"a"), frame(0x82, b"b")], b"").await.1, [0x88, 0x02, 0x03, 0xea]);
}
