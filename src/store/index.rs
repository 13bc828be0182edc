//! The read side of a store.

use std::{ops::RangeInclusive, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use super::StoreError;
use crate::{
    event::{ChainEntry, ChainId, ChainPosition, Sequence},
    query::{Aggregate, Aggregation, ForeignPlace, Key, MAX_BUCKETS, ScopedQuery, TooManySpans},
};

/// The read side of a store.
///
/// An index MUST be safe to call from several tasks at once. It MUST bound every call in time by itself. Within that
/// time it MAY wait for a part of the store that is missing or silent; it MUST NOT retry what was refused.
#[async_trait]
pub trait EventIndex: Send + Sync {
    /// Makes everything that was stored before the call visible to all other methods.
    async fn refresh(&self) -> Result<(), IndexError>;

    /// The matching events in the query's order, and the exact number of all matches. Once the events reach the query's
    /// bytes, the page MUST end and say so.
    async fn find(&self, query: &ScopedQuery) -> Result<Page, IndexError>;

    /// The aggregation over all matching events; order, place and limit of the query are ignored. Exact, except for
    /// percentiles.
    async fn aggregate(&self, query: &ScopedQuery, aggregation: &Aggregation) -> Result<Aggregate, IndexError>;

    /// Begins to read all matching events, as they are now, in the query's order; offset and limit are ignored. Each
    /// batch MUST be bounded by the query's bytes, like a page.
    async fn scan(&self, query: &ScopedQuery) -> Result<Box<dyn Scan>, IndexError>;

    /// All documents at these positions of a chain, in order, as far as finds see them: events, stubs, and foreign
    /// documents that claim such a position. There may be several at one position.
    ///
    /// An answer has at most about `bytes`, and MAY have fewer; but it MUST NOT end between two documents of one
    /// position, nor before the first position that has any. To read a range, ask again from behind the last position
    /// of the answer, until an answer is empty.
    async fn at_positions(
        &self,
        chain: ChainId,
        range: RangeInclusive<Sequence>,
        bytes: usize,
    ) -> Result<Vec<ChainDocument>, IndexError>;

    /// The last entry of every chain in the store, as far as finds see it. Stubs are entries.
    async fn chains(&self) -> Result<Vec<ChainEntry>, IndexError>;

    /// The first entry of this chain at or after `from`, as far as finds see it. Stubs are entries.
    async fn first(&self, chain: ChainId, from: Sequence) -> Result<Option<ChainEntry>, IndexError>;

    /// The last position of this chain that is reached from `from` without a gap, as far as finds see its entries;
    /// `None` if there is none at `from`. Stubs are entries.
    async fn reach(&self, chain: ChainId, from: Sequence) -> Result<Option<Sequence>, IndexError>;

    /// Compares what the store keeps beside its documents to find them by, and what Annals itself derived from them
    /// (columns, rows of other tables), with the documents; part by part: the first, or that from this row on. Each
    /// document MUST be in a part, whatever the columns say that it is, and a part MUST be bounded by about `bytes` of
    /// documents.
    ///
    /// `None` if there is nothing of the kind: an engine derives what it finds documents by from them by itself.
    async fn misfiled(&self, _from: Option<RowId>, _bytes: usize) -> Result<Option<FiledPart>, IndexError> {
        Ok(None)
    }
}

/// A row of a store's documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowId(pub i64);

/// A part of a store that was compared with its documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FiledPart {
    pub documents: u64,
    pub misfiled: Vec<Misfiled>,
    /// Where the next part begins; `None` after the last.
    pub next: Option<RowId>,
}

/// Something that differs from the document at this position, so that queries may miss the document, or find it where
/// they should not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfiled {
    /// As the document states it, if it is an event.
    pub position: ChainPosition,
    /// The column, with its table; or the table, and what is wrong with its rows.
    pub column: String,
}

/// A scan over the events that existed when it began, one batch per call.
#[async_trait]
pub trait Scan: Send {
    /// The next events: at most `limit` and at most 10,000, and none only at the end.
    async fn next(&mut self, limit: u64) -> Result<Vec<Bytes>, IndexError>;

    /// Releases the store's resources. If a scan is not closed, the store MUST release them by itself after a while.
    async fn close(self: Box<Self>);
}

/// An entry at a position of a chain, with the keys that the store finds it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainDocument {
    pub sequence: Sequence,
    /// The document's key, in stores where it is not the position itself: the `_id` of an engine.
    pub id: Option<String>,
    pub document: Bytes,
}

#[derive(Clone, Debug, Default)]
pub struct Page {
    pub total: u64,
    /// The documents as stored.
    pub documents: Vec<Bytes>,
    /// Whether the page ended because of its size and more documents follow.
    pub is_cut: bool,
    /// The sort values of the last document, from a store that may also have documents of others: those need not have a
    /// [`Place`](crate::query::Place), and several may be at one.
    pub end: Option<Vec<Option<Key>>>,
}

/// Returns how many of these documents it takes to reach this many bytes; all of them if they do not.
pub(super) fn count_within<'d>(documents: impl IntoIterator<Item = &'d Bytes>, max_bytes: usize) -> usize {
    let mut bytes = 0;
    let is_wanted = |document: &&Bytes| {
        let is_wanted = bytes < max_bytes;
        bytes += document.len();
        is_wanted
    };
    documents.into_iter().take_while(is_wanted).count()
}

/// Why a question has no answer; one variant for each message to the caller.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IndexError {
    /// Down, overloaded, or not answering in time: retry later.
    #[error("{reason}")]
    Unavailable { reason: String, retry_after: Option<Duration> },
    /// The store is blocked until an operator acts.
    #[error("{reason}")]
    Blocked { reason: String },
    #[error("{reason}")]
    Denied { reason: String },
    /// What the question is about is missing until the store is set up again.
    #[error("{reason}")]
    NotSetUp { reason: String },
    /// A histogram whose intervals are too short for the time between its first and last event.
    #[error("there would be more than {MAX_BUCKETS} intervals")]
    TooManyBuckets,
    /// The store will never answer this question.
    #[error("{reason}")]
    Refused { reason: String },
}

impl From<StoreError> for IndexError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { reason, retry_after } => Self::Unavailable { reason, retry_after },
            StoreError::Blocked { reason } => Self::Blocked { reason },
            StoreError::Denied { reason } => Self::Denied { reason },
            StoreError::Lost { reason } => Self::NotSetUp { reason },
            StoreError::Refused { reason } => Self::Refused { reason },
        }
    }
}

impl From<ForeignPlace> for IndexError {
    fn from(error: ForeignPlace) -> Self {
        Self::Refused { reason: error.to_string() }
    }
}

impl From<TooManySpans> for IndexError {
    fn from(TooManySpans: TooManySpans) -> Self {
        Self::TooManyBuckets
    }
}
