//! Durations and quantities as Kubernetes, Istio and Go write them.

use ringwall_model::Millis;

/// A duration as Go's `time.ParseDuration` reads it, without sign: `1h30m`, `0.5s`, `100ms`, `0`. Rounded down to
/// whole milliseconds. `None` when it is none, or beyond 292 years, as in Go.
pub fn read_duration(text: &str) -> Option<Millis> {
    if text == "0" {
        return Some(Millis(0));
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut nanos: u128 = 0;
    if rest.is_empty() || rest.len() > 128 {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|end| *end > 0)?;
        let (amount, after) = rest.split_at_checked(digits)?;
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit_end)?;
        let scale: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        nanos = nanos.checked_add(scaled(amount, scale)?)?;
        rest = after;
    }
    u64::try_from(nanos).ok().filter(|nanos| i64::try_from(*nanos).is_ok()).map(|nanos| Millis(nanos / 1_000_000))
}

/// A Kubernetes quantity in thousandths, rounded up as the API server does: `500m` is 500, `1Ki` is 1,024,000.
pub fn read_quantity(text: &str) -> Option<i128> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (amount, suffix) = unsigned.split_at_checked(end)?;
    let (scale, divide): (u128, u128) = match suffix {
        "" => (1000, 1),
        "n" => (1, 1_000_000),
        "u" => (1, 1000),
        "m" => (1, 1),
        "k" => (1_000_000, 1),
        "M" => (1_000_000_000, 1),
        "G" => (1_000_000_000_000, 1),
        "T" => (1_000_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000_000, 1),
        "Ki" => (1000 << 10, 1),
        "Mi" => (1000 << 20, 1),
        "Gi" => (1000 << 30, 1),
        "Ti" => (1000 << 40, 1),
        "Pi" => (1000 << 50, 1),
        "Ei" => (1000 << 60, 1),
        _ => {
            let exponent: u32 = suffix.strip_prefix(['e', 'E'])?.parse().ok().filter(|exponent| *exponent <= 18)?;
            (10_u128.pow(exponent).checked_mul(1000)?, 1)
        }
    };
    let value = i128::try_from(scaled(amount, scale)?.div_ceil(divide)).ok()?;
    Some(if text.starts_with('-') { -value } else { value })
}

/// `amount` (digits with at most one point) times `scale`, rounded down.
fn scaled(amount: &str, scale: u128) -> Option<u128> {
    let (whole, part) = amount.split_once('.').unwrap_or((amount, ""));
    if (whole.is_empty() && part.is_empty()) || part.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part = part.get(..part.len().min(15))?;
    let fraction = if part.is_empty() {
        0
    } else {
        part.parse::<u128>().ok()?.checked_mul(scale)? / 10_u128.pow(u32::try_from(part.len()).ok()?)
    };
    whole.checked_mul(scale)?.checked_add(fraction)
}
