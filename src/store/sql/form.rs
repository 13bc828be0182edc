//! The forms in which the databases compare values.
//!
//! Texts are in the form of `text`, dates are milliseconds, booleans 0 or 1, and fractional numbers are rounded to 32
//! bits. A text too long to be found as a whole has no value. A range of dates is the text of its first and last
//! milliseconds, a place the text `place`, of which only the presence is tested.

use std::borrow::Cow;

use serde_json::Value;

use super::{dialect::Cell, text::encode_text};
use crate::{
    event::UnixMillis,
    query::{address_digits, address_of_digits, words::words},
    schema::{Field, Kind},
};

/// The form in which a field's values are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Form {
    /// The form for sorting and counting, except for addresses.
    Value,
    /// An address as 32 hexadecimal digits, which is also the form for sorting and counting.
    Address,
    /// The words of a text, with a blank before and after each. A text without words is one blank.
    Words,
}

/// Returns the form for sorting and counting: for addresses their digits, as an address may be written in several ways.
pub(super) fn counted_form(field: &Field) -> Form {
    if field.kind == Kind::Ip { Form::Address } else { Form::Value }
}

pub(super) fn forms(field: &Field) -> impl Iterator<Item = Form> {
    let is_address = field.kind == Kind::Ip;
    let forms =
        [(field.search.by_value(), Form::Value), (is_address, Form::Address), (field.search.by_words(), Form::Words)];
    forms.into_iter().filter_map(|(has, form)| has.then_some(form))
}

/// Returns the index entry of a value.
pub(super) fn indexed(value: &Value, field: &Field, form: Form) -> Option<Cell> {
    match (value, form) {
        (Value::String(text), _) => indexed_text(text, field, form),
        (Value::Number(_) | Value::Bool(_), Form::Value) if field.search.by_value() => {
            indexed_number(value, field.kind)
        }
        (Value::Object(_), Form::Value) if field.kind == Kind::DateRange => {
            let date = |name: &str| UnixMillis::parse(value.get(name)?.as_str()?);
            Some(Cell::Text(format!("{} {}", range_digits(date("gte")?), range_digits(date("lte")?))))
        }
        (Value::Object(_), Form::Value) if field.kind == Kind::GeoPoint => Some(Cell::Text("place".to_owned())),
        (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_), _) => None,
    }
}

pub(super) fn indexed_text(text: &str, field: &Field, form: Form) -> Option<Cell> {
    match (form, field.kind) {
        (Form::Address, _) => {
            let address: std::net::IpAddr = text.parse().ok()?;
            Some(Cell::Text(address_digits(address)))
        }
        (Form::Words, _) => Some(Cell::Text(joined_words(text))),
        (Form::Value, _) if !field.search.by_value() => None,
        (Form::Value, Kind::Date) => UnixMillis::parse(text).map(|date| Cell::Integer(date.0)),
        (Form::Value, Kind::Long64) => text.parse().ok().map(Cell::Integer),
        (Form::Value, _) => indexable_text(text, field).map(|text| Cell::Text(text.into_owned())),
    }
}

/// Returns the digits of an instant in a range of dates, in which texts compare as the instants do.
pub(super) fn range_digits(instant: UnixMillis) -> String {
    // Every date is within these limits, a bound may be beyond.
    let (least, most) = (UnixMillis::FIRST.0 - 1, UnixMillis::LAST.0 + 1);
    format!("{:0width$}", instant.0.clamp(least, most) - least, width = RANGE_DIGITS)
}

/// The digits of an instant in a range of dates; the last instant begins at the second of these, after a blank.
pub(super) const RANGE_DIGITS: usize = 15;

/// Returns a text in the form of the tables, if the field is found by whole texts and this one is not too long.
pub(super) fn indexable_text<'t>(text: &'t str, field: &Field) -> Option<Cow<'t, str>> {
    match field.kind {
        Kind::Keyword | Kind::Text | Kind::Json | Kind::Ip | Kind::Version | Kind::Labels | Kind::Flattened => {
            let is_found = field.search.by_value() && field.is_value(text);
            is_found.then(|| encode_text(text))
        }
        Kind::Date
        | Kind::DateRange
        | Kind::Long
        | Kind::Long64
        | Kind::Float
        | Kind::Boolean
        | Kind::GeoPoint
        | Kind::Nested
        | Kind::Objects => None,
    }
}

fn indexed_number(value: &Value, kind: Kind) -> Option<Cell> {
    match kind {
        Kind::Long => value.as_i64().map(Cell::Integer),
        Kind::Boolean => value.as_bool().map(|value| Cell::Integer(value.into())),
        Kind::Float => {
            value.as_f64().map(|number| f64::from(number as f32)).filter(|number| number.is_finite()).map(Cell::Number)
        }
        Kind::Date
        | Kind::DateRange
        | Kind::Long64
        | Kind::Keyword
        | Kind::Text
        | Kind::Json
        | Kind::Ip
        | Kind::GeoPoint
        | Kind::Version
        | Kind::Labels
        | Kind::Flattened
        | Kind::Nested
        | Kind::Objects => None,
    }
}

/// Returns the words of a text with a blank before and after each.
pub(super) fn joined_words(text: &str) -> String {
    let mut joined = String::with_capacity(text.len() + 2);
    joined.push(' ');
    for word in words(text) {
        joined.push_str(&word);
        joined.push(' ');
    }
    joined
}

/// Returns the shortest text of the address with these digits.
pub(super) fn address_of(digits: &str) -> Option<String> {
    let address = address_of_digits(digits)?;
    Some(std::net::IpAddr::from(address).to_canonical().to_string())
}

pub(super) fn json(cell: Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Integer(integer) => integer.into(),
        Cell::Number(number) => number.into(),
        Cell::Text(text) => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        query::{Key, Order, Sort},
        schema,
    };

    /// If the index lacked a sort key, every event without the field would be returned again after such a place.
    #[test]
    fn the_index_has_exactly_what_events_are_sorted_by() {
        let (longer, longest) = ("x".repeat(1_025), "x".repeat(8_192));
        let values = [
            json!(null),
            json!(true),
            json!(0),
            json!(-9_007_199_254_740_991_i64),
            json!(u64::MAX),
            json!(0.1),
            json!(1e-300),
            json!(3.5e38),
            json!(-1e300),
            json!(""),
            json!("\0\u{1}"),
            json!(longer),
            json!(longest),
            json!("9223372036854775807"),
            json!("9223372036854775808"),
            json!("2026-11-24T12:00:00.001999Z"),
            json!("0000-01-01T00:00:00.000Z"),
            json!("9999-12-31T23:59:59.999Z"),
            json!("10.0.0.1"),
            json!({"a": "b"}),
        ];
        for field in schema::fields() {
            // Severities are sorted by the field with their numbers.
            let sort = Sort::by(field, Order::Ascending).ok().filter(|sort| sort.field().path == field.path);
            let Some(sort) = sort else { continue };
            for value in &values {
                let document = field.path.rsplit('.').fold(value.clone(), |inner, name| json!({name: inner}));
                let key = sort.key(&document).map(|key| match key {
                    Key::Integer(integer) => Cell::Integer(integer),
                    Key::Number(number) => Cell::Number(number),
                    Key::Text(text) => Cell::Text(encode_text(&text).into_owned()),
                });
                assert_eq!(indexed(value, field, counted_form(field)), key, "{} of {value}", field.path);
            }
        }
    }
}
