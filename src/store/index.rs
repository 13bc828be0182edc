//! The side of a store that answers questions.

use std::{ops::RangeInclusive, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use super::StoreError;
use crate::{
    event::{ChainEntry, ChainId, Sequence},
    query::{Aggregate, Aggregation, MAX_BUCKETS, ScopedQuery, TooManySpans},
};

/// A place where events are found.
///
/// An index MUST be safe to call from several tasks at once. It MUST bound every call in time by itself. It MUST NOT retry.
#[async_trait]
pub trait EventIndex: Send + Sync {
    /// Makes everything that was stored before the call visible to all other methods.
    async fn refresh(&self) -> Result<(), IndexError>;

    /// The events that match, in the order asked for, and how many match in all (exact). Once the events come to the query's
    /// bytes, the page MUST end and say so.
    async fn find(&self, query: &ScopedQuery) -> Result<Page, IndexError>;

    /// What the aggregation makes of all events that match; order, place and limit of the query do not matter. Exact, but
    /// for percentiles.
    async fn aggregate(&self, query: &ScopedQuery, aggregation: &Aggregation) -> Result<Aggregate, IndexError>;

    /// Begins to read all events that match, as they are now, in the order asked for; offset and limit do not matter. What is
    /// read at once MUST be bounded by the query's bytes, as a page is.
    async fn scan(&self, query: &ScopedQuery) -> Result<Box<dyn Scan>, IndexError>;

    /// Everything that stands at these positions of a chain, in their order, as far as finds see it: events, stubs, and documents that Annals
    /// did not write but that say to be there, several at one position if there are.
    ///
    /// An answer has about so many bytes at most, and MAY have fewer; but it MUST NOT end between two documents of one position, nor before the
    /// first position that has any. A range is read by asking again behind the last position of an answer, until an answer is empty.
    async fn at_positions(
        &self,
        chain: ChainId,
        range: RangeInclusive<Sequence>,
        bytes: usize,
    ) -> Result<Vec<ChainDocument>, IndexError>;

    /// The last entry of each chain that the store has anything of, as far as finds see it. Stubs are entries.
    async fn chains(&self) -> Result<Vec<ChainEntry>, IndexError>;

    /// The first entry of this chain at or behind `from`, as far as finds see it. Stubs are entries.
    async fn first(&self, chain: ChainId, from: Sequence) -> Result<Option<ChainEntry>, IndexError>;

    /// The last of the positions that follow each other in this chain from `from` on, at all of which there is an entry that finds see
    /// (stubs are entries); `None` if there is none at `from`.
    async fn reach(&self, chain: ChainId, from: Sequence) -> Result<Option<Sequence>, IndexError>;
}

/// A reading of events that goes on from call to call, over what there was when it began.
#[async_trait]
pub trait Scan: Send {
    /// The next events, at most `limit` and at most 10,000 of them, and none at the end only.
    async fn next(&mut self, limit: u64) -> Result<Vec<Bytes>, IndexError>;

    /// Lets go of what the store holds for it. What is not closed the store MUST let go by itself after a while.
    async fn close(self: Box<Self>);
}

/// What stands at a position of a chain, by what the store finds it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainDocument {
    pub sequence: Sequence,
    /// The key of the document, where the store has one that is not the position itself: the `_id` of an engine.
    pub id: Option<String>,
    pub document: Bytes,
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
pub(super) fn until<'d>(documents: impl IntoIterator<Item = &'d Bytes>, most_bytes: usize) -> usize {
    let mut bytes = 0;
    let is_wanted = |document: &&Bytes| {
        let is_wanted = bytes < most_bytes;
        bytes += document.len();
        is_wanted
    };
    documents.into_iter().take_while(is_wanted).count()
}

/// Why a question has no answer; a variant for each thing that the caller is told.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IndexError {
    /// Away, overloaded, or not answering in time: ask again later.
    #[error("{reason}")]
    Unavailable { reason: String, retry_after: Option<Duration> },
    /// The store is blocked until an operator acts.
    #[error("{reason}")]
    Blocked { reason: String },
    /// The credentials were refused.
    #[error("{reason}")]
    Denied { reason: String },
    /// What is asked is gone until the store is set up again.
    #[error("{reason}")]
    NotSetUp { reason: String },
    /// A histogram is asked for with buckets that are too short for the time between its first event and its last.
    #[error("there would be more than {MAX_BUCKETS} spans of time")]
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

impl From<TooManySpans> for IndexError {
    fn from(TooManySpans: TooManySpans) -> Self {
        Self::TooManyBuckets
    }
}
