//! The index of a document: the values of each field that has no column, in the form in which the databases compare
//! them.
//!
//! A field that is also read in a second form has a second entry, named after the field and the form. The entries of a
//! document are one flat JSON object; an array of objects becomes an array of such flat objects.

use serde_json::{Map, Value};

use super::{
    columns::{SAVED_OBJECTS, has_column, is_within, nested_around},
    form::{Form, forms, indexed, json},
    text::encode_text,
};
use crate::{
    query::value_at,
    schema::{self, Field, Kind},
};

/// Builds the index as one JSON object, without the fields that have columns and those of saved objects.
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

/// Returns the entries of each element of a nested field, as a JSON array.
fn elements(document: &Value, nested: &Field) -> Value {
    let elements = value_at(document, nested.path).map(each).unwrap_or_default();
    elements.iter().map(|element| element_of(element, nested)).collect()
}

pub(super) fn element_of(element: &Value, nested: &Field) -> Value {
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
    let kept_labels = labels
        .filter_map(|(name, value)| Some((encode_text(name).into_owned(), json(indexed(value, field, Form::Value)?))));
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

pub(super) fn each(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        value => std::slice::from_ref(value),
    }
}

pub(super) fn entry_name(field: &Field, form: Form) -> String {
    match form {
        Form::Value => field.path.to_owned(),
        Form::Address => format!("{} address", field.path),
        Form::Words => format!("{} words", field.path),
    }
}
