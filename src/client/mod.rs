//! The client for programs: log events without waiting for them, or with certainty.
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
//! What [`Logger::log_event`] takes is kept in memory, in order, until the server has answered for it. A batch whose
//! answer got lost on the way is sent again, so that its events may be logged twice: each carries an `event.id` made
//! here, by which readers can tell; the server does not remove such doubles today. A program that must know that an
//! event is durable uses [`Logger::log_event_acknowledged`].

pub mod api;
mod event;
pub mod export;
pub mod questions;
mod queue;
mod sender;
mod streams;
pub mod tail;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::{sync::watch, task::JoinHandle};

use self::queue::{Limits, Queue};
pub use self::{
    api::{Api, ApiError, Endpoint, Receipt, Rejection},
    event::{start_timing, stop_timing},
    queue::Stats,
};
pub use crate::backoff::Backoff;
use crate::{
    event::{BadSpace, Space},
    intake::Registration,
    units::Secret,
};

#[derive(Clone, Debug)]
pub struct ClientConfig {
    pub url: String,
    pub api_key: Option<Secret>,
    /// The space that events are logged in; `default` where none is named.
    pub space: Option<String>,
    /// The most events, and the most bytes of events, that wait at a time; new ones are dropped when there is no room.
    pub queue_events: usize,
    pub queue_bytes: usize,
    /// Events are sent when so many wait, or when the oldest has waited so long.
    pub flush_events: usize,
    pub flush_interval: Duration,
    /// The most bytes of events in one request.
    pub request_bytes: usize,
    pub request_timeout: Duration,
    /// How long [`Client::close`] waits for the server to take what is queued.
    pub close_timeout: Duration,
    /// PEM of the authorities that may have signed the server's certificate, beside the public ones.
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

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Space(#[from] BadSpace),
    #[error(transparent)]
    Endpoint(#[from] ApiError),
    #[error("a client is made inside a Tokio runtime, which then runs its sender")]
    NoRuntime,
}

/// Why an event was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("an event is a JSON object")]
    NotAnObject,
    #[error("{}", .0.lines().join("; "))]
    Rejected(Rejection),
    #[error("the event is below the minimum severity of its space, and was not logged")]
    Filtered,
    #[error("the server's journal is full, and it drops events then")]
    Dropped,
    #[error("the event is valid, and the server was told to keep none")]
    NotKept,
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// A connection to one server, with the queue of what is to be sent there.
///
/// Dropping it closes it without waiting: what is queued is still sent in the background within `close_timeout`.
#[derive(Debug)]
pub struct Client {
    api: Api,
    queue: Arc<Queue>,
    sender: Option<JoinHandle<()>>,
    give_up: watch::Sender<bool>,
    close_timeout: Duration,
}

impl Client {
    /// Starts the task that sends. No connection is made yet.
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
        let (give_up, told) = watch::channel(false);
        let sender = runtime.spawn(sender::run(Arc::clone(&queue), api.clone(), told));
        Ok(Self { api, queue, sender: Some(sender), give_up, close_timeout: config.close_timeout })
    }

    /// Registers a provider's actions, adding to those that are there. `defaults` (an object, or null for none) are
    /// merged by the server under each event of the provider.
    pub async fn register(&self, provider: &str, actions: &[&str], defaults: Value) -> Result<(), ApiError> {
        let defaults = match defaults {
            Value::Object(defaults) => defaults,
            Value::Null => Map::new(),
            _ => return Err(ApiError::Endpoint("default properties are a JSON object".to_owned())),
        };
        let actions = actions.iter().map(|action| (*action).to_owned()).collect();
        self.api.register(provider, &Registration { actions, defaults }).await
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

    /// Returns when everything logged before has been answered for, however long the server is away; bound it with
    /// `tokio::time::timeout` where that matters.
    pub async fn flush(&self) {
        self.queue.flush().await;
    }

    /// Takes no more events, sends what is queued, and gives up what the server has not taken after `close_timeout`.
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
    /// Logs an event: never waits, never fails. What the server rejects is counted and in the program's log; what finds
    /// no room in the queue is counted as dropped.
    pub fn log_event(&self, event: Value) {
        match self.encode(event) {
            Some(line) => self.queue.push(line),
            None => {
                tracing::warn!("an event is a JSON object; what was logged is something else");
                self.queue.count_rejected();
            }
        }
    }

    /// Logs an event and returns once it is durable. It goes by itself, past the queue, in one attempt: on
    /// [`ApiError::AnswerLost`] it may have been logged.
    pub async fn log_event_acknowledged(&self, event: Value) -> Result<Receipt, LogError> {
        let line = self.encode(event).ok_or(LogError::NotAnObject)?;
        let logged = self.api.log(line, 1, api::WaitFor::Durable).await?;
        match logged.items.into_iter().next() {
            Some(api::Item::Accepted(receipt)) => Ok(receipt),
            Some(api::Item::Filtered) => Err(LogError::Filtered),
            Some(api::Item::Dropped) => Err(LogError::Dropped),
            Some(api::Item::NotKept) => Err(LogError::NotKept),
            Some(api::Item::Rejected(rejection)) => Err(LogError::Rejected(rejection)),
            Some(api::Item::Unknown) | None => Err(LogError::Api(ApiError::Strange {
                url: "the server".to_owned(),
                reason: "no outcome that this client knows".to_owned(),
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

    /// The event as it is sent: one line.
    fn encode(&self, event: Value) -> Option<Bytes> {
        let Value::Object(mut event) = event else { return None };
        event::merge_under(&mut event, &self.defaults);
        event::complete(&mut event);
        serde_json::to_vec(&event).ok().map(Bytes::from)
    }
}
