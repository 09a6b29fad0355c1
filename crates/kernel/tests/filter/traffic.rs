//! What packets do: admitted, unknown, spoofed, blocked, told.

use crate::lab::{Lab, admits, connection, endpoint, ip, listen, within};
use ringwall_kernel::apply::{ReadBack, status};
use ringwall_kernel::blocklist::{Lists, Unblocked};
use ringwall_kernel::events::{Event, Fate, Listener, Part};
use ringwall_kernel::link::Links;
use ringwall_kernel::namespace::Namespace;
use ringwall_kernel::netlink::Wait;
use ringwall_kernel::nft::NftBackend;
use ringwall_kernel::nft::layout::{Scope, Settings};
use ringwall_model::{Reason, RuleBook};
use ringwall_packet::ruleset::{Chain, Group, GroupId, Verdict};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// Number of a workload's own link.
const OWN: u32 = 2;

pub fn a_group_admits_whom_it_names() {
    for [one, two, three] in
        [["10.244.0.1", "10.244.0.2", "10.244.0.3"], ["fd00:10:244::1", "fd00:10:244::2", "fd00:10:244::3"]]
    {
        let mut lab = Lab::with(&[one, two, three], Settings::default());
        let _server = listen(&lab.home(one), ip(one), 80);
        lab.reaches(two, one, 80);
        lab.apply();
        lab.reaches(two, one, 80);
        lab.ingress(0, admits(&[(two, 80)], &["192.0.2.0/24", "2001:db8::/32"], Reason::NoRuleApplies));
        lab.apply();
        lab.reaches(two, one, 80);
        lab.does_not_reach(three, one, 80);
        lab.ingress(0, admits(&[(two, 80)], &["10.244.0.0/30", "fd00:10:244::/64"], Reason::NoRuleApplies));
        lab.apply();
        lab.reaches(three, one, 80);
        // What it sends is not what it is sent: a group for egress looks at the destination.
        lab.ruleset.groups.push(admits(&[(one, 81)], &[], Reason::NoRuleApplies));
        lab.ruleset.endpoints[2].egress = Some(GroupId(2));
        lab.apply();
        lab.does_not_reach(three, one, 80);
    }
}

pub fn an_address_that_nobody_has_is_dropped() {
    let mut lab = Lab::with(&["10.244.0.1", "10.244.0.2"], Settings::default());
    let _server = listen(&lab.home("10.244.0.1"), ip("10.244.0.1"), 80);
    let _other = listen(&lab.home("10.244.0.2"), ip("10.244.0.2"), 80);
    let late = lab.ruleset.endpoints.pop().unwrap();
    lab.apply();
    lab.does_not_reach("10.244.0.2", "10.244.0.1", 80);
    lab.does_not_reach("10.244.0.1", "10.244.0.2", 80);
    lab.ruleset.endpoints.push(late);
    lab.apply();
    lab.reaches("10.244.0.2", "10.244.0.1", 80);
    lab.reaches("10.244.0.1", "10.244.0.2", 80);
}

/// A datagram from a namespace that gives itself an address.
fn spoof(namespace: &Namespace, source: &str, to: SocketAddr) {
    let source = ip(source);
    within(namespace, || {
        Links::open().unwrap().add_address(OWN, source).unwrap();
        UdpSocket::bind(SocketAddr::new(source, 0)).unwrap().send_to(b"x", to).unwrap();
    });
}

/// Packets that a reason counted.
fn counted(lab: &Lab, reason: &str) -> u64 {
    let status = within(&lab.node.router, || status().unwrap().unwrap());
    status.counts.iter().filter(|count| count.reason.starts_with(reason)).map(|count| count.packets).sum()
}

pub fn a_source_address_belongs_to_its_interface() {
    let mut lab = Lab::with(&["10.244.0.1", "10.244.0.2", "10.244.0.3"], Settings::default());
    let receiver = within(&lab.home("10.244.0.1"), || UdpSocket::bind("10.244.0.1:53").unwrap());
    let to: SocketAddr = "10.244.0.1:53".parse().unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // Without rules a forged source gets there: what stops it below is the filter.
    spoof(&lab.home("10.244.0.2"), "10.244.0.77", to);
    assert_eq!(receiver.recv_from(&mut [0; 8]).unwrap().1.ip(), ip("10.244.0.77"));
    lab.apply();
    lab.node.add_outside(ip("203.0.113.9")).unwrap();
    spoof(&lab.home("10.244.0.2"), "10.244.0.3", to);
    spoof(&lab.home("10.244.0.2"), "203.0.113.7", to);
    spoof(&lab.node.outside, "10.244.0.3", to);
    within(&lab.home("10.244.0.2"), || UdpSocket::bind("10.244.0.2:0").unwrap().send_to(b"true", to).unwrap());
    let (_, from) = receiver.recv_from(&mut [0; 8]).unwrap();
    assert_eq!(from.ip(), ip("10.244.0.2"));
    assert_eq!(counted(&lab, "s:"), 3);
}

pub fn a_blocked_address_is_dropped_before_all_else() {
    let mut lab = Lab::with(&["10.244.0.1"], Settings::default());
    let outside = ip("203.0.113.9");
    lab.node.add_outside(outside).unwrap();
    let _server = listen(&lab.home("10.244.0.1"), ip("10.244.0.1"), 80);
    lab.apply();
    let to = "10.244.0.1:80".parse().unwrap();
    let comes = |lab: &Lab| connection(&lab.node.outside, to, Duration::from_secs(5)).is_ok();
    let stays_out = |lab: &Lab| connection(&lab.node.outside, to, Duration::from_millis(300)).is_err();
    assert!(comes(&lab));
    let mut blocker = within(&lab.node.router, || lab.firewall.blocker().unwrap());
    blocker.block(outside, None).unwrap();
    blocker.block(outside, Some(Duration::from_secs(3600))).unwrap();
    blocker.block(ip("2001:db8::9"), None).unwrap();
    let remaining = blocker.blocks().unwrap()[0].remaining.unwrap();
    assert!(remaining <= Duration::from_secs(3600) && remaining > Duration::from_secs(3000));
    assert!(stays_out(&lab));
    assert!(counted(&lab, "b:") >= 1);
    // A change of the ruleset keeps it, and an allowed address is never blocked.
    lab.ingress(0, admits(&[("203.0.113.9", 80)], &[], Reason::NoRuleApplies));
    lab.apply();
    assert!(stays_out(&lab));
    lab.firewall.set_lists(Lists::of(&["203.0.113.0/24".parse().unwrap()], &[])).unwrap();
    assert!(comes(&lab));
    lab.firewall.set_lists(Lists::default()).unwrap();
    assert!(stays_out(&lab));
    assert_eq!(blocker.unblock(outside).unwrap(), Unblocked::Gone);
    assert_eq!(blocker.unblock(outside).unwrap(), Unblocked::WasNone);
    assert!(comes(&lab));
    // A feed, with networks that lie over each other, and the end of a block by itself.
    let feed = ["203.0.113.0/25", "203.0.113.9/32", "203.0.112.0/23"].map(|network| network.parse().unwrap());
    lab.firewall.set_lists(Lists::of(&[], &feed)).unwrap();
    assert!(stays_out(&lab));
    lab.firewall.set_lists(Lists::default()).unwrap();
    blocker.block(outside, Some(Duration::from_millis(200))).unwrap();
    assert!(comes(&lab), "it waits until the block has ended");
}

/// A node with one listening workload, and somebody outside who calls it.
fn called_from_outside() -> (Lab, impl Fn(&Lab) -> bool, impl Fn(&Lab) -> bool, std::net::TcpListener) {
    let mut lab = Lab::with(&["10.244.0.1"], Settings::default());
    lab.node.add_outside(ip("203.0.113.9")).unwrap();
    let server = listen(&lab.home("10.244.0.1"), ip("10.244.0.1"), 80);
    lab.apply();
    let to = "10.244.0.1:80".parse().unwrap();
    let comes = move |lab: &Lab| connection(&lab.node.outside, to, Duration::from_secs(5)).is_ok();
    let stays_out = move |lab: &Lab| connection(&lab.node.outside, to, Duration::from_millis(300)).is_err();
    (lab, comes, stays_out, server)
}

pub fn blocked_networks_lie_over_each_other() {
    let (mut lab, comes, stays_out, _server) = called_from_outside();
    let mut blocker = within(&lab.node.router, || lab.firewall.blocker().unwrap());
    let [wide, narrow, other]: [ipnet::IpNet; 3] =
        ["203.0.0.0/16", "203.0.113.8/29", "2001:db8::/48"].map(|network| network.parse().unwrap());
    assert!(blocker.block(wide, None).is_err(), "there is no place for it yet");
    for network in [wide, narrow, other] {
        lab.firewall.make_place(&network).unwrap();
        blocker.block(network, Some(Duration::from_secs(3600))).unwrap();
    }
    assert!(stays_out(&lab));
    let kept: Vec<_> = blocker.blocks().unwrap().into_iter().map(|block| block.network).collect();
    assert_eq!(
        kept,
        [narrow, wide, other].into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    );
    assert_eq!(blocker.unblock(wide).unwrap(), Unblocked::Gone);
    assert!(stays_out(&lab), "the narrow one is still there");
    // Who opens the filter anew finds the places, and an allowed network is never blocked.
    lab.firewall = within(&lab.node.router, || ringwall_kernel::apply::Firewall::open(Settings::default()).unwrap());
    lab.apply();
    assert!(stays_out(&lab));
    lab.firewall.set_lists(Lists::of(&["203.0.113.0/24".parse().unwrap()], &[])).unwrap();
    assert!(comes(&lab));
    lab.firewall.set_lists(Lists::default()).unwrap();
    assert_eq!(blocker.unblock(narrow).unwrap(), Unblocked::Gone);
    assert!(comes(&lab));
}

pub fn a_link_drops_what_is_blocked_before_the_stack() {
    let (mut lab, comes, stays_out, _server) = called_from_outside();
    let link = ringwall_kernel::namespace::node::OUTSIDE;
    lab.firewall.set_links(&[link]).unwrap();
    assert!(comes(&lab));
    let mut listener = within(&lab.node.router, || Listener::open(Settings::default().telling.group).unwrap());
    let mut blocker = within(&lab.node.router, || lab.firewall.blocker().unwrap());
    blocker.block(ip("203.0.113.9"), None).unwrap();
    assert!(stays_out(&lab));
    assert!(counted(&lab, "b:blocked address, at its link") >= 1);
    let told = events(&mut listener);
    let told = told.iter().find(|event| event.part == Part::Blocklist).expect("the first of them is told");
    assert_eq!((told.fate, told.source), (Fate::Dropped, ip("203.0.113.9")));
    // A feed and an allowlist are asked there as well, and who has no rules but lists has them there.
    blocker.unblock(ip("203.0.113.9")).unwrap();
    lab.firewall.set_lists(Lists::of(&[], &["203.0.113.9/32".parse().unwrap()])).unwrap();
    assert!(stays_out(&lab));
    let everything = "0.0.0.0/0".parse().unwrap();
    lab.firewall.set_lists(Lists::of(&[everything], &["203.0.113.9/32".parse().unwrap()])).unwrap();
    assert!(comes(&lab));
    lab.firewall.set_links(&[]).unwrap();
    let names = within(&lab.node.router, || lab.firewall.backend().table(&|_| false).unwrap());
    assert!(!names.chains.contains_key("rw_early"));
}

pub fn links_come_and_go_with_the_rules_for_them() {
    let mut lab = Lab::with(&["10.244.0.1", "10.244.0.2"], Settings::default());
    let _server = listen(&lab.home("10.244.0.1"), ip("10.244.0.1"), 80);
    let apply = |lab: &mut Lab| {
        let links: Vec<_> = lab.ruleset.endpoints.iter().filter_map(|endpoint| endpoint.interface.clone()).collect();
        let links: Vec<&str> = links.iter().map(AsRef::as_ref).collect();
        let applied = lab.firewall.apply_at(&links, &lab.ruleset, &lab.book).unwrap();
        assert_eq!(applied.read_back, ReadBack::Equal);
        applied.transactions
    };
    assert_eq!(apply(&mut lab), 1);
    lab.reaches("10.244.0.2", "10.244.0.1", 80);
    let mut blocker = within(&lab.node.router, || lab.firewall.blocker().unwrap());
    blocker.block(ip("10.244.0.2"), None).unwrap();
    lab.does_not_reach("10.244.0.2", "10.244.0.1", 80);
    let at_link = |lab: &Lab| counted(lab, "b:blocked address, at its link");
    let before = at_link(&lab);
    assert!(before >= 1);
    // A link more is one transaction, together with the rules for it, and what is blocked stays blocked.
    let home = lab.node.add(ip("10.244.0.3")).unwrap();
    lab.ruleset.endpoints.push(endpoint("10.244.0.3", &home.interface));
    assert_eq!(apply(&mut lab), 1);
    lab.node.open(ip("10.244.0.3")).unwrap();
    lab.reaches("10.244.0.3", "10.244.0.1", 80);
    blocker.block(ip("10.244.0.3"), None).unwrap();
    let counts = at_link(&lab);
    lab.does_not_reach("10.244.0.3", "10.244.0.1", 80);
    assert!(at_link(&lab) > counts);
    lab.does_not_reach("10.244.0.2", "10.244.0.1", 80);
    // One that is named no more may go.
    lab.ruleset.endpoints.pop();
    assert_eq!(apply(&mut lab), 1);
    lab.node.remove(ip("10.244.0.3")).unwrap();
    assert_eq!(within(&lab.node.router, || lab.firewall.read_back().unwrap()), ReadBack::Equal);
    lab.does_not_reach("10.244.0.2", "10.244.0.1", 80);
}

pub fn a_machine_may_have_the_lists_alone() {
    let settings = Settings { scope: Scope::Lists, ..Settings::default() };
    let mut lab = Lab::with(&["10.244.0.1", "10.244.0.2"], settings);
    let _server = listen(&lab.home("10.244.0.1"), ip("10.244.0.1"), 80);
    lab.ruleset = Default::default();
    lab.apply();
    lab.reaches("10.244.0.2", "10.244.0.1", 80);
    let mut blocker = within(&lab.node.router, || lab.firewall.blocker().unwrap());
    blocker.block(ip("10.244.0.2"), None).unwrap();
    lab.does_not_reach("10.244.0.2", "10.244.0.1", 80);
    // Connections are none of its business, not even by looking.
    let table = within(&lab.node.router, || lab.firewall.backend().table(&|_| false).unwrap());
    let hooked: Vec<_> =
        table.chains.iter().filter(|(_, chain)| chain.hook.is_some()).map(|(name, _)| &**name).collect();
    assert_eq!(hooked, ["rw_raw"]);
}

fn events(listener: &mut Listener) -> Vec<Event> {
    let mut events = Vec::new();
    while listener.read(Wait::Yes, |event| events.push(event)).unwrap() == 0 {}
    events
}

pub fn what_is_dropped_is_told_with_its_rule() {
    let mut book = RuleBook::default();
    let rule = book.enter("NetworkPolicy", "shop", "only-two", "/spec", None);
    let long = book.enter("NetworkPolicy", "shop", &"long".repeat(60), "/spec", None);
    let mut lab = Lab::with(&["10.244.0.1", "10.244.0.2", "10.244.0.3"], Settings::default());
    lab.book = book;
    let _servers = [80, 81].map(|port| listen(&lab.home("10.244.0.1"), ip("10.244.0.1"), port));
    lab.ingress(0, admits(&[("10.244.0.2", 80), ("10.244.0.2", 81)], &[], Reason::Rule(rule)));
    lab.apply();
    let mut listener = within(&lab.node.router, || Listener::open(5).unwrap());
    lab.does_not_reach("10.244.0.3", "10.244.0.1", 80);
    let event = events(&mut listener).remove(0);
    assert_eq!((event.fate, event.part), (Fate::Dropped, Part::Ingress));
    assert_eq!(&*event.reason, "NetworkPolicy/shop/only-two#/spec");
    assert_eq!((event.source, event.destination), (ip("10.244.0.3"), ip("10.244.0.1")));
    assert_eq!((event.protocol, event.ports.unwrap().1), (6, 80));
    // The same group with a policy in audit mode that would only let the second port through.
    let mut audited = lab.ruleset.groups[0].clone();
    let Group { enforced, .. } = admits(&[("10.244.0.2", 81)], &[], Reason::Rule(long));
    audited.shadow = Some(enforced);
    lab.ingress(0, audited);
    lab.apply();
    lab.reaches("10.244.0.2", "10.244.0.1", 81);
    lab.reaches("10.244.0.2", "10.244.0.1", 80);
    let told = loop {
        if let Some(event) = events(&mut listener).into_iter().find(|event| event.fate == Fate::WouldDrop) {
            break event;
        }
    };
    assert_eq!((told.part, told.ports.unwrap().1), (Part::Ingress, 80));
    assert!(told.reason.starts_with("NetworkPolicy/shop/longlong") && told.reason.contains('~'));
    assert_eq!(counted(&lab, "I:NetworkPolicy/shop/long"), 1);
}

pub fn one_source_sends_only_so_much() {
    let settings = Settings { flood: Some((10, 10)), ..Settings::default() };
    let mut lab = Lab::with(&["10.244.0.1", "10.244.0.2"], settings);
    let _server = listen(&lab.home("10.244.0.1"), ip("10.244.0.1"), 80);
    lab.reaches("10.244.0.2", "10.244.0.1", 80);
    lab.apply();
    within(&lab.home("10.244.0.2"), || {
        let socket = UdpSocket::bind("10.244.0.2:0").unwrap();
        for _ in 0..500 {
            socket.send_to(b"x", "10.244.0.1:9").unwrap();
        }
    });
    let dropped = counted(&lab, "f:");
    assert!((400..=500).contains(&dropped), "{dropped} of 500 dropped");
}

/// A chain that drops all.
pub fn nothing(because: Reason) -> Group {
    Group { enforced: Chain { tiers: Vec::new(), otherwise: Verdict::Drop(because) }, shadow: None }
}
