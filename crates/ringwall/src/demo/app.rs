//! The platform's own small applications: six services that answer JSON, one of them streaming tokens as a language
//! model would, and an identity provider. Also the echo stand-in for a workload that has no application yet.
//!
//! In: HTTP/1.1 or HTTP/2 on a socket of its own, as the inbound listener forwards it. Out: answers that say what arrived.
//! Never: any check of its own; what protects these services stands before them.

use super::provider::Provider;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// One application: what it is called, and how it reaches its peers.
pub struct App {
    /// `namespace/name` of its workload.
    pub workload: String,
    /// The `app` label.
    pub name: String,
    /// How it reaches its peers; `None` when it calls nobody.
    pub peers: Option<Arc<dyn Peers>>,
    /// The identity provider's keys, when this is the identity provider.
    pub provider: Option<Arc<Provider>>,
    /// Whether it echoes bytes instead of speaking HTTP.
    pub raw: bool,
}

/// A connection that is being opened.
pub type Reached<'a> = Pin<Box<dyn Future<Output = std::io::Result<TcpStream>> + 'a>>;

/// How an application reaches its peers.
pub trait Peers: Send + Sync {
    /// Opens a connection on which that host and port can be called in clear.
    fn reach<'a>(&'a self, host: &'a str, port: u16) -> Reached<'a>;
}

/// Through the workload's outbound listener, which reads the host of each call.
pub struct ThroughListener(pub SocketAddr);

impl Peers for ThroughListener {
    fn reach<'a>(&'a self, _: &'a str, _: u16) -> Reached<'a> {
        Box::pin(TcpStream::connect(self.0))
    }
}

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

/// Serves an application on a bound socket until the task is dropped.
pub async fn serve(app: Arc<App>, listener: tokio::net::TcpListener) {
    // Connections live and die with the application.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let app = app.clone();
        connections.spawn_local(async move {
            if app.raw {
                let (mut read, mut write) = stream.split();
                drop(tokio::io::copy(&mut read, &mut write).await);
                return;
            }
            let answer = move |request| {
                let app = app.clone();
                async move { Ok::<_, Infallible>(answer(&app, request).await) }
            };
            let service = hyper::service::service_fn(answer);
            // A socket speaks one of the two: HTTP/2 when the client opens with its preface.
            let mut first = [0_u8; 4];
            let read = stream.peek(&mut first).await.unwrap_or(0);
            if first.get(..read) == Some(b"PRI ") {
                let h2 = hyper::server::conn::http2::Builder::new(LocalExecutor);
                drop(h2.serve_connection(TokioIo::new(stream), service).await);
            } else {
                let mut h1 = hyper::server::conn::http1::Builder::new();
                drop(
                    h1.preserve_header_case(true).serve_connection(TokioIo::new(stream), service).with_upgrades().await,
                );
            }
        });
    }
}

/// Runs HTTP/2 streams on the thread that owns the connection.
#[derive(Clone, Copy)]
struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor
where
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

async fn answer(app: &Arc<App>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    if let Some(provider) = &app.provider
        && let Some(json) = provider.answer(&path)
    {
        return json_answer(StatusCode::OK, json);
    }
    if request.headers().contains_key(hyper::header::UPGRADE) {
        return upgrade(request);
    }
    match path.as_str() {
        "/health" | "/health/live" | "/health/ready" => {
            json_answer(StatusCode::OK, serde_json::json!({"status": "up"}))
        }
        "/api/v1/chat" if app.name == "bff-service" => {
            relay(app, request, "llm-agent-service", "/api/v1/completions/chat").await
        }
        "/api/v1/agents/summary" if app.name == "bff-service" => {
            relay(app, request, "llm-agent-service", "/api/v1/agents/summary").await
        }
        "/api/v1/upload" if app.name == "bff-service" => {
            relay(app, request, "file-storage-service", "/api/v1/files/upload").await
        }
        "/api/v1/stream" => tokens(asked_events(request.uri().query())),
        _ if path.starts_with("/api/v1/completions/") && app.name == "llm-agent-service" => tokens(WORDS.len()),
        "/api/v1/leak" => leak(),
        "/api/v1/fail" => json_answer(StatusCode::INTERNAL_SERVER_ERROR, serde_json::json!({"error": "asked to fail"})),
        _ => echo(app, request).await,
    }
}

/// Says what arrived: method, path, the fields that name user and tenant, and the size of the body.
async fn echo(app: &App, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let size = body.collect().await.map_or(0, |body| body.to_bytes().len());
    let mut fields = serde_json::Map::new();
    for (name, value) in &head.headers {
        // An application sees credentials; its echo must not hand them back.
        if name == "authorization" || name == "cookie" {
            continue;
        }
        let said = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let all = fields.entry(name.as_str()).or_insert_with(|| serde_json::Value::String(String::new()));
        if let serde_json::Value::String(text) = all {
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(&said);
        }
    }
    json_answer(
        StatusCode::OK,
        serde_json::json!({
            "service": app.name, "workload": app.workload, "method": head.method.as_str(),
            "path": head.uri.path_and_query().map_or("/", |whole| whole.as_str()), "body_bytes": size, "fields": fields,
        }),
    )
}

fn json_answer(status: StatusCode, json: serde_json::Value) -> Answer {
    let body = Full::new(Bytes::from(json.to_string())).map_err(|never| match never {}).boxed();
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .header("server", "demo-app")
        .header("x-powered-by", "ringwall demo")
        .body(body)
        .unwrap_or_default()
}

/// What an application says that was never meant to be read outside.
fn leak() -> Answer {
    let text = "<html><body>You have an error in your SQL syntax; check the manual that corresponds to your MySQL \
                server version for the right syntax to use near 'FROM users' at line 1</body></html>";
    let body = Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed();
    Response::builder().header("content-type", "text/html").body(body).unwrap_or_default()
}

const WORDS: [&str; 8] = ["The ", "wall ", "stands, ", "and ", "every ", "refusal ", "names ", "its rule."];

/// How many events `?events=N` asks for, at most a thousand.
fn asked_events(query: Option<&str>) -> usize {
    let asked = query.and_then(|query| query.strip_prefix("events=")?.parse::<usize>().ok());
    asked.unwrap_or(WORDS.len()).min(1000)
}

/// Tokens as server-sent events, with a breath between them, as a language model answers.
fn tokens(events: usize) -> Answer {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, hyper::Error>>(1);
    tokio::task::spawn_local(async move {
        for word in WORDS.into_iter().cycle().take(events) {
            let event = format!("data: {}\n\n", serde_json::json!({"token": word}));
            if sender.send(Ok(Frame::data(Bytes::from(event)))).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        drop(sender.send(Ok(Frame::data(Bytes::from_static(b"data: [DONE]\n\n")))).await);
    });
    let stream = StreamBody::new(Frames(receiver));
    Response::builder()
        .header("content-type", "text/event-stream")
        .header("cache-control", "no-store")
        .body(BodyExt::boxed(stream))
        .unwrap_or_default()
}

/// The receiving end of a channel, as the stream of frames that a body is made of.
struct Frames(tokio::sync::mpsc::Receiver<Result<Frame<Bytes>, hyper::Error>>);

impl futures_core::Stream for Frames {
    type Item = Result<Frame<Bytes>, hyper::Error>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

/// Takes a WebSocket-like upgrade and echoes the bytes of the connection.
fn upgrade(mut request: Request<Incoming>) -> Answer {
    let asked = request.headers().get(hyper::header::UPGRADE).cloned();
    let accept = request.headers().get("sec-websocket-key").and_then(|key| accept(key.as_bytes()));
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::task::spawn_local(async move {
        if let Ok(stream) = upgraded.await {
            let (mut read, mut write) = tokio::io::split(TokioIo::new(stream));
            drop(tokio::io::copy(&mut read, &mut write).await);
        }
    });
    let mut answer = Response::new(BoxBody::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    answer.headers_mut().insert(hyper::header::CONNECTION, hyper::header::HeaderValue::from_static("upgrade"));
    if let Some(asked) = asked {
        answer.headers_mut().insert(hyper::header::UPGRADE, asked);
    }
    accept.into_iter().for_each(|accept| drop(answer.headers_mut().insert("sec-websocket-accept", accept)));
    answer
}

/// RFC 6455 section 4.2.2.
fn accept(key: &[u8]) -> Option<hyper::header::HeaderValue> {
    let whole = [key, b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &whole);
    STANDARD.encode(hash).parse().ok()
}

/// Calls a peer service through this workload's outbound listener and hands its answer back, stream and all.
async fn relay(app: &App, request: Request<Incoming>, service: &str, path: &str) -> Answer {
    match call(app, request, service, path).await {
        Ok(answer) => {
            let (head, body) = answer.into_parts();
            Response::from_parts(head, body.boxed())
        }
        Err(error) => json_answer(StatusCode::BAD_GATEWAY, serde_json::json!({"error": error, "service": service})),
    }
}

async fn call(app: &App, request: Request<Incoming>, service: &str, path: &str) -> Result<Response<Incoming>, String> {
    let peers = app.peers.as_ref().ok_or("this workload has no way to its peers")?;
    let (peer, port) = (format!("{service}.application.svc.cluster.local"), 8080);
    let stream = peers.reach(&peer, port).await.map_err(|error| error.to_string())?;
    let (mut client, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::task::spawn_local(connection);
    let (mut head, body) = request.into_parts();
    let whole = head.uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    head.uri = whole.parse().map_err(|_| "bad path")?;
    head.version = hyper::Version::HTTP_11;
    let host = format!("{peer}:{port}");
    head.headers.insert("host", host.parse().map_err(|_| "bad host")?);
    client.send_request(Request::from_parts(head, body)).await.map_err(|error| error.to_string())
}
