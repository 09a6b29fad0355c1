//! The packet filter against the real kernel: what it lets through, and what happens when things go wrong. Without a
//! harness, because a process that is not root goes into a user namespace before it has threads.

#[path = "filter/lab.rs"]
mod lab;

use lab::{Lab, admits, listen};
use ringwall_kernel::namespace::{self, IsolationError};
use ringwall_kernel::nft::layout::Settings;
use ringwall_model::Reason;

fn main() {
    let standing = match namespace::enter() {
        Ok(standing) => standing,
        Err(error @ IsolationError::Permission(_)) => {
            assert!(std::env::var_os("RINGWALL_REQUIRE").is_none(), "{error}");
            return println!("not run: filter: {error}");
        }
        Err(error) => panic!("{error}"),
    };
    let only = std::env::args().nth(1).unwrap_or_default();
    let mut held = 0;
    for (name, case) in CASES.iter().filter(|(name, _)| name.contains(&only)) {
        println!("test {name}");
        case();
        held += 1;
    }
    println!("filter: {held} held as {standing:?}");
}

const CASES: &[(&str, fn())] = &[("a_group_admits_whom_it_names", a_group_admits_whom_it_names)];

fn a_group_admits_whom_it_names() {
    let mut lab = Lab::with(&["10.244.0.1", "10.244.0.2", "10.244.0.3"], Settings::default());
    let _server = listen(&lab.home("10.244.0.1"), lab::ip("10.244.0.1"), 80);
    lab.reaches("10.244.0.2", "10.244.0.1", 80);
    lab.apply();
    lab.reaches("10.244.0.2", "10.244.0.1", 80);
    lab.ingress(0, admits(&[("10.244.0.2", 80)], &["192.0.2.0/24"], Reason::NoRuleApplies));
    lab.apply();
    lab.reaches("10.244.0.2", "10.244.0.1", 80);
    lab.does_not_reach("10.244.0.3", "10.244.0.1", 80);
}
