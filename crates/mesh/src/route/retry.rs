//! When a try that failed is tried again.
//!
//! In: a [`Retries`] policy, what came of a try. Out: whether another one is allowed. Never: a timer.
//! Follows Envoy's `x-envoy-retry-on` and Istio's defaults; all tries together have the route's timeout.

use ringwall_model::Millis;
use smallvec::SmallVec;

/// A retry policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    /// How many tries after the first; 0 is off.
    pub attempts: u32,
    /// Time of one try; `None`: only the whole timeout counts.
    pub per_try_timeout: Option<Millis>,
    /// What is tried again.
    pub on: RetryOn,
    /// First pause; it doubles each time up to ten times this, with jitter.
    pub backoff: Millis,
}

impl Retries {
    /// Istio's default: two more tries for calls that never reached an application.
    pub fn mesh_default() -> Self {
        let (on, _) = RetryOn::read("connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes");
        // `retriable-status-codes` without codes means none.
        Self { attempts: 2, per_try_timeout: None, on, backoff: Millis(25) }
    }

    /// No retries.
    pub fn off() -> Self {
        Self { attempts: 0, per_try_timeout: None, on: RetryOn::default(), backoff: Millis(25) }
    }

    /// Whether another try is allowed after `tried` tries (1 is the first), the last of which came to `outcome`.
    pub fn again(&self, tried: u32, outcome: Outcome) -> Again {
        if tried > self.attempts || !self.on.covers(outcome) {
            return Again::Stop;
        }
        // Envoy's full jitter: between 0 and base × (2^n − 1), at most ten times the base.
        let factor = 1_u64.checked_shl(tried.min(16)).unwrap_or(1).saturating_sub(1);
        Again::After { longest: Millis(self.backoff.0.saturating_mul(factor).min(self.backoff.0.saturating_mul(10))) }
    }
}

/// Whether there is another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// No: what came is the answer.
    Stop,
    /// Yes, after a random pause of at most so long.
    After {
        /// Upper bound of the pause.
        longest: Millis,
    },
}

/// What came of a try, before any byte of an answer went to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No connection could be made.
    ConnectFailure,
    /// The stream was refused (HTTP/2 `REFUSED_STREAM`).
    RefusedStream,
    /// The connection broke before any byte of the request was sent.
    ResetBeforeRequest,
    /// The connection broke, or the try's time was over, before an answer.
    Reset,
    /// An HTTP status.
    Status(u16),
    /// A gRPC status in the answer's head.
    GrpcStatus(u8),
}

/// What is tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryOn {
    conditions: u32,
    codes: SmallVec<[u16; 4]>,
}

/// The conditions by name, in the order of their bits.
const CONDITIONS: [&str; 16] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "refused-stream",
    "retriable-4xx",
    "retriable-status-codes",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
    "envoy-ratelimited",
    "retriable-headers",
    "http3-post-connect-failure",
];

impl RetryOn {
    /// Reads a list of conditions and status codes; what is neither comes back.
    pub fn read(text: &str) -> (Self, Vec<Box<str>>) {
        let mut on = Self::default();
        let mut unknown = Vec::new();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            if let Some(bit) = CONDITIONS.iter().position(|name| *name == word) {
                on.conditions |= 1 << bit;
            } else if let Some(code) = word.parse().ok().filter(|code| (100..600).contains(code)) {
                on.codes.push(code);
                on.conditions |= 1 << 7;
            } else {
                unknown.push(word.into());
            }
        }
        (on, unknown)
    }

    /// Whether the condition of that name is there.
    pub fn has(&self, name: &str) -> bool {
        CONDITIONS.iter().position(|known| *known == name).is_some_and(|bit| self.conditions >> bit & 1 == 1)
    }

    /// The status codes that are tried again.
    pub fn statuses(&self) -> &[u16] {
        &self.codes
    }

    /// Whether an answer of the application, rather than a broken connection, is tried again: then a call that is not
    /// idempotent may be carried out twice.
    pub fn repeats_answered_calls(&self) -> bool {
        ["5xx", "gateway-error", "retriable-4xx", "reset"].into_iter().any(|name| self.has(name))
            || !self.codes.is_empty()
    }

    /// Whether an outcome is tried again.
    pub fn covers(&self, outcome: Outcome) -> bool {
        let any = |names: &[&str]| names.iter().any(|name| self.has(name));
        match outcome {
            Outcome::ConnectFailure => {
                any(&["connect-failure", "reset-before-request", "reset", "5xx", "gateway-error"])
            }
            Outcome::RefusedStream => any(&["refused-stream", "reset", "5xx", "gateway-error"]),
            Outcome::ResetBeforeRequest => any(&["reset-before-request", "reset", "5xx", "gateway-error"]),
            Outcome::Reset => any(&["reset", "5xx", "gateway-error"]),
            Outcome::Status(status) => self.covers_status(status),
            Outcome::GrpcStatus(1) => self.has("cancelled"),
            Outcome::GrpcStatus(4) => self.has("deadline-exceeded"),
            Outcome::GrpcStatus(8) => self.has("resource-exhausted"),
            Outcome::GrpcStatus(13) => self.has("internal"),
            Outcome::GrpcStatus(14) => self.has("unavailable"),
            Outcome::GrpcStatus(_) => false,
        }
    }

    fn covers_status(&self, status: u16) -> bool {
        (500..600).contains(&status) && self.has("5xx")
            || (502..=504).contains(&status) && self.has("gateway-error")
            || status == 409 && self.has("retriable-4xx")
            || self.has("retriable-status-codes") && self.codes.contains(&status)
    }
}

#[cfg(test)]
mod tests {
    use super::{Again, Outcome, Retries, RetryOn};
    use ringwall_model::Millis;

    #[track_caller]
    fn check(on: &str, outcome: Outcome, want: bool) {
        assert_eq!(RetryOn::read(on).0.covers(outcome), want, "{on} {outcome:?}");
    }

    #[test]
    fn conditions_cover_what_envoy_says() {
        check("5xx", Outcome::Status(500), true);
        check("5xx", Outcome::Status(499), false);
        check("5xx", Outcome::Reset, true);
        check("gateway-error", Outcome::Status(500), false);
        check("gateway-error", Outcome::Status(503), true);
        check("connect-failure", Outcome::Reset, false);
        check("connect-failure", Outcome::ConnectFailure, true);
        check("reset-before-request", Outcome::Reset, false);
        check("503", Outcome::Status(503), true);
        // A status code is about answers only; a reset is not "503".
        check("503", Outcome::Reset, false);
        check("retriable-4xx", Outcome::Status(409), true);
        check("unavailable", Outcome::GrpcStatus(14), true);
        check("unavailable", Outcome::Status(503), false);
        check("", Outcome::ConnectFailure, false);
    }

    #[test]
    fn tries_are_counted() {
        let default = Retries::mesh_default();
        assert_eq!(default.again(1, Outcome::ConnectFailure), Again::After { longest: Millis(25) });
        assert_eq!(default.again(2, Outcome::ConnectFailure), Again::After { longest: Millis(75) });
        assert_eq!(default.again(3, Outcome::ConnectFailure), Again::Stop);
        assert_eq!(default.again(1, Outcome::Status(503)), Again::Stop);
        assert_eq!(Retries::off().again(1, Outcome::ConnectFailure), Again::Stop);
        let many = Retries { attempts: 100, ..default };
        assert_eq!(many.again(99, Outcome::ConnectFailure), Again::After { longest: Millis(250) });
        assert_eq!(RetryOn::read("5xx, nonsense,418").1, vec!["nonsense".into()]);
    }
}
