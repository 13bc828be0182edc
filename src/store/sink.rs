//! The write side of a store.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::event::{ChainHead, ChainId, ChainPosition, SealedEvent, Stream};

/// The write side of a store, for the shipper.
///
/// A sink MUST keep each event's bytes unchanged, and MUST hold at most one event per
/// [`ChainPosition`], whatever is appended, however often, and whatever answers are lost
/// on the way. It MUST be safe to call from several tasks at once. It MUST bound every call in time by itself. It MUST
/// NOT retry: the shipper does.
#[async_trait]
pub trait EventSink: Send + Sync {
    /// Creates what the store needs to take these streams (tables, or policy, template, index and alias).
    ///
    /// MUST be idempotent, MUST NOT overwrite what an operator may have changed, and MAY run on several writers at
    /// once. Called before anything else, again after each failure, and again after [`SinkError::TargetLost`].
    async fn setup(&self, streams: &[Stream]) -> Result<(), SinkError>;

    /// The identity of the store, which it keeps itself.
    ///
    /// MUST stay the same as long as the store keeps its events, and MUST differ for any other store: another file,
    /// schema, cluster or prefix, or one that was created anew in the same place.
    async fn identity(&self) -> Result<StoreId, SinkError>;

    /// For each position, whether an event or its stub is stored there at this target.
    ///
    /// MUST see everything that was stored before the call. A target that does not exist holds nothing.
    async fn holds(&self, positions: &[(Target, ChainPosition)]) -> Result<Vec<bool>, SinkError>;

    /// The current target of this stream: the concrete index, or a constant if there is only one place.
    ///
    /// The shipper saves the answer to disk before it appends the first event there, and always sends an event to the
    /// same target, even after a restart. So a repeated append finds what the first one stored, whatever rolled over
    /// since.
    async fn target(&self, stream: &Stream) -> Result<Target, SinkError>;

    /// Stores events, all of one stream, at one target.
    ///
    /// On `Ok` there MUST be one outcome for each event, in their order; each `Stored` and `Duplicate` is durable. On
    /// `Err` any of the events may have been stored, or may yet be; appending them again MUST be harmless. `Rejected`,
    /// `TooLarge` and `Refused` lead to dead letters, so they MUST mean a fault of the events themselves: a fault of
    /// the store, or of a proxy in front of it, passes.
    async fn append(&self, target: &Target, events: &[SealedEvent]) -> Result<Vec<Outcome>, SinkError>;

    /// What is already stored at the positions of these events, whatever target they were bound to: `Duplicate`,
    /// `Conflict`, or `None`. For a shipper that may have lost their targets.
    ///
    /// MUST see everything that was stored before the call. A store that has only one place MAY leave it to
    /// [`EventSink::append`], which detects duplicates itself.
    async fn look_up(&self, events: &[SealedEvent]) -> Result<Vec<Option<Outcome>>, SinkError> {
        Ok(vec![None; events.len()])
    }

    /// Replaces an event's stub by the event (see [`crate::integrity`]) when its dead letter is replayed. Idempotent.
    /// `Rejected` if the store still refuses the event; the stub then stays.
    async fn replace(&self, target: &Target, event: &SealedEvent) -> Result<Outcome, SinkError>;

    /// The last entry of this chain in the store. MUST see everything that was stored before the call.
    async fn head(&self, chain: ChainId) -> Result<Option<ChainHead>, SinkError>;

    /// The chains of which the store has events of this writer (`kibana.server_uuid`), in any order. MUST see everything
    /// that was stored before the call. A chain of which it has only stubs, which name no writer, MAY be missing.
    async fn chains_of(&self, writer: &str) -> Result<Vec<ChainId>, SinkError>;

    /// Periodic work (every few seconds), such as rollover where the engine does not do it.
    async fn maintain(&self, streams: &[Stream]) -> Result<(), SinkError>;
}

/// Tells a store from every other one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreId(pub String);

/// The concrete place that an event is bound to: an index of an engine, or empty for a store that has only one place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target(pub String);

/// The outcome of appending one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Stored,
    /// The same event (same seal, or same bytes without one) was already stored.
    Duplicate,
    /// Another event is stored at this position: the chain has forked.
    Conflict {
        /// Empty if it has none.
        found_seal: String,
    },
    /// Permanently refused, for the store's own reason.
    Rejected {
        reason: String,
    },
    /// Refused for now.
    Retry {
        reason: String,
    },
}

/// Why a call to a sink failed as a whole; one variant for each reaction of the shipper.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SinkError {
    /// Down, overloaded, or not answering in time: retry later.
    #[error("{reason}")]
    Unavailable { reason: String, retry_after: Option<Duration> },
    /// Writing is blocked until an operator acts or space is freed (read-only, disk full): report it, and retry later.
    #[error("{reason}")]
    Blocked { reason: String },
    /// The credentials were refused: report it, and retry later.
    #[error("{reason}")]
    Denied { reason: String },
    /// The request is larger than the store accepts: split it.
    #[error("the request is larger than the store accepts")]
    TooLarge,
    /// The target is gone or closed for writing, and no append to it is still in progress: bind the events to a new
    /// one.
    #[error("{reason}")]
    TargetLost { reason: String },
    /// The store will never accept this request as it is.
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
