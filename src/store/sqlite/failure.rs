//! Classifies failures of SQLite by what the caller is to do.

use std::{io, path::Path};

use rusqlite::ErrorCode;

use crate::{
    event::ChainPosition,
    store::{StoreError, sql::BadDocument},
};

/// Why a file cannot be used. Only errors of SQLite itself and `Older` may pass by themselves.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("SQLite {found} is linked, but at least 3.51.3 is required")]
    OldLibrary { found: &'static str },
    #[error("it cannot be created: {0}")]
    Create(#[from] io::Error),
    #[error("the file is the database of another program (application id {found:#010x})")]
    Foreign { found: i32 },
    #[error("the file has version {found}, but this program only supports versions up to {known}: use a newer program")]
    Newer { found: usize, known: usize },
    #[error("the file has not been migrated yet")]
    Older,
    #[error("the event {0} cannot be moved: {1}")]
    BadEvent(ChainPosition, BadDocument),
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Never classifies an error as a verdict on the events: they are retried until SQLite takes them.
pub(super) fn store_error(path: &Path, error: &rusqlite::Error) -> StoreError {
    let reason = format!("the SQLite store {}: {error}", path.display());
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OperationInterrupted
            | ErrorCode::OutOfMemory
            | ErrorCode::SystemIoFailure,
        ) => StoreError::Unavailable { reason, retry_after: None },
        // Full, read-only, cannot be opened, corrupted, not a database, foreign tables: needs an operator.
        _ => StoreError::Blocked { reason },
    }
}

pub(super) fn unavailable(path: &Path, what: &str) -> StoreError {
    StoreError::Unavailable { reason: format!("the SQLite store {}: {what}", path.display()), retry_after: None }
}

pub(super) fn missing(path: &Path) -> StoreError {
    StoreError::Lost { reason: format!("the SQLite store {}: there is no such file", path.display()) }
}

/// The file is no longer where it was opened.
pub(super) fn lost(path: &Path) -> StoreError {
    StoreError::Lost { reason: format!("the SQLite store {}: the file was deleted or replaced", path.display()) }
}

/// Classifies an error on opening: only some errors of SQLite, and a migration still to be done, pass by themselves.
pub(super) fn open_error(path: &Path, error: &OpenError) -> StoreError {
    match error {
        OpenError::Sqlite(error) => store_error(path, error),
        OpenError::Older => unavailable(path, &error.to_string()),
        OpenError::OldLibrary { .. }
        | OpenError::Create(_)
        | OpenError::Foreign { .. }
        | OpenError::Newer { .. }
        | OpenError::BadEvent(..) => {
            StoreError::Blocked { reason: format!("the SQLite store {}: {error}", path.display()) }
        }
    }
}
