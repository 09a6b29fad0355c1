//! A node on one machine: a namespace that routes, one for each workload, one for all that is outside, and the links
//! between them.
//!
//! In: addresses of the manifests. Out: [`Home`]s. Never: a link to the namespace of the machine: what leaves the node
//! leaves it through the data plane's own sockets, or not at all.
//! Each link has one address on it and nobody to ask: hardware addresses are said for good at both ends, so an answer
//! to an address request is never believed. INVARIANT: a workload's link is down until [`Node::open`].

use super::keep::Keeper;
use super::{IsolationError, Namespace, set_sysctl};
use crate::link::{End, LOOPBACK, Links};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The router's address on every link, as a workload sees its gateway.
const GATEWAY4: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1));
const GATEWAY6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
/// The router's link to all that is outside the node; there is nothing there but what tests put there.
pub const OUTSIDE: &str = "rwout";
/// Number of a workload's own link.
const OWN: u32 = 2;
/// Numbers of the router's links begin here.
const FIRST: u32 = 16;

/// Where one workload lives.
#[derive(Clone, Debug)]
pub struct Home {
    /// Its namespace; its link there is `eth0`.
    pub namespace: Namespace,
    /// The router's end of its link.
    pub interface: String,
    index: u32,
}

/// A node; its namespaces end with it, unless they are kept. What still runs in one that ended has no link.
#[derive(Debug)]
pub struct Node {
    /// Routes between workloads; the packet filter is here.
    pub router: Namespace,
    /// All that is outside.
    pub outside: Namespace,
    homes: BTreeMap<IpAddr, Home>,
    next: u32,
    keeper: Option<Keeper>,
}

/// Labels of what is kept; a home's is `home ADDRESS INDEX`.
const ROUTER: &str = "router";
const OUTER: &str = "outside";

impl Node {
    /// A node that outlives this process until [`Node::end`]: the one that is kept, as it is, or a new one.
    ///
    /// # Errors
    /// With the step that failed.
    pub fn kept(keeper: Keeper) -> Result<Self, IsolationError> {
        let asked = |error: io::Error| IsolationError::step("ask for the kept node", error);
        let mut node = match Self::adopt(&keeper).map_err(asked)? {
            Some(node) => node,
            None => {
                let node = Self::create()?;
                keeper.keep(ROUTER, &node.router).map_err(asked)?;
                keeper.keep(OUTER, &node.outside).map_err(asked)?;
                node
            }
        };
        node.keeper = Some(keeper);
        Ok(node)
    }

    /// What is kept; `None` when not all of a node is. A home without its link is left out.
    fn adopt(keeper: &Keeper) -> io::Result<Option<Self>> {
        let mut kept: BTreeMap<String, Namespace> = keeper.all()?.into_iter().collect();
        let (Some(router), Some(outside)) = (kept.remove(ROUTER), kept.remove(OUTER)) else {
            kept.keys().try_for_each(|label| keeper.forget(label))?;
            return Ok(None);
        };
        let links = router.run(|| std::fs::read_to_string("/proc/thread-self/net/dev"))?;
        let links: Vec<&str> = links.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())).collect();
        let mut homes = BTreeMap::new();
        let mut next = FIRST + 1;
        for (label, namespace) in kept {
            let Some((address, index)) = home_of(&label) else { continue };
            let interface = name(index);
            next = next.max(index + 1);
            if links.contains(&interface.as_str()) {
                homes.insert(address, Home { namespace, interface, index });
            } else {
                keeper.forget(&label)?;
            }
        }
        Ok(Some(Self { router, outside, homes, next, keeper: None }))
    }

    /// The process that keeps it.
    pub fn keeper(&self) -> Option<u32> {
        self.keeper.as_ref().map(|keeper| keeper.process)
    }

    /// Whether it is to outlive this process, and the process that keeps it is gone.
    pub fn has_lost_its_keeper(&self) -> bool {
        self.keeper.as_ref().is_some_and(|keeper| !keeper.is_there())
    }

    /// Ends the process that keeps it, when that does not answer: this process still has all of it.
    ///
    /// # Errors
    /// When it does not end.
    pub fn bury_its_keeper(&mut self) -> io::Result<()> {
        self.keeper.as_mut().map_or(Ok(()), Keeper::bury)
    }

    /// Gives all of it to another process that keeps it, instead of one that is gone.
    ///
    /// # Errors
    /// When that one is gone, too; then it is not kept.
    pub fn keep_by(&mut self, keeper: Keeper) -> io::Result<()> {
        keeper.keep(ROUTER, &self.router)?;
        keeper.keep(OUTER, &self.outside)?;
        let homes = self.homes.iter();
        homes
            .map(|(at, home)| (label(*at, home.index), &home.namespace))
            .try_for_each(|(at, home)| keeper.keep(&at, home))?;
        self.keeper = Some(keeper);
        Ok(())
    }

    /// Keeps it no more: its namespaces end with this process.
    pub fn end(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            // One that is gone keeps nothing.
            keeper.end().unwrap_or_default();
        }
    }

    /// Makes the router and the outside.
    ///
    /// # Errors
    /// With the step that failed.
    pub fn create() -> Result<Self, IsolationError> {
        let made = |step: &'static str| move |error: io::Error| IsolationError::step(step, error);
        let router = Namespace::create().map_err(made("make a network namespace"))?;
        let outside = Namespace::create().map_err(made("make a network namespace"))?;
        let (near, far) = ends(FIRST, OUTSIDE);
        let settings = || {
            set_sysctl("ipv4/ip_forward", "1")?;
            set_sysctl("ipv4/conf/all/send_redirects", "0")?;
            set_sysctl("ipv4/conf/default/send_redirects", "0")?;
            // A machine without IPv6 has no such setting, and no such packets.
            set_sysctl("ipv6/conf/all/forwarding", "1").or_else(absent)
        };
        let wire = || {
            settings()?;
            let mut links = Links::open()?;
            links.up(LOOPBACK)?;
            links.add_address(LOOPBACK, GATEWAY4)?;
            links.add_pair(&near, &far, &outside)?;
            links.up(near.index)
        };
        router.run(wire).map_err(made("wire the router"))?;
        let wire = || {
            let mut links = Links::open()?;
            links.up(LOOPBACK)?;
            links.up(far.index)?;
            links.add_neighbour(far.index, GATEWAY4, near.hardware)?;
            links.add_route(far.index, None, Some(GATEWAY4))
        };
        outside.run(wire).map_err(made("wire the outside"))?;
        // By its gateway the router reaches all that it knows no link for.
        let gateway = IpAddr::V4(Ipv4Addr::new(169, 254, 1, 2));
        let wire = || {
            let mut links = Links::open()?;
            links.add_neighbour(near.index, gateway, far.hardware)?;
            links.add_route(near.index, None, Some(gateway))
        };
        router.run(wire).map_err(made("wire the router"))?;
        Ok(Self { router, outside, homes: BTreeMap::new(), next: FIRST + 1, keeper: None })
    }

    /// Gives an address outside the node to the outside.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn add_outside(&self, address: IpAddr) -> io::Result<()> {
        self.outside.run(|| Links::open()?.add_address(OWN, address))
    }

    /// Makes the home of the workload with that address, its link still down. A home that is there stays.
    ///
    /// # Errors
    /// With the step that failed; nothing of the home is left then.
    pub fn add(&mut self, address: IpAddr) -> Result<Home, IsolationError> {
        if let Some(home) = self.homes.get(&address) {
            return Ok(home.clone());
        }
        let failed = |error: io::Error| IsolationError::step(format!("make the namespace of {address}"), error);
        let namespace = Namespace::create().map_err(failed)?;
        let index = self.next;
        self.next += 1;
        let (near, far) = ends(index, &name(index));
        let made = self.router.run(|| {
            let mut links = Links::open()?;
            links.add_pair(&near, &far, &namespace)?;
            links.add_neighbour(index, address, far.hardware)
        });
        let wired = made.and_then(|()| namespace.run(|| furnish(address, &near, &far)));
        let kept = |keeper: &Keeper| keeper.keep(&label(address, index), &namespace);
        let wired = wired.and_then(|()| self.keeper.as_ref().map_or(Ok(()), kept));
        if let Err(error) = wired {
            // Without its namespace the link goes as well.
            self.router.run(|| Links::open()?.remove(index)).unwrap_or_default();
            return Err(failed(error));
        }
        let home = Home { namespace, interface: near.name, index };
        self.homes.insert(address, home.clone());
        Ok(home)
    }

    /// Sets a home's link up. ORDER: after the rules for it are in force.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn open(&self, address: IpAddr) -> io::Result<()> {
        let Some(home) = self.homes.get(&address) else { return Err(io::ErrorKind::NotFound.into()) };
        self.router.run(|| {
            let mut links = Links::open()?;
            links.up(home.index)?;
            match links.add_route(home.index, Some(address), None) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                done => done,
            }
        })
    }

    /// Takes a home's link away; its namespace ends when nothing runs there any more.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn remove(&mut self, address: IpAddr) -> io::Result<()> {
        let Some(home) = self.homes.remove(&address) else { return Ok(()) };
        self.router.run(|| Links::open()?.remove(home.index))?;
        let forgotten = self.keeper.as_ref().map(|keeper| keeper.forget(&label(address, home.index)));
        // One that is gone keeps nothing, and the next one is not given this.
        forgotten.map_or(Ok(()), |it| it.or_else(|error| if self.has_lost_its_keeper() { Ok(()) } else { Err(error) }))
    }

    /// The home of a workload.
    pub fn home(&self, address: IpAddr) -> Option<&Home> {
        self.homes.get(&address)
    }

    /// Addresses and homes of all workloads.
    pub fn homes(&self) -> impl Iterator<Item = (IpAddr, &Home)> {
        self.homes.iter().map(|(address, home)| (*address, home))
    }
}

/// Addresses and routes inside a workload's namespace.
fn furnish(address: IpAddr, near: &End, far: &End) -> io::Result<()> {
    let gateway = if address.is_ipv4() { GATEWAY4 } else { GATEWAY6 };
    // Programs there are nobody in particular, and may listen where their manifests say.
    set_sysctl("ipv4/ip_unprivileged_port_start", "0")?;
    if address.is_ipv6() {
        set_sysctl("ipv6/conf/all/accept_ra", "0").or_else(absent)?;
    }
    let mut links = Links::open()?;
    links.up(LOOPBACK)?;
    links.up(far.index)?;
    links.add_address(far.index, address)?;
    links.add_neighbour(far.index, gateway, near.hardware)?;
    links.add_route(far.index, None, Some(gateway))
}

fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn label(address: IpAddr, index: u32) -> String {
    format!("home {address} {index}")
}

fn home_of(label: &str) -> Option<(IpAddr, u32)> {
    let (address, index) = label.strip_prefix("home ")?.split_once(' ')?;
    Some((address.parse().ok()?, index.parse().ok().filter(|index| *index > FIRST)?))
}

/// Name of the router's end of link number `index`.
fn name(index: u32) -> String {
    format!("rw{}", index - FIRST)
}

/// The router's end and the other end of link number `index`.
fn ends(index: u32, name: &str) -> (End, End) {
    let [_, high, middle, low] = index.to_be_bytes();
    // Locally administered, unicast.
    let near = End { name: name.to_owned(), index, hardware: [0x02, 0x72, 0x77, high, middle, low] };
    let far = End { name: "eth0".to_owned(), index: OWN, hardware: [0x02, 0x70, 0x77, high, middle, low] };
    (near, far)
}
