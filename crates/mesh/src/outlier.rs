//! Outlier detection: which endpoints of a destination are left out for a while.
//!
//! In: [`OutlierPolicy`], what came of each try, `now`. Out: who is ejected. Never: a clock or a timer.
//! Follows Envoy: so many failures in a row eject at once; the time is the base times the number of ejections, capped;
//! at least one endpoint may always be ejected; an interval without ejection takes one from that number.

use crate::upstream::OutlierPolicy;
use crate::upstream::rule::LocalOrigin;
use ringwall_model::{Millis, Timestamp};
use std::sync::Mutex;

/// What came of a try, as outlier detection counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// An answer with this status.
    Status(u16),
    /// No answer: connection refused, reset, or timed out.
    Failure,
}

/// The state of one destination's endpoints. Shared between threads; as large as the number of endpoints.
#[derive(Debug)]
pub struct Ejector {
    policy: OutlierPolicy,
    hosts: Mutex<Vec<Host>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Host {
    fives: u32,
    gateway: u32,
    local: u32,
    /// How often it was ejected, less one for each quiet interval.
    times: u32,
    until: Option<Timestamp>,
    quiet_since: Timestamp,
}

/// What an observation led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Kept,
    /// The endpoint is left out until then.
    Ejected {
        /// When it returns at the earliest.
        until: Timestamp,
    },
    /// It would be, but too many are already.
    Overflow,
}

impl Ejector {
    /// For so many endpoints, all healthy.
    pub fn new(policy: OutlierPolicy, endpoints: usize) -> Self {
        Self { policy, hosts: Mutex::new(vec![Host::default(); endpoints]) }
    }

    /// Counts what came of a try at endpoint `index`.
    pub fn observe(&self, index: usize, observed: Observed, now: Timestamp) -> Effect {
        let mut hosts = self.lock();
        let (total, out) =
            (hosts.len(), hosts.iter().filter(|host| host.until.is_some_and(|until| until > now)).count());
        let Some(host) = hosts.get_mut(index) else { return Effect::Kept };
        host.count(observed, self.policy.local_origin);
        if host.until.is_some_and(|until| until > now) || !host.is_over(&self.policy) {
            return Effect::Kept;
        }
        (host.fives, host.gateway, host.local) = (0, 0, 0);
        // At least one may go, however few there are.
        if out > 0 && (out + 1) * 100 > total * usize::from(self.policy.max_ejection_percent) {
            return Effect::Overflow;
        }
        host.times = host.times.saturating_add(1);
        let time = self.policy.base_ejection.0.saturating_mul(u64::from(host.times));
        let until = now.plus(Millis(time.min(self.policy.max_ejection.0.max(self.policy.base_ejection.0))));
        host.until = Some(until);
        host.quiet_since = until;
        Effect::Ejected { until }
    }

    /// Whether endpoint `index` may be called. When fewer than the policy's share are healthy, all may (panic);
    /// without such a share, never: then the call is answered with 503 `UH`.
    pub fn admits(&self, index: usize, now: Timestamp) -> bool {
        let mut hosts = self.lock();
        let interval = self.policy.interval.0.max(1);
        for host in hosts.iter_mut() {
            host.calm(now, interval);
        }
        let healthy = hosts.iter().filter(|host| host.until.is_none()).count();
        let panic = self.policy.min_health_percent > 0
            && healthy * 100 < hosts.len() * usize::from(self.policy.min_health_percent);
        panic || hosts.get(index).is_none_or(|host| host.until.is_none())
    }

    /// How many endpoints are left out.
    pub fn ejected(&self, now: Timestamp) -> usize {
        self.lock().iter().filter(|host| host.until.is_some_and(|until| until > now)).count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Host>> {
        self.hosts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Host {
    fn count(&mut self, observed: Observed, local: LocalOrigin) {
        match (observed, local) {
            (Observed::Failure, LocalOrigin::Split(_)) => self.local = self.local.saturating_add(1),
            // Envoy gives a failed try the status 503.
            (Observed::Failure, LocalOrigin::WithAnswers) => self.count_status(503),
            (Observed::Status(status), _) => {
                self.local = 0;
                self.count_status(status);
            }
        }
    }

    fn count_status(&mut self, status: u16) {
        self.fives = if (500..600).contains(&status) { self.fives.saturating_add(1) } else { 0 };
        self.gateway = if (502..=504).contains(&status) { self.gateway.saturating_add(1) } else { 0 };
    }

    fn is_over(&self, policy: &OutlierPolicy) -> bool {
        let reached = |count: u32, limit: Option<u32>| limit.is_some_and(|limit| count >= limit);
        let local = match policy.local_origin {
            LocalOrigin::WithAnswers => false,
            LocalOrigin::Split(limit) => reached(self.local, limit),
        };
        reached(self.fives, policy.consecutive_5xx) || reached(self.gateway, policy.consecutive_gateway) || local
    }

    /// Lets an endpoint return whose time is over, and forget one ejection for each quiet interval.
    fn calm(&mut self, now: Timestamp, interval: u64) {
        if self.until.is_some_and(|until| until <= now) {
            self.until = None;
        }
        if self.until.is_none() && self.times > 0 {
            let quiet = now.since(self.quiet_since).0 / interval;
            self.times = self.times.saturating_sub(u32::try_from(quiet).unwrap_or(u32::MAX));
            self.quiet_since = self.quiet_since.plus(Millis(quiet.saturating_mul(interval)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Effect, Ejector, Observed};
    use crate::upstream::OutlierPolicy;
    use ringwall_model::{Millis, Timestamp};

    fn policy(max_ejection_percent: u8, min_health_percent: u8) -> OutlierPolicy {
        OutlierPolicy { max_ejection_percent, min_health_percent, ..OutlierPolicy::default() }
    }

    fn fail(ejector: &Ejector, index: usize, times: usize, now: u64) -> Effect {
        let observe = |_| ejector.observe(index, Observed::Status(500), Timestamp(now));
        (0..times).map(observe).last().unwrap()
    }

    #[test]
    fn five_in_a_row_eject_for_longer_each_time() {
        let ejector = Ejector::new(policy(50, 0), 4);
        assert_eq!(fail(&ejector, 0, 4, 0), Effect::Kept);
        ejector.observe(0, Observed::Status(200), Timestamp(0));
        assert_eq!(fail(&ejector, 0, 4, 0), Effect::Kept);
        assert_eq!(fail(&ejector, 0, 1, 0), Effect::Ejected { until: Timestamp(30_000) });
        assert!(!ejector.admits(0, Timestamp(29_999)) && ejector.admits(1, Timestamp(0)));
        assert!(ejector.admits(0, Timestamp(30_000)));
        assert_eq!(fail(&ejector, 0, 5, 30_000), Effect::Ejected { until: Timestamp(90_000) });
        // Two quiet intervals and more: the count is forgotten.
        assert!(ejector.admits(0, Timestamp(120_000)));
        assert_eq!(fail(&ejector, 0, 5, 120_000), Effect::Ejected { until: Timestamp(150_000) });
    }

    #[test]
    fn one_may_always_go_and_the_share_holds_for_the_rest() {
        let ejector = Ejector::new(policy(10, 0), 4);
        assert!(matches!(fail(&ejector, 0, 5, 0), Effect::Ejected { .. }));
        assert_eq!(fail(&ejector, 1, 5, 0), Effect::Overflow);
        assert_eq!(ejector.ejected(Timestamp(0)), 1);
    }

    #[test]
    fn below_the_healthy_share_all_are_called() {
        let none = Ejector::new(policy(100, 0), 2);
        let panic = Ejector::new(policy(100, 50), 2);
        for ejector in [&none, &panic] {
            fail(ejector, 0, 5, 0);
            assert!(!ejector.admits(0, Timestamp(1)) && ejector.admits(1, Timestamp(1)));
            fail(ejector, 1, 5, 0);
        }
        assert!(!none.admits(0, Timestamp(1)) && !none.admits(1, Timestamp(1)));
        assert!(panic.admits(0, Timestamp(1)) && panic.admits(1, Timestamp(1)));
        assert_eq!(Millis::seconds(30), policy(1, 1).base_ejection);
    }
}
