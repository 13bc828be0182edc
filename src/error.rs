//! Errors as callers see them: the one table of codes, and the mapping of each module's errors to them.
//!
//! A [`Failure`] has a message that is safe to show, and a cause that only goes to the log.

use std::{error::Error, fmt::Display, time::Duration};

use strum::VariantArray;

use crate::{
    access::{ChangeError, Unavailable},
    audit::NotRecorded,
    intake::{BodyError, RegisterError},
    read::ReadError,
    store::IndexError,
    writer::SubmitError,
};

/// Default wait that a caller is asked for.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Machine-readable error code. A code never changes its name or status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
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
    HeadTooLarge,
    JournalFull,
    TooManyAttempts,
    TooManyStreams,
    Internal,
    Busy,
    NotRecorded,
    ShuttingDown,
    ClockJumped,
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

/// One row of the table.
struct Row {
    name: &'static str,
    status: u16,
    meaning: &'static str,
    /// What the caller should do.
    remedy: &'static str,
}

impl ErrorCode {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    const fn row(self) -> Row {
        let (name, status, meaning, remedy) = match self {
            Self::InvalidRequest => (
                "invalid_request",
                400,
                "A parameter or the body is not as described.",
                "Correct the request; the message says what was expected.",
            ),
            Self::PageTooLarge => (
                "page_too_large",
                400,
                "The events of the page are larger than an answer may be.",
                "Request fewer events at once, or fewer fields.",
            ),
            Self::EventsRejected => (
                "events_rejected",
                400,
                "Every event of the request is invalid.",
                "Correct the events; `items` has the errors of each.",
            ),
            Self::Unauthenticated => (
                "unauthenticated",
                401,
                "The request has no valid credentials.",
                "Send a key that exists and has not expired.",
            ),
            Self::Forbidden => (
                "forbidden",
                403,
                "The caller is known, but none of its roles permits this.",
                "Ask an administrator for a role that does.",
            ),
            Self::NotFound => (
                "not_found",
                404,
                "There is nothing here, or nothing that the caller may see.",
                "Check path, space and id, and the roles of the caller.",
            ),
            Self::MethodNotAllowed => (
                "method_not_allowed",
                405,
                "The path exists, but not with this method.",
                "Use one of those in the header `allow`.",
            ),
            Self::BodyTimeout => (
                "body_timeout",
                408,
                "The body did not arrive in time, or its sender paused for more than five seconds.",
                "Send smaller bodies without pauses, or raise `server.request_timeout`.",
            ),
            Self::Conflict => {
                ("conflict", 409, "The current state does not allow the change.", "The message says what prevents it.")
            }
            Self::TooLarge => (
                "too_large",
                413,
                "The body, or what would be made from it, is larger, or has more events, than is accepted, or could never fit in the journal.",
                "Send less at once, or raise `server.max_batch_bytes`, `server.max_batch_events` or `journal.max_bytes`.",
            ),
            Self::UnsupportedMediaType => (
                "unsupported_media_type",
                415,
                "The content type or content encoding is not one of those accepted.",
                "Send JSON or NDJSON, plain or with gzip.",
            ),
            Self::HeadTooLarge => (
                "head_too_large",
                431,
                "The path, query and headers of the request have more than 64 KiB.",
                "Send a shorter filter, or name the objects in a body.",
            ),
            Self::JournalFull => (
                "journal_full",
                429,
                "The journal is full until a store catches up; nothing was written.",
                "Send it again after `retry-after`. The operator should check why a store is behind.",
            ),
            Self::TooManyAttempts => (
                "too_many_attempts",
                429,
                "Too many attempts to authenticate failed; credentials are not checked for a while.",
                "Wait for `retry-after`, and stop the program that sends wrong credentials.",
            ),
            Self::TooManyStreams => (
                "too_many_streams",
                429,
                "Too many exports or tails are running.",
                "Wait until one ends, or raise `server.exports_per_caller` or `server.tails_per_caller`.",
            ),
            Self::Internal => (
                "internal",
                500,
                "An error in this program; the log has details.",
                "Report it, with the details from the log.",
            ),
            Self::Busy => (
                "busy",
                503,
                "Too much is being received or read at once, by the caller or by all; nothing was written.",
                "Send it again after `retry-after`.",
            ),
            Self::NotRecorded => (
                "not_recorded",
                503,
                "The log cannot record this read or change, so it is refused: every one of them is recorded before it takes effect.",
                "Try it again after `retry-after`. The operator should check `/readyz`: the journal is full or cannot be written.",
            ),
            Self::ShuttingDown => (
                "shutting_down",
                503,
                "This writer is stopping; nothing was written.",
                "Send it again later, or to another writer.",
            ),
            Self::ClockJumped => (
                "clock_jumped",
                503,
                "The writer's clock has jumped ahead by more than `writer.max_clock_jump`; nothing was written.",
                "Send it again later, or to another writer. The operator should set the clock right; if it is right, a restart accepts it.",
            ),
            Self::JournalFailed => (
                "journal_failed",
                503,
                "The journal cannot be written; nothing was written, unless the disk failed to sync.",
                "Send it again later. The operator should check `/readyz`, which has the reason, and the disk.",
            ),
            Self::RegistryFailed => (
                "registry_failed",
                503,
                "The registration could not be made durable.",
                "Try again once the operator has checked the disk of the data folder.",
            ),
            Self::KeysFailed => (
                "keys_failed",
                503,
                "The change of API keys could not be made durable.",
                "Try again once the operator has checked the disk of the data folder.",
            ),
            Self::AccessUnavailable => (
                "access_unavailable",
                503,
                "The system that identifies the caller, or knows what they may read, does not answer.",
                "Try again later. The operator finds the reason in the log.",
            ),
            Self::StoreUnavailable => (
                "store_unavailable",
                503,
                "The queried store does not answer.",
                "Try again later. Events are accepted meanwhile.",
            ),
            Self::StoreBlocked => (
                "store_blocked",
                503,
                "The queried store is blocked until an operator acts.",
                "The operator has to remove the block, such as one for a full disk, once its cause is fixed.",
            ),
            Self::StoreDenied => (
                "store_denied",
                503,
                "The queried store refuses this log's credentials.",
                "The operator has to correct the store's `auth`, or the privileges of its user.",
            ),
            Self::StoreTimeout => (
                "store_timeout",
                503,
                "The queried store took longer than a request may.",
                "Request less, such as a shorter time range, or raise `server.request_timeout`.",
            ),
            Self::StoreRefused => (
                "store_refused",
                500,
                "The queried store refuses the query itself.",
                "Report it, with the details from the log, unless they name a limit of the store.",
            ),
        };
        Row { name, status, meaning, remedy }
    }

    /// The name in the `annals-error` header and in the metrics.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        self.row().status
    }
}

const REFERENCE_HEAD: &str = "\
# Errors

<!-- Generated from src/error.rs by the tests; do not edit. UPDATE_GOLDEN=1 cargo test --lib error -->

Every error answer is JSON with `statusCode`, `error` and `message`. Its code is in the header `annals-error`, and counted in
`annals_http_errors_total{code}`; a code never changes its name or status. If the answer says when to retry, the header
`retry-after` has the wait in seconds.

| code | status | what it means | what to do |
| --- | --- | --- | --- |
";

/// The reference of all codes: `docs/errors.md`.
pub fn render_reference() -> String {
    let mut page = REFERENCE_HEAD.to_owned();
    for Row { name, status, meaning, remedy } in ErrorCode::ALL.iter().map(|code| code.row()) {
        page.push_str(&format!("| `{name}` | {status} | {meaning} | {remedy} |\n"));
    }
    page
}

/// An error: a message for the caller, and a cause for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub code: ErrorCode,
    /// The parameter that is at fault, if it is a single one. Each protocol has its own way to name it in the message.
    pub parameter: Option<String>,
    /// Safe to show to any caller.
    pub message: String,
    pub retry_after: Option<Duration>,
    /// Only for the log.
    pub cause: Option<String>,
}

impl Failure {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, parameter: None, message: message.into(), retry_after: None, cause: None }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    /// For a parameter that is not as described.
    pub fn parameter(name: impl Into<String>, reason: impl Display) -> Self {
        Self { parameter: Some(name.into()), ..Self::invalid(reason.to_string()) }
    }

    /// For anything that does not exist or that the caller may not see.
    pub fn not_found() -> Self {
        Self::new(ErrorCode::NotFound, "Not Found")
    }

    /// An internal error: the caller learns no details.
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

/// The error and its sources in one line. A source that the preceding text already ends with is not repeated.
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
            BodyError::TooMany { .. } | BodyError::TooMuch { .. } => ErrorCode::TooLarge,
        };
        Self::new(code, error.to_string())
    }
}

impl From<RegisterError> for Failure {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Invalid(_) | RegisterError::TooMany => Self::invalid(error.to_string()),
            RegisterError::Reserved { .. } => Self::new(ErrorCode::Forbidden, error.to_string()),
            RegisterError::Fixed => Self::new(ErrorCode::Conflict, error.to_string()),
            RegisterError::Absent => Self::new(ErrorCode::NotFound, error.to_string()),
            RegisterError::Write(cause) => {
                Self::new(ErrorCode::RegistryFailed, "the registration could not be made durable").because(cause)
            }
        }
    }
}

/// The other system's message may contain host names and the like, so it only goes to the log.
impl From<Unavailable> for Failure {
    fn from(error: Unavailable) -> Self {
        Self::new(ErrorCode::AccessUnavailable, "the caller, or what they may read, cannot be determined at present")
            .retry_after(RETRY_AFTER)
            .because(error.to_string())
    }
}

impl From<NotRecorded> for Failure {
    fn from(error: NotRecorded) -> Self {
        Self::new(ErrorCode::NotRecorded, error.to_string()).retry_after(RETRY_AFTER)
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        let message = error.to_string();
        match error {
            ChangeError::BadName(_) | ChangeError::NoGrants | ChangeError::LargeGrants(_) | ChangeError::Past => {
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

/// `Dropped` is not an error for the caller if the log is configured to drop; a route that can get it handles it
/// itself.
impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Self {
        match &error {
            SubmitError::Full { retry_after, .. } => {
                Self::new(ErrorCode::JournalFull, error.to_string()).retry_after(*retry_after)
            }
            SubmitError::TooLarge { .. } => Self::new(ErrorCode::TooLarge, error.to_string()),
            SubmitError::Dropped => Self::new(ErrorCode::JournalFull, error.to_string()).retry_after(RETRY_AFTER),
            SubmitError::Closed => Self::new(ErrorCode::ShuttingDown, error.to_string()).retry_after(RETRY_AFTER),
            SubmitError::ClockJumped(_) => {
                Self::new(ErrorCode::ClockJumped, error.to_string()).retry_after(RETRY_AFTER)
            }
            SubmitError::Failed { reason } => {
                Self::new(ErrorCode::JournalFailed, "the journal cannot be written").because(reason)
            }
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let message = error.to_string();
        match error {
            ReadError::NotFound => Self::not_found(),
            ReadError::Access(error) => error.into(),
            ReadError::NotRecorded(error) => error.into(),
            ReadError::Index(error) => error.into(),
            ReadError::Timeout => Self::new(ErrorCode::StoreTimeout, message),
            ReadError::Busy => Self::new(ErrorCode::Busy, message).retry_after(Duration::from_secs(1)),
            ReadError::TooManyStreams(_) => Self::new(ErrorCode::TooManyStreams, message).retry_after(RETRY_AFTER),
            ReadError::PageTooLarge => Self::new(ErrorCode::PageTooLarge, message),
            ReadError::Cursor(_) => Self::parameter("after", message),
            ReadError::Interval(_) => Self::parameter("interval", message),
            ReadError::TooManyChains(_) => Self::invalid(message),
            ReadError::Internal(cause) => Self::internal(cause),
        }
    }
}

/// For queries. A store's message may contain host names and the like, so it only goes to the log.
impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        let cause = error.to_string();
        let failure = match error {
            IndexError::Unavailable { retry_after, .. } => {
                Self::new(ErrorCode::StoreUnavailable, "the store does not answer at present; try again later")
                    .retry_after(retry_after.unwrap_or(RETRY_AFTER))
            }
            IndexError::NotSetUp { .. } => {
                Self::new(ErrorCode::StoreUnavailable, "the store is being set up again; try again later")
                    .retry_after(RETRY_AFTER)
            }
            IndexError::Blocked { .. } => {
                Self::new(ErrorCode::StoreBlocked, "the store is blocked until an operator acts")
                    .retry_after(RETRY_AFTER)
            }
            IndexError::Denied { .. } => {
                Self::new(ErrorCode::StoreDenied, "the store refuses the credentials of this log")
                    .retry_after(RETRY_AFTER)
            }
            // `read` checks beforehand; this covers events that came in since.
            IndexError::TooManyBuckets => {
                Self::parameter("interval", format_args!("{cause}; expected a longer one, or [auto]"))
            }
            IndexError::Refused { .. } => Self::new(ErrorCode::StoreRefused, "the store refuses this query"),
        };
        failure.because(cause)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::{collections::BTreeSet, env, fs, path::Path};

    use super::*;

    #[test]
    fn every_code_has_its_own_name() {
        let names: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn the_reference_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
        let current = render_reference();
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &current).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == current, "docs/errors.md is stale; UPDATE_GOLDEN=1 cargo test --lib error rewrites it");
    }

    #[test]
    fn messages_of_stores_go_to_the_log_and_not_to_callers() {
        let reason = || "http://elastic:9200 said no".to_owned();
        let errors = [
            IndexError::Unavailable { reason: reason(), retry_after: None },
            IndexError::Blocked { reason: reason() },
            IndexError::Denied { reason: reason() },
            IndexError::NotSetUp { reason: reason() },
            IndexError::Refused { reason: reason() },
        ];
        for error in errors {
            let failure = Failure::from(error);
            assert!(!failure.message.contains("elastic"), "{failure:?}");
            assert_eq!(failure.cause.as_deref(), Some("http://elastic:9200 said no"));
        }
    }

    #[test]
    fn a_full_journal_sets_the_writers_retry_after() {
        let error = SubmitError::Full { used: 10, limit: 10, retry_after: Duration::from_secs(3) };
        let failure = Failure::from(error);
        assert_eq!((failure.code.status(), failure.retry_after), (429, Some(Duration::from_secs(3))));
    }
}
