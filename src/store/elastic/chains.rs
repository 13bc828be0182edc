//! The chains in an engine, and how far each reaches without a gap.
//!
//! An index may have a copy, so that a position counts twice. Within one index it cannot, as the position determines
//! the id: a span is complete if one index has as many of its events as it is long. Spans are divided further, into a
//! thousand each time, until the rest is short enough to be checked position by position.

use serde::Deserialize;
use serde_json::{Number, Value, json};

use super::{
    ElasticStore, filter,
    search::{self, SearchAnswer, with},
};
use crate::{
    event::{ChainEntry, ChainId, ChainPosition, Sequence, UnixMillis},
    store::StoreError,
};

const CHAIN: &str = "annals.chain";
const SEQUENCE: &str = "annals.sequence";
const RECEIVED: &str = "annals.received";
const WRITER: &str = "kibana.server_uuid";

/// How many positions are checked one by one.
const MAX_CHECKED: u64 = 10_000;

/// The number of parts into which a long span is divided.
const SPANS: u64 = 1_000;

/// How many chains are on a page; below the engines' default for `search.max_buckets`.
const PAGE_CHAINS: u64 = 10_000;

/// Returns the last entry of each chain.
pub(super) async fn chains(store: &ElasticStore) -> Result<Vec<ChainEntry>, StoreError> {
    let greatest = |field| json!({"max": {"field": field}});
    let ends = json!({"last": greatest(SEQUENCE), "received": greatest(RECEIVED)});
    let chains = pages(store, filter::exists(CHAIN), ends).await?;
    Ok(chains.iter().filter_map(ChainBucket::end).collect())
}

/// Returns the chains that have events of this writer.
pub(super) async fn of_writer(store: &ElasticStore, writer: &str) -> Result<Vec<ChainId>, StoreError> {
    let chains = pages(store, json!({"term": {WRITER: {"value": writer}}}), json!({})).await?;
    Ok(chains.iter().filter_map(|chain| chain.key.chain.parse().ok()).collect())
}

/// Reads the chains of the matching documents, page by page in the order of their ids.
async fn pages(store: &ElasticStore, matching: Value, aggregations: Value) -> Result<Vec<ChainBucket>, StoreError> {
    let matching = json!({"query": matching});
    let (mut chains, mut after) = (Vec::new(), None);
    loop {
        let pages = json!({"size": PAGE_CHAINS, "sources": [{"chain": {"terms": {"field": CHAIN}}}]});
        let pages = after.take().map_or_else(|| pages.clone(), |after: Value| with(pages.clone(), "after", after));
        let pages = json!({"chains": {"composite": pages, "aggs": aggregations}});
        let body = search::aggregations(&matching, pages, &store.search_timeout());
        let answer = store.search(body).await?;
        let ChainsAggregation { chains: page } = SearchAnswer::read(&answer)?.aggregations(&answer)?;
        chains.extend(page.buckets);
        after = page.after_key;
        if after.is_none() {
            return Ok(chains);
        }
    }
}

pub(super) async fn first(
    store: &ElasticStore,
    chain: ChainId,
    from: Sequence,
) -> Result<Option<ChainEntry>, StoreError> {
    let Sequence(from) = from;
    let Ok(end) = i64::try_from(from).map(|_| i64::MAX.unsigned_abs()) else { return Ok(None) };
    let least = |field| json!({"min": {"field": field}});
    let first = json!({"first": least(SEQUENCE), "received": least(RECEIVED)});
    let FirstAggregation { first, received } = Positions { store, chain }.ask(from, end, first).await?;
    let entry = |(first, received): (f64, f64)| {
        let position = ChainPosition { chain, sequence: Sequence(first as u64) };
        // Times never decrease along a chain, so the earliest is that of the first event.
        ChainEntry { position, received: UnixMillis(received as i64) }
    };
    Ok(first.value.zip(received.value).map(entry))
}

pub(super) async fn reach(
    store: &ElasticStore,
    chain: ChainId,
    from: Sequence,
) -> Result<Option<Sequence>, StoreError> {
    let positions = Positions { store, chain };
    let Sequence(from) = from;
    let mut next = from;
    let Some(last) = positions.last(from).await? else { return Ok(None) };
    while next <= last {
        next = positions.skip_complete(next, last).await?;
        let (contiguous, checked) = positions.count_contiguous(next, last).await?;
        next += contiguous;
        if contiguous < checked {
            break;
        }
    }
    Ok((next > from).then(|| Sequence(next - 1)))
}

/// The positions of one chain.
struct Positions<'a> {
    store: &'a ElasticStore,
    chain: ChainId,
}

impl Positions<'_> {
    /// Returns the last position that is not before `from`.
    async fn last(&self, from: u64) -> Result<Option<u64>, StoreError> {
        // The engines have no greater numbers, and refuse them in queries.
        let Ok(end) = i64::try_from(from).map(|_| i64::MAX.unsigned_abs()) else { return Ok(None) };
        let LastAggregation { last } = self.ask(from, end, json!({"last": {"max": {"field": SEQUENCE}}})).await?;
        Ok(last.value.map(|last| last as u64))
    }

    /// Skips positions from `from` that are certainly complete, until fewer than [`MAX_CHECKED`] remain that may have a
    /// gap.
    async fn skip_complete(&self, from: u64, last: u64) -> Result<u64, StoreError> {
        let (mut next, mut end) = (from, last);
        while next <= end && end - next >= MAX_CHECKED {
            let length = (end - next + 1).div_ceil(SPANS);
            let spans = json!({
                "histogram": {"field": SEQUENCE, "interval": length, "offset": next % length, "min_doc_count": 1},
                "aggs": {"indices": {"terms": {"field": "_index", "size": 1}}},
            });
            let SpansAggregation { spans } = self.ask(next, end, json!({"spans": spans})).await?;
            for span in spans.buckets {
                let whole = length.min(end - next + 1);
                if span.key as u64 != next || span.in_one_index() < whole {
                    break;
                }
                next += whole;
            }
            end = end.min(next.saturating_add(length - 1));
        }
        Ok(next)
    }

    /// Checks the next few positions from `from`; returns how many follow without a gap, and how many were checked.
    async fn count_contiguous(&self, from: u64, last: u64) -> Result<(u64, u64), StoreError> {
        if from > last {
            return Ok((0, 0));
        }
        let end = last.min(from + (MAX_CHECKED - 1));
        let terms = json!({"terms": {"field": SEQUENCE, "size": MAX_CHECKED, "order": {"_key": "asc"}}});
        let PositionsAggregation { positions } = self.ask(from, end, json!({"positions": terms})).await?;
        let follows = positions.buckets.iter().zip(from..=end).take_while(|(bucket, expected)| bucket.is_at(*expected));
        Ok((follows.count() as u64, end - from + 1))
    }

    async fn ask<T: for<'a> Deserialize<'a> + Default>(
        &self,
        from: u64,
        end: u64,
        aggregations: Value,
    ) -> Result<T, StoreError> {
        let matching = json!({"query": {"bool": {"filter": [
            {"term": {"annals.chain": {"value": self.chain.to_string()}}},
            {"range": {SEQUENCE: {"gte": from, "lte": end}}},
        ]}}});
        let body = search::aggregations(&matching, aggregations, &self.store.search_timeout());
        let answer = self.store.search(body).await?;
        SearchAnswer::read(&answer)?.aggregations(&answer)
    }
}

#[derive(Default, Deserialize)]
struct ChainsAggregation {
    chains: CompositePage,
}

#[derive(Default, Deserialize)]
struct CompositePage {
    buckets: Vec<ChainBucket>,
    #[serde(default)]
    after_key: Option<Value>,
}

#[derive(Deserialize)]
struct ChainBucket {
    key: ChainKey,
    #[serde(default)]
    last: Extreme,
    #[serde(default)]
    received: Extreme,
}

#[derive(Deserialize)]
struct ChainKey {
    chain: String,
}

impl ChainBucket {
    /// Returns `None` for documents that are not ours, which an index of this name may contain.
    fn end(&self) -> Option<ChainEntry> {
        let chain = self.key.chain.parse().ok()?;
        let position = ChainPosition { chain, sequence: Sequence(self.last.value? as u64) };
        Some(ChainEntry { position, received: UnixMillis(self.received.value? as i64) })
    }
}

#[derive(Default, Deserialize)]
struct FirstAggregation {
    first: Extreme,
    received: Extreme,
}

#[derive(Default, Deserialize)]
struct LastAggregation {
    last: Extreme,
}

/// The result of a `max` or `min` aggregation.
#[derive(Default, Deserialize)]
struct Extreme {
    value: Option<f64>,
}

#[derive(Default, Deserialize)]
struct SpansAggregation {
    spans: Buckets<RangeBucket>,
}

#[derive(Deserialize)]
struct Buckets<T> {
    buckets: Vec<T>,
}

impl<T> Default for Buckets<T> {
    fn default() -> Self {
        Self { buckets: Vec::new() }
    }
}

#[derive(Deserialize)]
struct RangeBucket {
    key: f64,
    indices: Buckets<IndexBucket>,
}

#[derive(Deserialize)]
struct IndexBucket {
    doc_count: u64,
}

impl RangeBucket {
    /// Returns the number of positions in the index that has the most.
    fn in_one_index(&self) -> u64 {
        self.indices.buckets.first().map_or(0, |index| index.doc_count)
    }
}

#[derive(Default, Deserialize)]
struct PositionsAggregation {
    positions: Buckets<PositionBucket>,
}

#[derive(Deserialize)]
struct PositionBucket {
    key: Number,
}

impl PositionBucket {
    /// A fraction, if an index of others has fractions in this field.
    fn is_at(&self, position: u64) -> bool {
        self.key.as_u64() == Some(position) || self.key.as_f64() == Some(position as f64)
    }
}
