//! Circuit breaking: how much may be under way towards one destination at once.
//!
//! In: [`Pool`] limits. Out: a [`Permit`] to be given back, or that the limit is reached (503 `UO`, with
//! `x-envoy-overloaded: true`). Never: waiting.

use super::Pool;
use std::sync::atomic::{AtomicU32, Ordering};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Connections.
    Connection,
    /// Calls that wait for a connection.
    Pending,
    /// Calls under way.
    Request,
    /// Retries under way.
    Retry,
}

/// The counts of one destination. Shared between threads.
#[derive(Debug, Default)]
pub struct Breaker {
    counts: [AtomicU32; 4],
}

/// One unit that was taken; it is given back when dropped.
#[derive(Debug)]
#[must_use = "the unit is given back when this is dropped"]
pub struct Permit<'a>(&'a AtomicU32);

impl Breaker {
    /// Takes one unit, or none when the pool's limit is reached.
    pub fn take(&self, pool: &Pool, resource: Resource) -> Option<Permit<'_>> {
        let [connections, pending, requests, retries] = &self.counts;
        let (count, limit) = match resource {
            Resource::Connection => (connections, pool.max_connections),
            Resource::Pending => (pending, pool.max_pending),
            Resource::Request => (requests, pool.max_requests),
            Resource::Retry => (retries, pool.max_retries),
        };
        let next = |now: u32| (now < limit).then_some(now + 1);
        count.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).ok().map(|_| Permit(count))
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::{Breaker, Pool, Resource};

    #[test]
    fn a_limit_is_never_exceeded_and_units_come_back() {
        let pool = Pool { max_requests: 2, ..Pool::default() };
        let breaker = Breaker::default();
        let first = breaker.take(&pool, Resource::Request);
        let second = breaker.take(&pool, Resource::Request);
        assert!(first.is_some() && second.is_some() && breaker.take(&pool, Resource::Request).is_none());
        assert!(breaker.take(&pool, Resource::Pending).is_some(), "limits are apart");
        drop(first);
        assert!(breaker.take(&pool, Resource::Request).is_some());
    }
}
