//! What the program counted, in the order of `enum count` in its source.

use std::fmt;

/// What the program decided about a frame; each frame has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Passed: neither IPv4 nor IPv6.
    Other,
    /// Passed: too short or not well formed; the stack refuses it.
    Unread,
    /// Passed: its source is allowed, whatever else is said about it.
    Allowed,
    /// Passed: nothing is said about it.
    Passed,
    /// Dropped: its source is blocked.
    Blocked,
    /// Dropped: its source is in a blocked network.
    Network,
    /// Dropped: too many packets of its source.
    Packets,
    /// Dropped: too many openings of TCP connections of its source.
    Syns,
    /// Dropped: too many UDP datagrams of its source.
    Datagrams,
}

impl Verdict {
    /// All, in the program's order.
    pub const ALL: [Self; 9] = [
        Self::Other,
        Self::Unread,
        Self::Allowed,
        Self::Passed,
        Self::Blocked,
        Self::Network,
        Self::Packets,
        Self::Syns,
        Self::Datagrams,
    ];

    pub(super) fn numbered(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// As metrics and the status call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Unread => "unread",
            Self::Allowed => "allowed",
            Self::Passed => "passed",
            Self::Blocked => "blocked",
            Self::Network => "blocked-network",
            Self::Packets => "over-packets",
            Self::Syns => "over-syns",
            Self::Datagrams => "over-datagrams",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.name())
    }
}

/// Frames and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub frames: u64,
    /// From the Ethernet header on.
    pub bytes: u64,
}

const COUNTS: usize = 13;

/// One core's counters as the kernel has them: frames and bytes in turn.
pub(super) type Words = [u64; 2 * COUNTS];

/// Sums over all cores since the program was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters([Tally; COUNTS]);

impl Counters {
    pub(super) fn sum<'a>(cores: impl Iterator<Item = &'a Words>) -> Self {
        let mut sums = Self::default();
        for words in cores {
            for (sum, pair) in sums.0.iter_mut().zip(words.chunks_exact(2)) {
                sum.frames = sum.frames.wrapping_add(pair[0]);
                sum.bytes = sum.bytes.wrapping_add(pair[1]);
            }
        }
        sums
    }

    /// Frames with that verdict.
    pub fn of(&self, verdict: Verdict) -> Tally {
        self.0[verdict as usize]
    }

    /// Frames that the program saw.
    pub fn seen(&self) -> u64 {
        Verdict::ALL.iter().map(|verdict| self.of(*verdict).frames).sum()
    }

    /// Frames that ended in the program.
    pub fn dropped(&self) -> u64 {
        use Verdict::{Blocked, Datagrams, Network, Packets, Syns};
        [Blocked, Network, Packets, Syns, Datagrams].iter().map(|verdict| self.of(*verdict).frames).sum()
    }

    /// Openings of TCP connections that no list decided. Two readings and the time between them are the rate.
    pub fn syns(&self) -> Tally {
        self.0[9]
    }

    /// UDP datagrams that no list decided.
    pub fn datagrams(&self) -> Tally {
        self.0[10]
    }

    /// Drops that were counted and not told, because the reader of events was too slow.
    pub fn untold(&self) -> u64 {
        self.0[11].frames
    }

    /// Frames that passed without being counted against their source, because the kernel had no place for it.
    pub fn uncounted(&self) -> u64 {
        self.0[12].frames
    }
}
