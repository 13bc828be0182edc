//! The index of a document: what it has of each field, in the form that the databases compare.
//!
//! Texts are in the form of `text`, dates are milliseconds, booleans 0 or 1, numbers that are not whole the nearest of 32
//! bits. What is too long to be found as a whole is absent. A field that is read in a second way has a second entry, whose
//! name is the field's and the way's. All entries of a document are one flat JSON object; in it an array of objects is
//! an array of such flat objects.

use serde_json::{Map, Value};

use super::{
    dialect::Cell,
    fields::{SAVED_OBJECTS, has_column, is_within, nested_around},
    text::{is_short, kept},
};
use crate::{
    event::UnixMillis,
    query::words::words,
    schema::{self, Field, Kind},
};

/// How a field's values are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Form {
    /// As they are counted and sorted by.
    Value,
    /// An address as 32 hexadecimal digits.
    Address,
    /// The words of a text, with a blank before and after each. Also a text without any has them: one blank.
    Words,
}

/// What a field's index has of a value.
pub(super) fn indexed(value: &Value, field: &Field, form: Form) -> Option<Cell> {
    match (form, field.kind) {
        (Form::Address, _) => {
            let address: std::net::IpAddr = value.as_str()?.parse().ok()?;
            Some(Cell::Text(hexadecimal(address)))
        }
        (Form::Words, _) => value.as_str().map(|text| Cell::Text(joined_words(text))),
        (Form::Value, _) if !field.search.by_value() => None,
        (Form::Value, Kind::Date) => UnixMillis::written(value.as_str()?).map(|date| Cell::Integer(date.0)),
        (Form::Value, Kind::Long) => value.as_i64().map(Cell::Integer),
        (Form::Value, Kind::Long64) => value.as_str()?.parse().ok().map(Cell::Integer),
        (Form::Value, Kind::Boolean) => value.as_bool().map(|value| Cell::Integer(value.into())),
        (Form::Value, Kind::Float) => {
            value.as_f64().map(|number| f64::from(number as f32)).filter(|number| number.is_finite()).map(Cell::Number)
        }
        (Form::Value, Kind::Keyword | Kind::Text | Kind::Json | Kind::Ip | Kind::Version | Kind::Labels) => {
            let text = value.as_str().filter(|text| is_short(text, field.longest_value()))?;
            Some(Cell::Text(kept(text).into_owned()))
        }
        (Form::Value, Kind::Nested) => None,
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

/// All that the index has of a field, through arrays and the elements of nested fields.
pub(in crate::store) fn values(document: &Value, field: &Field, form: Form) -> Vec<Cell> {
    if field.kind == Kind::Labels {
        let labels = at(document, field.path).and_then(Value::as_object).into_iter().flat_map(Map::values);
        return labels.filter_map(|value| indexed(value, field, form)).collect();
    }
    let mut found = vec![document];
    for name in field.path.split('.') {
        found = found.into_iter().filter_map(|value| value.get(name)).flat_map(each).collect();
    }
    found.into_iter().filter_map(|value| indexed(value, field, form)).collect()
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
        let Some(value) = at(document, field.path) else { continue };
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
pub(in crate::store) fn elements(document: &Value, nested: &Field) -> Value {
    let elements = at(document, nested.path).map(each).unwrap_or_default();
    elements.iter().map(|element| element_of(element, nested)).collect()
}

/// What the index has of one label.
pub(in crate::store) fn label(document: &Value, kept_name: &str) -> Option<Cell> {
    let field = schema::field("labels")?;
    let name = super::text::original(kept_name.to_owned());
    indexed(at(document, field.path)?.get(name)?, field, Form::Value)
}

fn element_of(element: &Value, nested: &Field) -> Value {
    let mut index = Map::new();
    for field in schema::FIELDS.iter().filter(|field| is_within(field.path, nested.path)) {
        let path = field.path.get(nested.path.len() + 1..).unwrap_or_default();
        if let Some(value) = at(element, path) {
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

/// The field and the way that an entry is of.
pub(in crate::store) fn entry(name: &str) -> Option<(&'static Field, Form)> {
    match name.split_once(' ') {
        Some((path, "address")) => Some((schema::field(path)?, Form::Address)),
        Some((path, "words")) => Some((schema::field(path)?, Form::Words)),
        Some(_) => None,
        None => Some((schema::field(name)?, Form::Value)),
    }
}

fn at<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(document, |value, name| value.get(name))
}

pub(in crate::store) fn json(cell: Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Integer(integer) => integer.into(),
        Cell::Number(number) => number.into(),
        Cell::Text(text) => text.into(),
    }
}
