//! Aggregations over events, and their results.

use std::{collections::BTreeMap, iter};

use jiff::{
    Span, Timestamp, ToSpan,
    civil::{Date, Time},
    tz::{Offset, TimeZone},
};

use super::{Key, Subject, moment::start_of_day, order::NAME_A_LABEL};
use crate::{
    event::UnixMillis,
    schema::{Field, Kind},
};

/// Maximum number of buckets in one result.
pub const MAX_BUCKETS: usize = 10_000;

/// What to compute from the matching events.
#[derive(Clone, Debug)]
pub enum Aggregation {
    /// The values of a field or a label, addresses and versions as text, each with the number of events that have it: the most
    /// frequent first, equally frequent ones in the order of the values. An event counts once for each of its values.
    /// `limit` is at least 1.
    Terms { subject: Subject, limit: usize },
    /// The number of events in each interval of time, from the first non-empty interval to the last, empty ones
    /// included.
    Histogram { field: &'static Field, interval: Interval },
    /// For a number or a duration: count, minimum, maximum, sum and mean of the values.
    Statistics { field: &'static Field },
    /// For a number or a duration: the values below which these percentages (0 to 100) of the values lie. The engines
    /// estimate them.
    Percentiles { field: &'static Field, percents: Vec<f64> },
}

/// The interval of a histogram: a number of milliseconds, counted from the beginning of 1970 in UTC, or a calendar unit in
/// a time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interval {
    /// At least 1.
    Millis(i64),
    Calendar(Unit, TimeZone),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Day,
    /// Starting on Monday.
    Week,
    Month,
    Quarter,
    /// So many years, at least 1, counted from the year 0.
    Years(i16),
}

/// An aggregation that does not fit its field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct NotAggregatable {
    /// The path of a field or a label.
    pub field: String,
    pub reason: &'static str,
}

impl Aggregation {
    /// Whether the aggregation fits its field. Stores accept only those that do.
    pub fn check(&self) -> Result<(), NotAggregatable> {
        match self {
            Self::Terms { subject: Subject::Field(field), .. } if field.kind == Kind::Labels => {
                Err(misfit(field, NAME_A_LABEL))
            }
            Self::Terms { subject: Subject::Field(field), .. } if !has_terms(field) => {
                Err(misfit(field, "its values cannot be counted"))
            }
            Self::Histogram { field, .. } if field.kind != Kind::Date => Err(misfit(field, "expected a date")),
            Self::Statistics { field } | Self::Percentiles { field, .. } if !is_number(field) => {
                Err(misfit(field, "expected a number, a duration or a date"))
            }
            Self::Terms { .. } | Self::Histogram { .. } | Self::Statistics { .. } | Self::Percentiles { .. } => Ok(()),
        }
    }
}

fn misfit(field: &Field, reason: &'static str) -> NotAggregatable {
    NotAggregatable { field: field.path.to_owned(), reason }
}

/// Texts are counted as a whole, unless they are too long to be indexed that way.
fn has_terms(field: &Field) -> bool {
    if !field.search.by_value() {
        return false;
    }
    match field.kind {
        Kind::Keyword | Kind::Date | Kind::Long | Kind::Long64 | Kind::Float | Kind::Boolean | Kind::Ip => true,
        Kind::Text => matches!(field.path, "message" | "error.message"),
        Kind::Version => true,
        Kind::DateRange
        | Kind::GeoPoint
        | Kind::Labels
        | Kind::Flattened
        | Kind::Json
        | Kind::Nested
        | Kind::Objects => false,
    }
}

const fn is_number(field: &Field) -> bool {
    matches!(field.kind, Kind::Long | Kind::Long64 | Kind::Float | Kind::Date)
}

impl Interval {
    /// The first instant of the interval that contains this one; `None` beyond the end of the calendar.
    pub fn start_of(&self, instant: UnixMillis) -> Option<UnixMillis> {
        match self {
            Self::Millis(length) => Some(UnixMillis(instant.0.div_euclid(*length).checked_mul(*length)?)),
            Self::Calendar(unit, zone) => {
                let start = first_instant(unit.first_day_of(date_at(instant, zone)?)?, zone)?;
                // Clocks may have been put back to the day before.
                Some(self.next(start).filter(|next| *next <= instant).unwrap_or(start))
            }
        }
    }

    /// The first instant of the interval after the one that begins here.
    pub fn next(&self, start: UnixMillis) -> Option<UnixMillis> {
        match self {
            Self::Millis(length) => start.0.checked_add(*length).map(UnixMillis),
            Self::Calendar(unit, zone) => first_instant(date_at(start, zone)?.checked_add(unit.span()).ok()?, zone),
        }
    }

    /// A length in milliseconds such that every interval begins at a multiple of it since 1970. In a time zone this only
    /// holds for the offsets that it had since 1973, and has until 2100; before, some were no multiple of a minute.
    pub fn granule(&self) -> i64 {
        match self {
            Self::Millis(length) => *length,
            Self::Calendar(_, zone) => {
                let changes = zone.following(NEAR).take_while(|change| change.timestamp() < FAR);
                let offsets = iter::once(zone.to_offset(NEAR)).chain(changes.map(|change| change.offset()));
                offsets.fold(DAY, |granule, offset| gcd(granule, i64::from(offset.seconds()).abs() * 1_000))
            }
        }
    }
}

/// Maximum number of parts, as long as [`Interval::granule`], that intervals are summed up from.
pub const MAX_PARTS: usize = 100_000;

/// A day in milliseconds.
const DAY: i64 = 86_400_000;

/// 1973-01-01
const NEAR: Timestamp = Timestamp::constant(94_694_400, 0);

/// 2100-01-01
const FAR: Timestamp = Timestamp::constant(4_102_444_800, 0);

fn gcd(one: i64, other: i64) -> i64 {
    if other == 0 { one } else { gcd(other, one % other) }
}

/// The date in a time zone. The time library's zones end a day before the calendar does.
fn date_at(instant: UnixMillis, zone: &TimeZone) -> Option<Date> {
    let offset = match Timestamp::from_millisecond(instant.0) {
        Ok(instant) => zone.to_offset(instant),
        Err(_) => Offset::UTC,
    };
    UnixMillis(instant.0 + i64::from(offset.seconds()) * 1_000).utc().or_else(|| instant.utc()).map(|time| time.date())
}

fn first_instant(date: Date, zone: &TimeZone) -> Option<UnixMillis> {
    let in_utc = || UnixMillis::at(date.to_datetime(Time::midnight()), Offset::UTC);
    if *zone == TimeZone::UTC { Some(in_utc()) } else { start_of_day(date, zone).or_else(|| Some(in_utc())) }
}

/// There would be more than [`MAX_BUCKETS`] intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManySpans;

impl Interval {
    /// The first instant of each interval from the one that contains `first` to the one that contains `last`.
    pub fn spans(&self, first: UnixMillis, last: UnixMillis) -> Result<Vec<UnixMillis>, TooManySpans> {
        let starts = iter::successors(self.start_of(first), |start| self.next(*start));
        let starts: Vec<_> = starts.take_while(|start| *start <= last).take(MAX_BUCKETS + 1).collect();
        if starts.len() > MAX_BUCKETS { Err(TooManySpans) } else { Ok(starts) }
    }

    /// The counts by first instant of their intervals, with 0 for all intervals in between.
    pub fn fill_gaps(&self, counts: &BTreeMap<UnixMillis, u64>) -> Result<Vec<(UnixMillis, u64)>, TooManySpans> {
        let (Some((&first, _)), Some((&last, _))) = (counts.first_key_value(), counts.last_key_value()) else {
            return Ok(Vec::new());
        };
        let count = |start| (start, counts.get(&start).copied().unwrap_or(0));
        Ok(self.spans(first, last)?.into_iter().map(count).collect())
    }
}

impl Unit {
    fn first_day_of(self, date: Date) -> Option<Date> {
        match self {
            Self::Day => Some(date),
            Self::Week => date.checked_sub(i64::from(date.weekday().to_monday_zero_offset()).days()).ok(),
            Self::Month => Some(date.first_of_month()),
            Self::Quarter => Date::new(date.year(), (date.month() - 1) / 3 * 3 + 1, 1).ok(),
            Self::Years(count) => Date::new(date.year() - date.year().checked_rem_euclid(count)?, 1, 1).ok(),
        }
    }

    fn span(self) -> Span {
        match self {
            Self::Day => 1.day(),
            Self::Week => 1.week(),
            Self::Month => 1.month(),
            Self::Quarter => 3.months(),
            Self::Years(count) => count.years(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Aggregate {
    Terms {
        buckets: Vec<Bucket>,
        /// The number of different values.
        distinct: u64,
        /// The number of events without a value.
        without: u64,
    },
    /// The first instant of each interval, with its number of events.
    Histogram(Vec<(UnixMillis, u64)>),
    Statistics(Statistics),
    /// In the order asked for; `None` if no event has a value.
    Percentiles(Vec<Option<f64>>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Bucket {
    pub value: Key,
    pub events: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Statistics {
    pub values: u64,
    /// `None` if there is no value.
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub sum: f64,
}
