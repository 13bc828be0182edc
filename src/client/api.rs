//! The HTTP contract from the caller's side: one method per endpoint, one request per call, no retries.

use std::{fmt, io, sync::Arc, time::Duration};

use bytes::Bytes;
use reqwest::{Method, Response, StatusCode, Url, header};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    event::Space,
    units::Secret,
    wire::{
        DeadLettersAnswer, ErrorAnswer, EventsAnswer, KeyAnswer, KeysAnswer, NewKeyAnswer, NewKeyRequest, Registration,
        RejectedAnswer, ReplayAnswer,
    },
};

/// How long connecting may take, so that a long timeout for answers is not spent on an address where nobody is.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest `Retry-After` that is honoured.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// A server's address and how to connect to it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `http://host:port`, with a path if a proxy serves it under one.
    pub url: String,
    pub api_key: Option<Secret>,
    /// `None` is the default space.
    pub space: Option<Space>,
    /// How long one request may take, its answer included.
    pub timeout: Duration,
    /// PEM of certificate authorities to trust besides the public ones.
    pub ca_pem: Option<Vec<u8>>,
}

/// Returns why nothing may be sent to the server any more, if so.
#[derive(Clone)]
struct Guard(Arc<dyn Fn() -> Result<(), String> + Send + Sync>);

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

/// Why a request failed, with one variant for each way to react.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The endpoint or an argument is invalid; nothing was sent.
    #[error("{0}")]
    Endpoint(String),
    /// No connection; the server has seen nothing of the request.
    #[error("no connection to {url}: {reason}")]
    Unreachable { url: String, reason: String },
    /// The server's certificate is not trusted, or not for this address; the server has seen nothing of the request.
    #[error("the certificate of {url} is not trusted: {reason}")]
    Untrusted { url: String, reason: String },
    /// What answers speaks plain HTTP where TLS was expected, or the reverse, or something else.
    #[error("what answers at {url} does not speak {}: {reason}", if url.starts_with("https:") { "TLS" } else { "HTTP" })]
    WrongProtocol { url: String, reason: String },
    /// The request was sent, but no answer came; the server may have carried it out.
    #[error("no answer from {url}: {reason}")]
    AnswerLost { url: String, reason: String },
    /// The answer is incomplete, or contradicts what the server reports about it.
    #[error("the answer from {url} is incomplete: {reason}")]
    BrokenOff { url: String, reason: String },
    /// 429 or 503: nothing was done; try again later.
    #[error("the server is busy ({status}): {message}")]
    Busy { status: u16, message: String, retry_after: Option<Duration> },
    /// Any other error status.
    #[error("the server refused ({status}): {message}")]
    Refused { status: u16, message: String },
    /// A success status with a body that no Annals server sends.
    #[error("the answer from {url} is not that of an Annals server: {reason}")]
    UnexpectedAnswer { url: String, reason: String },
}

/// The endpoints of one server, in one space. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    base: Url,
    pub(super) timeout: Duration,
    space: Option<Space>,
    api_key: Option<header::HeaderValue>,
    guard: Option<Guard>,
}

/// When the server answers a request that logs events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitFor {
    /// Once the events are durable.
    #[default]
    Durable,
    /// Once they are in the store that answers queries.
    Stored,
}

impl Api {
    pub fn new(endpoint: &Endpoint) -> Result<Self, ApiError> {
        let base = base_url(&endpoint.url)?;
        let mut http = reqwest::Client::builder()
            .timeout(endpoint.timeout)
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
            // An export is passed on compressed, and decompressed only to compare its digest.
            .no_gzip()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("annals/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = &endpoint.ca_pem {
            let authorities = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|error| ApiError::Endpoint(format!("the certificates of the authorities: {error}")))?;
            http = authorities.into_iter().fold(http, reqwest::ClientBuilder::add_root_certificate);
        }
        let http = http.build().map_err(|error| ApiError::Endpoint(cause(&error)))?;
        let api_key = endpoint.api_key.as_ref().map(key_header).transpose()?;
        Ok(Self { http, base, timeout: endpoint.timeout, space: endpoint.space.clone(), api_key, guard: None })
    }

    /// Runs this check before each request, which is not sent if it fails. A key may be meant for one server only, while
    /// an address can change hands.
    #[must_use]
    pub fn guarded(self, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self { guard: Some(Guard(Arc::new(check))), ..self }
    }

    /// Logs `events` events, one JSON object per line.
    pub async fn log(&self, ndjson: Bytes, events: usize, wait_for: WaitFor) -> Result<EventsAnswer, ApiError> {
        let url = self.url(&["api", "event_log", "events"])?;
        let mut request = self.request(Method::POST, url).header(header::CONTENT_TYPE, "application/x-ndjson");
        if wait_for == WaitFor::Stored {
            request = request.query(&[("wait_for", "stored")]);
        }
        let answer = self.send(request.body(ndjson)).await?;
        // A batch without a valid event is answered with 400, and still has items.
        let logged = match serde_json::from_slice::<EventsAnswer>(&answer.body) {
            Ok(logged) if answer.status.is_success() || answer.status == StatusCode::BAD_REQUEST => logged,
            _ => answer.read::<EventsAnswer>()?,
        };
        if logged.items.len() != events {
            let reason = format!("{} items for {events} events", logged.items.len());
            return Err(ApiError::UnexpectedAnswer { url: self.base.to_string(), reason });
        }
        Ok(logged)
    }

    /// Adds actions to a provider, and sets its default properties if any are given.
    pub async fn register(&self, provider: &str, registration: &Registration) -> Result<(), ApiError> {
        let url = self.url(&["api", "event_log", "providers", provider])?;
        let request = self.request(Method::PUT, url).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(json_body(registration)?)).await?.accept()
    }

    /// The dead letters of one store, or of all; `from` and `limit` apply to each store separately.
    pub async fn dead_letters(
        &self,
        store: Option<&str>,
        from: u64,
        limit: u64,
    ) -> Result<DeadLettersAnswer, ApiError> {
        let url = self.url(&["api", "event_log", "dead_letters"])?;
        let request =
            self.request(Method::GET, url).query(&[("store", store)]).query(&[("from", from), ("limit", limit)]);
        self.send(request).await?.read()
    }

    /// Sends the dead letters of one store, or of all, to their stores again.
    pub async fn replay_dead_letters(&self, store: Option<&str>) -> Result<ReplayAnswer, ApiError> {
        let url = self.url(&["api", "event_log", "dead_letters", "_replay"])?;
        self.send(self.request(Method::POST, url).query(&[("store", store)])).await?.read()
    }

    /// Events that were rejected on arrival, newest first.
    pub async fn rejected_events(&self, from: u64, limit: u64) -> Result<RejectedAnswer, ApiError> {
        let url = self.url(&["api", "event_log", "rejected"])?;
        self.send(self.request(Method::GET, url).query(&[("from", from), ("limit", limit)])).await?.read()
    }

    /// The server's API keys, without their secrets.
    pub async fn keys(&self) -> Result<KeysAnswer, ApiError> {
        self.send(self.request(Method::GET, self.url_of_server(&["api", "access", "keys"])?)).await?.read()
    }

    pub async fn create_key(&self, key: &NewKeyRequest) -> Result<NewKeyAnswer, ApiError> {
        let url = self.url_of_server(&["api", "access", "keys"])?;
        let request = self.request(Method::POST, url).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(json_body(key)?)).await?.read()
    }

    /// Returns the revoked key's properties.
    pub async fn revoke_key(&self, name: &str) -> Result<KeyAnswer, ApiError> {
        let url = self.url_of_server(&["api", "access", "keys", name])?;
        self.send(self.request(Method::DELETE, url)).await?.read()
    }

    pub(super) fn url(&self, segments: &[&str]) -> Result<Url, ApiError> {
        let of_space = self.space.iter().flat_map(|space| ["s", space.as_str()]);
        self.join(of_space.chain(segments.iter().copied()))
    }

    /// Returns the URL of an endpoint outside any space.
    fn url_of_server(&self, segments: &[&str]) -> Result<Url, ApiError> {
        self.join(segments.iter().copied())
    }

    fn join<'a>(&self, segments: impl Iterator<Item = &'a str> + Clone) -> Result<Url, ApiError> {
        if segments.clone().any(|segment| segment.is_empty() || matches!(segment, "." | "..")) {
            return Err(ApiError::Endpoint(
                "a type, id, provider or key's name cannot be empty, \".\" or \"..\"".to_owned(),
            ));
        }
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| ApiError::Endpoint(format!("{} cannot have a path", self.base)))?
            .pop_if_empty()
            .extend(segments);
        Ok(url)
    }

    pub(super) fn request(&self, method: Method, url: Url) -> reqwest::RequestBuilder {
        let request = self.http.request(method, url);
        match &self.api_key {
            Some(key) => request.header(header::AUTHORIZATION, key),
            None => request,
        }
    }

    pub(super) async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, ApiError> {
        let response = self.begin(request.header(header::ACCEPT, "application/json")).await?;
        self.rest(response).await
    }

    /// Sends the request and waits for the headers of the answer.
    pub(super) async fn begin(&self, request: reqwest::RequestBuilder) -> Result<Response, ApiError> {
        if let Some(Guard(check)) = &self.guard {
            check().map_err(|reason| ApiError::Unreachable { url: self.base.to_string(), reason })?;
        }
        request.send().await.map_err(|error| {
            let (url, reason) = (self.base.to_string(), cause(&error));
            match &error {
                error if has_cause(error, |tls| matches!(tls, rustls::Error::InvalidCertificate(_))) => {
                    ApiError::Untrusted { url, reason }
                }
                error
                    if has_cause(error, |tls| matches!(tls, rustls::Error::InvalidMessage(_)))
                        || has_cause(error, hyper::Error::is_parse) =>
                {
                    ApiError::WrongProtocol { url, reason }
                }
                error if error.is_connect() || error.is_builder() => ApiError::Unreachable { url, reason },
                _ => ApiError::AnswerLost { url, reason },
            }
        })
    }

    /// Reads the body of the answer.
    pub(super) async fn rest(&self, response: Response) -> Result<Answer, ApiError> {
        let url = self.base.to_string();
        let status = response.status();
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let seconds = retry_after.and_then(|text| text.trim().parse::<u64>().ok());
        let retry_after = seconds.map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
        let lost = |error: reqwest::Error| ApiError::AnswerLost { url: url.clone(), reason: cause(&error) };
        let body = response.bytes().await.map_err(lost)?;
        Ok(Answer { url, status, retry_after, body })
    }

    pub(super) fn address(&self) -> String {
        self.base.to_string()
    }
}

pub(super) struct Answer {
    url: String,
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Bytes,
}

impl Answer {
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<T, ApiError> {
        let Self { url, body, .. } = self.into_success()?;
        serde_json::from_slice(&body).map_err(|error| ApiError::UnexpectedAnswer { url, reason: error.to_string() })
    }

    fn accept(self) -> Result<(), ApiError> {
        self.into_success().map(drop)
    }

    pub(super) fn into_success(self) -> Result<Self, ApiError> {
        if self.status.is_success() {
            return Ok(self);
        }
        let message = serde_json::from_slice::<ErrorAnswer>(&self.body).map(|body| body.message.into_owned());
        let message =
            message.unwrap_or_else(|_| self.status.canonical_reason().unwrap_or("no reason given").to_owned());
        let status = self.status.as_u16();
        Err(match self.status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                ApiError::Busy { status, message, retry_after: self.retry_after }
            }
            _ => ApiError::Refused { status, message },
        })
    }
}

fn base_url(text: &str) -> Result<Url, ApiError> {
    let expected = "expected an address such as http://127.0.0.1:6780, without user or password";
    let url =
        Url::parse(text).map_err(|error| ApiError::Endpoint(format!("the server's address: {expected} ({error})")))?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if matches!(url.scheme(), "http" | "https") && url.has_host() && plain {
        Ok(url)
    } else {
        Err(ApiError::Endpoint(format!("the server's address: {expected}")))
    }
}

fn key_header(key: &Secret) -> Result<header::HeaderValue, ApiError> {
    let mut value = header::HeaderValue::from_str(&format!("ApiKey {}", key.expose()))
        .map_err(|_| ApiError::Endpoint("the API key has characters that no key has".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

pub(super) fn json_body(value: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(value).map_err(|error| ApiError::Endpoint(error.to_string()))
}

/// Whether one of the sources is of this type and meets the condition.
fn has_cause<E: std::error::Error + 'static>(error: &reqwest::Error, is_it: impl Fn(&E) -> bool) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(reason) = next {
        if reason.downcast_ref::<E>().is_some_and(&is_it) {
            return true;
        }
        // The source of an I/O error is that of the error inside of it, not this error itself.
        let inner = reason.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = inner.map_or_else(|| reason.source(), |inner| Some(inner));
    }
    false
}

/// The innermost source, as the outer ones only repeat the address.
pub(super) fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took longer than the time allowed".to_owned();
    }
    let mut reason: &dyn std::error::Error = error;
    while let Some(inner) = reason.source() {
        reason = inner;
    }
    reason.to_string()
}
