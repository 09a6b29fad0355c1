//! How heads are read at a listener: what the World says of paths and of whose word counts for the client's address.

use ringwall_head::call::{Connect, Underscores};
use ringwall_head::client::{RealIp, Search};
use ringwall_head::{Settings, Trust};
use ringwall_manifest::World;
use ringwall_model::{Listener, Role};

/// The settings of a listener.
pub fn settings(world: &World, listener: &Listener) -> Settings {
    let trust = match listener.role {
        Role::Edge | Role::Egress => Trust::Gateway { proxies: world.settings.trusted_proxies },
        Role::Inbound => Trust::Sidecar,
        Role::Gateway => world.gateway(listener.workload).map_or(Trust::Peer, |gateway| real_ip(&gateway.settings)),
        Role::Outbound => Trust::Peer,
    };
    Settings {
        normalization: world.settings.normalization,
        connect: if listener.role == Role::Outbound { Connect::Tunnel } else { Connect::Refuse },
        underscores: Underscores::Keep,
        trust,
        ..Settings::default()
    }
}

/// Kong's `trusted_ips`, `real_ip_header` and `real_ip_recursive`.
fn real_ip(settings: &ringwall_gateway::Settings) -> Trust {
    if settings.trusted.is_empty() {
        return Trust::Peer;
    }
    let search = if settings.real_ip_recursive { Search::LastUntrusted } else { Search::Last };
    Trust::RealIp(RealIp { trusted: settings.trusted.clone(), field: settings.real_ip_header.clone(), search })
}
