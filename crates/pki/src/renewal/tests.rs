use super::{RenewBefore, of_certificate, of_svid};
use crate::profile::Validity;
use ringwall_model::{Millis, Timestamp};

const fn hours(hours: u64) -> u64 {
    hours * 3_600_000
}

/// Times in hours after some whole second.
#[track_caller]
fn check(life: u64, renew_before: RenewBefore, want: u64) {
    const START: u64 = 1_700_000_000_000;
    let validity = Validity { from: Timestamp(START), until: Timestamp(START + life) };
    assert_eq!(of_certificate(validity, renew_before).0 - START, want);
}

#[test]
fn renewal_follows_cert_manager_s_table() {
    let span = |h| RenewBefore::Span(Millis(hours(h)));
    check(hours(2160), RenewBefore::Third, hours(1440));
    check(hours(2160), span(720), hours(1440));
    check(hours(24), RenewBefore::Third, hours(16));
    check(hours(24), span(1), hours(23));
    // Not shorter than the real life: a third of the life after all.
    check(hours(24), span(24), hours(16));
    check(hours(24), span(720), hours(16));
    check(hours(24), span(0), hours(16));
    // The issuer gave 45 days and 720 hours before the end were asked for: day 15.
    check(hours(45 * 24), span(720), hours(15 * 24));
    // The issuer gave six days: the span is longer than the life.
    check(hours(6 * 24), span(720), hours(4 * 24));
    check(hours(100), RenewBefore::Percentage(25), hours(75));
    check(hours(1), RenewBefore::Percentage(5), hours(1) - 180_000);
    // Truncated to the second: a third of 1,000 s is 333.333 s.
    check(1_000_000, RenewBefore::Third, 666_000);
    check(1, RenewBefore::Percentage(1), 0);
}

#[test]
fn an_svid_is_renewed_at_half_its_life_give_or_take() {
    let validity = Validity { from: Timestamp(0), until: Timestamp(1000) };
    assert_eq!(
        (of_svid(validity, 0).0, of_svid(validity, u64::MAX / 2).0, of_svid(validity, u64::MAX).0),
        (400, 499, 599)
    );
}

proptest::proptest! {
    #[test]
    fn a_renewal_lies_within_the_life(from in 0_u64..10_000_000_000, life in 3_600_000_u64..100_000_000_000, pct in 1_u8..100, span: u64, random: u64) {
        let validity = Validity { from: Timestamp(from), until: Timestamp(from + life) };
        for before in [RenewBefore::Third, RenewBefore::Percentage(pct), RenewBefore::Span(Millis(span))] {
            let at = of_certificate(validity, before);
            // Truncation to the second may reach back by less than one.
            proptest::prop_assert!(at.0 + 1000 > from && at < validity.until);
        }
        let at = of_svid(validity, random);
        proptest::prop_assert!(at > validity.from && at < validity.until);
    }
}
