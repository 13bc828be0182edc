//! The parameters of a find, as Kibana's event log has them, turned into a [`Query`].
//!
//! Where the request itself is at fault the answer is 400 and says why; Kibana answers some of these with a bare 404.

use serde::Deserialize;
use serde_json::Value;

use super::parameters::{MAX_SAFE, NumberRange, Parameters, invalid};
use crate::{
    error::Failure,
    event::UnixMillis,
    query::{
        Order, Query, RESULT_WINDOW, Scope, Sort,
        filter::Filter,
        moment::{self, Moment},
    },
    schema,
};

/// What find sorts by.
pub(super) const SORT_FIELDS: [&str; 10] = [
    "@timestamp",
    "event.start",
    "event.end",
    "event.provider",
    "event.duration",
    "event.action",
    "message",
    "event.sequence",
    "kibana.alert.rule.gap.status",
    "kibana.alert.rule.gap.total_gap_duration_ms",
];

/// As many ids as an engine takes in one list of terms.
const MAX_IDS: usize = 65_536;

const PAGE: NumberRange = NumberRange { default: 1, min: 1, max: MAX_SAFE };
const PER_PAGE: NumberRange = NumberRange { default: 10, min: 0, max: MAX_SAFE };

/// Which events, in which order, which page of them: all but whose.
#[derive(Debug)]
pub(super) struct FindRequest {
    pub(super) page: u64,
    pub(super) per_page: u64,
    start: Option<UnixMillis>,
    end: Option<UnixMillis>,
    sort: Vec<Sort>,
}

impl FindRequest {
    pub(super) fn parse(mut parameters: Parameters, now: UnixMillis) -> Result<Self, Failure> {
        let page = parameters.take_number("page", PAGE)?;
        let per_page = parameters.take_number("per_page", PER_PAGE)?;
        let sort = sort(&mut parameters)?;
        let start = moment(&mut parameters, "start", now)?.map(|start| start.first);
        let end = moment(&mut parameters, "end", now)?.map(|end| end.last);
        if !parameters.take_all("filter").is_empty() {
            return Err(Failure::invalid("filter: not yet supported"));
        }
        parameters.finish()?;
        if page.checked_mul(per_page).is_none_or(|last| last > RESULT_WINDOW) {
            let reason = format!("page × per_page reaches at most [{RESULT_WINDOW}], narrow the time range instead");
            return Err(invalid("page", reason));
        }
        Ok(Self { page, per_page, start, end, sort })
    }

    pub(super) fn query(&self, scope: Scope) -> Query {
        Query {
            scope,
            start: self.start,
            end: self.end,
            filter: Filter::EVERYTHING,
            sort: self.sort.clone(),
            after: None,
            offset: (self.page - 1) * self.per_page,
            limit: self.per_page,
        }
    }
}

fn moment(parameters: &mut Parameters, name: &str, now: UnixMillis) -> Result<Option<Moment>, Failure> {
    let Some(text) = parameters.take(name, "string")? else {
        return Ok(None);
    };
    moment::parse(&text, now).map(Some).map_err(|bad| invalid(name, format!("expected {bad}")))
}

/// One key in `sort_field` and `sort_order`, or any number of them in `sort`.
fn sort(parameters: &mut Parameters) -> Result<Vec<Sort>, Failure> {
    let field = parameters.take("sort_field", "string")?;
    let order = parameters.take("sort_order", "string")?;
    let keys = parameters.take_all("sort");
    if keys.is_empty() {
        let field = sort_field(field.as_deref().unwrap_or("@timestamp"), "sort_field")?;
        let order = sort_order(order.as_deref().unwrap_or("asc"), "sort_order")?;
        return Ok(vec![sort_by(field, order, "sort_field")?]);
    }
    if field.is_some() || order.is_some() {
        return Err(invalid("sort", "cannot be given together with sort_field or sort_order"));
    }
    let keys = sort_keys(&keys)?;
    if keys.len() > SORT_FIELDS.len() {
        let reason = format!("array size is [{}], but cannot be greater than [{}]", keys.len(), SORT_FIELDS.len());
        return Err(invalid("sort", reason));
    }
    (0..)
        .zip(keys)
        .map(|(index, key): (usize, _)| {
            let key: SortKey = serde_json::from_value(key).map_err(|error| invalid(&format!("sort.{index}"), error))?;
            let field = sort_field(&key.sort_field, &format!("sort.{index}.sort_field"))?;
            let order = sort_order(&key.sort_order, &format!("sort.{index}.sort_order"))?;
            sort_by(field, order, &format!("sort.{index}.sort_field"))
        })
        .collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SortKey {
    sort_field: String,
    sort_order: String,
}

/// The parameter once holds the text of an array; more than once, the text of one object each.
fn sort_keys(texts: &[String]) -> Result<Vec<Value>, Failure> {
    if let [text] = texts {
        return serde_json::from_str(text).map_err(|_| invalid("sort", "could not parse array value from json input"));
    }
    let parse = |(index, text): (usize, &String)| {
        serde_json::from_str(text)
            .map_err(|_| invalid(&format!("sort.{index}"), "could not parse object value from json input"))
    };
    texts.iter().enumerate().map(parse).collect()
}

fn sort_field(path: &str, name: &str) -> Result<&'static schema::Field, Failure> {
    let known = SORT_FIELDS.contains(&path).then(|| schema::field(path)).flatten();
    known.ok_or_else(|| invalid(name, format_args!("expected one of [{}] but got [{path}]", SORT_FIELDS.join(", "))))
}

fn sort_by(field: &'static schema::Field, order: Order, name: &str) -> Result<Sort, Failure> {
    Sort::by(field, order).map_err(|error| invalid(name, error))
}

fn sort_order(text: &str, name: &str) -> Result<Order, Failure> {
    match text {
        "asc" => Ok(Order::Ascending),
        "desc" => Ok(Order::Descending),
        other => Err(invalid(name, format_args!("expected one of [asc, desc] but got [{other}]"))),
    }
}

/// The `ids` of a body.
pub(super) fn ids(body: &[u8]) -> Result<Vec<String>, Failure> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(wrong_body("expected a plain object value, but found [null] instead."));
    }
    let value: Value =
        serde_json::from_slice(body).map_err(|error| wrong_body(format_args!("expected JSON: {error}")))?;
    let mut fields = match value {
        Value::Object(fields) => fields,
        other => {
            let found = type_name(&other);
            return Err(wrong_body(format_args!("expected a plain object value, but found [{found}] instead.")));
        }
    };
    let ids =
        fields.remove("ids").map_or(Ok(Vec::new()), |ids| array_of_ids(ids)?.into_iter().enumerate().map(id).collect());
    let ids: Vec<String> = ids?;
    if let Some(name) = fields.keys().next() {
        return Err(Failure::invalid(format!("[request body.{name}]: definition for this key is missing")));
    }
    if ids.len() > MAX_IDS {
        let reason = format_args!("array size is [{}], but cannot be greater than [{MAX_IDS}]", ids.len());
        return Err(wrong_ids(reason));
    }
    Ok(ids)
}

/// An array, or its JSON in a text.
fn array_of_ids(value: Value) -> Result<Vec<Value>, Failure> {
    match value {
        Value::Array(ids) => Ok(ids),
        Value::String(text) => {
            serde_json::from_str(&text).map_err(|_| wrong_ids("could not parse array value from json input"))
        }
        other => Err(wrong_ids(format_args!("expected value of type [array] but got [{}]", type_name(&other)))),
    }
}

fn id((index, value): (usize, Value)) -> Result<String, Failure> {
    match value {
        Value::String(id) => Ok(id),
        other => Err(Failure::invalid(format!(
            "[request body.ids.{index}]: expected value of type [string] but got [{}]",
            type_name(&other)
        ))),
    }
}

fn wrong_body(reason: impl std::fmt::Display) -> Failure {
    Failure::invalid(format!("[request body]: {reason}"))
}

fn wrong_ids(reason: impl std::fmt::Display) -> Failure {
    Failure::invalid(format!("[request body.ids]: {reason}"))
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
