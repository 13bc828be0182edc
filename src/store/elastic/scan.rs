//! Reading on and on: a point in time, and each page behind the last event of the one before.

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    ElasticStore, order,
    point::Point,
    search::{self, with},
};
use crate::{
    query::Query,
    store::{Scan, StoreError},
};

/// The most events of one page; the engines' own `index.max_result_window`.
const PAGE_EVENTS: u64 = 10_000;

/// About as much as a page should weigh, in bytes.
const PAGE_BYTES: u64 = 16 << 20;

/// How many events are asked for as long as it is not known how large they are.
const FIRST_PAGE_EVENTS: u64 = 200;

pub(super) struct ElasticScan {
    /// `None` at the end.
    pub(super) point: Option<Point>,
    /// What is asked for each time.
    question: Value,
    /// Where the last event stood that was read, in the engine's own words.
    after: Option<Value>,
    /// How many events a page has at most, by the size of those before.
    page: u64,
}

impl ElasticScan {
    pub(super) async fn open(store: &ElasticStore, query: &Query) -> Result<Self, StoreError> {
        let point = Point::open(store).await?;
        let question = json!({
            "timeout": store.search_timeout(),
            "track_total_hits": false,
            "query": search::matching(query),
            "sort": order::keys(&query.sort),
        });
        let after = query.after.as_ref().map(|place| order::place(place, &query.sort).into());
        let point = Some(point).filter(|point| !point.is_empty());
        Ok(Self { point, question, after, page: FIRST_PAGE_EVENTS })
    }
}

#[async_trait]
impl Scan for ElasticScan {
    /// A call that failed may be made again. It then asks for less, lest the size of the answer was what failed.
    async fn next(&mut self, limit: u64) -> Result<Vec<Bytes>, StoreError> {
        let Some(point) = &mut self.point else { return Ok(Vec::new()) };
        let size = limit.min(self.page);
        if size == 0 {
            return Ok(Vec::new());
        }
        let mut body = with(self.question.clone(), "size", size);
        if let Some(after) = &self.after {
            body = with(body, "search_after", after.clone());
        }
        self.page = size.div_ceil(2);
        let answer = point.search(body).await?;
        let found = point.read(&answer)?;
        let documents = found.documents(&answer);
        if (documents.len() as u64) < size {
            self.point = None;
        }
        self.after = found.last_place(&answer)?;
        let bytes: u64 = documents.iter().map(|document| document.len() as u64).sum();
        self.page = (PAGE_BYTES * size / bytes.max(1)).clamp(1, PAGE_EVENTS);
        Ok(documents)
    }

    async fn close(self: Box<Self>) {
        if let Some(point) = self.point {
            point.close().await;
        }
    }
}
