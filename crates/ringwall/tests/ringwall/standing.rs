//! What goes on in a running wall ends when it is no longer allowed: by time, by a new World, by a block; and WebSockets
//! of HTTP/2 clients, which are no different.

use super::{HOST, Wall, root, status};
use http::{Method, Request};
use http_body_util::Empty;
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const HI: &[u8] = b"\x81\x02hi";

fn echoes(stream: &mut (impl Read + Write)) -> bool {
    let mut echoed = [0; 4];
    stream.write_all(HI).is_ok() && stream.read_exact(&mut echoed).is_ok() && echoed == *HI
}

fn ended(stream: &mut impl Read) -> bool {
    stream.read(&mut [0; 16]).map_or_else(|error| error.kind() != std::io::ErrorKind::WouldBlock, |read| read == 0)
}

#[test]
fn the_end_of_its_token_ends_a_stream() {
    let wall = Wall::start();
    // Clocks may differ by a minute: a token is good for so long after its end.
    let (mut short, mut long) = (wall.socket(&["--for", "-45s"]), wall.socket(&[]));
    short.sock.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert!(echoes(&mut short) && echoes(&mut long));
    assert!(ended(&mut short), "the stream goes on after its token");
    assert!(echoes(&mut long));
}

#[test]
fn a_new_world_ends_a_stream_that_it_does_not_allow() {
    let folder = tempfile::tempdir().unwrap();
    copy(folder.path());
    let wall = Wall::of(folder.path().to_str().unwrap());
    let (mut alice, mut bob) = (wall.socket(&["--sub", "alice"]), wall.socket(&["--sub", "bob"]));
    assert!(echoes(&mut alice) && echoes(&mut bob));
    let policy = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: not-alice, namespace: application}\n\
        spec:\n  selector: {matchLabels: {app: bff-service}}\n  action: DENY\n  rules:\n  - when: [{key: 'request.auth.claims[sub]', values: [alice]}]\n";
    std::fs::write(folder.path().join("90-not-alice.yaml"), policy).unwrap();
    assert!(ended(&mut alice), "the stream goes on in a World that denies it");
    assert!(echoes(&mut bob), "another's stream ended with it");
    assert!(wall.told(&["status"])["generation"].as_u64().unwrap() >= 2);
}

#[test]
fn a_blocked_identity_is_refused_in_the_handshakes_of_the_mesh() {
    let wall = Wall::start();
    let token = wall.told(&["token"])["token"].as_str().unwrap().to_owned();
    let call = || wall.call("/api/v1/orders", &format!("Authorization: Bearer {token}\r\n"));
    assert_eq!(status(&call()), "200");
    let identity = "spiffe://cluster.local/ns/infrastructure/sa/kong-gateway";
    wall.told(&["block", identity, "--for", "1h", "--reason", "test"]);
    let refused = call();
    assert_eq!(status(&refused), "503", "{refused}");
    let flow = || std::fs::read_to_string(wall.folder().join("flow.log")).unwrap();
    let by = "\"refused_by\":\"tls: builtin/tls/handshake\",\"failure\":\"invalid peer certificate: Revoked\"";
    let told = || flow().lines().any(|line| line.contains("application/bff-service") && line.contains(by));
    // Lines are written behind the answer.
    let until = Instant::now() + Duration::from_secs(10);
    while !told() {
        assert!(Instant::now() < until, "{}", flow());
        std::thread::yield_now();
    }
    wall.told(&["unblock", identity]);
    assert_eq!(status(&call()), "200");
}

/// The example platform, to be changed.
pub(super) fn copy(folder: &Path) {
    for entry in std::fs::read_dir(root().join("examples/ai-platform")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
}

/// Opens a WebSocket in HTTP/2; its status, and the stream if it is open.
async fn open(wall: &Wall, token: &str) -> (u16, Option<TokioIo<hyper::upgrade::Upgraded>>) {
    let mut config = wall.client();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let socket = tokio::net::TcpStream::connect(wall.edge()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect(ServerName::try_from(HOST).unwrap(), socket).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    // Its answer says that the server's settings are here.
    let first = Request::get(format!("https://{HOST}/api/v1/orders")).body(Empty::<bytes::Bytes>::new()).unwrap();
    assert_eq!(sender.send_request(first).await.unwrap().status(), 401);
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = format!("https://{HOST}/api/v1/socket").parse().unwrap();
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    request.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
    if !token.is_empty() {
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let answer = sender.send_request(request).await.unwrap();
    let status = answer.status().as_u16();
    let stream = if status == 200 { Some(TokioIo::new(hyper::upgrade::on(answer).await.unwrap())) } else { None };
    (status, stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_websocket_of_http_2_meets_the_same_layers() {
    let wall = Wall::start();
    assert_eq!(open(&wall, "").await.0, 401, "no token");
    let token = wall.told(&["token"])["token"].as_str().unwrap().to_owned();
    // As text, and in a binary message behind bytes that are no text.
    for (first, attack) in [(0x81, &b"1' OR '1'='1"[..]), (0x82, b"\xff\xfe1' OR '1'='1")] {
        let (status, stream) = open(&wall, &token).await;
        assert_eq!(status, 200);
        let mut stream = stream.unwrap();
        let hi = [first, 0x02, b'h', b'i'];
        stream.write_all(&hi).await.unwrap();
        let mut echoed = [0; 4];
        stream.read_exact(&mut echoed).await.unwrap();
        assert_eq!(echoed, hi);
        // A message is an attack here as anywhere: `Policy Violation`.
        stream.write_all(&[&[first, attack.len() as u8][..], attack].concat()).await.unwrap();
        let mut closed = [0; 4];
        stream.read_exact(&mut closed).await.unwrap();
        assert_eq!(closed, [0x88, 0x02, 0x03, 0xf0]);
    }

    let (_, stream) = open(&wall, &token).await;
    let mut stream = stream.unwrap();
    wall.told(&["block", "user:alice", "--for", "1h", "--reason", "test"]);
    assert_eq!(stream.read(&mut [0; 4]).await.unwrap_or(0), 0, "the stream goes on");
}
