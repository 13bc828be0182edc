//! Sort orders and places in the engines' terms.
//!
//! The last keys order documents that are equal in all others: copies, and documents of others, which need not have a
//! position in a chain. They come after all events, as missing values do.
//!
//! Events without a value come last. The engines substitute a number for the missing value, which becomes part of a
//! place; neither engine accepts `null` instead, so places have to contain that number.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::labels::{self, LabelTerms, direction};
use crate::{
    query::{Key, Order, PageEnd, Place, Sort, Subject, address_of_digits},
    schema::{Field, Kind},
    store::StoreError,
};

/// The name of the index, and the number of the operation that stored the document in its shard; with their types.
const LAST_KEYS: [(&str, &str); 2] = [("_index", "keyword"), ("_seq_no", "long")];

/// Returns the sort keys.
pub(super) fn keys(sort: &[Sort], terms: LabelTerms) -> Vec<Value> {
    let ties = Order::of_ties(sort);
    let mut keys: Vec<Value> = sort.iter().flat_map(|sort| keys_of(sort, terms)).collect();
    keys.push(by_sequence(ties));
    keys.push(key("annals.chain", Kind::Keyword, ties));
    // In OpenSearch an index without mappings lacks even these.
    let last = LAST_KEYS.map(|(name, kind)| json!({name: {"order": direction(ties), "unmapped_type": kind}}));
    keys.extend(last);
    keys
}

pub(super) fn by_sequence(order: Order) -> Value {
    key("annals.sequence", Kind::Long, order)
}

/// Where a search goes on.
#[derive(Default)]
pub(super) struct After {
    /// One value for each sort key.
    pub(super) values: Vec<Value>,
    /// The documents behind these values that were read before; see [`end`].
    pub(super) seen: Seen,
}

/// Digests of the names of documents, one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen(String);

/// Length of a digest in hexadecimal digits.
const DIGEST: usize = 16;

impl Seen {
    /// Returns those that the end of a page names.
    pub(super) fn of(end: &PageEnd) -> Self {
        match end.of_document() {
            Some([.., Some(Key::Text(seen))]) => Self(seen.clone()),
            Some(_) | None => Self::default(),
        }
    }

    pub(super) fn add(&mut self, index: &str, id: &str) {
        let digest = Sha256::new().chain_update(index).chain_update([0]).chain_update(id).finalize();
        digest.iter().take(DIGEST / 2).for_each(|byte| self.0 += &format!("{byte:02x}"));
    }

    pub(super) fn len(&self) -> u64 {
        (self.0.len() / DIGEST) as u64
    }

    pub(super) fn has(&self, index: &str, id: &str) -> bool {
        let mut one = Self::default();
        one.add(index, id);
        self.0.as_bytes().chunks(DIGEST).any(|digest| digest == one.0.as_bytes())
    }
}

/// Returns where a search goes on behind the end of a page.
pub(super) fn after(end: &PageEnd, sort: &[Sort], terms: LabelTerms) -> Result<After, StoreError> {
    let values = match end {
        PageEnd::Event(event) => return Ok(After { values: place(event, sort, terms), seen: Seen::default() }),
        PageEnd::Document(values) => values,
    };
    let count = keys(sort, terms).len();
    let written = |values: &[Option<Key>]| values.iter().map(|key| key.as_ref().map_or(Value::Null, value)).collect();
    match values.as_slice() {
        all if all.len() == count => Ok(After { values: written(all), seen: Seen::default() }),
        [place @ .., Some(Key::Integer(number)), Some(Key::Text(seen))] if place.len() + 1 == count => {
            let before = match Order::of_ties(sort) {
                Order::Ascending => number.saturating_sub(1),
                Order::Descending => number.saturating_add(1),
            };
            let mut values: Vec<Value> = written(place);
            values.push(before.into());
            Ok(After { values, seen: Seen(seen.clone()) })
        }
        _ => Err(StoreError::Refused { reason: "the page before came from another store; begin again".to_owned() }),
    }
}

/// Adds to the sort values of a page's end what distinguishes documents that tie in all of them: in an index with several
/// shards, each may have one, of the same number. The next search reads all of them again, and leaves out those of
/// `tied`, which this page had, and those that the page before had. Events do not tie, as each has its own position.
pub(super) fn with_seen(mut end: Vec<Option<Key>>, mut tied: Seen, before: Option<&[Option<Key>]>) -> Vec<Option<Key>> {
    if let Some([place @ .., Some(Key::Text(seen))]) = before
        && *place == *end
    {
        tied.0 += seen;
    }
    end.push(Some(Key::Text(tied.0)));
    end
}

/// Whether these sort values are those of an event in a chain.
pub(super) fn are_of_event(values: &[Option<Key>]) -> bool {
    matches!(values, [.., Some(_), _, _])
}

/// Returns the end of a page from the sort values of its last document, as the engine wrote them.
pub(super) fn end(values: &Value, sort: &[Sort]) -> Option<Vec<Option<Key>>> {
    // At a point in time, Elasticsearch adds a value of its own. All engines have as many keys for a label.
    let values = values.as_array()?.get(..keys(sort, LabelTerms::Exact).len())?;
    let key = |value: &Value| match value {
        Value::Number(number) => number.as_i64().map(Key::Integer).or_else(|| number.as_f64().map(Key::Number)),
        Value::String(text) => Some(Key::Text(text.clone())),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    Some(values.iter().map(key).collect())
}

/// Returns the values of an event's place. Copies of the event are at that place too.
fn place(place: &Place, sort: &[Sort], terms: LabelTerms) -> Vec<Value> {
    let sorts = sort.iter().zip(&place.keys);
    let mut values: Vec<Value> = sorts.flat_map(|(sort, key)| values_of(key.as_ref(), sort, terms)).collect();
    values.push(place.position.sequence.0.into());
    values.push(place.position.chain.to_string().into());
    values.extend(match Order::of_ties(sort) {
        Order::Ascending => [json!("\u{10FFFF}"), json!(i64::MAX)],
        Order::Descending => [json!(""), json!(-1)],
    });
    values
}

fn keys_of(sort: &Sort, terms: LabelTerms) -> Vec<Value> {
    let (kind, order) = (sort.field().kind, sort.order);
    let own = match (sort.subject(), terms) {
        (Subject::Field(field), _) => key(&value_path(field), kind, order),
        (Subject::Label(label), LabelTerms::Exact) => key(&label.path(), kind, order),
        (Subject::Label(label), LabelTerms::Joined) => labels::sort_key(label, order),
    };
    match kind {
        // The engines substitute the greatest number for a missing value, which a `long` may itself have; in floating
        // point they substitute infinity, which it cannot have. The next key separates numbers that become equal.
        Kind::Long64 => vec![as_numeric(own.clone(), "double"), own],
        Kind::Keyword
        | Kind::Text
        | Kind::Date
        | Kind::DateRange
        | Kind::Long
        | Kind::Float
        | Kind::Boolean
        | Kind::Ip
        | Kind::GeoPoint
        | Kind::Version
        | Kind::Labels
        | Kind::Flattened
        | Kind::Json
        | Kind::Nested
        | Kind::Objects => vec![own],
    }
}

fn values_of(key: Option<&Key>, sort: &Sort, terms: LabelTerms) -> Vec<Value> {
    let (kind, order) = (sort.field().kind, sort.order);
    if matches!(sort.subject(), Subject::Label(_)) && terms == LabelTerms::Joined {
        return vec![labels::sort_value(key, order)];
    }
    let own = key.map_or_else(|| missing_substitute(kind, order), value);
    match (kind, key) {
        (Kind::Long64, Some(Key::Integer(integer))) => vec![json!(*integer as f64), own],
        (Kind::Long64, Some(Key::Number(_) | Key::Text(_)) | None) => vec![missing_substitute(Kind::Float, order), own],
        (Kind::Ip, Some(Key::Text(digits))) => vec![address_of_digits(digits).map_or(own, |address| json!(address))],
        (
            Kind::Keyword
            | Kind::Text
            | Kind::Date
            | Kind::DateRange
            | Kind::Long
            | Kind::Float
            | Kind::Boolean
            | Kind::Ip
            | Kind::GeoPoint
            | Kind::Version
            | Kind::Labels
            | Kind::Flattened
            | Kind::Json
            | Kind::Nested
            | Kind::Objects,
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
    // The engines differ in what they substitute for a missing boolean.
    let missing = if kind == Kind::Boolean { missing_substitute(kind, order) } else { json!("_last") };
    let key = json!({path: {"order": direction(order), "missing": missing, "unmapped_type": type_of(kind)}});
    // In indices of others the field may have another numeric type, or dates more digits.
    match kind {
        Kind::Date => as_numeric(key, "date"),
        Kind::Long | Kind::Long64 => as_numeric(key, "long"),
        Kind::Keyword
        | Kind::Text
        | Kind::DateRange
        | Kind::Float
        | Kind::Boolean
        | Kind::Ip
        | Kind::GeoPoint
        | Kind::Version
        | Kind::Labels
        | Kind::Flattened
        | Kind::Json
        | Kind::Nested
        | Kind::Objects => key,
    }
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
        Kind::Keyword
        | Kind::Text
        | Kind::DateRange
        | Kind::Ip
        | Kind::GeoPoint
        | Kind::Version
        | Kind::Labels
        | Kind::Flattened
        | Kind::Json
        | Kind::Nested
        | Kind::Objects => Value::Null,
    }
}

/// Makes a sort key convert its values.
fn as_numeric(mut key: Value, numeric_type: &str) -> Value {
    for options in key.as_object_mut().into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
        options.insert("numeric_type".to_owned(), numeric_type.into());
    }
    key
}

/// Returns the path of a field's whole values; for text that is its keyword.
pub(super) fn value_path(field: &Field) -> String {
    match field.kind {
        Kind::Text | Kind::Json => format!("{}.keyword", field.path),
        Kind::Keyword
        | Kind::Date
        | Kind::DateRange
        | Kind::Long
        | Kind::Long64
        | Kind::Float
        | Kind::Boolean
        | Kind::Ip
        | Kind::GeoPoint
        | Kind::Version
        | Kind::Labels
        | Kind::Flattened
        | Kind::Nested
        | Kind::Objects => field.path.to_owned(),
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
        Kind::Keyword
        | Kind::Text
        | Kind::DateRange
        | Kind::GeoPoint
        | Kind::Version
        | Kind::Labels
        | Kind::Flattened
        | Kind::Json
        | Kind::Nested
        | Kind::Objects => "keyword",
    }
}
