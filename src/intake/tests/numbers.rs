//! Numbers at the edges of their types, with another implementation of RFC 8785 as the judge.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{super::*, accept, event};
use crate::event::Decimal;

/// Every kind of place that a number may have, with the path at which it is found again.
const PLACES: [(&str, &str); 10] = [
    (r#","event.severity":N"#, "event.severity"),
    (r#","event.duration":N"#, "event.duration"),
    (r#","event.risk_score":N"#, "event.risk_score"),
    (r#","annals.code":N"#, "annals.code"),
    (r#","annals.changes":[{"to":N}]"#, "annals.changes"),
    (r#","annals.payload":N"#, "annals.payload"),
    (r#","annals.payload":{"b":[N],"a":N}"#, "annals.payload"),
    (r#","labels":{"n":N}"#, "labels.n"),
    (r#","http.request.headers":{"n":N,"m":[N]}"#, "http.request.headers"),
    (r#","source.geo.location":{"lat":N,"lon":"N"}"#, "source.geo.location"),
];

/// Returns what became of the number in this place, or where and why it was refused. The content is canonical.
fn kept(place: &str, path: &str, number: &str) -> Result<Value, Violation> {
    let mut accepted = accept(&event(&place.replace('N', number)));
    match accepted.items.remove(0) {
        Item::Rejected(mut violations) => Err(Violation { found: String::new(), ..violations.remove(0) }),
        Item::Accepted { .. } | Item::Filtered => {
            let bytes = accepted.contents.iter().next().unwrap().bytes;
            let content: Value = serde_json::from_slice(bytes).unwrap();
            let judged = serde_json_canonicalizer::to_vec(&content).unwrap();
            assert_eq!(String::from_utf8_lossy(bytes), String::from_utf8_lossy(&judged), "{number} in {place}");
            Ok(crate::query::value_at(&content, path).unwrap().clone())
        }
    }
}

/// The same number with all of its digits before the exponent.
fn respelled(number: &str) -> String {
    let (sign, unsigned) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return format!("{sign}0.00E7");
    }
    let exponent = exponent.parse::<i64>().unwrap() - i64::try_from(fraction.len()).unwrap();
    format!("{sign}{digits}0E{}", exponent - 1)
}

fn numbers() -> impl Strategy<Value = String> {
    let near_a_power = |(power, step, is_negative): (u32, i128, bool)| {
        let number = (1_i128 << power) + step;
        (if is_negative { -number } else { number }).to_string()
    };
    let double = any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |number| number.is_finite());
    prop_oneof![
        (0_u32..80, -3_i128..4, any::<bool>()).prop_map(near_a_power),
        double.clone().prop_map(|number| format!("{number:e}")),
        double.clone().prop_map(|number| number.to_string()).prop_filter("short", |text| text.len() < 200),
        any::<f32>().prop_filter("finite", |number| number.is_finite()).prop_map(|number| format!("{number:e}")),
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,20})?(e[+-]?[0-9]{1,3})?",
    ]
}

proptest! {
    #[test]
    fn a_number_has_one_form_and_one_answer_in_every_notation(number in numbers(), place in 0..PLACES.len()) {
        let (place, path) = PLACES[place];
        // Texts of places have no exponents.
        let is_text = place.contains(r#""N""#);
        prop_assume!(!is_text || !number.contains('e'));
        let given = kept(place, path, &number);
        if !is_text {
            prop_assert_eq!(&given, &kept(place, path, &respelled(&number)), "{}", number);
        }
        let exact = Decimal::parse(&number).unwrap();
        match (path, given) {
            ("labels.n", Ok(text)) => prop_assert_eq!(Decimal::parse(text.as_str().unwrap()), Some(exact)),
            ("event.duration", Ok(text)) => {
                prop_assert_eq!(text.as_str().and_then(|text| text.parse().ok()), exact.to_i64());
            }
            ("event.severity", Ok(whole)) => prop_assert_eq!(whole.as_i64(), exact.to_i64()),
            ("annals.payload", Ok(text)) if !place.contains('{') => {
                let text = text.as_str().unwrap().to_owned();
                prop_assert_eq!(Decimal::parse(&text), Some(exact));
                prop_assert!(serde_json::from_str::<f64>(&text).is_ok(), "{} is JSON", text);
            }
            ("event.risk_score", Ok(number)) => prop_assert!((number.as_f64().unwrap() as f32).is_finite()),
            (_, Ok(_) | Err(_)) => {}
        }
    }
}

#[test]
fn at_the_edge_of_a_type_the_next_number_is_refused_and_the_limit_is_named() {
    let long = "a whole number within ±(2^53−1), as a number or as decimal digits in a text";
    let long64 = "a whole number from −2^63 to 2^63−1, as a number or as decimal digits in a text";
    let float = "a number within ±3.4028235e38 (32 bits)";
    let double = "a number within ±1.7976931348623157e308 (64 bits)";
    let lost = "a whole number within ±(2^53−1), or one that a double keeps; this would become 9007199254740992";
    for (place, last, next, expected) in [
        (0, "9007199254740991", "9007199254740992", long),
        (0, "-9007199254740991", "-9007199254740992", long),
        (0, "0.5e1", "0.5", long),
        (0, "0", "-9223372036854775808", long),
        (1, "9223372036854775807", "9223372036854775808", long64),
        (1, "-9223372036854775808", "-9223372036854775809", long64),
        (2, "3.4028235677973362e38", "3.4028235677973366e38", float),
        (2, "9007199254740992", "9007199254740993", lost),
        (3, "32767", "32768", "a whole number from -32768 to 32767"),
        (3, "-32768", "-32769", "a whole number from -32768 to 32767"),
        (4, "1.7976931348623157e308", "1.7976931348623159e308", double),
        (5, "-1.7976931348623157e308", "-1.7976931348623159e308", double),
        (7, "1e308", "1e309", double),
        (8, "1e308", "1e309", double),
        (8, "9007199254740992", "9007199254740993", lost),
    ] {
        let (place, path) = PLACES[place];
        assert!(kept(place, path, last).is_ok(), "{last} in {place}");
        assert_eq!(kept(place, path, next).unwrap_err().expected, expected, "{next} in {place}");
    }
}

#[test]
fn a_payload_keeps_every_digit() {
    let place = r#","annals.payload":N"#;
    for (given, text) in [
        ("9007199254740993", "9007199254740993"),
        ("[18446744073709551615,1e18,-0]", "[18446744073709551615,1000000000000000000,0]"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        (r#"{"":null," ":{"b":1e30,"a":1.50}}"#, r#"{"":null," ":{"a":1.5,"b":1e+30}}"#),
        ("null", "null"),
        (r#""text""#, r#""text""#),
    ] {
        assert_eq!(kept(place, "annals.payload", given).unwrap(), json!(text), "{given}");
    }
}
