//! A point in time: a snapshot that the engine keeps, so that several searches see the same events.
//!
//! The engine releases it after [`KEEP_ALIVE`] without a search. Closing or dropping the point releases it earlier. If
//! the engine opens none, the error says why: there is no other way to continue reading that misses nothing.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::{
    ElasticStore,
    client::{Answer, Client, MAX_ANSWER, require_answer, unavailable},
    flavor::Product,
    search::{SearchAnswer, WHOLE, with},
};
use crate::store::StoreError;

/// How long the engine keeps the point from one search to the next.
pub(super) const KEEP_ALIVE: &str = "5m";

pub(super) struct Point {
    client: Arc<Client>,
    product: Product,
    /// `None` if there is no index, or the point was released.
    id: Option<String>,
}

impl Point {
    /// Opens a point on the state that this store's searches see now, hence on the same shard copies. Searches at the
    /// point must not name copies, as the engine uses those of the point.
    pub(super) async fn open(store: &ElasticStore) -> Result<Self, StoreError> {
        let product = store.flavor().await?.product;
        let id = product.open_point(&store.client, &store.names.pattern(), &store.preference, KEEP_ALIVE).await?;
        Ok(Self { client: store.client.clone(), product, id })
    }

    /// Whether there is nothing to search.
    pub(super) fn is_empty(&self) -> bool {
        self.id.is_none()
    }

    #[cfg(test)]
    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Runs a search with this body. Its answer has to be read with [`Self::read`].
    pub(super) async fn search(&self, body: Value) -> Result<Answer, StoreError> {
        require_answer(self.search_within(body, MAX_ANSWER).await?)
    }

    /// Returns `None` if the answer has more than `max_bytes` bytes.
    pub(super) async fn search_within(&self, body: Value, max_bytes: usize) -> Result<Option<Answer>, StoreError> {
        let body = with(body, "pit", json!({"id": self.id, "keep_alive": KEEP_ALIVE}));
        self.client.search(&format!("_search?{WHOLE}"), body.to_string(), max_bytes).await
    }

    pub(super) fn read<'a>(&mut self, answer: &'a Answer) -> Result<SearchAnswer<'a>, StoreError> {
        // Path and query are valid, so it is the point that was not found.
        if answer.status == 404 {
            let reason = "the engine no longer holds the events that are being read, because it waited for too long or a \
                          node or an index went away; begin again";
            return Err(unavailable(format!("{reason}: {}", answer.error())));
        }
        let found = SearchAnswer::read(answer)?;
        if let Some(id) = &found.pit_id {
            self.id = Some(id.clone());
        }
        Ok(found)
    }

    /// Releases the point. If the engine cannot be reached, it releases the point by itself.
    pub(super) async fn close(mut self) {
        if let Some(id) = self.id.take() {
            self.product.close_point(&self.client, &id).await;
        }
    }
}

impl Drop for Point {
    fn drop(&mut self) {
        if let (Some(id), Ok(runtime)) = (self.id.take(), Handle::try_current()) {
            let (client, product) = (self.client.clone(), self.product);
            runtime.spawn(async move { product.close_point(&client, &id).await });
        }
    }
}
