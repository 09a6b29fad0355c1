//! `format` (OpenAPI 3.1 "Data Type Format", JSON Schema 2020-12 validation section 7): the ones that are judged.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A format of a text, or a range of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Date,
    DateTime,
    Time,
    Email,
    Hostname,
    Ipv4,
    Ipv6,
    Uri,
    Uuid,
    Base64,
    Int32,
    Int64,
}

/// Formats that say nothing about the text.
const FREE: [&str; 7] = ["binary", "commonmark", "double", "float", "html", "password", "json-pointer"];

impl Format {
    /// The format of that name: `Ok(None)` one that says nothing about the text.
    pub fn named(name: &str) -> Result<Option<Self>, ()> {
        Ok(Some(match name {
            "date" => Self::Date,
            "date-time" => Self::DateTime,
            "time" => Self::Time,
            "email" | "idn-email" => Self::Email,
            "hostname" => Self::Hostname,
            "ipv4" => Self::Ipv4,
            "ipv6" => Self::Ipv6,
            "uri" | "url" => Self::Uri,
            "uuid" => Self::Uuid,
            "byte" => Self::Base64,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            free if FREE.contains(&free) => return Ok(None),
            _ => return Err(()),
        }))
    }

    /// Whether a text has the format; those of numbers say nothing of texts.
    pub fn holds(self, text: &str) -> bool {
        match self {
            Self::Date => date(text),
            Self::DateTime => text.split_once(['T', 't', ' ']).is_some_and(|(day, clock)| date(day) && time(clock)),
            Self::Time => time(text),
            Self::Email => text.rsplit_once('@').is_some_and(|(name, host)| {
                !name.is_empty() && name.len() <= 64 && !name.contains(char::is_whitespace) && hostname(host)
            }),
            Self::Hostname => hostname(text),
            Self::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Self::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Self::Uri => uri(text),
            Self::Uuid => uuid(text),
            Self::Base64 => base64(text),
            Self::Int32 | Self::Int64 => true,
        }
    }

    /// Whether a number has the format; those of texts say nothing of numbers.
    pub fn admits(self, number: f64) -> bool {
        match self {
            Self::Int32 => number >= f64::from(i32::MIN) && number <= f64::from(i32::MAX),
            // Two to the power of 63 is the first number beyond.
            Self::Int64 => (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number),
            _ => true,
        }
    }
}

/// Two digits between the two, both included.
fn two(text: &str, least: u32, most: u32) -> bool {
    text.len() == 2
        && text.bytes().all(|b| b.is_ascii_digit())
        && text.parse().is_ok_and(|n| (least..=most).contains(&n))
}

/// RFC 3339 `full-date`, with the days that a month has.
fn date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts.as_slice() else { return false };
    let digits = year.len() == 4 && year.bytes().all(|b| b.is_ascii_digit());
    let number: u32 = year.parse().unwrap_or(0);
    let leap = number.is_multiple_of(4) && (!number.is_multiple_of(100) || number.is_multiple_of(400));
    let last = match *month {
        "02" => 28 + u32::from(leap),
        "04" | "06" | "09" | "11" => 30,
        _ => 31,
    };
    digits && two(month, 1, 12) && two(day, 1, last)
}

/// RFC 3339 `full-time`.
fn time(text: &str) -> bool {
    let (clock, zone) = match text.find(['Z', 'z', '+', '-']) {
        Some(at) => text.split_at(at),
        None => return false,
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let parts: Vec<&str> = clock.split(':').collect();
    let [hour, minute, second] = parts.as_slice() else { return false };
    let offset = || {
        let rest = zone.get(1..).unwrap_or_default();
        rest.split_once(':').is_some_and(|(hour, minute)| two(hour, 0, 23) && two(minute, 0, 59))
    };
    let zoned = zone.eq_ignore_ascii_case("z") || (!zone.starts_with(['Z', 'z']) && offset());
    let fraction = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
    two(hour, 0, 23) && two(minute, 0, 59) && two(second, 0, 60) && fraction && zoned
}

/// RFC 1123 section 2.1.
fn hostname(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// RFC 3986: a scheme, and no byte that a URI cannot hold.
fn uri(text: &str) -> bool {
    let scheme = text.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
            && !rest.is_empty()
    });
    scheme
        && text.bytes().all(|b| {
            b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
        })
}

/// RFC 9562 section 4.
fn uuid(text: &str) -> bool {
    let at = |index: usize| matches!(index, 8 | 13 | 18 | 23);
    text.len() == 36 && text.bytes().enumerate().all(|(i, b)| if at(i) { b == b'-' } else { b.is_ascii_hexdigit() })
}

/// RFC 4648 section 4.
fn base64(text: &str) -> bool {
    let content = text.trim_end_matches('=');
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    text.len().is_multiple_of(4) && text.len() - content.len() <= 2 && content.bytes().all(inside)
}
