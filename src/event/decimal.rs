//! Numbers by their decimal digits, which no float rounds.

/// The value of a decimal number: 0.DIGITS · 10^POINT, in exactly one form for each value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    is_negative: bool,
    /// Neither the first nor the last is 0; there are none in zero.
    digits: Vec<u8>,
    point: i64,
}

/// From this exponent on, whole numbers of many digits are written with it.
const MAX_WHOLE_DIGITS: i64 = 100;

impl Decimal {
    /// Parses digits with an optional minus sign, fraction and exponent.
    pub fn parse(text: &str) -> Option<Self> {
        let (is_negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let has_digits = whole.len() + fraction.len() > 0 && !exponent_digits.is_empty();
        if !has_digits || ![whole, fraction, exponent_digits].into_iter().all(are_digits) {
            return None;
        }
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let Some(first) = all.iter().position(|digit| *digit != b'0') else {
            return Some(Self { is_negative: false, digits: Vec::new(), point: 0 });
        };
        let last = all.iter().rposition(|digit| *digit != b'0').unwrap_or(first);
        let exponent: i64 = exponent.parse().ok()?;
        let point = i64::try_from(whole.len()).ok()?.checked_sub(i64::try_from(first).ok()?)?.checked_add(exponent)?;
        Some(Self { is_negative, digits: all.get(first..=last)?.to_vec(), point })
    }

    /// The value, if it is a whole number of 64 bits.
    pub fn to_i64(&self) -> Option<i64> {
        let zeros = self.trailing_zeros()?;
        if self.point > 19 {
            return None;
        }
        let sign: &[u8] = if self.is_negative { b"-" } else { b"" };
        let digits = [sign, &self.digits, &vec![b'0'; zeros.max(usize::from(self.digits.is_empty()))]].concat();
        std::str::from_utf8(&digits).ok()?.parse().ok()
    }

    /// How many zeros follow the digits of a whole number.
    fn trailing_zeros(&self) -> Option<usize> {
        usize::try_from(self.point.saturating_sub(self.digits.len() as i64)).ok()
    }
}

impl std::fmt::Display for Decimal {
    /// Writes all digits in the layout of ECMAScript, except that a whole number has no exponent below 10^100.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = std::str::from_utf8(&self.digits).unwrap_or_default();
        if self.is_negative {
            f.write_str("-")?;
        }
        let (whole, fraction) = digits.split_at(usize::try_from(self.point).map_or(0, |point| point.min(digits.len())));
        match (self.point, self.trailing_zeros()) {
            (_, _) if digits.is_empty() => f.write_str("0"),
            (..=MAX_WHOLE_DIGITS, Some(zeros)) => write!(f, "{digits}{:0<zeros$}", ""),
            (1..=21, _) => write!(f, "{whole}.{fraction}"),
            (-5..=0, _) => write!(f, "0.{:0<zeros$}{digits}", "", zeros = self.point.unsigned_abs() as usize),
            (point, _) => {
                let (first, rest) = digits.split_at(1);
                let dot = if rest.is_empty() { "" } else { "." };
                write!(f, "{first}{dot}{rest}e{:+}", point.saturating_sub(1))
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn notations_of_one_number_are_one_value_and_neighbours_are_not() {
        for same in [
            ["1e18", "1000000000000000000", "0.1E+19"],
            ["0", "-0.00", "0e99999999999999999999999"],
            ["-12.50", "-1.25e1", "-1250e-2"],
            ["9007199254740993", "9007199254740993.000", "9.007199254740993e15"],
        ] {
            assert!(same.iter().all(|text| decimal(text) == decimal(same[0])), "{same:?}");
        }
        assert_ne!(decimal("9007199254740993"), decimal("9007199254740992"));
        assert_ne!(decimal("1"), decimal("-1"));
        for wrong in
            ["", "-", ".", "e5", "1e", "1e+", "+1", "--1", "1.2.3", "1e5e5", "inf", "NaN", "1e9999999999999999999"]
        {
            assert_eq!(Decimal::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn whole_numbers_of_64_bits_are_exact() {
        for (text, expected) in [
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("-9223372036854775808", Some(i64::MIN)),
            ("-9.223372036854775808e18", Some(i64::MIN)),
            ("-9223372036854775809", None),
            ("1e18", Some(1_000_000_000_000_000_000)),
            ("1e19", None),
            ("-0.0", Some(0)),
            ("1.50e1", Some(15)),
            ("1.5", None),
            ("4503599627370496.3", None),
            ("0.99999999999999999999", None),
            ("1e-400", None),
            ("1e400", None),
        ] {
            assert_eq!(decimal(text).to_i64(), expected, "{text}");
        }
    }

    #[test]
    fn all_digits_are_written() {
        for text in [
            "9007199254740993",
            "12345678901234567890123450",
            "1234567890.1234567890123456789",
            "0.1000000000000000055511151231257827",
            "1.234567890123456789012e-50",
        ] {
            assert_eq!(decimal(text).to_string(), text);
        }
        assert_eq!(decimal("12e98").to_string(), format!("12{}", "0".repeat(98)));
        assert_eq!(decimal("12e99").to_string(), "1.2e+100");
        assert_eq!(decimal("-1.25e-7").to_string(), "-1.25e-7");
        assert_eq!(decimal("0.00000125").to_string(), "0.00000125");
        assert_eq!(decimal("-0").to_string(), "0");
    }

    proptest! {
        #[test]
        fn a_double_is_written_as_ecmascript_writes_it_below_the_exponents(bits in any::<u64>()) {
            let number = f64::from_bits(bits);
            prop_assume!(number.is_finite());
            let text = ryu_js::Buffer::new().format_finite(number).to_owned();
            let with_exponent = if text.contains('e') { text.clone() } else { format!("{text}e0") };
            let written = decimal(&with_exponent).to_string();
            prop_assert_eq!(decimal(&written), decimal(&text));
            prop_assert!(number.abs() >= 1e21 || written == text, "{} {}", written, text);
        }
    }
}
