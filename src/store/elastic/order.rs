//! The order of events in the engines' words, and places in it.
//!
//! What an event lacks comes last. The engines put a number in its place, which is part of the place of an event, and
//! which neither takes as `null`: it has to be said outright.

use serde_json::{Map, Value, json};

use crate::{
    query::{Key, Order, Place, Sort},
    schema::{Field, Kind},
};

/// The keys to sort by.
pub(super) fn keys(sort: &[Sort]) -> Vec<Value> {
    let ties = Order::of_ties(sort);
    let mut keys: Vec<Value> = sort.iter().flat_map(|sort| keys_of(sort.field(), sort.order)).collect();
    keys.push(key("event.sequence", Kind::Long, ties));
    keys.push(key("annals.chain", Kind::Keyword, ties));
    keys
}

/// The values of a place, one for each of the keys.
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
    let own = key.map_or_else(|| beyond(kind, order), value);
    match (kind, key) {
        (Kind::Long64, Some(Key::Integer(integer))) => vec![json!(*integer as f64), own],
        (Kind::Long64, Some(Key::Number(_) | Key::Text(_)) | None) => vec![beyond(Kind::Float, order), own],
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
    // The engines differ in the number that they put in the place of a missing boolean.
    let missing = if kind == Kind::Boolean { beyond(kind, order) } else { json!("_last") };
    json!({path: {"order": direction, "missing": missing, "unmapped_type": type_of(kind)}})
}

/// What stands in the place of a missing value: what comes after all values there are.
fn beyond(kind: Kind, order: Order) -> Value {
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

/// The same key in floating point. The engines put what is missing at the end of the numbers, where a `long` may itself
/// be; in floating point that is infinity, where it may not. Numbers that become equal are told apart by the next key.
fn as_double(mut key: Value) -> Value {
    for options in key.as_object_mut().into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
        options.insert("numeric_type".to_owned(), "double".into());
    }
    key
}

/// Where the whole values of a field are. Text has its keyword.
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

/// What a field counts as where an index does not have it; of the types that every engine has.
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
