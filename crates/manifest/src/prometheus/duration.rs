//! Prometheus durations: `5m`, `1h30m`, `2d`, `1w`, `1y`, `250ms`.

use crate::node::Cursor;
use ringwall_model::Millis;

/// Reads a duration as Prometheus' `model.ParseDuration` does: units in falling order, each at most once.
pub fn read(text: &str) -> Option<Millis> {
    const UNITS: [(&str, u64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    if text == "0" {
        return Some(Millis(0));
    }
    let mut rest = text;
    let mut sum = 0_u64;
    let mut after = 0;
    while !rest.is_empty() || text.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
        let (amount, tail) = rest.split_at_checked(digits)?;
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit_end)?;
        let (rank, (_, scale)) = UNITS.iter().enumerate().skip(after).find(|(_, (name, _))| *name == unit)?;
        sum = sum.checked_add(amount.parse::<u64>().ok()?.checked_mul(*scale)?)?;
        (after, rest) = (rank + 1, tail);
    }
    Some(Millis(sum))
}

/// A duration at a cursor; what is none is an error.
pub fn at(cursor: Cursor<'_>) -> Option<Millis> {
    let text = cursor.string()?;
    match read(text) {
        Some(span) => Some(span),
        None => {
            cursor.refuse_with(format!("`{text}` is not a duration"), "durations look like `30s`, `5m`, `1h30m`, `7d`")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::read;
    use ringwall_model::Millis;

    #[test]
    fn durations_fall_in_their_units() {
        let check = |text: &str, want: Option<u64>| assert_eq!(read(text), want.map(Millis), "{text}");
        check("5m", Some(300_000));
        check("1h30m", Some(5_400_000));
        check("7d", Some(604_800_000));
        check("1y1w", Some(366 * 86_400_000 + 6 * 86_400_000));
        check("250ms", Some(250));
        check("0", Some(0));
        check("", None);
        check("5", None);
        check("1m1h", None);
        check("1m1m", None);
        check("1.5m", None);
        check("99999999999999999999y", None);
    }
}
