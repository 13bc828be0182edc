//! Where events are stored. A store is a sink for its shipper and an index for queries; each side has its own contract
//! and its own errors.

pub mod elastic;
pub mod memory;
pub mod postgres;
pub mod sqlite;

mod index;
mod occupied;
mod open;
mod sink;
mod sql;

#[cfg(test)]
pub(crate) mod conformance;
#[cfg(test)]
pub(crate) mod testing;

use std::time::Duration;

pub use index::{ChainDocument, EventIndex, FiledPart, IndexError, Misfiled, Page, RowId, Scan};
pub use open::open;
pub use sink::{EventSink, Outcome, SinkError, StoreId, Target};

use index::count_within;

pub trait Store: EventSink + EventIndex {}

impl<S: EventSink + EventIndex> Store for S {}

/// An error of any call to a store, on either side.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("{reason}")]
    Unavailable { reason: String, retry_after: Option<Duration> },
    #[error("{reason}")]
    Blocked { reason: String },
    #[error("{reason}")]
    Denied { reason: String },
    /// The table or index that holds events is missing.
    #[error("{reason}")]
    Lost { reason: String },
    #[error("{reason}")]
    Refused { reason: String },
}
