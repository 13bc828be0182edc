//! Answers that come for as long as they take.

use std::{future::poll_fn, pin::Pin, time::Duration};

use bytes::Bytes;
use hyper::body::Body as _;
use reqwest::{Body, header::HeaderMap};
use tokio::time::Instant;

use super::api::{Api, ApiError, cause};

/// What takes longer than the connection can live.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// An answer of which each part has its time, and all of them together as much as they take.
#[derive(Debug)]
pub(super) struct Stream {
    url: String,
    head: HeaderMap,
    body: Body,
    longest_silence: Duration,
    /// When the part that is waited for is late. A wait that is given up is the same wait when it is taken up again.
    deadline: Option<Instant>,
}

pub(super) enum Part {
    Bytes(Bytes),
    /// What is said once all bytes have come.
    Trailers(HeaderMap),
}

impl Stream {
    /// Waits for the head of the answer as long as any request of this endpoint may take.
    pub(super) async fn open(
        api: &Api,
        request: reqwest::RequestBuilder,
        longest_silence: Duration,
    ) -> Result<Self, ApiError> {
        let url = api.address();
        let late =
            |_| ApiError::AnswerLost { url: url.clone(), reason: "it took longer than the time allowed".to_owned() };
        let begun = tokio::time::timeout(api.timeout, api.begin(request.timeout(FOR_EVER)));
        let response = begun.await.map_err(late)??;
        if !response.status().is_success() {
            let refusal = tokio::time::timeout(api.timeout, api.rest(response)).await.map_err(late)??;
            refusal.into_success()?;
            return Err(ApiError::Strange { url, reason: "neither success nor an error".to_owned() });
        }
        let (head, body) = hyper::Response::<Body>::from(response).into_parts();
        Ok(Self { url, head: head.headers, body, longest_silence, deadline: None })
    }

    pub(super) fn head(&self) -> &HeaderMap {
        &self.head
    }

    /// `None` at the end. May be dropped and asked again.
    pub(super) async fn next(&mut self) -> Result<Option<Part>, ApiError> {
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + self.longest_silence);
        let frame = poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx));
        let Ok(frame) = tokio::time::timeout_at(deadline, frame).await else {
            let silence = humantime::format_duration(self.longest_silence);
            return Err(self.broken_off(format!("nothing came for {silence}")));
        };
        self.deadline = None;
        let Some(frame) = frame else { return Ok(None) };
        let frame = frame.map_err(|error| self.broken_off(cause(&error)))?;
        match frame.into_data() {
            Ok(bytes) => Ok(Some(Part::Bytes(bytes))),
            Err(frame) => Ok(Some(Part::Trailers(frame.into_trailers().unwrap_or_default()))),
        }
    }

    pub(super) fn broken_off(&self, reason: impl Into<String>) -> ApiError {
        ApiError::BrokenOff { url: self.url.clone(), reason: reason.into() }
    }

    pub(super) fn strange(&self, reason: impl Into<String>) -> ApiError {
        ApiError::Strange { url: self.url.clone(), reason: reason.into() }
    }
}
