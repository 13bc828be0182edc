//! Errors of queries.

use tokio::time::{Instant, timeout_at};

use super::cursor::BadCursor;
use crate::{
    access::{Denied, Unavailable},
    audit::NotRecorded,
    memory_budget::Exhausted,
    query::PAGE_BYTES,
    store::IndexError,
};

/// Why a query failed; one variant for each message or reaction of the caller.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// Does not exist, or the caller may not see it.
    #[error("not found")]
    NotFound,
    #[error(transparent)]
    Access(#[from] Unavailable),
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("the store did not answer in time")]
    Timeout,
    #[error("too much is being read at once; try again later")]
    Busy,
    #[error("{0}; try again later")]
    TooManyStreams(String),
    /// A numbered page must not leave out events, because the caller would never see them.
    #[error("the page would have more than {} MiB of events", PAGE_BYTES >> 20)]
    PageTooLarge,
    #[error(transparent)]
    Cursor(#[from] BadCursor),
    /// The interval of a histogram is too short.
    #[error("{0}")]
    Interval(String),
    #[error("{0}")]
    TooManyChains(String),
    /// An error in this program or in a stored document; only for the log.
    #[error("{0}")]
    Internal(String),
}

impl From<Exhausted> for ReadError {
    fn from(Exhausted: Exhausted) -> Self {
        Self::Busy
    }
}

impl From<Denied> for ReadError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Refused => Self::NotFound,
            Denied::Unavailable(error) => Self::Access(error),
        }
    }
}

impl ReadError {
    pub(super) fn internal(cause: impl ToString) -> Self {
        Self::Internal(cause.to_string())
    }
}

/// Waits for an answer of the index until the deadline.
pub(super) async fn answered<T>(
    deadline: Instant,
    answer: impl Future<Output = Result<T, IndexError>>,
) -> Result<T, ReadError> {
    Ok(timeout_at(deadline, answer).await.map_err(|_| ReadError::Timeout)??)
}
