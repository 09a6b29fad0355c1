//! Where a call goes: the service, what stands behind its name, and how patient the gateway is.

use crate::entity::{Balancing, HashOn, Route, Service, ServiceProtocol, Upstream, UpstreamTarget};
use crate::scope::digest;
use crate::walk::Walk;
use bytes::Bytes;
use ringwall_model::Millis;
use std::sync::Arc;

/// Where a call goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// Host of the service: a name or an address.
    pub host: Arc<str>,
    /// Port.
    pub port: u16,
    /// What is spoken there.
    pub protocol: ServiceProtocol,
    /// Path that goes there, without query. The same as the judgement's [`ringwall_model::Edit::Path`].
    pub path: Bytes,
    /// `Host` that goes there. The same as the judgement's [`ringwall_model::Edit::Authority`].
    pub authority: Bytes,
    /// When the host names an upstream: its targets in the order in which they are to be tried, at least one.
    pub targets: Vec<UpstreamTarget>,
    /// How long a connection may take to be made.
    pub connect_timeout: Millis,
    /// Between two writes.
    pub write_timeout: Millis,
    /// Between two reads.
    pub read_timeout: Millis,
    /// How often a connection that failed before anything was sent is tried again.
    pub retries: u16,
    /// How the gateway's own TLS treats the service's certificate.
    pub tls: Tls,
}

/// Whether the gateway verifies a service's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// The gateway speaks no TLS itself (the mesh may).
    None,
    /// Certificate and name are verified.
    Verified,
    /// As Kong does unless told otherwise: any certificate is taken.
    Unverified,
}

/// Where a call of this walk goes; `None` when its route has no service, or its upstream no target.
pub fn of(walk: &Walk<'_>, route: &Route) -> Option<Target> {
    let service = walk.gateway.service(walk.selected.service?)?;
    let upstream = walk.gateway.upstream(&service.host);
    let targets = upstream.map(|upstream| balance(upstream, seed(upstream, walk))).unwrap_or_default();
    if upstream.is_some() && targets.is_empty() {
        return None;
    }
    let tls = match (service.protocol.is_encrypted(), service.tls_verify) {
        (false, _) => Tls::None,
        (true, Some(true)) => Tls::Verified,
        (true, _) => Tls::Unverified,
    };
    Some(Target {
        host: Arc::clone(&service.host),
        port: service.port,
        protocol: service.protocol,
        path: walk.path.clone(),
        authority: authority(walk, route, service, upstream, targets.first()),
        targets,
        connect_timeout: service.connect_timeout,
        write_timeout: service.write_timeout,
        read_timeout: service.read_timeout,
        retries: service.retries,
        tls,
    })
}

fn authority(
    walk: &Walk<'_>,
    route: &Route,
    service: &Service,
    upstream: Option<&Upstream>,
    target: Option<&UpstreamTarget>,
) -> Bytes {
    // A transformer may have replaced it.
    let replaced = walk.edits.iter().rev().find_map(|edit| match edit {
        ringwall_model::Edit::Authority(authority) => Some(authority.clone()),
        _ => None,
    });
    if let Some(replaced) = replaced {
        return replaced;
    }
    if route.preserve_host {
        return walk.call.authority.clone();
    }
    if let Some(host) = upstream.and_then(|upstream| upstream.host_header.as_ref()) {
        return host.as_bytes().to_vec().into();
    }
    let (host, port) = target.map_or((&service.host, service.port), |target| (&target.host, target.port));
    let default = if service.protocol.is_encrypted() { 443 } else { 80 };
    if port == default { host.as_bytes().to_vec().into() } else { format!("{host}:{port}").into() }
}

/// The bits that pick a target: of what the upstream hashes, or random ones.
fn seed(upstream: &Upstream, walk: &Walk<'_>) -> u64 {
    let hashed = match (upstream.algorithm, &upstream.hash_on) {
        (Balancing::ConsistentHashing, HashOn::Consumer) => walk.consumer().map(|it| digest(it.id.as_bytes())),
        (Balancing::ConsistentHashing, HashOn::Ip) => Some(digest(walk.call.client.address.to_string().as_bytes())),
        (Balancing::ConsistentHashing, HashOn::Header(name)) => walk.call.fields.first(name).map(|value| digest(value)),
        (Balancing::ConsistentHashing, HashOn::Path) => Some(digest(&walk.call.views.kong)),
        _ => None,
    };
    let bits = hashed.and_then(|hash| hash.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes)));
    bits.unwrap_or((walk.random >> 64) as u64)
}

/// The targets of an upstream in the order in which they are to be tried: the first by weight and `seed`, the others
/// after it in turn. A weight of 0 takes a target out.
///
/// Calls spread by weight whatever the algorithm; least connections and latency need what only the data plane knows.
pub fn balance(upstream: &Upstream, seed: u64) -> Vec<UpstreamTarget> {
    let mut live: Vec<UpstreamTarget> = upstream.targets.iter().filter(|target| target.weight > 0).cloned().collect();
    let total: u64 = live.iter().map(|target| u64::from(target.weight)).sum();
    let mut rest = seed.checked_rem(total).unwrap_or_default();
    let first = live.iter().position(|target| {
        let weight = u64::from(target.weight);
        let is_here = rest < weight;
        rest = rest.saturating_sub(weight);
        is_here
    });
    live.rotate_left(first.unwrap_or_default());
    live
}
