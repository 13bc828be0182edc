//! The body that names saved objects.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::error::Failure;

/// As many ids as an engine takes in one list of terms.
const MAX_IDS: usize = 65_536;

/// The `ids` and `legacyIds` of a body in one list, each once. An id that an object had before is an id like any other: what
/// refers to it is found, and the caller must be allowed to read it.
pub(in crate::http) fn ids(body: &[u8]) -> Result<Vec<String>, Failure> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(wrong_body("expected a plain object value, but found [null] instead."));
    }
    let value: Value =
        serde_json::from_slice(body).map_err(|error| wrong_body(format_args!("expected JSON: {error}")))?;
    let mut members = match value {
        Value::Object(members) => members,
        other => {
            let found = type_name(&other);
            return Err(wrong_body(format_args!("expected a plain object value, but found [{found}] instead.")));
        }
    };
    let mut ids = take(&mut members, "ids")?;
    let legacy = take(&mut members, "legacyIds")?;
    if let Some(name) = members.keys().next() {
        return Err(wrong(name, "definition for this key is missing"));
    }
    let name = if ids.len() > MAX_IDS || legacy.is_empty() { "ids" } else { "legacyIds" };
    ids.extend(legacy);
    if ids.len() > MAX_IDS {
        let reason = format_args!("array size is [{}], but cannot be greater than [{MAX_IDS}]", ids.len());
        return Err(wrong(name, reason));
    }
    // An authority is asked about each of them.
    let mut known = HashSet::with_capacity(ids.len());
    ids.retain(|id| known.insert(id.clone()));
    Ok(ids)
}

fn take(members: &mut Map<String, Value>, name: &str) -> Result<Vec<String>, Failure> {
    let Some(value) = members.remove(name) else {
        return Ok(Vec::new());
    };
    let id = |(index, value): (usize, Value)| match value {
        Value::String(id) => Ok(id),
        other => Err(wrong(
            &format!("{name}.{index}"),
            format_args!("expected value of type [string] but got [{}]", type_name(&other)),
        )),
    };
    array(name, value)?.into_iter().enumerate().map(id).collect()
}

/// An array, or its JSON in a text.
fn array(name: &str, value: Value) -> Result<Vec<Value>, Failure> {
    match value {
        Value::Array(values) => Ok(values),
        Value::String(text) => {
            serde_json::from_str(&text).map_err(|_| wrong(name, "could not parse array value from json input"))
        }
        other => Err(wrong(name, format_args!("expected value of type [array] but got [{}]", type_name(&other)))),
    }
}

fn wrong_body(reason: impl std::fmt::Display) -> Failure {
    Failure::invalid(format!("[request body]: {reason}"))
}

fn wrong(name: &str, reason: impl std::fmt::Display) -> Failure {
    Failure::invalid(format!("[request body.{name}]: {reason}"))
}

/// As Kibana names the types of JSON.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "Array",
        Value::Object(_) => "Object",
    }
}
