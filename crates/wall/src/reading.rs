//! How heads are read at a listener: what the World says of paths and of whose word counts for the client's address.

use ringwall_head::call::{Connect, Underscores};
use ringwall_head::{Settings, Trust};
use ringwall_manifest::World;
use ringwall_model::{Listener, Role};

/// The settings of a listener.
pub fn settings(world: &World, listener: &Listener) -> Settings {
    let trust = match listener.role {
        Role::Edge | Role::Egress => Trust::Gateway { proxies: world.settings.trusted_proxies },
        Role::Inbound => Trust::Sidecar,
        Role::Gateway => {
            world.deployments.get(&listener.workload).map_or(Trust::Peer, |deployment| deployment.trust.clone())
        }
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
