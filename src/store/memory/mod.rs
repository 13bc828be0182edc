//! The reference store: the simplest statement of how every store must answer. For tests.

mod aggregate;

use std::{
    cmp,
    collections::{BTreeMap, VecDeque},
    ops::RangeInclusive,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use super::{
    ChainDocument, EventIndex, EventSink, IndexError, Outcome, Page, Scan, SinkError, StoreId, Target, count_within,
    occupied::outcome_at,
};
use crate::{
    event::{ChainEntry, ChainHead, ChainId, ChainPosition, SealedEvent, Sequence, Space, Stream, UnixMillis},
    integrity::{is_stub, seal_of},
    query::{Aggregate, Aggregation, ForeignPlace, ObjectScope, Place, Query, Scope, ScopedQuery, Subject, Visible},
};

/// Keeps events in memory, in chain order.
pub struct MemoryStore {
    id: AtomicU64,
    documents: Mutex<BTreeMap<ChainPosition, Bytes>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self { id: getrandom::u64().unwrap_or_default().into(), documents: Mutex::default() }
    }
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

    /// Becomes another store, an empty one.
    pub fn become_another(&self) {
        self.id.fetch_add(1, Ordering::Relaxed);
        self.documents().clear();
    }

    /// Forgets every event from this sequence on, in all chains, as a store does that was set back to a backup.
    pub fn set_back(&self, to: Sequence) {
        self.documents().retain(|position, _| position.sequence < to);
    }

    fn matching(&self, query: &Query) -> Vec<(Value, Bytes)> {
        let documents = self.documents();
        let parsed = documents.values().filter_map(|bytes| Some((parse(bytes)?, bytes.clone())));
        parsed.filter(|(document, _)| matches(document, query)).collect()
    }

    /// The number of matching events, and those after the query's place, in order.
    fn ordered(&self, query: &Query) -> Result<(u64, Vec<Bytes>), ForeignPlace> {
        let matching = self.matching(query);
        let total = matching.len() as u64;
        let placed =
            matching.into_iter().filter_map(|(document, bytes)| Some((Place::of(&document, &query.sort)?, bytes)));
        let after = query.after_event()?;
        let is_behind = |place: &Place| match after {
            Some(after) => place.compare(after, &query.sort) == cmp::Ordering::Greater,
            None => true,
        };
        let mut found: Vec<_> = placed.filter(|(place, _)| is_behind(place)).collect();
        found.sort_by(|(one, _), (other, _)| one.compare(other, &query.sort));
        Ok((total, found.into_iter().map(|(_, bytes)| bytes).collect()))
    }

    fn documents(&self) -> MutexGuard<'_, BTreeMap<ChainPosition, Bytes>> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl EventSink for MemoryStore {
    async fn setup(&self, _: &[Stream]) -> Result<(), SinkError> {
        Ok(())
    }

    async fn identity(&self) -> Result<StoreId, SinkError> {
        Ok(StoreId(format!("{:016x}", self.id.load(Ordering::Relaxed))))
    }

    async fn holds(&self, positions: &[(Target, ChainPosition)]) -> Result<Vec<bool>, SinkError> {
        let documents = self.documents();
        Ok(positions.iter().map(|(_, position)| documents.contains_key(position)).collect())
    }

    async fn target(&self, _: &Stream) -> Result<Target, SinkError> {
        Ok(Target(String::new()))
    }

    async fn append(&self, _: &Target, events: &[SealedEvent]) -> Result<Vec<Outcome>, SinkError> {
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

    async fn replace(&self, _: &Target, event: &SealedEvent) -> Result<Outcome, SinkError> {
        let mut documents = self.documents();
        if let Some(stored) = documents.get(&event.position) {
            let outcome = outcome_at(stored, event);
            if outcome != Outcome::Duplicate || !is_stub(stored) || *stored == event.document {
                return Ok(outcome);
            }
        }
        documents.insert(event.position, event.document.clone());
        Ok(Outcome::Stored)
    }

    async fn head(&self, chain: ChainId) -> Result<Option<ChainHead>, SinkError> {
        let first = ChainPosition { chain, sequence: Sequence(0) };
        let last = ChainPosition { chain, sequence: Sequence(u64::MAX) };
        let head = self
            .documents()
            .range(first..=last)
            .next_back()
            .map(|(position, bytes)| ChainHead { position: *position, seal: seal_of(bytes) });
        Ok(head)
    }

    async fn chains_of(&self, writer: &str) -> Result<Vec<ChainId>, SinkError> {
        let documents = self.documents();
        let is_of_writer = |document: &[u8]| {
            let document = parse(document).unwrap_or_default();
            document.pointer("/kibana/server_uuid").and_then(Value::as_str) == Some(writer)
        };
        let mut chains: Vec<_> = documents.iter().filter(|(_, it)| is_of_writer(it)).map(|(at, _)| at.chain).collect();
        chains.dedup();
        Ok(chains)
    }

    async fn maintain(&self, _: &[Stream]) -> Result<(), SinkError> {
        Ok(())
    }
}

#[async_trait]
impl EventIndex for MemoryStore {
    async fn refresh(&self) -> Result<(), IndexError> {
        Ok(())
    }

    async fn find(&self, query: &ScopedQuery) -> Result<Page, IndexError> {
        let query = query.query();
        let (total, found) = self.ordered(query)?;
        let mut left: VecDeque<_> = found
            .into_iter()
            .skip(usize::try_from(query.offset).unwrap_or(usize::MAX))
            .take(usize::try_from(query.limit).unwrap_or(usize::MAX))
            .collect();
        let documents = take(&mut left, usize::MAX, query.bytes);
        Ok(Page { total, documents, is_cut: !left.is_empty(), end: None })
    }

    async fn aggregate(&self, query: &ScopedQuery, aggregation: &Aggregation) -> Result<Aggregate, IndexError> {
        let found: Vec<_> = self.matching(query.query()).into_iter().map(|(document, _)| document).collect();
        Ok(aggregate::of(&found, aggregation)?)
    }

    async fn scan(&self, query: &ScopedQuery) -> Result<Box<dyn Scan>, IndexError> {
        let (_, found) = self.ordered(query.query())?;
        Ok(Box::new(MemoryScan { left: found.into(), bytes: query.query().bytes }))
    }

    async fn chains(&self) -> Result<Vec<ChainEntry>, IndexError> {
        let mut last = BTreeMap::new();
        for (position, document) in self.documents().iter() {
            last.insert(position.chain, chain_entry(*position, document));
        }
        Ok(last.into_values().collect())
    }

    async fn at_positions(
        &self,
        chain: ChainId,
        range: RangeInclusive<Sequence>,
        bytes: usize,
    ) -> Result<Vec<ChainDocument>, IndexError> {
        let documents = self.documents();
        let at = |sequence: &Sequence| ChainPosition { chain, sequence: *sequence };
        let mut left: VecDeque<_> = documents
            .iter()
            .filter(|(position, _)| (at(range.start())..=at(range.end())).contains(position))
            .map(|(position, document)| (position.sequence, document.clone()))
            .collect();
        let count = count_within(left.iter().map(|(_, document)| document), bytes.max(1));
        let read = |(sequence, document)| ChainDocument { sequence, id: None, document };
        Ok(left.drain(..count).map(read).collect())
    }

    async fn first(&self, chain: ChainId, from: Sequence) -> Result<Option<ChainEntry>, IndexError> {
        let documents = self.documents();
        let mut rest = documents.range(ChainPosition { chain, sequence: from }..);
        Ok(rest.next().filter(|(position, _)| position.chain == chain).map(|(at, document)| chain_entry(*at, document)))
    }

    async fn reach(&self, chain: ChainId, from: Sequence) -> Result<Option<Sequence>, IndexError> {
        let documents = self.documents();
        let has = |sequence: &Sequence| documents.contains_key(&ChainPosition { chain, sequence: *sequence });
        Ok(std::iter::successors(Some(from), |at| Some(at.next())).take_while(has).last())
    }
}

fn chain_entry(position: ChainPosition, document: &[u8]) -> ChainEntry {
    let document = parse(document).unwrap_or_default();
    let received = document.pointer("/annals/received").and_then(Value::as_str).and_then(UnixMillis::parse);
    ChainEntry { position, received: received.unwrap_or(UnixMillis(0)) }
}

struct MemoryScan {
    left: VecDeque<Bytes>,
    /// Maximum bytes of a batch.
    bytes: usize,
}

/// The first documents: at most `limit`, and none once the earlier ones reach `most_bytes`.
fn take(left: &mut VecDeque<Bytes>, limit: usize, most_bytes: usize) -> Vec<Bytes> {
    let count = count_within(left.iter().take(limit), most_bytes);
    left.drain(..count).collect()
}

#[async_trait]
impl Scan for MemoryScan {
    async fn next(&mut self, limit: u64) -> Result<Vec<Bytes>, IndexError> {
        Ok(take(&mut self.left, usize::try_from(limit).unwrap_or(usize::MAX), self.bytes))
    }

    async fn close(self: Box<Self>) {}
}

fn parse(document: &[u8]) -> Option<Value> {
    serde_json::from_slice(document).ok()
}

fn matches(document: &Value, query: &Query) -> bool {
    let date = document.get("@timestamp").and_then(Value::as_str);
    let Some(timestamp) = date.and_then(UnixMillis::parse) else { return false };
    query.start.is_none_or(|start| start <= timestamp)
        && query.end.is_none_or(|end| timestamp <= end)
        && query.filter.matches(document)
        && match &query.scope {
            Scope::Objects(objects) => {
                values_at(document, "kibana.saved_objects").into_iter().any(|reference| refers_to(reference, objects))
            }
            Scope::Visible(Visible::Everything) => true,
            Scope::Visible(Visible::Spaces(spaces)) => values_at(document, "kibana.space_ids")
                .into_iter()
                .any(|id| spaces.iter().any(|space| id.as_str() == Some(Space::name(space.as_ref())))),
        }
}

fn refers_to(reference: &Value, objects: &ObjectScope) -> bool {
    let text = |name: &str| reference.get(name).and_then(Value::as_str);
    text("rel") == Some("primary")
        && text("type") == Some(&objects.object_type)
        && text("id").is_some_and(|id| objects.ids.iter().any(|wanted| wanted == id))
        && text("namespace") == objects.space.as_ref().map(|space| space.as_str())
}

/// All values of a field or a label.
fn values_of<'a>(document: &'a Value, subject: &Subject) -> Vec<&'a Value> {
    match subject {
        Subject::Field(field) => values_at(document, field.path),
        Subject::Label(_) => subject.value_in(document).into_iter().collect(),
    }
}

/// All values at a path, through arrays and the elements of nested fields.
fn values_at<'a>(document: &'a Value, path: &str) -> Vec<&'a Value> {
    let step = |values: Vec<&'a Value>, name: &str| -> Vec<&'a Value> {
        values.into_iter().filter_map(|value| value.get(name)).flat_map(each).collect()
    };
    path.split('.').fold(vec![document], step)
}

fn each(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) => values.iter().collect(),
        value => vec![value],
    }
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
