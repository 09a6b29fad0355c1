//! An engine with a page of its own, on ports that the system chooses, and clients that speak raw bytes.

use bytes::Bytes;
use ringwall_dataplane::engine::{Dial, Engine, EventSink, Shared};
use ringwall_dataplane::message::Body;
use ringwall_dataplane::page::{
    Admitted, Arrival, Binary, Carried, Coded, Decode, Destination, Form, Labels, Local, MessageKind, Messages, Mirror,
    Opening, Outcome, ProxyHeader, Reading, Refused, Server, Upstream, Verdict, Way,
};
use ringwall_dataplane::{ListenerId, Page};
use ringwall_head::Settings;
use ringwall_head::tracing::Sampling;
use ringwall_model::{
    Call, CallId, Event, Exchange, Inspected, Layer, Listener, Peer, Protocol, Reason, Reply, Role, Timestamp, Trace,
    WorkloadId,
};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Which server a name stands for.
pub type ByName = Box<dyn Fn(Option<&str>) -> Server + Send + Sync>;

/// A page that admits everything but `/refused`.
pub struct TestPage {
    pub upstream: Mutex<Upstream>,
    pub opening: Opening,
    pub proxy_header: ProxyHeader,
    pub server: ByName,
    pub settings: Arc<Settings>,
    pub body_limit: u64,
    pub tracing: Option<Sampling>,
    /// The peers of the calls that came to the page.
    pub seen: Mutex<Vec<Call>>,
    /// Path of what goes on that is no longer admitted.
    pub ended: Mutex<Option<&'static str>>,
    /// Where copies of calls go.
    pub mirrors: Vec<Upstream>,
    /// What of a call is copied, when it is not the call as it goes on.
    pub copied: Option<Call>,
    /// The rule that refuses a copy.
    pub refuses_copy: Option<(Layer, Reason)>,
    /// Which messages are judged: those with `bad` in them are refused.
    pub judges: Vec<MessageKind>,
    /// When the token of each call expires.
    pub expires: Option<Timestamp>,
}

impl TestPage {
    pub fn to(upstream: Upstream) -> Self {
        Self {
            upstream: Mutex::new(upstream),
            opening: Opening::Clear,
            proxy_header: ProxyHeader::Absent,
            server: Box::new(|_| Server::Unknown),
            settings: Arc::default(),
            body_limit: 1 << 20,
            tracing: None,
            seen: Mutex::default(),
            ended: Mutex::default(),
            mirrors: Vec::new(),
            copied: None,
            refuses_copy: None,
            judges: Vec::new(),
            expires: None,
        }
    }
}

impl TestPage {
    fn copies(&self) -> Vec<Mirror> {
        let sent = self
            .mirrors
            .iter()
            .cloned()
            .map(|upstream| Mirror::To { upstream: Arc::new(upstream), call: self.copied.clone().map(Box::new) });
        let refused = self.refuses_copy.map(|by| Mirror::Refused { cluster: "outbound|80||mirror".into(), by });
        sent.chain(refused).collect()
    }
}

fn refused(reply: Reply, because: Reason) -> Outcome {
    Outcome::Refused(Box::new(Refused {
        reply,
        because: Some((Layer::Mesh, because)),
        details: "rbac_access_denied_matched_policy[none]".into(),
        flag: "-",
        edits: Vec::new(),
        delay: None,
        labels: Labels::default(),
        trace: Trace::default(),
        decided: None,
        inspected: None,
    }))
}

impl Page for TestPage {
    fn arrive(&self, _: &Listener, _: SocketAddr) -> Arrival {
        Arrival::Admit { guard: None, proxy_header: self.proxy_header }
    }

    fn opening(&self, _: &Listener) -> Opening {
        self.opening.clone()
    }

    fn server(&self, _: &Listener, server_name: Option<&str>) -> Server {
        (self.server)(server_name)
    }

    fn reading(&self, _: &Listener) -> Reading {
        Reading { settings: self.settings.clone(), body_limit: self.body_limit, tracing: self.tracing }
    }

    fn request<'a>(&'a self, _: &'a Listener, call: &'a mut Call, body: &'a mut Body) -> Local<'a, Outcome> {
        Box::pin(async move {
            self.seen.lock().unwrap().push(call.clone());
            if let Some(fault) = call.faults.first() {
                return refused(Reply::text(fault.status, fault.says), Reason::Builtin(fault.name));
            }
            if call.target.as_ref() == b"/refused" {
                return refused(Reply::text(403, "RBAC: access denied"), Reason::DefaultDeny { considered: 1 });
            }
            if call.target.as_ref() == b"/dropped" {
                return refused(Reply::Drop, Reason::DefaultDeny { considered: 1 });
            }
            if call.target.as_ref() == b"/held" {
                // As the WAF does: read ahead, and let it go on.
                let _ = body.hold(4).await;
            }
            Outcome::Admitted(Box::new(Admitted {
                upstream: Arc::new(self.upstream.lock().unwrap().clone()),
                affinity: None,
                mirrors: self.copies(),
                response_edits: Vec::new(),
                body_limit: None,
                expires: self.expires,
                delay: None,
                labels: Labels::default(),
                trace: Trace::default(),
                decided: None,
                witness: Rc::new(std::cell::RefCell::new(NoWall)),
            }))
        })
    }

    fn standing<'a>(&'a self, _: &'a Listener, call: &'a mut Call) -> Local<'a, Result<(), (Layer, Reason)>> {
        let ended = *self.ended.lock().unwrap();
        let stays = ended.is_none_or(|path| call.target.as_ref() != path.as_bytes());
        let because = (Layer::Shield, Reason::Builtin("shield/blocked-user"));
        Box::pin(std::future::ready(if stays { Ok(()) } else { Err(because) }))
    }

    fn standing_connection<'a>(&'a self, _: &'a Listener, _: &'a Peer) -> Local<'a, Result<(), (Layer, Reason)>> {
        let stays = self.ended.lock().unwrap().is_none_or(|path| path != "tcp");
        let because = (Layer::Shield, Reason::Builtin("shield/blocked-address"));
        Box::pin(std::future::ready(if stays { Ok(()) } else { Err(because) }))
    }

    fn connection<'a>(&'a self, _: &'a Listener, _: &'a Peer) -> Local<'a, Result<Way, (Layer, Reason)>> {
        let upstream = Arc::new(self.upstream.lock().unwrap().clone());
        Box::pin(async move { Ok(Way { upstream, affinity: None }) })
    }

    fn messages(&self, _: &Call, _: &Admitted, kind: MessageKind) -> Option<Rc<dyn Messages>> {
        self.judges.contains(&kind).then(|| Rc::new(Bad) as Rc<dyn Messages>)
    }

    fn workload(&self, _: WorkloadId) -> Arc<str> {
        "application/bff".into()
    }
}

/// Refuses messages with `bad` in them.
struct Bad;

impl Messages for Bad {
    fn binary(&self) -> Binary {
        Binary::Judge
    }

    /// Each letter of a stream in `next` is the one before what is meant; `pass` and all others cannot be read.
    fn coded(&self, codings: &[u8]) -> Coded {
        match codings {
            b"" => Coded::Plain,
            b"next" => Coded::Read(Box::new(Next)),
            b"pass" => Coded::Pass,
            _ => Coded::Refuse(self.unreadable()),
        }
    }

    fn unreadable(&self) -> (Layer, Reason) {
        (Layer::Waf, Reason::Builtin("waf/unreadable"))
    }

    fn judge(&self, message: Bytes, _: Form) -> Verdict {
        let is_bad = message.windows(3).any(|three| three == b"bad");
        let because = (Layer::Waf, Reason::Builtin("waf/bad"));
        Box::pin(std::future::ready(if is_bad { Err(because) } else { Ok(()) }))
    }

    fn longest(&self) -> usize {
        1024
    }

    fn too_long(&self) -> (Layer, Reason) {
        (Layer::Waf, Reason::Builtin("waf/message-too-long"))
    }
}

struct Next;

impl Decode for Next {
    fn read(&mut self, input: &[u8], out: &mut Vec<u8>, most: usize) -> Option<usize> {
        let now = input.len().min(most);
        out.extend(input[..now].iter().map(|byte| byte + 1));
        Some(now)
    }
}

/// The admission of a test, which no firewall looked at.
#[derive(Debug)]
struct NoWall;

impl Carried for NoWall {
    fn told(&mut self, _: CallId) -> Option<Box<Inspected>> {
        None
    }
}

/// Connects where it is told.
pub struct Direct;

impl Dial for Direct {
    fn dial<'a>(&'a self, _: &'a str, to: &'a Destination) -> Local<'a, io::Result<TcpStream>> {
        Box::pin(async move {
            match to {
                Destination::Address(address) => TcpStream::connect(address).await,
                Destination::Name(..) => Err(io::ErrorKind::Unsupported.into()),
            }
        })
    }
}

struct Told(UnboundedSender<Event>);

impl EventSink for Told {
    fn tell(&self, event: Event) {
        let _ = self.0.send(event);
    }
}

/// A running engine.
pub struct Rig {
    pub engine: Engine,
    pub page: Arc<TestPage>,
    pub address: SocketAddr,
    pub id: ListenerId,
    pub events: UnboundedReceiver<Event>,
}

impl Rig {
    pub fn start(page: TestPage) -> Self {
        Self::with(page, Protocol::Http, |_| {})
    }

    pub fn with(page: TestPage, protocol: Protocol, change: impl FnOnce(&mut Shared)) -> Self {
        let (tell, events) = unbounded_channel();
        let page = Arc::new(page);
        let mut shared = Shared::new(page.clone(), Arc::new(Direct), Arc::new(Told(tell)));
        change(&mut shared);
        let engine = Engine::start(1, Arc::new(shared)).unwrap();
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let id = engine.listen(listener(protocol), vec![socket]).unwrap();
        Self { engine, page, address, id, events }
    }

    pub async fn connect(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// The next exchange that was told.
    pub async fn exchange(&mut self) -> Exchange {
        loop {
            if let Event::Exchange(exchange) = self.events.recv().await.unwrap() {
                return *exchange;
            }
        }
    }

    /// The next connection that was told.
    pub async fn connection(&mut self) -> ringwall_model::Connection {
        loop {
            if let Event::Connection(connection) = self.events.recv().await.unwrap() {
                return *connection;
            }
        }
    }
}

pub fn listener(protocol: Protocol) -> Listener {
    Listener {
        role: Role::Edge,
        workload: WorkloadId(0),
        address: "10.0.0.1:80".parse().unwrap(),
        bind: "127.0.0.1:0".parse().unwrap(),
        protocol,
        target: None,
    }
}

/// A client that speaks raw HTTP/1.
pub struct Client<T> {
    pub io: T,
    seen: Vec<u8>,
}

/// A response as it stood on the wire.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Client<T> {
    pub fn new(io: T) -> Self {
        Self { io, seen: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.unwrap();
        self.io.flush().await.unwrap();
    }

    async fn more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let read = self.io.read(&mut buffer).await.unwrap_or(0);
        self.seen.extend_from_slice(&buffer[..read]);
        read > 0
    }

    /// Reads until what came ends a line-oriented piece: up to and with `end`.
    pub async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.seen.windows(end.len()).position(|window| window == end) {
                return self.seen.drain(..at + end.len()).collect();
            }
            assert!(self.more().await, "ended before {:?}", String::from_utf8_lossy(end));
        }
    }

    pub async fn until_or_end(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.seen.windows(end.len()).position(|window| window == end) {
                return Some(self.seen.drain(..at + end.len()).collect());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    pub fn has_bytes(&self) -> bool {
        !self.seen.is_empty()
    }

    pub async fn head(&mut self) -> Answer {
        let head = String::from_utf8(self.until(b"\r\n\r\n").await).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: Vec::new() }
    }

    /// A whole response with `content-length` or chunks.
    pub async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        if answer.field("transfer-encoding") == Some("chunked") {
            loop {
                let line = String::from_utf8(self.until(b"\r\n").await).unwrap();
                let size = usize::from_str_radix(line.trim(), 16).unwrap();
                if size == 0 {
                    let trailers = self.until(b"\r\n").await;
                    if trailers != b"\r\n" {
                        answer.head.push_str(&String::from_utf8(trailers).unwrap());
                        self.until(b"\r\n").await;
                    }
                    return answer;
                }
                answer.body.extend(self.exactly(size).await);
                self.until(b"\r\n").await;
            }
        }
        let length = answer.field("content-length").map_or(0, |length| length.parse().unwrap());
        answer.body = self.exactly(length).await;
        answer
    }

    pub async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.seen.len() < length {
            assert!(self.more().await, "ended inside a body");
        }
        self.seen.drain(..length).collect()
    }

    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request).await;
        self.answer().await
    }

    /// Reads to the end of the stream and gives what came.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.seen)
    }
}
