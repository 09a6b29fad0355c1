//! Events: the program's `struct event`, read. The kernel wrote it, and still nothing here trusts its size or numbers.

use super::Verdict;
use crate::bpf::{self, BpfError};
use aya::maps::{MapData, RingBuf};
use ringwall_model::RuleId;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// The reader's end of the events; its descriptor is readable when there are some.
pub struct Events(RingBuf<MapData>);

impl Events {
    pub(super) fn take(ebpf: &mut aya::Ebpf) -> Result<Self, BpfError> {
        Ok(Self(bpf::map(ebpf, "events")?))
    }
}

impl Events {
    /// Waits until there is an event, or so long.
    pub fn wait(&self, patience: Duration) {
        bpf::wait(&self.0, patience);
    }
}

impl Iterator for Events {
    type Item = Event;

    /// The oldest event that was not read yet; `None` does not mean that there will be none.
    fn next(&mut self) -> Option<Event> {
        self.0.next().and_then(|bytes| Event::read(&bytes))
    }
}

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A frame that was dropped. Not every drop is told, see [`super::Limits::events`]; every drop is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, on the monotonic clock.
    pub at: Duration,
    /// Why.
    pub verdict: Verdict,
    /// Who blocked the source, when it is blocked.
    pub rule: Option<RuleId>,
    /// From where.
    pub source: IpAddr,
    /// To where.
    pub destination: IpAddr,
    /// Source and destination port; `None` when the frame does not show them.
    pub ports: Option<(u16, u16)>,
    /// IP protocol number; 0 when it lies behind more extension headers than are read.
    pub protocol: u8,
    /// Index of the link it came in by.
    pub link: u32,
    /// Bytes of the frame.
    pub bytes: u32,
}

impl Event {
    /// `None` when it is not one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let verdict = Verdict::numbered(*bytes.get(59)?)?;
        let rule = u64::from_ne_bytes(piece(bytes, 8)?);
        Some(Self {
            at: Duration::from_nanos(u64::from_ne_bytes(piece(bytes, 0)?)),
            rule: matches!(verdict, Verdict::Blocked | Verdict::Network)
                .then(|| u32::try_from(rule).ok().map(RuleId))
                .flatten(),
            source: address(piece(bytes, 16)?),
            destination: address(piece(bytes, 32)?),
            link: u32::from_ne_bytes(piece(bytes, 48)?),
            bytes: u32::from_ne_bytes(piece(bytes, 52)?),
            ports: Some((u16::from_ne_bytes(piece(bytes, 60)?), u16::from_ne_bytes(piece(bytes, 56)?)))
                .filter(|ports| *ports != (0, 0)),
            protocol: *bytes.get(58)?,
            verdict,
        })
    }
}

fn piece<const N: usize>(bytes: &[u8], from: usize) -> Option<[u8; N]> {
    bytes.get(from..from + N)?.try_into().ok()
}

fn address(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}
