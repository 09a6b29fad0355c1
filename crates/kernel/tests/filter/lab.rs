//! A node with a firewall in its router, workloads that listen, and probes between them.

use ringwall_kernel::apply::{Firewall, ReadBack};
use ringwall_kernel::namespace::Namespace;
use ringwall_kernel::namespace::node::Node;
use ringwall_kernel::nft::layout::Settings;
use ringwall_model::{Reason, RuleBook};
use ringwall_packet::ruleset::{Chain, Endpoint, Exact, Group, GroupId, Outcome, Range, Ruleset, Step, Tier, Verdict};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// How long a connection that must not be made is waited for.
const SHORT: Duration = Duration::from_millis(300);
/// How long one that must be made may take.
const LONG: Duration = Duration::from_secs(5);

/// An address from text.
pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A node, its firewall, and the ruleset that is to be in force.
pub struct Lab {
    pub node: Node,
    pub firewall: Firewall,
    pub ruleset: Ruleset,
    pub book: RuleBook,
}

impl Lab {
    /// A node with workloads; no policy selects any of them.
    pub fn with(addresses: &[&str], settings: Settings) -> Self {
        let mut node = Node::create().unwrap();
        let mut ruleset = ruleset();
        for address in addresses {
            let home = node.add(ip(address)).unwrap();
            node.open(ip(address)).unwrap();
            ruleset.endpoints.push(endpoint(address, &home.interface));
        }
        // A link that has just come up loses the first packets; the refusal of a connection shows that it carries some.
        for (number, address) in addresses.iter().enumerate() {
            let from = match addresses[(number + 1) % addresses.len()] {
                other if other == *address => node.router.clone(),
                other => node.home(ip(other)).unwrap().namespace.clone(),
            };
            let refused = connection(&from, SocketAddr::new(ip(address), 1), LONG).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        }
        let firewall = within(&node.router, || Firewall::open(settings).unwrap());
        Self { node, firewall, ruleset, book: RuleBook::default() }
    }

    /// The namespace of a workload.
    pub fn home(&self, address: &str) -> Namespace {
        self.node.home(ip(address)).unwrap().namespace.clone()
    }

    /// Applies the ruleset and sees that the kernel has it.
    pub fn apply(&mut self) {
        let applied = self.firewall.apply(&self.ruleset, &self.book).unwrap();
        assert_eq!(applied.read_back, ReadBack::Equal);
    }

    /// Gives endpoint number `index` a group of its own for what it is sent.
    pub fn ingress(&mut self, index: usize, group: Group) {
        let id = u32::try_from(self.ruleset.groups.len()).unwrap();
        self.ruleset.groups.push(group);
        self.ruleset.endpoints[index].ingress = Some(GroupId(id));
    }

    /// A connection from one workload to another, which listens, is made.
    pub fn reaches(&self, from: &str, to: &str, port: u16) {
        if let Err(error) = connection(&self.home(from), SocketAddr::new(ip(to), port), LONG) {
            panic!("{from} does not reach {to}:{port}: {error}");
        }
    }

    /// A connection from a workload to an address outside, which listens, is made.
    pub fn reaches_outside(&self, from: &str, to: &str, port: u16) -> TcpStream {
        let made = connection(&self.home(from), SocketAddr::new(ip(to), port), LONG);
        made.unwrap_or_else(|error| panic!("{from} does not reach {to}:{port}: {error}"))
    }

    /// No such connection is made.
    pub fn does_not_reach(&self, from: &str, to: &str, port: u16) {
        let made = connection(&self.home(from), SocketAddr::new(ip(to), port), SHORT);
        assert!(made.is_err(), "{from} reaches {to}:{port}");
    }
}

/// A ruleset without endpoints.
pub fn ruleset() -> Ruleset {
    let networks = ["10.244.0.0/16", "fd00:10:244::/64"].map(|network| network.parse().unwrap());
    Ruleset { networks: networks.into(), ..Ruleset::default() }
}

/// An endpoint that no policy selects.
pub fn endpoint(address: &str, interface: &str) -> Endpoint {
    Endpoint {
        name: format!("test/{address}").into(),
        addresses: vec![ip(address)],
        interface: Some(interface.into()),
        egress: None,
        ingress: None,
    }
}

/// Does something in a namespace.
pub fn within<T: Send>(namespace: &Namespace, work: impl FnOnce() -> T + Send) -> T {
    namespace.run(|| Ok(work())).unwrap()
}

/// A listener in a namespace, on a port that is free there.
pub fn listen(namespace: &Namespace, address: IpAddr, port: u16) -> TcpListener {
    within(namespace, || TcpListener::bind(SocketAddr::new(address, port)).unwrap())
}

/// A connection from a namespace.
pub fn connection(namespace: &Namespace, to: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    namespace.run(|| TcpStream::connect_timeout(&to, patience))
}

/// A group that admits these peers to these TCP ports and drops all else.
pub fn admits(exact: &[(&str, u16)], ranges: &[&str], because: Reason) -> Group {
    let mut exact: Vec<_> =
        exact.iter().map(|(peer, port)| Exact { peer: ip(peer), protocol: 6, port: *port }).collect();
    exact.sort();
    let ranges = ranges.iter().map(|network| Range { peer: network.parse().unwrap(), protocol: None, ports: None });
    let step = Step { exact, peers: Vec::new(), ranges: ranges.collect(), outcome: Outcome::Accept, named: None };
    let chain = Chain { tiers: vec![Tier { steps: vec![step] }], otherwise: Verdict::Drop(because) };
    Group { enforced: chain, shadow: None }
}
