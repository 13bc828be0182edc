//! Moments as people write them in a question: a date, a date and time, or a span before now.

use std::fmt;

use jiff::{
    civil::{Date, DateTime, Time},
    tz::Offset,
};

use crate::event::UnixMillis;

/// Which end of the span that a text names is meant: `2021-03-02` is a whole day, `10:15` a whole minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    First,
    Last,
}

/// A text that names no moment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadMoment;

impl fmt::Display for BadMoment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "expected a date (2021-03-02), a date and time (2021-03-02T10:15:00Z) or a duration before now (30d, 1h, \
             5m, now-1d)",
        )
    }
}

/// A date; a date and time with an offset, or in UTC without one; or a duration before `now`.
pub(super) fn parse(text: &str, edge: Edge, now: UnixMillis) -> Result<UnixMillis, BadMoment> {
    let text = text.trim();
    before_now(text, now).or_else(|| written(text, edge)).ok_or(BadMoment)
}

/// `now`, `now-1d`, `1h`, `1d12h`: milliseconds (`ms`), seconds, minutes, hours, days of 24 hours, weeks of seven days.
fn before_now(text: &str, now: UnixMillis) -> Option<UnixMillis> {
    let span = match text.strip_prefix("now") {
        Some("") => return Some(now),
        Some(rest) => rest.strip_prefix('-')?,
        None => text,
    };
    let mut rest = span;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let (count, after) = split_at_first(rest, |byte| !byte.is_ascii_digit())?;
        let (unit, after) = split_at_first(after, |byte| byte.is_ascii_digit())
            .or(Some((after, "")))
            .filter(|(unit, _)| !unit.is_empty())?;
        let millis: i64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        total = count.parse::<i64>().ok()?.checked_mul(millis)?.checked_add(total)?;
        rest = after;
    }
    if span.is_empty() { None } else { now.0.checked_sub(total).map(UnixMillis) }
}

/// The text before and from the first byte that is like this; `None` if there is none.
fn split_at_first(text: &str, like: impl Fn(u8) -> bool) -> Option<(&str, &str)> {
    text.split_at_checked(text.bytes().position(like)?)
}

fn written(text: &str, edge: Edge) -> Option<UnixMillis> {
    let (date, rest) = text.split_at_checked(10)?;
    let date = parse_date(date)?;
    if rest.is_empty() {
        return instant(date.to_datetime(Time::midnight()), Offset::UTC, DAY, edge);
    }
    let time = rest.strip_prefix(['T', 't', ' '])?;
    let (time, offset) = split_offset(time)?;
    let (time, span) = parse_time(time)?;
    instant(date.to_datetime(time), offset, span, edge)
}

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;

/// The first or last millisecond of a span that begins there.
fn instant(start: DateTime, offset: Offset, span: i64, edge: Edge) -> Option<UnixMillis> {
    let first = offset.to_timestamp(start).ok()?.as_millisecond();
    match edge {
        Edge::First => Some(UnixMillis(first)),
        Edge::Last => Some(UnixMillis(first + span - 1)),
    }
}

/// `2021-03-02`
fn parse_date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = digits(parts.next()?, 2)?;
    let day = digits(parts.next()?, 2)?;
    match parts.next() {
        None => Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok(),
        Some(_) => None,
    }
}

/// `10:15`, `10:15:30`, `10:15:30.123…`, with the milliseconds that it stands for. Beyond milliseconds is cut off.
fn parse_time(text: &str) -> Option<(Time, i64)> {
    let (whole, fraction) = match text.split_once(['.', ',']) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let mut parts = whole.split(':');
    let hour = i8::try_from(digits(parts.next()?, 2)?).ok()?;
    let minute = i8::try_from(digits(parts.next()?, 2)?).ok()?;
    let second = parts.next().map(|second| digits(second, 2).and_then(|second| i8::try_from(second).ok()));
    if parts.next().is_some() {
        return None;
    }
    let (second, nanos, span) = match (second, fraction) {
        (None, None) => (0, 0, MINUTE),
        (Some(second), None) => (second?, 0, 1000),
        (Some(second), Some(fraction)) => (second?, millis(fraction)? * 1_000_000, 1),
        (None, Some(_)) => return None,
    };
    Some((Time::new(hour, minute, second, nanos).ok()?, span))
}

/// Milliseconds of the digits after the point.
fn millis(fraction: &str) -> Option<i32> {
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let padded = format!("{fraction}00");
    padded.get(..3)?.parse().ok()
}

/// The time and its offset, UTC where there is none. A blank stands for the plus sign that it was before someone put it into
/// a URL as it is.
fn split_offset(text: &str) -> Option<(&str, Offset)> {
    if let Some(time) = text.strip_suffix(['Z', 'z']) {
        return Some((time, Offset::UTC));
    }
    let Some(at) = text.find(['+', '-', ' ']) else {
        return Some((text, Offset::UTC));
    };
    let (time, offset) = text.split_at_checked(at)?;
    let (sign, offset) = offset.split_at_checked(1)?;
    let (hours, minutes) = match offset.len() {
        5 => offset.split_once(':')?,
        4 => offset.split_at_checked(2)?,
        2 => (offset, "00"),
        _ => return None,
    };
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = i32::from(hours) * 3600 + i32::from(minutes) * 60;
    let seconds = if sign == "-" { -seconds } else { seconds };
    Offset::from_seconds(seconds).ok().map(|offset| (time, offset))
}

fn digits(text: &str, count: usize) -> Option<i16> {
    let fits = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// 2021-03-02T12:00:00Z
    const NOW: UnixMillis = UnixMillis(1_614_686_400_000);

    fn check(text: &str, first: &str, last: &str) {
        let millis = |text: &str| UnixMillis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        assert_eq!(parse(text, Edge::First, NOW), Ok(millis(first)), "first of {text}");
        assert_eq!(parse(text, Edge::Last, NOW), Ok(millis(last)), "last of {text}");
    }

    #[test]
    fn a_date_is_its_first_instant_as_a_start_and_its_last_as_an_end() {
        check("2021-03-02", "2021-03-02T00:00:00.000Z", "2021-03-02T23:59:59.999Z");
        check("2024-02-29", "2024-02-29T00:00:00.000Z", "2024-02-29T23:59:59.999Z");
        check("1969-12-31", "1969-12-31T00:00:00.000Z", "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_time_stands_for_all_of_its_smallest_unit() {
        check("2021-03-02T10:15", "2021-03-02T10:15:00.000Z", "2021-03-02T10:15:59.999Z");
        check("2021-03-02T10:15:30Z", "2021-03-02T10:15:30.000Z", "2021-03-02T10:15:30.999Z");
        check("2021-03-02T10:15:30.5Z", "2021-03-02T10:15:30.500Z", "2021-03-02T10:15:30.500Z");
        check("2021-03-02T10:15:30.123456789Z", "2021-03-02T10:15:30.123Z", "2021-03-02T10:15:30.123Z");
        check(" 2021-03-02 10:15:30 ", "2021-03-02T10:15:30.000Z", "2021-03-02T10:15:30.999Z");
        check("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn offsets_count_also_when_the_plus_sign_became_a_blank() {
        for text in ["2021-03-02T10:15:30.000+02:00", "2021-03-02T10:15:30.000 02:00", "2021-03-02t10:15:30.000+0200"] {
            check(text, "2021-03-02T08:15:30Z", "2021-03-02T08:15:30Z");
        }
        check("2021-03-02T10:15-05", "2021-03-02T15:15:00Z", "2021-03-02T15:15:59.999Z");
        check("2021-03-02T10:15-03:30", "2021-03-02T13:45:00Z", "2021-03-02T13:45:59.999Z");
    }

    #[test]
    fn a_duration_counts_back_from_now() {
        for (text, expected) in [
            ("now", "2021-03-02T12:00:00Z"),
            ("1h", "2021-03-02T11:00:00Z"),
            ("now-1h", "2021-03-02T11:00:00Z"),
            ("5m", "2021-03-02T11:55:00Z"),
            ("30d", "2021-01-31T12:00:00Z"),
            ("1d12h", "2021-03-01T00:00:00Z"),
            ("2w", "2021-02-16T12:00:00Z"),
            ("90s", "2021-03-02T11:58:30Z"),
            ("250ms", "2021-03-02T11:59:59.750Z"),
            ("0d", "2021-03-02T12:00:00Z"),
        ] {
            check(text, expected, expected);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            " ",
            "1",
            "h",
            "-1h",
            "1h-",
            "1x",
            "now+1d",
            "now-",
            "nowish",
            "1.5h",
            "1 h",
            "99999999999999999999d",
            "9223372036854775807w",
            "2021",
            "2021-3-2",
            "2021-02-30",
            "2021-13-01",
            "2021/03/02",
            "March 1, 2021",
            "1614686400000",
            "2021-03-02T",
            "2021-03-02T10",
            "2021-03-02T10:1",
            "2021-03-02T24:00",
            "2021-03-02T10:15:60Z",
            "2021-03-02T10:15.5Z",
            "2021-03-02T10:15:30.Z",
            "2021-03-02T10:15:30.1234567890Z",
            "2021-03-02T10:15:30ZZ",
            "2021-03-02T10:15+2",
            "2021-03-02T10:15+24:00",
            "2021-03-02T10:15+02:60",
            "2021-03-02T10:15:30:00Z",
            "2021-03-02Z",
            "2021-03-02x10:15",
            "2021-03-0é",
            "２０２１-03-02",
            "+021-03-02",
            "2021-03-02T+1:15",
        ] {
            assert_eq!(parse(text, Edge::First, NOW), Err(BadMoment), "{text:?}");
        }
    }
}
