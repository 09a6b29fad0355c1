//! When to renew: one rule for SVIDs, one for cert-manager's certificates.

use crate::profile::Validity;
use ringwall_model::{Millis, Timestamp};

/// When an SVID is to be renewed: at half its life, earlier or later by up to a tenth of its life. `random` is any
/// number, evenly spread; it keeps workloads that started together from renewing together.
pub fn of_svid(validity: Validity, random: u64) -> Timestamp {
    let life = validity.until.since(validity.from).0;
    let spread = life / 5;
    let jitter = u64::try_from(u128::from(random) * u128::from(spread) / (u128::from(u64::MAX) + 1)).unwrap_or(0);
    Timestamp(validity.from.0.saturating_add(life / 2).saturating_sub(spread / 2).saturating_add(jitter))
}

/// How long before its end a certificate is to be renewed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RenewBefore {
    /// Nothing is said: a third of its life.
    #[default]
    Third,
    /// `renewBefore`; taken only when it is longer than nothing and shorter than the certificate's real life.
    Span(Millis),
    /// `renewBeforePercentage`, 1 to 99: so many hundredths of its real life.
    Percentage(u8),
}

/// When a certificate is to be renewed, as cert-manager counts it: from the certificate that was issued, not from what
/// was asked for, and truncated to the second (a fraction of a second loses renewals).
pub fn of_certificate(validity: Validity, renew_before: RenewBefore) -> Timestamp {
    let life = validity.until.since(validity.from).0;
    let third = life / 3;
    let before = match renew_before {
        RenewBefore::Third => third,
        RenewBefore::Span(span) if span.0 > 0 && span.0 < life => span.0,
        RenewBefore::Span(_) => third,
        RenewBefore::Percentage(hundredths) => match life.saturating_mul(u64::from(hundredths)) / 100 {
            0 => third,
            before if before >= life => third,
            before => before,
        },
    };
    Timestamp(validity.until.0.saturating_sub(before) / 1000 * 1000)
}

#[cfg(test)]
mod tests;
