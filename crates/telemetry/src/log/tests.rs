use super::{Format, Pen};
use crate::telemetry::Names;
use crate::telemetry::tests::{exchange, inventory};
use ringwall_model::{CallId, Exchange, Layer, Millis, Reason, Role, RuleBook, SpiffeId, Timestamp, Version};
use serde_json::{Value, json};

fn render(format: &Format, exchange: &Exchange) -> String {
    render_with(format, exchange, &mut Pen::default())
}

fn render_with(format: &Format, exchange: &Exchange, pen: &mut Pen) -> String {
    let names = Names { generation: 1, rules: &RuleBook::default(), inventory: &inventory() };
    String::from_utf8(format.render(exchange, &names, pen).to_vec()).unwrap()
}

#[track_caller]
fn check(format: &str, want: &str) {
    let (format, problems) = Format::text(format);
    assert_eq!(problems, [] as [String; 0]);
    assert_eq!(render(&format, &exchange(Role::Edge)), format!("{want}\n"));
}

#[test]
fn text_formats_say_what_envoy_says() {
    check("%START_TIME%", "2026-11-23T16:04:12.222Z");
    check("%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", "GET /api?access_token=[redacted]&x=1");
    check("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%", "200 - via_upstream");
    check("%BYTES_RECEIVED% %BYTES_SENT% %DURATION%", "3 40 12");
    check("%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% %RESP(X-NONE)%", "9 -");
    check("%REQ(USER-AGENT):4%|%REQ(USER-AGENT)%", "curl|curl/8");
    check(
        "%UPSTREAM_HOST% %UPSTREAM_LOCAL_ADDRESS% %UPSTREAM_CLUSTER%",
        "127.0.0.1:9000 - outbound|80||bff-service.application.svc.cluster.local",
    );
    check("%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", "192.0.2.1:0 10.0.0.7:5555");
    check("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %REQUESTED_SERVER_NAME% %ROUTE_NAME%", "192.0.2.1 - bff");
    check("100%% %PROTOCOL% %CONNECTION_TERMINATION_DETAILS%", "100% HTTP/1.1 -");
    check("%REQ(X-REQUEST-ID)%", "7f6d1c3e-3a5e-4c5e-9d53-0a1b2c3d4e5f");
}

#[test]
fn json_keeps_the_type_of_an_operator_that_stands_alone() {
    let format = json!({
        "code": "%RESPONSE_CODE%",
        "time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
        "none": "%RESP(X-NONE)%",
        "both": "%RESPONSE_CODE% %RESP(X-NONE)%",
        "deep": { "flags": ["%RESPONSE_FLAGS%", "%PROTOCOL%"] },
        "empty": "",
        "constant": 7,
        "quote \"": "\\%ROUTE_NAME%\"",
    });
    let (format, problems) = Format::json(&format);
    assert!(problems.is_empty());
    let line: Value = serde_json::from_str(&render(&format, &exchange(Role::Edge))).unwrap();
    let want = json!({
        "code": 200, "time": "9", "none": null, "both": "200 -", "deep": { "flags": ["-", "HTTP/1.1"] }, "empty": "",
        "constant": 7, "quote \"": "\\bff\"",
    });
    assert_eq!(line, want);
}

#[test]
fn what_is_not_understood_is_said() {
    assert_eq!(Format::text("%NO_SUCH%").1.len(), 1);
    assert_eq!(Format::text("%RESPONSE_CODE").1.len(), 1);
    assert_eq!(Format::json_text("[]").1.len(), 1);
    assert_eq!(Format::json_text("{\"a\": \"%RESPONSE_CODE%\"}").1.len(), 0);
    assert_eq!(render(&Format::text("%NO_SUCH%").0, &exchange(Role::Edge)), "-\n");
}

#[test]
fn one_exchange_is_one_line() {
    let hostile = Exchange { target: "/a\r\nGET /b".into(), ..exchange(Role::Edge) };
    assert_eq!(render(&Format::text("%REQ(:PATH)%").0, &hostile), "/a\\x0d\\x0aGET /b\n");
    assert_eq!(render(&Format::default(), &hostile).lines().count(), 1);
}

#[test]
fn numbers_addresses_and_cuts_are_as_the_standard_library_writes_them() {
    let (most, peer) = (u64::MAX, "[2001:db8::a]:65535");
    let wide = Exchange {
        received: most,
        sent: 0,
        peer: peer.parse().unwrap(),
        client: "2001:db8::a".parse().unwrap(),
        local: "255.0.10.1:0".parse().unwrap(),
        authority: "äöü".into(),
        ..exchange(Role::Edge)
    };
    let format = |format: &str| render(&Format::text(format).0, &wide);
    assert_eq!(format("%BYTES_RECEIVED% %BYTES_SENT%"), format!("{most} 0\n"));
    assert_eq!(format("%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS%"), format!("{peer} 255.0.10.1:0\n"));
    assert_eq!(format("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"), "2001:db8::a\n");
    assert_eq!(format("%REQ(:AUTHORITY):3%|%REQ(:AUTHORITY):0%|%REQ(:AUTHORITY)%"), "ä||äöü\n");
}

/// Changes that make an exchange say something else, each through other operators.
const CHANGES: &[fn(&mut Exchange)] = &[
    |it| it.id = CallId(9),
    |it| it.started = Timestamp(1_795_449_853_001),
    |it| it.duration = Millis(12_345),
    |it| it.version = Version::Http2,
    |it| it.method = "POST".into(),
    |it| it.target = "/b?token=s3cret&y=\"".into(),
    |it| it.target = "/api/other".into(),
    |it| it.authority = "b\\ä".into(),
    |it| it.request_fields.push("x-request-id", "own"),
    |it| it.request_fields.set("user-agent", "other \"agent\""),
    |it| it.request_fields = Default::default(),
    |it| it.response_fields.push("content-type", "text/plain"),
    |it| it.status = 503,
    |it| it.flags = "UF",
    |it| it.refused = Some((Layer::Mesh, Reason::Builtin("mesh/test"))),
    |it| it.details = "".into(),
    |it| (it.received, it.sent) = (1, 99_999),
    |it| it.peer = "[2001:db8::9]:1".parse().unwrap(),
    |it| it.peer_identity = SpiffeId::parse("spiffe://cluster.local/ns/a/sa/b").ok(),
    |it| it.client = "10.0.0.7".parse().unwrap(),
    |it| it.local = "10.9.8.7:1".parse().unwrap(),
    |it| it.server_name = Some("api".into()),
    |it| it.route = "other".into(),
    |it| it.cluster = "".into(),
    |it| it.upstream = None,
    |it| it.upstream_local = Some("127.0.0.1:5".parse().unwrap()),
    |it| it.upstream_time = None,
];

#[test]
fn a_line_is_the_same_whatever_line_was_written_before() {
    const NAMES: &[&str] = &[
        "START_TIME",
        "REQ(:METHOD)",
        "REQ(X-NONE?:PATH)",
        "REQ(:AUTHORITY):4",
        "REQ(:SCHEME)",
        "REQ(X-REQUEST-ID)",
        "REQ(USER-AGENT?X-NONE)",
        "RESP(CONTENT-TYPE)",
        "RESP(:STATUS)",
        "RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)",
        "PROTOCOL",
        "RESPONSE_CODE",
        "RESPONSE_FLAGS",
        "RESPONSE_CODE_DETAILS",
        "BYTES_RECEIVED",
        "BYTES_SENT",
        "DURATION",
        "RESPONSE_DURATION",
        "UPSTREAM_HOST",
        "UPSTREAM_CLUSTER",
        "UPSTREAM_LOCAL_ADDRESS",
        "DOWNSTREAM_LOCAL_ADDRESS",
        "DOWNSTREAM_LOCAL_PORT",
        "DOWNSTREAM_REMOTE_ADDRESS",
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
        "DOWNSTREAM_PEER_URI_SAN",
        "REQUESTED_SERVER_NAME",
        "ROUTE_NAME",
        "STREAM_ID",
        "RINGWALL_RULE",
    ];
    let text: String = NAMES.iter().map(|name| format!("%{name}%|")).collect();
    let joined = json!(NAMES.iter().map(|name| format!("<%{name}%>")).collect::<Vec<_>>());
    let typed = json!(NAMES.iter().map(|name| format!("%{name}%")).collect::<Vec<_>>());
    let formats = [Format::text(&text).0, Format::json(&joined).0, Format::json(&typed).0];
    let plain = || Exchange { target: "/api".into(), ..exchange(Role::Edge) };
    for format in &formats {
        let mut pen = Pen::default();
        let mut check = |changed: Exchange| {
            let alone = render(format, &changed);
            assert_eq!(render_with(format, &changed, &mut pen), alone);
            alone
        };
        let first = check(plain());
        for one in CHANGES {
            for other in CHANGES {
                let mut changed = plain();
                one(&mut changed);
                other(&mut changed);
                // Each change is one that is seen.
                assert_ne!(check(changed), first);
                check(plain());
            }
        }
    }
    // Two formats in one place, until it changes hands.
    let mut pen = Pen::default();
    for turn in 0..100 {
        let format = &formats[turn / 40];
        assert_eq!(render_with(format, &plain(), &mut pen), render(format, &plain()));
    }
}
