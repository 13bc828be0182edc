//! Answers of any length, read as they arrive.

use std::{future::poll_fn, pin::Pin, time::Duration};

use bytes::Bytes;
use hyper::body::Body as _;
use reqwest::{Body, header::HeaderMap};
use tokio::time::Instant;

use super::api::{Api, ApiError, cause};

/// Longer than any connection lives, because reqwest applies a timeout to every request.
const NO_TIMEOUT: Duration = Duration::from_secs(u32::MAX as u64);

/// The body of an answer, with a timeout between frames but none for the whole.
#[derive(Debug)]
pub(super) struct ResponseStream {
    url: String,
    head: HeaderMap,
    body: Body,
    idle_timeout: Duration,
    /// The deadline for the next frame. It stays the same if a wait is cancelled and begun again.
    deadline: Option<Instant>,
}

pub(super) enum Frame {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl ResponseStream {
    /// Waits for the headers of the answer no longer than the endpoint's timeout.
    pub(super) async fn open(
        api: &Api,
        request: reqwest::RequestBuilder,
        idle_timeout: Duration,
    ) -> Result<Self, ApiError> {
        let url = api.address();
        let late =
            |_| ApiError::AnswerLost { url: url.clone(), reason: "it took longer than the time allowed".to_owned() };
        let begun = tokio::time::timeout(api.timeout, api.begin(request.timeout(NO_TIMEOUT)));
        let response = begun.await.map_err(late)??;
        if !response.status().is_success() {
            let refusal = tokio::time::timeout(api.timeout, api.rest(response)).await.map_err(late)??;
            refusal.into_success()?;
            return Err(ApiError::UnexpectedAnswer { url, reason: "neither success nor an error".to_owned() });
        }
        let (head, body) = hyper::Response::<Body>::from(response).into_parts();
        Ok(Self { url, head: head.headers, body, idle_timeout, deadline: None })
    }

    pub(super) fn head(&self) -> &HeaderMap {
        &self.head
    }

    /// Returns `None` at the end. Cancellation safe.
    pub(super) async fn next(&mut self) -> Result<Option<Frame>, ApiError> {
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + self.idle_timeout);
        let frame = poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx));
        let Ok(frame) = tokio::time::timeout_at(deadline, frame).await else {
            let silence = humantime::format_duration(self.idle_timeout);
            return Err(self.broken_off(format!("nothing came for {silence}")));
        };
        self.deadline = None;
        let Some(frame) = frame else { return Ok(None) };
        let frame = frame.map_err(|error| self.broken_off(cause(&error)))?;
        match frame.into_data() {
            Ok(bytes) => Ok(Some(Frame::Data(bytes))),
            Err(frame) => Ok(Some(Frame::Trailers(frame.into_trailers().unwrap_or_default()))),
        }
    }

    pub(super) fn broken_off(&self, reason: impl Into<String>) -> ApiError {
        ApiError::BrokenOff { url: self.url.clone(), reason: reason.into() }
    }

    pub(super) fn unexpected(&self, reason: impl Into<String>) -> ApiError {
        ApiError::UnexpectedAnswer { url: self.url.clone(), reason: reason.into() }
    }
}
