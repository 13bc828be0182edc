//! The index of a document: what it has of each field, in the form that the databases compare.
//!
//! Texts are in the form of `text`, dates are milliseconds, booleans 0 or 1, numbers that are not whole the nearest of 32
//! bits. What is too long to be found as a whole is absent. A field that is read in a second way has a second entry, whose
//! name is the field's and the way's. All entries of a document are one flat JSON object; in it an array of objects is
//! an array of such flat objects.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{
    dialect::Cell,
    fields::{SAVED_OBJECTS, has_column, is_within, nested_around},
    member::{Found, NoDocument, Path},
    tally::{Tally, TooMany},
    text::{is_short, kept},
};
use crate::{
    event::UnixMillis,
    query::{value_at, words::words},
    schema::{self, Field, Kind},
};

/// How a field's values are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Form {
    /// As they are sorted by, and counted, unless they are addresses.
    Value,
    /// An address as 32 hexadecimal digits, which are also what it is counted by.
    Address,
    /// The words of a text, with a blank before and after each. Also a text without any has them: one blank.
    Words,
}

/// What a field's index has of a value.
pub(super) fn indexed(value: &Value, field: &Field, form: Form) -> Option<Cell> {
    match (value, form) {
        (Value::String(text), _) => indexed_text(text, field, form),
        (Value::Number(_) | Value::Bool(_), Form::Value) if field.search.by_value() => {
            indexed_number(value, field.kind)
        }
        (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_), _) => None,
    }
}

fn indexed_text(text: &str, field: &Field, form: Form) -> Option<Cell> {
    match (form, field.kind) {
        (Form::Address, _) => {
            let address: std::net::IpAddr = text.parse().ok()?;
            Some(Cell::Text(hexadecimal(address)))
        }
        (Form::Words, _) => Some(Cell::Text(joined_words(text))),
        (Form::Value, _) if !field.search.by_value() => None,
        (Form::Value, Kind::Date) => UnixMillis::written(text).map(|date| Cell::Integer(date.0)),
        (Form::Value, Kind::Long64) => text.parse().ok().map(Cell::Integer),
        (Form::Value, _) => whole(text, field).map(|text| Cell::Text(text.into_owned())),
    }
}

/// The text of a field that has texts, as the tables keep it.
fn whole<'t>(text: &'t str, field: &Field) -> Option<Cow<'t, str>> {
    match field.kind {
        Kind::Keyword | Kind::Text | Kind::Json | Kind::Ip | Kind::Version | Kind::Labels => {
            let is_found = field.search.by_value() && is_short(text, field.longest_value());
            is_found.then(|| kept(text))
        }
        Kind::Date | Kind::Long | Kind::Long64 | Kind::Float | Kind::Boolean | Kind::Nested => None,
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
        | Kind::Long64
        | Kind::Keyword
        | Kind::Text
        | Kind::Json
        | Kind::Ip
        | Kind::Version
        | Kind::Labels
        | Kind::Nested => None,
    }
}

/// The words of a text as a filter has them, in a row.
pub(super) fn joined_words(text: &str) -> String {
    let mut joined = String::with_capacity(text.len() + 2);
    joined.push(' ');
    for word in words(text) {
        joined.push_str(&word);
        joined.push(' ');
    }
    joined
}

/// IPv4 addresses are the IPv6 addresses that they map to.
pub(super) fn hexadecimal(address: std::net::IpAddr) -> String {
    let address = match address {
        std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        std::net::IpAddr::V6(v6) => v6,
    };
    format!("{:032x}", u128::from(address))
}

/// The shortest text of the address that has these digits.
pub(super) fn address_of(digits: &str) -> Option<String> {
    let address = std::net::Ipv6Addr::from(u128::from_str_radix(digits, 16).ok()?);
    Some(std::net::IpAddr::from(address).to_canonical().to_string())
}

/// An entry of an index that is made from the bytes of documents when it is asked for.
pub(in crate::store) struct Entry {
    field: &'static Field,
    form: Form,
    path: Path,
}

impl Entry {
    /// Of the field and the way that the entry is called by.
    pub(in crate::store) fn named(name: &str) -> Option<Self> {
        let (path, form) = match name.split_once(' ') {
            Some((path, "address")) => (path, Form::Address),
            Some((path, "words")) => (path, Form::Words),
            Some(_) => return None,
            None => (name, Form::Value),
        };
        Some(Self::of(schema::field(path)?, form))
    }

    pub(super) fn of(field: &'static Field, form: Form) -> Self {
        Self { field, form, path: Path::new(field.path) }
    }

    /// The first value.
    pub(in crate::store) fn value(&self, document: &[u8]) -> Result<Option<Cell>, BadValue> {
        let Some(found) = self.path.find(document)? else { return Ok(None) };
        if let Some(text) = plain_text(&found) {
            return Ok(indexed_text(text, self.field, self.form));
        }
        Ok(self.values_of(&found)?.into_iter().next())
    }

    /// All values, through arrays and the elements of nested fields, as a JSON array.
    pub(in crate::store) fn values(&self, document: &[u8]) -> Result<Value, BadValue> {
        let Some(found) = self.path.find(document)? else { return Ok(Value::Array(Vec::new())) };
        Ok(self.values_of(&found)?.into_iter().map(json).collect())
    }

    /// The elements of a nested field, as a JSON array of what their indexes have.
    pub(in crate::store) fn elements(&self, document: &[u8]) -> Result<Value, BadValue> {
        let Some(found) = self.path.find(document)? else { return Ok(Value::Array(Vec::new())) };
        let value: Value = serde_json::from_slice(found.value)?;
        Ok(each(&value).iter().map(|element| element_of(element, self.field)).collect())
    }

    /// The label of this name, which is in the form of the tables.
    pub(in crate::store) fn label(&self, document: &[u8], kept_name: &str) -> Result<Option<Cell>, BadValue> {
        let Some(found) = self.path.find(document)? else { return Ok(None) };
        let labels: Value = serde_json::from_slice(found.value)?;
        let name = super::text::original(kept_name.to_owned());
        Ok(labels.get(name).and_then(|value| indexed(value, self.field, Form::Value)))
    }

    /// Counts the values of one more event. This is asked of very many events, so that nothing is copied of the usual text.
    pub(in crate::store) fn count(&self, document: &[u8], tally: &mut Tally) -> Result<Result<(), TooMany>, BadValue> {
        let Some(found) = self.path.find(document)? else { return Ok(tally.nothing()) };
        let plain = plain_text(&found).filter(|_| self.form == Form::Value);
        match plain.and_then(|text| whole(text, self.field)) {
            Some(text) => Ok(tally.text(&text)),
            None => Ok(tally.all(&self.values_of(&found)?)),
        }
    }

    fn values_of(&self, found: &Found<'_, '_>) -> Result<Vec<Cell>, BadValue> {
        let value: Value = serde_json::from_slice(found.value)?;
        let mut values: Vec<&Value> = each(&value).iter().collect();
        for name in found.names_left {
            values = values.into_iter().filter_map(|value| value.get(name.as_str())).flat_map(each).collect();
        }
        if self.field.kind == Kind::Labels {
            values = values.into_iter().filter_map(Value::as_object).flat_map(Map::values).collect();
        }
        Ok(values.into_iter().filter_map(|value| indexed(value, self.field, self.form)).collect())
    }
}

/// Why a document has no entry to give.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum BadValue {
    #[error(transparent)]
    NoDocument(#[from] NoDocument),
    #[error("a stored document cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// A text without escapes, which need not be copied to be read. This is what most values are.
fn plain_text<'d>(found: &Found<'d, '_>) -> Option<&'d str> {
    let text = found.value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if !found.names_left.is_empty() || memchr::memchr(b'\\', text).is_some() {
        return None;
    }
    std::str::from_utf8(text).ok()
}

fn each(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        value => std::slice::from_ref(value),
    }
}

/// The index as one JSON object. Fields that have columns of their own are not in it, nor are those of saved objects.
pub(in crate::store) fn of(document: &Value) -> Value {
    let mut index = Map::new();
    for field in &schema::FIELDS {
        if nested_around(field.path).is_some() {
            continue;
        }
        let Some(value) = value_at(document, field.path) else { continue };
        match field.kind {
            Kind::Nested if field.path == SAVED_OBJECTS => {}
            Kind::Nested => {
                index.insert(field.path.to_owned(), elements(document, field));
            }
            Kind::Labels => {
                index.insert(field.path.to_owned(), labels(value, field));
            }
            Kind::Keyword
            | Kind::Text
            | Kind::Date
            | Kind::Long
            | Kind::Long64
            | Kind::Float
            | Kind::Boolean
            | Kind::Ip
            | Kind::Version
            | Kind::Json => enter(&mut index, value, field),
        }
    }
    Value::Object(index)
}

/// What the index has of the elements of a nested field: a JSON array.
fn elements(document: &Value, nested: &Field) -> Value {
    let elements = value_at(document, nested.path).map(each).unwrap_or_default();
    elements.iter().map(|element| element_of(element, nested)).collect()
}

fn element_of(element: &Value, nested: &Field) -> Value {
    let mut index = Map::new();
    for field in schema::FIELDS.iter().filter(|field| is_within(field.path, nested.path)) {
        let path = field.path.get(nested.path.len() + 1..).unwrap_or_default();
        if let Some(value) = value_at(element, path) {
            enter(&mut index, value, field);
        }
    }
    Value::Object(index)
}

fn labels(value: &Value, field: &Field) -> Value {
    let labels = value.as_object().into_iter().flatten();
    let kept_labels =
        labels.filter_map(|(name, value)| Some((kept(name).into_owned(), json(indexed(value, field, Form::Value)?))));
    Value::Object(kept_labels.collect())
}

fn enter(index: &mut Map<String, Value>, value: &Value, field: &Field) {
    for form in forms(field).filter(|form| !has_column(field, *form)) {
        let values: Vec<Value> = each(value).iter().filter_map(|value| indexed(value, field, form)).map(json).collect();
        let entry = if field.multi { Some(Value::Array(values)) } else { values.into_iter().next() };
        if let Some(entry) = entry {
            index.insert(entry_name(field, form), entry);
        }
    }
}

fn forms(field: &Field) -> impl Iterator<Item = Form> {
    let is_address = field.kind == Kind::Ip;
    let forms =
        [(field.search.by_value(), Form::Value), (is_address, Form::Address), (field.search.by_words(), Form::Words)];
    forms.into_iter().filter_map(|(has, form)| has.then_some(form))
}

/// What a field's entry is called.
pub(super) fn entry_name(field: &Field, form: Form) -> String {
    match form {
        Form::Value => field.path.to_owned(),
        Form::Address => format!("{} address", field.path),
        Form::Words => format!("{} words", field.path),
    }
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
    use crate::query::{Key, Order, Sort};

    /// Behind a place whose key the index lacks, every event without the field would stand again.
    #[test]
    fn the_index_has_exactly_what_events_are_sorted_by() {
        let long = "x".repeat(1_025);
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
            json!(long),
            json!("9223372036854775807"),
            json!("9223372036854775808"),
            json!("2026-11-24T12:00:00.001999Z"),
            json!("0000-01-01T00:00:00.000Z"),
            json!("9999-12-31T23:59:59.999Z"),
            json!("10.0.0.1"),
            json!({"a": "b"}),
        ];
        for field in &schema::FIELDS {
            let Ok(sort) = Sort::by(field, Order::Ascending) else { continue };
            for value in &values {
                let document = field.path.rsplit('.').fold(value.clone(), |inner, name| json!({name: inner}));
                let key = sort.key(&document).map(|key| match key {
                    Key::Integer(integer) => Cell::Integer(integer),
                    Key::Number(number) => Cell::Number(number),
                    Key::Text(text) => Cell::Text(kept(&text).into_owned()),
                });
                assert_eq!(indexed(value, field, Form::Value), key, "{} of {value}", field.path);
            }
        }
    }
}
