//! Opening a connection to an upstream: dial, TLS, who answered.
//!
//! In: a destination and the hop's TLS. Out: a stream that is ready, or [`Unreachable`] in Envoy's words. Never: reuse
//! (`pool.rs`), choice of endpoint (`forward.rs`).

mod counted;

use crate::clock;
use crate::engine::Shared;
use crate::link::Io;
use crate::page::{Place, Speaks, Upstream, UpstreamTls};
use crate::tls;
use counted::Counted;
use ringwall_model::UpstreamChange;
use ringwall_pki::{Purpose, Verified};
use rustls_pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// A stream to an upstream.
pub(crate) struct Opened {
    /// The stream.
    pub io: Box<dyn Io>,
    /// What is spoken on it.
    pub speaks: Speaks,
    /// Who answered, on a mesh hop.
    pub verified: Option<Verified>,
    /// Its address.
    pub address: Option<SocketAddr>,
}

/// Why there is no stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unreachable {
    /// Nobody listens there, or the network says no.
    Refused(&'static str),
    /// Not in time.
    TimedOut,
    /// TLS failed; the text is rustls's.
    Tls(Arc<str>),
}

impl Unreachable {
    /// In Envoy's words, for `response_code_details` and the body.
    pub(crate) fn says(&self) -> String {
        match self {
            Self::Refused(reason) => format!("remote connection failure, transport failure reason: {reason}"),
            Self::TimedOut => "connection timeout".into(),
            Self::Tls(reason) => format!("remote connection failure, transport failure reason: TLS_error:{reason}"),
        }
    }

    const fn change(&self) -> UpstreamChange {
        match self {
            Self::Refused(_) => UpstreamChange::ConnectFailed,
            Self::TimedOut => UpstreamChange::ConnectTimeout,
            Self::Tls(_) => UpstreamChange::TlsFailed,
        }
    }
}

/// Opens a connection; all of it within the upstream's connect timeout.
///
/// # Errors
/// [`Unreachable`]
pub(crate) async fn open(shared: &Shared, upstream: &Upstream, to: &Place) -> Result<Opened, Unreachable> {
    let protocols = match to.speaks {
        Speaks::Http1 => vec![b"http/1.1".to_vec()],
        Speaks::Http2 => vec![b"h2".to_vec()],
    };
    open_as(shared, upstream, to, protocols).await
}

/// As [`open`], offering these protocols by ALPN; with none offered, any TLS server is taken.
///
/// # Errors
/// [`Unreachable`]
pub(crate) async fn open_as(
    shared: &Shared,
    upstream: &Upstream,
    to: &Place,
    protocols: Vec<Vec<u8>>,
) -> Result<Opened, Unreachable> {
    let open = async {
        let stream = shared.dial.dial(&to.caller, &to.to).await;
        let stream = stream.map_err(|error| Unreachable::Refused(crate::link::reason(&error)))?;
        // A delayed small write is only slower, so a socket that does not take the option still serves.
        let _ = stream.set_nodelay(true);
        let address = stream.peer_addr().ok();
        secure(shared, to, stream, protocols).await.map(|opened| Opened { address, ..opened })
    };
    let opened = timeout(upstream.connect_timeout.duration(), open).await.unwrap_or(Err(Unreachable::TimedOut));
    if let Err(why) = &opened {
        shared.changed(&upstream.cluster, why.change());
    }
    opened
}

async fn secure(
    shared: &Shared,
    to: &Place,
    stream: TcpStream,
    protocols: Vec<Vec<u8>>,
) -> Result<Opened, Unreachable> {
    let speaks = to.speaks;
    let name = match &to.tls {
        UpstreamTls::Unproven => return Err(Unreachable::Tls("the caller has no identity in the mesh".into())),
        UpstreamTls::Clear => {
            let io = Box::new(Counted::new(stream, shared, &to.cluster));
            return Ok(Opened { io, speaks, verified: None, address: None });
        }
        UpstreamTls::Mesh { server_name, .. } | UpstreamTls::Simple { server_name, .. } => server_name.to_string(),
    };
    let failed = |error: &dyn std::fmt::Display| Unreachable::Tls(error.to_string().into());
    let credentials = shared.credentials.load_full();
    let config = credentials.client(&to.tls, &shared.denylist, protocols).map_err(|error| failed(&error))?;
    let name = ServerName::try_from(name).map_err(|error| failed(&error))?;
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|error| failed(&error))?;
    let (_, session) = stream.get_ref();
    let speaks = match session.alpn_protocol() {
        Some(b"h2") => Speaks::Http2,
        _ if speaks == Speaks::Http2 && session.alpn_protocol().is_some() => Speaks::Http1,
        _ => speaks,
    };
    let verified = match &to.tls {
        UpstreamTls::Mesh { .. } => {
            let chain = session.peer_certificates().unwrap_or_default();
            let judged = tls::judge(chain, &credentials.bundles, &shared.denylist, Purpose::Server, clock::now());
            Some(judged.map_err(|error| failed(&error))?)
        }
        _ => None,
    };
    let io = Box::new(Counted::new(stream, shared, &to.cluster));
    Ok(Opened { io, speaks, verified, address: None })
}
