//! Cutting streams into messages, and what becomes of the rest when one is refused.

use super::websocket::Guarded;
use super::{Closing, Cut, Noted, decoded, judged};
use crate::message::{Body, BodyError, Frame, Source};
use crate::page::{Binary, Coded, Decode, Form, Messages, Verdict};
use bytes::Bytes;
use ringwall_model::{BodyLength, Fields, Layer, Reason};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Refuses messages with `bad` in them; remembers all.
struct Bad {
    seen: RefCell<Vec<(Bytes, Form)>>,
    binary: Binary,
}

impl Messages for Bad {
    fn judge(&self, message: Bytes, form: Form) -> Verdict {
        let bad = message.windows(3).any(|three| three == b"bad");
        self.seen.borrow_mut().push((message, form));
        Box::pin(async move {
            // Elsewhere for a moment, as a large one is.
            tokio::task::yield_now().await;
            if bad { Err((Layer::Waf, Reason::Builtin("waf/bad"))) } else { Ok(()) }
        })
    }

    fn binary(&self) -> Binary {
        self.binary
    }

    fn coded(&self, _: &[u8]) -> Coded {
        Coded::Plain
    }

    fn unreadable(&self) -> (Layer, Reason) {
        (Layer::Waf, Reason::Builtin("waf/unreadable"))
    }

    fn longest(&self) -> usize {
        64
    }

    fn too_long(&self) -> (Layer, Reason) {
        (Layer::Waf, Reason::Builtin("waf/message-too-long"))
    }
}

fn bad() -> Rc<Bad> {
    looking(Binary::Judge)
}

fn looking(binary: Binary) -> Rc<Bad> {
    Rc::new(Bad { seen: RefCell::default(), binary })
}

fn refused(noted: &Noted) -> Option<(Layer, Reason)> {
    noted.refused.get()
}

const BY: (Layer, Reason) = (Layer::Waf, Reason::Builtin("waf/bad"));

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
        let (messages, noted) = (bad(), Noted::default());
        let (bytes, error, _) = all(judged(parts(text, size), messages.clone(), Cut::Events, noted.clone())).await;
        // A CR ends a line; the LF after it may come with the next event, and goes with that.
        let seen = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        assert_eq!((seen, error), (&b"data: a\n\ndata: b\r\n\r"[..], None), "{size}");
        assert_eq!(messages.seen.borrow().len(), 3);
        assert_eq!(refused(&noted), Some(BY));
    }
    let (bytes, _, _) = all(judged(parts(b"data: a\n\ndata: b", 4), bad(), Cut::Events, Noted::default())).await;
    assert_eq!(bytes, b"data: a\n\ndata: b", "the end of the stream ends its last event");
    let noted = Noted::default();
    let (bytes, _, _) = all(judged(parts(&[b'x'; 200], 10), bad(), Cut::Events, noted.clone())).await;
    assert_eq!((bytes.len(), refused(&noted).is_some()), (0, true), "an event without an end is not held for ever");
}

#[tokio::test]
async fn messages_of_grpc_go_on_until_one_is_refused() {
    let whole = grpc(&["one", "", "two"]);
    for size in [1, 4, 100] {
        let messages = bad();
        let (bytes, error, _) = all(judged(parts(&whole, size), messages.clone(), Cut::Grpc, Noted::default())).await;
        assert_eq!((bytes, error), (whole.clone(), None), "{size}");
        assert_eq!(messages.seen.borrow().len(), 3);
    }
    let noted = Noted::default();
    let broken = grpc(&["one", "a bad one", "two"]);
    let (bytes, error, _) = all(judged(parts(&broken, 5), bad(), Cut::Grpc, noted.clone())).await;
    assert_eq!((bytes, error), (grpc(&["one"]), Some(BodyError::Refused)));
    let response = Body::stream(Closing { body: Body::empty(), noted }, BodyLength::Unknown);
    let (_, _, trailers) = all(response).await;
    assert_eq!(trailers.unwrap().first("grpc-status").map(|status| status.as_ref()), Some(&b"7"[..]));
    let noted = Noted::default();
    let (_, error, _) = all(judged(parts(b"id=1' OR '1'='1", 5), bad(), Cut::Grpc, noted.clone())).await;
    assert_eq!(error, Some(BodyError::Refused), "what is no gRPC is longer than any message");
}

/// Each byte once more as it says: `a2` is `aa`; another letter than a digit in the second place breaks it.
struct Repeated;

impl Decode for Repeated {
    fn read(&mut self, input: &[u8], out: &mut Vec<u8>, most: usize) -> Option<usize> {
        let [byte, count, ..] = input else { return Some(0) };
        let count = usize::from(count.checked_sub(b'0').filter(|count| *count < 10)?);
        assert!(count <= most);
        out.extend(vec![*byte; count]);
        Some(2)
    }
}

#[tokio::test]
async fn compressed_events_are_judged_and_go_on_as_they_were_read() {
    let coded = |text: &[u8]| text.iter().flat_map(|byte| [*byte, b'1']).collect::<Vec<u8>>();
    let text = [coded(b"data: "), b"a3".to_vec(), coded(b"\n\ndata: bad\n\ndata: c\n\n")].concat();
    for size in [1, 3, 100] {
        let (messages, noted) = (bad(), Noted::default());
        let decoder = Some(Box::new(Repeated) as Box<dyn Decode>);
        let judged = decoded(parts(&text, size), messages.clone(), Cut::Events, (noted.clone(), decoder));
        assert_eq!(all(judged).await, (b"data: aaa\n\n".to_vec(), None, None), "{size}");
        assert_eq!((messages.seen.borrow().len(), refused(&noted)), (2, Some(BY)));
    }
    // What breaks its coding, and what is nothing but one long event once it is undone.
    for (text, by) in [(&b"d1:?"[..], "waf/unreadable"), (&b"x9".repeat(20), "waf/message-too-long")] {
        let (noted, decoder) = (Noted::default(), Some(Box::new(Repeated) as Box<dyn Decode>));
        let (bytes, error, _) = all(decoded(parts(text, 8), bad(), Cut::Events, (noted.clone(), decoder))).await;
        assert_eq!((bytes.len(), error, refused(&noted)), (0, None, Some((Layer::Waf, Reason::Builtin(by)))));
    }
}

/// A masked frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let masked = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    [&[first, 0x80 | u8::try_from(payload.len()).unwrap()][..], &mask].concat().into_iter().chain(masked).collect()
}

/// A server's.
fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, u8::try_from(payload.len()).unwrap()], payload].concat()
}

fn guarded(io: tokio::io::DuplexStream, messages: &Rc<Bad>, noted: &Noted) -> Guarded {
    Guarded::new(Box::new(io), Some(messages.clone()), Some(messages.clone()), noted.clone())
}

/// What the server got of what the client sent, what the client was told at last, and what refused it.
async fn talk_under(binary: Binary, frames: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>, Option<(Layer, Reason)>, Noted) {
    let (near, mut server) = tokio::io::duplex(4096);
    let noted = Noted::default();
    let mut guarded = guarded(near, &looking(binary), &noted);
    for frame in frames {
        for part in frame.chunks(3) {
            guarded.write_all(part).await.unwrap();
        }
    }
    guarded.flush().await.unwrap();
    let mut said = vec![0; 256];
    let mut client = Vec::new();
    if refused(&noted).is_some() {
        while let Ok(read @ 1..) = guarded.read(&mut said).await {
            client.extend_from_slice(&said[..read]);
        }
        assert!(guarded.write_all(b"more").await.is_err());
    }
    drop(guarded);
    let mut got = Vec::new();
    server.read_to_end(&mut got).await.unwrap();
    (got, client, refused(&noted), noted)
}

async fn talk(frames: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>, Option<(Layer, Reason)>) {
    let (got, client, refused, noted) = talk_under(Binary::Judge, frames).await;
    assert_eq!(noted.unread.get(), None);
    (got, client, refused)
}

/// How both sides are told of the end: the client, the server.
fn closed(code: u16) -> (Vec<u8>, Vec<u8>) {
    let code = code.to_be_bytes();
    ([&[0x88, 0x02], &code[..]].concat(), [&[0x88, 0x82, 0, 0, 0, 0], &code[..]].concat())
}

#[tokio::test]
async fn text_of_a_websocket_is_judged() {
    let good = [frame(0x81, b"hello"), frame(0x82, b"\xff in binary"), frame(0x89, b"ping")];
    let (got, _, refusal) = talk(&good).await;
    assert_eq!((got, refusal), (good.concat(), None));
    // A message in fragments, with a ping between them.
    let fragments = [frame(0x01, b"he"), frame(0x89, b""), frame(0x80, b"llo")];
    assert_eq!(talk(&fragments).await.0, fragments.concat());
    let split = [frame(0x81, b"first"), frame(0x01, b"b"), frame(0x80, b"ad")];
    let (client, server) = closed(1008);
    assert_eq!(talk(&split).await, ([&split[0][..], &server].concat(), client, Some(BY)));
    assert_eq!(talk(&[frame(0x81, &[b'x'; 100])]).await.1, closed(1009).0, "what is too long is not held");
    assert_eq!(talk(&[frame(0x81, b"a\xff")]).await.1, closed(1007).0, "text is UTF-8");
}

#[tokio::test]
async fn frames_that_servers_may_read_in_two_ways_end_it() {
    for frames in [
        // What claims to be compressed cannot be read; a message inside of another; the end of one that is not there.
        vec![frame(0xc1, b"xx")],
        vec![frame(0x01, b"a"), frame(0x81, b"b")],
        vec![frame(0x02, b"a"), frame(0x82, b"b")],
        vec![frame(0x80, b"bad")],
        // Kinds of frames that do not exist, and control frames in pieces or too long.
        vec![frame(0x83, b"bad")],
        vec![frame(0x8b, b"bad")],
        vec![frame(0x09, b"")],
        vec![frame(0x89, &[b'x'; 126])],
    ] {
        let framing = Some((Layer::Waf, Reason::Builtin("waf/websocket-framing")));
        let (_, client, by) = talk(&frames).await;
        assert_eq!((client, by), (closed(1002).0, framing), "{frames:?}");
    }
}

#[tokio::test]
async fn binary_messages_are_judged_refused_or_passed_as_the_policy_says() {
    let hidden = [frame(0x02, b"\xff\xfe b"), frame(0x89, b"ping"), frame(0x00, b"a"), frame(0x80, b"d one")];
    let (client, server) = closed(1008);
    assert_eq!(talk(&hidden).await, (server, client, Some(BY)), "whatever its first bytes are");
    let good = [frame(0x02, b"caf\xc3"), frame(0x80, b"\xa9\xff"), frame(0x82, b"hi"), frame(0x81, b"ho")];
    assert_eq!(talk(&good).await, (good.concat(), Vec::new(), None));
    assert_eq!(talk(&[frame(0x82, &[0xff; 100])]).await.1, closed(1009).0, "it is held as a whole");

    let rule = (Layer::Waf, Reason::Builtin("waf/no-binary"));
    let (got, client, by, _) = talk_under(Binary::Refuse(rule), &[frame(0x81, b"ho"), frame(0x82, b"hi")]).await;
    let (told, server) = closed(1003);
    assert_eq!((got, client, by), ([frame(0x81, b"ho"), server].concat(), told, Some(rule)));

    // Unread, however long, in frames or not; what comes after it is judged as before.
    let unread = [frame(0x02, &[b'x'; 120]), frame(0x00, b"bad"), frame(0x80, b"\xff"), frame(0x81, b"ho")];
    let (got, _, by, noted) = talk_under(Binary::Pass, &unread).await;
    assert_eq!((got, by), (unread.concat(), None));
    assert_eq!(noted.unread.get(), Some(Reason::Builtin("waf/binary-not-read")));
    assert_eq!(talk_under(Binary::Pass, &[frame(0x82, b"bad"), frame(0x81, b"bad")]).await.2, Some(BY));
}

/// What the client got of what the server said, and what the server was told at last.
async fn hear(parts: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>, Option<(Layer, Reason)>) {
    let (near, mut server) = tokio::io::duplex(4096);
    let (noted, messages) = (Noted::default(), bad());
    let mut guarded = guarded(near, &messages, &noted);
    let mut heard = Vec::new();
    let mut space = [0; 5];
    for part in parts {
        server.write_all(part).await.unwrap();
    }
    if parts.last().is_some_and(|last| last.first() == Some(&0x88)) {
        server.shutdown().await.unwrap();
    }
    while let Ok(read @ 1..) = guarded.read(&mut space).await {
        heard.extend_from_slice(&space[..read]);
    }
    assert_eq!(guarded.write_all(b"more").await.is_err(), refused(&noted).is_some());
    drop(guarded);
    let mut got = Vec::new();
    server.read_to_end(&mut got).await.unwrap();
    (heard, got, refused(&noted))
}

#[tokio::test]
async fn what_the_server_of_a_websocket_says_is_judged() {
    let end = plain(0x88, b"\x03\xe8");
    let good = [plain(0x01, b"he"), plain(0x89, b""), plain(0x80, b"llo"), plain(0x82, b"\xff\xfe"), end.clone()];
    assert_eq!(hear(&good).await, (good.concat(), Vec::new(), None));
    let (client, server) = closed(1008);
    for bad in [plain(0x81, b"a bad one"), plain(0x82, b"\xff bad"), [plain(0x01, b"b"), plain(0x80, b"ad")].concat()] {
        let (heard, got, by) = hear(&[plain(0x81, b"first"), bad.clone(), plain(0x81, b"more")]).await;
        assert_eq!((heard, got, by), ([plain(0x81, b"first"), client.clone()].concat(), server.clone(), Some(BY)));
    }
    let long = [&[0x81, 126, 0, 100][..], &[b'x'; 100]].concat();
    assert_eq!(hear(&[long]).await.2, Some((Layer::Waf, Reason::Builtin("waf/message-too-long"))));
    // A message that has no end is nobody's.
    let cut = [plain(0x81, b"first"), plain(0x01, b"half")];
    let (near, mut server) = tokio::io::duplex(4096);
    let mut guarded = guarded(near, &bad(), &Noted::default());
    server.write_all(&cut.concat()).await.unwrap();
    drop(server);
    let mut heard = Vec::new();
    guarded.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, cut[0]);
}

#[tokio::test]
async fn a_side_that_nobody_judges_goes_on_as_it_is() {
    let (near, mut server) = tokio::io::duplex(4096);
    let noted = Noted::default();
    let mut guarded = Guarded::new(Box::new(near), Some(bad()), None, noted.clone());
    let said = [plain(0x81, b"bad"), plain(0xc3, b"x"), vec![0x82, 10, 1, 2]].concat();
    server.write_all(&said).await.unwrap();
    let mut heard = vec![0; said.len()];
    guarded.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, said);
    // Inside of a frame the client cannot be told: its connection just ends.
    guarded.write_all(&frame(0x81, b"bad")).await.unwrap();
    guarded.flush().await.unwrap();
    assert_eq!((guarded.read(&mut heard).await.unwrap(), refused(&noted)), (0, Some(BY)));
}
