//! Dates and times in events.

use crate::{event::UnixMillis, time::format_time};

/// Whether a quoted text is a date in canonical form: `"YYYY-MM-DDThh:mm:ss.sssZ"`.
pub(super) fn is_fixed_form(quoted: &[u8]) -> bool {
    let &[
        b'"',
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'T',
        h1,
        h2,
        b':',
        n1,
        n2,
        b':',
        s1,
        s2,
        b'.',
        f1,
        f2,
        f3,
        b'Z',
        b'"',
    ] = quoted
    else {
        return false;
    };
    let digits = [y1, y2, y3, y4, m1, m2, d1, d2, h1, h2, n1, n2, s1, s2, f1, f2, f3];
    if !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let two = |tens: u8, ones: u8| (tens - b'0') * 10 + (ones - b'0');
    let (year, month, day) = (u16::from(two(y1, y2)) * 100 + u16::from(two(y3, y4)), two(m1, m2), two(d1, d2));
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u8::from(is_leap),
        _ => 0,
    };
    (1..=days).contains(&day) && two(h1, h2) < 24 && two(n1, n2) < 60 && two(s1, s2) < 60
}

/// Returns the canonical form of any other RFC 3339 date and time, with its quotes: in UTC, with three fractional
/// digits, or six or nine if the further ones are not zero.
pub(super) fn canonical_date(quoted: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(quoted).ok()?.trim_matches('"');
    let (millis, nanos) = UnixMillis::parse_with_nanos(text)?;
    // An offset may move the time outside the four-digit years.
    let time = (UnixMillis::FIRST..=UnixMillis::LAST).contains(&millis).then(|| format_time(millis))?;
    let time = time.trim_end_matches('Z');
    Some(match nanos {
        0 => format!("\"{time}Z\""),
        nanos if nanos % 1000 == 0 => format!("\"{time}{:03}Z\"", nanos / 1000),
        nanos => format!("\"{time}{nanos:06}Z\""),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn date_form(quoted: &str) -> Option<String> {
        if is_fixed_form(quoted.as_bytes()) { Some(quoted.to_owned()) } else { canonical_date(quoted.as_bytes()) }
    }

    proptest! {
        #[test]
        fn an_accepted_date_keeps_its_milliseconds(
            text in r"(0000|0001|1969|9999|[0-9]{4})-(01|12|[01][0-9])-([0-2][0-9]|3[01])T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,9})?",
            offset in r"Z|z|[+-][0-2][0-9]:[0-5][0-9]",
        ) {
            let Some(form) = date_form(&format!("\"{text}{offset}\"")) else { return Ok(()) };
            let form = form.trim_matches('"');
            let millis = UnixMillis::parse(form);
            let time = millis.map(format_time).unwrap_or_default();
            prop_assert!(form.starts_with(time.trim_end_matches('Z')), "{form} is {millis:?}");
            if offset.eq_ignore_ascii_case("z") {
                let digits = |text: &str| text.trim_end_matches(['0', 'Z', '.']).to_owned();
                prop_assert_eq!(digits(form), digits(&text));
            } else {
                prop_assert_eq!(UnixMillis::parse(&format!("{text}{offset}")), millis);
            }
        }
    }

    #[test]
    fn dates_take_one_form_or_are_refused() {
        for (given, expected) in [
            ("2026-11-24T01:02:03.004Z", Some("2026-11-24T01:02:03.004Z")),
            ("2026-11-24T01:02:03Z", Some("2026-11-24T01:02:03.000Z")),
            ("2026-11-24t03:02:03.1+02:00", Some("2026-11-24T01:02:03.100Z")),
            ("2026-11-24T01:02:03.0041Z", Some("2026-11-24T01:02:03.004100Z")),
            ("2026-11-24T01:02:03.123456789Z", Some("2026-11-24T01:02:03.123456789Z")),
            ("2024-02-29T00:00:00.000Z", Some("2024-02-29T00:00:00.000Z")),
            ("2026-02-29T00:00:00.000Z", None),
            ("2021-99-99T00:00:00.000Z", None),
            ("9999-12-31T23:59:59.999Z", Some("9999-12-31T23:59:59.999Z")),
            ("9999-12-31T23:59:59Z", Some("9999-12-31T23:59:59.000Z")),
            ("9999-12-31T23:59:59.999999999Z", Some("9999-12-31T23:59:59.999999999Z")),
            ("9999-12-31T23:59:59.999-00:01", None),
            ("0000-01-01T00:00:00Z", Some("0000-01-01T00:00:00.000Z")),
            ("0000-01-01T00:00:00+00:01", None),
            ("0000-12-31T23:59:59.9999Z", Some("0000-12-31T23:59:59.999900Z")),
            ("1969-12-31T23:59:59.9999Z", Some("1969-12-31T23:59:59.999900Z")),
            ("2026-11-24T24:00:00Z", None),
            ("2026-11-24T24:00:00.000Z", None),
            ("2026-11-24T23:59:60Z", None),
            ("2026-11-24T235960.000Z", None),
            ("2016-12-31t23:59:59z", Some("2016-12-31T23:59:59.000Z")),
            ("2016-12-31T23:59:60Z", None),
            ("2026-11-24T01:02:03+23:59", Some("2026-11-23T01:03:03.000Z")),
            ("2026-11-24T01:02:03-23:59", Some("2026-11-25T01:01:03.000Z")),
            ("2026-11-24T01:02:03-00:00", Some("2026-11-24T01:02:03.000Z")),
            ("2026-11-24T01:02:03+24:00", None),
            ("2026-11-24T01:02:03+25:59", None),
            ("2026-11-24T01:02:03-25:59", None),
            ("2026-11-24T01:02:03+01:60", None),
            ("2026-11-24T01:02:03+01:00:30", None),
            ("2026-11-24T01:02:03+01", None),
            ("2026-11-24T01:02:03+0100", None),
            ("2026-11-24T01:02:03+1:00", None),
            ("2026-11-24T01:02:03.+01:00", None),
            ("2026-11-24T01:02:03,5Z", None),
            ("2026-11-24T01:02:03.1234567890Z", None),
            ("2026-11-24T01:02:03ZZ", None),
            ("2026-11-24T01:02:03Z[UTC]", None),
            ("2026-11-24T01:02:03−01:00", None),
            ("2026-11-24T23:59:60.000Z", None),
            ("2026-11-24", None),
            ("2026-11-24T01:02:03", None),
            ("2026-11-24 01:02:03Z", None),
            ("+012026-11-24T01:02:03Z", None),
            ("1764000000000", None),
            ("", None),
        ] {
            let quoted = format!("\"{given}\"");
            assert_eq!(date_form(&quoted), expected.map(|text| format!("\"{text}\"")), "{given}");
        }
    }
}
