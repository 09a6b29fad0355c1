//! A small HTTP client for documents that the wall itself needs.
//!
//! In: a URL and patience. Out: at most a megabyte of body from a 200 answer. Never: redirects (a key set that moves is
//! a matter for the manifests), cookies, or an unverified certificate.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use ringwall_model::Millis;
use rustls_pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// The most bytes of one document.
const MOST: usize = 1 << 20;

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
        match tokio::time::timeout(patience.duration(), self.fetch(address)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(FetchError::Late(patience)),
        }
    }

    async fn fetch(&self, address: &str) -> Result<Vec<u8>, FetchError> {
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
            exchange(stream, &url).await
        } else {
            exchange(stream, &url).await
        }
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    url: &hyper::Uri,
) -> Result<Vec<u8>, FetchError> {
    let failed = |error: hyper::Error| FetchError::Failed(error.to_string());
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let driver = tokio::spawn(connection);
    let path = url.path_and_query().map_or("/", |whole| whole.as_str());
    let authority = url.authority().map(|it| it.as_str()).unwrap_or_default();
    let request = hyper::Request::get(path).header("host", authority).header("accept", "application/json");
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| FetchError::Failed(error.to_string()))?;
    let answer = client.send_request(request).await.map_err(failed)?;
    if answer.status() != hyper::StatusCode::OK {
        return Err(FetchError::Status(answer.status().as_u16()));
    }
    let body = Limited::new(answer.into_body(), MOST).collect().await;
    driver.abort();
    Ok(body.map_err(|error| FetchError::Failed(error.to_string()))?.to_bytes().to_vec())
}
