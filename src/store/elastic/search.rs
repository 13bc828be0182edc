//! Searches in the engines' query language, and their answers.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    client::Answer,
    filter,
    labels::{self, LabelTerms},
    order::{self, After, Seen},
};
use crate::{
    event::{ChainHead, ChainId, ChainPosition, Sequence, Space},
    integrity::seal_of,
    query::{Key, Label, ObjectScope, Order, Query, Scope, Sort, Subject, Visible, filter::Filter},
    store::{ChainDocument, Page, StoreError, count_within},
};

/// Hidden indices are searched, closed ones are not, and finding no index is not an error.
pub(super) const INDICES: &str = "ignore_unavailable=true&allow_no_indices=true&expand_wildcards=open,hidden";

/// Makes partial results an error.
pub(super) const WHOLE: &str = "allow_partial_search_results=false";

/// Returns the body that searches for a page.
pub(super) fn page(query: &Query, terms: LabelTerms, timeout: &str) -> Result<String, StoreError> {
    let body = with(with(matching(query, None, terms), "timeout", timeout), "track_total_hits", true);
    let body = with(body, "sort", order::keys(&query.sort, terms));
    let body = match &query.after {
        None => with(with(body, "from", query.offset), "size", query.limit),
        // The engines cannot skip events after a place, so these are dropped from the answer.
        Some(end) => {
            let After { values, seen } = order::after(end, &query.sort, terms)?;
            with(with(body, "search_after", values), "size", query.offset.saturating_add(query.limit + seen.len()))
        }
    };
    Ok(body.to_string())
}

/// Returns the body that requests only these aggregations of the matching events.
pub(super) fn aggregations(matching: &Value, aggregations: Value, timeout: &str) -> Value {
    let body = with(with(matching.clone(), "size", 0), "timeout", timeout);
    with(with(body, "track_total_hits", false), "aggs", aggregations)
}

/// Returns the object with this member added.
pub(super) fn with(mut object: Value, name: &str, value: impl Into<Value>) -> Value {
    if let Value::Object(members) = &mut object {
        members.insert(name.to_owned(), value.into());
    }
    object
}

/// Whether the query tests labels, or sorts by one.
pub(super) fn has_labels(query: &Query) -> bool {
    let is_label = |subject: &Subject| matches!(subject, Subject::Label(_));
    query.sort.iter().any(|sort| is_label(sort.subject())) || !filter::tested_labels(&query.filter).is_empty()
}

/// Returns the members of a body that select the matching events, of which a label may be counted.
pub(super) fn matching(query: &Query, counted: Option<&Label>, terms: LabelTerms) -> Value {
    let mut clauses = vec![scope(&query.scope)];
    if query.start.is_some() || query.end.is_some() {
        clauses.push(filter::date_range("@timestamp", query.start, query.end));
    }
    if query.filter != Filter::EVERYTHING {
        clauses.push(filter::clause(&query.filter, terms));
    }
    let matching = json!({"query": {"bool": {"filter": clauses}}});
    let mut names = filter::tested_labels(&query.filter);
    names.extend(counted.map(Label::name));
    if terms == LabelTerms::Exact || names.is_empty() {
        return matching;
    }
    with(matching, "derived", labels::exact_labels(&names))
}

/// Returns the clause for the scope. None matches stubs, which have no time, no references and no spaces.
fn scope(scope: &Scope) -> Value {
    match scope {
        Scope::Objects(objects) => referring(objects),
        Scope::Visible(Visible::Everything) => filter::exists("@timestamp"),
        Scope::Visible(Visible::Spaces(spaces)) => {
            let names: Vec<_> = spaces.iter().map(|space| Space::name(space.as_ref())).collect();
            json!({"terms": {"kibana.space_ids": names}})
        }
    }
}

/// A single clause, so that one and the same reference has to be primary, of the type, with an id, and in the space.
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
    filter::element(PATH, &json!({"bool": {"filter": must, "must_not": must_not}}))
}

/// Returns the body that searches for the last event of a chain.
pub(super) fn last(chain: ChainId, timeout: &str) -> String {
    json!({
        "size": 1,
        "timeout": timeout,
        "track_total_hits": false,
        "query": {"bool": {"filter": [{"term": {"annals.chain": {"value": chain.to_string()}}}]}},
        "sort": [order::by_sequence(Order::Descending)],
    })
    .to_string()
}

/// Returns the body that searches for the documents at positions `from` to `to` of a chain, inclusive.
pub(super) fn at_positions(chain: ChainId, from: i64, to: i64, size: u64, timeout: &str) -> String {
    json!({
        "size": size,
        "timeout": timeout,
        "track_total_hits": false,
        "query": {"bool": {"filter": [
            {"term": {"annals.chain": {"value": chain.to_string()}}},
            {"range": {"annals.sequence": {"gte": from, "lte": to}}},
        ]}},
        "sort": [order::by_sequence(Order::Ascending)],
    })
    .to_string()
}

/// Returns the body that searches for the documents with these ids, or at least for their seals.
pub(super) fn by_ids(ids: &[String], seals_suffice: bool, timeout: &str) -> String {
    json!({
        // A document may be in several indices, if something else has copied it.
        "size": ids.len() * 2,
        "timeout": timeout,
        "track_total_hits": false,
        "query": {"ids": {"values": ids}},
        "_source": if seals_suffice { json!(["annals.seal"]) } else { json!(true) },
    })
    .to_string()
}

/// An answer to a search.
#[derive(Deserialize)]
pub(super) struct SearchAnswer<'a> {
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Shards,
    #[serde(borrow)]
    hits: Hits<'a>,
    /// Absent if there is no index.
    #[serde(borrow, default)]
    aggregations: Option<&'a RawValue>,
    /// The id of the point in time for the next search.
    #[serde(default)]
    pub(super) pit_id: Option<String>,
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
    /// May be anything in documents that are not ours.
    #[serde(borrow, rename = "_id")]
    id: Cow<'a, str>,
    #[serde(borrow, default, rename = "_index")]
    index: Cow<'a, str>,
    #[serde(borrow, rename = "_source")]
    source: &'a RawValue,
    #[serde(borrow, default)]
    sort: Option<&'a RawValue>,
}

impl<'a> SearchAnswer<'a> {
    /// Reads an answer, and fails if it is incomplete.
    pub(super) fn read(answer: &'a Answer) -> Result<Self, StoreError> {
        let found: Self = answer.json()?;
        if found.timed_out {
            return Err(answer.unexpected("the search took too long"));
        }
        if found.shards.failed > 0 {
            return Err(answer.unexpected(format_args!("{} shards failed", found.shards.failed)));
        }
        Ok(found)
    }

    /// Returns the documents byte for byte as stored. They share the answer's memory.
    pub(super) fn documents(&self, answer: &Answer) -> Vec<Bytes> {
        self.hits.hits.iter().map(|hit| answer.body.slice_ref(hit.source.get().as_bytes())).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.hits.hits.len()
    }

    /// Leaves out documents that were read before.
    pub(super) fn leave_out(&mut self, seen: &Seen) {
        if seen.len() > 0 {
            self.hits.hits.retain(|hit| !seen.has(&hit.index, &hit.id));
        }
    }

    /// Returns the end of the page of the first `count` documents, given that of the page before.
    pub(super) fn end(&self, count: usize, sort: &[Sort], before: Option<&[Option<Key>]>) -> Option<Vec<Option<Key>>> {
        let hits = self.hits.hits.get(..count)?;
        let values = |hit: &Hit<'_>| order::end(&serde_json::from_str(hit.sort?.get()).ok()?, sort);
        let end = values(hits.last()?)?;
        if order::are_of_event(&end) {
            return Some(end);
        }
        let mut tied = Seen::default();
        let is_tied = |hit: &&Hit<'_>| values(hit).as_ref() == Some(&end);
        hits.iter().rev().take_while(is_tied).for_each(|hit| tied.add(&hit.index, &hit.id));
        Some(order::with_seen(end, tied, before))
    }

    pub(super) fn total(&self, answer: &Answer) -> Result<u64, StoreError> {
        Ok(self.hits.total.as_ref().ok_or_else(|| answer.unexpected("no total"))?.value)
    }

    /// Returns the sort values of the last of the first `count` documents, as the engine wrote them.
    pub(super) fn sort_values_of(&self, count: usize, answer: &Answer) -> Result<Option<Value>, StoreError> {
        let last = count.checked_sub(1).and_then(|last| self.hits.hits.get(last));
        let Some(sort) = last.and_then(|hit| hit.sort) else { return Ok(None) };
        serde_json::from_str(sort.get()).map(Some).map_err(|error| answer.unexpected(error))
    }

    pub(super) fn aggregations<T: Deserialize<'a> + Default>(&self, answer: &Answer) -> Result<T, StoreError> {
        let Some(aggregations) = self.aggregations else { return Ok(T::default()) };
        serde_json::from_str(aggregations.get()).map_err(|error| answer.unexpected(error))
    }
}

/// Reads a page of at most the query's bytes.
pub(super) fn read_page(answer: &Answer, query: &Query) -> Result<Page, StoreError> {
    let mut found = SearchAnswer::read(answer)?;
    let total = found.total(answer)?;
    let mut skipped = 0;
    let mut before = None;
    if let Some(end) = &query.after {
        found.leave_out(&Seen::of(end));
        before = end.of_document();
    }
    let mut documents = found.documents(answer);
    if query.after.is_some() {
        skipped = documents.len().min(usize::try_from(query.offset).unwrap_or(usize::MAX));
        documents.drain(..skipped);
    }
    documents.truncate(usize::try_from(query.limit).unwrap_or(usize::MAX));
    let within = count_within(&documents, query.bytes);
    let is_cut = within < documents.len();
    documents.truncate(within);
    let end = found.end(skipped + within, &query.sort, before);
    Ok(Page { total, documents, is_cut, end })
}

/// Returns each id with its document, or with the part of it that was requested.
pub(super) fn read_by_ids(answer: &Answer) -> Result<Vec<(String, Bytes)>, StoreError> {
    let found = SearchAnswer::read(answer)?;
    let ids = found.hits.hits.iter().map(|hit| hit.id.to_string());
    Ok(ids.zip(found.documents(answer)).collect())
}

pub(super) fn read_positions(answer: &Answer) -> Result<Vec<ChainDocument>, StoreError> {
    let SearchAnswer { hits: Hits { hits, .. }, .. } = SearchAnswer::read(answer)?;
    let read = |hit: &Hit<'_>| {
        let sequence = hit.sort.and_then(|sort| serde_json::from_str::<[u64; 1]>(sort.get()).ok());
        let [sequence] = sequence.ok_or_else(|| answer.unexpected("a document without a sequence"))?;
        let document = answer.body.slice_ref(hit.source.get().as_bytes());
        Ok(ChainDocument { sequence: Sequence(sequence), id: Some(hit.id.to_string()), document })
    };
    hits.iter().map(read).collect()
}

pub(super) fn read_last(answer: &Answer, chain: ChainId) -> Result<Option<ChainHead>, StoreError> {
    let SearchAnswer { hits: Hits { hits, .. }, .. } = SearchAnswer::read(answer)?;
    let Some(hit) = hits.first() else { return Ok(None) };
    let sequence = hit.sort.and_then(|sort| serde_json::from_str::<[u64; 1]>(sort.get()).ok());
    let [sequence] = sequence.ok_or_else(|| answer.unexpected("an event without a sequence"))?;
    let seal = seal_of(hit.source.get().as_bytes());
    Ok(Some(ChainHead { position: ChainPosition { chain, sequence: Sequence(sequence) }, seal }))
}
