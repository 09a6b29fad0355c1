//! Reloads under load: twenty Worlds one after the other while calls, a stream and a WebSocket go on, and none is lost.

use super::client::Wire;
use super::stage::{HOST, Stage, request};
use super::{limited, manifests, replaced, start};
use ringwall_control::settings::Settings;
use ringwall_control::source::Input;
use ringwall_dataplane::page::ProxyHeader;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What went wrong, in order.
type Failures = Rc<RefCell<Vec<String>>>;

const RELOADS: usize = 20;
const CALLS: usize = 5000;
const CLIENTS: usize = 8;
/// 15 ms apart, so that the stream lives through most of the reloads.
const EVENTS: usize = 400;

fn settings() -> Settings {
    Settings::read(None, std::iter::empty(), &[]).unwrap()
}

fn stage(inputs: &[Input]) -> Stage {
    let rules = crate::platform::rules::load("none").unwrap();
    Stage { platform: start(inputs, &settings(), &rules, ProxyHeader::Absent, None).unwrap(), real: Vec::new() }
}

/// The platform without limits that a thousand calls a second would meet.
fn unlimited() -> Vec<Input> {
    let more = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let mut changes: Vec<_> = [10_000, 2000, 1000, 5000]
        .iter()
        .map(|limit| more(&format!("requests: {limit}\n"), "requests: 9000000\n"))
        .collect();
    changes.push(more("minute: 1000\n", "minute: 9000000\n"));
    replaced(&manifests::ai_platform(), &changes)
}

/// One more file: a route and a policy that change with every World, and a listener that every other World has.
fn change(round: usize) -> Input {
    let mut text = format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: validation\n  namespace: application\nspec:\n  hosts:\n  - validation-service.application.svc.cluster.local\n  http:\n  - name: round-{round}\n    timeout: {}s\n    route:\n    - destination:\n        host: validation-service.application.svc.cluster.local\n        port:\n          number: 8080\n---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: reload\n  namespace: application\nspec:\n  selector:\n    matchLabels:\n      app: bff-service\n  action: DENY\n  rules:\n  - to:\n    - operation:\n        paths: [\"/api/v1/round-{round}\"]\n",
        round + 1
    );
    if round.is_multiple_of(2) {
        text.push_str("---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata:\n  name: extra\n  namespace: istio-system\nspec:\n  selector:\n    istio: ingressgateway\n  servers:\n  - port:\n      number: 9080\n      name: http-extra\n      protocol: HTTP\n    hosts: [\"api.platform.local\"]\n    tls:\n      httpsRedirect: true\n");
    }
    Input { name: "reload.yaml".into(), bytes: text.into_bytes() }
}

#[test]
fn twenty_reloads_lose_no_call_no_stream_and_no_socket() {
    let inputs = unlimited();
    let stage = Rc::new(stage(&inputs));
    let done = Arc::new(AtomicUsize::new(0));
    let listeners = Rc::new(Cell::new((usize::MAX, 0)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let (calls, failures) = local.block_on(&runtime, async {
        let calls = Rc::new(Cell::new(0_usize));
        let failures = Failures::default();
        let going = {
            let (calls, done) = (calls.clone(), done.clone());
            move || calls.get() < CALLS || done.load(Ordering::Acquire) < RELOADS
        };
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..CLIENTS {
            let (stage, calls, failures, going) = (stage.clone(), calls.clone(), failures.clone(), going.clone());
            tasks.spawn_local(keep_calling(stage, calls, failures, going));
        }
        tasks.spawn_local(follow_stream(stage.clone(), failures.clone()));
        tasks.spawn_local(keep_echoing(stage.clone(), failures.clone(), going.clone()));
        let platform = stage.platform.clone();
        let counted = done.clone();
        let reloads = std::thread::spawn(move || {
            let mut seen = (usize::MAX, 0);
            for round in 0..RELOADS {
                let mut inputs = inputs.clone();
                inputs.push(change(round));
                platform.take(inputs, "test", None).unwrap();
                platform.rotate_certificates().unwrap();
                let bound = platform.world().bound.len();
                seen = (seen.0.min(bound), seen.1.max(bound));
                counted.fetch_add(1, Ordering::Release);
            }
            seen
        });
        while tasks.join_next().await.transpose().unwrap().is_some() {}
        listeners.set(reloads.join().unwrap());
        (calls.get(), failures.take())
    });
    let (fewest, most) = listeners.get();
    println!("{calls} calls during {RELOADS} reloads, {} failed; {fewest} to {most} listeners", failures.len());
    assert_eq!(failures, Vec::<String>::new());
    assert!(calls >= CALLS);
    assert_eq!(most, fewest + 1, "every other World has one listener more");
}

/// Calls one after the other; every failure is kept.
async fn keep_calling(stage: Rc<Stage>, calls: Rc<Cell<usize>>, failures: Failures, going: impl Fn() -> bool) {
    let bytes = stage.good("GET", "/api/v1/orders", &[], b"");
    let mut wire = Wire::open(&stage.edge()).await.unwrap();
    while going() {
        let answer = wire.exchange(&bytes).await;
        calls.set(calls.get() + 1);
        if answer.status != 200 || answer.failure.is_some() {
            failures.borrow_mut().push(format!("call: {} {:?}", answer.status, answer.failure));
            wire = Wire::open(&stage.edge()).await.unwrap();
        }
        if answer.field("connection") == Some("close") {
            wire = Wire::open(&stage.edge()).await.unwrap();
        }
    }
}

/// One stream of events to its end.
async fn follow_stream(stage: Rc<Stage>, failures: Failures) {
    let bytes = stage.good("GET", &format!("/api/v1/stream?events={EVENTS}"), &[], b"");
    let mut wire = Wire::open(&stage.edge()).await.unwrap();
    wire.send(&bytes).await.unwrap();
    let mut text = String::new();
    while !text.contains("[DONE]") {
        match wire.read_some().await {
            Ok(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
            Err(error) => {
                failures.borrow_mut().push(format!("stream: {error}"));
                break;
            }
        }
    }
    if text.matches("\"token\"").count() != EVENTS {
        failures.borrow_mut().push(format!("stream: {} events", text.matches("\"token\"").count()));
    }
}

/// A WebSocket that is echoed.
async fn keep_echoing(stage: Rc<Stage>, failures: Failures, going: impl Fn() -> bool) {
    let key = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let mut wire = Wire::open(&stage.edge()).await.unwrap();
    let opened = wire.exchange(&stage.good("GET", "/api/v1/socket", &key, b"")).await;
    assert_eq!(opened.status, 101);
    while going() {
        let echoed = match wire.send(b"\x81\x02hi").await {
            Ok(()) => wire.read_some().await,
            Err(error) => Err(error),
        };
        if echoed.as_deref() != Ok(b"\x81\x02hi") {
            failures.borrow_mut().push(format!("socket: {echoed:?}"));
            break;
        }
    }
}

#[test]
fn a_reload_keeps_the_counts_of_limits() {
    const LIMIT: u32 = 6;
    let inputs = limited(&manifests::ai_platform(), "user", LIMIT);
    let stage = stage(&inputs);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bearer = format!("Bearer {}", stage.token());
    let bytes = request("GET", "/api/v1/orders", HOST, &[("Authorization", &bearer)], b"");
    let mut statuses = Vec::new();
    for call in 0..=LIMIT as usize {
        if call.is_multiple_of(2) {
            let mut inputs = inputs.clone();
            inputs.push(change(call));
            stage.platform.take(inputs, "test", None).unwrap();
        }
        statuses.push(runtime.block_on(super::client::once(&stage.edge(), &bytes)).status);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 429]);
}
