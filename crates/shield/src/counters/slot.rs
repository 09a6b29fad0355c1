//! One budget's count.
//!
//! Calendar windows start at full seconds, minutes, hours, days, months and years of UTC. A sliding window is a ring of
//! [`SLOTS`] parts; a call counts until the whole part in which it came has left the window. So no span of the window's
//! length ever holds more calls than the limit, and a call is forgotten at most a 32nd of the window late.

use ringwall_model::{Budget, Spent, Timestamp, Window};

const SLOTS: usize = 33;
const PARTS: u64 = 32;

/// The count of one budget.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    /// Calls since `start`, the beginning of a calendar window.
    Calendar { start: u64, count: u64 },
    /// Calls by part of a sliding window; `newest` is the number of the newest part since the epoch.
    Sliding { newest: u64, counts: Box<[u32; SLOTS]> },
}

impl Slot {
    /// A budget from which `floor` calls have been taken.
    pub(super) fn new(window: Window, floor: u64, now: Timestamp) -> Self {
        match window {
            Window::Sliding(seconds) => {
                let newest = part_number(seconds, now);
                let mut counts = Box::new([0; SLOTS]);
                if let Some(count) = counts.get_mut(place(newest)) {
                    *count = u32::try_from(floor).unwrap_or(u32::MAX);
                }
                Self::Sliding { newest, counts }
            }
            window => Self::Calendar { start: bounds(window, now).0, count: floor },
        }
    }

    /// Brings the count to `now`. A clock that went back a little changes nothing (the call counts in the later window);
    /// one that went back by more than two windows was set, and the count begins anew.
    pub(super) fn advance(&mut self, window: Window, now: Timestamp) {
        match (self, window) {
            (Self::Sliding { newest, counts }, Window::Sliding(seconds)) => {
                let part = part_number(seconds, now);
                if part >= newest.saturating_add(SLOTS as u64) || newest.saturating_sub(part) > 2 * PARTS {
                    **counts = [0; SLOTS];
                    *newest = part;
                }
                while *newest < part {
                    *newest += 1;
                    if let Some(count) = counts.get_mut(place(*newest)) {
                        *count = 0;
                    }
                }
            }
            (Self::Calendar { start, count }, window) => {
                let (from, until) = bounds(window, now);
                let set_back = *start > until.saturating_add(until.saturating_sub(from));
                if *start < from || set_back {
                    (*start, *count) = (from, 0);
                }
            }
            (slot, window) => *slot = Self::new(window, 0, now),
        }
    }

    /// How many calls count now. Call after [`Slot::advance`].
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Calendar { count, .. } => *count,
            Self::Sliding { counts, .. } => counts.iter().map(|count| u64::from(*count)).sum(),
        }
    }

    /// One call more.
    pub(super) fn add(&mut self) {
        match self {
            Self::Calendar { count, .. } => *count = count.saturating_add(1),
            Self::Sliding { newest, counts } => {
                if let Some(count) = counts.get_mut(place(*newest)) {
                    *count = count.saturating_add(1);
                }
            }
        }
    }

    /// One call less: the last one is taken back.
    pub(super) fn take_back(&mut self) {
        match self {
            Self::Calendar { count, .. } => *count = count.saturating_sub(1),
            Self::Sliding { newest, counts } => {
                if let Some(count) = counts.get_mut(place(*newest)) {
                    *count = count.saturating_sub(1);
                }
            }
        }
    }

    /// What is left. Call after [`Slot::advance`].
    pub(super) fn spent(&self, budget: Budget, now: Timestamp) -> Spent {
        let until = match (self, budget.window) {
            (Self::Sliding { newest, counts }, Window::Sliding(seconds)) => {
                let oldest = newest.saturating_sub(PARTS);
                let mut parts = (oldest..=*newest).filter(|part| counts.get(place(*part)).is_some_and(|n| *n > 0));
                let part = parts.next().unwrap_or(*newest);
                part.saturating_add(PARTS + 1).saturating_mul(part_millis(seconds))
            }
            (Self::Calendar { start, .. }, window) => bounds(window, Timestamp(*start)).1,
            (Self::Sliding { .. }, window) => bounds(window, now).1,
        };
        let reset = until.saturating_sub(now.0).div_ceil(1000).max(1);
        Spent { budget, remaining: budget.limit.saturating_sub(self.count()), reset }
    }
}

/// What a budget without a slot has left, when `floor` calls count as taken.
pub(super) fn fresh(budget: Budget, floor: u64, now: Timestamp) -> Spent {
    Slot::new(budget.window, floor, now).spent(budget, now)
}

/// The end of the window that `now` is in: until then a floor holds.
pub(super) fn window_end(window: Window, now: Timestamp) -> u64 {
    match window {
        Window::Sliding(seconds) => now.0.saturating_add((PARTS + 1).saturating_mul(part_millis(seconds))),
        window => bounds(window, now).1,
    }
}

fn place(part: u64) -> usize {
    (part % SLOTS as u64) as usize
}

fn part_millis(seconds: u32) -> u64 {
    (u64::from(seconds).saturating_mul(1000)).div_ceil(PARTS).max(1)
}

fn part_number(seconds: u32, now: Timestamp) -> u64 {
    now.0 / part_millis(seconds)
}

/// First and one-past-last millisecond of the calendar window that `now` is in.
fn bounds(window: Window, now: Timestamp) -> (u64, u64) {
    let even = |length: u64| {
        let from = now.0 / length * length;
        (from, from.saturating_add(length))
    };
    match window {
        Window::Second => even(1000),
        Window::Minute => even(60_000),
        Window::Hour => even(3_600_000),
        Window::Day => even(DAY),
        Window::Sliding(seconds) => even(u64::from(seconds.max(1)).saturating_mul(1000)),
        Window::Month => {
            let (year, month) = year_month(now.0 / DAY);
            let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            (first_day(year, month) * DAY, first_day(next_year, next_month) * DAY)
        }
        Window::Year => {
            let (year, _) = year_month(now.0 / DAY);
            (first_day(year, 1) * DAY, first_day(year + 1, 1) * DAY)
        }
    }
}

const DAY: u64 = 86_400_000;

/// Year and month (1 to 12) of a day counted from 1970-01-01.
fn year_month(day: u64) -> (u64, u64) {
    // The year from its mean length is at most one off; the day of its first of January settles it.
    let mut year = 1970 + day * 400 / 146_097;
    while first_day(year, 1) > day {
        year -= 1;
    }
    while first_day(year + 1, 1) <= day {
        year += 1;
    }
    let month = (1..=12).rev().find(|month| first_day(year, *month) <= day).unwrap_or(1);
    (year, month)
}

/// The first day of a month, counted from 1970-01-01, in the Gregorian calendar.
fn first_day(year: u64, month: u64) -> u64 {
    let before = year.saturating_sub(1);
    let leap_days = before / 4 - before / 100 + before / 400 - 477;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let in_year: u64 = (1..month).map(|month| month_days(month, leap)).sum();
    year.saturating_sub(1970) * 365 + leap_days + in_year
}

const fn month_days(month: u64, leap: bool) -> u64 {
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::bounds;
    use ringwall_model::{Timestamp, Window};

    #[track_caller]
    fn check(window: Window, now: u64, from: &str, until: &str) {
        let (start, end) = bounds(window, Timestamp(now));
        assert_eq!((Timestamp(start).rfc3339(), Timestamp(end).rfc3339()), (from.to_owned(), until.to_owned()));
    }

    #[test]
    fn windows_are_the_calendar_s() {
        let now = 1_795_449_852_222; // 2026-11-23T16:04:12.222Z
        check(Window::Second, now, "2026-11-23T16:04:12.000Z", "2026-11-23T16:04:13.000Z");
        check(Window::Minute, now, "2026-11-23T16:04:00.000Z", "2026-11-23T16:05:00.000Z");
        check(Window::Hour, now, "2026-11-23T16:00:00.000Z", "2026-11-23T17:00:00.000Z");
        check(Window::Day, now, "2026-11-23T00:00:00.000Z", "2026-11-24T00:00:00.000Z");
        check(Window::Month, now, "2026-11-01T00:00:00.000Z", "2026-12-01T00:00:00.000Z");
        check(Window::Year, now, "2026-01-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z");
        check(Window::Month, 951_782_400_000, "2000-02-01T00:00:00.000Z", "2000-03-01T00:00:00.000Z");
        check(Window::Month, 4_107_542_399_999, "2100-02-01T00:00:00.000Z", "2100-03-01T00:00:00.000Z");
        check(Window::Month, 1_798_761_599_999, "2026-12-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z");
        check(Window::Year, 0, "1970-01-01T00:00:00.000Z", "1971-01-01T00:00:00.000Z");
    }
}
