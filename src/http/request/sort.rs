//! Parses the order of events, in either of Kibana's forms.

use serde_json::value::RawValue;

use super::{fields, json::Members};
use crate::{
    error::Failure,
    http::parameters::{Parameter, Parameters},
    query::{Order, Sort, SortKeys},
};

const FIELD: Parameter = Parameter::text(
    "sort_field",
    "Any indexed field with a single value, except versions; or a label, such as `labels.team`.",
)
.or("@timestamp")
.such_as("event.action");
const ORDER: Parameter = Parameter::text("sort_order", "`asc` or `desc`.").or("asc");
const KEYS: Parameter = Parameter::text(
    "sort",
    "Several sort keys, instead of the two parameters above: a JSON array of `{\"sort_field\", \"sort_order\"}`, or the \
     parameter repeated with one such object each.",
);

pub(in crate::http) const SORT: [&Parameter; 3] = [&FIELD, &ORDER, &KEYS];

/// Takes one sort key from `sort_field` and `sort_order`, or any number of keys from `sort`.
pub(super) fn take(parameters: &mut Parameters) -> Result<SortKeys, Failure> {
    let field = parameters.text(&FIELD)?;
    let order = parameters.text(&ORDER)?;
    let keys = parameters.texts(&KEYS);
    if keys.is_empty() {
        let order = direction(order.as_deref().unwrap_or("asc"), "sort_order")?;
        return Ok(key(field.as_deref().unwrap_or("@timestamp"), order, "sort_field")?.into());
    }
    if field.is_some() || order.is_some() {
        return Err(Failure::parameter("sort", "cannot be given together with sort_field or sort_order"));
    }
    let keys: Result<_, _> = objects(&keys)?.into_iter().enumerate().map(from_object).collect();
    SortKeys::new(keys?).map_err(|error| Failure::parameter("sort", error))
}

fn from_object((index, object): (usize, &RawValue)) -> Result<Sort, Failure> {
    if !object.get().starts_with('{') {
        let found = if object.get().starts_with('[') { "Array" } else { object.get() };
        let reason = format_args!("expected an object with [sort_field] and [sort_order] but got [{found}]");
        return Err(Failure::parameter(format!("sort.{index}"), reason));
    }
    let mut members = Members::of(format!("request query.sort.{index}"), object)?;
    let (sort_field, sort_order) = (members.text("sort_field")?, members.text("sort_order")?);
    members.finish()?;
    let order = direction(&sort_order, &format!("sort.{index}.sort_order"))?;
    key(&sort_field, order, &format!("sort.{index}.sort_field"))
}

/// Parses the values of `sort`: a single value is a JSON array, each of several values is a JSON object.
fn objects(texts: &[String]) -> Result<Vec<&RawValue>, Failure> {
    if let [text] = texts {
        return serde_json::from_str(text)
            .map_err(|_| Failure::parameter("sort", "could not parse array value from json input"));
    }
    let mut objects = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let bad = |_| Failure::parameter(format!("sort.{index}"), "could not parse object value from json input");
        objects.push(serde_json::from_str(text).map_err(bad)?);
    }
    Ok(objects)
}

fn key(path: &str, order: Order, name: &str) -> Result<Sort, Failure> {
    Sort::by(fields::named(path, name)?, order).map_err(|error| Failure::parameter(name, error))
}

fn direction(text: &str, name: &str) -> Result<Order, Failure> {
    match text {
        "asc" => Ok(Order::Ascending),
        "desc" => Ok(Order::Descending),
        other => Err(Failure::parameter(name, format_args!("expected one of [asc, desc] but got [{other}]"))),
    }
}
