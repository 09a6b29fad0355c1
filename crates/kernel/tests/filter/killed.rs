//! The process that applies is killed: its rules stay in force, and the next process takes them over.

use crate::change::{established, lives};
use crate::lab::{Lab, admits, listen};
use ringwall_kernel::apply::{Firewall, ReadBack};
use ringwall_kernel::namespace::Namespace;
use ringwall_kernel::nft::layout::Settings;
use ringwall_model::Reason;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, configure_capability_in_ambient_set, set_capabilities,
};
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

/// By this variable a process knows that it is the one to be killed; the namespace in which it applies is its input.
pub const VARIABLE: &str = "RINGWALL_FILTER_APPLIES";

pub fn the_rules_of_a_killed_process_are_taken_over() {
    let mut lab = Lab::with(&["10.244.0.1", "10.244.0.2", "10.244.0.3"], Settings::default());
    lab.ingress(0, admits(&[("10.244.0.2", 80)], &[], Reason::NoRuleApplies));
    let _server = listen(&lab.home("10.244.0.1"), crate::lab::ip("10.244.0.1"), 81);
    lab.reaches("10.244.0.3", "10.244.0.1", 81);
    keep_capabilities();
    let me = std::env::current_exe().unwrap();
    let router = Stdio::from(lab.node.router.as_fd().try_clone_to_owned().unwrap());
    let mut child = Command::new(me).env(VARIABLE, "1").stdin(router).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "applied\n");
    let (mut client, mut server) = established(&lab, 80);
    child.kill().unwrap();
    child.wait().unwrap();
    lab.does_not_reach("10.244.0.3", "10.244.0.1", 81);
    assert!(lives(&mut client, &mut server));
    let applied = lab.firewall.apply(&lab.ruleset, &lab.book).unwrap();
    assert_eq!((applied.transactions, applied.read_back), (0, ReadBack::Equal));
    assert!(lives(&mut client, &mut server));
    lab.does_not_reach("10.244.0.3", "10.244.0.1", 81);
}

/// What the process that is to be killed does.
pub fn apply_and_wait() {
    Namespace::open("/proc/self/fd/0").unwrap().join().unwrap();
    let mut firewall = Firewall::open(Settings::default()).unwrap();
    let (ruleset, book) = (ruleset(), ringwall_model::RuleBook::default());
    firewall.apply(&ruleset, &book).unwrap();
    println!("applied");
    std::thread::park();
}

/// The same ruleset as in the lab, whose interfaces are numbered in order.
fn ruleset() -> ringwall_packet::ruleset::Ruleset {
    let mut ruleset = crate::lab::ruleset();
    for (number, address) in (1..).zip(["10.244.0.1", "10.244.0.2", "10.244.0.3"]) {
        ruleset.endpoints.push(crate::lab::endpoint(address, &format!("rw{number}")));
    }
    ruleset.groups.push(admits(&[("10.244.0.2", 80)], &[], Reason::NoRuleApplies));
    ruleset.endpoints[0].ingress = Some(ringwall_packet::ruleset::GroupId(0));
    ruleset
}

/// Outside of root a new program loses what it may do, unless this is said before.
fn keep_capabilities() {
    let wanted = CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN;
    let has = capabilities(None).unwrap();
    set_capabilities(None, CapabilitySets { inheritable: wanted, ..has }).unwrap();
    for one in [CapabilitySet::SYS_ADMIN, CapabilitySet::NET_ADMIN] {
        configure_capability_in_ambient_set(one, true).unwrap();
    }
}
