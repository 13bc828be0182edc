//! Finds events by their positions: in any index, for a shipper that has lost the record of where it sent them, or in one.
//!
//! An id is unique only within an index, so an event sent to a different index than before would be stored twice.
//! Closed indices cannot be searched, and are skipped.

use std::collections::HashMap;

use bytes::Bytes;

use super::{
    ElasticStore,
    client::{MAX_ANSWER, require_answer},
    search,
};
use crate::{
    event::SealedEvent,
    integrity::seal_of,
    store::{Outcome, StoreError, occupied::outcome_at},
};

/// The number of ids in one search; the engines return 10,000 documents at most.
const AT_A_TIME: usize = 1_000;

pub(super) async fn look_up(store: &ElasticStore, events: &[SealedEvent]) -> Result<Vec<Option<Outcome>>, StoreError> {
    let found = documents_at(store, &store.names.pattern(), &events.iter().collect::<Vec<_>>()).await?;
    Ok(found.iter().zip(events).map(|(found, event)| Some(outcome_at(found.as_ref()?, event))).collect())
}

/// Returns the documents in these indices at the positions of the events, or at least their seals.
///
/// They are made visible and searched for, because Elasticsearch 9 walks the whole mapping for each document that is got
/// by its id.
pub(super) async fn documents_at(
    store: &ElasticStore,
    indices: &str,
    events: &[&SealedEvent],
) -> Result<Vec<Option<Bytes>>, StoreError> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    store.make_visible_in(indices).await?;
    let mut documents = Vec::with_capacity(events.len());
    for events in events.chunks(AT_A_TIME) {
        let ids: Vec<String> = events.iter().map(|event| event.position.to_string()).collect();
        // Events without a seal are compared byte for byte.
        let seals_suffice = events.iter().all(|event| seal_of(&event.document).is_some());
        let body = search::by_ids(&ids, seals_suffice, &store.search_timeout());
        let answer = require_answer(store.search_in(indices, body, MAX_ANSWER).await?)?;
        let found: HashMap<String, Bytes> = search::read_by_ids(&answer)?.into_iter().collect();
        documents.extend(ids.iter().map(|id| found.get(id).cloned()));
    }
    Ok(documents)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use crate::{
        event::Stream,
        store::{
            EventSink as _, Outcome,
            elastic::tests::{engines::on_each_engine, event_with, events, fresh_chain},
            testing::{draft, position},
        },
    };

    #[tokio::test]
    async fn events_are_found_in_whatever_index_they_are() {
        on_each_engine(async |store| {
            let chain = fresh_chain();
            let first = store.set_up().await;
            store.stored(&first, &events(chain, 0..1_200)).await;
            store.roll_over().await;
            let second = store.target(&Stream::general()).await.unwrap();
            let unsealed = |message: &str| draft().with("message", message).unsealed(position(chain, 1_200));
            store.stored(&second, &[unsealed("stored")]).await;
            let mut sought = events(chain, 0..1_200);
            sought.extend([unsealed("stored"), events(chain, 1_201..1_202).remove(0)]);
            let mut expected = vec![Some(Outcome::Duplicate); 1_201];
            expected.push(None);
            assert_eq!(store.look_up(&sought).await.unwrap(), expected);

            let conflict = |found_seal: &str| Some(Outcome::Conflict { found_seal: found_seal.to_owned() });
            let others = [event_with(chain, 7, "0.other", json!({})), unsealed("another")];
            assert_eq!(store.look_up(&others).await.unwrap(), [conflict("0.seal-7"), conflict("")]);
            assert_eq!(store.look_up(&[]).await.unwrap(), []);
        })
        .await;
    }
}
