//! Ways to drop what comes from a listed address.

use super::{Ground, LINK, LISTED, generator::BASE};
use ringwall_kernel::apply::Firewall;
use ringwall_kernel::blocklist::Lists;
use ringwall_kernel::nft::layout::{Scope, Settings};
use ringwall_kernel::xdp::{Mode, Sizes, Xdp};
use ringwall_model::{RuleBook, RuleId};
use ringwall_packet::ruleset::{Endpoint, Ruleset};
use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

/// What drops; it must be ended.
pub enum Way {
    /// A table that the `nft` program made.
    Table,
    /// Ringwall's own.
    Own,
    Xdp(Box<Xdp>),
}

type Make = fn(&Ground) -> Result<Way, Box<dyn Error>>;

/// All, cheapest hook first; each is alone while it is measured.
pub const WAYS: &[(&str, Make)] = &[
    ("netdev drop, no list", |ground| table(ground, "netdev", "ingress device eth0 priority 0", "drop")),
    ("netdev ingress, list", |ground| table(ground, "netdev", "ingress device eth0 priority 0", LOOKUP)),
    ("inet ingress, list", |ground| table(ground, "inet", "ingress device eth0 priority 0", LOOKUP)),
    ("prerouting raw, list", |ground| table(ground, "inet", "prerouting priority -300", LOOKUP)),
    ("ringwall nftables", |ground| ringwall(ground, Listed::Feed, &[LINK])),
    ("ringwall nftables, blocked singly", |ground| ringwall(ground, Listed::Singly, &[LINK])),
    ("ringwall nftables, no link named", |ground| ringwall(ground, Listed::Feed, &[])),
    ("isolated router, links not named", |ground| router(ground, Named::No)),
    ("isolated router", |ground| router(ground, Named::Yes)),
    ("ringwall XDP", |ground| xdp(ground, Limited::No)),
    ("ringwall XDP, limits on", |ground| xdp(ground, Limited::Yes)),
];

const LOOKUP: &str = "ip saddr @listed drop";

fn table(ground: &Ground, family: &str, hook: &str, rule: &str) -> Result<Way, Box<dyn Error>> {
    let all: Vec<_> = listed().map(|address| address.to_string()).collect();
    let set = format!("set listed {{ type ipv4_addr; elements = {{ {} }} }}", all.join(", "));
    let chain = format!("chain drops {{ type filter hook {hook}; {rule}\n }}");
    ground.tell("nft", &["-f", "-"], &format!("table {family} bench {{\n{set}\n{chain}\n}}\n"))?;
    Ok(Way::Table)
}

/// How the addresses came into the list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listed {
    /// All at once.
    Feed,
    /// One after the other, by `ringwall block`.
    Singly,
}

/// As `ringwall up` does it for the links of a machine.
fn ringwall(ground: &Ground, how: Listed, links: &[&str]) -> Result<Way, Box<dyn Error>> {
    let all: Vec<_> = listed().map(Into::into).map(|address: IpAddr| address.into()).collect();
    ground.defender.run(|| {
        let mut firewall =
            Firewall::open(Settings { scope: Scope::Lists, ..Settings::default() }).map_err(io::Error::other)?;
        firewall.set_links(links).map_err(io::Error::other)?;
        if how == Listed::Feed {
            firewall.set_lists(Lists::of(&[], &all)).map_err(io::Error::other)?;
        }
        firewall.apply(&Ruleset::default(), &RuleBook::default()).map_err(io::Error::other)?;
        if how == Listed::Singly {
            let mut blocker = firewall.blocker().map_err(io::Error::other)?;
            all.iter().try_for_each(|one| blocker.block(*one, None).map_err(io::Error::other))?;
        }
        Ok(())
    })?;
    Ok(Way::Own)
}

/// Whether the filter knows the links that frames come in by.
#[derive(PartialEq, Eq)]
enum Named {
    No,
    Yes,
}

/// As `ringwall up --isolate` does it in its router: rules between workloads, a link for each, and blocks that came one
/// after the other.
fn router(ground: &Ground, named: Named) -> Result<Way, Box<dyn Error>> {
    let homes = Ground::others().map(|(link, address)| (link, IpAddr::from(address)));
    let homes = homes.chain([(LINK.to_owned(), super::ground::NEAR)]);
    let endpoint = |(link, address): (String, IpAddr)| Endpoint {
        name: link.clone().into(),
        addresses: vec![address],
        interface: Some(link.into()),
        egress: None,
        ingress: None,
    };
    let ruleset = Ruleset { endpoints: homes.map(endpoint).collect(), ..Ruleset::default() };
    let links: Vec<&str> = match named {
        Named::No => Vec::new(),
        Named::Yes => ruleset.endpoints.iter().filter_map(|endpoint| endpoint.interface.as_deref()).collect(),
    };
    ground.defender.run(|| {
        let mut firewall = Firewall::open(Settings::default()).map_err(io::Error::other)?;
        firewall.apply_at(&links, &ruleset, &RuleBook::default()).map_err(io::Error::other)?;
        let mut blocker = firewall.blocker().map_err(io::Error::other)?;
        listed().try_for_each(|one| blocker.block(IpAddr::from(one), None).map_err(io::Error::other))
    })?;
    Ok(Way::Own)
}

#[derive(PartialEq, Eq)]
pub enum Limited {
    No,
    Yes,
}

pub fn xdp(ground: &Ground, limited: Limited) -> Result<Way, Box<dyn Error>> {
    use ringwall_kernel::xdp::{Limits, Rate};
    let (mut xdp, _) = Xdp::load(Sizes::of(LISTED as usize))?;
    for address in listed() {
        xdp.block(IpAddr::from(address).into(), None, RuleId(0))?;
    }
    if limited == Limited::Yes {
        // Far above what the client of the flood bench sends, which is limited like all others.
        let rate = Some(Rate { per_second: 20_000, burst: 20_000 });
        xdp.limit(Limits { packets: rate, syns: rate, datagrams: rate, events: rate })?;
    }
    let mode = ground.defender.run(|| xdp.attach(LINK).map_err(io::Error::other))?;
    if mode != Mode::Native { Err("the link takes no program".into()) } else { Ok(Way::Xdp(Box::new(xdp))) }
}

fn listed() -> impl Iterator<Item = Ipv4Addr> {
    (BASE..BASE + LISTED).map(Ipv4Addr::from)
}

impl Way {
    pub fn end(self, ground: &Ground) -> io::Result<()> {
        match self {
            Self::Table | Self::Own => ground.tell("nft", &["flush", "ruleset"], ""),
            Self::Xdp(xdp) => {
                drop(xdp);
                Ok(())
            }
        }
    }
}
