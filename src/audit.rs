//! Audit events: the log records its own use as events of provider `annals`.
//!
//! They take the same path as all events. Recording never waits: a record goes into a bounded queue, and is counted as
//! lost if the queue is full.

use std::{net::IpAddr, sync::Arc, time::Duration};

use serde_json::{Value, json};
use strum::VariantArray;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    access::{Caller, FailedAttempts},
    event::Space,
    ingest::{Ingest, OwnEventError},
    intake::Registration,
    metrics::AuditMetrics,
    reserved::AUDIT_PROVIDER,
};

const QUEUE: usize = 4096;
const BATCH: usize = 256;
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
    (AUDIT_PROVIDER.to_owned(), Registration { actions, defaults: None })
}

/// Handle for recording audit events; cheap to clone.
#[derive(Clone)]
pub struct Audit {
    queue: mpsc::Sender<Message>,
    metrics: AuditMetrics,
}

enum Message {
    /// With whom to tell once it is logged.
    Record(Box<Record>, Option<oneshot::Sender<()>>),
    /// Log everything recorded so far, then stop.
    Close(oneshot::Sender<()>),
}

impl Audit {
    /// Starts logging records.
    pub fn start(ingest: Arc<Ingest>, metrics: AuditMetrics) -> Self {
        let (queue, recorded) = mpsc::channel(QUEUE);
        tokio::spawn(run(recorded, ingest, metrics.clone()));
        Self { queue, metrics }
    }

    /// Queues a record. Never waits; if the queue is full, the record is counted as lost.
    pub fn record(&self, record: Record) {
        if self.queue.try_send(Message::Record(Box::new(record.plain()), None)).is_err() {
            self.metrics.lost.inc();
            tracing::warn!("an audit event was lost: the queue is full");
        }
    }

    /// Waits until the record is logged, or was lost.
    pub async fn record_now(&self, record: Record) {
        self.send_and_wait(|done| Message::Record(Box::new(record.plain()), Some(done))).await;
    }

    /// Logs everything recorded so far, taking at most `limit`.
    pub async fn close(&self, limit: Duration) {
        if timeout(limit, self.send_and_wait(Message::Close)).await.is_err() {
            tracing::warn!("not all audit events were logged in time");
        }
    }

    async fn send_and_wait(&self, message: impl FnOnce(oneshot::Sender<()>) -> Message) {
        let (done, is_done) = oneshot::channel();
        if self.queue.send(message(done)).await.is_ok() {
            // The task ends on its own, whether it answers or not.
            let _ = is_done.await;
        }
    }
}

async fn run(mut recorded: mpsc::Receiver<Message>, ingest: Arc<Ingest>, metrics: AuditMetrics) {
    let mut messages = Vec::with_capacity(BATCH);
    while recorded.recv_many(&mut messages, BATCH).await > 0 {
        let mut records = Vec::new();
        let (mut waiting, mut closing) = (Vec::<oneshot::Sender<()>>::new(), None);
        for message in messages.drain(..) {
            match message {
                Message::Record(record, done) => {
                    records.push(record);
                    waiting.extend(done);
                }
                Message::Close(done) => closing = Some(done),
            }
        }
        // In runs of the same space, so that the order is preserved.
        for of_one_space in records.chunk_by(|a, b| a.space == b.space) {
            log(of_one_space, &ingest, &metrics).await;
        }
        for done in waiting {
            // The caller may be gone.
            let _ = done.send(());
        }
        if let Some(done) = closing {
            let _ = done.send(());
            return;
        }
    }
}

async fn log(records: &[Box<Record>], ingest: &Ingest, metrics: &AuditMetrics) {
    let lines: String = records.iter().map(|record| record.event().to_string() + "\n").collect();
    let space = records.first().and_then(|record| record.space.as_ref());
    if let Err(error) = ingest.log_own(space, lines.as_bytes()).await {
        let lost = match &error {
            OwnEventError::Rejected { events, .. } => *events,
            OwnEventError::Body(_) | OwnEventError::Submit(_) => records.len(),
        };
        metrics.lost.inc_by(u64::try_from(lost).unwrap_or(u64::MAX));
        tracing::warn!(events = lost, %error, "audit events could not be logged");
    }
}
