//! Links, addresses, routes and neighbours of the namespace that the calling thread is in, by rtnetlink.
//!
//! In: what is wanted. Out: the kernel's word on it, one acknowledged message a step. Never: a look at what is there:
//! our namespaces are new, and interface numbers are ours to choose. Follows rtnetlink(7), netlink(7), veth(4).

pub mod capture;

use crate::namespace::Namespace;
use crate::netlink::attribute::{Writer, attributes};
use crate::netlink::{CREATE, EXCL, Error, Socket};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

/// Number of the loopback of every namespace.
pub const LOOPBACK: u32 = 1;

/// One end of a pair of virtual Ethernet links.
#[derive(Clone, Debug)]
pub struct End {
    /// Name, at most 15 bytes.
    pub name: String,
    /// Number in its namespace.
    pub index: u32,
    /// Hardware address.
    pub hardware: [u8; 6],
}

/// A socket to the kernel's routing tables.
pub struct Links(Socket);

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const NEW_NEIGHBOUR: u16 = 28;
/// What is made must not be there yet.
const NEW: u16 = CREATE | EXCL;
const IFF_UP: u32 = 1;
/// No duplicate address detection: nobody else is on our links.
const IFA_F_NODAD: u8 = 2;

impl Links {
    /// For the namespace that this thread is in.
    ///
    /// # Errors
    /// When the kernel gives no socket.
    pub fn open() -> io::Result<Self> {
        Socket::open(None, 0).map(Self).map_err(told)
    }

    /// Makes a pair of links, `near` here and `far` in the other namespace, both down.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn add_pair(&mut self, near: &End, far: &End, other: &Namespace) -> io::Result<()> {
        const IFLA_ADDRESS: u16 = 1;
        const IFLA_IFNAME: u16 = 3;
        const IFLA_LINKINFO: u16 = 18;
        const IFLA_INFO_KIND: u16 = 1;
        const IFLA_INFO_DATA: u16 = 2;
        const IFLA_NET_NS_FD: u16 = 28;
        const VETH_INFO_PEER: u16 = 1;
        let mut message = link(near.index, 0);
        message.text(IFLA_IFNAME, &near.name).bytes(IFLA_ADDRESS, &near.hardware);
        message.nested(IFLA_LINKINFO, |message| {
            message.text(IFLA_INFO_KIND, "veth");
            message.nested(IFLA_INFO_DATA, |message| {
                message.nested(VETH_INFO_PEER, |message| {
                    message.raw(&about(far.index, 0)).text(IFLA_IFNAME, &far.name);
                    message.bytes(IFLA_ADDRESS, &far.hardware);
                    message.bytes(IFLA_NET_NS_FD, &other.as_fd().as_raw_fd().to_ne_bytes());
                });
            });
        });
        self.tell("a pair of links", NEW_LINK, NEW, message)
    }

    /// Sets a link up.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn up(&mut self, index: u32) -> io::Result<()> {
        self.tell("a link set up", NEW_LINK, 0, link(index, IFF_UP))
    }

    /// Removes a link, and with it the other end.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn remove(&mut self, index: u32) -> io::Result<()> {
        self.tell("the removal of a link", DELETE_LINK, 0, link(index, 0))
    }

    /// Gives a link an address of its own, without a network.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn add_address(&mut self, index: u32, address: IpAddr) -> io::Result<()> {
        const IFA_ADDRESS: u16 = 1;
        const IFA_LOCAL: u16 = 2;
        let mut message = Writer::default();
        let bytes = octets(address);
        let flags = if address.is_ipv6() { IFA_F_NODAD } else { 0 };
        message.raw(&[family(address), whole(address), flags, 0]).raw(&index.to_ne_bytes());
        message.bytes(IFA_LOCAL, &bytes).bytes(IFA_ADDRESS, &bytes);
        self.tell("an address", NEW_ADDRESS, NEW, message)
    }

    /// The addresses of all links, in this socket's network namespace.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn addresses(&mut self) -> io::Result<Vec<IpAddr>> {
        const IFA_ADDRESS: u16 = 1;
        const IFA_LOCAL: u16 = 2;
        const FIXED: usize = 8;
        let mut all = Vec::new();
        let walked = self.0.dump("the addresses", GET_ADDRESS, &[0; FIXED], |message| {
            let Some(message) = message else { return all.clear() };
            let told = attributes(message.payload.get(FIXED..).unwrap_or_default());
            // Of a link to one peer the other address is the peer's.
            let own = told.first(IFA_LOCAL).or_else(|| told.first(IFA_ADDRESS)).unwrap_or_default();
            let v4 = || <[u8; 4]>::try_from(own).ok().map(IpAddr::from);
            all.extend(v4().or_else(|| <[u8; 16]>::try_from(own).ok().map(IpAddr::from)));
        });
        walked.map_err(told)?;
        Ok(all)
    }

    /// Sends what goes to `to` (all, when `None`, of the gateway's family) over a link, by a gateway that need not be in
    /// any network of ours.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn add_route(&mut self, index: u32, to: Option<IpAddr>, gateway: Option<IpAddr>) -> io::Result<()> {
        const RTA_DST: u16 = 1;
        const RTA_OIF: u16 = 4;
        const RTA_GATEWAY: u16 = 5;
        const MAIN: u8 = 254;
        const BOOT: u8 = 3;
        const UNICAST: u8 = 1;
        const SCOPE_LINK: u8 = 253;
        /// The gateway is on this link, whatever the addresses say.
        const RTNH_F_ONLINK: u32 = 4;
        let mut message = Writer::default();
        let family = to.or(gateway).map_or(2, family);
        let length = to.map_or(0, whole);
        let (scope, flags) = if gateway.is_some() { (0, RTNH_F_ONLINK) } else { (SCOPE_LINK, 0) };
        let scope = if family == 10 { 0 } else { scope };
        message.raw(&[family, length, 0, 0, MAIN, BOOT, scope, UNICAST]).raw(&flags.to_ne_bytes());
        if let Some(to) = to {
            message.bytes(RTA_DST, &octets(to));
        }
        if let Some(gateway) = gateway {
            message.bytes(RTA_GATEWAY, &octets(gateway));
        }
        message.ne32(RTA_OIF, index);
        self.tell("a route", NEW_ROUTE, NEW, message)
    }

    /// Says for good which hardware address a neighbour has, so that nobody is asked and nobody can answer falsely.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn add_neighbour(&mut self, index: u32, address: IpAddr, hardware: [u8; 6]) -> io::Result<()> {
        const NDA_DST: u16 = 1;
        const NDA_LLADDR: u16 = 2;
        const NUD_PERMANENT: u16 = 0x80;
        let mut message = Writer::default();
        message.raw(&[family(address), 0, 0, 0]).raw(&index.to_ne_bytes());
        message.raw(&[NUD_PERMANENT.to_ne_bytes(), [0; 2]].concat());
        message.bytes(NDA_DST, &octets(address)).bytes(NDA_LLADDR, &hardware);
        self.tell("a neighbour", NEW_NEIGHBOUR, NEW, message)
    }

    fn tell(&mut self, label: &str, kind: u16, flags: u16, message: Writer) -> io::Result<()> {
        let payload = message.finish().ok_or(io::ErrorKind::InvalidInput)?;
        self.0.request(label, kind, flags, &payload, |_| ()).map_err(told)
    }
}

/// The fixed part of messages about links (`struct ifinfomsg`): number, and flags to set.
fn about(index: u32, flags: u32) -> Vec<u8> {
    [0, index, flags, flags].iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn link(index: u32, flags: u32) -> Writer {
    let mut message = Writer::default();
    message.raw(&about(index, flags));
    message
}

/// The kernel's number stays the kind of the error, its words stay the text.
fn told(error: Error) -> io::Error {
    let kind = match &error {
        Error::Socket(socket) => socket.kind(),
        Error::Refused { errno, .. } => io::Error::from_raw_os_error(*errno).kind(),
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}

/// Length of a prefix that is one address.
fn whole(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
