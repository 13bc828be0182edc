//! Queries in the engines' language, and their answers.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::client::Answer;
use crate::{
    event::{ChainId, ChainPosition, Sequence},
    integrity::seal_of,
    query::{ObjectScope, Order, Query},
    schema::{Field, Kind},
    store::{Head, Page, StoreError},
};

/// Hidden indices are searched, closed ones are not, no index at all is no error, and half an answer is one.
pub(super) const PARAMETERS: &str =
    "ignore_unavailable=true&allow_no_indices=true&expand_wildcards=open,hidden&allow_partial_search_results=false";

/// The body that asks for a page.
pub(super) fn page(query: &Query, timeout: &str) -> String {
    let mut filter = vec![referring(&query.objects)];
    if query.start.is_some() || query.end.is_some() {
        let mut range = Map::new();
        range.insert("format".to_owned(), "epoch_millis".into());
        range.extend(query.start.map(|start| ("gte".to_owned(), start.0.into())));
        range.extend(query.end.map(|end| ("lte".to_owned(), end.0.into())));
        filter.push(json!({"range": {"@timestamp": range}}));
    }
    json!({
        "from": query.offset,
        "size": query.limit,
        "timeout": timeout,
        "track_total_hits": true,
        "query": {"bool": {"filter": filter}},
        "sort": sort(query),
    })
    .to_string()
}

/// One clause, so that it is one reference that is primary, of the type, has an id, and is in the space.
fn referring(objects: &ObjectScope) -> Value {
    const PATH: &str = "kibana.saved_objects";
    let member = |name: &str| format!("{PATH}.{name}");
    let mut must = vec![
        json!({"term": {member("rel"): {"value": "primary"}}}),
        json!({"term": {member("type"): {"value": objects.object_type}}}),
        json!({"terms": {member("id"): objects.ids}}),
    ];
    let mut must_not = Vec::new();
    match &objects.space {
        Some(space) => must.push(json!({"term": {member("namespace"): {"value": space.as_str()}}})),
        None => must_not.push(json!({"exists": {"field": member("namespace")}})),
    }
    // An index that was made without our template has no such path; it has no events of ours either.
    json!({"nested": {
        "path": PATH,
        "ignore_unmapped": true,
        "score_mode": "none",
        "query": {"bool": {"filter": must, "must_not": must_not}},
    }})
}

fn sort(query: &Query) -> Vec<Value> {
    let key = |path: &str, unmapped: &str, order: Order| {
        let order = match order {
            Order::Ascending => "asc",
            Order::Descending => "desc",
        };
        json!({path: {"order": order, "missing": "_last", "unmapped_type": unmapped}})
    };
    let direction = query.sort.first().map_or(Order::Ascending, |first| first.order);
    let mut keys = Vec::new();
    for sort in &query.sort {
        let key = key(&sortable(sort.field), type_of(sort.field.kind), sort.order);
        if sort.field.kind == Kind::Long64 {
            keys.push(as_double(key.clone()));
        }
        keys.push(key);
    }
    keys.push(key("event.sequence", "long", direction));
    keys.push(key("annals.chain", "keyword", direction));
    keys
}

/// The same key in floating point. The engines put what is missing at the end of the numbers, where a `long` may itself
/// be; in floating point that is infinity, where it may not. Numbers that become equal are told apart by the next key.
fn as_double(mut key: Value) -> Value {
    for options in key.as_object_mut().into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
        options.insert("numeric_type".to_owned(), "double".into());
    }
    key
}

/// Text sorts by its keyword.
fn sortable(field: &Field) -> String {
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

/// The body that asks for the last event of a chain.
pub(super) fn last(chain: ChainId, timeout: &str) -> String {
    json!({
        "size": 1,
        "timeout": timeout,
        "track_total_hits": false,
        "query": {"bool": {"filter": [{"term": {"annals.chain": {"value": chain.to_string()}}}]}},
        "sort": [{"event.sequence": {"order": "desc", "missing": "_last", "unmapped_type": "long"}}],
    })
    .to_string()
}

/// The body that asks for the documents of these ids, or of each at least the seal.
pub(super) fn by_ids(ids: &[String], seals_suffice: bool, timeout: &str) -> String {
    json!({
        // A document may be in several indices, if it was doubled by something else.
        "size": ids.len() * 2,
        "timeout": timeout,
        "track_total_hits": false,
        "query": {"ids": {"values": ids}},
        "_source": if seals_suffice { json!(["annals.seal"]) } else { json!(true) },
    })
    .to_string()
}

#[derive(Deserialize)]
struct Found<'a> {
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Shards,
    #[serde(borrow)]
    hits: Hits<'a>,
}

#[derive(Deserialize)]
struct Shards {
    failed: u64,
}

#[derive(Deserialize)]
struct Hits<'a> {
    #[serde(default)]
    total: Option<Total>,
    #[serde(borrow)]
    hits: Vec<Hit<'a>>,
}

#[derive(Deserialize)]
struct Total {
    value: u64,
}

#[derive(Deserialize)]
struct Hit<'a> {
    #[serde(rename = "_id")]
    id: &'a str,
    #[serde(borrow, rename = "_source")]
    source: &'a RawValue,
    #[serde(borrow, default)]
    sort: Option<&'a RawValue>,
}

/// Reads an answer, unless a shard is missing from it.
fn found(answer: &Answer) -> Result<Found<'_>, StoreError> {
    let found: Found<'_> = answer.json()?;
    if found.timed_out {
        return Err(answer.unexpected("the search took too long"));
    }
    if found.shards.failed > 0 {
        return Err(answer.unexpected(format_args!("{} shards failed", found.shards.failed)));
    }
    Ok(found)
}

/// The documents share the answer's memory, byte for byte as they were stored.
pub(super) fn read_page(answer: &Answer) -> Result<Page, StoreError> {
    let Found { hits: Hits { total, hits }, .. } = found(answer)?;
    let total = total.ok_or_else(|| answer.unexpected("no total"))?.value;
    Ok(Page { total, documents: hits.iter().map(|hit| source(answer, hit)).collect() })
}

fn source(answer: &Answer, hit: &Hit<'_>) -> Bytes {
    answer.body.slice_ref(hit.source.get().as_bytes())
}

/// Each id with its document, or with what was asked of it.
pub(super) fn read_by_ids(answer: &Answer) -> Result<Vec<(String, Bytes)>, StoreError> {
    let Found { hits: Hits { hits, .. }, .. } = found(answer)?;
    Ok(hits.iter().map(|hit| (hit.id.to_owned(), source(answer, hit))).collect())
}

pub(super) fn read_last(answer: &Answer, chain: ChainId) -> Result<Option<Head>, StoreError> {
    let Found { hits: Hits { hits, .. }, .. } = found(answer)?;
    let Some(hit) = hits.first() else { return Ok(None) };
    let sequence = hit.sort.and_then(|sort| serde_json::from_str::<[u64; 1]>(sort.get()).ok());
    let [sequence] = sequence.ok_or_else(|| answer.unexpected("an event without a sequence"))?;
    let seal = seal_of(hit.source.get().as_bytes());
    Ok(Some(Head { position: ChainPosition { chain, sequence: Sequence(sequence) }, seal }))
}
