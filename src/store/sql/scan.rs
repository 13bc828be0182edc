//! Scans that read batch by batch.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    query::{ForeignPlace, Place, Query, Sort},
    store::{IndexError, Scan, StoreError},
};

/// The most documents in a batch.
const MAX_BATCH: u64 = 10_000;

/// Reads one batch from a database.
#[async_trait]
pub(in crate::store) trait BatchReader: Send + Sync {
    /// Returns the documents after this place, up to a row; none only at the end.
    async fn read_batch(
        &self,
        query: &Arc<Query>,
        last_row: i64,
        after: Option<Place>,
        limit: u64,
    ) -> Result<Vec<Bytes>, StoreError>;
}

/// A scan that holds no resources of the database between batches: only its place, and the last row that existed when
/// it began. No rows are added below that one later.
pub(in crate::store) struct PagedScan<S> {
    reader: S,
    query: Arc<Query>,
    last_row: i64,
    after: Option<Place>,
    is_at_end: bool,
}

impl<S: BatchReader> PagedScan<S> {
    pub(in crate::store) fn begin(reader: S, query: Query, last_row: i64) -> Result<Self, ForeignPlace> {
        let after = query.after_event()?.cloned();
        Ok(Self { reader, query: Arc::new(query), last_row, after, is_at_end: false })
    }
}

#[async_trait]
impl<S: BatchReader> Scan for PagedScan<S> {
    async fn next(&mut self, limit: u64) -> Result<Vec<Bytes>, IndexError> {
        if self.is_at_end {
            return Ok(Vec::new());
        }
        let limit = limit.min(MAX_BATCH);
        let documents = self.reader.read_batch(&self.query, self.last_row, self.after.clone(), limit).await?;
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
