//! The client for programs: logs events without waiting for them, or with acknowledgement.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use annals::client::{Client, ClientConfig};
//! use serde_json::json;
//!
//! let client = Client::new(ClientConfig::new("http://127.0.0.1:6780"))?;
//! client.register("orders", &["create", "ship"], json!({"service": {"name": "shop"}})).await?;
//! let logger = client.logger(json!({"event": {"provider": "orders"}}));
//!
//! let mut event = json!({"event": {"action": "ship"}, "message": "order 7 shipped"});
//! logger.start_timing(&mut event);
//! logger.stop_timing(&mut event);
//! logger.log_event(event);
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! [`Logger::log_event`] keeps events in memory, in order, until the server has answered. A batch whose answer was lost
//! is sent again, so its events may be logged twice: each has an `event.id` assigned here, by which readers can
//! recognise duplicates; the server does not remove them. A program that must know that an event is durable uses
//! [`Logger::log_event_acknowledged`].

pub mod api;
mod event;
pub mod export;
pub mod questions;
mod queue;
mod sender;
mod streams;
pub mod tail;
#[cfg(all(test, feature = "server"))]
mod tests;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::{sync::watch, task::JoinHandle};

use self::queue::{Limits, Queue};
pub use self::{
    api::{Api, ApiError, Endpoint},
    event::{new_id, start_timing, stop_timing},
    queue::Stats,
};
pub use crate::backoff::Backoff;
pub use crate::wire::{Receipt, Registration, Rejection};
use crate::{
    event::{BadSpace, Space},
    units::Secret,
    wire::{Duplicate, EventResult},
};

#[derive(Clone, Debug)]
pub struct ClientConfig {
    pub url: String,
    pub api_key: Option<Secret>,
    /// The space to log events in; by default `default`.
    pub space: Option<String>,
    /// The capacity of the queue, in events and in bytes; while it is full, new events are dropped.
    pub queue_events: usize,
    pub queue_bytes: usize,
    /// A batch is sent once it has this many events, or once its oldest event has waited this long.
    pub flush_events: usize,
    pub flush_interval: Duration,
    /// The largest request, in bytes of events. A larger event is rejected.
    pub request_bytes: usize,
    pub request_timeout: Duration,
    /// How long [`Client::close`] waits for the queue to be sent.
    pub close_timeout: Duration,
    /// PEM of certificate authorities to trust besides the public ones.
    pub ca_pem: Option<Vec<u8>>,
}

impl ClientConfig {
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            api_key: None,
            space: None,
            queue_events: 10_000,
            queue_bytes: 32 << 20,
            flush_events: 100,
            flush_interval: Duration::from_secs(1),
            request_bytes: 4 << 20,
            request_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(10),
            ca_pem: None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Space(#[from] BadSpace),
    #[error(transparent)]
    Endpoint(#[from] ApiError),
    #[error("a client must be created inside a Tokio runtime, which runs its sender")]
    NoRuntime,
}

/// Why an event was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("an event must be a JSON object")]
    NotAnObject,
    #[error("{}", .0.lines().join("; "))]
    Rejected(Rejection),
    #[error("the event is below the minimum severity of its space, and was not logged")]
    Filtered,
    #[error("the server's journal is full, and the server is configured to drop events then")]
    Dropped,
    #[error("the event is valid, and the server is configured not to keep events")]
    NotKept,
    #[error("another event with the id {} was logged, and this one was not", .0.id)]
    IdTaken(Receipt),
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// A client of one server, with a queue of events to send.
///
/// Dropping it closes it without waiting: queued events are still sent in the background within `close_timeout`.
#[derive(Debug)]
pub struct Client {
    api: Api,
    queue: Arc<Queue>,
    sender: Option<JoinHandle<()>>,
    give_up: watch::Sender<bool>,
    close_timeout: Duration,
}

impl Client {
    /// Starts the task that sends; does not connect yet.
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| ClientError::NoRuntime)?;
        let space = config.space.as_deref().map(Space::parse).transpose()?.flatten();
        let endpoint = Endpoint {
            url: config.url,
            api_key: config.api_key,
            space,
            timeout: config.request_timeout,
            ca_pem: config.ca_pem,
        };
        let api = Api::new(&endpoint)?;
        let queue = Arc::new(Queue::new(Limits {
            events: config.queue_events,
            bytes: config.queue_bytes,
            batch_events: config.flush_events.max(1),
            batch_bytes: config.request_bytes,
            interval: config.flush_interval,
        }));
        let (give_up, requested) = watch::channel(false);
        let sender = runtime.spawn(sender::run(Arc::clone(&queue), api.clone(), requested));
        Ok(Self { api, queue, sender: Some(sender), give_up, close_timeout: config.close_timeout })
    }

    /// Registers a provider's actions, adding to existing ones. The server merges `defaults` (an object) under each
    /// event of the provider in this client's space; an empty object clears earlier ones, and null leaves them.
    pub async fn register(&self, provider: &str, actions: &[&str], defaults: Value) -> Result<(), ApiError> {
        let defaults = match defaults {
            Value::Object(defaults) => Some(defaults),
            Value::Null => None,
            _ => return Err(ApiError::Endpoint("default properties are a JSON object".to_owned())),
        };
        let actions = actions.iter().map(|action| (*action).to_owned()).collect();
        self.api.register(provider, &Registration { actions, defaults, ..Registration::default() }).await
    }

    /// A logger that merges `defaults` (an object) under each event. It may be cloned, kept, and used anywhere.
    pub fn logger(&self, defaults: Value) -> Logger {
        let defaults = match defaults {
            Value::Object(defaults) => defaults,
            _ => Map::new(),
        };
        Logger { api: self.api.clone(), queue: Arc::clone(&self.queue), defaults: Arc::new(defaults) }
    }

    pub fn stats(&self) -> Stats {
        self.queue.stats()
    }

    /// Waits until the server has answered for every event logged before, however long that takes; use
    /// `tokio::time::timeout` to limit it.
    pub async fn flush(&self) {
        self.queue.flush().await;
    }

    /// Accepts no more events and sends the queued ones; those not sent within `close_timeout` are dropped.
    pub async fn close(mut self) -> Stats {
        self.queue.close();
        if let Some(mut sender) = self.sender.take()
            && tokio::time::timeout(self.close_timeout, &mut sender).await.is_err()
        {
            let _ = self.give_up.send(true);
            let _ = sender.await;
        }
        self.queue.stats()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.queue.close();
        if let (Some(mut sender), Ok(runtime)) = (self.sender.take(), tokio::runtime::Handle::try_current()) {
            let (timeout, give_up) = (self.close_timeout, self.give_up.clone());
            runtime.spawn(async move {
                if tokio::time::timeout(timeout, &mut sender).await.is_err() {
                    let _ = give_up.send(true);
                }
            });
        }
    }
}

/// Logs events of one kind.
#[derive(Clone, Debug)]
pub struct Logger {
    api: Api,
    queue: Arc<Queue>,
    defaults: Arc<Map<String, Value>>,
}

impl Logger {
    /// Logs an event: never waits, never fails. Events that the server rejects are counted and reported in the program's
    /// log; those for which the queue has no room are counted as dropped.
    pub fn log_event(&self, event: Value) {
        match self.encode(event) {
            Some(line) => self.queue.push(line),
            None => {
                tracing::warn!("rejected a logged value that is not a JSON object");
                self.queue.count_rejected();
            }
        }
    }

    /// Logs an event and returns once it is durable. It bypasses the queue and is sent once. After
    /// [`ApiError::AnswerLost`] it may or may not have been logged; an event with its own `event.id` can then be logged
    /// again, and is in the log once.
    pub async fn log_event_acknowledged(&self, event: Value) -> Result<Receipt, LogError> {
        let line = self.encode(event).ok_or(LogError::NotAnObject)?;
        let logged = self.api.log(line, 1, api::WaitFor::Durable).await?;
        match logged.items.into_iter().next() {
            Some(EventResult::Accepted(receipt) | EventResult::Duplicate(Duplicate { receipt, differs: false })) => {
                Ok(receipt)
            }
            Some(EventResult::Duplicate(Duplicate { receipt, differs: true })) => Err(LogError::IdTaken(receipt)),
            Some(EventResult::Filtered) => Err(LogError::Filtered),
            Some(EventResult::Dropped) => Err(LogError::Dropped),
            Some(EventResult::NotKept) => Err(LogError::NotKept),
            Some(EventResult::Rejected(rejection)) => Err(LogError::Rejected(rejection)),
            Some(EventResult::Unknown) | None => Err(LogError::Api(ApiError::UnexpectedAnswer {
                url: "the server".to_owned(),
                reason: "a status that this client does not know".to_owned(),
            })),
        }
    }

    /// Sets `event.start` to now.
    pub fn start_timing(&self, event: &mut Value) {
        start_timing(event);
    }

    /// Sets `event.end` and `event.duration`; does nothing without an `event.start` that can be read.
    pub fn stop_timing(&self, event: &mut Value) {
        stop_timing(event);
    }

    fn encode(&self, event: Value) -> Option<Bytes> {
        let Value::Object(mut event) = event else { return None };
        event::merge_defaults(&mut event, &self.defaults);
        event::complete(&mut event);
        serde_json::to_vec(&event).ok().map(Bytes::from)
    }
}
