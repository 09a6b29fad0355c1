//! Who there is: pods with labels and addresses, the namespaces they are in, the nodes they run on.

use ringwall_model::Labels;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

/// Index of an [`Endpoint`] in [`Endpoints`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u32);

/// One pod, or what stands in for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its labels.
    pub labels: Labels,
    /// Its addresses, of one family or both.
    pub addresses: Vec<IpAddr>,
    /// Its named ports: name, IP protocol number, port.
    pub ports: Vec<(Box<str>, u8, u16)>,
    /// Which network it is on.
    pub network: Network,
    /// The name of the node it runs on; empty when there is one node only.
    pub node: Box<str>,
}

/// Which network an endpoint is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// It has addresses of its own.
    #[default]
    Own,
    /// The node's: its traffic is the node's, and no selector selects it (P11).
    Host,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its labels.
    pub labels: Labels,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    list: Vec<Endpoint>,
    namespaces: BTreeMap<Box<str>, Labels>,
    nodes: BTreeMap<Box<str>, Node>,
    by_address: HashMap<IpAddr, EndpointId>,
}

/// IP protocol numbers (IANA "Assigned Internet Protocol Numbers").
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

impl Endpoints {
    /// Endpoints with the labels of their namespaces and the nodes. An address belongs to the first that has it; those
    /// on the host's network have none of their own.
    pub fn of(
        mut list: Vec<Endpoint>,
        namespaces: BTreeMap<Box<str>, Labels>,
        nodes: BTreeMap<Box<str>, Node>,
    ) -> Self {
        let mut by_address = HashMap::new();
        for (index, endpoint) in (0_u32..).zip(&mut list) {
            if endpoint.network == Network::Host {
                endpoint.addresses.clear();
            }
            endpoint.addresses.iter_mut().for_each(|address| *address = address.to_canonical());
            endpoint
                .addresses
                .retain(|address| *by_address.entry(*address).or_insert(EndpointId(index)) == EndpointId(index));
        }
        Self { list, namespaces, nodes, by_address }
    }

    /// An endpoint by number.
    pub fn get(&self, id: EndpointId) -> Option<&Endpoint> {
        self.list.get(id.0 as usize)
    }

    /// All endpoints with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (EndpointId, &Endpoint)> {
        (0_u32..).map(EndpointId).zip(&self.list)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The endpoint that has an address.
    pub fn at(&self, address: IpAddr) -> Option<EndpointId> {
        self.by_address.get(&address.to_canonical()).copied()
    }

    /// Labels of a namespace; empty when it is not known.
    pub fn namespace_labels(&self, namespace: &str) -> &Labels {
        static NONE: Labels = Labels::new();
        self.namespaces.get(namespace).unwrap_or(&NONE)
    }

    /// The namespaces with their labels.
    pub const fn namespaces(&self) -> &BTreeMap<Box<str>, Labels> {
        &self.namespaces
    }

    /// The nodes by name.
    pub const fn nodes(&self) -> &BTreeMap<Box<str>, Node> {
        &self.nodes
    }

    /// Whether an address is of the node that an endpoint runs on: such traffic is always allowed (P11).
    pub fn is_own_node(&self, endpoint: &Endpoint, address: IpAddr) -> bool {
        self.nodes.get(&endpoint.node).is_some_and(|node| node.addresses.contains(&address.to_canonical()))
    }
}
