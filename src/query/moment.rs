//! Moments as people write them in a query: a date, a date and time, or a time relative to now.

use std::fmt;

use jiff::{
    Span, Timestamp, Unit,
    civil::{Date, DateTime, Time},
    tz::{AmbiguousOffset, Offset, TimeZone},
};

use crate::event::UnixMillis;

/// The span that a text denotes, first and last millisecond: `2021` is a whole year, `10:15` a whole minute, `now` one
/// instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub first: UnixMillis,
    pub last: UnixMillis,
}

/// The start of a unit. Date math moves the unit as a whole: a moved month is as long as the month it becomes.
#[derive(Clone, Copy)]
struct Start {
    first: UnixMillis,
    unit: Unit,
}

/// A text that denotes no moment.
#[derive(Debug, PartialEq, Eq)]
pub struct BadMoment;

impl fmt::Display for BadMoment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a date (2021-03-02), a date and time (2021-03-02T10:15:00Z), a duration before now (30d, 1h, 5m), date math \
             (now-1d/d), or milliseconds since 1970 (12 to 15 digits)",
        )
    }
}

/// Parses one of these:
///
/// - a date, or just its year or month; or a date and time, or a prefix of one, with an offset, or in UTC;
/// - milliseconds since 1970, of 12 digits or more, as fewer may be a date (`20210302`) or seconds;
/// - a duration before `now`: `1h`, `1d12h`, in `ms`, `s`, `m`, `h`, `d` and `w`;
/// - `now`, or a date followed by `||`, and then date math as in the engines: `+1M`, `-2h`, `/d`, in `y`, `M`, `w`,
///   `d`, `h` or `H`, `m`, `s` and `ms`. Calendar units are in UTC, weeks begin on Monday. `/d` denotes the whole day.
pub fn parse(text: &str, now: UnixMillis) -> Result<Moment, BadMoment> {
    let text = text.trim();
    let found = if let Some(math) = text.strip_prefix("now") {
        apply_date_math(Start::instant(now), math).map(Start::moment)
    } else if let Some((date, math)) = text.split_once("||") {
        parse_absolute(date).and_then(|start| apply_date_math(start, math)).map(Start::moment)
    } else {
        parse_absolute(text)
            .map(Start::moment)
            .or_else(|| parse_unix_millis(text))
            .or_else(|| parse_duration_before(now, text))
    };
    found.ok_or(BadMoment)
}

fn parse_unix_millis(text: &str) -> Option<Moment> {
    let is_count = (12..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let millis = UnixMillis(text.parse().ok().filter(|_| is_count)?);
    Some(Moment { first: millis, last: millis })
}

fn parse_duration_before(now: UnixMillis, text: &str) -> Option<Moment> {
    let (steps, rest) = durations(text)?;
    let is_exact = steps.iter().all(|(_, unit)| !matches!(unit, Unit::Month | Unit::Year));
    let at = steps.into_iter().try_fold(now, |at, (count, unit)| later(at, -count, unit))?;
    (rest.is_empty() && is_exact).then_some(Moment { first: at, last: at })
}

/// Applies date math to a moment.
fn apply_date_math(start: Start, math: &str) -> Option<Start> {
    let (mut at, mut rest) = (start, math);
    while let Some(sign) = rest.chars().next() {
        let after = rest.get(1..)?;
        (at, rest) = if sign == '/' {
            let end = after.bytes().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(after.len());
            let (name, rest) = after.split_at_checked(end)?;
            (at.round_down(unit(name)?)?, rest)
        } else {
            let direction = match sign {
                '+' => 1,
                '-' => -1,
                _ => return None,
            };
            let (steps, rest) = durations(after)?;
            (steps.into_iter().try_fold(at, |at, (count, unit)| at.later(count * direction, unit))?, rest)
        };
    }
    Some(at)
}

/// Parses durations such as `1d12h`; also returns the rest of the text.
fn durations(text: &str) -> Option<(Vec<(i64, Unit)>, &str)> {
    let mut steps = Vec::new();
    let mut rest = text;
    while rest.starts_with(|first: char| first.is_ascii_digit()) {
        let (count, after) = rest.split_at_checked(rest.bytes().position(|byte| !byte.is_ascii_digit())?)?;
        let end = after.bytes().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(after.len());
        let (name, after) = after.split_at_checked(end)?;
        steps.push((count.parse().ok()?, unit(name)?));
        rest = after;
    }
    (!steps.is_empty()).then_some((steps, rest))
}

fn unit(name: &str) -> Option<Unit> {
    Some(match name {
        "ms" => Unit::Millisecond,
        "s" => Unit::Second,
        "m" => Unit::Minute,
        "h" | "H" => Unit::Hour,
        "d" => Unit::Day,
        "w" => Unit::Week,
        "M" => Unit::Month,
        "y" => Unit::Year,
        _ => return None,
    })
}

impl Start {
    fn instant(at: UnixMillis) -> Self {
        Self { first: at, unit: Unit::Millisecond }
    }

    fn later(self, count: i64, unit: Unit) -> Option<Self> {
        Some(Self { first: later(self.first, count, unit)?, ..self })
    }

    /// The whole unit that contains it, or its own unit if that is longer: the days of a month are the month.
    fn round_down(self, unit: Unit) -> Option<Self> {
        Some(Self { first: floor(self.first, unit)?, unit: self.unit.max(unit) })
    }

    fn moment(self) -> Moment {
        Moment { first: self.first, last: last_of(self.first, self.unit) }
    }
}

/// The last instant of the unit that begins here. Nothing follows the calendar's last day, month and year.
fn last_of(first: UnixMillis, unit: Unit) -> UnixMillis {
    later(first, 1, unit).map_or(first.max(UnixMillis::LAST), |next| UnixMillis(next.0 - 1))
}

fn later(from: UnixMillis, count: i64, unit: Unit) -> Option<UnixMillis> {
    if let Some(length) = fixed_length(unit) {
        let to = UnixMillis(from.0.checked_add(count.checked_mul(length)?)?);
        return to.utc().map(|_| to);
    }
    let span = Span::new();
    let span = match unit {
        Unit::Month => span.try_months(count).ok()?,
        _ => span.try_years(count).ok()?,
    };
    Some(UnixMillis::at(from.utc()?.checked_add(span).ok()?, Offset::UTC))
}

/// In milliseconds, as every UTC day has the same length.
fn fixed_length(unit: Unit) -> Option<i64> {
    Some(match unit {
        Unit::Millisecond => 1,
        Unit::Second => 1000,
        Unit::Minute => 60_000,
        Unit::Hour => 3_600_000,
        Unit::Day => 86_400_000,
        Unit::Week => 604_800_000,
        _ => return None,
    })
}

fn floor(time: UnixMillis, unit: Unit) -> Option<UnixMillis> {
    /// 1970-01-05, a Monday, since 1970-01-01.
    const MONDAY: i64 = 4 * 86_400_000;
    let date = time.utc()?.date();
    if let Some(length) = fixed_length(unit) {
        let anchor = if unit == Unit::Week { MONDAY } else { 0 };
        return Some(UnixMillis(time.0 - (time.0 - anchor).rem_euclid(length)));
    }
    let first = if unit == Unit::Month { date.first_of_month() } else { date.first_of_year() };
    Some(UnixMillis::at(first.to_datetime(Time::midnight()), Offset::UTC))
}

/// Parses a date and time, or a prefix of one.
fn parse_absolute(text: &str) -> Option<Start> {
    let ParsedTime { time, offset, unit } = parse_parts(text)?;
    // Not rounded, as the unit belongs to the offset's calendar.
    Some(Start { first: UnixMillis::at(time, offset.unwrap_or(Offset::UTC)), unit })
}

/// Parses a date and time without an offset, or a prefix of one, in this time zone; `None` for texts that are
/// independent of the zone. A time that occurs twice, or that a clock change skips, stands for all from its earlier reading
/// to its later one, so that a range has everything that may be meant. A date stands for its day, without the hour that is
/// skipped at its edge.
pub fn in_zone(text: &str, zone: &TimeZone) -> Option<Moment> {
    let ParsedTime { time, offset: None, unit } = parse_parts(text.trim())? else { return None };
    let span = match unit {
        Unit::Year => Span::new().years(1),
        Unit::Month => Span::new().months(1),
        Unit::Day => Span::new().days(1),
        _ => Span::new().milliseconds(fixed_length(unit)?),
    };
    let last = time.checked_add(span).ok()?.checked_sub(Span::new().milliseconds(1)).ok()?;
    let (readings_of_first, readings_of_last) = (Readings::of(time, zone)?, Readings::of(last, zone)?);
    Some(match unit {
        Unit::Year | Unit::Month | Unit::Day => {
            Moment { first: readings_of_first.first(), last: readings_of_last.last() }
        }
        _ => Moment { first: readings_of_first.earlier, last: readings_of_last.later },
    })
}

/// The first instant of a day in a time zone; `None` outside of the calendar.
pub(super) fn start_of_day(date: Date, zone: &TimeZone) -> Option<UnixMillis> {
    Readings::of(date.to_datetime(Time::midnight()), zone).map(|readings| readings.first())
}

/// The instants that a local time may be. They are the same unless clocks changed then.
struct Readings {
    earlier: UnixMillis,
    later: UnixMillis,
    /// The instant of the change that skips the time.
    change: Option<UnixMillis>,
}

impl Readings {
    fn of(time: DateTime, zone: &TimeZone) -> Option<Self> {
        let readings = zone.to_ambiguous_timestamp(time);
        let earlier = readings.earlier().ok()?;
        let is_skipped = matches!(readings.offset(), AmbiguousOffset::Gap { .. });
        let change = if is_skipped { zone.following(earlier).next() } else { None };
        let millis = |instant: Timestamp| UnixMillis(instant.as_millisecond());
        Some(Self {
            earlier: millis(earlier),
            later: millis(readings.later().ok()?),
            change: change.map(|change| millis(change.timestamp())),
        })
    }

    /// The first instant at which clocks show this time or a later one.
    fn first(&self) -> UnixMillis {
        self.change.unwrap_or(self.earlier)
    }

    /// The last instant at which clocks show this time or an earlier one.
    fn last(&self) -> UnixMillis {
        self.change.map_or(self.later, |change| UnixMillis(change.0 - 1))
    }
}

/// A parsed text, and its smallest unit.
struct ParsedTime {
    time: DateTime,
    offset: Option<Offset>,
    unit: Unit,
}

fn parse_parts(text: &str) -> Option<ParsedTime> {
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let (date, unit) = parse_date(date)?;
    let Some(time) = time else {
        return Some(ParsedTime { time: date.to_datetime(Time::midnight()), offset: None, unit });
    };
    let (time, offset) = split_offset(time)?;
    let (time, of_time) = parse_time(time)?;
    (unit == Unit::Day).then_some(ParsedTime { time: date.to_datetime(time), offset, unit: of_time })
}

/// `2021`, `2021-03`, `2021-03-02`, with its unit.
fn parse_date(text: &str) -> Option<(Date, Unit)> {
    let mut parts = text.split('-');
    let year = digits(parts.next()?, 4)?;
    let (month, unit) = parts.next().map_or(Some((1, Unit::Year)), |month| Some((digits(month, 2)?, Unit::Month)))?;
    let (day, unit) = parts.next().map_or(Some((1, unit)), |day| Some((digits(day, 2)?, Unit::Day)))?;
    let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    parts.next().is_none().then_some((date, unit))
}

/// `10`, `10:15`, `10:15:30`, `10:15:30.123…`, with its unit. Digits beyond milliseconds are cut off.
fn parse_time(text: &str) -> Option<(Time, Unit)> {
    let (whole, fraction) = match text.split_once(['.', ',']) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let two = |text: &str| i8::try_from(digits(text, 2)?).ok();
    let parts: Option<Vec<i8>> = whole.split(':').map(two).collect();
    let (time, unit) = match (parts?.as_slice(), fraction) {
        ([hour], None) => ((*hour, 0, 0, 0), Unit::Hour),
        ([hour, minute], None) => ((*hour, *minute, 0, 0), Unit::Minute),
        ([hour, minute, second], None) => ((*hour, *minute, *second, 0), Unit::Second),
        ([hour, minute, second], Some(fraction)) => {
            ((*hour, *minute, *second, millis(fraction)? * 1_000_000), Unit::Millisecond)
        }
        _ => return None,
    };
    Some((Time::new(time.0, time.1, time.2, time.3).ok()?, unit))
}

/// Milliseconds of the digits after the point.
fn millis(fraction: &str) -> Option<i32> {
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let padded = format!("{fraction}00");
    padded.get(..3)?.parse().ok()
}

/// The time and its offset, if it has one. A blank stands for a plus sign that was put into a URL unencoded.
fn split_offset(text: &str) -> Option<(&str, Option<Offset>)> {
    if let Some(time) = text.strip_suffix(['Z', 'z']) {
        return Some((time, Some(Offset::UTC)));
    }
    let Some(at) = text.find(['+', '-', ' ']) else {
        return Some((text, None));
    };
    let (time, offset) = text.split_at_checked(at)?;
    Some((time, Some(parse_offset(offset)?)))
}

/// Parses an offset of less than a day, such as `+02:00`, `+0200` or `+02`.
pub fn parse_offset(text: &str) -> Option<Offset> {
    let (sign, offset) = text.split_at_checked(1)?;
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
    Offset::from_seconds(seconds).ok()
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
        let millis = |text: &str| UnixMillis::parse(text).unwrap();
        assert_eq!(parse(text, NOW), Ok(Moment { first: millis(first), last: millis(last) }), "{text}");
    }

    #[test]
    fn a_date_is_its_first_instant_as_a_start_and_its_last_as_an_end() {
        check("2021-03-02", "2021-03-02T00:00:00.000Z", "2021-03-02T23:59:59.999Z");
        check("2024-02-29", "2024-02-29T00:00:00.000Z", "2024-02-29T23:59:59.999Z");
        check("1969-12-31", "1969-12-31T00:00:00.000Z", "1969-12-31T23:59:59.999Z");
        check("0000-01-01", "0000-01-01T00:00:00.000Z", "0000-01-01T23:59:59.999Z");
        check("9999-12-31", "9999-12-31T00:00:00.000Z", "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_year_a_month_and_an_hour_are_spans_too() {
        check("2021", "2021-01-01T00:00:00.000Z", "2021-12-31T23:59:59.999Z");
        check("2024-02", "2024-02-01T00:00:00.000Z", "2024-02-29T23:59:59.999Z");
        check("9999", "9999-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z");
        check("9999-12", "9999-12-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z");
        check("2021-03-02T10", "2021-03-02T10:00:00.000Z", "2021-03-02T10:59:59.999Z");
        check("1614686400000", "2021-03-02T12:00:00.000Z", "2021-03-02T12:00:00.000Z");
    }

    #[test]
    fn date_math_works_as_in_the_engines() {
        check("now/d", "2021-03-02T00:00:00.000Z", "2021-03-02T23:59:59.999Z");
        check("now-1d/d", "2021-03-01T00:00:00.000Z", "2021-03-01T23:59:59.999Z");
        check("now+1d", "2021-03-03T12:00:00.000Z", "2021-03-03T12:00:00.000Z");
        check("now-1M", "2021-02-02T12:00:00.000Z", "2021-02-02T12:00:00.000Z");
        check("now/w", "2021-03-01T00:00:00.000Z", "2021-03-07T23:59:59.999Z");
        check("now/M", "2021-03-01T00:00:00.000Z", "2021-03-31T23:59:59.999Z");
        check("now-1y/y", "2020-01-01T00:00:00.000Z", "2020-12-31T23:59:59.999Z");
        check("now/d+8h", "2021-03-02T08:00:00.000Z", "2021-03-03T07:59:59.999Z");
        check("2024-01-31||+1M", "2024-02-29T00:00:00.000Z", "2024-02-29T23:59:59.999Z");
        check("2021-02||+1M", "2021-03-01T00:00:00.000Z", "2021-03-31T23:59:59.999Z");
        check("2021-03||-1M", "2021-02-01T00:00:00.000Z", "2021-02-28T23:59:59.999Z");
        check("2023-02||+1y", "2024-02-01T00:00:00.000Z", "2024-02-29T23:59:59.999Z");
        check("2023||+1y", "2024-01-01T00:00:00.000Z", "2024-12-31T23:59:59.999Z");
        check("now-1M/M-1M", "2021-01-01T00:00:00.000Z", "2021-01-31T23:59:59.999Z");
        check("now/M/d", "2021-03-01T00:00:00.000Z", "2021-03-31T23:59:59.999Z");
        check("2021-03-02T10:15||/H", "2021-03-02T10:00:00.000Z", "2021-03-02T10:59:59.999Z");
        check("9999-12-31||/d", "9999-12-31T00:00:00.000Z", "9999-12-31T23:59:59.999Z");
        check("1969-12-31||/w", "1969-12-29T00:00:00.000Z", "1970-01-04T23:59:59.999Z");
    }

    #[test]
    fn a_time_stands_for_all_of_its_smallest_unit() {
        check("2021-03-02T10:15", "2021-03-02T10:15:00.000Z", "2021-03-02T10:15:59.999Z");
        check("2021-03-02T10:15:30Z", "2021-03-02T10:15:30.000Z", "2021-03-02T10:15:30.999Z");
        check("2021-03-02T10:15:30.5Z", "2021-03-02T10:15:30.500Z", "2021-03-02T10:15:30.500Z");
        check("2021-03-02T10:15:30.123456789Z", "2021-03-02T10:15:30.123Z", "2021-03-02T10:15:30.123Z");
        check(" 2021-03-02 10:15:30 ", "2021-03-02T10:15:30.000Z", "2021-03-02T10:15:30.999Z");
        check("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z");
        check("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn an_offset_applies_even_if_its_plus_sign_became_a_blank() {
        for text in ["2021-03-02T10:15:30.000+02:00", "2021-03-02T10:15:30.000 02:00", "2021-03-02t10:15:30.000+0200"] {
            check(text, "2021-03-02T08:15:30Z", "2021-03-02T08:15:30Z");
        }
        check("2021-03-02T10:15-05", "2021-03-02T15:15:00Z", "2021-03-02T15:15:59.999Z");
        check("2021-03-02T10:15-03:30", "2021-03-02T13:45:00Z", "2021-03-02T13:45:59.999Z");
    }

    #[test]
    fn a_date_without_an_offset_is_read_in_a_zone() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let check = |text: &str, first: &str, last: &str| {
            let millis = |text: &str| UnixMillis::parse(text).unwrap();
            assert_eq!(in_zone(text, &zone), Some(Moment { first: millis(first), last: millis(last) }), "{text}");
        };
        check("2021-07", "2021-06-30T22:00:00Z", "2021-07-31T21:59:59.999Z");
        check("2021-07-01 10:15", "2021-07-01T08:15:00Z", "2021-07-01T08:15:59.999Z");
        // The day on which clocks go forward has 23 hours.
        check("2021-03-28", "2021-03-27T23:00:00Z", "2021-03-28T21:59:59.999Z");
        check("2021-10-31", "2021-10-30T22:00:00Z", "2021-10-31T22:59:59.999Z");
        // It is 2:30 twice.
        check("2021-10-31 02:30", "2021-10-31T00:30:00Z", "2021-10-31T01:30:59.999Z");
        check("2021-10-31T01:59", "2021-10-30T23:59:00Z", "2021-10-30T23:59:59.999Z");
        check("2021-10-31T02", "2021-10-31T00:00:00Z", "2021-10-31T01:59:59.999Z");
        // It is never 2:30: what was meant is an hour earlier, or later.
        check("2021-03-28T02:30", "2021-03-28T00:30:00Z", "2021-03-28T01:30:59.999Z");
        check("2021-03-28T03", "2021-03-28T01:00:00Z", "2021-03-28T01:59:59.999Z");
        for text in
            ["24h", "now/d", "2021-07-01T10:15Z", "2021-07-01T10:15+02:00", "1614686400000", "2021-07-01||/M", "x"]
        {
            assert_eq!(in_zone(text, &zone), None, "{text}");
        }
    }

    #[test]
    fn a_day_is_whole_where_clocks_change_at_midnight() {
        let zone = TimeZone::posix("<-04>4<-03>,M9.1.6/24,M4.1.6/24").unwrap();
        let day = |text: &str| in_zone(text, &zone).map(|Moment { first, last }| (last.0 + 1 - first.0) / 3_600_000);
        // Midnight of the fifth is skipped; the last hour of the third occurs twice.
        assert_eq!(["2021-09-04", "2021-09-05", "2021-09-06"].map(day), [Some(24), Some(23), Some(24)]);
        assert_eq!(["2021-04-02", "2021-04-03", "2021-04-04"].map(day), [Some(24), Some(25), Some(24)]);
        let first = |text: &str| in_zone(text, &zone).map(|moment| moment.first);
        assert_eq!(first("2021-09-05"), UnixMillis::parse("2021-09-05T04:00:00Z"));
        assert_eq!(first("2021-04-04"), UnixMillis::parse("2021-04-04T04:00:00Z"));
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
            "now-",
            "nowish",
            "now/",
            "now/x",
            "now-1",
            "now-1d/",
            "now/ms/q",
            "1M",
            "1y",
            "1d-1h",
            "2021||1d",
            "1h||/d",
            "now-9999999y",
            "9999999999999999",
            "2021T10",
            "2021-03T10:15",
            "1.5h",
            "1 h",
            "99999999999999999999d",
            "9223372036854775807w",
            "2021-3-2",
            "2021-02-30",
            "2021-13-01",
            "20210302",
            "1614686400",
            "99999999999",
            "1614686400000000",
            "2021/03/02",
            "March 1, 2021",
            "2021-03-02T",
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
            assert_eq!(parse(text, NOW), Err(BadMoment), "{text:?}");
        }
    }

    #[test]
    fn date_math_beyond_the_calendar_is_refused() {
        for now in [i64::MIN, i64::MAX] {
            for text in ["now/d", "now/w", "now/M", "now-1d", "1h", "now+1y"] {
                assert_eq!(parse(text, UnixMillis(now)), Err(BadMoment), "{text} {now}");
            }
        }
    }
}
