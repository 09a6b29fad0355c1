//! The tour's client: sends exactly the bytes a scenario says, over TCP or TLS, and reads what comes back.
//!
//! In: where, as whom, which bytes. Out: status, fields, body, and when its parts came. Never: help: nothing is added to
//! or mended in a request, so that an attack arrives as an attack.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// How long a scenario waits for anything at all.
const PATIENCE: Duration = Duration::from_secs(8);

/// How to get to a listener.
#[derive(Clone, Debug)]
pub struct Way {
    /// The socket.
    pub to: SocketAddr,
    /// Source address on loopback, so that one machine can be several clients.
    pub from: Option<IpAddr>,
    /// Bytes before everything else, such as a PROXY protocol header.
    pub prelude: Vec<u8>,
    /// TLS, if it is to be spoken.
    pub tls: Option<Tls>,
}

/// What kind of TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Server name that is asked for and verified.
    pub name: String,
    /// Roots in DER; empty means that whatever is presented is taken (a mesh listener shows a SPIFFE certificate).
    pub roots: Vec<CertificateDer<'static>>,
    /// Certificate chain and key to present (PKCS#8 DER).
    pub identity: Option<(Vec<CertificateDer<'static>>, Vec<u8>)>,
    /// Only TLS 1.2.
    pub old: Old,
}

/// Which version is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Old {
    /// TLS 1.2 and 1.3.
    No,
    /// TLS 1.2 alone.
    OnlyTls12,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Status; 0 when no response came.
    pub status: u16,
    /// Fields in order.
    pub fields: Vec<(String, String)>,
    /// Body, chunked coding taken off.
    pub body: Vec<u8>,
    /// When the parts of the body came, from the request on.
    pub arrivals: Vec<Duration>,
    /// How the connection failed, if it did before a response was whole.
    pub failure: Option<String>,
}

impl Answer {
    /// The first field of that name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether what stands behind the wall answered it well.
    pub fn through(&self) -> bool {
        (200..400).contains(&self.status) && self.failure.is_none()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn failed(failure: impl ToString) -> Self {
        Self { failure: Some(failure.to_string()), ..Self::default() }
    }
}

/// Either kind of stream.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// An open connection.
pub struct Wire {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

impl Wire {
    /// Connects, with TLS if the way says so.
    ///
    /// # Errors
    /// What the network or TLS said.
    pub async fn open(way: &Way) -> Result<Self, String> {
        let opened = tokio::time::timeout(PATIENCE, connect(way)).await;
        let stream = opened.map_err(|_| "no connection in time".to_owned())??;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Over a connection that is open already.
    pub fn over(stream: TcpStream) -> Self {
        Self { stream: Box::new(stream), buffer: Vec::new() }
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// What the network said.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write_all(bytes).await.map_err(|error| error.to_string())?;
        self.stream.flush().await.map_err(|error| error.to_string())
    }

    /// Sends bytes and reads one response.
    pub async fn exchange(&mut self, bytes: &[u8]) -> Answer {
        let sent = self.send(bytes).await;
        let answer = self.answer().await;
        // A server may answer and close before all of a body was sent: its answer counts, not the broken pipe.
        match sent {
            Err(error) if answer.status == 0 => Answer::failed(error),
            _ => answer,
        }
    }

    /// Reads one response; interim (1xx) ones are passed over, except 101.
    pub async fn answer(&mut self) -> Answer {
        let started = Instant::now();
        let mut answer = Answer::default();
        match tokio::time::timeout(PATIENCE, self.read_answer(&mut answer, started)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => answer.failure = Some(error),
            Err(_) => answer.failure = Some("no answer in time".into()),
        }
        answer
    }

    /// Waits until the other end closes; `true` when it did in time.
    pub async fn closed(&mut self, within: Duration) -> bool {
        let mut buffer = [0_u8; 1024];
        let wait = async { while self.stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {} };
        tokio::time::timeout(within, wait).await.is_ok()
    }

    /// Reads some raw bytes.
    ///
    /// # Errors
    /// What the network said, or that the other end closed.
    pub async fn read_some(&mut self) -> Result<Vec<u8>, String> {
        if !self.buffer.is_empty() {
            return Ok(std::mem::take(&mut self.buffer));
        }
        let mut buffer = vec![0_u8; 4096];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut buffer)).await;
        let read = read.map_err(|_| "nothing came in time".to_owned())?.map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("closed".into());
        }
        buffer.truncate(read);
        Ok(buffer)
    }

    async fn read_answer(&mut self, answer: &mut Answer, started: Instant) -> Result<(), String> {
        loop {
            self.read_head(answer).await?;
            if answer.status == 101 || answer.status >= 200 {
                break;
            }
        }
        if matches!(answer.status, 101 | 204 | 304) {
            return Ok(());
        }
        if answer.field("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return self.read_chunks(answer, started).await;
        }
        match answer.field("content-length").and_then(|length| length.parse::<usize>().ok()) {
            Some(length) => {
                while self.buffer.len() < length {
                    self.more().await?;
                }
                answer.body = self.buffer.drain(..length).collect();
                answer.arrivals.push(started.elapsed());
            }
            None => {
                while self.more().await.is_ok() {
                    answer.arrivals.push(started.elapsed());
                }
                answer.body = std::mem::take(&mut self.buffer);
            }
        }
        Ok(())
    }

    async fn read_head(&mut self, answer: &mut Answer) -> Result<(), String> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let text = String::from_utf8_lossy(&head);
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        answer.status = status.ok_or("not an HTTP response")?;
        let field = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        answer.fields = lines.filter_map(field).collect();
        Ok(())
    }

    async fn read_chunks(&mut self, answer: &mut Answer, started: Instant) -> Result<(), String> {
        loop {
            let end = loop {
                if let Some(at) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                    break at;
                }
                self.more().await?;
            };
            let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
            let text = String::from_utf8_lossy(&line);
            let size = text.trim().split(';').next().and_then(|size| usize::from_str_radix(size, 16).ok());
            let size = size.ok_or("bad chunk")?;
            while self.buffer.len() < size + 2 {
                self.more().await?;
            }
            answer.body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
            if size == 0 {
                return Ok(());
            }
            answer.arrivals.push(started.elapsed());
        }
    }

    async fn more(&mut self) -> Result<(), String> {
        let mut part = [0_u8; 16384];
        let read = self.stream.read(&mut part).await.map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("closed before the response was whole".into());
        }
        self.buffer.extend(part.iter().take(read));
        Ok(())
    }
}

/// Opens a connection, sends one request and reads its response.
pub async fn once(way: &Way, request: &[u8]) -> Answer {
    match Wire::open(way).await {
        Ok(mut wire) => wire.exchange(request).await,
        Err(error) => Answer::failed(error),
    }
}

async fn connect(way: &Way) -> Result<Box<dyn Stream>, String> {
    let text = |error: std::io::Error| error.to_string();
    let socket = if way.to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(text)?;
    if let Some(from) = way.from {
        socket.bind(SocketAddr::new(from, 0)).map_err(text)?;
    }
    let mut stream: TcpStream = socket.connect(way.to).await.map_err(text)?;
    stream.set_nodelay(true).map_err(text)?;
    stream.write_all(&way.prelude).await.map_err(text)?;
    match &way.tls {
        None => Ok(Box::new(stream)),
        Some(tls) => {
            let config = Arc::new(configure(tls)?);
            let name = ServerName::try_from(tls.name.clone()).map_err(|error| error.to_string())?;
            let connector = tokio_rustls::TlsConnector::from(config);
            Ok(Box::new(connector.connect(name, stream).await.map_err(text)?))
        }
    }
}

fn configure(tls: &Tls) -> Result<rustls::ClientConfig, String> {
    let text = |error: rustls::Error| error.to_string();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions: &[_] = match tls.old {
        Old::No => rustls::DEFAULT_VERSIONS,
        Old::OnlyTls12 => &[&rustls::version::TLS12],
    };
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions);
    let builder = builder.map_err(text)?;
    let builder = if tls.roots.is_empty() {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
    } else {
        let mut roots = rustls::RootCertStore::empty();
        for root in &tls.roots {
            roots.add(root.clone()).map_err(text)?;
        }
        builder.with_root_certificates(roots)
    };
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let key = PrivateKeyDer::Pkcs8(key.clone().into());
            builder.with_client_auth_cert(chain.clone(), key).map_err(text)?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Takes any server: an attacker does not care whom he talks to. Signatures are still checked, so that the handshake is real.
#[derive(Debug)]
struct AnyServer(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
