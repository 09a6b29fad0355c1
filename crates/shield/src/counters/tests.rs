use super::{Cause, Counters};
use proptest::prelude::*;
use ringwall_model::{Budget, Reason, Take, TakeKey, Timestamp, Window};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

const NOW: Timestamp = Timestamp(1_795_449_852_222);

fn take(rule: u64, subject: u128, limit: u64, window: Window) -> Take {
    Take { because: Reason::NoRuleApplies, key: TakeKey { rule, subject }, budget: Budget { limit, window } }
}

fn admitted(counters: &Counters, takes: &[Take], now: Timestamp) -> bool {
    counters.take(takes, now).is_ok()
}

#[test]
fn a_budget_is_used_up_and_comes_back() {
    let counters = Counters::new(100);
    let minute = [take(1, 7, 3, Window::Minute)];
    let left: Vec<u64> = (0..3).map(|_| counters.take(&minute, NOW).unwrap()[0].remaining).collect();
    assert_eq!(left, [2, 1, 0]);
    let exceeded = counters.take(&minute, NOW).unwrap_err();
    assert_eq!((exceeded.index, exceeded.cause, exceeded.spent.remaining), (0, Cause::UsedUp, 0));
    assert_eq!(exceeded.spent.reset, 48, "until 16:05:00");
    assert!(admitted(&counters, &[take(1, 8, 3, Window::Minute)], NOW), "another subject");
    assert!(admitted(&counters, &[take(2, 7, 3, Window::Minute)], NOW), "another rule");
    assert!(!admitted(&counters, &minute, Timestamp(NOW.0 + 47_777)));
    assert!(admitted(&counters, &minute, Timestamp(NOW.0 + 47_778)));
}

#[test]
fn all_budgets_or_none() {
    let counters = Counters::new(100);
    let (small, large) = (take(1, 0, 1, Window::Minute), take(2, 0, 100, Window::Hour));
    assert!(admitted(&counters, &[large.clone(), small.clone()], NOW));
    assert_eq!(counters.take(&[large.clone(), small.clone()], NOW).unwrap_err().index, 1);
    assert_eq!(counters.look(&large, NOW).remaining, 99, "the refused call took nothing");
    assert!(admitted(&counters, std::slice::from_ref(&large), NOW));
}

#[test]
fn the_same_budget_twice_counts_twice() {
    let counters = Counters::new(100);
    let twice = [take(1, 0, 3, Window::Minute), take(1, 0, 3, Window::Minute)];
    assert!(admitted(&counters, &twice, NOW));
    assert!(!admitted(&counters, &twice, NOW));
    assert_eq!(counters.look(&twice[0], NOW).remaining, 1);
}

#[test]
fn looking_takes_nothing() {
    let counters = Counters::new(100);
    let budget = take(1, 0, 5, Window::Sliding(60));
    assert_eq!(counters.look(&budget, NOW).remaining, 5);
    assert!(counters.is_empty());
    assert!(admitted(&counters, std::slice::from_ref(&budget), NOW));
    assert_eq!((counters.look(&budget, NOW).remaining, counters.look(&budget, NOW).remaining), (4, 4));
}

#[test]
fn a_changed_limit_counts_what_was_taken_before() {
    let counters = Counters::new(100);
    (0..5).for_each(|_| assert!(admitted(&counters, &[take(1, 0, 10, Window::Hour)], NOW)));
    assert!(!admitted(&counters, &[take(1, 0, 5, Window::Hour)], NOW));
    assert!(admitted(&counters, &[take(1, 0, 6, Window::Hour)], NOW));
}

#[test]
fn a_clock_that_was_set_back_does_not_lock_out() {
    let counters = Counters::new(100);
    for window in [Window::Minute, Window::Sliding(60)] {
        let budget = [take(1, 0, 1, window)];
        assert!(admitted(&counters, &budget, NOW));
        assert!(!admitted(&counters, &budget, Timestamp(NOW.0 - 1000)), "a little skew between threads");
        assert!(admitted(&counters, &budget, Timestamp(NOW.0 - 3_600_000)), "an hour back");
    }
}

#[test]
fn fifty_threads_are_never_admitted_one_over() {
    for window in [Window::Minute, Window::Sliding(60)] {
        let (counters, barrier, passed) = (Counters::new(1000), Barrier::new(50), AtomicU64::new(0));
        let shared = take(1, 0, 500, window);
        std::thread::scope(|scope| {
            for thread in 0..50_u128 {
                let (counters, barrier, passed, shared) = (&counters, &barrier, &passed, shared.clone());
                scope.spawn(move || {
                    // Half of the threads name the shared budget first, half last: the order of locks is not theirs.
                    let own = take(2, thread, 1000, Window::Hour);
                    let takes =
                        if thread % 2 == 0 { [shared.clone(), own.clone()] } else { [own.clone(), shared.clone()] };
                    barrier.wait();
                    let mine = (0..40).filter(|_| admitted(counters, &takes, NOW)).count() as u64;
                    passed.fetch_add(mine, Ordering::Relaxed);
                    let left = counters.look(&own, NOW).remaining;
                    assert_eq!(left, 1000 - mine, "what was refused took nothing");
                });
            }
        });
        assert_eq!(passed.load(Ordering::Relaxed), 500, "{window:?}: 2000 calls, 500 allowed");
    }
}

#[test]
fn an_offender_is_not_forgotten_when_others_crowd_in() {
    let counters = Counters::new(512);
    let offender = take(1, 42, 3, Window::Hour);
    (0..3).for_each(|_| assert!(admitted(&counters, std::slice::from_ref(&offender), NOW)));
    for subject in 1000..20_000 {
        _ = counters.take(&[take(1, subject, 3, Window::Hour)], NOW);
    }
    assert!(counters.len() <= 512);
    assert!(!admitted(&counters, std::slice::from_ref(&offender), NOW), "still used up");
    assert!(admitted(&counters, std::slice::from_ref(&offender), Timestamp(NOW.0 + 3_600_000)), "the window ended");
}

#[test]
fn a_store_full_of_offenders_says_so() {
    let counters = Counters::new(64);
    let full = (0..5000_u128).find_map(|subject| {
        let takes = [take(1, subject, 1, Window::Hour)];
        counters.take(&takes, NOW).err().filter(|exceeded| exceeded.cause == Cause::StoreFull)
    });
    assert_eq!(full.map(|exceeded| exceeded.spent.remaining), Some(0));
}

#[test]
fn room_is_made_of_ended_windows_first() {
    let counters = Counters::new(512);
    for subject in 0..2000 {
        _ = counters.take(&[take(1, subject, 9, Window::Second)], NOW);
    }
    let later = Timestamp(NOW.0 + 5000);
    assert_eq!(counters.take(&[take(1, 9_999_999, 9, Window::Second)], later).unwrap()[0].remaining, 8);
}

/// Times and subjects of calls, in order of time.
fn calls() -> impl Strategy<Value = Vec<(u64, u128)>> {
    prop::collection::vec((0_u64..400, 0_u128..40), 1..400).prop_map(|steps| {
        let mut now = NOW.0;
        let mut at = |step| {
            now += step;
            now
        };
        steps.into_iter().map(|(step, subject)| (at(step), subject)).collect()
    })
}

proptest! {
    #[test]
    fn no_span_of_a_sliding_window_holds_more_than_the_limit(calls in calls(), limit in 1_u64..9, seconds in 1_u32..5) {
        let counters = Counters::new(100);
        let mut passed: Vec<u64> = Vec::new();
        for (now, _) in calls {
            let before = passed.iter().filter(|at| now - **at <= u64::from(seconds) * 1000).count() as u64;
            if admitted(&counters, &[take(1, 0, limit, Window::Sliding(seconds))], Timestamp(now)) {
                prop_assert!(before < limit, "{} calls in the span before", before);
                passed.push(now);
            } else {
                // Late by at most two of 32 parts: with slack for parts that do not divide the window.
                let longest = u64::from(seconds) * 1000 * 34 / 32 + 66;
                let held = passed.iter().filter(|at| now - **at <= longest).count() as u64;
                prop_assert!(held >= limit, "refused although only {} calls were held", held);
            }
        }
    }

    #[test]
    fn no_calendar_window_holds_more_than_the_limit_however_small_the_store(
        calls in calls(), limit in 1_u64..5, capacity in 1_usize..600,
    ) {
        let counters = Counters::new(capacity);
        let mut passed = std::collections::BTreeMap::<(u64, u128), u64>::new();
        for (now, subject) in calls {
            // All subjects in few shards: the hand must make room.
            if admitted(&counters, &[take(1, (subject + 1) << 64, limit, Window::Second)], Timestamp(now)) {
                let count = passed.entry((now / 1000, subject)).or_default();
                *count += 1;
                prop_assert!(*count <= limit);
            }
        }
    }
}
