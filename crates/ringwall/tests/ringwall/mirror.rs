//! Copies for mirrors in a running wall: they come, nobody waits for them, and one that a policy refuses is told.

use super::collector::metric;
use super::standing::copy;
use super::{Wall, status};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

/// Takes heads, and answers the first so many of them.
fn shadow(answers: usize) -> (SocketAddr, Receiver<String>) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let (told, heads) = channel();
    std::thread::spawn(move || {
        let mut open: Vec<TcpStream> = Vec::new();
        for stream in socket.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            let head = lines.collect::<Vec<_>>().join("\n");
            if told.send(head).is_err() {
                return;
            }
            if open.len() < answers {
                drop(stream.write_all(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
            }
            open.push(stream);
        }
    });
    (address, heads)
}

/// The platform, whose ingress copies what it sends the gateway, and whose gateway copies what it sends the backend.
fn mirrored(to: SocketAddr, folder: &Path) {
    copy(folder);
    let edge = folder.join("20-edge.yaml");
    let text = std::fs::read_to_string(&edge).unwrap();
    let to_mirror = format!("mirror: {{host: shadow.example.com, port: {{number: {}}}}}", to.port());
    let with = text.replacen("    route:\n", &format!("    {to_mirror}\n    route:\n"), 1);
    assert_ne!(text, with);
    std::fs::write(edge, with).unwrap();
    let port = to.port();
    let more = format!(
        r#"
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: shadow, namespace: application}}
spec:
  hosts: [shadow.example.com]
  ports: [{{number: {port}, name: http, protocol: HTTP}}]
  location: MESH_EXTERNAL
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: bff, namespace: application}}
spec:
  hosts: [bff-service]
  http:
  - route: [{{destination: {{host: bff-service}}}}]
    mirrors:
    - destination: {{host: shadow.example.com, port: {{number: {port}}}}}
    - destination: {{host: llm-agent-service}}
    - destination: {{host: workflow-orchestrator-service}}
      percentage: {{value: 0}}
"#
    );
    std::fs::write(folder.join("91-mirrors.yaml"), more).unwrap();
}

#[test]
fn mirrors_get_copies_that_no_answer_waits_for() {
    // The first copy is answered with an error, the others never.
    let (address, heads) = shadow(1);
    let folder = tempfile::tempdir().unwrap();
    mirrored(address, folder.path());
    let wall = Wall::of(folder.path().to_str().unwrap());
    let token = wall.told(&["token"])["token"].as_str().unwrap().to_owned();
    let answer = wall.call("/api/v1/orders?n=1", &format!("Authorization: Bearer {token}\r\n"));
    assert_eq!(status(&answer), "200");
    let mut copies = [heads.recv().unwrap(), heads.recv().unwrap()];
    copies.sort_by_key(|head| head.contains("x-consumer") || !head.contains("host: api.platform.local"));
    let [of_ingress, of_gateway] = copies;
    for (head, host) in [
        (&of_ingress, "host: api.platform.local-shadow"),
        (&of_gateway, "host: bff-service.application.svc.cluster.local-shadow:8080"),
    ] {
        assert!(head.starts_with("GET /api/v1/orders?n=1 HTTP/1.1\n"), "{head}");
        assert!(head.lines().any(|line| line == host), "{head}");
    }
    assert_eq!(status(&wall.call("/api/v1/orders", &format!("Authorization: Bearer {token}\r\n"))), "200");

    // The gateway may not reach the agent: that copy is not sent, and the policy that says so is named.
    let refused = "ringwall_not_mirrored_requests_total{cluster_name=\"outbound|8080||llm-agent-service.application.svc.cluster.local\"}";
    while metric(&wall, refused) < 2.0 {}
    while !std::fs::read_to_string(wall.folder().join("flow.log")).unwrap().contains("mirror_cluster") {}
    let flow = std::fs::read_to_string(wall.folder().join("flow.log")).unwrap();
    let line = flow.lines().find(|line| line.contains("mirror_cluster")).unwrap();
    assert!(
        line.contains("llm-agent-service") && line.contains("\"refused_by\":\"packet: NetworkPolicy/application/"),
        "{line}"
    );
    let none = "ringwall_mirrored_requests_total{cluster_name=\"outbound|8080||workflow-orchestrator-service.application.svc.cluster.local\"}";
    assert_eq!(metric(&wall, none), 0.0);

    // A call that is refused is not copied: the next head is that of the call after it.
    assert_eq!(status(&wall.call("/api/v1/refused", "")), "401");
    assert_eq!(status(&wall.call("/api/v1/last", &format!("Authorization: Bearer {token}\r\n"))), "200");
    let rest: Vec<String> = (0..4).map(|_| heads.recv().unwrap()).collect();
    assert!(rest.iter().all(|head| !head.contains("/refused")), "{rest:?}");
}
