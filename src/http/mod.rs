//! The HTTP interface: every layer is on this page, every operation in the table that [`routes`] makes.
//!
//! A request passes the layers of [`router`] from the outside in: it is measured, a panic below becomes a 500, it is found out
//! who is calling, and the operation's own guard asks whether they may.

mod address;
mod answer;
mod body;
mod connection_limiter;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod guard;
mod held_body;
mod items;
mod openapi;
mod operation;
mod parameters;
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
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use crate::{
    access::Access,
    audit::Audit,
    error::{ErrorCode, Failure},
    ingest::Ingest,
    metrics::Metrics,
    read::Reader,
    ship::Shipper,
    time::Clock,
    writer::Writer,
};
pub use address::{ForwardHeader, Proxies};
use answer::Code;
use body::Bodies;
pub use connection_limiter::PerAddress;
use guard::authenticate;
use operation::Operation;
pub use serve::{Connections, serve};
pub use tls::{Tls, TlsError};

/// What the routes work with.
pub struct Services {
    pub ingest: Arc<Ingest>,
    pub writer: Writer,
    /// Every store by its name in the configuration, with its shipper.
    pub stores: Vec<(String, Shipper)>,
    pub reader: Arc<Reader>,
    pub access: Arc<Access>,
    /// Where routes record what was done, in one line.
    pub audit: Audit,
    pub proxies: Proxies,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
    pub limits: Limits,
    /// Cancelled when the service begins to stop: answers that go on for long then end.
    pub stopping: CancellationToken,
}

/// The API document, as JSON for people.
pub fn openapi() -> serde_json::Result<String> {
    openapi::document(&routes::operations())
}

/// What requests may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one body of events, after decompression.
    pub max_batch_bytes: usize,
    /// Bytes of all bodies that are being received or checked.
    pub max_concurrent_bytes: usize,
    /// From a request's head to its answer, also when it waits for a store.
    pub request_timeout: Duration,
}

const REQUEST_ID: &str = "x-request-id";

/// Bytes of a body that is not events.
const MAX_QUERY_BYTES: usize = 4 * 1024 * 1024;

/// The whole interface.
pub fn router(services: Services) -> Router {
    let operations = routes::operations();
    let shared = Arc::new(Shared::new(services, &operations));
    let of_spaces = || operations.iter().filter(|operation| operation.is_in_spaces);
    let route = |router, operation: &Operation| operation.route(router);
    Router::new()
        .merge(operations.iter().fold(Router::new(), route))
        .nest("/s/{space}", of_spaces().fold(Router::new(), route))
        .fallback(async || Failure::not_found())
        .method_not_allowed_fallback(async |method: Method| {
            Failure::new(ErrorCode::MethodNotAllowed, format!("{method} is not allowed here"))
        })
        .layer(from_fn_with_state(Arc::clone(&shared), authenticate))
        .layer(CatchPanicLayer::custom(after_panic))
        .layer(from_fn_with_state(Arc::clone(&shared), observe))
        .with_state(shared)
}

/// Bodies that are no events may take this part of what events may, besides it.
const OTHER_BODIES: usize = 4;

/// The services, and what the routes share beyond them.
struct Shared {
    services: Services,
    /// Of events.
    bodies: Bodies,
    /// Of everything else, so that nobody who may only ask keeps events out.
    other_bodies: Bodies,
    /// The API document.
    description: Result<String, String>,
    /// The routes that answer without credentials.
    open_paths: Vec<&'static str>,
    /// A turn for each processor: more threads would only hold more memory.
    checking: Semaphore,
}

impl Shared {
    fn new(services: Services, operations: &[Operation]) -> Self {
        let Limits { max_batch_bytes, max_concurrent_bytes, .. } = services.limits;
        let bodies = Bodies::new(max_concurrent_bytes, max_batch_bytes);
        let other_bodies = Bodies::new(max_concurrent_bytes / OTHER_BODIES, MAX_QUERY_BYTES);
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let is_open = |operation: &&Operation| operation.is_open();
        Self {
            services,
            bodies,
            other_bodies,
            description: openapi::document(operations).map_err(|error| error.to_string()),
            open_paths: operations.iter().filter(is_open).map(|operation| operation.path).collect(),
            checking: Semaphore::new(processors),
        }
    }

    /// When a request that begins now has to be answered.
    fn deadline(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + self.services.limits.request_timeout
    }
}

/// The panic itself is already on standard error; the caller learns nothing of it.
fn after_panic(_: Box<dyn Any + Send>) -> Response {
    Failure::internal("a handler panicked").into_response()
}

/// Counts and times every answer, and gives it the id of its request.
async fn observe(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let id = request_id(request.headers());
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default());
    let mut response = next.run(request).instrument(span).await;
    response.headers_mut().insert(REQUEST_ID, id);
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let (status, took) = (response.status().as_u16(), begun.elapsed());
    let metrics = &shared.services.metrics.http;
    metrics.answered(method, route, status, took);
    if let Some(Code(code)) = response.extensions().get() {
        metrics.failed(code.name());
    }
    tracing::debug!(method, route, status, took_micros = took.as_micros(), "answered");
    response
}

/// The caller's own id, if it is short and plain, so that it can be followed from program to program; else a new one.
/// It is in what the log says while the request is handled, and in the answer.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_plain = |id: &&HeaderValue| (1..=64).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
    match headers.get(REQUEST_ID).filter(is_plain) {
        Some(id) => id.clone(),
        None => HeaderValue::try_from(format!("{:016x}", getrandom::u64().unwrap_or_default()))
            .unwrap_or_else(|_| HeaderValue::from_static("none")),
    }
}

/// Anyone can make up a method; the labels of a metric have to stay few.
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
