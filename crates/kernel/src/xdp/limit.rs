//! What one source may send. A rate is a virtual schedule (GCRA, ITU-T I.371): one number a source, changed by
//! compare-and-exchange, so that cores cannot count past each other.

use super::Xdp;
use crate::bpf::BpfError;

/// So many a second, and so many at once after a quiet time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// A second; 0 lets nothing through after the burst.
    pub per_second: u32,
    /// At once; at least 1.
    pub burst: u32,
}

impl Rate {
    /// Nanoseconds between two, and how far ahead of the clock a source may be.
    fn words(rate: Option<Self>) -> [u64; 2] {
        const SECOND: u64 = 1_000_000_000;
        const NEVER: u64 = 1 << 40;
        let Some(Self { per_second, burst }) = rate else { return [0, 0] };
        let interval = if per_second == 0 { NEVER } else { (SECOND / u64::from(per_second)).max(1) };
        // A schedule that never comes to its end must still be added to the clock.
        [interval, interval.saturating_mul(u64::from(burst.max(1) - 1)).min(u64::MAX / 4)]
    }
}

/// Limits of each source: an IPv4 address, or the /64 of an IPv6 address. `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Packets of any kind.
    pub packets: Option<Rate>,
    /// Openings of TCP connections.
    pub syns: Option<Rate>,
    /// UDP datagrams.
    pub datagrams: Option<Rate>,
    /// Events about drops, of each core; `None`: none is told.
    pub events: Option<Rate>,
}

/// `struct settings` of the program: what is in use, then four rates.
pub(super) type Settings = [u64; 9];

/// What is switched on: `enum use` of the program.
#[derive(Clone, Copy)]
pub(super) enum Use {
    Allow = 1,
    Networks = 2,
    Limits = 4,
}

impl Xdp {
    /// Sets the limits; what sources have used up stays.
    ///
    /// # Errors
    /// When the map cannot be written.
    pub fn limit(&mut self, limits: Limits) -> Result<(), BpfError> {
        let rates = [limits.packets, limits.syns, limits.datagrams, limits.events];
        for (words, rate) in self.words[1..].chunks_exact_mut(2).zip(rates) {
            words.copy_from_slice(&Rate::words(rate));
        }
        let limited = rates[..3].iter().any(Option::is_some);
        self.switch(Use::Limits, limited.then_some(Use::Limits))
    }

    /// Sets or clears one bit of what is in use, and writes all settings.
    pub(super) fn switch(&mut self, what: Use, on: Option<Use>) -> Result<(), BpfError> {
        self.words[0] = self.words[0] & !(what as u64) | on.map_or(0, |on| on as u64);
        self.settings.set(0, self.words, 0).map_err(|error| BpfError::map("settings", &error))
    }
}

#[cfg(test)]
mod tests {
    use super::Rate;

    #[test]
    fn a_rate_is_an_interval_and_a_tolerance() {
        let words = |per_second, burst| Rate::words(Some(Rate { per_second, burst }));
        assert_eq!(Rate::words(None), [0, 0]);
        assert_eq!(words(1000, 1), [1_000_000, 0]);
        assert_eq!(words(1000, 20), [1_000_000, 19_000_000]);
        assert_eq!(words(u32::MAX, 0), [1, 0]);
        assert!(words(0, u32::MAX)[1] < u64::MAX / 2, "no overflow when the schedule is added to the clock");
    }
}
