//! Points in time and spans of it, always handed in as arguments.

use serde::{Deserialize, Serialize};

/// A span of time in whole milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// A span of `seconds` seconds; saturates.
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// The same span for the standard library.
    pub const fn duration(self) -> core::time::Duration {
        core::time::Duration::from_millis(self.0)
    }
}

/// Wall-clock time: milliseconds since 1970-01-01T00:00:00Z. Pure rooms receive it; only shells read a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Whole seconds since the epoch.
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// This moment plus `span`; saturates.
    pub const fn plus(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// `2026-11-23T16:04:12.222Z` (RFC 3339, UTC, milliseconds), as access logs write it.
    pub fn rfc3339(self) -> String {
        let (days, within) = ((self.0 / 86_400_000) as i64, self.0 % 86_400_000);
        // Civil date from day number: the era arithmetic of a proleptic Gregorian calendar that starts on 0000-03-01.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let (hour, minute) = (within / 3_600_000, within / 60_000 % 60);
        let (second, milli) = (within / 1000 % 60, within % 1000);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn dates_are_civil() {
        let check = |millis, want: &str| assert_eq!(Timestamp(millis).rfc3339(), want);
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check(1_795_449_852_222, "2026-11-23T16:04:12.222Z");
        check(4_107_542_399_999, "2100-02-28T23:59:59.999Z");
    }
}
