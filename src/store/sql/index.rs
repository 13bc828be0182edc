//! The index of a document: the values of each field that has no column, in the form in which the databases compare
//! them.
//!
//! A field that is also read in a second form has a second entry, named after the field and the form. The entries of a
//! document are one flat JSON object; an array of objects becomes an array of such flat objects.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{
    columns::{SAVED_OBJECTS, has_column},
    form::{Form, forms, indexed, json},
    text::encode_text,
};
use crate::{
    query::leaves,
    schema::{self, Field, Kind, Member, NodeId, Tree},
};

/// Builds the index as one JSON object, without the fields that have columns and those of saved objects.
pub(in crate::store) fn of(document: &Value) -> Value {
    let mut index = Map::new();
    add_members(&mut index, document, NodeId::ROOT);
    Value::Object(index)
}

/// Adds the fields of an object, and of the objects in it.
fn add_members(index: &mut Map<String, Value>, object: &Value, node: NodeId) {
    let tree = Tree::get();
    for (name, value) in object.as_object().into_iter().flatten() {
        match tree.member(node, name.as_bytes()) {
            Some(Member::Object(inner)) => add_members(index, value, inner),
            Some(Member::Field(field)) => add_field(index, value, field.field()),
            Some(Member::Array(field, element)) => match field.field() {
                field if field.kind == Kind::Objects => {
                    each(value).iter().for_each(|object| add_members(index, object, element));
                }
                field if field.path == SAVED_OBJECTS => {}
                field => {
                    index.insert(
                        field.path.to_owned(),
                        each(value).iter().map(|object| entries(object, element)).collect(),
                    );
                }
            },
            None => {}
        }
    }
}

fn entries(element: &Value, node: NodeId) -> Value {
    let mut index = Map::new();
    add_members(&mut index, element, node);
    Value::Object(index)
}

/// Returns the entries of an element of a nested field.
pub(super) fn element_of(element: &Value, nested: &Field) -> Value {
    match Tree::get().find(nested.path) {
        Some(Member::Array(_, node)) => entries(element, node),
        Some(Member::Object(_) | Member::Field(_)) | None => Value::Null,
    }
}

fn add_field(index: &mut Map<String, Value>, value: &Value, field: &Field) {
    if field.kind == Kind::Labels {
        index.insert(field.path.to_owned(), labels(value, field));
        return;
    }
    for form in forms(field).filter(|form| !has_column(field, *form)) {
        let mut values = values(value, field).into_iter().filter_map(|value| indexed(&value, field, form)).map(json);
        if field.has_several() {
            let entry = index.entry(entry_name(field, form)).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(entries) = entry {
                entries.extend(values);
            }
        } else if let Some(value) = values.next() {
            index.insert(entry_name(field, form), value);
        }
    }
}

/// Returns the values of a field, given its member of a document.
pub(super) fn values<'v>(value: &'v Value, field: &Field) -> Vec<Cow<'v, Value>> {
    match field.kind {
        Kind::Flattened => leaves(value).into_iter().map(Cow::Owned).collect(),
        _ => each(value).iter().map(Cow::Borrowed).collect(),
    }
}

fn labels(value: &Value, field: &Field) -> Value {
    let labels = value.as_object().into_iter().flatten();
    let kept_labels = labels
        .filter_map(|(name, value)| Some((encode_text(name).into_owned(), json(indexed(value, field, Form::Value)?))));
    Value::Object(kept_labels.collect())
}

pub(super) fn each(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        value => std::slice::from_ref(value),
    }
}

/// Whether an index may have an entry of this name, of a field that events have today.
pub(in crate::store) fn is_entry(name: &str) -> bool {
    schema::field(name.split(' ').next().unwrap_or_default()).is_some()
}

pub(super) fn entry_name(field: &Field, form: Form) -> String {
    match form {
        Form::Value => field.path.to_owned(),
        Form::Address => format!("{} address", field.path),
        Form::Words => format!("{} words", field.path),
    }
}
