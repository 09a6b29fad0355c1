//! Where calls come in.

use crate::{Host, WorkloadId};
use serde::Serialize;
use std::net::SocketAddr;

/// What a listener is for; each role is a fixed list of layers on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The ingress, open to the world.
    Edge,
    /// The API gateway, called from inside the mesh.
    Gateway,
    /// Before a workload: what others call.
    Inbound,
    /// Before a workload: what it calls others through.
    Outbound,
    /// The way out of the mesh.
    Egress,
}

impl Role {
    /// Lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Gateway => "gateway",
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Egress => "egress",
        }
    }
}

/// What is spoken on a port, from the port's name, `appProtocol` or the Gateway server's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1, or HTTP/2 where both sides agree.
    Http,
    /// HTTP/2 in clear text.
    Http2,
    /// gRPC.
    Grpc,
    /// HTTP over TLS that ends here.
    Https,
    /// TLS that is passed on unopened, by SNI.
    Tls,
    /// Bytes.
    Tcp,
}

impl Protocol {
    /// Whether its calls are HTTP that this listener can read.
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2 | Self::Grpc | Self::Https)
    }
}

/// One place where connections come in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listener {
    /// What it is for.
    pub role: Role,
    /// Whose it is.
    pub workload: WorkloadId,
    /// The address that all policy sees: the manifest's.
    pub address: SocketAddr,
    /// The address it is really bound to (on one machine: loopback, chosen per run); port 0 until bound.
    pub bind: SocketAddr,
    /// What is spoken there.
    pub protocol: Protocol,
    /// For an outbound listener that stands for one port of one service: that service's host and port. `None` on an
    /// outbound listener means that each call names its own destination (`Host`, absolute form, or `CONNECT`).
    pub target: Option<(Host, u16)>,
}
