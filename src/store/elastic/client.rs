//! HTTP calls to an engine: which node, how long, and what an answer means.
//!
//! Of the official client only raw `send` is used, with one transport per node: its own pool neither fails over nor
//! avoids dead nodes. Searches use [`super::reading`]. Media types are the plain ones, which every engine accepts.
//!
//! Nodes are used in turn. A call that may be repeated moves on to the next node when one fails, within its one
//! deadline; an append does not, because the caller must know of each attempt. As long as there are other nodes, a node
//! fails early: when it does not even answer a probe, or has used its share of the time, which is half of what is left.
//!
//! A failed node is only tried after all others, until it answers a probe. Probes are sent beside the calls, at
//! intervals that grow with each failure.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
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
use tokio::time::{Instant, sleep};

use super::{
    config::{ConfigError, ElasticConfig},
    reading::{SearchClient, SearchResponse},
};
use crate::store::StoreError;

/// How soon a node is probed after it failed. The time doubles with each further failure.
const FIRST_REST: Duration = Duration::from_secs(10);
const MAX_REST: Duration = Duration::from_secs(300);

/// How long a node may take to answer before it is probed, and how long it may take to answer the probe.
const PATIENCE: Duration = Duration::from_secs(2);
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// The waits between tries of a search while shards are missing. They double.
const FIRST_SHARDS_WAIT: Duration = Duration::from_millis(10);
const MAX_SHARDS_WAIT: Duration = Duration::from_secs(1);

/// The largest answer that is read to a search; and to other calls, if the engine announces the size. Those answers are
/// of bounded size anyway.
pub(super) const MAX_ANSWER: usize = 256 << 20;

/// Kinds of errors that no repetition mends, whatever their status. The last one is that of sorting by a field that has
/// a number in one index and a text in another.
const REFUSALS: [&str; 3] = ["too_many_buckets_exception", "too_many_nested_clauses", "class_cast_exception"];

/// The longest reason that is reported, in bytes.
const MAX_REASON: usize = 600;

pub(super) struct Client {
    nodes: Vec<Arc<Node>>,
    turn: AtomicUsize,
    request_timeout: Duration,
    bulk_timeout: Duration,
}

struct Node {
    transport: Transport,
    search_client: SearchClient,
    url: String,
    health: Mutex<Health>,
}

/// Whether a node can be expected to answer.
#[derive(Default)]
struct Health {
    /// Since the last answer to a call; probes do not count.
    failures: u32,
    /// When to probe the node next; `None` if it has not failed, or has answered a probe since.
    probe_at: Option<Instant>,
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
            nodes.push(Arc::new(Node { transport, search_client, url, health: Mutex::default() }));
        }
        let (request_timeout, bulk_timeout) = (config.request_timeout, config.bulk_timeout);
        Ok(Self { nodes, turn: AtomicUsize::new(0), request_timeout, bulk_timeout })
    }

    pub(super) fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// How long an engine may search or wait: shorter than a node may take to answer, so that there is an answer.
    pub(super) fn engine_timeout(&self) -> Duration {
        share(self.request_timeout, self.nodes.len() > 1) * 9 / 10
    }

    /// How long a node may take to answer a bulk request.
    pub(super) fn bulk_timeout(&self) -> Duration {
        share(self.bulk_timeout, self.nodes.len() > 1)
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

    #[cfg(test)]
    pub(super) fn fail_first_node(&self) {
        self.nodes.iter().take(1).for_each(|node| node.note(false));
    }

    /// Makes an idempotent call.
    async fn call(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Answer, StoreError> {
        let deadline = Instant::now() + self.request_timeout;
        self.try_nodes(deadline, |node, deadline| node.send(method, path, HeaderMap::new(), body.clone(), deadline))
            .await
    }

    /// Runs a search, or opens what later ones search; `None` if the answer has more than `max_bytes` bytes. While shards
    /// are missing, as those of a new index are until they have started, it waits for them and tries again.
    pub(super) async fn search(
        &self,
        path: &str,
        body: impl Into<Bytes>,
        max_bytes: usize,
    ) -> Result<Option<Answer>, StoreError> {
        let body = body.into();
        let (deadline, retry_until) = (Instant::now() + self.request_timeout, Instant::now() + self.engine_timeout());
        let mut wait = FIRST_SHARDS_WAIT;
        loop {
            let answer =
                self.try_nodes(deadline, |node, deadline| node.search(path, body.clone(), max_bytes, deadline)).await?;
            if !answer.as_ref().is_some_and(Answer::lacks_shards) || Instant::now() + wait > retry_until {
                return Ok(answer);
            }
            sleep(wait).await;
            wait = (wait * 2).min(MAX_SHARDS_WAIT);
        }
    }

    /// Tries one node after the other until one answers.
    async fn try_nodes<'a, T, F>(
        &'a self,
        deadline: Instant,
        ask: impl Fn(&'a Node, Instant) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>> + 'a,
    {
        let mut failure = no_node();
        let mut nodes = self.nodes_in_turn().into_iter();
        while let Some(node) = nodes.next() {
            let has_others = nodes.len() > 0;
            let left = deadline.saturating_duration_since(Instant::now());
            let asked = ask(node, Instant::now() + share(left, has_others));
            match if has_others { node.unless_silent(asked).await } else { asked.await } {
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
        let nodes = self.nodes_in_turn();
        let Some(node) = nodes.first() else { return Err(no_node()) };
        let asked = node.send(Method::Post, path, headers, Some(body), Instant::now() + self.bulk_timeout());
        if nodes.len() > 1 { node.unless_silent(asked).await } else { asked.await }
    }

    /// Returns all nodes, starting with the next in turn; failed ones come last, and are probed if it is time.
    fn nodes_in_turn(&self) -> Vec<&Node> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.nodes.len().max(1);
        let (before, from) = self.nodes.split_at_checked(turn).unwrap_or((&[], &self.nodes));
        let (awake, failed): (Vec<_>, Vec<_>) = from.iter().chain(before).partition(|node| !node.has_failed());
        if !awake.is_empty() {
            failed.iter().for_each(|node| node.probe_if_due());
        }
        awake.into_iter().chain(failed).map(Arc::as_ref).collect()
    }
}

/// Returns how much of this time the next node gets.
fn share(left: Duration, has_others: bool) -> Duration {
    if has_others { left / 2 } else { left }
}

fn no_node() -> StoreError {
    unavailable("no node is configured".to_owned())
}

impl Health {
    fn fail(&mut self) {
        let rest = FIRST_REST.saturating_mul(2_u32.saturating_pow(self.failures)).min(MAX_REST);
        self.failures = self.failures.saturating_add(1);
        self.probe_at = Some(Instant::now() + rest);
    }
}

impl Node {
    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_failed(&self) -> bool {
        self.health().probe_at.is_some()
    }

    fn note(&self, has_answered: bool) {
        let mut health = self.health();
        if has_answered { *health = Health::default() } else { health.fail() }
    }

    /// Probes a failed node in the background.
    fn probe_if_due(self: &Arc<Self>) {
        let mut health = self.health();
        if health.probe_at.is_none_or(|at| Instant::now() < at) {
            return;
        }
        // As if the probe had failed, so that there is only one at a time.
        health.fail();
        let node = Arc::clone(self);
        tokio::spawn(async move {
            if node.search_client.answers(PROBE_TIMEOUT).await {
                node.health().probe_at = None;
            }
        });
    }

    /// Waits for the answer as long as the node answers probes.
    async fn unless_silent<T>(&self, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let silence = async {
            sleep(PATIENCE).await;
            while self.search_client.answers(PROBE_TIMEOUT).await {
                sleep(PATIENCE).await;
            }
        };
        tokio::select! {
            answer = asked => answer,
            () = silence => {
                self.note(false);
                Err(self.silent())
            }
        }
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
        self.note(answer.is_ok());
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
        self.note(read.is_ok());
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
            return self.silent();
        }
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        unavailable(format!("{} cannot be reached: {}", self.url, truncated(&cause.to_string())))
    }

    fn silent(&self) -> StoreError {
        unavailable(format!("{} did not answer in time", self.url))
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

    /// Whether a search failed because shards have not started yet, or are lost.
    fn lacks_shards(&self) -> bool {
        const KINDS: [&str; 3] = [
            // With no other cause: the search was rejected before it was sent to any shard.
            "search_phase_execution_exception",
            "no_shard_available_action_exception",
            "illegal_index_shard_state_exception",
        ];
        self.status == 503 && KINDS.contains(&self.error().kind.as_str())
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
            _ if REFUSALS.contains(&error.kind.as_str()) => StoreError::Refused { reason },
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_node_that_keeps_failing_is_probed_less_and_less_often() {
        let mut health = Health::default();
        let rests = [(); 7].map(|()| {
            health.fail();
            (health.probe_at.unwrap() - Instant::now()).as_secs()
        });
        assert_eq!(rests, [10, 20, 40, 80, 160, 300, 300]);
    }
}
