//! Exact counts of the values of a field, whatever their number.
//!
//! A terms aggregation is exact, and says so, as long as no shard has more values than it returns. If one has more, all
//! values are paged through in the engine's order, at one point in time, and only the most frequent are kept.
//!
//! The pages are those of a composite aggregation. Of labels in Elasticsearch, which has no reliable ones ([`labels`]), a
//! page is the first terms, in the order of the values, of the events whose label comes after the last page.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::time::Instant;

use super::{
    ElasticStore,
    client::{Answer, unavailable},
    filter,
    labels::{self, LabelTerms},
    order::value_path,
    point::Point,
    search::{self, SearchAnswer, with},
};
use crate::{
    query::{
        Bucket, Key, Label, Subject,
        filter::{Filter, Test},
    },
    schema::{Field, Kind, LONGEST_VALUE, nested_around},
    store::StoreError,
};

/// How many values of the usual length the terms aggregation returns; fewer if they may be longer.
const TERMS_SIZE: u64 = 10_000;

/// How many such values are on a page; below the engines' default for `search.max_buckets`.
const PAGE_VALUES: u64 = 50_000;

/// The most distinct values that are counted.
const MAX_VALUES: u64 = 1_000_000;

/// The field or the label whose values are counted.
pub(super) struct AggregatedField {
    kind: Kind,
    path: String,
    /// How often the usual length of a value goes into the field's.
    length: u64,
    source: Source,
}

/// Where the values are.
enum Source {
    Event,
    /// In the elements of this nested field.
    Elements(&'static str),
    Label(Label, LabelTerms),
}

/// See [`crate::query::Aggregate::Terms`].
pub(super) struct CountedTerms {
    pub(super) buckets: Vec<Bucket>,
    pub(super) distinct: u64,
    pub(super) without: u64,
}

impl AggregatedField {
    pub(super) fn of(field: &Field) -> Self {
        let source = nested_around(field.path).map_or(Source::Event, |nested| Source::Elements(nested.path));
        Self { kind: field.kind, path: value_path(field), length: length(field), source }
    }

    pub(super) fn label(label: &Label, terms: LabelTerms) -> Self {
        let field = label.field();
        let source = Source::Label(label.clone(), terms);
        Self { kind: field.kind, path: label.path(), length: length(field), source }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Wraps the aggregation for the place of the values, under the name `values`.
    pub(super) fn wrap(&self, aggregation: Value) -> Value {
        match &self.source {
            Source::Event | Source::Label(_, LabelTerms::Exact) => json!({"values": aggregation}),
            Source::Elements(path) => within(&json!({"nested": {"path": path}}), &aggregation),
            // The script is slow, and most events may lack the label.
            Source::Label(_, LabelTerms::Joined) => within(&json!({"filter": self.existence()}), &aggregation),
        }
    }

    /// Like [`Self::wrap`], for an aggregation with buckets: an event counts once per bucket, however many of its
    /// elements are in it.
    pub(super) fn wrap_buckets(&self, aggregation: Value) -> Value {
        self.wrap(match self.source {
            Source::Event | Source::Label(..) => aggregation,
            Source::Elements(_) => with(aggregation, "aggs", json!({"events": {"reverse_nested": {}}})),
        })
    }

    /// Returns the members of an aggregation that name the values.
    fn values(&self) -> Value {
        match &self.source {
            Source::Label(label, LabelTerms::Joined) => json!({"script": labels::value_script(label)}),
            Source::Event | Source::Elements(_) | Source::Label(_, LabelTerms::Exact) => json!({"field": self.path}),
        }
    }

    /// Returns the clause for events with a value.
    fn existence(&self) -> Value {
        match &self.source {
            Source::Event => filter::exists(&self.path),
            Source::Elements(path) => filter::element(path, &filter::exists(&self.path)),
            Source::Label(label, terms) => {
                filter::clause(&Filter::Value(Subject::Label(label.clone()), Test::Exists), *terms)
            }
        }
    }

    /// Counts the values of the matching events, and keeps the `limit` most frequent.
    pub(super) async fn count(
        &self,
        store: &ElasticStore,
        matching: &Value,
        limit: usize,
    ) -> Result<CountedTerms, StoreError> {
        let deadline = Instant::now() + store.client.request_timeout();
        let terms = self.wrap_buckets(json!({"terms": with(self.values(), "size", TERMS_SIZE / self.length)}));
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
            let answer = point.search(self.request_body(store, matching, self.page(after.as_ref()))).await?;
            let AggregatedValues { values: page, without } = read::<ValuePage>(&point.read(&answer)?, &answer)?;
            counted.without = without;
            after = self.end(&page);
            let buckets = page.buckets.into_iter().map(PageBucket::into_parts);
            counted.add(self.to_buckets(&answer, buckets)?, self.kind, limit);
            if after.is_none() {
                break;
            }
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

    /// Returns the aggregation for the values after the end of a page.
    fn page(&self, after: Option<&Value>) -> Value {
        let size = self.page_size();
        if let Source::Label(_, LabelTerms::Exact) = self.source {
            // The engine takes no range of a label without both bounds.
            let counted: Vec<Value> =
                after.map(|last| json!({"range": {&self.path: {"gte": "", "lte": last}}})).into_iter().collect();
            let terms = json!({"terms": {"field": self.path, "size": size, "order": {"_key": "asc"}}});
            return within(&json!({"filter": {"bool": {"must_not": counted}}}), &terms);
        }
        let page = json!({"size": size, "sources": [{"value": {"terms": self.values()}}]});
        let page = match after {
            Some(after) => with(page, "after", after.clone()),
            None => page,
        };
        self.wrap_buckets(json!({"composite": page}))
    }

    /// Returns the end of a page; `None` if it is the last one.
    fn end(&self, page: &ValuePage) -> Option<Value> {
        match self.source {
            Source::Label(_, LabelTerms::Exact) => {
                let is_full = page.buckets.len() as u64 >= self.page_size();
                page.buckets.last().filter(|_| is_full).map(|bucket| bucket.key.clone())
            }
            Source::Event | Source::Elements(_) | Source::Label(_, LabelTerms::Joined) => page.after_key.clone(),
        }
    }

    fn page_size(&self) -> u64 {
        PAGE_VALUES / self.length
    }

    fn request_body(&self, store: &ElasticStore, matching: &Value, aggregations: Value) -> Value {
        let without = json!({"filter": {"bool": {"must_not": [self.existence()]}}});
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

/// Returns how often the usual length of a value goes into that of this field.
fn length(field: &Field) -> u64 {
    u64::from(field.longest_value.div_ceil(LONGEST_VALUE))
}

/// Returns the aggregation of the documents that another one selects.
fn within(selection: &Value, aggregation: &Value) -> Value {
    json!({"within": with(selection.clone(), "aggs", json!({"values": aggregation}))})
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
        within: Option<Within<'a>>,
        #[serde(default)]
        without: Option<Documents>,
    }
    #[derive(Deserialize)]
    struct Within<'a> {
        #[serde(borrow)]
        values: &'a RawValue,
    }
    let Aggregations { values, within, without } = found.aggregations(answer)?;
    let values = match values.or(within.map(|within| within.values)) {
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
struct ValuePage {
    /// Of a composite aggregation, unless it was its last page.
    #[serde(default)]
    after_key: Option<Value>,
    buckets: Vec<PageBucket>,
}

#[derive(Deserialize)]
struct PageBucket {
    /// The value, or an object with it.
    key: Value,
    #[serde(flatten)]
    counts: Counts,
}

impl PageBucket {
    /// Returns the value and the number of events.
    fn into_parts(mut self) -> (Value, u64) {
        let value = self.key.get_mut("value").map(Value::take);
        (value.unwrap_or(self.key), self.counts.events())
    }
}
