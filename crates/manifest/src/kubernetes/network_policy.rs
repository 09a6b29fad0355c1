//! NetworkPolicy (networking.k8s.io/v1).
//!
//! In: a resource. Out: a [`Policy`] and findings. The API server's defaulting is done here (P4 of the rules in
//! `docs/layers/packet.md`), and its validation is repeated. A rule that cannot be read allows nothing; a selector that
//! cannot be read isolates every pod of the namespace.

use super::{code, label_selector};
use crate::node::{Cursor, Value};
use crate::resource::Resource;
use ipnet::IpNet;
use ringwall_model::{RuleBook, RuleId, Severity};
use ringwall_packet::endpoint::protocol;
use ringwall_packet::policy::{Action, Force, Namespaces, Peer, Pods, Policy, Port, Rule, Tier};
use ringwall_packet::{Direction, Selector};

/// The annotation that puts a policy into audit mode.
pub const ENFORCEMENT: &str = "ringwall.dev/enforcement";

pub(super) const PROTOCOLS: [(&str, u8); 3] =
    [("TCP", protocol::TCP), ("UDP", protocol::UDP), ("SCTP", protocol::SCTP)];

/// Lowers one resource.
pub fn lower(resource: &Resource<'_>, rules: &mut RuleBook) -> Policy {
    let spec = resource.spec();
    let id = whole(resource, rules);
    let pods = label_selector::lower(spec.get("podSelector"));
    let [ingress, egress] = directions(spec);
    let ingress = ingress.then(|| lower_rules(resource, rules, Direction::Ingress));
    let egress = egress.then(|| lower_rules(resource, rules, Direction::Egress));
    let subject_is_sound = spec.get("podSelector").is_sound();
    let nothing = |rules: Vec<Rule>| if subject_is_sound { rules } else { Vec::new() };
    Policy {
        id,
        namespace: resource.namespace.into(),
        name: resource.name.into(),
        tier: Tier::Network,
        priority: 0,
        subject: Pods {
            namespaces: Namespaces::Named(resource.namespace.into()),
            pods: if subject_is_sound { pods } else { Selector::default() },
        },
        force: force(resource),
        ingress: ingress.map(nothing),
        egress: egress.map(nothing),
    }
}

/// The resource as a rule: its place is its `spec`.
pub(super) fn whole(resource: &Resource<'_>, rules: &mut RuleBook) -> RuleId {
    rules.enter(resource.kind, resource.namespace, resource.name, "", Some(resource.spec().place()))
}

/// Whether the policy speaks of ingress and of egress. Without `policyTypes` it speaks of ingress, and of egress when it
/// has a rule for it (P4); what it does not speak of is ignored even where rules are written (P5).
fn directions(spec: Cursor<'_>) -> [bool; 2] {
    let types = spec.get("policyTypes");
    let words = [("Ingress", Direction::Ingress), ("Egress", Direction::Egress)];
    let listed: Vec<_> = types.items().map(|item| item.enumeration(&words)).collect();
    if !types.is_sound() {
        return [true, true];
    }
    if listed.is_empty() {
        return [true, spec.get("egress").items().next().is_some()];
    }
    let speaks = [Direction::Ingress, Direction::Egress].map(|direction| listed.contains(&Some(direction)));
    for (name, speaks) in ["ingress", "egress"].into_iter().zip(speaks) {
        let written = spec.get(name);
        if !speaks && written.is_present() {
            let title = format!("`policyTypes` leaves {name} out: these rules do nothing");
            written.report(written.finding(code::UNUSED_DIRECTION, Severity::Warning, title));
            // They are read all the same, for what is wrong in them.
            written.whole();
        }
    }
    speaks
}

fn lower_rules(resource: &Resource<'_>, book: &mut RuleBook, direction: Direction) -> Vec<Rule> {
    let (list, peers) = match direction {
        Direction::Ingress => ("ingress", "from"),
        Direction::Egress => ("egress", "to"),
    };
    let mut lowered = Vec::new();
    for item in resource.spec().get(list).items() {
        let id = resource.rule_at(book, item);
        let peers: Vec<Peer> = item.get(peers).items().filter_map(|at| peer(at, resource.namespace)).collect();
        let ports: Vec<Port> = item.get("ports").items().filter_map(port).collect();
        if item.is_sound() {
            // Absent and empty mean the same here: any (P7).
            let any = |list: bool| (!list).then_some(());
            lowered.push(Rule {
                id,
                action: Action::Accept,
                peers: any(peers.is_empty()).map(|()| peers),
                ports: any(ports.is_empty()).map(|()| ports),
            });
        }
    }
    lowered
}

fn peer(at: Cursor<'_>, namespace: &str) -> Option<Peer> {
    let (pods, namespaces, block) = (at.get("podSelector"), at.get("namespaceSelector"), at.get("ipBlock"));
    let selects = pods.is_present() || namespaces.is_present();
    if block.is_present() && selects {
        let title = "a peer is a block of addresses or a choice of pods, not both";
        at.report(at.finding(code::MIXED_PEER, Severity::Error, title).help("make two peers of it"));
        // Which of them is meant is not known, so they are not judged field by field.
        _ = (pods.whole(), namespaces.whole());
    }
    if block.is_present() {
        return address_block(block);
    }
    if !selects {
        let title = "a peer must name somebody: `podSelector`, `namespaceSelector` or `ipBlock`";
        let help = "leave the whole list out to mean everybody";
        at.report(at.finding(code::EMPTY_PEER, Severity::Error, title).help(help));
        return None;
    }
    let chosen = label_selector::lower(pods);
    let namespaces = if namespaces.is_present() {
        Namespaces::Selected(label_selector::lower(namespaces))
    } else {
        Namespaces::Named(namespace.into())
    };
    Some(Peer::Pods(Pods { namespaces, pods: chosen }))
}

fn address_block(at: Cursor<'_>) -> Option<Peer> {
    let within = cidr(at.get("cidr").required());
    let mut except = Vec::new();
    for item in at.get("except").items() {
        let Some(block) = cidr(item) else { continue };
        if within.is_some_and(|within| !within.contains(&block) || within == block) {
            let title = format!("`{block}` is not a part of `cidr`");
            item.report(item.finding(code::EXCEPT_OUTSIDE, Severity::Error, title));
        }
        except.push(block);
    }
    Some(Peer::Block { within: within?, except })
}

/// A block with its length; bits after it are cut off, as everywhere in Kubernetes.
pub(super) fn cidr(at: Cursor<'_>) -> Option<IpNet> {
    let text = at.string()?;
    match text.parse::<IpNet>() {
        Ok(block) => Some(block.trunc()),
        Err(_) => at.refuse_with(
            format!("`{text}` is not a CIDR block"),
            "CIDR blocks look like `10.0.0.0/8`, `192.0.2.7/32`, `2001:db8::/32`",
        ),
    }
}

fn port(at: Cursor<'_>) -> Option<Port> {
    let written = at.get("protocol");
    let protocol = written.enumeration(&PROTOCOLS).or((!written.is_present()).then_some(protocol::TCP));
    let (port, end) = (at.get("port"), at.get("endPort"));
    match port.peek().map(|node| &node.value) {
        None => {
            if end.is_present() {
                wrong_range::<()>(end, "`endPort` needs a `port` to begin with");
            }
            Some(Port::Range { protocol: protocol?, first: 0, last: u16::MAX })
        }
        Some(Value::String(_)) => {
            if end.is_present() {
                wrong_range::<()>(end, "`endPort` does not go with a port by name");
            }
            let name = port_name(port)?;
            Some(Port::Named { protocol: Some(protocol?), name })
        }
        Some(_) => {
            let first = port.port()?;
            let last = if end.is_present() { end.port()? } else { first };
            if last < first {
                return wrong_range(end, "`endPort` is before `port`");
            }
            Some(Port::Range { protocol: protocol?, first, last })
        }
    }
}

fn wrong_range<T>(at: Cursor<'_>, title: &str) -> Option<T> {
    at.report(at.finding(code::PORT_RANGE, Severity::Error, title));
    None
}

/// The name of a container's port: an IANA service name (RFC 6335, section 5.1).
pub(super) fn port_name(at: Cursor<'_>) -> Option<Box<str>> {
    let name = at.filled()?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = name.len() <= 15 && name.chars().all(plain) && name.chars().any(|c| c.is_ascii_lowercase());
    let dashes = name.starts_with('-') || name.ends_with('-') || name.contains("--");
    if fits && !dashes {
        return Some(name.into());
    }
    let help = "names of ports have up to 15 lower-case letters, digits and single `-`, with a letter among them";
    at.refuse_with(format!("`{name}` is neither a port nor the name of one"), help)
}

/// `ringwall.dev/enforcement: audit`
pub(super) fn force(resource: &Resource<'_>) -> Force {
    let at = resource.root.get("metadata").get("annotations");
    match resource.annotations.get(ENFORCEMENT).map(|text| &**text) {
        None | Some("enforced") => Force::Enforced,
        Some("audit") => {
            let title = "this policy is in audit mode: what it would refuse is told and goes on";
            at.report(at.finding(code::AUDIT, Severity::Note, title));
            Force::Audit
        }
        Some(other) => {
            at.refuse::<()>(format!("`{ENFORCEMENT}` is `audit` or `enforced`, not `{other}`; it is enforced"));
            Force::Enforced
        }
    }
}
