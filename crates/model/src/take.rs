//! Budgets: what a layer asks the shell to take from counters, atomically, all or none.

use crate::Reason;

/// One budget that a call must be taken from before it may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Take {
    /// The rule that sets the limit: it is named when the budget is used up.
    pub because: Reason,
    /// Whose budget it is.
    pub key: TakeKey,
    /// The limit and the span of time it is for.
    pub budget: Budget,
}

/// Whose budget: a stable number of the rule and a keyed or plain hash of the subject (address, user, tenant).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TakeKey {
    /// [`crate::RuleName::stable`] of the limit, so that counts survive a reload.
    pub rule: u64,
    /// The subject, as 128 bits; 0 for a limit shared by all.
    pub subject: u128,
}

/// So many calls in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// How many calls.
    pub limit: u64,
    /// In which span.
    pub window: Window,
}

/// Calendar windows as Kong's `rate-limiting` has them (UTC), and a sliding one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// From a full second to the next.
    Second,
    /// From a full minute to the next.
    Minute,
    /// From a full hour to the next.
    Hour,
    /// From midnight to midnight.
    Day,
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
    /// The last so many seconds, sliding.
    Sliding(u32),
}

/// What is left of one budget after a take, or when it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// The budget.
    pub budget: Budget,
    /// How many calls are left in this window.
    pub remaining: u64,
    /// Whole seconds until the window ends, at least 1.
    pub reset: u64,
}
