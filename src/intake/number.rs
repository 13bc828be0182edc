//! Numbers in canonical form. One number has one form and one answer in whatever notation it is sent: `1e18` is
//! `1000000000000000000`, and `-0` is `0`.
//!
//! - A number of the document is a double, as RFC 8785 has it: a fraction becomes the nearest one. Whole digits are not
//!   lost: a number beyond ±(2^53−1) that a double would write with other digits is refused.
//! - A number that is kept as text keeps all of its digits.

use crate::event::Decimal;

/// The largest whole number that every JSON implementation represents exactly.
pub(super) const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;

const RANGE: &str = "a number within ±1.7976931348623157e308 (64 bits)";
const FLOAT_RANGE: &str = "a number within ±3.4028235e38 (32 bits)";

/// Returns the number as a double; fails with what was expected.
pub(super) fn double(digits: &[u8]) -> Result<String, String> {
    if let Some(short) = short_integer(digits) {
        return Ok(short.to_owned());
    }
    let value = parse(digits).filter(|value| value.is_finite()).ok_or(RANGE)?;
    let text = ryu_js::Buffer::new().format_finite(value).to_owned();
    if value.abs() > MAX_SAFE_INTEGER as f64 && !is_same(digits, &text) {
        return Err(format!("a whole number within ±(2^53−1), or one that a double keeps; this would become {text}"));
    }
    Ok(text)
}

/// Like [`double`], for a number that the engines store in 32 bits, where a large double is infinite.
pub(super) fn float(digits: &[u8]) -> Result<String, String> {
    if !parse(digits).is_some_and(|value| (value as f32).is_finite()) {
        return Err(FLOAT_RANGE.to_owned());
    }
    double(digits)
}

/// Returns the number as text, with all of its digits: as a double, if that has them.
pub(super) fn exact(digits: &[u8]) -> Result<String, String> {
    if let Some(short) = short_integer(digits) {
        return Ok(short.to_owned());
    }
    let value = parse(digits).filter(|value| value.is_finite()).ok_or(RANGE)?;
    let text = ryu_js::Buffer::new().format_finite(value).to_owned();
    let number = decimal(digits).ok_or(RANGE)?;
    Ok(if Decimal::parse(&text).as_ref() == Some(&number) { text } else { number.to_string() })
}

/// Returns the value of a whole number of 64 bits in any notation.
pub(super) fn whole(digits: &[u8]) -> Option<i64> {
    decimal(digits)?.to_i64()
}

/// Returns the value of a whole number within ±(2^53−1) in any notation.
pub(super) fn safe_integer(digits: &[u8]) -> Option<i64> {
    whole(digits).filter(|number| number.unsigned_abs() <= MAX_SAFE_INTEGER.unsigned_abs())
}

/// Returns the digits if they are those of a whole number that a double surely keeps.
fn short_integer(digits: &[u8]) -> Option<&str> {
    let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
    let is_short = unsigned.len() <= 15 && unsigned.iter().all(u8::is_ascii_digit);
    let is_canonical = !unsigned.starts_with(b"0") || digits == b"0";
    std::str::from_utf8(digits).ok().filter(|_| is_short && is_canonical && !unsigned.is_empty())
}

fn parse(digits: &[u8]) -> Option<f64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn decimal(digits: &[u8]) -> Option<Decimal> {
    Decimal::parse(std::str::from_utf8(digits).ok()?)
}

/// Whether two notations are of one number.
fn is_same(digits: &[u8], text: &str) -> bool {
    decimal(digits).is_some_and(|number| Decimal::parse(text).is_some_and(|other| other == number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_form_in_every_notation() {
        for (notations, form) in [
            (&["1e18", "1000000000000000000", "1.000E18"][..], "1000000000000000000"),
            (&["1e21", "1000000000000000000000"], "1e+21"),
            (&["9007199254740992", "9007199254740992.0"], "9007199254740992"),
            (&["-0", "-0.0", "0", "0e5", "-0e-400"], "0"),
            (&["0.1", "1e-1", "0.10"], "0.1"),
            (&["5e-324", "0.5e-323"], "5e-324"),
            (&["1.7976931348623157e308"], "1.7976931348623157e+308"),
        ] {
            for notation in notations {
                assert_eq!(double(notation.as_bytes()).as_deref(), Ok(form), "{notation}");
                assert_eq!(exact(notation.as_bytes()).as_deref(), Ok(form), "{notation}");
            }
        }
    }

    #[test]
    fn digits_are_lost_neither_in_numbers_nor_in_texts() {
        for (digits, nearest) in [
            ("9007199254740993", "9007199254740992"),
            ("-9007199254740993", "-9007199254740992"),
            ("9007199254740993.0", "9007199254740992"),
            ("-9223372036854775808", "-9223372036854776000"),
            ("18446744073709551615", "18446744073709552000"),
            ("123456789012345678901234567890", "1.2345678901234568e+29"),
        ] {
            let expected =
                format!("a whole number within ±(2^53−1), or one that a double keeps; this would become {nearest}");
            assert_eq!(double(digits.as_bytes()), Err(expected));
            assert_eq!(exact(digits.as_bytes()).as_deref(), Ok(digits.trim_end_matches(".0")));
        }
        // A fraction is the nearest double, and in a text what it was.
        for (digits, nearest) in [
            ("0.1000000000000000055511151231257827", "0.1"),
            ("333333333.33333329", "333333333.3333333"),
            ("4503599627370496.3", "4503599627370496"),
            ("1e-400", "0"),
        ] {
            assert_eq!(double(digits.as_bytes()).as_deref(), Ok(nearest));
            assert_eq!(exact(digits.as_bytes()).as_deref(), Ok(digits));
        }
        for beyond in ["1e309", "-1.8e308", "1e400", "1e99999999999999999999"] {
            assert_eq!(double(beyond.as_bytes()), Err(RANGE.to_owned()));
            assert_eq!(exact(beyond.as_bytes()), Err(RANGE.to_owned()));
        }
    }

    #[test]
    fn a_float_is_finite_in_32_bits() {
        for (digits, form) in [
            ("3.4028235677973362e38", Ok("3.4028235677973362e+38")),
            ("3.4028235677973366e38", Err(FLOAT_RANGE)),
            ("-3.5e38", Err(FLOAT_RANGE)),
            ("1e39", Err(FLOAT_RANGE)),
            ("1e400", Err(FLOAT_RANGE)),
            ("16777217", Ok("16777217")),
            ("0.10000000149011612", Ok("0.10000000149011612")),
            ("0.1", Ok("0.1")),
            ("1e-50", Ok("1e-50")),
        ] {
            assert_eq!(float(digits.as_bytes()), form.map(str::to_owned).map_err(str::to_owned));
        }
    }
}
