//! On one machine without isolation, every workload has the address of the manifests, which all policy sees, and a bind:
//! a loopback address of this run. This file gives binds and finds them again.
//!
//! In: addresses of the manifests. Out: loopback sockets. Never: a decision that depends on a bind.

use ringwall_model::{Listener, Role};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::RwLock;

/// Which loopback address each address of the manifests has in this run, and where applications listen.
#[derive(Debug)]
pub struct Binds {
    /// `127.A.B.0/24` upwards: the subnet of this run.
    subnet: [u8; 2],
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Loopback address by address of the manifests.
    loopback: BTreeMap<IpAddr, Ipv4Addr>,
    /// Sockets of applications, by the workload's address and port.
    apps: BTreeMap<(IpAddr, u16), SocketAddr>,
    /// Sockets of listeners, by side, the workload's own address, and the address of the manifests.
    bound: BTreeMap<(Side, IpAddr, SocketAddr), SocketAddr>,
}

/// A workload's outbound side listens on the same address as its inbound side; the two must not be taken for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    In,
    Out,
}

impl Side {
    const fn of(role: Role) -> Self {
        match role {
            Role::Outbound => Self::Out,
            Role::Edge | Role::Gateway | Role::Inbound | Role::Egress => Self::In,
        }
    }
}

impl Binds {
    /// Chooses a subnet of `127.0.0.0/8` from random bits; `127.0.x.y` is left to others.
    pub fn choose(random: u16) -> Self {
        let [a, b] = random.to_be_bytes();
        Self { subnet: [a.clamp(1, 254), b], known: RwLock::default() }
    }

    /// The loopback address of an address of the manifests; the same one for the whole run.
    pub fn loopback(&self, address: IpAddr) -> Ipv4Addr {
        let mut known = self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let next = known.loopback.len();
        let [a, b] = self.subnet;
        // 254 hosts a subnet; beyond them the run spills into the next subnets of 127.A.
        let (third, fourth) = (b.wrapping_add((next / 254) as u8), (next % 254 + 1) as u8);
        *known.loopback.entry(address).or_insert_with(|| Ipv4Addr::new(127, a, third, fourth))
    }

    /// The loopback port of a port of the manifests: the same, or 8000 more where it is privileged.
    pub const fn port(port: u16) -> u16 {
        if port < 1024 { port + 8000 } else { port }
    }

    /// Binds a listener of the workload at `home`: first at its loopback address with the listener's port, else at a
    /// free port of that address. A listener that was bound before in this run gets the same socket address.
    ///
    /// # Errors
    /// What the system said, when even a free port cannot be had.
    pub fn bind(
        &self,
        listener: &Listener,
        home: IpAddr,
        workers: usize,
    ) -> std::io::Result<(SocketAddr, Vec<TcpListener>)> {
        let key = (Side::of(listener.role), home, listener.address);
        let before = self.read().bound.get(&key).copied();
        let ip = IpAddr::V4(self.loopback(home));
        let wanted = before.unwrap_or(SocketAddr::new(ip, Self::port(listener.address.port())));
        // A shared port would quietly let a second listener of this user in, so a plain socket asks first.
        let free = free(wanted).is_ok();
        let first = if free { reuse_port(wanted) } else { reuse_port(SocketAddr::new(ip, 0)) }?;
        let at = first.local_addr()?;
        let mut sockets = vec![first];
        for _ in 1..workers.max(1) {
            sockets.push(reuse_port(at)?);
        }
        self.write().bound.insert(key, at);
        Ok((at, sockets))
    }

    /// Where a listener with that address of the manifests is bound, for callers from inside the mesh.
    pub fn bound(&self, address: SocketAddr) -> Option<SocketAddr> {
        self.read().bound.get(&(Side::In, address.ip(), address)).copied()
    }

    /// Where the outbound listener of the workload at `home` with that address of the manifests is bound.
    pub fn outbound(&self, home: IpAddr, address: SocketAddr) -> Option<SocketAddr> {
        self.read().bound.get(&(Side::Out, home, address)).copied()
    }

    /// Where a listener of that workload would be found, if it was bound before in this run.
    pub fn known(&self, listener: &Listener, home: IpAddr) -> Option<SocketAddr> {
        self.read().bound.get(&(Side::of(listener.role), home, listener.address)).copied()
    }

    /// Forgets a listener that is no longer served, so that its port is free for another.
    pub fn forget(&self, listener: &Listener, home: IpAddr) {
        self.write().bound.remove(&(Side::of(listener.role), home, listener.address));
    }

    /// Notes where a workload's application listens.
    pub fn set_app(&self, home: IpAddr, port: u16, at: SocketAddr) {
        self.write().apps.insert((home, port), at);
    }

    /// Forgets where a workload's application listens.
    pub fn unset_app(&self, home: IpAddr, port: u16) {
        self.write().apps.remove(&(home, port));
    }

    /// Where a workload's application listens.
    pub fn app(&self, home: IpAddr, port: u16) -> Option<SocketAddr> {
        self.read().apps.get(&(home, port)).copied()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn free(at: SocketAddr) -> std::io::Result<()> {
    let domain = if at.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 };
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    // What an ended run left in TIME_WAIT is no obstacle; a live listener is.
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())?;
    socket.listen(1)
}

/// A listening socket that shares its port with its siblings: one a worker thread.
fn reuse_port(at: SocketAddr) -> std::io::Result<TcpListener> {
    let domain = if at.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 };
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::Binds;
    use ringwall_model::{Listener, Protocol, Role, WorkloadId};

    #[test]
    fn each_address_has_its_own_loopback() {
        let binds = Binds::choose(0x4d07);
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..2000_u32 {
            let address = std::net::Ipv4Addr::from(0x0af4_0000 + n).into();
            let loopback = binds.loopback(address);
            assert!(loopback.is_loopback() && !matches!(loopback.octets()[3], 0 | 255));
            assert_eq!(binds.loopback(address), loopback);
            assert!(seen.insert(loopback), "{loopback} twice");
        }
    }

    #[test]
    fn both_sides_of_a_workload_can_listen_on_one_port() {
        let binds = Binds::choose(0x5b21);
        let listener = |role| Listener {
            role,
            workload: WorkloadId(0),
            address: "10.244.1.10:5432".parse().unwrap(),
            bind: "127.0.0.1:0".parse().unwrap(),
            protocol: Protocol::Tcp,
            target: None,
        };
        let home = "10.244.1.10".parse().unwrap();
        let (inside, sockets) = binds.bind(&listener(Role::Inbound), home, 2).unwrap();
        assert_eq!((sockets.len(), inside.port()), (2, 5432));
        // The port is shared by SO_REUSEPORT within this process, so the outbound side must not land on it.
        let (outside, _) = binds.bind(&listener(Role::Outbound), home, 1).unwrap();
        assert_ne!(inside, outside);
        assert_eq!(binds.bound("10.244.1.10:5432".parse().unwrap()), Some(inside));
        assert_eq!(binds.outbound(home, "10.244.1.10:5432".parse().unwrap()), Some(outside));
    }
}
