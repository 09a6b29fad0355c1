//! The firewall's place on the page, over small rule sets.

mod unread;

use super::{Form, Inspection, MessageKind};
use crate::assumed::Assumed;
use crate::outside::{Aside, BodyFault, Busy, Outside, Work};
use bytes::Bytes;
use ringwall_head::call::{Context, Settings};
use ringwall_manifest::World;
use ringwall_manifest::ringwall::waf_policy::Subject;
use ringwall_manifest::world::firewall::RuleSet;
use ringwall_manifest::world::{Options, lower};
use ringwall_model::{
    Call, CallId, ClientOrigin, Decision, Fields, Peer, Question, Reason, Reply, Scheme, Spent, Take, Timestamp,
    Version,
};
use ringwall_shield::{Blocks, Exceeded, Facts as ShieldFacts};
use ringwall_token::Facts;
use ringwall_waf::Bundle;
use smallvec::SmallVec;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, Waker};

const RULES: &str = r#"
SecRule REQUEST_HEADERS:Content-Type "@beginsWith application/json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule ARGS "@contains bad" "id:100,phase:2,deny,status:403,log,msg:'bad argument'"
SecRule REQUEST_HEADERS:Content-Length "!@rx ^\d+$" "id:101,phase:1,pass,log,msg:'length is no number',severity:CRITICAL"
SecRule RESPONSE_HEADERS:X-Leak "@rx ." "id:102,phase:3,deny,status:502,log,msg:'leak in a field'"
SecRule RESPONSE_BODY "@contains stack trace" "id:103,phase:4,deny,status:403,log,msg:'leak in a body'"
"#;

/// Polled once and again; nothing in these tests waits for the outside.
fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Poller::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
    }
}

fn world(spec: &str) -> World {
    let text = format!(
        "apiVersion: ringwall.dev/v1\nkind: WafPolicy\nmetadata: {{name: all, namespace: istio-system}}\nspec: {spec}\n"
    );
    let input = ringwall_manifest::Input { name: "waf.yaml", bytes: text.as_bytes() };
    let (mut world, _) = lower(&[input], &Options::default());
    let mut bundle = Bundle::default();
    bundle.add("rules.conf", RULES);
    let set = RuleSet::load(bundle, vec!["rules.conf".into()], |_| "rules".into()).unwrap();
    assert!(ringwall_manifest::world::may_be_taken(&world.arm(&set)));
    world
}

fn call(head: &str) -> Call {
    let settings = Settings::default();
    let peer = Peer { address: ([192, 0, 2, 1], 5000).into(), tls: None };
    let context = Context {
        id: CallId(1),
        received: Timestamp(0),
        scheme: Scheme::Http,
        peer,
        origin: ClientOrigin::Peer,
        local: ([127, 0, 0, 1], 80).into(),
        settings: &settings,
    };
    ringwall_head::call(Bytes::copy_from_slice(head.as_bytes()), context)
}

fn post(length: usize) -> Call {
    call(&format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nUpgrade: h2c\r\nContent-Length: {length}\r\n\r\n"
    ))
}

/// A full house: nothing large is taken.
struct Full<'a>(Assumed<'a>);

impl Aside for Full<'_> {
    async fn aside(&self, work: Work) -> Result<Work, Busy> {
        Err(Busy(Some(Box::new(work))))
    }
}

impl Outside for Full<'_> {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
    fn random(&self) -> u128 {
        0
    }
    fn facts(&self) -> Arc<Facts> {
        self.0.facts()
    }
    async fn answer(&self, question: &Question) -> Arc<Facts> {
        self.0.answer(question).await
    }
    fn shield_facts(&self) -> &ShieldFacts {
        self.0.shield_facts()
    }
    fn blocks(&self) -> &Blocks {
        self.0.blocks()
    }
    fn take(&self, takes: &[Take]) -> Result<SmallVec<[Spent; 4]>, Exceeded> {
        self.0.take(takes)
    }
    async fn body(&self, at_most: u64) -> Result<Bytes, BodyFault> {
        self.0.body(at_most).await
    }
}

/// What the request was told: the reason, and the status of a refusal.
fn judged(world: &World, call: &Call, outside: &impl Outside) -> (Option<Inspection>, String, u16) {
    let guard = world.firewall.as_ref().unwrap().guard(&Subject::default());
    let Some(mut inspection) = Inspection::begin(guard, call, outside) else { return (None, "off".into(), 200) };
    let decision = run(inspection.request(call, outside));
    let (reason, status) = told(world, &decision);
    (Some(inspection), reason, status)
}

fn told(world: &World, decision: &Decision) -> (String, u16) {
    let status = match decision {
        Decision::Pass { .. } => 200,
        Decision::Refuse { reply, .. } => reply.status().unwrap_or(0),
    };
    (world.rules.render(decision.because()), status)
}

fn with_body<'a>(body: &str, blocks: &'a Blocks, facts: &'a ShieldFacts) -> Assumed<'a> {
    let mut assumed = Assumed::new(Timestamp(0), None, blocks, facts);
    assumed.body = Bytes::copy_from_slice(body.as_bytes());
    assumed
}

#[test]
fn heads_and_bodies_of_requests() {
    let (blocks, facts) = (Blocks::new(1), ShieldFacts::default());
    let world = world("{ requestBody: { limit: 100 } }");
    let ask = |call: &Call, body: &str| {
        let (_, reason, status) = judged(&world, call, &with_body(body, &blocks, &facts));
        (reason, status)
    };
    let get = |target: &str| call(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(ask(&get("/?q=good"), ""), ("WafPolicy/istio-system/all".into(), 200));
    assert_eq!(ask(&get("/?q=bad"), ""), ("SecRule/100".into(), 403));
    // A field that offers an upgrade does not hide a body.
    assert_eq!(ask(&post(11), "{\"a\":\"bad\"}"), ("SecRule/100".into(), 403));
    assert_eq!(ask(&post(101), &"x".repeat(101)), ("builtin/waf/request-too-long".into(), 413));
    let unknown = call(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Encoding: zstd\r\nContent-Length: 2\r\n\r\n",
    );
    assert_eq!(ask(&unknown, "{}"), ("builtin/waf/unknown-content-coding".into(), 415));
}

#[test]
fn what_layers_before_changed_is_not_what_is_judged() {
    let (blocks, facts) = (Blocks::new(1), ShieldFacts::default());
    let mut call = call("GET /?q=bad HTTP/1.1\r\nHost: a\r\n\r\n");
    (call.target, call.fields) = (Bytes::from_static(b"/rewritten"), Fields::default());
    let (_, reason, _) = judged(&world("{}"), &call, &with_body("", &blocks, &facts));
    assert_eq!(reason, "SecRule/100");
}

#[test]
fn a_damaged_head_names_its_rule() {
    let (blocks, facts) = (Blocks::new(1), ShieldFacts::default());
    let world = world("{}");
    let outside = with_body("", &blocks, &facts);
    let damaged = call("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1x\r\n\r\n");
    assert!(!damaged.faults.is_empty());
    let guard = world.firewall.as_ref().unwrap().guard(&Subject::default());
    let mut inspection = Inspection::begin(guard, &damaged, &outside).unwrap();
    let decision = run(inspection.damaged(&outside)).unwrap();
    assert_eq!(told(&world, &decision), ("SecRule/101".into(), 200));
    let inspected = inspection.finish(CallId(1)).unwrap();
    assert_eq!(inspected.matches.iter().map(|one| one.id).collect::<Vec<_>>(), [101]);
    let whole = call("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
    assert!(!whole.faults.is_empty());
    let mut inspection = Inspection::begin(guard, &whole, &outside).unwrap();
    assert_eq!(run(inspection.damaged(&outside)), None);
}

#[test]
fn without_room_the_call_is_refused() {
    let (blocks, facts) = (Blocks::new(1), ShieldFacts::default());
    let world = world("{}");
    let full = Full(with_body(&format!("{{\"a\":\"{}\"}}", "x".repeat(9000)), &blocks, &facts));
    let (inspection, reason, status) = judged(&world, &post(9008), &full);
    assert_eq!((reason.as_str(), status), ("builtin/waf/no-room", 503));
    assert!(inspection.unwrap().finish(CallId(1)).is_none());
    let small = Full(with_body("{\"a\":\"bad\"}", &blocks, &facts));
    assert_eq!(judged(&world, &post(11), &small).2, 403);
}

fn answered(world: &World, fields: &[(&'static str, &'static str)], body: &str) -> (String, u16) {
    let (blocks, facts) = (Blocks::new(1), ShieldFacts::default());
    let outside = with_body("", &blocks, &facts);
    let call = call("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut inspection = judged(world, &call, &outside).0.unwrap();
    let mut all = Fields::default();
    fields.iter().for_each(|(name, value)| all.push(*name, *value));
    let head = run(inspection.response_head(200, Version::Http11, &all, &outside));
    if let Decision::Refuse { .. } = head {
        return told(world, &head);
    }
    let Some(wanted) = inspection.wants_response() else { return ("not wanted".into(), 200) };
    let most = usize::try_from(wanted).unwrap().min(body.len());
    told(world, &run(inspection.response_body(&body.as_bytes()[..most], &outside)))
}

#[test]
fn heads_and_bodies_of_responses() {
    let looks = world("{ responseBody: { inspect: true, limit: 64, types: [text/html] } }");
    let html = [("Content-Type", "text/html; charset=utf-8")];
    assert_eq!(answered(&looks, &[("X-Leak", "1")], ""), ("SecRule/102".into(), 502));
    assert_eq!(answered(&looks, &html, "a stack trace"), ("SecRule/103".into(), 403));
    assert_eq!(answered(&looks, &html, "fine"), ("WafPolicy/istio-system/all".into(), 200));
    assert_eq!(answered(&looks, &html, &"x".repeat(70)), ("builtin/waf/response-too-long".into(), 500));
    assert_eq!(answered(&looks, &[("Content-Type", "text/event-stream")], "a stack trace").0, "not wanted");
    let part = world("{ responseBody: { inspect: true, limit: 64, beyond: pass, types: [text/html] } }");
    assert_eq!(answered(&part, &html, &"x".repeat(70)).1, 200);
    let blind = world("{ responseBody: { inspect: false } }");
    assert_eq!(answered(&blind, &html, "a stack trace").0, "not wanted");
    let detects = world("{ mode: detect, responseBody: { inspect: true } }");
    assert_eq!(answered(&detects, &html, "a stack trace").1, 200);
}

#[test]
fn messages_of_answers_are_judged_by_the_rules_over_bodies() {
    let (blocks, facts) = (Blocks::new(1), ShieldFacts::default());
    let outside = with_body("{}", &blocks, &facts);
    for (spec, looks) in
        [("{ responseBody: { inspect: true } }", true), ("{ responseBody: { inspect: false } }", false)]
    {
        let world = world(spec);
        let call = post(2);
        let inspection = judged(&world, &call, &outside).0.unwrap();
        for kind in [MessageKind::Event, MessageKind::GrpcAnswer, MessageKind::WebSocketAnswer] {
            assert_eq!(inspection.guard_of_messages(kind).is_some(), looks, "{spec} {kind:?}");
            let verdict = |message: &[u8]| {
                let mut one = Inspection::of_message(&inspection.guard, &call, Timestamp(0));
                run(one.message(kind, (message, Form::Text), &call, &outside))
            };
            assert!(matches!(verdict(b"\0\0\0\0\x04\x0a\x02hi"), Decision::Pass { .. }), "{kind:?}");
            if looks {
                let refused = verdict(b"\0\0\0\0\x0d\x0a\x0bstack trace");
                assert_eq!(told(&world, &refused).1, 403, "{kind:?}");
            }
        }
    }
    // What is longer than the policy's limit is refused, or judged as far as it goes, as the policy says.
    for (beyond, status) in [("refuse", 500), ("pass", 200)] {
        let world = world(&format!("{{ responseBody: {{ inspect: true, limit: 64, beyond: {beyond} }} }}"));
        let call = post(2);
        let inspection = judged(&world, &call, &outside).0.unwrap();
        let mut one = Inspection::of_message(&inspection.guard, &call, Timestamp(0));
        let said = run(one.message(MessageKind::GrpcAnswer, (&[b'x'; 100], Form::Text), &call, &outside));
        assert_eq!(told(&world, &said).1, status, "{beyond}");
    }
}

#[test]
fn a_refusal_may_be_a_redirect_or_silence() {
    let (blocks, facts) = (Blocks::new(1), ShieldFacts::default());
    let own = "{ secLang: { before: \"SecRule ARGS:a \\\"@streq go\\\" \\\"id:7,phase:1,redirect:'https://b/',log\\\"\\nSecRule ARGS:a \\\"@streq drop\\\" \\\"id:8,phase:1,drop,log\\\"\" } }";
    let world = world(own);
    let outside = with_body("", &blocks, &facts);
    let guard = world.firewall.as_ref().unwrap().guard(&Subject::default());
    let reply = |value: &str| {
        let call = call(&format!("GET /?a={value} HTTP/1.1\r\nHost: a\r\n\r\n"));
        match run(Inspection::begin(guard, &call, &outside).unwrap().request(&call, &outside)) {
            Decision::Refuse { reply, because: Reason::Rule(_) } => reply,
            other => panic!("{other:?}"),
        }
    };
    let Reply::Http { status: 302, fields, .. } = reply("go") else { panic!("no redirect") };
    assert_eq!(fields, [("location", Bytes::from_static(b"https://b/"))]);
    assert_eq!(reply("drop"), Reply::Drop);
}

const API: &str = r#"{ mode: MODE, requestBody: { limit: 100 }, openapi: {
    openapi: 3.1.0,
    paths: { /orders: {
        get: { operationId: list, parameters: [{ name: limit, in: query, schema: { type: integer, maximum: 100 } }] },
        post: { operationId: create, requestBody: { required: true, content: { application/json: { schema: {
            type: object, required: [price], additionalProperties: false, properties: { price: { type: number } } } } } } } } } } }"#;

#[test]
fn what_an_api_does_not_declare_is_refused() {
    let (blocks, facts) = (Blocks::new(1), ShieldFacts::default());
    let strict = world(&API.replace("MODE", "block"));
    let ask = |line: &str, fields: &str, body: &str| {
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let call = call(&format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}{length}\r\n"));
        let (_, reason, status) = judged(&strict, &call, &with_body(body, &blocks, &facts));
        (reason.replace("WafPolicy/istio-system/all", ""), status)
    };
    let json = "Content-Type: application/json\r\n";
    let at = |path: &str, status| (format!("#/spec/openapi/paths{path}"), status);
    assert_eq!(ask("GET /orders?limit=7", "", ""), (String::new(), 200));
    assert_eq!(ask("GET /orders?limit=101", "", ""), at("/~1orders/get", 400));
    assert_eq!(ask("GET /orders?admin=1", "", ""), at("/~1orders/get", 400));
    assert_eq!(ask("GET /admin", "", ""), at("", 404));
    assert_eq!(ask("GET /orders/..%2fadmin", "", ""), at("", 404));
    assert_eq!(ask("DELETE /orders", "", ""), at("", 405));
    assert_eq!(ask("POST /orders", json, "{\"price\":1.5}"), (String::new(), 200));
    assert_eq!(ask("POST /orders", json, "{\"price\":\"1\"}"), at("/~1orders/post", 400));
    assert_eq!(ask("POST /orders", json, "{\"price\":1,\"admin\":true}"), at("/~1orders/post", 400));
    assert_eq!(ask("POST /orders", "Content-Type: text/plain\r\n", "x"), at("/~1orders/post", 415));
    let coded = format!("{json}Content-Encoding: gzip\r\n");
    assert_eq!(ask("POST /orders", &coded, "x").1, 400, "what is no gzip is refused by the rules' own reading");
    assert_eq!(ask("POST /orders?q=bad", json, "{\"price\":1}"), at("/~1orders/post", 400));
}

#[test]
fn a_detecting_policy_writes_down_what_is_not_declared() {
    let (blocks, facts) = (Blocks::new(1), ShieldFacts::default());
    let world = world(&API.replace("MODE", "detect"));
    let call = call("GET /admin HTTP/1.1\r\nHost: a\r\n\r\n");
    let (inspection, _, status) = judged(&world, &call, &with_body("", &blocks, &facts));
    assert_eq!(status, 200);
    let inspected = inspection.unwrap().finish(CallId(1)).unwrap();
    let told: Vec<_> = inspected.matches.iter().map(|one| (one.message.as_str(), one.refused)).collect();
    assert_eq!(told, [("openapi: no operation: path: the document declares no such path", false)]);
}

#[test]
fn signs_of_programs_refuse_where_a_policy_says_so() {
    let (blocks, facts) = (Blocks::new(1), ShieldFacts::default());
    let world = world(
        "{ bots: { crawlers: [{ name: E, userAgent: examplebot, networks: [192.0.2.0/24] }, { name: F, userAgent: otherbot, networks: [198.51.100.0/24] }], refuseAt: 60 } }",
    );
    let ask = |agent: &str| {
        let call = call(&format!("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: {agent}\r\n\r\n"));
        judged(&world, &call, &with_body("", &blocks, &facts)).1
    };
    assert_eq!(ask("ExampleBot/1"), "WafPolicy/istio-system/all");
    assert_eq!(ask("OtherBot/1"), "SecRule/9990500");
    assert_eq!(ask("curl/8"), "WafPolicy/istio-system/all");
}

#[test]
fn an_address_that_sends_too_often_shows_it() {
    let (blocks, facts) = (Blocks::new(1), ShieldFacts::default());
    let world = world(
        "{ secLang: { before: 'SecRule TX:ringwall_bot_signs \"@contains rate-high\" \"id:30,phase:1,deny,status:429,log,msg:x\"' } }",
    );
    let call = call("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let ask = |now: u64| judged(&world, &call, &Assumed::new(Timestamp(now), None, &blocks, &facts)).2;
    let statuses: Vec<u16> = (0..301).map(|n| ask(n * 100)).collect();
    assert_eq!((statuses[299], statuses[300]), (200, 429));
    assert_eq!(ask(60_000), 200, "a minute later it is counted anew");
}

#[test]
fn collections_outlive_calls() {
    let (blocks, facts) = (Blocks::new(1), ShieldFacts::default());
    let before = r#"{ secLang: { before: "SecAction \"id:20,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.n=+1,expirevar:ip.n=60\"\nSecRule IP:n \"@gt 2\" \"id:21,phase:1,deny,status:429,log,msg:'too many'\"" } }"#;
    let world = world(before);
    let call = call("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let ask = |now: u64| {
        let outside = Assumed::new(Timestamp(now), None, &blocks, &facts);
        judged(&world, &call, &outside).2
    };
    assert_eq!([ask(0), ask(1000), ask(2000), ask(3000)], [200, 200, 429, 429]);
    assert_eq!(ask(120_000), 200);
}
