//! Spans of a running wall, as the collector that its manifests name gets them.

use super::{Wall, root, status};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Takes batches, after it has refused the first with 503.
fn collector() -> (SocketAddr, Receiver<(u16, Value)>) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let (told, batches) = channel();
    std::thread::spawn(move || {
        for (number, stream) in socket.incoming().enumerate() {
            let status = if number == 0 { 503 } else { 202 };
            let batch = take(stream.unwrap(), status);
            if told.send((status, batch)).is_err() {
                return;
            }
        }
    });
    (address, batches)
}

fn take(stream: TcpStream, status: u16) -> Value {
    let mut from = BufReader::new(&stream);
    let (mut line, mut length) = (String::new(), 0);
    from.read_line(&mut line).unwrap();
    assert!(line.starts_with("POST /api/v2/spans HTTP/1.1"), "{line}");
    while line.trim() != "" {
        line.clear();
        from.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).unwrap();
    (&stream).write_all(format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n").as_bytes()).unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// The platform, with all of its calls traced to that collector.
fn traced(to: SocketAddr, folder: &Path) {
    for entry in std::fs::read_dir(root().join("examples/ai-platform")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let with = format!("sampling: 100.0\n        zipkin: {{ address: '{to}' }}");
        std::fs::write(folder.join(path.file_name().unwrap()), text.replace("sampling: 10.0", &with)).unwrap();
    }
}

/// A metric of a running wall, by its name with its labels.
pub(super) fn metric(wall: &Wall, name: &str) -> f64 {
    let address = wall.said.split("http://").map(|rest| rest.split(' ').next().unwrap()).last().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or(" 0");
    value.trim().parse().unwrap()
}

#[test]
fn spans_reach_the_collector_as_one_trace() {
    let (address, batches) = collector();
    let folder = tempfile::tempdir().unwrap();
    traced(address, folder.path());
    let wall = Wall::of(folder.path().to_str().unwrap());
    let token = wall.told(&["token"])["token"].as_str().unwrap().to_owned();
    let fields = format!("Authorization: Bearer {token}\r\ntraceparent: 00-{TRACE}-b7ad6b7169203331-01\r\n");
    assert_eq!(status(&wall.call("/api/v1/orders", &fields)), "200");
    // The first batch is refused with 503 and comes again, with what was told since.
    let (refused, first) = batches.recv().unwrap();
    assert_eq!(refused, 503);
    let mut spans: Vec<Value> = Vec::new();
    let whole = |spans: &[Value]| {
        let ours: Vec<&Value> = spans.iter().filter(|span| span["traceId"] == TRACE).collect();
        let edge = ours.iter().find(|span| span["parentId"] == "b7ad6b7169203331")?;
        // What the edge sent on is a part of its span.
        let below = ours.iter().find(|span| span["parentId"] == edge["id"])?;
        Some((edge["localEndpoint"]["serviceName"].to_string(), below["localEndpoint"]["serviceName"].to_string()))
    };
    let (edge, below) = loop {
        if let Some(found) = whole(&spans) {
            break found;
        }
        let (status, batch) = batches.recv().unwrap();
        assert_eq!(status, 202);
        spans.extend(batch.as_array().unwrap().iter().cloned());
    };
    assert!(edge.contains("istio-ingressgateway") && below.contains("bff-service"), "{edge} {below}");
    assert!(first.as_array().unwrap().iter().all(|span| spans.contains(span)), "what was refused for now is lost");
    assert!(!spans.iter().any(|span| span.to_string().contains(&token)));
    let said = std::fs::read_to_string(&wall.err).unwrap();
    assert_eq!(said.matches("spans are not sent, calls go on").count(), 1, "{said}");
    // Counted once the answer was read.
    while metric(&wall, "ringwall_spans_total{outcome=\"sent\"}") < 2.0 {}
}

#[test]
fn a_collector_that_is_not_there_costs_no_call() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    traced(nobody, folder.path());
    let mut wall = Wall::of(folder.path().to_str().unwrap());
    let token = wall.told(&["token"])["token"].as_str().unwrap().to_owned();
    while !std::fs::read_to_string(&wall.err).unwrap().contains("spans are not sent, calls go on") {
        assert_eq!(status(&wall.call("/api/v1/orders", &format!("Authorization: Bearer {token}\r\n"))), "200");
    }
    assert_eq!(metric(&wall, "ringwall_spans_total{outcome=\"sent\"}"), 0.0);
    wall.end();
}

/// The backend's namespace makes no spans and writes no access log; its ingress does.
const QUIET: &str = "
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: quiet, namespace: application}
spec:
  tracing: [{disableSpanReporting: true}]
  accessLogging: [{disabled: true}]
";

#[test]
fn telemetry_says_whose_calls_are_told() {
    let (address, batches) = collector();
    let folder = tempfile::tempdir().unwrap();
    traced(address, folder.path());
    std::fs::write(folder.path().join("90-quiet.yaml"), QUIET).unwrap();
    let wall = Wall::of(folder.path().to_str().unwrap());
    let token = wall.told(&["token"])["token"].as_str().unwrap().to_owned();
    assert_eq!(status(&wall.call("/api/v1/orders", &format!("Authorization: Bearer {token}\r\n"))), "200");
    // The backend's span would have ended before that of the ingress.
    let mut services = Vec::new();
    while !services.iter().any(|name: &String| name.contains("istio-ingressgateway")) {
        let (_, batch) = batches.recv().unwrap();
        let names = batch.as_array().unwrap().iter().map(|span| span["localEndpoint"]["serviceName"].to_string());
        services.extend(names);
    }
    assert!(!services.iter().any(|name| name.contains("bff-service")), "{services:?}");
    let log = wall.folder().join("access.log");
    while !std::fs::read_to_string(&log).unwrap_or_default().contains("outbound|8080||bff-service") {}
    let lines = std::fs::read_to_string(&log).unwrap();
    assert!(!lines.contains("inbound|8080||"), "{lines}");
}
