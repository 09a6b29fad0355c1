//! Addresses of domain names, which the kernel itself lets go at their end.

use crate::change::lives;
use crate::lab::{Lab, admits, connection, ip, listen, within};
use ringwall_kernel::nft::Nftables;
use ringwall_kernel::nft::group::names_set;
use ringwall_kernel::nft::layout::Settings;
use ringwall_kernel::nft::read::{Told, told_elements};
use ringwall_kernel::nft::table::Family;
use ringwall_model::{Reason, Timestamp};
use ringwall_packet::DomainPattern;
use ringwall_packet::ruleset::{GroupId, Held};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const HOME: &str = "10.244.0.1";
const API: &str = "203.0.113.9";
/// The longest tick of a kernel, in milliseconds: it rounds down to one, and its clock goes in them.
const TICK: u64 = 10;

fn pattern() -> DomainPattern {
    DomainPattern::parse("*.example.com").unwrap()
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn held(until: u64) -> Held {
    [(pattern(), vec![(ip(API), Timestamp(until))])].into()
}

/// A workload that may reach port 443 of one name alone, whose host listens outside.
fn lab(until: u64) -> (Lab, TcpListener) {
    let mut lab = Lab::with(&[HOME], Settings::default());
    lab.node.add_outside(ip(API)).unwrap();
    let listener = listen(&lab.node.outside, ip(API), 443);
    let mut group = admits(&[(API, 443)], &[], Reason::NoRuleApplies);
    group.enforced.tiers[0].steps[0].named = Some(pattern());
    lab.ruleset.groups.push(group);
    lab.ruleset.endpoints[0].egress = Some(GroupId(0));
    lab.ruleset.names = held(until);
    lab.apply();
    (lab, listener)
}

/// What the kernel has of the name.
fn told(lab: &Lab) -> Vec<Told> {
    let set = names_set(&pattern(), Family::V4);
    within(&lab.node.router, || told_elements(Nftables::open().unwrap().socket(), &set).unwrap())
}

/// The one element lives as long as was asked for, never longer.
#[track_caller]
fn lives_until(lab: &Lab, until: u64, (before, after): (u64, u64)) {
    let all = told(lab);
    let [element] = &all[..] else { panic!("{all:?}") };
    assert_eq!(element.element.key.as_address(), Some(ip(API)));
    let timeout = element.timeout.unwrap();
    assert!(timeout <= until - before && timeout + TICK >= until - after, "{timeout} of {}", until - before);
    assert!(element.expires.unwrap() <= timeout);
}

fn comes(lab: &Lab) -> bool {
    connection(&lab.home(HOME), SocketAddr::new(ip(API), 443), Duration::from_millis(300)).is_ok()
}

pub fn the_kernel_has_the_end_of_each_address() {
    let (before, until) = (now(), now() + 600_000);
    let (mut lab, _listener) = lab(until);
    lives_until(&lab, until, (before, now()));
    lab.reaches_outside(HOME, API, 443);
    // Another answer: the same rules, another end.
    let (before, until) = (now(), until + 300_000);
    let applied = lab.firewall.renew(held(until)).unwrap();
    assert_eq!((applied.transactions, applied.elements), (1, 0));
    lives_until(&lab, until, (before, now()));
    // Nothing is said twice.
    assert_eq!(lab.firewall.renew(held(until)).unwrap().transactions, 0);
    lab.reaches_outside(HOME, API, 443);
    // What has ended by then is not in it, nor what ends within a tick: none of it must be for ever.
    for over in [now(), now() + 1] {
        lab.firewall.renew(held(over)).unwrap();
        assert_eq!(told(&lab), []);
        assert!(!comes(&lab));
    }
    // The rules put back are filled, too.
    lab.firewall.renew(held(until)).unwrap();
    within(&lab.node.router, || ringwall_kernel::apply::detach().unwrap());
    let before = now();
    assert!(!lab.firewall.mend().unwrap().is_empty());
    lives_until(&lab, until, (before, now()));
}

/// Nobody tells the kernel anything: as when the wall was killed.
pub fn an_address_ends_without_a_wall_and_its_flows_go_on() {
    let (mut lab, listener) = lab(now() + 600_000);
    let mut client = lab.reaches_outside(HOME, API, 443);
    let (mut server, _) = listener.accept().unwrap();
    lab.firewall.renew(held(now() + 50)).unwrap();
    let begun = Instant::now();
    while !told(&lab).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not end");
        std::thread::yield_now();
    }
    assert!(!comes(&lab));
    assert!(lives(&mut client, &mut server), "only what begins is judged");
}
