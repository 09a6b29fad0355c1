//! NetworkPolicy on the page: what the packet layer says of a connection that the data plane carries.
//!
//! In: World, who connects, where. Out: what it says; `None` where no policy is loaded, so that the trace names the layer
//! only where it has something to say. The same ground is compiled for the kernel; without root this is how it is enforced.
//!
//! Who connects is a workload's outbound listener, or its gateway, where the hop begins; there both ends are judged. Where
//! it arrives, the caller is its address, if an endpoint has it, else its proved identity. Pods that share a service account
//! cannot be told apart by it: one of them must be allowed; the hop's beginning tells them apart.

use ringwall_manifest::World;
use ringwall_mesh::upstream;
use ringwall_model::{Decision, Endpoint, Peer, Reason, Reply, WorkloadId};
use ringwall_packet::endpoint::protocol::TCP;
use ringwall_packet::{Flow, Names, Opinion};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

/// No name has an address here.
pub static NO_NAMES: LazyLock<Names> = LazyLock::new(Names::default);

/// What refused calls are told; a refused connection is closed.
const REFUSED: &str = "network policy: access denied";

/// What the layer says.
pub struct Said {
    /// Whether the flow passes.
    pub decision: Decision,
    /// The rule of a policy in audit mode by which a flow that passes would be refused.
    pub would_refuse: Option<Reason>,
}

impl Said {
    const fn passes(&self) -> bool {
        matches!(self.decision, Decision::Pass { .. })
    }
}

/// A connection that arrives at a workload's port.
pub fn arriving(world: &World, workload: WorkloadId, port: u16, peer: &Peer) -> Option<Said> {
    if world.ground.policies().is_empty() {
        return None;
    }
    let destination = world.inventory.workload(workload)?.address;
    let address = peer.address.ip();
    let bearers = peer.identity().and_then(|identity| world.bearers.get(identity));
    match bearers.filter(|_| world.ground.endpoints().at(address).is_none()) {
        None => Some(judge(world, address, destination, port)),
        Some(bearers) => {
            let sources = bearers.iter().filter_map(|id| world.inventory.workload(*id));
            let mut said: Vec<Said> = sources.map(|source| judge(world, source.address, destination, port)).collect();
            let allowed = said.iter().position(Said::passes);
            (!said.is_empty()).then(|| said.swap_remove(allowed.unwrap_or(0)))
        }
    }
}

/// A hop from one workload to another that stays inside this page.
pub fn between(world: &World, source: WorkloadId, destination: WorkloadId, port: u16) -> Option<Said> {
    if world.ground.policies().is_empty() {
        return None;
    }
    let (source, destination) = (world.inventory.workload(source)?, world.inventory.workload(destination)?);
    Some(judge(world, source.address, destination.address, port))
}

/// A connection that a workload begins to a service's port: every endpoint that it may be given must be allowed.
pub fn leaving(
    world: &World,
    source: WorkloadId,
    (host, port): (&str, u16),
    subset: Option<&Arc<str>>,
    names: &Names,
) -> Option<Said> {
    if world.ground.policies().is_empty() {
        return None;
    }
    let from = world.inventory.workload(source)?.address;
    let service = world.inventory.service_of(host).and_then(|id| world.inventory.service(id));
    let known = service.and_then(|service| service.ports.iter().find(|known| known.number == port));
    let target = known.map_or(port, |known| known.target);
    let labels = subset.and_then(|subset| upstream::policy(&world.routes, source, host, port, Some(subset)));
    let labels = labels.and_then(|policy| policy.subset_labels);
    let mut passed = None;
    for endpoint in service.map_or(&[][..], |service| &service.endpoints) {
        let said = match endpoint {
            Endpoint::Workload(id) => {
                let Some(workload) = world.inventory.workload(*id) else { continue };
                let chosen = |labels: &Arc<ringwall_model::Labels>| {
                    labels.iter().all(|(name, value)| workload.labels.get(name) == Some(value))
                };
                if !labels.as_ref().is_none_or(chosen) {
                    continue;
                }
                // A gateway listens at its servers' own ports.
                let is_server = world.routes.servers(*id).any(|(server, _)| server == port);
                judge(world, from, workload.address, if is_server { port } else { target })
            }
            Endpoint::Address(address) => judge(world, from, *address, target),
            Endpoint::Name(name) => judge_name(world, from, name, target),
        };
        if !said.passes() {
            return Some(said);
        }
        passed.get_or_insert(said);
    }
    // Nothing stands behind the name here: it is a name outside, or an address that a program dialled.
    if let (None, Ok(address)) = (&passed, host.parse()) {
        return Some(judge_with(world, names, from, address, target));
    }
    Some(passed.unwrap_or_else(|| judge_name(world, from, host, target)))
}

fn judge(world: &World, source: IpAddr, destination: IpAddr, port: u16) -> Said {
    judge_with(world, &NO_NAMES, source, destination, port)
}

fn judge_with(world: &World, names: &Names, source: IpAddr, destination: IpAddr, port: u16) -> Said {
    let flow = Flow { source, destination, protocol: TCP, port };
    let decision = world.ground.judge(names, &flow);
    match decision.refusal() {
        Some((_, because)) => refuse(because),
        None => {
            // The rule that lets it in says more than the one that lets it out, where both have one.
            let (egress, ingress) = (decision.egress.because(), decision.ingress.because());
            let because = if ingress == Reason::NoRuleApplies { egress } else { ingress };
            let would_refuse = decision.would_refuse().map(|(_, audited)| audited);
            Said { decision: Decision::Pass { because }, would_refuse }
        }
    }
}

fn judge_name(world: &World, source: IpAddr, name: &str, port: u16) -> Said {
    match world.ground.opinion_of_name(&NO_NAMES, source, name, TCP, port) {
        Opinion::Pass { because, would_refuse } => Said { decision: Decision::Pass { because }, would_refuse },
        Opinion::Refuse { because } => refuse(because),
    }
}

fn refuse(because: Reason) -> Said {
    Said { decision: Decision::Refuse { because, reply: Reply::text(403, REFUSED) }, would_refuse: None }
}
