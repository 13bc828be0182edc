//! Audit events: the log records its own use as events of provider `annals`.
//!
//! They take the same path as all events. Nothing recorded is dropped: whoever does something that is recorded waits until
//! the record is durable, and is refused if it cannot be made so. Only failed attempts to authenticate are recorded
//! afterwards; while they cannot be, they are counted together.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use strum::VariantArray;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    access::{Caller, FailedAttempts},
    event::Space,
    ingest::{Ingest, OwnEventError},
    intake::Registration,
    metrics::AuditMetrics,
    reserved::AUDIT_PROVIDER,
};

const QUEUE: usize = 256;
const BATCH: usize = 256;
/// How many reports of failed attempts may wait to be logged one by one; further ones are counted together.
const MAX_PENDING: usize = 256;
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Maximum length of a text in characters. Texts come from outside; longer ones are cut.
const MAX_TEXT: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Action {
    AuthenticationFailed,
    KeyCreated,
    KeyRevoked,
    ProviderRegistered,
    ProviderDeleted,
    Find,
    Export,
    Tail,
}

impl Action {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// `event.action`
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthenticationFailed => "authentication-failed",
            Self::KeyCreated => "key-created",
            Self::KeyRevoked => "key-revoked",
            Self::ProviderRegistered => "provider-registered",
            Self::ProviderDeleted => "provider-deleted",
            Self::Find => "find",
            Self::Export => "export",
            Self::Tail => "tail",
        }
    }

    const fn outcome(self) -> &'static str {
        match self {
            Self::AuthenticationFailed => "failure",
            Self::KeyCreated
            | Self::KeyRevoked
            | Self::ProviderRegistered
            | Self::ProviderDeleted
            | Self::Find
            | Self::Export
            | Self::Tail => "success",
        }
    }

    const fn category(self) -> &'static str {
        match self {
            Self::AuthenticationFailed => "authentication",
            Self::KeyCreated | Self::KeyRevoked => "iam",
            Self::ProviderRegistered | Self::ProviderDeleted => "configuration",
            Self::Find | Self::Export | Self::Tail => "database",
        }
    }
}

/// One audited action.
#[derive(Clone, Debug)]
pub struct Record {
    pub action: Action,
    pub message: String,
    /// `None` is the default space.
    pub space: Option<Space>,
    /// Who did it, or claimed to.
    pub user: Option<String>,
    pub address: Option<IpAddr>,
    /// Further details: `annals.payload`.
    pub payload: Value,
}

impl Record {
    /// A record of a caller's action in the default space.
    pub fn by(caller: &Caller, action: Action, message: String, payload: Value) -> Self {
        let user = Some(caller.principal.to_string());
        Self { action, message, space: None, user, address: caller.address, payload }
    }

    /// A record of failed attempts to authenticate.
    pub fn of_failed_attempts(attempts: FailedAttempts) -> Self {
        let FailedAttempts { address, login, attempts } = attempts;
        let from = address.map_or_else(|| "several addresses".to_owned(), |address| address.to_string());
        Self {
            action: Action::AuthenticationFailed,
            message: format!("{attempts} attempts to authenticate from {from} failed"),
            space: None,
            user: login,
            address,
            payload: json!({"attempts": attempts}),
        }
    }

    /// Makes the texts valid for any event and bounds their length: input from outside must neither keep its audit
    /// event from being logged nor crowd out others.
    fn plain(self) -> Self {
        let Self { action, message, space, user, address, payload } = self;
        let user = user.map(|user| plain_text(&user));
        Self { action, message: plain_text(&message), space, user, address, payload: plain(payload) }
    }

    fn event(&self) -> Value {
        let Self { action, message, user, address, payload, .. } = self;
        let mut event = json!({
            "event": {
                "provider": AUDIT_PROVIDER,
                "action": action.as_str(),
                "category": [action.category()],
                "outcome": action.outcome(),
            },
            "message": message,
        });
        let mut put = |name: &str, value: Value| {
            if let Value::Object(members) = &mut event {
                members.insert(name.to_owned(), value);
            }
        };
        if let Some(user) = user {
            put("user", json!({"name": user}));
        }
        if let Some(address) = address {
            put("source", json!({"ip": address.to_canonical().to_string()}));
        }
        if !payload.is_null() {
            put("annals", json!({"payload": payload}));
        }
        event
    }
}

/// Replaces U+0000, which no event may contain, by U+FFFD.
fn plain_text(text: &str) -> String {
    text.chars()
        .take(MAX_TEXT)
        .map(|letter| if letter == '\0' { char::REPLACEMENT_CHARACTER } else { letter })
        .collect()
}

fn plain(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(plain_text(&text)),
        Value::Array(values) => Value::Array(values.into_iter().map(plain).collect()),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, value)| (name, plain(value))).collect())
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    }
}

/// The registration that these events need.
pub fn registration() -> (String, Registration) {
    let actions = Action::ALL.iter().map(|action| action.as_str().to_owned()).collect();
    (AUDIT_PROVIDER.to_owned(), Registration { actions, ..Registration::default() })
}

/// Handle for recording audit events; cheap to clone.
#[derive(Clone)]
pub struct Audit {
    queue: mpsc::Sender<Message>,
    failed: Arc<FailedQueue>,
}

/// The log cannot record this, so it must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this cannot be recorded at present, so it is refused; try again later")]
pub struct NotRecorded;

/// A record on its way to the disk.
#[must_use = "an action may only take effect once its record is durable"]
pub struct Recording {
    logged: oneshot::Receiver<Result<(), NotRecorded>>,
    deadline: Instant,
}

impl Recording {
    /// Waits until the record is durable.
    pub async fn done(self) -> Result<(), NotRecorded> {
        match timeout_at(self.deadline, self.logged).await {
            Ok(Ok(logged)) => logged,
            Ok(Err(_)) | Err(_) => Err(NotRecorded),
        }
    }
}

enum Message {
    /// With whom to tell whether it is logged.
    Record(Box<Record>, oneshot::Sender<Result<(), NotRecorded>>),
    /// Log everything recorded so far, then stop.
    Close(oneshot::Sender<()>),
}

impl Audit {
    /// Starts logging records.
    pub fn start(ingest: Arc<Ingest>, metrics: AuditMetrics) -> Self {
        let (queue, recorded) = mpsc::channel(QUEUE);
        let failed = Arc::new(FailedQueue::default());
        tokio::spawn(run(recorded, Arc::clone(&failed), ingest, metrics));
        Self { queue, failed }
    }

    /// Begins to log a record; waits only for a place in the queue. Once this has returned, the record does not depend
    /// on the caller any more.
    pub async fn begin(&self, record: Record, deadline: Instant) -> Result<Recording, NotRecorded> {
        let (done, logged) = oneshot::channel();
        let message = Message::Record(Box::new(record.plain()), done);
        match timeout_at(deadline, self.queue.send(message)).await {
            Ok(Ok(())) => Ok(Recording { logged, deadline }),
            Ok(Err(_)) | Err(_) => Err(NotRecorded),
        }
    }

    /// Logs a record; returns once it is durable.
    pub async fn record(&self, record: Record, deadline: Instant) -> Result<(), NotRecorded> {
        self.begin(record, deadline).await?.done().await
    }

    /// Logs failed attempts to authenticate, as soon as that is possible. Does not wait: whoever failed is answered, even
    /// while nothing can be logged.
    pub fn failed_attempts(&self, attempts: FailedAttempts) {
        if self.queue.is_closed() {
            tracing::warn!("failed attempts to authenticate could not be recorded: the log is stopping");
        }
        self.failed.pending().push(attempts);
        self.failed.added.notify_one();
    }

    /// Logs everything recorded so far, taking at most `limit`.
    pub async fn close(&self, limit: Duration) {
        let (done, is_done) = oneshot::channel();
        let close = async {
            if self.queue.send(Message::Close(done)).await.is_ok() {
                // The task ends on its own, whether it answers or not.
                let _ = is_done.await;
            }
        };
        if timeout(limit, close).await.is_err() {
            tracing::warn!("not all audit events were logged in time");
        }
    }
}

async fn run(
    mut recorded: mpsc::Receiver<Message>,
    failed: Arc<FailedQueue>,
    ingest: Arc<Ingest>,
    metrics: AuditMetrics,
) {
    let mut messages = Vec::with_capacity(BATCH);
    let mut is_retrying = false;
    loop {
        let received = tokio::select! {
            received = recorded.recv_many(&mut messages, BATCH) => received,
            () = failed.added.notified(), if !is_retrying => 1,
            () = sleep(RETRY_AFTER), if is_retrying => 1,
        };
        if received == 0 {
            return;
        }
        let (mut records, mut closing) = (Vec::new(), None);
        for message in messages.drain(..) {
            match message {
                Message::Record(record, done) => records.push((record, done)),
                Message::Close(done) => closing = Some(done),
            }
        }
        is_retrying = !log_failed_attempts(&failed, &ingest, &metrics).await;
        // In runs of the same space, so that the order is preserved.
        while let Some(first) = records.first() {
            let space = first.0.space.clone();
            let length = records.iter().take_while(|(record, _)| record.space == space).count();
            let of_one_space: Vec<_> = records.drain(..length).collect();
            let logged =
                log(of_one_space.iter().map(|(record, _)| record.as_ref()), space.as_ref(), &ingest, &metrics).await;
            let logged = logged.map_err(|_| NotRecorded);
            for (_, done) in of_one_space {
                // The caller may be gone.
                let _ = done.send(logged);
            }
        }
        if let Some(done) = closing {
            let unlogged: u64 = failed.pending().reports.iter().map(|report| report.attempts).sum();
            if unlogged > 0 {
                tracing::error!(attempts = unlogged, "failed attempts to authenticate are not in the log");
            }
            let _ = done.send(());
            return;
        }
    }
}

/// Logs the failed attempts so far. Returns `false` if they could not be logged and still wait.
async fn log_failed_attempts(failed: &FailedQueue, ingest: &Ingest, metrics: &AuditMetrics) -> bool {
    let reports = std::mem::take(&mut failed.pending().reports);
    let records: Vec<_> =
        reports.iter().cloned().map(|attempts| Record::of_failed_attempts(attempts).plain()).collect();
    if records.is_empty() {
        return true;
    }
    match log(records.iter(), None, ingest, metrics).await {
        Ok(()) => true,
        Err(OwnEventError::Submit(_)) => {
            let mut pending = failed.pending();
            let newer = std::mem::replace(&mut pending.reports, reports);
            newer.into_iter().for_each(|attempts| pending.push(attempts));
            false
        }
        // They would be rejected again, and the others logged again.
        Err(OwnEventError::Body(_) | OwnEventError::Rejected { .. }) => true,
    }
}

/// Failed attempts on their way to the log.
#[derive(Default)]
struct FailedQueue {
    pending: Mutex<Pending>,
    added: Notify,
}

impl FailedQueue {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Failed attempts that are not logged yet.
#[derive(Default)]
struct Pending {
    reports: Vec<FailedAttempts>,
}

impl Pending {
    fn push(&mut self, attempts: FailedAttempts) {
        let is_full = self.reports.len() >= MAX_PENDING;
        match self.reports.last_mut() {
            Some(last) if is_full => {
                let attempts = last.attempts + attempts.attempts;
                *last = FailedAttempts { address: None, login: None, attempts };
            }
            _ => self.reports.push(attempts),
        }
    }
}

async fn log(
    records: impl Iterator<Item = &Record>,
    space: Option<&Space>,
    ingest: &Ingest,
    metrics: &AuditMetrics,
) -> Result<(), OwnEventError> {
    let lines: String = records.map(|record| record.event().to_string() + "\n").collect();
    ingest.log_own(space, lines.as_bytes()).await.inspect_err(|error| {
        metrics.failures.inc();
        tracing::warn!(%error, "audit events cannot be logged");
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::{
        intake::{Intake, Limits, Registry},
        metrics::Metrics,
        time::SystemClock,
    };

    fn attempts(number: u64) -> FailedAttempts {
        FailedAttempts { address: None, login: Some(format!("login {number}")), attempts: number }
    }

    #[tokio::test]
    async fn failed_attempts_that_the_log_rejects_are_not_offered_again() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits {
            max_event_bytes: 4_000,
            max_batch_events: 20,
            max_depth: 8,
            max_array_length: 5,
            ..Limits::default()
        };
        // Without the registration of these events.
        let registry = Registry::open(folder.path().join("providers.json"), limits).unwrap();
        let intake = Intake::new(
            Arc::new(registry),
            limits,
            Arc::new(SystemClock),
            &crate::intake::Source {
                node: "n".to_owned(),
                server_uuid: "uuid".to_owned(),
                version: "1.2.3".to_owned(),
            },
        );
        let metrics = Metrics::new();
        let ingest = Ingest::new(intake, None, metrics.intake.clone());
        let failed = FailedQueue::default();
        failed.pending().push(attempts(1));
        assert!(log_failed_attempts(&failed, &ingest, &metrics.audit).await);
        assert_eq!((failed.pending().reports.len(), metrics.audit.failures.get()), (0, 1));
        assert!(log_failed_attempts(&failed, &ingest, &metrics.audit).await);
        assert_eq!(metrics.audit.failures.get(), 1);
    }

    #[test]
    fn however_many_failed_attempts_wait_all_are_counted() {
        let mut pending = Pending::default();
        (1..=1_000).for_each(|number| pending.push(attempts(number)));
        assert_eq!(pending.reports.len(), MAX_PENDING);
        assert_eq!(pending.reports.iter().map(|report| report.attempts).sum::<u64>(), 500_500);
    }
}
