//! Appends events so that each is in the engine exactly once, whatever answers get lost.
//!
//! # Why it is exactly once
//!
//! 1. An event is only ever sent to the one index that it is bound to, under the id of its position, with `create`. An
//!    id is unique in an index. So however often the event is sent, and however late an earlier request arrives, that
//!    index has it once.
//! 2. It is sent through the index's private alias, with `require_alias`. The template creates the alias with the
//!    index, and it is deleted with it; so a late request for a deleted index finds nothing, and creates nothing.
//! 3. So events may be bound to another index only if their own no longer exists: then none of them is in it, and none
//!    can get into it. **Only the elected master saying so justifies `TargetLost`.** A node that has not yet heard of a
//!    new index may report it as missing; the master knows.
//!
//! An index that exists but takes no writes (blocked or closed) is never abandoned. Blocks can be lifted, and then a
//! request that a node still holds would be executed after all, when its events have long been stored elsewhere. No
//! lookup, however careful, sees a request that has not arrived yet. Instead:
//!
//! - While the index is the write index of its alias, every event of the stream waits for it: `Blocked`.
//! - Once the alias has moved on, only the few events wait that were bound to the index before. Those already in it,
//!   whose answers were lost, are found by a lookup and are `Duplicate`. If others remain, the error says that they
//!   wait for the index to become writable, or to be deleted.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    ElasticStore,
    bulk::{self, Item},
    client::unavailable,
    look_up::documents_at,
    names, setup,
};
use crate::{
    event::SealedEvent,
    integrity::is_stub,
    store::{Outcome, SinkError, StoreError, Target, occupied::outcome_at},
};

pub(super) async fn append(
    store: &ElasticStore,
    target: &Target,
    events: &[SealedEvent],
) -> Result<Vec<Outcome>, SinkError> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let items = send(store, target, bulk::creates(events, &store.bodies), events.len()).await?;
    if items.iter().all(|item| *item == Item::Stored) {
        return Ok(vec![Outcome::Stored; items.len()]);
    }
    determine_outcomes(store, target, events, items).await
}

/// Sends a bulk body through the private alias of the target.
async fn send(store: &ElasticStore, target: &Target, body: Bytes, items: usize) -> Result<Vec<Item>, SinkError> {
    // The engine gives up on a shard before we give up on the engine, so that there is an answer.
    let patience = store.client.bulk_timeout().as_millis() / 2;
    let path = format!("{}/_bulk?require_alias=true&timeout={patience}ms&{}", names::writer(&target.0), bulk::ANSWER);
    let answer = store.client.bulk(&path, body).await?;
    if answer.status == 413 {
        return Err(SinkError::TooLarge);
    }
    if !answer.is_success() {
        return Err(match answer.failure() {
            // Only the engine itself refuses events for their content, with this status and a named error. A proxy in
            // front of it may answer with other refusals for a while, such as 404.
            failure if answer.status != 400 || answer.error().kind.is_empty() => as_transient(failure),
            failure => failure.into(),
        });
    }
    Ok(bulk::read(&answer.body, items).map_err(|error| answer.unexpected(error))?)
}

/// Converts an error of an auxiliary request. It says nothing about the events, so it never becomes a refusal.
fn as_transient(error: StoreError) -> SinkError {
    match error {
        StoreError::Refused { reason } => SinkError::Unavailable { reason, retry_after: None },
        error @ (StoreError::Unavailable { .. }
        | StoreError::Blocked { .. }
        | StoreError::Denied { .. }
        | StoreError::Lost { .. }) => error.into(),
    }
}

/// Determines the outcomes of events that were not all stored.
async fn determine_outcomes(
    store: &ElasticStore,
    target: &Target,
    events: &[SealedEvent],
    items: Vec<Item>,
) -> Result<Vec<Outcome>, SinkError> {
    for item in &items {
        match item {
            Item::IndexMissing(reason) => return Err(missing_index_error(store, target, reason).await),
            Item::Denied(reason) => return Err(SinkError::Denied { reason: reason.clone() }),
            Item::Stored | Item::Conflict | Item::Blocked(_) | Item::Rejected(_) | Item::Retry(_) => {}
        }
    }
    let block =
        items.iter().find_map(|item| if let Item::Blocked(reason) = item { Some(reason.clone()) } else { None });
    let rolled_over = block.is_some() && has_rolled_over(store, target).await.map_err(as_transient)?;
    let asked: Vec<&SealedEvent> = events
        .iter()
        .zip(&items)
        .filter(|(_, item)| matches!(item, Item::Conflict) || rolled_over && matches!(item, Item::Blocked(_)))
        .map(|(event, _)| event)
        .collect();
    let indices = names::writer(&target.0);
    let mut stored = documents_at(store, &indices, &asked).await.map_err(as_transient)?.into_iter();
    let outcomes: Vec<Outcome> = events
        .iter()
        .zip(items)
        .map(|(event, item)| match item {
            Item::Stored => Outcome::Stored,
            Item::Conflict => match stored.next().flatten() {
                Some(found) => outcome_at(&found, event),
                None => Outcome::Retry { reason: "the event at this position cannot be read".to_owned() },
            },
            Item::Blocked(reason) if rolled_over => match stored.next().flatten() {
                Some(found) => outcome_at(&found, event),
                None => Outcome::Retry { reason: stranded_reason(target, &reason) },
            },
            Item::Blocked(reason) | Item::Retry(reason) | Item::Denied(reason) | Item::IndexMissing(reason) => {
                Outcome::Retry { reason }
            }
            Item::Rejected(reason) => Outcome::Rejected { reason },
        })
        .collect();
    match block {
        Some(block) if outcomes.iter().all(|outcome| matches!(outcome, Outcome::Retry { .. })) => {
            let reason = if rolled_over { stranded_reason(target, &block) } else { block };
            Err(SinkError::Blocked { reason })
        }
        _ => Ok(outcomes),
    }
}

fn stranded_reason(target: &Target, block: &str) -> String {
    let Target(index) = target;
    format!(
        "events that were sent to the index {index} before its rollover wait for it; make it writable again, or delete \
         it: {block}"
    )
}

/// Replaces an event's stub.
pub(super) async fn replace(store: &ElasticStore, target: &Target, event: &SealedEvent) -> Result<Outcome, SinkError> {
    #[derive(Deserialize)]
    struct Document<'a> {
        #[serde(rename = "_seq_no")]
        seq_no: u64,
        #[serde(rename = "_primary_term")]
        primary_term: u64,
        #[serde(borrow, rename = "_source")]
        source: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct Absent {
        found: bool,
    }
    let answer = store.client.get(&format!("{}/_doc/{}", names::writer(&target.0), event.position)).await?;
    if answer.status == 404 {
        let error = answer.error();
        if error.is("index_not_found_exception") {
            return Err(missing_index_error(store, target, &error.to_string()).await);
        }
        if serde_json::from_slice::<Absent>(&answer.body).is_ok_and(|absent| !absent.found) {
            return Ok(Outcome::Rejected {
                reason: format!("there is no document at {} in {}", event.position, target.0),
            });
        }
    }
    let Document { seq_no, primary_term, source } = answer.json().map_err(as_transient)?;
    let source = source.get().as_bytes();
    let outcome = outcome_at(source, event);
    if outcome != Outcome::Duplicate || !is_stub(source) {
        return Ok(outcome);
    }
    let mut items = send(store, target, bulk::overwrite(event, seq_no, primary_term), 1).await?;
    match items.pop() {
        // Somebody replaced the stub since it was read; the next attempt will find out.
        Some(Item::Conflict) => Ok(Outcome::Retry { reason: "the stub has changed meanwhile".to_owned() }),
        Some(item) => {
            let mut outcomes = determine_outcomes(store, target, std::slice::from_ref(event), vec![item]).await?;
            Ok(outcomes.pop().ok_or_else(missing_item)?)
        }
        None => Err(missing_item().into()),
    }
}

fn missing_item() -> StoreError {
    unavailable("an answer without an event".to_owned())
}

/// Whether the alias of the target's series has another write index by now.
async fn has_rolled_over(store: &ElasticStore, target: &Target) -> Result<bool, StoreError> {
    let Some((alias, _)) = names::alias_of(&target.0) else {
        return Ok(false);
    };
    let write_index = setup::write_index(&store.client, alias).await?;
    Ok(write_index.is_some_and(|index| index != target.0))
}

/// Decides what a missing index or private alias means.
async fn missing_index_error(store: &ElasticStore, target: &Target, reason: &str) -> SinkError {
    match index_at_master(store, target).await {
        Ok(MasterState::Absent) => SinkError::TargetLost { reason: reason.to_owned() },
        Ok(MasterState::Present { aliases }) if aliases.contains(&names::writer(&target.0)) => {
            unavailable(format!("a node does not know the index {} yet: {reason}", target.0)).into()
        }
        Ok(MasterState::Present { .. }) => {
            restore_alias(store, target).await.err().map(as_transient).unwrap_or_else(|| {
                unavailable(format!("the index {} had lost its private alias, which was restored: {reason}", target.0))
                    .into()
            })
        }
        Err(error) => as_transient(error),
    }
}

/// The state of an index according to the elected master.
pub(super) enum MasterState {
    Absent,
    Present { aliases: BTreeSet<String> },
}

pub(super) async fn index_at_master(store: &ElasticStore, target: &Target) -> Result<MasterState, StoreError> {
    #[derive(Deserialize)]
    struct State {
        /// Requested so that an empty answer is not taken for a missing index.
        #[serde(rename = "cluster_uuid")]
        _cluster_uuid: String,
        #[serde(default)]
        metadata: Metadata,
    }
    #[derive(Default, Deserialize)]
    struct Metadata {
        #[serde(default)]
        indices: BTreeMap<String, Index>,
    }
    #[derive(Deserialize)]
    struct Index {
        #[serde(default)]
        aliases: Vec<String>,
    }
    let Target(index) = target;
    let filter = "cluster_uuid,metadata.indices.*.state,metadata.indices.*.aliases";
    let path = format!("_cluster/state/metadata/{index}?expand_wildcards=all&filter_path={filter}");
    let State { metadata: Metadata { indices }, .. } = store.client.get(&path).await?.json()?;
    if indices.is_empty() {
        return Ok(MasterState::Absent);
    }
    // An index of another name may have taken its place, for example after shrinking; the old name is then an alias.
    let aliases = indices.into_values().flat_map(|index| index.aliases).collect();
    Ok(MasterState::Present { aliases })
}

/// Restores the private alias of an index, which somebody removed.
async fn restore_alias(store: &ElasticStore, target: &Target) -> Result<(), StoreError> {
    let Target(index) = target;
    let add = json!({"actions": [{"add": {"index": index, "alias": names::writer(index), "is_hidden": true}}]});
    let answer = store.client.post("_aliases", add.to_string()).await?;
    answer.accepted().map(drop)
}
