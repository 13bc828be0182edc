//! The flag that sets the time zone in which times are shown and read.

use jiff::{Timestamp, tz::TimeZone};

use crate::{query::moment, time::format_time};

#[derive(Debug, clap::Args)]
pub(super) struct ZoneArgs {
    /// The time zone in which tables show times, and in which dates without an offset are read: `local`, `UTC`, a name
    /// such as Europe/Helsinki, or an offset such as +02:00
    #[arg(long, default_value = "local", value_parser = time_zone, allow_hyphen_values = true)]
    tz: TimeZone,
}

/// Which end of a period, such as a day, a date stands for.
#[derive(Clone, Copy)]
pub(super) enum Bound {
    Start,
    End,
}

impl ZoneArgs {
    /// Shows a time with its offset, since a local time alone may be ambiguous. Text that is not a time is unchanged.
    pub(super) fn show(&self, text: &str) -> String {
        let Ok(time) = text.parse::<Timestamp>() else { return text.to_owned() };
        time.to_zoned_datetime(self.tz.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f%:z").to_string()
    }

    /// Converts a time for the server; only dates without an offset change.
    pub(super) fn read(&self, text: &str, edge: Bound) -> String {
        let moment = moment::in_zone(text, &self.tz);
        let instant = moment.map(|moment| match edge {
            Bound::Start => moment.first,
            Bound::End => moment.last,
        });
        instant.map_or_else(|| text.to_owned(), format_time)
    }
}

fn time_zone(text: &str) -> Result<TimeZone, String> {
    let expected =
        || format!("expected local, UTC, a name such as Europe/Helsinki or an offset such as +02:00, found {text:?}");
    match text {
        "local" => Ok(TimeZone::system()),
        "UTC" | "utc" | "Z" => Ok(TimeZone::UTC),
        _ if text.starts_with(['+', '-']) => moment::parse_offset(text).map(TimeZone::fixed).ok_or_else(expected),
        name => TimeZone::get(name).map_err(|_| expected()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn zone(text: &str) -> ZoneArgs {
        ZoneArgs { tz: time_zone(text).unwrap() }
    }

    #[test]
    fn times_are_shown_in_the_zone_asked_for_with_its_offset() {
        let shown = |text: &str| zone(text).show("2026-07-01T10:20:30.4Z");
        assert_eq!(shown("UTC"), "2026-07-01 10:20:30.400+00:00");
        assert_eq!(shown("+05:30"), "2026-07-01 15:50:30.400+05:30");
        assert_eq!(shown("-0700"), "2026-07-01 03:20:30.400-07:00");
        assert_eq!(zone("UTC").show("yesterday"), "yesterday");
        assert!(time_zone("Mars/Olympus").is_err() && time_zone("+99:99").is_err());
    }

    #[test]
    fn times_are_read_in_the_zone_in_which_they_are_shown() {
        let zone = zone("+05:30");
        let shown = zone.show("2026-07-01T10:20:30.400Z");
        assert_eq!(zone.read(&shown, Bound::Start), shown, "it has its offset");
        assert_eq!(zone.read("2026-07-01", Bound::Start), "2026-06-30T18:30:00.000Z");
        assert_eq!(zone.read("2026-07-01", Bound::End), "2026-07-01T18:29:59.999Z");
        assert_eq!(zone.read("24h", Bound::Start), "24h");
    }

    #[test]
    fn a_period_includes_whatever_may_be_meant_by_a_time_that_clocks_show_twice_or_skip() {
        let zone = ZoneArgs { tz: TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap() };
        let check = |text: &str, first: &str, last: &str| {
            let read = [Bound::Start, Bound::End].map(|edge| zone.read(text, edge));
            assert_eq!(read, [first, last].map(|time| format!("{time}Z")), "{text}");
        };
        check("2021-07-01 10:15", "2021-07-01T08:15:00.000", "2021-07-01T08:15:59.999");
        check("2021-10-31 02:30", "2021-10-31T00:30:00.000", "2021-10-31T01:30:59.999");
        check("2021-10-31 02", "2021-10-31T00:00:00.000", "2021-10-31T01:59:59.999");
        check("2021-10-31", "2021-10-30T22:00:00.000", "2021-10-31T22:59:59.999");
        check("2021-03-28 02:30", "2021-03-28T00:30:00.000", "2021-03-28T01:30:59.999");
        check("2021-03-28", "2021-03-27T23:00:00.000", "2021-03-28T21:59:59.999");
        check("2021", "2020-12-31T23:00:00.000", "2021-12-31T22:59:59.999");
    }
}
