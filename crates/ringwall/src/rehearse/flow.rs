//! A flow of packets in a scenario: `SOURCE → DESTINATION PROTOCOL/PORT`, judged as the kernel's rules would.
//!
//! In: the ends as `namespace/workload` or addresses, the destination also as the host of a Service, and a World. Out: the
//! facts `pass` or `refuse`, then `egress …` and `ingress …`, each with its verdict and rule.

use ringwall_manifest::World;
use ringwall_model::Endpoint;
use ringwall_packet::endpoint::protocol;
use ringwall_packet::judge::{Flow, Opinion};
use ringwall_packet::names::Names;
use std::net::IpAddr;

/// A flow as it is written.
#[derive(Debug)]
pub struct Written {
    source: String,
    destination: String,
    protocol: u8,
    port: u16,
    /// Protocol and port as they are written.
    place: String,
}

impl Written {
    /// Reads the line.
    ///
    /// # Errors
    /// What a flow should look like.
    pub fn read(line: &str) -> Result<Self, String> {
        let shape = || "a flow is `SOURCE → DESTINATION tcp|udp|sctp/PORT`; ends are `namespace/workload` or addresses";
        let mut words = line.split_whitespace();
        let (Some(source), Some("→"), Some(destination), Some(to), None) =
            (words.next(), words.next(), words.next(), words.next(), words.next())
        else {
            return Err(shape().into());
        };
        let (name, port) = to.split_once('/').ok_or_else(shape)?;
        let protocol = match name {
            "tcp" => protocol::TCP,
            "udp" => protocol::UDP,
            "sctp" => protocol::SCTP,
            _ => return Err(shape().into()),
        };
        let port = port.parse().map_err(|_| shape())?;
        Ok(Self { source: source.into(), destination: destination.into(), protocol, port, place: to.into() })
    }

    /// What the policies of both ends say. A flow of an end that does not exist is a fact too.
    pub fn told(&self, world: &World) -> Vec<String> {
        let (source, destinations) = match (address(world, &self.source), self.destinations(world)) {
            (Ok(source), Ok(destinations)) => (source, destinations),
            (Err(why), _) | (_, Err(why)) => return vec![format!("impossible {why}")],
        };
        let judged = destinations.iter().map(|(destination, port)| {
            let flow = Flow { source, destination: *destination, protocol: self.protocol, port: *port };
            world.ground.judge(&Names::default(), &flow)
        });
        // Every place that a service may choose must be allowed: the first that is not decides, else the last.
        let mut passed = None;
        let refused = judged.inspect(|decision| passed = Some(*decision)).find(|decision| !decision.passes());
        let Some(decision) = refused.or(passed) else {
            return vec![format!("impossible nothing is behind `{}`", self.destination)];
        };
        let end = |name, opinion: Opinion| {
            let verdict = if opinion.passes() { "pass" } else { "refuse" };
            format!("{name} {verdict} {}", world.rules.render(opinion.because()))
        };
        let outcome = if decision.passes() { "pass" } else { "refuse" };
        vec![outcome.into(), end("egress", decision.egress), end("ingress", decision.ingress)]
    }

    /// Where it goes: a workload or an address, at the port that is written; or what is behind a Service's port of that
    /// protocol, at its target.
    fn destinations(&self, world: &World) -> Result<Vec<(IpAddr, u16)>, String> {
        let id = world.inventory.hosts.get(self.destination.as_str());
        let Some(service) = id.and_then(|id| world.inventory.service(*id)) else {
            return address(world, &self.destination).map(|address| vec![(address, self.port)]);
        };
        let target = match self.protocol {
            protocol::TCP => service.ports.iter().find(|port| port.number == self.port).map(|port| port.target),
            other => {
                let mut ports = service.datagram_ports.iter();
                ports.find(|port| port.protocol == other && port.number == self.port).map(|port| port.target)
            }
        };
        let target = target.ok_or_else(|| format!("`{}` has no such port {}", self.destination, self.place))?;
        let behind = service.endpoints.iter().filter_map(|endpoint| match endpoint {
            Endpoint::Workload(id) => world.inventory.workload(*id).map(|workload| workload.address),
            Endpoint::Address(address) => Some(*address),
            Endpoint::Name(_) => None,
        });
        Ok(behind.map(|address| (address, target)).collect())
    }
}

fn address(world: &World, end: &str) -> Result<IpAddr, String> {
    if let Ok(address) = end.parse() {
        return Ok(address);
    }
    let named = world.inventory.workloads.iter().find(|workload| workload.full_name() == end);
    named.map(|workload| workload.address).ok_or_else(|| format!("`{end}` is no workload of these manifests"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_read_or_its_shape_is_told() {
        let flow = Written::read("a/b → 10.0.0.1 udp/53").unwrap();
        assert_eq!((&*flow.source, &*flow.destination, flow.protocol, flow.port), ("a/b", "10.0.0.1", 17, 53));
        for bad in ["", "a/b 10.0.0.1 tcp/1", "a → b tcp", "a → b tcp/99999", "a → b icmp/1", "a → b tcp/1 more"]
        {
            assert!(Written::read(bad).unwrap_err().contains("tcp|udp|sctp/PORT"), "{bad}");
        }
    }
}
