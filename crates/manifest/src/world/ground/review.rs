//! What network policies say together and nobody meant: warnings, never errors.
//!
//! In: the ground with its rules' places. Out: findings. Bounded: at most [`MAX_PAIRS`] flows are judged.

#[cfg(test)]
mod tests;

use super::World;
use crate::kubernetes::code;
use ringwall_model::{Code, Finding, RuleId, Severity};
use ringwall_packet::endpoint::protocol::TCP;
use ringwall_packet::policy::{Namespaces, Peer, Pods, Policy, Port, Rule, Tier};
use ringwall_packet::selector::Requirement;
use ringwall_packet::{Decision, Direction, Endpoint, Flow, Ground, Names};

/// The most flows that are judged in search of halves.
const MAX_PAIRS: usize = 20_000;

/// The label that every namespace has.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Reviews all policies.
pub fn review(world: &World) -> Vec<Finding> {
    if world.ground.endpoints().is_empty() {
        // Policies alone, without the pods that they are for.
        return Vec::new();
    }
    let mut review = Review { world, ground: &world.ground, left: MAX_PAIRS, found: Vec::new() };
    for policy in world.ground.policies().list() {
        review.idle(policy);
        for (direction, rules) in [(Direction::Ingress, &policy.ingress), (Direction::Egress, &policy.egress)] {
            for rule in rules.iter().flatten() {
                review.nobody(rule);
                if policy.tier == Tier::Network {
                    review.either(rule);
                    review.internet(rule, direction);
                    review.half(policy, rule, direction);
                }
            }
        }
    }
    review.open_namespaces();
    review.found
}

struct Review<'a> {
    world: &'a World,
    ground: &'a Ground,
    left: usize,
    found: Vec<Finding>,
}

impl Review<'_> {
    fn tell(&mut self, code: Code, at: RuleId, title: String, help: &str) {
        let place = self.world.rules.name(at).and_then(|name| name.place.clone());
        if let Some(place) = place {
            self.found.push(Finding::new(code, Severity::Warning, place, title).help(help));
        }
    }

    /// A policy for pods of which there is none.
    fn idle(&mut self, policy: &Policy) {
        if self.ground.chosen(&policy.subject).next().is_none() {
            let title = "this policy selects no pod of this set".to_owned();
            self.tell(
                code::SELECTS_NOBODY,
                policy.id,
                title,
                "compare the labels that it asks for with those of the pods",
            );
        }
    }

    /// A choice of namespaces that no namespace satisfies. One by its name alone may be a namespace that every cluster
    /// has and no set writes.
    fn nobody(&mut self, rule: &Rule) {
        let namespaces = self.ground.endpoints().namespaces();
        for peer in rule.peers.iter().flatten() {
            let Peer::Pods(Pods { namespaces: Namespaces::Selected(selector), .. }) = peer else { continue };
            let by_name = |one: &Requirement| matches!(one, Requirement::In(key, _) if &**key == NAME_LABEL);
            if selector.requirements().iter().all(by_name) {
                continue;
            }
            if !namespaces.values().any(|labels| selector.matches(labels)) {
                let title = "no namespace of this set has the labels that this rule asks for".to_owned();
                let help = "every namespace has the label `kubernetes.io/metadata.name`; others must be written";
                self.tell(code::NO_NAMESPACE, rule.id, title, help);
                return;
            }
        }
    }

    /// Two items where one was meant: all pods of some namespaces, or pods of the policy's own.
    fn either(&mut self, rule: &Rule) {
        let (mut whole, mut own) = (false, false);
        for peer in rule.peers.iter().flatten() {
            match peer {
                Peer::Pods(Pods { namespaces: Namespaces::Selected(_), pods }) if pods.is_empty() => whole = true,
                Peer::Pods(Pods { namespaces: Namespaces::Named(_), pods }) if !pods.is_empty() => own = true,
                _ => {}
            }
        }
        if whole && own {
            let title = "either, not both: every pod of the chosen namespaces, or the chosen pods of this namespace";
            let help = "put `namespaceSelector` and `podSelector` into one item to mean such pods of such namespaces";
            self.tell(code::EITHER_NOT_BOTH, rule.id, title.to_owned(), help);
        }
    }

    /// Pods of every namespace, on the ports of the web: a choice of pods is never the internet.
    fn internet(&mut self, rule: &Rule, direction: Direction) {
        let everywhere = |peer: &Peer| match peer {
            Peer::Pods(Pods { namespaces: Namespaces::Selected(selector), pods }) => {
                selector.is_empty() && pods.is_empty()
            }
            _ => false,
        };
        let web = |port: &Port| matches!(port, Port::Range { protocol: TCP, first: 443, last: 443 });
        let peers = rule.peers.as_ref().is_some_and(|peers| !peers.is_empty() && peers.iter().all(everywhere));
        let ports = rule.ports.as_ref().is_some_and(|ports| !ports.is_empty() && ports.iter().all(web));
        if direction == Direction::Egress && peers && ports {
            let title = "`namespaceSelector: {}` means every pod of the cluster, and nothing outside of it".to_owned();
            let help = "write an `ipBlock`, or a ClusterNetworkPolicy with `domainNames`, to mean the internet";
            self.tell(code::PODS_FOR_INTERNET, rule.id, title, help);
        }
    }

    /// A rule whose flows the other end refuses, every one of them.
    fn half(&mut self, policy: &Policy, rule: &Rule, direction: Direction) {
        let Some(Port::Range { protocol, first, .. }) = rule.ports.iter().flatten().next() else { return };
        let (mut refused, mut other) = (0_usize, None);
        let ground = self.ground;
        let subjects: Vec<&Endpoint> = ground.chosen(&policy.subject).collect();
        let pods = rule.peers.iter().flatten().filter_map(|peer| match peer {
            Peer::Pods(pods) => Some(pods),
            _ => None,
        });
        let peers: Vec<&Endpoint> = pods.flat_map(|pods| ground.chosen(pods)).collect();
        for subject in subjects {
            for peer in &peers {
                let (Some(own), Some(away)) = (subject.addresses.first(), peer.addresses.first()) else { continue };
                if own == away {
                    continue;
                }
                // What was not looked at wholly is not told.
                let Some(left) = self.left.checked_sub(1) else { return };
                self.left = left;
                let (source, destination) = if direction == Direction::Egress { (*own, *away) } else { (*away, *own) };
                let flow = Flow { source, destination, protocol: *protocol, port: *first };
                let decision: Decision = ground.judge(&Names::default(), &flow);
                match decision.refusal() {
                    None => return,
                    Some((by, because)) if by != direction => {
                        refused += 1;
                        other.get_or_insert_with(|| (because, peer.namespace.clone(), peer.name.clone()));
                    }
                    Some(_) => {}
                }
            }
        }
        if let Some((because, namespace, name)) = other.filter(|_| refused > 0) {
            let half = if direction == Direction::Egress { "may be sent" } else { "may send" };
            let by = self.world.rules.render(because);
            let title =
                format!("half a flow: nothing says that `{namespace}/{name}` {half} what this rule allows ({by})");
            let help = "a flow passes when its source's egress and its destination's ingress both allow it";
            self.tell(code::HALF_A_FLOW, rule.id, title, help);
        }
    }

    /// Namespaces in which some pods are isolated and others are not: who forgets a label is open to everybody.
    fn open_namespaces(&mut self) {
        for (name, namespace) in &self.world.inventory.namespaces {
            let here = |policy: &&Policy| policy.namespace == *name && policy.ingress.is_some();
            let mut policies = self.ground.policies().list().iter().filter(here).peekable();
            let any = policies.peek().is_some();
            let closed = policies.any(|policy| policy.subject.pods.is_empty());
            if let Some(place) = namespace.place.clone().filter(|_| any && !closed) {
                let title = format!("pods of `{name}` that no policy chooses may be called by anybody");
                let finding = Finding::new(code::NO_DEFAULT_DENY, Severity::Warning, place, title);
                let help = "add a NetworkPolicy with `podSelector: {}` and no rules";
                self.found.push(finding.help(help));
            }
        }
    }
}
