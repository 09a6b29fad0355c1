use super::{Format, Line};
use crate::telemetry::Names;
use crate::telemetry::tests::{exchange, inventory};
use ringwall_model::{Exchange, Role, RuleBook};
use serde_json::{Value, json};

fn render(format: &Format, exchange: &Exchange) -> String {
    let mut line = Line::default();
    format.render(exchange, &Names { generation: 1, rules: &RuleBook::default(), inventory: &inventory() }, &mut line);
    String::from_utf8(line.written().to_vec()).unwrap()
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
