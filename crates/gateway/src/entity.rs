//! Kong's entities as this room reads them: services, routes, consumers, upstreams.
//!
//! Follows Kong's schemas `services`, `routes`, `consumers`, `upstreams`, `targets` (3.9). All defaults are filled in by
//! whoever makes these values; [`Route::new`] and [`Service::new`] hold Kong's.

use bytes::Bytes;
use ipnet::IpNet;
use ringwall_model::{Millis, RuleId};
use ringwall_token::{Algorithm, Key};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// Index of a service in its [`crate::Gateway`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceIndex(pub u32);

/// Index of a route in its [`crate::Gateway`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteIndex(pub u32);

/// Index of a consumer in its [`crate::Gateway`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerIndex(pub u32);

/// What is spoken to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceProtocol {
    /// HTTP/1.1 in clear text.
    Http,
    /// HTTP over TLS.
    Https,
    /// gRPC in clear text.
    Grpc,
    /// gRPC over TLS.
    Grpcs,
    /// Bytes.
    Tcp,
    /// Bytes over TLS.
    Tls,
    /// Datagrams.
    Udp,
}

impl ServiceProtocol {
    /// The protocol of that name.
    pub fn read(name: &str) -> Option<Self> {
        Some(match name {
            "http" => Self::Http,
            "https" => Self::Https,
            "grpc" => Self::Grpc,
            "grpcs" => Self::Grpcs,
            "tcp" => Self::Tcp,
            "tls" => Self::Tls,
            "udp" => Self::Udp,
            _ => return None,
        })
    }

    /// Whether the gateway itself speaks TLS to the service.
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Https | Self::Grpcs | Self::Tls)
    }
}

/// Where calls go.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its rule, named in `explain`.
    pub rule: RuleId,
    /// Name.
    pub name: Arc<str>,
    /// What is spoken there.
    pub protocol: ServiceProtocol,
    /// Host: a name, an address, or the name of an [`Upstream`].
    pub host: Arc<str>,
    /// Port.
    pub port: u16,
    /// Path that is put before the call's own.
    pub path: Option<Bytes>,
    /// How often a failed connection is tried again.
    pub retries: u16,
    /// How long a connection may take to be made.
    pub connect_timeout: Millis,
    /// Between two writes to the service.
    pub write_timeout: Millis,
    /// Between two reads from the service.
    pub read_timeout: Millis,
    /// A disabled service's routes are not in the router.
    pub enabled: bool,
    /// Whether the service's certificate is verified; `None` is Kong's default, which does not verify.
    pub tls_verify: Option<bool>,
}

impl Service {
    /// A service with Kong's defaults.
    pub fn new(rule: RuleId, name: impl Into<Arc<str>>, host: impl Into<Arc<str>>) -> Self {
        let minute = Millis(60_000);
        Self {
            rule,
            name: name.into(),
            protocol: ServiceProtocol::Http,
            host: host.into(),
            port: 80,
            path: None,
            retries: 5,
            connect_timeout: minute,
            write_timeout: minute,
            read_timeout: minute,
            enabled: true,
            tls_verify: None,
        }
    }
}

/// What may be spoken on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteProtocol {
    /// HTTP in clear text.
    Http,
    /// HTTP over TLS.
    Https,
    /// gRPC in clear text.
    Grpc,
    /// gRPC over TLS.
    Grpcs,
    /// Bytes.
    Tcp,
    /// Bytes over TLS that ends here.
    Tls,
    /// Bytes over TLS that is passed on unopened.
    TlsPassthrough,
    /// Datagrams.
    Udp,
}

impl RouteProtocol {
    /// The protocol of that name.
    pub fn read(name: &str) -> Option<Self> {
        Some(match name {
            "http" => Self::Http,
            "https" => Self::Https,
            "grpc" => Self::Grpc,
            "grpcs" => Self::Grpcs,
            "tcp" => Self::Tcp,
            "tls" => Self::Tls,
            "tls_passthrough" => Self::TlsPassthrough,
            "udp" => Self::Udp,
            _ => return None,
        })
    }

    /// Whether connections, not calls, are routed.
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls | Self::TlsPassthrough | Self::Udp)
    }
}

/// What a clear-text call to a route for `https` alone gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpsRedirect {
    /// 426 Upgrade Required.
    UpgradeRequired,
    /// A redirect with this status (301, 302, 307, 308).
    To(u16),
}

/// One end of a connection in a stream route: an address range, a port, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Addresses.
    pub ip: Option<EndsIp>,
    /// Port.
    pub port: Option<u16>,
}

/// How the addresses were written; a single address outranks a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndsIp {
    /// One address.
    One(std::net::IpAddr),
    /// A range.
    Range(IpNet),
}

/// Which calls go to which service.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its rule: named when a call takes this route.
    pub rule: RuleId,
    /// Identifier; breaks ties between routes of the same priority.
    pub id: Uuid,
    /// Name.
    pub name: Arc<str>,
    /// Its service; a route without one only serves what its plugins answer themselves.
    pub service: Option<ServiceIndex>,
    /// What may be spoken.
    pub protocols: BTreeSet<RouteProtocol>,
    /// Methods; empty for any.
    pub methods: Vec<Box<str>>,
    /// Hosts (`a.example`, `*.example`, `a.*`, each perhaps with a port); empty for any.
    pub hosts: Vec<Box<str>>,
    /// Paths: prefixes, or with `~` regular expressions; empty for any.
    pub paths: Vec<Box<str>>,
    /// Fields with their allowed values (`~*` before a regular expression); empty for any.
    pub headers: Vec<(Box<str>, Vec<Box<str>>)>,
    /// Server names of TLS; empty for any.
    pub snis: Vec<Box<str>>,
    /// Sources of connections; empty for any.
    pub sources: Vec<Ends>,
    /// Destinations of connections; empty for any.
    pub destinations: Vec<Ends>,
    /// What a clear-text call gets when only encrypted protocols are allowed.
    pub https_redirect: HttpsRedirect,
    /// Whether the matched part of the path is cut off.
    pub strip_path: bool,
    /// Whether the client's `Host` goes upstream.
    pub preserve_host: bool,
    /// Priority among routes with regular expressions.
    pub regex_priority: u32,
}

impl Route {
    /// A route with Kong's defaults.
    pub fn new(rule: RuleId, id: Uuid, name: impl Into<Arc<str>>, service: Option<ServiceIndex>) -> Self {
        Self {
            rule,
            id,
            name: name.into(),
            service,
            protocols: [RouteProtocol::Http, RouteProtocol::Https].into(),
            methods: Vec::new(),
            hosts: Vec::new(),
            paths: Vec::new(),
            headers: Vec::new(),
            snis: Vec::new(),
            sources: Vec::new(),
            destinations: Vec::new(),
            https_redirect: HttpsRedirect::UpgradeRequired,
            strip_path: true,
            preserve_host: false,
            regex_priority: 0,
        }
    }

    /// Whether it routes connections instead of calls.
    pub fn is_stream(&self) -> bool {
        self.protocols.iter().any(|protocol| protocol.is_stream())
    }
}

/// Someone who calls, with credentials.
#[derive(Clone, Debug, Default)]
pub struct Consumer {
    /// Identifier, as text.
    pub id: Box<str>,
    /// User name.
    pub username: Option<Box<str>>,
    /// An identifier of the user's own system.
    pub custom_id: Option<Box<str>>,
    /// Groups (`acls`).
    pub groups: BTreeSet<Box<str>>,
    /// Credentials of the plugin `jwt`.
    pub jwt: Vec<JwtCredential>,
    /// Credentials of the plugin `key-auth`.
    pub keys: Vec<KeyCredential>,
    /// Credentials of the plugin `basic-auth`.
    pub basic: Vec<BasicCredential>,
}

impl Consumer {
    /// How the consumer is called in logs: user name, custom id, id.
    pub fn name(&self) -> &str {
        self.username.as_deref().or(self.custom_id.as_deref()).unwrap_or(&self.id)
    }
}

/// A credential of the plugin `jwt`.
#[derive(Clone, Debug)]
pub struct JwtCredential {
    /// Value of the claim that names the credential (`iss` by default).
    pub key: Box<str>,
    /// The only algorithm that is accepted.
    pub algorithm: Algorithm,
    /// The key to verify with.
    pub verify: VerifyKey,
}

/// The key of a [`JwtCredential`].
#[derive(Clone, Debug)]
pub enum VerifyKey {
    /// A shared secret as written; the plugin says whether it is base64.
    Secret(Box<[u8]>),
    /// A public key.
    Public(Key),
    /// One that could not be read: no token is good.
    Unreadable,
}

/// A credential of the plugin `key-auth`.
#[derive(Clone, Debug)]
pub struct KeyCredential {
    /// Identifier, for `X-Credential-Identifier`.
    pub id: Box<str>,
    /// The key itself.
    pub key: Box<str>,
}

/// A credential of the plugin `basic-auth`.
#[derive(Clone, Debug)]
pub struct BasicCredential {
    /// User name.
    pub username: Box<str>,
    /// Password, in clear text as declarative files have it.
    pub password: Box<str>,
}

/// A name behind which several targets stand.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The name that services use as their host.
    pub name: Arc<str>,
    /// Its targets.
    pub targets: Vec<UpstreamTarget>,
    /// How one of them is picked.
    pub algorithm: Balancing,
    /// What is hashed with [`Balancing::ConsistentHashing`].
    pub hash_on: HashOn,
    /// The `Host` that goes to the targets, when it is set.
    pub host_header: Option<Box<str>>,
}

/// One target of an [`Upstream`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTarget {
    /// Name or address.
    pub host: Arc<str>,
    /// Port.
    pub port: u16,
    /// Share of the calls; 0 takes it out.
    pub weight: u16,
}

/// How an upstream picks a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balancing {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// By a hash of the call.
    ConsistentHashing,
    /// The one with the fewest connections by weight.
    LeastConnections,
    /// The one that answers fastest.
    Latency,
}

/// What of a call is hashed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HashOn {
    /// Nothing.
    #[default]
    None,
    /// The consumer.
    Consumer,
    /// The client's address.
    Ip,
    /// A field of that name.
    Header(Box<str>),
    /// The path.
    Path,
}
