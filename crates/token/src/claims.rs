//! A claims set and what is judged of it: times, issuer, audience (RFC 7519 section 4.1).
//!
//! In: a JSON object, `now`, a leeway. Out: values and verdicts. Never: a clock of its own.

use ringwall_model::{Millis, Timestamp};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The claims of a token.
///
/// INVARIANT: the value is a JSON object.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims(Arc<Value>);

/// What is wrong with the times of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTime {
    /// `nbf` lies ahead.
    #[error("Jwt not yet valid")]
    NotYet,
    /// `exp` has passed.
    #[error("Jwt is expired")]
    Expired,
    /// `iat` lies ahead, is missing where an age is asked for, or lies too far back.
    #[error("Jwt was issued outside of the time that is allowed")]
    Issued,
    /// A time is no number, or negative.
    #[error("Jwt holds a time that is not a positive number")]
    Malformed,
}

impl Claims {
    /// Claims of an object.
    pub fn new(members: Map<String, Value>) -> Self {
        Self(Arc::new(Value::Object(members)))
    }

    /// The object, shared: what [`ringwall_model::Caller::claims`] holds once a signature is verified.
    pub const fn value(&self) -> &Arc<Value> {
        &self.0
    }

    /// One claim.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A claim below claims, by its path: `["realm_access", "roles"]`.
    pub fn at<S: AsRef<str>>(&self, path: &[S]) -> Option<&Value> {
        path.iter().try_fold(&*self.0, |value, name| value.get(name.as_ref()))
    }

    /// A claim that is a string.
    pub fn string(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// The strings of a claim that is a string or a list; members of the list that are no strings are left out.
    pub fn strings(&self, name: &str) -> impl Iterator<Item = &str> {
        strings(self.get(name))
    }

    /// `iss`
    pub fn issuer(&self) -> Option<&str> {
        self.string("iss")
    }

    /// `sub`
    pub fn subject(&self) -> Option<&str> {
        self.string("sub")
    }

    /// `aud`, a string or a list.
    pub fn audiences(&self) -> impl Iterator<Item = &str> {
        self.strings("aud")
    }

    /// Whether the token is for one of these audiences; an empty list asks nothing.
    pub fn is_for<S: AsRef<str>>(&self, allowed: &[S]) -> bool {
        allowed.is_empty() || self.audiences().any(|audience| allowed.iter().any(|one| one.as_ref() == audience))
    }

    /// When the token ends, if it says so.
    pub fn expires(&self) -> Option<Timestamp> {
        self.time("exp").ok().flatten()
    }

    /// Judges `exp` and `nbf` where they are there: the token is good from `nbf` − leeway until just before
    /// `exp` + leeway (RFC 7519 sections 4.1.4 and 4.1.5).
    ///
    /// # Errors
    /// [`BadTime`] says which of them fails.
    pub fn judge_times(&self, now: Timestamp, leeway: Millis) -> Result<(), BadTime> {
        if self.time("nbf")?.is_some_and(|from| now.plus(leeway) < from) {
            return Err(BadTime::NotYet);
        }
        if self.time("exp")?.is_some_and(|until| until.plus(leeway) <= now) {
            return Err(BadTime::Expired);
        }
        Ok(())
    }

    /// Judges `iat`: not ahead of `now` + leeway; and, when there is a greatest age, there and not older than that.
    ///
    /// # Errors
    /// [`BadTime::Issued`], or [`BadTime::Malformed`].
    pub fn judge_issued(&self, now: Timestamp, leeway: Millis, max_age: Option<Millis>) -> Result<(), BadTime> {
        let issued = self.time("iat")?;
        let ahead = issued.is_some_and(|at| now.plus(leeway) < at);
        let old = max_age.is_some_and(|age| issued.is_none_or(|at| at.plus(age).plus(leeway) <= now));
        if ahead || old { Err(BadTime::Issued) } else { Ok(()) }
    }

    /// A NumericDate claim (RFC 7519 section 2): seconds, perhaps with a fraction.
    fn time(&self, name: &str) -> Result<Option<Timestamp>, BadTime> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0).ok_or(BadTime::Malformed)?;
        // A float to integer cast saturates; a date past the end of time is the end of time.
        Ok(Some(Timestamp((seconds * 1000.0) as u64)))
    }
}

/// The strings of a claim value: itself, or the members of the list that are strings.
pub fn strings(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let one = value.and_then(Value::as_str);
    let list = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    one.into_iter().chain(list.iter().filter_map(Value::as_str))
}

#[cfg(test)]
mod tests {
    use super::{BadTime, Claims};
    use ringwall_model::{Millis, Timestamp};
    use serde_json::{Value, json};

    fn claims(value: Value) -> Claims {
        Claims::new(value.as_object().unwrap().clone())
    }

    #[track_caller]
    fn times(value: Value, now: u64, want: Result<(), BadTime>) {
        assert_eq!(claims(value).judge_times(Timestamp(now), Millis::seconds(60)), want);
    }

    #[test]
    fn times_are_judged_with_a_leeway() {
        times(json!({}), 0, Ok(()));
        times(json!({"exp": 100}), 159_999, Ok(()));
        times(json!({"exp": 100}), 160_000, Err(BadTime::Expired));
        times(json!({"exp": 100.5}), 160_499, Ok(()));
        times(json!({"exp": 0}), 60_000, Err(BadTime::Expired));
        times(json!({"exp": 1e300}), u64::MAX - 1, Ok(()));
        times(json!({"nbf": 100}), 40_000, Ok(()));
        times(json!({"nbf": 100}), 39_999, Err(BadTime::NotYet));
        times(json!({"exp": "100"}), 1, Err(BadTime::Malformed));
        times(json!({"nbf": -1}), 1, Err(BadTime::Malformed));
        times(json!({"exp": null}), 1, Err(BadTime::Malformed));
    }

    #[test]
    fn issue_time_is_judged_apart() {
        let check = |value, age: Option<u64>, want: bool| {
            let verdict = claims(value).judge_issued(Timestamp(100_000), Millis::seconds(1), age.map(Millis::seconds));
            assert_eq!(verdict.is_ok(), want);
        };
        check(json!({}), None, true);
        check(json!({}), Some(10), false);
        check(json!({"iat": 101}), None, true);
        check(json!({"iat": 102}), None, false);
        check(json!({"iat": 90}), Some(10), true);
        check(json!({"iat": 89}), Some(10), false);
    }

    #[test]
    fn claims_are_found() {
        let subject = claims(json!({"aud": ["a", 5, "b"], "iss": "i", "realm_access": {"roles": ["x"]}}));
        assert_eq!(subject.audiences().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(subject.at(&["realm_access", "roles"]), Some(&json!(["x"])));
        assert!(subject.is_for(&["b"]) && subject.is_for::<&str>(&[]) && !subject.is_for(&["c"]));
        assert!(!claims(json!({})).is_for(&["b"]));
    }
}
