//! A small HTTP client for documents that the wall itself needs.
//!
//! In: a URL and patience. Out: at most a megabyte of body from a 200 answer; or what was to be sent, taken. Never: redirects (a key set that moves is
//! a matter for the manifests; only a file that is pinned by its hash may lie elsewhere), cookies, or an unverified
//! certificate.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use ringwall_model::Millis;
use rustls_pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// The most bytes of one document.
const MOST: usize = 1 << 20;
/// The most bytes of a pinned file.
const MOST_PINNED: usize = 16 << 20;
/// How often a pinned file may lie elsewhere.
const REDIRECTS: usize = 4;

/// Finds where a host of the mesh really listens; `None` leaves the name to the system's resolver.
pub trait Resolve: Send + Sync {
    /// The socket of `host:port`.
    fn resolve(&self, host: &str, port: u16) -> Option<SocketAddr>;
}

/// Why a document was not had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address is no `http://` or `https://` URL.
    #[error("`{0}` is no http or https address")]
    Address(String),
    /// The network or the other end failed.
    #[error("{0}")]
    Failed(String),
    /// It answered something other than 200.
    #[error("it answered {0}")]
    Status(u16),
    /// It took longer than was allowed.
    #[error("no answer within {} ms", .0.0)]
    Late(Millis),
    /// It is not the file that was pinned.
    #[error("it is not the pinned file: its SHA-256 is {0}")]
    Hash(String),
    /// It would have come over a connection that anyone can change.
    #[error("`{0}` is not https, nor on this machine")]
    Insecure(String),
    /// It was always somewhere else.
    #[error("it was sent on {REDIRECTS} times")]
    Redirects,
}

/// What a server answered.
struct Answer {
    status: u16,
    location: Option<String>,
    body: Vec<u8>,
}

/// Fetches documents.
pub struct Fetcher {
    resolve: Arc<dyn Resolve>,
    tls: Arc<rustls::ClientConfig>,
}

impl Fetcher {
    /// A fetcher that trusts the system's roots.
    pub fn new(resolve: Arc<dyn Resolve>) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions =
            rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(rustls::DEFAULT_VERSIONS);
        // The provider supports both versions, so this cannot fail; without it every fetch would fail closed anyway.
        let builder = versions.unwrap_or_else(|_| unreachable!("the provider has the default versions"));
        let tls = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
        Self { resolve, tls }
    }

    /// Gets a document.
    ///
    /// # Errors
    /// [`FetchError`]
    pub async fn get(&self, address: &str, patience: Millis) -> Result<Vec<u8>, FetchError> {
        let answer = match tokio::time::timeout(patience.duration(), self.fetch(address, MOST)).await {
            Ok(outcome) => outcome?,
            Err(_) => return Err(FetchError::Late(patience)),
        };
        if answer.status == 200 { Ok(answer.body) } else { Err(FetchError::Status(answer.status)) }
    }

    /// Posts JSON; any status from 200 to 299 says that it was taken.
    ///
    /// # Errors
    /// [`FetchError`]
    pub async fn post(&self, address: &str, json: Bytes, patience: Millis) -> Result<(), FetchError> {
        let answer = match tokio::time::timeout(patience.duration(), self.ask(address, Some(json), MOST)).await {
            Ok(outcome) => outcome?,
            Err(_) => return Err(FetchError::Late(patience)),
        };
        if (200..300).contains(&answer.status) { Ok(()) } else { Err(FetchError::Status(answer.status)) }
    }

    /// Gets the file of this SHA-256, at most 16 MiB. It may be sent on to other hosts, since the hash decides what is
    /// taken; each of them must speak https, or be this machine.
    ///
    /// # Errors
    /// [`FetchError`]
    pub async fn pinned(&self, address: &str, sha256: &[u8; 32], patience: Millis) -> Result<Vec<u8>, FetchError> {
        match tokio::time::timeout(patience.duration(), self.follow(address)).await {
            Ok(file) => file.and_then(|file| {
                let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &file);
                let got = digest.as_ref();
                if got == sha256 { Ok(file) } else { Err(FetchError::Hash(hex(got))) }
            }),
            Err(_) => Err(FetchError::Late(patience)),
        }
    }

    async fn follow(&self, address: &str) -> Result<Vec<u8>, FetchError> {
        let mut address = address.to_owned();
        for _ in 0..REDIRECTS {
            if !is_secure(&address) {
                return Err(FetchError::Insecure(address));
            }
            let answer = self.fetch(&address, MOST_PINNED).await?;
            match (answer.status, answer.location) {
                (200, _) => return Ok(answer.body),
                (301 | 302 | 303 | 307 | 308, Some(next)) => address = next,
                (status, _) => return Err(FetchError::Status(status)),
            }
        }
        Err(FetchError::Redirects)
    }

    async fn fetch(&self, address: &str, most: usize) -> Result<Answer, FetchError> {
        self.ask(address, None, most).await
    }

    async fn ask(&self, address: &str, json: Option<Bytes>, most: usize) -> Result<Answer, FetchError> {
        let bad = || FetchError::Address(address.into());
        let url: hyper::Uri = address.parse().map_err(|_| bad())?;
        let host = url.host().ok_or_else(bad)?.to_owned();
        let secure = match url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(bad()),
        };
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let stream = match self.resolve.resolve(&host, port) {
            Some(socket) => TcpStream::connect(socket).await,
            None => TcpStream::connect((host.as_str(), port)).await,
        };
        let stream = stream.map_err(|error| FetchError::Failed(error.to_string()))?;
        if secure {
            let name = ServerName::try_from(host).map_err(|_| bad())?;
            let connector = tokio_rustls::TlsConnector::from(self.tls.clone());
            let stream =
                connector.connect(name, stream).await.map_err(|error| FetchError::Failed(error.to_string()))?;
            exchange(stream, &url, json, most).await
        } else {
            exchange(stream, &url, json, most).await
        }
    }
}

/// Whether nobody between can change what comes: https, or an address of this machine.
fn is_secure(address: &str) -> bool {
    let Ok(url) = address.parse::<hyper::Uri>() else { return false };
    let host = url.host().unwrap_or_default();
    let is_local = matches!(host, "localhost" | "[::1]")
        || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    is_local || url.scheme_str() == Some("https")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    url: &hyper::Uri,
    json: Option<Bytes>,
    most: usize,
) -> Result<Answer, FetchError> {
    let failed = |error: hyper::Error| FetchError::Failed(error.to_string());
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let driver = tokio::spawn(connection);
    let path = url.path_and_query().map_or("/", |whole| whole.as_str());
    let authority = url.authority().map(|it| it.as_str()).unwrap_or_default();
    let request = match json {
        None => hyper::Request::get(path).header("accept", "application/json, */*"),
        Some(_) => hyper::Request::post(path).header("content-type", "application/json"),
    };
    let request = request
        .header("host", authority)
        .body(Full::new(json.unwrap_or_default()))
        .map_err(|error| FetchError::Failed(error.to_string()))?;
    let answer = client.send_request(request).await.map_err(failed)?;
    let status = answer.status().as_u16();
    let location = answer.headers().get("location").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = match status {
        200 => Limited::new(answer.into_body(), most).collect().await.map(|body| body.to_bytes().to_vec()),
        _ => Ok(Vec::new()),
    };
    driver.abort();
    Ok(Answer { status, location, body: body.map_err(|error| FetchError::Failed(error.to_string()))? })
}
