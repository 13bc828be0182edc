//! The text form of histogram intervals: `30s`, `5m`, `1h`, `1d`, `1w`, `1M`, `1q`, `1y`, `10y`.

use std::fmt;

use jiff::tz::TimeZone;

use crate::{
    event::UnixMillis,
    query::{Interval, Unit},
};

/// Maximum number of buckets of an automatic histogram, approximately. There are about half as many at least, and fewer
/// where no calendar unit lies between.
const ENOUGH: i64 = 100;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// An interval and its text form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedInterval {
    pub name: String,
    pub interval: Interval,
}

/// The number and the unit of an interval that [`auto`] chooses, its minimum length in milliseconds, and its calendar unit
/// if it is one.
type Rung = (&'static str, i64, Option<Unit>);

/// Shortest first.
const LADDER: [Rung; 38] = [
    ("1ms", 1, None),
    ("2ms", 2, None),
    ("5ms", 5, None),
    ("10ms", 10, None),
    ("20ms", 20, None),
    ("50ms", 50, None),
    ("100ms", 100, None),
    ("200ms", 200, None),
    ("500ms", 500, None),
    ("1s", SECOND, None),
    ("2s", 2 * SECOND, None),
    ("5s", 5 * SECOND, None),
    ("10s", 10 * SECOND, None),
    ("15s", 15 * SECOND, None),
    ("30s", 30 * SECOND, None),
    ("1m", MINUTE, None),
    ("2m", 2 * MINUTE, None),
    ("5m", 5 * MINUTE, None),
    ("10m", 10 * MINUTE, None),
    ("15m", 15 * MINUTE, None),
    ("30m", 30 * MINUTE, None),
    ("1h", HOUR, None),
    ("2h", 2 * HOUR, None),
    ("3h", 3 * HOUR, None),
    ("6h", 6 * HOUR, None),
    ("12h", 12 * HOUR, None),
    ("1d", DAY, Some(Unit::Day)),
    ("2d", 2 * DAY, None),
    ("1w", 7 * DAY, Some(Unit::Week)),
    ("1M", 28 * DAY, Some(Unit::Month)),
    ("1q", 90 * DAY, Some(Unit::Quarter)),
    ("1y", YEAR, Some(Unit::Years(1))),
    ("2y", 2 * YEAR, Some(Unit::Years(2))),
    ("5y", 5 * YEAR, Some(Unit::Years(5))),
    ("10y", 10 * YEAR, Some(Unit::Years(10))),
    ("20y", 20 * YEAR, Some(Unit::Years(20))),
    ("50y", 50 * YEAR, Some(Unit::Years(50))),
    ("100y", 100 * YEAR, Some(Unit::Years(100))),
];

/// A text that is not an interval.
#[derive(Debug, PartialEq, Eq)]
pub struct BadInterval;

impl fmt::Display for BadInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected [auto], a number of ms, s, m, h or d (30s, 5m, 1h, 1d), or one of [1w, 1M, 1q, 1y, 2y, 5y, 10y, 20y, 50y, 100y]")
    }
}

/// Parses an interval; days and calendar units are those of the time zone.
pub fn parse_interval(text: &str, zone: &TimeZone) -> Result<NamedInterval, BadInterval> {
    let calendar = LADDER.iter().find(|(name, _, unit)| *name == text && unit.is_some());
    match calendar {
        Some(rung) => Ok(named(*rung, zone)),
        None => {
            let interval = fixed(text).ok_or(BadInterval)?;
            Ok(NamedInterval { name: text.to_owned(), interval })
        }
    }
}

fn named((name, length, unit): Rung, zone: &TimeZone) -> NamedInterval {
    let interval = unit.map_or(Interval::Millis(length), |unit| Interval::Calendar(unit, zone.clone()));
    NamedInterval { name: name.to_owned(), interval }
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
pub(super) fn auto(first: UnixMillis, last: UnixMillis, zone: &TimeZone) -> NamedInterval {
    let time = last.0.saturating_sub(first.0);
    let fits = LADDER.iter().find(|(_, length, _)| time / length < ENOUGH);
    let [.., longest] = LADDER;
    named(fits.copied().unwrap_or(longest), zone)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_multiples_of_units_or_calendar_intervals() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        for (text, interval) in [
            ("30s", Interval::Millis(30_000)),
            ("5m", Interval::Millis(300_000)),
            ("36h", Interval::Millis(36 * HOUR)),
            ("2d", Interval::Millis(2 * DAY)),
            ("1d", Interval::Calendar(Unit::Day, zone.clone())),
            ("250ms", Interval::Millis(250)),
            ("1w", Interval::Calendar(Unit::Week, zone.clone())),
            ("1M", Interval::Calendar(Unit::Month, zone.clone())),
            ("1q", Interval::Calendar(Unit::Quarter, zone.clone())),
            ("1y", Interval::Calendar(Unit::Years(1), zone.clone())),
            ("100y", Interval::Calendar(Unit::Years(100), zone.clone())),
        ] {
            assert_eq!(parse_interval(text, &zone).unwrap(), NamedInterval { name: text.to_owned(), interval });
        }
        for bad in
            ["", "s", "1", "0s", "-1s", "2w", "2M", "3y", "1 h", "1H", "1.5h", "99999999999d", "99999999999999999999s"]
        {
            assert_eq!(parse_interval(bad, &zone), Err(BadInterval), "{bad}");
        }
    }

    #[test]
    fn an_automatic_interval_gives_about_50_to_100_buckets() {
        let auto = |first, last| auto(UnixMillis(first), UnixMillis(last), &TimeZone::UTC);
        for (millis, name) in [
            (0, "1ms"),
            (99, "1ms"),
            (100, "2ms"),
            (HOUR, "1m"),
            (DAY, "15m"),
            (30 * DAY, "12h"),
            (365 * DAY, "1w"),
            (3000 * DAY, "1q"),
            (i64::MAX, "100y"),
        ] {
            assert_eq!(auto(0, millis).name, name, "{millis}");
        }
        let spans =
            |first: UnixMillis, last: UnixMillis| auto(first.0, last.0).interval.spans(first, last).unwrap().len();
        assert_eq!(spans(UnixMillis::FIRST, UnixMillis::LAST), 100);
        for time in (7..47).map(|power| 1_i64 << power) {
            let found = spans(UnixMillis(0), UnixMillis(time));
            assert!((20..=102).contains(&found), "{time}: {found}");
        }
    }
}
