//! What it takes to block one address more beside a list of 10,000, and to load a feed of 100,000.

use super::{Ground, generator::BASE};
use ringwall_kernel::apply::Firewall;
use ringwall_kernel::blocklist::Lists;
use ringwall_kernel::nft::layout::Settings;
use ringwall_kernel::xdp::{Sizes, Xdp};
use ringwall_model::{RuleBook, RuleId};
use ringwall_packet::ruleset::Ruleset;
use serde_json::{Value, json};
use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

const FEED: u32 = 100_000;
/// Blocked one after the other, and not in the feed.
const SINGLE: u32 = 2_000;
const LIFE: Option<Duration> = Some(Duration::from_secs(600));

pub fn costs(ground: &Ground) -> Result<Value, Box<dyn Error>> {
    let addresses = |from: u32, count: u32| (from..from + count).map(|bits| IpAddr::from(Ipv4Addr::from(bits)));
    let single: Vec<_> = addresses(BASE - SINGLE, SINGLE).collect();
    let nftables = ground.defender.run(|| {
        let mut firewall = Firewall::open(Settings::default()).map_err(io::Error::other)?;
        let listed: Vec<_> = addresses(BASE, super::LISTED).map(Into::into).collect();
        firewall.set_lists(Lists::of(&[], &listed)).map_err(io::Error::other)?;
        firewall.apply(&Ruleset::default(), &RuleBook::default()).map_err(io::Error::other)?;
        let mut blocker = firewall.blocker().map_err(io::Error::other)?;
        let one = timed(&single, |address| blocker.block(address, LIFE).map_err(io::Error::other))?;
        let feed: Vec<_> = addresses(BASE, FEED).map(Into::into).collect();
        let begun = Instant::now();
        firewall.set_lists(Lists::of(&[], &feed)).map_err(io::Error::other)?;
        Ok(json!({ "block_ns": one, "feed_us": begun.elapsed().as_micros() as u64 }))
    })?;
    ground.tell("nft", &["flush", "ruleset"], "")?;
    let (mut xdp, _) = Xdp::load(Sizes::of(FEED as usize))?;
    for address in addresses(BASE, super::LISTED) {
        xdp.block(address.into(), None, RuleId(0))?;
    }
    let one = timed(&single, |address| xdp.block(address.into(), LIFE, RuleId(0)).map_err(io::Error::other))?;
    let begun = Instant::now();
    for address in addresses(BASE, FEED) {
        xdp.block(address.into(), None, RuleId(0))?;
    }
    let xdp = json!({ "block_ns": one, "feed_us": begun.elapsed().as_micros() as u64 });
    Ok(json!({ "ringwall nftables": nftables, "ringwall XDP": xdp }))
}

/// Nanoseconds of each.
fn timed(addresses: &[IpAddr], mut block: impl FnMut(IpAddr) -> io::Result<()>) -> io::Result<Vec<u64>> {
    let mut times = Vec::with_capacity(addresses.len());
    for address in addresses {
        let begun = Instant::now();
        block(*address)?;
        times.push(begun.elapsed().as_nanos() as u64);
    }
    Ok(times)
}
