//! What a client could choose so that nobody reads it: none of it passes unless the policy says so.

use super::*;
use crate::message::{Coded, Messages};
use ringwall_manifest::ringwall::waf_policy::Binary;

const JSON: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n";

#[test]
fn a_body_that_is_not_read_to_its_end_is_refused() {
    let (blocks, facts) = (Blocks::new(1), ShieldFacts::default());
    let ask = |spec: &str, head: &str, body: &str| {
        let world = world(spec);
        let (inspection, reason, status) = judged(&world, &call(head), &with_body(body, &blocks, &facts));
        (inspection.unwrap(), reason, status)
    };
    // Python's reader takes `NaN`, others take comments and what follows the document; ours reads nothing behind them.
    let many = format!("{{\"x\":[{}1],\"a\":\"bad\"}}", "1,".repeat(16_384));
    let deep = format!("{{\"x\":{}{},\"a\":\"bad\"}}", "[".repeat(5000), "]".repeat(5000));
    for body in ["{\"x\":NaN,\"a\":\"bad\"}", "{/*x*/\"a\":\"bad\"}", "{\"x\":1}{\"a\":\"bad\"}", &many, &deep] {
        let (mut inspection, reason, status) = ask("{}", JSON, body);
        assert_eq!((&*reason, status), ("builtin/waf/request-unreadable", 400), "{body:.60}");
        let told = inspection.finish(CallId(1)).unwrap();
        let last = told.matches.last().unwrap();
        assert!(last.refused && last.logged && last.message.contains("not read to its end: "), "{last:?}");
        // It is the policy that may let it pass, by name, or by refusing nothing at all.
        assert_eq!(ask("{ requestBody: { unreadable: pass } }", JSON, body).2, 200);
        assert_eq!(ask("{ mode: detect }", JSON, body).2, 200);
    }
    let form = JSON.replace("application/json", "application/x-www-form-urlencoded");
    assert_eq!(ask("{}", &form, &format!("{}a=bad", "x=1&".repeat(16_384))).2, 400);
    let query = format!("GET /?{}a=bad HTTP/1.1\r\nHost: a\r\n\r\n", "x&".repeat(16_384));
    assert_eq!(ask("{}", &query, "").2, 400);
    let parts = JSON.replace("application/json", "multipart/form-data; boundary=b");
    let open = "--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n";
    assert_eq!(ask("{}", &parts, open).2, 400, "the end of it may be elsewhere for others");
    assert_eq!(ask("{}", &parts, &format!("{open}--b--\r\n")).2, 200);
    // Of two boundaries, and of two types, servers take the one or the other; nobody looks outside of parts.
    let whole = format!("{open}--b--\r\n");
    let two = |more: &str| parts.replace("boundary=b", &format!("boundary=b{more}"));
    for (head, body) in [
        (two("; boundary=c"), whole.clone()),
        (two("; Boundary*0=c"), whole.clone()),
        (parts.replace("; boundary", "; x-boundary"), whole.clone()),
        (two("\r\nContent-Type: application/json"), whole.clone()),
        (parts.clone(), format!("{whole}--c\r\nContent-Disposition: form-data; name=a\r\n\r\nbad\r\n--c--\r\n")),
        (parts.clone(), format!("--c\r\nContent-Disposition: form-data; name=a\r\n\r\nbad\r\n{whole}")),
        (parts.clone(), whole.replace("name=a", "name*=utf-8''a")),
    ] {
        assert_eq!(ask("{}", &head, &body).2, 400, "{head}{body}");
    }
    assert_eq!(ask("{}", &two("oundary"), &whole.replace("--b", "--boundary")).2, 200, "as browsers name them");
    assert_eq!(ask("{}", &two("\r\nContent-Type: multipart/form-data; boundary=b"), &whole).2, 200);
    // What is no body, and what is whole.
    assert_eq!(ask("{}", JSON, "{\"a\":[1,{}]}").2, 200);
    assert_eq!(ask("{ requestBody: { inspect: false } }", JSON, "{not json").2, 200);
}

#[test]
fn answers_that_nobody_can_read_are_refused() {
    let spec = |more: &str| format!("{{ responseBody: {{ inspect: true, types: [text/html]{more} }} }}");
    let (looks, passes) = (world(&spec("")), world(&spec(", unreadable: pass")));
    let detects = world("{ mode: detect, responseBody: { inspect: true, types: [text/html] } }");
    let blind = world("{ responseBody: { inspect: false } }");
    let html = ("content-type", "text/html; charset=utf-8");
    let parts = ("content-type", "multipart/byteranges; boundary=b");
    for (status, fields, refused) in [
        (200, vec![html, ("content-encoding", "zstd")], Some(502)),
        (200, vec![html, ("content-encoding", "gzip"), ("content-encoding", "dcb")], Some(502)),
        (200, vec![html, ("content-encoding", "gzip, br")], None),
        (206, vec![html], Some(416)),
        (206, vec![parts], Some(416)),
        (200, vec![("content-type", "image/png"), ("content-encoding", "zstd")], None),
        (206, vec![("content-type", "image/png")], None),
    ] {
        let mut all = Fields::default();
        fields.iter().for_each(|(name, value)| all.push(*name, *value));
        let said = |world: &World| {
            let (blocks, facts) = (Blocks::new(1), ShieldFacts::default());
            let outside = with_body("", &blocks, &facts);
            let mut one = judged(world, &call("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), &outside).0.unwrap();
            run(one.response_head(status, Version::Http11, &all, &outside));
            one.unreadable_response(status, &all).map(|decision| told(world, &decision))
        };
        let want = refused.map(|status| ("builtin/waf/response-unreadable".to_owned(), status));
        assert_eq!(said(&looks), want, "{status} {fields:?}");
        assert_eq!((said(&passes), said(&detects), said(&blind)), (None, None, None), "{status} {fields:?}");
    }
}

/// The messages of a stream under a policy.
fn messages(spec: &str, kind: MessageKind) -> (World, Messages) {
    let world = world(spec);
    let guard = world.firewall.as_ref().unwrap().guard(&Subject::default()).clone();
    let messages = Messages::under(guard, call("GET /socket HTTP/1.1\r\nHost: a\r\n\r\n"), kind);
    (world, messages)
}

fn said(messages: &Messages, message: &[u8], form: Form) -> bool {
    let (blocks, facts) = (Blocks::new(1), ShieldFacts::default());
    let outside = with_body("", &blocks, &facts);
    matches!(run(messages.judge((message, form), Timestamp(0), &outside)).0, Decision::Pass { .. })
}

#[test]
fn texts_in_binary_messages_are_judged() {
    let (_, asked) = messages("{}", MessageKind::WebSocket);
    for (message, passes) in [
        (&b"\xff\xfe plain"[..], true),
        (b"\xff\xfe a bad one", false),
        (b"\x81\xa1q\xa5is bad", false),
        (b"{\"a\":\"bad\"}", false),
        (b"\0\0\0\x05\0{\"a\":\"b\\u0061d\"}", false),
        (b"\xff", true),
    ] {
        assert_eq!(said(&asked, message, Form::Binary), passes, "{message:?}");
    }
    let (_, answers) = messages("{ responseBody: { inspect: true } }", MessageKind::WebSocketAnswer);
    for form in [Form::Text, Form::Binary] {
        assert!(said(&answers, b"a bad one", form), "that rule looks at requests");
        assert!(!said(&answers, b"\xffa stack trace", form));
    }
    let (_, both) = messages("{ responseBody: { inspect: true } }", MessageKind::GrpcAnswer);
    assert!(said(&both, b"\0\0\0\0\x02hi", Form::Text));
    assert!(!said(&both, b"\x01\0\0\0\x02hi", Form::Text), "compressed, though it was asked not to be");
    let (_, passes) = messages("{ responseBody: { inspect: true, unreadable: pass } }", MessageKind::GrpcAnswer);
    assert!(said(&passes, b"\x01\0\0\0\x02hi", Form::Text));
}

#[test]
fn a_policy_names_the_rule_that_refuses_binary_messages() {
    let binary = |spec: &str| {
        let (world, messages) = messages(spec, MessageKind::WebSocket);
        match messages.binary() {
            Binary::Refuse(rule) => world.rules.render(Reason::Rule(rule)),
            other => format!("{other:?}"),
        }
    };
    assert_eq!(binary("{}"), "Judge");
    assert_eq!(binary("{ webSocket: { binary: pass } }"), "Pass");
    assert_eq!(binary("{ webSocket: { binary: refuse } }"), "WafPolicy/istio-system/all#/spec/webSocket/binary");
    assert_eq!(binary("{ mode: detect, webSocket: { binary: refuse } }"), "Judge");
}

#[test]
fn streams_in_codings_are_undone_or_refused() {
    let coded = |spec: &str, coding: &str| match messages(spec, MessageKind::Event).1.coded(coding.as_bytes()) {
        Coded::Plain => "plain",
        Coded::Read(_) => "read",
        Coded::Refuse => "refuse",
        Coded::Pass => "pass",
    };
    for (spec, unknown) in
        [("{}", "refuse"), ("{ mode: detect }", "pass"), ("{ responseBody: { unreadable: pass } }", "pass")]
    {
        for (coding, what) in [("", "plain"), ("Identity", "plain"), ("gzip", "read"), ("br", "read")] {
            assert_eq!(coded(spec, coding), what, "{spec} {coding}");
        }
        assert_eq!((coded(spec, "zstd"), coded(spec, "gzip, br")), (unknown, unknown), "{spec}");
    }
}
