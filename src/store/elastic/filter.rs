//! Translates filters into the engines' query language. Their meaning is defined in [`crate::query::filter`].
//!
//! No clause scores, so all may be cached. No clause analyses its values. Dates are sent as text, because OpenSearch
//! misreads negative milliseconds.

use std::{collections::BTreeSet, ops::Bound};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value as Json, json};

use super::{
    labels::{EXACT_LABELS, LabelTerms},
    order::value_path,
};
use crate::{
    event::UnixMillis,
    query::{
        Label, Pattern, Subject,
        filter::{Filter, Test, Value, instants},
    },
    schema::{Field, Kind, Search},
    time::format_time,
};

/// How deep clauses nest as JSON. Elasticsearch parses 30 levels; deeper clauses are sent as encoded text, which it
/// parses separately.
const MAX_DEPTH: usize = 20;

/// Returns the names of the labels that the filter tests.
pub(super) fn tested_labels(filter: &Filter) -> BTreeSet<&str> {
    match filter {
        Filter::All(parts) | Filter::Any(parts) => parts.iter().flat_map(tested_labels).collect(),
        Filter::Not(inner) | Filter::Element(_, inner) => tested_labels(inner),
        Filter::Value(Subject::Label(label), _) => BTreeSet::from([label.name()]),
        Filter::Value(Subject::Field(_), _) => BTreeSet::new(),
    }
}

/// Returns the clause for a filter. A negation matches stubs too; these are excluded by the query's scope, which
/// requires a time.
pub(super) fn clause(filter: &Filter, terms: LabelTerms) -> Json {
    clause_with_depth(filter, terms).0
}

/// Returns the clause and its depth.
fn clause_with_depth(filter: &Filter, terms: LabelTerms) -> (Json, usize) {
    let combine = |parts: &[Filter], make: fn(Vec<Json>) -> Json| combine(parts, terms, make);
    match filter {
        Filter::All(parts) if parts.is_empty() => (json!({"match_all": {}}), 1),
        Filter::Any(parts) if parts.is_empty() => (nothing(), 1),
        Filter::All(parts) => combine(parts, |clauses| json!({"bool": {"filter": clauses}})),
        Filter::Any(parts) => combine(parts, any),
        Filter::Not(inner) => combine(std::slice::from_ref(inner), |clauses| json!({"bool": {"must_not": clauses}})),
        Filter::Element(field, inner) => {
            let (clause, depth) = clause_with_depth(inner, terms);
            limit_depth(element(field.path, &clause), depth + 1)
        }
        Filter::Value(Subject::Field(field), test) => (clause_for_paths(&Paths::of(field), test), 2),
        Filter::Value(Subject::Label(label), test) => label_clause(label, test, terms),
    }
}

/// Combines the clauses of these filters, and returns the result with its depth.
fn combine(filters: &[Filter], terms: LabelTerms, make: fn(Vec<Json>) -> Json) -> (Json, usize) {
    let clauses = filters.iter().map(|filter| clause_with_depth(filter, terms));
    let (clauses, depths): (Vec<Json>, Vec<usize>) = clauses.unzip();
    limit_depth(make(clauses), depths.into_iter().max().unwrap_or(0) + 1)
}

fn limit_depth(clause: Json, depth: usize) -> (Json, usize) {
    if depth < MAX_DEPTH {
        return (clause, depth);
    }
    let text = BASE64_STANDARD.encode(clause.to_string());
    (json!({"wrapper": {"query": text}}), 1)
}

fn nothing() -> Json {
    json!({"match_none": {}})
}

fn any(clauses: Vec<Json>) -> Json {
    json!({"bool": {"should": clauses, "minimum_should_match": 1}})
}

/// Ignores indices without this path: they were created without our template and have no events of ours.
pub(super) fn element(path: &str, inner: &Json) -> Json {
    json!({"nested": {"path": path, "ignore_unmapped": true, "score_mode": "none", "query": inner}})
}

/// The engines' own clause takes patterns of paths, and a label may have any name.
pub(super) fn exists(path: &str) -> Json {
    if path.contains('*') { json!({"prefix": {path: {"value": ""}}}) } else { json!({"exists": {"field": path}}) }
}

fn label_clause(label: &Label, test: &Test, terms: LabelTerms) -> (Json, usize) {
    let path = label.path();
    let clause = clause_for_paths(&Paths { value: path.clone(), words: path.clone(), existence: path.clone() }, test);
    match terms {
        LabelTerms::Exact => (clause, 2),
        LabelTerms::Joined => exact_label(label.name(), &path, test, clause),
    }
}

/// Limits a clause about a label of OpenSearch to labels of exactly this name. Unless a document has labels in which the
/// name is followed by two `=`, or the name has one itself, its terms are unambiguous.
fn exact_label(name: &str, path: &str, test: &Test, clause: Json) -> (Json, usize) {
    let is_plain = |value: &Value| !matches!(value, Value::Text(text) if text.contains('='));
    if !name.contains('=') && matches!(test, Test::OneOf(values) if values.iter().all(is_plain)) {
        return (clause, 2);
    }
    let label = |value: &str| format!("{}:{name}={value}", name.encode_utf16().count());
    let exact = match test {
        Test::OneOf(values) => {
            let texts = values.iter().filter_map(|value| if let Value::Text(text) = value { Some(text) } else { None });
            json!({"terms": {EXACT_LABELS: texts.map(|text| label(text)).collect::<Vec<_>>()}})
        }
        Test::Like(pattern) => match (pattern.pieces(), pattern.prefix()) {
            ([text], _) => json!({"term": {EXACT_LABELS: {"value": label(text)}}}),
            (_, prefix) => json!({"prefix": {EXACT_LABELS: {"value": label(prefix.unwrap_or_default())}}}),
        },
        // Labels have neither an order nor words.
        Test::Exists | Test::Range { .. } | Test::Words(_) | Test::Phrase(_) | Test::WordLike(_) => {
            json!({"prefix": {EXACT_LABELS: {"value": label("")}}})
        }
    };
    if name.contains('=') {
        return (json!({"bool": {"filter": [clause, exact]}}), 3);
    }
    let is_ambiguous = json!({"wildcard": {path: {"value": "*=*"}}});
    let is_other = json!({"bool": {"filter": [is_ambiguous], "must_not": [exact]}});
    (json!({"bool": {"filter": [clause], "must_not": [is_other]}}), 4)
}

/// The paths of a field in the engines' mappings.
struct Paths {
    /// A path that exists exactly where the event has the field.
    existence: String,
    value: String,
    words: String,
}

impl Paths {
    fn of(field: &Field) -> Self {
        let value = value_path(field);
        let words = match field.kind {
            Kind::Text | Kind::Json => field.path.to_owned(),
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
            | Kind::Objects => format!("{}.text", field.path),
        };
        let existence = match field.search {
            Search::Words => words.clone(),
            Search::Value | Search::ValueAndWords | Search::Never => field.path.to_owned(),
        };
        Self { existence, value, words }
    }
}

fn clause_for_paths(paths: &Paths, test: &Test) -> Json {
    match test {
        Test::Exists => exists(&paths.existence),
        Test::OneOf(values) => one_of(&paths.value, values),
        Test::Range { low, high } => range(&paths.value, low, high),
        Test::Like(pattern) => like(&paths.value, pattern),
        Test::Words(words) => json!({"terms": {&paths.words: words}}),
        Test::Phrase(words) => phrase(&paths.words, words),
        Test::WordLike(pattern) => word_like(&paths.words, pattern),
    }
}

fn one_of(path: &str, values: &[Value]) -> Json {
    let (dates, others): (Vec<_>, Vec<_>) = values.iter().partition(|value| matches!(value, Value::Millis(_)));
    let mut clauses: Vec<Json> = Vec::new();
    if !others.is_empty() {
        clauses.push(json!({"terms": {path: others.into_iter().map(json_value).collect::<Vec<_>>()}}));
    }
    clauses.extend(dates.into_iter().map(|date| {
        let bound = Bound::Included(date.clone());
        range(path, &bound, &bound)
    }));
    match (clauses.pop(), clauses.is_empty()) {
        (None, _) => nothing(),
        (Some(only), true) => only,
        (Some(last), false) => {
            clauses.push(last);
            any(clauses)
        }
    }
}

fn range(path: &str, low: &Bound<Value>, high: &Bound<Value>) -> Json {
    match instants(low, high) {
        (Some(low), Some(high)) if low > high => return nothing(),
        (Some(low), Some(high)) => return date_range(path, Some(low), Some(high)),
        (Some(low), None) => return date_range(path, Some(low), None),
        (None, Some(high)) => return date_range(path, None, Some(high)),
        (None, None) => {}
    }
    let mut bounds = Map::new();
    bounds.extend(bound("gte", "gt", low));
    bounds.extend(bound("lte", "lt", high));
    if bounds.is_empty() { exists(path) } else { json!({"range": {path: bounds}}) }
}

fn bound(included: &str, excluded: &str, bound: &Bound<Value>) -> Option<(String, Json)> {
    match bound {
        Bound::Included(value) => Some((included.to_owned(), json_value(value))),
        Bound::Excluded(value) => Some((excluded.to_owned(), json_value(value))),
        Bound::Unbounded => None,
    }
}

/// Matches dates from `low` to `high`, inclusive.
pub(super) fn date_range(path: &str, low: Option<UnixMillis>, high: Option<UnixMillis>) -> Json {
    // No event has a date outside these limits.
    let (low, high) = (low.map(|low| low.max(UnixMillis::FIRST)), high.map(|high| high.min(UnixMillis::LAST)));
    if low.is_some_and(|low| low > UnixMillis::LAST) || high.is_some_and(|high| high < UnixMillis::FIRST) {
        return nothing();
    }
    let mut bounds = Map::new();
    bounds.insert("format".to_owned(), "strict_date_time".into());
    bounds.extend(low.map(|low| ("gte".to_owned(), format_time(low).into())));
    bounds.extend(high.map(|high| ("lte".to_owned(), format_time(high).into())));
    json!({"range": {path: bounds}})
}

fn json_value(value: &Value) -> Json {
    match value {
        Value::Text(text) => text.as_str().into(),
        Value::Integer(integer) => (*integer).into(),
        Value::Number(number) => f64::from(*number).into(),
        Value::Boolean(boolean) => (*boolean).into(),
        Value::Millis(millis) => format_time(*millis).into(),
        Value::Address(address) => address.to_canonical().to_string().into(),
    }
}

fn like(path: &str, pattern: &Pattern) -> Json {
    match (pattern.pieces(), pattern.prefix()) {
        ([exact], _) => json!({"term": {path: {"value": exact}}}),
        (_, Some("")) => exists(path),
        (_, Some(prefix)) => json!({"prefix": {path: {"value": prefix}}}),
        (pieces, None) => {
            let pieces: Vec<String> = pieces.iter().map(|piece| escaped(piece)).collect();
            json!({"wildcard": {path: {"value": pieces.join("*")}}})
        }
    }
}

/// A text without words exists too, so "any word" has to be a word of at least one character.
fn word_like(path: &str, pattern: &Pattern) -> Json {
    if pattern.prefix() == Some("") { json!({"wildcard": {path: {"value": "?*"}}}) } else { like(path, pattern) }
}

fn escaped(piece: &str) -> String {
    piece.replace('\\', "\\\\").replace('*', "\\*").replace('?', "\\?")
}

/// Uses spans, because the words are already in the form of the index.
fn phrase(path: &str, words: &[String]) -> Json {
    let words: Vec<Json> = words.iter().map(|word| json!({"span_term": {path: {"value": word}}})).collect();
    if words.is_empty() {
        return nothing();
    }
    json!({"span_near": {"clauses": words, "slop": 0, "in_order": true}})
}
