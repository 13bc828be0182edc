//! Values that are objects: labels, objects with any members, places and ranges of dates.
//!
//! Each function reads the value that begins with a token, and returns its canonical form.

use std::fmt::Display;

use serde_json::Value;

use super::{
    Limits, OnBadText, Violation,
    canonical::{self, CanonicalError, Form, abbreviate, describe},
    date::{canonical_date, is_fixed_form},
    names::{first_bytes, tell_apart},
    number,
    repair::{ObjectLimits, Repairs, shorten},
    scan::{Expected, Scanner, Token, decode},
};
use crate::{event::UnixMillis, schema::Field};

/// How deep an object with any members may be nested; the engines take 20 levels.
const MAX_FLATTENED_DEPTH: usize = 20;

/// Maximum bytes of each text in such an object, and of the names that lead to it, joined by dots. The engines index both
/// as one term.
const MAX_FLATTENED_BYTES: usize = 8191;

/// Maximum bytes of each name if some names are longer together: as many as fit at the greatest depth.
const MAX_FLATTENED_NAME: usize = MAX_FLATTENED_BYTES / MAX_FLATTENED_DEPTH - 1;

fn refuse<T>(path: &dyn Display, expected: impl Into<String>, found: impl Into<String>) -> Result<T, CanonicalError> {
    Err(CanonicalError::Violation(Violation { path: path.to_string(), expected: expected.into(), found: found.into() }))
}

/// The labels of an event, in the order in which they came.
#[derive(Default)]
pub(super) struct Labels {
    /// Names, and values as quoted texts. Not more than an event may have.
    members: Vec<(String, Vec<u8>)>,
    count: usize,
    /// The indexes of members whose names were repaired.
    renamed: Vec<usize>,
    /// The indexes of members of whose texts only the beginning is kept, with the whole texts.
    cut: Vec<(usize, String)>,
}

/// The name of a label, or the beginning of one.
#[derive(Clone, Default)]
pub(super) struct LabelName {
    pub(super) text: String,
    pub(super) is_repaired: bool,
}

impl LabelName {
    fn within(&self, inner: Self) -> Self {
        if self.text.is_empty() {
            return inner;
        }
        let text = format!("{}.{}", self.text, inner.text);
        Self { text, is_repaired: self.is_repaired || inner.is_repaired }
    }
}

/// What labels are read with.
pub(super) struct LabelReading<'l> {
    pub(super) field: &'static Field,
    pub(super) limits: &'l Limits,
    pub(super) repairs: &'l mut Repairs,
}

impl Labels {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn clear(&mut self) {
        self.members.clear();
        self.count = 0;
        self.renamed.clear();
        self.cut.clear();
    }

    /// Reads the members of an object. The names of those within an object in it are joined by dots.
    pub(super) fn read_object(
        &mut self,
        scanner: &mut Scanner<'_>,
        outer: &LabelName,
        depth: usize,
        reading: &mut LabelReading<'_>,
    ) -> Result<(), CanonicalError> {
        let path = reading.field.path;
        let Some(depth) = depth.checked_sub(1) else { return Ok(scanner.fail(Expected::LessNesting)?) };
        if scanner.take(b'}') {
            return Ok(());
        }
        loop {
            let before = scanner.repaired;
            let text = canonical::member_name(scanner, &path)?;
            if text.is_empty() {
                return canonical::refuse_empty_name(&path);
            }
            let name = outer.within(LabelName { text, is_repaired: scanner.repaired != before });
            match scanner.value()? {
                Token::Object => self.read_object(scanner, &name, depth, reading)?,
                token => self.read(scanner, name, token, reading)?,
            }
            if !scanner.more(b'}')? {
                return Ok(());
            }
        }
    }

    /// Reads the value of a label, and turns it into a text. The field's limit applies to the name and to the text.
    pub(super) fn read(
        &mut self,
        scanner: &mut Scanner<'_>,
        LabelName { text: mut name, mut is_repaired }: LabelName,
        token: Token,
        reading: &mut LabelReading<'_>,
    ) -> Result<(), CanonicalError> {
        let LabelReading { field, limits, repairs } = reading;
        self.count += 1;
        if self.count > limits.max_array_length {
            return Ok(scanner.skip(token, limits.max_depth)?);
        }
        // Only refused values are shown.
        let shown = || format!("{}.{}", field.path, name.chars().take(60).collect::<String>());
        let mut value = Vec::new();
        match token {
            Token::Text(span) => value.extend_from_slice(span.of(scanner.input())),
            Token::Escaped(_) => canonical::put_value(scanner, token, &shown(), Form::text(1), &mut value)?,
            Token::Whole(_) | Token::Fraction(_) | Token::True(_) | Token::False(_) => {
                value.push(b'"');
                canonical::put_value(scanner, token, &shown(), Form::text(1), &mut value)?;
                value.push(b'"');
            }
            Token::Null | Token::Object | Token::Array => {
                return refuse(&shown(), "a text, a number or a boolean", describe(token, scanner.input()));
            }
        }
        let limit = field.max_bytes as usize;
        if name.len().max(value.len() - 2) > limit {
            let text = text_of(&value);
            let longest = name.len().max(text.len());
            if longest > limit && limits.on_bad_text == OnBadText::Refuse {
                let expected = format!("a name and a text of at most {limit} bytes");
                return refuse(&shown(), expected, format!("{longest} bytes"));
            }
            if text.len() > limit {
                value.clear();
                canonical::put_text(first_bytes(&text, limit), &mut value);
                self.cut.push((self.members.len(), text));
            }
            if name.len() > limit {
                repairs.keep_original(field, field.path, &name);
                name = first_bytes(&name, limit).to_owned();
                is_repaired = true;
            }
        }
        if is_repaired {
            self.renamed.push(self.members.len());
        }
        self.members.push((name, value));
        Ok(())
    }

    /// Returns the object of all labels, and leaves none.
    pub(super) fn take(&mut self, reading: &mut LabelReading<'_>) -> Result<Vec<u8>, CanonicalError> {
        let Self { mut members, count, renamed, cut } = std::mem::take(self);
        let LabelReading { field, limits, repairs } = reading;
        let limit = limits.max_array_length;
        if count > limit {
            return refuse(&field.path, format!("at most {limit} members"), format!("{count} members"));
        }
        tell_apart(&mut members, &renamed, field.max_bytes as usize);
        for (index, text) in cut {
            let name = members.get(index).map_or("", |(name, _)| name);
            repairs.keep_original(field, &format!("{}.{name}", field.path), &text);
        }
        let mut text = Vec::new();
        canonical::put_members(members, &field.path, &mut text)?;
        Ok(text)
    }
}

/// Returns the text of a quoted one; of one that is not JSON, nothing.
fn text_of(quoted: &[u8]) -> String {
    decode(quoted).map(|decoded| decoded.text).unwrap_or_default()
}

/// Reads an object with any members. Calls `keep_original` with each text, and each name, of which only the beginning is
/// kept.
pub(super) fn flattened(
    scanner: &mut Scanner<'_>,
    token: Token,
    path: &dyn Display,
    limits: &Limits,
    keep_original: impl FnMut(&str),
) -> Result<Vec<u8>, CanonicalError> {
    if token != Token::Object {
        return refuse(path, "an object", describe(token, scanner.input()));
    }
    let mut text = Vec::new();
    canonical::put_value(scanner, token, path, Form::document(limits.max_depth), &mut text)?;
    let Ok(value) = serde_json::from_slice(&text) else {
        return refuse(path, format!("objects at most {MAX_FLATTENED_DEPTH} deep"), "a much deeper one");
    };
    let mut size = FlattenedSize::default();
    if !size.measure(&value, 0, 0) {
        return refuse(path, format!("objects at most {MAX_FLATTENED_DEPTH} deep"), "a deeper one");
    }
    let FlattenedSize { values, longest_names, longest_text } = size;
    if values > limits.max_array_length {
        return refuse(path, format!("at most {} values in it", limits.max_array_length), format!("{values} values"));
    }
    let limit = MAX_FLATTENED_BYTES;
    if longest_names.max(longest_text) <= limit {
        return Ok(text);
    }
    if limits.on_bad_text == OnBadText::Refuse {
        let (what, length) = if longest_names > limit { ("names", longest_names) } else { ("texts", longest_text) };
        return refuse(path, format!("{what} of at most {limit} bytes"), format!("{length} bytes"));
    }
    let most = ObjectLimits { text: limit, name: MAX_FLATTENED_NAME };
    let mut whole = Vec::new();
    let short = shorten(value, &most, longest_names > limit, &mut whole);
    whole.iter().map(String::as_str).for_each(keep_original);
    text.clear();
    let short = short.to_string();
    let mut scanner = Scanner::new(short.as_bytes(), 0);
    let token = scanner.value()?;
    canonical::put_value(&mut scanner, token, path, Form::document(limits.max_depth), &mut text)?;
    Ok(text)
}

/// What is limited of an object with any members.
#[derive(Default)]
struct FlattenedSize {
    values: usize,
    /// Bytes of the names that lead to a value, joined by dots.
    longest_names: usize,
    /// Bytes of a text.
    longest_text: usize,
}

impl FlattenedSize {
    /// Adds a value at the end of names of these bytes. Returns `false` if objects are nested too deeply.
    fn measure(&mut self, value: &Value, names: usize, depth: usize) -> bool {
        match value {
            Value::Object(_) if depth == MAX_FLATTENED_DEPTH => return false,
            Value::Object(members) => {
                return members.iter().all(|(name, value)| {
                    let names = if names == 0 { name.len() } else { names + 1 + name.len() };
                    self.longest_names = self.longest_names.max(names);
                    self.measure(value, names, depth + 1)
                });
            }
            Value::Array(elements) => return elements.iter().all(|element| self.measure(element, names, depth)),
            Value::String(text) => self.longest_text = self.longest_text.max(text.len()),
            Value::Number(_) | Value::Bool(_) | Value::Null => {}
        }
        self.values += 1;
        true
    }
}

/// What a place looks like, for messages.
pub(super) const PLACE: &str = "a place such as {\"lat\":48.86,\"lon\":2.34}, [2.34,48.86] or \"48.86,2.34\"";

/// Reads a place: an object with `lat` and `lon`, an array of longitude and latitude, or a text of latitude and longitude.
/// Numbers may be texts.
pub(super) fn geo_point(
    scanner: &mut Scanner<'_>,
    token: Token,
    path: &dyn Display,
) -> Result<Vec<u8>, CanonicalError> {
    let (latitude, longitude) = match token {
        Token::Object => {
            let (mut latitude, mut longitude) = (None, None);
            let mut has_more = !scanner.take(b'}');
            while has_more {
                let name = canonical::member_name(scanner, path)?;
                let value = scanner.value()?;
                let degrees = degrees(scanner, value, path)?;
                let place = match name.as_str() {
                    "lat" => &mut latitude,
                    "lon" => &mut longitude,
                    _ => return refuse(path, PLACE, format!("a member {}", abbreviate(name.as_bytes()))),
                };
                if place.replace(degrees).is_some() {
                    return refuse(path, PLACE, format!("{name} twice"));
                }
                has_more = scanner.more(b'}')?;
            }
            match (latitude, longitude) {
                (Some(latitude), Some(longitude)) => (latitude, longitude),
                (None, _) => return refuse(path, PLACE, "no lat"),
                (Some(_), None) => return refuse(path, PLACE, "no lon"),
            }
        }
        Token::Array => {
            let first = scanner.value()?;
            let longitude = degrees(scanner, first, path)?;
            if !scanner.more(b']')? {
                return refuse(path, PLACE, "an array of one number");
            }
            let second = scanner.value()?;
            let latitude = degrees(scanner, second, path)?;
            if scanner.more(b']')? {
                return refuse(path, PLACE, "an array of more than two values");
            }
            (latitude, longitude)
        }
        Token::Text(span) | Token::Escaped(span) => {
            let text = text_of(span.of(scanner.input()));
            let both = text
                .split_once(',')
                .map(|(latitude, longitude)| (decimal(latitude.trim_ascii()), decimal(longitude.trim_ascii())));
            match both {
                Some((Some(latitude), Some(longitude))) => (latitude, longitude),
                Some(_) | None => return refuse(path, PLACE, abbreviate(span.of(scanner.input()))),
            }
        }
        Token::Whole(_) | Token::Fraction(_) | Token::True(_) | Token::False(_) | Token::Null => {
            return refuse(path, PLACE, describe(token, scanner.input()));
        }
    };
    for (degrees, most, name) in [(&latitude, 90.0, "latitude"), (&longitude, 180.0, "longitude")] {
        if !degrees.parse::<f64>().is_ok_and(|degrees| degrees.abs() <= most) {
            return refuse(path, format!("a {name} from -{most} to {most}"), degrees);
        }
    }
    Ok(format!("{{\"lat\":{latitude},\"lon\":{longitude}}}").into_bytes())
}

/// Returns a number of degrees in canonical form.
fn degrees(scanner: &Scanner<'_>, token: Token, path: &dyn Display) -> Result<String, CanonicalError> {
    match token {
        Token::Whole(span) | Token::Fraction(span) => match number::double(span.of(scanner.input())) {
            Ok(number) => Ok(number),
            Err(_) => refuse(path, PLACE, abbreviate(span.of(scanner.input()))),
        },
        Token::Text(span) | Token::Escaped(span) => match decimal(&text_of(span.of(scanner.input()))) {
            Some(number) => Ok(number),
            None => refuse(path, PLACE, abbreviate(span.of(scanner.input()))),
        },
        Token::True(_) | Token::False(_) | Token::Null | Token::Object | Token::Array => {
            refuse(path, PLACE, describe(token, scanner.input()))
        }
    }
}

/// Returns a number in a text in canonical form.
fn decimal(text: &str) -> Option<String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
    number::double(text.as_bytes()).ok().filter(|_| is_plain)
}

/// What a range of dates looks like, for messages.
pub(super) const RANGE: &str =
    "a range of dates such as {\"gte\":\"2026-11-24T12:00:00.000Z\",\"lte\":\"2026-11-24T13:00:00.000Z\"}";

/// Reads a range of dates.
pub(super) fn date_range(
    scanner: &mut Scanner<'_>,
    token: Token,
    path: &dyn Display,
) -> Result<Vec<u8>, CanonicalError> {
    if token != Token::Object {
        return refuse(path, RANGE, describe(token, scanner.input()));
    }
    let (mut first, mut last): (Option<String>, Option<String>) = (None, None);
    let mut has_more = !scanner.take(b'}');
    while has_more {
        let name = canonical::member_name(scanner, path)?;
        let value = scanner.value()?;
        let bound = match name.as_str() {
            "gte" => &mut first,
            "lte" => &mut last,
            _ => return refuse(path, RANGE, format!("a member {}", abbreviate(name.as_bytes()))),
        };
        let (Token::Text(span) | Token::Escaped(span)) = value else {
            return refuse(path, RANGE, describe(value, scanner.input()));
        };
        let quoted = format!("\"{}\"", text_of(span.of(scanner.input())));
        let date = if is_fixed_form(quoted.as_bytes()) { Some(quoted) } else { canonical_date(quoted.as_bytes()) };
        let Some(date) = date else { return refuse(path, RANGE, abbreviate(span.of(scanner.input()))) };
        if bound.replace(date).is_some() {
            return refuse(path, RANGE, format!("{name} twice"));
        }
        has_more = scanner.more(b'}')?;
    }
    let (Some(first), Some(last)) = (first, last) else { return refuse(path, RANGE, "only a part of it") };
    let millis = |quoted: &str| UnixMillis::parse(quoted.trim_matches('"'));
    if millis(&first) > millis(&last) {
        return refuse(path, "a range that begins before it ends", format!("gte {first}, lte {last}"));
    }
    Ok(format!("{{\"gte\":{first},\"lte\":{last}}}").into_bytes())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    type Read = fn(&mut Scanner<'_>, Token, &dyn Display) -> Result<Vec<u8>, CanonicalError>;

    /// Returns the canonical form, or why the value is refused.
    fn read(text: &str, read: Read) -> Result<String, String> {
        let mut scanner = Scanner::new(text.as_bytes(), 0);
        let token = scanner.value().unwrap();
        match read(&mut scanner, token, &"p") {
            Ok(canonical) => {
                assert_eq!(scanner.peek(), None, "{text} is read to its end");
                Ok(String::from_utf8(canonical).unwrap())
            }
            Err(CanonicalError::Violation(violation)) => Err(violation.found),
            Err(CanonicalError::Syntax(syntax)) => Err(syntax.expected.as_str().to_owned()),
        }
    }

    #[test]
    fn a_place_takes_one_form() {
        for text in [
            r#"{"lat":48.8566,"lon":-2.5}"#,
            r#"{ "lon" : -2.50 , "lat" : 48.85660 }"#,
            "[-2.5, 4.88566e1]",
            r#""48.8566,-2.5""#,
            r#"" 48.8566 , -2.50 ""#,
            r#"{"lat":"48.8566","lon":"-2.50"}"#,
        ] {
            assert_eq!(read(text, geo_point).as_deref(), Ok(r#"{"lat":48.8566,"lon":-2.5}"#), "{text}");
        }
        for text in [r#"{"lat":90,"lon":-180}"#, "[-180,90]", r#""90,-180""#] {
            assert_eq!(read(text, geo_point).as_deref(), Ok(r#"{"lat":90,"lon":-180}"#), "{text}");
        }
        for (text, found) in [
            (r#"{"lat":1}"#, "no lon"),
            ("{}", "no lat"),
            (r#"{"lat":1,"lon":2,"alt":3}"#, "a member alt"),
            (r#"{"lat":1,"lat":1,"lon":2}"#, "lat twice"),
            (r#"{"lat":"N","lon":2}"#, "\"N\""),
            (r#"{"lat":90.1,"lon":2}"#, "90.1"),
            ("[180.5,2]", "180.5"),
            ("[1]", "an array of one number"),
            ("[1,2,3]", "an array of more than two values"),
            (r#""1""#, "\"1\""),
            (r#""NaN,1""#, "\"NaN,1\""),
            (r#""1e1,1""#, "\"1e1,1\""),
            ("5", "5"),
            ("null", "null"),
            (r#"{"lat":1,"lon":2,}"#, "a text in double quotes"),
            ("[1,2,]", "an array of more than two values"),
        ] {
            assert_eq!(read(text, geo_point), Err(found.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_range_of_dates_takes_one_form() {
        let canonical = r#"{"gte":"2026-11-24T12:00:00.000Z","lte":"2026-11-24T13:00:00.000500Z"}"#;
        for text in [canonical, r#"{ "lte" : "2026-11-24T14:00:00.0005+01:00" , "gte" : "2026-11-24T12:00:00Z" }"#] {
            assert_eq!(read(text, date_range).as_deref(), Ok(canonical), "{text}");
        }
        for text in [
            "{}",
            r#"{"gte":"2026-11-24T12:00:00Z"}"#,
            r#"{"gte":"2026-11-24T12:00:00Z","lt":"2026-11-24T12:00:00Z"}"#,
            r#"{"gte":"2026-11-24T12:00:00Z","lte":"2026-11-24T11:59:59Z"}"#,
            r#"{"gte":"2026-11-24T12:00:00Z","lte":"tomorrow"}"#,
            r#"{"gte":1,"lte":2}"#,
            r#""2026""#,
        ] {
            assert!(read(text, date_range).is_err(), "{text}");
        }
    }

    #[test]
    fn an_object_of_any_members_is_limited() {
        let of = |text: &str| {
            read(text, |scanner, token, path| {
                let on_bad_text = OnBadText::Refuse;
                let limits = Limits { max_array_length: 3, on_bad_text, ..Limits::default() };
                flattened(scanner, token, path, &limits, |_| {})
            })
        };
        assert_eq!(of(r#"{"b":[1.50,{"c":null}],"a":true}"#).as_deref(), Ok(r#"{"a":true,"b":[1.5,{"c":null}]}"#));
        let nested = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        assert!(of(&nested(20)).is_ok());
        assert_eq!(of(&nested(21)), Err("a deeper one".to_owned()));
        assert_eq!(of(r#"{"a":[1,2],"b":[{"c":3},4]}"#), Err("4 values".to_owned()));
        assert!(of(&format!(r#"{{"a":"{}"}}"#, "x".repeat(8_191))).is_ok());
        assert_eq!(of(&format!(r#"{{"a":"{}"}}"#, "é".repeat(4_096))), Err("8192 bytes".to_owned()));
        let long = "x".repeat(4_096);
        assert_eq!(of(&format!(r#"{{"{long}":{{"{long}":1}}}}"#)), Err("8193 bytes".to_owned()));
        for text in ["[]", "\"a\"", "1", r#"{"a":1,"a":2}"#, r#"{"":1}"#] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
