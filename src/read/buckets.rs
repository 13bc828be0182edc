//! The text form of histogram intervals: `30s`, `5m`, `1h`, `1d`, `1w`, `1M`, `1q`, `1y`.

use std::fmt;

use crate::{
    event::UnixMillis,
    query::{Interval, Unit},
};

/// Approximate maximum number of buckets of an automatic histogram.
const ENOUGH: i64 = 100;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// An interval and its text form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedInterval {
    pub name: String,
    pub interval: Interval,
}

/// The intervals that [`auto`] chooses from, shortest first, each with its minimum length in milliseconds.
const LADDER: [(&str, Interval, i64); 20] = [
    ("1ms", Interval::Millis(1), 1),
    ("10ms", Interval::Millis(10), 10),
    ("100ms", Interval::Millis(100), 100),
    ("1s", Interval::Millis(SECOND), SECOND),
    ("5s", Interval::Millis(5 * SECOND), 5 * SECOND),
    ("10s", Interval::Millis(10 * SECOND), 10 * SECOND),
    ("30s", Interval::Millis(30 * SECOND), 30 * SECOND),
    ("1m", Interval::Millis(MINUTE), MINUTE),
    ("5m", Interval::Millis(5 * MINUTE), 5 * MINUTE),
    ("10m", Interval::Millis(10 * MINUTE), 10 * MINUTE),
    ("30m", Interval::Millis(30 * MINUTE), 30 * MINUTE),
    ("1h", Interval::Millis(HOUR), HOUR),
    ("3h", Interval::Millis(3 * HOUR), 3 * HOUR),
    ("6h", Interval::Millis(6 * HOUR), 6 * HOUR),
    ("12h", Interval::Millis(12 * HOUR), 12 * HOUR),
    ("1d", Interval::Millis(DAY), DAY),
    ("1w", Interval::Calendar(Unit::Week), 7 * DAY),
    ("1M", Interval::Calendar(Unit::Month), 28 * DAY),
    ("1q", Interval::Calendar(Unit::Quarter), 90 * DAY),
    ("1y", Interval::Calendar(Unit::Year), 365 * DAY),
];

/// A text that is not an interval.
#[derive(Debug, PartialEq, Eq)]
pub struct BadInterval;

impl fmt::Display for BadInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected [auto], a number of ms, s, m, h or d (30s, 5m, 1h, 1d), or one of [1w, 1M, 1q, 1y]")
    }
}

pub fn parse_interval(text: &str) -> Result<NamedInterval, BadInterval> {
    let interval = calendar(text).or_else(|| fixed(text)).ok_or(BadInterval)?;
    Ok(NamedInterval { name: text.to_owned(), interval })
}

fn calendar(text: &str) -> Option<Interval> {
    let (_, interval, _) = LADDER.iter().find(|(name, _, _)| *name == text)?;
    Some(*interval)
}

fn fixed(text: &str) -> Option<Interval> {
    let (count, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
    let unit = match unit {
        "ms" => 1,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        _ => return None,
    };
    let length = count.parse::<i64>().ok()?.checked_mul(unit)?;
    (1..=1_000_000 * DAY).contains(&length).then_some(Interval::Millis(length))
}

/// Returns the shortest interval that covers this time range with few enough buckets.
pub(super) fn auto(first: UnixMillis, last: UnixMillis) -> NamedInterval {
    let time = last.0.saturating_sub(first.0);
    let fits = LADDER.iter().find(|(_, _, length)| time / length < ENOUGH);
    let (name, interval, _) = fits.or(LADDER.last()).copied().unwrap_or(("1y", Interval::Calendar(Unit::Year), 1));
    NamedInterval { name: name.to_owned(), interval }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_multiples_of_units_or_calendar_intervals() {
        for (text, interval) in [
            ("30s", Interval::Millis(30_000)),
            ("5m", Interval::Millis(300_000)),
            ("36h", Interval::Millis(36 * HOUR)),
            ("1d", Interval::Millis(DAY)),
            ("250ms", Interval::Millis(250)),
            ("1w", Interval::Calendar(Unit::Week)),
            ("1M", Interval::Calendar(Unit::Month)),
            ("1q", Interval::Calendar(Unit::Quarter)),
            ("1y", Interval::Calendar(Unit::Year)),
        ] {
            assert_eq!(parse_interval(text).unwrap(), NamedInterval { name: text.to_owned(), interval });
        }
        for bad in ["", "s", "1", "0s", "-1s", "2w", "2M", "1 h", "1H", "1.5h", "99999999999d", "99999999999999999999s"]
        {
            assert_eq!(parse_interval(bad), Err(BadInterval), "{bad}");
        }
    }

    #[test]
    fn an_automatic_interval_gives_at_most_about_a_hundred_buckets() {
        for (millis, name) in [
            (0, "1ms"),
            (99, "1ms"),
            (100, "10ms"),
            (HOUR, "1m"),
            (DAY, "30m"),
            (30 * DAY, "12h"),
            (365 * DAY, "1w"),
            (3000 * DAY, "1q"),
            (i64::MAX, "1y"),
        ] {
            assert_eq!(auto(UnixMillis(0), UnixMillis(millis)).name, name, "{millis}");
        }
    }
}
