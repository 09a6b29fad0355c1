//! Laws of the judge and of what is compiled, over generated policies and endpoints.

use ipnet::IpNet;
use proptest::prelude::*;
use ringwall_model::{Labels, Reason, RuleId, Timestamp};
use ringwall_packet::endpoint::{Node, protocol};
use ringwall_packet::policy::{Action, Force, Namespaces, Peer, Pods, Policy, Port, Rule, Tier};
use ringwall_packet::ruleset::{Packet, Verdict, Word};
use ringwall_packet::{
    Direction, DomainPattern, Endpoint, Endpoints, Flow, Ground, Matrix, Names, Network, Opinion, Policies,
    Requirement, Selector, Share, compile,
};
use std::net::IpAddr;

const KEYS: [&str; 3] = ["app", "tier", "zone"];
const VALUES: [&str; 3] = ["a", "b", "c"];
const NAMESPACES: [&str; 3] = ["x", "y", "z"];
const PORTS: [u16; 4] = [53, 80, 81, 8080];
const NAMES: [&str; 2] = ["web", "dns"];
const PROTOCOLS: [u8; 4] = [protocol::TCP, protocol::UDP, protocol::SCTP, protocol::ICMP];
const BLOCKS: [&str; 7] =
    ["10.0.0.0/8", "10.0.0.0/29", "10.0.0.4/30", "10.0.0.3/32", "192.0.2.0/24", "::/0", "fd00::/125"];

fn labels() -> impl Strategy<Value = Labels> {
    proptest::collection::btree_map(
        proptest::sample::select(&KEYS[..]).prop_map(Box::from),
        proptest::sample::select(&VALUES[..]).prop_map(Box::from),
        0..3,
    )
}

fn selector() -> impl Strategy<Value = Selector> {
    let values = || proptest::collection::vec(proptest::sample::select(&VALUES[..]).prop_map(Box::from), 1..3);
    let requirement =
        (proptest::sample::select(&KEYS[..]), 0..4, values()).prop_map(|(key, operator, values)| match operator {
            0 => Requirement::In(key.into(), values),
            1 => Requirement::NotIn(key.into(), values),
            2 => Requirement::Exists(key.into()),
            _ => Requirement::DoesNotExist(key.into()),
        });
    proptest::collection::vec(requirement, 0..2).prop_map(Selector::of)
}

fn pods() -> impl Strategy<Value = Pods> {
    let namespaces = prop_oneof![
        proptest::sample::select(&NAMESPACES[..]).prop_map(|name| Namespaces::Named(name.into())),
        selector().prop_map(Namespaces::Selected),
    ];
    (namespaces, selector()).prop_map(|(namespaces, pods)| Pods { namespaces, pods })
}

fn block() -> impl Strategy<Value = IpNet> {
    proptest::sample::select(&BLOCKS[..]).prop_map(|text| text.parse().unwrap())
}

fn peer() -> impl Strategy<Value = Peer> {
    prop_oneof![
        4 => pods().prop_map(Peer::Pods),
        2 => (block(), proptest::collection::vec(block(), 0..2))
            .prop_map(|(within, except)| Peer::Block { within, except }),
        1 => selector().prop_map(Peer::Nodes),
        1 => Just(Peer::Name(DomainPattern::parse("*.example.com").unwrap())),
    ]
}

fn port() -> impl Strategy<Value = Port> {
    let protocol = || proptest::sample::select(&PROTOCOLS[..3]);
    prop_oneof![
        (protocol(), proptest::sample::select(&PORTS[..])).prop_map(|(protocol, port)| Port::Range {
            protocol,
            first: port,
            last: port
        }),
        (protocol(), proptest::sample::select(&PORTS[..]), 0_u16..3).prop_map(|(protocol, port, more)| Port::Range {
            protocol,
            first: port,
            last: port + more
        }),
        protocol().prop_map(|protocol| Port::Range { protocol, first: 0, last: u16::MAX }),
        (proptest::option::of(protocol()), proptest::sample::select(&NAMES[..]))
            .prop_map(|(protocol, name)| Port::Named { protocol, name: name.into() }),
    ]
}

fn rule(tier: Tier) -> impl Strategy<Value = Rule> {
    let actions: &[Action] =
        if tier == Tier::Network { &[Action::Accept] } else { &[Action::Accept, Action::Deny, Action::Pass] };
    (
        proptest::sample::select(actions),
        proptest::option::weighted(0.8, proptest::collection::vec(peer(), 1..3)),
        proptest::option::of(proptest::collection::vec(port(), 1..3)),
    )
        .prop_map(|(action, peers, ports)| Rule { id: RuleId(0), action, peers, ports })
}

fn policy() -> impl Strategy<Value = Policy> {
    let tier = proptest::sample::select(&[Tier::Admin, Tier::Network, Tier::Network, Tier::Baseline][..]);
    tier.prop_flat_map(|tier| {
        let rules = move || proptest::option::weighted(0.7, proptest::collection::vec(rule(tier), 0..3));
        (pods(), rules(), rules(), 0_u16..2, proptest::sample::select(&NAMESPACES[..]), proptest::bool::weighted(0.2))
            .prop_map(move |(mut subject, ingress, egress, priority, namespace, audit)| {
                let namespaced = tier == Tier::Network;
                if namespaced {
                    subject.namespaces = Namespaces::Named(namespace.into());
                }
                Policy {
                    id: RuleId(0),
                    namespace: if namespaced { namespace.into() } else { "".into() },
                    name: "".into(),
                    tier,
                    priority: if namespaced { 0 } else { priority },
                    subject,
                    force: if audit { Force::Audit } else { Force::Enforced },
                    ingress,
                    egress,
                }
            })
    })
}

/// Names and rules by number, as lowering gives them.
fn numbered(mut policies: Vec<Policy>) -> Vec<Policy> {
    let mut next = 0;
    let mut id = || {
        next += 1;
        RuleId(next)
    };
    for (index, policy) in policies.iter_mut().enumerate() {
        policy.name = format!("p{index}").into();
        policy.id = id();
        for rule in policy.ingress.iter_mut().chain(&mut policy.egress).flatten() {
            rule.id = id();
        }
    }
    policies
}

fn endpoints() -> impl Strategy<Value = Endpoints> {
    let ports = proptest::collection::vec(
        (
            proptest::sample::select(&NAMES[..]).prop_map(Box::from),
            proptest::sample::select(&PROTOCOLS[..3]),
            proptest::sample::select(&PORTS[..]),
        ),
        0..3,
    );
    let endpoint = (proptest::sample::select(&NAMESPACES[..]), labels(), ports, proptest::bool::weighted(0.1));
    let namespaces = proptest::collection::vec(labels(), 3);
    (proptest::collection::vec(endpoint, 2..7), namespaces).prop_map(|(list, namespaces)| {
        let endpoint = |(index, (namespace, labels, ports, host)): (u16, (&str, Labels, Vec<_>, bool))| Endpoint {
            namespace: namespace.into(),
            name: format!("e{index}").into(),
            labels,
            addresses: vec![
                IpAddr::from([10, 0, 0, u8::try_from(index).unwrap() + 1]),
                IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, index + 1]),
            ],
            ports,
            network: if host { Network::Host } else { Network::Own },
            node: "".into(),
        };
        let list = (0_u16..).zip(list).map(endpoint).collect();
        let namespaces = NAMESPACES.iter().map(|name| Box::from(*name)).zip(namespaces).collect();
        let labels = [("app".into(), "a".into())].into();
        let node = Node { labels, addresses: vec!["192.0.2.1".parse().unwrap()] };
        Endpoints::of(list, namespaces, [("far".into(), node)].into())
    })
}

fn names() -> Names {
    let mut names = Names::default();
    names.learn("api.example.com", "192.0.2.9".parse().unwrap(), Timestamp(1));
    names.learn("www.example.org", "192.0.2.10".parse().unwrap(), Timestamp(1));
    // A pod's and a node's, as whoever answers may say.
    names.learn("api.example.com", "10.0.0.2".parse().unwrap(), Timestamp(1));
    names.learn("api.example.com", "192.0.2.1".parse().unwrap(), Timestamp(1));
    names
}

/// Every flow between the endpoints, and with some addresses outside.
fn flows(endpoints: &Endpoints) -> Vec<Flow> {
    let mut addresses: Vec<IpAddr> =
        ["192.0.2.1", "192.0.2.9", "198.51.100.1", "2001:db8::1"].iter().map(|text| text.parse().unwrap()).collect();
    addresses.extend((1..8).map(|last| IpAddr::from([10, 0, 0, last])));
    addresses.extend(endpoints.iter().flat_map(|(_, endpoint)| endpoint.addresses.iter().copied()));
    let mut flows = Vec::new();
    for source in &addresses {
        for destination in addresses.iter().filter(|other| other.is_ipv4() == source.is_ipv4()) {
            for protocol in PROTOCOLS {
                for port in [53, 80, 81, 82, 8080] {
                    let port = if protocol == protocol::ICMP { 0 } else { port };
                    flows.push(Flow { source: *source, destination: *destination, protocol, port });
                }
            }
        }
    }
    flows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn what_is_compiled_says_what_is_judged(
        policies in proptest::collection::vec(policy(), 0..6),
        endpoints in endpoints(),
    ) {
        let (ground, names) = (Ground::of(Policies::of(numbered(policies)), endpoints), names());
        let ruleset = compile(&ground, &names, &Share::of_all(&ground));
        for flow in flows(ground.endpoints()) {
            let Flow { source, destination, protocol, port } = flow;
            let fate = ruleset.interpret(&Packet { source, destination, protocol, port });
            for (direction, word) in [(Direction::Egress, fate.egress), (Direction::Ingress, fate.ingress)] {
                let judged = match ground.opinion(&names, &flow, direction) {
                    Opinion::Refuse { because } => (Verdict::Drop(because), None),
                    Opinion::Pass { would_refuse, .. } => (Verdict::Accept, would_refuse),
                };
                let word = word.unwrap_or(Word { verdict: Verdict::Accept, would_drop: None });
                prop_assert_eq!((word.verdict, word.would_drop), judged, "{:?} {:?}", direction, flow);
            }
        }
    }

    #[test]
    fn the_matrix_says_what_is_judged(
        policies in proptest::collection::vec(policy(), 0..6),
        endpoints in endpoints(),
    ) {
        let (ground, names) = (Ground::of(Policies::of(numbered(policies)), endpoints), names());
        let matrix = Matrix::of(&ground, &names);
        for flow in flows(ground.endpoints()) {
            let Some(reaches) = matrix.reaches(flow.source, flow.destination, flow.protocol, flow.port) else {
                continue;
            };
            prop_assert_eq!(reaches, ground.judge(&names, &flow).passes(), "{:?}", flow);
            let listed = matrix.between(flow.source, flow.destination).iter().any(|stretch| {
                stretch.protocol == flow.protocol && (stretch.first..=stretch.last).contains(&flow.port)
            });
            prop_assert!(reaches || !listed, "{:?}", flow);
        }
    }

    #[test]
    fn the_order_of_policies_changes_nothing(
        (policies, shuffled) in proptest::collection::vec(policy(), 0..6).prop_map(numbered)
            .prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
        endpoints in endpoints(),
    ) {
        let one = Ground::of(Policies::of(policies), endpoints.clone());
        let other = Ground::of(Policies::of(shuffled), endpoints);
        let share = Share::of_all(&one);
        prop_assert_eq!(compile(&one, &names(), &share), compile(&other, &names(), &share));
    }

    #[test]
    fn an_allow_more_never_refuses_more(
        policies in proptest::collection::vec(policy(), 1..6),
        which in any::<prop::sample::Index>(),
        more in rule(Tier::Network),
        endpoints in endpoints(),
    ) {
        let policies = numbered(policies);
        let mut wider = policies.clone();
        let networks: Vec<usize> =
            wider.iter().enumerate().filter(|(_, it)| it.tier == Tier::Network).map(|(index, _)| index).collect();
        prop_assume!(!networks.is_empty());
        let policy = &mut wider[networks[which.index(networks.len())]];
        for rules in [&mut policy.ingress, &mut policy.egress].into_iter().flatten() {
            rules.push(Rule { id: RuleId(9999), ..more.clone() });
        }
        let narrow = Ground::of(Policies::of(policies), endpoints.clone());
        let wide = Ground::of(Policies::of(wider), endpoints);
        for flow in flows(narrow.endpoints()) {
            let passes = |ground: &Ground| ground.judge(&names(), &flow).passes();
            prop_assert!(!passes(&narrow) || passes(&wide), "{:?}", flow);
        }
    }

    #[test]
    fn a_refusal_names_a_rule_without_which_another_end_or_rule_decides(
        policies in proptest::collection::vec(policy(), 1..5),
        endpoints in endpoints(),
    ) {
        let policies = numbered(policies);
        let ground = Ground::of(Policies::of(policies.clone()), endpoints.clone());
        for flow in flows(ground.endpoints()).into_iter().step_by(7) {
            let Some((direction, Reason::Rule(because))) = ground.judge(&names(), &flow).refusal() else { continue };
            // Take the policy out: the same end says something else, or the same with another rule.
            let holds = |policy: &Policy| {
                let mut rules = policy.ingress.iter().chain(&policy.egress).flatten();
                policy.id == because || rules.any(|rule| rule.id == because)
            };
            let without = policies.iter().filter(|policy| !holds(policy)).cloned().collect();
            let after = Ground::of(Policies::of(without), endpoints.clone()).opinion(&names(), &flow, direction);
            prop_assert_ne!(after, Opinion::Refuse { because: Reason::Rule(because) });
        }
    }
}
