//! The language, rule by rule: small rule files of our own against small requests.

use crate::{Bundle, Collections, Fuel, Progress, RequestHead, ResponseHead, RuleMatch, Settings, Transaction, Waf};
use ringwall_model::Timestamp;
use std::net::SocketAddr;
use std::sync::Arc;

fn waf(rules: &str) -> Arc<Waf> {
    let mut bundle = Bundle::default();
    bundle.add("words.data", "# a comment\nevil word\n");
    bundle.add("test.conf", rules);
    match Waf::load(&bundle, &["test.conf"]) {
        Ok(waf) => waf,
        Err(errors) => panic!("{}", errors[0]),
    }
}

fn begin(waf: &Arc<Waf>, settings: Settings, now: u64, target: &str, fields: &[(&str, &str)]) -> Transaction {
    let mut tx = waf.begin(&waf.profile(settings).unwrap(), Timestamp(now));
    let ends = SocketAddr::from(([192, 0, 2, 1], 1));
    let line = format!("GET {target} HTTP/1.1");
    let head = RequestHead {
        line: line.as_bytes(),
        method: b"GET",
        target: target.as_bytes(),
        protocol: b"HTTP/1.1",
        client: ends,
        server: ends,
        id: "id",
    };
    tx.head(&head, fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    tx
}

/// Runs all phases; the ids that matched (of rules that log or refuse), and the refusal's status.
fn run(tx: &mut Transaction, body: &[u8]) -> (Vec<u64>, Option<u16>) {
    let all = Fuel::ENDLESS;
    let mut refused = tx.phase1(all) == Progress::Interrupt;
    if !refused {
        tx.request_body(body);
        refused = tx.phase2(all) == Progress::Interrupt;
    }
    if !refused {
        tx.response_head(
            &ResponseHead { status: 200, protocol: b"HTTP/1.1" },
            [(&b"Content-Type"[..], &b"text/html"[..])].into_iter(),
        );
        refused = tx.phase3(all) == Progress::Interrupt;
    }
    if !refused {
        tx.response_body(b"<html>secret</html>");
        tx.phase4(all);
    }
    tx.phase5(all);
    (tx.report().matched.iter().map(|matched| matched.id).collect(), tx.interruption().map(|by| by.status))
}

#[track_caller]
fn check(rules: &str, target: &str, want: &[u64], status: Option<u16>) {
    let waf = waf(rules);
    let mut tx = begin(&waf, Settings::default(), 0, target, &[("Host", "a"), ("Cookie", "k=v; _ga_1=x")]);
    assert_eq!(run(&mut tx, b""), (want.to_vec(), status), "{rules}");
}

fn first(rules: &str, target: &str) -> RuleMatch {
    let waf = waf(rules);
    let mut tx = begin(&waf, Settings::default(), 0, target, &[]);
    run(&mut tx, b"");
    tx.report().matched.into_iter().next().expect("a match")
}

#[test]
fn a_rule_that_only_would_refuse_did_not() {
    for (engine, refused) in [("On", true), ("DetectionOnly", false)] {
        let found =
            first(&format!("SecRuleEngine {engine}\nSecRule ARGS:a \"@streq 1\" \"id:1,phase:1,deny\""), "/?a=1");
        let told = if refused { "ModSecurity: Access denied." } else { "ModSecurity: Warning." };
        assert!(found.refused == refused && found.to_string().starts_with(told), "{found}");
    }
}

#[test]
fn chains_and_negation() {
    check(
        "SecRule ARGS:a \"@streq 1\" \"id:1,phase:1,deny,chain\"\nSecRule ARGS:b \"!@streq 2\"",
        "/?a=1&b=3",
        &[1],
        Some(403),
    );
    check(
        "SecRule ARGS:a \"@streq 1\" \"id:1,phase:1,deny,chain\"\nSecRule ARGS:b \"!@streq 2\"",
        "/?a=1&b=2",
        &[],
        None,
    );
    check("SecRule ARGS \"!@rx ^x\" \"id:1,deny,status:406\"", "/?a=y", &[1], Some(406));
    check("SecRule ARGS \"!@rx ^x\" \"id:1,deny\"", "/", &[], None);
}

#[test]
fn skips_and_markers() {
    let skip = "SecAction \"id:1,phase:1,nolog,pass,skipAfter:END\"\nSecAction \"id:2,phase:1,deny\"\nSecMarker END\nSecAction \"id:3,phase:1,log,pass\"";
    check(skip, "/", &[3], None);
    check(
        "SecAction \"id:1,phase:1,nolog,pass,skip:1\"\nSecAction \"id:2,phase:1,deny\"\nSecAction \"id:3,phase:1,pass\"",
        "/",
        &[3],
        None,
    );
    check(
        "SecAction \"id:1,phase:1,nolog,skipAfter:NOWHERE\"\nSecAction \"id:2,phase:1,deny\"\nSecAction \"id:3,phase:2,pass\"",
        "/",
        &[3],
        None,
    );
}

#[test]
fn variables_of_the_transaction() {
    let sums = "SecAction \"id:1,phase:1,nolog,setvar:tx.a=5,setvar:tx.b=+%{tx.a},setvar:tx.b=-2\"\nSecRule TX:B \"@eq 3\" \"id:2,phase:1,pass\"";
    check(sums, "/", &[2], None);
    check(
        "SecRule &TX:none \"@eq 0\" \"id:1,phase:1,pass\"\nSecRule TX:none \"@eq 0\" \"id:2,phase:1,pass\"",
        "/",
        &[1],
        None,
    );
    check(
        "SecAction \"id:1,phase:1,nolog,setvar:tx.a=1,setvar:!tx.a\"\nSecRule &TX:a \"@gt 0\" \"id:2,phase:1,pass\"",
        "/",
        &[],
        None,
    );
    let made = "SecRule ARGS \"@rx .\" \"id:1,nolog,setvar:'tx.seen_%{MATCHED_VAR_NAME}=+1'\"\nSecRule TX:/^seen_/ \"@gt 1\" \"id:2,pass\"";
    check(made, "/?a=1&b=2", &[], None);
    check(made, "/?a=1&a=2", &[2], None);
}

#[test]
fn captures_and_macros() {
    let rule = "SecRule ARGS \"@rx (b)(c)?\" \"id:1,phase:1,pass,capture,msg:'%{TX.0} %{TX.1} %{tx.2}.',logdata:'%{MATCHED_VAR_NAME}=%{MATCHED_VAR}'\"";
    let matched = first(rule, "/?q=abx");
    assert_eq!((matched.message.as_str(), matched.data.as_str()), ("b b .", "ARGS:q=abx"));
    assert_eq!(first("SecRule REQUEST_HEADERS_NAMES|REQUEST_URI \"@contains /a\" \"id:1,phase:1,msg:'%{rule.id} %{request_method}'\"", "/a").message, "1 GET");
}

#[test]
fn transformations_and_multi_match() {
    check(
        "SecRule ARGS \"@streq <x\" \"id:1,phase:1,t:none,t:htmlEntityDecode,t:lowercase\"",
        "/?a=%26lt;X",
        &[1],
        None,
    );
    let each = "SecRule ARGS \"@rx %3c\" \"id:1,phase:1,nolog,multiMatch,t:none,t:urlDecode,t:lowercase,setvar:tx.n=+1\"\nSecRule TX:n \"@eq 1\" \"id:2,phase:1\"";
    check(each, "/?a=%253c", &[2], None);
    check(
        "SecDefaultAction \"phase:1,log,pass,t:lowercase\"\nSecRule ARGS \"@streq a\" \"id:1,phase:1\"\nSecRule ARGS \"@streq a\" \"id:2,phase:1,t:none\"",
        "/?x=A",
        &[1],
        None,
    );
}

#[test]
fn chains_of_any_length() {
    // A source has room for 64 stages, the first of which has no step. The last step is the only one that changes the text.
    for steps in [0, 1, 60, 61, 62, 63, 64, 127, 200] {
        let chain: String = (0..steps).map(|step| [",t:urlDecodeUni", ",t:lowercase"][step % 2]).collect();
        let chain = format!("t:none{chain},t:removeWhitespace");
        let rules = format!(
            "SecRule ARGS \"@rx ^attack$\" \"id:1,phase:1,pass,{chain}\"
            SecRule ARGS \"@streq attack\" \"id:2,phase:1,pass,{chain},multiMatch\""
        );
        check(&rules, "/?a=att+ack", &[1, 2], None);
        check(&rules, "/?a=attack", &[1, 2], None);
        check(&rules, "/?a=other", &[], None);
    }
}

#[test]
fn exclusions() {
    let rule = "SecRule ARGS|REQUEST_COOKIES \"@rx .\" \"id:10,phase:2,deny,tag:'t',msg:'m'\"\n";
    check(&format!("{rule}SecRuleRemoveById 5-12"), "/?a=1", &[], None);
    check(&format!("{rule}SecRuleRemoveByTag ^t$"), "/?a=1", &[], None);
    check(&format!("{rule}SecRuleRemoveByMsg m"), "/?a=1", &[], None);
    let cookies = "SecRuleUpdateTargetById 10 \"!REQUEST_COOKIES\"";
    check(&format!("{rule}{cookies}"), "/", &[], None);
    check(&format!("{rule}SecRuleUpdateTargetById 10 \"!REQUEST_COOKIES:/^(?:k|_ga_\\d)$/\""), "/", &[], None);
    check(&format!("{rule}SecRuleUpdateTargetByTag t \"!REQUEST_COOKIES:k\""), "/", &[10], Some(403));
    check(&format!("{rule}SecRuleUpdateActionById 10 \"pass,status:500\""), "/", &[10], None);
    let run_time = |what: &str| format!("SecAction \"id:1,phase:1,nolog,ctl:{what}\"\n{rule}");
    check(&run_time("ruleRemoveById=10"), "/", &[], None);
    check(&run_time("ruleRemoveByTag=t"), "/", &[], None);
    check(
        &format!("{}SecRuleUpdateTargetById 10 \"!REQUEST_COOKIES\"", run_time("ruleRemoveTargetById=10;ARGS:a")),
        "/?a=1",
        &[],
        None,
    );
    check(
        &format!("{}SecRuleUpdateTargetById 10 \"!REQUEST_COOKIES\"", run_time("ruleRemoveTargetByTag=t;ARGS:/^A/")),
        "/?a=1",
        &[],
        None,
    );
    check(&run_time("ruleEngine=DetectionOnly"), "/", &[10], None);
    check(&run_time("ruleEngine=Off"), "/", &[], None);
}

#[test]
fn disruptive_actions() {
    check(
        "SecAction \"id:1,phase:1,allow\"\nSecAction \"id:2,phase:2,deny\"\nSecAction \"id:3,phase:5\"",
        "/",
        &[1, 3],
        None,
    );
    check(
        "SecAction \"id:1,phase:1,allow:request\"\nSecAction \"id:2,phase:2,deny\"\nSecAction \"id:3,phase:3,deny\"",
        "/",
        &[1, 3],
        Some(403),
    );
    check(
        "SecAction \"id:1,phase:1,allow:phase\"\nSecAction \"id:2,phase:1,deny\"\nSecAction \"id:3,phase:2,deny\"",
        "/",
        &[1, 3],
        Some(403),
    );
    check("SecAction \"id:1,phase:1,drop\"", "/", &[1], Some(0));
    check("SecAction \"id:1,phase:1,redirect:'http://x/%{request_method}'\"", "/", &[1], Some(302));
    check("SecDefaultAction \"phase:1,deny,status:410\"\nSecAction \"id:1,phase:1,block\"", "/", &[1], Some(410));
    check("SecRule RESPONSE_BODY \"@contains secret\" \"id:1,phase:4,deny\"", "/", &[1], Some(403));
}

#[test]
fn phrases_addresses_and_numbers() {
    check("SecRule ARGS \"@pmFromFile words.data\" \"id:1\"", "/?a=an+EVIL+word", &[1], None);
    check("SecRule REMOTE_ADDR \"@ipMatch 192.0.2.0/24\" \"id:1\"", "/", &[1], None);
    check("SecRule &ARGS \"@gt 1\" \"id:1\"\nSecRule ARGS:/^a/ \"@lt 0\" \"id:2\"", "/?a=1&b=2", &[1], None);
    check("SecRule ARGS \"@within a b %{request_method}\" \"id:1\"", "/?x=GET", &[1], None);
}

#[test]
fn collections_that_outlive_the_transaction() {
    let waf = waf(
        "SecAction \"id:1,phase:1,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.hits=+1,expirevar:ip.hits=60\"\nSecRule IP:hits \"@gt 2\" \"id:2,phase:1,deny\"",
    );
    let shelf = Arc::new(Collections::new(10));
    let status = |now: u64| {
        let mut tx = begin(&waf, Settings::default(), now * 1000, "/", &[]);
        tx.keep_in(&shelf);
        run(&mut tx, b"").1
    };
    assert_eq!([status(0), status(1), status(2)], [None, None, Some(403)]);
    assert_eq!(status(100), None, "it expired");
}

#[test]
fn errors_have_a_place() {
    #[track_caller]
    fn check(rules: &str, line: u32, column: u32, words: &str) {
        let mut bundle = Bundle::default();
        bundle.add("a.conf", rules);
        let errors = Waf::load(&bundle, &["a.conf"]).expect_err(rules);
        let error = &errors[0];
        assert_eq!((error.line, error.column), (line, column), "{error}");
        assert!(error.message.contains(words), "{error}");
    }
    check("SecRul ARGS x", 1, 1, "no directive");
    check("\n  SecRule ARGZ \"@rx a\" \"id:1\"", 2, 11, "no variable ARGZ");
    check("SecRule ARGS \"@rxx a\" \"id:1\"", 1, 16, "no operator `@rxx`");
    check("SecRule ARGS \"@rx (\" \\\n  \"id:1\"", 1, 19, "regular expression");
    check("SecRule ARGS \"@rx a\" \\\n  \"id:1,t:lower\"", 2, 9, "no transformation");
    check("SecRule ARGS \"@rx a\" \"id:1,explode\"", 1, 28, "no action `explode`");
    check("SecRule ARGS \"@rx a\" \"phase:1\"", 1, 9, "no id");
    check("SecAction \"id:1,chain\"", 1, 12, "no rule follows");
    check("SecAction id:1\nSecAction id:1", 2, 11, "is taken");
    check("SecRule ARGS \"@rx a", 1, 14, "no end");
    check("SecRuleScript a.lua", 1, 1, "scripts are not run");
    check("Include missing.conf", 1, 9, "no file matches");
    check("SecRule ARGS \"@pmFromFile no.data\" \"id:1\"", 1, 27, "phrase file");
}

#[test]
fn slices_of_work() {
    let waf = waf(
        "SecRule ARGS \"@rx a.*b\" \"id:1\"\nSecRule ARGS \"@rx c.*d\" \"id:2\"\nSecRule ARGS \"@rx e.*f\" \"id:3\"",
    );
    let long = format!("/?q=ace{}bdf", "-".repeat(4000));
    let mut tx = begin(&waf, Settings::default(), 0, &long, &[]);
    tx.phase1(Fuel::ENDLESS);
    let mut yields = 0;
    while tx.phase2(Fuel(100)) == Progress::Yield {
        yields += 1;
    }
    assert!(yields >= 2, "{yields}");
    assert_eq!(tx.report().matched.len(), 3);
}

#[test]
fn bodies() {
    let waf =
        waf("SecRule ARGS_POST:a|ARGS_POST:json.l.0|XML:/*|XML://@*|FILES|REQBODY_ERROR \"@within evil 1\" \"id:1\"");
    let ids = |kind: &str, body: &str| {
        let mut tx = begin(&waf, Settings::default(), 0, "/", &[("Content-Type", kind)]);
        run(&mut tx, body.as_bytes()).0
    };
    assert_eq!(ids("application/x-www-form-urlencoded", "a=evi%6c"), [1]);
    assert_eq!(ids("application/json", "{\"l\":[\"ev\\u0069l\"]}"), [1]);
    assert_eq!(ids("application/json", "{\"l\":[\"good\"]}"), Vec::<u64>::new());
    assert_eq!(ids("application/json", "{\"l\":"), [1]);
    assert_eq!(ids("text/xml", "<a b='x'>ev<![CDATA[i]]>l</a>"), [1]);
    assert_eq!(ids("text/xml", "<a b='evil'>x</a>"), [1]);
    assert_eq!(ids("text/xml", "<!DOCTYPE a><a>x</a>"), [1]);
    let part = |head: &str| format!("--x\r\nContent-Disposition: form-data; {head}\r\n\r\nevil\r\n--x--\r\n");
    assert_eq!(ids("multipart/form-data; boundary=x", &part("name=\"a\"")), [1]);
    assert_eq!(ids("multipart/form-data; boundary=x", &part("name=\"b\"; filename=\"evil\"")), [1]);
    assert_eq!(ids("multipart/form-data; boundary=x", &part("name=\"b\"")), Vec::<u64>::new());
    assert_eq!(ids("multipart/form-data", "--x"), [1]);
}

#[test]
fn json_names_have_two_spellings() {
    use super::same_name;
    assert!(same_name(b"json.a.0.b", b"json.a.array_0.b"));
    assert!(same_name(b"json.a.array_0.b", b"json.a.array_0.b"));
    assert!(!same_name(b"json.a.1.b", b"json.a.array_0.b"));
    assert!(!same_name(b"a.0", b"a.array_0"));
}

#[test]
fn bodies_that_peers_do_not_read() {
    let rule = "SecRule ARGS \"@contains evil\" \"id:1\"";
    let graphql = waf(&format!("{}{rule}", crate::Preset::GraphQl.text()));
    let ids = |waf: &Arc<Waf>, kind: &str, body: &[u8]| {
        let mut tx = begin(waf, Settings::default(), 0, "/", &[("Content-Type", kind)]);
        run(&mut tx, body).0
    };
    assert_eq!(ids(&graphql, "application/json", br#"{"query":"{ a(b: \"evil\") }"}"#), [1]);
    assert_eq!(ids(&graphql, "application/json", br#"{"query":"{ a(b: \"x\") }","variables":{"v":"evil"}}"#), [1]);
    let deep = format!("{{\"query\":\"{}a{}\"}}", "{a".repeat(16), "}".repeat(16));
    assert_eq!(ids(&graphql, "application/json", deep.as_bytes()), [9_990_201]);
    // Field 1 is a message whose field 2 is a text.
    let inner = b"\x12\x06x evil";
    let message = [&[0x0a, inner.len() as u8][..], inner].concat();
    let framed = [&[0, 0, 0, 0, message.len() as u8][..], &message].concat();
    assert_eq!(ids(&waf(rule), "application/grpc", &framed), [1]);
    assert_eq!(ids(&waf("SecRule REQBODY_ERROR \"@eq 1\" \"id:1\""), "application/grpc", b"\0\0\0\0\x09ab"), [1]);
    assert_eq!(ids(&waf(rule), "application/grpc-web+proto", &framed), [1]);
    let mut text = Vec::new();
    for part in [&framed[..5], &framed[5..]] {
        crate::transform::Transformation::Base64Encode.apply_onto(part, &mut text);
    }
    assert_eq!(ids(&waf(rule), "application/grpc-web-text", &text), [1]);
    assert_eq!(ids(&waf("SecRule REQBODY_ERROR \"@eq 1\" \"id:1\""), "application/grpc-web-text", b"AAAA!AAA"), [1]);
    let strict = waf(crate::Preset::Strict.text());
    assert_eq!(ids(&strict, "application/json", b"{"), [9_990_400]);
}

#[test]
fn messages_of_a_stream() {
    let waf = waf("SecRule ARGS:message|ARGS:json.m \"@streq evil\" \"id:1,deny\"");
    let judged = |message: &[u8]| {
        let mut tx = begin(&waf, Settings::default(), 0, "/socket", &[]);
        tx.phase1(Fuel::ENDLESS);
        tx.message(message);
        tx.phase2(Fuel::ENDLESS)
    };
    assert_eq!(judged(b"evil"), Progress::Interrupt);
    assert_eq!(judged(br#"{"m":"evil"}"#), Progress::Interrupt);
    assert_eq!(judged(b"{not json"), Progress::Pass);
}

#[test]
fn binary_messages_of_a_stream() {
    let waf = waf(
        "SecRule ARGS:message \"@streq evil\" \"id:1,deny\"\nSecRule REQUEST_BODY \"@rx ^\\xac\\xed\" \"id:2,deny\"",
    );
    let judged = |message: &[u8], head: &[(&str, &str)]| {
        let mut tx = begin(&waf, Settings::default(), 0, "/socket", head);
        tx.phase1(Fuel::ENDLESS);
        tx.binary_message(message);
        (tx.phase2(Fuel::ENDLESS), tx.unread())
    };
    assert_eq!(judged(b"\xff\0evil\0\xff", &[]).0, Progress::Interrupt);
    assert_eq!(judged(b"\xac\xed\0\x05", &[]).0, Progress::Interrupt);
    assert_eq!(judged(b"\xff\xac\xed\0\x05good", &[]), (Progress::Pass, None));
    assert_eq!(judged(&b"good\0".repeat(20_000), &[]), (Progress::Pass, Some("too many arguments")));
    // What the handshake says of a body is not said of its messages.
    assert_eq!(judged(b"\xff\0evil", &[("Content-Encoding", "gzip")]).0, Progress::Interrupt);
}

#[test]
fn bodies_beyond_their_limit() {
    let waf = waf("SecRequestBodyLimit 100\nSecRule ARGS \"@streq evil\" \"id:1,deny\"");
    let mut tx = begin(&waf, Settings::default(), 0, "/", &[("Content-Type", "application/x-www-form-urlencoded")]);
    tx.phase1(Fuel::ENDLESS);
    assert_eq!(tx.request_body(&[b'a'; 60]), crate::BodyRoom::More);
    assert_eq!(tx.request_body(&[b'a'; 60]), crate::BodyRoom::Refuse);
    assert_eq!(tx.interruption().map(|by| by.status), Some(413));
    assert_eq!(tx.phase2(Fuel::ENDLESS), Progress::Interrupt);
}

#[test]
fn audit_records() {
    let rules = "SecAuditEngine RelevantOnly\nSecAuditLogRelevantStatus \"^(?:5|4(?!04))\"\nSecAuditLogParts ABCFHKZ\n\
        SecAction \"id:9,phase:1,nolog,pass,sanitiseArg:password,sanitiseRequestHeader:Authorization\"\n\
        SecRule ARGS:a \"@streq evil\" \"id:1,phase:2,deny,msg:'Bad a',tag:'t'\"";
    let waf = waf(rules);
    let judged = |body: &str| {
        let kind = ("Content-Type", "application/x-www-form-urlencoded");
        let mut tx = begin(&waf, Settings::default(), 0, "/p", &[("Authorization", "Bearer x"), kind]);
        run(&mut tx, body.as_bytes());
        tx
    };
    assert_eq!(judged("a=good").audit("x", crate::AuditFormat::Json), None);
    let mut tx = judged("a=evil&password=hunter2");
    let native = tx.audit("x", crate::AuditFormat::Native).unwrap();
    assert!(native.contains("--x-A--") && native.contains("--x-Z--") && native.contains("[id \"1\"]"), "{native}");
    assert!(native.contains("GET /p HTTP/1.1") && native.contains("password=*******"), "{native}");
    assert!(!native.contains("hunter2") && !native.contains("Bearer"), "{native}");
    let json: serde_json::Value = serde_json::from_str(&tx.audit("x", crate::AuditFormat::Json).unwrap()).unwrap();
    assert_eq!(json["transaction"]["messages"][0]["details"]["ruleId"], "1");
    assert_eq!(json["transaction"]["response"]["http_code"], 403);
    assert!(!json.to_string().contains("hunter2"));
}

/// Forms that the rule files and plugins in the field use.
#[test]
fn forms_in_the_field() {
    let rules = r#"
SecRule REQUEST_HEADERS:Content-Type "text/xml" \
     "id:'1',phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule MULTIPART_STRICT_ERROR "!@eq 0" \
"id:'2',phase:2,t:none,log,deny,status:44,msg:'Multipart request body \
failed strict validation: \
PE %{REQBODY_PROCESSOR_ERROR}, \
IQ %{MULTIPART_INVALID_QUOTING}'"
SecRule TX:/^MSC_/ "!@streq 0" \
        "id:'3',phase:2,t:none,deny,msg:'%{MATCHED_VAR_NAME}'"
SecAuditLogRelevantStatus "^(?:5|4(?!04))"
SecUploadFileMode 0600
SecTmpDir /tmp/
SecArgumentSeparator &
SecRule &TX:slice "@eq 0" "id:4,phase:1,pass,nolog,chain,skipAfter:END"
    SecRule &TX:limit "@eq 0" "chain"
        SecRule &TX:timeout "@eq 0"
SecAction "id:5,phase:1,deny"
SecMarker "END"
SecRule REQUEST_FILENAME "@rx /wp-login\.php$" \
    "id:6,phase:1,pass,t:none,nolog,\
    ctl:ruleRemoveTargetByTag=CRS;ARGS:pwd,\
    ctl:ruleRemoveTargetById=9;ARGS:pass1-text,\
    ctl:ruleRemoveTargetById=9;ARGS:/^meta\[\d+\]$/"
SecRule ARGS "@rx ." "id:9,phase:2,log,pass,tag:'CRS'"
"#;
    check(rules, "/wp-login.php?pwd=x&pass1-text=y&meta[3]=z", &[], None);
    check(rules, "/wp-login.php?pwd=x&other=y", &[9], None);
    check(rules, "/?pwd=x", &[9], None);
}
