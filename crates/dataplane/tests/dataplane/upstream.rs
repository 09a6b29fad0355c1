//! Upstreams that do as they are told.

use super::rig::Client;
use ringwall_dataplane::page::Upstream;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};

/// A server on a port that the system chose.
pub struct Server {
    pub address: SocketAddr,
    /// How many connections it took.
    pub connections: Arc<AtomicUsize>,
    /// The heads it received.
    pub heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves each connection with `serve`; the number counts connections from 0.
    pub async fn start<F, Fut>(serve: F) -> Self
    where
        F: Fn(usize, Client<TcpStream>, Arc<Mutex<Vec<String>>>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (count, notes) = (connections.clone(), heads.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                let number = count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(number, Client::new(stream), notes.clone()));
            }
        });
        Self { address, connections, heads }
    }

    /// Answers each request with 200 and what it received: method, target and body.
    pub async fn echo() -> Self {
        Self::start(|_, mut client, heads| async move {
            while let Some((head, body)) = request(&mut client).await {
                heads.lock().unwrap().push(head.clone());
                let line = head.lines().next().unwrap_or_default().to_owned();
                let body = format!("{line}|{}", String::from_utf8_lossy(&body));
                client.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
            }
        })
        .await
    }

    /// Sends the same bytes for each request.
    pub async fn saying(bytes: &'static str) -> Self {
        Self::start(move |_, mut client, heads| async move {
            while let Some((head, _)) = request(&mut client).await {
                heads.lock().unwrap().push(head);
                client.send(bytes).await;
                if bytes.contains("connection: close") {
                    return;
                }
            }
        })
        .await
    }

    pub fn upstream(&self) -> Upstream {
        Upstream::plain("outbound|80||echo", self.address)
    }

    pub fn took(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Reads one request; `None` when the client closed.
pub async fn request(client: &mut Client<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut probe = [0; 1];
    if !client.has_bytes() && client.io.peek(&mut probe).await.unwrap_or(0) == 0 {
        return None;
    }
    let head = String::from_utf8(client.until_or_end(b"\r\n\r\n").await?).unwrap();
    let lower = head.to_ascii_lowercase();
    let mut body = Vec::new();
    if lower.contains("transfer-encoding: chunked") {
        loop {
            let line = String::from_utf8(client.until_or_end(b"\r\n").await?).unwrap();
            let size = usize::from_str_radix(line.trim(), 16).unwrap();
            if size == 0 {
                while client.until_or_end(b"\r\n").await? != b"\r\n" {}
                break;
            }
            body.extend(client.exactly(size).await);
            client.until_or_end(b"\r\n").await?;
        }
    } else if let Some((_, rest)) = lower.split_once("content-length: ") {
        let length = rest.lines().next().unwrap().trim().parse().unwrap();
        body = client.exactly(length).await;
    }
    Some((head, body))
}
