//! Classifies failures of the database by what the caller is to do.

use std::error::Error as _;

use deadpool_postgres::PoolError;
use tokio_postgres::{Error, error::SqlState};

use crate::store::StoreError;

/// Why an operation on a connection failed.
pub(super) enum OperationError {
    Database(Error),
    Store(StoreError),
}

impl From<Error> for OperationError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for OperationError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Turns failures into errors for the caller, with reasons that name the database.
#[derive(Clone)]
pub(super) struct ErrorClassifier {
    /// Host, port, and database; no password.
    pub(super) name: String,
    pub(super) schema: String,
}

impl ErrorClassifier {
    pub(super) fn classify(&self, error: OperationError) -> StoreError {
        match error {
            OperationError::Database(error) => self.classify_database(&error),
            OperationError::Store(error) => error,
        }
    }

    /// Classifies the database's answer to a statement. Only `Refused` is a verdict on the request, possibly because of
    /// one event of many.
    pub(super) fn classify_database(&self, error: &Error) -> StoreError {
        let description = describe(error);
        match error.code() {
            None => StoreError::Unavailable { reason: self.reason(&description), retry_after: None },
            // The server names the table only, even if the whole schema is missing.
            Some(state) if is_missing(state) => StoreError::Lost {
                reason: self
                    .reason(&format!("a table of the schema {}, or all of it, is missing: {description}", self.schema)),
            },
            Some(state) => classify_state(state, self.reason(&description)),
        }
    }

    pub(super) fn classify_pool(&self, error: PoolError) -> StoreError {
        match error {
            PoolError::Backend(error) => self.classify_database(&error),
            PoolError::PostCreateHook(deadpool_postgres::HookError::Backend(error)) => self.classify_database(&error),
            PoolError::Timeout(_) => self.unavailable("no connection became free in time"),
            PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                self.unavailable(&error.to_string())
            }
        }
    }

    /// The tables cannot be used until somebody intervenes.
    pub(super) fn blocked(&self, what: &str) -> StoreError {
        StoreError::Blocked { reason: self.reason(what) }
    }

    pub(super) fn unavailable(&self, what: &str) -> StoreError {
        StoreError::Unavailable { reason: self.reason(what), retry_after: None }
    }

    fn reason(&self, what: &str) -> String {
        format!("the PostgreSQL store {}: {what}", self.name)
    }
}

/// Leaves out the database's detail, which quotes values.
fn describe(error: &Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} ({})", error.message(), error.code().code()),
        None => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

fn is_missing(state: &SqlState) -> bool {
    *state == SqlState::UNDEFINED_TABLE || *state == SqlState::INVALID_SCHEMA_NAME
}

fn classify_state(state: &SqlState, reason: String) -> StoreError {
    if *state == SqlState::DISK_FULL {
        return StoreError::Blocked { reason };
    }
    match state.code().get(..2) {
        // Invalid authorization; and insufficient privilege, which is in the class of syntax errors.
        Some("28") => StoreError::Denied { reason },
        Some("42") if *state == SqlState::INSUFFICIENT_PRIVILEGE => StoreError::Denied { reason },
        // Invalid data, and program limits exceeded.
        Some("22" | "54") => StoreError::Refused { reason },
        // Connection lost, rolled back, out of resources, in use, shut down or cancelled, system error.
        Some("08" | "40" | "53" | "55" | "57" | "58") => StoreError::Unavailable { reason, retry_after: None },
        // Read-only, no such database, foreign tables, corrupted: needs an operator.
        _ => StoreError::Blocked { reason },
    }
}
