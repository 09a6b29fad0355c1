//! What one block costs: `block_cost [HOW_MANY_BEFORE]`. Blocks and unblocks single addresses over the socket that is
//! kept open, in a namespace of its own, and prints the middle and the 99th of a hundred; then loads a feed of 100,000.

use ringwall_kernel::apply::Firewall;
use ringwall_kernel::blocklist::Lists;
use ringwall_kernel::namespace::{self, Namespace};
use ringwall_kernel::nft::layout::Settings;
use ringwall_model::RuleBook;
use ringwall_packet::ruleset::Ruleset;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

const ROUNDS: u32 = 20_000;
const FEED: u32 = 100_000;

fn main() {
    let before: u32 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(10_000);
    namespace::enter().expect("root, or user namespaces");
    Namespace::create().and_then(|own| own.join()).expect("a network namespace");
    let mut firewall = Firewall::open(Settings::default()).expect("netlink");
    firewall.apply(&Ruleset::default(), &RuleBook::default()).expect("a table");
    let mut blocker = firewall.blocker().expect("netlink");
    let address = |number: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + number));
    let hour = Some(Duration::from_secs(3600));
    for number in 0..before {
        blocker.block(address(number), hour).expect("a block");
    }
    let (mut blocks, mut unblocks) = (Vec::new(), Vec::new());
    for number in before..before + ROUNDS {
        let start = Instant::now();
        blocker.block(address(number), hour).expect("a block");
        blocks.push(start.elapsed());
        let start = Instant::now();
        blocker.unblock(address(number)).expect("no block");
        unblocks.push(start.elapsed());
    }
    report(&format!("block one more than {before}"), blocks);
    report("unblock it", unblocks);
    let feed: Vec<_> =
        (0..FEED).map(|number| IpAddr::from(Ipv4Addr::from_bits(0x2000_0000 + number * 3)).into()).collect();
    for (what, feed) in [("feed of 100,000", &feed[..]), ("the same without one", &feed[1..])] {
        let (start, before) = (Instant::now(), spent());
        let applied = firewall.set_lists(Lists::of(&[], feed)).expect("a feed");
        let (passed, spent) = (start.elapsed(), spent() - before);
        println!("{what}: {passed:?} passed, {spent:?} spent, {} elements, {:?}", applied.elements, applied.read_back);
    }
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: usize| times[times.len() * part / 1000];
    println!("{what}: p50 {:?}, p99 {:?}, p99.9 {:?} ({} rounds)", at(500), at(990), at(999), times.len());
}

/// Time that this thread had a processor, the kernel's work for it among it.
fn spent() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}
