//! The steps of a scan.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{find, readers::Readers};
use crate::{
    query::{Place, Query},
    store::{StoreError, sql::Step},
};

pub(super) struct Steps(pub(super) Arc<Readers>);

#[async_trait]
impl Step for Steps {
    async fn step(
        &self,
        query: &Arc<Query>,
        last_row: i64,
        after: Option<Place>,
        limit: u64,
    ) -> Result<Vec<Bytes>, StoreError> {
        let query = Arc::clone(query);
        self.0.run(move |connection| find::step(connection, &query, last_row, after.as_ref(), limit)).await
    }
}
