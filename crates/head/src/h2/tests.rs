use super::{Pseudo, Stream, call};
use crate::{Context, Settings, fault};
use ringwall_model::{BodyLength, Call, CallId, ClientOrigin, Fault, Fields, Peer, Scheme, Timestamp};

fn read(pseudo: [&'static str; 4], lines: &[(&'static str, &'static str)], stream: Stream) -> Call {
    let part = |text: &'static str| (text != "-").then(|| text.into());
    let [method, scheme, authority, path] = pseudo;
    let protocol = method.strip_prefix("CONNECT ").map(Into::into);
    let method = if protocol.is_some() { "CONNECT" } else { method }.into();
    let pseudo = Pseudo { method, scheme: part(scheme), authority: part(authority), path: part(path), protocol };
    let mut fields = Fields::default();
    lines.iter().for_each(|(name, value)| fields.push(*name, *value));
    let settings = Settings::default();
    let context = Context {
        id: CallId(1),
        received: Timestamp(0),
        scheme: Scheme::Https,
        peer: Peer { address: "192.0.2.9:5555".parse().unwrap(), tls: None },
        origin: ClientOrigin::Peer,
        local: "10.0.0.1:443".parse().unwrap(),
        settings: &settings,
    };
    call(pseudo, fields, stream, context)
}

#[track_caller]
fn check(pseudo: [&'static str; 4], lines: &[(&'static str, &'static str)], want: &[Fault]) {
    let mut got: Vec<&str> = read(pseudo, lines, Stream::Ended).faults.iter().map(|fault| fault.name).collect();
    let mut want: Vec<&str> = want.iter().map(|fault| fault.name).collect();
    got.sort_unstable();
    want.sort_unstable();
    assert_eq!(got, want, "{pseudo:?} {lines:?}");
}

const GET: [&str; 4] = ["GET", "https", "a.b", "/x?y"];

#[test]
fn fields_of_a_stream_are_held_to_the_same_rules() {
    check(GET, &[("accept", "*/*"), ("te", "trailers")], &[]);
    check(GET, &[("Accept", "*/*")], &[fault::H2_UPPER_CASE]);
    check(GET, &[("connection", "close")], &[fault::H2_CONNECTION_FIELD]);
    check(GET, &[("transfer-encoding", "chunked")], &[fault::H2_CONNECTION_FIELD]);
    check(GET, &[("te", "gzip")], &[fault::H2_CONNECTION_FIELD]);
    check(GET, &[("upgrade", "h2c")], &[fault::H2_CONNECTION_FIELD]);
    check(GET, &[("x", "a\r\nb: c")], &[fault::CONTROL]);
    check(GET, &[("x", "a\0")], &[fault::NUL]);
    check(GET, &[("x", " a")], &[fault::CONTROL]);
    check(GET, &[("a b", "c")], &[fault::FIELD_NAME]);
    check(GET, &[(":x", "c")], &[fault::FIELD_NAME]);
    check(GET, &[("host", "A.b")], &[]);
    check(GET, &[("host", "c.d")], &[fault::HOST_MISMATCH]);
    check(GET, &[("host", "a.b"), ("host", "a.b")], &[fault::SEVERAL_HOSTS]);
    check(GET, &[("content-length", "3")], &[fault::LENGTH]);
    check(GET, &[("content-length", "0"), ("content-length", "0")], &[fault::SEVERAL_LENGTHS]);
}

#[test]
fn pseudo_fields_are_complete() {
    check(["GET", "https", "-", "/"], &[], &[fault::NO_HOST]);
    check(["GET", "https", "-", "/"], &[("host", "a")], &[]);
    check(["GET", "-", "a", "/"], &[], &[fault::H2_PSEUDO_FIELD]);
    check(["GET", "ftp", "a", "/"], &[], &[fault::H2_PSEUDO_FIELD]);
    check(["GET", "https", "a", "-"], &[], &[fault::H2_PSEUDO_FIELD]);
    check(["GET", "https", "a", ""], &[], &[fault::H2_PSEUDO_FIELD]);
    check(["GET", "https", "a", "*"], &[], &[fault::H2_PSEUDO_FIELD]);
    check(["OPTIONS", "https", "a", "*"], &[], &[]);
    check(["GET", "https", "u@a", "/"], &[], &[fault::HOST]);
    check(["G T", "https", "a", "/"], &[], &[fault::METHOD]);
    check(["GET", "https", "a", "/ HTTP/1.1\r\nx: y"], &[], &[fault::TARGET_CHARACTER]);
    check(["CONNECT", "-", "a:1", "-"], &[], &[fault::CONNECT]);
}

#[test]
fn a_stream_looks_like_a_call() {
    let got = read(GET, &[("x", "1")], Stream::Open);
    assert_eq!(got.raw.head, "GET /x?y HTTP/2\r\nhost: a.b\r\nx: 1\r\n\r\n");
    assert_eq!((got.views.istio.as_ref(), got.views.query.as_deref()), (&b"/x"[..], Some(&b"y"[..])));
    assert_eq!(got.body, BodyLength::Unknown);
    assert_eq!(read(GET, &[("content-length", "3")], Stream::Open).body, BodyLength::Known(3));
    assert_eq!(read(GET, &[], Stream::Ended).body, BodyLength::Empty);
}

#[test]
fn a_websocket_is_the_call_that_http_1_opens_one_with() {
    let version = [("sec-websocket-version", "13")];
    let call = read(["CONNECT websocket", "https", "a.b", "/chat?x"], &version, Stream::Ended);
    assert!(call.faults.is_empty(), "{:?}", call.faults);
    assert_eq!((&*call.method, &*call.target, call.body), (&b"GET"[..], &b"/chat?x"[..], BodyLength::Empty));
    assert_eq!(crate::fields::upgrade(&call.fields), Some(&b"websocket"[..]));
    let raw = String::from_utf8_lossy(&call.raw.head).into_owned();
    assert!(raw.starts_with("GET /chat?x ") && raw.contains("upgrade: websocket"), "{raw}");
    // The client's own are as wrong as ever, and so is everything else that HTTP/1 could not say.
    check(["CONNECT websocket", "https", "a.b", "/"], &[("upgrade", "websocket")], &[fault::H2_CONNECTION_FIELD]);
    check(["CONNECT websocket", "https", "a.b", "-"], &version, &[fault::H2_PSEUDO_FIELD]);
    check(["CONNECT websocket", "-", "a.b", "/"], &version, &[fault::H2_PSEUDO_FIELD]);
    check(["CONNECT websocket", "https", "-", "/"], &version, &[fault::NO_HOST]);
    check(["CONNECT websocket", "https", "a.b", "/"], &[("content-length", "3")], &[fault::LENGTH]);
    check(["CONNECT connect-udp", "https", "a.b", "/"], &[], &[fault::CONNECT, fault::H2_PSEUDO_FIELD]);
}
