//! Rules and events of the hooks, as the program has them. Ports in keys and values are in network order.

use crate::bpf::{self, BpfError};
use aya::maps::lpm_trie;
use aya::maps::{MapData, RingBuf};
use ipnet::IpNet;
use ringwall_model::RuleId;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// Where a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// One address, or a network, which has all ports and protocols.
    pub network: IpNet,
    /// `None`: all ports.
    pub port: Option<u16>,
    /// IP protocol number (6 TCP, 17 UDP); `None`: all. Needs a port.
    pub protocol: Option<u8>,
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// EPERM.
    Deny,
    /// It goes on.
    Pass,
    /// It goes to another address and port of the same family. The program is not told.
    Redirect(SocketAddr),
}

pub(super) type Key = [u8; 20];
pub(super) type Value = [u8; 32];

pub(super) enum Place {
    Exact(Key),
    Network(lpm_trie::Key<[u8; 16]>),
}

impl Destination {
    pub(super) fn key(self) -> Result<Place, BpfError> {
        let whole = self.network.prefix_len() == self.network.max_prefix_len();
        if (!whole && self.port.is_some()) || (self.port.is_none() && self.protocol.is_some()) || self.port == Some(0) {
            return Err(refused("a protocol needs a port, and a port one address"));
        }
        let address = octets(self.network.network());
        if !whole {
            let before = if self.network.addr().is_ipv4() { 96 } else { 0 };
            return Ok(Place::Network(lpm_trie::Key::new(before + u32::from(self.network.prefix_len()), address)));
        }
        let mut key = [0; 20];
        key[..16].copy_from_slice(&address);
        key[16..18].copy_from_slice(&self.port.unwrap_or(0).to_be_bytes());
        key[18] = self.protocol.unwrap_or(0);
        Ok(Place::Exact(key))
    }
}

impl Action {
    pub(super) fn value(self, to: Destination, rule: RuleId) -> Result<Value, BpfError> {
        match self {
            Self::Redirect(other) if other.is_ipv4() != to.network.addr().is_ipv4() => {
                Err(refused("a redirection cannot change the family"))
            }
            _ => Ok(self.bytes(rule)),
        }
    }

    pub(super) fn value_for_all(self, rule: RuleId) -> Result<Value, BpfError> {
        match self {
            Self::Redirect(_) => Err(refused("a redirection needs a destination")),
            _ => Ok(self.bytes(rule)),
        }
    }

    fn bytes(self, rule: RuleId) -> Value {
        let mut value = [0; 32];
        value[..8].copy_from_slice(&u64::from(rule.0).to_ne_bytes());
        match self {
            Self::Deny => {}
            Self::Pass => value[26] = 1,
            Self::Redirect(to) => {
                value[8..24].copy_from_slice(&octets(to.ip()));
                value[24..26].copy_from_slice(&to.port().to_be_bytes());
                value[26] = 2;
            }
        }
        value
    }
}

fn refused(cause: &str) -> BpfError {
    BpfError::Map { name: "rules of a group", cause: cause.into() }
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// Connections that were refused or redirected; the descriptor is readable when there are some. What finds no place,
/// because the reader is too slow, is not told; it is refused all the same.
pub struct Attempts(RingBuf<MapData>);

impl Attempts {
    pub(super) fn take(ebpf: &mut aya::Ebpf) -> Result<Self, BpfError> {
        Ok(Self(bpf::map(ebpf, "events")?))
    }
}

impl Attempts {
    /// Waits until there is one, or so long.
    pub fn wait(&self, patience: Duration) {
        bpf::wait(&self.0, patience);
    }
}

impl Iterator for Attempts {
    type Item = Attempt;

    /// The oldest that was not read yet; `None` does not mean that there will be none.
    fn next(&mut self) -> Option<Attempt> {
        self.0.next().and_then(|bytes| Attempt::read(&bytes))
    }
}

impl AsRawFd for Attempts {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// One connection that was refused or redirected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When, on the monotonic clock.
    pub at: Duration,
    /// Why.
    pub rule: RuleId,
    /// Number of the process, as the machine's first namespace counts.
    pub process: u32,
    /// Its name, as it calls itself.
    pub name: Box<str>,
    /// Where it wanted to go.
    pub to: SocketAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Whether it went elsewhere.
    pub became: Became,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// EPERM.
    Denied,
    /// It went elsewhere.
    Redirected,
}

impl Attempt {
    /// `None` when it is none.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let address = Ipv6Addr::from(piece::<16>(bytes, 20)?).to_canonical();
        let name = piece::<16>(bytes, 40)?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        Some(Self {
            at: Duration::from_nanos(u64::from_ne_bytes(piece(bytes, 0)?)),
            rule: RuleId(u64::from_ne_bytes(piece(bytes, 8)?).try_into().ok()?),
            process: u32::from_ne_bytes(piece(bytes, 16)?),
            to: SocketAddr::new(address, u16::from_ne_bytes(piece(bytes, 36)?)),
            protocol: *bytes.get(38)?,
            became: match bytes.get(39)? {
                0 => Became::Denied,
                2 => Became::Redirected,
                _ => return None,
            },
            // A program names itself.
            name: String::from_utf8_lossy(name).escape_debug().to_string().into(),
        })
    }
}

fn piece<const N: usize>(bytes: &[u8], from: usize) -> Option<[u8; N]> {
    bytes.get(from..from + N)?.try_into().ok()
}
