//! Finds out whether the engine is still the same, and still has what it confirmed.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ElasticStore,
    append::{MasterState, index_at_master},
    client::unavailable,
};
use crate::{
    event::ChainPosition,
    store::{StoreError, StoreId, Target},
};

/// The UUID of a cluster that has not formed yet.
const NO_CLUSTER: &str = "_na_";

/// Combines the cluster's own id with the name of the indices, as two prefixes are two stores.
pub(super) async fn identity(store: &ElasticStore) -> Result<StoreId, StoreError> {
    #[derive(Deserialize)]
    struct Cluster {
        cluster_uuid: String,
    }
    let answer = store.client.get("?filter_path=cluster_uuid").await?;
    let Cluster { cluster_uuid } = answer.json()?;
    if cluster_uuid == NO_CLUSTER {
        return Err(unavailable("the cluster has not formed yet".to_owned()));
    }
    Ok(StoreId(format!("{cluster_uuid}/{}", store.names.pattern())))
}

/// Asks for documents by id, which sees them before a refresh.
pub(super) async fn holds(
    store: &ElasticStore,
    positions: &[(Target, ChainPosition)],
) -> Result<Vec<bool>, StoreError> {
    #[derive(Deserialize)]
    struct Found {
        docs: Vec<Document>,
    }
    #[derive(Deserialize)]
    struct Document {
        #[serde(default)]
        found: bool,
        error: Option<Value>,
    }
    if positions.is_empty() {
        return Ok(Vec::new());
    }
    let document =
        |(Target(index), position): &(Target, ChainPosition)| json!({"_index": index, "_id": position.to_string()});
    let documents: Vec<_> = positions.iter().map(document).collect();
    let path = "_mget?_source=false&filter_path=docs._id,docs.found,docs.error";
    let answer = store.client.post(path, json!({"docs": documents}).to_string()).await?;
    let Found { docs } = answer.json()?;
    if docs.len() != positions.len() {
        return Err(answer.unexpected(format_args!("expected {} documents, found {}", positions.len(), docs.len())));
    }
    let mut held = Vec::with_capacity(docs.len());
    for (Document { found, error }, (target, _)) in docs.into_iter().zip(positions) {
        match error {
            None => held.push(found),
            // A node that has not heard of a new index yet may report it as missing.
            Some(_) if matches!(index_at_master(store, target).await?, MasterState::Absent) => held.push(false),
            Some(error) => {
                let reason = error.get("reason").and_then(Value::as_str).unwrap_or_default();
                return Err(unavailable(format!("the index {} cannot be read: {reason}", target.0)));
            }
        }
    }
    Ok(held)
}
