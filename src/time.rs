//! Times as Annals writes them: `YYYY-MM-DDThh:mm:ss.sssZ`, always UTC, always with milliseconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::event::UnixMillis;

/// Length of a time in its fixed form, in bytes.
pub const TIME_BYTES: usize = 24;

/// The source of the current time, so that tests can set it.
pub trait Clock: Send + Sync {
    fn now(&self) -> UnixMillis;

    /// Time that has passed since the machine was started, which no setting of the clock changes.
    fn since_boot(&self) -> Duration {
        Duration::from_millis(self.now().0.unsigned_abs())
    }
}

/// The system clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    fn now(&self) -> UnixMillis {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    /// Includes the time in which the machine was suspended.
    #[cfg(target_os = "linux")]
    fn since_boot(&self) -> Duration {
        let passed = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::try_from(passed).unwrap_or_default()
    }

    #[cfg(not(target_os = "linux"))]
    fn since_boot(&self) -> Duration {
        let passed = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Duration::try_from(passed).unwrap_or_default()
    }
}

/// Formats a time in the fixed form; times outside the years 0 to 9999 are clamped.
pub fn format_millis(time: UnixMillis) -> [u8; TIME_BYTES] {
    let UnixMillis(millis) = time.clamp(UnixMillis::FIRST, UnixMillis::LAST);
    let (days, of_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    let (year, month, day) = civil_from_days(days);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut put = |at: usize, digits: usize, mut value: i64| {
        for place in (at..at + digits).rev() {
            if let Some(byte) = text.get_mut(place) {
                *byte = b'0' + (value % 10) as u8;
            }
            value /= 10;
        }
    };
    put(0, 4, year);
    put(5, 2, month);
    put(8, 2, day);
    put(11, 2, of_day / 3_600_000);
    put(14, 2, of_day / 60_000 % 60);
    put(17, 2, of_day / 1000 % 60);
    put(20, 3, of_day % 1000);
    text
}

/// Like [`format_millis`], as a string.
pub fn format_time(time: UnixMillis) -> String {
    format_millis(time).iter().map(|byte| char::from(*byte)).collect()
}

/// Year, month and day of a number of days since 1970-01-01, in the proleptic Gregorian calendar. The year is computed
/// from March, so that the leap day is its last.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let from_era_zero = days + 719_468;
    let era = from_era_zero.div_euclid(146_097);
    let day_of_era = from_era_zero.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn formats_agree_with_a_calendar_library() {
        assert_eq!(format_time(UnixMillis::FIRST), "0000-01-01T00:00:00.000Z");
        assert_eq!(format_time(UnixMillis::LAST), "9999-12-31T23:59:59.999Z");
        for millis in [0, 1, -1, 951_782_400_000, 1_709_164_799_999, 4_107_542_399_999, -62_135_596_800_000] {
            let expected = jiff::Timestamp::from_millisecond(millis).unwrap();
            assert_eq!(format_time(UnixMillis(millis)), format!("{expected:.3}"));
        }
    }
}
