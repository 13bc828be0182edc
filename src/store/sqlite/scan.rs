//! Reading on from call to call.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{find, readers::Readers};
use crate::{
    query::{Place, Query, Sort},
    store::{Scan, StoreError},
};

/// The most documents of one step.
const LONGEST_STEP: u64 = 10_000;

/// Holds nothing of the database from one step to the next: only the place where it is, and the last row of its beginning.
pub(super) struct SqliteScan {
    readers: Arc<Readers>,
    query: Arc<Query>,
    last_row: i64,
    after: Option<Place>,
    is_at_end: bool,
}

impl SqliteScan {
    pub(super) async fn begin(readers: Arc<Readers>, query: Query) -> Result<Self, StoreError> {
        let last_row = readers.run(find::last_row).await?;
        let after = query.after.clone();
        Ok(Self { readers, query: Arc::new(query), last_row, after, is_at_end: false })
    }
}

#[async_trait]
impl Scan for SqliteScan {
    async fn next(&mut self, limit: u64) -> Result<Vec<Bytes>, StoreError> {
        if self.is_at_end {
            return Ok(Vec::new());
        }
        let (query, last_row, after) = (Arc::clone(&self.query), self.last_row, self.after.clone());
        let limit = limit.min(LONGEST_STEP);
        let step = move |connection: &mut _| find::step(connection, &query, last_row, after.as_ref(), limit);
        let documents = self.readers.run(step).await?;
        match documents.last() {
            Some(last) => self.after = Some(place(last, &self.query.sort)?),
            None => self.is_at_end = true,
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
