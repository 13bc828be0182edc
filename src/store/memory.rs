//! The reference store: what the answers of every store have to be, said as plainly as possible. For tests.

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use super::{Head, Outcome, Page, SealedEvent, Store, StoreError, Target, occupied::outcome_at};
use crate::{
    event::{ChainId, ChainPosition, Sequence, Stream},
    integrity::seal_of,
    query::{ObjectScope, Order, Query, ScopedQuery, Sort},
    schema::{Field, Kind},
};

/// A `message` of more UTF-16 units than this is not sorted by.
const LONGEST_SORTED: usize = 1_024;

/// Keeps events in memory, in chain order.
#[derive(Default)]
pub struct MemoryStore {
    documents: Mutex<BTreeMap<ChainPosition, Bytes>>,
}

impl MemoryStore {
    /// The document at this position.
    pub fn get(&self, position: ChainPosition) -> Option<Bytes> {
        self.documents().get(&position).cloned()
    }

    pub fn len(&self) -> usize {
        self.documents().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn documents(&self) -> MutexGuard<'_, BTreeMap<ChainPosition, Bytes>> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn setup(&self, _: &[Stream]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn target(&self, _: &Stream) -> Result<Target, StoreError> {
        Ok(Target(String::new()))
    }

    async fn append(&self, _: &Target, events: &[SealedEvent]) -> Result<Vec<Outcome>, StoreError> {
        let mut documents = self.documents();
        let mut append = |event: &SealedEvent| match documents.get(&event.position) {
            Some(stored) => outcome_at(stored, event),
            None => {
                documents.insert(event.position, event.document.clone());
                Outcome::Stored
            }
        };
        Ok(events.iter().map(&mut append).collect())
    }

    async fn replace(&self, _: &Target, event: &SealedEvent) -> Result<Outcome, StoreError> {
        let mut documents = self.documents();
        if let Some(stored) = documents.get(&event.position) {
            let outcome = outcome_at(stored, event);
            let stub = parse(stored).is_some_and(|document| is_stub(&document));
            if outcome != Outcome::Duplicate || !stub || *stored == event.document {
                return Ok(outcome);
            }
        }
        documents.insert(event.position, event.document.clone());
        Ok(Outcome::Stored)
    }

    async fn refresh(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn find(&self, query: &ScopedQuery) -> Result<Page, StoreError> {
        let query = query.query();
        if let Some(sort) = query.sort.iter().find(|sort| !is_sortable(sort.field)) {
            return Err(StoreError::Refused { reason: format!("events cannot be sorted by {}", sort.field.path) });
        }
        let documents = self.documents();
        let mut found: Vec<_> = documents
            .iter()
            .filter_map(|(position, bytes)| Some((position, parse(bytes)?, bytes)))
            .filter(|(_, document, _)| matches(document, query))
            .collect();
        found.sort_by(|one, other| compare((one.0, &one.1), (other.0, &other.1), &query.sort));
        Ok(Page {
            total: found.len() as u64,
            documents: found
                .into_iter()
                .skip(usize::try_from(query.offset).unwrap_or(usize::MAX))
                .take(usize::try_from(query.limit).unwrap_or(usize::MAX))
                .map(|(_, _, bytes)| bytes.clone())
                .collect(),
        })
    }

    async fn head(&self, chain: ChainId) -> Result<Option<Head>, StoreError> {
        let first = ChainPosition { chain, sequence: Sequence(0) };
        let last = ChainPosition { chain, sequence: Sequence(u64::MAX) };
        let head = self
            .documents()
            .range(first..=last)
            .next_back()
            .map(|(position, bytes)| Head { position: *position, seal: seal_of(bytes) });
        Ok(head)
    }

    async fn maintain(&self, _: &[Stream]) -> Result<(), StoreError> {
        Ok(())
    }
}

fn parse(document: &[u8]) -> Option<Value> {
    serde_json::from_slice(document).ok()
}

/// A document without a time stands for an event that some store refused. No query finds it.
fn is_stub(document: &Value) -> bool {
    document.get("@timestamp").is_none()
}

fn matches(document: &Value, query: &Query) -> bool {
    let Some(timestamp) = document.get("@timestamp").and_then(unix_millis) else { return false };
    query.start.is_none_or(|start| start.0 <= timestamp)
        && query.end.is_none_or(|end| timestamp <= end.0)
        && value_at(document, "kibana.saved_objects")
            .and_then(Value::as_array)
            .is_some_and(|references| references.iter().any(|reference| refers_to(reference, &query.objects)))
}

fn refers_to(reference: &Value, objects: &ObjectScope) -> bool {
    let text = |name: &str| reference.get(name).and_then(Value::as_str);
    text("rel") == Some("primary")
        && text("type") == Some(&objects.object_type)
        && text("id").is_some_and(|id| objects.ids.iter().any(|wanted| wanted == id))
        && text("namespace") == objects.space.as_ref().map(|space| space.as_str())
}

fn compare(one: (&ChainPosition, &Value), other: (&ChainPosition, &Value), sort: &[Sort]) -> Ordering {
    let by_keys = sort.iter().map(|sort| compare_keys(sort_key(one.1, sort), sort_key(other.1, sort), sort.order));
    let by_place = (one.0.sequence, one.0.chain).cmp(&(other.0.sequence, other.0.chain));
    let direction = sort.first().map_or(Order::Ascending, |first| first.order);
    by_keys.fold(Ordering::Equal, Ordering::then).then(directed(by_place, direction))
}

fn compare_keys(one: Option<Key>, other: Option<Key>, order: Order) -> Ordering {
    match (one, other) {
        (Some(one), Some(other)) => directed(one.partial_cmp(&other).unwrap_or(Ordering::Equal), order),
        (one, other) => other.is_some().cmp(&one.is_some()),
    }
}

fn directed(ordering: Ordering, order: Order) -> Ordering {
    match order {
        Order::Ascending => ordering,
        Order::Descending => ordering.reverse(),
    }
}

/// What a field's values compare by: texts by code point, which is the order of their bytes.
#[derive(PartialEq, PartialOrd)]
enum Key {
    Integer(i64),
    Number(f64),
    Text(String),
}

/// Of several values the one that comes first in the order asked for, as in the engines.
fn sort_key(document: &Value, sort: &Sort) -> Option<Key> {
    let value = value_at(document, sort.field.path)?;
    let keys = match value {
        Value::Array(values) => values.iter().filter_map(|value| key(value, sort.field)).collect(),
        value => Vec::from_iter(key(value, sort.field)),
    };
    keys.into_iter().reduce(|best, next| match (next.partial_cmp(&best), sort.order) {
        (Some(Ordering::Less), Order::Ascending) | (Some(Ordering::Greater), Order::Descending) => next,
        _ => best,
    })
}

fn key(value: &Value, field: &Field) -> Option<Key> {
    match field.kind {
        Kind::Date => unix_millis(value).map(Key::Integer),
        Kind::Long => value.as_i64().map(Key::Integer),
        Kind::Long64 => value.as_str()?.parse().ok().map(Key::Integer),
        Kind::Boolean => value.as_bool().map(|value| Key::Integer(value.into())),
        Kind::Float => value.as_f64().map(Key::Number),
        Kind::Keyword => Some(Key::Text(value.as_str()?.to_owned())),
        Kind::Text => {
            let text = value.as_str().filter(|text| text.encode_utf16().count() <= LONGEST_SORTED)?;
            Some(Key::Text(text.to_owned()))
        }
        Kind::Ip | Kind::Version | Kind::Labels | Kind::Json | Kind::Nested => None,
    }
}

fn is_sortable(field: &Field) -> bool {
    match field.kind {
        Kind::Keyword | Kind::Date | Kind::Long | Kind::Long64 | Kind::Float | Kind::Boolean => true,
        Kind::Text => field.path == "message",
        Kind::Ip | Kind::Version | Kind::Labels | Kind::Json | Kind::Nested => false,
    }
}

fn value_at<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(document, |value, name| value.get(name))
}

/// The milliseconds of a date, without what is beyond them.
fn unix_millis(value: &Value) -> Option<i64> {
    let instant: jiff::Timestamp = value.as_str()?.parse().ok()?;
    i64::try_from(instant.as_nanosecond().div_euclid(1_000_000)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance;

    #[tokio::test]
    async fn conforms() {
        conformance::suite(&MemoryStore::default()).await;
    }
}
