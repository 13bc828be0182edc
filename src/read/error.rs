//! Why there is no answer.

use tokio::time::{Instant, timeout_at};

use super::cursor::BadCursor;
use crate::{
    access::{Denied, Unavailable},
    memory_budget::Exhausted,
    query::PAGE_BYTES,
    store::IndexError,
};

/// Why a question has no answer; a variant for each thing that the caller is told or does.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// There is nothing, or nothing that the caller may see.
    #[error("not found")]
    NotFound,
    #[error(transparent)]
    Access(#[from] Unavailable),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("the store did not answer in time")]
    Timeout,
    #[error("too much is being read at once; try again later")]
    Busy,
    #[error("{0}; try again later")]
    TooManyStreams(String),
    /// What is left out of a page would never be seen.
    #[error("the page would have more than {} MiB of events", PAGE_BYTES >> 20)]
    PageTooLarge,
    #[error(transparent)]
    Cursor(#[from] BadCursor),
    /// A histogram's interval will not do.
    #[error("{0}")]
    Interval(String),
    #[error("{0}")]
    TooManyChains(String),
    /// A fault of this program or of a stored document; for the log.
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

/// What the index answers, if it does so before the deadline.
pub(super) async fn answered<T>(
    deadline: Instant,
    answer: impl Future<Output = Result<T, IndexError>>,
) -> Result<T, ReadError> {
    Ok(timeout_at(deadline, answer).await.map_err(|_| ReadError::Timeout)??)
}
