//! The request-smuggling matrix, the views, and laws.

use super::{Connect, Context, Settings, Underscores, call};
use crate::{Normalization, fault};
use bytes::Bytes;
use proptest::prelude::{any, proptest};
use ringwall_model::{BodyLength, Call, CallId, ClientOrigin, Fault, Peer, Scheme, Timestamp, Version};

fn read_with(head: impl Into<Bytes>, settings: &Settings) -> Call {
    let context = Context {
        id: CallId(1),
        received: Timestamp(0),
        scheme: Scheme::Http,
        peer: Peer { address: "192.0.2.9:5555".parse().unwrap(), tls: None },
        origin: ClientOrigin::Peer,
        local: "10.0.0.1:80".parse().unwrap(),
        settings,
    };
    call(head.into(), context)
}

fn read(head: impl Into<Bytes>) -> Call {
    read_with(head, &Settings::default())
}

#[track_caller]
fn check(head: &'static str, want: &[Fault]) {
    let mut got: Vec<&str> = read(head).faults.iter().map(|fault| fault.name).collect();
    let mut want: Vec<&str> = want.iter().map(|fault| fault.name).collect();
    got.sort_unstable();
    want.sort_unstable();
    assert_eq!(got, want, "{head:?}");
}

/// The cases in which nginx, HAProxy, Envoy, Pingora and hyper disagree, or which one of them passes on.
#[test]
fn the_smuggling_matrix_is_refused() {
    check(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        &[fault::LENGTH_AND_CODING],
    );
    check(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
        &[fault::LENGTH_AND_CODING],
    );
    check("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n", &[fault::SEVERAL_LENGTHS]);
    check("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n", &[fault::SEVERAL_LENGTHS]);
    check("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\n", &[fault::SEVERAL_LENGTHS]);
    check("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\n", &[fault::LENGTH]);
    check("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x2\r\n\r\n", &[fault::LENGTH]);
    check("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", &[fault::LENGTH]);
    check("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n", &[fault::LENGTH]);
    check("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", &[fault::CODING]);
    check("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", &[fault::CODING]);
    check(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        &[fault::CODING],
    );
    check("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", &[fault::SPACE_BEFORE_COLON]);
    check("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", &[fault::CODING, fault::CONTROL]);
    check("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", &[fault::OBS_FOLD]);
    check("GET / HTTP/1.1\r\n X: b\r\nHost: a\r\n\r\n", &[fault::OBS_FOLD]);
    check("GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", &[fault::BARE_CR]);
    check("GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n", &[fault::NUL]);
    check("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", &[fault::SEVERAL_HOSTS]);
    check("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", &[fault::SEVERAL_HOSTS]);
    check("GET / HTTP/1.1\r\nX: a\r\n\r\n", &[fault::NO_HOST]);
    check("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", &[fault::HOST_MISMATCH]);
    check("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", &[fault::CODING_IN_10]);
    check("GET / HTTP/1.1\nHost: a\n\n", &[fault::BARE_LF]);
    check("GET / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\n\r\n", &[fault::NOMINATED]);
    check("GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Forwarded-For\r\n\r\n", &[fault::NOMINATED]);
}

#[test]
fn a_request_line_has_three_parts() {
    check("GET /\r\nHost: a\r\n\r\n", &[fault::REQUEST_LINE]);
    check("GET\r\nHost: a\r\n\r\n", &[fault::REQUEST_LINE]);
    check("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", &[fault::REQUEST_LINE, fault::TARGET_CHARACTER, fault::TARGET_FORM]);
    check("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", &[fault::REQUEST_LINE, fault::TARGET_CHARACTER]);
    check("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", &[fault::REQUEST_LINE, fault::TARGET_CHARACTER]);
    check("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", &[fault::METHOD, fault::REQUEST_LINE, fault::TARGET_FORM]);
    check("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", &[fault::METHOD]);
    check(" / HTTP/1.1\r\nHost: a\r\n\r\n", &[fault::METHOD]);
    check("GET / HTTP/1.2\r\nHost: a\r\n\r\n", &[fault::VERSION]);
    check("GET / http/1.1\r\nHost: a\r\n\r\n", &[fault::REQUEST_LINE]);
    check("GET / HTTP/0.9\r\nHost: a\r\n\r\n", &[fault::REQUEST_LINE]);
    check("GET / HTTP/4.0\r\nHost: a\r\n\r\n", &[fault::VERSION]);
    check("GET / HTTP/2.0\r\nHost: a\r\n\r\n", &[fault::VERSION]);
    check("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", &[]);
    check("\n\n", &[fault::BARE_LF, fault::METHOD, fault::REQUEST_LINE]);
}

#[test]
fn a_target_has_one_of_four_forms() {
    check("GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n", &[fault::TARGET_CHARACTER]);
    check("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", &[fault::TARGET_CHARACTER]);
    check("GET a HTTP/1.1\r\nHost: a\r\n\r\n", &[fault::TARGET_FORM]);
    check("GET * HTTP/1.1\r\nHost: a\r\n\r\n", &[fault::TARGET_FORM]);
    check("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", &[]);
    check("GET http://a:80/x HTTP/1.1\r\nHost: A\r\n\r\n", &[]);
    check("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", &[fault::HOST, fault::HOST_MISMATCH]);
    check("GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", &[fault::SCHEME]);
    check("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", &[fault::TARGET_FORM]);
    check("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", &[fault::HOST, fault::HOST_MISMATCH]);
    check("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", &[fault::CONNECT]);
    check("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", &[fault::PATH_NUL]);
}

#[test]
fn fields_are_tokens_and_values() {
    check("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", &[fault::FIELD_NAME]);
    check("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", &[fault::FIELD_NAME]);
    check("GET / HTTP/1.1\r\nHost: a\r\na b: x\r\n\r\n", &[fault::FIELD_NAME]);
    check("GET / HTTP/1.1\r\nHost: a\r\nX: \x07\r\n\r\n", &[fault::CONTROL]);
    check("GET / HTTP/1.1\r\nHost: a\r\nX: \t\u{e4} y\t\r\n\r\n", &[]);
    check("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", &[fault::HOST]);
    check("GET / HTTP/1.1\r\nHost:\r\n\r\n", &[fault::HOST]);
    check("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", &[fault::HOST]);
    check("GET / HTTP/1.0\r\n\r\n", &[]);
}

#[test]
fn limits_are_held() {
    let many = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count));
    let names = |head: String| read(head).faults.iter().map(|fault| fault.name).collect::<Vec<_>>();
    assert_eq!(names(many(99)), [] as [&str; 0]);
    assert_eq!(names(many(100)), [fault::FIELD_COUNT.name]);
    assert_eq!(
        names(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(16 * 1024))),
        [fault::TARGET_LENGTH.name]
    );
    assert_eq!(
        names(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(60 * 1024))),
        [fault::HEAD_LENGTH.name]
    );
}

#[test]
fn an_underscore_stays_goes_or_is_refused() {
    let head = "GET / HTTP/1.1\r\nHost: a\r\nX_User: root\r\n\r\n";
    let with = |underscores| read_with(head, &Settings { underscores, ..Settings::default() });
    assert_eq!(with(Underscores::Keep).fields.first("x_user").unwrap(), "root");
    assert!(with(Underscores::Drop).fields.first("x_user").is_none());
    assert!(with(Underscores::Drop).faults.is_empty());
    assert_eq!(with(Underscores::Refuse).faults, [fault::UNDERSCORE]);
}

#[test]
fn every_layer_has_its_view() {
    let got = read("GET /a//b/..%2f../%63?x=/../y#z HTTP/1.1\r\nHost: a:80\r\nX: 1\r\nx: 2\r\n\r\n");
    assert_eq!(got.target, "/a//b/..%2f../%63?x=/../y#z");
    assert_eq!(got.views.istio, "/a//b/..%2f../c");
    assert_eq!(got.views.kong, "/a/b/..%2F../c");
    assert_eq!(got.views.query.unwrap(), "x=/../y");
    assert_eq!(
        (got.method.as_ref(), got.authority.as_ref(), got.version),
        (&b"GET"[..], &b"a:80"[..], Version::Http11)
    );
    assert_eq!(got.fields.all("X").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(got.raw.line, "GET /a//b/..%2f../%63?x=/../y#z HTTP/1.1");
    let all = Settings { normalization: Normalization::DecodeAndMergeSlashes, ..Settings::default() };
    assert_eq!(read_with("GET /a/..%2fb#?q HTTP/1.1\r\nHost: a\r\n\r\n", &all).views.istio, "/b");
}

#[test]
fn a_nominated_field_is_judged_by_nobody() {
    let got = read("GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Tenant-Id, close\r\nX-Tenant-Id: t1\r\n\r\n");
    assert!(got.faults.is_empty());
    assert!(got.fields.first("x-tenant-id").is_none());
    assert!(got.fields.first("connection").is_some());
}

#[test]
fn bodies_have_a_length() {
    let body = |fields: &str| read(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).body;
    assert_eq!(body(""), BodyLength::Empty);
    assert_eq!(body("Content-Length: 0\r\n"), BodyLength::Known(0));
    assert_eq!(body("Content-Length: 9223372036854775807\r\n"), BodyLength::Known(i64::MAX.unsigned_abs()));
    assert_eq!(body("Transfer-Encoding: Chunked\r\n"), BodyLength::Unknown);
}

#[test]
fn a_tunnel_needs_a_port() {
    let tunnel = Settings { connect: Connect::Tunnel, ..Settings::default() };
    let with = |target: &str| read_with(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"), &tunnel);
    assert_eq!((with("a:443").faults, with("a:443").authority), (vec![], Bytes::from_static(b"a:443")));
    assert_eq!(with("a").faults, [fault::TARGET_FORM]);
}

#[test]
fn fault_names_are_names() {
    let mut names: Vec<&str> = fault::ALL.iter().map(|fault| fault.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|two| two[0] != two[1]));
    assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')));
    assert!(fault::ALL.iter().all(|fault| (400..600).contains(&fault.status)));
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange(head in proptest::collection::vec(any::<u8>(), 0..300)) {
        let limits = crate::Limits::default();
        let _ = crate::read::head(&head, &limits);
        let got = read(head);
        // Whatever is not refused is plain: no line end, NUL or control character is left in any part.
        if got.faults.is_empty() {
            assert!(got.fields.iter().all(|field| !field.value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n'))));
        }
    }

    #[test]
    fn mangled_requests_are_read_without_panic(cut in 0_usize..120, byte in any::<u8>()) {
        let mut head = b"POST /a?b=c HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: x, close\r\nX: y\r\n\r\n".to_vec();
        let at = cut % head.len();
        head[at] = byte;
        let _ = read(head);
    }

    #[test]
    fn the_end_is_found_whatever_the_pieces(cuts in proptest::collection::vec(1_usize..9, 0..40)) {
        let head = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        let (mut scan, mut end) = (crate::read::Scan::default(), 0);
        for cut in cuts.into_iter().chain(std::iter::repeat(3)) {
            end = (end + cut).min(head.len());
            match scan.look(&head[..end], &crate::Limits::default()) {
                crate::read::Progress::Partial => assert!(end < 29),
                crate::read::Progress::Complete { len } => {
                    assert_eq!(len, 29);
                    break;
                }
                crate::read::Progress::Refuse(fault) => panic!("{fault:?}"),
            }
        }
    }
}
