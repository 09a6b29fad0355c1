//! The page for a connection without HTTP that we read: TCP, or TLS that is passed on unopened.
//!
//! In: World, listener, peer. Out: where it goes, or the layer and rule that end it. The order at a workload is the same
//! as for a call: NetworkPolicy, identity, authorization, then the way on.

use crate::outcome::Hop;
use crate::packet;
use ringwall_manifest::World;
use ringwall_mesh::route::{At, ConnectionChoice, ConnectionSelection, Target};
use ringwall_model::{Decision, Layer, Listener, Peer, Reason, Role, Trace, WorkloadId};
use ringwall_packet::Names;
use std::sync::Arc;

/// What the page says of a connection.
#[derive(Debug)]
pub struct ConnectionOutcome {
    /// Where it goes; `None` when it ends here.
    pub way: Option<Way>,
    /// The layer and reason that decided.
    pub because: (Layer, Reason),
    /// Envoy's `CONNECTION_TERMINATION_DETAILS`, when it ends here.
    pub details: Arc<str>,
    /// What the layers said.
    pub trace: Trace,
}

/// Where a connection goes.
#[derive(Clone, Debug)]
pub enum Way {
    /// To the application of the listener's own workload, or to its host.
    Hop(Hop),
    /// To the destination of a TLS or TCP route, as that workload.
    Route {
        /// Whose identity connects.
        source: WorkloadId,
        /// The chosen route.
        choice: Box<ConnectionChoice>,
    },
}

/// Takes one connection through the layers of its listener's role. `dice` are random bits for weights,
/// `names` what names of the outside have turned out to be.
pub fn connection(world: &World, listener: &Listener, peer: &Peer, dice: u64, names: &Names) -> ConnectionOutcome {
    let mut trace = Trace::default();
    let (own, port) = (listener.workload, listener.address.port());
    let server_name = peer.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
    // A passed-on TLS connection shows no identity at a gateway's door; its authorization sees plaintext, as Envoy's does.
    if listener.role != Role::Outbound {
        let network = packet::arriving(world, own, port, peer);
        if let Some(because) = refused(network, &mut trace) {
            return ended(because, trace);
        }
        let verdict = ringwall_mesh::judge::connection_verdict(&world.mesh, own, port, peer);
        let because = verdict.judgement.decision.because();
        trace.note(Layer::Mesh, &verdict.judgement.decision);
        if let Decision::Refuse { .. } = verdict.judgement.decision {
            return ConnectionOutcome { way: None, because: (Layer::Mesh, because), details: verdict.details, trace };
        }
        if listener.role == Role::Inbound {
            let way = Some(Way::Hop(Hop::Application { workload: own, port }));
            return ConnectionOutcome { way, because: (Layer::Mesh, because), details: "".into(), trace };
        }
    }
    let target = listener.target.as_ref().map(|(host, port)| (&**host, *port));
    let at = match listener.role {
        Role::Outbound => At::Sidecar { workload: own, target },
        Role::Edge | Role::Egress | Role::Gateway | Role::Inbound => At::Gateway { workload: own, port, server_name },
    };
    let selection = match (server_name, target) {
        (Some(name), _) => ringwall_mesh::route::tls(&world.routes, at, name, port, dice),
        (None, Some((host, port))) => ringwall_mesh::route::tcp(&world.routes, at, port, Target::Host(host), dice),
        (None, None) => {
            ringwall_mesh::route::tcp(&world.routes, at, port, Target::Address(listener.address.ip()), dice)
        }
    };
    match selection {
        ConnectionSelection::Route(choice) => {
            let because = choice.because;
            trace.note(Layer::Route, &Decision::Pass { because });
            let network = packet::leaving(world, own, (&choice.host, choice.port), choice.subset.as_ref(), names);
            if let Some(because) = refused(network, &mut trace) {
                return ended(because, trace);
            }
            let way = Some(Way::Route { source: own, choice: Box::new(choice) });
            ConnectionOutcome { way, because: (Layer::Route, because), details: "".into(), trace }
        }
        ConnectionSelection::Close { because } => {
            trace.note(Layer::Route, &Decision::Refuse { because, reply: ringwall_model::Reply::Drop });
            ConnectionOutcome { way: None, because: (Layer::Route, because), details: "route_not_found".into(), trace }
        }
    }
}

/// Notes what the packet layer says; its reason when it refuses.
fn refused(said: Option<packet::Said>, trace: &mut Trace) -> Option<Reason> {
    let packet::Said { decision, would_refuse } = said?;
    match (&decision, would_refuse) {
        (Decision::Pass { because }, Some(audited)) => trace.note_audited(Layer::Packet, *because, audited),
        _ => trace.note(Layer::Packet, &decision),
    }
    matches!(decision, Decision::Refuse { .. }).then(|| decision.because())
}

fn ended(because: Reason, trace: Trace) -> ConnectionOutcome {
    ConnectionOutcome { way: None, because: (Layer::Packet, because), details: "network_policy".into(), trace }
}
