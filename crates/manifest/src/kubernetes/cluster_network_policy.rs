//! ClusterNetworkPolicy (policy.networking.k8s.io/v1alpha2, v1beta1), and the kinds that it replaces:
//! AdminNetworkPolicy and BaselineAdminNetworkPolicy (v1alpha1).
//!
//! In: a resource. Out: a [`Policy`] and findings. A rule that cannot be read fails closed as the API says: one that
//! accepts holds nothing, one that denies or passes becomes a rule that denies everything.

use super::network_policy::{PROTOCOLS, cidr, force, port_name, whole};
use super::{code, label_selector};
use crate::node::Cursor;
use crate::resource::Resource;
use ringwall_model::{RuleBook, RuleId, Severity};
use ringwall_packet::endpoint::protocol;
use ringwall_packet::policy::{Action, Namespaces, Peer, Pods, Policy, Port, Rule, Tier};
use ringwall_packet::{Direction, DomainPattern, Selector};

/// The most rules of one direction.
const MAX_RULES: usize = 25;
/// The most rules of one direction of the older kinds.
const MAX_OLDER_RULES: usize = 100;

/// Which of the kinds it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Cluster,
    Admin,
    Baseline,
}

/// Lowers one resource of the three kinds.
pub fn lower(resource: &Resource<'_>, rules: &mut RuleBook) -> Policy {
    let resource = &Resource { namespace: "", ..resource.clone() };
    let shape = match resource.kind {
        "AdminNetworkPolicy" => Shape::Admin,
        "BaselineAdminNetworkPolicy" => Shape::Baseline,
        _ => Shape::Cluster,
    };
    let spec = resource.spec();
    let tiers = [("Admin", Tier::Admin), ("Baseline", Tier::Baseline)];
    let tier = match shape {
        // What cannot be read stands first, so that it cannot be overridden.
        Shape::Cluster => spec.get("tier").required().enumeration(&tiers).unwrap_or(Tier::Admin),
        Shape::Admin => Tier::Admin,
        Shape::Baseline => Tier::Baseline,
    };
    let priority = match shape {
        Shape::Baseline => 0,
        _ => spec.get("priority").required().integer(0..=1000).and_then(|it| u16::try_from(it).ok()).unwrap_or(0),
    };
    if shape == Shape::Baseline && resource.name != "default" {
        let at = resource.root.get("metadata").get("name");
        at.refuse::<()>("the only BaselineAdminNetworkPolicy is called `default`");
    }
    let id = whole(resource, rules);
    Policy {
        id,
        namespace: "".into(),
        name: resource.name.into(),
        tier,
        priority,
        subject: subject(spec.get("subject").required()),
        force: force(resource),
        ingress: lower_rules(resource, rules, shape, Direction::Ingress),
        egress: lower_rules(resource, rules, shape, Direction::Egress),
    }
}

/// What cannot be read is for every pod: its refusals reach further, and what it accepts is accepted by its peers only.
fn subject(at: Cursor<'_>) -> Pods {
    let chosen = pods_of(at);
    if chosen.is_none() {
        let title = "`subject` must be `namespaces` or `pods`";
        at.report(at.finding(code::EMPTY_PEER, Severity::Error, title));
    }
    let everyone = Pods { namespaces: Namespaces::Selected(Selector::default()), pods: Selector::default() };
    chosen.filter(|_| at.is_sound()).unwrap_or(everyone)
}

/// `namespaces` or `pods`, when exactly one of them is written.
fn pods_of(at: Cursor<'_>) -> Option<Pods> {
    let (namespaces, pods) = (at.get("namespaces"), at.get("pods"));
    match (namespaces.is_present(), pods.is_present()) {
        (true, false) => {
            let namespaces = Namespaces::Selected(label_selector::lower(namespaces));
            Some(Pods { namespaces, pods: Selector::default() })
        }
        (false, true) => {
            let namespaces = label_selector::lower(pods.get("namespaceSelector").required());
            let chosen = label_selector::lower(pods.get("podSelector").required());
            Some(Pods { namespaces: Namespaces::Selected(namespaces), pods: chosen })
        }
        _ => None,
    }
}

/// `None` when there are no rules: then the policy does not speak of the direction.
fn lower_rules(resource: &Resource<'_>, book: &mut RuleBook, shape: Shape, direction: Direction) -> Option<Vec<Rule>> {
    let list = resource.spec().get(match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    });
    let rules: Vec<Rule> =
        list.items().filter_map(|at| rule(at, resource.rule_at(book, at), shape, direction)).collect();
    let most = if shape == Shape::Cluster { MAX_RULES } else { MAX_OLDER_RULES };
    if rules.len() > most {
        list.refuse::<()>(format!("{} rules; a direction has {most} at most", rules.len()));
    }
    (!rules.is_empty()).then_some(rules)
}

fn rule(at: Cursor<'_>, id: RuleId, shape: Shape, direction: Direction) -> Option<Rule> {
    at.descriptive(&["name"]);
    let accept = if shape == Shape::Cluster { "Accept" } else { "Allow" };
    let words = [(accept, Action::Accept), ("Deny", Action::Deny), ("Pass", Action::Pass)];
    let words = if shape == Shape::Baseline { words.get(..2).unwrap_or_default() } else { &words };
    let action = at.get("action").required().enumeration(words).unwrap_or(Action::Deny);
    let list = at.get(match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    });
    let read = list.required().items().map(|item| peer(item, action, direction)).collect::<Vec<_>>();
    let peers: Vec<Peer> = read.iter().flatten().flatten().cloned().collect();
    if list.is_present() && read.is_empty() {
        list.refuse::<()>(format!("`{}` is empty: the rule speaks of nobody", list.name()));
    }
    let ports = ports(at, shape);
    let named = ports.iter().flatten().any(|port| matches!(port, Port::Named { .. }));
    if direction == Direction::Egress && named && peers.iter().any(|peer| !matches!(peer, Peer::Pods(_))) {
        let title = "ports by name are names of pods' ports; networks, nodes and domain names have none";
        list.refuse::<()>(title);
    }
    if at.is_sound() && !list.items().any(|item| !item.is_sound()) && read.iter().all(Option::is_some) {
        return Some(Rule { id, action, peers: Some(peers), ports });
    }
    let (what, closed) = match action {
        Action::Accept => ("holds nothing", None),
        Action::Deny | Action::Pass => {
            ("denies everything", Some(Rule { id, action: Action::Deny, peers: None, ports: None }))
        }
    };
    let title = format!("this rule cannot be read wholly, and fails closed: it {what}");
    at.report(at.finding(code::UNREADABLE_RULE, Severity::Warning, title));
    closed
}

/// The peers of one item (a list of networks is several); `None` when it is none that is known.
fn peer(at: Cursor<'_>, action: Action, direction: Direction) -> Option<Vec<Peer>> {
    if let Some(pods) = pods_of(at) {
        return Some(vec![Peer::Pods(pods)]);
    }
    if direction == Direction::Egress {
        let (nodes, networks, names) = (at.get("nodes"), at.get("networks"), at.get("domainNames"));
        match (nodes.is_present(), networks.is_present(), names.is_present()) {
            (true, false, false) => return Some(vec![Peer::Nodes(label_selector::lower(nodes))]),
            (false, true, false) => {
                let blocks = networks.items().filter_map(cidr);
                return filled(networks, blocks.map(|within| Peer::Block { within, except: Vec::new() }).collect());
            }
            (false, false, true) => {
                if action != Action::Accept {
                    names.refuse::<()>("`domainNames` is for rules that accept: a name's addresses are not all known");
                }
                return filled(names, names.items().filter_map(domain_name).map(Peer::Name).collect());
            }
            _ => {}
        }
    }
    let title = "a peer must be exactly one of those that its kind knows";
    let help = match direction {
        Direction::Ingress => "`namespaces` or `pods`",
        Direction::Egress => "`namespaces`, `pods`, `nodes`, `networks` or `domainNames`",
    };
    at.report(at.finding(code::EMPTY_PEER, Severity::Error, title).help(help));
    None
}

fn filled(list: Cursor<'_>, peers: Vec<Peer>) -> Option<Vec<Peer>> {
    if peers.is_empty() { list.refuse(format!("`{}` names nobody", list.name())) } else { Some(peers) }
}

fn domain_name(at: Cursor<'_>) -> Option<DomainPattern> {
    let text = at.filled()?;
    let read = DomainPattern::parse(text);
    if read.is_none() {
        let help = "`api.example.com`, or `*.example.com` for all names below it";
        at.refuse_with::<()>(format!("`{text}` is not a domain name"), help);
    }
    read
}

fn ports(at: Cursor<'_>, shape: Shape) -> Option<Vec<Port>> {
    let (list, read): (_, fn(Cursor<'_>) -> Option<Port>) =
        if shape == Shape::Cluster { (at.get("protocols"), protocol_of) } else { (at.get("ports"), older_port) };
    if !list.is_present() {
        return None;
    }
    let ports: Vec<Port> = list.items().filter_map(read).collect();
    if ports.is_empty() && list.is_sound() {
        list.refuse::<()>(format!("`{}` is empty", list.name()));
    }
    Some(ports)
}

/// `tcp`, `udp` or `sctp` with their `destinationPort`, or `destinationNamedPort`.
fn protocol_of(at: Cursor<'_>) -> Option<Port> {
    let known = [("tcp", protocol::TCP), ("udp", protocol::UDP), ("sctp", protocol::SCTP)];
    let named = at.get("destinationNamedPort");
    let written: Vec<(Cursor<'_>, u8)> = known.into_iter().map(|(name, number)| (at.get(name), number)).collect();
    let mut written = written.into_iter().filter(|(at, _)| at.is_present());
    match (written.next(), written.next(), named.is_present()) {
        (None, None, true) => Some(Port::Named { protocol: None, name: port_name(named)? }),
        (Some((found, protocol)), None, false) => {
            let port = found.get("destinationPort").required();
            let (number, range) = (port.get("number"), port.get("range"));
            if number.is_present() == range.is_present() {
                return port.refuse("`destinationPort` is a `number` or a `range`");
            }
            if let Some(number) = number.port() {
                return Some(Port::Range { protocol, first: number, last: number });
            }
            port_range(range, protocol)
        }
        _ => at.refuse("a protocol is exactly one of `tcp`, `udp`, `sctp` and `destinationNamedPort`"),
    }
}

fn port_range(range: Cursor<'_>, protocol: u8) -> Option<Port> {
    let (first, last) = (range.get("start").required().port(), range.get("end").required().port());
    let (first, last) = (first?, last?);
    if last < first {
        let end = range.get("end");
        end.report(end.finding(code::PORT_RANGE, Severity::Error, "`end` is before `start`"));
        return None;
    }
    Some(Port::Range { protocol, first, last })
}

/// `portNumber`, `portRange` or `namedPort`.
fn older_port(at: Cursor<'_>) -> Option<Port> {
    let (number, range, named) = (at.get("portNumber"), at.get("portRange"), at.get("namedPort"));
    let protocol = |at: Cursor<'_>| {
        let written = at.get("protocol");
        written.enumeration(&PROTOCOLS).or((!written.is_present()).then_some(protocol::TCP))
    };
    match (number.is_present(), range.is_present(), named.is_present()) {
        (true, false, false) => {
            let (protocol, port) = (protocol(number), number.get("port").required().port()?);
            Some(Port::Range { protocol: protocol?, first: port, last: port })
        }
        (false, true, false) => port_range(range, protocol(range)?),
        (false, false, true) => Some(Port::Named { protocol: None, name: port_name(named)? }),
        _ => at.refuse("a port is exactly one of `portNumber`, `portRange` and `namedPort`"),
    }
}
