//! What can go wrong, as callers see it: the one table of codes, and what each module's errors become.
//!
//! A [`Failure`] has a message that is safe to show and a cause that only the log gets.

use std::{error::Error, time::Duration};

use crate::{
    access::{ChangeError, Unavailable},
    intake::{BodyError, RegisterError},
    store::StoreError,
    writer::SubmitError,
};

/// How long a caller is asked to wait when nobody knows better.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What went wrong, for programs. A code keeps its name and its status for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    InvalidRequest,
    PageTooLarge,
    EventsRejected,
    Unauthenticated,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    BodyTimeout,
    Conflict,
    TooLarge,
    UnsupportedMediaType,
    JournalFull,
    TooManyAttempts,
    TooManyStreams,
    Internal,
    Busy,
    ShuttingDown,
    JournalFailed,
    RegistryFailed,
    KeysFailed,
    AccessUnavailable,
    StoreUnavailable,
    StoreBlocked,
    StoreDenied,
    StoreTimeout,
    StoreRefused,
}

/// One line of the table.
struct Row {
    name: &'static str,
    status: u16,
    meaning: &'static str,
}

impl ErrorCode {
    pub const ALL: [Self; 26] = [
        Self::InvalidRequest,
        Self::PageTooLarge,
        Self::EventsRejected,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::BodyTimeout,
        Self::Conflict,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::JournalFull,
        Self::TooManyAttempts,
        Self::TooManyStreams,
        Self::Internal,
        Self::Busy,
        Self::ShuttingDown,
        Self::JournalFailed,
        Self::RegistryFailed,
        Self::KeysFailed,
        Self::AccessUnavailable,
        Self::StoreUnavailable,
        Self::StoreBlocked,
        Self::StoreDenied,
        Self::StoreTimeout,
        Self::StoreRefused,
    ];

    const fn row(self) -> Row {
        let (name, status, meaning) = match self {
            Self::InvalidRequest => ("invalid_request", 400, "A parameter or the body is not as described."),
            Self::PageTooLarge => {
                ("page_too_large", 400, "The events of the page are larger than an answer may be; ask for fewer.")
            }
            Self::EventsRejected => ("events_rejected", 400, "Every event of the request is invalid."),
            Self::Unauthenticated => {
                ("unauthenticated", 401, "The request has no credentials, or none that are known.")
            }
            Self::Forbidden => ("forbidden", 403, "The caller is known, and none of its roles may do this."),
            Self::NotFound => ("not_found", 404, "There is nothing here, or nothing that the caller may see."),
            Self::MethodNotAllowed => ("method_not_allowed", 405, "The path exists, but not with this method."),
            Self::BodyTimeout => ("body_timeout", 408, "The body did not arrive in time."),
            Self::Conflict => ("conflict", 409, "What is there does not allow the change."),
            Self::TooLarge => ("too_large", 413, "The body is larger, or has more events, than is accepted."),
            Self::UnsupportedMediaType => {
                ("unsupported_media_type", 415, "The content type or content encoding is not one of those accepted.")
            }
            Self::JournalFull => {
                ("journal_full", 429, "The journal is full until a store catches up; nothing was written.")
            }
            Self::TooManyAttempts => {
                ("too_many_attempts", 429, "Too many attempts to authenticate failed; nobody is asked for a while.")
            }
            Self::TooManyStreams => ("too_many_streams", 429, "As many exports or tails are running as may at once."),
            Self::Internal => ("internal", 500, "A fault of this program; the log has more."),
            Self::Busy => ("busy", 503, "Too much is being received or read at once; nothing was written."),
            Self::ShuttingDown => ("shutting_down", 503, "This writer is stopping; nothing was written."),
            Self::JournalFailed => ("journal_failed", 503, "The journal cannot be written; `/readyz` says why."),
            Self::RegistryFailed => ("registry_failed", 503, "The registration could not be made durable."),
            Self::KeysFailed => ("keys_failed", 503, "The change of API keys could not be made durable."),
            Self::AccessUnavailable => {
                ("access_unavailable", 503, "The system that knows the caller, or what they may read, does not answer.")
            }
            Self::StoreUnavailable => ("store_unavailable", 503, "The store that is queried does not answer."),
            Self::StoreBlocked => {
                ("store_blocked", 503, "The store that is queried is blocked until an operator acts.")
            }
            Self::StoreDenied => ("store_denied", 503, "The store that is queried refuses this log's credentials."),
            Self::StoreTimeout => ("store_timeout", 503, "The store that is queried took longer than a request may."),
            Self::StoreRefused => ("store_refused", 500, "The store that is queried refuses the query itself."),
        };
        Row { name, status, meaning }
    }

    /// As the `annals-error` header and the metrics have it.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The status of the HTTP answer.
    pub const fn status(self) -> u16 {
        self.row().status
    }

    pub const fn meaning(self) -> &'static str {
        self.row().meaning
    }
}

/// What a caller is told, and what the log is told beyond that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub code: ErrorCode,
    /// Safe to show to any caller.
    pub message: String,
    pub retry_after: Option<Duration>,
    /// For the log alone.
    pub cause: Option<String>,
}

impl Failure {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None, cause: None }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    /// A fault of ours: the caller learns no more than that.
    pub fn internal(cause: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, "An internal server error occurred").because(cause)
    }

    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }
}

/// The error and what led to it, in one line. A reason that the text before it ends with is not said again.
pub fn with_reasons(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(reason) = source {
        let said = reason.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        source = reason.source();
    }
    text
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        let code = match &error {
            BodyError::Empty | BodyError::NotJson { .. } => ErrorCode::InvalidRequest,
            BodyError::TooMany { .. } => ErrorCode::TooLarge,
        };
        Self::new(code, error.to_string())
    }
}

impl From<RegisterError> for Failure {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Invalid(_) => Self::invalid(error.to_string()),
            RegisterError::Write(cause) => {
                Self::new(ErrorCode::RegistryFailed, "the registration could not be made durable").because(cause)
            }
        }
    }
}

/// The other system's words can hold host names and the like, so they go to the log alone.
impl From<Unavailable> for Failure {
    fn from(error: Unavailable) -> Self {
        Self::new(ErrorCode::AccessUnavailable, "who is calling, or what they may read, cannot be found out at present")
            .retry_after(RETRY_AFTER)
            .because(error.to_string())
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        let message = error.to_string();
        match error {
            ChangeError::BadName(_) | ChangeError::NoGrants | ChangeError::Past => {
                Self::invalid(format!("[request body]: {message}"))
            }
            ChangeError::NameTaken(_) | ChangeError::LastAdmin(_) | ChangeError::TooMany => {
                Self::new(ErrorCode::Conflict, message)
            }
            ChangeError::Absent(_) => Self::new(ErrorCode::NotFound, message),
            ChangeError::Write(error) => {
                Self::new(ErrorCode::KeysFailed, "the change could not be made durable").because(with_reasons(&error))
            }
        }
    }
}

/// `Dropped` is no failure to the caller of a log that was told to drop; a route that can meet it answers for itself.
impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Self {
        match &error {
            SubmitError::Full { retry_after, .. } => {
                Self::new(ErrorCode::JournalFull, error.to_string()).retry_after(*retry_after)
            }
            SubmitError::TooLarge { .. } => Self::new(ErrorCode::TooLarge, error.to_string()),
            SubmitError::Dropped => Self::new(ErrorCode::JournalFull, error.to_string()).retry_after(RETRY_AFTER),
            SubmitError::Closed => Self::new(ErrorCode::ShuttingDown, error.to_string()).retry_after(RETRY_AFTER),
            SubmitError::Failed { reason } => {
                Self::new(ErrorCode::JournalFailed, "the journal cannot be written").because(reason)
            }
        }
    }
}

/// For a question. A store's own words can hold host names and the like, so they go to the log alone.
impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let cause = error.to_string();
        let failure = match error {
            StoreError::Unavailable { retry_after, .. } => {
                Self::new(ErrorCode::StoreUnavailable, "the store does not answer at present; try again later")
                    .retry_after(retry_after.unwrap_or(RETRY_AFTER))
            }
            StoreError::TargetLost { .. } => {
                Self::new(ErrorCode::StoreUnavailable, "the store is being set up again; try again later")
                    .retry_after(RETRY_AFTER)
            }
            StoreError::Blocked { .. } => {
                Self::new(ErrorCode::StoreBlocked, "the store is blocked until an operator acts")
                    .retry_after(RETRY_AFTER)
            }
            StoreError::Denied { .. } => {
                Self::new(ErrorCode::StoreDenied, "the store refuses the credentials of this log")
                    .retry_after(RETRY_AFTER)
            }
            // The route looks beforehand; this is for what has come since.
            StoreError::TooManySpans => {
                Self::invalid(format!("[request query.interval]: {cause}; expected a longer one, or [auto]"))
            }
            StoreError::TooLarge | StoreError::Refused { .. } => {
                Self::new(ErrorCode::StoreRefused, "the store refuses this query")
            }
        };
        failure.because(cause)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_its_own_name() {
        let names: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn what_a_store_says_reaches_the_log_and_not_the_caller() {
        let reason = || "http://elastic:9200 said no".to_owned();
        let errors = [
            StoreError::Unavailable { reason: reason(), retry_after: None },
            StoreError::Blocked { reason: reason() },
            StoreError::Denied { reason: reason() },
            StoreError::TargetLost { reason: reason() },
            StoreError::Refused { reason: reason() },
        ];
        for error in errors {
            let failure = Failure::from(error);
            assert!(!failure.message.contains("elastic"), "{failure:?}");
            assert_eq!(failure.cause.as_deref(), Some("http://elastic:9200 said no"));
        }
    }

    #[test]
    fn a_full_journal_asks_to_come_back_when_the_writer_says() {
        let error = SubmitError::Full { used: 10, limit: 10, retry_after: Duration::from_secs(3) };
        let failure = Failure::from(error);
        assert_eq!((failure.code.status(), failure.retry_after), (429, Some(Duration::from_secs(3))));
    }
}
