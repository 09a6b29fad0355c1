//! The clock: the only place of this room that reads one for its wall time.

use bytes::Bytes;
use ringwall_model::{CallId, Timestamp};
use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// 128 random bits for a call's name; version and variant bits make it a UUID of version 4 (RFC 9562 section 5.4).
pub fn call_id() -> CallId {
    CallId(random() & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62))
}

/// 64 random bits.
pub fn dice() -> u64 {
    u64::try_from(random() >> 64).unwrap_or_default()
}

/// How much randomness a thread fetches at a time: so many system calls less.
const STOCK: usize = 64;

/// 128 bits of the system's own generator, fetched ahead. What was given out is not kept.
fn random() -> u128 {
    thread_local!(static LEFT: RefCell<Vec<u128>> = const { RefCell::new(Vec::new()) });
    LEFT.with_borrow_mut(|left| {
        if let Some(next) = left.pop() {
            return next;
        }
        let mut bytes = [0; STOCK * 16];
        // Without randomness a name is only less unlikely to repeat: the time stands in.
        if getrandom::fill(&mut bytes).is_err() {
            return u128::from(now().0);
        }
        left.extend(bytes.as_chunks::<16>().0.iter().map(|bytes| u128::from_be_bytes(*bytes)));
        left.pop().unwrap_or_default()
    })
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7).
pub fn http_date(at: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = at.rfc3339();
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let weekday = usize::try_from(at.seconds() / 86_400 % 7).unwrap_or(0);
    let month = part(5, 7).parse::<usize>().unwrap_or(1).saturating_sub(1);
    format!(
        "{}, {} {} {} {} GMT",
        DAYS.get(weekday).unwrap_or(&"Thu"),
        part(8, 10),
        MONTHS.get(month).unwrap_or(&"Jan"),
        part(0, 4),
        part(11, 19)
    )
}

/// The `date` field of now; made once a second on each thread.
pub fn date_field() -> Bytes {
    thread_local! {
        static DATE: RefCell<(u64, Bytes)> = const { RefCell::new((u64::MAX, Bytes::new())) };
    }
    let now = now();
    DATE.with_borrow_mut(|(second, text)| {
        if *second != now.seconds() {
            (*second, *text) = (now.seconds(), http_date(now).into());
        }
        text.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::{call_id, http_date};
    use ringwall_model::Timestamp;

    #[test]
    fn dates_are_those_of_rfc_9110() {
        assert_eq!(http_date(Timestamp(784_111_777_000)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(Timestamp(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn names_are_version_4_uuids() {
        let name = call_id().to_string();
        assert_eq!(name.as_bytes()[14], b'4', "{name}");
        assert!(matches!(name.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{name}");
    }
}
