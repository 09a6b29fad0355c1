//! Addresses of domain names: let through until their end and not a millisecond longer, and none of ours among them.

use ringwall_model::{Labels, RuleId, Timestamp};
use ringwall_packet::endpoint::{Node, protocol};
use ringwall_packet::policy::{Action, Force, Namespaces, Peer, Pods, Policy, Port, Rule, Tier};
use ringwall_packet::ruleset::{Held, Packet};
use ringwall_packet::{
    DomainPattern, Endpoint, Endpoints, Flow, Ground, Names, Network, Policies, Selector, Share, compile,
};
use std::net::IpAddr;

const WEB: &str = "10.244.0.1";
const DB: &str = "10.244.0.2";
const NODE: &str = "192.0.2.1";
const API: &str = "198.51.100.7";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Two pods on a node; they may send to port 443 of one name, and nothing else.
fn ground() -> Ground {
    let pod = |name: &str, address| Endpoint {
        namespace: "shop".into(),
        name: name.into(),
        labels: Labels::new(),
        addresses: vec![ip(address)],
        ports: Vec::new(),
        network: Network::Own,
        node: "elsewhere".into(),
    };
    let nodes = [("one".into(), Node { labels: Labels::new(), addresses: vec![ip(NODE)] })].into();
    let pods = Pods { namespaces: Namespaces::Named("shop".into()), pods: Selector::of(Vec::new()) };
    let rule = Rule {
        id: RuleId(1),
        action: Action::Accept,
        peers: Some(vec![Peer::Name(DomainPattern::parse("*.example.com").unwrap())]),
        ports: Some(vec![Port::Range { protocol: protocol::TCP, first: 443, last: 443 }]),
    };
    let policy = Policy {
        id: RuleId(0),
        namespace: "shop".into(),
        name: "named".into(),
        tier: Tier::Network,
        priority: 0,
        subject: pods,
        force: Force::Enforced,
        ingress: None,
        egress: Some(vec![rule]),
    };
    let endpoints = Endpoints::of(vec![pod("web", WEB), pod("db", DB)], [].into(), nodes);
    Ground::of(Policies::of(vec![policy]), endpoints)
}

/// What the judge and what is compiled say at a time: the same.
#[track_caller]
fn passes(names: &Names, now: u64, to: &str) -> bool {
    let (ground, names) = (ground(), names.at(Timestamp(now)));
    let (source, destination) = (ip(WEB), ip(to));
    let judged = ground.judge(&names, &Flow { source, destination, protocol: protocol::TCP, port: 443 }).passes();
    let packet = Packet { source, destination, protocol: protocol::TCP, port: 443 };
    assert_eq!(compile(&ground, &names, &Share::of_all(&ground)).interpret(&packet).goes_on(), judged);
    judged
}

#[test]
fn an_address_passes_until_its_end() {
    let mut names = Names::default();
    assert!(!passes(&names, 0, API));
    names.learn("api.example.com", ip(API), Timestamp(60_000));
    assert!(passes(&names, 59_999, API));
    assert!(!passes(&names, 60_000, API));
    // Another answer makes it longer, and never shorter.
    names.learn("api.example.com", ip(API), Timestamp(90_000));
    names.learn("api.example.com", ip(API), Timestamp(61_000));
    assert!(passes(&names, 89_999, API));
    assert!(!passes(&names, 90_000, API));
    // A name that the rule does not mean makes nothing longer.
    names.learn("api.example.org", ip(API), Timestamp(120_000));
    assert!(!passes(&names, 90_000, API));
}

#[test]
fn what_is_compiled_knows_each_end() {
    let mut names = Names::default();
    names.learn("api.example.com", ip(API), Timestamp(60_000));
    names.learn("www.example.com", ip(API), Timestamp(70_000));
    names.learn("old.example.com", ip("198.51.100.8"), Timestamp(10));
    let held = |now| compile(&ground(), &names.at(Timestamp(now)), &Share::of_all(&ground())).names;
    let pattern = || DomainPattern::parse("*.example.com").unwrap();
    assert_eq!(held(10), Held::from([(pattern(), vec![(ip(API), Timestamp(70_000))])]));
    assert_eq!(held(70_000), Held::new());
}

#[test]
fn a_name_that_points_at_a_pod_or_a_node_opens_nothing() {
    let mut names = Names::default();
    for address in [DB, NODE, API] {
        names.learn("api.example.com", ip(address), Timestamp(60_000));
    }
    assert!(passes(&names, 0, API));
    assert!(!passes(&names, 0, DB), "a pod, whoever answers for the name");
    assert!(!passes(&names, 0, NODE));
}
