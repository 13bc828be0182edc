//! The side of a store that takes events.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::event::{ChainHead, ChainId, SealedEvent, Stream};

/// A place that takes sealed events, for the shipper.
///
/// A sink MUST keep each event's bytes as they came, and MUST hold at most one event per
/// [`ChainPosition`](crate::event::ChainPosition), whatever is appended, however often, and whatever answers get lost on the way.
/// It MUST be safe to call from several tasks at once. It MUST bound every call in time by itself. It MUST NOT retry: the shipper does.
#[async_trait]
pub trait EventSink: Send + Sync {
    /// Creates what the store needs to take these streams (tables, or policy, template, index and alias).
    ///
    /// MUST be idempotent, MUST NOT overwrite what an operator may have changed, and MAY run on several writers at once.
    /// Called before anything else, again after each failure, and again after [`SinkError::TargetLost`].
    async fn setup(&self, streams: &[Stream]) -> Result<(), SinkError>;

    /// Where the events of this stream go at present: the concrete index, or a constant where there is but one place.
    ///
    /// The shipper keeps the answer on disk before it appends the first event there, and sends each event only ever to its
    /// one target, also after a restart; so a repeated append finds what the first one left, whatever rolled over since.
    async fn target(&self, stream: &Stream) -> Result<Target, SinkError>;

    /// Stores events, all of one stream, at one target.
    ///
    /// On `Ok` there MUST be one outcome for each event, in their order; each `Stored` and `Duplicate` is durable.
    /// On `Err` any of the events may have been stored, or may yet be; appending them again MUST be harmless.
    /// `Rejected`, `TooLarge` and `Refused` MUST be said of what the events are, for they make dead letters: what is wrong with the
    /// store, or with what stands before it, passes.
    async fn append(&self, target: &Target, events: &[SealedEvent]) -> Result<Vec<Outcome>, SinkError>;

    /// What stands already at the positions of these events, whatever target they were bound to: `Duplicate`, `Conflict`, or
    /// `None` where nothing does. For a shipper that may have forgotten where it sent them.
    ///
    /// MUST see everything that was stored before the call. A store that has one place only MAY leave it to
    /// [`EventSink::append`], which finds out by itself.
    async fn look_up(&self, events: &[SealedEvent]) -> Result<Vec<Option<Outcome>>, SinkError> {
        Ok(vec![None; events.len()])
    }

    /// Puts an event in the place of the stub that stands for it (see [`crate::integrity`]), after its dead letter was
    /// replayed. Idempotent. `Rejected` if the store still refuses it; the stub then stays.
    async fn replace(&self, target: &Target, event: &SealedEvent) -> Result<Outcome, SinkError>;

    /// The last entry that the store has of this chain. MUST see everything that was stored before the call.
    async fn head(&self, chain: ChainId) -> Result<Option<ChainHead>, SinkError>;

    /// What has to be done from time to time (every few seconds), such as rolling over where the engine does not do it.
    async fn maintain(&self, streams: &[Stream]) -> Result<(), SinkError>;
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

/// Why a call to a sink failed as a whole; a variant for each thing that the shipper does about it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SinkError {
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
    /// The store will never take this request as it is.
    #[error("{reason}")]
    Refused { reason: String },
}

impl From<StoreError> for SinkError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { reason, retry_after } => Self::Unavailable { reason, retry_after },
            StoreError::Blocked { reason } => Self::Blocked { reason },
            StoreError::Denied { reason } => Self::Denied { reason },
            StoreError::Lost { reason } => Self::TargetLost { reason },
            StoreError::Refused { reason } => Self::Refused { reason },
        }
    }
}
