//! HTTP calls to an engine: which node, how long, and what an answer means.
//!
//! Of the official client only raw `send` is used, with one transport per node: its own pool neither fails over nor
//! avoids dead nodes. Searches use [`super::reading`]. Media types are the plain ones, which every engine accepts.
//!
//! Nodes are used in turn. A node that could not be reached or did not answer rests for [`REST_DURATION`]; if all rest,
//! the next in turn is tried anyway. A call that may be repeated moves on to the next node when a connection fails,
//! within its one deadline; an append does not, because the caller must know of each attempt.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use elasticsearch::http::{
    Method,
    headers::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
    response::Response,
    transport::{SingleNodeConnectionPool, Transport, TransportBuilder},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::{
    config::{ConfigError, ElasticConfig},
    reading::{SearchClient, SearchResponse},
};
use crate::store::StoreError;

/// How long a node is avoided after it failed.
const REST_DURATION: Duration = Duration::from_secs(10);

/// The largest answer that is read to a search; and to other calls, if the engine announces the size. Those answers are
/// of bounded size anyway.
pub(super) const MAX_ANSWER: usize = 256 << 20;

/// The longest reason that is reported, in bytes.
const MAX_REASON: usize = 600;

pub(super) struct Client {
    nodes: Vec<Node>,
    turn: AtomicUsize,
    request_timeout: Duration,
    bulk_timeout: Duration,
}

struct Node {
    transport: Transport,
    search_client: SearchClient,
    url: String,
    rests_until: Mutex<Option<Instant>>,
}

/// An engine's answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
    retry_after: Option<Duration>,
    /// The request, for messages.
    call: String,
}

impl Client {
    pub(super) fn new(config: &ElasticConfig) -> Result<Self, ConfigError> {
        let credentials = config.credentials()?;
        let mut nodes = Vec::new();
        for url in config.nodes()? {
            let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url.url().clone()))
                .disable_proxy()
                .enable_meta_header(false);
            if let Some(credentials) = &credentials {
                builder = builder.auth(credentials.clone());
            }
            if let Some(certificates) = config.certificates()? {
                builder = builder.cert_validation(certificates);
            }
            let search_client = SearchClient::new(config, url.url())?;
            let url = url.url().to_string();
            let transport = builder.build().map_err(|source| ConfigError::Client { url: url.clone(), source })?;
            nodes.push(Node { transport, search_client, url, rests_until: Mutex::new(None) });
        }
        let (request_timeout, bulk_timeout) = (config.request_timeout, config.bulk_timeout);
        Ok(Self { nodes, turn: AtomicUsize::new(0), request_timeout, bulk_timeout })
    }

    pub(super) fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    pub(super) fn bulk_timeout(&self) -> Duration {
        self.bulk_timeout
    }

    pub(super) async fn get(&self, path: &str) -> Result<Answer, StoreError> {
        self.call(Method::Get, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Result<Answer, StoreError> {
        self.call(Method::Post, path, Some(body.into())).await
    }

    pub(super) async fn put(&self, path: &str, body: impl Into<Bytes>) -> Result<Answer, StoreError> {
        self.call(Method::Put, path, Some(body.into())).await
    }

    pub(super) async fn delete_with(&self, path: &str, body: impl Into<Bytes>) -> Result<Answer, StoreError> {
        self.call(Method::Delete, path, Some(body.into())).await
    }

    #[cfg(test)]
    pub(super) async fn delete(&self, path: &str) -> Result<Answer, StoreError> {
        self.call(Method::Delete, path, None).await
    }

    #[cfg(test)]
    pub(super) fn urls(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|node| node.url.as_str())
    }

    /// Makes an idempotent call.
    async fn call(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Answer, StoreError> {
        self.try_nodes(|node, deadline| node.send(method, path, HeaderMap::new(), body.clone(), deadline)).await
    }

    /// Runs a search; `None` if the answer has more than `max_bytes` bytes.
    pub(super) async fn search(
        &self,
        path: &str,
        body: String,
        max_bytes: usize,
    ) -> Result<Option<Answer>, StoreError> {
        let body = Bytes::from(body);
        self.try_nodes(|node, deadline| node.search(path, body.clone(), max_bytes, deadline)).await
    }

    /// Tries one node after the other until one answers.
    async fn try_nodes<'a, T, F>(&'a self, ask: impl Fn(&'a Node, Instant) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + 'a,
    {
        let deadline = Instant::now() + self.request_timeout;
        let mut failure = unavailable("no node is configured".to_owned());
        for node in self.nodes_in_turn() {
            match ask(node, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(error) => failure = error,
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(failure)
    }

    /// Sends a bulk body to one node, once.
    pub(super) async fn bulk(&self, path: &str, body: Bytes) -> Result<Answer, StoreError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        let deadline = Instant::now() + self.bulk_timeout;
        let Some(node) = self.nodes_in_turn().next() else {
            return Err(unavailable("no node is configured".to_owned()));
        };
        node.send(Method::Post, path, headers, Some(body), deadline).await
    }

    /// Returns all nodes, starting with the next in turn; resting ones come last.
    fn nodes_in_turn(&self) -> impl Iterator<Item = &Node> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.nodes.len().max(1);
        let (before, from) = self.nodes.split_at_checked(turn).unwrap_or((&[], &self.nodes));
        let now = Instant::now();
        let (awake, resting): (Vec<_>, Vec<_>) = from.iter().chain(before).partition(|node| !node.is_resting(now));
        awake.into_iter().chain(resting)
    }
}

impl Node {
    fn is_resting(&self, now: Instant) -> bool {
        self.rests_until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| now < until)
    }

    fn set_resting_until(&self, until: Option<Instant>) {
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Option<Bytes>,
        deadline: Instant,
    ) -> Result<Answer, StoreError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let sent = self.transport.send(method, path, headers, None::<&()>, body, Some(left)).await;
        let answer = match sent {
            Ok(response) => self.read(method, path, response).await,
            Err(error) => Err(self.failure(error.is_timeout(), &error)),
        };
        self.set_resting_until(answer.is_err().then(|| Instant::now() + REST_DURATION));
        answer
    }

    async fn search(
        &self,
        path: &str,
        body: Bytes,
        max_bytes: usize,
        deadline: Instant,
    ) -> Result<Option<Answer>, StoreError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let read = self.search_client.ask(path, body, max_bytes, left).await;
        let read = read.map_err(|error| self.failure(error.is_timeout(), &error));
        self.set_resting_until(read.is_err().then(|| Instant::now() + REST_DURATION));
        let SearchResponse { status, headers, body } = read?;
        Ok(body.map(|body| self.answer(Method::Post, path, status.as_u16(), &headers, body)))
    }

    async fn read(&self, method: Method, path: &str, response: Response) -> Result<Answer, StoreError> {
        let (status, headers) = (response.status_code().as_u16(), response.headers().clone());
        if response.content_length().is_some_and(|length| length > MAX_ANSWER as u64) {
            return Err(unavailable(format!("{} answers with more than {MAX_ANSWER} bytes", self.url)));
        }
        let body = response.bytes().await.map_err(|error| self.failure(error.is_timeout(), &error))?;
        Ok(self.answer(method, path, status, &headers, body))
    }

    fn answer(&self, method: Method, path: &str, status: u16, headers: &HeaderMap, body: Bytes) -> Answer {
        let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let call = format!("{} {}{path}", name(method), self.url);
        Answer { status, body, retry_after: retry_after.map(Duration::from_secs), call }
    }

    fn failure(&self, is_timeout: bool, error: &dyn std::error::Error) -> StoreError {
        if is_timeout {
            return unavailable(format!("{} did not answer in time", self.url));
        }
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        unavailable(format!("{} cannot be reached: {}", self.url, truncated(&cause.to_string())))
    }
}

fn name(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Put => "PUT",
        Method::Post => "POST",
        Method::Delete => "DELETE",
        Method::Head => "HEAD",
    }
}

impl Answer {
    /// Returns the body of a successful answer, or the error that the answer means.
    pub(super) fn accepted(self) -> Result<Bytes, StoreError> {
        if self.is_success() { Ok(self.body) } else { Err(self.failure()) }
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns the error as the engine describes it.
    pub(super) fn error(&self) -> EngineError {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            error: &'a RawValue,
        }
        match serde_json::from_slice::<Body<'_>>(&self.body) {
            Ok(body) => EngineError::read(body.error),
            Err(_) => EngineError { kind: String::new(), reason: truncated(&String::from_utf8_lossy(&self.body)) },
        }
    }

    pub(super) fn failure(&self) -> StoreError {
        let error = self.error();
        let reason = format!("{}: HTTP {}: {error}", self.call, self.status);
        match self.status {
            403 | 429 if error.is_block() => StoreError::Blocked { reason },
            401 | 403 => StoreError::Denied { reason },
            // OpenSearch answers these with 503 and 500.
            _ if error.is("too_many_buckets_exception") || error.is("too_many_nested_clauses") => {
                StoreError::Refused { reason }
            }
            408 | 429 | 500.. => StoreError::Unavailable { reason, retry_after: self.retry_after },
            _ => StoreError::Refused { reason },
        }
    }

    /// Returns the error for an unexpected answer.
    pub(super) fn unexpected(&self, what: impl std::fmt::Display) -> StoreError {
        unavailable(format!("{}: unexpected answer: {what}", self.call))
    }

    /// Parses the body of a successful answer.
    pub(super) fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, StoreError> {
        if !self.is_success() {
            return Err(self.failure());
        }
        serde_json::from_slice(&self.body).map_err(|error| self.unexpected(error))
    }
}

/// An error as the engines describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EngineError {
    /// Such as `index_not_found_exception`; empty if none is named.
    pub(super) kind: String,
    pub(super) reason: String,
}

impl EngineError {
    /// Reads an object with `type` and `reason`, or a plain text. A failed search takes the kind of its cause.
    pub(super) fn read(error: &RawValue) -> Self {
        #[derive(Deserialize)]
        struct Described {
            #[serde(rename = "type", default)]
            kind: String,
            #[serde(default)]
            reason: Option<String>,
            #[serde(default)]
            caused_by: Option<Box<Described>>,
            #[serde(default)]
            root_cause: Vec<Described>,
        }
        let Ok(Described { mut kind, reason, caused_by, root_cause }) = serde_json::from_str(error.get()) else {
            return Self { kind: String::new(), reason: truncated(error.get().trim_matches('"')) };
        };
        let mut reason = reason.unwrap_or_default();
        let mut causes: Vec<Described> = root_cause.into_iter().take(1).collect();
        causes.extend(caused_by.map(|cause| *cause));
        while !causes.is_empty() {
            let cause = causes.remove(0);
            if kind == "search_phase_execution_exception" && !cause.kind.is_empty() {
                kind.clone_from(&cause.kind);
            }
            if reason.len() < MAX_REASON
                && let Some(text) = cause.reason.as_deref().filter(|text| !reason.contains(text))
            {
                reason = if reason.is_empty() { text.to_owned() } else { format!("{reason}: {text}") };
            }
            causes.extend(cause.caused_by.map(|cause| *cause));
        }
        Self { kind, reason: truncated(&reason) }
    }

    /// Whether the index is blocked or closed for writing; neither the content nor the user is at fault.
    pub(super) fn is_block(&self) -> bool {
        matches!(self.kind.as_str(), "cluster_block_exception" | "index_closed_exception")
    }

    pub(super) fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }
}

impl std::fmt::Display for EngineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.kind.as_str(), self.reason.as_str()) {
            ("", "") => f.write_str("no reason given"),
            ("", reason) => f.write_str(reason),
            (kind, "") => f.write_str(kind),
            (kind, reason) => write!(f, "{kind}: {reason}"),
        }
    }
}

/// Returns the answer to a search that cannot ask for less, or an error if it exceeded [`MAX_ANSWER`].
pub(super) fn require_answer(answer: Option<Answer>) -> Result<Answer, StoreError> {
    answer.ok_or_else(|| unavailable(format!("a search was answered with more than {MAX_ANSWER} bytes")))
}

pub(super) fn unavailable(reason: String) -> StoreError {
    StoreError::Unavailable { reason, retry_after: None }
}

/// Cuts the text to [`MAX_REASON`].
fn truncated(text: &str) -> String {
    if text.len() <= MAX_REASON {
        return text.trim().to_owned();
    }
    format!("{}…", text.get(..text.floor_char_boundary(MAX_REASON)).unwrap_or_default())
}
