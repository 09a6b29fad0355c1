//! Routes of connections that are not opened: TLS by server name, TCP by port and address.
//!
//! In: [`At`], server name, port. Out: [`ConnectionSelection`]. Never: a look into the bytes.
//! Follows VirtualService `tls` and `tcp` as Istio makes filter chains of them. A connection that meets none goes to
//! the service of that name and port, else where the outbound policy says; at a gateway it is closed.

use super::hosts::covers;
use super::plan::{Known, PlanTarget, by_weight};
use super::resource::ConnectionMatch;
use super::{At, NO_ROUTE, NO_UPSTREAM, Routes, Scope, ServerTls, TlsMode, Toward, VirtualHost};
use crate::egress::{OutboundMode, UNREGISTERED};
use ringwall_model::{Builtin, Host, Reason, RuleId};
use std::net::IpAddr;
use std::sync::Arc;

/// What becomes of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionSelection {
    /// It goes to a destination.
    Route(ConnectionChoice),
    /// It is closed.
    Close {
        /// The rule.
        because: Reason,
    },
}

/// A chosen destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionChoice {
    /// The VirtualService's route, or that no rule applies.
    pub because: Reason,
    /// Host of the destination.
    pub host: Host,
    /// Port of the destination.
    pub port: u16,
    /// Subset of the destination.
    pub subset: Option<Arc<str>>,
    /// What the destination is.
    pub toward: Toward,
}

/// Where a TCP connection wants to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// The host that the outbound listener stands for.
    Host(&'a str),
    /// An address.
    Address(IpAddr),
}

/// One route of connections, put together.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub because: RuleId,
    pub matching: Option<ConnectionMatch>,
    pub targets: Vec<PlanTarget>,
    pub total: u64,
}

/// Chooses the destination of a TLS connection that is passed on unopened. `sni` is in lower case.
pub fn tls(routes: &Routes, at: At<'_>, sni: &str, port: u16, dice: u64) -> ConnectionSelection {
    match at {
        At::Gateway { workload, .. } => {
            let Some((number, table)) = routes.gateway_port(workload, port) else { return close(NO_ROUTE) };
            let Some((index, server)) = table.server(Some(sni)) else { return close(NO_ROUTE) };
            if server.tls.as_deref().is_some_and(|tls: &ServerTls| tls.mode == TlsMode::AutoPassthrough) {
                return by_name(routes, sni);
            }
            let host = table.hosts.get(index).and_then(|hosts| hosts.find(sni));
            match host.and_then(|host| first(&host.tls, Some(sni), None, number)) {
                Some(entry) => choose(routes, entry, number, dice),
                None => close(NO_ROUTE),
            }
        }
        At::Sidecar { workload, .. } => {
            let client = routes.clients.get(workload.0 as usize);
            let Some((client, scope)) = client.and_then(|client| Some((client, routes.scopes.get(client.scope)?)))
            else {
                return close(NO_ROUTE);
            };
            let found = scope.hosts.find(sni).and_then(|host| first(&host.tls, Some(sni), None, port));
            if let Some(entry) = found {
                return choose(routes, entry, port, dice);
            }
            let service = routes.service_seen(client, scope, sni);
            match service.filter(|(_, known)| known.ports.iter().any(|(number, _)| *number == port)) {
                Some((id, known)) => {
                    let host = if known.host.starts_with('*') { Arc::from(sni) } else { Arc::clone(&known.host) };
                    plain(host, port, Toward::Service(id))
                }
                None => unregistered(scope, sni, port),
            }
        }
    }
}

/// Chooses the destination of a TCP connection to `port`.
pub fn tcp(routes: &Routes, at: At<'_>, port: u16, target: Target<'_>, dice: u64) -> ConnectionSelection {
    match at {
        At::Gateway { workload, .. } => {
            let Some((number, table)) = routes.gateway_port(workload, port) else { return close(NO_ROUTE) };
            let host = table.hosts.iter().find_map(|hosts| hosts.get("*").or_else(|| hosts.first()));
            match host.and_then(|host| first(&host.tcp, None, None, number)) {
                Some(entry) => choose(routes, entry, number, dice),
                None => close(NO_ROUTE),
            }
        }
        At::Sidecar { workload, .. } => {
            let client = routes.clients.get(workload.0 as usize);
            let Some((client, scope)) = client.and_then(|client| Some((client, routes.scopes.get(client.scope)?)))
            else {
                return close(NO_ROUTE);
            };
            let (name, address) = match target {
                Target::Host(host) => (host.to_owned(), None),
                Target::Address(address) => (address.to_string(), Some(address)),
            };
            let service = routes.service_seen(client, scope, &name);
            let host: &str = service.map_or(&name, |(_, known)| &known.host);
            let routed = |host: &VirtualHost| first(&host.tcp, None, address, port).cloned();
            if let Some(entry) = scope.hosts.find(host).and_then(routed) {
                return choose(routes, &entry, port, dice);
            }
            match service.filter(|(_, known)| known.ports.iter().any(|(number, _)| *number == port)) {
                Some((id, known)) => plain(Arc::clone(&known.host), port, Toward::Service(id)),
                None => unregistered(scope, &name, port),
            }
        }
    }
}

fn first<'a>(entries: &'a [Entry], sni: Option<&str>, address: Option<IpAddr>, port: u16) -> Option<&'a Entry> {
    entries.iter().find(|entry| {
        entry.matching.as_ref().is_none_or(|matching| {
            let names = &matching.sni_hosts;
            let named = names.is_empty() || sni.is_some_and(|sni| names.iter().any(|pattern| covers(pattern, sni)));
            let nets = &matching.destinations;
            let there = nets.is_empty() || address.is_some_and(|address| nets.iter().any(|net| net.contains(&address)));
            named && there && matching.port.is_none_or(|wanted| wanted == port)
        })
    })
}

fn choose(routes: &Routes, entry: &Entry, port: u16, dice: u64) -> ConnectionSelection {
    let target = by_weight(&entry.targets, entry.total, dice, |target| target.weight);
    let known = target.filter(|target| target.subset_known == Known::Yes);
    let service = known.and_then(|target| Some((target, target.service?)));
    let Some((target, service)) = service.filter(|(_, id)| routes.services.get(id.0 as usize).is_some()) else {
        return close(NO_UPSTREAM);
    };
    ConnectionSelection::Route(ConnectionChoice {
        because: Reason::Rule(entry.because),
        host: Arc::clone(&target.host),
        port: target.port.unwrap_or(port),
        subset: target.subset.clone(),
        toward: Toward::Service(service),
    })
}

/// `outbound_.<port>_.<subset>_.<host>`, the name under which meshes reach each other.
fn by_name(routes: &Routes, sni: &str) -> ConnectionSelection {
    let mut parts = sni.splitn(4, "_.");
    let (direction, port, subset, host) = (parts.next(), parts.next(), parts.next(), parts.next());
    let port = port.and_then(|port| port.parse::<u16>().ok());
    let found = host.and_then(|host| routes.service_of(host));
    match (direction, port, found) {
        (Some("outbound"), Some(port), Some((id, known))) if known.ports.iter().any(|(number, _)| *number == port) => {
            ConnectionSelection::Route(ConnectionChoice {
                because: Reason::NoRuleApplies,
                host: Arc::clone(&known.host),
                port,
                subset: subset.filter(|subset| !subset.is_empty()).map(Arc::from),
                toward: Toward::Service(id),
            })
        }
        _ => close(NO_ROUTE),
    }
}

fn unregistered(scope: &Scope, host: &str, port: u16) -> ConnectionSelection {
    match scope.outbound {
        OutboundMode::AllowAny => plain(host.into(), port, Toward::Unregistered),
        OutboundMode::RegistryOnly => close(UNREGISTERED),
    }
}

fn plain(host: Host, port: u16, toward: Toward) -> ConnectionSelection {
    ConnectionSelection::Route(ConnectionChoice { because: Reason::NoRuleApplies, host, port, subset: None, toward })
}

const fn close(rule: Builtin) -> ConnectionSelection {
    ConnectionSelection::Close { because: Reason::Builtin(rule) }
}
