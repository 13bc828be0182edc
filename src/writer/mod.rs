//! Numbers, seals and journals events: what is acknowledged is on disk.

use std::time::Duration;

use crate::{
    event::{ChainPosition, LeafHash},
    intake::Contents,
};

/// A handle on the writer; cheap to clone.
#[derive(Clone)]
pub struct Writer {}

impl Writer {
    /// Seals the contents, in order, and returns once they are on disk. Completes even if the caller goes away.
    pub async fn submit(&self, contents: Contents) -> Result<Receipts, SubmitError> {
        let _ = contents;
        Err(SubmitError::Closed)
    }

    /// Whether events are being accepted, and if not, why.
    pub fn health(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Proof that events are in their chains and on disk.
pub struct Receipts {
    /// One for each content, in order.
    pub receipts: Vec<Receipt>,
    /// Where the journal ends after them: what to wait for until a store has them.
    pub end: JournalPosition,
}

#[derive(Clone, Copy, Debug)]
pub struct Receipt {
    pub position: ChainPosition,
    pub leaf_hash: LeafHash,
}

/// A place in the journal, in bytes since its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JournalPosition(pub u64);

#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The journal has reached its bound: 429, and nothing was written.
    #[error("the journal is full: {used} of {limit} bytes wait for a store")]
    Full { used: u64, limit: u64, retry_after: Duration },
    /// The journal is full and the operator chose to drop: counted and logged, nothing was written.
    #[error("the journal is full and the events were dropped, as configured")]
    Dropped,
    /// Shutting down.
    #[error("the writer is shutting down")]
    Closed,
    /// The disk failed; nothing more is accepted until a restart.
    #[error("the journal cannot be written: {reason}")]
    Failed { reason: String },
}
