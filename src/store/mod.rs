//! Where events live: the contract that every store keeps, and the values that cross it.

pub mod elastic;
pub mod memory;
pub mod postgres;
pub mod sqlite;

mod occupied;
mod open;
mod sql;

#[cfg(test)]
pub(crate) mod conformance;
#[cfg(test)]
pub(crate) mod testing;

pub use open::open;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    event::{ChainId, ChainPosition, LeafHash, Sequence, Stream, UnixMillis},
    query::{Aggregate, Aggregation, MAX_BUCKETS, ScopedQuery, TooManySpans},
};

/// A place that holds sealed events and answers queries.
///
/// A store MUST keep each event's bytes as they came, and MUST hold at most one event per [`ChainPosition`], whatever is
/// appended, however often, and whatever answers get lost on the way. It MUST be safe to call from several tasks at once.
/// It MUST bound every call in time by itself. It MUST NOT retry: the shipper does.
#[async_trait]
pub trait Store: Send + Sync {
    /// Creates what the store needs to take these streams (tables, or policy, template, index and alias).
    ///
    /// MUST be idempotent, MUST NOT overwrite what an operator may have changed, and MAY run on several writers at once.
    /// Called before anything else, again after each failure, and again after [`StoreError::TargetLost`].
    async fn setup(&self, streams: &[Stream]) -> Result<(), StoreError>;

    /// Where the events of this stream go at present: the concrete index, or a constant where there is but one place.
    ///
    /// The shipper keeps the answer on disk before it appends the first event there, and sends each event only ever to its
    /// one target, also after a restart; so a repeated append finds what the first one left, whatever rolled over since.
    async fn target(&self, stream: &Stream) -> Result<Target, StoreError>;

    /// Stores events, all of one stream, at one target.
    ///
    /// On `Ok` there MUST be one outcome for each event, in their order; each `Stored` and `Duplicate` is durable.
    /// On `Err` any of the events may have been stored, or may yet be; appending them again MUST be harmless.
    /// `Rejected`, `TooLarge` and `Refused` MUST be said of what the events are, for they make dead letters: what is wrong with the
    /// store, or with what stands before it, passes.
    async fn append(&self, target: &Target, events: &[SealedEvent]) -> Result<Vec<Outcome>, StoreError>;

    /// What stands already at the positions of these events, whatever target they were bound to: `Duplicate`, `Conflict`, or
    /// `None` where nothing does. For a shipper that may have forgotten where it sent them.
    ///
    /// MUST see everything that was stored before the call. A store that has one place only MAY leave it to
    /// [`Store::append`], which finds out by itself.
    async fn look_up(&self, events: &[SealedEvent]) -> Result<Vec<Option<Outcome>>, StoreError> {
        Ok(vec![None; events.len()])
    }

    /// Puts an event in the place of the stub that stands for it (see [`crate::integrity`]), after its dead letter was
    /// replayed. Idempotent. `Rejected` if the store still refuses it; the stub then stays.
    async fn replace(&self, target: &Target, event: &SealedEvent) -> Result<Outcome, StoreError>;

    /// Makes everything appended so far visible to [`Store::find`].
    async fn refresh(&self) -> Result<(), StoreError>;

    /// The events that match, in the order asked for, and how many match in all (exact). Once the events come to the query's
    /// bytes, the page MUST end and say so.
    async fn find(&self, query: &ScopedQuery) -> Result<Page, StoreError>;

    /// What the aggregation makes of all events that match; order, place and limit of the query do not matter. Exact, but
    /// for percentiles.
    async fn aggregate(&self, query: &ScopedQuery, aggregation: &Aggregation) -> Result<Aggregate, StoreError>;

    /// Begins to read all events that match, as they are now, in the order asked for; offset and limit do not matter. What is
    /// read at once MUST be bounded by the query's bytes, as a page is.
    async fn scan(&self, query: &ScopedQuery) -> Result<Box<dyn Scan>, StoreError>;

    /// What stands last in each chain that the store has anything of, as far as find sees it.
    async fn chains(&self) -> Result<Vec<Standing>, StoreError>;

    /// What stands first in this chain at or behind `from`, as far as find sees it (stubs count).
    async fn first(&self, chain: ChainId, from: Sequence) -> Result<Option<Standing>, StoreError>;

    /// The last of the positions that follow each other in this chain from `from` on, all of which the store has and
    /// find sees (stubs count); `None` if there is nothing at `from`.
    async fn reach(&self, chain: ChainId, from: Sequence) -> Result<Option<Sequence>, StoreError>;

    /// The highest position that the store has of this chain, and the seal (`annals.seal`) that stands there, if any does.
    async fn head(&self, chain: ChainId) -> Result<Option<Head>, StoreError>;

    /// What has to be done from time to time (every few seconds), such as rolling over where the engine does not do it.
    async fn maintain(&self, streams: &[Stream]) -> Result<(), StoreError>;
}

/// A reading of events that goes on from call to call, over what there was when it began.
#[async_trait]
pub trait Scan: Send {
    /// The next events, at most `limit` and at most 10,000 of them, and none at the end only.
    async fn next(&mut self, limit: u64) -> Result<Vec<Bytes>, StoreError>;

    /// Lets go of what the store holds for it. What is not closed the store MUST let go by itself after a while.
    async fn close(self: Box<Self>);
}

/// An event on its way to a store, sealed unless its chain is not.
#[derive(Clone, Debug)]
pub struct SealedEvent {
    pub position: ChainPosition,
    /// `None` in a chain that is not sealed.
    pub leaf_hash: Option<LeafHash>,
    /// The document, one line of JSON without line break, to be stored byte for byte.
    pub document: Bytes,
}

/// The concrete place that an event is bound to: an index of an engine, or empty for a store that has one place only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target(pub String);

/// What became of one event of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Stored,
    /// The same event (the same seal, or the same bytes where there is none) was there already.
    Duplicate,
    /// Another event stands at this position: the chain has forked.
    Conflict {
        /// Empty if it has none.
        found_seal: String,
    },
    /// Refused for good; the reason is the store's own.
    Rejected {
        reason: String,
    },
    /// Refused for now.
    Retry {
        reason: String,
    },
}

#[derive(Clone, Debug, Default)]
pub struct Page {
    pub total: u64,
    /// The documents as stored.
    pub documents: Vec<Bytes>,
    /// It ended because of its bytes: further documents belong to the page.
    pub is_cut: bool,
}

/// How many of these documents it takes to come to so many bytes, or all.
fn until<'d>(documents: impl IntoIterator<Item = &'d Bytes>, most_bytes: usize) -> usize {
    let mut bytes = 0;
    let is_wanted = |document: &&Bytes| {
        let is_wanted = bytes < most_bytes;
        bytes += document.len();
        is_wanted
    };
    documents.into_iter().take_while(is_wanted).count()
}

/// That an event stands at a position, or a stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub position: ChainPosition,
    /// Never earlier than that of the one before it in its chain.
    pub received: UnixMillis,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub position: ChainPosition,
    pub seal: Option<String>,
}

/// Why a call failed as a whole; a variant for each thing that the caller does about it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Away, overloaded, or not answering in time: try again later.
    #[error("{reason}")]
    Unavailable { reason: String, retry_after: Option<Duration> },
    /// Writing is blocked until an operator acts or space is freed (read-only, disk full): say so, and try again later.
    #[error("{reason}")]
    Blocked { reason: String },
    /// The credentials were refused: say so, and try again later.
    #[error("{reason}")]
    Denied { reason: String },
    /// The request was larger than the store takes: split it.
    #[error("the request is larger than the store takes")]
    TooLarge,
    /// The target is gone or closed for writing, and no append to it is still under way: bind the events to a new one.
    #[error("{reason}")]
    TargetLost { reason: String },
    /// A histogram is asked for with spans that are too short for the time between its first event and its last.
    #[error("there would be more than {MAX_BUCKETS} spans of time")]
    TooManySpans,
    /// The store will never take this request as it is.
    #[error("{reason}")]
    Refused { reason: String },
}

impl From<TooManySpans> for StoreError {
    fn from(TooManySpans: TooManySpans) -> Self {
        Self::TooManySpans
    }
}
