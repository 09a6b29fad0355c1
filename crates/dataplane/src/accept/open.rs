//! From the first byte to a known peer: PROXY header, TLS or clear text, which server, whose certificate.

use crate::clock;
use crate::engine::Shared;
use crate::link::{Io, Rewound};
use crate::page::{Arrival, Opening, ProxyHeader, Server};
use crate::registry::Registration;
use crate::tls::{self, hello};
use bytes::{Bytes, BytesMut};
use ringwall_head::proxy_protocol::{self, Progress};
use ringwall_model::{ClientOrigin, Layer, Listener, Peer, PeerTls, Reason, SpiffeId};
use ringwall_pki::Purpose;
use rustls::{ProtocolVersion, ServerConfig};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// What a connection is opened with.
pub(super) struct Begun<'a> {
    pub shared: &'a Arc<Shared>,
    pub listener: &'a Listener,
    pub registration: &'a Registration,
}

/// A connection that is ready to be served.
pub(super) struct Opened {
    pub io: Box<dyn Io>,
    pub peer: Peer,
    pub origin: ClientOrigin,
    pub spoken: Spoken,
}

/// What is known of the protocol inside.
#[derive(Debug)]
pub(super) enum Spoken {
    /// ALPN said `h2`.
    Http2,
    /// ALPN said `http/1.1`.
    Http1,
    /// Nobody said.
    Unknown,
    /// TLS that is not ours to open.
    Sealed,
}

/// Why it was not opened.
#[derive(Debug, Default)]
pub(super) struct Failed {
    pub because: Option<(Layer, Reason)>,
    pub says: Option<Arc<str>>,
    pub server_name: Option<Box<str>>,
}

impl Failed {
    fn rule(layer: Layer, rule: &'static str, says: impl Into<Arc<str>>) -> Self {
        Self { because: Some((layer, Reason::Builtin(rule))), says: Some(says.into()), server_name: None }
    }

    /// The handshake did not come in time.
    pub(super) fn late() -> Self {
        Self::rule(Layer::Tls, "tls/handshake-timeout", "the handshake did not come in time")
    }

    fn gone(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Self::default(),
            _ => Self::rule(Layer::Tls, "tls/handshake", error.to_string()),
        }
    }
}

/// The first byte of a TLS record that carries a handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

impl Begun<'_> {
    /// Opens the connection.
    pub(super) async fn open(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
        proxy_header: ProxyHeader,
        opening: &Opening,
    ) -> Result<Opened, Failed> {
        let mut seen = BytesMut::new();
        let (peer, origin) = match proxy_header {
            ProxyHeader::Absent => (peer, ClientOrigin::Peer),
            ProxyHeader::Required => self.behind(&mut stream, &mut seen, peer).await?,
        };
        let clear = |stream: TcpStream, seen: Bytes| Opened {
            io: rewound(seen, stream),
            peer: Peer { address: peer, tls: None },
            origin,
            spoken: Spoken::Unknown,
        };
        match opening {
            Opening::Clear => Ok(clear(stream, seen.freeze())),
            Opening::Named => self.named(stream, &seen, peer, origin).await,
            Opening::Strict { identity } => {
                if !first_byte(&mut stream, &mut seen).await.is_ok_and(|byte| byte == HANDSHAKE) {
                    return Err(if seen.is_empty() {
                        Failed::default()
                    } else {
                        Failed::rule(Layer::Tls, "tls/plaintext-refused", "clear text where mutual TLS is required")
                    });
                }
                self.mesh(stream, &seen, peer, origin, identity).await
            }
            Opening::Permissive { identity } => {
                let patience = self.shared.limits.detect;
                match timeout(patience, first_byte(&mut stream, &mut seen)).await {
                    Ok(Ok(HANDSHAKE)) => self.mesh(stream, &seen, peer, origin, identity).await,
                    Ok(Err(error)) => Err(Failed::gone(&error)),
                    // No byte in time: the client waits for the server to speak first.
                    Ok(Ok(_)) | Err(_) => Ok(clear(stream, seen.freeze())),
                }
            }
        }
    }

    /// Reads the PROXY header of a trusted balancer, and asks the page again about the peer that it names.
    async fn behind(
        &self,
        stream: &mut TcpStream,
        seen: &mut BytesMut,
        peer: SocketAddr,
    ) -> Result<(SocketAddr, ClientOrigin), Failed> {
        loop {
            match proxy_protocol::read(seen) {
                Progress::Complete { len, addresses } => {
                    drop(seen.split_to(len));
                    let Some(addresses) = addresses else { return Ok((peer, ClientOrigin::Peer)) };
                    self.registration.is_from(addresses.source.ip());
                    return match self.shared.page.arrive_behind(self.listener, addresses.source) {
                        Arrival::Admit { guard, .. } => {
                            self.registration.keep(guard);
                            Ok((addresses.source, ClientOrigin::ProxyProtocol))
                        }
                        Arrival::Refuse { layer, because, .. } => {
                            Err(Failed { because: Some((layer, because)), says: None, server_name: None })
                        }
                    };
                }
                Progress::Refuse(fault) => return Err(Failed::rule(Layer::Head, fault.name, fault.says)),
                Progress::Partial => {}
            }
            let read = stream.read_buf(seen).await.map_err(|error| Failed::gone(&error))?;
            if read == 0 {
                return Err(Failed::default());
            }
        }
    }

    /// TLS for the world: the server name says whose certificate, or that it is passed on.
    async fn named(
        &self,
        mut stream: TcpStream,
        seen: &[u8],
        peer: SocketAddr,
        origin: ClientOrigin,
    ) -> Result<Opened, Failed> {
        let hello = hello::read(&mut stream, seen).await.map_err(|error| Failed::gone(&error))?;
        let server_name = hello.server_name.clone();
        match self.shared.page.server(self.listener, server_name.as_deref()) {
            Server::Unknown => {
                hello::refuse_name(&mut stream).await;
                let rule = Failed::rule(Layer::Tls, "tls/unrecognized-name", "no server of that name");
                Err(Failed { server_name, ..rule })
            }
            Server::PassThrough => {
                let tls = PeerTls { identity: None, server_name, version: "-" };
                let peer = Peer { address: peer, tls: Some(tls) };
                Ok(Opened { io: rewound(hello.bytes, stream), peer, origin, spoken: Spoken::Sealed })
            }
            Server::Terminate { credential, floor, client } => {
                let config = self.shared.credentials.load().server(&credential, floor, client);
                let config = match config {
                    Ok(config) => config,
                    Err(error) => {
                        hello::refuse_name(&mut stream).await;
                        return Err(Failed::rule(Layer::Tls, "tls/no-credential", error.to_string()));
                    }
                };
                let finished = self.finish(config, stream, hello.bytes, peer, origin, Judged::Not).await;
                finished.map_err(|failed| Failed { server_name, ..failed })
            }
        }
    }

    /// Mutual TLS of the mesh.
    async fn mesh(
        &self,
        stream: TcpStream,
        seen: &[u8],
        peer: SocketAddr,
        origin: ClientOrigin,
        identity: &SpiffeId,
    ) -> Result<Opened, Failed> {
        let config = self.shared.credentials.load().mesh_server(identity, &self.shared.denylist);
        let config = config.map_err(|error| Failed::rule(Layer::Tls, "tls/no-credential", error.to_string()))?;
        self.finish(config, stream, Bytes::copy_from_slice(seen), peer, origin, Judged::Mesh).await
    }

    async fn finish(
        &self,
        config: Arc<ServerConfig>,
        stream: TcpStream,
        seen: Bytes,
        peer: SocketAddr,
        origin: ClientOrigin,
        judged: Judged,
    ) -> Result<Opened, Failed> {
        let accepted = TlsAcceptor::from(config).accept(Rewound::new(seen, stream)).await;
        let stream = accepted.map_err(|error| Failed::gone(&error))?;
        let (_, session) = stream.get_ref();
        let identity = match judged {
            Judged::Not => None,
            Judged::Mesh => Some(self.identify(session.peer_certificates().unwrap_or_default())?),
        };
        let tls = PeerTls {
            identity,
            server_name: session.server_name().map(|name| name.to_ascii_lowercase().into()),
            version: match session.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLSv1.3",
            },
        };
        let spoken = match session.alpn_protocol() {
            Some(b"h2" | b"istio-h2") => Spoken::Http2,
            Some(b"http/1.1" | b"istio-http/1.1") => Spoken::Http1,
            _ => Spoken::Unknown,
        };
        Ok(Opened { io: Box::new(stream), peer: Peer { address: peer, tls: Some(tls) }, origin, spoken })
    }

    /// ORDER: the identity is noted in the registry, and only then is the denylist looked at once more: a revocation that
    /// came during the handshake finds this connection in one of the two.
    fn identify(&self, chain: &[rustls_pki_types::CertificateDer<'_>]) -> Result<SpiffeId, Failed> {
        let bundles = &self.shared.credentials.load().bundles;
        let judge = || tls::judge(chain, bundles, &self.shared.denylist, Purpose::Client, clock::now());
        let refused = |bad: ringwall_pki::BadPeer| Failed::rule(Layer::Tls, bad.rule(), bad.to_string());
        let verified = judge().map_err(refused)?;
        let identity = verified.id.clone();
        self.registration.is_peer(verified.clone());
        match self.shared.denylist.load().denies(&verified, clock::now()) {
            None => Ok(identity),
            Some(denied) => Err(Failed::rule(Layer::Tls, denied.rule(), "revoked")),
        }
    }
}

#[derive(Clone, Copy)]
enum Judged {
    Not,
    Mesh,
}

async fn first_byte(stream: &mut TcpStream, seen: &mut BytesMut) -> io::Result<u8> {
    if seen.is_empty() && stream.read_buf(seen).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    seen.first().copied().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn rewound(seen: Bytes, stream: TcpStream) -> Box<dyn Io> {
    if seen.is_empty() { Box::new(stream) } else { Box::new(Rewound::new(seen, stream)) }
}
