//! The HTTP interface. This file has all layers; [`routes`] builds the table of operations.
//!
//! A request passes the layers of [`router`] from the outside in: its path is resolved ([`paths`]), it is measured, a panic in an inner layer becomes a 500,
//! the caller is identified, and the operation's own guard checks the caller's permission.

mod address;
mod answer;
mod body;
mod connection_limiter;
mod event_schema;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod guard;
mod head_errors;
mod held_body;
mod items;
mod openapi;
mod operation;
mod parameters;
mod paths;
mod places;
mod request;
mod routes;
mod serve;
mod streamed_body;
#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
mod tls;
mod write_timeout;

use std::{
    any::Any,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, header},
    middleware::{Next, from_fn_with_state, map_request},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use tokio::{runtime::Handle, task};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use crate::{
    access::{Access, Caller},
    audit::{Audit, Record},
    error::{ErrorCode, Failure},
    ingest::Ingest,
    limiter::SharedPermits,
    memory_budget::{MAX_OTHER_BODY, Memory},
    metrics::Metrics,
    read::Reader,
    rejected::RejectedEvents,
    schema,
    ship::Shipper,
    time::Clock,
    writer::Writer,
};
pub use address::{ForwardHeader, Proxies};
use answer::Code;
pub use body::BodyPace;
use body::{Expected, Reading, Sent, busy};
pub use connection_limiter::PerAddress;
use guard::authenticate;
use operation::Operation;
pub use serve::{Connections, MAX_HEAD, serve};
pub use tls::{Tls, TlsError};

/// The services that the routes use.
pub struct Services {
    pub ingest: Arc<Ingest>,
    pub writer: Writer,
    /// The shipper of every store, by the store's name in the configuration.
    pub stores: Vec<(String, Shipper)>,
    pub reader: Arc<Reader>,
    pub rejected: Arc<RejectedEvents>,
    pub access: Arc<Access>,
    pub audit: Audit,
    pub proxies: Proxies,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
    pub limits: Limits,
    pub memory: Arc<Memory>,
    /// Cancelled when the service begins to stop; ends streamed answers.
    pub stopping: CancellationToken,
}

/// Returns the API document as indented JSON.
pub fn openapi() -> serde_json::Result<String> {
    openapi::document(&routes::operations())
}

/// Limits on requests.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum bytes of one body of events, after decompression.
    pub max_batch_bytes: usize,
    pub body_pace: BodyPace,
    /// Maximum time from a request's head to its answer, including any wait for a store.
    pub request_timeout: Duration,
}

/// How long a caller should wait after too much was requested at once.
const RETRY_AFTER: Duration = Duration::from_secs(1);

const REQUEST_ID: &str = "x-request-id";

/// The routes whose answers are the same for all callers.
const CACHEABLE: [&str; 2] = ["/livez", "/openapi.json"];

/// Builds the router of the whole interface.
pub fn router(services: Services) -> Router {
    let operations = routes::operations();
    let shared = Arc::new(Shared::new(services, &operations));
    let of_spaces = || operations.iter().filter(|operation| operation.is_in_spaces);
    let route = |router, operation: &Operation| operation.route(router);
    let routed = Router::new()
        .merge(operations.iter().fold(Router::new(), route))
        .nest("/s/{space}", of_spaces().fold(Router::new(), route))
        .fallback(async || Failure::not_found())
        .method_not_allowed_fallback(async |method: Method| {
            Failure::new(ErrorCode::MethodNotAllowed, format!("{method} is not allowed here"))
        })
        .layer(from_fn_with_state(Arc::clone(&shared), authenticate))
        .layer(CatchPanicLayer::custom(after_panic))
        .layer(from_fn_with_state(Arc::clone(&shared), observe))
        .with_state(shared);
    Router::new().fallback_service(routed).layer(map_request(paths::resolve))
}

/// Bytes from which on something is parsed or written on a blocking thread.
const LARGE: usize = 256 << 10;

/// State that all routes share.
struct Shared {
    services: Services,
    /// The API document.
    description: Result<Bytes, String>,
    event_schema: Result<Bytes, String>,
    /// The routes that answer without credentials.
    open_paths: Vec<&'static str>,
    /// One permit of each caller for each processor, and as many for all others together.
    checking: SharedPermits,
}

impl Shared {
    fn new(services: Services, operations: &[Operation]) -> Self {
        let processors =
            thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX));
        let is_open = |operation: &&Operation| operation.is_open();
        Self {
            services,
            description: openapi::document(operations).map(Bytes::from).map_err(|error| error.to_string()),
            event_schema: event_schema::text(schema::own_fields()).map(Bytes::from).map_err(|error| error.to_string()),
            open_paths: operations.iter().filter(is_open).map(|operation| operation.path).collect(),
            checking: SharedPermits::new(processors.saturating_mul(2), processors),
        }
    }

    /// Records a change before it is made. To be called on a thread that may block.
    fn record_change(&self, record: Record, deadline: tokio::time::Instant) -> Result<(), Failure> {
        Ok(Handle::current().block_on(self.services.audit.record(record, deadline))?)
    }

    /// Reads the body of an operation other than logging, which has at most `limit` bytes, and no more than
    /// [`MAX_OTHER_BODY`].
    async fn other_body(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
        body: Body,
        limit: usize,
        deadline: tokio::time::Instant,
    ) -> Result<Sent, Failure> {
        let budget = &self.services.memory.other_bodies;
        let caller = caller.principal.to_string();
        let reading = Reading { budget, caller: &caller, pace: self.services.limits.body_pace, deadline };
        reading
            .body(headers, body, Expected { content_types: &["application/json"], limit: limit.min(MAX_OTHER_BODY) })
            .await
    }

    /// Runs work that takes long on a blocking thread, once it is the caller's turn.
    async fn work<T: Send + 'static>(
        &self,
        caller: &str,
        deadline: tokio::time::Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = self.checking.acquire(caller, 1, deadline).await;
        let _turn = turn.map_err(|not_free| busy(not_free.into()))?;
        task::spawn_blocking(work).await.map_err(|error| Failure::internal(error.to_string()))
    }

    /// Returns the deadline for answering a request that begins now.
    fn deadline(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + self.services.limits.request_timeout
    }
}

/// Returns a plain internal error: the panic is already on standard error, and the caller learns no details.
fn after_panic(_: Box<dyn Any + Send>) -> Response {
    Failure::internal("a handler panicked").into_response()
}

/// Counts and times every answer, and adds the request id to it.
async fn observe(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let id = request_id(request.headers());
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default());
    let mut response = next.run(request).instrument(span).await;
    response.headers_mut().insert(REQUEST_ID, id);
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    if !CACHEABLE.contains(&route) {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    let metrics = &shared.services.metrics.http;
    metrics.answered(method, route, status, took);
    if let Some(Code(code)) = response.extensions().get() {
        metrics.failed(code.name());
    }
    tracing::debug!(method, route, status, took_micros = took.as_micros(), "answered");
    response
}

/// Returns the caller's own request id if it is short and printable ASCII, so that a request can be traced across programs;
/// otherwise a new one. The id is in the answer, and in all log messages about the request.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_plain = |id: &&HeaderValue| (1..=64).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
    match headers.get(REQUEST_ID).filter(is_plain) {
        Some(id) => id.clone(),
        None => HeaderValue::try_from(format!("{:016x}", getrandom::u64().unwrap_or_default()))
            .unwrap_or_else(|_| HeaderValue::from_static("none")),
    }
}

/// Returns the metric label of a method. Callers can invent methods, but a metric must have few labels.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
