//! Reading on from call to call.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    query::{Place, Query, Sort},
    store::{IndexError, Scan, StoreError},
};

/// The most documents of one step.
const LONGEST_STEP: u64 = 10_000;

/// How a database reads one step.
#[async_trait]
pub(in crate::store) trait Step: Send + Sync {
    /// The documents of the query behind this place, up to a row; none only at the end.
    async fn step(
        &self,
        query: &Arc<Query>,
        last_row: i64,
        after: Option<Place>,
        limit: u64,
    ) -> Result<Vec<Bytes>, StoreError>;
}

/// A scan that holds nothing of the database from one step to the next: only the place where it is, and the last row of its
/// beginning, before which no row is added any more.
pub(in crate::store) struct Reading<S> {
    steps: S,
    query: Arc<Query>,
    last_row: i64,
    after: Option<Place>,
    is_at_end: bool,
}

impl<S: Step> Reading<S> {
    pub(in crate::store) fn begin(steps: S, query: Query, last_row: i64) -> Self {
        let after = query.after.clone();
        Self { steps, query: Arc::new(query), last_row, after, is_at_end: false }
    }
}

#[async_trait]
impl<S: Step> Scan for Reading<S> {
    async fn next(&mut self, limit: u64) -> Result<Vec<Bytes>, IndexError> {
        if self.is_at_end {
            return Ok(Vec::new());
        }
        let limit = limit.min(LONGEST_STEP);
        let documents = self.steps.step(&self.query, self.last_row, self.after.clone(), limit).await?;
        match documents.last() {
            Some(last) => self.after = Some(place(last, &self.query.sort)?),
            None => self.is_at_end = limit > 0,
        }
        Ok(documents)
    }

    async fn close(self: Box<Self>) {}
}

fn place(document: &[u8], sort: &[Sort]) -> Result<Place, StoreError> {
    let parsed = serde_json::from_slice(document).ok();
    let place = parsed.and_then(|document| Place::of(&document, sort));
    place.ok_or_else(|| StoreError::Blocked { reason: "a stored document has no position".to_owned() })
}
