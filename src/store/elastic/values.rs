//! Exact counts of the values of a field, whatever their number.
//!
//! A terms aggregation is exact, and says so, as long as no shard has more values than it returns. If one has more, all
//! values are paged through in the engine's order, at one point in time, and only the most frequent are kept.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::time::Instant;

use super::{
    ElasticStore,
    client::{Answer, unavailable},
    filter,
    order::value_path,
    point::Point,
    search::{self, SearchAnswer, with},
};
use crate::{
    query::{Bucket, Key},
    schema::{Field, Kind, LONGEST_VALUE, nested_around},
    store::StoreError,
};

/// How many values of the usual length the terms aggregation returns; fewer if they may be longer.
const TERMS_SIZE: u64 = 10_000;

/// How many such values are on a page; below the engines' default for `search.max_buckets`.
const PAGE_VALUES: u64 = 50_000;

/// The most distinct values that are counted.
const MAX_VALUES: u64 = 1_000_000;

/// The field whose values are counted.
pub(super) struct AggregatedField {
    kind: Kind,
    path: String,
    /// How often the usual length of a value goes into the field's.
    length: u64,
    /// The nested field whose elements have the values.
    elements: Option<&'static str>,
}

/// See [`crate::query::Aggregate::Terms`].
pub(super) struct CountedTerms {
    pub(super) buckets: Vec<Bucket>,
    pub(super) distinct: u64,
    pub(super) without: u64,
}

impl AggregatedField {
    pub(super) fn of(field: &Field) -> Self {
        let elements = nested_around(field.path).map(|nested| nested.path);
        let length = u64::from(field.longest_value.div_ceil(LONGEST_VALUE));
        Self { kind: field.kind, path: value_path(field), length, elements }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Wraps the aggregation for the place of the values, under the name `values`.
    pub(super) fn wrap(&self, aggregation: Value) -> Value {
        match self.elements {
            None => json!({"values": aggregation}),
            Some(path) => json!({"elements": {"nested": {"path": path}, "aggs": {"values": aggregation}}}),
        }
    }

    /// Like [`Self::wrap`], for an aggregation with buckets: an event counts once per bucket, however many of its
    /// elements are in it.
    pub(super) fn wrap_buckets(&self, aggregation: Value) -> Value {
        self.wrap(match self.elements {
            None => aggregation,
            Some(_) => with(aggregation, "aggs", json!({"events": {"reverse_nested": {}}})),
        })
    }

    /// Counts the values of the matching events, and keeps the `limit` most frequent.
    pub(super) async fn count(
        &self,
        store: &ElasticStore,
        matching: &Value,
        limit: usize,
    ) -> Result<CountedTerms, StoreError> {
        let deadline = Instant::now() + store.client.request_timeout();
        let terms = self.wrap_buckets(json!({"terms": {"field": self.path, "size": TERMS_SIZE / self.length}}));
        let answer = store.search(self.request_body(store, matching, terms)).await?;
        let AggregatedValues { values, without } = read::<Terms>(&SearchAnswer::read(&answer)?, &answer)?;
        let Terms { sum_other_doc_count, doc_count_error_upper_bound, buckets } = values;
        if sum_other_doc_count > 0 || doc_count_error_upper_bound > 0 {
            return self.count_all(store, matching, limit, deadline).await;
        }
        let mut counted = CountedTerms { buckets: Vec::new(), distinct: 0, without };
        let buckets = buckets.into_iter().map(|TermsBucket { key, counts }| (key, counts.events()));
        counted.add(self.to_buckets(&answer, buckets)?, self.kind, limit);
        Ok(counted)
    }

    async fn count_all(
        &self,
        store: &ElasticStore,
        matching: &Value,
        limit: usize,
        deadline: Instant,
    ) -> Result<CountedTerms, StoreError> {
        let mut point = Point::open(store).await?;
        let mut counted = CountedTerms { buckets: Vec::new(), distinct: 0, without: 0 };
        let mut after: Option<Value> = None;
        while !point.is_empty() {
            let pages =
                json!({"size": PAGE_VALUES / self.length, "sources": [{"value": {"terms": {"field": self.path}}}]});
            let pages = after.take().map_or_else(|| pages.clone(), |after| with(pages.clone(), "after", after));
            let pages = self.wrap_buckets(json!({"composite": pages}));
            let answer = point.search(self.request_body(store, matching, pages)).await?;
            let AggregatedValues { values: Composite { after_key, buckets }, without } =
                read(&point.read(&answer)?, &answer)?;
            counted.without = without;
            let buckets = buckets.into_iter().map(|CompositeBucket { key, counts }| (key.value, counts.events()));
            counted.add(self.to_buckets(&answer, buckets)?, self.kind, limit);
            if after_key.is_none() {
                break;
            }
            after = after_key;
            if counted.distinct >= MAX_VALUES {
                let reason =
                    format!("{} has more than {MAX_VALUES} values among these events: select fewer events", self.path);
                return Err(StoreError::Refused { reason });
            }
            if Instant::now() >= deadline {
                return Err(unavailable(format!("{} has too many values to be counted in time", self.path)));
            }
        }
        point.close().await;
        Ok(counted)
    }

    fn request_body(&self, store: &ElasticStore, matching: &Value, aggregations: Value) -> Value {
        let has = filter::exists(&self.path);
        let has = self.elements.map_or_else(|| has.clone(), |path| filter::element(path, &has));
        let without = json!({"filter": {"bool": {"must_not": [has]}}});
        search::aggregations(matching, with(aggregations, "without", without), &store.search_timeout())
    }

    fn to_buckets(
        &self,
        answer: &Answer,
        buckets: impl Iterator<Item = (Value, u64)>,
    ) -> Result<Vec<Bucket>, StoreError> {
        let bucket = |(value, events): (Value, u64)| match self.key(&value) {
            Some(value) => Ok(Bucket { value, events }),
            None => Err(answer.unexpected(format_args!("{value} as a value of {}", self.path))),
        };
        buckets.map(bucket).collect()
    }

    /// Converts a value of an answer to a key.
    fn key(&self, value: &Value) -> Option<Key> {
        match self.kind {
            // A number in a terms aggregation, a boolean in a composite one.
            Kind::Boolean => value.as_i64().or(value.as_bool().map(i64::from)).map(Key::Integer),
            Kind::Date | Kind::Long | Kind::Long64 => value.as_i64().map(Key::Integer),
            Kind::Float => value.as_f64().map(Key::Number),
            Kind::Ip => {
                value.as_str()?.parse().ok().map(|address: IpAddr| Key::Text(address.to_canonical().to_string()))
            }
            Kind::Keyword
            | Kind::Text
            | Kind::DateRange
            | Kind::GeoPoint
            | Kind::Version
            | Kind::Labels
            | Kind::Flattened
            | Kind::Json
            | Kind::Nested
            | Kind::Objects => value.as_str().map(|text| Key::Text(text.to_owned())),
        }
    }
}

impl CountedTerms {
    /// Adds values that are not there yet, and keeps only the `limit` most frequent.
    fn add(&mut self, buckets: Vec<Bucket>, kind: Kind, limit: usize) {
        self.distinct += buckets.len() as u64;
        self.buckets.extend(buckets);
        self.buckets
            .sort_by(|one, other| other.events.cmp(&one.events).then(one.value.compare_counted(&other.value, kind)));
        self.buckets.truncate(limit);
    }
}

/// The result of an aggregation, and how many events have no value.
#[derive(Default)]
pub(super) struct AggregatedValues<T> {
    pub(super) values: T,
    pub(super) without: u64,
}

/// Reads the answer to [`AggregatedField::wrap`]. Without indices there are no aggregations in the answer.
pub(super) fn read<'a, T: Deserialize<'a> + Default>(
    found: &SearchAnswer<'a>,
    answer: &Answer,
) -> Result<AggregatedValues<T>, StoreError> {
    #[derive(Default, Deserialize)]
    struct Aggregations<'a> {
        #[serde(borrow, default)]
        values: Option<&'a RawValue>,
        #[serde(borrow, default)]
        elements: Option<Elements<'a>>,
        #[serde(default)]
        without: Option<Documents>,
    }
    #[derive(Deserialize)]
    struct Elements<'a> {
        #[serde(borrow)]
        values: &'a RawValue,
    }
    let Aggregations { values, elements, without } = found.aggregations(answer)?;
    let values = match values.or(elements.map(|elements| elements.values)) {
        Some(values) => serde_json::from_str(values.get()).map_err(|error| answer.unexpected(error))?,
        None => T::default(),
    };
    Ok(AggregatedValues { values, without: without.map_or(0, |without| without.doc_count) })
}

#[derive(Clone, Copy, Deserialize)]
struct Documents {
    doc_count: u64,
}

/// The number of documents, and of events if the documents are nested elements.
#[derive(Clone, Copy, Deserialize)]
pub(super) struct Counts {
    doc_count: u64,
    #[serde(default)]
    events: Option<Documents>,
}

impl Counts {
    pub(super) fn events(self) -> u64 {
        self.events.map_or(self.doc_count, |events| events.doc_count)
    }
}

#[derive(Default, Deserialize)]
struct Terms {
    sum_other_doc_count: u64,
    /// -1 if the engine does not know.
    doc_count_error_upper_bound: i64,
    buckets: Vec<TermsBucket>,
}

#[derive(Deserialize)]
struct TermsBucket {
    key: Value,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Default, Deserialize)]
struct Composite {
    #[serde(default)]
    after_key: Option<Value>,
    buckets: Vec<CompositeBucket>,
}

#[derive(Deserialize)]
struct CompositeBucket {
    key: CompositeKey,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Deserialize)]
struct CompositeKey {
    value: Value,
}
