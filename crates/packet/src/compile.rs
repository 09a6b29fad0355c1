//! Policies over endpoints become what one node enforces.
//!
//! In: the ground, the addresses that names have now, the node's share. Out: a [`Ruleset`] that says of every flow what
//! [`Ground::judge`] says. Endpoints that the same policies select share a group; selectors are resolved once.

mod entries;

use crate::endpoint::EndpointId;
use crate::ground::{Direction, Ground};
use crate::judge::{View, isolating, rules};
use crate::names::Names;
use crate::policy::{Action, Force, Policy, Port, Rule, Tier};
use crate::ruleset::{self, Chain, Group, GroupId, Outcome, Ruleset, Step, Verdict};
pub use entries::held;
use entries::{Entries, NamedPorts, Resolver};
use ipnet::IpNet;
use ringwall_model::Reason;
use std::collections::HashMap;
use std::net::IpAddr;

/// What of all endpoints one node enforces.
#[derive(Clone, Debug, Default)]
pub struct Share {
    /// Pod networks of this node.
    pub networks: Vec<IpNet>,
    /// The node's own addresses.
    pub node: Vec<IpAddr>,
    /// Its endpoints.
    pub locals: Vec<Local>,
}

/// One endpoint of the node.
#[derive(Clone, Debug)]
pub struct Local {
    /// Which.
    pub endpoint: EndpointId,
    /// The host's side of its link.
    pub interface: Option<Box<str>>,
}

impl Share {
    /// All endpoints, without networks, node or links: for a machine that runs everything, for tests and for text.
    pub fn of_all(ground: &Ground) -> Self {
        let locals = ground.endpoints().iter().map(|(endpoint, _)| Local { endpoint, interface: None });
        Self { networks: Vec::new(), node: Vec::new(), locals: locals.collect() }
    }
}

/// Makes the ruleset of a share. Endpoints on the host's network are not in it.
pub fn compile(ground: &Ground, names: &Names, share: &Share) -> Ruleset {
    let mut compiler = Compiler { ground, resolver: Resolver::new(ground, names), groups: Groups::default() };
    let mut endpoints = Vec::with_capacity(share.locals.len());
    for local in &share.locals {
        let Some(endpoint) = ground.endpoints().get(local.endpoint) else { continue };
        if ground.identity(local.endpoint).is_none() {
            continue;
        }
        endpoints.push(ruleset::Endpoint {
            name: format!("{}/{}", endpoint.namespace, endpoint.name).into(),
            addresses: endpoint.addresses.clone(),
            interface: local.interface.clone(),
            egress: compiler.group(local.endpoint, Direction::Egress),
            ingress: compiler.group(local.endpoint, Direction::Ingress),
        });
    }
    let names = compiler.resolver.held();
    let (networks, node) = (share.networks.clone(), share.node.clone());
    Ruleset { networks, node, endpoints, groups: compiler.groups.list, names }
}

struct Compiler<'a> {
    ground: &'a Ground,
    resolver: Resolver<'a>,
    groups: Groups<'a>,
}

/// Groups by what makes them: direction, policies, and the own ports that a port by name may mean.
#[derive(Default)]
struct Groups<'a> {
    list: Vec<Group>,
    known: HashMap<(Direction, &'a [u32], NamedPorts<'a>), GroupId>,
}

impl<'a> Compiler<'a> {
    fn group(&mut self, endpoint: EndpointId, direction: Direction) -> Option<GroupId> {
        let indexes = self.ground.selecting_indexes(endpoint, direction);
        if indexes.is_empty() {
            return None;
        }
        let policies: Vec<&'a Policy> = self.ground.selecting(endpoint, direction).collect();
        let own: NamedPorts<'a> = match (direction, self.ground.endpoints().get(endpoint)) {
            (Direction::Ingress, Some(endpoint)) if policies.iter().any(|policy| names_ports(policy)) => {
                &endpoint.ports
            }
            _ => &[],
        };
        let key = (direction, indexes, own);
        if let Some(known) = self.groups.known.get(&key) {
            return Some(*known);
        }
        let id = GroupId(u32::try_from(self.groups.list.len()).ok()?);
        let audited = policies.iter().any(|policy| policy.force == Force::Audit);
        let group = Group {
            enforced: self.chain(&policies, direction, own, View::Enforced),
            shadow: audited.then(|| self.chain(&policies, direction, own, View::Shadow)),
        };
        self.groups.list.push(group);
        self.groups.known.insert(key, id);
        Some(id)
    }

    fn chain(&mut self, policies: &[&'a Policy], direction: Direction, own: NamedPorts<'a>, view: View) -> Chain {
        let of = |tier: Tier| {
            let seen = policies.iter().filter(move |policy| policy.tier == tier && view.sees(policy));
            seen.copied().collect::<Vec<&'a Policy>>()
        };
        let (admin, network) = (of(Tier::Admin), of(Tier::Network));
        let mut tiers = vec![self.tier(&admin, direction, own)];
        let otherwise = match isolating(&network, direction) {
            Some(because) => {
                tiers.push(self.tier(&network, direction, own));
                Verdict::Drop(because)
            }
            None => {
                tiers.push(self.tier(&of(Tier::Baseline), direction, own));
                Verdict::Accept
            }
        };
        tiers.retain(|tier| !tier.steps.is_empty());
        Chain { tiers, otherwise }
    }

    /// The rules in order; neighbours with the same outcome become one step.
    fn tier(&mut self, policies: &[&'a Policy], direction: Direction, own: NamedPorts<'a>) -> ruleset::Tier {
        let mut steps: Vec<Step> = Vec::new();
        let mut open: Option<(Outcome, Entries)> = None;
        for rule in policies.iter().flat_map(|policy| rules(policy, direction)) {
            let outcome = outcome(rule);
            if open.as_ref().is_some_and(|(of, _)| *of != outcome) {
                steps.extend(open.take().and_then(close));
            }
            let (_, entries) = open.get_or_insert_with(|| (outcome, Entries::default()));
            self.resolver.add(entries, rule, direction, own);
            // Among neighbours with the same outcome the order means nothing.
            steps.extend(self.resolver.named(rule, direction, own, outcome));
        }
        steps.extend(open.and_then(close));
        ruleset::Tier { steps }
    }
}

fn close((outcome, entries): (Outcome, Entries)) -> Option<Step> {
    entries.into_step(outcome, None)
}

fn names_ports(policy: &Policy) -> bool {
    let ports = rules(policy, Direction::Ingress).iter().flat_map(|rule| rule.ports.iter().flatten());
    ports.into_iter().any(|port| matches!(port, Port::Named { .. }))
}

const fn outcome(rule: &Rule) -> Outcome {
    match rule.action {
        Action::Accept => Outcome::Accept,
        Action::Pass => Outcome::Pass,
        Action::Deny => Outcome::Drop(Reason::Rule(rule.id)),
    }
}
