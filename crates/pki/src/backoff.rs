//! How long to wait after a failed issuance, as cert-manager does: an hour, then twice as long each time, at most 32.

use ringwall_model::{Millis, Timestamp};

const FIRST: u64 = 3_600_000;
const LONGEST: u64 = 32 * FIRST;

/// When the next attempt may be made after `failures` failures in a row, the last one at `last`. A spec that has changed
/// since the failed attempt need not wait; the caller asks [`crate::trigger::LastRequest::differs`].
pub fn next_attempt(failures: u32, last: Timestamp) -> Timestamp {
    let Some(doublings) = failures.checked_sub(1) else { return last };
    let wait = FIRST.checked_shl(doublings.min(16)).unwrap_or(LONGEST).min(LONGEST);
    last.plus(Millis(wait))
}

#[cfg(test)]
mod tests {
    use super::next_attempt;
    use ringwall_model::Timestamp;

    #[test]
    fn waits_double_up_to_32_hours() {
        let hours = |failures| (next_attempt(failures, Timestamp(0))).0 / 3_600_000;
        let waits: Vec<u64> = (0..9).map(hours).collect();
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 32, 32]);
        assert_eq!(hours(u32::MAX), 32);
    }
}
