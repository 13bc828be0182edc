//! Where events live. A store is a sink of events for its shipper, and an index of them for whoever asks; each side has a
//! contract of its own, and errors of its own.

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

pub use index::{ChainDocument, EventIndex, IndexError, Page, Scan};
pub use open::open;
pub use sink::{EventSink, Outcome, SinkError, Target};

use index::until;

/// Both sides of one store.
pub trait Store: EventSink + EventIndex {}

impl<S: EventSink + EventIndex> Store for S {}

/// What may befall any call to a store, on either side.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("{reason}")]
    Unavailable { reason: String, retry_after: Option<Duration> },
    #[error("{reason}")]
    Blocked { reason: String },
    #[error("{reason}")]
    Denied { reason: String },
    /// What events are kept in (a table, an index) is gone.
    #[error("{reason}")]
    Lost { reason: String },
    #[error("{reason}")]
    Refused { reason: String },
}
