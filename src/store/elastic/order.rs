//! Sort orders and places in the engines' terms.
//!
//! Events without a value come last. The engines substitute a number for the missing value, which becomes part of a
//! place; neither engine accepts `null` instead, so places have to contain that number.

use serde_json::{Map, Value, json};

use crate::{
    query::{Key, Order, Place, Sort, address_of_digits},
    schema::{Field, Kind},
};

/// Returns the sort keys.
pub(super) fn keys(sort: &[Sort]) -> Vec<Value> {
    let ties = Order::of_ties(sort);
    let mut keys: Vec<Value> = sort.iter().flat_map(|sort| keys_of(sort.field(), sort.order)).collect();
    keys.push(key("event.sequence", Kind::Long, ties));
    keys.push(key("annals.chain", Kind::Keyword, ties));
    keys
}

/// Returns the values of a place, one for each sort key.
pub(super) fn place(place: &Place, sort: &[Sort]) -> Vec<Value> {
    let sorts = sort.iter().zip(&place.keys);
    let mut values: Vec<Value> =
        sorts.flat_map(|(sort, key)| values_of(key.as_ref(), sort.field().kind, sort.order)).collect();
    values.push(place.position.sequence.0.into());
    values.push(place.position.chain.to_string().into());
    values
}

fn keys_of(field: &Field, order: Order) -> Vec<Value> {
    let own = key(&value_path(field), field.kind, order);
    match field.kind {
        Kind::Long64 => vec![as_double(own.clone()), own],
        Kind::Keyword
        | Kind::Text
        | Kind::Date
        | Kind::Long
        | Kind::Float
        | Kind::Boolean
        | Kind::Ip
        | Kind::Version
        | Kind::Labels
        | Kind::Json
        | Kind::Nested => vec![own],
    }
}

fn values_of(key: Option<&Key>, kind: Kind, order: Order) -> Vec<Value> {
    let own = key.map_or_else(|| missing_substitute(kind, order), value);
    match (kind, key) {
        (Kind::Long64, Some(Key::Integer(integer))) => vec![json!(*integer as f64), own],
        (Kind::Long64, Some(Key::Number(_) | Key::Text(_)) | None) => vec![missing_substitute(Kind::Float, order), own],
        (Kind::Ip, Some(Key::Text(digits))) => vec![address_of_digits(digits).map_or(own, |address| json!(address))],
        (
            Kind::Keyword
            | Kind::Text
            | Kind::Date
            | Kind::Long
            | Kind::Float
            | Kind::Boolean
            | Kind::Ip
            | Kind::Version
            | Kind::Labels
            | Kind::Json
            | Kind::Nested,
            _,
        ) => vec![own],
    }
}

fn value(key: &Key) -> Value {
    match key {
        Key::Integer(integer) => (*integer).into(),
        Key::Number(number) => (*number).into(),
        Key::Text(text) => text.as_str().into(),
    }
}

fn key(path: &str, kind: Kind, order: Order) -> Value {
    let direction = match order {
        Order::Ascending => "asc",
        Order::Descending => "desc",
    };
    // The engines differ in what they substitute for a missing boolean.
    let missing = if kind == Kind::Boolean { missing_substitute(kind, order) } else { json!("_last") };
    json!({path: {"order": direction, "missing": missing, "unmapped_type": type_of(kind)}})
}

/// Returns the substitute for a missing value, which sorts after all values.
fn missing_substitute(kind: Kind, order: Order) -> Value {
    let either = |ascending: Value, descending: Value| match order {
        Order::Ascending => ascending,
        Order::Descending => descending,
    };
    match kind {
        Kind::Date | Kind::Long | Kind::Long64 => either(i64::MAX.into(), i64::MIN.into()),
        Kind::Float => either("Infinity".into(), "-Infinity".into()),
        Kind::Boolean => either(2.into(), (-1).into()),
        Kind::Keyword | Kind::Text | Kind::Ip | Kind::Version | Kind::Labels | Kind::Json | Kind::Nested => Value::Null,
    }
}

/// Converts a sort key to floating point. The engines substitute the greatest number for a missing value, which a
/// `long` may itself have; in floating point they substitute infinity, which it cannot have. The next key separates
/// numbers that become equal.
fn as_double(mut key: Value) -> Value {
    for options in key.as_object_mut().into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
        options.insert("numeric_type".to_owned(), "double".into());
    }
    key
}

/// Returns the path of a field's whole values; for text that is its keyword.
pub(super) fn value_path(field: &Field) -> String {
    match field.kind {
        Kind::Text | Kind::Json => format!("{}.keyword", field.path),
        Kind::Keyword
        | Kind::Date
        | Kind::Long
        | Kind::Long64
        | Kind::Float
        | Kind::Boolean
        | Kind::Ip
        | Kind::Version
        | Kind::Labels
        | Kind::Nested => field.path.to_owned(),
    }
}

/// Returns the type to assume in indices that do not map the field; every engine has these types.
const fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Date => "date",
        Kind::Long | Kind::Long64 => "long",
        Kind::Float => "float",
        Kind::Boolean => "boolean",
        Kind::Ip => "ip",
        Kind::Keyword | Kind::Text | Kind::Json | Kind::Version | Kind::Labels | Kind::Nested => "keyword",
    }
}
