//! The batches of a scan.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{find, readers::Readers};
use crate::{
    query::{Place, Query},
    store::{StoreError, sql::BatchReader},
};

#[async_trait]
impl BatchReader for Arc<Readers> {
    async fn read_batch(
        &self,
        query: &Arc<Query>,
        last_row: i64,
        after: Option<Place>,
        limit: u64,
    ) -> Result<Vec<Bytes>, StoreError> {
        let query = Arc::clone(query);
        self.run(move |connection| find::read_batch(connection, &query, last_row, after.as_ref(), limit)).await
    }
}
